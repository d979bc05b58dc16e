"""Measures drawn over the scan: dotted lines with their values, each in its own slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Points

from napari_morse.session.measures import Measure
from napari_morse.types import Array, Scan
from napari_morse.widgets.layers import KEY, Carrier, display_axes, placement

if TYPE_CHECKING:
    from napari.components import ViewerModel

COLOUR = "#f0e442"
STEP = 0.75
"""Voxels from one dot of a line to the next."""
END, DOT = 1.4, 0.5
"""Diameters in voxels."""


class MeasureLayer:
    """A points layer that is there while there is something to show.

    Parameters
    ----------
    viewer
        Gets the layer.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layer: Points | None = None

    def show(self, scan: Scan, measures: Sequence[Measure], drawn: Array, text: str) -> None:
        """Show measures, and a line that is being drawn.

        Parameters
        ----------
        scan
            What was measured.
        measures
            All of its measures.
        drawn
            (2, 3) ends in display voxels, or none.
        text
            Beside them.
        """
        places, sizes = [np.zeros((0, 3))], [np.zeros(0)]
        texts: list[str] = []
        lines = [(ends, said) for each in measures for ends, said in _lines(scan, each)]
        if len(drawn):
            lines.append((drawn, text))
        for ends, said in lines:
            dots = _dotted(ends)
            places.append(dots)
            size = np.full(len(dots), DOT)
            size[[0, -1]] = END
            sizes.append(size)
            texts += ["" if n != len(dots) - 1 else said for n in range(len(dots))]
        self._fill(scan, np.concatenate(places), np.concatenate(sizes), texts)

    def _fill(self, scan: Scan, places: Array, sizes: Array, texts: list[str]) -> None:
        if not len(places):
            self.clear()
            return
        if self.layer is None or self.layer not in self._viewer.layers:
            selected = set(self._viewer.layers.selection)
            self.layer = Points(
                places, name=f"measures · {scan.stem}", size=sizes, features={"value": texts}, symbol="disc",
                text={"string": "{value}", "color": COLOUR, "size": 11, "anchor": "upper_left"},
                face_color=COLOUR, border_color="black", border_width=0.1, metadata={KEY: Carrier(scan, "tool")},
                **placement(scan),
            )  # fmt: skip
            self._viewer.add_layer(self.layer)
            self.layer.editable = False
            self._viewer.layers.selection = selected
            return
        layer = self.layer
        layer.selected_data = set()
        layer.data = places
        layer.features = {"value": texts}
        layer.size = sizes

    def clear(self) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)


def _lines(scan: Scan, measure: Measure) -> list[tuple[Array, str]]:
    """Ends (2, 3) in display voxels, and what is written there; an area is one point."""
    ends = display_axes(scan).index_there(np.array(measure.voxel))
    if measure.kind == "diameters":
        return [(ends[:2], measure.text), (ends[2:], "")]
    return [(ends if len(ends) == 2 else ends[[0, 0]], measure.text)]


def _dotted(ends: Array) -> Array:
    count = max(2, int(np.linalg.norm(ends[1] - ends[0]) / STEP) + 1)
    return np.linspace(ends[0], ends[1], count)
