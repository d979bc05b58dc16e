"""The ruler, with ends that can be dragged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject

from napari_morse.types import Array
from napari_morse.widgets.ruler import Ruler

if TYPE_CHECKING:
    from napari_morse.widgets.desk import Desk

GRIP = 8.0
"""Pixels of the screen around an end within which a press takes it."""
HINT = "Drag from one end to the other, or click on both; drag an end to move it. Esc leaves."


@dataclass(frozen=True, eq=False)
class Drawn:
    """A line in the slice in view.

    Parameters
    ----------
    measure
        Id of the measure.
    ends
        (2, 3) in display voxels.
    """

    measure: str
    ends: Array


class EndsRuler(Ruler):
    """A `Ruler` that moves the ends of lines that were drawn before.

    Parameters
    ----------
    desk
        What is measured.
    lines
        Gives the lines in the slice in view.
    parent
        Owner.
    """

    def __init__(self, desk: Desk, lines: Callable[[], Sequence[Drawn]], parent: QObject | None = None) -> None:
        super().__init__(desk, parent)
        self._lines = lines
        self.held = ""
        """Id of the measure whose end is dragged; `drawn` is of this one then."""

    def begin(self) -> None:
        """Take the mouse."""
        super().begin()
        if self.active:
            self.said.emit(HINT)

    def leave(self) -> None:
        """Give the mouse back."""
        self.held = ""
        super().leave()

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        grip = self._grip(event)
        if grip is None:
            yield from super()._on_press(viewer, event)
        else:
            yield from self._drag(*grip, event)

    def _grip(self, event: Any) -> tuple[str, Array] | None:
        """The line whose end was pressed, and its other end; None away from all ends, and between two clicks."""
        selected, layer = self._viewer.layers.selection.active, self._desk.scan_layer
        painting = isinstance(selected, Labels) and str(selected.mode) != "pan_zoom"
        if self._start is not None or event.button != 1 or painting or layer is None or self._at(event) is None:
            return None
        here = np.asarray(event.position[-3:], float)
        near: tuple[float, str, Array] = GRIP, "", here
        for line in self._lines():
            for end, other in ((0, 1), (1, 0)):
                away = np.asarray(layer.data_to_world(line.ends[end]), float)[-3:] - here
                pixels = float(np.linalg.norm(away)) * float(event.camera_zoom)
                if pixels < near[0]:
                    near = pixels, line.measure, line.ends[other]
        return (near[1], near[2]) if near[1] else None

    def _drag(self, measure: str, fixed: Array, event: Any) -> Iterator[None]:
        plane = self._plane
        if plane is None:
            return
        self.held, self._start = measure, plane.pixel(fixed.tolist())
        ends = np.zeros((0, 3))
        yield
        while event.type == "mouse_move" and self.held:
            at = self._at(event)
            if at is not None:
                ends = self._ends(at)
                self.moved.emit(ends)
            yield
        if not self.held:  # left meanwhile
            ends = np.zeros((0, 3))
        self._start = None
        self.drawn.emit(ends, plane)
        self.held = ""
