"""The ruler on the canvas: from one press to where it is let go, or from one click to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_morse.types import Array
from napari_morse.widgets.bridge import PlaneInView

if TYPE_CHECKING:
    from napari_morse.widgets.case import Desk

RULER_HINT = "Drag from one end to the other, or click on both; drag an end to move it. Esc leaves."
GRIP = 8.0
"""Pixels of the screen around an end within which a press takes it."""
RULER_CLICK_REACH = 4.0
"""Pixels of the screen within which a press was a click."""


@dataclass(frozen=True, eq=False)
class MeasureLine:
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


class Ruler(QObject):
    """Takes the mouse while it is on, and moves the ends of lines that were drawn before.

    Parameters
    ----------
    desk
        What is measured.
    lines
        Gives the lines in the slice in view.
    parent
        Owner.
    """

    toggled = Signal(bool)
    """Switched on or off."""
    said = Signal(str)
    """A hint."""
    moved = Signal(object)
    """(2, 3) ends in display voxels, while the line is drawn."""
    drawn = Signal(object, object)
    """The same, done, and the `PlaneInView`."""

    def __init__(self, desk: Desk, lines: Callable[[], Sequence[MeasureLine]], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lines = lines
        self.held = ""
        """Id of the measure whose end is dragged; `drawn` is of this one then."""
        self._desk, self._viewer = desk, desk.viewer
        self.active = False
        self._start: tuple[float, float] | None = None
        self._plane: PlaneInView | None = None
        self._painted: tuple[Labels, str] | None = None

    def toggle(self) -> None:
        """Switch on or off."""
        if self.active:
            self.leave()
        else:
            self.begin()

    def begin(self) -> None:
        """Take the mouse."""
        scan, layer = self._desk.scan, self._desk.scan_layer
        if self.active or scan is None or layer is None:
            self.toggled.emit(self.active)
            return
        self.active = True
        selected = self._viewer.layers.selection.active
        self._painted = None
        if isinstance(selected, Labels) and str(selected.mode) != "pan_zoom":
            self._painted = selected, str(selected.mode)
            selected.mode = "pan_zoom"
        self._viewer.scene.camera.mouse_pan = False
        self._viewer.mouse_drag_callbacks.append(self._on_press)
        self._viewer.mouse_move_callbacks.append(self._on_move)
        self._viewer.bind_key("Escape", lambda _: self.leave(), overwrite=True)
        self._viewer.dims.events.connect(self._on_dims)
        self.toggled.emit(True)
        self.said.emit(RULER_HINT)

    def leave(self) -> None:
        """Give the mouse back."""
        if not self.active:
            return
        self.active, self._start, self.held = False, None, ""
        self._viewer.dims.events.disconnect(self._on_dims)
        self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self._viewer.mouse_move_callbacks.remove(self._on_move)
        self._viewer.bind_key("Escape", None)
        self._viewer.scene.camera.mouse_pan = True
        if self._painted is not None and self._painted[0] in self._viewer.layers:
            layer, mode = self._painted
            if str(layer.mode) == "pan_zoom":
                layer.mode = mode
        self.toggled.emit(False)
        self.said.emit("")
        self.moved.emit(np.zeros((0, 3)))

    def _at(self, event: Any) -> tuple[float, float] | None:
        """The place of the mouse in the slice in view, brought into it; None outside of the scan."""
        plane, layer = self._desk.plane, self._desk.scan_layer
        if plane is None or layer is None or (self._start is not None and plane != self._plane):
            return None
        self._plane = plane
        pixel = plane.pixel(layer.world_to_data(event.position[-3:]))
        row, column = (min(max(x, -0.5), n - 0.5) for x, n in zip(pixel, plane.size, strict=True))
        return row, column

    def _ends(self, end: tuple[float, float]) -> Array:
        if self._plane is None or self._start is None:
            return np.zeros((0, 3))
        return self._plane.places(np.array([self._start, end], np.float64))

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        selected = self._viewer.layers.selection.active
        if isinstance(selected, Labels) and str(selected.mode) != "pan_zoom":
            self.leave()  # another tool was taken
            return
        at = self._at(event)
        if at is None or event.button != 1:
            return
        grip = self._grip(event) if self._start is None else None
        if grip is None:
            yield from self._draw(at, event)
        else:
            yield from self._drag(*grip, event)

    def _draw(self, at: tuple[float, float], event: Any) -> Iterator[None]:
        """From a press to where it is let go; a press that stays where it is sets one end."""
        second = self._start is not None
        if not second:
            self._start = at
        begun, zoom = np.asarray(event.position[-3:], float), event.camera_zoom
        far = 0.0
        yield
        while event.type == "mouse_move":
            at = self._at(event) or at
            far = zoom * float(np.linalg.norm(np.asarray(event.position[-3:], float) - begun))
            self.moved.emit(self._ends(at))
            yield
        if self.active and (second or far > RULER_CLICK_REACH):
            ends, self._start = self._ends(at), None
            self.drawn.emit(ends, self._plane)

    def _grip(self, event: Any) -> tuple[str, Array] | None:
        """The line whose end was pressed, and its other end; None away from all ends."""
        layer = self._desk.scan_layer
        if layer is None:
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

    def _on_move(self, _viewer: Any, event: Any) -> None:
        if self._start is not None:
            at = self._at(event)
            if at is not None:
                self.moved.emit(self._ends(at))

    def _on_dims(self, _event: Any = None) -> None:
        if self._start is not None and self._desk.plane != self._plane:
            self._start = None
            self.moved.emit(np.zeros((0, 3)))
