"""A mask's boundary as a ranked list of patches on the scan's own grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_morse.geometry.orientation import RAS, axes_to
from napari_morse.metrics.patches import Partition, partition
from napari_morse.types import Array, Grid, Patches, Roi, no_patches

SUPERIOR = 2
"""RAS axis across axial slices, the ones that the viewer shows first."""


def doubtful_patches(
    mask: Array,
    error: Array,
    grid: Grid,
    sliced: int | None = None,
    roi: Roi | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Patches:
    """Rank the boundary of a mask by the probability that it is wrong.

    Parameters
    ----------
    mask
        (I, J, K) label ids, storage order.
    error
        (I, J, K) in [0, 1], calibrated probability that each voxel's label is wrong.
    grid
        Of both.
    sliced
        Storage axis along which a 2-D model went slice by slice: patches then lie in one slice each. None for a 3-D
        model: patches reach across slices.
    roi
        The region that was read; its own faces are no boundary.
    cancelled
        Asked between steps; True ends the work.

    Raises
    ------
    CancelledError
        When ``cancelled`` said so.
    """
    axis = _across(grid) if sliced is None else sliced
    region = roi.slices if roi is not None else (slice(None),) * 3
    pieces = partition(mask[region], error[region], grid.spacing, axis, planar=sliced is not None, cancelled=cancelled)
    if not pieces.count:
        return no_patches()
    start = np.array(roi.start if roi is not None else (0, 0, 0))
    return _listed(pieces, pieces.voxel_ijk + start, mask, grid, axis)


def _across(grid: Grid) -> int:
    """The storage axis of the longest voxel side, along which slices were taken; of equal ones, the superior one."""
    spacing = np.array(grid.spacing)
    # Equal but for rounding: the last digits of a header must not choose the slices.
    long = np.flatnonzero(spacing >= spacing.max() * (1 - 1e-3))
    superior = int(axes_to(grid, RAS).order[SUPERIOR])
    thin = [axis for axis, n in enumerate(grid.shape) if n == 1]
    if len(thin) == 1:
        return thin[0]
    return superior if superior in long else int(long[0])


def _listed(pieces: Partition, voxel_ijk: NDArray[np.int64], mask: Array, grid: Grid, axis: int) -> Patches:
    # By patch, in it by doubt: the first voxel of each is its worst one, and `Patches.of` cuts the list by counts.
    order = np.lexsort((-pieces.error, pieces.patch))
    patch, voxel_ijk, error = pieces.patch[order], voxel_ijk[order], pieces.error[order]
    count = np.bincount(patch, minlength=pieces.count)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    mm = voxel_ijk @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    middle = np.add.reduceat(mm, first) / count[:, None]
    nearest = np.lexsort((((mm - middle[patch]) ** 2).sum(axis=1), patch))[first]
    label, other = _sides(mask[tuple(voxel_ijk.T)], pieces.other[order], patch)
    return Patches(
        centre=voxel_ijk[nearest],
        mm=mm[nearest],
        worst=voxel_ijk[first],
        length=np.bincount(patch, pieces.length[order]).astype(np.float64),
        probability=np.bincount(patch, error) / count,
        highest=error[first],
        label=label,
        other=other,
        voxels=count,
        voxel=voxel_ijk,
        error=error,
        slice_axis=axis,
    )


def _sides(own: Array, met: Array, patch: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The commonest pair of labels in each patch, background last, else the smaller id first."""
    pair = np.sort(np.stack([own, met], axis=1).astype(np.int64), axis=1)
    pair[pair[:, 0] == 0] = pair[pair[:, 0] == 0][:, ::-1]
    kinds, times = np.unique(np.column_stack([patch, pair]), axis=0, return_counts=True)
    commonest = np.lexsort((-times, kinds[:, 0]))
    _, at = np.unique(kinds[commonest, 0], return_index=True)
    chosen = kinds[commonest][at]
    return chosen[:, 1], chosen[:, 2]
