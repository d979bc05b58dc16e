"""One round from its plan to a model and a verdict, whoever asks: the command line, a window, another process."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_morse import zoo
from napari_morse.config import ModelCard, TrainingData, Tuned
from napari_morse.errors import CancelledError, InputError, MorseError
from napari_morse.geometry.orientation import AXES
from napari_morse.io import open_mask
from napari_morse.io.cards import model_digest
from napari_morse.io.subjects import patient_key
from napari_morse.io.weights import save_model
from napari_morse.model.morse import Morse
from napari_morse.training.cases import TrainingCase, files_digest, load_case
from napari_morse.training.checkpoint import clear_checkpoint, has_checkpoint
from napari_morse.training.examples import Example, load_example
from napari_morse.training.finetuning.contrast import either_contrast, reading_either
from napari_morse.training.finetuning.judging import judged, predict_all, sample_changes
from napari_morse.training.finetuning.learning import Learning, as_read
from napari_morse.training.finetuning.plan import Plan, check_apart, file_settings
from napari_morse.training.finetuning.selection import grown
from napari_morse.training.finetuning.verdict import (
    FIGURES,
    JUDGED_STAGES,
    MASKS,
    WHENS,
    CaseVerdict,
    Verdict,
    When,
    passed,
    sentence,
    tested,
)
from napari_morse.training.settings import TuneSettings
from napari_morse.training.source import Source, digests
from napari_morse.types import Array
from napari_morse.zoo import LoadedModel

MODEL = "model"
"""The new model, in the run's folder, until it is kept."""

LEFT_OUT_FOLDER = "left-out"
"""Folder of the models that judge a round by leaving each of its cases out."""
OTHER_CONTRAST = "The cases have inverted grey levels: the new model reads scans of either contrast."

Item = TypeVar("Item")
Teller = Callable[[dict[str, Any]], None]


@dataclass
class BaseRun(ABC):
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
    known: tuple[tuple[str, ...], tuple[str, ...]] = field(init=False)
    """Digests of what is trained on and of what judges."""

    def run(self, resume: bool = False) -> Verdict:
        """Train, write the model, judge it.

        Raises
        ------
        InputError
            Cases cannot be used, or lie on both sides.
        WeightsError
            The base model cannot be used, or the run cannot be resumed as it was.
        CancelledError
            ``stop`` said so.
        """
        # Killed after the verdict and before its end was told: nothing is trained again.
        verdict = over(self.folder) if resume else None
        if verdict is None:
            if self.plan.passed_over:
                self.log(passed(self.plan.passed_over))
            self.check()
            self.train(resume)
            verdict = self.judge()
        clear_checkpoint(self.folder)
        self.tell({"event": "done", "sentence": verdict.sentence, "model": str(self.folder / MODEL)})
        return verdict

    @abstractmethod
    def check(self) -> None:
        """Raise before anything is trained where a case could not be judged after it."""

    @abstractmethod
    def train(self, resume: bool = False) -> ModelCard:
        """Train and write the model, without judging it; errors as `run`."""

    @abstractmethod
    def judge(self) -> Verdict:
        """Judge the model that was written, and write the verdict."""

    def log(self, text: str) -> None:
        """Say a sentence."""
        self.tell({"event": "log", "text": text})

    def go_on(self) -> None:
        """Raise CancelledError where the run shall end."""
        if self.stop():
            raise CancelledError

    def written(self, fields: dict[str, Any], net: Morse) -> ModelCard:
        """Write the new model into the run's folder; it becomes the user's only when it is kept."""
        for left in (self.folder / MASKS).glob("*_after_*"):
            left.unlink()  # of another model
        card = save_model(self.folder / MODEL, fields, net.tensors(), overwrite=True)
        self.log("The new model is written; now it is judged.")
        return card

    def predicted(self, model: LoadedModel, when: When, sources: Sequence[Source]) -> None:
        """Keep both masks of some cases."""
        predict_all(model, sources, when, self.folder, self.stop, self.log)

    def concluded(self, new: LoadedModel, said: str, cases: Sequence[CaseVerdict]) -> LoadedModel:
        """The new model, with what the verdict says on its card."""
        card = new.card
        told = card.tuned.model_copy(update={"verdict": said})  # type: ignore[union-attr]
        metrics = {f"held_out_{name}": value for name, value in means(cases).items()}
        fields = card.model_dump() | {"tuned": told, "metrics": metrics}
        save_model(self.folder / MODEL, fields, new.net.tensors(), overwrite=True)
        return zoo.load(self.folder / MODEL)


@dataclass
class TuningRun(BaseRun):
    """One round that tunes a model."""

    parent: LoadedModel = field(init=False)
    base: LoadedModel = field(init=False)
    """The parent, with the new labels that it is to learn."""

    def check(self) -> None:
        """Read every case that judges."""
        card = zoo.find(self.plan.model).card
        check_apart(self.plan, card, self.go_on)
        ids = tuple(entry.id for entry in (*card.labels, *self.plan.new_labels))
        for source in self.plan.held_out:
            self.go_on()
            load_case(source.scan, source.labels, ids, card.intensity, len(card.channels))

    def train(self, resume: bool = False) -> ModelCard:
        """Tune and write the model, without judging it; errors as `run`."""
        begun = time.monotonic()
        self.parent = zoo.load(self.plan.model)
        self.known = check_apart(self.plan, self.parent.card, self.go_on)
        self.base = self.parent
        if self.plan.new_labels:
            self.base = grown(self.parent, self.plan.new_labels)
            names = ", ".join(entry.name for entry in self.plan.new_labels)
            self.log(f"New structures: {names}.")
        self._votes = np.zeros((len(self.base.card.labels) + 1,) * 2, np.int64)
        read = self._read(self.plan.train, False) + self._read(self.plan.earlier, True)
        self.base = either_contrast(self.base, [example.case for example in read if not example.replay])
        either = self.base.card.recipe.contrast == "either"
        if either and self.parent.card.recipe.contrast != "either":
            self.log(OTHER_CONTRAST)
        self._extents = [example.case.extent for example in read]
        train = [self._marked(example) for example in read]
        if self.plan.new_labels:
            # A second time: what each new structure was taken for is known only when the cases were read by the first.
            self.base = grown(self.parent, self.plan.new_labels, self._taken_for())
            self.base = reading_either(self.base) if either else self.base
        learning = Learning(
            self.base, self.plan.settings, self.folder, self._about(), begun, self._settled, self.tell, self.stop
        )
        net = learning.run(train, self._some_held(), resume, bool(self.plan.new_labels))
        return self._write(net, learning.settings)

    def _leave_out(self, card: ModelCard) -> None:
        """Predict every training case by a model that was tuned as this one, without it."""
        for source in self.plan.train:
            place = self.folder / LEFT_OUT_FOLDER / source.name
            channels = len(card.channels)
            others = tuple(other for other in self.plan.train if _apart(other, source, channels))
            if not others:
                raise InputError(f"Without {source.name} there is no case to train on.", "Add cases of other patients.")
            told = {
                "train": others, "earlier": tuple(e for e in self.plan.earlier if _apart(e, source, channels)),
                "leave_one_out": False, "name": card.name,
            }  # fmt: skip
            sub = TuningRun(self.plan.model_copy(update=told), place, _quiet(self.tell, source.name), self.stop)
            begun = has_checkpoint(place)
            if begun or not (place / MODEL).is_dir():  # else it was done before the run was stopped
                sub.train(resume=begun)
            self.predicted(zoo.load(place / MODEL), "after", (source,))
            clear_checkpoint(place)

    def _read(self, sources: Sequence[Source], replay: bool) -> list[Example]:
        found = []
        for source in sources:
            self.go_on()
            found.append(load_example(source, self.base.card, replay))
            self.log(f"{source.name}: read")
        return found

    def _marked(self, example: Example) -> Example:
        self.go_on()
        found, mask = as_read(self.base, example)
        self._votes += _crossed(found.case.labels, mask, len(self.base.card.labels) + 1)
        return found

    def _taken_for(self) -> list[int]:
        """What the base model takes each new structure for, most often."""
        known = len(self.parent.card.labels) + 1
        return [int(self._votes[known + n, :known].argmax()) for n in range(len(self.plan.new_labels))]

    def _some_held(self) -> list[TrainingCase]:
        """Held-out cases that are looked at while training: evenly from all of them."""
        some = evenly(self.plan.held_out, self.plan.settings.check_cases)
        return [load_example(source, self.base.card).case for source in some]

    def _settled(self, settings: TuneSettings) -> None:
        """Write down how many steps fit into the minutes, so that a resumed run has as many."""
        self.plan = self.plan.model_copy(update={"settings": settings})
        self.plan.write(self.folder)

    def _about(self) -> dict[str, object]:
        return {
            "model": self.base.digest, **file_settings(self.plan, self.parent.card),
            "labels": files_digest([(s.scan, s.labels) for s in self.plan.train], len(self.base.card.channels)),
        }  # fmt: skip

    def _write(self, net: Morse, settings: TuneSettings) -> ModelCard:
        card = self.base.card
        fields = card.model_dump() | {
            "name": self.plan.name, "version": card.version + 1, "recipe": net.recipe, "metrics": {},
            "lineage": (*card.lineage, self.base.digest), "created": self.plan.created,
            "data": _data(card, self.plan), "tuned": self._lineage(settings),
            "field_of_view": widened_view(card, self._extents),
        }  # fmt: skip
        return self.written(fields, net)

    def _lineage(self, settings: TuneSettings) -> Tuned:
        told = {k: v for k, v in settings.model_dump().items() if isinstance(v, str | int | float)}
        return Tuned(
            parent=self.base.info.name, by=self.plan.by, settings=told, trained=self.known[0], held_out=self.known[1],
        )  # fmt: skip

    def judge(self) -> Verdict:
        """By the held-out cases, or by leaving each case out."""
        # Read again from the disk: judged is what a person will use, not what is still in memory.
        new = zoo.load(self.folder / MODEL)
        if self.plan.leave_one_out:
            self._leave_out(new.card)
        for model, when in ((self.parent, WHENS[0]), (new, WHENS[1])):
            self.predicted(model, when, self.plan.judges)
        names = [(source.name, source.labels) for source in self.plan.judges]
        ids = tuple(entry.id for entry in new.card.labels)
        cases = judged(self.folder, names, ids)
        p = tested(cases)
        learned = self._judged_new()
        said = sentence(cases, p, self.plan.leave_one_out, learned)
        final = self.concluded(new, said, cases)
        verdict = Verdict(
            model=self.plan.name, digest=final.digest, parent=self.base.info.name, parent_digest=self.base.digest,
            ids=ids, cases=cases, p=p, samples=sample_changes(self.parent, final, self.stop), sentence=said,
            left_out=self.plan.leave_one_out, new=learned, passed_over=self.plan.passed_over,
        )  # fmt: skip
        verdict.write(self.folder)
        return verdict

    def _judged_new(self) -> tuple[str, ...]:
        """Names of the new structures that the truths hold."""
        held = {number for s in self.plan.judges for number in np.unique(open_mask(s.labels).data).tolist()}
        return tuple(entry.name for entry in self.plan.new_labels if entry.id in held)


def _apart(one: Source, other: Source, channels: int) -> bool:
    """Whether two cases are of two patients, and two scans."""
    if one.patient and other.patient:
        different = patient_key(one.patient) != patient_key(other.patient)
    else:
        different = one.name != other.name
    first, second = digests((one, other), channels)
    return different and first != second


def _quiet(tell: Teller, name: str) -> Teller:
    """Of a run that leaves a case out, that it begins, and what its training had to say."""
    steps = 0

    def told(event: dict[str, Any]) -> None:
        nonlocal steps
        if event["event"] == "prepared":
            steps = event["steps"]
            tell({"event": "log", "text": f"Tuning without {name}."})
        elif event["event"] == "step" and event["step"] == steps:
            steps = 0
        elif event["event"] == "log" and steps:
            tell({"event": "log", "text": f"Without {name}: {event['text']}"})

    return told


def _crossed(labels: Array, mask: Array, classes: int) -> NDArray[np.int64]:
    """(classes, classes) voxels by true class and by class of the mask."""
    flat = labels.astype(np.int64).ravel() * classes + mask.ravel()
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def widened_view(card: ModelCard, extents: Sequence[tuple[float, ...]]) -> tuple[tuple[float, float], ...]:
    """The extents in mm that a card tells, with those of further cases along R, A, S; none where it tells none."""
    axes = [axis for axis in range(3) if card.slice_axis is None or axis != AXES[card.slice_axis]]
    return tuple(
        (min(low, *(extent[axis] for extent in extents)), max(high, *(extent[axis] for extent in extents)))
        for axis, (low, high) in zip(axes, card.field_of_view, strict=False)
    )


def _data(card: ModelCard, plan: Plan) -> TrainingData:
    """The base model's data and licence bind the new one too."""
    count = len(plan.train) + len(plan.earlier)
    return card.data.model_copy(update={"name": f"{card.data.name}; tuned on {count} cases"[:500]})


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


def means(cases: Sequence[CaseVerdict]) -> dict[str, float]:
    """Figures of the new model for its card."""
    return {
        f"{stage}_{figure}": round(float(np.mean([getattr(c.figures[f"after {stage}"], figure) for c in cases])), 4)
        for stage in JUDGED_STAGES for figure in FIGURES if cases
    }  # fmt: skip
