"""Save saves my work: the corrected mask first, on the scan's grid, from each tab and from napari's own menu."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QMessageBox

import napari_morse
from napari_morse.io import open_mask, open_scan
from napari_morse.session.project import Project
from napari_morse.widgets.case import save_box
from tests.layer_cases import affine_of, write_nifti
from tests.widgets.conftest import add_scan
from tests.widgets.contributions.test_viewer import plugin  # noqa: F401 (a fixture)
from tests.widgets.project.test_more import opened, paint, study
from tests.widgets.segment.test_dock_run import press
from tests.widgets.segment.test_result_box import run_through


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(save_box, "_LAST", [])


@pytest.fixture
def scan(viewer, dock, tmp_path):
    """An oblique one from a file, in an axis order that is not the viewer's."""
    data = np.random.default_rng(0).normal(100, 10, (20, 24, 16)).astype(np.float32)
    found = open_scan(write_nifti(tmp_path / "case.nii.gz", data, affine_of("PIR", angle=17.0)))
    add_scan(viewer, found)
    return found


def correct(qtbot, dock, box=np.s_[2:4, 3:7, 5:6]):
    """Begin with the button, and paint."""
    dock.tabs.setCurrentIndex(2)
    press(qtbot, dock.correct.begin)
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None, timeout=10000)
    corrected = dock.active_case.corrected
    corrected.layer.data[box] = 2
    corrected.compare()
    return corrected


def save(qtbot, box, folder, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    press(qtbot, box.button)
    qtbot.waitUntil(lambda: not box.runner.busy and box.button.isEnabled(), timeout=20000)


def check(path, scan, corrections):
    """The file holds the mask as corrected, where the scan lies, and opens again as a mask."""
    saved, source = nib.load(path), nib.load(scan.source)
    np.testing.assert_array_equal(saved.affine, source.affine)
    np.testing.assert_array_equal(np.asarray(saved.dataobj), corrections.mask)
    assert saved.header.get_sform(coded=True)[1] == source.header.get_sform(coded=True)[1]
    np.testing.assert_array_equal(open_mask(path).data, corrections.mask)


@pytest.mark.parametrize("tab", ["segment", "correct"])
def test_the_corrected_mask_is_saved_first_beside_the_model_s(dock, scan, tab, qtbot, tmp_path, monkeypatch):
    run_through(qtbot, dock)
    corrected = correct(qtbot, dock)
    box = dock.correct.save if tab == "correct" else dock.segment.results.save
    dock.tabs.setCurrentIndex(0 if tab == "segment" else 2)
    save(qtbot, box, tmp_path / "out", monkeypatch)
    check(tmp_path / "out" / "case_corrected.nii.gz", scan, corrected.corrections)
    told = box.saved.text()
    names = [
        "case_corrected.nii.gz",
        "case_coarse.nii.gz",
        "case_rendered.nii.gz",
        "case_points.csv",
        "case_patches.csv",
    ]
    assert told.startswith(f"Saved {', '.join(names)}"), told
    assert {p.name for p in (tmp_path / "out").iterdir()} == set(names)
    rendered = np.asarray(nib.load(tmp_path / "out" / "case_rendered.nii.gz").dataobj)
    np.testing.assert_array_equal(rendered, dock.session.result.rendered.data)
    assert not np.array_equal(rendered, corrected.corrections.mask)


def test_a_mask_that_no_model_made_is_saved_too(dock, scan, qtbot, tmp_path, monkeypatch):
    dock.tabs.setCurrentIndex(2)
    press(qtbot, dock.correct.save.button)
    assert "no mask of this scan yet" in dock.correct.save.saved.text()
    corrected = correct(qtbot, dock)
    save(qtbot, dock.correct.save, tmp_path / "out", monkeypatch)
    check(tmp_path / "out" / "case_corrected.nii.gz", scan, corrected.corrections)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["case_corrected.nii.gz"]


def test_strokes_drawn_while_it_is_written_are_not_half_in_the_file(dock, scan, qtbot, tmp_path, monkeypatch):
    corrected = correct(qtbot, dock)
    before = corrected.corrections.mask.copy()
    what = dock.segment.to_save()
    corrected.layer.data[10:12, 3:7, 5:6] = 1
    corrected.compare()
    dock.correct.save.save_into(what, tmp_path / "out")
    qtbot.waitUntil(dock.correct.save.button.isEnabled, timeout=20000)
    saved = np.asarray(nib.load(tmp_path / "out" / "case_corrected.nii.gz").dataobj)
    np.testing.assert_array_equal(saved, before)


def test_an_earlier_corrected_mask_is_replaced_only_when_the_person_says_so(dock, scan, qtbot, tmp_path, monkeypatch):
    there = tmp_path / "case_corrected.nii.gz"
    there.write_text("a week of corrections")
    asked = []

    def question(*given):
        asked.append(given)
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", question)
    correct(qtbot, dock)
    save(qtbot, dock.correct.save, tmp_path, monkeypatch)
    assert there.read_text() == "a week of corrections" and "case_corrected.nii.gz" in asked[0][2]
    assert asked[0][4] == QMessageBox.StandardButton.No, "Enter keeps what is there"
    assert dock.correct.save.saved.text() == ""


def test_the_folder_is_remembered_and_is_never_the_installed_package(viewer, dock, qtbot, tmp_path, monkeypatch, scan):
    begun = []
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *given: begun.append(Path(given[2])) or "")
    correct(qtbot, dock)
    press(qtbot, dock.correct.save.button)
    assert begun[-1] == tmp_path
    sample = Path(napari_morse.__file__).parent / "sample_data" / "colin27_left_hippocampus.nii.gz"
    assert save_box.start_folder(sample) == Path.home() == save_box.start_folder(None)
    save(qtbot, dock.correct.save, tmp_path / "out", monkeypatch)
    assert save_box.start_folder(sample) == tmp_path / "out"


def napari_s_own_save(qtbot, viewer, folder, monkeypatch):
    """File ▸ Save Selected Layers: what the dialog offers; then its first kind, under the name that it proposes."""
    offered = []

    def dialog(*given, **more):
        offered.append((Path(given[2]).name, more["filter"].split(";;")))
        return str(folder / offered[-1][0]), offered[-1][1][0]

    monkeypatch.setattr(QFileDialog, "getSaveFileName", staticmethod(dialog))
    window = viewer.window._qt_window
    acts = next(act.menu() for act in window.menuBar().actions() if act.text().replace("&", "") == "File").actions()
    next(act for act in acts if act.text().startswith("Save Selected Layer")).trigger()
    return offered[-1]


@pytest.mark.parametrize("which", ["corrected", "rendered"])
def test_napari_s_own_menu_offers_nifti_on_the_scan_s_grid_first(
    plugin, viewer, dock, scan, which, qtbot, tmp_path, monkeypatch  # noqa: F811
):  # fmt: skip
    run_through(qtbot, dock)
    corrected = correct(qtbot, dock)
    layer = corrected.layer if which == "corrected" else dock.comparison.shown.rendered
    viewer.layers.selection.active = layer
    name, kinds = napari_s_own_save(qtbot, viewer, tmp_path, monkeypatch)
    assert name == f"case_{which}" and kinds[0].startswith("MORSE NIfTI mask") and any(".tif" in kind for kind in kinds)
    saved, source = nib.load(tmp_path / f"case_{which}.nii.gz"), nib.load(scan.source)
    np.testing.assert_array_equal(saved.affine, source.affine)
    wanted = corrected.corrections.mask if which == "corrected" else dock.session.result.rendered.data
    np.testing.assert_array_equal(np.asarray(saved.dataobj), wanted)


def test_several_layers_are_offered_as_nifti_files_too(
    plugin, viewer, dock, scan, qtbot, tmp_path, monkeypatch  # noqa: F811
):  # fmt: skip
    run_through(qtbot, dock)
    corrected = correct(qtbot, dock)
    shown = dock.comparison.shown
    viewer.layers.selection = {dock.segment.scans.layer, corrected.layer, shown.coarse, shown.rendered, shown.points}
    _, kinds = napari_s_own_save(qtbot, viewer, tmp_path / "new", monkeypatch)
    assert kinds[0].startswith("MORSE NIfTI files in a folder"), kinds
    (folder,) = (tmp_path / "new").iterdir()
    names = {p.name: p for p in folder.iterdir()}
    masks = {n: names.pop(f"case_{n}.nii.gz") for n in ("corrected", "coarse", "rendered")}
    assert set(names) == {"case.nii.gz", f"{shown.points.name}.csv"}
    result = dock.session.result
    for name, wanted in (
        ("corrected", corrected.corrections.mask), ("coarse", result.coarse.data), ("rendered", result.rendered.data)
    ):  # fmt: skip
        saved = nib.load(masks[name])
        np.testing.assert_array_equal(saved.affine, nib.load(scan.source).affine)
        np.testing.assert_array_equal(np.asarray(saved.dataobj), wanted)


def test_napari_s_own_menu_does_not_write_over_the_scan(
    plugin, viewer, dock, scan, qtbot, tmp_path  # noqa: F811
):  # fmt: skip
    before = scan.source.read_bytes()
    for layer in (correct(qtbot, dock).layer, dock.segment.scans.layer):
        viewer.layers.selection.active = layer
        with pytest.raises(Exception, match="never written over"):
            layer.save(str(scan.source), plugin="napari-morse")
        assert scan.source.read_bytes() == before


def test_the_mask_of_a_decided_case_is_saved_though_it_is_only_looked_at(viewer, qtbot, tmp_path, monkeypatch):
    project = study(tmp_path, 2)
    dock = opened(viewer, qtbot, project)
    paint(dock, np.s_[3:6, 4:9, 5:7])
    painted = np.array(dock.host.corrected.corrections.mask)
    dock.host.close_project()
    dock.host.take(Project.open(tmp_path / "study", read_only=True))
    qtbot.waitUntil(lambda: dock.host.layers is not None and dock.host.layers.mask is not None, timeout=20000)
    assert dock.host.corrected is None and dock.active_case.corrected is None
    dock.tabs.setCurrentIndex(2)
    save(qtbot, dock.correct.save, tmp_path / "out", monkeypatch)
    saved = np.asarray(nib.load(tmp_path / "out" / "P00_t1_corrected.nii.gz").dataobj)
    np.testing.assert_array_equal(saved, painted)
    assert painted.any()
