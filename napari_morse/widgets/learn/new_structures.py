"""Structures of the ticked cases that the model does not know, and whether it shall learn them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_morse.widgets.base import Note

LEARN = "Learn new structures:"
LEARNS_PREFIX = "Learns: "
LEARN_TIP = (
    "On: the new model also finds these structures, which its base does not know. Off: cases with them cannot be"
    " trained on."
)


class LearnNew(QWidget):
    """A box and which structures it is about; hidden while there is none. ``parent`` is the owner."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = QCheckBox(LEARN, self)
        self.box.setChecked(True)
        self.box.setToolTip(LEARN_TIP)
        self.which = Note(parent=self)
        self.which.setAccessibleName("New structures")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.box)
        layout.addWidget(self.which)
        self.box.toggled.connect(self.changed)
        self.hide()

    @property
    def on(self) -> bool:
        """Whether new structures are learned."""
        return self.box.isChecked()

    def tell(self, new: Mapping[str, Sequence[str]], of: int, anew: bool) -> None:
        """Say which.

        Parameters
        ----------
        new
            Names of the cases that hold it, by structure.
        of
            Number of ticked cases.
        anew
            A new model learns them in any case.
        """
        text = ", ".join(f"{name} (in {len(cases)} of {of} cases)" for name, cases in new.items())
        self.which.say(f"{LEARNS_PREFIX}{text}" if anew and text else text)
        self.box.setVisible(not anew)
        self.which.setToolTip("\n".join(f"{name}: {', '.join(cases[:20])}" for name, cases in new.items()))
        self.setVisible(bool(new))

    def lock(self, locked: bool) -> None:
        """Nothing can be changed while a round runs."""
        self.box.setEnabled(not locked)
