"""One slice of a scan as pixels of the screen: grey levels, the borders of masks, and where a voxel lies.

NumPy does the work; Qt is only given the finished arrays. Rows run down the screen and columns to the right. Column
``c`` of a slice covers the interval from ``c`` to ``c + 1``, so that the centre of a voxel lies at its index + 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from qtpy.QtGui import QImage

from napari_morse.types import Array

Style = Literal["solid", "thin", "dotted", "dashed"]
STROKES: dict[Style, tuple[int, int, int]] = {
    "solid": (2, 1, 0),
    "thin": (1, 1, 0),
    "dotted": (2, 2, 3),
    "dashed": (2, 6, 3),
}
"""Width of a line, and its length on and off, in pixels."""
Pixels = NDArray[np.uint32]


@dataclass(frozen=True)
class Place:
    """Where a slice lies on the screen.

    Parameters
    ----------
    scale
        Pixels a voxel (down, across).
    origin
        What of the slice lies at the upper left pixel's corner (row, column); negative where the slice is smaller.
    size
        Pixels (down, across).
    """

    scale: tuple[float, float]
    origin: tuple[float, float]
    size: tuple[int, int]

    def pixel(self, row: float, column: float) -> tuple[float, float]:
        """Voxel index → pixel (down, across) of the voxel's centre."""
        return (row + 0.5 - self.origin[0]) * self.scale[0], (column + 0.5 - self.origin[1]) * self.scale[1]

    def index(self, down: float, across: float) -> tuple[int, int]:
        """Pixel → index of the voxel there; outside of the slice too."""
        row, column = (o + p / s for o, p, s in zip(self.origin, (down, across), self.scale, strict=True))
        return int(np.floor(row)), int(np.floor(column))

    def seen(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """The rows and columns, of ``shape``, that any pixel shows a part of; at least one of each."""
        parts = []
        for origin, scale, pixels, count in zip(self.origin, self.scale, self.size, shape, strict=True):
            start = min(max(0, int(np.floor(origin))), count - 1)
            parts.append(slice(start, min(count, max(start + 1, ceil(origin + pixels / scale)))))
        return parts[0], parts[1]

    def finer(self, ratio: float) -> Place:
        """The same on a screen with ``ratio`` pixels for each one."""
        scale = (self.scale[0] * ratio, self.scale[1] * ratio)
        return Place(scale, self.origin, (ceil(self.size[0] * ratio), ceil(self.size[1] * ratio)))


def fitted(
    shape: tuple[int, int],
    spacing: tuple[float, float],
    size: tuple[int, int],
    zoom: float,
    centre: tuple[float, float],
) -> Place:
    """A slice fitted into ``size`` pixels in its mm proportions, then enlarged.

    Parameters
    ----------
    shape, spacing
        Voxels, and mm (or any one unit) a voxel, along rows and columns.
    size
        Pixels (down, across), > 0.
    zoom
        ≥ 1; at 1 the whole slice is in view, in the middle.
    centre
        Voxel index (row, column) to be in the middle, as far as no room is left empty for it.
    """
    per_mm = zoom * min(p / (n * mm) for p, n, mm in zip(size, shape, spacing, strict=True))
    scale = (per_mm * spacing[0], per_mm * spacing[1])
    origin = []
    for at, count, pixels, step in zip(centre, shape, size, scale, strict=True):
        room = pixels / step
        origin.append((count - room) / 2 if room >= count else min(max(at + 0.5 - room / 2, 0.0), count - room))
    return Place(scale, (origin[0], origin[1]), size)


def levels(pixels: Array, limits: tuple[float, float]) -> NDArray[np.uint8]:
    """Grey levels 0 to 255 between ``limits``; what is not finite is as dark or as bright as can be, NaN dark.

    Parameters
    ----------
    pixels
        Any shape, any real dtype.
    limits
        Shown as 0 and as 255; increasing.
    """
    low, high = limits
    values: NDArray[Any] = pixels.astype(np.float64 if pixels.dtype.itemsize > 4 else np.float32)
    np.fmax(values, low, out=values)  # fmax, unlike maximum, lets go of NaN
    np.fmin(values, high, out=values)
    return ((values - low) * (255.0 / max(high - low, 1e-30))).astype(np.uint8)


def picture(grey: NDArray[np.uint8], table: Sequence[int]) -> QImage:
    """An image of its own memory.

    Parameters
    ----------
    grey
        (rows, columns).
    table
        256 colours, ``0xffrrggbb``.
    """
    solid = np.ascontiguousarray(grey)
    rows, columns = solid.shape
    image = QImage(solid.data, columns, rows, columns, QImage.Format.Format_Indexed8)  # type: ignore[call-overload]
    image.setColorTable(list(table))
    own: QImage = image.convertToFormat(QImage.Format.Format_RGB32)
    return own


@dataclass(frozen=True, eq=False)
class Outline:
    """The borders of one mask in a slice.

    Parameters
    ----------
    labels
        (rows, columns) label ids, 0 is background.
    colour
        Label id → ``0xaarrggbb``; with aa = 0 it is not drawn.
    style
        How the line looks.
    """

    labels: Array
    colour: Callable[[int], int]
    style: Style


def outlined(outlines: Sequence[Outline], place: Place, ratio: float = 1.0) -> Pixels:
    """(down, across) ``0xaarrggbb``: the borders of masks, clear elsewhere; the last mask lies on top.

    Every line lies inside of its own label, along the faces of the voxels, so that where two labels touch both are
    seen. No voxel is left out, however small it is drawn.

    Parameters
    ----------
    outlines
        All of one shape.
    place
        Where their slice lies, in pixels of the array that is returned.
    ratio
        Pixels of the array for one of `STROKES`.
    """
    drawn: Pixels = np.zeros(place.size, np.uint32)
    for outline in outlines:
        rows, columns = place.seen((outline.labels.shape[0], outline.labels.shape[1]))
        around = _with_one_around(outline.labels, rows, columns)
        origin = (place.origin[0] - rows.start + 1, place.origin[1] - columns.start + 1)
        stroke = tuple(max(1, round(x * ratio)) if x else 0 for x in STROKES[outline.style])
        _faces(drawn, around, origin, place.scale, stroke, outline.colour)
        _faces(drawn.T, around.T, origin[::-1], place.scale[::-1], stroke, outline.colour)
    return drawn


def _with_one_around(labels: Array, rows: slice, columns: slice) -> Array:
    """The part of a slice with one voxel more on each side; beyond the slice is background."""
    low = [part.start - 1 for part in (rows, columns)]
    high = [part.stop + 1 for part in (rows, columns)]
    inside = tuple(slice(max(0, a), min(n, b)) for a, b, n in zip(low, high, labels.shape, strict=True))
    missing = [(max(0, -a), max(0, b - n)) for a, b, n in zip(low, high, labels.shape, strict=True)]
    return np.pad(labels[inside], missing)


def _faces(
    drawn: Pixels,
    labels: Array,
    origin: tuple[float, float],
    scale: tuple[float, float],
    stroke: tuple[int, ...],
    colour: Callable[[int], int],
) -> None:
    """Draw the faces between columns."""
    row, column = np.nonzero(labels[:, :-1] != labels[:, 1:])
    if not row.size:
        return
    count = ceil(scale[0])
    down = np.floor((row[:, None] + (np.arange(count) + 0.5) / count - origin[0]) * scale[0]).astype(np.int64)
    face = np.round((column + 1 - origin[1]) * scale[1]).astype(np.int64)
    width, on, off = stroke
    lit = down % (on + off) < on
    for beside, step in ((labels[row, column], -1), (labels[row, column + 1], 1)):
        ids, which = np.unique(beside, return_inverse=True)
        painted = np.array([colour(int(i)) if i else 0 for i in ids], np.uint32)[which.reshape(-1)]
        for depth in range(width):
            across = face + (step * depth if step > 0 else -1 - depth)
            seen = lit & (down >= 0) & (down < drawn.shape[0]) & (painted > 0xFFFFFF)[:, None]
            seen &= ((across >= 0) & (across < drawn.shape[1]))[:, None]
            edge, _ = np.nonzero(seen)
            drawn[down[seen], across[edge]] = painted[edge]
