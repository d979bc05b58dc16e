"""Samples by number: the same number gives the same sample, so a resumed run goes on as if never stopped."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from napari_morse.config import Recipe
from napari_morse.geometry.orientation import AXES
from napari_morse.training.augmentation import Augmenter
from napari_morse.training.examples import CODE, Example
from napari_morse.training.finetuning.source import UNREVIEWED
from napari_morse.training.rough import rough_logits
from napari_morse.training.sampling import AHEAD, mirrored
from napari_morse.training.settings import TuneSettings
from napari_morse.types import Array

SHOWN = 0.8
"""Share of a 2-D model's slices that show something."""


@dataclass(frozen=True, eq=False)
class Samples:
    """A batch.

    Parameters
    ----------
    images
        (B, channels, *window) float32.
    labels
        (B, *window) int64 classes.
    codes
        (B, *window) uint8, as in `examples`.
    damaged
        (B,) whether the renderer is shown a damaged truth instead of the coarse map.
    rough
        (number of those, C, *window) its logits.
    """

    images: Tensor
    labels: Tensor
    codes: Tensor
    damaged: Tensor
    rough: Tensor

    def to(self, device: torch.device) -> Samples:
        """The same on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(Samples)})


class Drawer:
    """Augmented samples of the examples, new ones and replayed ones by their share."""

    def __init__(self, examples: list[Example], recipe: Recipe, settings: TuneSettings, slice_axis: str | None) -> None:
        self._new = [e for e in examples if not e.replay]
        self._old = [e for e in examples if e.replay]
        self.settings = settings
        self._rough, self._classes = recipe.train.rough, recipe.backbone.classes
        self._axis = None if slice_axis is None else AXES[slice_axis]
        self._augment = Augmenter(recipe.train.window, mirror=mirrored(recipe, slice_axis))

    def batch(self, step: int) -> Samples:
        """The samples of one step."""
        return self.numbered(range(step * self.settings.batch, (step + 1) * self.settings.batch))

    def numbered(self, numbers: range) -> Samples:
        """Samples by number."""
        images, labels, codes = map(torch.stack, zip(*map(self._draw, numbers), strict=True))
        hurt = [np.random.default_rng((self.settings.seed, 14, n)).random() < self._rough for n in numbers]
        rough = [
            rough_logits(labels[k], self._classes, (self.settings.seed, 15, n))
            for k, n in enumerate(numbers) if hurt[k]
        ]  # fmt: skip
        logits = torch.stack(rough) if rough else torch.zeros(0, self._classes, *labels.shape[1:])
        return Samples(images, labels, codes, torch.tensor(hurt), logits.float())

    def _draw(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        seed = self.settings.seed
        rng = np.random.default_rng((seed, 11, number))
        example = self._example(number, rng)
        image, packed = example.case.pixels, example.packed
        if self._axis is not None:
            index = self._slice(packed, rng)
            image, packed = np.take(image, index, self._axis - 3), np.take(packed, index, self._axis)
        inside = (packed % CODE > 0) & (packed // CODE != UNREVIEWED)
        moved, marks = self._augment(image, packed, (seed, 12, number), inside)
        return moved, marks % CODE, (marks // CODE).to(torch.uint8)

    def _example(self, number: int, rng: np.random.Generator) -> Example:
        """New cases in turn, each as often as any other; earlier ones by chance."""
        if self._old and (not self._new or rng.random() < self.settings.replay):
            return self._old[int(rng.integers(len(self._old)))]
        epoch, place = divmod(number, len(self._new))
        order = np.random.default_rng((self.settings.seed, 13, epoch)).permutation(len(self._new))
        return self._new[int(order[place])]

    def _slice(self, packed: Array, rng: np.random.Generator) -> int:
        axis = self._axis or 0
        classes = np.moveaxis(packed % CODE, axis, 0)
        shown = np.flatnonzero(classes.any(axis=(1, 2)))
        some = shown if shown.size and rng.random() < SHOWN else np.arange(len(classes))
        return int(rng.choice(some))

    def stream(self, start: int, stop: int) -> Iterator[tuple[int, Samples]]:
        """(step, samples) from ``start`` up to ``stop``, prepared ahead in one background thread."""
        with ThreadPoolExecutor(1, thread_name_prefix="samples") as pool:
            waiting: list[Future[Samples]] = []
            try:
                for step in range(start, stop):
                    while len(waiting) < AHEAD and step + len(waiting) < stop:
                        waiting.append(pool.submit(self.batch, step + len(waiting)))
                    yield step, waiting.pop(0).result()
            finally:
                for future in waiting:
                    future.cancel()
