"""Orientation there and exactly back: axes are permuted and flipped, voxels are never resampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel import orientations

from napari_morse.types import Array, Grid, Roi

RAS = "RAS"
"""Frame of the model: axes to the patient's right, anterior, superior."""
DISPLAY = "IPL"
"""Frame of the viewer: slices downward, rows to posterior, columns to the patient's left (radiological).

Right-handed, so that napari's 3-D view is not mirrored, and its coronal and sagittal views stand upright.
"""

AXES = {"R": 0, "A": 1, "S": 2}
"""Place of each of the patient's axes in an array whose axes run along R, A, S."""
OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
"""The other end of each of the patient's axes."""
PLANES = ("axial", "coronal", "sagittal")
"""Slices across each axis of `DISPLAY`."""


@dataclass(frozen=True)
class Axes:
    """A lossless way from storage order to a target axis order, and back.

    Parameters
    ----------
    order
        For each target axis, the storage axis that it shows.
    flip
        For each target axis, whether it runs against the storage axis.
    shape
        Shape in storage order.
    """

    order: tuple[int, int, int]
    flip: tuple[bool, bool, bool]
    shape: tuple[int, int, int]

    def there(self, array: Array) -> Array:
        """Storage order (I, J, K) → target order; a view."""
        moved = array.transpose(self.order)
        return moved[tuple(slice(None, None, -1 if f else 1) for f in self.flip)]

    def back(self, array: Array) -> Array:
        """Target order → storage order; a view, the exact inverse of `there`."""
        unflipped = array[tuple(slice(None, None, -1 if f else 1) for f in self.flip)]
        return unflipped.transpose(tuple(int(a) for a in np.argsort(self.order)))

    def index_there(self, voxel: Array) -> Array:
        """(N, 3) storage indices → (N, 3) target indices (also of fractions of a voxel)."""
        moved = np.asarray(voxel)[:, list(self.order)]
        last = np.array(self.shape)[list(self.order)] - 1
        return np.where(self.flip, last - moved, moved)

    def index_back(self, voxel: Array) -> Array:
        """(N, 3) target indices → (N, 3) storage indices."""
        last = np.array(self.shape)[list(self.order)] - 1
        moved = np.where(self.flip, last - np.asarray(voxel), voxel)
        return moved[:, np.argsort(self.order)]

    def roi_there(self, roi: Roi) -> Roi:
        """A box in storage order → the same voxels in target order."""
        return _box(self.index_there(_corners(roi)))

    def roi_back(self, roi: Roi) -> Roi:
        """A box in target order → the same voxels in storage order."""
        return _box(self.index_back(_corners(roi)))


def _corners(roi: Roi) -> Array:
    return np.array([roi.start, np.array(roi.stop) - 1])


def _box(corners: Array) -> Roi:
    low, high = corners.min(axis=0), corners.max(axis=0) + 1
    return Roi(tuple(int(v) for v in low), tuple(int(v) for v in high))  # type: ignore[arg-type]


def axes_to(grid: Grid, target: str = RAS) -> Axes:
    """How to show ``grid`` with axes along ``target`` (one letter of L/R, A/P, S/I per axis).

    Oblique grids take the nearest axes; voxels are never resampled.
    """
    now = orientations.io_orientation(grid.affine)
    goal = orientations.axcodes2ornt(tuple(target))
    change = orientations.ornt_transform(now, goal)
    order = tuple(int(a) for a in np.argsort(change[:, 0]))
    flip = tuple(bool(change[a, 1] < 0) for a in order)
    return Axes(order, flip, grid.shape)  # type: ignore[arg-type]


def shown_axes(grid: Grid) -> Axes:
    """Storage order → the order in which a slice is seen, in the window and in reports alike: `DISPLAY`."""
    return axes_to(grid, DISPLAY)


def letters_at(rows: int, columns: int) -> tuple[str, str, str, str]:
    """Letters at the top, bottom, left and right of a slice whose rows and columns go along these axes of `DISPLAY`."""
    down, across = DISPLAY[rows], DISPLAY[columns]
    return OPPOSITE[down], down, OPPOSITE[across], across


def oriented(grid: Grid, axes: Axes) -> Grid:
    """The grid of ``axes.there(data)``: same places in mm."""
    step = np.zeros((4, 4))
    step[3, 3] = 1.0
    for target, (source, flipped) in enumerate(zip(axes.order, axes.flip, strict=True)):
        step[source, target] = -1.0 if flipped else 1.0
        step[source, 3] = grid.shape[source] - 1 if flipped else 0.0
    shape = tuple(grid.shape[a] for a in axes.order)
    return Grid(shape, grid.affine @ step)  # type: ignore[arg-type]


def codes(grid: Grid) -> str:
    """Axis codes of the grid, such as ``RAS``; oblique grids take the nearest."""
    return "".join(orientations.aff2axcodes(grid.affine))


def obliquity(grid: Grid) -> float:
    """Largest angle in degrees between a voxel axis and its nearest patient axis."""
    directions = np.abs(grid.affine[:3, :3] / np.asarray(grid.spacing))
    return float(np.degrees(np.arccos(np.clip(directions.max(axis=0), -1.0, 1.0))).max())
