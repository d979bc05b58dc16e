"""The measures of a case as a list: a click leads there, Delete takes one away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_morse.session.case import Measure

MEASURE_ROWS = 5
"""Rows seen before the list scrolls."""
OLD = " *"
"""Behind a value whose mask was changed since."""


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
