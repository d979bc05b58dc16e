"""Three planes of the scan under work at once, linked to the main view by a crosshair; no second canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QVBoxLayout, QWidget

from napari_morse.geometry.orientation import DISPLAY
from napari_morse.types import Array, Roi, Scan
from napari_morse.widgets.ending import EndingWidget
from napari_morse.widgets.layers import display_axes
from napari_morse.widgets.layers_show import MARK, UNNAMED
from napari_morse.widgets.letters import OPPOSITE
from napari_morse.widgets.parts.plane_image import Outline, Style
from napari_morse.widgets.parts.plane_pane import Content, Entry, Legend, PlanePane
from napari_morse.widgets.parts.text import Elided, Note

if TYPE_CHECKING:
    from napari_morse.widgets.desk import Desk

NAMES = ("axial", "coronal", "sagittal")
"""Across display axes 0, 1 and 2."""
NEARER = 1.25
FARTHEST, NEAREST = 1.0, 32.0
NOTHING = "Open a scan: its three planes are shown here."
ONE = "The scan is a single slice: it has no other planes."


class Planes(EndingWidget):
    """Axial, coronal and sagittal slice through the present place.

    Click or drag moves the place, the wheel steps through slices, Ctrl and wheel zooms, a double click brings a plane
    to the main view.

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
        self._layer: Image | None = None
        self._frame: Roi | None = None
        self._zoom = FARTHEST
        self.panes = tuple(PlanePane(self) for _ in NAMES)
        self.legend, self.place, self.note = Legend(self), Elided(parent=self), Note(NOTHING, self)
        self._rows = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._rows.setSpacing(2)
        for pane in self.panes:
            self._rows.addWidget(pane, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.addLayout(self._rows, 1)
        layout.addWidget(self.legend)
        layout.addWidget(self.place)
        layout.addWidget(self.note)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._refresh)
        self._connect()
        self.watch_the_end(())
        self.refresh()

    def _connect(self) -> None:
        for across, pane in enumerate(self.panes):
            pane.setAccessibleName(f"{NAMES[across]} plane")
            pane.pointed.connect(lambda row, column, across=across: self._on_pointed(across, row, column))
            pane.stepped.connect(lambda steps, across=across: self._on_stepped(across, steps))
            pane.zoomed.connect(self._on_zoomed)
            pane.chosen.connect(lambda across=across: self.show_in_main(across))
        for event in self._events():
            event.connect(self._later)
        for signal in (self._desk.changed, self._desk.acted, self._desk.redrawn):
            signal.connect(self._later)

    def _events(self) -> tuple[Any, ...]:
        events = self._desk.viewer.dims.events
        return events.current_step, events.order, events.ndisplay

    # What is shown

    def frame(self, box: Roi | None) -> None:
        """Frame a box (storage order) in all planes; None: none."""
        self._frame = box
        self.refresh()

    def refresh(self) -> None:
        """Draw anew in the next turn of the event loop."""
        if not self._soon.isActive():
            self._soon.start(0)

    def _later(self, *_: Any) -> None:
        self.refresh()

    def _refresh(self) -> None:
        layer = self._desk.scan_layer
        if layer is not self._layer:
            self._follow(layer)
        if not self.isVisible():
            return
        scan = self._desk.scan
        voxel = self.voxel
        if scan is None or layer is None or voxel is None:
            for pane in self.panes:
                pane.show_content(None)
            self.note.say(NOTHING)
            self.place.say("")
            self.legend.say(())
            return
        axes = display_axes(scan)
        shown = axes.there(scan.data)
        single = [axis for axis, n in enumerate(shown.shape) if n == 1]
        self.note.say(ONE if single else "")
        outlines = self._outlines()
        table = _table(layer)
        for across, pane in enumerate(self.panes):
            pane.setVisible(not single or across == single[0])
            if not single or across == single[0]:
                pane.show_content(self._content(scan, layer, shown, outlines, table, across, voxel))
        self._say(scan, voxel)

    def _content(
        self,
        scan: Scan,
        layer: Image,
        shown: Array,
        outlines: list[tuple[str, Array, Style]],
        table: tuple[int, ...],
        across: int,
        voxel: tuple[int, ...],
    ) -> Content:
        rows, columns = (axis for axis in range(3) if axis != across)
        at = tuple(voxel[axis] if axis == across else slice(None) for axis in range(3))
        colours = {x.id: _opaque(x.color) for x in self._desk.labels}
        lines = [Outline(mask[at], lambda n: colours.get(n, _opaque(UNNAMED)), style) for _, mask, style in outlines]
        framed = self._framed(scan, across, voxel, shown.shape)
        if framed is not None:
            lines.append(framed)
        sides = [scan.grid.spacing[int(a)] for a in display_axes(scan).order]
        dims = self._desk.viewer.dims
        main = dims.ndisplay == 2 and dims.order[-3] == across + dims.ndim - 3 if dims.ndim >= 3 else False
        letters = (OPPOSITE[DISPLAY[rows]], DISPLAY[rows], OPPOSITE[DISPLAY[columns]], DISPLAY[columns])
        return Content(
            shown[at], (float(layer.contrast_limits[0]), float(layer.contrast_limits[1])), table, tuple(lines),
            (sides[rows], sides[columns]), (voxel[rows], voxel[columns]), True,
            letters if scan.orientation_known else (), self._title(scan, across, voxel[across], shown.shape[across]),
            main, self._zoom,
        )  # fmt: skip

    def _framed(self, scan: Scan, across: int, voxel: tuple[int, ...], shape: tuple[int, ...]) -> Outline | None:
        if self._frame is None:
            return None
        box = display_axes(scan).roi_there(self._frame)
        if not box.start[across] <= voxel[across] < box.stop[across]:
            return None
        rows, columns = (axis for axis in range(3) if axis != across)
        area = np.zeros((shape[rows], shape[columns]), np.uint8)
        area[
            max(0, box.start[rows] - 1) : box.stop[rows] + 1, max(0, box.start[columns] - 1) : box.stop[columns] + 1
        ] = 1
        return Outline(area, lambda _: _opaque(MARK), "solid")

    @staticmethod
    def _title(scan: Scan, across: int, index: int, count: int) -> str:
        axis = "IJK"[int(display_axes(scan).order[across])]
        name = NAMES[across] if scan.orientation_known else f"across {axis}"
        return f"{name} {index} of {count - 1}"

    def _outlines(self) -> list[tuple[str, Array, Style]]:
        """Masks in display order, the last on top."""
        desk, scan = self._desk, self._desk.scan
        found: list[tuple[str, Array, Style]] = []
        if scan is None:
            return found
        there = display_axes(scan).there
        prediction, corrected = desk.prediction, desk.corrected
        if prediction is not None:
            found.append(("coarse", there(prediction.coarse.data), "dotted"))
            if corrected is None:
                found.append(("rendered", there(prediction.rendered.data), "solid"))
        if corrected is not None:
            found.append(("corrected", np.asarray(corrected.layer.data), "solid"))
        return found

    def _say(self, scan: Scan, voxel: tuple[int, ...]) -> None:
        stored = display_axes(scan).index_back(np.array([voxel]))[0]
        i, j, k = (int(v) for v in stored)
        where = f"voxel {i}, {j}, {k}"
        if scan.size_known:
            x, y, z = scan.grid.affine[:3, :3] @ stored + scan.grid.affine[:3, 3]
            where += f"; {x:.1f}, {y:.1f}, {z:.1f} mm" + (" RAS" if scan.orientation_known else "")
        names = {x.id: x.name for x in self._desk.labels}
        masks = self._outlines()
        number = int(masks[-1][1][tuple(voxel)]) if masks else 0
        more = f"; {names.get(number, f'label {number}')}" if number else ""
        self.place.say(f"{where}; value {scan.data[i, j, k]:.5g}{more}")
        lines = [Entry(name, style=style) for name, _, style in masks]
        self.legend.say([*lines, *(Entry(x.name, colour=x.color) for x in self._desk.labels if masks)])

    def _follow(self, layer: Image | None) -> None:
        before, self._layer = self._layer, layer
        if before is not None:
            for name in ("contrast_limits", "colormap", "gamma"):
                getattr(before.events, name).disconnect(self._later)
        if layer is not None:
            for name in ("contrast_limits", "colormap", "gamma"):
                getattr(layer.events, name).connect(self._later)

    # Where it is

    @property
    def voxel(self) -> tuple[int, int, int] | None:
        """The present place as a display voxel of the scan, brought inside it; None without a scan."""
        scan, layer = self._desk.scan, self._desk.scan_layer
        if scan is None or layer is None:
            return None
        point = self._desk.viewer.dims.point[-layer.ndim :]
        place = [float(x) for x in layer.world_to_data(point)]
        place = [0.0] * (3 - len(place)) + place
        shape = display_axes(scan).there(scan.data).shape
        i, j, k = (min(max(round(x), 0), n - 1) for x, n in zip(place, shape, strict=True))
        return i, j, k

    def go(self, voxel: tuple[int, int, int]) -> None:
        """Move the present place to a display voxel; the main view follows, where it would be out of sight."""
        layer, viewer = self._desk.scan_layer, self._desk.viewer
        if layer is None:
            return
        dims = viewer.dims
        place = [float(x) for x in layer.data_to_world(voxel[-layer.ndim :])]
        first = dims.ndim - len(place)
        dims.set_point(range(first, dims.ndim), place)
        if dims.ndisplay == 2:
            self._follow_in_main([place[axis - first] for axis in dims.displayed])

    def _follow_in_main(self, at: list[float]) -> None:
        camera, canvas = self._desk.viewer.scene.camera, self._desk.viewer.canvas
        columns = 2 if canvas.grid.enabled else 1
        height, width = canvas.size
        reach = (height / camera.zoom / 2, width / columns / camera.zoom / 2)
        centre = camera.center[-2:]
        if any(abs(a - c) > r for a, c, r in zip(at, centre, reach, strict=True)):
            camera.center = (camera.center[0], *at)

    def show_in_main(self, across: int) -> None:
        """Show a plane in the main view, through the same place."""
        dims = self._desk.viewer.dims
        first = dims.ndim - 3
        if first < 0:
            return
        others = [axis + first for axis in range(3) if axis != across]
        dims.ndisplay = 2
        dims.order = (*range(first), across + first, *others)
        voxel = self.voxel
        if voxel is not None:
            self.go(voxel)

    def _on_pointed(self, across: int, row: int, column: int) -> None:
        voxel = self.voxel
        if voxel is not None:
            place = list(voxel)
            rows, columns = (axis for axis in range(3) if axis != across)
            place[rows], place[columns] = row, column
            self.go((place[0], place[1], place[2]))

    def _on_stepped(self, across: int, steps: int) -> None:
        voxel = self.voxel
        if voxel is not None:
            place = list(voxel)
            place[across] += steps
            self.go((place[0], place[1], place[2]))

    def _on_zoomed(self, steps: int) -> None:
        self._zoom = min(NEAREST, max(FARTHEST, self._zoom * NEARER**steps))
        self.refresh()

    # The widget itself

    def shown(self) -> None:
        """Draw what changed while nobody looked."""
        self.refresh()

    def stop_work(self) -> None:
        """Nothing runs beside the window."""

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Side by side where it is wide, one below the other where it is tall."""
        super().resizeEvent(event)
        wide = self.width() > self.height()
        self._rows.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)

    def close_down(self) -> None:
        """Let go of the viewer."""
        self._soon.stop()
        self._follow(None)
        for event in self._events():
            event.disconnect(self._later)
        for signal in (self._desk.changed, self._desk.acted, self._desk.redrawn):
            signal.disconnect(self._later)


def _opaque(colour: str) -> int:
    return 0xFF000000 | int(colour.removeprefix("#")[:6], 16)


def _table(layer: Image) -> tuple[int, ...]:
    """The layer's 256 colours, as ``0xffrrggbb``."""
    rgb = np.rint(layer.colormap.map(np.linspace(0, 1, 256) ** layer.gamma)[:, :3] * 255).astype(int)
    return tuple(int(0xFF000000 | (r << 16) | (g << 8) | b) for r, g, b in rgb)
