"""Corrections of a scan that belongs to no project: kept in the user's own folder, found again by the scan's pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from napari_morse.errors import InputError
from napari_morse.io.lock import Lock, ProjectLockedError
from napari_morse.io.mask_store import pixel_digest
from napari_morse.session.edits import Corrections
from napari_morse.types import Array, Scan

VARIABLE = "NAPARI_MORSE_CORRECTIONS"
"""Environment variable that names another folder."""


@dataclass(frozen=True, eq=False)
class LooseCase:
    """A scan's corrections, ours until `close`.

    Parameters
    ----------
    folder
        Its name is of the scan's pixels, and says nothing of the patient.
    corrections
        Begun, or gone on with.
    lock
        Keeps other windows out.
    found
        Whether strokes of an earlier day are in the mask.
    """

    folder: Path
    corrections: Corrections
    lock: Lock
    found: bool

    def close(self) -> None:
        """Let other windows have it; nothing is saved here."""
        self.lock.release()


def corrections_folder() -> Path:
    """Where such corrections are kept; it need not exist."""
    said = os.environ.get(VARIABLE, "").strip()
    home = Path(platformdirs.user_data_dir("napari-morse", appauthor=False))
    return Path(said) if said else home / "corrections"


def open_loose(scan: Scan, mask: Array | None) -> LooseCase:
    """Open the corrections of a scan; slow, for any thread.

    Strokes that were not saved when a program ended are in the mask again, and can be undone.

    Parameters
    ----------
    scan
        What is corrected; of several channels the first is what counts.
    mask
        (I, J, K) to begin from where there are no corrections yet; None: an empty mask.

    Raises
    ------
    InputError
        Another window corrects it, the folder cannot be written to, or what was kept is damaged.
    """
    digest = pixel_digest(scan.data)
    folder = corrections_folder() / digest[:32]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock.acquire(folder / "lock.json", "")
    except ProjectLockedError as error:
        raise InputError(
            "This scan is being corrected in another window.",
            f"Close it there; if no window is left, delete “lock.json” in {folder}.",
        ) from error
    except OSError as error:
        raise InputError(f"{folder} cannot be written to: {error.strerror or error}.", "Check your rights.") from error
    try:
        start = np.zeros(scan.grid.shape, np.uint8) if mask is None else np.asarray(mask)
        corrections = Corrections.recover(folder, start, digest)
        if corrections.untouched and not np.array_equal(corrections.mask, start):
            corrections = Corrections.restart(folder, start, digest)
    except BaseException:
        lock.release()
        raise
    return LooseCase(folder, corrections, lock, not corrections.untouched)
