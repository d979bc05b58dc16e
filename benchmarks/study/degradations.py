"""Worse scans: coarser voxels, noise, a bias field; each the same again for the same case."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_morse.types import Array, Scan

BIAS = 2.0
"""The bias field lies between 1 / BIAS and BIAS, and reaches one of both."""
BIAS_WAVES = 2
"""Half periods of its fastest part along each axis."""


@dataclass(frozen=True)
class Degradation:
    """What is done to a scan: ``factor`` coarser voxels, ``noise`` in sd of the image, a ``bias`` field."""

    says: str
    factor: int = 1
    noise: float = 0.0
    bias: bool = False


INPUT = {
    "half": Degradation("input at half resolution", factor=2),
    "quarter": Degradation("input at quarter resolution", factor=4),
    "noise0.5": Degradation("noise, 0.5 sd of the image", noise=0.5),
    "noise1": Degradation("noise, 1 sd of the image", noise=1.0),
    "bias": Degradation("bias field, × 1/2 to × 2", bias=True),
}
COARSE_ONLY = {"coarse1/2": 2, "coarse1/4": 4}
"""The backbone reads blocks of so many working voxels; the renderer reads the scan as it is."""


def degraded(scan: Scan, how: Degradation, axes: Sequence[int], name: str) -> Scan:
    """The scan made worse along its working axes; ``name`` and the case seed what is drawn."""
    rng = np.random.default_rng(zlib.crc32(f"{name}/{scan.stem}".encode()))
    data = np.asarray(scan.data, dtype=np.float32)
    low = float(np.nanmin(data))
    if how.factor > 1:
        data = coarser(data, dict.fromkeys(axes, how.factor))
    if how.noise:
        data = noisy(data, how.noise, rng)
    if how.bias:
        data = low + (data - low) * bias_field(data.shape, axes, rng)
    return replace(scan, data=data)


def coarser(image: Array, factors: dict[int, int]) -> NDArray[np.float32]:
    """Means over blocks of voxels (what a scanner with larger voxels measures), put back by linear interpolation.

    Parameters
    ----------
    image
        Any number of axes.
    factors
        Axis → voxels of a block; the last block may hold fewer.
    """
    result = np.asarray(image, dtype=np.float32)
    for axis, factor in factors.items():
        if factor == 1:
            continue
        length = result.shape[axis]
        starts = np.arange(0, length, factor)
        counts = np.diff(np.append(starts, length))
        lines = np.moveaxis(result, axis, -1)
        means = np.add.reduceat(lines, starts, axis=-1) / counts
        centres = starts + (counts - 1) / 2
        at = np.interp(np.arange(length), centres, np.arange(len(starts)))
        left = np.minimum(at.astype(int), max(len(starts) - 2, 0))
        right = np.minimum(left + 1, len(starts) - 1)
        share = (at - left).astype(np.float32)
        result = np.moveaxis(means[..., left] * (1 - share) + means[..., right] * share, -1, axis)
    return np.ascontiguousarray(result, dtype=np.float32)


def noisy(image: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise of ``level`` sd of what is above the minimum, clipped to 0.5–99.5 % as in normalising.

    Voxels at the minimum are padding: they stay, and no other falls below them.
    """
    low = image.min()
    inside = image > low
    if not inside.any():
        return image
    spread = np.clip(image[inside], *np.percentile(image[inside], (0.5, 99.5))).std()
    noise = level * spread * rng.standard_normal(image.shape)
    least = np.nextafter(low, np.float32(np.inf))
    return np.where(inside, np.maximum(image + noise, least), image).astype(np.float32)


def bias_field(shape: tuple[int, ...], axes: Sequence[int], rng: np.random.Generator) -> NDArray[np.float32]:
    """exp of a random sum of slow cosines along the axes, the same across other axes."""
    field: NDArray[np.float64] = np.zeros([shape[axis] if axis in axes else 1 for axis in range(len(shape))])
    waves = np.stack(np.meshgrid(*[np.arange(BIAS_WAVES + 1)] * len(axes), indexing="ij"), -1).reshape(-1, len(axes))
    for counts in waves[1:]:
        part = np.asarray(rng.standard_normal())
        for axis, count in zip(axes, counts, strict=True):
            line = np.cos(np.pi * count * (np.arange(shape[axis]) + 0.5) / shape[axis])
            part = part * np.expand_dims(line, [a for a in range(len(shape)) if a != axis])
        field = field + part
    return np.asarray(np.exp(np.log(BIAS) * field / np.abs(field).max()), np.float32)


def low_passed(stack: NDArray[np.float32], factors: Sequence[int]) -> NDArray[np.float32]:
    """A stack (B, *space) with coarser voxels along space."""
    return coarser(stack, dict(enumerate(factors, start=1)))
