"""Batches by iteration number: the same number gives the same batch, so a resumed run goes on as if never stopped."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_morse.config import Intensity, Recipe
from napari_morse.geometry.orientation import AXES
from napari_morse.inference.normalise import normalise
from napari_morse.training.augmentation import Augmenter
from napari_morse.training.cases import Case

AHEAD = 3
"""Batches prepared in the background while the network works."""
PICTURES = 0.3
"""Share of 2-D samples standardised over the slice alone, as a picture without its volume is."""


def mirrored(recipe: Recipe, slice_axis: str | None) -> bool:
    """Whether samples are mirrored left to right: sagittal slices have no left and right."""
    return recipe.train.mirror and slice_axis != "R"


class Batches:
    """Augmented batches for 3-D models, or slices along ``slice_axis`` for 2-D ones."""

    def __init__(self, cases: list[Case], recipe: Recipe, seed: int, slice_axis: str | None) -> None:
        self.cases = cases
        self.batch = recipe.train.batch
        self.seed = seed
        self.axis = AXES[slice_axis] if slice_axis is not None else None
        self.augment = Augmenter(recipe.train.window, mirror=mirrored(recipe, slice_axis))

    def at(self, iteration: int) -> tuple[Tensor, Tensor]:
        """(B, channels, *window) float32 images and (B, *window) int64 class indices of one iteration."""
        drawn = [self._draw(iteration, item) for item in range(self.batch)]
        images, labels = zip(*drawn, strict=True)
        return torch.stack(images), torch.stack(labels)

    def _draw(self, iteration: int, item: int) -> tuple[Tensor, Tensor]:
        number = iteration * self.batch + item
        epoch, place = divmod(number, len(self.cases))
        order = np.random.default_rng((self.seed, 1, epoch)).permutation(len(self.cases))
        case = self.cases[int(order[place])]
        image, labels = case.pixels, case.labels
        if self.axis is not None:
            image, labels = self._slice(case, np.random.default_rng((self.seed, 2, number)))
        return self.augment(image, labels, (self.seed, 3, number))

    def _slice(self, case: Case, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """A slice, four times in five one that shows a structure."""
        axis = self.axis if self.axis is not None else 2
        shown = np.flatnonzero(np.moveaxis(case.labels, axis, 0).any(axis=(1, 2)))
        some = shown if shown.size and rng.random() < 0.8 else np.arange(case.labels.shape[axis])
        index = int(rng.choice(some))
        image, labels = np.take(case.pixels, index, axis - 3), np.take(case.labels, index, axis)
        if rng.random() < PICTURES:
            channels = image if case.others else image[None]
            image = np.stack([normalise(channel, Intensity()).pixels for channel in channels]).reshape(image.shape)
        return image, labels

    def stream(self, start: int, stop: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(iteration, images, labels) from ``start`` up to ``stop``, prepared ahead in one background thread."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            waiting: list[Future[tuple[Tensor, Tensor]]] = []
            try:
                for iteration in range(start, stop):
                    while len(waiting) < AHEAD and iteration + len(waiting) < stop:
                        waiting.append(pool.submit(self.at, iteration + len(waiting)))
                    images, labels = waiting.pop(0).result()
                    yield iteration, images, labels
            finally:
                for future in waiting:
                    future.cancel()
