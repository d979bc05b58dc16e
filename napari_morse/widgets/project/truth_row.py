"""How the truth of a case for judging only is made: asked before anything of a model is shown."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from napari_morse.session.project import Case
from napari_morse.widgets.base.text import Note

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
