"""The cases of a project that a model can be tuned on, and those that judge it."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_morse.session.learn import Candidate

CASE_ROWS = 5
"""Rows seen before the list scrolls."""
FLATTERING = "Its truth was corrected from a model's own mask, which flatters that model."
EMPTY = "Its mask is empty: a model learns from it that there is nothing. Tick it if that is so."


class LearnCases(QTableWidget):
    """A row a case: ticked ones are trained on; what judges cannot be ticked. Hidden when there is none.

    A case with an empty mask is ticked only where a person has ticked it.
    """

    changed = Signal()
    """Another case was ticked or not."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setAccessibleName("Cases to train on, and cases that judge")
        self.setToolTip("Ticked cases are trained on. Held-out cases judge the model and are never trained on.")
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setStyleSheet("QTableWidget::item { padding: 1px 2px; }")
        header, numbers = QHeaderView(Qt.Orientation.Horizontal, self), QHeaderView(Qt.Orientation.Vertical, self)
        self.setHorizontalHeader(header)
        self.setVerticalHeader(numbers)
        header.hide()
        numbers.hide()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        numbers.setMinimumSectionSize(10)
        self._numbers = numbers
        self._found: tuple[Candidate, ...] = ()
        self._left_out: set[str] = set()
        self._empty: frozenset[str] = frozenset()
        self._sure: set[str] = set()
        self.itemChanged.connect(self._on_item)
        self.hide()

    @property
    def ticked(self) -> tuple[str, ...]:
        """Ids of the cases to train on."""
        return tuple(c.id for c in self._found if not (c.held_out or c.missing) and self._is_on(c.id))

    @property
    def sure(self) -> tuple[str, ...]:
        """Those of them whose mask is empty, and that a person has ticked all the same."""
        return tuple(case for case in self.ticked if case in self._sure)

    @property
    def empty(self) -> tuple[str, ...]:
        """Names of the cases that are not trained on because their masks are empty."""
        left = self._empty - self._sure
        return tuple(case.name for case in self._found if case.id in left and not case.held_out)

    def _is_on(self, case: str) -> bool:
        return case not in self._left_out and (case not in self._empty or case in self._sure)

    def fill(
        self, candidates: Sequence[Candidate], status: dict[str, str], empty: AbstractSet[str] = frozenset()
    ) -> None:
        """List cases with what is said of each, and which masks are empty; what was not ticked stays so."""
        if tuple(candidates) == self._found and self.rowCount() == len(candidates) and empty == self._empty:
            return
        self._found, self._empty = tuple(candidates), frozenset(empty)
        self._sure &= self._empty  # one that was drawn on since is another mask
        with QSignalBlocker(self):
            self.setRowCount(len(candidates))
            for row, case in enumerate(candidates):
                self._set(row, case, status.get(case.id, ""))
        self._fit()
        self.setVisible(bool(candidates))

    def _fit(self) -> None:
        self.ensurePolished()  # in the viewer's font from here on
        rows, tall = self.rowCount(), self.fontMetrics().height() + 6
        texts = [item.text() for row in range(rows) if (item := self.item(row, 1)) is not None]
        self.setColumnWidth(1, max((self.fontMetrics().horizontalAdvance(text) for text in texts), default=0) + 14)
        self._numbers.setDefaultSectionSize(tall)
        self.setFixedHeight(tall * min(rows, CASE_ROWS) + 2 * self.frameWidth())

    def forget(self) -> None:
        """Another project: all are ticked."""
        self._left_out.clear()
        self._sure.clear()
        self._found, self._empty = (), frozenset()

    def _set(self, row: int, case: Candidate, status: str) -> None:
        empty = case.id in self._empty
        name, state_item = QTableWidgetItem(case.name), QTableWidgetItem(_said(case, status, empty))
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if not case.held_out:
            flags |= Qt.ItemFlag.ItemIsUserCheckable
            name.setCheckState(Qt.CheckState.Checked if self._is_on(case.id) else Qt.CheckState.Unchecked)
        for column, item in enumerate((name, state_item)):
            item.setFlags(flags)
            item.setData(Qt.ItemDataRole.UserRole, case.id)
            item.setToolTip(f"{_tip(case)}\n{EMPTY}" if empty else _tip(case))
            self.setItem(row, column, item)

    def _on_item(self, item: QTableWidgetItem) -> None:
        if item.column() != 0:
            return
        case = str(item.data(Qt.ItemDataRole.UserRole))
        if item.checkState() == Qt.CheckState.Checked:
            self._left_out.discard(case)
            self._sure |= {case} & self._empty
        else:
            self._left_out.add(case)
            self._sure.discard(case)
        self.changed.emit()


def _said(case: Candidate, status: str, empty: bool) -> str:
    if empty:
        return "empty mask ⚠"
    if case.missing:
        return "no truth yet"
    if case.held_out:
        return "judges only ⚠" if case.flattering else "judges only"
    return status


def _tip(case: Candidate) -> str:
    sizes = ", ".join(f"{name} {size:.2f} ml" for name, size in case.sizes.items())
    held = (
        "It is held out: it judges the model and is never trained on." if case.held_out else "Tick it to train on it."
    )
    lines = (f"{case.name}, patient {case.patient}" if case.patient else case.name, case.missing or held)
    return "\n".join((*lines, *((FLATTERING,) if case.flattering else ()), *((sizes,) if sizes else ())))


def counted(candidates: Sequence[Candidate]) -> tuple[str, str]:
    """In how many of the cases each structure occurs, in a line, and how large it is there, for the tooltip."""
    names = list(dict.fromkeys(name for case in candidates for name in case.sizes))
    sizes = {name: [c.sizes[name] for c in candidates if c.sizes.get(name, 0) > 0] for name in names}
    known = sum(bool(case.sizes) for case in candidates)
    if not known:
        return "", ""
    line = ", ".join(f"{name} in {len(volumes)}" for name, volumes in sizes.items())
    more = [f"{name}: {sum(volumes):.2f} ml in {len(volumes)} of {known} cases" for name, volumes in sizes.items()]
    if known < len(candidates):
        more.append(f"Of {len(candidates) - known} cases no model has said what is in them.")
    return f"{line} of {known}", "\n".join(("As the last run of a model found them.", *more))
