"""``napari-morse evaluate``: pairing, refusals, counts, and numbers that equal the metrics'."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from napari_morse.cli import evaluate as evaluating
from napari_morse.cli.evaluate import evaluate, pair
from napari_morse.io import save_mask
from napari_morse.io.pictures import picture_grid
from napari_morse.metrics import score
from napari_morse.types import Grid, Mask

SPACING = (0.5, 1.0, 2.0)
AFFINE = np.diag([*SPACING, 1.0])


def box(start=2, label=1):
    data = np.zeros((12, 10, 6), np.uint8)
    data[start : start + 5, 2:7, 1:4] = label
    return data


def put(folder, name, data, affine=AFFINE):
    folder.mkdir(exist_ok=True)
    return save_mask(Mask(data, Grid(data.shape, affine)), folder / name)


@pytest.fixture
def folders(tmp_path):
    """(predictions, truths), empty."""
    both = tmp_path / "pred", tmp_path / "truth"
    for folder in both:
        folder.mkdir()
    return both


@pytest.fixture
def run(tmp_path, folders, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    app = typer.Typer()
    app.command()(evaluate)

    def invoke(*arguments, code=0):
        base = ["--pred", str(folders[0]), "--truth", str(folders[1]), "--json", str(tmp_path / "out.json")]
        (tmp_path / "out.json").unlink(missing_ok=True)
        result = CliRunner().invoke(app, [*base, *arguments])
        assert result.exit_code == code, result.output
        if not (tmp_path / "out.json").exists():
            assert code
            return result.output + str(result.exception)
        text = (tmp_path / "out.json").read_text()
        assert "NaN" not in text
        assert "Infinity" not in text
        return result.stdout, json.loads(text)

    return invoke


def test_numbers_are_those_of_the_metrics(run, folders):
    pred, truth = folders
    put(pred, "a_rendered.nii.gz", box(3))
    put(truth, "a.nii", box(2))
    _, report = run("--suffix", "_rendered", "--tolerance", "0.5")
    expected = score(box(3), box(2), SPACING, [1], 0.5)
    rows = report["runs"][0]["cases"][0]["structures"]
    assert [row["structure"] for row in rows] == ["label 1", "merged"]
    for row, right in zip(rows, expected, strict=True):
        for figure in ("dice", "hd95", "asd", "nsd", "hd95_or_diagonal", "asd_or_diagonal"):
            assert row[figure] == pytest.approx(getattr(right, figure))
    assert report["tolerance_mm"] == 0.5


def test_without_a_suffix_coarse_and_rendered_are_both_scored(run, folders):
    pred, truth = folders
    for case in ("a", "b"):
        put(pred, f"{case}_coarse.nii.gz", box(4))
        put(pred, f"{case}_rendered.nii.gz", box(3))
        put(truth, f"{case}.nii.gz", box(2))
    shown, report = run()
    coarse, rendered = report["runs"]
    assert (coarse["suffix"], rendered["suffix"]) == ("_coarse", "_rendered")
    assert [c["case"] for c in rendered["cases"]] == ["a", "b"]
    assert coarse["summary"][0]["dice"] < rendered["summary"][0]["dice"]
    assert shown.index("coarse: 2 cases scored") < shown.index("rendered: 2 cases scored")


def test_without_stages_plain_names_are_paired(run, folders):
    put(folders[0], "a.nii.gz", box())
    put(folders[1], "a.nii.gz", box())
    _, report = run()
    assert [r["suffix"] for r in report["runs"]] == [""]
    assert report["runs"][0]["summary"][0]["dice"] == 1.0


def test_missed_and_spurious_are_counted_and_shown(run, folders):
    pred, truth = folders
    empty = np.zeros_like(box())
    for case, (p, t) in {"a": (box(), box()), "b": (empty, box()), "c": (box(), empty), "d": (empty, empty)}.items():
        put(pred, f"{case}.nii.gz", p)
        put(truth, f"{case}.nii.gz", t)
    shown, report = run()
    summary = report["runs"][0]["summary"][0]
    assert [summary[k] for k in ("n", "found", "missed", "spurious", "both_empty")] == [4, 1, 1, 1, 1]
    assert summary["dice"] == pytest.approx(1 / 3)
    assert summary["hd95"] == 0.0
    assert summary["hd95_or_diagonal"] > 5
    by_case = {c["case"]: c["structures"][0] for c in report["runs"][0]["cases"]}
    assert by_case["b"]["missed"]
    assert by_case["b"]["hd95"] is None
    assert by_case["d"]["dice"] is None
    assert "diagonal" in shown


def test_a_narrow_terminal_cuts_no_figure(run, folders, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    put(folders[0], "a.nii.gz", box(3))
    put(folders[1], "a.nii.gz", box(2))
    shown, report = run()
    row = report["runs"][0]["summary"][0]
    assert f"{row['dice']:.3f} {row['hd95']:.2f}" in " ".join(shown.split())
    assert "…" not in shown


def test_every_case_has_a_row_for_every_structure(run, folders):
    pred, truth = folders
    put(pred, "a.nii.gz", box(label=1))
    put(truth, "a.nii.gz", box(label=1))
    put(pred, "b.nii.gz", box(label=7))
    put(truth, "b.nii.gz", box(label=3))
    _, report = run()
    ids = [[row["id"] for row in c["structures"]] for c in report["runs"][0]["cases"]]
    assert ids == [[1, 3, 7, 0], [1, 3, 7, 0]]


def test_files_without_a_partner_are_named_and_counted(run, folders):
    pred, truth = folders
    for name in ("both_rendered.nii.gz", "alone_rendered.nii.gz"):
        put(pred, name, box())
    for name in ("both.nii.gz", "unpredicted.nii.gz"):
        put(truth, name, box())
    (pred / "both_points.csv").write_text("x")
    shown, report = run()
    only = report["runs"][0]
    assert only["scored"] == 1
    assert only["no_prediction"] == ["unpredicted"]
    assert only["no_truth"] == ["alone_rendered.nii.gz"]
    assert "no prediction (1): unpredicted" in shown
    assert "no truth (1): alone_rendered.nii.gz" in shown


def test_no_pair_at_all_is_an_error(run, folders):
    put(folders[0], "a_rendered.nii.gz", box())
    put(folders[1], "b.nii.gz", box())
    assert "has a truth of the same name" in run(code=1)
    put(folders[1], "a.nii.gz", box())
    assert "has a truth of the same name" in run("--suffix", "_coarse", code=1)


@pytest.mark.parametrize("other", ["shape", "affine", "mirrored"])
def test_another_grid_is_refused_and_never_pasted_by_index(run, folders, other):
    """Fault 19."""
    put(folders[0], "a.nii.gz", box()[:-1] if other == "shape" else box())
    affine = AFFINE.copy()
    if other == "affine":
        affine[0, 3] = 0.25
    if other == "mirrored":
        affine[0, 0] *= -1
    put(folders[1], "a.nii.gz", box(), affine)
    said = run(code=2)
    assert "The two masks of case “a” do not lie on one grid" in said and said.count("Error:") == 1


def test_a_damaged_mask_is_refused(run, folders):
    put(folders[0], "a.nii.gz", box())
    path = put(folders[1], "a.nii.gz", box())
    path.write_bytes(path.read_bytes()[:-20])
    said = run(code=2)
    assert "“a.nii.gz” is damaged" in said or "“a.nii.gz” is incomplete" in said
    assert said.count("Error:") == 1


def spoil(folders, kind, monkeypatch):
    """Make the case b one that cannot be scored."""
    pred, truth = folders
    if kind == "damaged":
        (truth / "b.nii.gz").write_bytes((truth / "b.nii.gz").read_bytes()[:-20])
    elif kind == "another grid":
        put(pred, "b.nii.gz", box()[:-1])
    elif kind == "two masks":
        put(truth, "b.nii", box(3))
    elif kind == "two masks, one damaged":
        (truth / "b.nii").write_bytes(b"no mask")
    else:
        opened = evaluating.open_mask

        def broken(path):
            if path.name.startswith("b") and path.parent == truth:
                raise RuntimeError("DOE^JOHN")
            return opened(path)

        monkeypatch.setattr(evaluating, "open_mask", broken)


@pytest.mark.parametrize("kind", ["damaged", "another grid", "two masks", "two masks, one damaged", "unforeseen"])
def test_one_odd_mask_is_named_and_the_others_are_scored(run, folders, monkeypatch, kind):
    for folder in folders:
        for case in "abc":
            put(folder, f"{case}.nii.gz", box(label=5) if case == "b" else box())
    spoil(folders, kind, monkeypatch)
    shown, report = run(code=1)
    only = report["runs"][0]
    assert [c["case"] for c in only["cases"]] == ["a", "c"] and only["scored"] == 2
    assert [f["case"] for f in only["failed"]] == ["b"] and only["failed"][0]["error"].endswith(".")
    assert [row["id"] for row in only["summary"]] == [1, 0] and only["summary"][0]["n"] == 2
    assert "could not be used (1): b" in shown and "DOE" not in shown + str(report)


def test_a_truth_that_spoils_two_stages_is_said_once(run, folders):
    pred, truth = folders
    for case in "ab":
        for suffix in ("_coarse", "_rendered"):
            put(pred, f"{case}{suffix}.nii.gz", box())
        put(truth, f"{case}.nii.gz", box())
    (truth / "b.nii.gz").write_bytes(b"")
    command = [sys.executable, "-m", "napari_morse.cli.main", "evaluate", "--pred", str(pred), "--truth", str(truth)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1 and done.stderr.count("Error: ") == 1 and "b.nii.gz" in done.stderr
    assert done.stdout.count("1 cases scored") == 2 and done.stdout.count("could not be used (1): b") == 2


def test_ctrl_c_ends_the_scoring(run, folders, monkeypatch):
    for folder in folders:
        for case in "ab":
            put(folder, f"{case}.nii.gz", box())
    asked = []

    def interrupted(path):
        asked.append(path.stem)
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluating, "open_mask", interrupted)
    run(code=130)
    assert len(asked) == 1


def test_two_masks_of_one_case_are_refused(run, folders):
    put(folders[0], "a.nii.gz", box())
    put(folders[1], "a.nii.gz", box())
    put(folders[1], "a.nii", box(3))
    assert "two masks of one case" in run(code=2)


def test_one_mask_in_two_formats_is_scored_once(run, folders):
    flat = box()[:, :, 2:3]
    for suffix in ("_coarse", "_rendered"):
        for ending in (".nii.gz", ".png"):
            put(folders[0], f"a{suffix}{ending}", flat, picture_grid(*flat.shape[:2], (1.0, 1.0)).affine)
    put(folders[1], "a.png", flat, picture_grid(*flat.shape[:2], (1.0, 1.0)).affine)
    _, report = run()
    assert [(r["suffix"], r["scored"]) for r in report["runs"]] == [("_coarse", 1), ("_rendered", 1)]
    assert report["runs"][1]["cases"][0]["structures"][0]["dice"] == 1.0


def test_no_mask_is_written_over(run, folders):
    for folder in folders:
        kept = put(folder, "a.nii.gz", box())
        before = kept.read_bytes()
        assert "overwrite" in run("--json", str(kept), code=1)
        assert kept.read_bytes() == before


def test_the_report_is_written_over_nothing_but_a_report(run, folders, tmp_path):
    for folder in folders:
        put(folder, "a.nii.gz", box())
    for name, content in (("splits.json", '{"train": []}'), ("notes.txt", "mine"), ("deep.json", '{"a":' * 9000)):
        (tmp_path / name).write_text(content)
        assert "no earlier summary" in run("--json", str(tmp_path / name), code=1)
        assert (tmp_path / name).read_text() == content
    command = ["--pred", str(folders[0]), "--truth", str(folders[1]), "--json", str(tmp_path / "again.json")]
    app = typer.Typer()
    app.command()(evaluate)
    assert [CliRunner().invoke(app, command).exit_code for _ in range(2)] == [0, 0]


def test_the_tolerance_is_a_distance(run):
    assert "tolerance" in run("--tolerance", "inf", code=1)
    run("--tolerance", "-1", code=2)
    run("--tolerance", "nan", code=2)


def test_a_missing_folder_is_named(run, folders):
    folders[1].rmdir()
    assert "truth" in run(code=1)


def test_pictures_are_scored_in_their_plane(run, folders):
    flat = box()[:, :, 2:3]
    for folder, data in zip(folders, (flat, box(3)[:, :, 2:3]), strict=True):
        put(folder, "a.png", data)
    _, report = run()
    row = report["runs"][0]["cases"][0]["structures"][0]
    right = score(flat[:, :, 0], box(3)[:, :, 2], (0.5, 1.0), [1])[0]
    assert row["hd95"] == pytest.approx(right.hd95)
    assert row["asd"] == pytest.approx(right.asd)


def test_the_report_does_not_depend_on_the_order_of_files(run, folders):
    cases = ["c", "a", "b"]
    for case in cases:
        put(folders[0], f"{case}.nii.gz", box(3))
    for case in reversed(cases):
        put(folders[1], f"{case}.nii", box(2))
    report = run()[1]
    assert [c["case"] for c in report["runs"][0]["cases"]] == ["a", "b", "c"]
    assert run()[1] == report


def test_pairing_by_suffix(tmp_path):
    paths = {stem: tmp_path / f"{stem}.nii" for stem in ("a_rendered", "b_rendered", "a", "c")}
    pairing = pair(paths, {"a": tmp_path / "A.nii", "c": tmp_path / "C.nii"}, "_rendered")
    assert pairing.pairs == (("a", paths["a_rendered"], tmp_path / "A.nii"),)
    assert pairing.no_prediction == ("c",)
    assert pairing.no_truth == ("b_rendered.nii",)
