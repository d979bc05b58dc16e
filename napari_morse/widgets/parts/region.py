"""The region of interest: a rectangle drawn in the viewer, and a first and last slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Layer, Shapes
from qtpy.QtCore import QObject, QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpinBox, QWidget

from napari_morse.errors import MorseError
from napari_morse.types import Roi, Scan
from napari_morse.widgets.layers import KEY, PALETTE, Carrier, carrier_of, display_axes, placement, roi_from_shapes
from napari_morse.widgets.parts.text import Elided

if TYPE_CHECKING:
    from napari.components import ViewerModel

NO_SCAN = "Open a scan first: a region is drawn on it."


class RegionBox(QObject):
    """Draws a box on a scan and reads it back.

    Its `buttons`, `slices` and `text` are rows of the tab's form.

    Parameters
    ----------
    viewer
        Where the box is drawn.
    parent
        Owner.
    """

    changed = Signal(object)
    """The new `Roi`, or None for the whole scan."""

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._scan: Scan | None = None
        self._layer: Shapes | None = None
        self.buttons, self.slices = QWidget(parent), QWidget(parent)
        self.draw = QPushButton("Draw a box", self.buttons)
        self.clear = QPushButton("Whole scan", self.buttons)
        self.first, self.last = QSpinBox(self.slices), QSpinBox(self.slices)
        self.text = Elided(parent=parent)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._read)
        _row(self.buttons, (self.draw, self.clear))
        _row(self.slices, (self.first, QLabel("to", self.slices), self.last))
        self.draw.clicked.connect(self._on_draw)
        self.clear.clicked.connect(self.reset)
        self.first.valueChanged.connect(self._on_slices)
        self.last.valueChanged.connect(self._on_slices)
        viewer.layers.events.removed.connect(self._on_removed)
        self.set_scan(None)

    def set_scan(self, scan: Scan | None) -> None:
        """The scan to draw on; another scan ends the drawing on the last one."""
        if scan is not self._scan or scan is None:
            self._drop_layer()
            self._scan = scan
            self._set_slices()
        self._refresh()

    def set_enabled(self, why_not: str) -> None:
        """Let the region be changed, or say why it cannot be."""
        why = why_not or ("" if self._scan is not None else NO_SCAN)
        drawn = self._layer is not None
        sliced = self._scan is not None and self._slices() != (0, self._depth() - 1)
        for widget, tip in (
            (self.draw, "Draw a rectangle in the viewer: only what is inside it is read."),
            (self.first, "First slice to read, downward from 0."),
            (self.last, "Last slice to read."),
        ):
            widget.setEnabled(not why)
            widget.setToolTip(why or tip)
        self.clear.setEnabled(not why and (drawn or sliced))
        self.clear.setToolTip(why or ("Read the whole scan." if drawn or sliced else "The whole scan is read already."))

    def reset(self) -> None:
        """Back to the whole scan; the drawn box goes."""
        self._drop_layer()
        self._set_slices()
        self._read()

    def close_down(self) -> None:
        """Let go of the viewer."""
        self._timer.stop()
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._forget_layer()

    def adopt(self, layer: Shapes) -> None:
        """Read the region from ``layer`` from now on."""
        self._forget_layer()
        self._layer = layer
        layer.events.data.connect(self._on_drawn)
        self._read()

    def _depth(self) -> int:
        return self._scan.grid.shape[display_axes(self._scan).order[0]] if self._scan is not None else 1

    def _slices(self) -> tuple[int, int]:
        return self.first.value(), self.last.value()

    def _set_slices(self) -> None:
        last = self._depth() - 1
        for spin, value in ((self.first, 0), (self.last, last)):
            with QSignalBlocker(spin):
                spin.setRange(0, last)
                spin.setValue(value)

    def _on_draw(self) -> None:
        if self._scan is None:
            return
        layer = self._layer
        if layer is None:
            layer = Shapes(
                ndim=3,
                name=f"region · {self._scan.stem}",
                edge_color=PALETTE[-1],
                edge_width=0.6,
                face_color="transparent",
                metadata={KEY: Carrier(self._scan, "roi")},
                **placement(self._scan),
            )
            self._viewer.add_layer(layer)
            self.adopt(layer)
        self._viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        self.text.say("Drag a rectangle over the structure.")

    def _on_drawn(self, event: Any) -> None:
        if self._layer is not None and str(getattr(event, "action", "")) in {"added", "changed", "removed"}:
            self._timer.start(0)

    def _on_slices(self) -> None:
        self._timer.start(0)

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:
            self._forget_layer()
            self._timer.start(0)

    def _forget_layer(self) -> None:
        if self._layer is not None:
            self._layer.events.data.disconnect(self._on_drawn)
        self._layer = None

    def _drop_layer(self) -> None:
        layer: Layer | None = self._layer
        self._forget_layer()
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _read(self) -> None:
        self.changed.emit(self._region())
        self._refresh()

    def _region(self) -> Roi | None:
        """What is drawn: the last rectangle counts, a new one replaces it."""
        layer, scan = self._layer, self._scan
        if scan is None:
            return None
        if layer is not None and len(layer.data) > 1 and carrier_of(layer) is not None:
            with layer.events.data.blocker(self._on_drawn):
                layer.data = [layer.data[-1]]
        if layer is None or not len(layer.data):
            return self._slab(scan)
        try:
            roi = roi_from_shapes(layer, scan, self._slices())
        except MorseError as error:
            self.text.say(str(error))
            return None
        layer.mode = "select"
        return roi

    def _slab(self, scan: Scan) -> Roi | None:
        first, last = sorted(self._slices())
        if (first, last) == (0, self._depth() - 1):
            return None
        axes = display_axes(scan)
        _, rows, columns = (scan.grid.shape[a] for a in axes.order)
        return axes.roi_back(Roi((first, 0, 0), (last + 1, rows, columns)))

    def _refresh(self) -> None:
        self.set_enabled("")

    def describe(self, roi: Roi | None) -> None:
        """Say how large the region is, in voxels and mm."""
        if self._scan is None:
            self.text.say("")
        elif roi is None:
            self.text.say("whole scan")
        else:
            axes = display_axes(self._scan)
            voxels = " × ".join(str(roi.shape[a]) for a in reversed(axes.order))
            mm = " × ".join(f"{roi.shape[a] * self._scan.grid.spacing[a]:.0f}" for a in reversed(axes.order))
            self.text.say(f"{voxels} voxels ({mm} mm)")


def _row(host: QWidget, widgets: tuple[QWidget, ...]) -> None:
    layout = QHBoxLayout(host)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget, 0 if isinstance(widget, QLabel) else 1)
