"""Corrections that are never lost: acts, undo and redo, a journal on the disk, recovery. No Qt."""

from napari_morse.session.edits.corrections import Corrections, Moved, begin_afresh, insert
from napari_morse.session.edits.edit import JOINED, Act
from napari_morse.session.edits.files import (
    ChangedOnDiskError,
    Checkpoint,
    Unfinished,
    UnfinishedError,
    Written,
    put_aside,
    recoverable,
    was_touched,
)

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
