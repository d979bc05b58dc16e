"""The law of the open cases in a real window: thirty things that a person does, by the window's own controls.

The same law without a window, over many more steps: tests/session/case/test_open_cases.py.
"""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_morse.session.edits import Corrections
from napari_morse.session.project import Project
from napari_morse.widgets.dock import MorseDock
from tests.fakes import FakeEngine
from tests.layer_cases import affine_of, write_nifti
from tests.widgets.plugin_hands import CLOSE, docks, settle, title_bar
from tests.widgets.project.test_window import project  # noqa: F401 (a fixture)
from tests.widgets.questions import Answers
from tests.widgets.test_docks_life import begin, morse, press, turn_to
from tests.widgets.view.test_stage import check_one_patient, choose

NAMES = ("Anna", "Berta", "Clara")
ORDER = (
    "open_scan", "run", "correct", "open_scan", "correct", "undo", "choose", "open_case", "run", "correct", "decide",
    "choose", "close", "reopen", "correct", "delete",
)  # fmt: skip
"""How the day begins, so that each act is done at least once; the rest is drawn by lot."""
PLACES = [(x, y) for y in range(-60, 61, 30) for x in range(-60, 61, 30)]
"""Pixels from the middle of the canvas where strokes begin."""


class Sitting:
    """Does one act after the other, and remembers what each scan's mask was when it left the stage."""

    def __init__(self, viewer, qtbot, folder, study, seed):
        self.viewer, self.qtbot, self.study, self.folder = viewer, qtbot, study.places.folder, folder
        study.close()
        self.lot, self.masks, self.strokes = random.Random(seed), {}, {}
        self.paths = []
        for number, name in enumerate(NAMES):
            data = np.random.default_rng(number).normal(100, 10, (20, 24, 16)).astype(np.float32)
            self.paths.append(write_nifti(folder / f"{name}.nii.gz", data, affine_of("RAS", angle=0.0)))
        self.dock = morse(viewer, qtbot)
        self.dock.ahead.set_enabled(False)

    # What a person does

    def open_scan(self):
        if self.paths:
            self.viewer.open(str(self.paths.pop()), plugin="napari-morse")

    def choose(self):
        layers = self.dock.segment.scans.layers()
        if layers:
            turn_to(self.dock, "Segment", self.qtbot)
            choose(self.qtbot, self.dock, self.lot.choice(layers))

    def open_case(self):
        if self.dock.host.project is None:
            self.dock.host.take(Project.open(self.study, reader="AB"))
        else:
            press(self.lot.choice((self.dock.case_bar.on, self.dock.case_bar.back)), self.qtbot)
        self.qtbot.waitUntil(lambda: not self.dock.host.busy, timeout=20000)

    def run(self):
        turn_to(self.dock, "Segment", self.qtbot)
        if self.dock.segment.run_bar.run.isEnabled():
            press(self.dock.segment.run_bar.run, self.qtbot)

    def correct(self):
        active_case = self.dock.active_case
        if active_case.corrected is None and active_case.blocked:
            return
        corrected = active_case.corrected or begin(self.dock, self.qtbot)
        turn_to(self.dock, "Correct", self.qtbot)
        press(self.dock.correct.modes["paint"], self.qtbot)
        self.viewer.layers.selection.active = corrected.layer
        corrected.layer.selected_label = 1 if corrected.layer.selected_label == 2 else 2
        before = corrected.corrections.undoable
        self.drag(PLACES[self.strokes.get(self.stem, 0) % len(PLACES)])
        if corrected.corrections.undoable > before:
            self.strokes[self.stem] = self.strokes.get(self.stem, 0) + 1

    def drag(self, place):
        """With the mouse on the canvas; what is there already may be what is drawn."""
        canvas = self.viewer.window._qt_viewer.canvas.native
        first = canvas.rect().center() + QPoint(*place)
        self.qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=first)
        self.qtbot.mouseMove(canvas, first + QPoint(24, 12))
        self.qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=first + QPoint(24, 12))
        self.qtbot.wait(100)

    def undo(self):
        if self.dock.active_case.corrected is not None:
            canvas = self.viewer.window._qt_viewer.canvas.native
            self.qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)

    def decide(self):
        accept = self.dock.case_bar.accept
        if accept.isVisible() and accept.isEnabled():
            press(accept, self.qtbot)

    def delete(self):
        layers = self.dock.segment.scans.layers()
        if len(layers) > 1:
            self.viewer.layers.remove(self.lot.choice(layers))

    def close(self):
        title_bar(docks(self.viewer)["MORSE (MORSE)"], CLOSE, self.qtbot)

    def reopen(self):
        """The dock, where it is closed."""

    # What has to be so

    @property
    def stem(self):
        return self.dock.session.scan.stem

    def act(self, name):
        if name not in {"reopen", "close"} and MorseDock.of(self.viewer) is None:
            name = "reopen"
        if MorseDock.of(self.viewer) is None:
            self.dock = morse(self.viewer, self.qtbot)
            self.dock.ahead.set_enabled(False)
        getattr(self, name)()
        settle()
        if MorseDock.of(self.viewer) is not None:
            self.rest()
            self.check()

    def rest(self):
        dock = self.dock
        self.qtbot.waitUntil(
            lambda: (
                not (dock.session.running or dock.segment.presenting or dock.host.busy or dock.active_case.coming)
                and (dock.comparison.shown is None or not dock.comparison.settling)
            ),
            timeout=20000,
        )

    def check(self):
        check_one_patient(self.viewer, self.dock)
        current = self.dock.active_case.corrected
        for case in self.dock.active_case.cases:
            if case.corrections is None:
                continue
            found = self.from_disk(case)
            np.testing.assert_array_equal(found, case.corrections.mask, "an edit is not in its scan's journal")
            if current is None or current.case is not case:
                before = self.masks.get(case.scan.stem, found)
                np.testing.assert_array_equal(found, before, "a mask changed while its scan was not in view")
            self.masks[case.scan.stem] = found

    def from_disk(self, case):
        """The mask as another program would find it now."""
        if case.corrections.untouched:
            return np.array(case.corrections.mask)
        place = self.folder / "found"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(case.folder, place)
        return np.array(Corrections.recover(place, None, case.digest).mask)


@pytest.fixture
def sitting(viewer, plugin, monkeypatch, qtbot, tmp_path, project):  # noqa: F811
    monkeypatch.setattr("napari_morse.session.run.segment.LocalEngine", FakeEngine)
    viewer.window.resize(1100, 800)
    return Sitting(viewer, qtbot, tmp_path, project, seed=7)


def test_thirty_things_that_a_person_does(sitting):
    answers = Answers()
    answers.act = lambda box: next(x for x in box.buttons() if box.buttonRole(x) == box.ButtonRole.AcceptRole).click()
    rest = [name for name in dict.fromkeys(ORDER) if name not in ("open_scan", "close")]
    acts = [*ORDER, *(sitting.lot.choice(rest) for _ in range(30 - len(ORDER)))]
    for name in acts:
        sitting.act(name)
    assert len(sitting.strokes) >= 2 and sum(sitting.strokes.values()) >= 4, "the day was too quiet"
    answers.stop()
