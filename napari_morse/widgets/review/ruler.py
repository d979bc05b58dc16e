"""The ruler on the canvas: from one press to where it is let go, or from one click to the next."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_morse.types import Array
from napari_morse.widgets.bridge import PlaneInView

if TYPE_CHECKING:
    from napari_morse.widgets.case import ActiveCase

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
        Id of the measure; empty for a new line.
    ends
        (2, 3) in display voxels.
    """

    measure: str
    ends: Array


class Ruler(QObject):
    """Takes the mouse while it is on, and moves the ends of lines that were drawn before.

    Parameters
    ----------
    active_case
        What is measured.
    parent
        Owner.
    """

    toggled = Signal(bool)
    """Switched on or off."""
    said = Signal(str)
    """A hint."""
    moved = Signal(object)
    """The `MeasureLine` that is being drawn, as it is now."""
    dropped = Signal()
    """No line is being drawn any more, and nothing came of it."""
    drawn = Signal(object, object)
    """The `MeasureLine`, done, and the `PlaneInView`."""

    def __init__(self, active_case: ActiveCase, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.lines: Callable[[], Sequence[MeasureLine]] = tuple
        """Gives the lines in the slice in view, whose ends can be taken."""
        self._active_case = active_case
        self._use: _Use | None = None

    @property
    def active(self) -> bool:
        """Whether it has the mouse."""
        return self._use is not None

    def toggle(self) -> None:
        """Switch on or off."""
        if self.active:
            self.leave()
        else:
            self.begin()

    def begin(self) -> None:
        """Take the mouse."""
        if self._use is not None or self._active_case.scan is None or self._active_case.scan_layer is None:
            self.toggled.emit(self.active)
            return
        self._use = _Use(self, self._active_case)
        self.toggled.emit(True)
        self.said.emit(RULER_HINT)

    def leave(self) -> None:
        """Give the mouse back."""
        if self._use is None:
            return
        use, self._use = self._use, None
        use.end()
        self.toggled.emit(False)
        self.said.emit("")
        self.dropped.emit()


class _Use:
    """The ruler while it has the mouse."""

    def __init__(self, ruler: Ruler, active_case: ActiveCase) -> None:
        self._ruler, self._active_case, self._viewer = ruler, active_case, active_case.viewer
        self._line: _Laid | None = None
        self._modes: dict[Labels, str] = {}
        """Of the layer that was being painted on, to be put back."""
        selected = self._viewer.layers.selection.active
        if _painted_on(selected):
            self._modes[selected] = str(selected.mode)
            # Else the layer's tool would draw with the same press.
            selected.mode = "pan_zoom"
        # Else a drag would lay a line and move the view below it.
        self._viewer.scene.camera.mouse_pan = False
        self._viewer.mouse_drag_callbacks.append(self._on_press)
        self._viewer.mouse_move_callbacks.append(self._on_move)
        self._viewer.bind_key("Escape", lambda _: ruler.leave(), overwrite=True)
        self._viewer.dims.events.connect(self._on_dims)

    def end(self) -> None:
        """Let go of the viewer; a line that is being laid is given up."""
        # A drag that goes on is a generator that napari holds: it finds that its line is not the one any more.
        self._line = None
        self._viewer.dims.events.disconnect(self._on_dims)
        self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self._viewer.mouse_move_callbacks.remove(self._on_move)
        self._viewer.bind_key("Escape", None)
        self._viewer.scene.camera.mouse_pan = True
        for layer, mode in self._modes.items():
            if layer in self._viewer.layers and str(layer.mode) == "pan_zoom":
                layer.mode = mode

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        if _painted_on(self._viewer.layers.selection.active):
            self._ruler.leave()  # another tool was taken
        elif event.button == 1 and self._line is not None:
            yield from self._second(self._line, event)
        elif event.button == 1:
            yield from self._first(event)

    def _first(self, event: Any) -> Iterator[None]:
        """A press while no line is begun: on the end of one that was drawn before, or anywhere else on the scan."""
        plane, layer = self._active_case.plane, self._active_case.scan_layer
        if plane is None or layer is None:
            return
        line = self._line = self._pressed(_Ground(plane, layer), event)
        far = yield from self._follow(line, event)
        if self._line is not line:
            return  # given up meanwhile
        # An end that was drawn before is done once it moved; a new line that was only clicked waits for its second
        # click.
        if line.moved if line.measure else far > RULER_CLICK_REACH:
            self._finish(line)
        elif line.measure:
            self._line = None  # an end that was pressed, and let go where it was

    def _second(self, line: _Laid, event: Any) -> Iterator[None]:
        """A press while one end is set."""
        if self._active_case.plane == line.ground.plane:
            line.end = line.ground.pixel(event)
            yield from self._follow(line, event)
            if self._line is line:
                self._finish(line)

    def _pressed(self, ground: _Ground, event: Any) -> _Laid:
        """A new line from where the mouse is; near an end that was drawn, that line with its other end fixed."""
        here, pixel = np.asarray(event.position[-3:], float), ground.pixel(event)
        nearest, taken = GRIP, _Laid(ground, pixel, pixel)
        for line in self._ruler.lines():
            for end, other in ((0, 1), (1, 0)):
                away = np.asarray(ground.layer.data_to_world(line.ends[end]), float)[-3:] - here
                pixels = float(np.linalg.norm(away)) * float(event.camera_zoom)
                if pixels < nearest:
                    fixed = ground.plane.pixel(line.ends[other].tolist())
                    nearest, taken = pixels, _Laid(ground, fixed, pixel, line.measure)
        return taken

    def _follow(self, line: _Laid, event: Any) -> Generator[None, None, float]:
        """Until the mouse is let go; how far it was then from where it was pressed, in pixels of the screen."""
        begun, zoom = np.asarray(event.position[-3:], float), event.camera_zoom
        far = 0.0
        yield
        while event.type == "mouse_move":
            far = zoom * float(np.linalg.norm(np.asarray(event.position[-3:], float) - begun))
            self._move(line, event)
            yield
        return far

    def _move(self, line: _Laid, event: Any) -> None:
        if self._line is line and self._active_case.plane == line.ground.plane:
            line.end, line.moved = line.ground.pixel(event), True
            self._ruler.moved.emit(line.shown())

    def _finish(self, line: _Laid) -> None:
        self._line = None
        self._ruler.drawn.emit(line.shown(), line.ground.plane)

    def _on_move(self, _viewer: Any, event: Any) -> None:
        if self._line is not None:
            self._move(self._line, event)

    def _on_dims(self, _event: Any = None) -> None:
        """In another slice it would be another line."""
        if self._line is not None and self._active_case.plane != self._line.ground.plane:
            self._line = None
            self._ruler.dropped.emit()


@dataclass(frozen=True, eq=False)
class _Ground:
    """The slice that a line lies in, and the layer of its scan."""

    plane: PlaneInView
    layer: Image

    def pixel(self, event: Any) -> tuple[float, float]:
        """Where the mouse is in the slice, brought into it."""
        pixel = self.plane.pixel(self.layer.world_to_data(event.position[-3:]))
        # Voxels reach half a step beyond their centres: a line may end at the outer face of the scan.
        row, column = (min(max(x, -0.5), n - 0.5) for x, n in zip(pixel, self.plane.size, strict=True))
        return row, column


@dataclass(eq=False)
class _Laid:
    """A line that is being laid: one end stays, the other follows the mouse."""

    ground: _Ground
    start: tuple[float, float]
    end: tuple[float, float]
    measure: str = ""
    """Of the line that was drawn before, whose end is dragged."""
    moved: bool = False

    def shown(self) -> MeasureLine:
        """As it is now."""
        return MeasureLine(self.measure, self.ground.plane.places(np.array([self.start, self.end], np.float64)))


def _painted_on(layer: Any) -> TypeGuard[Labels]:
    """Whether a tool of a labels layer has the mouse."""
    return isinstance(layer, Labels) and str(layer.mode) != "pan_zoom"
