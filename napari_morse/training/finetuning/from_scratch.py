"""A new model from the labels of a round alone: a recipe that fits the cases, training's own loop, and what it gave."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_morse import zoo
from napari_morse.config import Intensity, ModelCard, Recipe, Tuned
from napari_morse.errors import InputError
from napari_morse.inference.devices import resolve_device
from napari_morse.metrics.surface import bounding_box
from napari_morse.model.morse import Morse
from napari_morse.training.auto_recipe import fitted
from napari_morse.training.card import Purpose, card_fields, temperature
from napari_morse.training.cases import TrainingCase, files_digest, load_case
from napari_morse.training.checkpoint import has_checkpoint
from napari_morse.training.engine import Engine, Judge, StepReport
from napari_morse.training.examples import codes_of
from napari_morse.training.finetuning.judging import judged
from napari_morse.training.finetuning.learning import FEWEST_STEPS
from napari_morse.training.finetuning.plan import Anew, Fit, check_apart, file_settings
from napari_morse.training.finetuning.round import MODEL, BaseRun, evenly
from napari_morse.training.finetuning.verdict import Verdict, sentence_alone
from napari_morse.training.source import CODE_UNREVIEWED, Source
from napari_morse.training.validation import Validation, at_spacing, judge
from napari_morse.training.ways import from_labels
from napari_morse.types import Grid

SAVE_SECONDS = 20.0
"""s between two checkpoints, at least."""
TIMED_SHARES = (0.0, 1 - 1e-6)
"""Shares of a run at which steps are timed: without the renderer, and with it."""
DIVERGED_HINT = "Check the cases for damaged scans, and begin another round."
SIDED, STRAY = 0.9, 5.0
"""Share of the cases in which two structures lie apart, and percent of the voxels at either end that may lie astray."""
LOOKS = 0.1
"""Share of the time that looks at held-out cases may take, where a time was given."""


@dataclass
class NewRun(BaseRun):
    """One round that begins with no model; the plan's ``new_labels`` are the structures that it learns."""

    @property
    def _ids(self) -> tuple[int, ...]:
        return tuple(entry.id for entry in self.plan.new_labels)

    def check(self) -> None:
        """Read every case that judges."""
        check_apart(self.plan, None, self.go_on)
        for source in self.plan.held_out:
            self.go_on()
            self._loaded(source)

    def _loaded(self, source: Source) -> TrainingCase:
        return load_case(source.scan, source.labels, self._ids, Intensity())

    def train(self, resume: bool = False) -> ModelCard:
        """Train and write the model, without judging it; errors as `run`."""
        begun = time.monotonic()
        self.known = check_apart(self.plan, None, self.go_on)
        cases = [self._read(source) for source in self.plan.train]
        looked = self._looked()
        fit = self._fit(cases, looked, begun)
        engine = self._engine(fit, cases, looked)
        engine.steps.say = self.log
        resume = resume and has_checkpoint(self.folder) and engine.resume_or_begin_again()
        left = _Left(fit, engine.progress.iteration)
        seconds = round(left.expected(engine.progress.iteration), 1)
        self.tell({"event": "prepared", "steps": fit.recipe.train.iterations, "resumed": resume, "seconds": seconds})
        net = engine.run(lambda report: self.tell(left.event(report)), self.stop)
        return self._write(net, fit, cases, looked)

    def _read(self, source: Source) -> TrainingCase:
        """A training case: what somebody looked at of it."""
        self.go_on()
        case = self._loaded(source)
        if 1 in case.labels.shape:
            raise InputError(f"{source.name} is a single slice, and a round reads volumes.", "Leave it out.")
        seen = codes_of(source, case) != CODE_UNREVIEWED
        if not seen.any():
            raise InputError(f"Nobody looked at any part of {source.name}.", "Leave it out.")
        box = bounding_box(seen)
        self.log(f"{source.name}: read")
        return replace(case, image=case.image[box].copy(), labels=case.labels[box].copy())

    def _looked(self) -> list[TrainingCase]:
        """Held-out cases that are looked at while training."""
        return [self._loaded(source) for source in evenly(self.plan.held_out, self.plan.settings.check_cases)]

    # The recipe

    def _fit(self, cases: list[TrainingCase], looked: list[TrainingCase], begun: float) -> Fit:
        """What fits the cases and the time; written down, so that a resumed run goes on with the same."""
        anew = self.plan.anew or Anew()
        fit = anew.fit
        if fit is None:
            fit = self._lasting(_fitting(cases, len(self._ids) + 1), cases, looked, begun)
            self.plan = self.plan.model_copy(update={"anew": anew.model_copy(update={"fit": fit})})
            self.plan.write(self.folder)
        self.tell({"event": "fitted", "text": fit.why})
        self.log(fit.why)
        return fit

    def _lasting(self, fit: Fit, cases: list[TrainingCase], looked: list[TrainingCase], begun: float) -> Fit:
        """The recipe with as many steps as were asked for, or as fit into the time."""
        settings, whole = self.plan.settings, self.plan.anew is None or self.plan.anew.whole
        seconds = self._seconds(fit, cases)
        usual, stage_one = fit.recipe.train.iterations, fit.recipe.train.stage_one
        steps = settings.steps or usual
        if not (settings.steps or whole):
            left = (settings.minutes * 60 - (time.monotonic() - begun)) * (1 - LOOKS * bool(looked))
            steps = max(FEWEST_STEPS, int(left / (stage_one * seconds[0] + (1 - stage_one) * seconds[1])))
        every = max(1, -(-steps // settings.checks))
        train = fit.recipe.train.model_copy(update={"iterations": steps, "validate_every": every})
        many = f"{steps} steps in the time given, {usual} would suit them" if steps != usual else f"{usual} steps"
        return fit.model_copy(
            update={
                "recipe": fit.recipe.model_copy(update={"train": train}),
                "seconds": seconds,
                "why": f"{fit.why}; {many}.",
            }
        )

    def _seconds(self, fit: Fit, cases: list[TrainingCase]) -> tuple[float, float]:
        """Of a step of the first and of the second stage, by an engine that is thrown away, and says nothing."""
        engine = self._engine(fit, cases, [])
        first, second = (engine.timed(0.0, self.stop, share) for share in TIMED_SHARES)
        return first, second

    def _engine(self, fit: Fit, cases: list[TrainingCase], looked: list[TrainingCase]) -> Engine:
        about = {
            "labels": files_digest([(s.scan, s.labels) for s in self.plan.train]), **file_settings(self.plan, None),
            "spacing": list(fit.spacing), "slice_axis": fit.slice_axis,
        }  # fmt: skip
        engine = from_labels(
            fit.recipe, [at_spacing(case, fit.spacing, fit.slice_axis) for case in cases], looked, fit.spacing,
            fit.slice_axis, self.plan.settings.seed, self.folder, None, about,
        )  # fmt: skip
        engine.schedule = replace(engine.schedule, save_seconds=SAVE_SECONDS, way_out=DIVERGED_HINT)
        engine.judge = self._look(fit, looked) if looked else None
        return engine

    def _look(self, fit: Fit, looked: list[TrainingCase]) -> Judge:
        """Looks at held-out cases, and tells what was seen."""

        def look(step: int, net: Morse) -> Validation:
            found = judge(net, looked, fit.spacing, fit.slice_axis, full=True)
            hd95 = found.figures["rendered_hd95_merged"]
            self.tell({"event": "check", "step": step, "dice": found.dice, "hd95": hd95})
            return found

        return look

    # What came of it

    def _write(self, net: Morse, fit: Fit, cases: list[TrainingCase], looked: list[TrainingCase]) -> ModelCard:
        digest = files_digest([(s.scan, s.labels) for s in self.plan.train])
        purpose = Purpose(self.plan.name, "", "own cases", "not stated", "")
        fields = card_fields(
            purpose, fit.recipe, net, self.plan.new_labels, fit.spacing, fit.slice_axis, cases, [], digest
        )
        if looked:
            fields["temperature"] = temperature(net, looked, fit.spacing, fit.slice_axis)
        told = {"steps": fit.recipe.train.iterations, "seed": self.plan.settings.seed}
        fields["created"] = self.plan.created
        fields["tuned"] = Tuned(
            parent="", by=self.plan.by, settings=told, trained=self.known[0], held_out=self.known[1]
        )
        return self.written(fields, net)

    def judge(self) -> Verdict:
        """By the held-out cases, without a before."""
        new = zoo.load(self.folder / MODEL)
        self.predicted(new, "after", self.plan.held_out)
        names = [(source.name, source.labels) for source in self.plan.held_out]
        cases = judged(self.folder, names, self._ids, ("after",))
        said = sentence_alone(cases)
        verdict = Verdict(
            model=self.plan.name, digest=self.concluded(new, said, cases).digest, parent="", parent_digest="",
            ids=self._ids, cases=cases, p={}, sentence=said, passed_over=self.plan.passed_over,
        )  # fmt: skip
        verdict.write(self.folder)
        return verdict


class _Left:
    """Seconds left: what the steps took when they were timed, in proportion to how fast they went since."""

    def __init__(self, fit: Fit, done: int) -> None:
        self._fit, self._done, self._begun = fit, done, time.monotonic()

    def expected(self, step: int) -> float:
        """S from a step to the end, as timed."""
        train = self._fit.recipe.train
        border = round(train.iterations * train.stage_one)
        first, second = self._fit.seconds
        return max(0, border - step) * first + (train.iterations - max(border, step)) * second

    def event(self, report: StepReport) -> dict[str, Any]:
        """What is told of a step."""
        step = report.iteration
        return {"event": "step", "step": step, "loss": report.loss, "left": self.now(step)}

    def now(self, step: int) -> float:
        """S from a step that was just done to the end."""
        timed = self.expected(self._done) - self.expected(step)
        return round(self.expected(step) * (time.monotonic() - self._begun) / max(timed, 1e-6), 1)


def _fitting(cases: Sequence[TrainingCase], classes: int) -> Fit:
    """The recipe, as `train --recipe auto` chooses it, for so many classes."""
    device = "cuda" if resolve_device("auto").startswith("cuda") else "cpu"
    found = fitted([Grid(case.labels.shape, np.diag([*case.spacing, 1.0])) for case in cases], device)
    sided = found.slice_axis != "R" and told_by_side(cases)
    mirror = found.recipe.train.mirror and found.slice_axis != "R" and not sided
    recipe: Recipe = found.recipe.model_copy(
        update={
            "backbone": found.recipe.backbone.model_copy(update={"classes": classes}),
            "train": found.recipe.train.model_copy(update={"mirror": mirror}),
        }
    )
    what = found.why.rpartition(",")[0]
    why = f"Fitted to {len(cases)} case{'s' * (len(cases) > 1)}: {what}"
    why += "; never mirrored, as structures lie on different sides" if sided else ""
    return Fit(recipe=recipe, spacing=found.spacing, slice_axis=found.slice_axis, why=why)


def told_by_side(cases: Sequence[TrainingCase]) -> bool:
    """Whether two structures lie apart along R, the same one to the right in nearly every case that holds both.

    Left and right of a pair look alike: a network that also sees mirrored samples cannot tell them apart.
    """
    spans = [_spans(case) for case in cases]
    classes = sorted({number for span in spans for number in span})
    for a in classes:
        for b in classes:
            both = [(span[a], span[b]) for span in spans if a in span and b in span]
            if a != b and both and np.mean([first[1] < second[0] for first, second in both]) >= SIDED:
                return True
    return False


def _spans(case: TrainingCase) -> dict[int, tuple[float, float]]:
    """Where most voxels lie along R, by class: a stray one says nothing."""
    found = {}
    for number in np.unique(case.labels):
        if number:
            low, high = np.percentile(np.nonzero(case.labels == number)[0], [STRAY, 100 - STRAY])
            found[int(number)] = (float(low), float(high))
    return found
