"""The bar on top of the dock: which case, where it stands, and the way to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QGridLayout, QMenu, QPushButton, QToolButton, QWidget

from napari_morse.session.project import WORDS, Status
from napari_morse.widgets.parts.text import Elided
from napari_morse.widgets.project_dialogs import NewProject, open_project
from napari_morse.widgets.project_host import ProjectHost

if TYPE_CHECKING:
    from napari.components import ViewerModel

KEYS = {"N": 1, "J": -1}
"""Next and previous case, whichever layer is selected."""


class CaseBar(QWidget):
    """Case, status and journal in two lines; without a project, the ways to one.

    Parameters
    ----------
    viewer
        Gets the keys.
    host
        Holds the project.
    show_list
        Brings the worklist into view.
    parent
        Owner.
    """

    def __init__(
        self, viewer: ViewerModel, host: ProjectHost, show_list: Callable[[], None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._host = viewer, host
        self.case, self.state = Elided(parent=self), Elided(parent=self)
        self.back = self._button("‹", "The case before (J).", lambda: host.step(-1))
        self.on = self._button("›", "The next case (N).", lambda: host.step(1))
        self.list = self._button("☰", "Show the worklist.", show_list)
        self.accept = self._button("Accept", "Accept the mask of this case.", lambda: self._set("accepted"))
        self.reject = self._button("Reject", "Reject this case.", lambda: self._set("rejected"))
        self.menu = QToolButton(self)
        self.menu.setText("Project  ")  # room for the arrow
        self.menu.setToolTip("Make, open or close a project.")
        self.menu.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        acts = QMenu(self.menu)
        self.acts = {name: QAction(name, acts) for name in ("New…", "Open…", "Save corrections", "Close")}
        for act, due in zip(self.acts.values(), (self.new, self.open, host.save, host.close_project), strict=True):
            act.triggered.connect(due)
            acts.addAction(act)
        self.menu.setMenu(acts)
        layout = QGridLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        for column, widget in enumerate((self.back, self.case, self.on, self.list, self.menu)):
            layout.addWidget(widget, 0, column)
        layout.addWidget(self.state, 1, 0, 1, 2)
        layout.addWidget(self.accept, 1, 2, 1, 2)
        layout.addWidget(self.reject, 1, 4)
        layout.setColumnStretch(1, 1)
        host.changed.connect(self.refresh)
        for key, by in KEYS.items():
            viewer.bind_key(key, self._step(by), overwrite=True)
        self.refresh()

    def _button(self, text: str, tip: str, act: Callable[[], None]) -> QPushButton:
        button = QPushButton(text, self)
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        if len(text) == 1:
            button.setFixedWidth(28)
        button.clicked.connect(lambda _checked: act())
        return button

    def _step(self, by: int) -> Callable[[Any], None]:
        return lambda _viewer: self._host.step(by)

    def new(self) -> None:
        """Make a project."""
        dialog = NewProject(self)
        if dialog.exec() and dialog.project is not None:
            self._host.take(dialog.project)

    def open(self) -> None:
        """Open a project."""
        project = open_project(self)
        if project is not None:
            self._host.take(project)

    def refresh(self) -> None:
        """Say what is so now."""
        project, case = self._host.project, self._host.case
        for widget in (self.back, self.on, self.list, self.accept, self.reject, self.state):
            widget.setVisible(project is not None)
        for name in ("Save corrections", "Close"):
            self.acts[name].setEnabled(project is not None)
        if project is None:
            self.case.say("No project is open", "Project ▸ New… or Open…")
            return
        total = sum(project.counts().values())
        if case is None:
            self.case.say("opening a case" if self._host.loader.busy else f"{project.about.name}: no case is open")
            self.state.say(f"{total} cases")
            return
        self.case.say(f"{case.number} of {total}: {case.stem}", f"{project.about.name}\n{case.scan}\n{case.comment}")
        blind = self._host.blind
        self.accept.setText("Submit" if blind else "Accept")
        tip = "End your reading: it is compared with the first one." if blind else "Accept the mask of this case."
        self.accept.setToolTip(tip)
        judged = ", for judging only" if case.held_out else ""
        self.state.say(f"{WORDS[case.status]}{judged}; {self._saved()}")

    def _saved(self) -> str:
        corrected = self._host.corrected
        if corrected is None:
            return "nothing to correct"
        if corrected.corrections.trouble:
            return f"⚠ not on the disk: {corrected.corrections.trouble}"
        return "on the disk" if corrected.corrections.dirty else "saved"

    def _set(self, status: Status) -> None:
        case = self._host.case
        if self._host.blind and status == "accepted":
            self._host.submit()
        elif case is not None:
            self._host.set_status([case.id], status)

    def close_down(self) -> None:
        """Give the keys back."""
        for key in KEYS:
            self._viewer.bind_key(key, None)
