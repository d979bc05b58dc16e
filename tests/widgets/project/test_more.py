"""Predictions ahead, how a truth is made, adjudication, report and export, in a real window."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QDialogButtonBox, QFileDialog, QInputDialog

from napari_morse.io import open_mask
from napari_morse.io.mask_store import load_store, save_store
from napari_morse.session.case_files import PREDICTION
from napari_morse.session.project import Project, from_folders, with_patients
from napari_morse.widgets.project import predict_ahead as ahead_module
from napari_morse.widgets.project.dialogs import AddCases
from tests.fakes import FakeEngine
from tests.widgets.conftest import add_dock
from tests.widgets.project.test_window import at, scans
from tests.widgets.segment.test_dock_run import messages, press


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(ahead_module, "PAUSE", 50)


def study(tmp_path, cases=4, share=0.0):
    found = with_patients(from_folders(scans(tmp_path / "scans", cases)), r"(P\d+)_")
    return Project.create(tmp_path / "study", found, name="study", reader="AB", holdout_share=share)


def opened(viewer, qtbot, project, engine=None, ahead=False):
    dock = add_dock(viewer, engine or FakeEngine())
    dock.ahead.set_enabled(ahead)
    dock.view_bar.contour.setChecked(True)  # half the layers of two cells, half the time
    dock.host.take(project)
    at(qtbot, dock, 1)
    return dock


def settled(qtbot, dock):
    qtbot.waitUntil(lambda: dock.comparison.shown is not None and not dock.comparison.settling, timeout=20000)


def paint(dock, box, label=1):
    dock.host.corrected.layer.data[box] = label
    dock.host.corrected.compare()


def models(dock):
    return [bool(case.model) for case in dock.host.project.cases()]


def test_the_next_two_cases_are_predicted_ahead_and_shown_at_once_when_opened(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path, 5), ahead=True)
    qtbot.waitUntil(lambda: models(dock) == [False, True, True, False, False], timeout=20000)
    assert [case.status for case in dock.host.project.cases()][1:3] == ["predicted"] * 2
    runs = dock.session.engine.runs
    dock.ahead.set_enabled(False)
    dock.host.step(1)
    at(qtbot, dock, 2)
    settled(qtbot, dock)
    shown, work = dock.comparison.shown, dock.host.work
    assert dock.session.engine.runs == runs
    np.testing.assert_array_equal(work.corrections.mask, work.prediction.rendered.data)
    assert len(shown.points.data) == len(work.prediction.points) and dock.segment.results.isVisible()
    assert dock.host.layers.mask.contour == 1 and not shown.rendered.editable and not shown.coarse.editable
    assert viewer.layers.selection.active is dock.host.corrected.layer
    assert sum(entry.act == "prediction" for entry in dock.host.project.audit()) == 2
    dock.host.step(1)
    at(qtbot, dock, 3)
    settled(qtbot, dock)
    assert {layer.metadata["napari_morse"].scan.stem for layer in viewer.layers} == {"P02_t1"}


def test_all_new_cases_are_predicted_when_asked_in_the_order_of_the_worklist(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path, 5))
    press(qtbot, dock.case_bar.list)
    dock.worklist._header.setSortIndicator(0, Qt.SortOrder.DescendingOrder)
    dock.case_bar.menu.acts["Predict all new cases"].trigger()
    qtbot.waitUntil(lambda: models(dock) == [False, True, True, True, True], timeout=30000)
    order = [entry.case for entry in dock.host.project.audit() if entry.act == "prediction"]
    assert order == ["P04_t1", "P03_t1", "P02_t1", "P01_t1"]


def test_a_run_of_the_person_stops_what_runs_ahead(viewer, qtbot, tmp_path):
    engine = FakeEngine(steps=200, seconds=0.05)
    dock = opened(viewer, qtbot, study(tmp_path), engine, ahead=True)
    qtbot.waitUntil(lambda: dock.ahead.case == "P01_t1", timeout=10000)
    press(qtbot, dock.segment.run_bar.run)
    qtbot.waitUntil(lambda: not dock.ahead.runner.busy, timeout=5000)
    assert dock.session.running and dock.ahead.case == ""
    engine.pace.set()
    qtbot.waitUntil(lambda: models(dock)[:2] == [True, True], timeout=20000)


def test_a_case_that_cannot_be_predicted_stops_no_other_and_is_said_when_it_is_opened(viewer, qtbot, tmp_path):
    project = study(tmp_path)
    (tmp_path / "scans" / "P01_t1.nii.gz").write_bytes(b"nothing")
    before = len(messages())  # those of other tests stay in napari's list
    dock = opened(viewer, qtbot, project, ahead=True)
    qtbot.waitUntil(lambda: models(dock)[2], timeout=20000)
    assert not any("P01_t1" in text for text in messages()[before:])
    dock.host.step(1)
    assert any("P01_t1" in text for text in messages()[before:])


def test_nothing_runs_ahead_where_one_only_looks_or_a_mask_was_given(viewer, qtbot, tmp_path):
    project = study(tmp_path)
    project.close()
    dock = opened_to_look(viewer, qtbot, tmp_path)
    qtbot.wait(400)
    assert dock.session.engine.runs == 0


def opened_to_look(viewer, qtbot, tmp_path):
    dock = add_dock(viewer, FakeEngine())
    dock.host.take(Project.open(tmp_path / "study", read_only=True))
    qtbot.waitUntil(lambda: dock.host.layers is not None, timeout=20000)
    return dock


def test_what_is_only_looked_at_is_what_is_measured_and_not_the_model_s_mask(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path, 2))
    press(qtbot, dock.segment.run_bar.run)
    settled(qtbot, dock)
    qtbot.waitUntil(lambda: not dock.host.keeper.writes.busy, timeout=10000)
    paint(dock, np.s_[0:6, 0:9, 0:7])
    painted = np.array(dock.host.corrected.corrections.mask)
    dock.host.close_project()
    viewer.window.remove_dock_widget(dock)
    dock = opened_to_look(viewer, qtbot, tmp_path)
    settled(qtbot, dock)
    assert dock.active_case.corrected is None and dock.active_case.prediction is not None
    assert not np.array_equal(dock.active_case.prediction.rendered.data, painted)
    np.testing.assert_array_equal(dock.active_case.mask, painted)


def test_a_case_for_judging_shows_no_model_before_one_says_how_its_truth_is_made(viewer, qtbot, tmp_path):
    project = study(tmp_path, 2, 0.5)
    held = next(case for case in project.cases() if case.held_out)
    dock = opened(viewer, qtbot, project, ahead=True)
    dock.host.go(held.id)
    at(qtbot, dock, held.number)
    row = dock.case_bar.truth
    assert row.isVisible() and row.model.isVisible() and "no truth yet" in row.note.text()
    qtbot.wait(300)
    assert not dock.host.project.case(held.id).model
    press(qtbot, row.blank)
    qtbot.waitUntil(lambda: dock.host.project.case(held.id).truth_from == "blank_start", timeout=5000)
    at(qtbot, dock, held.number)
    assert not row.isVisible()
    press(qtbot, dock.segment.run_bar.run)
    settled(qtbot, dock)
    assert not np.asarray(dock.host.corrected.layer.data).any()
    qtbot.waitUntil(lambda: dock.host.case.truth_from == "from_model", timeout=5000)
    assert any("noted with the truth" in text for text in messages())
    assert row.isVisible() and not row.model.isVisible()


def test_a_blank_start_keeps_what_was_there_on_the_disk_and_out_of_undo(viewer, qtbot, tmp_path):
    project = study(tmp_path, 2, 0.5)
    held = next(case for case in project.cases() if case.held_out)
    dock = opened(viewer, qtbot, project)
    dock.host.go(held.id)
    at(qtbot, dock, held.number)
    press(qtbot, dock.case_bar.truth.model)
    qtbot.waitUntil(lambda: dock.host.case is not None and dock.host.case.truth_from == "from_model", timeout=5000)
    at(qtbot, dock, held.number)
    paint(dock, np.s_[2:5, 2:5, 2:5])
    press(qtbot, dock.case_bar.truth.blank)
    qtbot.waitUntil(lambda: dock.host.case is not None and dock.host.case.truth_from == "blank_start", timeout=5000)
    at(qtbot, dock, held.number)
    assert not dock.host.corrected.corrections.mask.any()
    dock.host.corrected.undo()
    assert not dock.host.corrected.corrections.mask.any()
    (aside,) = dock.host.work.folder.glob("corrected*aside*")
    assert load_store(aside).data.sum() == 27


def test_a_stroke_on_an_empty_mask_says_how_the_truth_is_made(viewer, qtbot, tmp_path):
    project = study(tmp_path, 2, 0.5)
    held = next(case for case in project.cases() if case.held_out)
    dock = opened(viewer, qtbot, project)
    dock.host.go(held.id)
    at(qtbot, dock, held.number)
    paint(dock, np.s_[2:5, 2:5, 2:5])
    assert (dock.host.case.status, dock.host.case.truth_from) == ("corrected", "blank_start")


def test_whose_mask_is_final_is_chosen_with_both_in_view(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    paint(dock, np.s_[2:6, 3:9, 4:8])
    dock.host.project.ask_second_reader("P00_t1", "CD")
    dock.host.close_project()
    dock.host.take(Project.open(tmp_path / "study", reader="CD"))
    at(qtbot, dock, 1)
    assert not np.asarray(dock.host.corrected.layer.data).any()
    paint(dock, np.s_[2:6, 3:9, 4:6], 2)
    press(qtbot, dock.case_bar.accept)
    qtbot.waitUntil(lambda: not dock.host.blind, timeout=10000)
    dock.host.close_project()
    dock.host.take(Project.open(tmp_path / "study", reader="EF"))
    at(qtbot, dock, 1)
    acts = dock.case_bar.acts
    dock.case_bar.menu.acts["Whose mask is final…"].trigger()
    qtbot.waitUntil(lambda: bool(acts.adjudicating.layers), timeout=10000)
    (layer,) = acts.adjudicating.layers
    assert layer.name == "CD · P00_t1" and not layer.editable and (np.asarray(layer.data) == 2).sum() == 4 * 6 * 2
    assert "Dice with the first 0.000" in acts.adjudicating.choices["CD"].text()
    ok = acts.adjudicating.buttons.button(QDialogButtonBox.StandardButton.Ok)
    press(qtbot, ok)
    assert "Choose" in acts.adjudicating.problem.text()
    acts.adjudicating.choices["CD"].setChecked(True)
    press(qtbot, ok)
    assert "why" in acts.adjudicating.problem.text()
    acts.adjudicating.reason.setText("the other structure")
    press(qtbot, ok)
    qtbot.waitUntil(lambda: dock.host.layers is not None and dock.host.corrected is None, timeout=10000)
    assert (np.asarray(dock.host.layers.mask.data) == 2).sum() == 4 * 6 * 2 and not dock.host.layers.mask.editable
    assert dock.host.case.status == "accepted" and layer not in viewer.layers


def test_report_and_export_hold_the_last_stroke(viewer, qtbot, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: shown.append(url.toLocalFile()))
    dock = opened(viewer, qtbot, study(tmp_path))
    paint(dock, np.s_[2:6, 3:9, 4:8])
    dock.case_bar.menu.acts["Report"].trigger()
    qtbot.waitUntil(lambda: bool(shown), timeout=20000)
    report = tmp_path / "study" / "reports" / "report.html"
    assert shown == [str(report)] and "not saved" not in report.read_text()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(tmp_path / "out"))
    dock.case_bar.menu.acts["Export masks…"].trigger()
    mask = tmp_path / "out" / "P00_t1_mask.nii.gz"
    qtbot.waitUntil((tmp_path / "out" / "manifest.csv").exists, timeout=20000)
    assert open_mask(mask).data.sum() == 4 * 6 * 4
    with (tmp_path / "out" / "manifest.csv").open(newline="") as file:
        assert [row["case"] for row in csv.DictReader(file)] == ["P00_t1"]
    qtbot.waitUntil(lambda: not dock.case_bar.acts.runner.busy, timeout=10000)


def test_scans_that_were_moved_are_found_and_cases_added_in_the_window(viewer, qtbot, tmp_path, monkeypatch):
    project = study(tmp_path)
    project.close()
    (tmp_path / "scans").rename(tmp_path / "elsewhere")
    dock = add_dock(viewer, FakeEngine())
    dock.ahead.set_enabled(False)
    dock.host.take(Project.open(tmp_path / "study", reader="AB"))
    assert dock.host.work is None and any("no longer in" in text for text in messages())
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: (str(tmp_path / "scans"), True))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(tmp_path / "elsewhere"))
    dock.case_bar.menu.acts["Find scans…"].trigger()
    assert any("4 scans were found" in text for text in messages())
    dock.host.go("P00_t1")
    at(qtbot, dock, 1)
    dialog = AddCases(dock.host.project, dock)
    qtbot.addWidget(dialog)
    dialog.cases.setText(str(scans(tmp_path / "more", 2)))
    dialog.make()
    assert len(dialog.added) == 2 and sum(dock.host.project.counts().values()) == 6


def test_a_mask_that_something_else_changed_is_replaced_only_when_asked(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    path = dock.host.work.folder / "corrected.zarr.zip"
    stored = load_store(path)
    save_store(replace(stored, data=np.full_like(stored.data, 3)), path)
    paint(dock, np.s_[2:4, 2:4, 2:4])
    dock.host.keeper.save()
    qtbot.waitUntil(lambda: bool(dock.host.keeper.conflicts), timeout=10000)
    dock.case_bar.refresh()
    act = dock.case_bar.menu.acts["Save anyway"]
    assert act.isVisible() and (load_store(path).data == 3).all()
    act.trigger()
    qtbot.waitUntil(lambda: load_store(path).data.sum() == 8, timeout=10000)
    qtbot.waitUntil(lambda: not dock.host.keeper.writes.busy and "saved" in dock.case_bar.state.whole, timeout=10000)


def test_strokes_just_before_the_next_case_are_saved_and_not_offered_as_lost(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    dock.host._ask = lambda found: pytest.fail("nothing was lost")
    for number in (1, 2, 1, 2, 1):
        dock.host.go(f"P{number - 1:02d}_t1")
        at(qtbot, dock, number)
        before = int((dock.host.corrected.corrections.mask > 0).sum())
        paint(dock, (before, 0, 0))
        dock.host.keeper.save()
        paint(dock, (before, 1, 0))
    dock.host.go("P02_t1")
    at(qtbot, dock, 3)
    dock.host.close_project()
    assert (load_store(tmp_path / "study" / "cases" / "P00_t1" / "corrected.zarr.zip").data > 0).sum() == 6
    assert not (tmp_path / "study" / "cases" / "P00_t1" / PREDICTION).exists()


def test_the_accept_and_reject_keys_work_with_any_of_our_layers_selected(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    press(qtbot, dock.segment.run_bar.run)
    settled(qtbot, dock)
    canvas = viewer.window._qt_viewer.canvas.native
    shown = dock.comparison.shown
    for layer in (shown.scan, shown.coarse, shown.points, dock.host.corrected.layer):
        viewer.layers.selection.active = layer
        qtbot.keyClick(canvas, Qt.Key.Key_Y, Qt.KeyboardModifier.ShiftModifier)
        qtbot.waitUntil(lambda: dock.host.case.status == "accepted", timeout=5000)
        dock.case_bar.menu.acts["Undo the last move"].trigger()
        assert dock.host.case.status == "in_review"
        qtbot.keyClick(canvas, Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
        qtbot.waitUntil(lambda: dock.host.case.status == "rejected", timeout=5000)
        dock.case_bar.menu.acts["Undo the last move"].trigger()
