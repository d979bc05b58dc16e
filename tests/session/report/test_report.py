"""Reports and exports: figures by hand, nothing averaged away, no network, exact grids, no input written over."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from napari_morse.errors import InputError
from napari_morse.io import open_mask, open_scan
from napari_morse.io.mask_store import StoredMask, save_store
from napari_morse.session.case.measures import Measures, of_structure, ruler
from napari_morse.session.case_files import MEASURES
from napari_morse.session.edits import Corrections
from napari_morse.session.project import Agreement, PredictionRecord, Project, from_folders
from napari_morse.session.report import build, export_masks, write
from napari_morse.session.report.tables import cell
from napari_morse.types import Label, Roi
from tests.project_cases import SHAPE, box, nifti


def store(project, case, stage, mask, reader=""):
    save_store(StoredMask(mask, b"", {}), project.folder_of(case, reader) / f"{stage}.zarr.zip")


@pytest.fixture
def project(tmp_path):
    """a: corrected to the truth; b: accepted, a structure missed; c: new, without masks; d: its scan is damaged."""
    rng = np.random.default_rng(0)
    for case in "abcd":
        nifti(tmp_path / "in" / f"{case}.nii.gz", rng.integers(0, 99, SHAPE).astype(np.int16))
        nifti(tmp_path / "truth" / f"{case}.nii.gz", box(second=case == "b"))
    found = from_folders(tmp_path / "in", truths=tmp_path / "truth")
    with Project.create(tmp_path / "study", found, name="<b>study & co", reader="AB") as made:
        for case in "ab":
            made.record_prediction(case, PredictionRecord("m", "f" * 64, 3.0, 4.0, {}))
            store(made, case, "coarse", box(4))
            store(made, case, "rendered", box(3))
        store(made, "a", "corrected", box(2))
        made.set_status(["a"], "corrected", "=SUM(A1) <script>alert(1)</script>")
        made.set_status(["b"], "accepted")
        made.add_time("a", 90)
        yield made


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_figures_are_those_counted_by_hand(project, tmp_path):
    write(build(project), tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    a, b = (next(c for c in report["cases"] if c["id"] == name) for name in "ab")
    ml = 4 * 4 * 4 * 5 / 1000  # a box of 64 voxels of 5 mm³
    assert a["sizes_ml"] == {stage: {"1": pytest.approx(ml)} for stage in ("coarse", "rendered", "corrected")}
    assert [a["scores"][s][0]["dice"] for s in ("coarse", "rendered", "corrected")] == [0.5, 0.75, 1.0]
    assert a["change"]["ml"] == pytest.approx(2 * 16 * 5 / 1000)  # a plane came and a plane went
    assert a["change"]["agreement"]["dice"] == 0.75
    assert a["change"]["agreement"]["hd95_mm"] == pytest.approx(1.0)
    assert a["minutes"] == 1.5
    assert b["change"] is None
    assert [s["missed"] for s in b["scores"]["rendered"]] == [False, True]
    summary = {(stage, r["id"]): r for stage, found in report["summary"].items() for r in found}
    assert (summary["rendered", 2]["dice"], summary["rendered", 2]["missed"]) == (0.0, 1)
    assert summary["rendered", 2]["hd95"] is None
    assert report["counts"]["corrected"] == 1
    assert report["audit"]["trouble"] == ""
    assert len(report["audit"]["rows"]) == len(project.audit())
    assert report["note"] == "Not a medical device: for research."


def test_the_page_is_one_file_without_network_or_script_and_shows_what_changed(project, tmp_path):
    write(build(project), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Not a medical device: for research." in page
    assert page.count("data:image/png;base64,iVBOR") == 2
    assert not re.search(r"https?:|<script|<link|@import|url\(|src='(?!data:)", page)
    assert "&lt;b&gt;study &amp; co" in page and "&lt;script&gt;" in page
    assert "rendered 2: missed" in page
    assert "Every row is as it was written" in page


def test_tables_run_nothing_in_a_spreadsheet(project, tmp_path):
    write(build(project), tmp_path / "out")
    a = rows(tmp_path / "out" / "cases.csv")[0]
    assert a["comment"].startswith("'=SUM")
    assert (float(a["changed_ml"]), float(a["changed_dice"]), float(a["minutes"])) == (0.16, 0.75, 1.5)
    scores = rows(tmp_path / "out" / "scores.csv")
    assert ["1" if s["case"] == "b" and s["label"] == "2" else "0" for s in scores] == [s["missed"] for s in scores]
    assert rows(tmp_path / "out" / "audit.csv")[0]["act"] == "create project"
    assert [cell(v) for v in (-1.5, "-1", "@x", None, "ok", 0)] == ["-1.5", "'-1", "'@x", "", "ok", "0"]


def test_a_case_that_cannot_be_read_is_said_and_stops_nothing(project, tmp_path):
    content = (tmp_path / "in" / "d.nii.gz").read_bytes()
    (tmp_path / "in" / "d.nii.gz").write_bytes(content[:-1] + b"?")
    (project.folder_of("b") / "rendered.zarr.zip").write_bytes(b"junk")
    save_store(StoredMask(np.zeros((2, 2, 2), np.uint8), b"", {}), project.folder_of("c") / "coarse.zarr.zip")
    troubles = {f.case.id: f.trouble for f in build(project).figures}
    assert troubles["a"] == ""
    assert "rendered.zarr.zip" in troubles["b"]
    assert "does not lie on the scan's grid" in troubles["c"]
    assert "not the file that was in the project" in troubles["d"]
    write(build(project), tmp_path / "out")
    assert "not the file that was" in (tmp_path / "out" / "report.html").read_text()


def test_a_reader_who_is_to_be_blind_learns_nothing_from_a_report_either(project, tmp_path):
    project.ask_second_reader("a", "CD")
    project.close()
    with Project.open(tmp_path / "study", reader="CD") as blind:
        a = next(f for f in build(blind).figures if f.case.id == "a")
    assert (a.sizes, a.scores, a.change, a.picture.png, a.case.comment) == ({}, {}, None, b"", "")


def measured(project, case, tmp_path, reader=""):
    """A ruler and both measures of a structure, kept in a reader's folder."""
    scan = open_scan(tmp_path / "in" / f"{case}.nii.gz")
    kept = Measures(project.folder_of(case, reader))
    kept.add(ruler(scan, 2, (1.0, 2.0, 3.0), (4.3, 6.0, 3.0), reader or "AB"))
    for kind in ("diameters", "area"):
        kept.add(of_structure(kind, scan, box(), Label(1, "<i>left", "#0072b2"), 1, 4, reader or "AB"))
    return kept.items


def test_the_report_says_what_was_measured_in_the_same_numbers(project, tmp_path):
    line, diameters, area = measured(project, "a", tmp_path)
    paths = write(build(project), tmp_path / "out")
    assert tmp_path / "out" / "measures.csv" in paths
    page = (tmp_path / "out" / "report.html").read_text()
    assert line.values[0] == pytest.approx(np.hypot(3.3 * 1.0, 4 * 2.0))
    for measure in (line, diameters, area):
        assert f"<td>{measure.plane}</td><td>{measure.shown}</td><td>{measure.text}</td><td>AB</td>" in page
    assert "&lt;i&gt;left" in page and "<i>left" not in page
    csvs = rows(tmp_path / "out" / "measures.csv")
    for row, measure in zip(csvs, (line, diameters, area), strict=True):
        assert float(row["value"]) == pytest.approx(measure.values[0], rel=1e-5)
        assert (row["case"], row["unit"], row["index"]) == ("a", measure.unit, str(measure.index))
    assert [row["structure"] for row in csvs] == ["", "<i>left", "<i>left"]
    cases = json.loads((tmp_path / "out" / "report.json").read_text())["cases"]
    assert cases[0]["measures"] == json.loads((project.folder_of("a") / MEASURES).read_text())["measures"]
    assert cases[1]["measures"] == []


def test_a_measure_of_a_mask_that_was_changed_since_is_told_with_the_present_value(project, tmp_path):
    scan, kept = open_scan(tmp_path / "in" / "a.nii.gz"), Measures(project.folder_of("a"))
    larger = box(2)
    larger[6, 2:6, 2:6] = 1
    for mask in (box(2), larger):  # the corrected mask, and one before it
        kept.add(of_structure("area", scan, mask, Label(1, "left", "#0072b2"), 2, 3, "AB"))
    kept.add(ruler(scan, 2, (1.0, 2.0, 3.0), (4.0, 6.0, 3.0), "AB"))
    present = kept.items[0]
    a, b = (f for f in build(project).figures if f.case.id in "ab")
    assert a.measured_now == {kept.items[1].id: present.text} and b.measured_now == {}
    write(build(project), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count(f"<td>the mask was changed since: {present.text} now</td>") == 1
    assert [row["now"] for row in rows(tmp_path / "out" / "measures.csv")] == ["", present.text, ""]
    cases = json.loads((tmp_path / "out" / "report.json").read_text())["cases"]
    assert cases[0]["measured_now"] == dict(a.measured_now) and cases[1]["measured_now"] == {}
    store(project, "a", "corrected", np.zeros(SHAPE, np.uint8))
    assert set(build(project).figures[0].measured_now.values()) == {"not there"}


def test_without_a_measure_nothing_is_said_of_them_and_damaged_ones_are_a_sentence(project, tmp_path):
    assert "measures.csv" not in {path.name for path in write(build(project), tmp_path / "out")}
    assert "<h2>Measures" not in (tmp_path / "out" / "report.html").read_text()
    (project.folder_of("a") / MEASURES).write_text("junk")
    a = build(project).figures[0]
    assert "measures.json” of this case is damaged" in a.trouble
    assert a.sizes and a.measures == ()
    assert (project.folder_of("a") / MEASURES).read_text() == "junk"


def test_measures_of_a_reader_are_seen_once_the_reading_is_done(project, tmp_path):
    first = measured(project, "a", tmp_path)
    project.ask_second_reader("a", "CD")
    project.close()
    with Project.open(tmp_path / "study", reader="CD") as second:
        theirs = measured(second, "a", tmp_path, "CD")
        assert build(second).figures[0].measures == ()  # nothing of the first reader
        assert {m.reader for m in theirs} == {"CD"}
    with Project.open(tmp_path / "study", reader="AB") as again:
        assert build(again).figures[0].measures == first
    with Project.open(tmp_path / "study", reader="CD") as second:
        second.submit_reading("a", "read", "", None)
        assert build(second).figures[0].measures == (*first, *theirs)


def test_agreement_and_the_chosen_mask_are_those_of_the_readers(project, tmp_path):
    project.ask_second_reader("a", "CD")
    project.close()
    with Project.open(tmp_path / "study", reader="CD") as second:
        store(second, "a", "corrected", box(1))
        second.submit_reading("a", "disagrees", "one too low", Agreement(0.75, 0.4, 1.0))
        second.adjudicate("a", "CD", "sees more")
        figures = next(f for f in build(second).figures if f.case.id == "a")
        assert figures.scores["corrected"][0].dice == 0.75
        write(build(second), tmp_path / "out")
        assert "one too low" in (tmp_path / "out" / "report.html").read_text()
        row = export_masks(second, tmp_path / "masks", ["accepted"])[0]
    assert (row.stage, row.chosen_reader) == ("corrected", "CD")
    assert np.array_equal(open_mask(tmp_path / "masks" / "a_mask.nii.gz").data, box(1))


def test_exported_masks_lie_exactly_on_their_scans_and_are_listed(project, tmp_path):
    export_masks(project, tmp_path / "masks")
    found = rows(tmp_path / "masks" / "manifest.csv")
    assert [(r["case"], r["file"], r["stage"], r["trouble"]) for r in found] == [
        ("a", "a_mask.nii.gz", "corrected", ""), ("b", "b_mask.nii.gz", "rendered", "")
    ]  # fmt: skip
    for case, start in (("a", 2), ("b", 3)):
        mask, scan = (
            open_mask(tmp_path / "masks" / f"{case}_mask.nii.gz"),
            open_scan(tmp_path / "in" / f"{case}.nii.gz"),
        )
        assert np.array_equal(mask.data, box(start))
        assert np.array_equal(mask.grid.affine, scan.grid.affine)
    before = {path.name: path.read_bytes() for path in (tmp_path / "masks").iterdir()}
    export_masks(project, tmp_path / "masks")
    assert {path.name: path.read_bytes() for path in (tmp_path / "masks").iterdir()} == before


def test_no_input_and_no_foreign_file_is_written_over(project, tmp_path):
    out = tmp_path / "masks"
    out.mkdir()
    (out / "b_mask.nii.gz").hardlink_to(tmp_path / "truth" / "b.nii.gz")
    (out / "a_mask.nii.gz").write_bytes(b"mine")
    before = (tmp_path / "truth" / "b.nii.gz").read_bytes()
    found = export_masks(project, out)
    assert "no earlier export" in found[0].trouble
    assert "never written over" in found[1].trouble
    assert (out / "a_mask.nii.gz").read_bytes() == b"mine"
    assert (tmp_path / "truth" / "b.nii.gz").read_bytes() == before == (out / "b_mask.nii.gz").read_bytes()


def test_an_exported_mask_that_was_changed_is_not_written_over(project, tmp_path):
    out = tmp_path / "masks"
    export_masks(project, out)
    (out / "a_mask.nii.gz").write_bytes(b"corrected elsewhere")
    found = export_masks(project, out)
    assert "was changed since" in found[0].trouble and found[1].trouble == ""
    assert (out / "a_mask.nii.gz").read_bytes() == b"corrected elsewhere"
    assert "a_mask" in export_masks(project, out)[0].trouble, "still, although the list no longer holds it"


def test_another_projects_exported_masks_are_not_written_over(project, tmp_path):
    """Both have a scan a.nii.gz: they are two patients."""
    nifti(tmp_path / "others" / "a.nii.gz", np.ones(SHAPE, np.int16))
    with Project.create(tmp_path / "other", from_folders(tmp_path / "others"), name="", reader="AB") as other:
        store(other, "a", "rendered", box(5))
        other.record_prediction("a", PredictionRecord("m", "f" * 64, 3.0, 4.0, {}))
        other.set_status(["a"], "accepted")
        export_masks(other, tmp_path / "masks")
    before = (tmp_path / "masks" / "a_mask.nii.gz").read_bytes()
    with pytest.raises(InputError, match="another project"):
        export_masks(project, tmp_path / "masks")
    assert (tmp_path / "masks" / "a_mask.nii.gz").read_bytes() == before


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_links_where_masks_are_exported_are_not_written_through(project, tmp_path, there):
    export_masks(project, tmp_path / "masks")
    link, precious = tmp_path / "masks" / "a_mask.nii.gz", tmp_path / "precious"
    kept = link.read_bytes()
    link.unlink()
    link.symlink_to(precious)
    if there:
        precious.write_bytes(kept)
    found = export_masks(project, tmp_path / "masks")
    assert "a link" in found[0].trouble and found[1].trouble == "" and link.is_symlink()
    assert precious.exists() == there


def test_a_file_that_cannot_be_read_does_not_stop_the_export(project, tmp_path, monkeypatch):
    export_masks(project, tmp_path / "masks")
    read = Path.read_bytes

    def refuse(path):
        if path.name == "a_mask.nii.gz":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    found = export_masks(project, tmp_path / "masks")
    assert "Permission denied" in found[0].trouble and found[1].trouble == ""


@pytest.mark.parametrize("text", ["name,date\nmine,today\n", "", "\xff\xfe"])
def test_a_list_of_somebodys_own_is_not_written_over(project, tmp_path, text):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "manifest.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"“manifest\.csv” is there already"):
        export_masks(project, tmp_path / "masks")
    assert [p.name for p in (tmp_path / "masks").iterdir()] == ["manifest.csv"]


@pytest.mark.parametrize("name", ["cases.csv", "report.json", "audit.csv"])
def test_a_report_is_written_over_nothing_but_a_report_of_that_project(project, tmp_path, name):
    made, out = build(project), tmp_path / "out"
    out.mkdir()
    (out / name).write_text("{}")
    with pytest.raises(InputError, match="is there already"):
        write(made, out)
    assert [p.name for p in out.iterdir()] == [name] and (out / name).read_text() == "{}"
    (out / name).unlink()
    assert write(made, out) == write(made, out)
    with Project.create(tmp_path / "other", from_folders(tmp_path / "in"), name="", reader="AB") as other:
        before = (out / "report.json").read_bytes()
        with pytest.raises(InputError, match="is there already"):
            write(build(other), out)
        assert (out / "report.json").read_bytes() == before


def test_corrections_that_were_not_saved_are_not_left_out_silently(project, tmp_path):
    folder = project.folder_of("b")
    work = Corrections.open(folder, box(3), "5ca1ab1e")
    work.apply(Roi((0, 0, 0), (1, 1, 1)), 1, "paint")
    row = export_masks(project, tmp_path / "masks")[1]
    assert "not saved" in row.trouble and row.file == ""
    work.checkpoint()
    assert export_masks(project, tmp_path / "masks")[1].stage == "corrected"


def test_scans_of_one_name_are_exported_under_their_ids(project, tmp_path):
    nifti(tmp_path / "more" / "A.nii", box())
    (added,) = project.add_cases(from_folders(tmp_path / "more"))
    store(project, added, "corrected", box(5))
    project.set_status([added], "corrected")
    assert [r.file for r in export_masks(project, tmp_path / "masks")] == [
        "a_mask.nii.gz", "b_mask.nii.gz", f"{added}_mask.nii.gz"
    ]  # fmt: skip
    assert added.casefold() != "a"


def test_nothing_to_export_and_no_place_are_one_sentence(project, tmp_path):
    with pytest.raises(InputError, match="No case has a status"):
        export_masks(project, tmp_path / "masks", ["rejected"])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be made"):
        export_masks(project, tmp_path / "file")
    with pytest.raises(InputError, match="could not be made"):
        write(build(project), tmp_path / "file" / "x")


@pytest.fixture
def judged(tmp_path):
    """A case for judging without a file of truth: the model's masks, and a corrected one."""
    nifti(tmp_path / "in" / "a.nii.gz", np.arange(960, dtype=np.int16).reshape(SHAPE))
    nifti(tmp_path / "in" / "b.nii.gz", np.ones(SHAPE, np.int16))
    with Project.create(
        tmp_path / "study", from_folders(tmp_path / "in"), name="", reader="AB", holdout_share=0.5
    ) as made:
        case = next(c.id for c in made.cases() if c.held_out)
        made.record_prediction(case, PredictionRecord("m", "f" * 64, 3.0, 4.0, {}))
        for stage, start in (("coarse", 4), ("rendered", 3), ("corrected", 2)):
            store(made, case, stage, box(start))
        yield made, case


def dice(project, case):
    found = next(f for f in build(project).figures if f.case.id == case)
    return {stage: scores[0].dice for stage, scores in found.scores.items()}


def test_a_truth_made_in_the_project_judges_the_models_masks_once_it_is_accepted(judged):
    project, case = judged
    project.set_status([case], "corrected")
    project.set_truth_from(case, "blank_start")
    assert dice(project, case) == {}
    project.set_status([case], "accepted")
    assert dice(project, case) == {"coarse": 0.5, "rendered": 0.75}


def test_a_second_readers_truth_judges_the_first_reader_too(judged, tmp_path):
    project, case = judged
    project.set_status([case], "corrected")
    project.ask_second_reader(case, "CD")
    project.close()
    with Project.open(tmp_path / "study", reader="CD") as second:
        store(second, case, "corrected", box(2))
        second.submit_reading(case, "read", "", Agreement(1.0, 0.0, 0.0))
    with Project.open(tmp_path / "study", reader="EF") as third:
        assert dice(third, case) == {"coarse": 0.5, "rendered": 0.75, "corrected": 1.0}
        third.adjudicate(case, "CD", "sharper")
        assert dice(third, case) == {"coarse": 0.5, "rendered": 0.75}
