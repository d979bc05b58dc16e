"""Three planes of the scan under work at once, linked to the main view by a crosshair; no second canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QCheckBox, QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_morse.geometry.orientation import PLANES
from napari_morse.types import Roi
from napari_morse.widgets.base import Elided, EndingWidget, Note
from napari_morse.widgets.view.plane_image import Outline, Slices
from napari_morse.widgets.view.plane_legend import ColourEntry, Legend, LineEntry
from napari_morse.widgets.view.plane_pane import PlanePane
from napari_morse.widgets.view.scan_planes import DrawnMask, NoPlanes, ScanPlanes, Voxel, in_plane, placed

if TYPE_CHECKING:
    from napari_morse.widgets.case import ActiveCase

LINES, FILL, HIDDEN = "mask lines", "mask fill", "no masks"
OPAQUE = 0.4
"""How opaque the filled masks are."""
NO_PLANES = "Open a scan: its three planes are shown here."
ONE = "The scan is a single slice: it has no other planes."
PLANES_HINT = (
    "Click or drag: move the crosshair. Wheel: slices. Ctrl + wheel: zoom. Drag with the middle or right button: pan. "
    "Double click: show this plane in the main view.\n"
    "Keys: arrows, Page Up and Down, + and −, Home (fit), Enter (show in the main view)."
)


class Planes(EndingWidget):
    """Axial, coronal and sagittal slice through the present place.

    Click or drag moves the place, the wheel steps through slices, Ctrl and wheel zooms, a double click brings a plane
    to the main view. While it is not in view it does no work, and holds no scan.

    Parameters
    ----------
    active_case
        What is under work.
    parent
        Owner.
    """

    def __init__(self, active_case: ActiveCase, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._active_case = active_case
        self._slices = tuple(Slices(across) for across in range(3))
        self._frames: tuple[Roi, ...] = ()
        self._frames_of: list[Any] = []
        self._cursor: dict[int, int] = {}
        """Indices under the cursor, along the axes of its pane; none while it is on no pane."""
        self._watched: tuple[Any, ...] = ()
        self._looks, self._closed = 0, False
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._refresh)
        self._build()
        self._connect()
        self.watch_the_end(())

    def _build(self) -> None:
        self.panes = tuple(PlanePane(self) for _ in PLANES)
        self.legend, self.place, self.note = Legend(self), Elided(parent=self), Note(NO_PLANES, self)
        self.masks, self.follow, self.fit = QComboBox(self), QCheckBox("follow", self), QPushButton("Fit", self)
        self.masks.addItems((LINES, FILL, HIDDEN))
        self.masks.setToolTip("How the masks are drawn over the planes.")
        self.follow.setChecked(True)
        self.follow.setToolTip("Bring the crosshair back into view wherever it moves out of a plane.")
        self.fit.setToolTip("Show the whole of every plane (Home: of the one that has the keys).")
        self._rows = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._rows.setSpacing(2)
        line, layout = QHBoxLayout(), QVBoxLayout(self)
        line.addWidget(self.legend, 1)
        for widget in (self.masks, self.follow, self.fit):
            line.addWidget(widget)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.addLayout(self._rows, 1)
        layout.addLayout(line)
        layout.addWidget(self.place)
        layout.addWidget(self.note)

    def _connect(self) -> None:
        for across, pane in enumerate(self.panes):
            self._rows.addWidget(pane, 1)
            pane.setAccessibleName(f"{PLANES[across]} plane")
            pane.setAccessibleDescription(PLANES_HINT)
            pane.pointed.connect(lambda *at, across=across: self.over.move(_at(across, at)))
            pane.hovered.connect(lambda *at, across=across: self._on_hovered(_at(across, at)))
            pane.left.connect(lambda: self._on_hovered({}))
            pane.stepped.connect(lambda steps, across=across: self.over.step(across, steps))
            pane.chosen.connect(lambda across=across: self.over.show_in_main(across))
            self.follow.toggled.connect(lambda on, pane=pane: setattr(pane, "follow", on))
            self.fit.clicked.connect(lambda _=False, pane=pane: pane.fit())
        self.masks.currentIndexChanged.connect(self.refresh)
        for tie, slot in self._ties():
            tie.connect(slot)

    def _ties(self) -> tuple[tuple[Any, Callable[..., None]], ...]:
        """Events and signals, and what they lead to."""
        active_case, dims, layers = (
            self._active_case,
            self._active_case.viewer.dims.events,
            self._active_case.viewer.layers.events,
        )
        events = dims.point, dims.order, dims.ndisplay, layers.inserted, layers.removed
        signals = (
            (active_case.changed, self._on_looks),
            (active_case.acted, self._on_acted),
            (active_case.redrawn, self._on_redrawn),
        )
        return (*((event, self.refresh) for event in events), *signals)

    @property
    def over(self) -> ScanPlanes | NoPlanes:
        """What the planes go through; looked up each time, as the scan may go before that is drawn."""
        scan, layer = self._active_case.scan, self._active_case.scan_layer
        return NoPlanes() if scan is None or layer is None else ScanPlanes(self._active_case, scan, layer)

    @property
    def voxel(self) -> Voxel | None:
        """The present place as a display voxel of the scan; None without a scan."""
        return self.over.voxel

    # When it is drawn

    def frame(self, box: Roi | None) -> None:
        """Frame a box (storage order) in all planes that cross it; None: none."""
        self._frames = () if box is None else (box,)
        self.refresh()

    def follow_frames(self, framed: Any) -> None:
        """Frame what a signal tells of, to the end of this widget."""
        framed.connect(self.frame)
        self._frames_of.append(framed)

    def refresh(self, *_: Any) -> None:
        """Draw what changed in the next turn of the event loop, once, and only in view."""
        if not self._closed and self.isVisible() and not self._soon.isActive():
            self._soon.start(0)

    def _on_looks(self, *_: Any) -> None:
        self._looks += 1
        self.refresh()

    def _on_acted(self, box: Roi) -> None:
        """The corrected mask is another one inside of a box."""
        over = self.over
        for across, slices in enumerate(self._slices):
            slices.changed("corrected", over.indices(box, across))
        self.refresh()

    def _on_redrawn(self) -> None:
        """The corrected mask may be another one anywhere."""
        for slices in self._slices:
            slices.changed("corrected")
        self.refresh()

    def _on_hovered(self, at: dict[int, int]) -> None:
        self._cursor = at
        self.refresh()

    def _watch(self, layers: Iterable[Image | Labels]) -> None:
        """Follow how these layers look, and no others."""
        names = ("contrast_limits", "gamma", "colormap", "show_selected_label")
        events = tuple(getattr(x.events, n) for x in layers for n in names if hasattr(x.events, n))
        if [id(x) for x in events] != [id(x) for x in self._watched]:
            for event in self._watched:
                event.disconnect(self._on_looks)
            for event in events:
                event.connect(self._on_looks)
            self._watched, self._looks = events, self._looks + 1

    # What is shown

    def _refresh(self) -> None:
        if not self._closed and self.isVisible():
            self.over.draw_on(self)

    def draw_nothing(self) -> None:
        """Say that there is no scan."""
        self._let_go()
        self.note.say(NO_PLANES)

    def draw(self, over: ScanPlanes) -> None:
        """Show the planes through a scan."""
        masks = over.masks()
        self._watch((over.layer, *(layer for mask in masks for layer in mask.layers)))
        single = [axis for axis, n in enumerate(over.shape) if n == 1]
        self.note.say(ONE if single else "")
        drawn, table = masks if self.masks.currentText() != HIDDEN else [], _table(over.layer)
        for across, (pane, slices) in enumerate(zip(self.panes, self._slices, strict=True)):
            shown = not single or across == single[0]
            pane.setVisible(shown)
            if shown:
                outlines = [self._outline(mask, across, over.voxel[across]) for mask in drawn]
                pane.show_content(over.content(across, slices, table, outlines, self._frames))
            else:
                pane.show_nothing()
        self._say(over, masks)

    def _outline(self, mask: DrawnMask, across: int, index: int) -> Outline:
        labels = self._slices[across].take(mask.name, mask.source, mask.shown, index)
        fill = OPAQUE if self.masks.currentText() == FILL and mask.style == "solid" else 0.0
        return Outline(labels, mask.colour, mask.style, fill, self._looks)

    def _let_go(self) -> None:
        self._cursor = {}
        self._watch(())
        for pane, slices in zip(self.panes, self._slices, strict=True):
            slices.clear()
            pane.show_nothing()
        self.place.say("")
        self.legend.say(())

    def _say(self, over: ScanPlanes, masks: list[DrawnMask]) -> None:
        """What is under the cursor, or else in the crosshair."""
        voxel, who = over.inside(placed(over.voxel, self._cursor)), "cursor" if self._cursor else "crosshair"
        number = int(masks[-1].shown[voxel]) if masks else 0
        more = f"; {self._active_case.name_of(number)}" if number else ""
        self.place.say(f"{who}: {over.describe(voxel)}{more}", PLANES_HINT)
        lines = [LineEntry(mask.name, mask.style) for mask in masks]
        colours = [ColourEntry(x.name, mask.colour(x.id)) for mask in masks[-1:] for x in self._active_case.labels]
        self.legend.say([*lines, *colours])

    # The widget itself

    shown = refresh

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Hold nothing that nobody sees."""
        super().hideEvent(event)
        # A spontaneous one comes from the window system, as when the window is minimised: the planes are still wanted.
        if event is not None and not event.spontaneous():
            self._let_go()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Side by side where it is wide, one below the other where it is tall."""
        super().resizeEvent(event)
        way = QBoxLayout.Direction
        self._rows.setDirection(way.LeftToRight if self.width() > self.height() else way.TopToBottom)

    def stop_work(self) -> None:
        """Nothing runs beside the window."""

    def close_down(self) -> None:
        """Let go of the viewer."""
        self._closed = True
        self._soon.stop()
        self._let_go()
        for tie, slot in (*self._ties(), *((framed, self.frame) for framed in self._frames_of)):
            tie.disconnect(slot)


def _at(across: int, at: Sequence[int]) -> dict[int, int]:
    """A (row, column) of the plane across an axis, by display axis."""
    return dict(zip(in_plane(across), at, strict=True))


def _table(layer: Image) -> tuple[int, ...]:
    """The layer's 256 colours, as ``0xffrrggbb``."""
    rgb = np.rint(layer.colormap.map(np.linspace(0, 1, 256) ** layer.gamma)[:, :3] * 255).astype(np.int64)
    return tuple((0xFF000000 + rgb @ (1 << 16, 1 << 8, 1)).tolist())
