"""Measures of the case: ruler, diameters and areas, listed, drawn in their slices, and kept with the case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from napari.utils.notifications import show_warning
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_morse.errors import InputError
from napari_morse.session.case import Measure, Measures, again, length, now, of_structure, ruler
from napari_morse.types import Array, Label, Roi, Scan
from napari_morse.widgets.base import Note, act_button
from napari_morse.widgets.bridge import PlaneInView, display_axes, go_to, turn_to
from napari_morse.widgets.case import Passing, Rest
from napari_morse.widgets.review.measure_layer import Line, MeasureLayer, lines_of
from napari_morse.widgets.review.measure_table import OLD, MeasureTable
from napari_morse.widgets.review.ruler import RULER_HINT, MeasureLine, Ruler

if TYPE_CHECKING:
    from napari_morse.widgets.case import Desk

LOOK = 300
"""Milliseconds after an act until measured structures are measured again."""
MEMORY = "Measures are kept while this window is open: press “Start correcting”, or open a case, to keep them."
CHANGED_LEGEND = "* The mask was changed since."
_Of = tuple[Scan | None, Path | None]


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
        self._shown_for: _Of = (None, None)
        self._loose: WeakKeyDictionary[Scan, Measures] = WeakKeyDictionary()
        self._warned = 0
        self._now: dict[str, str] = {}
        self._due: list[str] = []
        self._live: Line | None = None
        self.ruler = Ruler(desk, self._drawn_lines, self)
        self.shown = MeasureLayer(desk.viewer, self._on_undone)
        self._soon, self._redraw = self._timer(self._look), self._timer(self._draw)
        self._make_widgets()
        self._connect()
        self.refresh()

    def _make_widgets(self) -> None:
        self.line = act_button(self, "Ruler", self.ruler.toggle)
        self.line.setCheckable(True)
        self.diameters = act_button(self, "Diameters", lambda: self.structure("diameters"))
        self.area = act_button(self, "Area", lambda: self.structure("area"))
        self.table = MeasureTable(self)
        self.delete = act_button(self, "Delete", self.remove, "Take the selected measure away.")
        self.anew = act_button(
            self, "Measure again", self.measure_again, "Measure the selected structure anew, in the mask as it is now."
        )
        self.restore = act_button(
            self, "Undo", self.undo, "Put back what was taken away, moved or measured again last."
        )
        self.legend = Note(CHANGED_LEGEND, self)
        self.note = Passing(self._desk, idle=self._hint, parent=self)
        first, second = QHBoxLayout(), QHBoxLayout()
        for button in (self.line, self.diameters, self.area):
            first.addWidget(button)
        for button in (self.delete, self.anew, self.restore):
            second.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(first)
        layout.addWidget(self.table)
        layout.addWidget(self.legend)
        layout.addLayout(second)
        layout.addWidget(self.note)

    def _timer(self, act: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(act)
        return timer

    def _connect(self) -> None:
        self.ruler.toggled.connect(self.line.setChecked)
        self.ruler.said.connect(self.note.say)
        self.ruler.moved.connect(self._on_moved)
        self.ruler.drawn.connect(self._on_drawn)
        self.table.chosen.connect(self.go)
        self.table.unwanted.connect(self.remove)
        self.table.itemSelectionChanged.connect(self._enable)
        self._desk.changed.connect(self.refresh)
        self._desk.rested.connect(self._on_rest)
        for event in (self._desk.viewer.dims.events.order, self._desk.viewer.dims.events.ndisplay):
            event.connect(self._on_plane)

    # What the person does

    def structure(self, kind: Literal["diameters", "area"]) -> None:
        """Measure the structure under work in the slice in view."""
        scan, plane, mask, label = self._desk.scan, self._desk.plane, self._desk.mask, self._label()
        if scan is None or plane is None or mask is None or label is None:
            self.note.say(self._why() or "Show a slice of the scan, and choose a structure.")
            return
        try:
            self._keep(of_structure(kind, scan, mask, label, *plane.storage, reader=self._reader))
        except InputError as error:
            self.note.say(str(error))

    def _on_drawn(self, ends: Array, plane: PlaneInView) -> None:
        """Keep a line that was drawn, or an end that was moved."""
        scan, self._live = self._desk.scan, None
        if scan is None or len(ends) != 2:
            self._draw()
            return
        axis, index = plane.storage
        stored = display_axes(scan).index_to_storage(ends)
        stored[:, axis] = index
        first, last = (tuple(float(x) for x in point) for point in stored)
        try:
            self._keep(ruler(scan, axis, first, last, self._reader), self.ruler.held)  # type: ignore[arg-type]
        except InputError as error:
            self.note.say(str(error))
            self._draw()

    def _on_moved(self, ends: Array) -> None:
        scan, self._live = self._desk.scan, None
        if scan is not None and len(ends) == 2:
            first, last = (tuple(float(x) for x in point) for point in display_axes(scan).index_to_storage(ends))
            unit = "mm" if scan.size_known else "px"
            self._live = Line(ends, f"{length(scan, first, last):.1f} {unit}")  # type: ignore[arg-type]
        self._redraw.start(0)  # once for all moves that wait

    def _keep(self, measure: Measure, instead_of: str = "") -> None:
        """Add a measure, or put it in the place of another."""
        if instead_of:
            self.measures.replace(instead_of, measure)
        else:
            self.measures.add(measure)
        more = f" ({measure.note})" if measure.note else ""
        memory = f" {MEMORY}" if self._folder is None and len(self.measures.items) == 1 else ""
        self.note.say(f"{measure.kind}: {measure.text}{more}.{memory}")
        self._fill()
        row = next(row for row, each in enumerate(self.measures.items) if each.id == measure.id)
        self.table.setCurrentCell(row, 0)

    def remove(self) -> None:
        """Take the measure of the current row away."""
        measure = self._current()
        if measure is not None:
            self._try(lambda: self.measures.remove(measure.id), "Taken away.")

    def measure_again(self) -> None:
        """Measure the structure of the current row anew, in the present mask."""
        measure, scan, mask = self._current(), self._desk.scan, self._desk.mask
        if measure is not None and scan is not None and mask is not None:
            try:
                self._keep(again(measure, scan, mask, self._reader), measure.id)
            except InputError as error:
                self.note.say(str(error))

    def undo(self) -> None:
        """Put back what was taken away, moved or measured again last."""
        self._try(self.measures.undo, "Put back.")
        self._ask()

    def _try(self, act: Callable[[], Any], text: str) -> None:
        try:
            act()
            self.note.say(text)
        except InputError as error:
            self.note.say(str(error))
        self._fill()

    def _current(self) -> Measure | None:
        row = self.table.currentRow()
        return self.measures.items[row] if 0 <= row < len(self.measures.items) else None

    def go(self, row: int) -> None:
        """Show the slice of a measure, in its plane."""
        scan, layer, viewer = self._desk.scan, self._desk.scan_layer, self._desk.viewer
        if scan is None or layer is None or not 0 <= row < len(self.measures.items):
            return
        measure, axes = self.measures.items[row], display_axes(scan)
        if viewer.dims.ndim >= 3:
            turn_to(viewer, axes.order.index(measure.axis))
            go_to(viewer, layer, axes.index_to_view(np.array(measure.voxel)).mean(axis=0))

    # What it works on

    def _hint(self) -> str:
        """What is said while nothing else is."""
        return RULER_HINT if self.ruler.active else ""

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
        return host.project.reader if host.project is not None and host.in_view else ""

    @property
    def _folder(self) -> Path | None:
        """Where the measures lie, also where they may only be read."""
        host = self._desk.host
        work = host.work if host.in_view else None  # not of a case beside the scan in view
        return work.folder if work is not None else self._desk.folder

    def _why(self) -> str:
        if self._desk.scan is None or self._desk.scan_layer is None:
            return "Open a scan first."
        return "" if self._desk.mask is not None else "There is no mask to measure: run a model, or start correcting."

    # What is shown

    def refresh(self) -> None:
        """Show the measures of what is under work now."""
        scan, folder = self._desk.scan, self._folder
        if scan is not self._shown_for[0] or folder != self._shown_for[1]:
            self._open(scan, folder)
        self._ask()
        blocked = "" if scan is not None and self._desk.scan_layer is not None else "Open a scan first."
        for button, why, tip in (
            (self.line, blocked, "Measure a line, in mm, in the slice in view; drag an end of a line to move it."),
            (self.diameters, self._why(), "Longest diameter of the structure under work in this slice, and across it."),
            (self.area, self._why(), "Area of the structure under work in this slice."),
        ):
            button.setEnabled(not why)
            button.setToolTip(why or (f"{tip}\n{MEMORY}" if folder is None else tip))

    def _open(self, scan: Scan | None, folder: Path | None) -> None:
        self.ruler.leave()
        self.shown.clear()
        self._shown_for, self._warned, self._now, self._due = (scan, folder), 0, {}, []
        if scan is None or folder is not None:
            self.measures = Measures(folder, lambda: self._desk.folder is not None)
        else:
            self.measures = self._loose.setdefault(scan, Measures(None))
        before = self._loose.pop(scan, None) if scan is not None and folder is not None else None
        for measure in before.items if before is not None else ():  # made before there was a folder
            try:
                self.measures.add(measure)
            except InputError as error:
                show_warning(str(error))
                break
        self.note.say("")
        self._fill()

    def _fill(self) -> None:
        items = self.measures.items
        self._now = {each.id: self._now[each.id] for each in items if each.id in self._now}
        for sentence in self.measures.notices[self._warned :]:
            show_warning(sentence)
        self._warned = len(self.measures.notices)
        self.table.fill(items, self._now)
        self.delete.setVisible(bool(items))
        self.restore.setVisible(self.measures.can_undo)
        self.legend.setVisible(bool(self._now))
        self._enable()
        self._draw()

    def _enable(self) -> None:
        current = self._current()
        old = current is not None and bool(self._now.get(current.id))
        self.delete.setEnabled(current is not None)
        self.anew.setVisible(bool(self._now))
        self.anew.setEnabled(old)

    def _draw(self) -> None:
        """Draw the measures of the plane in view, each in its slice; of all planes in 3-D."""
        self._redraw.stop()
        scan, live, items = self._desk.scan, self._live, self.measures.items
        if scan is None or self._desk.scan_layer is None or not (items or live):
            self.shown.clear()
            return
        lines = [] if live is None else [live]
        for each in items:
            if self._in_plane(scan, each) and each.id != (self.ruler.held if live is not None else ""):
                lines += lines_of(scan, each, OLD if each.id in self._now else "")
        self.shown.show(scan, lines)

    def _in_plane(self, scan: Scan, measure: Measure) -> bool:
        dims = self._desk.viewer.dims
        across = display_axes(scan).order.index(measure.axis) + dims.ndim - 3
        return dims.ndisplay == 3 or across not in dims.displayed

    def _drawn_lines(self) -> list[MeasureLine]:
        """The lines of the slice in view."""
        scan, plane = self._desk.scan, self._desk.plane
        if scan is None or plane is None:
            return []
        there = display_axes(scan).index_to_view
        return [
            MeasureLine(each.id, there(np.array(each.voxel)))
            for each in self.measures.items
            if each.kind == "ruler" and (each.axis, each.index) == plane.storage
        ]

    def _on_plane(self, _event: Any = None) -> None:
        self._draw()

    def _on_undone(self, sentence: str) -> None:
        """Not at once: the layer is still telling of its change."""
        self.note.say(sentence)
        if self.shown.layer is not None:
            self._redraw.start(0)

    # Whether the mask was changed since

    def _on_rest(self, rest: Rest) -> None:
        self._ask(rest.box)

    def _ask(self, box: Roi | None = None) -> None:
        """Look soon whether the structures in a box are as they were measured; None: all of them."""
        for each in self.measures.items:
            inside = box is None or box.start[each.axis] <= each.index < box.stop[each.axis]
            if each.label is not None and inside and each.id not in self._due:
                self._due.append(each.id)
        if self._due:
            self._soon.start(LOOK if box is not None else 0)

    def _look(self) -> None:
        """Measure one structure, and the next in the next turn of the event loop; the kept values stay as they were."""
        scan, mask = self._desk.scan, self._desk.mask
        if scan is None or mask is None or not self._due:
            self._due = []
            return
        due = self._due.pop(0)
        measure = next((each for each in self.measures.items if each.id == due), None)
        later = "" if measure is None or mask.shape != scan.grid.shape else now(measure, scan, mask)
        if later != self._now.get(due, ""):
            self._now = {key: text for key, text in (self._now | {due: later}).items() if text}
            self._fill()
        if self._due:
            self._soon.start(0)

    def close_down(self) -> None:
        """Let go of the viewer."""
        self.ruler.leave()
        self._soon.stop()
        self._redraw.stop()
        self.note.close_down()
        self.shown.close()
        self._desk.changed.disconnect(self.refresh)
        self._desk.rested.disconnect(self._on_rest)
        for event in (self._desk.viewer.dims.events.order, self._desk.viewer.dims.events.ndisplay):
            event.disconnect(self._on_plane)
