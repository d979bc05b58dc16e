"""The worklist: all cases of the open project, filtered and in order, and what is done with several at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qtpy.QtCore import QItemSelectionModel, QModelIndex, Qt
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QInputDialog,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_morse.session.project import STATUS_WORDS, STATUSES, Arrangement, Case, Status
from napari_morse.widgets.base import EndingWidget, Note, combo_box
from napari_morse.widgets.case import ProjectHost
from napari_morse.widgets.project.case_table import COLUMNS, CaseTable
from napari_morse.widgets.project.case_view import CaseView

ALL = "all"


class Worklist(EndingWidget):
    """Table of cases with filter, order and acts.

    Parameters
    ----------
    host
        Holds the project.
    parent
        Owner.
    """

    def __init__(self, host: ProjectHost, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._host = host
        self.model = CaseTable(self)
        self.table = CaseView(self.model, self)
        self.table.doubleClicked.connect(self._on_double)
        self._header = header = self.table.header
        header.sortIndicatorChanged.connect(self.refresh)
        self.text = QLineEdit(self)
        self.text.setPlaceholderText("find a name, patient, reviewer or comment")
        self.text.setClearButtonEnabled(True)
        self.text.textChanged.connect(self.refresh)
        self.status = combo_box(self, "Show only cases of this status.")
        self.status.addItem(ALL, "")
        for status in STATUSES:
            self.status.addItem(STATUS_WORDS[status], status)
        self.status.currentIndexChanged.connect(self.refresh)
        self.count = Note(parent=self)
        self.buttons: dict[str, QPushButton] = {}
        self._build()
        host.changed.connect(self.refresh)
        self.refresh()
        self.watch_the_end(())

    def _build(self) -> None:
        acts: dict[str, tuple[Callable[[], None], str]] = {
            "Open": (self.open, "Open the selected case."),
            "Accept": (self._accept, "Accept all selected cases; what their masks lack is asked about first."),
            "Reject": (self._reject, "Reject all selected cases."),
            "Second reader…": (self._second, "Ask somebody for a blind second reading of the selected cases."),
            "Comment…": (self._comment, "Say something of the selected cases."),
            "Undo": (self._undo, "Take the last move of each selected case back."),
        }
        top, bottom = QHBoxLayout(), QGridLayout()
        top.addWidget(self.text, 1)
        top.addWidget(self.status)
        for place, (name, (act, tip)) in enumerate(acts.items()):
            button = self.buttons[name] = QPushButton(name, self)
            button.setToolTip(tip)
            button.clicked.connect(partial(_do, act))
            bottom.addWidget(button, place // 3, place % 3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addLayout(top)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.count)
        layout.addLayout(bottom)

    def refresh(self, *_: object) -> None:
        """Read the list anew; what was selected stays so."""
        kept = {case.id for case in self.selected()}
        cases = self._cases()
        # The project tells of a change at each stroke: the table is filled only where something in it reads otherwise.
        if [*map(_shown, cases)] != [*map(_shown, self.model.cases)]:
            self.model.fill(cases)
            self._select(kept)
        project = self._host.project
        if project is None:
            self.count.say("No project is open.")
            return
        counts = project.counts()
        told = ", ".join(f"{n} {STATUS_WORDS[s]}" for s, n in counts.items() if n)
        self.count.say(f"{len(cases)} of {sum(counts.values())} shown: {told}.")

    def selected(self) -> list[Case]:
        """Cases of the selected rows."""
        rows = {index.row() for index in self.table.selectedIndexes()}
        return [self.model.cases[row] for row in sorted(rows) if row < len(self.model.cases)]

    def _cases(self) -> list[Case]:
        project = self._host.project
        if project is None:
            return []
        header = self._header
        section = header.sortIndicatorSection()
        order = COLUMNS[section][1] if 0 <= section < len(COLUMNS) else None
        descending = order is not None and header.sortIndicatorOrder() == Qt.SortOrder.DescendingOrder
        chosen: Status | str = self.status.currentData()
        shown = Arrangement(order or "number", descending, tuple(s for s in STATUSES if s == chosen), self.text.text())
        # Next, previous and the cases predicted ahead go by what is seen here.
        self._host.arrangement = shown
        return project.cases(shown.order, shown.descending, shown.statuses, shown.text)

    def _select(self, ids: set[str]) -> None:
        selection = self.table.selectionModel()
        if selection is None:
            return
        flag = QItemSelectionModel.SelectionFlag
        for row, case in enumerate(self.model.cases):
            if case.id in ids:
                selection.select(self.model.index(row, 0), flag.Select | flag.Rows)

    def _on_double(self, index: QModelIndex) -> None:
        self._host.go(self.model.cases[index.row()].id)

    def open(self) -> None:
        """Open the first selected case."""
        for case in self.selected()[:1]:
            self._host.go(case.id)

    def _accept(self) -> None:
        self._host.decisions.accept(self.selected())

    def _reject(self) -> None:
        self._host.set_status([case.id for case in self.selected()], "rejected")

    def _undo(self) -> None:
        self._host.decisions.undo(self.selected())

    def _second(self) -> None:
        cases = self.selected()
        reader, said = QInputDialog.getText(self, "Second reader", "Who reads a second time?")
        for case in cases if said else ():
            self._host.try_to(lambda project, case=case: project.ask_second_reader(case.id, reader))  # type: ignore[misc]

    def _comment(self) -> None:
        cases = self.selected()
        before = cases[0].comment if len(cases) == 1 else ""
        text, said = QInputDialog.getText(self, "Comment", "What is to be said?", text=before)
        for case in cases if said else ():
            self._host.try_to(lambda project, case=case: project.comment(case.id, text))  # type: ignore[misc]

    def stop_work(self) -> None:
        """Nothing runs here that is not the dock's."""

    def close_down(self) -> None:
        """Let go of the project."""
        self._host.changed.disconnect(self.refresh)


def _do(act: Callable[[], None], _checked: bool = False) -> None:
    act()


def _shown(case: Case) -> tuple[str, ...]:
    return (case.id, *(text(case) for _, _, text, _ in COLUMNS))
