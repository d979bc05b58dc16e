"""Keeps the open case on the disk: saves it beside the window, now and then and when it is left, and lets it go."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.session.case import OpenCase, OpenCases
from napari_morse.session.edits import Corrections
from napari_morse.widgets.case.corrected_layer import CorrectedLayer
from napari_morse.widgets.case.settling import settled
from napari_morse.widgets.case.write_queue import Complaints, WriteQueue, saving

AUTOSAVE = 120_000
"""Milliseconds after which corrections are saved; every stroke that the disk takes is in the journal at once."""


class CaseKeeper(QObject):
    """One case at a time, of a project or on its own alike.

    Parameters
    ----------
    safe
        A sentence on where corrections are that could not be saved, while every stroke is in the journal.
    cases
        All that are open: it is one of them while it is kept.
    replaces_changed
        Whether a saved mask that something else has changed is replaced; else ours is kept beside it, and that is said.
    parent
        Owner.
    """

    rested = Signal()
    """A write has ended, well or not."""

    def __init__(self, safe: str, cases: OpenCases, *, replaces_changed: bool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.writes = WriteQueue(self)
        self.complaints = Complaints(self.writes, safe)
        self.case: OpenCase | None = None
        self.layer: CorrectedLayer | None = None
        """The layer of its corrected mask; None where the case is only looked at."""
        self.conflicts: dict[Path, Corrections] = {}
        """What could not be saved because something else had changed the saved mask, by folder."""
        self._cases, self._replaces_changed = cases, replaces_changed
        # Where Qt deletes the window without a word, a plain list is all that is left to let a case go by.
        self._held: list[OpenCase] = []
        self.destroyed.connect(partial(let_go, self._held))
        self.writes.changed.connect(self.rested)
        self._autosave = QTimer(self)
        self._autosave.setInterval(AUTOSAVE)
        self._autosave.timeout.connect(self.save)

    def hold(self, case: OpenCase, layer: CorrectedLayer | None) -> None:
        """Keep a case from now on; say what was unusual when it was read."""
        self.case, self.layer = case, layer
        # In place: the slot that Qt calls at the end holds this very list.
        self._held[:] = [case]
        self._cases.open(case)
        self.conflicts.pop(case.folder, None)  # what is on the disk was taken; the other mask lies beside it
        if layer is None or case.corrections is None:
            return
        layer.unwritten.due.connect(self.save)
        self._autosave.start()
        for sentence in case.corrections.notices:
            show_warning(sentence)

    def save(self) -> None:
        """Save, beside the window, when there is something to save."""
        case = self.case
        if case is None or case.corrections is None or not (case.unsaved and case.writable):
            return
        if self._replaces_changed:
            self.writes.add(case.folder, saving(case.corrections))
        # Once in conflict, nothing is saved by itself: each further save would lay one more copy beside the other's
        # mask.
        elif case.folder not in self.conflicts:
            kept_beside = partial(self._on_conflict, case.folder, case.corrections)
            self.writes.add(case.folder, saving(case.corrections, kept_beside))

    def save_now(self) -> None:
        """Save, and wait until that has ended, well or not."""
        self.save()
        self.writes.finish()

    def save_anyway(self) -> None:
        """Save corrections over files that something else changed."""
        conflicts, self.conflicts = self.conflicts, {}
        for folder, corrections in conflicts.items():
            self.writes.add(folder, saving(corrections))

    def may_leave(self, may_stay: bool = True) -> bool:
        """Whether nothing goes unsaid when the case is left; see `settled`."""
        return self.layer is None or settled(self.layer, self.save_now, may_stay)

    def drop(self) -> None:
        """Keep it no more, and let other windows have it; nothing is saved here."""
        case, self.case, self.layer = self.case, None, None
        self._autosave.stop()
        self._held.clear()
        if case is not None:
            self._cases.close(case)

    def _on_conflict(self, folder: Path, corrections: Corrections, aside: Path) -> None:
        self.conflicts[folder] = corrections
        show_warning(
            f"The saved mask of {folder.name} was changed by another program or window. Yours is kept beside it as "
            f"“{aside.name}”; Project ▸ Save anyway puts it in the other's place."
        )


def let_go(cases: list[OpenCase], _gone: QObject | None = None) -> None:
    """Let other windows have them."""
    while cases:
        cases.pop().close()
