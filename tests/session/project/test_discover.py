"""Cases found in folders, lists and BIDS; whose they are; ids that are safe everywhere; scans that were moved."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_morse.errors import InputError
from napari_morse.session.project import (
    CaseFiles,
    Project,
    ScanChangedError,
    ScanMissingError,
    from_bids,
    from_folders,
    from_list,
    with_patients,
)
from napari_morse.session.project.layout import CASE_ID_LIMIT, safe_id
from tests.project_cases import again, make, scans


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def names(sources):
    return [(s.scan.name, s.mask and s.mask.name, s.truth and s.truth.name) for s in sources]


ODD = [
    "with space", "../up", "..", ".hidden", "ünï", "ünï", "脑 MRI", "CON", "con.1", "LPT9", "com¹", "NUL", "a" * 300,
    "脑" * 200, "x:y*?<>|", "A", "a", "ß", "SS", "trailing.", "trailing ", "-rf", "~", "$HOME", "a\nb", "a\\b", "",
]  # fmt: skip


def check_ids(stems):
    taken = set()
    for stem in stems:
        name = safe_id(stem, taken)
        assert name and name.casefold() not in taken
        assert not set(name) & set('<>:"/\\|?*\0 \n')
        assert not any(ord(letter) < 32 for letter in name)
        assert len(name.encode()) <= CASE_ID_LIMIT + 8
        assert name[0] not in "._- " and name[-1] not in ". "
        plain = name.split(".")[0].upper()
        assert plain not in {"CON", "PRN", "AUX", "NUL"} and not (plain[:3] in {"COM", "LPT"} and len(plain) == 4)
        taken.add(name.casefold())


def test_odd_names_become_distinct_names_that_every_system_takes():
    check_ids(ODD * 3)


@given(st.lists(st.text(max_size=120), max_size=20))
def test_any_names_become_distinct_names_that_every_system_takes(stems):
    check_ids(stems)


def test_odd_files_are_cases_whose_folders_lie_in_the_project(tmp_path):
    folder = put(
        tmp_path / "in", "CON.nii", "a b.nii", "A B.nii.gz", "脑.png", "..x.nii", "é.nii", "e\u0301.nii", "-.nii"
    )
    found = [*from_folders(folder), CaseFiles(put(tmp_path / "other", "a b.nii") / "a b.nii")]
    with Project.create(tmp_path / "study", found, name="", reader="AB") as project:
        cases = project.cases()
        assert len(cases) == 8  # what begins with a dot is no scan
        places = {project.folder_of(case.id) for case in cases}
        assert len({str(place).casefold() for place in places}) == 8
        assert {place.parent for place in places} == {tmp_path / "study" / "cases"}


def test_a_name_that_is_not_unicode_is_one_sentence_and_makes_nothing(tmp_path):
    path = os.fsencode(put(tmp_path / "in", "a.nii")) + b"/b\xff.nii"
    try:
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(b"x")
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(InputError, match="not Unicode"):
        Project.create(tmp_path / "study", from_folders(tmp_path / "in"), name="", reader="AB")
    assert not (tmp_path / "study").exists()


def test_folders_give_masks_and_truths_by_name(tmp_path):
    put(tmp_path / "in", "a.nii.gz", "b.nii", "c.png", "notes.txt", "._a.nii.gz", "a.json", "b_mask.nii")
    put(tmp_path / "masks", "a_mask.nii.gz", "b.nii.gz", "zz.nii", "._b.nii")
    put(tmp_path / "truth", "a.nii")
    assert names(from_folders(tmp_path / "in", tmp_path / "masks", tmp_path / "truth")) == [
        ("a.nii.gz", "a_mask.nii.gz", "a.nii"), ("b.nii", "b.nii.gz", None), ("c.png", None, None)
    ]  # fmt: skip
    beside = from_folders(tmp_path / "in", tmp_path / "in")
    assert names(beside) == [("a.nii.gz", None, None), ("b.nii", "b_mask.nii", None), ("c.png", None, None)]


def test_folders_that_hold_nothing_are_one_sentence(tmp_path):
    put(tmp_path / "in", "notes.txt", "a_seg.nii")
    with pytest.raises(InputError, match="no scan"):
        from_folders(tmp_path / "in")
    with pytest.raises(InputError, match="no folder"):
        from_folders(tmp_path / "nowhere")
    put(tmp_path / "in", "a.nii")
    with pytest.raises(InputError, match="no folder"):
        from_folders(tmp_path / "in", truths=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.txt", "# scans\n\n  in/a.nii \r\nin/b.nii\n"),
        ("l.csv", "\ufeffscan,mask,truth,patient\nin/a.nii,,,\nin/b.nii,m/b.nii,t/b.nii,P2\n"),
        ("l.csv", "Scan ; PATIENT;mask;truth\r\nin/a.nii;\r\n\r\n in/b.nii ; P2;m/b.nii;t/b.nii;extra\r\n"),
        ("l.TSV", 'scan\ttruth\n"in/a.nii"\nin/b.nii\tt/b.nii\n'),
    ],
)
def test_lists_name_scans_relative_to_them(tmp_path, name, content):
    put(tmp_path, "in/a.nii", "in/b.nii", "m/b.nii", "t/b.nii")
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    found = from_list(tmp_path / name)
    assert [s.scan for s in found] == [tmp_path / "in" / "a.nii", tmp_path / "in" / "b.nii"]
    assert found[0].truth is None
    if "truth" in content:
        assert found[1].truth == tmp_path / "t" / "b.nii"
    if "P2" in content:
        assert (found[1].patient, found[1].mask.name) == ("P2", "b.nii")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("l.txt", b"", "names no scan"),
        ("l.txt", b"# only this\n", "names no scan"),
        ("l.txt", b"gone.nii\n", "no file “gone.nii”"),
        ("l.txt", b"x" * 5000, "no file"),
        ("l.txt", b"a\0b\n", "no file"),
        ("l.txt", b"\xff\xfe\x00", "could not be read"),
        ("l.csv", b"", "names no scan"),
        ("l.csv", b"scan\n", "names no scan"),
        ("l.csv", b"file,mask\na.nii,\n", "no column “scan”"),
        ("l.csv", b"scan,mask\na.nii,gone.nii\n", "no file “gone.nii”"),
        ("l.csv", b'scan,mask\n"a.nii,\n', "no CSV"),
        ("gone.csv", None, "could not be read"),
    ],
)
def test_lists_that_cannot_be_used_are_one_sentence(tmp_path, name, content, sentence):
    put(tmp_path, "a.nii")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        from_list(tmp_path / name)


def test_bids_with_sessions_runs_and_derivatives(tmp_path):
    put(
        tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
        "sub-02/anat/sub-02_run-1_T1w.nii.gz", "sub-02/anat/sub-02_run-2_T1w.nii.gz", "sub-02/anat/sub-02_T2w.nii",
        "sub-03/anat/sub-03_acq-x_T1w.nii.gz", "sub-03/anat/sub-03_acq-y_T1w.nii.gz", "sub-02/anat/x.json",
        "derivatives/a/sub-01/ses-1/anat/sub-01_ses-1_space-orig_dseg.nii.gz",
        "derivatives/a/sub-02/anat/sub-02_run-2_label-HC_mask.nii.gz", "derivatives/a/sub-02/anat/sub-02_T1w.nii.gz",
        "derivatives/a/sub-03/anat/sub-03_acq-x_dseg.nii.gz", "derivatives/a/sub-03/anat/._sub-03_acq-y_dseg.nii.gz",
        "code/sub-09_T1w.nii.gz", "dataset_description.json",
    )  # fmt: skip
    found = {s.scan.name: (s.truth and s.truth.name, s.patient) for s in from_bids(tmp_path)}
    assert found == {
        "sub-01_ses-1_T1w.nii.gz": ("sub-01_ses-1_space-orig_dseg.nii.gz", "sub-01"),
        "sub-01_ses-2_T1w.nii.gz": (None, "sub-01"),
        "sub-02_run-1_T1w.nii.gz": (None, "sub-02"),
        "sub-02_run-2_T1w.nii.gz": ("sub-02_run-2_label-HC_mask.nii.gz", "sub-02"),
        "sub-02_T2w.nii": (None, "sub-02"),
        "sub-03_acq-x_T1w.nii.gz": ("sub-03_acq-x_dseg.nii.gz", "sub-03"),
        "sub-03_acq-y_T1w.nii.gz": (None, "sub-03"),
    }
    assert [s.scan.name for s in from_bids(tmp_path, "T2w")] == ["sub-02_T2w.nii"]
    with pytest.raises(InputError, match="_FLAIR"):
        from_bids(tmp_path, "FLAIR")
    with pytest.raises(InputError, match="no image"):
        from_bids(tmp_path / "code")


def test_patients_by_pattern_are_looked_for_in_the_name_first_then_in_the_nearest_folder(tmp_path):
    put(tmp_path, "P2024/P07/anat.nii", "P2024/P08/P09_x.nii", "other/y.nii")
    found = [CaseFiles(tmp_path / p) for p in ("P2024/P07/anat.nii", "P2024/P08/P09_x.nii", "other/y.nii")]
    assert [s.patient for s in with_patients(found, r"^(P\d+)")] == ["P07", "P09", ""]
    assert [s.patient for s in with_patients(found, r"P2024/(P\d+)/")] == ["P07", "P08", ""]


def test_patients_that_are_known_stay(tmp_path):
    assert with_patients([CaseFiles(tmp_path / "P1_a.nii", patient="X")], r"(P\d)")[0].patient == "X"
    assert with_patients([CaseFiles(tmp_path / "sub-01" / "a.nii")])[0].patient == "sub-01"


@pytest.mark.parametrize(
    ("pattern", "sentence"), [("(", "is no pattern"), (r"P\d+", "has no group"), (r"(Q\d+)_", "fits no scan's name")]
)
def test_patterns_that_cannot_be_used_are_one_sentence(tmp_path, pattern, sentence):
    with pytest.raises(InputError, match=sentence):
        with_patients([CaseFiles(tmp_path / "P01_a.nii")], pattern)


def test_patients_by_table(tmp_path):
    table = tmp_path / "p.csv"
    table.write_text("\ufeffPatient,case\nX,a.nii.gz\nY,b\n", encoding="utf-8")
    found = [CaseFiles(tmp_path / "a.nii.gz"), CaseFiles(tmp_path / "b.nii")]
    assert [s.patient for s in with_patients(found, table=table)] == ["X", "Y"]
    with pytest.raises(InputError, match=r"no patient for “c.nii”"):
        with_patients([*found, CaseFiles(tmp_path / "c.nii")], table=table)
    for content in ("", "case\n", "case,who\na,b\n"):
        table.write_text(content)
        with pytest.raises(InputError, match="lacks the columns"):
            with_patients(found, table=table)


def full(tmp_path):
    """A project whose cases have masks and truths, and lie beside it under one root."""
    root = tmp_path / "root"
    scans(root / "scans", 2, 1)
    for kind in ("masks", "truths"):
        put(root / kind, "p0_0.nii.gz", "p1_0.nii.gz")
    found = from_folders(root / "scans", root / "masks", root / "truths")
    Project.create(root / "study", found, name="", reader="AB").close()
    return root


def test_a_project_that_is_moved_with_its_scans_finds_them(tmp_path):
    root = full(tmp_path).rename(tmp_path / "elsewhere")
    with again(root) as project:
        assert project.scan_of("p0_0") == root / "scans" / "p0_0.nii.gz"
        assert project.mask_of("p0_0") == root / "masks" / "p0_0.nii.gz"
        assert project.truth_of("p0_0") == root / "truths" / "p0_0.nii.gz"


def test_scans_that_are_moved_alone_are_found_when_one_says_where(tmp_path):
    root = full(tmp_path)
    new = tmp_path / "disk2"
    new.mkdir()
    for folder in ("scans", "masks", "truths"):
        (root / folder).rename(new / folder)
    (new / "scans" / "p1_0.nii.gz").write_bytes(b"something else")
    with again(root) as project:
        for look in (project.scan_of, project.mask_of, project.truth_of):
            with pytest.raises(ScanMissingError, match="no longer in"):
                look("p0_0")
        assert project.find_scans(root, tmp_path / "wrong") == (0, 2)
        assert project.find_scans(tmp_path / "wrong", new) == (0, 2)
        assert project.find_scans(root, new) == (1, 1)
        assert project.audit()[-1].details == {"found": 1, "missing": 1}
        assert project.scan_of("p0_0") == new / "scans" / "p0_0.nii.gz"
        assert project.truth_of("p0_0") == new / "truths" / "p0_0.nii.gz"
        with pytest.raises(ScanMissingError):
            project.scan_of("p1_0")


def test_another_file_under_the_same_name_is_never_taken(tmp_path):
    root = full(tmp_path)
    with again(root) as project:
        for look, path in ((project.scan_of, "scans"), (project.mask_of, "masks"), (project.truth_of, "truths")):
            file = root / path / "p0_0.nii.gz"
            content = file.read_bytes()
            for other in (content + b"x", bytes([content[0] ^ 1]) + content[1:], b""):
                file.write_bytes(other)
                with pytest.raises(ScanChangedError, match="is not the file"):
                    look("p0_0")
            file.write_bytes(content)
            assert look("p0_0") == file


def test_the_true_scan_in_the_new_place_is_preferred_to_another_in_the_old(tmp_path):
    root = full(tmp_path)
    shutil.copytree(root, tmp_path / "copy")
    (root / "scans" / "p0_0.nii.gz").write_bytes(b"other")
    with again(tmp_path / "copy") as project:
        assert project.scan_of("p0_0") == tmp_path / "copy" / "scans" / "p0_0.nii.gz"


def test_a_scan_that_is_deleted_is_named(tmp_path):
    with make(tmp_path) as project:
        (tmp_path / "scans" / "p0_0.nii.gz").unlink()
        with pytest.raises(ScanMissingError, match=r"“p0_0.nii.gz” is no longer in"):
            project.scan_of("p0_0")
        assert project.mask_of("p0_0") is None
        project.comment("p0_0", "gone")


def test_no_file_is_written_beside_the_scans(tmp_path):
    root = full(tmp_path)
    before = sorted(root.rglob("scans/*")) + sorted(root.rglob("masks/*"))
    with again(root) as project:
        project.set_status(["p0_0"], "in_review")
        project.folder_of("p0_0")
    assert sorted(root.rglob("scans/*")) + sorted(root.rglob("masks/*")) == before
