"""Who is held out: the share at the start, once and for ever, a patient's cases together."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_morse.errors import InputError
from napari_morse.session.project import Agreement, CaseFiles, PredictionRecord, Project, from_folders
from napari_morse.session.project.database import _CASES, transaction
from napari_morse.session.project.holdout import assign_held_out, first_assignment
from tests.project_cases import again, make, scans, sources

PATIENTS = st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), min_size=1, max_size=40)


def decided(connection):
    return {row["name"]: row["held_out"] for row in connection.execute("SELECT * FROM patients")}


@given(st.lists(PATIENTS, min_size=1, max_size=4), st.floats(0, 0.99), st.text("0123456789abcdef", min_size=32))
@settings(max_examples=30)
def test_the_share_is_met_at_the_start_and_nobody_is_ever_moved(rounds, share, project):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.executescript(_CASES)
    with transaction(connection) as cursor:
        first_assignment(cursor, project, share, rounds[0])
    before, count = decided(connection), len(rounds[0])
    held = sum(before.values())
    assert set(before) == rounds[0]
    if share > 0 and count > 1:
        assert 1 <= held < count
        assert abs(held - share * count) <= 0.5 or held in (1, count - 1)
    else:
        assert held == 0
    for added in rounds[1:]:
        with transaction(connection) as cursor:
            assign_held_out(cursor, project, share, added)
        after = decided(connection)
        assert before.items() <= after.items()
        assert set(after) == set(before) | added
        before = after
    connection.close()


def test_both_cases_of_a_patient_are_on_one_side_also_those_added_later(tmp_path):
    with make(tmp_path, patients=10) as project:
        held = {case.patient for case in project.cases() if case.held_out}
        assert len(held) == 2
        assert all(case.held_out == (case.patient in held) for case in project.cases())
    more = sources(tmp_path / "scans", patients=30, each=3)
    with again(tmp_path) as project:
        added = project.add_cases(more)
        assert len(added) == 90 - 20
        assert project.add_cases(more) == []
        sides = {}
        for case in project.cases():
            sides.setdefault(case.patient, set()).add(case.held_out)
        assert {patient for patient, side in sides.items() if side == {True}} >= held
        assert all(len(side) == 1 for side in sides.values())
        assert not any(sides[f"p{k}"] == {True} for k in range(10) if f"p{k}" not in held)
        first = {case.id: case.held_out for case in project.cases()}
    with again(tmp_path, read_only=True) as project:
        assert {case.id: case.held_out for case in project.cases()} == first


def test_another_project_holds_out_others(tmp_path):
    found = sources(tmp_path / "scans", 40, 1)
    held = []
    for name in ("a", "b"):
        with Project.create(tmp_path / name, found, name=name, reader="AB", holdout_share=0.5) as project:
            held.append([case.id for case in project.cases() if case.held_out])
    assert held[0] != held[1]
    assert [len(ids) for ids in held] == [20, 20]


def test_a_case_without_a_patient_is_its_own_also_under_a_name_that_others_have(tmp_path):
    found = [CaseFiles(scans(tmp_path / f"scan{k}", 1, 1) / "p0_0.nii.gz") for k in range(10)]
    with Project.create(tmp_path / "study", found, name="", reader="AB") as project:
        assert len({case.patient for case in project.cases()}) == 10
        assert sum(case.held_out for case in project.cases()) == 2


@pytest.mark.parametrize("share", [-0.1, 1, 2, float("nan")])
def test_a_share_that_is_none_is_refused_and_leaves_nothing(tmp_path, share):
    with pytest.raises(InputError, match="held out"):
        make(tmp_path, holdout_share=share)
    assert not (tmp_path / "study").exists()


def test_how_a_truth_came_about_is_kept_for_held_out_cases_only(tmp_path):
    truths = tmp_path / "truths"
    truths.mkdir()
    scans(tmp_path / "scans", 4, 1)
    (truths / "p0_0_mask.nii.gz").write_bytes(b"truth")
    with Project.create(tmp_path / "study", from_folders(tmp_path / "scans", truths=truths), name="", reader="AB") as p:
        assert p.case("p0_0").truth_from == "given"
        held = next(case.id for case in p.cases() if case.held_out)
        kept = next(case.id for case in p.cases() if not case.held_out)
        p.set_truth_from(held, "from_model")
        assert p.case(held).truth_from == "from_model"
        assert p.audit(held)[-1].details == {"from": "from_model"}
        with pytest.raises(InputError, match="held out"):
            p.set_truth_from(kept, "given")
        with pytest.raises(InputError, match="truth"):
            p.set_truth_from(held, "dreamt")


def held_out(project):
    return next(case.id for case in project.cases() if case.held_out)


def test_an_accepted_mask_is_a_truth_and_says_what_it_was_made_from(tmp_path):
    with make(tmp_path, holdout_share=0.5) as project:
        case, kept = held_out(project), next(c.id for c in project.cases() if not c.held_out)
        assert project.case(case).wants_truth and not project.case(kept).wants_truth
        project.record_prediction(case, PredictionRecord("m", "f" * 64, 1.0, 1.0, {}))
        project.set_status([case], "accepted")
        assert project.case(case).truth_from == "from_model" and project.case(case).wants_truth
        assert project.audit(case)[-1].details["truth_from"] == "from_model"
        assert project.undo_status(case) == "predicted" and project.case(case).truth_from == ""
        project.set_status([kept], "in_review")
        project.set_status([kept], "accepted")
        assert project.case(kept).truth_from == ""


def test_a_mask_that_no_model_had_a_hand_in_is_a_blank_start(tmp_path):
    with make(tmp_path, holdout_share=0.5) as project:
        case = held_out(project)
        project.set_status([case], "in_review")
        project.set_status([case], "accepted")
        assert project.case(case).truth_from == "blank_start" and not project.case(case).wants_truth
        project.set_truth_from(case, "blank_start")
        assert project.undo_status(case) == "in_review"


def test_what_was_said_of_a_truth_is_not_replaced_by_accepting(tmp_path):
    with make(tmp_path, holdout_share=0.5) as project:
        case = held_out(project)
        project.record_prediction(case, PredictionRecord("m", "f" * 64, 1.0, 1.0, {}))
        project.set_truth_from(case, "blank_start")
        project.set_status([case], "accepted")
        assert project.case(case).truth_from == "blank_start"
        project.undo_status(case)
        assert project.case(case).truth_from == "blank_start"


@pytest.mark.parametrize(("before", "found", "after"), [
    ("", Agreement(0.9, 0.1, 1.0), "second_reader"),
    ("from_model", Agreement(0.9, 0.1, 1.0), "second_reader"),
    ("blank_start", Agreement(0.9, 0.1, 1.0), "blank_start"),
    ("", None, ""),
])  # fmt: skip
def test_a_second_readers_mask_is_the_truth_where_there_is_no_better(tmp_path, before, found, after):
    with make(tmp_path, holdout_share=0.5) as project:
        case = held_out(project)
        project.set_status([case], "in_review")
        if before:
            project.set_truth_from(case, before)
        project.ask_second_reader(case, "CD")
    with again(tmp_path, "CD") as project:
        project.submit_reading(case, "read", "", found)
        assert project.case(case).truth_from == after
