"""The live wire on the canvas: clicks along an edge, a path that follows the cursor, nodes that can be dragged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.session.tools import Contour, Path, Pixel, changed
from napari_morse.widgets.base import UNDO
from napari_morse.widgets.bridge import BorrowedKeys, PlaneInView
from napari_morse.widgets.correct.wire_edges import Edges
from napari_morse.widgets.correct.wire_line import WireLine

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_morse.types import Array, Scan
    from napari_morse.widgets.case import Desk

WIRE_HINT = (
    "Click along the edge; nodes and the line can be dragged. Enter fills, Shift+Enter erases, Backspace takes a node "
    "back, Shift+click takes one away, Esc leaves."
)
WIRE_GONE = "The wire that was not filled is gone."
NO_CANVAS = "The live wire cannot be drawn in this viewer: use the polygon instead."
NEAR, BESIDE = 8.0, 5.0
"""Pixels of the screen within which a press takes hold of a node, and of the line."""
WIRE_CLICK_REACH = 3.0
"""Pixels of the screen that the mouse may move in a click."""


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
        self._wanted: Pixel | None = None
        self._line = WireLine(self._viewer)
        self._before = "pan_zoom"
        self._keys = BorrowedKeys(
            {
                "Enter": self.fill,
                "Shift-Enter": lambda: self.fill(erase=True),
                "Backspace": self.take_back,
                "Escape": self.leave,
                UNDO: self._undo,
            }
        )
        self._edges = Edges(self)
        self._edges.found.connect(self._on_edges)
        self._edges.failed.connect(lambda why: self.leave(f"The live wire cannot read this slice: {why}"))
        self._draw_soon = QTimer(self)
        self._draw_soon.setSingleShot(True)
        self._draw_soon.timeout.connect(self._draw)
        self._select_soon = QTimer(self)
        self._select_soon.setSingleShot(True)
        self._select_soon.timeout.connect(self._after_select)
        desk.changed.connect(self._on_desk)

    @property
    def active(self) -> bool:
        """Whether it takes the mouse."""
        return self._active

    @property
    def busy(self) -> bool:
        """Whether edges are being looked for."""
        return self._edges.runner.busy

    @property
    def stop_event(self) -> Any:
        """Set to cancel what runs, even when this is gone."""
        return self._edges.runner.stop_event

    def toggle(self) -> None:
        """Switch on or off."""
        if self._active:
            self.leave()
        else:
            self.start()

    def start(self) -> None:
        """Take the mouse; where nothing is corrected yet, correcting begins first."""
        desk = self._desk
        why = desk.blocked if desk.corrected is None else ("" if self._line.possible else NO_CANVAS)
        if why:
            self.said.emit(why)
            self.toggled.emit(False)
        if why or self._active:
            return
        if desk.corrected is None:
            desk.begin(self.start)
            return
        self._active, self._target = True, desk.corrected.layer
        self._viewer.layers.selection.active = self._target
        self._before = str(self._target.mode)
        self._target.mode = "pan_zoom"
        for callbacks, own in self._callbacks():
            callbacks.append(own)
        for target in (self._viewer, self._target):
            self._keys.take(target)
        for event, own in self._events():
            event.connect(own)
        self._on_pan()
        self._look()
        self.toggled.emit(True)
        if self._plane is not None:
            self.said.emit(WIRE_HINT)

    def leave(self, text: str = "") -> None:
        """Give the mouse back; what was not filled is dropped, and that is said."""
        if not self._active:
            return
        self._active = False
        self._edges.stop()
        target, begun = self._target, self._begun
        for event, own in self._events():
            event.disconnect(own)
        for callbacks, own in self._callbacks():
            if own in callbacks:
                callbacks.remove(own)
        self._keys.give_back()
        self._select_soon.stop()
        if target is not None and str(target.mode) == "pan_zoom":
            target.mode = self._before
        self._viewer.scene.camera.mouse_pan = getattr(self._viewer.layers.selection.active, "mouse_pan", True)
        self._drop()
        self._line.clear()
        self._target = None
        self.toggled.emit(False)
        self.said.emit(" ".join(part for part in (text, WIRE_GONE if begun else "") if part))

    @property
    def _begun(self) -> bool:
        return bool(self._clicks) or (self.contour is not None and bool(self.contour.nodes))

    def _callbacks(self) -> tuple[tuple[list[Any], Any], ...]:
        viewer: Any = self._viewer
        return (
            (viewer.mouse_drag_callbacks, self._on_press),
            (viewer.mouse_move_callbacks, self._on_move),
            (viewer.mouse_double_click_callbacks, self._on_double),
        )

    def _events(self) -> tuple[tuple[Any, Callable[..., None]], ...]:
        viewer: Any = self._viewer
        layers = viewer.layers
        moved = (layers.events.inserted, layers.events.removed, layers.events.reordered, viewer.canvas.grid.events)
        mode = () if self._target is None else ((self._target.events.mode, self._on_mode),)
        return (
            (viewer.dims.events, self._on_dims),
            (viewer.scene.camera.events.mouse_pan, self._on_pan),
            (layers.selection.events.active, self._on_select),
            *((event, self._soon) for event in moved),
            *mode,
        )

    # The slice

    def _look(self, why: str = "") -> None:
        """Look for edges in the slice that is in view, beside the window; ``why`` is said where a wire is lost."""
        if self._begun and why:
            self.said.emit(f"{why} {WIRE_GONE} {WIRE_HINT}")
        self._drop()
        desk = self._desk
        scan, layer = desk.scan, desk.scan_layer
        if scan is None or layer is None:
            return
        self._scan, self._plane = scan, desk.plane
        if self._plane is None:
            self.said.emit("The live wire works in slices: switch 3-D off, and go to a slice of the scan.")
            self._edges.stop()
        else:
            self._edges.seek(scan, self._plane, layer.data)

    def _on_edges(self, cost: Array) -> None:
        if not self._active or self._scan is None or self._plane is None:
            return
        self.contour = Contour(cost, self._plane.spacing(self._scan))
        clicks, self._clicks = self._clicks, []
        for at in clicks:
            self._add(at)
        self._soon()

    def _drop(self) -> None:
        self.contour, self._cursor, self._held, self._wanted, self._clicks = None, None, None, None, []
        self._draw_soon.stop()
        self._line.hide()

    # The mouse and the keys

    def _at(self, event: Any) -> tuple[float, float] | None:
        layer, plane = self._desk.scan_layer, self._plane
        if layer is None or plane is None:
            return None
        return plane.pixel(layer.world_to_data(event.position[-3:]))

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        at = first = self._at(event)
        if at is None or first is None or event.button != 1:
            return
        plane, contour, zoom = self._plane, self.contour, event.camera_zoom
        self._held = held = None if contour is None else contour.node_near(at, NEAR / zoom)
        if contour is not None and held is not None and "Shift" in event.modifiers:
            self._held = None
            contour.remove(held)
            self._soon()
            return
        path_index = None if contour is None or held is not None else contour.path_near(at, BESIDE / zoom)
        moved = False
        yield
        while event.type == "mouse_move":
            at = self._at(event) or at
            moved = moved or self._apart(first, at) * zoom > WIRE_CLICK_REACH
            if moved and contour is not None and self.contour is contour:
                if path_index is not None:
                    contour.insert(path_index, self._pixel(at))
                    self._held, held, path_index = path_index + 1, path_index + 1, None
                self._wanted = self._pixel(at)
                self._soon()
            yield
        self._release(plane, contour, at, held, moved)

    def _release(
        self, plane: PlaneInView | None, contour: Contour | None, at: tuple[float, float], held: int | None, moved: bool
    ) -> None:
        """The button is up; where the slice or the contour is another by now, there is nothing to do."""
        still, self._held = self._held, None
        self._soon()
        if not self._active or self._plane is not plane or (contour is not None and self.contour is not contour):
            return
        if held is None:
            self._add(at)
        elif still is not None and contour is not None:
            if moved:
                contour.move(still, self._pixel(at))
            elif still == 0 and len(contour.nodes) > 2:
                self.fill()

    def _on_move(self, _viewer: Any, event: Any) -> None:
        at = self._at(event)
        if at is not None and self.contour is not None and self.contour.nodes:
            self._cursor = self._pixel(at)
            self._soon()

    def _on_double(self, _viewer: Any, _event: Any) -> None:
        if self.contour is not None and len(self.contour.nodes) > 2:
            self.fill()  # the first of the two presses has set the last node

    def _apart(self, one: tuple[float, float], other: tuple[float, float]) -> float:
        """Millimetres between two pixels."""
        if self._plane is None or self._scan is None:
            return 0.0
        return float(np.hypot(*(np.subtract(one, other) * self._plane.spacing(self._scan))))

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
        self._held = None
        if self._clicks:
            self._clicks.pop()
        elif self.contour is not None:
            self.contour.take_back()
            self._soon()

    def _undo(self) -> None:
        """Ctrl+Z: a node, while there is one; else what was done to the mask."""
        if self._begun:
            self.take_back()
        elif self._desk.corrected is not None:
            self._desk.corrected.undo()

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
        labels = np.array(plane.of(self._target.data))
        inside = contour.filled()
        wanted = np.where(inside & (labels == label), 0, labels) if erase else np.where(inside, label, labels)
        change = changed(corrected.corrections.mask, *plane.stored(wanted))
        if change is None:
            contour.take_back()
            self.said.emit(f"Nothing changed: choose another structure, or move the wire. {WIRE_HINT}")
            return
        text = self._desk.apply(change.box, change.values, "live wire")
        self.contour = Contour(contour.cost, contour.spacing)
        self._cursor, self._held = None, None
        self._draw()
        self.said.emit(text or f"{int(np.count_nonzero(wanted != labels))} voxels changed. {WIRE_HINT}")

    # What is shown

    def _soon(self, _event: Any = None) -> None:
        """Draw in the next turn of the event loop: once, however often the mouse moved until then."""
        if self._active and not self._draw_soon.isActive():
            self._draw_soon.start(0)

    def _draw(self) -> None:
        contour, scan = self.contour, self._scan
        if contour is None or scan is None or not self._active:
            return
        wanted, self._wanted = self._wanted, None
        if self._held is not None and wanted is not None:
            contour.move(self._held, wanted)
        line: Path = contour.line()
        if self._cursor is not None and contour.nodes and self._held is None:
            line = np.concatenate([line, contour.preview(self._cursor)[1:]])
        self._line.show(scan, line, np.array(contour.nodes, np.int64).reshape(-1, 2), self._held)

    # What happens

    def _on_dims(self, _event: Any = None) -> None:
        if self._active and self._desk.plane != self._plane:
            self._look("Another slice.")

    def _on_mode(self, _event: Any = None) -> None:
        if self._active and self._target is not None and str(self._target.mode) != "pan_zoom":
            self.leave()

    def _on_pan(self, _event: Any = None) -> None:
        """The view stays where it is: napari would let the mouse move it whenever a layer is selected."""
        if self._active and self._viewer.scene.camera.mouse_pan:
            self._viewer.scene.camera.mouse_pan = False

    def _on_select(self, _event: Any = None) -> None:
        self._select_soon.start(0)  # what is selected only in passing does not count

    def _after_select(self) -> None:
        """Another layer has keys and a mouse of its own: take the keys from it, or leave the mouse to it."""
        selected = self._viewer.layers.selection.active
        if not self._active or selected is None or selected is self._target:
            return
        if str(selected.mode) == "pan_zoom":
            self._keys.take(selected)
        else:
            self.leave("The layer that was selected takes the mouse.")

    def _on_desk(self) -> None:
        if self._active:
            corrected = self._desk.corrected
            if corrected is None or corrected.layer is not self._target:
                self.leave()
            elif self._desk.scan is not self._scan:
                self._look("Another scan.")

    def close_down(self) -> None:
        """Let go of the viewer."""
        self.leave()
        self._desk.changed.disconnect(self._on_desk)
