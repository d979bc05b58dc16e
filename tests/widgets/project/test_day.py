"""A day with a project of 20 cases, with the real mouse and the real keyboard."""

from __future__ import annotations

import os
import shutil

import pytest
from qtpy.QtGui import QDesktopServices

from benchmarks.day import CASES, Day, scans
from napari_morse.session.project import Project
from tests.fakes import FakeEngine
from tests.widgets.conftest import add_dock

pytestmark = pytest.mark.alone

ASKED = "NAPARI_MORSE_DAY"


@pytest.mark.skipif(
    shutil.which("xdotool") is None or not os.environ.get("DISPLAY") or not os.environ.get(ASKED),
    reason=f"takes minutes: set {ASKED}=1; needs xdotool and an X server",
)
def test_a_day_with_twenty_cases(viewer, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda _: True)
    scans(tmp_path / "scans")
    viewer.window.resize(1400, 960)
    viewer.window._qt_window.move(0, 0)
    dock = add_dock(viewer, FakeEngine())
    qtbot.wait(500)
    day = Day(viewer, dock, tmp_path)
    day.start()
    qtbot.waitUntil(day.done.is_set, timeout=400_000)
    if day.error is not None:
        raise day.error
    with Project.open(tmp_path / "study", read_only=True) as project:
        acts = [entry.act for entry in project.audit()]
        assert project.verify() == "" and len(project.cases()) == CASES
        assert {"status", "undo status", "comment", "ask second reader", "second reading", "adjudicate", "prediction",
                "time", "truth"} <= set(acts)  # fmt: skip
