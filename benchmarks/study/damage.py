"""Truth masks damaged by about two or three voxels, as careless painters and other programs leave them.

Written apart from what training damages its masks with, so that a model isn't tested on its own medicine: that moves
borders in random waves; these are the plain operations of an editor.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.study.planes import steps
from napari_morse.types import Array

Damage = Callable[[NDArray[np.int64], tuple[int, ...], np.random.Generator], NDArray[np.int64]]
"""Mask, working axes, what draws → damaged mask."""


def damaged(mask: Array, axes: tuple[int, ...], name: str, stem: str) -> NDArray[np.int64]:
    """A mask (I, J, K) of label ids, damaged along its working axes; a case always in the same way."""
    rng = np.random.default_rng(zlib.crc32(f"{name}/{stem}".encode()))
    return DAMAGES[name](np.asarray(mask, dtype=np.int64), axes, rng)


def grown(mask: NDArray[np.int64], axes: tuple[int, ...], reach: float, order: Sequence[int]) -> NDArray[np.int64]:
    """Labels (or the background, 0) grown by ``reach`` voxels; those later in the order cover the earlier ones."""
    result = mask.copy()
    for label in order:
        if (mask == label).any():
            result[ndimage.distance_transform_edt(mask != label, sampling=steps(axes)) <= reach] = label
    return result


def dilated(reach: float) -> Damage:
    """Every structure grows: outwards, and into those of smaller ids."""
    return lambda mask, axes, _: grown(mask, axes, reach, _ids(mask))


def eroded(reach: float) -> Damage:
    """Every structure shrinks: from the background, and from those of smaller ids."""
    return lambda mask, axes, _: grown(mask, axes, reach, [*reversed(_ids(mask)), 0])


def shifted(mask: NDArray[np.int64], axes: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int64]:
    """By whole voxels, two to three in all."""
    while True:
        offset = rng.integers(-3, 4, len(axes))
        if 2 <= np.linalg.norm(offset) <= 3:
            break
    result = mask
    for axis, wanted in zip(axes, offset, strict=True):
        step = int(np.clip(wanted, -mask.shape[axis], mask.shape[axis]))
        empty = np.zeros_like(result.take(range(abs(step)), axis))
        kept = result.take(range(max(0, -step), mask.shape[axis] - max(0, step)), axis)
        result = np.concatenate([empty, kept] if step > 0 else [kept, empty], axis)
    return result


def smoothed(mask: NDArray[np.int64], axes: tuple[int, ...], _: np.random.Generator) -> NDArray[np.int64]:
    """The likeliest label after a Gaussian of 2.5 voxels over each."""
    sigma = [2.5 if axis in axes else 0.0 for axis in range(mask.ndim)]
    labels = [0, *_ids(mask)]
    shares = [ndimage.gaussian_filter((mask == label).astype(np.float32), sigma, mode="nearest") for label in labels]
    return np.asarray(np.array(labels)[np.argmax(shares, axis=0)])


def staircase(mask: NDArray[np.int64], axes: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int64]:
    """As a mask of a third of the resolution, nearest neighbour; where its blocks begin is drawn."""
    for axis in axes:
        first, length = int(rng.integers(3)), mask.shape[axis]
        centres = (np.arange(length) + first) // 3 * 3 + 1 - first
        mask = mask.take(centres.clip(0, length - 1), axis)
    return mask


def blobs(mask: NDArray[np.int64], axes: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int64]:
    """Balls of three voxels around border voxels, added and bitten off in turn: enough to cover half of the border."""
    inside = mask > 0
    border = np.argwhere(inside & (ndimage.distance_transform_edt(inside, sampling=steps(axes)) < 1.5))
    if not len(border):
        return mask
    radius = 3.0
    each = 2 * radius if len(axes) == 2 else np.pi * radius**2
    places = border[rng.permutation(len(border))[: max(2, round(len(border) / 2 / each))]]
    result = mask.copy()
    for number, centre in enumerate(places):
        box = tuple(
            slice(max(0, int(c - radius)), int(c + radius) + 1) if axis in axes else slice(int(c), int(c) + 1)
            for axis, c in enumerate(centre)
        )
        lattice = np.ogrid[tuple(slice(s.start, min(s.stop, n)) for s, n in zip(box, mask.shape, strict=True))]
        near = sum((line - c) ** 2 for line, c in zip(lattice, centre, strict=True)) <= radius**2
        part, held = result[box], mask[box]
        part[near & (held == 0) if number % 2 == 0 else near] = mask[tuple(centre)] if number % 2 == 0 else 0
    return result


def _ids(mask: NDArray[np.int64]) -> list[int]:
    return [int(label) for label in np.unique(mask) if label]


DAMAGES: dict[str, Damage] = {
    "dilated2": dilated(2),
    "eroded2": eroded(2),
    "dilated3": dilated(3),
    "shifted": shifted,
    "smoothed": smoothed,
    "staircase": staircase,
    "blobs": blobs,
}
SAYS = {
    "dilated2": "dilated by 2",
    "eroded2": "eroded by 2",
    "dilated3": "dilated by 3",
    "shifted": "shifted by 2 to 3",
    "smoothed": "smoothed, Gaussian of 2.5",
    "staircase": "staircase, 1/3 resolution",
    "blobs": "balls of 3 added and bitten off",
}
