"""Rounds of a project: which cases, a process that outlives the window, and what becomes of the model."""

from __future__ import annotations

import gc
import json
import os
import signal
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_morse import zoo
from napari_morse.config import LabelEntry
from napari_morse.errors import CancelledError, InputError
from napari_morse.inference.predictor import Predictor
from napari_morse.io import open_mask, open_scan
from napari_morse.io.mask_store import StoredMask, save_store
from napari_morse.session.learn import (
    Choice,
    MaskStructures,
    OpenMask,
    Round,
    candidates,
    prepare_round,
    rounds,
    structures_in_masks,
)
from napari_morse.session.learn.gather import new_name
from napari_morse.session.project import Project
from napari_morse.training.finetuning import process
from napari_morse.training.finetuning.judging import rederived
from napari_morse.training.settings import TuneSettings
from napari_morse.training.source import digests
from tests.project_cases import box
from tests.round_cases import cancelled_soon, choice, lesion, make_study, wait, wait_for_step


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight cases of four patients, a quarter held out, all accepted with a mask of their own."""
    return make_study(tmp_path, monkeypatch, lambda case: box(2 + case))


def test_the_plan_has_the_masks_as_they_are_and_no_held_out_patient(study: Path):
    made = prepare_round(study, "AB", choice(study))
    plan = made.plan
    with Project.open(study, read_only=True) as project:
        held = {case.id for case in project.cases() if case.held_out}
    assert len(held) == 2 and {s.name for s in plan.held_out} == held
    assert not held & {s.name for s in plan.train} and len(plan.train) == 6 and plan.by == "AB"
    assert not {s.patient for s in plan.train} & {s.patient for s in plan.held_out}
    np.testing.assert_array_equal(open_mask(plan.train[0].labels).data, box(3))  # what a person accepted
    truth = open_mask(plan.held_out[0].labels).data
    assert any(np.array_equal(truth, box(start)) for start in (2, 3))


def test_a_held_out_case_that_is_asked_for_is_not_trained_on(study: Path):
    with Project.open(study, read_only=True) as project:
        ids = tuple(case.id for case in project.cases())
    wanted = choice(study)
    with pytest.raises(InputError, match=r"on one side|judges the model"):
        prepare_round(study, "AB", Choice(wanted.model, wanted.name, ids, wanted.settings))
    assert not list((study / "learn").iterdir())


def test_labels_that_the_model_does_not_know_and_no_case_are_sentences_and_leave_nothing(study: Path):
    wanted = choice(study)
    with pytest.raises(InputError, match="no case to train on"):
        prepare_round(study, "AB", Choice(wanted.model, wanted.name, (), wanted.settings))
    save_store(StoredMask(box(3, label=7), b"", {}), study / "cases" / wanted.cases[0] / "corrected.zarr.zip")
    with pytest.raises(InputError, match="label 7"):
        prepare_round(study, "AB", wanted)
    assert not list((study / "learn").iterdir())


@pytest.fixture
def lesions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same study, but that all truths hold the label 7, too."""
    return make_study(tmp_path, monkeypatch, lambda _case: lesion())


def with_lesion(study: Path, cases: tuple[str, ...]) -> None:
    """Another structure in some masks."""
    for case in cases:
        save_store(StoredMask(lesion(), b"", {}), study / "cases" / case / "corrected.zarr.zip")


def test_a_structure_that_the_model_does_not_know_is_learned_where_that_is_wanted(lesions: Path):
    study, wanted = lesions, choice(lesions, what="decoder")
    with_lesion(study, wanted.cases[:2])
    plain = prepare_round(study, "AB", replace(wanted, cases=wanted.cases[2:]))
    assert not plain.plan.new_labels and not plain.plan.held_out  # its truths hold what the model will not know
    with Project.open(study, read_only=True) as project:
        assert set(plain.plan.passed_over) == {case.id for case in project.cases() if case.held_out}
    wanted = replace(wanted, learn_new=True, names={7: "lesion"})
    with pytest.raises(InputError, match="A head alone"):
        prepare_round(study, "AB", replace(wanted, settings=TuneSettings(what="head")))
    made = prepare_round(study, "AB", wanted)
    assert made.plan.new_labels == (LabelEntry(id=7, name="lesion", color="#56b4e9"),)
    assert len(made.plan.held_out) == 2 and not made.plan.passed_over
    made.start()
    wait(made, "done")
    verdict = made.verdict
    assert verdict is not None and len(verdict.cases) == 2 and verdict.ids == (1, 2, 7) and verdict.new == ("lesion",)
    assert "The base model does not know lesion" in verdict.sentence
    assert rederived(made.folder).sentence == verdict.sentence
    made.keep("AB")
    predictor = Predictor(zoo.load("small-tuned-1"))
    predictor.set_scan(open_scan(made.plan.train[0].scan))
    assert [(x.id, x.name, x.color) for x in predictor.predict().rendered.labels][2] == (7, "lesion", "#56b4e9")


def test_a_label_that_no_card_can_hold_is_a_sentence(study: Path):
    wanted = replace(choice(study, what="all"), learn_new=True)
    large = box(3).astype(np.uint32) * 70_000
    save_store(StoredMask(large, b"", {}), study / "cases" / wanted.cases[0] / "corrected.zarr.zip")
    with pytest.raises(InputError, match="70000"):
        prepare_round(study, "AB", wanted)
    assert not list((study / "learn").iterdir())


def test_what_masks_hold_is_read_anew_only_where_one_has_changed(study: Path):
    cases, found = choice(study).cases, {}

    def look(open_case: OpenMask | None = None) -> list[str]:
        told = []

        def tell(case: str, held_by_it: MaskStructures) -> None:
            told.append(case)
            found[case] = held_by_it

        structures_in_masks(study, "AB", cases, dict(found), open_case, tell, lambda: False)
        return told

    assert look() == list(cases) and {each.ids for each in found.values()} == {(1,)}
    assert look() == []
    with_lesion(study, cases[1:2])
    assert look() == [cases[1]] and found[cases[1]].ids == (1, 7)
    under_work = OpenMask(cases[0], lesion(9), 3)
    assert look(under_work) == [cases[0]] and found[cases[0]].ids == (1, 9)
    assert look(under_work) == [] and look() == [cases[0]]
    with pytest.raises(CancelledError):
        structures_in_masks(study, "AB", cases, {}, None, lambda *_: None, lambda: True)


def test_a_round_runs_beside_the_window_and_its_model_is_kept_under_a_new_name(study: Path):
    before = zoo.load("small").digest
    made = prepare_round(study, "AB", choice(study))
    made.start()
    with pytest.raises(InputError, match="running already"):
        made.start()
    other = rounds(study)[-1]  # another window finds it
    wait(made, "done")
    assert other.state == "done" and next(e["event"] for e in other.history()) == "begun"
    assert made.verdict is not None and len(made.verdict.cases) == 2
    kept = made.keep("AB")
    assert kept.name == "small-tuned-1" and rounds(study)[-1].decision == "kept"
    card = zoo.load("small-tuned-1").card
    assert card.tuned is not None and card.tuned.parent == "small" and card.lineage == (before,)
    assert zoo.load("small").digest == before and new_name("small") == "small-tuned-2"
    assert new_name("small-tuned-1") == "small-tuned-2"
    assert made.roll_back("AB") == "small" and rounds(study)[-1].decision == "rolled_back"
    assert zoo.find("small-tuned-1")  # nothing is lost


def test_the_next_round_replays_what_was_learned_from_and_judges_by_the_same_patients(study: Path):
    wanted = choice(study)
    first = prepare_round(study, "AB", Choice("small", "one", wanted.cases[:4], wanted.settings))
    first.start()
    wait(first, "done")
    first.keep("AB")
    second = prepare_round(study, "AB", Choice("one", "two", wanted.cases, wanted.settings)).plan
    assert {s.name for s in second.earlier} == set(wanted.cases[:4])
    assert {s.name for s in second.train} == set(wanted.cases[4:])
    assert digests(second.held_out) == digests(first.plan.held_out)


def test_a_killed_round_is_found_again_and_goes_on(study: Path):
    made = prepare_round(study, "AB", choice(study, steps=60, checks=1))
    made.start()
    limit = time.monotonic() + 120
    while not any(e.get("step", 0) >= 12 for e in made.history()) and time.monotonic() < limit:
        time.sleep(0.02)
    os.kill(json.loads((made.folder / process.PID).read_text())["pid"], signal.SIGKILL)
    wait(made, "stopped")
    again = rounds(study)[-1]
    assert again.state == "stopped"
    again.start(resume=True)
    wait(again, "done")
    resumed = [e for e in again.history() if e["event"] == "prepared"]
    assert [e["resumed"] for e in resumed] == [False, True]


def test_a_failed_round_goes_on_from_its_checkpoint_and_its_old_end_counts_no_more(study: Path):
    made = prepare_round(study, "AB", choice(study, steps=40, checks=1))
    judge = made.plan.held_out[0].scan
    made.start()
    limit = time.monotonic() + 120
    while not any(e.get("step", 0) >= 12 for e in made.history()) and time.monotonic() < limit:
        time.sleep(0.02)
    judge.rename(judge.with_suffix(".away"))  # it cannot be judged now
    wait(made, "failed")
    other = rounds(study)[-1]
    assert other.state == "failed" and judge.name in other.last["text"]
    made.start(resume=True)
    assert made.state == "running" and other.state == "running"  # another window, before the process says anything
    os.kill(json.loads((made.folder / process.PID).read_text())["pid"], signal.SIGKILL)
    wait(made, "stopped")
    assert other.state == "stopped" and rounds(study)[-1].state == "stopped"
    judge.with_suffix(".away").rename(judge)
    other.start(resume=True)
    wait(other, "done")
    told = other.history()
    resumed = max(place for place, e in enumerate(told) if e["event"] == "again")
    assert all(e["step"] > 10 for e in told[resumed:] if e["event"] == "step")
    assert [e["resumed"] for e in told[resumed:] if e["event"] == "prepared"] == [True]


@pytest.mark.alone
def test_pause_go_and_cancel(study: Path):
    made = prepare_round(study, "AB", choice(study, steps=100_000, what="all"))
    made.start()
    wait_for_step(made)
    made.pause()
    wait(made, "paused")
    made.go()
    wait(made, "running")
    cancelled_soon(made)
    assert not made.alive and made.verdict is None
    with pytest.raises(InputError, match="not come to its end"):
        made.keep("AB")


@pytest.mark.alone
def test_a_run_that_does_not_answer_is_ended_within_two_seconds(study: Path):
    made = prepare_round(study, "AB", choice(study, steps=100_000))
    made.start()
    limit = time.monotonic() + 120
    while not made.poll() and time.monotonic() < limit:
        time.sleep(0.02)
    pid = json.loads((made.folder / process.PID).read_text())["pid"]
    os.kill(pid, signal.SIGSTOP)  # hangs
    asked = time.monotonic()
    made.cancel()
    assert wait(made, "cancelled") and time.monotonic() - asked < 2.0 and not made.alive


def test_discarding_removes_the_model_and_leaves_the_verdict(study: Path):
    made = prepare_round(study, "AB", choice(study))
    made.start()
    wait(made, "done")
    made.discard("AB")
    assert made.decision == "discarded" and made.verdict is not None and not (made.folder / "model").exists()
    assert [info.name for info in zoo.available() if not info.shipped] == ["small"]


def test_damaged_lines_of_the_protocol_are_skipped(tmp_path: Path):
    (tmp_path / process.EVENTS).write_text(
        '{"event": "begun"}\nnonsense\n[1]\n{"event": "step", "step": 1}\n{"event": "st'
    )
    found = Round(tmp_path)
    assert [e["event"] for e in found.poll()] == ["begun", "step"] and found.poll() == []
    with (tmp_path / process.EVENTS).open("a") as file:
        file.write('ep", "step": 2}\n')
    assert [e["step"] for e in found.poll()] == [2]


def test_a_round_that_is_left_goes_on_without_a_warning(study: Path):
    made = prepare_round(study, "AB", choice(study, steps=60, checks=1))
    made.start()
    while not made.last:
        made.poll()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made.leave()
        gc.collect()
    assert not told and made.alive and made.state == "running"
    made.cancel()
    wait(made, "cancelled")
    limit = time.monotonic() + 10
    while made.alive and time.monotonic() < limit:
        time.sleep(0.05)
    assert not made.alive


def test_what_is_to_be_read_blind_neither_trains_nor_judges(study: Path):
    with Project.open(study, reader="AB") as project:
        held = [case.id for case in project.cases() if case.held_out]
        project.set_status([held[0]], "in_review")
        project.ask_second_reader(held[0], "CD")
    with Project.open(study, reader="CD", read_only=True) as project:
        told = {found.id: found.missing for found in candidates(project)}
    assert "blind" in told.get(held[0], "blind") and not told[held[1]]
    wanted = choice(study)
    plan = prepare_round(study, "CD", wanted).plan
    assert [source.name for source in plan.held_out] == [held[1]]


def test_an_empty_mask_is_trained_on_only_where_a_person_means_it(study: Path):
    wanted = choice(study)
    blank = wanted.cases[0]
    with Project.open(study, reader="AB") as project:
        save_store(StoredMask(0 * box(3), b"", {}), project.folder_of(blank) / "corrected.zarr.zip")
    with pytest.raises(InputError, match=f"{blank} is empty") as caught:
        prepare_round(study, "AB", wanted)
    assert "Untick" in caught.value.hint and not rounds(study)
    with pytest.raises(InputError, match="is empty"):
        prepare_round(study, "AB", replace(wanted, cases=(blank,)))
    made = prepare_round(study, "AB", replace(wanted, empty=(blank,)))
    assert blank in {source.name for source in made.plan.train}
