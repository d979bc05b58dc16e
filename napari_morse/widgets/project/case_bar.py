"""The bar on top of the dock: which case, where it stands, and the way to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from napari_morse.session.project import STATUS_WORDS, Case, Project, Status, decision_of
from napari_morse.widgets.base import ACCEPT, BEFORE, NEXT, REJECT, Elided, Note
from napari_morse.widgets.case import ProjectHost
from napari_morse.widgets.project.actions import ProjectActions
from napari_morse.widgets.project.dialogs import AddCases, NewProject, open_project
from napari_morse.widgets.project.menu import ProjectMenu
from napari_morse.widgets.project.predict_ahead import BackgroundPredictor

if TYPE_CHECKING:
    from napari.components import ViewerModel

ASKED = "This patient is for judging models only, and has no truth yet. How do you make it?"
FLATTERS = "This truth is made from a mask that was there: it flatters the model that made it."


class TruthRow(QWidget):
    """A sentence and three ways.

    Parameters
    ----------
    parent
        Owner.
    """

    chosen = Signal(str)
    """A `TruthFrom`."""
    asked = Signal()
    """Somebody else is to make it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.note = Note(parent=self)
        self.blank = QPushButton("Blank start", self)
        self.blank.setToolTip("Draw it from an empty mask, without seeing a model's.")
        self.reader = QPushButton("Second reader…", self)
        self.reader.setToolTip("Ask somebody who sees no mask to draw it.")
        self.model = QPushButton("From a mask", self)
        self.model.setToolTip(
            "Correct the model's or the given mask. It is noted that such a truth flatters the model."
        )
        self.blank.clicked.connect(lambda _checked: self.chosen.emit("blank_start"))
        self.reader.clicked.connect(lambda _checked: self.asked.emit())
        self.model.clicked.connect(lambda _checked: self.chosen.emit("from_model"))
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.note, 0, 0, 1, 3)
        for column, button in enumerate((self.blank, self.reader, self.model)):
            layout.addWidget(button, 1, column)

    def follow(self, case: Case) -> None:
        """Say what is so of a case that `Case.wants_truth`."""
        self.note.say(FLATTERS if case.truth_from else ASKED)
        self.model.setVisible(not case.truth_from)


class CaseBar(QWidget):
    """Case, status and journal in two lines; without a project, the ways to one.

    Parameters
    ----------
    viewer
        Gets the keys.
    host
        Holds the project.
    ahead
        Predicts the next cases.
    show_list
        Brings the worklist into view.
    parent
        Owner.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        host: ProjectHost,
        ahead: BackgroundPredictor,
        show_list: Callable[[], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._host, self._ahead = viewer, host, ahead
        self.acts = ProjectActions(viewer, host, self)
        self.case, self.state = Elided(parent=self), Elided(parent=self)
        self.back = self._button("‹", f"The case before ({BEFORE}).", lambda: host.step(-1))
        self.on = self._button("›", f"The next case ({NEXT}).", lambda: host.step(1))
        self.list = self._button("☰", "Show the worklist.", show_list)
        self.accept = self._button("Accept", "", lambda: self.decide("accepted"))
        self.reject = self._button("Reject", f"Reject this case ({REJECT}).", lambda: self.decide("rejected"))
        self.truth = TruthRow(self)
        self.truth.chosen.connect(host.truths.begin)
        self.truth.asked.connect(self._of_case(self.acts.second_reader))
        self.menu = ProjectMenu(self._ways(), self)
        self._told = ""
        self.acts.told.connect(self._on_told)
        host.decisions.told.connect(self._on_told)
        self._build()
        host.changed.connect(self.refresh)
        ahead.changed.connect(self.refresh)
        self._keys: dict[str, Callable[[Any], None]] = {
            NEXT: lambda _: host.step(1),
            BEFORE: lambda _: host.step(-1),
            ACCEPT: lambda _: self.decide("accepted"),
            REJECT: lambda _: self.decide("rejected"),
        }
        for key, act in self._keys.items():
            viewer.bind_key(key, act, overwrite=True)
        self.refresh()

    def _ways(self) -> dict[str, Callable[[], None] | Callable[[bool], None]]:
        host, acts, ahead = self._host, self.acts, self._ahead
        return {
            "New…": self.new,
            "Open…": self.open,
            "Comment…": self._of_case(acts.comment),
            "Second reader…": self._of_case(acts.second_reader),
            "Whose mask is final…": self.adjudicate,
            "Undo the last move": self._of_case(acts.undo_move),
            "Predict the next cases": ahead.set_enabled,
            "Predict all new cases": ahead.set_all,
            "Report": self._of_project(acts.report),
            "Export masks…": self._of_project(acts.export),
            "Add cases…": self._of_project(self.add),
            "Find scans…": self._of_project(acts.find_scans),
            "Save corrections": host.keeper.save,
            "Save anyway": host.keeper.save_anyway,
            "Close": self.close_project,
        }

    def _of_project(self, act: Callable[[Project], None]) -> Callable[[], None]:
        """What is done with the open project, from the menu; nothing where none is."""

        def due() -> None:
            if self._host.project is not None:
                act(self._host.project)

        return due

    def _of_case(self, act: Callable[[Case], None]) -> Callable[[], None]:
        """What is done with the open case; nothing where none is."""

        def due() -> None:
            if self._host.here is not None:
                act(self._host.here.row)

        return due

    def adjudicate(self) -> None:
        """Choose whose mask of the open case is final."""
        if self._host.here is not None:
            self.acts.adjudicate(self._host.here)

    def _build(self) -> None:
        layout = QGridLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        for column, widget in enumerate((self.back, self.case, self.on, self.list, self.menu)):
            layout.addWidget(widget, 0, column)
        layout.addWidget(self.state, 1, 0, 1, 2)
        layout.addWidget(self.accept, 1, 2, 1, 2)
        layout.addWidget(self.reject, 1, 4)
        layout.addWidget(self.truth, 2, 0, 1, 5)
        layout.setColumnStretch(1, 1)

    def _button(self, text: str, tip: str, act: Callable[[], None]) -> QPushButton:
        button = QPushButton(text, self)
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        if len(text) == 1:
            button.setFixedWidth(28)
        button.clicked.connect(lambda _checked: act())
        return button

    def close_project(self) -> None:
        """Close the project, unless something is only in memory and the person stays."""
        if self._host.may_leave():
            self._host.close_project()

    def new(self) -> None:
        """Make a project."""
        if not self._host.may_leave():
            return
        dialog = NewProject(self)
        if dialog.exec() and dialog.project is not None:
            self._host.take(dialog.project)

    def open(self) -> None:
        """Open a project."""
        if not self._host.may_leave():
            return
        project = open_project(self)
        if project is not None:
            self._host.take(project)

    def add(self, project: Project) -> None:
        """Add cases to the project."""
        AddCases(project, self).exec()
        self._host.changed.emit()

    def decide(self, status: Status) -> None:
        """Accept or reject the open case; a second reading is submitted instead."""
        host, case = self._host, self._host.case
        if case is None:
            return
        match decision_of(case, status, blind=host.blind, in_view=host.in_view):
            case "bring":
                host.bring()
                show_info(f"Another scan was in view. This is {case.stem}: look at its mask, then decide.")
            case "submit":
                host.decisions.submit(case)
            case "adjudicate":
                self.adjudicate()
            case "accept":
                host.decisions.accept([case])
            case "move":
                host.set_status([case.id], status)

    def refresh(self) -> None:
        """Say what is so now."""
        project, case = self._host.project, self._host.case
        for widget in (self.back, self.on, self.list, self.accept, self.reject, self.state):
            widget.setVisible(project is not None)
        self.menu.follow(project, case, bool(self._host.keeper.conflicts), self._ahead.enabled, self._ahead.all)
        self.truth.setVisible(self._asks_for_truth(case))
        if project is None:
            self.case.say("No project is open", "Project ▸ New… or Open…")
            return
        total = sum(project.counts().values())
        if case is None:
            self.case.say("opening a case" if self._host.busy else f"{project.about.name}: no case is open")
            self.state.say("; ".join((f"{total} cases", *self._working())))
            return
        judged = " (for judging)" if case.held_out else ""
        more = f"{project.about.name}\n{case.scan}\n{case.comment}"
        self.case.say(f"{case.number} of {total}: {case.stem}{judged}", more)
        self.truth.follow(case)
        self._say_state(case)

    def _asks_for_truth(self, case: Case | None) -> bool:
        return case is not None and case.wants_truth and self._host.corrected is not None and not self._host.blind

    def _say_state(self, case: Case) -> None:
        blind = self._host.blind
        self.accept.setText("Submit" if blind else "Accept")
        tip = "End your reading: it is compared with the first one" if blind else "Accept the mask of this case"
        self.accept.setToolTip(f"{tip} ({ACCEPT}).")
        self.reject.setEnabled(not blind)
        why = self._host.corrected.unwritten.why if self._host.corrected is not None else ""
        more = "\n".join(text for text in (why, case.comment) if text)
        self.state.say("; ".join((STATUS_WORDS[case.status], self._saved(), *self._working())), more)

    def _working(self) -> list[str]:
        coming = f"predicting {self._ahead.case}" if self._ahead.case else ""
        return [text for text in (self._told, coming) if text]

    def _on_told(self, text: str) -> None:
        self._told = text
        self.refresh()

    def _saved(self) -> str:
        corrected = self._host.corrected
        if corrected is None:
            return "nothing to correct"
        if corrected.unwritten.count:
            return f"⚠ {corrected.unwritten.short}"
        return "on the disk" if corrected.corrections.dirty else "saved"

    def close_down(self) -> None:
        """Give the keys back, and stop what runs."""
        self.acts.close_down()
        for key in self._keys:
            self._viewer.bind_key(key, None)
