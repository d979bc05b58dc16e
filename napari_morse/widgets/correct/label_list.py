"""The structures of the mask under work: which one is drawn, and which are locked."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_morse.types import Label

LABEL_ROWS = 6
"""Rows seen before the list scrolls."""
SWATCH_PIXELS = 12
RENAME = ". Double click: another name."


class LabelList(QTableWidget):
    """One row a structure: its colour, its name, and a box that locks it; hidden when there is none."""

    chosen = Signal(int)
    """Id of the structure to draw."""
    locked = Signal(int, bool)
    """Id of a structure, and whether it is locked now."""
    rename_asked = Signal(int)
    """Id of a structure that a person added, on a double click."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self._ids: list[int] = []
        self._own: frozenset[int] = frozenset()
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setAccessibleName("Structures")
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header, numbers = QHeaderView(Qt.Orientation.Horizontal, self), QHeaderView(Qt.Orientation.Vertical, self)
        self.setHorizontalHeader(header)
        self._head = header
        self.setVerticalHeader(numbers)
        numbers.hide()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setColumnWidth(1, self.fontMetrics().horizontalAdvance("locked") + 24)
        for column, (text, tip) in enumerate(
            (
                ("structure", "Click: the brush draws this one."),
                ("locked", "No stroke and no tool changes a locked structure."),
            )
        ):
            head = QTableWidgetItem(text)
            head.setToolTip(tip)
            self.setHorizontalHeaderItem(column, head)
        self._row = self.fontMetrics().height() + 6
        numbers.setDefaultSectionSize(self._row)
        self.itemSelectionChanged.connect(self._on_chosen)
        self.itemChanged.connect(self._on_changed)
        self.itemDoubleClicked.connect(self._on_double_click)
        self.hide()

    def fill(
        self, labels: tuple[Label, ...], label: int, locked: frozenset[int], own: frozenset[int] = frozenset()
    ) -> None:
        """Show the structures, the one under work selected; ``own`` can be renamed."""
        self._own = own
        # Silent: what is filled in would be heard as chosen and locked by the person.
        with QSignalBlocker(self):
            self._ids = [x.id for x in labels]
            self.setRowCount(len(labels))
            for row, each in enumerate(labels):
                name = QTableWidgetItem(_swatch(each.color), each.name)
                name.setToolTip(f"{each.name}, label {each.id}{RENAME if each.id in own else ''}")
                box = QTableWidgetItem()
                box.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
                box.setCheckState(Qt.CheckState.Checked if each.id in locked else Qt.CheckState.Unchecked)
                box.setToolTip(f"Lock {each.name}: no stroke and no tool changes it.")
                self.setItem(row, 0, name)
                self.setItem(row, 1, box)
            if label in self._ids:
                self.selectRow(self._ids.index(label))
            else:
                self.clearSelection()
        tall = self._head.sizeHint().height()
        self.setFixedHeight(tall + self._row * min(len(labels), LABEL_ROWS) + 2 * self.frameWidth() + 2)
        self.setVisible(bool(labels))

    def _on_chosen(self) -> None:
        row = self.currentRow()
        if 0 <= row < len(self._ids) and self.selectedItems():
            self.chosen.emit(self._ids[row])

    def _on_double_click(self, item: QTableWidgetItem) -> None:
        label = self._ids[item.row()]
        if item.column() == 0 and label in self._own:
            self.rename_asked.emit(label)

    def _on_changed(self, item: QTableWidgetItem) -> None:
        if item.column() == 1:
            self.locked.emit(self._ids[item.row()], item.checkState() == Qt.CheckState.Checked)


def _swatch(colour: str) -> QIcon:
    pixmap = QPixmap(SWATCH_PIXELS, SWATCH_PIXELS)
    pixmap.fill(QColor(colour))
    return QIcon(pixmap)
