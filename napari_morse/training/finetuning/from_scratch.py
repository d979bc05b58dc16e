"""A new model from the labels of a round alone: a recipe that fits the cases, training's own loop, and what it gave."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from napari_morse import zoo
from napari_morse.config import Intensity, ModelCard, Recipe, Tuned
from napari_morse.errors import CancelledError, InputError
from napari_morse.inference.devices import resolve_device
from napari_morse.metrics.surface import bounding_box
from napari_morse.model.morse import Morse
from napari_morse.training.auto_recipe import fitted
from napari_morse.training.card import Purpose, card_fields, temperature
from napari_morse.training.cases import Case, files_digest, load_case
from napari_morse.training.checkpoint import PoisonedError, clear_checkpoint, has_checkpoint
from napari_morse.training.examples import codes_of
from napari_morse.training.finetuning.judging import judged
from napari_morse.training.finetuning.learning import LEAST
from napari_morse.training.finetuning.plan import Anew, Fit, check_apart, file_settings
from napari_morse.training.finetuning.round import MODEL, BaseRun, Teller, evenly
from napari_morse.training.finetuning.verdict import Verdict, sentence_alone
from napari_morse.training.loop import Report, Trainer
from napari_morse.training.sound import DivergedError
from napari_morse.training.source import UNREVIEWED, Source
from napari_morse.training.validation import Verdict as Looked
from napari_morse.training.validation import at_spacing, judge
from napari_morse.types import Grid

SAVE = 20.0
"""s between two checkpoints, at least."""
TRIED = 3
"""Steps of each stage that are timed."""
SIDED, STRAY = 0.9, 5.0
"""Share of the cases in which two structures lie apart, and percent of the voxels at either end that may lie astray."""
BEGINS_AGAIN = "The last checkpoint holds weights that are no numbers: the training begins again."
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

    def _loaded(self, source: Source) -> Case:
        return load_case(source.scan, source.labels, self._ids, Intensity())

    def train(self, resume: bool = False) -> ModelCard:
        """Train and write the model, without judging it; errors as `run`."""
        begun = time.monotonic()
        self.known = check_apart(self.plan, None, self.go_on)
        cases = [self._read(source) for source in self.plan.train]
        looked = self._looked()
        fit = self._fit(cases, looked, begun)
        trainer, resume = self._begun(fit, cases, looked, resume and has_checkpoint(self.folder))
        iterations = fit.recipe.train.iterations
        left = _Left(fit, trainer.progress.iteration)
        seconds = round(left.expected(trainer.progress.iteration), 1)
        self.tell({"event": "prepared", "steps": iterations, "resumed": resume, "seconds": seconds})
        self.go_on()
        return self._write(trainer.run(_Watch(self, trainer, left)), fit, cases, looked)

    def _begun(self, fit: Fit, cases: list[Case], looked: list[Case], resume: bool) -> tuple[_Trainer, bool]:
        """The trainer, at its beginning or where it stood; and which of both."""
        trainer = self._trainer(fit, cases, looked)
        if resume:
            try:
                trainer.resume()
            except PoisonedError:
                self.log(BEGINS_AGAIN)
                return self._trainer(fit, cases, looked), False
        return trainer, resume

    def _read(self, source: Source) -> Case:
        """A training case: what somebody looked at of it."""
        self.go_on()
        case = self._loaded(source)
        if 1 in case.labels.shape:
            raise InputError(f"{source.name} is a single slice, and a round reads volumes.", "Leave it out.")
        seen = codes_of(source, case) != UNREVIEWED
        if not seen.any():
            raise InputError(f"Nobody looked at any part of {source.name}.", "Leave it out.")
        box = bounding_box(seen)
        self.log(f"{source.name}: read")
        return replace(case, image=case.image[box].copy(), labels=case.labels[box].copy())

    def _looked(self) -> list[Case]:
        """Held-out cases that are looked at while training."""
        return [self._loaded(source) for source in evenly(self.plan.held_out, self.plan.settings.check_cases)]

    # The recipe

    def _fit(self, cases: list[Case], looked: list[Case], begun: float) -> Fit:
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

    def _lasting(self, fit: Fit, cases: list[Case], looked: list[Case], begun: float) -> Fit:
        """The recipe with as many steps as were asked for, or as fit into the time."""
        settings, whole = self.plan.settings, self.plan.anew is None or self.plan.anew.whole
        seconds = _timed(self._trainer(fit, cases, []), self.go_on)
        usual, stage_one = fit.recipe.train.iterations, fit.recipe.train.stage_one
        steps = settings.steps or usual
        if not (settings.steps or whole):
            left = (settings.minutes * 60 - (time.monotonic() - begun)) * (1 - LOOKS * bool(looked))
            steps = max(LEAST, int(left / (stage_one * seconds[0] + (1 - stage_one) * seconds[1])))
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

    def _trainer(self, fit: Fit, cases: list[Case], looked: list[Case]) -> _Trainer:
        about = {
            "labels": files_digest([(s.scan, s.labels) for s in self.plan.train]), **file_settings(self.plan, None),
            "spacing": list(fit.spacing), "slice_axis": fit.slice_axis,
        }  # fmt: skip
        trainer = _Trainer(
            fit.recipe, [at_spacing(case, fit.spacing, fit.slice_axis) for case in cases], looked, fit.spacing,
            fit.slice_axis, self.plan.settings.seed, self.folder, None, about,
        )  # fmt: skip
        trainer.tell, trainer.steps.say = self.tell, self.log
        return trainer

    # What came of it

    def _write(self, net: Morse, fit: Fit, cases: list[Case], looked: list[Case]) -> ModelCard:
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

    def clear(self) -> None:
        """Remove checkpoints."""
        clear_checkpoint(self.folder)


class _Trainer(Trainer):
    """Tells what it sees of held-out cases; does without where there is none."""

    tell: Teller = staticmethod(lambda _: None)

    def look(self) -> Looked:
        """The averaged network on the cases that are looked at; -1 without one, so that no moment is the best."""
        if not self.val:
            return Looked(-1.0, {})
        found = judge(self.average, self.val, self.spacing, self.slice_axis, full=True)
        told = {"dice": found.dice, "hd95": found.figures["rendered_hd95_merged"]}
        self.tell({"event": "check", "step": self.progress.iteration, **told})
        return found

    def _way_out(self) -> str:
        return "Check the cases for damaged scans, and begin another round."


class _Watch:
    """After every step: says so, keeps a checkpoint now and then, and waits or ends where that is wanted."""

    def __init__(self, run: NewRun, trainer: _Trainer, left: _Left) -> None:
        self._run, self._trainer, self._left = run, trainer, left
        self._kept = time.monotonic()

    def __call__(self, report: Report) -> None:
        step = report.iteration
        self._run.tell({"event": "step", "step": step, "loss": report.loss, "left": self._left.now(step)})
        if time.monotonic() - self._kept >= SAVE:
            self._trainer.save()
            self._kept = time.monotonic()
        if step < report.total and self._run.stop():
            raise CancelledError


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

    def now(self, step: int) -> float:
        """S from a step that was just done to the end."""
        timed = self.expected(self._done) - self.expected(step)
        return round(self.expected(step) * (time.monotonic() - self._begun) / max(timed, 1e-6), 1)


def _fitting(cases: Sequence[Case], classes: int) -> Fit:
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


def told_by_side(cases: Sequence[Case]) -> bool:
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


def _spans(case: Case) -> dict[int, tuple[float, float]]:
    """Where most voxels lie along R, by class: a stray one says nothing."""
    found = {}
    for number in np.unique(case.labels):
        if number:
            low, high = np.percentile(np.nonzero(case.labels == number)[0], [STRAY, 100 - STRAY])
            found[int(number)] = (float(low), float(high))
    return found


def _timed(trainer: Trainer, between: Callable[[], None]) -> tuple[float, float]:
    """Seconds of a step of the first and of the second stage, by a trainer that is thrown away."""
    found = []
    trainer.steps.say = lambda _: None  # what it says belongs to no run
    for share in (0.0, 1 - 1e-6):
        taken = []
        for step in range(TRIED + 1):
            between()
            begun = time.monotonic()
            images, labels = trainer.batches.at(step)
            made = time.monotonic()
            with suppress(DivergedError):
                trainer.step(step, share, images.to(trainer.device), labels.to(trainer.device))
            # Samples are made beside the steps.
            taken.append(max(made - begun, time.monotonic() - made))
        found.append(sum(taken[1:]) / TRIED)  # some steps are slower by what is drawn for them
    return found[0], found[1]
