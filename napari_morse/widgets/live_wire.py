"""The live wire on the canvas: clicks along an edge, a path that follows the cursor, nodes that can be dragged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError
from napari_morse.session.tools.livewire import Contour, Path, Pixel, edge_cost
from napari_morse.widgets.layers import KEY, PALETTE, Carrier, placement
from napari_morse.widgets.plane_of import PlaneInView, plane_in_view
from napari_morse.widgets.workers import JobRunner, Work

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_morse.types import Array, Scan
    from napari_morse.widgets.desk import Desk

HINT = "Click along the edge. Enter fills, Shift+Enter erases, Backspace takes a node back, Esc leaves."
NEAR = 8.0
"""Pixels of the screen within which a press takes hold of a node."""
NODE, LINE = 2.4, 0.9
"""Diameters in voxels."""
COLOUR, HELD = PALETTE[6], PALETTE[5]


class LiveWire(QObject):
    """Switched on, it takes the mouse until Esc; what is filled is one act on the corrected mask.

    Parameters
    ----------
    desk
        What is under work.
    parent
        Owner.
    """

    toggled = Signal(bool)
    """Switched on or off."""
    said = Signal(str)
    """A hint, or what was done."""

    def __init__(self, desk: Desk, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk, self._viewer = desk, desk.viewer
        self._active = False
        self._plane: PlaneInView | None = None
        self._scan: Scan | None = None
        self._target: Labels | None = None
        self.contour: Contour | None = None
        self._clicks: list[tuple[float, float]] = []
        self._cursor: Pixel | None = None
        self._held: int | None = None
        self._layer: Points | None = None
        self._before = "pan_zoom"
        self._runner = JobRunner("morse-wire", self)
        self._runner.succeeded.connect(self._on_cost)
        self._runner.failed.connect(self._on_no_cost)
        self._draw_soon = QTimer(self)
        self._draw_soon.setSingleShot(True)
        self._draw_soon.timeout.connect(self._draw)
        desk.changed.connect(self._on_desk)

    @property
    def active(self) -> bool:
        """Whether it takes the mouse."""
        return self._active

    @property
    def busy(self) -> bool:
        """Whether edges are being looked for."""
        return self._runner.busy

    @property
    def stop_event(self) -> Any:
        """Set to cancel what runs, even when this is gone."""
        return self._runner.stop_event

    def toggle(self) -> None:
        """Switch on or off."""
        if self._active:
            self.leave()
        else:
            self.start()

    def start(self) -> None:
        """Take the mouse; where nothing is corrected yet, correcting begins first."""
        desk = self._desk
        if desk.corrected is None:
            if desk.blocked:
                self.said.emit(desk.blocked)
                self.toggled.emit(False)
            else:
                desk.begin(self.start)
            return
        if self._active:
            return
        self._active, self._target = True, desk.corrected.layer
        self._viewer.layers.selection.active = self._target
        self._before = str(self._target.mode)
        self._target.mode = "pan_zoom"
        self._viewer.scene.camera.mouse_pan = False
        for callbacks, own in self._callbacks():
            callbacks.append(own)
        for target in (self._viewer, self._target):
            for key, act in self._keys().items():
                target.bind_key(key, act, overwrite=True)
        self._viewer.dims.events.connect(self._on_dims)
        self._target.events.mode.connect(self._on_mode)
        self._look()
        self.toggled.emit(True)
        self.said.emit(HINT)

    def leave(self, text: str = "") -> None:
        """Give the mouse back; what was not filled is dropped."""
        if not self._active:
            return
        self._active = False
        self._runner.cancel()
        target = self._target
        self._viewer.dims.events.disconnect(self._on_dims)
        for callbacks, own in self._callbacks():
            if own in callbacks:
                callbacks.remove(own)
        for each in (self._viewer, target):
            for key in self._keys():
                if each is not None:
                    each.bind_key(key, None)
        if target is not None:
            target.events.mode.disconnect(self._on_mode)
            if str(target.mode) == "pan_zoom":
                target.mode = self._before
            self._viewer.scene.camera.mouse_pan = target.mouse_pan
        self._drop()
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = self._target = None
        self.toggled.emit(False)
        self.said.emit(text)

    def _callbacks(self) -> tuple[tuple[list[Any], Any], ...]:
        viewer: Any = self._viewer
        return (
            (viewer.mouse_drag_callbacks, self._on_press),
            (viewer.mouse_move_callbacks, self._on_move),
            (viewer.mouse_double_click_callbacks, self._on_double),
        )

    def _keys(self) -> dict[str, Callable[[Any], None]]:
        return {
            "Enter": lambda _: self.fill(),
            "Shift-Enter": lambda _: self.fill(erase=True),
            "Backspace": lambda _: self.take_back(),
            "Escape": lambda _: self.leave(),
        }

    # The slice

    def _look(self) -> None:
        """Look for edges in the slice that is in view, beside the window."""
        self._drop()
        desk = self._desk
        scan, layer = desk.scan, desk.scan_layer
        if scan is None or layer is None:
            return
        self._scan, self._plane = scan, plane_in_view(self._viewer, scan, layer)
        if self._plane is None:
            self.said.emit("The live wire works in slices: switch 3-D off, and go to a slice of the scan.")
        elif not self._runner.busy:
            self._runner.start(_cost(self._plane, layer.data, self._plane.spacing(scan)))

    def _on_cost(self, found: tuple[PlaneInView, Array]) -> None:
        plane, cost = found
        if not self._active or self._scan is None:
            return
        if plane != self._plane:
            self._look()
            return
        self.contour = Contour(cost, plane.spacing(self._scan))
        clicks, self._clicks = self._clicks, []
        for pixel in clicks:
            self._add(pixel)
        self._draw_soon.start(0)

    def _on_no_cost(self, error: Exception) -> None:
        if not isinstance(error, CancelledError):
            self.leave(f"The live wire cannot read this slice: {error}")
        elif self._active and self.contour is None:
            self._look()

    def _drop(self) -> None:
        self.contour, self._cursor, self._held, self._clicks = None, None, None, []
        self._draw_soon.stop()
        if self._layer is not None and len(self._layer.data):
            self._layer.data = np.zeros((0, 3))

    # The mouse and the keys

    def _at(self, event: Any) -> tuple[float, float] | None:
        layer, plane = self._desk.scan_layer, self._plane
        if layer is None or plane is None:
            return None
        return plane.pixel(layer.world_to_data(event.position[-3:]))

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        at = self._at(event)
        if at is None or event.button != 1:
            return
        self._held = self._node_near(at, event)
        moved = False
        yield
        while event.type == "mouse_move":
            at = self._at(event) or at
            moved = True
            if self._held is not None and self.contour is not None:
                self.contour.move(self._held, self._pixel(at))
                self._draw_soon.start(0)
            yield
        held, self._held = self._held, None
        if held is None:
            self._add(at)
        elif held == 0 and not moved and self.contour is not None and len(self.contour.nodes) > 2:
            self.fill()
        self._draw_soon.start(0)

    def _on_move(self, _viewer: Any, event: Any) -> None:
        at = self._at(event)
        if at is not None and self.contour is not None and self.contour.nodes:
            self._cursor = self._pixel(at)
            if not self._draw_soon.isActive():
                self._draw_soon.start(0)

    def _on_double(self, _viewer: Any, _event: Any) -> None:
        if self.contour is not None and len(self.contour.nodes) > 2:
            self.fill()  # the first of the two presses has set the last node

    def _node_near(self, at: tuple[float, float], event: Any) -> int | None:
        if self.contour is None or not self.contour.nodes or self._scan is None:
            return None
        away = (np.array(self.contour.nodes) - at) * self.contour.spacing
        far = np.hypot(*away.T) * event.camera_zoom
        nearest = int(far.argmin())
        return nearest if far[nearest] <= NEAR else None

    def _pixel(self, at: tuple[float, float]) -> Pixel:
        rows, columns = self._plane.size if self._plane is not None else (1, 1)
        return min(max(round(at[0]), 0), rows - 1), min(max(round(at[1]), 0), columns - 1)

    def _add(self, at: tuple[float, float]) -> None:
        if self.contour is None:
            self._clicks.append(at)  # edges are still being looked for
            return
        pixel = self._pixel(at)
        if not self.contour.nodes or self.contour.nodes[-1] != pixel:
            self.contour.add(pixel)

    def take_back(self) -> None:
        """Take the last node back."""
        if self.contour is not None:
            self.contour.take_back()
            self._draw_soon.start(0)

    def fill(self, erase: bool = False) -> None:
        """Close the contour, and give what it encloses to the label under work; or take it away from it."""
        contour, plane, corrected = self.contour, self._plane, self._desk.corrected
        if contour is None or plane is None or corrected is None or corrected.layer is not self._target:
            return
        label = self._desk.label
        if len(contour.nodes) < 3 or not contour.close():
            self.said.emit("Set three nodes at least, then press Enter.")
            return
        if not label:
            self.said.emit("Choose a structure first: the background is not drawn with the wire.")
            contour.take_back()
            return
        now = np.array(plane.of(self._target.data))
        inside = contour.filled()
        wanted = np.where(inside & (now == label), 0, now) if erase else np.where(inside, label, now)
        box, values = plane.stored(wanted)
        text = self._desk.apply(box, values, "live wire")
        self.contour = Contour(contour.cost, contour.spacing)
        self._cursor = None
        self._draw()
        self.said.emit(text or f"{int(np.count_nonzero(wanted != now))} voxels changed. {HINT}")

    # What is shown

    def _draw(self) -> None:
        contour, plane = self.contour, self._plane
        if contour is None or plane is None or not self._active:
            return
        line: Path = contour.line()
        if self._cursor is not None and contour.nodes and not contour.closed and self._held is None:
            line = np.concatenate([line, contour.preview(self._cursor)[1:]])
        nodes = np.array(contour.nodes, np.int64).reshape(-1, 2)
        places = plane.places(np.concatenate([line, nodes])).astype(float)
        size = np.r_[np.full(len(line), LINE), np.full(len(nodes), NODE)]
        layer = self._shown()
        if layer is None:
            return
        layer.selected_data = set()
        layer.data = places
        layer.editable = False  # new data makes it editable again
        if len(places):
            layer.size = size

    def _shown(self) -> Points | None:
        if self._layer is not None and self._layer in self._viewer.layers:
            return self._layer
        scan = self._scan
        if scan is None:
            return None
        selected = set(self._viewer.layers.selection)
        self._layer = Points(
            np.zeros((0, 3)), name="live wire", metadata={KEY: Carrier(scan, "tool")}, face_color=COLOUR,
            border_color="black", border_width=0.08, size=LINE, symbol="disc", **placement(scan),
        )  # fmt: skip
        self._viewer.add_layer(self._layer)
        self._layer.editable = False
        self._viewer.layers.selection = selected
        return self._layer

    # What happens

    def _on_dims(self, _event: Any = None) -> None:
        scan, layer = self._desk.scan, self._desk.scan_layer
        if not self._active or scan is None or layer is None:
            return
        if plane_in_view(self._viewer, scan, layer) != self._plane:
            begun = self.contour is not None and bool(self.contour.nodes)
            self._look()
            if begun:
                self.said.emit(f"Another slice: the wire that was not filled is gone. {HINT}")

    def _on_mode(self, _event: Any = None) -> None:
        if self._active and self._target is not None and str(self._target.mode) != "pan_zoom":
            self.leave()

    def _on_desk(self) -> None:
        if self._active:
            corrected = self._desk.corrected
            if corrected is None or corrected.layer is not self._target:
                self.leave()
            elif self._desk.scan is not self._scan:
                self._look()

    def close_down(self) -> None:
        """Let go of the viewer."""
        self.leave()
        self._desk.changed.disconnect(self._on_desk)


def _cost(plane: PlaneInView, data: Any, spacing: tuple[float, float]) -> Work:
    return lambda _tell, _cancelled: (plane, edge_cost(plane.of(data), spacing))
