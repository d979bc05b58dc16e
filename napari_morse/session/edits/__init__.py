"""Corrections that are never lost: acts, undo and redo, a journal on the disk, recovery. No Qt."""

from napari_morse.session.edits.acts import Act
from napari_morse.session.edits.checkpoint import Checkpoint, Written
from napari_morse.session.edits.corrections import Corrections
from napari_morse.session.edits.files import (
    ChangedOnDiskError,
    Unfinished,
    UnfinishedError,
    put_aside,
    recoverable,
    was_touched,
)

__all__ = [
    "Act",
    "ChangedOnDiskError",
    "Checkpoint",
    "Corrections",
    "Unfinished",
    "UnfinishedError",
    "Written",
    "put_aside",
    "recoverable",
    "was_touched",
]
