"""The result in numbers, whose it is, and the way to keep it as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_morse.session import Row, ToSave, size_unit
from napari_morse.types import Prediction, Scan
from napari_morse.widgets.base import RESEARCH_ONLY, Elided, Note
from napari_morse.widgets.case import SaveBox
from napari_morse.widgets.segment.patches import PatchTable

SWATCH = 10
"""Pixels of a colour square."""
NUMBER_PADDING = 3
"""Pixels at either side of a number."""
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
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(20)
        self.setIconSize(QSize(SWATCH, SWATCH))
        self.setWordWrap(True)
        self.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.setStyleSheet("QHeaderView::section { padding: 2px; } QTableWidget::item { padding: 1px 2px; }")
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
        columns = (
            [_size(row.coarse) for row in rows],
            [_size(row.rendered) for row in rows],
            [str(row.changed) for row in rows],
            [str(row.points) for row in rows],
        )
        for column, ((head_text, _tip), texts) in enumerate(zip(heads[1:], columns, strict=True), start=1):
            self._fill_numbers(column, head_text, texts)
        self._set_height()

    def _fill_numbers(self, column: int, head: str, texts: Sequence[str]) -> None:
        """A column as wide as what it says: Qt's own answer leaves no room for the names."""
        for row, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, column, item)
        lines = [line for text in (head, *texts) for line in text.splitlines()]
        widest = max(self.fontMetrics().horizontalAdvance(line) for line in lines)
        self.setColumnWidth(column, widest + 2 * NUMBER_PADDING)

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Give names that wrap the height that they need."""
        super().resizeEvent(event)
        self._set_height()

    def _set_height(self) -> None:
        self.resizeRowsToContents()
        rows = sum(self.rowHeight(row) for row in range(min(self.rowCount(), MOST_ROWS)))
        self.setFixedHeight(self._header.sizeHint().height() + rows + 2 * self.frameWidth() + 2)


def _size(size: float) -> str:
    """Two decimals, fewer where they say nothing and take room."""
    return f"{size:.{2 if size < 100 else 1 if size < 1000 else 0}f}"


def _swatch(color: str) -> QIcon:
    pixmap = QPixmap(SWATCH, SWATCH)
    pixmap.fill(QColor(color))
    return QIcon(pixmap)


class ResultBox(QWidget):
    """Caption, table, doubtful patches and “Save masks…”; hidden until there is a result.

    Parameters
    ----------
    current
        Gives what there is to be saved, edits included; see `SaveBox`.
    parent
        Owner.
    """

    def __init__(self, current: Callable[[], ToSave | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.caption = Elided(parent=self)
        self.table = ResultTable(self)
        self.patches = PatchTable(self)
        self.save = SaveBox(current, self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.caption, self.table, self.patches, self.save, Note(RESEARCH_ONLY, self)):
            layout.addWidget(widget)
        self.hide()

    def fill(self, rows: tuple[Row, ...], prediction: Prediction, scan: Scan) -> None:
        """Show the numbers of a result."""
        self.caption.say(f"{scan.stem}, by {prediction.model}")
        self.table.fill(rows, size_unit(scan))
        self.patches.fill(prediction.patches, prediction.rendered.labels)
        self.save.saved.say("")
        self.show()
