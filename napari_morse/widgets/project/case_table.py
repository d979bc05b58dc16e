"""The worklist as a table: thousands of rows, read from a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt

from napari_morse.session.project import STATUS_WORDS, Case, Order

Column = tuple[str, Order | None, Callable[[Case], str], str]
COLUMNS: tuple[Column, ...] = (
    ("case", "name", lambda c: c.stem, "The scan's own file name."),
    ("status", "status", lambda c: STATUS_WORDS[c.status], "Where the review stands."),
    ("doubt", "doubt", lambda c: _number(c.doubt_mm, "mm"), "Boundary that is probably wrong."),
    (
        "differs",
        "disagreement",
        lambda c: _number(c.disagreement_mm3, "mm³"),
        "Coarse and rendered mask differ by this.",
    ),
    ("patient", None, lambda c: c.patient, "Whose scan it is."),
    ("for", None, lambda c: "judging" if c.held_out else "training", "Patients for judging are never trained on."),
    ("reviewer", None, lambda c: c.reviewer, "Who moved it last."),
    ("time", "seconds", lambda c: _number(c.seconds / 60, "min"), "Time spent on it."),
    ("model", None, lambda c: c.model, "What predicted it."),
    ("comment", None, lambda c: c.comment, "What was said."),
)


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.1f} {unit}"


class CaseTable(QAbstractTableModel):
    """Rows of `Case`."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.cases: list[Case] = []

    def fill(self, cases: list[Case]) -> None:
        """Show these; where they are the same cases in the same order, selection and place stay."""
        # No reset where the rows are the same: Qt forgets selection and scrolling with it.
        if [case.id for case in cases] == [case.id for case in self.cases]:
            self.cases = cases
            if cases:
                self.dataChanged.emit(self.index(0, 0), self.index(len(cases) - 1, len(COLUMNS) - 1))
            return
        self.beginResetModel()
        self.cases = cases
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 (Qt's name)
        """How many cases there are."""
        # A cell has no rows of its own, and Qt asks for those, too.
        return 0 if parent is not None and parent.isValid() else len(self.cases)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 (Qt's name)
        """As many as `COLUMNS`."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text of a cell, also as its tooltip."""
        if index.isValid() and role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return COLUMNS[index.column()][2](self.cases[index.row()])
        return None

    def headerData(  # noqa: N802 (Qt's name)
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Names of the columns, what they mean, and the number of a row."""
        if orientation == Qt.Orientation.Vertical:
            return self.cases[section].number if role == Qt.ItemDataRole.DisplayRole else None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section][0]
        return COLUMNS[section][3] if role == Qt.ItemDataRole.ToolTipRole else None
