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
    """A lossless way from storage order to a *view* order (the model's `RAS`, the viewer's `DISPLAY`), and back.

    Parameters
    ----------
    order
        For each view axis, the storage axis that it shows.
    flip
        For each view axis, whether it runs against the storage axis.
    shape
        Shape in storage order.
    """

    order: tuple[int, int, int]
    flip: tuple[bool, bool, bool]
    shape: tuple[int, int, int]

    def to_view(self, array: Array) -> Array:
        """Array in storage order (I, J, K) → in view order; shares memory."""
        ordered = array.transpose(self.order)
        return ordered[tuple(slice(None, None, -1 if f else 1) for f in self.flip)]

    def to_storage(self, array: Array) -> Array:
        """Array in view order → in storage order; shares memory, the exact inverse of `to_view`."""
        # Undone in the reverse order: the flips are along view axes, and the transposition renames those.
        unflipped = array[tuple(slice(None, None, -1 if f else 1) for f in self.flip)]
        return unflipped.transpose(tuple(int(a) for a in np.argsort(self.order)))

    def index_to_view(self, voxel_ijk: Array) -> Array:
        """(N, 3) storage indices → (N, 3) view indices (also of fractions of a voxel)."""
        ordered = np.asarray(voxel_ijk)[:, list(self.order)]
        last = np.array(self.shape)[list(self.order)] - 1
        return np.where(self.flip, last - ordered, ordered)

    def index_to_storage(self, voxel_view: Array) -> Array:
        """(N, 3) view indices → (N, 3) storage indices."""
        last = np.array(self.shape)[list(self.order)] - 1
        unflipped = np.where(self.flip, last - np.asarray(voxel_view), voxel_view)
        return unflipped[:, np.argsort(self.order)]

    def roi_to_view(self, roi: Roi) -> Roi:
        """A box in storage order → the same voxels in view order."""
        return _box(self.index_to_view(_corners(roi)))

    def roi_to_storage(self, roi: Roi) -> Roi:
        """A box in view order → the same voxels in storage order."""
        return _box(self.index_to_storage(_corners(roi)))


def _corners(roi: Roi) -> Array:
    # The last voxel inside, not `stop`: a flipped axis would put an excluded end one voxel off.
    return np.array([roi.start, np.array(roi.stop) - 1])


def _box(corners: Array) -> Roi:
    low, high = corners.min(axis=0), corners.max(axis=0) + 1
    return Roi(tuple(int(v) for v in low), tuple(int(v) for v in high))  # type: ignore[arg-type]


def axes_to(grid: Grid, target: str = RAS) -> Axes:
    """How to show ``grid`` with axes along ``target`` (one letter of L/R, A/P, S/I per axis).

    Oblique grids take the nearest axes; voxels are never resampled.
    """
    stored = orientations.io_orientation(grid.affine)
    wanted = orientations.axcodes2ornt(tuple(target))
    change = orientations.ornt_transform(stored, wanted)
    # nibabel's rows are by *storage* axis (to which axis each goes); ours is the inverse, by view axis.
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
    """The grid of ``axes.to_view(data)``: same places in mm."""
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
