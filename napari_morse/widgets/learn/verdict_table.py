"""What a round was worth, case by case, and what becomes of its model."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_morse.training.finetuning.verdict import CaseVerdict, JudgedStage, Verdict

VERDICT_ROWS = 4
"""Cases seen before the table scrolls, and the mean."""
CELL_PADDING = 7
"""Pixels at either side of a number."""
HEADS = (
    ("case", "The held-out case; the one that lost most, or is worst, is the first. Double click: see its masks."),
    ("Dice", "Overlap with the truth: 1 is best."),
    ("HD95\nmm", "95th percentile of the distance to the true boundary: 0 is best."),
    ("ASD\nmm", "Mean distance to the true boundary: 0 is best."),
    ("NSD", "Share of the boundary within 1 mm of the true one: 1 is best."),
)
FIGURE_TEXTS: dict[str, Callable[[float], str]] = {
    "dice": "{:.3f}".format, "hd95": "{:.1f}".format, "asd": "{:.2f}".format, "nsd": "{:.3f}".format,
}  # fmt: skip


class VerdictTable(QTableWidget):
    """Before over after, a row a case, the mean above all; without a base model, after alone."""

    chosen = Signal(str)
    """Id of the case that was double-clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADS), parent)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setAccessibleName("Held-out cases before and after")
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setStyleSheet("QHeaderView::section { padding: 2px; } QTableWidget::item { padding: 1px 2px; }")
        header, numbers = QHeaderView(Qt.Orientation.Horizontal, self), QHeaderView(Qt.Orientation.Vertical, self)
        self.setHorizontalHeader(header)
        self.setVerticalHeader(numbers)
        numbers.hide()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(20)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # what tells cases apart is mostly at the end
        self._numbers, self._row = numbers, 0
        for column, (text, tip) in enumerate(HEADS):
            head = QTableWidgetItem(text)
            head.setToolTip(tip)
            self.setHorizontalHeaderItem(column, head)
        self.itemDoubleClicked.connect(lambda item: self._choose(item.row()))

    @property
    def current(self) -> str:
        """The selected case, or else the worst; empty when there is none."""
        row = max(self.currentRow(), 0)
        return self._case(row) or self._case(row + 1)

    def fill(self, verdict: Verdict, stage: JudgedStage, names: dict[str, str]) -> None:
        """Show a verdict on the masks of a stage; ``names`` of the cases, by id."""
        worst = verdict.worst()
        self.ensurePolished()  # in the viewer's font from here on
        self._row = (1 if verdict.alone else 2) * self.fontMetrics().height() + 6
        self._numbers.setDefaultSectionSize(self._row)
        self.setRowCount(len(worst) + bool(worst))
        if worst:
            self._fill_mean(verdict, stage)
        for row, case in enumerate(worst, start=1):
            self._fill_case(row, case, stage, names.get(case.case, case.case))
        for column in range(1, len(HEADS)):
            self.setColumnWidth(column, self._needed(column))
        header = self.horizontalHeader()
        tall = header.sizeHint().height() if header is not None else self._row
        self.setFixedHeight(tall + self._row * min(self.rowCount(), VERDICT_ROWS + 1) + 2 * self.frameWidth() + 2)
        self.setVisible(bool(worst))

    def _fill_mean(self, verdict: Verdict, stage: JudgedStage) -> None:
        cases = f"mean of {len(verdict.cases)}"
        if verdict.alone:
            self._set(0, 0, cases, "", "There is no base model to compare with.", bold=True)
            for column, (figure, form) in enumerate(FIGURE_TEXTS.items(), start=1):
                self._set(0, column, form(verdict.mean("after", stage, figure)), "", "")
            return
        chances = {figure: _chance(verdict.p.get(f"{figure} {stage}")) for figure in FIGURE_TEXTS}
        lines = "\n".join(f"{figure.upper()}: {chance}" for figure, chance in chances.items())
        self._set(0, 0, cases, "", f"Wilcoxon's signed rank test over the cases.\n{lines}", bold=True)
        for column, (figure, form) in enumerate(FIGURE_TEXTS.items(), start=1):
            before, after = (verdict.mean(when, stage, figure) for when in ("before", "after"))
            self._set(0, column, f"{form(before)}\n→ {form(after)}", "", chances[figure])

    def _fill_case(self, row: int, case: CaseVerdict, stage: JudgedStage, name: str) -> None:
        alone = f"before {stage}" not in case.figures
        see = "beside its truth" if alone else "before and after"
        self._set(row, 0, name, case.case, f"{name}\nDouble click: see it {see}.")
        for column, (figure, form) in enumerate(FIGURE_TEXTS.items(), start=1):
            if alone:
                self._set(row, column, form(getattr(case.figures[f"after {stage}"], figure)), case.case, name)
                continue
            before, after = (getattr(case.figures[f"{when} {stage}"], figure) for when in ("before", "after"))
            tip = f"{name}: {after - before:+.3f}"
            self._set(row, column, f"{form(before)}\n→ {form(after)}", case.case, tip)

    def _needed(self, column: int) -> int:
        """Width of a column of numbers: Qt's own answer leaves no room for the names."""
        items = [self.horizontalHeaderItem(column), *(self.item(row, column) for row in range(self.rowCount()))]
        lines = [line for item in items if item is not None for line in item.text().splitlines()]
        return max(self.fontMetrics().horizontalAdvance(line) for line in lines) + 2 * CELL_PADDING

    def _set(self, row: int, column: int, text: str, case: str, tip: str, bold: bool = False) -> None:
        item = QTableWidgetItem(text)
        item.setToolTip(tip)
        item.setData(Qt.ItemDataRole.UserRole, case)
        if column:
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if bold:
            font = self.font()
            font.setBold(True)
            item.setFont(font)
        self.setItem(row, column, item)

    def _case(self, row: int) -> str:
        item = self.item(row, 0)
        return "" if item is None else str(item.data(Qt.ItemDataRole.UserRole))

    def _choose(self, row: int) -> None:
        if self._case(row):
            self.chosen.emit(self._case(row))


def _chance(p: float | None) -> str:
    return "too few cases to tell it from chance" if p is None else f"p {p:.2g}"
