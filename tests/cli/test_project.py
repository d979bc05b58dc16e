"""``napari-morse project``: new, status, report, export."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_morse.cli.main import app
from napari_morse.errors import InputError
from napari_morse.io import open_mask
from napari_morse.io.mask_store import StoredMask, save_store
from napari_morse.session.project import PredictionRecord, Project
from tests.project_cases import box, nifti, scans, tamper


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")

    def invoke(*arguments, code=0):
        result = CliRunner().invoke(app, ["project", *map(str, arguments)])
        assert result.exit_code == code, result.output
        return result.output

    return invoke


def refused(run, *arguments):
    result = CliRunner().invoke(app, ["project", *map(str, arguments)])
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


def listed(run, folder):
    return json.loads(run("status", folder, "--json"))


def test_a_project_is_made_of_a_folder_and_its_state_shown(run, tmp_path):
    scans(tmp_path / "in", 5, 2)
    said = run("new", tmp_path / "study", "--scans", tmp_path / "in", "--pattern", r"(p\d+)_", "--reader", "AB")
    assert said == "10 cases of 5 patients; 1 patients are held out.\n"
    said = listed(run, tmp_path / "study")
    assert said["name"] == "study"
    assert said["counts"]["new"] == 10
    assert said["audit"] == ""
    assert sorted({case["patient"] for case in said["cases"]}) == ["p0", "p1", "p2", "p3", "p4"]
    shown = run("status", tmp_path / "study")
    assert "study: 10 new\nThe audit trail is whole.\n" in shown
    assert shown.count("yes") == 2


def test_lists_bids_and_their_options(run, tmp_path):
    folder = scans(tmp_path / "in", 3, 1)
    (tmp_path / "l.csv").write_text("scan,patient\nin/p0_0.nii.gz,X\nin/p1_0.nii.gz,X\nin/p2_0.nii.gz,\n")
    said = run(
        "new", tmp_path / "a", "--list", tmp_path / "l.csv", "--name", "Hips", "--reader", "AB", "--holdout", 0.5
    )
    assert "3 cases of 2 patients; 1 patients are held out." in said
    assert "Of 1 cases nobody says whose they are" in said
    assert listed(run, tmp_path / "a")["name"] == "Hips"
    (tmp_path / "bids" / "sub-1" / "anat").mkdir(parents=True)
    for kind in ("T1w", "T2w"):
        (tmp_path / "bids" / "sub-1" / "anat" / f"sub-1_{kind}.nii.gz").write_bytes(kind.encode())
    run("new", tmp_path / "b", "--bids", tmp_path / "bids", "--kind", "T1w", "--reader", "AB")
    assert [case["id"] for case in listed(run, tmp_path / "b")["cases"]] == ["sub-1_T1w"]
    (tmp_path / "p.csv").write_text("case,patient\np0_0,A\np1_0,B\np2_0,A\n")
    run("new", tmp_path / "c", "--scans", folder, "--patients", tmp_path / "p.csv", "--masks", folder)
    assert [case["patient"] for case in listed(run, tmp_path / "c")["cases"]] == ["A", "B", "A"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "Say once where the scans are"),
        (("--scans", "in", "--bids", "in"), "Say once"),
        (("--list", "l.txt", "--masks", "in"), "--masks and --truth go with --scans"),
        (("--scans", "in", "--kind", "T1w"), "--kind goes with --bids"),
        (("--scans", "nowhere"), "no folder"),
        (("--scans", "in", "--pattern", "("), "no pattern"),
        (("--scans", "in", "--holdout", "1.5"), "can't be held out"),
    ],
)
def test_what_cannot_be_made_is_one_sentence_and_makes_nothing(run, tmp_path, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    scans(tmp_path / "in", 1, 1)
    assert sentence in refused(run, "new", "study", "--reader", "AB", *options)
    assert not (tmp_path / "study").exists()


def test_status_sorts_by_doubt_and_looks_while_a_window_is_open(run, tmp_path):
    scans(tmp_path / "in", 3, 1)
    run("new", tmp_path / "study", "--scans", tmp_path / "in", "--reader", "AB")
    with Project.open(tmp_path / "study", reader="AB") as project:
        for case, doubt in (("p1_0", 5.0), ("p2_0", 9.0)):
            project.record_prediction(case, PredictionRecord("m", "d", doubt, 1.0, {}))
        said = json.loads(run("status", tmp_path / "study", "--json", "--sort", "doubt"))
        assert [case["id"] for case in said["cases"]] == ["p2_0", "p1_0", "p0_0"]
        assert "9.0" in run("status", tmp_path / "study")


def test_a_trail_that_was_tampered_with_is_said_and_is_an_error(run, tmp_path):
    scans(tmp_path / "in", 1, 1)
    run("new", tmp_path / "study", "--scans", tmp_path / "in", "--reader", "AB")
    tamper(tmp_path, "UPDATE audit SET reader = 'XY'")
    assert "Row 1 of the audit trail was changed." in run("status", tmp_path / "study", code=1)
    assert "Row 1 of the audit trail was changed" in refused(run, "report", tmp_path / "study")
    assert (tmp_path / "study" / "reports" / "report.html").exists()


def test_report_and_export_write_what_they_name(run, tmp_path):
    for case in ("a", "b"):
        nifti(tmp_path / "in" / f"{case}.nii.gz", np.zeros((12, 10, 8), np.int16))
    run("new", tmp_path / "study", "--scans", tmp_path / "in", "--reader", "AB")
    with Project.open(tmp_path / "study", reader="AB") as project:
        save_store(StoredMask(box(), b"", {}), project.folder_of("a") / "corrected.zarr.zip")
        project.set_status(["a", "b"], "corrected")
    paths = run("report", tmp_path / "study").split()
    assert [p.rsplit("/", 1)[1] for p in paths] == [
        "report.html", "report.json", "cases.csv", "scores.csv", "audit.csv"
    ]  # fmt: skip
    assert all(p.startswith(str(tmp_path / "study" / "reports")) for p in paths)
    run("report", tmp_path / "study", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")
    said = run("export", tmp_path / "study", "--out", tmp_path / "masks", code=1)
    assert "1 of 2 masks written" in said
    assert "b: There is no mask." in said
    assert np.array_equal(open_mask(tmp_path / "masks" / "a_mask.nii.gz").data, box())
    assert "no status" in refused(run, "export", tmp_path / "study", "--out", tmp_path, "--status", "perfect")
    assert "No case" in refused(run, "export", tmp_path / "study", "--out", tmp_path, "--status", "rejected")
