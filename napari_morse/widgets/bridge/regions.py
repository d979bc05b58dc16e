"""The region of interest: rectangles that a person draws, and the box that they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_morse.errors import InputError
from napari_morse.types import Roi, Scan
from napari_morse.widgets.bridge.placement import display_axes, display_to_world, layer_matrix, placement
from napari_morse.widgets.bridge.to_layers import KEY, Carrier, LayerData

if TYPE_CHECKING:
    from napari.layers import Shapes

_FLAT = 1e-3
"""Display voxels: a shape thinner than this along an axis lies in one slice."""
Box = NDArray[np.float64]
"""(2, 3): lowest and highest display coordinate along (I, P, L)."""


def roi_from_shapes(layer: Shapes, scan: Scan, slices: tuple[int, int] | None = None) -> Roi:
    """The box of voxels that the shapes of ``layer`` mean on ``scan``.

    A rectangle drawn on a slice bounds the two axes in view, on all slices. Two of them on different slices of one
    view also bound the slices, from the one to the other. Rectangles in different views (an axial and a coronal one)
    intersect. A shape that is not flat, such as `roi_shape_data` draws, bounds all three axes. Of other shapes the
    bounding box counts; voxels count whose centre is inside.

    Parameters
    ----------
    layer
        2-D or 3-D shapes, wherever the layer is placed.
    scan
        The scan that the region lies on.
    slices
        First and last display slice (downward from 0, both included) to which the box is limited as well.

    Returns
    -------
    Roi
        In storage order, clipped to the scan.

    Raises
    ------
    InputError
        No shape, or none of its voxels inside the scan.
    """
    shape = np.array([scan.grid.shape[a] for a in display_axes(scan).order])
    boxes = [_box(vertices, layer, scan) for vertices in layer.data]
    if not boxes:
        raise InputError("No region is drawn.", "Draw a rectangle on a slice, or use the whole scan.")
    low, high = _meant(boxes)
    if slices is not None:
        low[0], high[0] = max(low[0], min(slices)), min(high[0], max(slices))
    # Bounded before they become integers: an axis of which no rectangle says anything is infinite.
    start = np.clip(np.ceil(np.maximum(low, 0.0) - 1e-6), 0, shape).astype(int)
    stop = np.clip(np.floor(np.minimum(high, shape - 1.0) + 1e-6) + 1, 0, shape).astype(int)
    if (start >= stop).any():
        raise InputError("The drawn region holds no voxel of the scan.", "Draw it over the scan, larger than a voxel.")
    roi = display_axes(scan).roi_to_storage(Roi(_triple(start), _triple(stop)))
    roi.check(scan.grid.shape)
    return roi


def roi_shape_data(roi: Roi, scan: Scan, name: str = "region of interest") -> LayerData:
    """A shapes layer with the outline of ``roi`` on each of its slices, in each of the three views.

    `roi_from_shapes` reads it back exactly.
    """
    roi.check(scan.grid.shape)
    shown = display_axes(scan).roi_to_view(roi)
    outlines = [_outline(shown, axis, at) for axis in range(3) for at in range(shown.start[axis], shown.stop[axis])]
    attributes = {
        "name": name,
        "metadata": {KEY: Carrier(scan, "roi")},
        "shape_type": "rectangle",
        "edge_color": "#f0e442",
        "edge_width": 0.5,
        "face_color": "transparent",
    }
    return outlines, attributes | placement(scan), "shapes"


def _outline(box: Roi, across: int, at: int) -> NDArray[np.float64]:
    """(4, 3): corners, in display coordinates, of ``box`` on slice ``at`` of the axis ``across`` the view."""
    corners = np.empty((4, 3))
    corners[:, across] = at
    for axis, ends in zip([a for a in range(3) if a != across], ((0, 0, 1, 1), (0, 1, 1, 0)), strict=True):
        sides = box.start[axis] - 0.49, box.stop[axis] - 1 + 0.49  # around the voxels, half a line inside their faces
        corners[:, axis] = [sides[end] for end in ends]
    return corners


def _box(vertices: Any, layer: Any, scan: Scan) -> Box:
    """Bounding box in display coordinates; flat axes are infinite but for the place of the slice, see `_meant`."""
    points = np.asarray(vertices, dtype=float)
    flat2d = points.shape[1] == 2
    if flat2d:
        points = np.pad(points, ((0, 0), (1, 0)))
    to_display = np.linalg.inv(display_to_world(scan)) @ layer_matrix(layer)
    shown = points @ to_display[:3, :3].T + to_display[:3, 3]
    box = np.stack([shown.min(axis=0), shown.max(axis=0)])
    if flat2d:  # no slice of its own: it is drawn on all of them
        box[:, 0] = -np.inf, np.inf
    return box


def _meant(boxes: Sequence[Box]) -> Box:
    """Bounds meant by all boxes: enclosed within one view, intersected across views."""
    views: dict[tuple[bool, ...], list[Box]] = {}
    for box in boxes:
        # Rectangles of one view enclose each other, those of different views intersect: which view it was is told by
        # what is flat.
        views.setdefault(tuple((box[1] - box[0] < _FLAT).tolist()), []).append(box)
    meant = np.array([[-np.inf] * 3, [np.inf] * 3])
    for flat, group in views.items():
        low, high = np.min([b[0] for b in group], axis=0), np.max([b[1] for b in group], axis=0)
        for axis in range(3):
            if flat[axis] and high[axis] - low[axis] < 1.0:  # one slice only: it says nothing about the others
                low[axis], high[axis] = -np.inf, np.inf
        meant = np.array([np.maximum(meant[0], low), np.minimum(meant[1], high)])
    return meant


def _triple(values: NDArray[np.int64]) -> tuple[int, int, int]:
    a, b, c = (int(v) for v in values)
    return a, b, c
