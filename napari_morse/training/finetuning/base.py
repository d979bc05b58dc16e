"""What every round is, whether it tunes a model or begins with none: a plan, a folder, a model, a verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from napari_morse import zoo
from napari_morse.config import ModelCard
from napari_morse.errors import CancelledError, MorseError
from napari_morse.io.cards import model_digest
from napari_morse.io.weights import save_model
from napari_morse.model.morse import Morse
from napari_morse.training.finetuning.judging import predict_all
from napari_morse.training.finetuning.plan import Plan
from napari_morse.training.finetuning.source import Source
from napari_morse.training.finetuning.verdict import FIGURES, MASKS, STAGES, CaseVerdict, Verdict, When, passed
from napari_morse.zoo import LoadedModel

MODEL = "model"
"""The new model, in the run's folder, until it is kept."""

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
        verdict = over(self.folder) if resume else None
        if verdict is None:
            if self.plan.passed_over:
                self.log(passed(self.plan.passed_over))
            self.check()
            self.train(resume)
            verdict = self.judge()
        self.clear()
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

    @abstractmethod
    def clear(self) -> None:
        """Remove checkpoints: the run has come to its end."""

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
        for stage in STAGES for figure in FIGURES if cases
    }  # fmt: skip
