"""The numbers of a result stand under its own scan only, and both masks can be kept as files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_morse.io import open_scan
from napari_morse.widgets.bridge import display_axes
from tests.fakes import make_scan
from tests.layer_cases import affine_of, write_nifti
from tests.widgets.conftest import add_scan


def run_through(qtbot, dock):
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        qtbot.mouseClick(dock.segment.run_bar.run, Qt.MouseButton.LeftButton)


@pytest.fixture
def case(viewer, dock, qtbot, tmp_path):
    data = np.random.default_rng(0).normal(100, 10, (20, 24, 16)).astype(np.float32)
    scan = open_scan(write_nifti(tmp_path / "case.nii.gz", data, affine_of("PIR", angle=17.0)))
    add_scan(viewer, scan)
    run_through(qtbot, dock)
    return scan


def save(qtbot, dock, folder, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    box = dock.segment.results.save
    qtbot.mouseClick(box.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not box.runner.busy and box.button.isEnabled(), timeout=20000)


def test_numbers_of_another_scan_are_not_shown(viewer, dock, qtbot):
    first = add_scan(viewer, make_scan())
    run_through(qtbot, dock)
    box = dock.segment.results
    assert box.isVisible() and box.caption.whole == "case, by fake-3d"
    add_scan(viewer, make_scan(stem="other", seed=2))
    dock.segment.scans.combo.setCurrentIndex(1)
    assert not box.isVisible()
    dock.segment.scans.combo.setCurrentIndex(0)
    assert box.isVisible()
    viewer.layers.remove(first)
    assert not box.isVisible()


def test_masks_are_saved_with_corrections_on_the_scans_own_grid(viewer, dock, case, qtbot, tmp_path, monkeypatch):
    rendered = dock.comparison.shown.rendered
    rendered.data[2, 3, 4] = 1
    save(qtbot, dock, tmp_path / "out", monkeypatch)
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"case_coarse.nii.gz", "case_rendered.nii.gz", "case_points.csv", "case_patches.csv"}
    saved = nib.load(tmp_path / "out" / "case_rendered.nii.gz")
    np.testing.assert_array_equal(saved.affine, nib.load(tmp_path / "case.nii.gz").affine)
    np.testing.assert_array_equal(np.asarray(saved.dataobj), display_axes(case).to_storage(rendered.data))
    assert str(tmp_path / "out") in dock.segment.results.save.saved.text()


@pytest.mark.parametrize("answer", ["No", "Yes"])
def test_files_in_the_way_are_replaced_only_when_the_person_says_so(dock, case, qtbot, tmp_path, monkeypatch, answer):
    (tmp_path / "case_rendered.nii.gz").write_text("a week of corrections")
    monkeypatch.setattr(QMessageBox, "question", lambda *_: getattr(QMessageBox.StandardButton, answer))
    original = (tmp_path / "case.nii.gz").read_bytes()
    save(qtbot, dock, tmp_path, monkeypatch)
    kept = (tmp_path / "case_rendered.nii.gz").read_bytes() == b"a week of corrections"
    assert kept == (answer == "No")
    assert (tmp_path / "case_coarse.nii.gz").exists() == (answer == "Yes")
    assert (tmp_path / "case.nii.gz").read_bytes() == original


def test_a_folder_that_cannot_be_made_is_a_sentence(dock, case, qtbot, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    save(qtbot, dock, tmp_path / "file" / "out", monkeypatch)
    assert "cannot be made. Choose a folder" in notification_manager.records[-1].message
    assert dock.segment.results.save.saved.text() == ""


def test_the_original_is_never_written_over(dock, case, qtbot, tmp_path, monkeypatch):
    target = tmp_path / "case_coarse.nii.gz"
    Path(tmp_path / "case.nii.gz").rename(target)
    before = target.read_bytes()
    dock.session.result_scan = replace(case, source=target)
    dock.session.scan = dock.session.result_scan
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    save(qtbot, dock, tmp_path, monkeypatch)
    assert target.read_bytes() == before
