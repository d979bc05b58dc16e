"""The button with everything that is done with a project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QMenu, QToolButton, QWidget

from napari_morse.session.project import Case, Project

ALWAYS = ("New…", "Open…")
CHECKED = ("Predict the next cases", "Predict all new cases")
OF_A_CASE = ("Comment…", "Second reader…", "Whose mask is final…", "Undo the last move")
LOOKING = ("Report", "Export masks…", "Close")
"""What also who only looks may do."""
ANYWAY = "Save anyway"
LINES_BEFORE = ("Comment…", "Predict the next cases", "Report", "Save corrections")
TIPS = {
    "Whose mask is final…": "Compare the second reader's mask with the first one, and choose.",
    "Predict the next cases": "While you work, with the model and the device of the Segment tab.",
    "Predict all new cases": "One after the other, while you work; then the worklist can be sorted by doubt.",
    "Report": "One HTML file, JSON and CSV in the project's folder; nothing is sent anywhere.",
    "Export masks…": "The masks of accepted and corrected cases, on their scans' exact grids.",
    "Find scans…": "Say where scans are that were moved.",
    ANYWAY: "Replace the mask that another program or window has changed.",
}


class ProjectMenu(QToolButton):
    """A menu of named acts.

    Parameters
    ----------
    ways
        What is due, by name; of `CHECKED` ones with whether they are on.
    parent
        Owner.
    """

    def __init__(self, ways: Mapping[str, Callable[..., None]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setText("Project  ")  # room for the arrow
        self.setToolTip("Make, open or close a project; report, export, second readers.")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.acts: dict[str, QAction] = {}
        for name, due in ways.items():
            if name in LINES_BEFORE:
                menu.addSeparator()
            act = self.acts[name] = QAction(name, menu)
            act.setToolTip(TIPS.get(name, name.rstrip("…")))
            act.setCheckable(name in CHECKED)
            act.triggered.connect(due if name in CHECKED else partial(_do, due))
            menu.addAction(act)
        self.setMenu(menu)

    def follow(self, project: Project | None, case: Case | None, conflict: bool, ahead: bool, every: bool) -> None:
        """Offer what can be done now."""
        writes = project is not None and not project.read_only
        for name, act in self.acts.items():
            allowed = writes if name not in LOOKING else project is not None
            if name in OF_A_CASE:
                allowed = writes and case is not None
            act.setEnabled(name in ALWAYS or allowed)
        self.acts[ANYWAY].setVisible(conflict)
        for name, on in zip(CHECKED, (ahead, every), strict=True):
            self.acts[name].setChecked(on)


def _do(due: Callable[[], Any], _checked: bool = False) -> None:
    due()
