"""What a hostile reader of the project's window found: each was a fault once."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_morse.io import open_mask, open_scan
from napari_morse.io.mask_store import load_store, save_store
from napari_morse.session.case.masks import load_masks
from napari_morse.session.case_files import PREDICTION
from napari_morse.session.project import Project, from_folders, with_patients
from napari_morse.widgets.case.corrected_layer import CorrectedLayer
from napari_morse.widgets.project import predict_ahead as ahead_module
from tests.fakes import FakeEngine
from tests.widgets.conftest import add_dock, add_scan
from tests.widgets.project.test_more import models, opened, paint, settled, study
from tests.widgets.project.test_window import at, scans
from tests.widgets.questions import Answers
from tests.widgets.segment.test_dock_run import messages, press


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(ahead_module, "PAUSE", 50)


def run(qtbot, dock):
    press(qtbot, dock.segment.run_bar.run)
    settled(qtbot, dock)


def rested(qtbot, dock):
    qtbot.waitUntil(lambda: not dock.host.keeper.writes.busy and not dock.host.busy, timeout=10000)


def accept_as_empty(qtbot, dock):
    asked = Answers("Accept")
    press(qtbot, dock.case_bar.accept)
    asked.stop()
    assert dock.host.case.status == "accepted" and len(asked.asked) == 1


def as_reader(qtbot, dock, tmp_path, reader, number=1):
    dock.host.close_project()
    dock.host.take(Project.open(tmp_path / "study", reader=reader))
    at(qtbot, dock, number)


def held_case(viewer, qtbot, tmp_path, masks=False):
    """A case for judging, open, with a given mask or without."""
    given = tmp_path / "masks" if masks else None
    folder = scans(tmp_path / "scans", 2)
    for file in folder.iterdir() if masks else ():
        image = nib.load(file)
        mask = np.zeros(image.shape, "u1")
        mask[3:9, 3:9, 3:9] = 1
        (tmp_path / "masks").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(mask, image.affine), tmp_path / "masks" / file.name)
    found = with_patients(from_folders(folder, given), r"(P\d+)_")
    project = Project.create(tmp_path / "study", found, name="s", reader="AB", holdout_share=0.5)
    held = next(case for case in project.cases() if case.held_out)
    project.current = held.id
    dock = add_dock(viewer, FakeEngine())
    dock.ahead.set_enabled(False)
    dock.view_bar.contour.setChecked(True)
    dock.host.take(project)
    at(qtbot, dock, held.number)
    return dock, held


def say(qtbot, dock, held, button, what):
    press(qtbot, button)
    qtbot.waitUntil(lambda: dock.host.case is not None and dock.host.case.truth_from == what, timeout=5000)
    at(qtbot, dock, held.number)


def test_a_run_on_another_scan_of_that_name_is_not_kept_as_the_cases(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    folder = dock.host.work.folder
    image = nib.load(tmp_path / "scans" / "P00_t1.nii.gz")
    (tmp_path / "other").mkdir()
    other = np.random.default_rng(9).normal(500, 3, image.shape).astype("f4")
    nib.save(nib.Nifti1Image(other, image.affine), tmp_path / "other" / "P00_t1.nii.gz")
    foreign = open_scan(tmp_path / "other" / "P00_t1.nii.gz")
    layer = add_scan(viewer, foreign)
    dock.segment.scans.combo.setCurrentIndex(dock.segment.scans.combo.findData(layer))
    run(qtbot, dock)
    rested(qtbot, dock)
    assert dock.session.result_scan is foreign
    assert not (folder / PREDICTION).exists() and not dock.host.case.model
    assert not dock.host.corrected.corrections.mask.any()


def test_who_reads_blind_runs_no_model(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    paint(dock, np.s_[2:6, 3:9, 4:8])
    dock.host.project.ask_second_reader("P00_t1", "CD")
    as_reader(qtbot, dock, tmp_path, "CD")
    assert dock.host.blind and not dock.segment.run_bar.run.isEnabled() and "blind" in dock.session.blocked
    dock.segment.run()
    assert not dock.session.running and dock.session.engine.runs == 0
    dock.host.step(1)
    at(qtbot, dock, 2)
    assert dock.segment.run_bar.run.isEnabled() and not dock.session.blocked


def test_a_submitted_reading_is_closed_and_a_second_press_accepts_nothing(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    paint(dock, np.s_[2:6, 3:9, 4:8])
    dock.host.project.ask_second_reader("P00_t1", "CD")
    as_reader(qtbot, dock, tmp_path, "CD")
    paint(dock, np.s_[2:6, 3:9, 4:6], 2)
    own = dock.host.work.folder / "corrected.zarr.zip"
    press(qtbot, dock.case_bar.accept)
    press(qtbot, dock.case_bar.accept)
    qtbot.waitUntil(lambda: not dock.host.blind, timeout=10000)
    at(qtbot, dock, 1)
    before = own.read_bytes()
    assert dock.host.work.folder != own.parent and dock.host.corrected.corrections.mask.max() == 1
    press(qtbot, dock.case_bar.accept)
    assert dock.host.case.status == "second_reader" and dock.case_bar.acts.adjudicating.isVisible()
    paint(dock, np.s_[0:1, 0:1, 0:1])
    dock.host.keeper.save()
    rested(qtbot, dock)
    assert own.read_bytes() == before and len(dock.host.project.readings("P00_t1")) == 1


@pytest.mark.parametrize("asked", ["Cd", "MÜLLER"])
def test_a_reader_is_the_same_in_other_capitals(viewer, qtbot, tmp_path, asked):
    dock = opened(viewer, qtbot, study(tmp_path))
    paint(dock, np.s_[2:6, 3:9, 4:8])
    dock.host.project.ask_second_reader("P00_t1", asked)
    as_reader(qtbot, dock, tmp_path, asked.swapcase())
    assert dock.host.blind
    paint(dock, np.s_[2:6, 3:9, 4:6], 2)
    press(qtbot, dock.case_bar.accept)
    qtbot.waitUntil(lambda: not dock.host.blind, timeout=10000)
    dock.host.close_project()
    with Project.open(tmp_path / "study", reader="EF") as project:
        project.adjudicate("P00_t1", asked, "sharper")
        mask = load_store(project.folder_of("P00_t1", asked) / "corrected.zarr.zip").data
        assert (mask == 2).sum() == 4 * 6 * 2


def test_a_case_opened_before_it_was_predicted_is_exported_as_predicted(viewer, qtbot, tmp_path, monkeypatch):
    dock = opened(viewer, qtbot, study(tmp_path, 3))
    dock.host.step(1)
    at(qtbot, dock, 2)
    dock.case_bar.menu.acts["Predict all new cases"].trigger()
    qtbot.waitUntil(lambda: models(dock) == [True, False, True], timeout=30000)
    dock.host.set_status(["P00_t1"], "accepted")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(tmp_path / "out"))
    dock.case_bar.menu.acts["Export masks…"].trigger()
    qtbot.waitUntil((tmp_path / "out" / "manifest.csv").exists, timeout=20000)
    qtbot.waitUntil(lambda: not dock.case_bar.acts.runner.busy, timeout=10000)
    exported = open_mask(tmp_path / "out" / "P00_t1_mask.nii.gz").data
    dock.host.go("P00_t1")
    at(qtbot, dock, 1)
    assert exported.any() and dock.host.case.status == "accepted"
    np.testing.assert_array_equal(exported, dock.host.corrected.corrections.mask)


def test_leaving_a_case_while_a_result_is_being_shown_ends_the_run(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    presenter = dock.segment._shown.presenter
    press(qtbot, dock.segment.run_bar.run)
    qtbot.waitUntil(lambda: presenter.busy, timeout=20000)
    dock.host.step(1)
    at(qtbot, dock, 2)
    qtbot.waitUntil(lambda: not dock.session.running, timeout=5000)
    assert dock.segment.run_bar.run.isEnabled() and dock.segment.model.isEnabled()
    assert [layer.name for layer in viewer.layers] == ["P01_t1", "P01_t1_corrected"]


def test_cases_that_were_closed_are_not_kept_in_memory(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    for number in (2, 3, 4, 1):
        dock.host.go(f"P{number - 1:02d}_t1")
        at(qtbot, dock, number)
    qtbot.wait(200)
    gc.collect()
    assert len(dock.host.findChildren(CorrectedLayer)) == 1


def test_undo_after_a_blank_start_brings_no_models_mask_back(viewer, qtbot, tmp_path):
    dock, held = held_case(viewer, qtbot, tmp_path)
    say(qtbot, dock, held, dock.case_bar.truth.model, "from_model")
    run(qtbot, dock)
    rested(qtbot, dock)
    say(qtbot, dock, held, dock.case_bar.truth.blank, "blank_start")
    dock.host.corrected.undo()
    assert not dock.host.corrected.corrections.mask.any()


def test_a_stroke_on_a_blank_truth_after_a_model_was_run_is_noted(viewer, qtbot, tmp_path):
    dock, _ = held_case(viewer, qtbot, tmp_path)
    paint(dock, np.s_[2:3, 2:3, 2:3])
    dock.case_bar.decide("accepted")
    run(qtbot, dock)
    qtbot.waitUntil(lambda: bool(dock.host.case.model), timeout=5000)
    assert dock.host.case.truth_from == "blank_start"
    dock.case_bar.menu.acts["Undo the last move"].trigger()
    paint(dock, np.s_[2:3, 3:4, 2:3])
    assert dock.host.case.truth_from == "from_model" and any("noted with the truth" in text for text in messages())


def test_a_rejected_case_for_judging_does_not_show_its_given_mask(viewer, qtbot, tmp_path):
    dock, held = held_case(viewer, qtbot, tmp_path, masks=True)
    dock.host.set_status([held.id], "rejected")
    dock.host.go(held.id)
    at(qtbot, dock, held.number)
    assert not dock.host.corrected.corrections.mask.any()


def test_from_a_mask_begins_with_the_given_one(viewer, qtbot, tmp_path):
    dock, held = held_case(viewer, qtbot, tmp_path, masks=True)
    assert not dock.host.corrected.corrections.mask.any()
    say(qtbot, dock, held, dock.case_bar.truth.model, "from_model")
    assert dock.host.corrected.corrections.mask.sum() == 216


def test_a_blank_start_reopens_an_accepted_case(viewer, qtbot, tmp_path):
    dock, held = held_case(viewer, qtbot, tmp_path)
    say(qtbot, dock, held, dock.case_bar.truth.model, "from_model")
    paint(dock, np.s_[2:6, 2:6, 2:6])
    dock.case_bar.decide("accepted")
    say(qtbot, dock, held, dock.case_bar.truth.blank, "blank_start")
    assert dock.host.case.status == "in_review" and not dock.host.corrected.corrections.mask.any()


def test_painting_on_an_accepted_case_takes_the_acceptance_back(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    accept_as_empty(qtbot, dock)
    paint(dock, np.s_[2:6, 2:6, 2:6])
    assert dock.host.case.status == "corrected"


def test_a_conflict_met_when_leaving_keeps_both_masks(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    path = dock.host.work.folder / "corrected.zarr.zip"
    stored = load_store(path)
    paint(dock, np.s_[2:4, 2:4, 2:4])
    save_store(replace(stored, data=np.full_like(stored.data, 3)), path)
    dock.host.step(1)
    at(qtbot, dock, 2)
    qtbot.waitUntil(lambda: bool(dock.host.keeper.conflicts), timeout=5000)
    dock.case_bar.refresh()
    (mine,) = path.parent.glob("mine-1-*")
    assert load_store(mine).data.sum() == 8 and (load_store(path).data == 3).all()
    assert any(mine.name in text for text in messages()) and dock.case_bar.menu.acts["Save anyway"].isVisible()
    dock.case_bar.menu.acts["Save anyway"].trigger()
    rested(qtbot, dock)
    assert load_store(path).data.sum() == 8
    dock.host.step(-1)
    at(qtbot, dock, 1)
    assert dock.host.corrected.corrections.mask.sum() == 8


def test_a_window_that_was_taken_over_writes_no_stroke(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    folder = dock.host.work.folder
    with Project.open(tmp_path / "study", reader="ZZ", take_over=True):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        paint(dock, np.s_[2:4, 2:4, 2:4])
        assert any("took this project over" in text for text in messages())
        assert not np.asarray(dock.host.corrected.layer.data).any() and not dock.host.corrected.layer.editable
        run(qtbot, dock)
        dock.host.keeper.save()
        rested(qtbot, dock)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_who_only_looks_writes_the_report_elsewhere(viewer, qtbot, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: shown.append(url.toLocalFile()))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(tmp_path / "out"))
    study(tmp_path, 2).close()
    before = {path.name for path in (tmp_path / "study").iterdir()}
    dock = add_dock(viewer, FakeEngine())
    dock.host.take(Project.open(tmp_path / "study", reader="AB", read_only=True))
    qtbot.waitUntil(lambda: dock.host.layers is not None, timeout=20000)
    dock.case_bar.menu.acts["Report"].trigger()
    qtbot.waitUntil(lambda: bool(shown), timeout=20000)
    assert shown == [str(tmp_path / "out" / "report.html")]
    assert {path.name for path in (tmp_path / "study").iterdir()} == before


def test_a_prediction_of_another_project_is_not_recorded(viewer, qtbot, tmp_path, monkeypatch):
    first = study(tmp_path, 2)
    (tmp_path / "b").mkdir()
    second = study(tmp_path / "b", 2)
    dock = add_dock(viewer, FakeEngine(steps=6, seconds=0.3))
    dock.host.take(first)
    at(qtbot, dock, 1)
    qtbot.waitUntil(lambda: dock.ahead.case == "P01_t1", timeout=10000)
    dock.session.engine.pace.set()
    finish = dock.host.keeper.writes.finish
    monkeypatch.setattr(dock.host.keeper.writes, "finish", lambda: (dock.ahead.runner.join(10), finish()))
    dock.ahead.enabled = False
    dock.host.take(second)
    at(qtbot, dock, 1)
    qtbot.wait(300)
    assert dock.host.project is second and not second.case("P01_t1").model


def read_twice(viewer, qtbot, tmp_path):
    """A case that CD has read blind and submitted, open before a third reader."""
    dock = opened(viewer, qtbot, study(tmp_path, 2))
    dock.host.project.ask_second_reader("P00_t1", "CD")
    as_reader(qtbot, dock, tmp_path, "CD")
    paint(dock, np.s_[2:6, 3:9, 4:6], 2)
    dock.host.submit()
    qtbot.waitUntil(lambda: not dock.host.blind, timeout=10000)
    as_reader(qtbot, dock, tmp_path, "EF")
    return dock


def test_readers_masks_that_come_after_the_dialog_was_closed_are_not_shown(viewer, qtbot, tmp_path):
    dock = read_twice(viewer, qtbot, tmp_path)
    acts = dock.case_bar.acts
    dock.case_bar.adjudicate()
    acts.adjudicating.reader.join()
    acts.adjudicating.reject()
    qtbot.wait(500)
    assert not [layer.name for layer in viewer.layers if layer.name.startswith("CD")]


def test_a_case_whose_final_mask_was_chosen_is_not_kept_in_memory(viewer, qtbot, tmp_path):
    dock = read_twice(viewer, qtbot, tmp_path)
    dock.case_bar.menu.acts["Whose mask is final…"].trigger()
    qtbot.waitUntil(lambda: bool(dock.case_bar.acts.adjudicating.layers), timeout=10000)
    scan, corrections = weakref.ref(dock.host.work.scan), weakref.ref(dock.host.work.corrections)
    dock.host.go("P01_t1")
    at(qtbot, dock, 2)
    qtbot.wait(300)
    gc.collect()
    assert scan() is None and corrections() is None


def test_a_run_on_an_accepted_case_leaves_the_accepted_mask(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    accept_as_empty(qtbot, dock)
    run(qtbot, dock)
    rested(qtbot, dock)
    assert dock.host.case.model and not dock.host.corrected.corrections.mask.any()
    dock.host.step(1)
    at(qtbot, dock, 2)
    dock.host.step(-1)
    at(qtbot, dock, 1)
    assert dock.host.case.status == "accepted" and not dock.host.corrected.corrections.mask.any()
    stage, final = load_masks(dock.host.project, dock.host.case).final
    assert stage == "corrected" and not final.any()


@pytest.mark.parametrize("then", ["next", "close"])
def test_a_blank_start_is_one_whatever_is_pressed_next(viewer, qtbot, tmp_path, then):
    dock, held = held_case(viewer, qtbot, tmp_path)
    say(qtbot, dock, held, dock.case_bar.truth.model, "from_model")
    run(qtbot, dock)
    rested(qtbot, dock)
    paint(dock, np.s_[2:3, 2:3, 2:3], 2)
    press(qtbot, dock.case_bar.truth.blank)
    if then == "close":
        dock.host.close_project()
        dock.host.take(Project.open(tmp_path / "study", reader="AB"))
    else:
        dock.host.step(-1 if held.number == 2 else 1)
        at(qtbot, dock, 3 - held.number)
        dock.host.go(held.id)
    at(qtbot, dock, held.number)
    assert dock.host.case.truth_from == "blank_start" and not dock.host.corrected.corrections.mask.any()


def test_who_asks_the_own_name_reads_blind_from_then_on(viewer, qtbot, tmp_path, monkeypatch):
    dock = opened(viewer, qtbot, study(tmp_path))
    paint(dock, np.s_[2:3, 2:3, 2:3], 2)
    as_reader(qtbot, dock, tmp_path, "CD")
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("CD", True))
    dock.case_bar.truth.asked.emit()
    qtbot.waitUntil(lambda: dock.host.work is not None and dock.host.work.blind, timeout=10000)
    assert not dock.host.corrected.corrections.mask.any() and "reader-" in str(dock.host.work.folder)


def test_a_conflict_is_over_when_the_case_is_opened_again_or_the_project_closed(viewer, qtbot, tmp_path):
    dock = opened(viewer, qtbot, study(tmp_path))
    path = dock.host.work.folder / "corrected.zarr.zip"
    stored = load_store(path)
    paint(dock, np.s_[2:4, 2:4, 2:4])
    save_store(replace(stored, data=np.full_like(stored.data, 3)), path)
    dock.host.step(1)
    at(qtbot, dock, 2)
    qtbot.waitUntil(lambda: bool(dock.host.keeper.conflicts), timeout=5000)
    dock.host.go("P00_t1")
    at(qtbot, dock, 1)
    assert not dock.host.keeper.conflicts
    paint(dock, np.s_[10:14, 10:14, 10:14], 5)
    dock.host.keeper.save()
    rested(qtbot, dock)
    assert (load_store(path).data == 5).sum() == 64 and not dock.host.corrected.corrections.dirty
