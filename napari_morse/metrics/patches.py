"""A mask's boundary cut into patches that a person can look at one after the other.

Definitions
-----------
boundary voxel
    A voxel with a face neighbour of another label, whichever side of the boundary it lies on; borders between two
    structures count. With ``planar`` (a 2-D model's masks) only neighbours in the same slice do.
patch
    Boundary voxels that touch (26-connected; within the slice with ``planar``), are about equally doubtful and fit
    into a box whose diagonal, from voxel edge to voxel edge, is at most 15 mm. Every boundary voxel is in one patch.
length
    Of the contour drawn in the slices: straight through or cutting corners, as marching squares draws it, shared
    equally by the boundary voxels around each corner; a border between two structures is one line. A voxel whose other
    label lies across slices only counts half its width in the slice, as if the contour passed it there, so that none is
    listed for free. Lengths of all patches add up to the whole boundary.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

from napari_morse.errors import CancelledError
from napari_morse.metrics.surface import BinaryMask, bounding_box, surfel_areas
from napari_morse.types import Array

EXTENT = 15.0
"""mm: the longest that a patch may be; about what is taken in at a glance."""
ERROR_LEVELS = (0.15, 0.3, 0.4)
"""Probabilities of error at which patches part; chosen on the validation cases of the hippocampus."""
FEWEST_VOXELS = 3
"""Fewer voxels than these join the piece beside them before it is cut to size."""
WALKED = 6
"""Fewer voxels than these join the patch beside them, where it stays short enough: nobody wants to walk from voxel to
voxel. Chosen on the validation cases of the hippocampus: half as many patches to look at, one error in thirty lost."""
MERGE_PASSES = 4
"""How often small patches look for a neighbour: one that was small itself may have grown."""


@dataclass(frozen=True, eq=False)
class Partition:
    """All M boundary voxels of a mask in N patches.

    Parameters
    ----------
    voxel_ijk
        (M, 3) int64, indices into the mask.
    patch
        (M,) int64, 0 … N − 1: patches of the highest mean probability of error first.
    error
        (M,) float64 in [0, 1], probability that the voxel's label is wrong.
    length
        (M,) float64, mm.
    other
        (M,) label on the other side of the boundary; where several meet, one of them.
    count
        N.
    """

    voxel_ijk: NDArray[np.int64]
    patch: NDArray[np.int64]
    error: NDArray[np.float64]
    length: NDArray[np.float64]
    other: Array
    count: int


def boundary(mask: Array, axes: Iterable[int], reach: int = 1) -> BinaryMask:
    """Voxels within ``reach`` face steps, along ``axes`` only, of a border between two labels; both sides."""
    axes = tuple(axes)
    edge = np.zeros(mask.shape, bool)
    for axis in axes:
        low, high = _sides(mask.ndim, axis)
        differs = mask[low] != mask[high]
        edge[low] |= differs
        edge[high] |= differs
    for _ in range(reach - 1):
        wider = edge.copy()
        for axis in axes:
            low, high = _sides(mask.ndim, axis)
            wider[low] |= edge[high]
            wider[high] |= edge[low]
        edge = wider
    return edge


def partition(
    mask: Array,
    error: Array,
    spacing: Sequence[float],
    slice_axis: int,
    planar: bool = False,
    extent: float = EXTENT,
    cancelled: Callable[[], bool] | None = None,
) -> Partition:
    """Cut the boundary of a mask into patches, the most doubtful first.

    Parameters
    ----------
    mask
        (I, J, K) labels, 0 is background.
    error
        (I, J, K) in [0, 1], probability that each voxel's label is wrong.
    spacing
        mm per voxel along each axis.
    slice_axis
        Axis along which slices follow each other: lengths are those of contours in these slices.
    planar
        Whether each slice stands alone.
    extent
        mm, diagonal of the box around a patch; a patch of one voxel may be larger.
    cancelled
        Asked between steps, and before each piece is cut; True ends the work.

    Raises
    ------
    CancelledError
        When ``cancelled`` said so.
    """
    axes = [a for a in range(3) if not (planar and a == slice_axis)]
    edge = boundary(mask, axes)
    box = bounding_box(edge)
    start = np.array([s.start for s in box])
    part, edge = mask[box], edge[box]
    voxel_ijk = np.argwhere(edge)
    if not len(voxel_ijk):
        return Partition(voxel_ijk, np.zeros(0, np.int64), np.zeros(0), np.zeros(0), mask[:0, 0, 0], 0)
    at = tuple(voxel_ijk.T)
    doubt = np.asarray(error[box][at], np.float64)
    _leave_if(cancelled)
    length = contour_shares(part, spacing, slice_axis)[at]
    plane = [s for a, s in enumerate(spacing) if a != slice_axis]
    length[length == 0] = sum(plane) / 4  # its border lies across slices only: see *length* above
    patch = _patches(voxel_ijk, part.shape, doubt, np.asarray(spacing, float), slice_axis, planar, extent, cancelled)
    patch = _ranked(patch, doubt)
    return Partition(voxel_ijk + start, patch, doubt, length, _other(part, axes)[at], int(patch.max()) + 1)


def contour_shares(mask: Array, spacing: Sequence[float], slice_axis: int) -> NDArray[np.float64]:
    """Length in mm of the contour in the slices, shared among boundary voxels; the sum is that of all contours.

    Parameters
    ----------
    mask
        (I, J, K) labels.
    spacing
        mm per voxel along each axis.
    slice_axis
        Across the slices.

    Returns
    -------
    (I, J, K) float64
    """
    slices = np.moveaxis(mask, slice_axis, 0)
    # With its own edge: where the image or the region ends, there is no contour.
    padded = np.pad(slices, ((0, 0), (1, 1), (1, 1)), mode="edge")
    corners = [padded[:, r : r + slices.shape[1] + 1, c : c + slices.shape[2] + 1] for r in (0, 1) for c in (0, 1)]
    mixed = np.nonzero((corners[0] != corners[1]) | (corners[0] != corners[2]) | (corners[0] != corners[3]))
    around = np.stack([c[mixed] for c in corners], axis=1)
    same = around[:, :, None] == around[:, None, :]
    table = surfel_areas(tuple(float(s) for a, s in enumerate(spacing) if a != slice_axis))
    lines = table[(same << np.arange(4)).sum(axis=2)] / same.sum(axis=2)  # each label once, however many corners it has
    beside = np.array([[1, 2], [0, 3], [0, 3], [1, 2]])
    edge = np.stack([~same[np.arange(len(same)), k][:, beside[k]].all(axis=1) for k in range(4)], axis=1)
    # Corners on the image's rim lie half outside.
    rim = [np.isin(mixed[a], (0, slices.shape[a])) for a in (1, 2)]
    inside = 1 - 0.5 * (rim[0] | rim[1])
    share = inside * lines.sum(axis=1) / 2 / np.maximum(edge.sum(axis=1), 1)
    out = np.zeros(slices.shape)
    for k, (row, column) in enumerate(((-1, -1), (-1, 0), (0, -1), (0, 0))):
        neighbour = np.clip(mixed[1] + row, 0, slices.shape[1] - 1), np.clip(mixed[2] + column, 0, slices.shape[2] - 1)
        # Not `+=`: two corners are clipped onto one voxel at the image's rim, and one of their shares would be lost.
        np.add.at(out, (mixed[0], *neighbour), share * edge[:, k])
    return np.moveaxis(out, 0, slice_axis)


def _sides(ndim: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    low, high = [slice(None)] * ndim, [slice(None)] * ndim
    low[axis], high[axis] = slice(None, -1), slice(1, None)
    return tuple(low), tuple(high)


def _other(mask: Array, axes: Sequence[int]) -> Array:
    """The label that each boundary voxel meets across a face; its own elsewhere."""
    other = mask.copy()
    for axis in axes:
        low, high = _sides(mask.ndim, axis)
        for here, there in ((low, high), (high, low)):
            met = (mask[here] != mask[there]) & (other[here] == mask[here])
            np.copyto(other[here], mask[there], where=met)
    return other


def _patches(
    voxel_ijk: NDArray[np.int64],
    shape: tuple[int, ...],
    doubt: NDArray[np.float64],
    spacing: NDArray[np.float64],
    slice_axis: int,
    planar: bool,
    extent: float,
    cancelled: Callable[[], bool] | None,
) -> NDArray[np.int64]:
    """(M,) which patch: voxels of one level that touch, small ones joined to what they touch, then cut to size."""
    # Neighbouring slices of a planar mask carry different values, so that nothing connects across them.
    apart = (len(ERROR_LEVELS) + 1) * (voxel_ijk[:, slice_axis] % 2) if planar else 0
    _leave_if(cancelled)
    piece = _connected(voxel_ijk, shape, 1 + np.digitize(doubt, ERROR_LEVELS) + apart)
    _leave_if(cancelled)
    # Before anything is cut: this join heeds no extent, and afterwards it would undo the cut.
    piece = _joined(voxel_ijk, piece, shape, _around(slice_axis if planar else None))
    cut = np.zeros(len(voxel_ijk), np.int64)
    parts = (p for whole in _groups(piece) for p in _split(whole, voxel_ijk, spacing, extent))
    for number, part in enumerate(parts):
        _leave_if(cancelled)
        cut[part] = number + 1
    if planar:
        cut = 2 * cut + voxel_ijk[:, slice_axis] % 2  # again: cutting has given new numbers
    around = _around(slice_axis if planar else None)
    return _gathered(voxel_ijk, _connected(voxel_ijk, shape, cut), shape, around, spacing, extent, cancelled)


def _leave_if(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise CancelledError


def _connected(voxel_ijk: NDArray[np.int64], shape: tuple[int, ...], value: NDArray[np.int64]) -> NDArray[np.int64]:
    """(M,) number of the 26-connected piece of equal values > 0 that each voxel is in."""
    volume = np.zeros(shape, np.uint32)
    volume[tuple(voxel_ijk.T)] = value
    pieces: NDArray[np.int64] = cc3d.connected_components(volume, connectivity=26)[tuple(voxel_ijk.T)].astype(np.int64)
    return pieces


def _around(planar_axis: int | None) -> NDArray[np.int64]:
    """(26, 3) steps to the voxels that touch one, faces first; (8, 3) within the slice."""
    steps = np.array([s for s in itertools.product((-1, 0, 1), repeat=3) if any(s)])
    if planar_axis is not None:
        steps = steps[steps[:, planar_axis] == 0]
    return steps[np.argsort(np.abs(steps).sum(axis=1), kind="stable")]


def _beside(
    voxel_ijk: NDArray[np.int64],
    piece: NDArray[np.int64],
    small: NDArray[np.bool_],
    shape: tuple[int, ...],
    around: NDArray[np.int64],
) -> NDArray[np.int64]:
    """For each small voxel, the nearest piece that is not small and touches it; −1 where there is none."""
    # A rim of nothing: a step before the array's start (index −1) would be one to its end.
    volume = np.full([n + 2 for n in shape], -1, np.int64)
    volume[tuple(voxel_ijk[~small].T + 1)] = piece[~small]
    met = np.full(np.count_nonzero(small), -1, np.int64)
    for step in around:
        neighbour = volume[tuple((voxel_ijk[small] + 1 + step).T)]
        met = np.where(met < 0, neighbour, met)
    return met


def _joined(
    voxel_ijk: NDArray[np.int64], piece: NDArray[np.int64], shape: tuple[int, ...], around: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Voxels of pieces below ``FEWEST_VOXELS`` take the piece of a larger one that they touch."""
    small = np.bincount(piece)[piece] < FEWEST_VOXELS
    met = _beside(voxel_ijk, piece, small, shape, around)
    out = piece.copy()
    out[np.flatnonzero(small)[met >= 0]] = met[met >= 0]
    return out


def _gathered(
    voxel_ijk: NDArray[np.int64],
    patch: NDArray[np.int64],
    shape: tuple[int, ...],
    around: NDArray[np.int64],
    spacing: NDArray[np.float64],
    extent: float,
    cancelled: Callable[[], bool] | None,
) -> NDArray[np.int64]:
    """Patches below ``WALKED`` go to one that they touch, where both together fit into ``extent``."""
    for _ in range(MERGE_PASSES):
        _leave_if(cancelled)
        # Numbered without gaps: patches that were taken up have left some.
        _, patch, count = np.unique(patch, return_inverse=True, return_counts=True)
        small = count[patch] < WALKED
        met = _beside(voxel_ijk, patch, small, shape, around)
        pairs = np.unique(np.column_stack([patch[small], met])[met >= 0], axis=0)
        patch = _fitting(voxel_ijk, patch, pairs, spacing, extent)[patch]
        if not len(pairs):
            break
    return patch


def _fitting(
    voxel_ijk: NDArray[np.int64],
    patch: NDArray[np.int64],
    pairs: NDArray[np.int64],
    spacing: NDArray[np.float64],
    extent: float,
) -> NDArray[np.int64]:
    """Where each patch goes, of (small, large) pairs that touch: the first large one that stays within ``extent``."""
    order = np.argsort(patch, kind="stable")
    starts = np.flatnonzero(np.diff(patch[order], prepend=-1))
    low, high = (ends.reduceat(voxel_ijk[order], starts, axis=0) for ends in (np.minimum, np.maximum))
    goes = np.arange(len(low))
    for small, large in pairs.tolist():
        both = np.minimum(low[small], low[large]), np.maximum(high[small], high[large])
        if goes[small] == small and np.linalg.norm((both[1] - both[0] + 1) * spacing) <= extent:
            goes[small] = large
            # At once: the next small one is measured against the box as it has grown.
            low[large], high[large] = both
    return goes


def _groups(number: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Indices of the voxels of each piece."""
    order = np.argsort(number, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(number[order])) + 1)


def _split(
    part: NDArray[np.int64], voxel_ijk: NDArray[np.int64], spacing: NDArray[np.float64], extent: float
) -> Iterator[NDArray[np.int64]]:
    """Halve the longest side until the box's diagonal is short enough."""
    todo = [part]
    while todo:
        piece = todo.pop()
        low, high = voxel_ijk[piece].min(axis=0), voxel_ijk[piece].max(axis=0)
        # One voxel cannot be halved, however long it is.
        if (low == high).all() or np.linalg.norm((high - low + 1) * spacing) <= extent:
            yield piece
            continue
        axis = int(((high - low) * spacing).argmax())
        first = voxel_ijk[piece, axis] <= (low[axis] + high[axis]) / 2
        todo += [piece[~first], piece[first]]


def _ranked(patch: NDArray[np.int64], doubt: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers from 0 in the order of the mean probability of error."""
    _, patch = np.unique(patch, return_inverse=True)
    mean = np.bincount(patch, doubt) / np.bincount(patch)
    rank = np.empty(len(mean), np.int64)
    rank[np.argsort(-mean, kind="stable")] = np.arange(len(mean))
    return rank[patch]
