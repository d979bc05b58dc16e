"""The end of a round: what it was worth, case by case, and Keep, Discard or Roll back."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_morse.session.learn import RoundDecision
from napari_morse.training.finetuning.verdict import CaseVerdict, JudgedStage, Verdict
from napari_morse.widgets.base import Elided, Note, act_button

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
DECISION_TIPS = {
    "keep": "Put the new model into your library, and choose it for the next segmentation.",
    "discard": "Delete the new model; the verdict stays.",
    "roll_back": "Use the model that was tuned from again; the new one stays in your library.",
    "show": "Open the selected case, else the worst: before at the left, after at the right, the truth as an outline.",
}
SHOW_ALONE = "Open the selected case, else the worst: the truth at the left, the new model's mask at the right."
NO_PARENT = "There is no base model to go back to."
DECISION_SENTENCES: dict[RoundDecision, str] = {
    "": "",
    "kept": "Kept as {model}.",
    "discarded": "Discarded: {model} was deleted.",
    "rolled_back": "Rolled back to {parent}; {model} is still in the library.",
}


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
        self._header, self._numbers, self._row = header, numbers, 0
        self._cases: list[str] = []
        """Id of the case in each row; empty for the mean."""
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
        self._cases = ["", *(case.case for case in worst)] if worst else []
        self.setRowCount(len(self._cases))
        if worst:
            self._fill_mean(verdict, stage)
        for row, case in enumerate(worst, start=1):
            self._fill_case(row, case, stage, names.get(case.case, case.case))
        for column in range(1, len(HEADS)):
            self.setColumnWidth(column, self._needed(column))
        tall = self._header.sizeHint().height()
        self.setFixedHeight(tall + self._row * min(self.rowCount(), VERDICT_ROWS + 1) + 2 * self.frameWidth() + 2)
        self.setVisible(bool(worst))

    def _fill_mean(self, verdict: Verdict, stage: JudgedStage) -> None:
        cases = f"mean of {len(verdict.cases)}"
        if verdict.alone:
            self._set(0, 0, cases, "There is no base model to compare with.", bold=True)
            for column, (figure, form) in enumerate(FIGURE_TEXTS.items(), start=1):
                self._set(0, column, form(verdict.mean("after", stage, figure)), "")
            return
        chances = {figure: _chance(verdict.p.get(f"{figure} {stage}")) for figure in FIGURE_TEXTS}
        lines = "\n".join(f"{figure.upper()}: {chance}" for figure, chance in chances.items())
        self._set(0, 0, cases, f"Wilcoxon's signed rank test over the cases.\n{lines}", bold=True)
        for column, (figure, form) in enumerate(FIGURE_TEXTS.items(), start=1):
            before, after = (verdict.mean(when, stage, figure) for when in ("before", "after"))
            self._set(0, column, f"{form(before)}\n→ {form(after)}", chances[figure])

    def _fill_case(self, row: int, case: CaseVerdict, stage: JudgedStage, name: str) -> None:
        alone = f"before {stage}" not in case.figures
        see = "beside its truth" if alone else "before and after"
        self._set(row, 0, name, f"{name}\nDouble click: see it {see}.")
        for column, (figure, form) in enumerate(FIGURE_TEXTS.items(), start=1):
            if alone:
                self._set(row, column, form(getattr(case.figures[f"after {stage}"], figure)), name)
                continue
            before, after = (getattr(case.figures[f"{when} {stage}"], figure) for when in ("before", "after"))
            tip = f"{name}: {after - before:+.3f}"
            self._set(row, column, f"{form(before)}\n→ {form(after)}", tip)

    def _needed(self, column: int) -> int:
        """Width of a column of numbers: Qt's own answer leaves no room for the names."""
        items = [self.horizontalHeaderItem(column), *(self.item(row, column) for row in range(self.rowCount()))]
        lines = [line for item in items if item is not None for line in item.text().splitlines()]
        return max(self.fontMetrics().horizontalAdvance(line) for line in lines) + 2 * CELL_PADDING

    def _set(self, row: int, column: int, text: str, tip: str, bold: bool = False) -> None:
        item = QTableWidgetItem(text)
        item.setToolTip(tip)
        if column:
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if bold:
            font = self.font()
            font.setBold(True)
            item.setFont(font)
        self.setItem(row, column, item)

    def _case(self, row: int) -> str:
        return self._cases[row] if row < len(self._cases) else ""

    def _choose(self, row: int) -> None:
        if self._case(row):
            self.chosen.emit(self._case(row))


class LearnResult(QWidget):
    """Sentence, table, samples, buttons; hidden without a verdict."""

    keep_asked, discard_asked, roll_back_asked = Signal(), Signal(), Signal()
    show_asked = Signal(str)
    """Id of a held-out case."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[Verdict, dict[str, str]] | None = None
        self.sentence = Note(parent=self)
        self.sentence.setStyleSheet(
            "QLabel { border-left: 4px solid #56b4e9; padding: 2px 2px 2px 6px; font-weight: bold; }"
        )
        self.sentence.setAccessibleName("Verdict")
        self.table = VerdictTable(self)
        self.coarse = QCheckBox("coarse masks", self)
        self.coarse.setToolTip("On: figures of the coarse masks. Off: of the rendered ones.")
        self.unjudged, self.samples, self.done = Note(parent=self), Elided(parent=self), Note(parent=self)
        self.show_case = act_button(self, "Show case", lambda: self.show_asked.emit(self.table.current))
        self.keep = act_button(self, "Keep", self.keep_asked.emit)
        self.discard = act_button(self, "Discard", self.discard_asked.emit)
        self.roll_back = act_button(self, "Roll back", self.roll_back_asked.emit)
        self._lay_out()
        self.coarse.toggled.connect(self._fill)
        self.table.chosen.connect(self.show_asked)
        self.hide()

    def _lay_out(self) -> None:
        look, acts = QHBoxLayout(), QHBoxLayout()
        look.addWidget(self.coarse, 1)
        look.addWidget(self.show_case)
        for button in (self.keep, self.discard, self.roll_back):
            acts.addWidget(button)
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        for widget in (self.sentence, self.unjudged, self.table):
            body.addWidget(widget)
        body.addLayout(look)
        body.addWidget(self.samples)
        body.addLayout(acts)
        body.addWidget(self.done)

    def tell(self, verdict: Verdict, names: dict[str, str]) -> None:
        """Show a verdict; ``names`` of cases, by id."""
        self.show()
        if (verdict, names) == self._shown:
            return
        self._shown = verdict, names
        self.sentence.say(verdict.sentence)
        self.unjudged.say(verdict.unjudged(names))
        samples = ", ".join(f"{name} {dice:.3f}" for name, dice in verdict.samples.items())
        more = "Dice between both models' masks of the sample scans: 1 where nothing changed."
        self.samples.say(f"Samples: {samples}", more)
        self.samples.setVisible(bool(samples))
        for widget in (self.coarse, self.show_case):
            widget.setVisible(bool(verdict.cases))
        self._fill()

    def decide(self, verdict: Verdict, decision: RoundDecision, blocked: str) -> None:
        """Say what was decided on a verdict, and what can be; ``blocked`` says why nothing can now."""
        over = "" if not decision else "It is decided."
        back = "" if decision == "kept" else "Keep the model first."
        if decision == "rolled_back":
            back = over
        for button, name, why in (
            (self.keep, "keep", over), (self.discard, "discard", over),
            (self.roll_back, "roll_back", NO_PARENT if verdict.alone else back),
        ):  # fmt: skip
            _enable(button, blocked or why, DECISION_TIPS[name])
        _enable(self.show_case, "", SHOW_ALONE if verdict.alone else DECISION_TIPS["show"])
        self.done.say(DECISION_SENTENCES[decision].format(model=verdict.model, parent=verdict.parent))

    def _fill(self) -> None:
        if self._shown is not None:
            verdict, names = self._shown
            self.table.fill(verdict, "coarse" if self.coarse.isChecked() else "rendered", names)


def _enable(button: QPushButton, why: str, tip: str) -> None:
    button.setEnabled(not why)
    button.setToolTip(why or tip)


def _chance(p: float | None) -> str:
    return "too few cases to tell it from chance" if p is None else f"p {p:.2g}"
