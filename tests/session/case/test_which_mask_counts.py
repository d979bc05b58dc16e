"""Which mask of a case counts: opening it shows the one that report, export and learning take."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from napari_morse.io import open_scan
from napari_morse.io.mask_store import pixel_digest
from napari_morse.session.case.masks import load_masks
from napari_morse.session.case.open_case import OpenCaseRequest
from napari_morse.session.case.prediction_store import keep_prediction, record_of
from napari_morse.session.project import Project, from_folders
from napari_morse.types import Roi
from tests.fakes import make_prediction
from tests.project_cases import SHAPE, box, nifti

STROKE = Roi((9, 0, 0), (11, 2, 2))
HISTORIES = list(
    product((False, True), (None, "before", "after"), (None, "untouched", "touched"), (None, "accepted", "rejected"))
)
"""Came with a mask · predicted before or after it was decided on · corrected · decided."""


def name(value):
    return "-".join(str(part) for part in value)


def predict(project, case, scan):
    prediction = make_prediction(scan, (2.0, 3.0))
    keep_prediction(prediction, pixel_digest(scan.data), project.folder_of(case))
    project.record_prediction(case, record_of(prediction, scan))


def lived(folder, given, predicted, corrected, decided, share):
    """A project with a case of such a history; with a ``share``, one that is held out."""
    for seed, stem in enumerate("ab"):
        nifti(folder / "scans" / f"{stem}.nii.gz", np.random.default_rng(seed).normal(100, 9, SHAPE).astype(np.float32))
        if given:
            nifti(folder / "masks" / f"{stem}.nii.gz", box(3))
    sources = from_folders(folder / "scans", folder / "masks" if given else None)
    project = Project.create(folder / "study", sources, name="x", reader="AB", holdout_share=share)
    case = next(case.id for case in project.cases() if case.held_out == bool(share))
    scan = open_scan(project.scan_of(case))
    if predicted == "before":
        predict(project, case, scan)
    if corrected:
        opened = OpenCaseRequest.of(project, case, "recover").run()
        if corrected == "touched":
            opened.corrections.apply(STROKE, 2, "stroke")
            project.set_status([case], "corrected")
        opened.corrections.checkpoint()
    if decided:
        if project.case(case).status == "new":
            project.set_status([case], "in_review")
        project.set_status([case], decided)
    if predicted == "after":
        predict(project, case, scan)
    return project, case


@pytest.mark.parametrize("history", HISTORIES, ids=name)
def test_opening_a_case_shows_the_mask_that_report_and_learning_take(tmp_path, history):
    project, case = lived(tmp_path, *history, share=0.0)
    with project:
        final = load_masks(project, project.case(case)).final
        taken = np.zeros(SHAPE, np.uint8) if final is None else final[1]
        shown = OpenCaseRequest.of(project, case, "recover").run().corrections.mask
        np.testing.assert_array_equal(shown, taken)
        if history[2] == "touched":
            assert (taken[STROKE.slices] == 2).all(), "a person's stroke does not count"


@pytest.mark.parametrize("decided", [None, "accepted"])
@pytest.mark.parametrize("corrected", ["untouched", "touched"])
def test_of_a_truth_that_was_opened_blank_the_blank_mask_counts(tmp_path, corrected, decided):
    project, case = lived(tmp_path, False, "before", corrected, decided, share=0.5)
    with project:
        assert project.case(case).held_out
        _, taken = load_masks(project, project.case(case)).final
        shown = OpenCaseRequest.of(project, case, "recover").run().corrections.mask
        np.testing.assert_array_equal(shown, taken)
        assert np.count_nonzero(taken) == (taken[STROKE.slices].size if corrected == "touched" else 0)
