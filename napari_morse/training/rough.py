"""Rough masks: a truth moved, swollen, shrunk, stair-cased and holed, as painters and other programs leave it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_morse.inference.masks import mask_logits, signed_distances

DAMAGE_REACH = 3.0
"""Voxels by which a border is moved at most, two times in three; by less, the rest."""
WAVE = (3.0, 10.0)
"""Width in voxels over which the border is moved the same way."""


def rough_logits(labels: Tensor, classes: int, seed: tuple[int, ...]) -> Tensor:
    """(*space) truth → (C, *space) logits of a damaged copy; the same seed gives the same damage."""
    damaged = damage(labels.cpu().numpy(), classes, np.random.default_rng(seed))
    return mask_logits(damaged, classes, (1.0,) * labels.ndim).to(labels.device)


def damage(truth: NDArray[np.integer], classes: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A mask whose borders lie up to ``DAMAGE_REACH`` voxels beside those of the truth.

    Parameters
    ----------
    truth
        (*space) class indices.
    classes
        C.
    rng
        Draws the damage.
    """
    if not truth.any():
        return truth.astype(np.int64)
    reach = DAMAGE_REACH * (1.0 if rng.random() < 2 / 3 else rng.random())
    distance = signed_distances(truth, classes, (1.0,) * truth.ndim).clip(-4 * DAMAGE_REACH, 4 * DAMAGE_REACH)
    distance += _waves(distance.shape, rng, reach)
    distance[0] += rng.uniform(-reach, reach)
    damaged = distance.argmax(axis=0)
    damaged = ndimage.shift(damaged, rng.uniform(-reach / 2, reach / 2, truth.ndim).round(), order=0, mode="nearest")
    if rng.random() < 0.3:
        damaged = _stairs(damaged, int(rng.integers(2, 5)))
    if rng.random() < 0.3:
        damaged = _holed(damaged, reach, rng)
    return np.asarray(damaged, np.int64)


def _waves(shape: tuple[int, ...], rng: np.random.Generator, reach: float) -> NDArray[np.float64]:
    """A smooth random field per class, of which the largest excursion is near ``reach``."""
    width = rng.uniform(*WAVE)
    field = np.stack([ndimage.gaussian_filter(rng.standard_normal(shape[1:]), width) for _ in range(shape[0])])
    return np.asarray(field * (reach / max(3 * field.std(), 1e-12)))


def _stairs(mask: NDArray[np.int64], factor: int) -> NDArray[np.int64]:
    """As a mask of ``factor`` times coarser voxels."""
    for axis, length in enumerate(mask.shape):
        nearest = np.minimum(np.arange(length) // factor * factor + factor // 2, length - 1)
        mask = np.take(mask, nearest, axis=axis)
    return mask


def _holed(mask: NDArray[np.int64], radius: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """One to three balls taken out of the structures."""
    inside = np.argwhere(mask > 0)
    if not len(inside):
        return mask
    mask = mask.copy()
    lattice = np.indices(mask.shape)
    for centre in rng.choice(inside, int(rng.integers(1, 4))):
        far = sum((lattice[a] - c) ** 2 for a, c in enumerate(centre))
        mask[far <= radius**2] = 0
    return mask
