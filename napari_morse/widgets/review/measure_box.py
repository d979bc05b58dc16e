"""Measures of the case: ruler, diameters and areas, listed, drawn in their slices, and kept with the case."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, Qt, QTimer, Signal
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
from napari_morse.session.case import Measure, Measures, again, length, now, of_structure, ruler
from napari_morse.types import Scan
from napari_morse.widgets.base import Note, act_button
from napari_morse.widgets.bridge import PlaneInView, display_axes, go_to, turn_to
from napari_morse.widgets.case import Passing
from napari_morse.widgets.review.measure_layer import OLD, Line, MeasureLayer, lines_of, unheard
from napari_morse.widgets.review.ruler import RULER_HINT, MeasureLine, Ruler

if TYPE_CHECKING:
    from napari_morse.widgets.case import ActiveCase, Rest

MEMORY = "Measures are kept while this window is open: press “Start correcting”, or open a case, to keep them."
MEASURE_ROWS = 5
"""Rows seen before the list scrolls."""
CHANGED_LEGEND = "* The mask was changed since."
_Of = tuple[Scan | None, Path | None]


class MeasureTable(QTableWidget):
    """What, where and how much; hidden while there is none."""

    chosen = Signal(int)
    """Row that was clicked, or on which Enter was pressed."""
    unwanted = Signal()
    """Delete was pressed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 3, parent)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Measures")
        self.setToolTip("Click, or press Enter, to go there; Delete takes one away.")
        self.setStyleSheet("QHeaderView::section { padding: 2px; } QTableWidget::item { padding: 1px 2px; }")
        self.setHorizontalHeaderLabels(["measure", "slice", "value"])
        self._row = self.fontMetrics().height() + 4
        numbers, self._head = QHeaderView(Qt.Orientation.Vertical, self), QHeaderView(Qt.Orientation.Horizontal, self)
        self.setVerticalHeader(numbers)
        self.setHorizontalHeader(self._head)
        numbers.hide()
        numbers.setDefaultSectionSize(self._row)
        self._head.setSectionsClickable(True)  # Qt does so with the header that it makes itself
        self._head.setHighlightSections(True)
        self._head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self._head.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.cellClicked.connect(lambda row, _column: self.chosen.emit(row))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Delete and Enter, on every platform."""
        key = Qt.Key.Key_unknown if event is None else event.key()
        if key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.unwanted.emit()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if self.currentRow() >= 0:
                self.chosen.emit(self.currentRow())
        else:
            super().keyPressEvent(event)

    def fill(self, measures: Sequence[Measure], current: Mapping[str, str]) -> None:
        """List measures; ``now`` has, by id, what a structure comes to where its mask was changed since."""
        self.setRowCount(len(measures))
        for row, measure in enumerate(measures):
            name = f"{measure.kind}, {measure.structure}" if measure.structure else measure.kind
            later = current.get(measure.id, "")
            for column, (text, more) in enumerate(
                (
                    (name, measure.note),
                    (measure.place, ""),
                    (f"{measure.text}{OLD if later else ''}", later and f"The mask was changed since: {later} now."),
                )
            ):
                item = QTableWidgetItem(text)
                item.setToolTip(f"{text}\n{more}" if more else text)
                self.setItem(row, column, item)
        self.setFixedHeight(
            self._head.sizeHint().height() + self._row * min(len(measures), MEASURE_ROWS) + 2 * self.frameWidth() + 2
        )
        self.setVisible(bool(measures))


LOOK = 300
"""Milliseconds after an act until measured structures are measured again."""


class Measuring(QObject):
    """The measures of a scan, from when it comes into view with a folder until another one does.

    Parameters
    ----------
    box
        Whose buttons, list, ruler and drawing it takes until `close`.
    active_case
        What is under work.
    scan
        What is measured.
    measures
        Of this scan.
    memory
        Said of the first one, where they are kept in memory only; else empty.
    """

    def __init__(self, box: MeasureBox, active_case: ActiveCase, scan: Scan, measures: Measures, memory: str) -> None:
        super().__init__(box)
        self._box, self._active_case = box, active_case
        self._scan, self._measures, self._memory = scan, measures, memory
        self._axes = display_axes(scan)
        self._warned = 0
        self._now: dict[str, str] = {}
        """What measures come to in the mask as it is, by id, where that is another value."""
        self._due: list[Measure] = []
        self._live: list[Line] = []
        self._replaced = ""
        """Id of the measure in whose place `_live` is drawn."""
        self._soon, self._redraw = self._timer(self._look), self._timer(self._draw)
        box.ruler.lines, box.shown.undone = self._lines, self._on_undone
        for signal, slot in self._signals():
            signal.connect(slot)
        self._fill()
        self._ask(self._measures.items)

    def _timer(self, act: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(act)
        return timer

    def _signals(self) -> tuple[tuple[Any, Callable[..., None]], ...]:
        box, active_case, dims = self._box, self._active_case, self._active_case.viewer.dims.events
        return (
            (box.diameters.clicked, self._on_diameters), (box.area.clicked, self._on_area),
            (box.delete.clicked, self._on_remove), (box.anew.clicked, self._on_again),
            (box.restore.clicked, self._on_undo), (box.table.chosen, self._on_chosen),
            (box.table.unwanted, self._on_remove), (box.table.itemSelectionChanged, self._enable),
            (box.ruler.moved, self._on_moved), (box.ruler.dropped, self._on_dropped),
            (box.ruler.drawn, self._on_drawn), (active_case.changed, self._on_case),
            (active_case.rested, self._on_rest),
            (dims.order, self._on_plane), (dims.ndisplay, self._on_plane),
        )  # fmt: skip

    def close(self) -> None:
        """Give all back that was taken; the measures are on the disk, or with who gave them."""
        self._soon.stop()
        self._redraw.stop()
        for signal, slot in self._signals():
            signal.disconnect(slot)
        self._box.ruler.lines = tuple
        self._box.shown.clear()
        self._box.shown.undone = unheard
        self.deleteLater()

    # What the person does

    def _on_diameters(self) -> None:
        self._structure("diameters")

    def _on_area(self) -> None:
        self._structure("area")

    def _structure(self, kind: Literal["diameters", "area"]) -> None:
        """Measure the structure under work in the slice in view."""
        plane, mask = self._active_case.plane, self._active_case.mask
        labels, number = {label.id: label for label in self._active_case.labels}, self._label()
        if plane is None or mask is None or number not in labels:
            self._box.note.say(self._box.why() or "Show a slice of the scan, and choose a structure.")
            return
        self._keep(partial(of_structure, kind, self._scan, mask, labels[number], *plane.storage, reader=self._reader))

    def _label(self) -> int:
        """Id of the structure under work; without a corrected mask, of the one of the selected layer."""
        active = self._active_case.viewer.layers.selection.active
        return self._active_case.label or int(getattr(active, "selected_label", 1))

    @property
    def _reader(self) -> str:
        host = self._active_case.host
        return host.project.reader if host.project is not None and host.in_view else ""

    def _on_drawn(self, line: MeasureLine, plane: PlaneInView) -> None:
        """Keep a line that was drawn, or an end that was moved."""
        self._live, self._replaced = [], ""
        axis, index = plane.storage
        stored = self._axes.index_to_storage(line.ends)
        # The slice's own index: both ends lie in it exactly, whatever was rounded on the way.
        stored[:, axis] = index
        first, last = (tuple(float(x) for x in point) for point in stored)
        self._keep(lambda: ruler(self._scan, axis, first, last, self._reader), line.measure)  # type: ignore[arg-type]

    def _on_moved(self, line: MeasureLine) -> None:
        first, last = (tuple(float(x) for x in point) for point in self._axes.index_to_storage(line.ends))
        unit = "mm" if self._scan.size_known else "px"
        self._live = [Line(line.ends, f"{length(self._scan, first, last):.1f} {unit}")]  # type: ignore[arg-type]
        self._replaced = line.measure
        self._redraw.start(0)  # once for all moves that wait

    def _on_dropped(self) -> None:
        self._live, self._replaced = [], ""
        self._redraw.start(0)

    def _keep(self, make: Callable[[], Measure], instead_of: str = "") -> None:
        """Add a measure, or put it in the place of another."""
        try:
            measure = make()
            if instead_of:
                self._measures.replace(instead_of, measure)
            else:
                self._measures.add(measure)
        except InputError as error:
            self._box.note.say(str(error))
            self._draw()
            return
        more = f" ({measure.note})" if measure.note else ""
        memory = f" {self._memory}" if self._memory and len(self._measures.items) == 1 else ""
        self._box.note.say(f"{measure.kind}: {measure.text}{more}.{memory}")
        self._fill()
        ids = [each.id for each in self._measures.items]
        if measure.id in ids:  # it may have been deleted in the list while its end was dragged
            self._box.table.setCurrentCell(ids.index(measure.id), 0)

    def _on_remove(self) -> None:
        for measure in self._selected():
            self._try(partial(self._measures.remove, measure.id), "Taken away.")

    def _on_again(self) -> None:
        """Measure the selected structure anew, in the present mask."""
        mask = self._active_case.mask
        if mask is None:
            return
        for measure in self._selected():
            self._keep(partial(again, measure, self._scan, mask, self._reader), measure.id)

    def _on_undo(self) -> None:
        """Put back what was taken away, moved or measured again last."""
        self._try(self._measures.undo, "Put back.")
        self._ask(self._measures.items)

    def _try(self, act: Callable[[], Any], text: str) -> None:
        try:
            act()
            self._box.note.say(text)
        except InputError as error:
            self._box.note.say(str(error))
        self._fill()

    def _selected(self) -> tuple[Measure, ...]:
        row = self._box.table.currentRow()
        return self._measures.items[row : row + 1] if row >= 0 else ()

    def _on_chosen(self, row: int) -> None:
        """Show the slice of a measure, in its plane."""
        layer, viewer = self._active_case.scan_layer, self._active_case.viewer
        if layer is None or row >= len(self._measures.items) or viewer.dims.ndim < 3:
            return
        measure = self._measures.items[row]
        turn_to(viewer, self._axes.order.index(measure.axis))
        go_to(viewer, layer, self._axes.index_to_view(np.array(measure.voxel)).mean(axis=0))

    # What is shown

    def _fill(self) -> None:
        items = self._measures.items
        self._now = {each.id: self._now[each.id] for each in items if each.id in self._now}
        self._due = [each for each in self._due if each in items]
        for sentence in self._measures.notices[self._warned :]:
            show_warning(sentence)
        self._warned = len(self._measures.notices)
        self._box.fill(items, self._now, can_undo=self._measures.can_undo)
        self._enable()
        self._draw()

    def _enable(self) -> None:
        selected = self._selected()
        self._box.delete.setEnabled(bool(selected))
        self._box.anew.setEnabled(any(each.id in self._now for each in selected))

    def _draw(self) -> None:
        """Draw the measures of the plane in view, each in its slice; of all planes in 3-D."""
        self._redraw.stop()
        items = self._measures.items
        if self._active_case.scan_layer is None or not (items or self._live):
            self._box.shown.clear()
            return
        lines = [*self._live]
        for each in items:
            if self._in_plane(each) and each.id != self._replaced:
                lines += lines_of(self._scan, each, OLD if each.id in self._now else "")
        self._box.shown.show(self._scan, lines)

    def _in_plane(self, measure: Measure) -> bool:
        dims = self._active_case.viewer.dims
        across = self._axes.order.index(measure.axis) + dims.ndim - 3
        return dims.ndisplay == 3 or across not in dims.displayed

    def _lines(self) -> list[MeasureLine]:
        """The lines of the slice in view."""
        plane = self._active_case.plane
        if plane is None:
            return []
        there = self._axes.index_to_view
        return [
            MeasureLine(each.id, there(np.array(each.voxel)))
            for each in self._measures.items
            if each.kind == "ruler" and (each.axis, each.index) == plane.storage
        ]

    def _on_plane(self, _event: Any = None) -> None:
        self._draw()

    def _on_undone(self, sentence: str, *, again: bool) -> None:
        self._box.note.say(sentence)
        if again:
            self._redraw.start(0)  # not at once: the layer is still telling of its change

    # Whether the mask was changed since

    def _on_case(self) -> None:
        self._ask(self._measures.items)

    def _on_rest(self, rest: Rest) -> None:
        start, stop = rest.box.start, rest.box.stop
        inside = (each for each in self._measures.items if start[each.axis] <= each.index < stop[each.axis])
        self._ask(inside, LOOK)

    def _ask(self, measures: Iterable[Measure], wait: int = 0) -> None:
        """Look soon whether measured structures are as they were."""
        self._due += [each for each in measures if each.kind != "ruler" and each not in self._due]
        if self._due:
            self._soon.start(wait)

    def _look(self) -> None:
        """Measure one structure, and the next in the next turn of the event loop; the kept values stay as they were."""
        mask = self._active_case.mask
        if mask is None or not self._due:
            self._due = []
            return
        measure = self._due.pop(0)
        later = now(measure, self._scan, mask) if mask.shape == self._scan.grid.shape else ""
        if later != self._now.get(measure.id, ""):
            self._now = {key: text for key, text in (self._now | {measure.id: later}).items() if text}
            self._fill()
        if self._due:
            self._soon.start(0)


class MeasureBox(QWidget):
    """Buttons, list and drawing for the measures of what is under work; a `Measuring` has them while a scan is there.

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
        self.measures = Measures(None)
        """Of the scan in view; without one, none."""
        self._measuring: Measuring | None = None
        self._shown_for: _Of = (None, None)
        self._loose: WeakKeyDictionary[Scan, Measures] = WeakKeyDictionary()
        self._memory = ""
        self.ruler = Ruler(active_case, self)
        self.shown = MeasureLayer(active_case.viewer)
        self._make_widgets()
        self.ruler.toggled.connect(self.line.setChecked)
        self.ruler.said.connect(self.note.say)
        self._active_case.changed.connect(self.refresh)
        self._show_nothing()
        self.refresh()

    def _make_widgets(self) -> None:
        self.line = act_button(self, "Ruler", self.ruler.toggle)
        self.line.setCheckable(True)
        self.diameters, self.area = QPushButton("Diameters", self), QPushButton("Area", self)
        self.table = MeasureTable(self)
        self.delete, self.anew = QPushButton("Delete", self), QPushButton("Measure again", self)
        self.restore = QPushButton("Undo", self)
        self.delete.setToolTip("Take the selected measure away.")
        self.anew.setToolTip("Measure the selected structure anew, in the mask as it is now.")
        self.restore.setToolTip("Put back what was taken away, moved or measured again last.")
        self.legend = Note(CHANGED_LEGEND, self)
        self.note = Passing(self._active_case, idle=self._hint, parent=self)
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

    def _hint(self) -> str:
        """What is said while nothing else is."""
        return RULER_HINT if self.ruler.active else ""

    @property
    def _folder(self) -> Path | None:
        """Where the measures lie, also where they may only be read."""
        host = self._active_case.host
        work = host.work if host.in_view else None  # not of a case beside the scan in view
        return work.folder if work is not None else self._active_case.folder

    def _blocked(self) -> str:
        return "Open a scan first." if self._active_case.scan is None or self._active_case.scan_layer is None else ""

    def why(self) -> str:
        """Why no structure can be measured; empty when one can."""
        if self._blocked():
            return self._blocked()
        return (
            ""
            if self._active_case.mask is not None
            else "There is no mask to measure: run a model, or start correcting."
        )

    def refresh(self) -> None:
        """Show the measures of what is under work now."""
        scan, folder = self._active_case.scan, self._folder
        if scan is not self._shown_for[0] or folder != self._shown_for[1]:
            self._shown_for = scan, folder
            self._leave()
            if scan is None:
                self._show_nothing()
            else:
                self._show(scan, folder)
        for button, why, tip in (
            (
                self.line,
                self._blocked(),
                "Measure a line, in mm, in the slice in view; drag an end of a line to move it.",
            ),
            (self.diameters, self.why(), "Longest diameter of the structure under work in this slice, and across it."),
            (self.area, self.why(), "Area of the structure under work in this slice."),
        ):
            button.setEnabled(not why)
            button.setToolTip(why or f"{tip}\n{self._memory}".strip())

    def _leave(self) -> None:
        self.ruler.leave()
        if self._measuring is not None:
            self._measuring.close()
            self._measuring = None
        self.note.say("")

    def _show_nothing(self) -> None:
        self.measures, self._memory = Measures(None), ""
        self.fill((), {}, can_undo=False)

    def _show(self, scan: Scan, folder: Path | None) -> None:
        if folder is None:
            self.measures, self._memory = self._loose.setdefault(scan, Measures(None)), MEMORY
        else:
            self.measures, self._memory = Measures(folder, lambda: self._active_case.folder is not None), ""
            self._take_over(self._loose.pop(scan, Measures(None)))
        self._measuring = Measuring(self, self._active_case, scan, self.measures, self._memory)

    def _take_over(self, before: Measures) -> None:
        """Keep what was measured before there was a folder."""
        for measure in before.items:
            try:
                self.measures.add(measure)
            except InputError as error:
                show_warning(str(error))
                break

    def fill(self, measures: tuple[Measure, ...], current: Mapping[str, str], *, can_undo: bool) -> None:
        """List measures, as `MeasureTable.fill`, with the acts that there are on them."""
        self.table.fill(measures, current)
        self.delete.setVisible(bool(measures))
        self.restore.setVisible(can_undo)
        self.legend.setVisible(bool(current))
        self.anew.setVisible(bool(current))

    def close_down(self) -> None:
        """Let go of the viewer."""
        self._active_case.changed.disconnect(self.refresh)
        self._leave()
        self.note.close_down()
        self.shown.close()
