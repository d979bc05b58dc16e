"""Which axes of a file's array a model works in: all three, or those of its plane."""

from __future__ import annotations

from benchmarks.study.sets import Set
from napari_morse.geometry.orientation import RAS, axes_to
from napari_morse.types import Grid

FAR = 1e6
"""Length of a step from slice to slice that no distance in the plane comes near."""


def working_axes(chosen: Set, grid: Grid) -> tuple[int, ...]:
    """Axes in storage order; an axis of one voxel is across the plane, as in `Predictor.set_scan`."""
    if chosen.dims == 3:
        return (0, 1, 2)
    thin = [axis for axis, n in enumerate(grid.shape) if n == 1]
    assert chosen.slice_axis is not None
    across = thin[0] if len(thin) == 1 else axes_to(grid, RAS).order["RAS".index(chosen.slice_axis)]
    return tuple(axis for axis in range(3) if axis != across)


def steps(axes: tuple[int, ...]) -> tuple[float, float, float]:
    """Length of a voxel along each axis, in voxels; distances measured so stay within the working axes."""
    i, j, k = (1.0 if axis in axes else FAR for axis in range(3))
    return i, j, k
