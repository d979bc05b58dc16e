"""Measures of the case: ruler, diameters and areas, listed, drawn in their slices, and kept with the case."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.utils.notifications import show_warning
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_morse.errors import InputError
from napari_morse.session.measures import Measure, Measures, length, of_structure, ruler
from napari_morse.types import Array, Label, Roi, Scan
from napari_morse.widgets.layers import display_axes
from napari_morse.widgets.measure_layer import MeasureLayer
from napari_morse.widgets.parts.text import Note
from napari_morse.widgets.plane_of import PlaneInView, plane_in_view
from napari_morse.widgets.ruler import Ruler

if TYPE_CHECKING:
    from napari_morse.widgets.desk import Desk

ROWS = 5
"""Rows seen before the list scrolls."""
LOOK = 300
"""Milliseconds after an act until measured structures are measured again."""
MEMORY = "Measures are kept while this window is open: press “Start correcting”, or open a case, to keep them."


class _List(QTableWidget):
    """Deletes on Delete."""

    def __init__(self, remove: Callable[[], None], parent: QWidget) -> None:
        super().__init__(0, 3, parent)
        self._remove = remove

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Delete, on every platform."""
        if event is not None and event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self._remove()
        else:
            super().keyPressEvent(event)


class MeasureBox(QWidget):
    """Measures what is under work.

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
        self.measures = Measures(None)
        self._of: tuple[Scan | None, Path | None] = (None, None)
        self._changed: dict[str, str] = {}
        self.ruler, self.shown = Ruler(desk, self), MeasureLayer(desk.viewer)
        self.line = self._button("Ruler", self.ruler.toggle)
        self.line.setCheckable(True)
        self.diameters = self._button("Diameters", lambda: self.structure("diameters"))
        self.area = self._button("Area", lambda: self.structure("area"))
        self.table = _List(self.remove, self)
        self.delete, self.restore = self._button("Delete", self.remove), self._button("Put back", self.put_back)
        self.note = Note(parent=self)
        self._lay_out()
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._look)
        self.ruler.toggled.connect(self.line.setChecked)
        self.ruler.said.connect(self.note.say)
        self.ruler.moved.connect(self._on_moved)
        self.ruler.drawn.connect(self._on_drawn)
        desk.changed.connect(self.refresh)
        desk.acted.connect(self._on_act)
        self.refresh()

    def _button(self, text: str, act: Callable[[], None]) -> QPushButton:
        button = QPushButton(text, self)
        button.clicked.connect(lambda _checked=False: act())
        return button

    def _lay_out(self) -> None:
        first, second = QHBoxLayout(), QHBoxLayout()
        for button in (self.line, self.diameters, self.area):
            first.addWidget(button)
        for button in (self.delete, self.restore):
            second.addWidget(button)
        table = self.table
        table.setHorizontalHeaderLabels(["measure", "slice", "value"])
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        table.setAccessibleName("Measures")
        table.setToolTip("Click to go there; Delete takes one away.")
        numbers, header = table.verticalHeader(), table.horizontalHeader()
        self._row = self.fontMetrics().height() + 4
        if numbers is not None and header is not None:
            numbers.hide()
            numbers.setDefaultSectionSize(self._row)
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        table.cellClicked.connect(lambda row, _column: self.go(row))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(first)
        layout.addWidget(table)
        layout.addLayout(second)
        layout.addWidget(self.note)

    # What the person does

    def structure(self, kind: Literal["diameters", "area"]) -> None:
        """Measure the structure under work in the slice in view."""
        scan, plane, mask, label = self._desk.scan, self._plane(), self._mask(), self._label()
        if scan is None or plane is None or mask is None or label is None:
            self.note.say(self._why() or "Show a slice of the scan, and choose a structure.")
            return
        try:
            self._keep(of_structure(kind, scan, mask, label, *plane.storage, reader=self._reader))
        except InputError as error:
            self.note.say(str(error))

    def _on_drawn(self, ends: Array, plane: PlaneInView) -> None:
        scan = self._desk.scan
        if scan is None or len(ends) != 2:
            return
        axis, index = plane.storage
        stored = display_axes(scan).index_back(ends)
        stored[:, axis] = index
        first, last = (tuple(float(x) for x in point) for point in stored)
        try:
            self._keep(ruler(scan, axis, first, last, self._reader))  # type: ignore[arg-type]
        except InputError as error:
            self.note.say(str(error))
            self._draw()

    def _on_moved(self, ends: Array) -> None:
        scan = self._desk.scan
        if scan is None or len(ends) != 2:
            self._draw()
            return
        first, last = (tuple(float(x) for x in point) for point in display_axes(scan).index_back(ends))
        unit = "mm" if scan.size_known else "px"
        self._draw(ends, f"{length(scan, first, last):.1f} {unit}")  # type: ignore[arg-type]

    def _keep(self, measure: Measure) -> None:
        self.measures.add(measure)
        self.note.say(f"{measure.kind}: {measure.text}")
        self._fill()

    def remove(self) -> None:
        """Take the measure of the current row away."""
        row = self.table.currentRow()
        if 0 <= row < len(self.measures.items):
            self._try(lambda: self.measures.remove(self.measures.items[row].id), "Taken away.")

    def put_back(self) -> None:
        """Put the measure that was taken away last back."""
        self._try(self.measures.undo_remove, "Put back.")

    def _try(self, act: Callable[[], Any], text: str) -> None:
        try:
            act()
            self.note.say(text)
        except InputError as error:
            self.note.say(str(error))
        self._fill()

    def go(self, row: int) -> None:
        """Show the slice of a measure, in its plane."""
        scan, layer, viewer = self._desk.scan, self._desk.scan_layer, self._desk.viewer
        if scan is None or layer is None or not 0 <= row < len(self.measures.items):
            return
        measure = self.measures.items[row]
        axes = display_axes(scan)
        across = axes.order.index(measure.axis)
        first = viewer.dims.ndim - 3
        if first < 0:
            return
        place = axes.index_there(np.array(measure.voxel)).mean(axis=0)
        others = [axis + first for axis in range(3) if axis != across]
        viewer.dims.order = (*range(first), across + first, *others)
        world = [float(x) for x in layer.data_to_world(place)]
        viewer.dims.set_point(range(first, first + 3), world)
        viewer.scene.camera.center = (0.0, *(world[axis - first] for axis in others))

    # What it works on

    def _plane(self) -> PlaneInView | None:
        scan, layer = self._desk.scan, self._desk.scan_layer
        return None if scan is None or layer is None else plane_in_view(self._desk.viewer, scan, layer)

    def _mask(self) -> Array | None:
        """The corrected mask, else the rendered one."""
        corrected, prediction = self._desk.corrected, self._desk.prediction
        if corrected is not None:
            return corrected.corrections.mask
        return None if prediction is None else np.asarray(prediction.rendered.data)

    def _label(self) -> Label | None:
        """The structure under work; without a corrected mask, the one of the selected layer."""
        number = self._desk.label
        if not number:
            active = self._desk.viewer.layers.selection.active
            number = int(getattr(active, "selected_label", 1))
        return next((x for x in self._desk.labels if x.id == number), None)

    @property
    def _reader(self) -> str:
        host = self._desk.host
        return host.project.reader if host is not None and host.project is not None and host.work is not None else ""

    def _why(self) -> str:
        if self._desk.scan is None or self._desk.scan_layer is None:
            return "Open a scan first."
        return "" if self._mask() is not None else "There is no mask to measure: run a model, or start correcting."

    # What is shown

    def refresh(self) -> None:
        """Show the measures of what is under work now."""
        scan, folder = self._desk.scan, self._desk.folder
        if scan is not self._of[0] or folder != self._of[1]:
            self._open(scan, folder)
        for button, why, tip in (
            (
                self.line,
                "" if scan is not None else "Open a scan first.",
                "Measure a line, in mm, in the slice in view.",
            ),
            (self.diameters, self._why(), "Longest diameter of the structure under work in this slice, and across it."),
            (self.area, self._why(), "Area of the structure under work in this slice."),
        ):
            button.setEnabled(not why)
            button.setToolTip(why or tip)

    def _open(self, scan: Scan | None, folder: Path | None) -> None:
        before, same = self.measures, scan is self._of[0] and self._of[1] is None
        self._of = scan, folder
        self.ruler.leave()
        self._changed = {}
        self.measures = Measures(folder, lambda: self._desk.folder is not None)
        for sentence in self.measures.notices:
            show_warning(sentence)
        if same and folder is not None:  # made before there was a folder
            for measure in before.items:
                self._try(partial(self.measures.add, measure), "")
        self._fill()

    def _fill(self) -> None:
        items = self.measures.items
        self.table.setRowCount(len(items))
        for row, measure in enumerate(items):
            name = f"{measure.kind}, {measure.structure}" if measure.structure else measure.kind
            now = self._changed.get(measure.id, "")
            value = f"{measure.text} *" if now else measure.text
            for column, text in enumerate((name, measure.place, value)):
                item = QTableWidgetItem(text)
                item.setToolTip(f"{text}\nThe mask was changed since: {now} now." if now and column == 2 else text)
                self.table.setItem(row, column, item)
        head = self.table.horizontalHeader()
        tall = head.sizeHint().height() if head is not None else self._row
        self.table.setFixedHeight(tall + self._row * min(len(items), ROWS) + 2 * self.table.frameWidth() + 2)
        self.table.setVisible(bool(items))
        self.delete.setVisible(bool(items))
        self.restore.setVisible(self.measures.can_undo)
        if items and self._desk.folder is None and not self.note.text():
            self.note.say(MEMORY)
        self._draw()

    def _draw(self, ends: Array | None = None, text: str = "") -> None:
        scan = self._desk.scan
        if scan is None or self._desk.scan_layer is None:
            self.shown.clear()
        else:
            self.shown.show(scan, self.measures.items, np.zeros((0, 3)) if ends is None else ends, text)

    def _on_act(self, _box: Roi) -> None:
        if any(measure.label is not None for measure in self.measures.items):
            self._soon.start(LOOK)

    def _look(self) -> None:
        """Which measured structures are others now: their values stay as they were measured, with a sign."""
        scan, mask = self._desk.scan, self._mask()
        if scan is None or mask is None:
            return
        self._changed = {}
        for measure in self.measures.items:
            if measure.label is None or measure.kind == "ruler":
                continue
            try:
                label = Label(measure.label, measure.structure or "", "#ffffff")
                now = of_structure(measure.kind, scan, mask, label, measure.axis, measure.index)
                if not np.allclose(now.values, measure.values):
                    self._changed[measure.id] = now.text
            except InputError:
                self._changed[measure.id] = "none"
        self._fill()

    def close_down(self) -> None:
        """Let go of the viewer."""
        self.ruler.leave()
        self._soon.stop()
        self.shown.clear()
        self._desk.changed.disconnect(self.refresh)
        self._desk.acted.disconnect(self._on_act)
