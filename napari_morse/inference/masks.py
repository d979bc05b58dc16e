"""A finished mask as coarse logits: how sure it is of a voxel grows with the distance from its own boundary."""

from __future__ import annotations

import math

import edt
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_morse.metrics.surface import bounding_box

DOUBTED = 4.0
"""Working voxels from a given mask's border within which the renderer looks, whatever bound its own maps have: how far
off a painted mask may be has nothing to do with how sure the backbone is."""
SATURATION_DISTANCE = 6.0
"""Working voxels beyond which a mask is as sure as it gets."""


def mask_logits(classes: NDArray[np.integer], count: int, steps: tuple[float, ...]) -> Tensor:
    """(C, *space) logits whose margin at a voxel is its distance from the nearest border of the mask.

    So a renderer that doubts voxels with a margin below `DOUBTED` looks at those within as many working voxels of the
    border, and may move it that far.

    Parameters
    ----------
    classes
        (*space) class indices, 0 background.
    count
        C.
    steps
        Working voxels per voxel along each axis.

    Returns
    -------
    Tensor
        float32; ± half the distance in working voxels, at most half of ``SATURATION_DISTANCE``.
    """
    # Half: two classes' distances have opposite signs at their common border, so that the margin is the distance.
    return torch.from_numpy(np.stack([_near(classes == index, steps) for index in range(count)]) / 2)


def _near(inside: NDArray[np.bool_], steps: tuple[float, ...]) -> NDArray[np.float32]:
    """Signed distance up to ± `SATURATION_DISTANCE`: looked at around the border only."""
    near = np.where(inside, np.float32(SATURATION_DISTANCE), np.float32(-SATURATION_DISTANCE))
    if inside.all() or not inside.any():
        return near
    box = []
    for step, one, other in zip(steps, bounding_box(inside), bounding_box(~inside), strict=True):
        spare = math.ceil(SATURATION_DISTANCE / step) + 2
        box.append(slice(max(0, max(one.start, other.start) - spare), min(one.stop, other.stop) + spare))
    near[tuple(box)] = _signed(inside[tuple(box)], steps).clip(-SATURATION_DISTANCE, SATURATION_DISTANCE)
    return near


def signed_distances(classes: NDArray[np.integer], count: int, steps: tuple[float, ...]) -> NDArray[np.float32]:
    """(*space) class indices → (C, *space) distance to each class's border, positive inside, ± infinite without one."""
    return np.stack([_signed(classes == index, steps) for index in range(count)])


def _signed(inside: NDArray[np.bool_], steps: tuple[float, ...]) -> NDArray[np.float32]:
    if inside.all() or not inside.any():
        return np.full(inside.shape, np.inf if inside.all() else -np.inf, np.float32)
    # edt measures to the centre of the other side's nearest voxel, and the border runs half a voxel before it;
    # `_halve` mends that where voxels are longer along one axis. The image's end is no border.
    within, beyond = (edt.edt(part, anisotropy=steps, black_border=False, parallel=1) for part in (inside, ~inside))
    half = min(steps) / 2
    signed: NDArray[np.float32] = np.where(inside, within - half, half - beyond)
    for axis, step in enumerate(steps):
        _halve(signed, inside, axis, step)
    return signed


def _halve(signed: NDArray[np.float32], inside: NDArray[np.bool_], axis: int, step: float) -> None:
    """Voxels on both sides of a face of the border along an axis lie half of that axis's step from it, or nearer."""
    low, high = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
    border = inside[low] != inside[high]
    for side in (low, high):
        part = signed[side]
        part[border] = np.clip(part[border], -step / 2, step / 2)
