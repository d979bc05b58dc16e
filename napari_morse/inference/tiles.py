"""The coarse pass over an image of any size: MONAI's sliding window, stitched maps, progress and cancel."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.inferers.utils import sliding_window_inference
from torch import Tensor

from napari_morse.errors import CancelledError
from napari_morse.model.backbones import CoarseMaps
from napari_morse.model.morse import Morse

Tick = Callable[[int, int], None]
"""Called with (windows done, windows in all)."""
OVERLAP = 1 / 3
"""Of neighbouring windows, when a caller names none."""


def stitched_maps(
    net: Morse,
    image: Tensor,
    window: tuple[int, ...],
    batch: int = 1,
    tick: Tick | None = None,
    cancelled: Callable[[], bool] | None = None,
    overlap: float = OVERLAP,
) -> CoarseMaps:
    """Coarse logits and decoder maps of a whole image.

    Parameters
    ----------
    image
        (B, channels, *size) on the network's device, every axis at least one window long and a multiple of the divisor.
    window
        Voxels of a tile, multiples of the divisor; neighbours are blended with Gaussian weights.
    batch
        Windows per pass.
    tick, cancelled
        Told after each pass; asked before each pass.
    overlap
        Share of a window, 0 to below 1, that neighbours have in common at least; steps are multiples of the divisor.

    Raises
    ------
    CancelledError
        When ``cancelled`` says so, within one pass.
    """
    size, divisor = tuple(image.shape[2:]), net.backbone.divisor
    strides, logit_stride = net.backbone.strides, net.backbone.logit_stride
    # Finest first: MONAI shrinks its blending weights from one output to the next and cannot grow them back.
    order = sorted(range(1 + len(strides)), key=(logit_stride, *strides).__getitem__)
    total = image.shape[0] * window_count(size, window, divisor, overlap)
    one_pass = _Passes(net, order, total, tick, cancelled)
    stitched: Any
    if size == tuple(window):
        parts = [one_pass(chunk) for chunk in image.split(batch)]
        stitched = tuple(torch.cat(maps) for maps in zip(*parts, strict=True))
    else:
        overlaps = _overlaps(window, divisor, overlap)
        stitched = sliding_window_inference(image, window, batch, one_pass, overlap=overlaps, mode="gaussian")
    logits, *features = (stitched[order.index(k)] for k in range(len(order)))
    return CoarseMaps(logits, tuple(features), strides, logit_stride, size)


@dataclass
class _Passes:
    """The network on one batch of tiles after the other; (logits, *decoder maps) in ``order``."""

    net: Morse
    order: Sequence[int]
    total: int
    tick: Tick | None
    cancelled: Callable[[], bool] | None
    done: int = 0

    def __call__(self, tile: Tensor) -> tuple[Tensor, ...]:
        if self.cancelled is not None and self.cancelled():
            raise CancelledError
        maps = self.net.coarse(tile)
        self.done += len(tile)
        if self.tick is not None:
            self.tick(min(self.done, self.total), self.total)
        return tuple((maps.logits, *maps.features)[k] for k in self.order)


def _interval(length: int, divisor: int, overlap: float) -> int:
    return max(divisor, int(length * (1 - overlap) + 1e-6) // divisor * divisor)


def _overlaps(window: tuple[int, ...], divisor: int, overlap: float) -> list[float]:
    # Half a voxel more: MONAI truncates window × (1 − overlap), and a shorter step would leave the maps' cells.
    return [max(0.0, 1 - (_interval(n, divisor, overlap) + 0.5) / n) for n in window]


def window_count(size: tuple[int, ...], window: tuple[int, ...], divisor: int, overlap: float = OVERLAP) -> int:
    """Windows that cover one image."""
    steps = [_interval(length, divisor, overlap) for length in window]
    counts = [1 if n <= w else -(-(n - w) // s) + 1 for n, w, s in zip(size, window, steps, strict=True)]
    return len(list(itertools.product(*(range(c) for c in counts))))
