"""Measures drawn over the scan: dotted lines with their values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from napari.layers import Points

from napari_morse.session.case import Measure
from napari_morse.types import Array, Scan
from napari_morse.widgets.bridge import KEY, Carrier, display_axes, display_to_world, placement

if TYPE_CHECKING:
    from napari.components import ViewerModel

MEASURE_COLOUR, BETWEEN = "#f0e442", "#000000"
"""Of every other dot: a line is seen on any ground."""
DOT_STEP = 0.75
"""Voxels from one dot of a line to the next."""
RIM, END, DOT, TEXT = 1.5, 1.1, 0.6, 0.01
"""Diameters in voxels; what holds a text cannot be seen itself."""
HIGH, WIDE = 24.0, 110.0
"""Pixels of the screen that a text takes."""
OLD = " *"
"""Behind a value whose mask was changed since."""
DRAWING_GONE = "The drawing was taken away; the measures are still listed, and are drawn again with the next."
DRAWING_FOLLOWS = "The drawing follows the list: take a measure away there, and drag an end of a line with the ruler."


@dataclass(frozen=True, eq=False)
class Line:
    """A straight line with a text at its last end.

    Parameters
    ----------
    ends
        (2, 3) in display voxels; the same point twice is a point.
    text
        May be empty.
    """

    ends: Array
    text: str


def lines_of(scan: Scan, measure: Measure, sign: str = "") -> list[Line]:
    """What is drawn of a measure, with ``sign`` behind its value; of an area one point."""
    ends, text = display_axes(scan).index_to_view(np.array(measure.voxel)), f"{measure.text}{sign}"
    if measure.kind == "diameters":
        return [Line(_to_the_right(ends[:2]), text), Line(ends[2:], "")]
    return [Line(_to_the_right(ends) if len(ends) == 2 else ends[[0, 0]], text)]


class Undone(Protocol):
    """Hears of a drawing that somebody else changed."""

    def __call__(self, sentence: str, *, again: bool) -> None:
        """What happened, in a sentence, and whether it is to be shown again now."""


def unheard(sentence: str, *, again: bool) -> None:
    """An `Undone` while nobody draws."""


class MeasureLayer:
    """A points layer that is there while something was measured; nothing can be changed in it.

    Parameters
    ----------
    viewer
        Gets the layer.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.undone: Undone = unheard
        """Told when somebody took the layer away, or changed what is in it: then it is to be shown again."""
        self._own = False
        self.layer: Points | None = None
        viewer.layers.events.removed.connect(self._on_removed)

    def show(self, scan: Scan, lines: Sequence[Line]) -> None:
        """Show these lines on a scan, and no others."""
        dots = [_dotted(line.ends) for line in lines]
        texts = [line for line in lines if line.text]
        beside = self._apart(np.array([line.ends[-1] for line in texts]).reshape(-1, 3), scan)
        places = np.concatenate([np.zeros((0, 3)), *(each for each, _, _ in dots), beside])
        sizes = np.concatenate([np.zeros(0), *(size for _, size, _ in dots), np.full(len(beside), TEXT)])
        dark = np.concatenate([np.zeros(0, bool), *(each for _, _, each in dots), np.zeros(len(beside), bool)])
        with self._quiet():
            layer = self._shown(scan)
            layer.selected_data = set()
            layer.data = places
            if len(places):
                layer.features = {"value": [""] * (len(places) - len(beside)) + [line.text for line in texts]}
                layer.size = sizes
                layer.face_color = np.where(dark, BETWEEN, MEASURE_COLOUR)
            layer.editable = False  # new data made it editable

    def _apart(self, places: Array, scan: Scan) -> Array:
        """Places of texts (n, 3) in display voxels, moved downward in their slice until no text covers another."""
        dims = self._viewer.dims
        if dims.ndisplay != 2:
            return places
        rows, columns = (axis - dims.ndim + 3 for axis in dims.displayed)
        if min(rows, columns) < 0:
            return places
        mm = np.linalg.norm(display_to_world(scan)[:3, :3], axis=0)[[rows, columns]]
        free = np.array([HIGH, WIDE]) / self._viewer.scene.camera.zoom / mm
        moved = places.copy()
        done: list[int] = []
        for one in np.argsort(places[:, rows], kind="stable"):
            for other in done:
                away = np.abs(moved[one] - moved[other])
                if away[3 - rows - columns] < 0.5 and away[columns] < free[1] and away[rows] < free[0]:
                    moved[one, rows] = moved[other, rows] + free[0]
            done.append(int(one))
        return moved

    def clear(self) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None  # first: the removal is told of, and is nobody else's
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def close(self) -> None:
        """Take the layer away, for good."""
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self.clear()

    def _shown(self, scan: Scan) -> Points:
        if self.layer is not None and self.layer in self._viewer.layers:
            return self.layer
        selected = set(self._viewer.layers.selection)
        # A region's role, so that it stays in view when a result is opened.
        self.layer = Points(
            np.zeros((0, 3)), name=f"measures · {scan.stem}", size=DOT, features={"value": []}, symbol="disc",
            text={"string": "  {value}", "color": MEASURE_COLOUR, "size": 12, "anchor": "upper_left"},
            face_color=MEASURE_COLOUR, border_width=0, metadata={KEY: Carrier(scan, "roi")},
            **placement(scan),
        )  # fmt: skip
        self.layer.events.data.connect(self._on_data)
        self._viewer.add_layer(self.layer)
        self._viewer.layers.selection = selected
        return self.layer

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        self._own = True
        try:
            yield
        finally:
            self._own = False

    def _on_data(self, event: Any) -> None:
        if not self._own:  # one that was taken away before tells of its changes, too
            self.undone(DRAWING_FOLLOWS, again=event.source is self.layer)

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None
            self.undone(DRAWING_GONE, again=False)


def _to_the_right(ends: Array) -> Array:
    """The end that is further right in the slice is the last: beside it there is room for a text."""
    return ends if tuple(ends[0][::-1]) <= tuple(ends[1][::-1]) else ends[::-1]


def _dotted(ends: Array) -> tuple[Array, Array, Array]:
    """Dots of a line from end to end, both ends with a rim: (n, 3) places, (n) diameters, (n) whether it is dark."""
    count = max(2, int(np.linalg.norm(ends[1] - ends[0]) / DOT_STEP) + 1)
    between = np.linspace(ends[0], ends[1], count)[1:-1]
    places = np.concatenate([ends[[0, 0]], between, ends[[1, 1]]])
    sizes = np.r_[RIM, END, np.full(len(between), DOT), RIM, END]
    return places, sizes, np.r_[True, False, np.arange(len(between)) % 2 == 0, True, False].astype(bool)
