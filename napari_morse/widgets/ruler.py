"""The ruler on the canvas: from one press to where it is let go, or from one click to the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_morse.types import Array
from napari_morse.widgets.plane_of import PlaneInView, plane_in_view

if TYPE_CHECKING:
    from napari_morse.widgets.desk import Desk

HINT = "Drag from one end to the other, or click on both. Esc leaves."
STILL = 4.0
"""Pixels of the screen within which a press was a click."""


class Ruler(QObject):
    """Takes the mouse while it is on.

    Parameters
    ----------
    desk
        What is measured.
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

    def __init__(self, desk: Desk, parent: QObject | None = None) -> None:
        super().__init__(parent)
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
        self.said.emit(HINT)

    def leave(self) -> None:
        """Give the mouse back."""
        if not self.active:
            return
        self.active, self._start = False, None
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
        scan, layer = self._desk.scan, self._desk.scan_layer
        if scan is None or layer is None:
            return None
        plane = plane_in_view(self._viewer, scan, layer)
        if plane is None or (self._start is not None and plane != self._plane):
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
        second = self._start is not None
        if not second:
            self._start = at
        begun = np.array(event.pos if hasattr(event, "pos") else (0, 0), float)
        ended = begun
        yield
        while event.type == "mouse_move":
            at = self._at(event) or at
            ended = np.array(event.pos if hasattr(event, "pos") else (99, 99), float)
            self.moved.emit(self._ends(at))
            yield
        if second or np.linalg.norm(ended - begun) > STILL:
            ends, self._start = self._ends(at), None
            self.drawn.emit(ends, self._plane)

    def _on_move(self, _viewer: Any, event: Any) -> None:
        if self._start is not None:
            at = self._at(event)
            if at is not None:
                self.moved.emit(self._ends(at))

    def _on_dims(self, _event: Any = None) -> None:
        scan, layer = self._desk.scan, self._desk.scan_layer
        if self._start is None or scan is None or layer is None:
            return
        if plane_in_view(self._viewer, scan, layer) != self._plane:
            self._start = None
            self.moved.emit(np.zeros((0, 3)))
