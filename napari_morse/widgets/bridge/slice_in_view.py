"""The plane in view, and where in a scan's voxels it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_morse.geometry.orientation import Axes
from napari_morse.types import Array, Roi, Scan
from napari_morse.widgets.bridge.placement import display_axes

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


@dataclass(frozen=True)
class PlaneInView:
    """A slice of a scan as the viewer shows it.

    Parameters
    ----------
    axes
        Storage order → display order.
    shape
        Of the scan in display order.
    across
        Display axis across the slice.
    index
        Of the slice along it.
    rows, columns
        Display axes downward and to the right.
    """

    axes: Axes
    shape: tuple[int, int, int]
    across: int
    index: int
    rows: int
    columns: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[self.rows], self.shape[self.columns]

    @property
    def storage(self) -> tuple[int, int]:
        """Storage axis across the slice, and the slice's index along it."""
        axis = int(self.axes.order[self.across])
        return axis, self.axes.roi_to_storage(self._box()).start[axis]

    def spacing(self, scan: Scan) -> tuple[float, float]:
        """Millimetres of a step down, and of one to the right."""
        sides = [scan.grid.spacing[int(a)] for a in self.axes.order]
        return sides[self.rows], sides[self.columns]

    def of(self, display: Any) -> Array:
        """(R, C) the slice of an array in display order."""
        plane = np.asarray(display[tuple(self.index if a == self.across else slice(None) for a in range(3))])
        # The viewer's axes may stand in any order, as after a transpose: rows are always what runs down the screen.
        return plane if self.rows < self.columns else plane.T

    def places(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """(n, 2) pixels → (n, 3) display voxels."""
        places = np.full((len(pixels), 3), self.index, pixels.dtype)
        places[:, self.rows], places[:, self.columns] = pixels[:, 0], pixels[:, 1]
        return places

    def pixel(self, voxel: Sequence[float]) -> tuple[float, float]:
        """Of a display voxel."""
        return float(voxel[self.rows]), float(voxel[self.columns])

    def stored(self, plane: Array) -> tuple[Roi, Array]:
        """(R, C) labels of the whole slice → its box and its labels in storage order."""
        shown = plane if self.rows < self.columns else plane.T
        return self.axes.roi_to_storage(self._box()), self.axes.to_storage(np.expand_dims(shown, self.across))

    def _box(self) -> Roi:
        """In display order."""
        start, stop = [0, 0, 0], list(self.shape)
        start[self.across], stop[self.across] = self.index, self.index + 1
        return Roi(tuple(start), tuple(stop))  # type: ignore[arg-type]


def turn_to(viewer: ViewerModel, across: int) -> None:
    """Show slices across a display axis (0, 1 or 2) of the scans, upright as in `plane_in_view`."""
    first = viewer.dims.ndim - 3
    others = [axis + first for axis in range(3) if axis != across]
    viewer.dims.ndisplay = 2
    viewer.dims.order = (*range(first), across + first, *others)


def go_to(viewer: ViewerModel, layer: Layer, voxel: Sequence[float]) -> None:
    """Bring a display voxel of a layer into its slice and into the middle of the view."""
    point_mm = [float(x) for x in layer.data_to_world(voxel)]
    dims, first = viewer.dims, viewer.dims.ndim - len(point_mm)
    dims.set_point(range(first, dims.ndim), point_mm)
    shown = [point_mm[axis - first] if axis >= first else 0.0 for axis in dims.displayed]
    viewer.scene.camera.center = tuple([0.0] * (3 - len(shown)) + shown)


def plane_in_view(viewer: ViewerModel, scan: Scan, layer: Layer) -> PlaneInView | None:
    """The slice of a scan that is in view; None in 3-D, and where the viewer stands outside the scan.

    Parameters
    ----------
    viewer
        What shows it.
    scan
        The scan.
    layer
        A layer on its grid.
    """
    found = slice_at(viewer, layer)
    if found is None:
        return None
    across, index = found
    axes = display_axes(scan)
    shape = tuple(scan.grid.shape[int(a)] for a in axes.order)
    if not 0 <= index < shape[across]:
        return None
    rows, columns = (axis - viewer.dims.ndim + 3 for axis in viewer.dims.displayed)
    return PlaneInView(axes, shape, across, index, rows, columns)  # type: ignore[arg-type]


def slice_at(viewer: ViewerModel, layer: Layer) -> tuple[int, int] | None:
    """A volume's axis across the plane in view, and the index there, which may lie outside; None in 3-D."""
    dims = viewer.dims
    if dims.ndisplay != 2 or layer.ndim != 3:
        return None
    rows, columns = (axis - dims.ndim + 3 for axis in dims.displayed)
    if min(rows, columns) < 0:
        return None
    across = 3 - rows - columns
    # From the point in mm, not from the slider's step: steps count through all open layers, of other voxel sizes too.
    return across, round(float(layer.world_to_data(dims.point[-3:])[across]))


def slider_number(viewer: ViewerModel, layer: Layer, across: int, index: int) -> int:
    """Of a volume's slice, as the viewer's slider counts: through all that is open, from 0."""
    voxel = [0.0, 0.0, 0.0]
    voxel[across] = index
    start, _, step = map(float, viewer.dims.range[viewer.dims.ndim - 3 + across])
    return round((float(layer.data_to_world(voxel)[across]) - start) / step)
