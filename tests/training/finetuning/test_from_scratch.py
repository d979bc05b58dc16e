"""A new model from the labels alone: a fitted recipe, resumed as if never stopped, judged without a before."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_morse import zoo
from napari_morse.cli.finetune import show
from napari_morse.errors import CancelledError, InputError
from napari_morse.io import open_mask, save_mask
from napari_morse.io.mask_store import StoredMask, save_store
from napari_morse.session.learn import Choice, prepare_round, rounds
from napari_morse.training.cases import TrainingCase
from napari_morse.training.finetuning import from_scratch as anew
from napari_morse.training.finetuning import process
from napari_morse.training.finetuning.from_scratch import NewRun, told_by_side
from napari_morse.training.finetuning.judging import rederived
from napari_morse.training.finetuning.plan import Anew, Plan
from napari_morse.training.finetuning.verdict import CaseVerdict, Figures, Verdict, sentence_alone
from napari_morse.training.palette import label_entries
from napari_morse.training.settings import TuneSettings
from napari_morse.training.source import CODE_UNREVIEWED, digests
from napari_morse.types import Mask
from tests.project_cases import box
from tests.round_cases import cancelled_soon, choice, make_study, wait, wait_for_step
from tests.tuning_cases import SHAPE, save_case

LABELS = label_entries([(1, "a"), (2, "b")])


def plan_of(folder: Path, train: int = 3, held: int = 2, whole: bool = True, **settings: object) -> Plan:
    sources = [save_case(folder, n) for n in range(train + held)]
    return Plan(
        model="", name="own", by="AB", train=tuple(sources[:train]), held_out=tuple(sources[train:]),
        new_labels=LABELS, anew=Anew(whole=whole), settings=TuneSettings.model_validate({"steps": 6, **settings}),
    )  # fmt: skip


@pytest.mark.slow
def test_a_new_model_is_made_judged_and_says_what_it_saw(tmp_path: Path):
    plan, told = plan_of(tmp_path).model_copy(update={"created": "2020-02-29"}), []
    verdict = NewRun(plan, tmp_path / "run", told.append).run()
    assert verdict.alone and not verdict.p and not verdict.samples and len(verdict.cases) == 2
    assert "mean Dice" in verdict.sentence and "no base model to compare it with" in verdict.sentence
    assert all(set(case.figures) == {"after rendered", "after coarse"} for case in verdict.cases)
    assert rederived(tmp_path / "run") == verdict
    card = zoo.load(tmp_path / "run" / "model").card
    assert card.created == plan.created  # whenever it came to its end
    assert card.labels == LABELS and card.lineage == () and card.version == 1 and card.recipe.backbone.classes == 3
    assert card.tuned is not None and card.tuned.parent == "" and card.tuned.by == "AB"
    assert card.tuned.trained == digests(plan.train) and card.tuned.held_out == digests(plan.held_out)
    assert card.tuned.verdict == verdict.sentence
    figure = float(np.mean([case.figures["after rendered"].dice for case in verdict.cases]))
    assert card.metrics["held_out_rendered_dice"] == pytest.approx(figure, abs=1e-4)
    kinds = [event["event"] for event in told]
    assert kinds.index("fitted") < kinds.index("prepared") < kinds.index("step") and kinds[-1] == "done"
    prepared = next(event for event in told if event["event"] == "prepared")
    assert prepared["steps"] == 6 == kinds.count("step") and prepared["seconds"] > 0
    assert [e["step"] for e in told if e["event"] == "check"] == [2, 4, 6]
    why = next(event["text"] for event in told if event["event"] == "fitted")
    assert why.startswith("Fitted to 3 cases: volumes at 1 × 1 × 1 mm") and "1500 would suit them" in why
    assert not list((tmp_path / "run").glob("*training*"))  # no checkpoint is left


@pytest.mark.slow
def test_stopped_and_resumed_it_is_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(anew, "SAVE_SECONDS", 0.0)
    plan, steps = plan_of(tmp_path), []
    whole = NewRun(plan, tmp_path / "whole").run()

    def tell(event: dict) -> None:
        if event["event"] == "step":
            steps.append(event["step"])

    with pytest.raises(CancelledError):
        NewRun(plan, tmp_path / "cut", tell, lambda: len(steps) == 3).run()
    assert steps == [1, 2, 3]
    again = NewRun(Plan.read(tmp_path / "cut"), tmp_path / "cut", tell).run(resume=True)
    assert steps == [1, 2, 3, 4, 5, 6]
    weights = [zoo.load(tmp_path / name / "model").card.weights_sha256 for name in ("whole", "cut")]
    assert weights[0] == weights[1] and again.sentence == whole.sentence
    assert NewRun(plan, tmp_path / "cut", tell).run(resume=True) == again  # it was over
    assert len(steps) == 6


def test_the_command_line_shows_it_without_a_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    after = Figures(dice=0.87, hd95=2.0, asd=0.5, nsd=0.9)
    case = CaseVerdict(case="c", truth="c", figures={"after rendered": after, "after coarse": after})
    show(Verdict(model="own", digest="1" * 64, parent="", parent_digest="", ids=(1,), cases=(case,), p={},
                 sentence=sentence_alone([case])))  # fmt: skip
    said = capsys.readouterr().out
    assert "0.870" in said and "→" not in said and "New model: Dice 0.870, ASD 0.50 mm on one held-out case" in said


def test_held_out_cases_that_are_passed_over_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    told: list[dict] = []
    plan = plan_of(tmp_path, held=1).model_copy(update={"passed_over": ("p8",)})
    verdict = NewRun(plan, tmp_path / "run", told.append).run()
    said = "Not judged: p8; its truth holds a structure that the model does not know."
    assert {"event": "log", "text": said} in told and rederived(tmp_path / "run").unjudged({}) == said
    show(verdict)
    assert said in " ".join(capsys.readouterr().out.split())
    many = verdict.model_copy(update={"passed_over": tuple(f"p{n}" for n in range(7))}).unjudged({"p0": "first"})
    assert many == (
        "Not judged: first, p1, p2, p3 and p4 (and 2 more); their truths hold structures that the model does not know."
    )


def test_without_held_out_cases_nothing_is_said_of_its_worth(tmp_path: Path):
    verdict = NewRun(plan_of(tmp_path, held=0), tmp_path / "run").run()
    assert verdict.sentence.startswith("No case was held out") and not verdict.cases
    card = zoo.load(tmp_path / "run" / "model").card
    assert card.metrics == {} and card.temperature == 1.0


def test_only_what_was_looked_at_is_read(tmp_path: Path):
    plan = plan_of(tmp_path, train=1, held=0)
    source = plan.train[0]
    mask = open_mask(source.labels)
    codes = np.full(SHAPE, CODE_UNREVIEWED, np.uint8)
    codes[:, 2:18] = 0
    seen = source.model_copy(update={"codes": save_mask(Mask(codes, mask.grid, ()), tmp_path / "codes.nii.gz")})
    NewRun(plan.model_copy(update={"train": (seen,)}), tmp_path / "run").run()
    assert zoo.load(tmp_path / "run" / "model").card.field_of_view == ((14.0, 14.0), (16.0, 16.0), (15.0, 15.0))
    codes[:] = CODE_UNREVIEWED
    save_mask(Mask(codes, mask.grid, ()), tmp_path / "codes.nii.gz")
    with pytest.raises(InputError, match="Nobody looked"):
        NewRun(plan.model_copy(update={"train": (seen,)}), tmp_path / "none").run()


def test_as_many_steps_as_fit_into_a_time(tmp_path: Path):
    told: list[dict] = []
    plan = plan_of(tmp_path, held=0, whole=False, steps=0, minutes=0.001)
    NewRun(plan, tmp_path / "run", told.append).run()
    assert next(event["steps"] for event in told if event["event"] == "prepared") == anew.FEWEST_STEPS
    fit = Plan.read(tmp_path / "run").anew.fit
    assert fit.recipe.train.iterations == anew.FEWEST_STEPS and "10 steps in the time given" in fit.why


def test_a_scan_on_both_sides_is_refused(tmp_path: Path):
    plan = plan_of(tmp_path)
    both = plan.held_out[0].model_copy(update={"name": "other", "scan": plan.train[0].scan})
    with pytest.raises(InputError, match="cannot be trained on"):
        NewRun(plan.model_copy(update={"held_out": (both,)}), tmp_path / "run").run()


def test_a_pair_that_only_its_side_tells_apart_is_never_mirrored(tmp_path: Path):
    def case(*spans: tuple[int, int, int]) -> TrainingCase:
        labels = np.zeros((12, 4, 4), np.uint8)
        for number, low, high in spans:
            labels[low:high] = number
        return TrainingCase("c", labels.astype(np.float32), labels, (1.0, 1.0, 1.0), 0.0)

    assert told_by_side([case((1, 1, 4), (2, 7, 10)), case((1, 0, 5), (2, 6, 9)), case((1, 3, 5))])
    assert not told_by_side([case((1, 1, 4), (2, 7, 10)), case((2, 0, 5), (1, 6, 9))])  # not always
    stray = case((1, 1, 4), (2, 7, 10))
    stray.labels[11, 0, 0] = 1
    assert told_by_side([stray, stray])
    assert not told_by_side([case((1, 1, 4)), case((2, 7, 10))])  # never both


# In a project


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_study(tmp_path, monkeypatch, lambda case: box(2 + case))


def new(study: Path, **settings: object) -> Choice:
    return replace(choice(study, **settings), model="", name="new-model-1", names={1: "cube"}, whole=True)


@pytest.mark.slow
def test_a_round_makes_a_new_model_that_is_kept_and_tuned(study: Path):
    made = prepare_round(study, "AB", new(study))
    assert [(x.id, x.name, x.color) for x in made.plan.new_labels] == [(1, "cube", "#e69f00")]
    made.start()
    wait(made, "done")
    assert made.verdict is not None and len(made.verdict.cases) == 2
    with pytest.raises(InputError, match="no base model"):
        made.roll_back("AB")
    made.keep("AB")
    card = zoo.find("new-model-1").card
    assert card.tuned is not None and set(card.tuned.held_out) == set(digests(made.plan.held_out))
    assert not set(card.tuned.trained) & set(card.tuned.held_out)
    further = prepare_round(study, "AB", replace(choice(study), model="new-model-1", name="two")).plan
    assert further.model == "new-model-1" and digests(further.held_out) == digests(made.plan.held_out)


def test_masks_without_a_structure_make_no_model(study: Path):
    for case in new(study).cases:
        save_store(StoredMask(np.zeros_like(box(3)), b"", {}), study / "cases" / case / "corrected.zarr.zip")
    with pytest.raises(InputError, match="hold no structure"):
        prepare_round(study, "AB", new(study))
    assert rounds(study) == []


@pytest.mark.alone
def test_a_new_model_pauses_goes_on_after_a_kill_and_is_cancelled_within_two_seconds(study: Path):
    made = prepare_round(study, "AB", new(study, steps=100_000))
    made.start()
    wait_for_step(made)
    made.pause()
    wait(made, "paused")
    os.kill(json.loads((made.folder / process.PID).read_text())["pid"], signal.SIGKILL)
    wait(made, "stopped")
    again = rounds(study)[-1]
    again.start(resume=True)
    known = len(again.history())
    wait_for_step(again, known)
    assert again.state == "running"
    cancelled_soon(again)
    assert not again.alive and again.verdict is None and not (again.folder / "model").exists()
