"""The patches of a walk: what was decided on each, and which is looked at."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QWidget

from napari_morse.widgets.segment.patch_table import PatchTable

SIGNS = {"open": "", "accepted": "✓", "coarse": "C", "edited": "✎"}
"""Before the rank."""
WORDS = {
    "open": "Nobody has decided on it.",
    "accepted": "Accepted: it stays as it is.",
    "coarse": "The coarse mask's side was taken.",
    "edited": "Most of it was changed.",
}


class WalkTable(PatchTable):
    """A `PatchTable` with a sign before the rank of each patch that is done."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Patches of the walk")
        self.setColumnWidth(0, self.fontMetrics().horizontalAdvance("✓ 888") + 8)

    def mark(self, state: Callable[[int], str]) -> None:
        """Show what ``state`` says of each rank: a key of `SIGNS`."""
        for row in range(self.rowCount()):
            item = self.item(row, 0)
            if item is not None:
                said = state(row)
                item.setText(f"{SIGNS[said]} {row + 1}".strip())
                item.setToolTip(WORDS[said])

    def show_rank(self, rank: int) -> None:
        """Select the row of a patch; none with −1."""
        with QSignalBlocker(self):
            if 0 <= rank < self.rowCount():
                self.setCurrentCell(rank, 1)
                item = self.item(rank, 0)
                if item is not None:
                    self.scrollToItem(item)
            else:
                self.clearSelection()
