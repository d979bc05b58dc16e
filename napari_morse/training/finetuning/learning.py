"""From a base model and marked cases to a tuned network: timed steps, moments that are looked at, the best one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_morse.config import ModelCard, Recipe
from napari_morse.model.morse import Morse
from napari_morse.training.cases import TrainingCase
from napari_morse.training.checkpoint import has_checkpoint
from napari_morse.training.engine import StepReport
from napari_morse.training.examples import Example, marked
from napari_morse.training.finetuning.selection import SHARES, Best
from napari_morse.training.map_cache import VARIANTS, MapsCache
from napari_morse.training.settings import TuneSettings
from napari_morse.training.source import CODE_UNREVIEWED
from napari_morse.training.validation import from_stack, run_case, upright
from napari_morse.training.ways import from_corrections
from napari_morse.types import Array
from napari_morse.zoo import LoadedModel

WIDEST_MARGIN = 12.0
"""Largest margin of logits below which voxels are predicted again."""
COVERED = 95.0
"""Percent of the corrected voxels that shall lie within it."""


def widened(recipe: Recipe, base: Morse, examples: Sequence[Example], card: ModelCard) -> Recipe:
    """The recipe with ``render.uncertain_below`` so large that the voxels which the coarse mask has wrong lie within.

    A head that is trained alone cannot reach what is never predicted again.
    """
    margins = [_wrong(base, example, card) for example in examples]
    found = np.concatenate(margins) if margins else np.empty(0)
    bound = recipe.render.uncertain_below
    if found.size:
        bound = float(np.clip(np.percentile(found, COVERED), bound, max(WIDEST_MARGIN, bound)))
    render = recipe.render.model_copy(update={"uncertain_below": round(bound, 3)})
    return recipe.model_copy(update={"render": render})


def _wrong(base: Morse, example: Example, card: ModelCard) -> np.ndarray:
    case = example.case
    found = run_case(base, case, card.spacing, card.slice_axis)
    two = torch.topk(found.before.cpu(), 2, dim=0).values
    margin = from_stack((two[0] - two[1]).numpy(), card.slice_axis)
    coarse = from_stack(found.coarse, card.slice_axis)
    wrong: np.ndarray = margin[(coarse != case.labels) & (example.codes != CODE_UNREVIEWED)]
    return wrong


SLACK, TRYING = 1.1, 0.08
"""Times what a step took, for checkpoints and a busier machine; share of the minutes that may go into timing steps."""
FEWEST_STEPS = 10
"""Steps that a run has, however short its time."""


def as_read(base: LoadedModel, example: Example) -> tuple[Example, Array]:
    """A case as the base model takes it, with what it has wrong, and the base model's rendered mask, as class indices.

    ``example.case`` is at the model's spacing; it is inverted where the model reads either contrast and is surer so.
    """
    card, net = base.card, base.net
    case = upright(net, example.case, card.spacing, card.slice_axis)
    stack = run_case(net, case, card.spacing, card.slice_axis).rendered
    mask = from_stack(stack, card.slice_axis).astype(np.uint8)
    return marked(replace(example, case=case), mask), mask


@dataclass
class Learning:
    """Tuning of one model on cases in memory.

    Parameters
    ----------
    base
        What is tuned; it stays as it is.
    settings
        With ``steps`` 0, as many as fit into ``minutes`` from ``begun`` are done; ``settings`` then holds them.
    folder
        Where checkpoints lie.
    about
        What else must be the same for a run to be resumed.
    begun
        Monotonic seconds at which the minutes began.
    settled
        Told the settings with the steps that were worked out, before the first one.
    tell
        Told what happens, as `process` writes it.
    stop
        Asked before every step; True ends the run with CancelledError.
    """

    base: LoadedModel
    settings: TuneSettings
    folder: Path
    about: Mapping[str, object] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)
    settled: Callable[[TuneSettings], None] = lambda _: None
    tell: Callable[[dict[str, Any]], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False

    def run(
        self, train: list[Example], checked: Sequence[TrainingCase], resume: bool = False, whole: bool = False
    ) -> Morse:
        """The tuned network.

        Parameters
        ----------
        train
            As `as_read` gives them.
        checked
            Held-out cases that choose the moment, and how far from the base model; without one it is the last, all of
            the way.
        resume
            Go on from the checkpoint, if there is one.
        whole
            As for `Best.of`.
        """
        card, net = self.base.card, self.base.net
        best = Best(checked, card, self.tell)
        if checked:
            # Before the steps are worked out, which leave time for as many looks as there will be.
            best.look(0, net)
        self._settle(train, best.seconds)
        engine = from_corrections(
            net, train, card.slice_axis, self.settings, self.folder, self.about, best.look if checked else None
        )
        engine.steps.say = lambda text: self.tell({"event": "log", "text": text})
        resume = resume and has_checkpoint(self.folder) and engine.resume_or_begin_again()
        self.tell({"event": "prepared", "steps": self.settings.steps, "resumed": resume})
        if self.settings.what == "head":
            # On the average: it is what looks judge, and what the run ends with.
            engine.average.recipe = widened(net.recipe, net, train, card)
        clock = _Clock(self.settings.steps, engine.progress.iteration)
        tuned = engine.run(lambda report: self.tell(clock.event(report)), self.stop)
        return best.of(tuned, engine.progress.best_dice, net, whole)

    def _settle(self, train: list[Example], check: float) -> None:
        """As many steps as fit into the minutes; ``check`` seconds that a look at the held-out cases takes."""
        settings = self.settings
        if settings.steps:
            return
        trial = settings.model_copy(update={"steps": 10**6})
        engine = from_corrections(self.base.net, train, self.base.card.slice_axis, trial, self.folder)
        once = 0.0
        if isinstance(engine.source, MapsCache):
            cache, engine.source = engine.source, engine.source.one_batch()
            once = VARIANTS * cache.seconds
        seconds = engine.timed(TRYING * settings.minutes * 60, self.stop)
        looking = (settings.checks + len(SHARES)) * check
        left = settings.minutes * 60 - (time.monotonic() - self.begun) - looking - once
        self.settings = settings.model_copy(update={"steps": max(FEWEST_STEPS, int(left / (SLACK * seconds)))})
        self.settled(self.settings)


class _Clock:
    """Seconds left, from how fast the last steps went."""

    def __init__(self, steps: int, done: int) -> None:
        self._steps, self._done, self._begun = steps, done, time.monotonic()

    def event(self, report: StepReport) -> dict[str, Any]:
        """What is told of a step."""
        step = report.iteration
        each = (time.monotonic() - self._begun) / max(1, step - self._done)
        return {"event": "step", "step": step, "loss": report.loss, "left": round((self._steps - step) * each, 1)}
