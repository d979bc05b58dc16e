"""The rules of a case, without a window: every status, with and without a model, a mask, a truth."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from napari_morse.session.case_files import CORRECTED
from napari_morse.session.project import MOVES, STATUSES, Case, PredictionRecord
from napari_morse.session.project import rules as R
from napari_morse.session.project.records import TRUTHS, check_move
from tests.project_cases import make

PLAIN = Case("a", 1, "a", Path("a.nii.gz"), None, None, "a")
EVERY = [
    replace(
        PLAIN, status=status, truth_from=truth_from if held_out else "", held_out=held_out, model=model,
        mask=Path("m.nii.gz") if mask else None, truth=Path("t.nii.gz") if truth else None,
    )
    for status, truth_from, held_out, model, mask, truth in product(
        STATUSES, TRUTHS, (False, True), ("", "m"), (False, True), (False, True)
    )
    if held_out or not truth_from
]  # fmt: skip
HELD = replace(PLAIN, held_out=True)


def name(case):
    return "-".join((case.status, case.truth_from or "no", f"held{case.held_out:d}", case.model or "no"))


def test_there_is_a_case_of_every_kind():
    assert len(EVERY) == 7 * 2 * 2 * 2 * (1 + 5)
    assert sum(R.hides_model_output(case) for case in EVERY) not in (0, len(EVERY))


@pytest.mark.parametrize("blind", [False, True])
def test_an_edit_leads_only_where_the_table_of_statuses_leads_and_ends_as_corrected(blind):
    for case in EVERY:
        found, status = R.after_edit(case, blind), case.status
        for after in found.statuses:
            status = check_move(status, after)
        if blind:
            assert found == R.NO_CONSEQUENCE, "the first reader's case moves while somebody reads it blind"
        else:
            assert status == ("second_reader" if case.status == "second_reader" else "corrected"), name(case)


def test_an_edit_of_a_decided_mask_takes_the_decision_back_first():
    for case in EVERY:
        found = R.after_edit(case, blind=False)
        assert ("in_review" in found.statuses) == R.is_decided(case), "another mask stays accepted"


def test_the_first_edit_says_that_a_truth_was_begun_blank_and_one_after_a_look_says_so_too():
    assert R.after_edit(HELD, blind=False).truth_from == "blank_start"
    assert R.after_edit(PLAIN, blind=False).truth_from is None, "a case for training has a truth"
    looked = replace(HELD, truth_from="blank_start", model="m")
    assert R.after_edit(looked, blind=False) == R.Consequence("from_model", ("corrected",), R.LOOKED)
    assert R.after_edit(replace(looked, model=""), blind=False).truth_from is None
    with_truth = replace(HELD, truth=Path("t.nii.gz"))
    assert R.after_edit(with_truth, blind=False).truth_from is None


def test_nothing_of_a_model_is_shown_of_a_truth_until_somebody_says_that_it_is_made_from_one():
    for case in EVERY:
        if case.truth_from in ("given", "second_reader", "from_model") or (not case.held_out and not case.truth_from):
            assert not R.hides_model_output(case), name(case)
        if case.truth_from == "blank_start" or (case.held_out and case.truth is None and not case.truth_from):
            assert R.hides_model_output(case), name(case)


def test_a_look_at_a_model_is_noted_wherever_it_was_hidden_and_the_truth_not_done():
    for case in EVERY:
        found = R.after_look(case)
        hidden = R.hides_model_output(case) and not R.is_decided(case)
        assert (found.truth_from == "from_model") == hidden == bool(found.told), name(case)
        assert found.statuses == (), "a look moves a case"


def test_opening_moves_only_what_nobody_has_looked_at():
    for case in EVERY:
        found = R.after_opening(case)
        assert found.statuses == (("in_review",) if case.status in ("new", "predicted") else ())
        assert all(after in MOVES[case.status] for after in found.statuses)


def test_no_model_runs_ahead_on_a_truth_before_it_is_done_nor_where_there_is_a_mask():
    for case in EVERY:
        if R.predicted_ahead(case):
            assert not case.model and case.mask is None
            assert not R.hides_model_output(case) or case.status == "accepted", name(case)
    assert R.predicted_ahead(PLAIN) and R.predicted_ahead(replace(PLAIN, status="in_review"))
    assert not R.predicted_ahead(replace(PLAIN, status="second_reader")), "a reader who reads blind waits for no model"
    assert not R.predicted_ahead(HELD) and R.predicted_ahead(replace(HELD, truth_from="blank_start", status="accepted"))


def test_a_run_begins_corrections_only_where_nobody_decided_and_no_mask_came_with_the_case():
    for case in EVERY:
        if R.begins_anew_with_run(case):
            assert case.mask is None and not R.is_decided(case) and not R.hides_model_output(case)
    assert R.begins_anew_with_run(PLAIN)


@pytest.mark.parametrize("decided_unpredicted", [False, True])
def test_an_untouched_mask_stands_where_it_was_decided_on_or_begun_blank(decided_unpredicted):
    for case in EVERY:
        found = R.keeps_untouched(case, decided_unpredicted)
        if R.hides_model_output(case):
            assert found
        elif not R.is_decided(case):
            assert not found, "a newer run is not shown"
        else:
            assert found == (case.mask is not None or not case.model or decided_unpredicted)


def test_where_an_accepted_truth_comes_from_is_told_by_what_was_shown():
    told = {ways: R.truth_of_accepted(begun=ways[0], predicted=ways[1], given=ways[2])
            for ways in product((False, True), repeat=3)}  # fmt: skip
    assert {ways for ways, source in told.items() if source == "from_model"} == {
        (False, True, False), (False, False, True), (False, True, True)
    }  # fmt: skip
    assert set(told.values()) == {"from_model", "blank_start"}


def test_nobody_decides_on_a_mask_that_is_not_in_view_and_a_blind_reader_only_submits():
    for case, wanted, blind in product(EVERY, R.DECIDED, (False, True)):
        assert R.decision_of(case, wanted, blind=blind, in_view=False) == "bring"
        seen = R.decision_of(case, wanted, blind=blind, in_view=True)
        if blind:
            assert seen == ("submit" if wanted == "accepted" else None)
        elif wanted == "rejected":
            assert seen == "move"
        else:
            assert seen == ("adjudicate" if case.status == "second_reader" else "accept")


def test_a_truth_that_was_opened_blank_and_accepted_is_no_model_s(tmp_path):
    with make(tmp_path, holdout_share=0.9) as project:
        opened, listed = [case.id for case in project.cases() if case.held_out][:2]
        for case in (opened, listed):
            project.record_prediction(case, PredictionRecord("m", "0" * 64, 1.0, 2.0, {"all": 3.0}))
        (project.folder_of(opened) / CORRECTED).write_bytes(b"begun")
        project.set_status([opened, listed], "accepted")
        assert [project.case(case).truth_from for case in (opened, listed)] == ["blank_start", "from_model"]
