"""One round from its plan to a model and a verdict, whoever asks: the command line, a window, another process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_morse import zoo
from napari_morse.config import ModelCard, TrainingData, Tuned
from napari_morse.errors import InputError
from napari_morse.geometry.orientation import AXES
from napari_morse.io import open_mask
from napari_morse.io.subjects import patient_key
from napari_morse.model.morse import Morse
from napari_morse.training.cases import Case, files_digest, load_case
from napari_morse.training.examples import Example, load_example
from napari_morse.training.finetuning.base import MODEL, BaseRun, Teller, evenly
from napari_morse.training.finetuning.contrast import either_contrast, reading_either
from napari_morse.training.finetuning.judging import judged, sample_changes
from napari_morse.training.finetuning.learning import Learning, as_read
from napari_morse.training.finetuning.plan import Plan, check_apart, file_settings
from napari_morse.training.finetuning.selection import grown
from napari_morse.training.finetuning.source import Source, digests
from napari_morse.training.finetuning.state import State
from napari_morse.training.finetuning.verdict import WHENS, Verdict, sentence, tested
from napari_morse.training.settings import TuneSettings
from napari_morse.types import Array
from napari_morse.zoo import LoadedModel

LEFT_OUT = "left-out"
"""Folder of the models that judge a round by leaving each of its cases out."""
OTHER_CONTRAST = "The cases have inverted grey levels: the new model reads scans of either contrast."


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
            place = self.folder / LEFT_OUT / source.name
            channels = len(card.channels)
            others = tuple(other for other in self.plan.train if _apart(other, source, channels))
            if not others:
                raise InputError(f"Without {source.name} there is no case to train on.", "Add cases of other patients.")
            told = {
                "train": others, "earlier": tuple(e for e in self.plan.earlier if _apart(e, source, channels)),
                "leave_one_out": False, "name": card.name,
            }  # fmt: skip
            sub = TuningRun(self.plan.model_copy(update=told), place, _quiet(self.tell, source.name), self.stop)
            if State(place, {}).kept or not (place / MODEL).is_dir():  # else it was done before the run was stopped
                sub.train(resume=State(place, {}).kept)
            self.predicted(zoo.load(place / MODEL), "after", (source,))
            State(place, {}).clear()

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

    def _some_held(self) -> list[Case]:
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

    def clear(self) -> None:
        """Remove checkpoints."""
        State(self.folder, {}).clear()

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
    """Of a run that leaves a case out, only how far it is."""

    def told(event: dict[str, Any]) -> None:
        if event["event"] == "prepared":
            tell({"event": "log", "text": f"Tuning without {name}."})

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
