"""What was drawn and is not on the disk, in view until it is, with the ways out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_morse.widgets.base import Banner, act_button
from napari_morse.widgets.case.settling import save_elsewhere

if TYPE_CHECKING:
    from napari_morse.widgets.case.active_case import ActiveCase


class UnwrittenLine(QWidget):
    """A sentence and two buttons; hidden while all is on the disk.

    Parameters
    ----------
    active_case
        Knows the masks under work.
    parent
        Owner.
    """

    def __init__(self, active_case: ActiveCase, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._active_case = active_case
        self.note = Banner(self)
        self.again = act_button(self, "Try again", self._retry, "Try to write it now; this is done by itself, too.")
        self.elsewhere = act_button(
            self, "Save elsewhere…", self._save, "Write the corrected mask as it is now into another folder."
        )
        row = QHBoxLayout()
        for button in (self.again, self.elsewhere):
            row.addWidget(button)
        row.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.addWidget(self.note)
        layout.addLayout(row)
        active_case.kept.connect(self.refresh)
        active_case.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say what is so now."""
        corrected = self._active_case.unwritten
        self.note.warn(() if corrected is None else (corrected.unwritten.why,))
        self.setVisible(corrected is not None)

    def _retry(self) -> None:
        corrected = self._active_case.unwritten
        if corrected is not None:
            corrected.unwritten.retry()

    def _save(self) -> None:
        corrected = self._active_case.unwritten
        if corrected is not None:
            corrected.compare()
            save_elsewhere(corrected, self)

    def close_down(self) -> None:
        """Let go."""
        self._active_case.kept.disconnect(self.refresh)
        self._active_case.changed.disconnect(self.refresh)
