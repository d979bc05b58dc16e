"""Structures between drawn slices, from the signed distances to their contours.

Between two drawn slices each part of a structure is moved along the line between the middles of its two contours, so
that an oblique tube stays one; distances to both contours, in mm in the plane, are mixed linearly, and what is above 0
is inside. Of several structures the one with the largest distance has a voxel: they neither overlap nor leave gaps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import cc3d
import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from napari_morse.errors import InputError
from napari_morse.metrics.surface import bounding_box
from napari_morse.session.tools.tool_change import ToolChange, changed
from napari_morse.types import Array, Roi

SliceMask = NDArray[np.bool_]
Distance = NDArray[np.float32]
NO_CONTOUR = 1e6
PLANE_MARGIN = 2
"""Pixels around what is looked at."""


def slices_with(mask: Array, labels: Sequence[int], axis: int) -> list[int]:
    """Indices along an axis of the slices that hold any of the labels."""
    others = tuple(a for a in range(3) if a != axis)
    return [int(n) for n in np.flatnonzero(np.isin(mask, list(labels)).any(axis=others))]


def interpolate(
    mask: Array,
    labels: Sequence[int],
    axis: int,
    spacing: Sequence[float],
    slices: Sequence[int] | None = None,
) -> ToolChange | None:
    """Draw structures in the slices between those that were drawn.

    Between two drawn slices they replace what there was of them; other structures stay as they are.

    Parameters
    ----------
    mask
        (I, J, K), storage order.
    labels
        The structures.
    axis
        Storage axis across the slices, any.
    spacing
        mm along I, J and K.
    slices
        Indices of the drawn slices; None: all that hold any of the structures, so that gaps are filled. In a drawn
        slice that does not hold a structure it has ended.

    Returns
    -------
    ToolChange | None
        None when nothing changes.

    Raises
    ------
    InputError
        Fewer than two drawn slices, or no slice between them.
    """
    drawn = sorted(set(slices if slices is not None else slices_with(mask, labels, axis)))
    pairs = [(a, b) for a, b in itertools.pairwise(drawn) if b - a > 1]
    if not pairs:
        why = "are drawn in fewer than two slices" if len(drawn) < 2 else "are drawn in every slice"
        raise InputError(f"There is nothing to interpolate: the structures {why}.", "Draw in slices further apart.")
    stack = np.moveaxis(mask, axis, 0)
    sides = tuple(s for a, s in enumerate(spacing) if a != axis)
    values = stack[drawn[0] : drawn[-1] + 1].copy()
    for first, last in pairs:
        for index, drawn_plane in _between(stack[first], stack[last], labels, sides, last - first):
            plane = values[first + index - drawn[0]]
            plane[np.isin(plane, list(labels))] = 0
            free = (plane == 0) & (drawn_plane > 0)
            plane[free] = drawn_plane[free]
    start, stop = [0, 0, 0], list(mask.shape)
    start[axis], stop[axis] = drawn[0], drawn[-1] + 1
    box = Roi(tuple(start), tuple(stop))  # type: ignore[arg-type]
    return changed(mask, box, np.moveaxis(values, 0, axis))


def _between(
    first: Array, last: Array, labels: Sequence[int], sides: tuple[float, ...], steps: int
) -> Iterator[tuple[int, Array]]:
    """The planes between two drawn ones: how many steps from the first, and the label of each pixel, 0 for none."""
    seen = np.isin(first, list(labels)) | np.isin(last, list(labels))
    if not seen.any():
        return
    low, high = zip(*((max(0, s.start - PLANE_MARGIN), s.stop + PLANE_MARGIN) for s in bounding_box(seen)), strict=True)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    pairs = {n: _parts(first[box] == n, last[box] == n) for n in labels}
    for step in range(1, steps):
        best = np.zeros(seen[box].shape, np.float32)
        plane = np.zeros(first.shape, first.dtype)
        for label, parts in pairs.items():
            for one, other in parts:
                inside = _mixed(one, other, sides, step / steps)
                better = inside > best
                best[better] = inside[better]
                plane[box][better] = label
        yield step, plane


def _parts(first: SliceMask, last: SliceMask) -> list[tuple[SliceMask, SliceMask]]:
    """What belongs together in two planes: part by part where there are equally many, else all of it."""
    if not (first.any() or last.any()):
        return []
    one, count = cc3d.connected_components(first, connectivity=8, return_N=True)
    other, many = cc3d.connected_components(last, connectivity=8, return_N=True)
    if count != many or count < 2:
        return [(first, last)]
    index = range(1, count + 1)
    middles = [np.array(ndimage.center_of_mass(x > 0, x, index)) for x in (one, other)]
    apart = np.linalg.norm(middles[0][:, None] - middles[1][None], axis=2)
    rows, columns = linear_sum_assignment(apart)
    return [(one == a + 1, other == b + 1) for a, b in zip(rows, columns, strict=True)]


def _mixed(first: SliceMask, last: SliceMask, sides: tuple[float, ...], share: float) -> Distance:
    """Signed distance, ``share`` of the way from one contour to the other."""
    if not first.any():
        return _mixed(last, first, sides, 1 - share)
    one = _signed(first, sides)
    if not last.any():  # it ends there: it has shrunk to nothing
        return one - share * float(one.max())
    other = _signed(last, sides)
    way = np.zeros(2)
    if not (first & last).any() or _alike(first, last):
        way = np.subtract(ndimage.center_of_mass(last), ndimage.center_of_mass(first))
    return (1 - share) * _moved(one, share * way) + share * _moved(other, (share - 1) * way)


def _alike(first: SliceMask, last: SliceMask) -> bool:
    """Whether both are one part each: a shape that moves, and not one that splits."""
    return all(cc3d.connected_components(x, connectivity=8, return_N=True)[1] == 1 for x in (first, last))


def _signed(region: SliceMask, sides: tuple[float, ...]) -> Distance:
    """Distance to the contour in mm, positive inside."""
    inside = edt.edt(np.ascontiguousarray(region), anisotropy=sides)
    outside = edt.edt(np.ascontiguousarray(~region), anisotropy=sides)
    # A plane that is full, or empty, has no contour: its distances are infinite, and mixing them would give NaN.
    return np.asarray(np.clip(inside - outside, -NO_CONTOUR, NO_CONTOUR), np.float32)


def _moved(distance: Distance, way: NDArray[np.float64]) -> Distance:
    if not way.any():
        return distance
    return np.asarray(ndimage.shift(distance, way, order=1, mode="nearest"))
