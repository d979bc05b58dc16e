"""Corrections that are never lost: acts, undo and redo, a journal on the disk, recovery. No Qt."""

from napari_morse.session.edits.beginning import begin_afresh
from napari_morse.session.edits.checkpoint import Checkpoint, Written
from napari_morse.session.edits.corrections import Corrections
from napari_morse.session.edits.edit import JOINED, Act
from napari_morse.session.edits.files import (
    ChangedOnDiskError,
    Unfinished,
    UnfinishedError,
    put_aside,
    recoverable,
    was_touched,
)
from napari_morse.session.edits.inserting import Moved, insert

__all__ = [
    "JOINED",
    "Act",
    "ChangedOnDiskError",
    "Checkpoint",
    "Corrections",
    "Moved",
    "Unfinished",
    "UnfinishedError",
    "Written",
    "begin_afresh",
    "insert",
    "put_aside",
    "recoverable",
    "was_touched",
]
