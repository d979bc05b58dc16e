"""Measures of the case: ruler, diameters and areas, listed, drawn in their slices, and kept with the case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari.utils.notifications import show_warning
from qtpy.QtCore import Qt, Signal
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
from napari_morse.session.case import Measure, Measures
from napari_morse.types import Scan
from napari_morse.widgets.base import Note, act_button
from napari_morse.widgets.case import Passing
from napari_morse.widgets.review.measure_layer import OLD, MeasureLayer
from napari_morse.widgets.review.measuring import Measuring
from napari_morse.widgets.review.ruler import RULER_HINT, Ruler

if TYPE_CHECKING:
    from napari_morse.widgets.case import ActiveCase

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
