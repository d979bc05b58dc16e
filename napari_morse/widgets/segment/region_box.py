"""The region of interest: rectangles drawn in the viewer, and a first and last slice.

The first rectangle makes a box as deep as it is long; each further one, in whatever view, and each outline that is
dragged sets the two axes in view anew. The box is outlined on each of its slices, in every view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Layer, Shapes
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpinBox, QWidget

from napari_morse.errors import MorseError
from napari_morse.types import Roi, Scan
from napari_morse.widgets.base import Elided
from napari_morse.widgets.bridge import KEY, PALETTE, Carrier, display_axes, placement, roi_from_shapes, roi_shape_data

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
        self._drawn: int | None = None
        self._box: Roi | None = None
        self._kept: WeakKeyDictionary[Scan, tuple[Roi | None, tuple[int, int]]] = WeakKeyDictionary()
        """Box and slices of each scan that was in view before."""
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
        """The scan to draw on; what was drawn on another one comes back with it."""
        if scan is self._scan and scan is not None:
            self._refresh()
            return
        self._timer.stop()
        if self._scan is not None:
            self._take_in_drawn()  # drawn a moment ago, and not read yet
            self._kept[self._scan] = self._box, self._slices()
        self._drop_layer()
        self._scan = scan
        self._set_slices()
        if scan is not None and scan in self._kept:
            self._box, slices = self._kept.pop(scan)
            self._set_slices(*slices)
            self._timer.start(0)  # its outline comes when napari is done with the layers that brought the scan
        self._refresh()

    @property
    def roi(self) -> Roi | None:
        """The region in storage order, None for the whole scan."""
        return self._region()

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
        self._tell()

    def close_down(self) -> None:
        """Let go of the viewer."""
        self._timer.stop()
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._forget_layer()

    def _depth(self) -> int:
        return self._scan.grid.shape[display_axes(self._scan).order[0]] if self._scan is not None else 1

    def _slices(self) -> tuple[int, int]:
        return self.first.value(), self.last.value()

    def _set_slices(self, first: int = 0, last: int | None = None) -> None:
        end = self._depth() - 1
        for spin, value in ((self.first, first), (self.last, end if last is None else last)):
            with QSignalBlocker(spin):
                spin.setRange(0, end)
                spin.setValue(value)

    def _on_draw(self) -> None:
        if self._scan is None:
            return
        layer = self._layer
        if layer is None:
            layer = self._add_layer(self._scan)
            self._refresh()
        self._viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        self.text.say("Drag a rectangle over the structure.")

    def _add_layer(self, scan: Scan) -> Shapes:
        layer = self._layer = Shapes(
            ndim=3,
            name=f"region · {scan.stem}",
            edge_color=PALETTE[-1],
            edge_width=0.6,
            face_color="transparent",
            metadata={KEY: Carrier(scan, "roi")},
            **placement(scan),
        )
        self._viewer.add_layer(layer)
        layer.events.data.connect(self._on_drawn)
        return layer

    def _on_drawn(self, event: Any) -> None:
        action = str(getattr(event, "action", ""))
        if self._layer is None or action not in {"added", "changed", "removed"}:
            return
        if action == "removed":
            self._drawn = None
            self._box = None
            self._set_slices()
        else:
            self._drawn = int(tuple(event.data_indices)[-1])
        self._timer.start(0)

    def _on_slices(self) -> None:
        self._timer.start(0)

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:
            self._forget_layer()
            self._set_slices()
            self._timer.start(0)

    def _forget_layer(self) -> None:
        if self._layer is not None:
            self._layer.events.data.disconnect(self._on_drawn)
        self._layer, self._drawn, self._box = None, None, None

    def _drop_layer(self) -> None:
        layer: Layer | None = self._layer
        self._forget_layer()
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _read(self) -> None:
        """Take in what was drawn last, and show the box that it makes on each of its slices."""
        self._take_in_drawn()
        if self._box is not None and self._layer is None and self._scan is not None:
            active = self._viewer.layers.selection.active
            self._add_layer(self._scan).mode = "select"
            self._viewer.layers.selection.active = active
        if self._layer is not None and self._scan is not None:
            self._outline(self._layer, self._scan)
        self._tell()

    def _take_in_drawn(self) -> None:
        if self._layer is not None and self._scan is not None:
            try:
                self._take_in(self._layer, self._scan)
            except MorseError as error:
                show_warning(str(error))

    def _take_in(self, layer: Shapes, scan: Scan) -> None:
        drawn, self._drawn = self._drawn, None
        if drawn is None:
            return
        rectangle = np.asarray(layer.data[drawn])
        across = int(np.argmin(np.ptp(rectangle, axis=0)))
        with layer.events.data.blocker(self._on_drawn):
            layer.data = [rectangle]
        meant = display_axes(scan).roi_to_view(roi_from_shapes(layer, scan))
        start, stop = list(meant.start), list(meant.stop)
        if self._box is None:
            kept = _around(float(rectangle[0, across]), start, stop, across, _steps(scan))
        else:
            kept = self._box.start[across], self._box.stop[across]
        if across == 0 and (self._box is not None or self._slices() != (0, self._depth() - 1)):
            first, last = sorted(self._slices())
            kept = first, last + 1
        start[across], stop[across] = kept
        self._box = Roi((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
        self._set_slices(start[0], stop[0] - 1)
        layer.mode = "select"

    def _outline(self, layer: Shapes, scan: Scan) -> None:
        roi = self._region()
        outlines = roi_shape_data(roi, scan)[0] if roi is not None and self._box is not None else []
        with layer.events.data.blocker(self._on_drawn):
            layer.selected_data = set()
            layer.data = outlines

    def _tell(self) -> None:
        self.changed.emit(self._region())
        self._refresh()

    def _region(self) -> Roi | None:
        """The drawn box between the first and the last slice, None for the whole scan."""
        scan = self._scan
        if scan is None:
            return None
        axes = display_axes(scan)
        depth, rows, columns = (scan.grid.shape[a] for a in axes.order)
        first, last = sorted(self._slices())
        start, stop = (0, 0), (rows, columns)
        if self._box is not None:
            start, stop = self._box.start[1:], self._box.stop[1:]
        box = Roi((first, *start), (last + 1, *stop))
        return None if box == Roi((0, 0, 0), (depth, rows, columns)) else axes.roi_to_storage(box)

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
            self.text.say(f"{mm} mm", f"{voxels} voxels")


def _steps(scan: Scan) -> tuple[float, ...]:
    """Millimetres between voxels along the display axes."""
    return tuple(scan.grid.spacing[a] for a in display_axes(scan).order)


def _around(at: float, start: list[int], stop: list[int], across: int, steps: tuple[float, ...]) -> tuple[int, int]:
    """A rectangle alone says nothing of the axis across it: as many mm around it as its longer side has."""
    side = max((stop[a] - start[a]) * steps[a] for a in range(3) if a != across)
    half = side / steps[across] / 2
    return max(start[across], round(at - half)), min(stop[across], round(at + half) + 1)


def _row(host: QWidget, widgets: tuple[QWidget, ...]) -> None:
    layout = QHBoxLayout(host)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget, 0 if isinstance(widget, QLabel) else 1)
