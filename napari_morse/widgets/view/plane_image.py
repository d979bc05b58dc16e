"""One slice of a scan as pixels of the screen: grey levels, masks, and where a voxel lies.

NumPy does the work; Qt is only given the finished arrays. Rows run down the screen and columns to the right. Column
``c`` of a slice covers the interval from ``c`` to ``c + 1``, so that the centre of a voxel lies at its index + 0.5.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QImage, QPainter

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
class PictureFrame:
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

    @property
    def middle(self) -> tuple[float, float]:
        """Voxel index (row, column), with its fraction, in the middle of the screen."""
        return tuple(o + p / s / 2 - 0.5 for o, p, s in zip(self.origin, self.size, self.scale, strict=True))  # type: ignore[return-value]

    def pixel(self, row: float, column: float) -> tuple[float, float]:
        """Voxel index → pixel (down, across) of the voxel's centre."""
        return (row + 0.5 - self.origin[0]) * self.scale[0], (column + 0.5 - self.origin[1]) * self.scale[1]

    def index(self, down: float, across: float) -> tuple[int, int]:
        """Pixel → index of the voxel there; outside of the slice too."""
        row, column = self.exact(down, across)
        # Not `round`: it takes halves to the even number, and every other face would fall to the voxel before it.
        return int(np.floor(row + 0.5)), int(np.floor(column + 0.5))

    def exact(self, down: float, across: float) -> tuple[float, float]:
        """As `index`, with the fraction: the inverse of `pixel`."""
        row, column = (o + p / s - 0.5 for o, p, s in zip(self.origin, (down, across), self.scale, strict=True))
        return row, column

    def holds(self, row: float, column: float) -> bool:
        """Whether the centre of a voxel is on the screen."""
        return all(0 <= at < pixels for at, pixels in zip(self.pixel(row, column), self.size, strict=True))

    def seen(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """The rows and columns, of ``shape``, that any pixel shows a part of; at least one of each."""
        parts = []
        for origin, scale, pixels, count in zip(self.origin, self.scale, self.size, shape, strict=True):
            start = min(max(0, int(np.floor(origin))), count - 1)
            parts.append(slice(start, min(count, max(start + 1, ceil(origin + pixels / scale)))))
        return parts[0], parts[1]

    def finer(self, ratio: float) -> PictureFrame:
        """The same on a screen with ``ratio`` pixels for each one."""
        scale = (self.scale[0] * ratio, self.scale[1] * ratio)
        return PictureFrame(scale, self.origin, (ceil(self.size[0] * ratio), ceil(self.size[1] * ratio)))


def fitted_frame(
    shape: tuple[int, int],
    spacing: tuple[float, float],
    size: tuple[int, int],
    zoom: float,
    centre: tuple[float, float],
) -> PictureFrame:
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
        Voxel index (row, column), with its fraction, to be in the middle, as far as no room is left empty for it.
    """
    per_mm = zoom * min(p / (n * mm) for p, n, mm in zip(size, shape, spacing, strict=True))
    scale = (per_mm * spacing[0], per_mm * spacing[1])
    origin = []
    for at, count, pixels, step in zip(centre, shape, size, scale, strict=True):
        room = pixels / step
        origin.append((count - room) / 2 if room >= count else min(max(at + 0.5 - room / 2, 0.0), count - room))
    return PictureFrame(scale, (origin[0], origin[1]), size)


def nearer(
    frame: PictureFrame, shape: tuple[int, int], spacing: tuple[float, float], zoom: float, fixed: tuple[float, float]
) -> tuple[float, float]:
    """What has to be in the middle (as of `fitted_frame`) at another ``zoom``, so that what is at a pixel stays there.

    Parameters
    ----------
    frame
        Before.
    shape, spacing, zoom
        As of `fitted_frame`; of the view that comes.
    fixed
        Pixel (down, across).
    """
    row, column = frame.exact(*fixed)
    scale = fitted_frame(shape, spacing, frame.size, zoom, (row, column)).scale
    down, across = ((p - n / 2) / s for p, n, s in zip(fixed, frame.size, scale, strict=True))
    return row - down, column - across


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
    # A copy in floats: limits may lie beyond the range of the scan's own dtype.
    values: NDArray[Any] = pixels.astype(np.float64 if pixels.dtype.itemsize > 4 else np.float32)
    np.fmax(values, low, out=values)  # fmax, unlike maximum, lets go of NaN
    np.fmin(values, high, out=values)
    return np.rint((values - low) * (255.0 / max(high - low, 1e-30))).astype(np.uint8)


def grey_image(grey: NDArray[np.uint8], table: Sequence[int]) -> QImage:
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
    # The bytes of a line are given: Qt expects lines that are padded to four bytes, and would shear other widths.
    image = QImage(solid.data, columns, rows, columns, QImage.Format.Format_Indexed8)  # type: ignore[call-overload]
    image.setColorTable(list(table))
    # A conversion copies: QImage keeps no reference to NumPy's memory, which goes with this call.
    own: QImage = image.convertToFormat(QImage.Format.Format_RGB32)
    return own


@dataclass(frozen=True, eq=False)
class Outline:
    """One mask in a slice.

    Parameters
    ----------
    labels
        (rows, columns) label ids ≥ 0, 0 is background.
    colour
        Label id → ``0xaarrggbb``; with aa = 0 it is not drawn.
    style
        How the line looks.
    fill
        How opaque the inside is, 0 to 1.
    looks
        Another number wherever ``colour`` gives other colours.
    """

    labels: Array
    colour: Callable[[int], int]
    style: Style
    fill: float = 0.0
    looks: int = 0

    def same_as(self, other: Outline) -> bool:
        """Whether both are drawn alike; tells without a look at the pixels."""
        mine, theirs = ((x.style, x.fill, x.looks) for x in (self, other))
        return self.labels is other.labels and mine == theirs


def filled(outline: Outline, rows: slice, columns: slice) -> Pixels:
    """(rows, columns) ``0xaarrggbb``: the inside of a mask's labels, one pixel a voxel; clear elsewhere."""
    labels = outline.labels[rows, columns]
    ids, which = _ids(labels)
    table = np.array([outline.colour(int(i)) if i else 0 for i in ids], np.uint32)
    shown = np.where(table > 0xFFFFFF, (table & 0xFFFFFF) | np.uint32(round(255 * outline.fill) << 24), 0)
    return shown.astype(np.uint32)[which]


def _ids(labels: Array) -> tuple[Array, Array]:
    """The ids there are, and for each voxel the place of its own among them; quick for few bits."""
    if labels.dtype.itemsize > 2:
        ids, which = np.unique(labels, return_inverse=True)
        return ids, which.reshape(labels.shape)
    there = np.zeros(1 << (8 * labels.dtype.itemsize), bool)
    there[labels] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[labels]


def outlined(outlines: Sequence[Outline], frame: PictureFrame, ratio: float = 1.0) -> Pixels:
    """(down, across) ``0xaarrggbb``: the borders of masks, clear elsewhere; the last mask lies on top.

    Every line lies inside of its own label, along the faces of the voxels, so that where two labels touch both are
    seen. No voxel is left out, however small it is drawn, but for the gaps of a broken line.

    Parameters
    ----------
    outlines
        All of one shape.
    frame
        Where their slice lies, in pixels of the array that is returned.
    ratio
        Pixels of the array for one of `STROKES`.
    """
    drawn: Pixels = np.zeros(frame.size, np.uint32)
    for outline in outlines:
        rows, columns = frame.seen((outline.labels.shape[0], outline.labels.shape[1]))
        around = _with_one_around(outline.labels, rows, columns)
        origin = (frame.origin[0] - rows.start + 1, frame.origin[1] - columns.start + 1)
        stroke = tuple(max(1, round(x * ratio)) if x else 0 for x in STROKES[outline.style])
        _faces(drawn, around, origin, frame.scale, stroke, outline.colour)
        # Transposed views: what is written into them is in the same picture.
        _faces(drawn.T, around.T, origin[::-1], frame.scale[::-1], stroke, outline.colour)
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
        ids, which = _ids(beside)
        painted = np.array([colour(int(i)) if i else 0 for i in ids], np.uint32)[which]
        for depth in range(width):
            across = face + (step * depth if step > 0 else -1 - depth)
            seen = lit & (down >= 0) & (down < drawn.shape[0]) & (painted > 0xFFFFFF)[:, None]
            seen &= ((across >= 0) & (across < drawn.shape[1]))[:, None]
            edge, _ = np.nonzero(seen)
            drawn[down[seen], across[edge]] = painted[edge]


def painted(
    pixels: Array,
    limits: tuple[float, float],
    table: Sequence[int],
    outlines: Sequence[Outline],
    frame: PictureFrame,
    ratio: float,
) -> QImage:
    """A slice and its masks, black around them.

    Parameters
    ----------
    pixels, limits, table
        As of `levels` and `grey_image`.
    outlines
        As of `outlined`.
    frame
        Where the slice lies.
    ratio
        Pixels of the image, which knows it, for each of ``frame``.
    """
    fine = frame.finer(ratio)
    rows, columns = fine.seen((pixels.shape[0], pixels.shape[1]))
    top, left = fine.pixel(rows.start - 0.5, columns.start - 0.5)
    where = QRectF(left, top, (columns.stop - columns.start) * fine.scale[1], (rows.stop - rows.start) * fine.scale[0])
    image = QImage(fine.size[1], fine.size[0], QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.black)
    painter = QPainter(image)
    inside = (_clear(filled(outline, rows, columns)) for outline in outlines if outline.fill)
    for part in (grey_image(levels(pixels[rows, columns], limits), table), *inside):
        small = _shrunk(part, where)
        painter.drawImage(where, small, QRectF(small.rect()))
    painter.drawImage(QPointF(0, 0), _clear(outlined(outlines, fine, ratio)))
    painter.end()
    # After all is painted: a painter counts in the screen's coarser pixels on an image that knows its ratio.
    image.setDevicePixelRatio(ratio)
    return image


def _shrunk(image: QImage, where: QRectF) -> QImage:
    """Made smaller, no voxel is left out; enlarged, which is not done here, voxels are seen as voxels."""
    width, height = min(image.width(), ceil(where.width())), min(image.height(), ceil(where.height()))
    if (width, height) == (image.width(), image.height()):
        return image
    small: QImage = image.scaled(
        width, height, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
    )
    return small


def _clear(pixels: Pixels) -> QImage:
    """An image of its own memory, with alpha."""
    rows, columns = pixels.shape
    image = QImage(pixels.data, columns, rows, 4 * columns, QImage.Format.Format_ARGB32)  # type: ignore[call-overload]
    # QImage keeps no reference to NumPy's memory, which goes with this call.
    own: QImage = image.copy()
    return own


@dataclass(frozen=True, eq=False)
class _Taken:
    source: object
    index: int
    pixels: Array


_NOTHING_TAKEN = _Taken(object(), -1, np.empty((0, 0)))
"""Of no array, at no index, and like no pixels."""
ALL_SLICES = range(sys.maxsize)


class Slices:
    """The last slice taken of each of some arrays, in copies: a slice may lie scattered over all of an array's memory.

    A slice whose pixels are as before is the same object as before.

    Parameters
    ----------
    across
        Axis across the slices.
    """

    def __init__(self, across: int) -> None:
        self.across = across
        self._kept: dict[str, _Taken] = {}
        self._stale: set[str] = set()

    def take(self, name: str, source: object, array: Array, index: int) -> Array:
        """(rows, columns) a slice of an array.

        Parameters
        ----------
        name
            What the array is.
        source
            Another object where the array is another one; ``array`` itself may be a view, made anew each time.
        array
            Three axes.
        index
            Of the slice.
        """
        taken = self._kept.get(name, _NOTHING_TAKEN)
        if name not in self._stale and taken.source is source and taken.index == index:
            return taken.pixels
        pixels = np.array(array[tuple(index if axis == self.across else slice(None) for axis in range(3))], order="C")
        if taken.pixels.dtype == pixels.dtype and np.array_equal(taken.pixels, pixels):
            pixels = taken.pixels
        self._kept[name] = _Taken(source, index, pixels)
        self._stale.discard(name)
        return pixels

    def changed(self, name: str, indices: range = ALL_SLICES) -> None:
        """Pixels of an array were changed in place, in the slices at ``indices``."""
        if self._kept.get(name, _NOTHING_TAKEN).index in indices:
            self._stale.add(name)

    def clear(self) -> None:
        """Keep nothing."""
        self._kept, self._stale = {}, set()
