"""The worklist's table: each column as wide as what it says, so that cases can be told apart by their names."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_morse.widgets.project.case_table import COLUMNS, CaseTable

PADDING = 14
"""Pixels of a cell beside its text."""
SHARE, LEAST = 0.5, 240
"""A column takes no more than this share of the table, nor less than so many pixels if its text needs them."""
MEASURED_TEXTS = 20
"""Texts of a column that are measured: among thousands, only the longest can be the widest."""


class CaseView(QTableView):
    """Rows of a `CaseTable`; what has no room ends up in the middle of a text, and is in its tooltip.

    Parameters
    ----------
    model
        The cases.
    parent
        Owner.
    """

    def __init__(self, model: CaseTable, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cases = model
        self._fitting, self._by_hand = False, set[int]()
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.header = header = QHeaderView(Qt.Orientation.Horizontal, self)
        self.setHorizontalHeader(header)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSortIndicatorShown(True)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSectionsClickable(True)
        header.sectionResized.connect(self._on_resized)
        model.modelReset.connect(self.fit)
        model.dataChanged.connect(self._on_changed)
        self.fit()

    def fit(self) -> None:
        """Give each column the width that it needs, but for those that the person has drawn wider or narrower."""
        viewport = self.viewport()
        room = 0 if viewport is None else viewport.width()
        most, metrics = max(round(SHARE * room), LEAST), self.fontMetrics()
        self._fitting = True
        for column, (_, _, text, _) in enumerate(COLUMNS):
            if column not in self._by_hand:
                texts = sorted({text(case) for case in self._cases.cases}, key=len)[-MEASURED_TEXTS:]
                wide = max((metrics.horizontalAdvance(each) for each in texts), default=0) + PADDING
                self.setColumnWidth(column, max(self.header.sectionSizeHint(column), min(wide, most)))
        self._fitting = False

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Fit the columns anew."""
        super().resizeEvent(event)
        self.fit()

    def _on_changed(self, *_: object) -> None:
        self.fit()

    def _on_resized(self, column: int, _before: int, _now: int) -> None:
        # Qt tells of widths that are set here in the same way as of those that a person draws.
        if not self._fitting:
            self._by_hand.add(column)
