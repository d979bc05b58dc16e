"""The picture of a case in a report: one slice, lying as the window shows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_morse.geometry.orientation import PLANES, letters_at, shown_axes
from napari_morse.io.thumbnails import lettered, png_bytes, slice_picture
from napari_morse.session.case.masks import CaseMasks

THICK = 1.5
"""Slices are axial unless voxels are so many times as long along another axis: then they are the thick slices."""


@dataclass(frozen=True)
class Picture:
    """A slice as PNG, and what it is in words; both empty where there is no mask."""

    png: bytes = b""
    says: str = ""


def picture(found: CaseMasks) -> Picture:
    """The slice that changed most, else that holds most of the mask."""
    if found.final is None:
        return Picture()
    mask, before, scan = found.final[1], found.before, found.scan
    where = mask > 0 if before is None or not (mask != before).any() else mask != before
    axes = shown_axes(scan.grid)
    sides = [scan.grid.spacing[axis] for axis in axes.order]
    seen, there = axes.there(scan.data), axes.there(where)
    across = _across(seen.shape, sides)
    best = int(there.sum(axis=tuple(axis for axis in range(3) if axis != across)).argmax())
    rows, columns = (axis for axis in range(3) if axis != across)
    earlier = None if before is None else np.take(axes.there(before), best, across)
    labels = np.take(axes.there(mask), best, across)
    pixels = slice_picture(np.take(seen, best, across), labels, earlier, (sides[rows], sides[columns]))
    if not scan.orientation_known:
        return Picture(png_bytes(pixels), f"slice {best}, orientation not known")
    letters = letters_at(rows, columns)
    says = f"{PLANES[across]} slice {best}, {letters[2]} at the left, {letters[0]} at the top"
    return Picture(png_bytes(lettered(pixels, letters)), says)


def _across(shape: tuple[int, ...], sides: list[float]) -> int:
    """The axis (of the shown order) that slices are taken across: of the only slice, of thick slices, else axial."""
    if 1 in shape:
        return shape.index(1)
    thickest = int(np.argmax(sides))
    return thickest if sides[thickest] > THICK * sides[0] else 0
