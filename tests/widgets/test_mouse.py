"""A person's way through the window, with the real mouse of the X server: menu, sample, Run, both masks."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QMenu

from tests.fakes import FakeEngine
from tests.widgets.conftest import add_dock

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(
        shutil.which("xdotool") is None or not os.environ.get("DISPLAY"), reason="needs xdotool and an X server"
    ),
]


def click(qtbot, widget, point):
    place = widget.mapToGlobal(point)
    subprocess.run(["xdotool", "mousemove", str(place.x()), str(place.y())], check=True)
    qtbot.wait(150)
    subprocess.run(["xdotool", "click", "1"], check=True)
    qtbot.wait(150)


def choose(qtbot, menu, text):
    """Click the entry of an open menu; the menu below it, when it has one."""
    action = next(a for a in menu.actions() if text in a.text().replace("&", ""))
    click(qtbot, menu, menu.actionGeometry(action).center())
    below = action.menu()
    if isinstance(below, QMenu):
        qtbot.waitUntil(below.isVisible, timeout=5000)
    return below


def test_from_the_menu_to_both_masks(viewer, qtbot):
    dock = add_dock(viewer, FakeEngine())
    window = viewer.window._qt_window
    window.move(QPoint(0, 0))
    window.activateWindow()
    qtbot.wait(500)
    menu = choose(qtbot, window.menuBar(), "File")
    menu = choose(qtbot, menu, "Open Sample")
    menu = choose(qtbot, menu, "MORSE")
    choose(qtbot, menu, "left hippocampus")
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=10000)
    assert dock.session.scan.stem == "colin27_left_hippocampus"
    qtbot.wait(1000)  # the layer's controls appear and move everything
    button = dock.segment.run_bar.run
    click(qtbot, button, button.rect().center())
    qtbot.waitUntil(lambda: dock.comparison.shown is not None, timeout=20000)
    qtbot.waitUntil(lambda: viewer.canvas.grid.enabled, timeout=20000)
    shown = dock.comparison.shown
    assert shown.coarse.data.shape == shown.rendered.data.shape == shown.scan.data.shape
    bar = dock.view_bar.contour
    click(qtbot, bar, QPoint(12, bar.height() // 2))
    qtbot.waitUntil(lambda: not viewer.canvas.grid.enabled and shown.coarse.contour == 1, timeout=10000)
