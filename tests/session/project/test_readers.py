"""Second readers: blind until they are done, agreement by hand, adjudication."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from napari_morse.errors import GeometryError, InputError
from napari_morse.session.project import Agreement, PredictionRecord, Project, agreement
from tests.project_cases import again, make

SECRETS = ("AB", "secret", "model-x", "accepted", "123.5", "77.25", "4.5")


@pytest.fixture
def asked(tmp_path):
    """A case that AB accepted and commented, and that CD and EF are to read."""
    with make(tmp_path) as project:
        project.record_prediction("p0_0", PredictionRecord("model-x", "secret", 123.5, 77.25, {"secret": 4.5}))
        project.add_time("p0_0", 77.25)
        project.set_status(["p0_0"], "accepted", "secret")
        for reader in ("CD", "EF"):
            project.ask_second_reader("p0_0", reader)
        assert project.case("p0_0").status == "second_reader"
        (project.folder_of("p0_0") / "corrected.zarr.zip").write_bytes(b"mask of the first")
    return tmp_path


def test_every_public_method_shows_a_blind_reader_nothing(asked):
    """By name, so that a new method has to be thought of here."""
    calls = {
        "cases": lambda p: [p.cases(), p.cases("doubt"), p.cases("seconds", True)],
        "case": lambda p: p.case("p0_0"),
        "next": lambda p: [p.next(), p.next("p0_1", "doubt", True), p.next("p0_1", text="secret")],
        "previous": lambda p: [p.previous("p0_1"), p.previous("p0_1", "disagreement")],
        "counts": lambda p: [p.counts()["accepted"], p.counts()["predicted"]],
        "scan_of": lambda p: p.scan_of("p0_0"),
        "mask_of": lambda p: p.mask_of("p0_0"),
        "truth_of": lambda p: p.truth_of("p0_0"),
        "folder_of": lambda p: [p.folder_of("p0_0"), *p.folder_of("p0_0").iterdir()],
        "readings": lambda p: p.readings("p0_0"),
        "to_read": lambda p: p.to_read(),
        "audit": lambda p: [p.audit("p0_0"), [row for row in p.audit() if row.case]],
        "verify": lambda p: p.verify(),
        "decided_unpredicted": lambda p: p.decided_unpredicted("p0_0"),
        "beat": lambda p: p.beat(),
        "set_status": lambda p: p.set_status(["p0_0"], "new"),
        "undo_status": lambda p: p.undo_status("p0_0"),
        "undo_leads_to": lambda p: p.undo_leads_to("p0_0"),
        "comment": lambda p: p.comment("p0_0", "x"),
        "add_time": lambda p: p.add_time("p0_0", 1),
        "record_prediction": lambda p: p.record_prediction("p0_0", PredictionRecord("m", "d", 1, 1, {})),
        "set_truth_from": lambda p: p.set_truth_from("p0_0", "given"),
        "ask_second_reader": lambda p: p.ask_second_reader("p0_0", "AB"),
        "adjudicate": lambda p: p.adjudicate("p0_0", "first", "x"),
        "submit_reading": lambda p: p.submit_reading("p0_0", "agrees"),
        "final_reader": lambda p: p.final_reader("p0_0"),
        "find_scans": lambda p: p.find_scans("/nowhere", "/elsewhere"),
        "record_learning": lambda p: p.record_learning("begun", 1, "m"),
        "add_cases": lambda p: p.add_cases([]),
    }
    public = {name for name, _ in inspect.getmembers(Project, inspect.isfunction) if not name.startswith("_")}
    assert public - {"close"} == set(calls)
    calls["submit_reading"] = calls.pop("submit_reading")  # last
    with again(asked, "CD") as project:
        assert project.current == ""
        for name, call in calls.items():
            try:
                shown = repr(call(project))
            except InputError as error:
                shown = str(error)
            shown = shown.replace(str(asked), "")
            assert not any(secret in shown for secret in SECRETS), (name, shown)
        assert project.case("p0_0").comment == "secret"
        assert project.readings("p0_0")


def test_what_is_hidden_moves_no_row_of_the_worklist(asked):
    with again(asked, "CD") as project:
        assert "p0_0" not in [case.id for case in project.cases(text="secret") + project.cases(statuses=["predicted"])]
        assert project.cases("doubt", descending=True)[0].doubt_mm is None
        assert project.cases("number")[0].status == "second_reader"


def test_a_blind_reader_changes_nothing_and_is_given_a_folder_of_the_own(asked):
    with again(asked, "CD") as project:
        for change in (
            lambda: project.set_status(["p0_1", "p0_0"], "in_review"),
            lambda: project.comment("p0_0", "mine"),
            lambda: project.undo_status("p0_0"),
            lambda: project.adjudicate("p0_0", "first", "me"),
        ):
            with pytest.raises(InputError, match="blind"):
                change()
        own = project.folder_of("p0_0")
        assert own != project.places.case("p0_0")
        assert own == project.folder_of("p0_0", "CD")
        assert list(own.iterdir()) == []
        with pytest.raises(InputError, match="not shown"):
            project.folder_of("p0_0", "EF")
    with again(asked, "AB") as project:
        assert project.case("p0_0").comment == "secret"
        assert project.case("p0_1").status == "new"
        assert [(r.reader, r.submitted) for r in project.readings("p0_0")] == [("CD", False), ("EF", False)]
        with pytest.raises(InputError, match="not shown"):
            project.folder_of("p0_0", "CD")


def test_one_reader_who_is_done_does_not_open_the_eyes_of_the_other(asked):
    with again(asked, "CD") as project:
        project.submit_reading("p0_0", "disagrees", "too small", Agreement(0.5, 1.0, 2.0))
        assert project.to_read() == []
        assert [r.verdict for r in project.readings("p0_0")] == ["disagrees", ""]
        with pytest.raises(InputError, match="already"):
            project.submit_reading("p0_0", "agrees")
    with again(asked, "EF") as project:
        assert project.to_read() == ["p0_0"]
        assert project.readings("p0_0") == []
        assert "too small" not in repr(project.audit())
        assert "too small" not in repr(project.cases())


def test_the_name_of_a_reader_is_the_same_with_other_spaces_and_capitals(asked):
    with again(asked, "  cd ") as project:
        assert project.to_read() == ["p0_0"]
        project.submit_reading("p0_0", "agrees")
    with again(asked, "ab") as project:
        with pytest.raises(InputError, match="already"):
            project.ask_second_reader("p0_0", "Cd")
        with pytest.raises(InputError, match="first"):
            project.ask_second_reader("p0_0", "AB")


def test_asking_says_why_it_cannot_be(tmp_path):
    with make(tmp_path) as project:
        with pytest.raises(InputError, match="cannot become"):
            project.ask_second_reader("p0_0", "CD")
        assert project.readings("p0_0") == []
        project.set_status(["p0_0"], "in_review")
        with pytest.raises(InputError, match="who is reading"):
            project.ask_second_reader("p0_0", " ")
        with pytest.raises(InputError, match="first"):
            project.ask_second_reader("p0_0", "ab")
        with pytest.raises(InputError, match="not asked"):
            project.submit_reading("p0_0", "agrees")


def test_an_asking_that_was_taken_back_can_be_done_again(tmp_path):
    with make(tmp_path) as project:
        project.set_status(["p0_0"], "in_review")
        project.ask_second_reader("p0_0", "CD")
        assert project.undo_status("p0_0") == "in_review"
        project.ask_second_reader("p0_0", "CD")
        assert project.case("p0_0").status == "second_reader"
    with again(tmp_path, "CD") as project:
        assert project.to_read() == ["p0_0"]


def test_adjudication_says_whose_mask_is_final_and_accepts_the_case(asked):
    with again(asked, "GH") as project, pytest.raises(InputError, match="No second reading"):
        project.adjudicate("p0_0", "first", "quick")
    with again(asked, "CD") as project:
        project.submit_reading("p0_0", "disagrees")
    with again(asked, "GH") as project:
        for chosen in ("EF", "XY", ""):
            with pytest.raises(InputError, match="none of the readers"):
                project.adjudicate("p0_0", chosen, "guess")
        project.adjudicate("p0_0", "CD", "sees the tail")
        case = project.case("p0_0")
        assert (case.status, case.reviewer, case.comment) == ("accepted", "GH", "sees the tail")
        assert project.final_reader("p0_0") == "CD"
        assert {"adjudicate", "status"} <= {row.act for row in project.audit("p0_0")}
        project.undo_status("p0_0")
        assert project.case("p0_0").status == "second_reader"
        assert project.final_reader("p0_0") == ""
        project.adjudicate("p0_0", "first", "after all")
        assert project.final_reader("p0_0") == ""
        assert project.verify() == ""


def test_agreement_is_that_of_a_case_counted_by_hand():
    first, second = np.zeros((9, 9, 1), int), np.zeros((9, 9, 1), int)
    first[2:6, 2:6], second[2:6, 3:7] = 1, 1  # two squares of 4 × 4, one beside: 12 voxels shared
    first[8, 8] = second[8, 8] = 2
    found = agreement(first, second, (1.0, 1.0, 1.0))
    assert found.dice == pytest.approx((2 * 12 / 32 + 1) / 2)
    # of 12 edge voxels of each square, 6 lie on the other's edge and 6 lie 1 mm off; label 2 agrees
    assert found.asd_mm == pytest.approx((0.5 + 0) / 2)
    assert found.hd95_mm == pytest.approx((1 + 0) / 2)


def test_a_structure_that_one_reader_left_out_is_not_averaged_away():
    first, second = np.zeros((6, 6, 6), int), np.zeros((6, 6, 6), int)
    first[1:3, 1:3, 1:3] = second[1:3, 1:3, 1:3] = 1
    first[5, 5, 5] = 2
    found = agreement(first, second, (1, 1, 1))
    assert found.dice < 0.7
    assert found.asd_mm is None and found.hd95_mm is None
    assert agreement(first * 0, second * 0, (1, 1, 1)) == Agreement(1.0, 0.0, 0.0)
    with pytest.raises(GeometryError):
        agreement(first, second[1:], (1, 1, 1))
