"""The training loop: the backbone alone, then both; the best averaged weights on validation cases are kept."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_morse.config import Recipe
from napari_morse.errors import MorseError
from napari_morse.model.backbones import CoarseMaps
from napari_morse.model.losses import point_loss, point_weight, supervised_loss
from napari_morse.model.morse import Morse, NativeImage
from napari_morse.model.points import nearest_labels, sample, training_points
from napari_morse.training.boxes import draw_box, whole_image
from napari_morse.training.cases import Case
from napari_morse.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from napari_morse.training.rough import rough_logits
from napari_morse.training.sampling import Batches
from napari_morse.training.sound import BACKS, DIVERGED, DivergedError, SoundSteps
from napari_morse.training.validation import Verdict, judge


@dataclass(frozen=True)
class Report:
    """What a watcher is told after an iteration; ``verdict`` only after validation."""

    iteration: int
    total: int
    stage: int
    loss: float
    seconds: float
    remaining: float
    verdict: Verdict | None = None
    best: bool = False


POWER = 0.9
"""Of the polynomial schedule, as published."""
WARM = 0.02
"""Share of the second stage over which the renderer's learning rate rises, where it begins anew."""
Watcher = Callable[[Report], None]


class Trainer:
    """One run.

    Parameters
    ----------
    recipe
        Architecture, budget and schedule.
    train, val
        Cases.
    spacing
        mm of the model's axes.
    slice_axis
        For 2-D models, the patient axis across slices.
    seed
        Of initialisation, batches, points and silenced experts.
    folder
        Where the state of the run is kept.
    minutes
        Wall-clock budget; the schedule is then stretched over the time instead of the iterations, and is no longer
        the same from run to run.
    settings
        Whatever else must be the same when the run is resumed.
    """

    def __init__(
        self, recipe: Recipe, train: list[Case], val: list[Case], spacing: tuple[float, ...], slice_axis: str | None,
        seed: int, folder: Path, minutes: float | None, settings: dict[str, Any],
    ) -> None:  # fmt: skip
        torch.manual_seed(seed)
        self.recipe, self.val, self.spacing, self.slice_axis = recipe, val, spacing, slice_axis
        self.seed, self.folder, self.minutes = seed, folder, minutes
        self.settings = {"recipe": recipe.model_dump(mode="json"), "seed": seed, "minutes": minutes, **settings}
        self.batches = Batches(train, recipe, seed, slice_axis)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = Morse(recipe).to(self.device)
        self.average = copy.deepcopy(self.net).eval()
        self.best: dict[str, Tensor] = {}
        self.progress = Progress()
        self.optimizer = self._optimizer()
        self.steps = SoundSteps(self.net, self.optimizer)
        self.clock: Callable[[], float] = time.monotonic
        """Seconds of the budget; the processor's time is fairer on a machine that does other work."""

    def _optimizer(self) -> torch.optim.Optimizer:
        config = self.recipe.train
        backbone = list(self.net.backbone.parameters())
        known = set(map(id, backbone))
        groups = [{"params": backbone}, {"params": [p for p in self.net.parameters() if id(p) not in known]}]
        if config.optimizer == "sgd":
            return torch.optim.SGD(groups, config.learning_rate, momentum=0.9, weight_decay=config.weight_decay)
        return torch.optim.AdamW(groups, config.learning_rate, weight_decay=config.weight_decay)

    def resume(self) -> None:
        """Go on from the state in the folder."""
        self.progress, self.best = load_checkpoint(self.folder, self.net, self.average, self.optimizer, self.settings)
        self.best = {k: v.to(self.device) for k, v in self.best.items()}

    def run(self, watch: Watcher | None = None) -> Morse:
        """Train to the end of the budget and return the best averaged network, on the CPU, in eval mode.

        Raises
        ------
        MorseError
            The training diverged, also after it went back to its last checkpoint and on at a smaller rate.
        """
        if self.progress.iteration == 0:
            self.save()  # what the run can go back to
        while not self._finished(watch):
            self._back()
        if self.val and not self.best and not self.look().finite:
            raise MorseError(DIVERGED, self._way_out())
        result = copy.deepcopy(self.average)
        result.load_state_dict(self.best or self.average.state_dict())
        return result.cpu().eval()

    def _finished(self, watch: Watcher | None) -> bool:
        """Train to the end of the budget; whether it came there."""
        try:
            self._until(watch)
        except DivergedError:
            return False
        return True

    def _until(self, watch: Watcher | None) -> None:
        config = self.recipe.train
        limit = config.iterations if self.minutes is None else 10**9
        begun = self.clock() - self.progress.seconds
        for iteration, images, labels in self.batches.stream(self.progress.iteration, limit):
            share = self._share(iteration)
            if share >= 1:
                break
            loss = self.step(iteration, share, images.to(self.device), labels.to(self.device))
            self.progress.iteration = iteration + 1
            self.progress.seconds = self.clock() - begun
            after = self._share(iteration + 1)
            verdict, best = None, False
            if (iteration + 1) % config.validate_every == 0 or after >= 1:
                verdict, best = self._judge()
                self.progress.seconds = self.clock() - begun
                self.save()
            if watch is not None:
                watch(self._report(loss, after, verdict, best))

    def _back(self) -> None:
        """To the last checkpoint, at half the rate; what was spent of the budget stays spent."""
        backs, seconds = self.progress.backs + 1, self.progress.seconds
        if backs > BACKS:
            raise MorseError(DIVERGED, self._way_out())
        self.resume()
        self.progress.backs, self.progress.seconds = backs, seconds
        self.steps.went_back(self.progress.iteration)

    def _way_out(self) -> str:
        """What a person can do about a run that diverged."""
        rate = self.recipe.train.learning_rate / 10
        return f"Begin again with a smaller learning rate, e.g. --set train.learning_rate={rate:g}."

    def _share(self, iteration: int) -> float:
        """How much of the budget is spent, 0 to 1."""
        if self.minutes is not None:
            return min(1.0, self.progress.seconds / (60 * self.minutes))
        return min(1.0, iteration / self.recipe.train.iterations)

    def step(self, iteration: int, share: float, images: Tensor, labels: Tensor) -> float:
        """One update, where it is made of numbers; returns the loss.

        Raises
        ------
        DivergedError
            The run has to go back.
        """
        # Seeding by iteration makes a resumed run draw what the uninterrupted one would have drawn.
        torch.manual_seed((self.seed * 1_000_003 + iteration) % 2**63)
        self.net.train()
        if self.recipe.train.frozen:
            self.net.backbone.eval()
        backbone, renderer = self.optimizer.param_groups
        slower = 0.5**self.progress.backs
        backbone["lr"] = self.learning_rate(iteration, share) * slower
        renderer["lr"] = self.renderer_rate(iteration, share) * slower
        loss, taken = self.steps.take(lambda: self._loss(iteration, share, images, labels))
        if taken:
            self._average(iteration)
        return loss

    def _loss(self, iteration: int, share: float, images: Tensor, labels: Tensor) -> Tensor:
        config = self.recipe.train
        with torch.set_grad_enabled(not config.frozen):
            maps = self._coarse(images)
        loss = images.new_zeros(()) if config.frozen else supervised_loss(maps, labels)
        weight = point_weight(
            round(share * 10_000), 10_000, round(config.second_stage * 10_000), config.point_weight, config.point_ramp
        )
        if weight > 0 or share >= config.second_stage < 1:
            loss = loss + weight * self._point_loss(iteration, maps, images, labels)
        return loss

    def _coarse(self, images: Tensor) -> CoarseMaps:
        half = self.recipe.train.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            maps = self.net.coarse(images)
        return maps.float() if half else maps

    def _point_loss(self, iteration: int, maps: CoarseMaps, images: Tensor, labels: Tensor) -> Tensor:
        config = self.recipe.render
        maps = self._roughened(iteration, maps, labels)
        seen = maps.detached() if config.detach else maps
        box = whole_image(maps) if self.net.stem is None else draw_box(maps, config.stem_window, self.net.stem.reach)
        image, voxel = training_points(
            maps.logits, maps.logit_stride, box.inner_size, config.points, config.oversample, config.importance,
            voxel_centres=config.voxel_centres, start=box.inner_start,
        )  # fmt: skip
        native = NativeImage(images, torch.ones(len(maps.size), device=images.device))
        stem = None
        if self.net.stem is not None:
            said = self.net.stem(box.of(images), box.of(seen.full_logits()))
            stem = sample(said, image, voxel - box.start[image])
        logits, _ = self.net.render(seen, image, voxel, native, voxel, stem=stem)
        return point_loss(logits, nearest_labels(labels, image, voxel), self.recipe.train.point_dice)

    def _roughened(self, iteration: int, maps: CoarseMaps, labels: Tensor) -> CoarseMaps:
        """The maps as the renderer sees them: some samples with a damaged truth for coarse logits."""
        share = self.recipe.train.rough
        chosen = np.random.default_rng((self.seed, 4, iteration)).random(len(labels)) < share
        if not chosen.any():
            return maps
        logits = maps.full_logits().clone()
        for item in np.flatnonzero(chosen).tolist():
            logits[item] = rough_logits(labels[item], logits.shape[1], (self.seed, 5, iteration, item))
        return replace(maps, logits=logits, logit_stride=1)

    def learning_rate(self, iteration: int, share: float) -> float:
        """Linear warm-up, then half a cosine or a polynomial down to the floor over the budget."""
        config = self.recipe.train
        warm = min(1.0, (iteration + 1) / max(config.warmup, 1))
        fall = (1 - share) ** POWER if config.schedule == "poly" else 0.5 * (1 + math.cos(math.pi * share))
        return config.learning_rate * warm * (config.floor + (1 - config.floor) * fall)

    def renderer_rate(self, iteration: int, share: float) -> float:
        """The renderer's learning rate: the backbone's, or with ``restart`` one of its own over the second stage."""
        config = self.recipe.train
        if not config.restart or config.second_stage >= 1:
            return config.renderer_rate * self.learning_rate(iteration, share)
        own = max(0.0, (share - config.second_stage) / (1 - config.second_stage))
        return config.renderer_rate * min(1.0, own / WARM) * self.learning_rate(config.warmup, own)

    @torch.no_grad()
    def _average(self, iteration: int) -> None:
        decay = min(self.recipe.train.ema, (1 + iteration) / (10 + iteration))
        for kept, new in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:  # counters and index tables
                kept.copy_(new)

    def look(self) -> Verdict:
        """What the averaged weights are worth on the validation cases."""
        return judge(self.average, self.val, self.spacing, self.slice_axis)

    def _judge(self) -> tuple[Verdict, bool]:
        verdict = self.look()
        best = verdict.finite and verdict.dice > self.progress.best_dice
        if best:
            self.progress.best_dice, self.progress.best_iteration = verdict.dice, self.progress.iteration
            self.best = {k: v.detach().clone() for k, v in self.average.state_dict().items()}
        return verdict, best

    def save(self) -> None:
        """Write a checkpoint from which `resume` goes on; none while steps are skipped."""
        if self.steps.skipped:
            return
        save_checkpoint(self.folder, self.net, self.average, self.best, self.optimizer, self.progress, self.settings)

    def _report(self, loss: float, share: float, verdict: Verdict | None, best: bool) -> Report:
        seconds = self.progress.seconds
        total = (
            self.recipe.train.iterations if self.minutes is None else round(self.progress.iteration / max(share, 1e-6))
        )
        stage = 1 if share < self.recipe.train.second_stage else 2
        return Report(
            self.progress.iteration,
            total,
            stage,
            loss,
            seconds,
            seconds / max(share, 1e-6) * (1 - share),
            verdict,
            best,
        )
