"""Corrections that are never lost: edits, undo and redo, a journal on the disk, recovery. No Qt."""

from napari_morse.session.edits.corrections import Corrections, OnUnfinished, Renumbering, apply_before
from napari_morse.session.edits.edit import JOINED, Edit
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
    "ChangedOnDiskError",
    "Checkpoint",
    "Corrections",
    "Edit",
    "OnUnfinished",
    "Renumbering",
    "Unfinished",
    "UnfinishedError",
    "Written",
    "apply_before",
    "put_aside",
    "recoverable",
    "was_touched",
]
