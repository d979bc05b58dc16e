"""Three planes of the scan under work at once, linked to the main view by a crosshair; no second canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QCheckBox, QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_morse.geometry.orientation import PLANES, letters_at
from napari_morse.types import Array, Label, Roi, Scan
from napari_morse.widgets.base import Elided, EndingWidget, Note
from napari_morse.widgets.bridge import UNNAMED, Role, carrier_of, display_axes, turn_to
from napari_morse.widgets.view.plane_image import Outline, Slices, Style
from napari_morse.widgets.view.plane_pane import Content, Entry, Legend, PlanePane
from napari_morse.widgets.view.twins import is_twin

if TYPE_CHECKING:
    from napari_morse.widgets.case import Desk

Voxel = tuple[int, int, int]
"""Across display axes 0, 1 and 2."""
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


@dataclass(frozen=True, eq=False)
class ShownMask:
    """A mask in display order, and how it is drawn; ``source`` as of `Slices`."""

    name: str
    source: object
    shown: Array
    layer: Labels | None
    style: Style = "solid"


class Planes(EndingWidget):
    """Axial, coronal and sagittal slice through the present place.

    Click or drag moves the place, the wheel steps through slices, Ctrl and wheel zooms, a double click brings a plane
    to the main view. While it is not in view it does no work, and holds no scan.

    Parameters
    ----------
    desk
        What is under work.
    parent
        Owner.
    """

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._slices = tuple(Slices(across) for across in range(3))
        self._frame: Roi | None = None
        self._frames_of: list[Any] = []
        self._hover: tuple[int, tuple[int, int]] | None = None
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
            pane.pointed.connect(lambda *at, across=across: self._move(dict(zip(_in_plane(across), at, strict=True))))
            pane.hovered.connect(lambda at, across=across: self._on_hovered(across, at))
            pane.stepped.connect(lambda steps, across=across: self._step(across, steps))
            pane.chosen.connect(lambda across=across: self.show_in_main(across))
            self.follow.toggled.connect(lambda on, pane=pane: setattr(pane, "follow", on))
            self.fit.clicked.connect(lambda _=False, pane=pane: pane.fit())
        self.masks.currentIndexChanged.connect(self.refresh)
        for tie, slot in self._ties():
            tie.connect(slot)

    def _ties(self) -> tuple[tuple[Any, Callable[..., None]], ...]:
        """Events and signals, and what they lead to."""
        desk, dims, layers = self._desk, self._desk.viewer.dims.events, self._desk.viewer.layers.events
        events = dims.point, dims.order, dims.ndisplay, layers.inserted, layers.removed
        signals = (desk.changed, self._on_looks), (desk.acted, self._on_acted), (desk.redrawn, self._on_acted)
        return (*((event, self.refresh) for event in events), *signals)

    # When it is drawn

    def frame(self, box: Roi | None) -> None:
        """Frame a box (storage order) in all planes that cross it; None: none."""
        self._frame = box
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

    def _on_acted(self, box: Roi | None = None) -> None:
        """The corrected mask is another one inside of a box, or anywhere."""
        scan = self._desk.scan
        there = None if box is None or scan is None else display_axes(scan).roi_to_view(box)
        for across, slices in enumerate(self._slices):
            slices.changed("corrected", *(() if there is None else (there.start[across], there.stop[across])))
        self.refresh()

    def _on_hovered(self, across: int, at: tuple[int, int] | None) -> None:
        self._hover = None if at is None else (across, at)
        self.refresh()

    def _watch(self, layers: Iterable[Image | Labels | None]) -> None:
        """Follow how these layers look, and no others."""
        names = ("contrast_limits", "gamma", "colormap", "show_selected_label")
        events = tuple(getattr(x.events, n) for x in layers if x is not None for n in names if hasattr(x.events, n))
        if [id(x) for x in events] != [id(x) for x in self._watched]:
            for event in self._watched:
                event.disconnect(self._on_looks)
            for event in events:
                event.connect(self._on_looks)
            self._watched, self._looks = events, self._looks + 1

    # What is shown

    def _refresh(self) -> None:
        if self._closed or not self.isVisible():
            return
        scan, layer, voxel = self._desk.scan, self._desk.scan_layer, self.voxel
        if scan is None or layer is None or voxel is None:
            self._let_go()
            self.note.say(NO_PLANES)
            return
        masks = self._masks(scan)
        self._watch((layer, *(x.layer for x in masks)))
        single = [axis for axis, n in enumerate(_shape(scan)) if n == 1]
        self.note.say(ONE if single else "")
        drawn, table = masks if self.masks.currentText() != HIDDEN else [], _table(layer)
        for across, pane in enumerate(self.panes):
            shown = not single or across == single[0]
            pane.setVisible(shown)
            pane.show_content(self._content(scan, layer, drawn, table, across, voxel) if shown else None)
        self._say(scan, voxel, masks)

    def _let_go(self) -> None:
        self._hover = None
        self._watch(())
        for pane, slices in zip(self.panes, self._slices, strict=True):
            slices.clear()
            pane.show_content(None)
        self.place.say("")
        self.legend.say(())

    def _content(
        self, scan: Scan, layer: Image, masks: list[ShownMask], table: tuple[int, ...], across: int, voxel: Voxel
    ) -> Content:
        axes, index, dims = display_axes(scan), voxel[across], self._desk.viewer.dims
        rows, columns = _in_plane(across)
        sides = [scan.grid.spacing[a] for a in axes.order]
        name = PLANES[across] if scan.orientation_known else f"across {'IJK'[int(axes.order[across])]}"
        return Content(
            pixels=self._slices[across].take("scan", scan, axes.to_view(scan.data), index),
            limits=(float(layer.contrast_limits[0]), float(layer.contrast_limits[1])),
            table=table,
            outlines=tuple(self._outline(mask, across, index) for mask in masks),
            spacing=(sides[rows], sides[columns]),
            voxel=(voxel[rows], voxel[columns]),
            letters=letters_at(rows, columns) if scan.orientation_known else (),
            title=f"{name} {index} of {_shape(scan)[across] - 1}",
            main=dims.ndisplay == 2 and dims.ndim >= 3 and dims.order[-3] == across + dims.ndim - 3,
            frame=self._framed(scan, across, index),
        )

    def _outline(self, mask: ShownMask, across: int, index: int) -> Outline:
        labels = self._slices[across].take(mask.name, mask.source, mask.shown, index)
        fill = OPAQUE if self.masks.currentText() == FILL and mask.style == "solid" else 0.0
        return Outline(labels, _colour(mask.layer, self._desk.labels), mask.style, fill, self._looks)

    def _framed(self, scan: Scan, across: int, index: int) -> tuple[slice, slice] | None:
        box = None if self._frame is None else display_axes(scan).roi_to_view(self._frame)
        if box is None or not box.start[across] <= index < box.stop[across]:
            return None
        rows, columns = _in_plane(across)
        return box.slices[rows], box.slices[columns]

    def _masks(self, scan: Scan) -> list[ShownMask]:
        """The last on top; what is corrected hides what it was made from, and a mask that is only seen likewise."""
        desk, there, masks = self._desk, display_axes(scan).to_view, []
        corrected, prediction = desk.corrected, desk.prediction
        case = desk.host.layers if desk.host.in_view else None
        seen = None if case is None else case.mask
        if prediction is not None:
            coarse, rendered = prediction.coarse, prediction.rendered
            masks.append(ShownMask("coarse", coarse, there(coarse.data), self._layer(scan, "coarse"), "dotted"))
            if corrected is None and seen is None:
                masks.append(ShownMask("rendered", rendered, there(rendered.data), self._layer(scan, "rendered")))
        name, layer = ("mask", seen) if corrected is None else ("corrected", corrected.layer)
        if layer is not None and layer.data.shape == _shape(scan):
            masks.append(ShownMask(name, layer.data, layer.data, layer))
        return masks

    def _layer(self, scan: Scan, role: Role) -> Labels | None:
        layers = ((x, carrier_of(x)) for x in self._desk.viewer.layers if isinstance(x, Labels) and not is_twin(x))
        return next((x for x, of in layers if of is not None and of.scan is scan and of.role == role), None)

    def _say(self, scan: Scan, voxel: Voxel, masks: list[ShownMask]) -> None:
        """What is under the cursor, or else in the crosshair."""
        if self._hover is not None:
            across, at = self._hover
            voxel = _inside(_placed(voxel, dict(zip(_in_plane(across), at, strict=True))), scan)
        i, j, k = (int(v) for v in display_axes(scan).index_to_storage(np.array([voxel]))[0])
        where = f"{'crosshair' if self._hover is None else 'cursor'}: voxel {i}, {j}, {k}"
        if scan.size_known:
            x, y, z = scan.grid.affine[:3, :3] @ (i, j, k) + scan.grid.affine[:3, 3]
            where += f"; {x:.1f}, {y:.1f}, {z:.1f} mm" + (" RAS" if scan.orientation_known else "")
        number = int(masks[-1].shown[voxel]) if masks else 0
        more = f"; {self._desk.name_of(number)}" if number else ""
        self.place.say(f"{where}; value {scan.data[i, j, k]:.5g}{more}", PLANES_HINT)
        entries, labels = [Entry(x.name, style=x.style) for x in masks], self._desk.labels
        colour = _colour(masks[-1].layer if masks else None, labels)
        self.legend.say([*entries, *(Entry(x.name, colour=colour(x.id)) for x in labels if masks)])

    # Where it is

    @property
    def voxel(self) -> Voxel | None:
        """The present place as a display voxel of the scan, brought inside it; None without a scan."""
        scan, layer = self._desk.scan, self._desk.scan_layer
        if scan is None or layer is None:
            return None
        data_point = layer.world_to_data(self._desk.viewer.dims.point[-layer.ndim :])
        return _inside((0.0,) * (3 - layer.ndim) + tuple(float(x) for x in data_point), scan)

    def go(self, voxel: Voxel) -> None:
        """Move the present place to a display voxel, or the nearest there is; the main view follows out of sight."""
        scan, layer, dims = self._desk.scan, self._desk.scan_layer, self._desk.viewer.dims
        if scan is None or layer is None:
            return
        point_mm = [float(x) for x in layer.data_to_world(_inside(voxel, scan)[-layer.ndim :])]
        first = dims.ndim - len(point_mm)
        dims.set_point(range(first, dims.ndim), point_mm)
        if dims.ndisplay == 2 and min(dims.displayed) >= first:
            at, camera = [point_mm[axis - first] for axis in dims.displayed], self._desk.viewer.scene.camera
            if any(abs(a - c) > r for a, c, r in zip(at, camera.center[-2:], self._reach(), strict=True)):
                camera.center = (0.0, *at)

    def _reach(self) -> tuple[float, float]:
        """How far one sees from the middle of the main view, down and across, in its world."""
        canvas, zoom = self._desk.viewer.canvas, self._desk.viewer.scene.camera.zoom
        rows, columns = canvas.grid.actual_shape(self._desk.viewer.layers)
        return canvas.size[0] / rows / zoom / 2, canvas.size[1] / columns / zoom / 2

    def show_in_main(self, across: int) -> None:
        """Show a plane in the main view, through the same place: all of it, or the place in the middle."""
        layer, viewer, voxel = self._desk.scan_layer, self._desk.viewer, self.voxel
        if layer is None or voxel is None or viewer.dims.ndim < 3 or layer.ndim != 3:
            return
        turn_to(viewer, across)
        self.go(voxel)
        shown, (low, high) = list(_in_plane(across)), layer.extent.world
        point_mm = np.array(layer.data_to_world(voxel))[shown]
        whole = (high - low)[shown] <= 2 * np.array(self._reach())
        viewer.scene.camera.center = (0.0, *np.where(whole, (low + high)[shown] / 2, point_mm).tolist())

    def _move(self, at: dict[int, int]) -> None:
        """To other indices along some axes."""
        if self.voxel is not None:
            self.go(_placed(self.voxel, at))

    def _step(self, across: int, steps: int) -> None:
        if self.voxel is not None:
            self._move({across: self.voxel[across] + steps})

    # The widget itself

    shown = refresh

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Hold nothing that nobody sees."""
        super().hideEvent(event)
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


def _shape(scan: Scan) -> Voxel:
    """In display order."""
    i, j, k = (scan.grid.shape[int(a)] for a in display_axes(scan).order)
    return i, j, k


def _inside(point: Sequence[float], scan: Scan) -> Voxel:
    """The nearest voxel there is, in display order."""
    i, j, k = (min(max(round(x), 0), n - 1) for x, n in zip(point, _shape(scan), strict=True))
    return i, j, k


def _in_plane(across: int) -> tuple[int, int]:
    """Display axes downward and to the right."""
    rows, columns = (axis for axis in range(3) if axis != across)
    return rows, columns


def _placed(voxel: Voxel, at: dict[int, int]) -> Voxel:
    """A voxel with other indices along some axes."""
    i, j, k = (at.get(axis, x) for axis, x in enumerate(voxel))
    return i, j, k


def _colour(layer: Labels | None, labels: tuple[Label, ...]) -> Callable[[int], int]:
    """Label id → ``0xaarrggbb``: as the layer shows it, where there is one."""
    if layer is not None:
        return lambda number: _argb(layer.get_color(number))
    table = {x.id: 0xFF000000 | int(x.color.removeprefix("#")[:6], 16) for x in labels}
    return lambda number: table.get(number, 0xFF000000 | int(UNNAMED.removeprefix("#"), 16))


def _argb(colour: Array | None) -> int:
    """Opaque, or nothing where the colour is clear."""
    if colour is None or not colour[3]:
        return 0
    r, g, b = (round(255 * float(x)) for x in colour[:3])
    return 0xFF000000 | (r << 16) | (g << 8) | b


def _table(layer: Image) -> tuple[int, ...]:
    """The layer's 256 colours, as ``0xffrrggbb``."""
    rgb = np.rint(layer.colormap.map(np.linspace(0, 1, 256) ** layer.gamma)[:, :3] * 255).astype(np.int64)
    return tuple((0xFF000000 + rgb @ (1 << 16, 1 << 8, 1)).tolist())
