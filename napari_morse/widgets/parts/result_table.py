"""The result in numbers, one row a structure, in the colours of the masks."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_morse.session import Row

SWATCH = 12
"""Pixels of a colour square."""
MOST_ROWS = 8
"""Rows shown before the table scrolls."""


class ResultTable(QTableWidget):
    """Structure, size before and after rendering, voxels changed, points."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 5, parent)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        header = self._header = QHeaderView(Qt.Orientation.Horizontal, self)
        self.setHorizontalHeader(header)
        numbers = QHeaderView(Qt.Orientation.Vertical, self)
        self.setVerticalHeader(numbers)
        numbers.hide()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(20)
        self.setIconSize(QSize(SWATCH, SWATCH))
        self.setWordWrap(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setToolTip("The structures that the model finds: how large, and what rendering changed.")
        self.fill((), "ml")

    def fill(self, rows: Sequence[Row], unit: str) -> None:
        """Show ``rows``; sizes are in ``unit``."""
        heads = (
            ("structure", "The structure, in the colour of its mask."),
            (f"coarse\n{unit}", "Size before rendering."),
            (f"rendered\n{unit}", "Size after rendering."),
            ("changed\nvoxels", "Voxels that rendering added to or took from the structure."),
            ("points", "Doubtful voxels that were predicted again."),
        )
        self.setRowCount(len(rows))
        for column, (text, tip) in enumerate(heads):
            head = QTableWidgetItem(text)
            head.setToolTip(tip)
            self.setHorizontalHeaderItem(column, head)
        for number, row in enumerate(rows):
            name = QTableWidgetItem(_swatch(row.color), row.name)
            name.setToolTip(f"{row.name}: label {row.id}")
            self.setItem(number, 0, name)
            texts = (f"{row.coarse:.2f}", f"{row.rendered:.2f}", str(row.changed), str(row.points))
            for column, text in enumerate(texts, start=1):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(number, column, item)
        self._set_height(len(rows))

    def _set_height(self, count: int) -> None:
        rows = sum(self.rowHeight(row) for row in range(min(count, MOST_ROWS)))
        self.setFixedHeight(self._header.sizeHint().height() + rows + 2 * self.frameWidth() + 2)


def _swatch(color: str) -> QIcon:
    pixmap = QPixmap(SWATCH, SWATCH)
    pixmap.fill(QColor(color))
    return QIcon(pixmap)
