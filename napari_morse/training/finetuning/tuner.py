"""The tuning loop: a copy of the base model, a few cases, a fixed number of steps; the same on every run on a CPU."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_morse.config import Recipe
from napari_morse.errors import CancelledError, MorseError
from napari_morse.model.backbones import CoarseMaps
from napari_morse.model.morse import Morse, NativeImage
from napari_morse.model.points import nearest_labels, sample, training_points
from napari_morse.training.boxes import draw_box, whole_image
from napari_morse.training.examples import Example
from napari_morse.training.finetuning.parts import only, trained
from napari_morse.training.finetuning.samples import Drawer, Samples
from napari_morse.training.finetuning.state import State
from napari_morse.training.map_cache import VARIANTS, MapsCache
from napari_morse.training.objective import staying, weighted_loss, weights_of
from napari_morse.training.settings import TuneSettings
from napari_morse.training.sound import BACKS, DIVERGED, DivergedError, SoundSteps

TRIED = 16
"""Steps that are timed at most, after two that are not."""
WARM = 10
"""Steps over which the learning rate rises."""
DISTIL_EVERY = 2
"""Steps between two looks at what the base model says: it costs a third of a step."""


class Tuner:
    """Tunes a copy of a network; the network that is given stays as it is.

    Parameters
    ----------
    base
        The model's network.
    examples
        What it learns from, at the model's spacing.
    slice_axis
        For 2-D models, the patient axis across slices.
    settings
        With ``steps`` above 0.
    folder
        Where checkpoints lie.
    about
        What else must be the same for a run to be resumed: digests of the model and the cases.
    """

    def __init__(
        self, base: Morse, examples: list[Example], slice_axis: str | None, settings: TuneSettings, folder: Path,
        about: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.base = copy.deepcopy(base).to(self.device).eval()
        only(self.base, [])
        self.net = copy.deepcopy(self.base)
        renderer, backbone = trained(self.net, settings.what)
        only(self.net, [*renderer, *backbone])
        self.average = copy.deepcopy(self.base)
        self._anchors = self._anchored()
        groups = [{"params": renderer}, {"params": backbone}] if backbone else [{"params": renderer}]
        self.optimizer = torch.optim.AdamW(groups, settings.rate, weight_decay=0.0)
        self.samples = Drawer(examples, base.recipe, settings, slice_axis)
        self.cache = MapsCache(self.base, self.samples) if settings.what == "head" else None
        self.state = State(folder, {"settings": settings.model_dump(mode="json"), **(about or {})})
        self.steps = SoundSteps(self.net, self.optimizer)

    @property
    def recipe(self) -> Recipe:
        """Of the model."""
        return self.net.recipe

    def _anchored(self) -> list[tuple[Tensor, Tensor]]:
        kept = dict(self.base.named_parameters())
        return [(p, kept[name]) for name, p in self.net.named_parameters() if p.requires_grad]

    def resume(self) -> None:
        """Go on from the last checkpoint; raises WeightsError where there is none that fits."""
        self.state.load(self.net, self.average, self.optimizer)

    def run(
        self,
        told: Callable[[int, float], None] | None = None,
        stop: Callable[[], bool] | None = None,
        check: Callable[[int, Morse], None] | None = None,
    ) -> Morse:
        """Train from where the run stands to its last step.

        Parameters
        ----------
        told
            Given the number of steps done and the loss, after every step.
        stop
            Asked before every step; True ends the run with CancelledError, after which it can be resumed from its last
            checkpoint.
        check
            Given the averaged network at each of the ``checks`` moments, the last step among them.

        Returns
        -------
        Morse
            The averaged network, on the CPU.
        """
        total, every = self.settings.steps, self.state.every
        while self.state.step < total:
            try:
                self._until(total, every, told, stop, check)
            except DivergedError:
                self._back()
        return copy.deepcopy(self.average).cpu().eval()

    def _until(
        self, total: int, every: int, told: Callable[[int, float], None] | None, stop: Callable[[], bool] | None,
        check: Callable[[int, Morse], None] | None,
    ) -> None:  # fmt: skip
        if self.state.step == 0 and not self.state.kept:
            self.state.save(self.net, self.average, self.optimizer)
        moments = self.moments()
        for step, samples in self._stream(total):
            if stop is not None and stop():
                raise CancelledError
            loss = self.step(step, samples)
            self.state.step = step + 1
            if told is not None:
                told(step + 1, loss)
            if check is not None and step + 1 in moments:
                check(step + 1, self.average)
            if not self.steps.skipped and ((step + 1) % every == 0 or step + 1 in moments):
                self.state.save(self.net, self.average, self.optimizer)

    def _stream(self, total: int) -> Iterator[tuple[int, Samples]]:
        source = self.samples if self.cache is None else self.cache
        return source.stream(self.state.step, total)

    def timed(self, limit: float, stop: Callable[[], bool] = lambda: False) -> tuple[float, float]:
        """Seconds of a step, and those that come once: from some that are done on the spot, for a tuner thrown away.

        Samples are made beside the steps, as in a run, and take their share of the cores; maps that are kept are made
        once. No further step is begun after ``limit`` seconds, if both kinds were seen: every second step looks at the
        base model as well.

        Raises
        ------
        CancelledError
            ``stop``, which is asked before every step, said so; how long it waits counts for nothing.
        """
        begun, taken, since = time.monotonic(), [], 0.0
        for step, samples in self._repeated():
            now = time.monotonic()
            if step:
                taken.append(now - since)
            if stop():
                raise CancelledError
            if len(taken) > DISTIL_EVERY and now - begun > limit:
                break
            since = time.monotonic()
            with suppress(DivergedError):
                self.step(step, samples)
        pairs = [sum(taken[k : k + DISTIL_EVERY]) for k in range(1, len(taken) - DISTIL_EVERY + 1)]
        once = 0.0 if self.cache is None else VARIANTS * self.cache.seconds
        return float(np.median(pairs)) / DISTIL_EVERY, once

    def _repeated(self) -> Iterator[tuple[int, Samples]]:
        """Samples for timing: those of a cache again and again, as they are kept in a run."""
        if self.cache is None:
            return self._stream(TRIED + 2)
        kept = self.cache.batch(0)
        return ((step, kept) for step in range(TRIED + 2))

    def moments(self) -> set[int]:
        """Steps after which held-out cases are looked at."""
        total, checks = self.settings.steps, min(self.settings.checks, self.settings.steps)
        return {round(total * (n + 1) / checks) for n in range(checks)}

    def _back(self) -> None:
        self.state.backs += 1
        if self.state.backs > BACKS:
            raise MorseError(DIVERGED, "Check the cases for damaged scans, or train less of the model.")
        backs = self.state.backs
        self.state.load(self.net, self.average, self.optimizer)
        self.state.backs = backs
        self.steps.went_back(self.state.step)

    # One step

    def step(self, step: int, samples: Samples) -> float:
        """One update, where it is made of numbers; returns the loss.

        Raises
        ------
        DivergedError
            The run has to go back.
        """
        # Seeding by number makes a resumed run draw what the uninterrupted one would have drawn.
        torch.manual_seed((self.settings.seed * 1_000_003 + step) % 2**63)
        self._learning()
        self._rates(step)
        loss, taken = self.steps.take(lambda: self._loss(step, samples.to(self.device)))
        if taken:
            self._draw_back()
            self._average(step)
        return loss

    def _learning(self) -> None:
        """What is trained in training mode; what is not keeps its running statistics and drops nothing out."""
        self.net.train()
        for module in self.net.backbone.modules():
            held = list(module.parameters())
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            if held and not any(p.requires_grad for p in held):
                module.eval()
            elif own and not any(p.requires_grad for p in own):
                module.training = False  # not its children's

    def _loss(self, step: int, samples: Samples) -> Tensor:
        tuned = self.settings.what != "head"
        weights = weights_of(samples.codes, self.settings.corrected)
        if tuned:
            maps = self.net.coarse(samples.images)
        else:
            maps = getattr(samples, "maps", None) or self._still(samples.images)
        loss = samples.images.new_zeros(())
        full = maps.full_logits()
        if tuned:
            loss = loss + weighted_loss(full, samples.labels, weights, 0.5)
        stays = self.settings.distil > 0 and step % DISTIL_EVERY == 0
        before = (self._still(samples.images) if tuned else maps) if stays else None
        if before is not None and tuned:
            share = self.settings.distil * DISTIL_EVERY
            loss = loss + share * staying(full, before.full_logits(), samples.labels, samples.codes)
        return loss + self._points(samples, maps, weights, before)

    @torch.no_grad()
    def _still(self, images: Tensor) -> CoarseMaps:
        maps: CoarseMaps = self.base.coarse(images)
        return maps

    def _points(self, samples: Samples, maps: CoarseMaps, weights: Tensor, before: CoarseMaps | None) -> Tensor:
        """Loss of the renderer at points drawn as in training; more where the mask is wrong made it overshoot."""
        rough = _roughened(maps.detached(), samples)
        image, voxel = self._places(rough)
        truth = nearest_labels(samples.labels, image, voxel)
        weight = weights[(image, *voxel.round().long().T)]
        logits = self._rendered(self.net, rough, samples.images, image, voxel)
        loss = weighted_loss(logits, truth, weight, self.recipe.train.point_dice)
        if before is not None:
            with torch.no_grad():
                same = _roughened(before, samples)
                said = self._rendered(self.base, same, samples.images, image, voxel)
            codes = samples.codes[(image, *voxel.round().long().T)]
            loss = loss + self.settings.distil * DISTIL_EVERY * staying(logits, said, truth, codes)
        return loss

    def _places(self, maps: CoarseMaps) -> tuple[Tensor, Tensor]:
        config = self.recipe.render
        box = whole_image(maps) if self.net.stem is None else draw_box(maps, config.stem_window, self.net.stem.reach)
        self._box = box
        return training_points(
            maps.logits, maps.logit_stride, box.inner_size, config.points, config.oversample, config.importance,
            voxel_centres=True, start=box.inner_start,
        )  # fmt: skip

    def _rendered(self, net: Morse, maps: CoarseMaps, images: Tensor, image: Tensor, voxel: Tensor) -> Tensor:
        native = NativeImage(images, torch.ones(len(maps.size), device=images.device))
        stem = None
        if net.stem is not None:
            said = net.stem(self._box.of(images), self._box.of(maps.full_logits()))
            stem = sample(said, image, voxel - self._box.start[image])
        logits, _ = net.render(maps, image, voxel, native, voxel, stem=stem)
        return logits

    # Rates, anchor, average

    def _rates(self, step: int) -> None:
        total = max(self.settings.steps, 1)
        share = min(1.0, (step + 1) / WARM) * 0.5 * (1 + math.cos(math.pi * step / total)) * 0.5**self.state.backs
        for group, times in zip(self.optimizer.param_groups, (1.0, self.settings.backbone_rate), strict=False):
            group["lr"] = self.settings.rate * times * share

    @torch.no_grad()
    def _draw_back(self) -> None:
        """A step towards the base model's weights (L2-SP, Li et al., 2018), apart from the optimizer's own scale."""
        share = self.settings.anchor * self.optimizer.param_groups[0]["lr"] / self.settings.rate
        if share > 0:
            for now, before in self._anchors:
                now.lerp_(before, share)

    @torch.no_grad()
    def _average(self, step: int) -> None:
        decay = min(self.settings.ema, (1 + step) / (10 + step))
        for kept, new in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)


def _roughened(maps: CoarseMaps, samples: Samples) -> CoarseMaps:
    """Some samples with a damaged truth for coarse logits, as often as the base model met them."""
    if not samples.damaged.any():
        return maps
    logits = maps.full_logits().clone()
    logits[samples.damaged] = samples.rough
    return replace(maps, logits=logits, logit_stride=1)
