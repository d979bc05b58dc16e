"""What arrives late or wide in a project's window: results, submissions, labels of two bytes."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
from qtpy.QtCore import Qt

from napari_morse.io.mask_store import load_store
from napari_morse.types import Label, Mask
from napari_morse.widgets.case import runs as case_runs
from tests.fakes import FakeEngine, FakePredictor
from tests.widgets.project.test_hostile import as_reader, rested, run
from tests.widgets.project.test_more import opened, paint, study
from tests.widgets.project.test_window import at
from tests.widgets.segment.test_dock_run import press


def test_nothing_can_be_painted_while_corrections_begin_anew_and_everything_after(viewer, qtbot, tmp_path, monkeypatch):
    dock = opened(viewer, qtbot, study(tmp_path))
    gate, real = threading.Event(), case_runs.keep_prediction

    def slow(*given):
        gate.wait(20)
        real(*given)

    monkeypatch.setattr(case_runs, "keep_prediction", slow)
    run(qtbot, dock)
    assert not dock.host.corrected.layer.editable
    press(qtbot, dock.segment.run_bar.run)
    qtbot.waitUntil(lambda: dock.session.engine.runs == 2 and not dock.session.running, timeout=20000)
    gate.set()
    rested(qtbot, dock)
    assert dock.host.corrected.layer.editable and dock.host.corrected.corrections.mask.any()
    paint(dock, np.s_[0:3, 0:3, 0:3], 1)
    assert (dock.host.corrected.corrections.mask == 1).sum() >= 27 and dock.host.corrected.corrections.undoable == 1


def test_a_submission_that_ends_later_pulls_nobody_back(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    paint(dock, np.s_[2:6, 3:9, 4:8])
    dock.host.project.ask_second_reader("P00_t1", "CD")
    as_reader(qtbot, dock, tmp_path, "CD")
    paint(dock, np.s_[2:6, 3:9, 4:6], 2)
    dock.host.submit()
    dock.host.step(1)
    at(qtbot, dock, 2)
    rested(qtbot, dock)
    qtbot.wait(300)
    assert dock.host.case.number == 2 and dock.host.project.readings("P00_t1")[0].submitted


class Wide(FakePredictor):
    """Labels that need two bytes."""

    def predict(self, progress=None, cancelled=None):
        found = super().predict(progress, cancelled)
        names = (Label(1, "a", "#0072b2"), Label(300, "b", "#e69f00"))
        masks = [
            Mask(np.where(m.data == 2, np.uint16(300), m.data.astype(np.uint16)), m.grid, names)
            for m in (found.coarse, found.rendered)
        ]
        return replace(found, coarse=masks[0], rendered=masks[1])


class WideEngine(FakeEngine):
    def predictor(self, model, device):
        return Wide(self)


def test_labels_beyond_a_byte_arrive_in_the_corrected_mask(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path), WideEngine())
    run(qtbot, dock)
    rested(qtbot, dock)
    assert set(np.unique(dock.host.corrected.layer.data)) == {0, 1, 300}
    paint(dock, np.s_[0:1, 0:1, 0:1], 300)
    assert dock.host.corrected.corrections.mask[0, 0, 0] == 300 or dock.host.corrected.corrections.mask.max() == 300
    dock.host.close_project()
    assert load_store(tmp_path / "study" / "cases" / "P00_t1" / "corrected.zarr.zip").data.max() == 300


def test_undo_takes_a_stroke_back_on_a_mask_that_began_anew_with_a_run(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    run(qtbot, dock)
    rested(qtbot, dock)
    qtbot.waitUntil(lambda: bool(dock.host.case.model), timeout=10000)
    before = np.array(dock.host.corrected.corrections.mask)
    paint(dock, np.s_[0:3, 0:3, 0:3], 1)
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(dock.host.corrected.corrections.mask, before)
    dock.walker.next()
    dock.walker.accept()  # decisions of the walk are in the same order
    paint(dock, np.s_[0:3, 0:3, 0:3], 1)
    for _ in range(2):
        qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(dock.host.corrected.corrections.mask, before)
    assert not dock.walker.walk.decisions
