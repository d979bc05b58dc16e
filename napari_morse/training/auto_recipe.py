"""A recipe that fits a set of scans: 2-D or 3-D, working spacing, window and length, from what the scans are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_morse.config import Recipe
from napari_morse.errors import InputError
from napari_morse.geometry.orientation import AXES
from napari_morse.training.recipes import DEFAULT_2D, DEFAULT_3D
from napari_morse.types import Grid

FLAT = 3.0
"""From this ratio of a voxel's longest side to its shortest on, slices are read one by one."""
THIN = 12
"""Below so many voxels along an axis as well."""
LONGEST_SIDE = {"cpu": 160, "cuda": 224}
"""Voxels per axis that the coarse pass should have at most: larger scans are read at a coarser spacing, and rendered on
their own grid."""
VOXELS = {2: {"cpu": 128**2, "cuda": 256**2}, 3: {"cpu": 48 * 64 * 48, "cuda": 96**3}}
"""Of a training window, by dimensions and device."""
STEP = {2: 16, 3: 8}
"""Windows are whole multiples of it, by dimensions: the default networks' divisors."""
PER_CASE, FEWEST = 300, 1500
"""Iterations for each case, up to the default recipe's number, and at least."""


@dataclass(frozen=True)
class Fitted:
    """What was chosen, and why.

    Parameters
    ----------
    recipe
        To train with.
    spacing
        mm of the model's axes.
    slice_axis
        Of a 2-D recipe.
    why
        One sentence.
    """

    recipe: Recipe
    spacing: tuple[float, ...]
    slice_axis: str | None
    why: str


def fitted(grids: Sequence[Grid], device: str) -> Fitted:
    """Choose by the medians over the cases.

    Parameters
    ----------
    grids
        Of the training cases, axes along R, A, S.
    device
        ``cpu`` or ``cuda``.

    Raises
    ------
    InputError
        There is no case.
    """
    if not grids:
        raise InputError("There is no case to fit a recipe to.", "Give scans with labels.")
    shape = np.median([grid.shape for grid in grids], axis=0)
    spacing = np.median([grid.spacing for grid in grids], axis=0)
    across = int(spacing.argmax()) if spacing.max() / spacing.min() >= FLAT else int(shape.argmin())
    planar = spacing.max() / spacing.min() >= FLAT or shape.min() < THIN
    kept = [a for a in range(3) if not planar or a != across]
    work = _work(shape[kept], spacing[kept], LONGEST_SIDE[device])
    base = DEFAULT_2D if planar else DEFAULT_3D
    window = _window(shape[kept] * spacing[kept] / work, VOXELS[len(kept)][device])
    iterations = min(base.train.iterations, max(FEWEST, PER_CASE * len(grids)))
    train = base.train.model_copy(update={"window": window, "iterations": iterations})
    recipe = base.model_copy(update={"train": train, "name": f"{base.name}-fitted"})
    axis = next(name for name, number in AXES.items() if number == across) if planar else None
    mm = " × ".join(f"{s:.3g}" for s in work)
    what = f"slices across {axis}" if planar else "volumes"
    why = f"{what} at {mm} mm, windows of {' × '.join(map(str, window))} voxels, {iterations} iterations"
    return Fitted(recipe, tuple(round(float(s), 3) for s in work), axis, why)


def _work(shape: np.ndarray, spacing: np.ndarray, longest: int) -> np.ndarray:
    """The scans' own spacing, or the finest at which no axis has more voxels than ``longest``."""
    extent = shape * spacing
    coarser: np.ndarray = np.maximum(spacing, extent.max() / longest)
    return coarser


def _window(cells: np.ndarray, voxels: int) -> tuple[int, ...]:
    """As much of a scan as fits into ``voxels``, the longest axis cut first; two steps along each axis at least."""
    step = STEP[len(cells)]
    window = [max(2 * step, step * math.ceil(n / step)) for n in cells]
    while math.prod(window) > voxels:
        longest = int(np.argmax(window))
        if window[longest] <= 2 * step:
            break
        window[longest] -= step
    return tuple(window)
