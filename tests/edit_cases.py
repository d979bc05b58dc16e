"""Cases of corrections that several test files use."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np

from benchmarks.strokes import random_stroke
from napari_morse.session.edits import Corrections

SCAN = "5ca1ab1e"
SHAPE = (12, 14, 10)


def begin(folder: Path, shape=SHAPE, dtype=np.uint8, **kwargs) -> Corrections:
    """Corrections of an empty mask."""
    return Corrections.open(folder, np.zeros(shape, dtype), SCAN, **kwargs)


def again(folder: Path, choice="recover") -> Corrections:
    """The same case in a new session."""
    return Corrections.open(folder, None, SCAN, unfinished=choice)


def journal(folder: Path) -> Path:
    return folder / "journal.log"


def saved(folder: Path) -> Path:
    return folder / "corrected.zarr.zip"


def asides(folder: Path) -> list[bytes]:
    """What was kept aside."""
    return [path.read_bytes() for path in sorted(folder.glob("journal-aside-*.log"))]


def work(corrections: Corrections, steps: int, seed: int = 0, labels: int = 4) -> list[tuple[int, np.ndarray]]:
    """Take random steps that change something; returns the journal's length and the mask after each."""
    rng, seen = np.random.default_rng(seed), []
    while len(seen) < steps:
        choice = rng.random()
        if choice < 0.2:
            done = corrections.undo()
        elif choice < 0.3:
            done = corrections.redo()
        else:
            done = corrections.apply(*random_stroke(rng, corrections.mask.shape, labels))
        if done is not None:
            path = corrections._journal_file
            seen.append((path.stat().st_size if path.exists() else 0, np.array(corrections.mask)))
    return seen


class Disk:
    """A disk that refuses what is written through `os.fsync`, as all our files are, while ``full``."""

    def __init__(self, monkeypatch, code=errno.ENOSPC):
        self.full, self.code, self._fsync = False, code, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor):
        if self.full:
            raise OSError(self.code, os.strerror(self.code))
        self._fsync(descriptor)
