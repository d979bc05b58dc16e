"""The region of interest: rectangles drawn in the viewer, and a first and last slice.

The first rectangle makes a box as deep as it is long; each further one, in whatever view, and each outline that is
dragged sets the two axes in view anew. The box is outlined on each of its slices, in every view.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpinBox, QWidget

from napari_morse.errors import MorseError
from napari_morse.types import Roi, Scan
from napari_morse.widgets.base import Elided
from napari_morse.widgets.segment.region import NoOutline, Region

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
        self._regions: WeakKeyDictionary[Scan, Region] = WeakKeyDictionary()
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
            self._regions[scan] = Region(scan)
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

    def __init__(self, viewer: ViewerModel, scan: Scan, region: Region, box: RegionBox) -> None:
        super().__init__(box)
        self._viewer, self._scan, self._region, self._box = viewer, scan, region, box
        self._outline: NoOutline = NoOutline(viewer, scan, self)
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
        return self._outline.restricts or self._region.sliced

    def _show_slices(self) -> None:
        self._box.show_slices(*self._region.slices, self._region.last_slice)

    def _on_slices(self) -> None:
        self._region.slices = self._box.first.value(), self._box.last.value()
        self.read_soon()

    def _on_draw(self) -> None:
        outline = self._outline = self._outline.drawable()
        self._box.set_enabled("")
        self._viewer.layers.selection.active = outline.layer
        outline.layer.mode = "add_rectangle"
        self._box.text.say("Drag a rectangle over the structure.")

    def _on_clear(self) -> None:
        self._remove_outline()
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
        self._outline = NoOutline(self._viewer, self._scan, self)
        self.forget()

    def _remove_outline(self) -> None:
        outline, self._outline = self._outline, NoOutline(self._viewer, self._scan, self)
        outline.remove()

    def _read(self) -> None:
        """Take in what was drawn last, and show the box that it makes on each of its slices."""
        self._take_in()
        if self._region.drawn:
            self._outline = self._outline.brought_back()
        self._outline.show(self._region)
        self._box.tell()

    def _take_in(self) -> None:
        try:
            self._outline.take_in(self._region)
        except MorseError as error:
            show_warning(str(error))
        self._show_slices()

    def leave(self) -> None:
        """What was drawn a moment ago is read, and its layer goes, to come back with the scan."""
        self._take_in()
        self._remove_outline()
        super().leave()

    def let_go(self) -> None:
        """Listen no more; what is drawn stays in the viewer."""
        self._timer.stop()
        for signal, slot in self._ties:
            signal.disconnect(slot)
        self._ties = ()
        self._outline.let_go()


def _row(host: QWidget, widgets: tuple[QWidget, ...]) -> None:
    layout = QHBoxLayout(host)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget, 0 if isinstance(widget, QLabel) else 1)
