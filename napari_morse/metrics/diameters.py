"""Diameters and area of a region in one slice, as a reader takes them by hand.

The outline runs half-way between pixels of the region and pixels beside it: through the middle of each pixel's edge
there, and straight from one middle to the next. A single pixel is one pixel wide, a bar of n pixels n pixels long, and
a smooth shape neither grows nor shrinks by being drawn in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

from napari_morse.metrics.surface import bounding_box

Points2d = NDArray[np.float64]
MOST_PLACES = 4096
"""Places along the longest diameter at which the one across it is looked for; an outline has rarely so many corners."""
_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
_TOP, _LEFT, _RIGHT, _BOTTOM = (0.0, 0.5), (0.5, 0.0), (0.5, 1.0), (1.0, 0.5)
_Ends = tuple[tuple[float, float], tuple[float, float]]
_ONE: dict[int, _Ends] = {
    1: (_LEFT, _TOP),
    2: (_TOP, _RIGHT),
    4: (_LEFT, _BOTTOM),
    8: (_BOTTOM, _RIGHT),
    3: (_LEFT, _RIGHT),
    5: (_TOP, _BOTTOM),
}
_SEGMENTS: dict[int, tuple[_Ends, ...]] = {
    **{code: (ends,) for code, ends in _ONE.items()},
    **{15 - code: (ends,) for code, ends in _ONE.items()},
    9: (_ONE[2], _ONE[4]),  # pixels that touch at a corner only are one part
    6: (_ONE[1], _ONE[8]),
}
"""The outline between four pixels: which of them are inside (bits 1, 2 for the upper row, 4, 8 for the lower)."""


@dataclass(frozen=True, eq=False)
class Diameters:
    """Of the largest part of a region in one slice.

    Parameters
    ----------
    longest
        mm; the largest distance between two points of the outline, whatever lies between them.
    longest_ends
        (2, 2) index coordinates (pixel centres at whole numbers) of its ends.
    across
        mm; the longest stretch perpendicular to it that lies inside the outline. Holes count as inside.
    across_ends
        (2, 2) index coordinates of its ends.
    area
        mm²; pixels of the part times the area of a pixel. Holes do not count.
    parts
        How many parts the region has; pixels that touch, if only at a corner, are one.
    """

    longest: float
    longest_ends: Points2d
    across: float
    across_ends: Points2d
    area: float
    parts: int


def diameters(region: NDArray[np.bool_], spacing: ArrayLike) -> Diameters:
    """Measure the largest part of a region.

    Parameters
    ----------
    region
        (rows, columns) bool, with at least one pixel.
    spacing
        mm from one pixel to the next along both axes; or a (2, 2) matrix, index → mm in the plane, where the axes are
        not at right angles.

    Raises
    ------
    ValueError
        The region is empty.
    """
    steps = np.asarray(spacing, dtype=np.float64)
    steps = np.diag(steps) if steps.ndim == 1 else steps
    largest, start, parts = _largest(np.asarray(region, dtype=bool))
    area = int(np.count_nonzero(largest)) * abs(float(np.linalg.det(steps)))
    segments = _outline(_filled(largest))
    outline = _mm(segments.reshape(-1, 2), steps)
    ends = _farthest(outline)
    chord = _longest_across(outline.reshape(-1, 2, 2), ends)
    to_index = np.asarray(np.linalg.inv(steps), dtype=np.float64)
    return Diameters(
        longest=_length(ends),
        longest_ends=_mm(ends, to_index) + start,
        across=_length(chord),
        across_ends=_mm(chord, to_index) + start,
        area=area,
        parts=parts,
    )


def _largest(region: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int64], int]:
    """The largest part with an empty rim of one pixel, the index of the rim's corner, and how many parts there are."""
    box = bounding_box(region)
    pieces = cc3d.connected_components(np.pad(region[box], 1).view(np.uint8), connectivity=8)
    sizes = np.bincount(pieces.reshape(-1))
    if len(sizes) < 2:
        raise ValueError("an empty region has no diameter")
    start = np.array([part.start - 1 for part in box], dtype=np.int64)
    return pieces == 1 + int(sizes[1:].argmax()), start, len(sizes) - 1


def _filled(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With its holes; the rim is empty."""
    # 4-connected, as the part is 8-connected: through pixels that touch at a corner, the outside must not slip in.
    outside = cc3d.connected_components((~part).view(np.uint8), connectivity=4)
    return np.asarray(outside != outside[0, 0])


def _outline(part: NDArray[np.bool_]) -> Points2d:
    """(N, 2, 2) index coordinates of both ends of each piece of the outline; the rim is empty."""
    bits = part.view(np.uint8)
    codes = bits[:-1, :-1] | bits[:-1, 1:] << 1 | bits[1:, :-1] << 2 | bits[1:, 1:] << 3
    mixed = np.argwhere((codes != 0) & (codes != 15))
    kinds = codes[tuple(mixed.T)]
    pieces = [
        mixed[kinds == code][:, None, :] + np.array(ends) for code, several in _SEGMENTS.items() for ends in several
    ]
    return np.concatenate(pieces)


def _farthest(points: Points2d) -> Points2d:
    """The two of (N, 2) points that lie farthest from each other."""
    hull = points[ConvexHull(points).vertices]
    first, second = divmod(int(squareform(pdist(hull)).argmax()), len(hull))
    return np.asarray(hull[[first, second]])


def _longest_across(segments: Points2d, axis: Points2d) -> Points2d:
    """Ends of the longest stretch inside a closed outline at right angles to ``axis``, all in mm.

    The length of such a stretch is linear between two corners of the outline, so the longest begins at a corner. Where
    the outline itself runs across, the stretches just before it and just behind it have different lengths.
    """
    along = (axis[1] - axis[0]) / _length(axis)
    across = np.array([-along[1], along[0]])
    u, v = _dot(segments, along), _dot(segments, across)
    order = np.argsort(u, axis=1)
    u, v = np.take_along_axis(u, order, 1), np.take_along_axis(v, order, 1)
    places = np.unique(u)
    places = places[:: 1 + len(places) // MOST_PLACES]
    at, enter, leave = max(
        (_stretch(u, v, places, side) for side in _SIDES), key=lambda stretch: stretch[2] - stretch[1]
    )
    return np.array([at * along + enter * across, at * along + leave * across])


def _stretch(u: Points2d, v: Points2d, places: Points2d, side: Literal["left", "right"]) -> tuple[float, float, float]:
    """The longest stretch at one of ``places``, just behind (``left``) or just before it: place, start and end."""
    (u0, u1), (v0, v1) = u.T, v.T
    first = np.searchsorted(places, u0, side)
    count = np.searchsorted(places, u1, side) - first
    piece = np.repeat(np.arange(len(u0)), count)
    which = np.arange(len(piece)) - np.repeat(np.cumsum(count) - count, count) + first[piece]
    met = v0[piece] + (places[which] - u0[piece]) / (u1 - u0)[piece] * (v1 - v0)[piece]
    order = np.lexsort((met, which))
    enter, leave = met[order].reshape(-1, 2).T  # a closed outline is met an even number of times
    best = int((leave - enter).argmax())
    return float(places[which[order][2 * best]]), float(enter[best]), float(leave[best])


def _mm(points: Points2d, steps: Points2d) -> Points2d:
    """(N, 2) → (N, 2); a point comes out the same wherever it stands in the list, which a matrix product may not do."""
    return np.stack([_dot(points, steps[0]), _dot(points, steps[1])], axis=-1)


def _dot(points: Points2d, direction: Points2d) -> Points2d:
    product: Points2d = points[..., 0] * direction[0] + points[..., 1] * direction[1]
    return product


def _length(ends: Points2d) -> float:
    return float(np.hypot(*(ends[1] - ends[0])))
