"""The live wire on the canvas: clicks along an edge, a path that follows the cursor, nodes that can be dragged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError
from napari_morse.session.tools import edge_cost
from napari_morse.types import Array
from napari_morse.widgets.base import UNDO, JobRunner, Work
from napari_morse.widgets.bridge import BorrowedKeys
from napari_morse.widgets.correct.wire_drawing import WIRE_HINT, NoWire, Press, ScanSlice, WaitingWire
from napari_morse.widgets.correct.wire_line import WireLine

if TYPE_CHECKING:
    from napari_morse.widgets.case import ActiveCase, CorrectedLayer

WIRE_GONE = "The wire that was not filled is gone."
NO_CANVAS = "The live wire cannot be drawn in this viewer: use the polygon instead."


class LiveWire(QObject):
    """Switched on, it takes the mouse until Esc; what is filled is one act on the corrected mask.

    Parameters
    ----------
    active_case
        What is under work.
    parent
        Owner.
    """

    toggled = Signal(bool)
    """Switched on or off."""
    said = Signal(str)
    """A hint, or what was done."""

    def __init__(self, active_case: ActiveCase, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._active_case = active_case
        self.line = WireLine(active_case.viewer)
        """Shows the wire."""
        self.edges = Edges(self)
        """Finds what it runs along."""
        self.edges.failed.connect(lambda why: self.leave(f"The live wire cannot read this slice: {why}"))
        # They outlive a use: napari goes on with a press that has begun in it, and a timer that is gone would raise.
        self.draw_soon, self.select_soon = QTimer(self), QTimer(self)
        for timer in (self.draw_soon, self.select_soon):
            timer.setSingleShot(True)
        self._use: _WireInUse | None = None

    @property
    def active(self) -> bool:
        """Whether it takes the mouse."""
        return self._use is not None

    @property
    def hint(self) -> str:
        """How it is used, while it is."""
        return WIRE_HINT if self.active else ""

    @property
    def drawn(self) -> NoWire:
        """What is drawn in the slice in view."""
        return NoWire() if self._use is None else self._use.wire

    @property
    def busy(self) -> bool:
        """Whether edges are being looked for."""
        return self.edges.runner.busy

    @property
    def stop_event(self) -> Any:
        """Set to cancel what runs, even when this is gone."""
        return self.edges.runner.stop_event

    def toggle(self) -> None:
        """Switch on or off."""
        if self.active:
            self.leave()
        else:
            self.start()

    def start(self) -> None:
        """Take the mouse; where nothing is corrected yet, correcting begins first."""
        corrected = self._active_case.corrected
        if corrected is None:
            self._begin_first()
        elif not self.line.possible:
            self._refuse(NO_CANVAS)
        elif not self.active:
            self._take_up(corrected)

    def _begin_first(self) -> None:
        if self._active_case.blocked:
            self._refuse(self._active_case.blocked)
        else:
            self._active_case.begin(self.start)

    def _refuse(self, why: str) -> None:
        self.said.emit(why)
        self.toggled.emit(False)

    def _take_up(self, corrected: CorrectedLayer) -> None:
        self._use = use = _WireInUse(self._active_case, corrected, self)
        in_view = use.look()
        self.toggled.emit(True)
        if in_view:
            self.said.emit(WIRE_HINT)

    def leave(self, text: str = "") -> None:
        """Give the mouse back; what was not filled is dropped, and that is said."""
        use, self._use = self._use, None
        if use is None:
            return
        begun = use.wire.begun
        use.end()
        self.toggled.emit(False)
        self.said.emit(" ".join(part for part in (text, WIRE_GONE if begun else "") if part))

    def close_down(self) -> None:
        """Let go of the viewer."""
        self.leave()


class _WireInUse:
    """The live wire from when it takes the mouse until it gives it back.

    Parameters
    ----------
    active_case
        What is under work.
    corrected
        The mask that is drawn on all the while.
    tool
        Whose use this is.
    """

    def __init__(self, active_case: ActiveCase, corrected: CorrectedLayer, tool: LiveWire) -> None:
        self._active_case, self._viewer, self._corrected = active_case, active_case.viewer, corrected
        self._tool = tool
        self.wire = NoWire()
        self._press = Press()
        self._scan = active_case.scan
        self._viewer.layers.selection.active = corrected.layer
        self._mode_before = str(corrected.layer.mode)
        # Else the layer's own tool would draw with the same press.
        corrected.layer.mode = "pan_zoom"
        for callbacks, own in self._callbacks():
            callbacks.append(own)
        self._keys = BorrowedKeys(
            {
                "Enter": self.fill,
                "Shift-Enter": lambda: self.fill(erase=True),
                "Backspace": self.take_back,
                "Escape": tool.leave,
                UNDO: self._undo,
            }
        )
        # On the layer too: napari asks the keys of the selected layer before those of the viewer.
        for target in (self._viewer, corrected.layer):
            self._keys.take(target)
        for event, slot in self._events():
            event.connect(slot)
        self._on_pan()

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
        return (
            (viewer.dims.events, self._on_dims),
            (viewer.scene.camera.events.mouse_pan, self._on_pan),
            (layers.selection.events.active, self._on_select),
            *((event, self._soon) for event in moved),
            (self._corrected.layer.events.mode, self._on_mode),
            (self._tool.edges.found, self._on_edges),
            (self._tool.draw_soon.timeout, self._draw),
            (self._tool.select_soon.timeout, self._after_select),
            (self._active_case.changed, self._on_case),
        )

    def end(self) -> None:
        """Give the mouse, the keys and the view back; what was not filled is gone."""
        layer = self._corrected.layer
        self._tool.edges.stop()
        # Before the mode is set back, which would be heard as the person's choice of another tool.
        for event, slot in self._events():
            event.disconnect(slot)
        for callbacks, own in self._callbacks():
            if own in callbacks:
                callbacks.remove(own)
        self._keys.give_back()
        self._tool.select_soon.stop()
        if str(layer.mode) == "pan_zoom":
            layer.mode = self._mode_before
        # As the selected layer wants it, not as it was: another layer may be selected by now.
        self._viewer.scene.camera.mouse_pan = getattr(self._viewer.layers.selection.active, "mouse_pan", True)
        self._drop()
        self._tool.line.clear()

    # The slice

    def look(self, why: str = "") -> bool:
        """Look for edges in the slice that is in view; ``why`` is said where a wire is lost. Whether there is one."""
        if self.wire.begun and why:
            self._tool.said.emit(f"{why} {WIRE_GONE} {WIRE_HINT}")
        self._drop()
        self._scan = self._active_case.scan
        ground = ScanSlice.in_view(self._active_case)
        if ground is None:
            self._tool.said.emit("The live wire works in slices: switch 3-D off, and go to a slice of the scan.")
            self._tool.edges.stop()
            return False
        self.wire = WaitingWire(ground)
        self._tool.edges.seek(ground)
        return True

    def _on_edges(self, cost: Array) -> None:
        self.wire = self.wire.on_edges(cost)
        self._soon()

    def _drop(self) -> None:
        # napari keeps the generator of a press that is under way: what it goes on with must be of no wire.
        self.wire, self._press = NoWire(), Press()
        self._tool.draw_soon.stop()
        self._tool.line.hide()

    # The mouse and the keys

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        if event.button != 1:
            return
        self._press = self.wire.press(event)
        self._soon()
        yield
        while event.type == "mouse_move":
            self._press = self._press.moved(event)
            self._soon()
            yield
        released, self._press = self._press, Press()
        self._soon()
        if released.release(self.wire):
            self.fill()

    def _on_move(self, _viewer: Any, event: Any) -> None:
        if self.wire.begun:
            self.wire.hover(event)
            self._soon()

    def _on_double(self, _viewer: Any, _event: Any) -> None:
        if self.wire.fillable:
            self.fill()  # the first of the two presses has set the last node

    def take_back(self) -> None:
        """Take the last node back."""
        self._press = self._press.loosened()
        self.wire.take_back()
        self._soon()

    def _undo(self) -> None:
        """Ctrl+Z: a node, while there is one; else what was done to the mask."""
        if self.wire.begun:
            self.take_back()
        else:
            self._corrected.undo()

    def fill(self, erase: bool = False) -> None:
        """Close the contour, and give what it encloses to the label under work; or take it away from it."""
        if self._active_case.corrected is not self._corrected:
            return
        contour = self.wire.contour
        sentence = self.wire.fill(self._active_case, self._corrected, erase)
        if self.wire.contour is not contour:
            self._press = Press()  # it was on the contour that is filled
            self._draw()
        if sentence:
            self._tool.said.emit(sentence)

    # What is shown

    def _soon(self, _event: Any = None) -> None:
        """Draw in the next turn of the event loop: once, however often the mouse moved until then."""
        if not self._tool.draw_soon.isActive():
            self._tool.draw_soon.start(0)

    def _draw(self) -> None:
        self._press.carry()
        self.wire.draw(self._tool.line, self._press.held)

    # What happens

    def _on_dims(self, _event: Any = None) -> None:
        if self._active_case.plane != self.wire.plane:
            self.look("Another slice.")

    def _on_mode(self, _event: Any = None) -> None:
        if str(self._corrected.layer.mode) != "pan_zoom":
            self._tool.leave()

    def _on_pan(self, _event: Any = None) -> None:
        """The view stays where it is: napari would let the mouse move it whenever a layer is selected."""
        if self._viewer.scene.camera.mouse_pan:
            self._viewer.scene.camera.mouse_pan = False

    def _on_select(self, _event: Any = None) -> None:
        self._tool.select_soon.start(0)  # what is selected only in passing does not count

    def _after_select(self) -> None:
        """Another layer has keys and a mouse of its own: take the keys from it, or leave the mouse to it."""
        selected = self._viewer.layers.selection.active
        if selected is None or selected is self._corrected.layer:
            return
        if str(selected.mode) == "pan_zoom":
            self._keys.take(selected)
        else:
            self._tool.leave("The layer that was selected takes the mouse.")

    def _on_case(self) -> None:
        if self._active_case.corrected is not self._corrected:
            self._tool.leave()
        elif self._active_case.scan is not self._scan:
            self.look("Another scan.")


class Edges(QObject):
    """Finds what steps cost in the slice that was asked for last.

    Parameters
    ----------
    parent
        Owner.
    """

    found = Signal(object)
    """(R, C) of `edge_cost`, of the slice that was asked for last."""
    failed = Signal(str)
    """Why it was not found."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.runner = JobRunner("morse-wire", self)
        self._sought: ScanSlice | None = None
        self.runner.succeeded.connect(self._on_found)
        self.runner.failed.connect(self._on_failed)

    def seek(self, sought: ScanSlice) -> None:
        """Look for the edges of a slice; `found` follows, unless something else is asked for before."""
        self._sought = sought
        if not self.runner.busy:
            self.runner.start(_work(sought))

    def stop(self) -> None:
        """Nothing is looked for any more."""
        self._sought = None
        self.runner.cancel()

    def _on_found(self, result: tuple[ScanSlice, Array]) -> None:
        sought, cost = result
        # The very slice that was asked for last: edges that come late are of a slice that is no longer in view.
        if self._sought is sought:
            self._sought = None
            self.found.emit(cost)
        else:
            self._go_on()

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, CancelledError):
            self._go_on()
        elif self._sought is not None:
            self._sought = None
            self.failed.emit(str(error))

    def _go_on(self) -> None:
        """Look for what was asked for while something else was being looked for."""
        if self._sought is not None:
            self.runner.start(_work(self._sought))


def _work(sought: ScanSlice) -> Work:
    # Taken out here, in the window's thread: the other thread has the array alone, and asks no layer.
    plane, spacing, data = sought.plane, sought.spacing, sought.layer.data
    return lambda _tell, _cancelled: (sought, edge_cost(plane.of(data), spacing))
