"""A project in a real window: the bar, the worklist, strokes on the disk, and the way back to the same place."""

from __future__ import annotations

import os
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QInputDialog

from napari_morse.session.edits import Corrections
from napari_morse.session.project import Project, ProjectLockedError, from_folders, with_patients
from napari_morse.widgets.project import dialogs as project_dialogs
from napari_morse.widgets.project.dialogs import NewProject
from tests.fakes import FakeEngine, make_scan
from tests.widgets.conftest import add_dock, add_scan
from tests.widgets.questions import Answers
from tests.widgets.segment.test_dock_run import messages, press

SHAPE = (20, 24, 16)


def scans(folder, cases=3):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(cases):
        affine = np.diag([-1.0, 1.5, 2.0, 1.0])
        nib.save(nib.Nifti1Image(rng.normal(100, 10, SHAPE).astype("f4"), affine), folder / f"P{k:02d}_t1.nii.gz")
    return folder


@pytest.fixture
def project(tmp_path):
    found = with_patients(from_folders(scans(tmp_path / "scans")), r"(P\d+)_")
    return Project.create(tmp_path / "study", found, name="study", reader="AB", holdout_share=0)


@pytest.fixture
def opened(viewer, qtbot, project):
    dock = add_dock(viewer, FakeEngine())
    dock.ahead.set_enabled(False)
    dock.host.take(project)
    at(qtbot, dock, 1)
    return dock


def at(qtbot, dock, number):
    """Wait until that case is open."""
    qtbot.waitUntil(lambda: dock.host.corrected is not None and dock.host.case.number == number, timeout=20000)


def on_disk(dock):
    """The open case's mask as a new process would find it after a crash."""
    work = dock.host.work
    return np.array(Corrections.recover(work.folder, None, dock.host.corrected.corrections._scan).mask)


def stroke(qtbot, viewer, layer, dock):
    """Paint with the real mouse across the middle of the canvas."""
    layer.mode, layer.selected_label, layer.brush_size = "paint", 1, 3
    viewer.layers.selection.active = layer
    window = viewer.window._qt_window
    window.move(QPoint(0, 0))
    window.activateWindow()
    qtbot.wait(500)
    canvas = viewer.window._qt_viewer.canvas.native
    middle = canvas.mapToGlobal(canvas.rect().center())
    before = dock.host.corrected.corrections.undoable
    move = ["xdotool", "mousemove"]
    subprocess.run([*move, str(middle.x() - 30), str(middle.y())], check=True)
    qtbot.wait(150)
    subprocess.run(["xdotool", "mousedown", "1"], check=True)
    for step in range(-20, 31, 10):
        subprocess.run([*move, str(middle.x() + step), str(middle.y())], check=True)
        qtbot.wait(50)
    subprocess.run(["xdotool", "mouseup", "1"], check=True)
    qtbot.waitUntil(lambda: dock.host.corrected.corrections.undoable == before + 1, timeout=5000)


@pytest.mark.skipif(
    shutil.which("xdotool") is None or not os.environ.get("DISPLAY"), reason="needs xdotool and an X server"
)
def test_a_stroke_is_one_act_on_the_disk_and_undo_works_from_any_layer(viewer, qtbot, opened):
    dock, layer = opened, opened.host.corrected.layer
    stroke(qtbot, viewer, layer, dock)
    painted = np.array(layer.data)
    assert painted.any() and dock.host.case.status == "corrected"
    shown = np.asarray(dock.host.corrected._axes.to_storage(painted))
    np.testing.assert_array_equal(shown, on_disk(dock))
    assert "on the disk" in dock.case_bar.state.whole
    viewer.layers.selection.active = viewer.layers[0]
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: not np.asarray(layer.data).any(), timeout=5000)
    assert not on_disk(dock).any()
    viewer.layers.selection.active = layer
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(lambda: np.array_equal(layer.data, painted), timeout=5000)
    viewer.dims.set_point(0, 0)
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: not np.asarray(layer.data).any(), timeout=5000)


def test_next_accept_and_the_same_place_after_reopening(viewer, qtbot, opened, tmp_path):
    dock = opened
    layer = dock.host.corrected.layer
    qtbot.wait(1200)  # less than a second on a case is not worth a row of the audit
    layer.data_setitem((np.array([3]), np.array([4]), np.array([5])), 2)
    qtbot.waitUntil(lambda: dock.host.case.status == "corrected", timeout=5000)
    press(qtbot, dock.case_bar.accept)
    assert dock.host.case.status == "accepted" and "accepted" in dock.case_bar.state.whole
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    at(qtbot, dock, 2)
    assert [x.name for x in viewer.layers] == ["P01_t1", "P01_t1_corrected"]
    press(qtbot, dock.case_bar.reject)
    assert dock.host.case.status == "rejected"
    qtbot.waitUntil(lambda: not dock.host.keeper.writes.busy, timeout=10000)
    dock.host.close_project()
    assert not viewer.layers and "No project" in dock.case_bar.case.whole
    dock.host.take(Project.open(tmp_path / "study", reader="CD"))
    at(qtbot, dock, 2)
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_J, Qt.KeyboardModifier.ShiftModifier)
    at(qtbot, dock, 1)
    assert dock.host.corrected.layer.data[3, 4, 5] == 2 and dock.host.case.status == "accepted"
    acts = [entry.act for entry in dock.host.project.audit()]
    assert "time" in acts and dock.host.project.verify() == ""


def test_the_worklist_filters_sorts_accepts_several_and_takes_back(viewer, qtbot, opened, monkeypatch):
    dock = opened
    press(qtbot, dock.case_bar.list)
    table = dock.worklist
    assert table.isVisible() and table.model.rowCount() == 3
    table.text.setText("p02")
    assert [case.stem for case in table.model.cases] == ["P02_t1"]
    table.text.clear()
    table.status.setCurrentText("in review")
    assert [case.stem for case in table.model.cases] == ["P00_t1"]
    table.status.setCurrentIndex(0)
    dock.host.set_status([case.id for case in table.model.cases[1:]], "in_review")
    table.table.selectAll()
    asked = Answers("Accept")  # nothing was drawn in any of them
    press(qtbot, table.buttons["Accept"])
    qtbot.waitUntil(lambda: {case.status for case in table.model.cases} == {"accepted"}, timeout=10000)
    assert len(table.selected()) == 3
    asked.stop()
    press(qtbot, table.buttons["Undo"])
    assert {case.status for case in table.model.cases} == {"in_review"}
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("CD", True))
    table.table.selectRow(2)
    press(qtbot, table.buttons["Second reader…"])
    assert table.model.cases[2].status == "second_reader"
    table._header.setSortIndicator(0, Qt.SortOrder.DescendingOrder)
    assert [case.number for case in table.model.cases] == [3, 2, 1]
    table.table.doubleClicked.emit(table.model.index(1, 0))
    at(qtbot, dock, 2)


def test_what_a_model_finds_on_the_case_is_kept_with_it(viewer, qtbot, opened):
    dock = opened
    press(qtbot, dock.segment.run_bar.run)
    qtbot.waitUntil(lambda: dock.session.result is not None, timeout=20000)
    rendered = dock.host.work.folder / "rendered.zarr.zip"
    qtbot.waitUntil(lambda: rendered.exists() and dock.host.case.model == "fake-3d", timeout=10000)
    case = dock.host.case
    assert case.model == "fake-3d" and case.doubt_mm > 0 and case.disagreement_mm3 > 0 and set(case.sizes)
    np.testing.assert_array_equal(dock.host.corrected.corrections.mask, dock.session.result.rendered.data)
    assert np.asarray(dock.host.corrected.layer.data).any()


def test_strokes_of_a_crash_are_offered(viewer, qtbot, project, tmp_path, monkeypatch):
    asked = []
    dock = add_dock(viewer, FakeEngine())
    dock.host._ask = lambda found: asked.append(found.steps) is None
    dock.host.take(project)
    at(qtbot, dock, 1)
    folder, digest = dock.host.work.folder, dock.host.corrected.corrections._scan
    dock.host.close_project()
    crashed = Corrections.open(folder, None, digest)
    crashed.apply((np.array([1]), np.array([2]), np.array([3])), 1, "stroke")
    del crashed
    dock.host.take(Project.open(tmp_path / "study", reader="AB"))
    at(qtbot, dock, 1)
    assert asked == [1] and dock.host.corrected.corrections.mask[1, 2, 3] == 1


def test_a_project_is_made_in_the_dialog(viewer, qtbot, tmp_path):
    dock = add_dock(viewer, FakeEngine())
    dialog = NewProject(dock)
    qtbot.addWidget(dialog)
    dialog.cases.setText(str(scans(tmp_path / "scans")))
    dialog.folder.setText(str(tmp_path / "scans"))
    dialog.make()
    assert "not empty" in dialog.problem.text() and dialog.project is None
    dialog.folder.setText(str(tmp_path / "study"))
    dialog.pattern.setText("(P[0-9]+)_")
    dialog.make()
    assert {case.patient for case in dialog.project.cases()} == {"P00", "P01", "P02"}
    dock.host.take(dialog.project)
    at(qtbot, dock, 1)


def test_a_second_reader_reads_blind_and_is_compared(viewer, qtbot, opened, tmp_path):
    dock = opened
    dock.host.corrected.layer.data[2:6, 3:9, 4:8] = 1
    dock.host.corrected.compare()
    dock.host.keeper.save()
    qtbot.waitUntil(lambda: not dock.host.keeper.writes.busy, timeout=10000)
    first = dock.host.case.id
    dock.host.project.ask_second_reader(first, "CD")
    dock.host.close_project()
    dock.host.take(Project.open(tmp_path / "study", reader="CD"))
    at(qtbot, dock, 1)
    assert dock.host.blind and dock.case_bar.accept.text() == "Submit"
    assert not np.asarray(dock.host.corrected.layer.data).any() and dock.host.case.reviewer == ""
    dock.host.corrected.layer.data[2:6, 3:9, 4:6] = 1
    press(qtbot, dock.case_bar.accept)
    qtbot.waitUntil(lambda: not dock.host.blind, timeout=10000)
    (reading,) = dock.host.project.readings(first)
    assert reading.submitted and reading.agreement.dice == pytest.approx(2 * 48 / (96 + 48))
    assert dock.case_bar.accept.text() == "Accept"


def look_only(box):
    return next(button for button in box.buttons() if button.text() == "Look only")


def test_two_windows_refuse_each_other(viewer, qtbot, project, tmp_path, monkeypatch):
    dock = add_dock(viewer, FakeEngine())
    with pytest.raises(ProjectLockedError):
        Project.open(tmp_path / "study", reader="CD")
    monkeypatch.setattr(project_dialogs.QMessageBox, "exec", lambda _: 0)
    monkeypatch.setattr(project_dialogs.QMessageBox, "clickedButton", look_only)
    found = project_dialogs.open_as(dock, tmp_path / "study", "CD")
    assert found.read_only
    dock.host.take(found)
    qtbot.waitUntil(lambda: dock.host.work is not None, timeout=20000)
    assert dock.host.corrected is None and not viewer.layers[-1].editable
    press(qtbot, dock.case_bar.accept)
    assert any("reading only" in text for text in messages())
    assert not (tmp_path / "study" / "cases").exists()
    project.close()


def test_other_labels_keep_their_own_undo(viewer, qtbot, opened):
    layer = add_scan(viewer, make_scan())
    own = viewer.add_labels(np.zeros(layer.data.shape, np.uint8))
    own.data_setitem((np.array([1]), np.array([1]), np.array([1])), 3)
    viewer.layers.selection.active = own
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not own.data.any()
