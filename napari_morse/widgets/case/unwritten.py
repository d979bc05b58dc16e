"""What is drawn and not on the disk: told once, tried again, told when it is over."""

from __future__ import annotations

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.session.edits import Corrections
from napari_morse.types import Roi

AGAIN = 10_000
"""Milliseconds between two tries."""
UNWRITTEN_HINT = (
    "Make space, or bring the folder back: it is written as soon as that goes. Until then leave this window open, or "
    "press “Save elsewhere…” in the MORSE dock."
)
OVER = "All that you drew is on the disk again."


class Unwritten(QObject):
    """Watches the corrections of one mask.

    Parameters
    ----------
    corrections
        Those.
    parent
        Owner.
    """

    changed = Signal()
    """Other steps are in memory only, or none any more."""
    due = Signal()
    """All is to be saved anew, beside the window: the journal cannot take what it lacks."""

    def __init__(self, corrections: Corrections, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._corrections = corrections
        self._given_up: int | None = None
        self._told = False
        self._again = QTimer(self)
        self._again.setInterval(AGAIN)
        self._again.timeout.connect(self.retry)
        self.follow(corrections)

    @property
    def count(self) -> int:
        """How many steps are in memory only."""
        return self._corrections.unwritten

    @property
    def why(self) -> str:
        """What is in memory only, why, and what to do; empty when all is on the disk."""
        return f"{self.short} {self._corrections.trouble} {UNWRITTEN_HINT}" if self.count else ""

    @property
    def short(self) -> str:
        """What is in memory only, in a line; empty when all is on the disk."""
        return f"Only in memory: {_changes(self.count)}." if self.count else ""

    @property
    def at_stake(self) -> bool:
        """Whether something would be lost that nobody has given up."""
        return bool(self.count) and self._given_up != self._corrections.state

    def give_up(self) -> None:
        """The person knows that what is in memory only goes, or has it elsewhere."""
        # A state, no flag: whatever is drawn after it is at stake again.
        self._given_up = self._corrections.state

    def follow(self, corrections: Corrections) -> None:
        """Watch other corrections of the same mask."""
        self.leave()
        self._corrections = corrections
        corrections.patient = True
        corrections.trouble_changed.connect(self._on_trouble)
        corrections.changed.connect(self._on_act)
        self._on_trouble(corrections.trouble)

    def leave(self) -> None:
        """Watch no more."""
        self._again.stop()
        self._corrections.trouble_changed.disconnect(self._on_trouble)
        self._corrections.changed.disconnect(self._on_act)

    def retry(self) -> None:
        """Try to write; what takes long is asked for by `due`."""
        self._corrections.retry()
        if self.count:
            self.due.emit()

    def _on_act(self, _box: Roi) -> None:
        if self.count:
            self.changed.emit()

    def _on_trouble(self, trouble: str) -> None:
        if trouble and not self._told:
            self._told = True
            self._again.start()
            show_warning(f"{trouble} What you draw is only in memory from now on. {UNWRITTEN_HINT}")
        elif not trouble and self._told:
            self._told = False
            self._again.stop()
            show_info(OVER)
        self.changed.emit()


def _changes(count: int) -> str:
    return "the last change" if count == 1 else f"the last {count} changes"
