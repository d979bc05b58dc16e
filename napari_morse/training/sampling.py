"""Samples by number: the same number gives the same sample, so a resumed run goes on as if never stopped.

Shapes: B samples of a batch, C classes, *window the voxels of a sample along each of the model's axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_morse.config import Intensity, Recipe
from napari_morse.geometry.orientation import AXES
from napari_morse.inference.normalise import normalise
from napari_morse.training.augmentation import Augmenter
from napari_morse.training.examples import Example
from napari_morse.training.rough import rough_logits
from napari_morse.training.source import CODE_UNREVIEWED
from napari_morse.types import Array

AHEAD = 3
"""Batches prepared in the background while the network works."""
OCCUPIED_SLICES = 0.8
"""Share of a 2-D model's slices that show something."""
PICTURES = 0.3
"""Share of 2-D samples standardised over the slice alone, as a picture without its volume is; none in rounds, which
read volumes."""
CODE = 256
"""A sample's labels carry ``class + CODE · code`` through the augmentation: what moves a label moves its code."""


@dataclass(frozen=True)
class Streams:
    """Numbers of the random streams, beside the run's seed.

    Training and rounds draw from streams of their own: a round's seed gives the model that it gave before both shared a
    sampler.
    """

    order: int
    """Of the cases within an epoch."""
    choice: int
    """Replayed or new, and which slice."""
    motion: int
    hurt: int
    """Whether a sample's coarse map is damaged."""
    damage: int


TRAINING_STREAMS = Streams(order=1, choice=2, motion=3, hurt=4, damage=5)
ROUND_STREAMS = Streams(order=13, choice=11, motion=12, hurt=14, damage=15)
CACHED = 16
"""Stream of a round that draws from samples which are made already."""


def mirrored(recipe: Recipe, slice_axis: str | None) -> bool:
    """Whether samples are mirrored left to right: sagittal slices have no left and right."""
    return recipe.train.mirror and slice_axis != "R"


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
        (B, *window) uint8, as in `source`.
    damaged
        (B,) bool, whether the renderer is shown a damaged truth instead of the coarse map.
    rough
        (number of those, C, *window) float32, its logits.
    """

    images: Tensor
    labels: Tensor
    codes: Tensor
    damaged: Tensor
    rough: Tensor

    def to(self, device: torch.device) -> Samples:
        """The same on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(Samples)})


class Sampler:
    """Augmented samples of the examples, new ones and replayed ones by their share; slices for 2-D models.

    Parameters
    ----------
    examples
        At the model's spacing.
    recipe
        Window, mirroring, share of damaged truths.
    slice_axis
        For 2-D models, the patient axis across slices.
    seed
        Of everything that is drawn.
    batch
        B.
    replay
        Share of the samples from replayed examples, when there are any.
    pictures
        Share of 2-D samples standardised over the slice alone.
    streams
        Which random numbers.
    """

    def __init__(
        self, examples: Sequence[Example], recipe: Recipe, slice_axis: str | None, seed: int, batch: int,
        replay: float = 0.0, pictures: float = PICTURES, streams: Streams = TRAINING_STREAMS,
    ) -> None:  # fmt: skip
        self._new = [e for e in examples if not e.replay]
        self._old = [e for e in examples if e.replay]
        self.seed, self.size, self._replay, self._pictures = seed, batch, replay, pictures
        self._streams = streams
        self._rough, self._classes = recipe.train.rough, recipe.backbone.classes
        self._axis = None if slice_axis is None else AXES[slice_axis]
        self._augment = Augmenter(recipe.train.window, mirror=mirrored(recipe, slice_axis))

    def batch(self, step: int, damaging: bool = True) -> Samples:
        """The samples of one step; without ``damaging`` no truth is damaged, which takes its time."""
        return self.numbered(range(step * self.size, (step + 1) * self.size), damaging)

    def numbered(self, numbers: range, damaging: bool = True) -> Samples:
        """Samples by number, as `batch`."""
        images, labels, codes = map(torch.stack, zip(*map(self._draw, numbers), strict=True))
        hurt = [damaging and self._rng(self._streams.hurt, n).random() < self._rough for n in numbers]
        rough = [
            rough_logits(labels[k], self._classes, (self.seed, self._streams.damage, n))
            for k, n in enumerate(numbers) if hurt[k]
        ]  # fmt: skip
        logits = torch.stack(rough) if rough else torch.zeros(0, self._classes, *labels.shape[1:])
        return Samples(images, labels, codes, torch.tensor(hurt), logits.float())

    def _rng(self, stream: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, stream, number))

    def _draw(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = self._rng(self._streams.choice, number)
        # The order of these draws is part of the model: moved or added to, every seed would give another one than
        # before.
        example = self._example(number, rng)
        image, labels, codes = example.case.pixels, example.case.labels, example.codes
        if self._axis is not None:
            index = self._slice(labels, rng)
            # Counted from the end: an image of several channels holds them before its space.
            image = np.take(image, index, self._axis - 3)
            labels, codes = np.take(labels, index, self._axis), np.take(codes, index, self._axis)
            # No draw where the share is 0: rounds then draw as they did before they had this sampler.
            if self._pictures and rng.random() < self._pictures:
                image = _as_picture(image)
        inside = (labels > 0) & (codes != CODE_UNREVIEWED)
        seed = (self.seed, self._streams.motion, number)
        moved, marks = self._augment(image, packed(labels, codes), seed, inside)
        return moved, marks % CODE, (marks // CODE).to(torch.uint8)

    def _example(self, number: int, rng: np.random.Generator) -> Example:
        """New cases in turn, each as often as any other; earlier ones by chance."""
        if self._old and (not self._new or rng.random() < self._replay):
            return self._old[int(rng.integers(len(self._old)))]
        epoch, place = divmod(number, len(self._new))
        order = self._rng(self._streams.order, epoch).permutation(len(self._new))
        return self._new[int(order[place])]

    def _slice(self, labels: Array, rng: np.random.Generator) -> int:
        slices = np.moveaxis(labels, self._axis or 0, 0)
        shown = np.flatnonzero(slices.any(axis=(1, 2)))
        some = shown if shown.size and rng.random() < OCCUPIED_SLICES else np.arange(len(slices))
        return int(rng.choice(some))

    def stream(
        self, start: int, stop: int, damaging: Callable[[int], bool] = lambda _: True
    ) -> Iterator[tuple[int, Samples]]:
        """(step, samples) from ``start`` up to ``stop``, prepared ahead in one background thread."""
        with ThreadPoolExecutor(1, thread_name_prefix="samples") as pool:
            waiting: list[Future[Samples]] = []
            try:
                for step in range(start, stop):
                    while len(waiting) < AHEAD and step + len(waiting) < stop:
                        ahead = step + len(waiting)
                        waiting.append(pool.submit(self.batch, ahead, damaging(ahead)))
                    yield step, waiting.pop(0).result()
            finally:
                for future in waiting:
                    # Else leaving the pool would make the samples that nobody waits for.
                    future.cancel()


def packed(labels: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.unsignedinteger]:
    """(*space) class + `CODE` · code; the labels themselves where all codes are 0."""
    if not codes.any():
        return labels
    return labels.astype(np.uint16) + np.uint16(CODE) * codes.astype(np.uint16)


def _as_picture(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(*space) or (channels, *space) slice, each channel standardised over itself."""
    channels = image if image.ndim == 3 else image[None]
    return np.stack([normalise(channel, Intensity()).pixels for channel in channels]).reshape(image.shape)
