"""What a model said of a case is kept, and shown again as it was; half of it is nothing."""

from __future__ import annotations

from dataclasses import fields, replace

import nibabel as nib
import numpy as np
import pytest

from napari_morse.io import open_scan
from napari_morse.io.mask_store import load_store, pixel_digest
from napari_morse.session.case.open_case import OpenCaseRequest
from napari_morse.session.case.prediction_store import (
    keep_prediction,
    kept_prediction,
    record_of,
)
from napari_morse.session.case_files import COARSE, DOUBT, PREDICTION, RENDERED
from napari_morse.session.edits import Corrections, put_aside
from napari_morse.types import Mask, Roi
from tests.fakes import make_prediction, make_scan


@pytest.fixture
def scan():
    return make_scan()


@pytest.fixture
def said(scan):
    found = make_prediction(scan)
    return replace(found, roi=Roi((1, 2, 3), (9, 9, 9)), warnings=("The grey levels are odd.",))


@pytest.fixture
def digest(scan):
    return pixel_digest(scan.data)


@pytest.fixture
def case(tmp_path, scan):
    """A case whose scan can be read, and a prediction of it in its folder."""
    path = tmp_path / "case.nii.gz"
    nib.save(nib.Nifti1Image(scan.data, scan.grid.affine), path)
    folder = tmp_path / "case"
    folder.mkdir()
    opened = open_scan(path)
    keep_prediction(make_prediction(opened), pixel_digest(opened.data), folder)
    return OpenCaseRequest("case", path, None, folder)


def test_a_prediction_comes_back_whole(scan, said, digest, tmp_path):
    keep_prediction(said, digest, tmp_path)
    found = kept_prediction(scan, digest, tmp_path)
    for name in ("coarse", "rendered"):
        np.testing.assert_array_equal(getattr(found, name).data, getattr(said, name).data)
        assert getattr(found, name).labels == said.rendered.labels
    assert np.abs(found.uncertainty - said.uncertainty).max() <= 0.5 / 255 + 1e-6
    assert (found.model, found.digest, found.roi, found.warnings) == (said.model, said.digest, said.roi, said.warnings)
    for part in ("points", "patches"):
        for field in fields(getattr(said, part)):
            ours, theirs = getattr(getattr(found, part), field.name), getattr(getattr(said, part), field.name)
            np.testing.assert_array_equal(ours, theirs)
            assert getattr(ours, "dtype", None) == getattr(theirs, "dtype", None)
    assert record_of(found, scan) == record_of(said, scan)


def test_what_was_half_written_or_is_of_another_scan_or_run_is_nothing(scan, said, digest, tmp_path):
    assert kept_prediction(scan, digest, tmp_path) is None
    keep_prediction(said, digest, tmp_path)
    assert kept_prediction(scan, "0" * 64, tmp_path) is None
    other = replace(said, coarse=Mask(np.zeros_like(said.coarse.data), said.coarse.grid, said.coarse.labels))
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    keep_prediction(other, digest, elsewhere)
    kept = (tmp_path / COARSE).read_bytes()
    (tmp_path / COARSE).write_bytes((elsewhere / COARSE).read_bytes())
    assert kept_prediction(scan, digest, tmp_path) is None
    (tmp_path / COARSE).write_bytes(kept)
    assert kept_prediction(scan, digest, tmp_path) is not None
    for name in (COARSE, RENDERED, DOUBT, PREDICTION):
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(kept[: len(kept) // 2])
        assert kept_prediction(scan, digest, tmp_path) is None
        (tmp_path / name).unlink()
        assert kept_prediction(scan, digest, tmp_path) is None
        (tmp_path / name).write_bytes(kept)


def test_no_name_is_in_what_is_kept(scan, said, digest, tmp_path):
    keep_prediction(said, digest, tmp_path)
    for name in (COARSE, RENDERED, DOUBT, PREDICTION):
        assert b"case.nii" not in (tmp_path / name).read_bytes()


def test_a_case_opens_with_what_was_kept_and_begins_from_the_rendered_mask(case):
    work = case.run()
    assert work.prediction is not None and work.record == record_of(work.prediction, work.scan)
    np.testing.assert_array_equal(work.corrections.mask, work.prediction.rendered.data)
    assert work.labels == work.prediction.rendered.labels and work.corrections.undoable == 0
    known = replace(case, model_digest=work.prediction.digest).run()
    assert known.record is None


def test_a_truth_that_is_made_from_nothing_shows_nothing(case):
    work = replace(case, blank=True).run()
    assert work.prediction is None and not work.corrections.mask.any()
    assert not replace(case, blank=True).run().corrections.mask.any()


def test_a_mask_that_was_opened_empty_begins_from_what_was_predicted_since(case, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    assert not replace(case, folder=folder).run().corrections.mask.any()
    opened = open_scan(case.scan)
    keep_prediction(make_prediction(opened), pixel_digest(opened.data), folder)
    work = replace(case, folder=folder).run()
    np.testing.assert_array_equal(work.corrections.mask, work.prediction.rendered.data)
    assert work.corrections.untouched
    assert not list(folder.glob("*aside*"))


def test_a_given_mask_goes_before_a_models_and_an_empty_one_is_a_mask(case, tmp_path):
    given = tmp_path / "given.nii.gz"
    data = np.zeros((20, 24, 16), np.uint8)
    nib.save(nib.Nifti1Image(data, open_scan(case.scan).grid.affine), given)
    for _ in range(2):
        assert not replace(case, mask=given).run().corrections.mask.any()


def test_a_blank_start_keeps_what_was_there_aside_and_out_of_undo(case):
    work = case.run()
    work.corrections.diff(np.ones_like(work.corrections.mask), None, "fill")
    work.corrections.checkpoint()
    put_aside(case.folder)
    fresh = replace(case, blank=True).run()
    assert not fresh.corrections.mask.any() and fresh.corrections.untouched
    (aside,) = case.folder.glob("corrected*aside*")
    assert load_store(aside).data.all()
    again = replace(case, blank=True).run()
    assert not again.corrections.mask.any() and again.corrections.untouched


def test_who_reads_blind_is_shown_and_given_nothing(case):
    work = replace(case, blind=True).run()
    assert work.prediction is None and not work.corrections.mask.any()


def test_what_a_person_did_is_never_replaced(case):
    work = case.run()
    work.corrections.diff(np.zeros_like(work.corrections.mask), None, "fill")
    work.corrections.checkpoint()
    again = case.run()
    assert not again.corrections.mask.any() and again.corrections.undoable == 1
    again.corrections.undo()
    again.corrections.checkpoint()
    once_more = case.run()
    assert once_more.corrections.mask.any() and once_more.corrections.redoable == 1


def test_the_chosen_readers_mask_is_shown_and_not_corrected(case, tmp_path):
    folder = tmp_path / "reader"
    folder.mkdir()
    mask = np.zeros((20, 24, 16), np.uint8)
    mask[3:6, 3:6, 3:6] = 2
    corrections = Corrections.open(folder, mask, "0")
    corrections.checkpoint()
    work = replace(case, chosen_mask=folder / "corrected.zarr.zip").run()
    assert work.corrections is None
    np.testing.assert_array_equal(work.view_only_mask.data, load_store(folder / "corrected.zarr.zip").data)
