"""The worklist: moves, taking them back, order, filter, next and previous, time; everything in the audit."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from napari_morse.errors import InputError
from napari_morse.session.project import MOVES, STATUSES, PredictionRecord, Project
from tests.project_cases import again, make, sources, tamper

SAID = PredictionRecord("model", "d1", 3.5, 12.0, {"anterior": 1.5})


@pytest.fixture
def project(tmp_path):
    with make(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with make(tmp_path_factory.mktemp("moves")) as made:
        yield made


def put(project, case, status):
    """Bring a case to a status by hand: not every one can be reached in one move."""
    project._connection.execute("UPDATE cases SET status = ? WHERE id = ?", (status, case))


@pytest.mark.parametrize(("before", "after"), list(itertools.product(STATUSES, STATUSES)))
def test_only_moves_of_the_table_are_made(shared, before, after):
    project = shared
    put(project, "p0_0", before)
    rows = len(project.audit())
    if after in MOVES[before]:
        project.set_status(["p0_0"], after)
        assert project.case("p0_0").status == after
        assert len(project.audit()) == rows + 1
    else:
        with pytest.raises(InputError, match="cannot become"):
            project.set_status(["p0_0"], after)
        assert project.case("p0_0").status == before
        assert len(project.audit()) == rows


def test_every_status_has_a_way_out_and_a_way_in():
    assert set(MOVES) == set(STATUSES)
    assert all(MOVES.values())
    assert {after for ways in MOVES.values() for after in ways} == set(STATUSES) - {"new"}


def test_an_unknown_status_is_refused(project):
    with pytest.raises(InputError, match="cannot become perfect"):
        project.set_status(["p0_0"], "perfect")


def test_a_bulk_move_is_all_or_nothing_and_can_be_taken_back_case_by_case(project):
    ids = [case.id for case in project.cases()]
    project.set_status(ids, "in_review")
    put(project, ids[-1], "new")
    with pytest.raises(InputError):
        project.set_status(ids, "accepted")
    assert project.counts()["accepted"] == 0
    put(project, ids[-1], "in_review")
    project.set_status(ids, "accepted", "fine")
    assert [project.undo_status(case) for case in ids] == ["in_review"] * len(ids)
    assert {(c.status, c.comment) for c in project.cases()} == {("in_review", "")}
    assert project.verify() == ""


def test_moves_are_taken_back_one_by_one_to_the_first(project):
    for status in ("in_review", "rejected", "in_review", "accepted"):
        project.set_status(["p0_0"], status)
    assert [project.undo_status("p0_0") for _ in range(4)] == ["in_review", "rejected", "in_review", "new"]
    with pytest.raises(InputError, match="take back"):
        project.undo_status("p0_0")
    project.set_status(["p0_0"], "in_review")
    assert project.undo_status("p0_0") == "new"
    assert [e.act for e in project.audit("p0_0")].count("undo status") == 5


def test_taking_a_move_back_brings_reviewer_and_comment_back_but_keeps_what_was_said_since(tmp_path):
    with make(tmp_path) as project:
        project.set_status(["p0_0", "p0_1"], "in_review", "first look")
    with again(tmp_path, "CD") as project:
        project.set_status(["p0_0", "p0_1"], "accepted", "good")
        project.comment("p0_1", "but look at the tail")
        for case in ("p0_0", "p0_1"):
            project.undo_status(case)
        assert [project.case(c).reviewer for c in ("p0_0", "p0_1")] == ["AB", "AB"]
        assert [project.case(c).comment for c in ("p0_0", "p0_1")] == ["first look", "but look at the tail"]


def test_comment_time_and_prediction_stand_in_the_audit(project):
    project.comment("p0_0", "  hello  ")
    project.add_time("p0_0", 12.34)
    project.add_time("p0_0", float("nan"))
    project.add_time("p0_0", -5)
    project.record_prediction("p0_0", SAID)
    case = project.case("p0_0")
    assert (case.comment, case.seconds, case.status, case.model) == ("hello", 12.34, "predicted", "model")
    assert (case.doubt_mm, case.disagreement_mm3, case.sizes) == (3.5, 12.0, {"anterior": 1.5})
    rows = project.audit("p0_0")
    assert [row.act for row in rows] == ["comment", "time", "time", "time", "prediction"]
    assert [rows[0].details["text"], rows[1].details["seconds"], rows[4].details["digest"]] == ["hello", 12.3, "d1"]
    assert {row.reader for row in rows} == {"AB"}
    assert [row.number for row in project.audit()] == list(range(1, 7))


def test_numbers_of_numpy_are_kept(project):
    said = PredictionRecord("m", "d", np.float32(1.5), np.float32(2.5), {"a": np.float32(0.5)})
    project.record_prediction("p0_0", said)
    assert (project.case("p0_0").doubt_mm, project.case("p0_0").sizes) == (1.5, {"a": 0.5})


def test_a_prediction_moves_no_case_that_a_person_has_touched(project):
    project.set_status(["p0_0"], "corrected")
    project.record_prediction("p0_0", SAID)
    assert project.case("p0_0").status == "corrected"


def test_odd_letters_in_comments_are_kept_or_replaced_and_never_an_error(project):
    project.comment("p0_0", "ä\n“x” \0 \udcff" + "y" * 5000)
    assert project.case("p0_0").comment.startswith("ä\n“x” \0 ?yyy")
    assert len(project.case("p0_0").comment) == 2000
    assert project.verify() == ""


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE audit SET details = '{}' WHERE number = 3", "Row 3 of the audit trail was changed."),
        ("UPDATE audit SET reader = 'XY' WHERE number = 2", "Row 2 of the audit trail was changed."),
        ("UPDATE audit SET at = at || ' ' WHERE number = 4", "Row 4 of the audit trail was changed."),
        ("DELETE FROM audit WHERE number = 3", "Row 3 of the audit trail is missing."),
        ("DELETE FROM audit WHERE number = 1", "Row 1 of the audit trail is missing."),
        ("INSERT INTO audit SELECT 6, at, reader, case_id, act, details, chain FROM audit WHERE number = 5", "Row 6"),
        ("INSERT INTO audit SELECT 0, at, reader, case_id, act, details, chain FROM audit WHERE number = 5", "Row 1"),
        (
            "UPDATE audit SET number = 9 WHERE number = 3; UPDATE audit SET number = 3 WHERE number = 4",
            "Row 3 of the audit trail was changed.",
        ),
    ],
)
def test_rows_that_were_edited_removed_or_put_in_are_found(tmp_path, statement, sentence):
    with make(tmp_path) as project:
        for text in "abcd":
            project.comment("p0_0", text)
        assert project.verify() == ""
    tamper(tmp_path, statement)
    with again(tmp_path, read_only=True) as project:
        assert project.verify().startswith(sentence)


@pytest.mark.parametrize("statement", ["UPDATE audit SET reader = 'X'", "DELETE FROM audit"])
def test_the_database_itself_refuses_to_change_the_audit(project, statement):
    with pytest.raises(InputError, match="never"):
        project._connection.execute(statement)
    assert project.verify() == ""


def test_cases_come_in_order_those_without_a_value_last(project):
    for case, doubt in (("p1_0", 2.0), ("p0_1", 9.0), ("p2_1", 2.0)):
        project.record_prediction(case, PredictionRecord("m", "d", doubt, 0.0, {}))
    names = [case.id for case in project.cases("doubt", descending=True)]
    assert names == ["p0_1", "p1_0", "p2_1", "p0_0", "p1_1", "p2_0"]
    assert [case.id for case in project.cases("doubt")] == ["p1_0", "p2_1", "p0_1", "p0_0", "p1_1", "p2_0"]
    assert [case.status for case in project.cases("status")] == ["new"] * 3 + ["predicted"] * 3
    with pytest.raises(InputError, match="sorted"):
        project.cases("size")


def test_the_filter_looks_into_name_comment_reviewer_and_patient_in_any_letters(project):
    project.comment("p1_1", "Größe ÄNDERN")
    assert [case.id for case in project.cases(text="grösse") + project.cases(text="größe ändern")] == ["p1_1"] * 2
    assert [case.id for case in project.cases(text="P2")] == ["p2_0", "p2_1"]
    project.set_status(["p0_1"], "in_review")
    assert [case.id for case in project.cases(statuses=["in_review"])] == ["p0_1"]
    assert project.cases(text="%") == []


def test_next_and_previous_follow_order_and_filter_also_from_a_case_that_no_longer_passes(project):
    project.set_status(["p0_1", "p1_0"], "in_review")
    assert project.next().id == "p0_0"
    assert project.next("p0_0", statuses=["new"]).id == "p1_1"
    assert project.next("p0_1", statuses=["new"]).id == "p1_1"
    assert project.previous("p1_1", statuses=["new"]).id == "p0_0"
    assert project.next("p0_0", "name", descending=True) is None
    assert project.previous("p0_0", "name", descending=True).id == "p0_1"
    assert project.next("p2_1") is None
    assert project.previous("p0_0") is None
    with pytest.raises(InputError, match="no case"):
        project.next("nobody")


def test_the_place_where_one_was_is_kept(tmp_path):
    with make(tmp_path) as project:
        assert project.current == ""
        project.current = "p1_1"
        with pytest.raises(InputError, match="no case"):
            project.current = "nobody"
    with again(tmp_path) as project:
        assert project.current == "p1_1"


def test_signals_name_the_cases_that_changed(project, tmp_path):
    seen = []
    project.changed.connect(seen.append)
    project.set_status(["p0_0", "p0_1", "p0_0"], "in_review")
    project.undo_status("p0_1")
    with pytest.raises(InputError):
        project.set_status(["p0_0"], "new")
    assert seen == [("p0_0", "p0_1"), ("p0_1",)]


@pytest.mark.alone
def test_a_project_of_2000_cases_opens_in_two_seconds_and_goes_on_in_300_ms(tmp_path):
    with Project.create(tmp_path / "study", sources(tmp_path / "scans", 1000, 2), name="many", reader="AB") as project:
        project.set_status([case.id for case in project.cases()], "in_review")
    factor = 3  # the machine that tests may be busy
    began = time.perf_counter()
    with again(tmp_path) as project:
        assert len(project.cases("doubt", descending=True)) == 2000
        assert time.perf_counter() - began < 2 * factor
        began = time.perf_counter()
        found = project.next(project.cases()[1000].id, "doubt", descending=True)
        project.scan_of(found.id), project.folder_of(found.id), project.audit(found.id)
        assert time.perf_counter() - began < 0.3 * factor
