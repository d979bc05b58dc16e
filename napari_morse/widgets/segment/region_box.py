"""The region of interest: rectangles drawn in the viewer, and a first and last slice.

The first rectangle makes a box as deep as it is long; each further one, in whatever view, and each outline that is
dragged sets the two axes in view anew. The box is outlined on each of its slices, in every view.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Shapes
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpinBox, QWidget

from napari_morse.errors import MorseError
from napari_morse.types import Array, Roi, Scan
from napari_morse.widgets.base import Elided
from napari_morse.widgets.bridge import KEY, PALETTE, Carrier, display_axes, placement, roi_from_shapes, roi_shape_data

if TYPE_CHECKING:
    from napari.components import ViewerModel

NO_SCAN_TO_DRAW_ON = "Open a scan first: a region is drawn on it."


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
        self._regions: WeakKeyDictionary[Scan, _Region] = WeakKeyDictionary()
        """Of each scan that is or was in view."""
        self.buttons, self.slices = QWidget(parent), QWidget(parent)
        self.draw = QPushButton("Draw a box", self.buttons)
        self.clear = QPushButton("Whole scan", self.buttons)
        self.first, self.last = QSpinBox(self.slices), QSpinBox(self.slices)
        self.text = Elided(parent=parent)
        _row(self.buttons, (self.draw, self.clear))
        _row(self.slices, (self.first, QLabel("to", self.slices), self.last))
        self._here = _NothingInView(self)
        self.set_enabled("")

    def set_scan(self, scan: Scan | None) -> None:
        """The scan to draw on; what was drawn on another one comes back with it."""
        if not self._here.lies_on(scan):
            self._here.leave()
            self._here = _NothingInView(self) if scan is None else self._region_in_view(scan)
        self.set_enabled("")

    def _region_in_view(self, scan: Scan) -> _RegionInView:
        if scan not in self._regions:
            self._regions[scan] = _Region(scan)
        return _RegionInView(self._viewer, scan, self._regions[scan], self)

    @property
    def roi(self) -> Roi | None:
        """The region in storage order, None for the whole scan."""
        return self._here.roi

    def set_enabled(self, why_not: str) -> None:
        """Let the region be changed, or say why it cannot be."""
        why, restricted = why_not or self._here.blocked, self._here.restricted
        for widget, tip in (
            (self.draw, "Draw a rectangle in the viewer: only what is inside it is read."),
            (self.first, "First slice to read, downward from 0."),
            (self.last, "Last slice to read."),
        ):
            widget.setEnabled(not why)
            widget.setToolTip(why or tip)
        self.clear.setEnabled(not why and restricted)
        self.clear.setToolTip(why or ("Read the whole scan." if restricted else "The whole scan is read already."))

    def show_slices(self, first: int, last: int, end: int) -> None:
        """Show which slices are read, of those from 0 to ``end``."""
        for spin, value in ((self.first, first), (self.last, last)):
            with QSignalBlocker(spin):
                spin.setRange(0, end)
                spin.setValue(value)

    def describe(self) -> None:
        """Say how large the region is, in voxels and mm."""
        self.text.say(*self._here.size)

    def tell(self) -> None:
        """The region of the scan in view is another now."""
        self.changed.emit(self.roi)
        self.set_enabled("")

    def close_down(self) -> None:
        """Let go of the viewer; what is drawn stays."""
        self._here.let_go()


class _Region:
    """What is read of a scan, in display order: from a first to a last slice, of each what the drawn box bounds.

    It does not hold the scan: it is found by it in a weak dictionary, and would keep it in memory for ever.
    """

    def __init__(self, scan: Scan) -> None:
        self._axes = display_axes(scan)
        self._steps = tuple(scan.grid.spacing[a] for a in self._axes.order)
        self._all = self._axes.roi_to_view(Roi((0, 0, 0), scan.grid.shape))
        self.forget()

    def forget(self) -> None:
        """Back to the whole scan."""
        self.drawn = False
        """Whether a box was drawn."""
        self.slices = 0, self.last_slice
        """As they were chosen: the first may be after the last."""
        self._start, self._stop = self._all.start[1:], self._all.stop[1:]

    @property
    def last_slice(self) -> int:
        """Of the scan."""
        return self._all.stop[0] - 1

    @property
    def sliced(self) -> bool:
        """Whether some slices are left out."""
        return self.slices != (0, self.last_slice)

    @property
    def _box(self) -> Roi:
        first, last = sorted(self.slices)
        return Roi((first, *self._start), (last + 1, *self._stop))

    @property
    def whole(self) -> bool:
        """Whether it is all of the scan."""
        return self._box == self._all

    @property
    def box(self) -> Roi:
        """It, in storage order."""
        return self._axes.roi_to_storage(self._box)

    def take_in(self, rectangle: Array, meant: Roi) -> None:
        """Take the two axes in view from a ``rectangle`` that bounds the voxels of ``meant``, in storage order."""
        across = int(np.argmin(np.ptp(rectangle, axis=0)))
        box, bounds = self._box, self._axes.roi_to_view(meant)
        start, stop = list(bounds.start), list(bounds.stop)
        if self.drawn or (across == 0 and self.sliced):
            start[across], stop[across] = box.start[across], box.stop[across]
        else:
            start[across], stop[across] = self._around(float(rectangle[0, across]), bounds, across)
        self.slices = start[0], stop[0] - 1
        self._start, self._stop = (start[1], start[2]), (stop[1], stop[2])
        self.drawn = True

    def _around(self, at: float, bounds: Roi, across: int) -> tuple[int, int]:
        """A rectangle alone says nothing of the axis across it: as many mm around it as its longer side has."""
        side = max(bounds.shape[a] * self._steps[a] for a in range(3) if a != across)
        half = side / self._steps[across] / 2
        return max(bounds.start[across], round(at - half)), min(bounds.stop[across], round(at + half) + 1)

    @property
    def size(self) -> tuple[str, ...]:
        """In mm and, for the tooltip, in voxels."""
        if self.whole:
            return ("whole scan",)
        across = tuple(reversed(self._box.shape))
        mm = " × ".join(f"{n * step:.0f}" for n, step in zip(across, reversed(self._steps), strict=True))
        return f"{mm} mm", f"{' × '.join(map(str, across))} voxels"


class _Outline:
    """A layer of shapes on which the region of a scan is drawn and outlined.

    Parameters
    ----------
    viewer
        Gets the layer.
    scan
        On which it lies.
    owner
        Told of what the person does there.
    """

    def __init__(self, viewer: ViewerModel, scan: Scan, owner: _RegionInView) -> None:
        self._viewer, self._scan, self._owner = viewer, scan, owner
        self._unread: tuple[int, ...] = ()
        """Which shapes were drawn or changed since the last look."""
        self.layer = Shapes(
            ndim=3,
            name=f"region · {scan.stem}",
            edge_color=PALETTE[-1],
            edge_width=0.6,
            face_color="transparent",
            metadata={KEY: Carrier(scan, "roi")},
            **placement(scan),
        )
        viewer.add_layer(self.layer)
        self.layer.events.data.connect(self._on_data)
        viewer.layers.events.removed.connect(self._on_removed)

    def _on_data(self, event: Any) -> None:
        # napari also tells before it changes anything ("adding", "changing"): there is nothing to be read then.
        action = str(getattr(event, "action", ""))
        if action == "removed":
            self._unread = ()
            self._owner.forget()
        elif action in {"added", "changed"}:
            self._unread = tuple(event.data_indices)
            self._owner.read_soon()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.let_go()
            self._owner.lose_outline()

    def take_in(self, region: _Region) -> None:
        """Let a region be what was drawn last.

        Raises
        ------
        MorseError
            It does not lie over the scan.
        """
        unread, self._unread = self._unread, ()
        if not unread:
            return
        rectangle = np.asarray(self.layer.data[int(unread[-1])])
        self._draw([rectangle])
        region.take_in(rectangle, roi_from_shapes(self.layer, self._scan))
        self.layer.mode = "select"

    def show(self, region: _Region) -> None:
        """Outline the box of a region on each of its slices."""
        boxed = region.drawn and not region.whole
        self._draw(roi_shape_data(region.box, self._scan)[0] if boxed else [])

    def _draw(self, shapes: list[Any]) -> None:
        with self.layer.events.data.blocker(self._on_data):
            self.layer.selected_data = set()
            self.layer.data = shapes

    def let_go(self) -> None:
        """Listen no more; the layer stays."""
        self.layer.events.data.disconnect(self._on_data)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def remove(self) -> None:
        """Listen no more, and take the layer away."""
        self.let_go()
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)


class _NothingInView(QObject):
    """What the box works on while no scan is in view: there is nothing to be drawn on, or read."""

    blocked = NO_SCAN_TO_DRAW_ON
    """Why no region can be drawn; empty where one can."""

    def __init__(self, box: RegionBox) -> None:
        super().__init__(box)
        box.show_slices(0, 0, 0)

    def lies_on(self, scan: Scan | None) -> bool:
        """Whether this is what is to be worked on while that scan is in view."""
        return scan is None

    @property
    def roi(self) -> Roi | None:
        """In storage order; None for the whole scan."""
        return None

    @property
    def restricted(self) -> bool:
        """Whether less than the whole scan is read, or a box is about to be drawn."""
        return False

    @property
    def size(self) -> tuple[str, ...]:
        """Of the region, in words, and what is said in the tooltip."""
        return ("",)

    def leave(self) -> None:
        """Another scan comes into view."""
        self.let_go()
        self.deleteLater()

    def let_go(self) -> None:
        """Listen no more."""


class _RegionInView(_NothingInView):
    """The region of a scan for as long as that is in view.

    Parameters
    ----------
    viewer
        Where it is drawn.
    scan
        In view.
    region
        What is known of it from before.
    box
        Its buttons and slices work on this region until `leave` or `let_go`.
    """

    blocked = ""

    def __init__(self, viewer: ViewerModel, scan: Scan, region: _Region, box: RegionBox) -> None:
        super().__init__(box)
        self._viewer, self._scan, self._region, self._box = viewer, scan, region, box
        self._outline: _Outline | None = None
        # Later, not at once: while napari tells of its layers or shapes, they must not be changed.
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._read)
        self._ties: tuple[tuple[Any, Callable[..., None]], ...] = (
            (box.draw.clicked, self._on_draw),
            (box.clear.clicked, self._on_clear),
            (box.first.valueChanged, self._on_slices),
            (box.last.valueChanged, self._on_slices),
        )
        for signal, slot in self._ties:
            signal.connect(slot)
        self._show_slices()
        if region.drawn:
            self._timer.start(0)

    def lies_on(self, scan: Scan | None) -> bool:
        """Whether the region is of that scan."""
        return scan is self._scan

    @property
    def roi(self) -> Roi | None:
        """In storage order; None for the whole scan."""
        return None if self._region.whole else self._region.box

    @property
    def size(self) -> tuple[str, ...]:
        """In mm, and in voxels."""
        return self._region.size

    @property
    def restricted(self) -> bool:
        """Whether less than the whole scan is read, or a box is about to be drawn."""
        return self._outline is not None or self._region.sliced

    def _show_slices(self) -> None:
        self._box.show_slices(*self._region.slices, self._region.last_slice)

    def _on_slices(self) -> None:
        self._region.slices = self._box.first.value(), self._box.last.value()
        self.read_soon()

    def _on_draw(self) -> None:
        if self._outline is None:
            self._outline = _Outline(self._viewer, self._scan, self)
            self._box.set_enabled("")
        layer = self._outline.layer
        self._viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        self._box.text.say("Drag a rectangle over the structure.")

    def _on_clear(self) -> None:
        if self._outline is not None:
            self._outline.remove()
            self._outline = None
        self._region.forget()
        self._show_slices()
        self._box.tell()

    def read_soon(self) -> None:
        """Read what is drawn, once napari has told all of it."""
        self._timer.start(0)

    def forget(self) -> None:
        """The person deleted the box."""
        self._region.forget()
        self._show_slices()
        self.read_soon()

    def lose_outline(self) -> None:
        """The person removed the layer."""
        self._outline = None
        self.forget()

    def _read(self) -> None:
        """Take in what was drawn last, and show the box that it makes on each of its slices."""
        if self._outline is not None:
            self._take_in(self._outline)
            self._outline.show(self._region)
        elif self._region.drawn:
            self._bring_back()
        self._box.tell()

    def _take_in(self, outline: _Outline) -> None:
        try:
            outline.take_in(self._region)
        except MorseError as error:
            show_warning(str(error))
        self._show_slices()

    def _bring_back(self) -> None:
        """The layer of a box that was drawn when the scan was in view before; what was selected stays so."""
        active = self._viewer.layers.selection.active
        self._outline = _Outline(self._viewer, self._scan, self)
        self._outline.layer.mode = "select"
        self._viewer.layers.selection.active = active
        self._outline.show(self._region)

    def leave(self) -> None:
        """What was drawn a moment ago is read, and its layer goes, to come back with the scan."""
        if self._outline is not None:
            self._take_in(self._outline)
            self._outline.remove()
            self._outline = None
        super().leave()

    def let_go(self) -> None:
        """Listen no more; what is drawn stays in the viewer."""
        self._timer.stop()
        for signal, slot in self._ties:
            signal.disconnect(slot)
        self._ties = ()
        if self._outline is not None:
            self._outline.let_go()


def _row(host: QWidget, widgets: tuple[QWidget, ...]) -> None:
    layout = QHBoxLayout(host)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget, 0 if isinstance(widget, QLabel) else 1)
