"""Whose scan it is: whole BIDS labels as people write them, cells that say nobody, what belongs together."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_morse.errors import InputError
from napari_morse.io.subjects import group_by_marks, patient_key, patient_said, subject_of
from napari_morse.session.project import Project, from_bids, from_folders, from_list, with_patients

NAMES = [
    ("sub-CON-01_ses-1_T1w.nii.gz", "sub-CON-01"),
    ("sub-CON-01.nii.gz", "sub-CON-01"),
    ("sub-CON-01_T1w.nii", "sub-CON-01"),
    ("sub-01_ses-1_T1w.nii.gz", "sub-01"),
    ("SUB-01_T1w.nii.gz", "sub-01"),
    ("Sub-Con-01_T1w.nii.gz", "sub-Con-01"),
    ("study_sub-CON-01_T1w.nii.gz", "sub-CON-01"),
    ("sub-01-_T1w.nii.gz", "sub-01"),
    ("sub--01_T1w.nii.gz", "sub-01"),
    ("sub-A+1_T1w.nii.gz", "sub-A+1"),
    ("sub-CON.01_T1w.nii.gz", "sub-CON.01"),
    ("sub-01.T1w.nii.gz", "sub-01"),
    ("sub-01-T1w.nii.gz", "sub-01"),
    ("sub-CON-01-ses-2-T1w.nii.gz", "sub-CON-01"),
    ("sub-CON-01-ses-2_T1w.nii.gz", "sub-CON-01"),
    ("sub-01 (1).nii.gz", "sub-01"),
    ("sub-01 - Copy.nii.gz", "sub-01"),
    ("sub-CT.nii.gz", "sub-CT"),
    ("sub-Zoë-1_T1w.nii.gz", "sub-Zoë-1"),
    ("sub-患者-2_T1w.nii.gz", "sub-患者-2"),
    ("sub-CON_01_T1w.nii.gz", "sub-CON_01"),
    ("sub-CON_01.nii.gz", "sub-CON_01"),
    ("sub-CON_0000.nii.gz", "sub-CON"),
    ("sub-CON_01_0000.nii.gz", "sub-CON_01"),
    ("sub-01_1_T1w.nii.gz", "sub-01"),
    ("sub-01_0001.nii.gz", "sub-01"),
    ("sub-CON_T1w.nii.gz", "sub-CON"),
    ("sub-CON_2024-05-01_T1w.nii.gz", "sub-CON"),
    ("subject-01_T1w.nii.gz", ""),
    ("resub-01_T1w.nii.gz", ""),
    ("sub-_T1w.nii.gz", ""),
    ("sub_01_T1w.nii.gz", ""),
    ("T1w.nii.gz", ""),
]


@pytest.mark.parametrize(("name", "subject"), NAMES)
def test_the_whole_label_is_the_subject(name: str, subject: str) -> None:
    for form in ("NFC", "NFD"):
        assert subject_of(Path("scans") / unicodedata.normalize(form, name)) == subject


def test_a_folder_says_whose_scan_it_is_where_the_file_does_not() -> None:
    assert subject_of(Path("/d/sub-CON-01/ses-1/anat/T1w.nii.gz")) == "sub-CON-01"
    assert subject_of(Path("/d/sub-CON-01/sub-rest/T1w.nii.gz")) == "sub-rest"
    assert subject_of(Path("/d/my-sub-projects/T1w.nii.gz")) == ""


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def test_a_file_in_the_folder_of_another_subject_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-02_T2w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz")
    with pytest.raises(InputError, match=r"“sub-02_T2w\.nii\.gz” lies in the folder of sub-01"):
        from_bids(tmp_path)
    with pytest.raises(InputError, match="in the folder of sub-01"):
        with_patients(from_folders(tmp_path / "sub-01" / "anat"))
    assert {s.patient for s in with_patients(from_folders(tmp_path / "sub-01" / "anat"), r"_(T.)w")} == {"T1", "T2"}


def test_a_folder_that_only_sounds_like_a_subject_is_none(tmp_path: Path) -> None:
    put(tmp_path, "sub-projects/sub-01_T1w.nii.gz", "sub-projects/sub-02_T1w.nii.gz")
    assert {s.patient for s in with_patients(from_folders(tmp_path / "sub-projects"))} == {"sub-01", "sub-02"}


def test_one_spelling_is_kept_of_a_person(tmp_path: Path) -> None:
    put(tmp_path / "in", "sub-con01_T1w.nii.gz", "SUB-CON01_T2w.nii.gz", "sub-Zoë_T1w.nii.gz")
    put(tmp_path / "in", unicodedata.normalize("NFD", "sub-Zoë_T2w.nii.gz"))
    with Project.create(
        tmp_path / "study", with_patients(from_folders(tmp_path / "in")), name="s", reader="AB", holdout_share=0.5
    ) as project:
        assert len({case.patient for case in project.cases()}) == 2
        put(tmp_path / "more", "Sub-Con01_FLAIR.nii.gz")
        project.add_cases(with_patients(from_folders(tmp_path / "more")))
        assert len({case.patient for case in project.cases()}) == 2


NOBODY = ("n/a", "N/A", "NA", "-", "unknown", "Unknown", " ", "", "nan", "?")


def test_nobody_is_not_one_patient(tmp_path: Path) -> None:
    put(tmp_path, *(f"in/c{n}.nii" for n in range(len(NOBODY) + 2)))
    rows = "".join(f"in/c{n}.nii;{cell}\n" for n, cell in enumerate((*NOBODY, "P1", "P1")))
    (tmp_path / "l.csv").write_text(f"scan;patient\n{rows}")
    cells = "".join(f"c{n};{cell}\n" for n, cell in enumerate((*NOBODY, "P1", "P1")))
    (tmp_path / "p.csv").write_text(f"case;patient\n{cells}")
    for number, found in enumerate((
        with_patients(from_list(tmp_path / "l.csv")),
        with_patients(from_folders(tmp_path / "in"), table=tmp_path / "p.csv"),
    )):  # fmt: skip
        assert [s.patient for s in sorted(found, key=lambda s: int(s.scan.stem[1:]))][-3:] == ["", "P1", "P1"]
        with Project.create(tmp_path / f"s{number}", found, name="s", reader="AB") as project:
            assert len({case.patient for case in project.cases()}) == len(NOBODY) + 1
    (tmp_path / "p.csv").write_text(f"case;patient\n{cells.partition('c1;')[0]}")
    with pytest.raises(InputError, match="no patient for"):
        with_patients(from_folders(tmp_path / "in"), table=tmp_path / "p.csv")


def test_a_person_known_by_a_label_that_an_older_version_cut_stays_on_that_side(tmp_path: Path) -> None:
    put(tmp_path / "in", *(f"sub-G{n}-01_T1w.nii.gz" for n in range(8)))
    put(tmp_path / "more", *(f"sub-G{n}-{m:02d}_T2w.nii.gz" for n in range(8) for m in range(1, 6)))
    older = [s.__class__(s.scan, patient=s.scan.name[:6]) for s in from_folders(tmp_path / "in")]
    with Project.create(tmp_path / "study", older, name="s", reader="AB", holdout_share=0.5) as project:
        before = {case.patient: case.held_out for case in project.cases()}
        assert set(before) == {f"sub-G{n}" for n in range(8)} and set(before.values()) == {True, False}
        project.add_cases(with_patients(from_folders(tmp_path / "more")))
        added = [case for case in project.cases() if case.patient not in before]
        assert len(added) == 40 and all(case.held_out == before[case.patient[:6]] for case in added)


@pytest.mark.parametrize(
    ("cell", "name"),
    [("P1", "P1"), ("  P  1 ", "P 1"), *((cell, "") for cell in NOBODY), ("None", ""), ("Nancy", "Nancy")],
)
def test_who_a_cell_says_it_is(cell: str, name: str) -> None:
    assert patient_said(cell) == name


def test_spellings_of_one_name() -> None:
    assert patient_key("SUB-Zoë ") == patient_key(unicodedata.normalize("NFD", "sub-zoë"))
    assert patient_key("sub-1") != patient_key("sub-01")


def test_what_shares_a_mark_belongs_together_however_long_the_chain() -> None:
    assert group_by_marks(["ab", "c", "bd", "e", "de"]) == [0, 1, 0, 0, 0]
    assert group_by_marks([]) == [] and group_by_marks(["", ""]) == [0, 1]


@given(st.lists(st.sets(st.integers(0, 8), max_size=3), max_size=12))
def test_belonging_together_is_what_a_graph_says(marks: list[set[int]]) -> None:
    places = range(len(marks))
    reached = [{place} for place in places]
    for _ in marks:
        reached = [own | {n for n in places if any(marks[n] & marks[member] for member in own)} for own in reached]
    assert group_by_marks(marks) == [min(own) for own in reached]
