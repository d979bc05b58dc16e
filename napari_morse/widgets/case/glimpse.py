"""Whether a change can be seen: what the slice in view showed before it, and shows now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_morse.types import Array, Roi
from napari_morse.widgets.bridge import slice_at, slider_number

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels


class Glimpse:
    """The slice of a mask's layer that is in view now.

    Parameters
    ----------
    viewer
        What shows it.
    layer
        The mask's.
    """

    def __init__(self, viewer: ViewerModel, layer: Labels) -> None:
        self._viewer, self._layer = viewer, layer
        self._at = slice_at(viewer, layer)
        self._before = self._pixels()

    def missed(self, box: Roi) -> str:
        """Where the mask has changed since, as the end of a sentence; empty where the slice in view shows it.

        Parameters
        ----------
        box
            Around the change, in the layer's own order.
        """
        before, self._at = self._at, slice_at(self._viewer, self._layer)
        if self._at is None:
            return ""
        across, index = self._at
        there = range(box.start[across], box.stop[across])
        if self._at == before and not np.array_equal(self._before, self._pixels()):
            return ""
        if self._at != before and index in there:  # the change has led the view here
            return ""
        ends = (slider_number(self._viewer, self._layer, across, n) for n in (there[0], there[-1]))
        first, last = sorted(ends)
        if first == last:
            return f"in slice {first}, which was not in view."
        return f"between slices {first} and {last}, not in the one that was in view."

    def _pixels(self) -> Array:
        if self._at is None:
            return np.zeros(0, np.uint8)
        across, index = self._at
        inside = slice(index, index + 1) if index >= 0 else slice(0)
        # A copy: the layer's pixels are changed in place by what this is compared with.
        return np.array(self._layer.data[(slice(None),) * across + (inside,)])
