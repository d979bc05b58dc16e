"""What a run is told: a person's choices for a round, and the schedule that the engine keeps to; loads no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_morse.config import TrainConfig

What = Literal["head", "decoder", "all"]
"""What is trained: the renderer; the renderer and the backbone's decoder; everything."""
POWER = 0.9
"""Of the polynomial schedule, as published."""
RESTART_WARMUP = 0.02
"""Share of the second stage over which the renderer's learning rate rises, where it begins anew."""
ROUND_WARMUP = 10
"""Steps of a round over which the learning rate rises."""
ROUND_SAVES = 10
"""Steps between two checkpoints of a round, at most."""


class TuneSettings(BaseModel):
    """One fine-tuning run."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    what: What = "decoder"
    minutes: float = Field(2.0, gt=0)
    """Wall-clock time for preparing and training; judging comes after it."""
    steps: int = Field(0, ge=0)
    """Steps instead of minutes; 0: as many as this machine does in ``minutes``."""
    seed: int = Field(0, ge=0, lt=2**63)
    batch: int = Field(2, ge=1)
    rate: float = Field(1e-3, gt=0)
    """Learning rate of the renderer."""
    backbone_rate: float = Field(1.0, gt=0)
    """The backbone's, as a share of it."""
    ema: float = Field(0.98, ge=0, lt=1)
    corrected: float = Field(2.0, ge=1)
    """Weight of a voxel whose label a person changed; 1 is that of any other reviewed voxel, 0 of one that nobody
    reviewed."""
    distil: float = Field(0.5, ge=0)
    """Weight of staying with the base model's probabilities, where the labels do not contradict it."""
    anchor: float = Field(0.01, ge=0)
    """How fast weights are drawn back to the base model's: share of the distance, times learning rate over `rate`."""
    replay: float = Field(0.3, ge=0, lt=1)
    """Share of the samples from cases of earlier rounds, when there are any."""
    checks: int = Field(4, ge=1)
    """How often the held-out cases are looked at; the best of these moments is kept."""
    check_cases: int = Field(4, ge=1)
    """How many of them, at most."""


@dataclass(frozen=True)
class Schedule:
    """How long the engine trains, what, how fast, and when it looks and saves; `of_recipe` and `of_round` make one.

    Parameters
    ----------
    steps
        Length of the run; with ``minutes`` unused.
    rate
        Learning rate at its height.
    minutes
        Wall-clock length instead of ``steps``; such a run is no longer the same from time to time.
    what
        What is trained. What is not is left as it is, running statistics included.
    optimizer, weight_decay
        Of the update.
    warmup
        Steps over which the rate rises in a straight line.
    fall, floor
        How the rate falls from then on, to ``floor`` (a share of ``rate``): half a cosine, or (1 − t/T)^0.9.
    backbone, renderer
        Times ``rate``, of either part.
    restart
        Share of the run at which the renderer's rate begins anew, for a schedule of its own over the rest; None: it
        falls with the backbone's.
    ema
        Decay of the averaged weights, which are the ones judged and kept.
    anchor
        Pull back to the weights that the run began with: share of the distance a step, at the full rate.
    look_every
        Steps between two looks at the held-out cases; 0: ``checks`` looks, spread evenly. The last step is always one.
    checks
        How many, where ``look_every`` is 0.
    save_every, save_seconds
        Steps (0: none), and seconds, after which a checkpoint is due. Each look ends with one, whatever these say.
    way_out
        What a person can do when the run has diverged for good: a sentence.
    """

    steps: int
    rate: float
    minutes: float | None = None
    what: What = "all"
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 0.0
    warmup: int = 0
    fall: Literal["cosine", "poly"] = "cosine"
    floor: float = 0.0
    backbone: float = 1.0
    renderer: float = 1.0
    restart: float | None = None
    ema: float = 0.0
    anchor: float = 0.0
    look_every: int = 0
    checks: int = 1
    save_every: int = 0
    save_seconds: float = math.inf
    way_out: str = ""

    @staticmethod
    def of_recipe(train: TrainConfig, minutes: float | None = None) -> Schedule:
        """The schedule of a recipe: a new network, checkpoints at its looks."""
        begins_anew = train.restart and train.second_stage < 1
        return Schedule(
            train.iterations, train.learning_rate, minutes, "head" if train.frozen else "all",
            optimizer=train.optimizer, weight_decay=train.weight_decay, warmup=train.warmup, fall=train.schedule,
            floor=train.floor, renderer=train.renderer_rate, restart=train.second_stage if begins_anew else None,
            ema=train.ema, look_every=train.validate_every,
            way_out="Begin again with a smaller learning rate, e.g. "
                    f"--set train.learning_rate={train.learning_rate / 10:g}.",
        )  # fmt: skip

    @staticmethod
    def of_round(settings: TuneSettings) -> Schedule:
        """The schedule of a round that tunes a model; ``settings.steps`` is above 0."""
        return Schedule(
            settings.steps, settings.rate, what=settings.what, warmup=ROUND_WARMUP, backbone=settings.backbone_rate,
            ema=settings.ema, anchor=settings.anchor, checks=settings.checks, save_every=ROUND_SAVES,
            way_out="Check the cases for damaged scans, or train less of the model.",
        )  # fmt: skip

    @property
    def length(self) -> float:
        """Of the run: seconds where it has minutes, else steps."""
        return self.steps if self.minutes is None else 60 * self.minutes

    def rates(self, step: int, spent: float) -> tuple[float, float]:
        """Learning rates of the backbone and of the renderer at a step, ``spent`` of `length` being over."""
        warm = min(1.0, (step + 1) / max(self.warmup, 1))
        common = self.rate * (warm * self._falling(spent, self.length))
        if self.restart is None:
            return self.backbone * common, self.renderer * common
        # A head that took over what the backbone's rate has fallen to would begin at zero and end half trained.
        own = max(0.0, (min(1.0, spent / self.length) - self.restart) / (1 - self.restart))
        anew = self.rate * (min(1.0, own / RESTART_WARMUP) * self._falling(own, 1.0))
        return self.backbone * common, self.renderer * anew

    def _falling(self, spent: float, length: float) -> float:
        spent = min(spent, length)
        fall = (1 - spent / length) ** POWER if self.fall == "poly" else 0.5 * (1 + math.cos(math.pi * spent / length))
        return self.floor + (1 - self.floor) * fall

    def looks_after(self, done: int) -> bool:
        """Whether the held-out cases are looked at when so many steps are done; at the end they always are."""
        return done % self.look_every == 0 if self.look_every else done in self.moments()

    def moments(self) -> set[int]:
        """Numbers of steps done, ``checks`` of them, spread evenly; the last is the run's."""
        checks = min(self.checks, self.steps)
        return {round(self.steps * (n + 1) / checks) for n in range(checks)}
