"""One round from its plan to a model and a verdict, whoever asks: the command line, a window, another process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_morse import zoo
from napari_morse.config import ModelCard, TrainingData, Tuned
from napari_morse.errors import CancelledError, InputError, MorseError
from napari_morse.io import open_mask
from napari_morse.io.cards import model_digest
from napari_morse.io.weights import save_model
from napari_morse.model.morse import Morse
from napari_morse.training.cases import Case, files_digest, load_case
from napari_morse.training.judge import from_stack, run_case, upright
from napari_morse.training.tuning.best import SHARES, Best
from napari_morse.training.tuning.bounds import widened
from napari_morse.training.tuning.changes import sample_changes
from napari_morse.training.tuning.contrast import either_contrast, reading_either
from napari_morse.training.tuning.examples import Example, load_example, marked
from napari_morse.training.tuning.grown import grown
from napari_morse.training.tuning.judging import judged, predict_all
from napari_morse.training.tuning.plan import Plan, check_apart
from napari_morse.training.tuning.settings import TuneSettings
from napari_morse.training.tuning.source import Source
from napari_morse.training.tuning.state import State
from napari_morse.training.tuning.tuner import TRIED, Tuner
from napari_morse.training.tuning.verdict import FIGURES, MASKS, STAGES, WHENS, Verdict, When, sentence, tested
from napari_morse.types import Array
from napari_morse.zoo import LoadedModel

LEFT_OUT = "left-out"
"""Folder of the models that judge a round by leaving each of its cases out."""
MODEL = "model"
"""The new model, in the run's folder, until it is kept."""
OTHER_CONTRAST = "The cases have inverted grey levels: the new model reads scans of either contrast."
LEAST = 10
"""Steps that a run has, however short its time."""

Item = TypeVar("Item")
Teller = Callable[[dict[str, Any]], None]


@dataclass
class TuningRun:
    """One round.

    Parameters
    ----------
    plan
        What is to be done.
    folder
        Where the run keeps itself; the model and the verdict are written there.
    tell
        Told what happens, as `process` writes it.
    stop
        Asked before every step and every case; True ends the run with CancelledError.
    """

    plan: Plan
    folder: Path
    tell: Teller = lambda _: None
    stop: Callable[[], bool] = lambda: False
    parent: LoadedModel = field(init=False)
    base: LoadedModel = field(init=False)
    """The parent, with the new labels that it is to learn."""

    def run(self, resume: bool = False) -> Verdict:
        """Tune, write the model, judge it.

        Raises
        ------
        InputError
            Cases cannot be used, or lie on both sides.
        WeightsError
            The base model cannot be used, or the run cannot be resumed as it was.
        CancelledError
            ``stop`` said so.
        """
        verdict = over(self.folder) if resume else None
        if verdict is not None:
            return self._done(verdict)
        self._check_judges()
        card = self.train(resume)
        if self.plan.leave_one_out:
            self._leave_out(card)
        return self._done(self._verdict(card))

    def _done(self, verdict: Verdict) -> Verdict:
        State(self.folder, {}).clear()
        self.tell({"event": "done", "sentence": verdict.sentence, "model": str(self.folder / MODEL)})
        return verdict

    def _check_judges(self) -> None:
        """Raise before anything is trained where a case could not be judged after it."""
        card = zoo.find(self.plan.model).card
        ids = tuple(entry.id for entry in (*card.labels, *self.plan.new_labels))
        for source in self.plan.held_out:
            load_case(source.scan, source.labels, ids, card.intensity, len(card.channels))

    def train(self, resume: bool = False) -> ModelCard:
        """Tune and write the model, without judging it; errors as `run`."""
        begun = time.monotonic()
        self.parent = zoo.load(self.plan.model)
        self.known = check_apart(self.plan, self.parent.card)
        self.base = self.parent
        if self.plan.new_labels:
            self.base = grown(self.parent, self.plan.new_labels)
            names = ", ".join(entry.name for entry in self.plan.new_labels)
            self.tell({"event": "log", "text": f"New structures: {names}."})
        self._votes = np.zeros((len(self.base.card.labels) + 1,) * 2, np.int64)
        read = self._read(self.plan.train, False) + self._read(self.plan.earlier, True)
        self.base = either_contrast(self.base, [example.case for example in read if not example.replay])
        either = self.base.card.recipe.contrast == "either"
        if either and self.parent.card.recipe.contrast != "either":
            self.tell({"event": "log", "text": OTHER_CONTRAST})
        train = [self._marked(example) for example in read]
        if self.plan.new_labels:
            self.base = grown(self.parent, self.plan.new_labels, self._taken_for())
            self.base = reading_either(self.base) if either else self.base
        self.checked = self._some_held()
        best = Best(self.checked, self.base.card, self.tell)
        best.look(0, self.base.net)
        settings = self._settings(train, begun, best.seconds)
        tuner = self._tuner(train, settings)
        resume = resume and tuner.state.kept
        self.tell({"event": "prepared", "steps": settings.steps, "resumed": resume})
        if resume:
            tuner.resume()
            best.restore(tuner.state.notes)
        if settings.what == "head":
            tuner.average.recipe = widened(self.base.net.recipe, self.base.net, train, self.base.card)
        clock = _Clock(settings.steps, tuner.state.step)
        net = tuner.run(
            lambda step, loss: self.tell({"event": "step", "step": step, "loss": loss, "left": clock.left(step)}),
            self.stop, lambda step, now: tuner.state.note(best.look(step, now)),
        )  # fmt: skip
        return self._write(best.of(net, self.base.net, bool(self.plan.new_labels)), settings)

    def _leave_out(self, card: ModelCard) -> None:
        """Predict every training case by a model that was tuned as this one, without it."""
        for source in self.plan.train:
            place = self.folder / LEFT_OUT / source.name
            others = tuple(other for other in self.plan.train if _apart(other, source))
            if not others:
                raise InputError(f"Without {source.name} there is no case to train on.", "Add cases of other patients.")
            told = {
                "train": others, "earlier": tuple(e for e in self.plan.earlier if _apart(e, source)),
                "leave_one_out": False, "name": card.name,
            }  # fmt: skip
            sub = TuningRun(self.plan.model_copy(update=told), place, _quiet(self.tell, source.name), self.stop)
            if State(place, {}).kept or not (place / MODEL).is_dir():  # else it was done before the run was stopped
                sub.train(resume=State(place, {}).kept)
            self._predicted(zoo.load(place / MODEL), "after", (source,))
            State(place, {}).clear()

    def _predicted(self, model: LoadedModel, when: When, sources: Sequence[Source]) -> None:
        predict_all(
            model, sources, when, self.folder, self.stop, lambda text: self.tell({"event": "log", "text": text})
        )

    def _read(self, sources: Sequence[Source], replay: bool) -> list[Example]:
        found = []
        for source in sources:
            if self.stop():
                raise CancelledError
            found.append(load_example(source, self.base.card, replay))
            self.tell({"event": "log", "text": f"{source.name}: read"})
        return found

    def _marked(self, example: Example) -> Example:
        """As the base model reads it, with what it has wrong."""
        if self.stop():
            raise CancelledError
        card, net = self.base.card, self.base.net
        case = upright(net, example.case, card.spacing, card.slice_axis)
        stack = run_case(net, case, card.spacing, card.slice_axis).rendered
        mask = from_stack(stack, card.slice_axis).astype(np.uint8)
        self._votes += _crossed(case.labels, mask, len(card.labels) + 1)
        return marked(replace(example, case=case), mask)

    def _taken_for(self) -> list[int]:
        """What the base model takes each new structure for, most often."""
        known = len(self.parent.card.labels) + 1
        return [int(self._votes[known + n, :known].argmax()) for n in range(len(self.plan.new_labels))]

    def _some_held(self) -> list[Case]:
        """Held-out cases that are looked at while training: evenly from all of them."""
        some = evenly(self.plan.held_out, self.plan.settings.check_cases)
        return [load_example(source, self.base.card).case for source in some]

    def _settings(self, train: list[Example], begun: float, check: float) -> TuneSettings:
        """With as many steps as fit into the minutes; written down, so that a resumed run has as many."""
        settings = self.plan.settings
        if settings.steps == 0:
            seconds = self._step_seconds(train)
            looking = (settings.checks + len(SHARES)) * check
            left = settings.minutes * 60 - (time.monotonic() - begun) - looking - (TRIED + 1) * seconds
            settings = settings.model_copy(update={"steps": max(LEAST, int(left / seconds))})
            self.plan = self.plan.model_copy(update={"settings": settings})
            self.plan.write(self.folder)
        return settings

    def _step_seconds(self, train: list[Example]) -> float:
        trial = self.plan.settings.model_copy(update={"steps": 10**6})
        return Tuner(self.base.net, train, self.base.card.slice_axis, trial, self.folder).timed()

    def _tuner(self, train: list[Example], settings: TuneSettings) -> Tuner:
        about = {
            "model": self.base.digest, "trained": list(self.known[0]), "held_out": list(self.known[1]),
            "labels": files_digest([(s.scan, s.labels) for s in self.plan.train], len(self.base.card.channels)),
        }  # fmt: skip
        return Tuner(self.base.net, train, self.base.card.slice_axis, settings, self.folder, about)

    def _write(self, net: Morse, settings: TuneSettings) -> ModelCard:
        """The new model, in the run's folder; it becomes the user's only when it is kept."""
        card = self.base.card
        fields = card.model_dump() | {
            "name": self.plan.name, "version": card.version + 1, "recipe": net.recipe, "metrics": {},
            "lineage": (*card.lineage, self.base.digest), "created": self.plan.created,
            "data": _data(card, self.plan), "tuned": self._lineage(settings),
        }  # fmt: skip
        for left in (self.folder / MASKS).glob("*_after_*"):
            left.unlink()  # of another model
        written = save_model(self.folder / MODEL, fields, net.tensors(), overwrite=True)
        self.tell({"event": "log", "text": "The new model is written; now it is judged."})
        return written

    def _lineage(self, settings: TuneSettings) -> Tuned:
        told = {k: v for k, v in settings.model_dump().items() if isinstance(v, str | int | float)}
        return Tuned(
            parent=self.base.info.name, by=self.plan.by, settings=told, trained=self.known[0], held_out=self.known[1],
        )  # fmt: skip

    def _verdict(self, card: ModelCard) -> Verdict:
        new = zoo.load(self.folder / MODEL)
        for model, when in ((self.parent, WHENS[0]), (new, WHENS[1])):
            self._predicted(model, when, self.plan.judges)
        names = [(source.name, source.labels) for source in self.plan.judges]
        ids = tuple(entry.id for entry in card.labels)
        cases = judged(self.folder, names, ids)
        p = tested(cases)
        learned = self._judged_new()
        said = sentence(cases, p, self.plan.leave_one_out, learned)
        fields = card.model_dump() | {"tuned": card.tuned.model_copy(update={"verdict": said})}  # type: ignore[union-attr]
        fields["metrics"] = {f"held_out_{k}": v for k, v in means(cases).items()}
        save_model(self.folder / MODEL, fields, new.net.tensors(), overwrite=True)
        final = zoo.load(self.folder / MODEL)
        verdict = Verdict(
            model=self.plan.name, digest=final.digest, parent=self.base.info.name, parent_digest=self.base.digest,
            ids=ids, cases=cases, p=p, samples=sample_changes(self.parent, final, self.stop), sentence=said,
            left_out=self.plan.leave_one_out, new=learned,
        )  # fmt: skip
        verdict.write(self.folder)
        return verdict

    def _judged_new(self) -> tuple[str, ...]:
        """Names of the new structures that the truths hold."""
        held = {number for s in self.plan.judges for number in np.unique(open_mask(s.labels).data).tolist()}
        return tuple(entry.name for entry in self.plan.new_labels if entry.id in held)


def over(folder: Path) -> Verdict | None:
    """The verdict of a run that had come to its end when it was stopped; None when it had not."""
    try:
        verdict = Verdict.read(folder)
        return verdict if model_digest(folder / MODEL) == verdict.digest else None
    except MorseError:
        return None


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """So many of them at most, evenly from all."""
    places = {round(p) for p in np.linspace(0, len(items) - 1, min(most, len(items)))} if items else set()
    return [items[place] for place in sorted(places)]


def _apart(one: Source, other: Source) -> bool:
    """Whether two cases are of two patients."""
    return one.patient != other.patient if one.patient and other.patient else one.name != other.name


def _quiet(tell: Teller, name: str) -> Teller:
    """Of a run that leaves a case out, only how far it is."""

    def told(event: dict[str, Any]) -> None:
        if event["event"] == "prepared":
            tell({"event": "log", "text": f"Tuning without {name}."})

    return told


def _crossed(labels: Array, mask: Array, classes: int) -> NDArray[np.int64]:
    """(classes, classes) voxels by true class and by class of the mask."""
    flat = labels.astype(np.int64).ravel() * classes + mask.ravel()
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def means(cases: Sequence[Any]) -> dict[str, float]:
    """Figures of the new model for its card."""
    return {
        f"{stage}_{figure}": round(float(np.mean([getattr(c.figures[f"after {stage}"], figure) for c in cases])), 4)
        for stage in STAGES for figure in FIGURES if cases
    }  # fmt: skip


def _data(card: ModelCard, plan: Plan) -> TrainingData:
    """The base model's data and licence bind the new one too."""
    count = len(plan.train) + len(plan.earlier)
    return card.data.model_copy(update={"name": f"{card.data.name}; tuned on {count} cases"[:500]})


class _Clock:
    """Seconds left, from how fast the last steps went."""

    def __init__(self, steps: int, done: int) -> None:
        self._steps, self._done, self._begun = steps, done, time.monotonic()

    def left(self, step: int) -> float:
        each = (time.monotonic() - self._begun) / max(1, step - self._done)
        return round((self._steps - step) * each, 1)
