"""Drawing on a labels layer only where it has voxels.

Beside a longer scan the slider goes further than the layer, which shows nothing there; napari counts an index before
its first slice from the far end, and draws there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

DRAWS = ("paint", "fill", "paint_polygon")
"""What all of napari's tools end in: brush, eraser, bucket, polygon, the loop of the right mouse button."""


class Within:
    """Stands before what draws on one layer, until `release`; other layers are as they were.

    Parameters
    ----------
    layer
        In its own `Labels` alone: of the layer's class nothing is changed.
    refused
        Called when something was to be drawn outside; nothing is drawn then.
    """

    def __init__(self, layer: Labels, refused: Callable[[], None]) -> None:
        self._layer, self._refused = layer, refused
        for name in DRAWS:
            setattr(layer, name, getattr(self, name))

    def release(self) -> None:
        """Let the layer draw as napari has it."""
        for name in DRAWS:
            vars(self._layer).pop(name, None)

    def paint(self, coord: Any, new_label: int, refresh: bool = True) -> None:
        """As `Labels.paint`."""
        place = self._placed(coord)
        if place is not None:
            type(self._layer).paint(self._layer, place.tolist(), new_label, refresh)

    def fill(self, coord: Any, new_label: int, refresh: bool = True) -> None:
        """As `Labels.fill`."""
        place = self._placed(coord)
        if place is not None:
            type(self._layer).fill(self._layer, place.tolist(), new_label, refresh)

    def paint_polygon(self, points: Any, new_label: int) -> None:
        """As `Labels.paint_polygon`."""
        places = self._placed(points)
        if places is not None:
            type(self._layer).paint_polygon(self._layer, places, new_label)

    def _placed(self, where: Any) -> NDArray[np.float64] | None:
        """(3,) or (n, 3) voxels to draw at, in the slice of the first; None, and it is told, where that is none."""
        places = np.array(where, float)
        first = places.reshape(-1, places.shape[-1])[0]
        for axis, shown in enumerate(self._layer._data_slice.point):  # noqa: SLF001 (what napari shows goes by it)
            if np.isnan(shown):
                continue
            # halfway between two slices the one in view is meant; napari cuts a polygon's down, and counts from the end
            index = round(float(shown if abs(first[axis] - shown) <= 0.5 else first[axis]))
            if not 0 <= index < self._layer.data.shape[axis]:
                self._refused()
                return None
            places[..., axis] = index
        return places
