"""Holes filled, islands removed, structures grown and shrunk: in one slice, or in the whole volume."""

from __future__ import annotations

from collections.abc import Sequence

import cc3d
import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_morse.errors import InputError
from napari_morse.session.tools.tool_change import ToolChange, changed, label_box
from napari_morse.types import Array

Piece = NDArray[np.bool_]


def fill_holes(mask: Array, label: int, axis: int | None = None, index: int | None = None) -> ToolChange | None:
    """Give a structure the background that it encloses; other structures inside it stay.

    Parameters
    ----------
    mask
        (I, J, K), storage order.
    label
        The structure.
    axis, index
        The slice; None: in the whole volume, where a hole is enclosed from all sides.

    Returns
    -------
    ToolChange | None
        None when there is no hole.
    """
    box = label_box(mask, label, axis, index)
    if box is None:
        return None
    part = mask[box.slices]
    region = part == label
    if index is not None and axis is not None:
        filled = np.expand_dims(ndimage.binary_fill_holes(np.squeeze(region, axis)), axis)
    else:
        filled = ndimage.binary_fill_holes(region)
    return changed(mask, box, np.where(filled & (part == 0), label, part))


def remove_islands(
    mask: Array,
    label: int,
    spacing: Sequence[float],
    at_least: float | None = None,
    axis: int | None = None,
    index: int | None = None,
) -> ToolChange | None:
    """Turn small parts of a structure into background; parts that touch at a corner are one.

    Parameters
    ----------
    mask, label, axis, index
        As in `fill_holes`.
    spacing
        mm along I, J and K.
    at_least
        mm³ (in a slice mm²) that a part must have to stay; None: only the largest stays.

    Returns
    -------
    ToolChange | None
        None when there is no such part.
    """
    box = label_box(mask, label, axis, index)
    if box is None:
        return None
    part = mask[box.slices]
    region = part == label
    if axis is not None and index is not None:
        parts = np.expand_dims(cc3d.connected_components(np.squeeze(region, axis), connectivity=8), axis)
        size = float(np.prod([s for a, s in enumerate(spacing) if a != axis]))
    else:
        parts, size = cc3d.connected_components(region, connectivity=26), float(np.prod(spacing))
    sizes = np.bincount(parts.ravel()) * size
    sizes[0] = 0
    keep = np.flatnonzero(sizes == sizes.max())[:1] if at_least is None else np.flatnonzero(sizes >= at_least)
    return changed(mask, box, np.where(region & ~np.isin(parts, keep[keep > 0]), 0, part))


def grow(
    mask: Array,
    label: int,
    mm: float,
    spacing: Sequence[float],
    axis: int | None = None,
    index: int | None = None,
) -> ToolChange | None:
    """Grow a structure into the background around it, or shrink it (``mm`` < 0), by a distance between voxel centres.

    Parameters
    ----------
    mask, label, spacing, axis, index
        As in `remove_islands`.
    mm
        How far; as many voxels as fit into it.

    Raises
    ------
    InputError
        It is less than the smallest voxel side: nothing could change.
    """
    sides = [s for a, s in enumerate(spacing) if index is None or a != axis]
    # Headers hold float32: a side of 0.6 mm reads as 0.60000002.
    if abs(mm) < min(sides) * (1 - 1e-6):
        raise InputError(f"{abs(mm):g} mm is less than a voxel.", f"Give at least {min(sides):g} mm.")
    margin = int(np.ceil(abs(mm) / min(sides))) + 1
    box = label_box(mask, label, axis, index, margin)
    if box is None:
        return None
    part = mask[box.slices]
    region = part == label
    flat = axis if axis is not None and index is not None else None
    reach = abs(mm) * (1 + 1e-6)  # distances are float32: 3 voxels of 0.6 mm are a little more than 1.8
    if mm > 0:
        near = _distance(~region, spacing, flat) <= reach
        return changed(mask, box, np.where(near & (part == 0), label, part))
    near = _distance(region, spacing, flat) <= reach
    return changed(mask, box, np.where(region & near, 0, part))


def _distance(region: Piece, spacing: Sequence[float], flat: int | None) -> NDArray[np.float32]:
    """Distances in mm from a region's voxels to the nearest voxel outside it; the image's end is no outside."""
    if flat is None:
        return np.asarray(edt.edt(region, anisotropy=tuple(spacing)))
    sides = tuple(s for a, s in enumerate(spacing) if a != flat)
    distances = edt.edt(np.ascontiguousarray(np.squeeze(region, flat)), anisotropy=sides)
    return np.asarray(np.expand_dims(distances, flat))
