"""Corrections of a scan that belongs to no project: kept in the user's own folder, found again by the scan's pixels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import platformdirs

from napari_morse.errors import InputError, MorseError
from napari_morse.io.lock import Lock, ProjectLockedError
from napari_morse.io.mask_store import load_store, pixel_digest
from napari_morse.session.case.open_case import OpenCase
from napari_morse.session.case_files import CORRECTED, LOCK
from napari_morse.session.edits import Corrections, recoverable, was_touched
from napari_morse.types import Array, Scan

VARIABLE = "NAPARI_MORSE_CORRECTIONS"
"""Environment variable that names another folder."""


@dataclass(frozen=True, eq=False)
class OwnHome:
    """The folder of a scan on its own: a project of one case, ours until we leave.

    Parameters
    ----------
    folder
        Its name is of the scan's pixels, and says nothing of the patient.
    lock
        Keeps other windows out.
    """

    folder: Path
    lock: Lock

    @property
    def writable(self) -> bool:
        """As `Home.writable`."""
        return self.lock.held

    def leave(self) -> None:
        """As `Home.leave`."""
        self.lock.release()


def corrections_folder() -> Path:
    """Where such corrections are kept; it need not exist."""
    said = os.environ.get(VARIABLE, "").strip()
    home = Path(platformdirs.user_data_dir("napari-morse", appauthor=False))
    return Path(said) if said else home / "corrections"


class HeldHereError(InputError):
    """A scan of these pixels is being corrected in the window that asks.

    Parameters
    ----------
    scan
        As it was opened before.
    """

    def __init__(self, scan: Scan) -> None:
        super().__init__("This scan is being corrected in this window already.", "Go on with the mask that is open.")
        self.scan = scan


def any_kept() -> bool:
    """Whether anything was ever corrected without a project; quick."""
    try:
        return any(corrections_folder().iterdir())
    except OSError:
        return False


def was_corrected(scan: Scan) -> bool:
    """Whether a person's edits of a scan of these pixels are on the disk; slow, for any thread.

    Damaged files are no answer here: opening them says what is wrong.
    """
    folder = _folder_of(pixel_digest(scan.data))
    path = folder / CORRECTED
    try:
        return path.is_file() and (recoverable(folder) is not None or was_touched(load_store(path)))
    except (MorseError, OSError):
        return True


def _folder_of(digest: str) -> Path:
    return corrections_folder() / digest[:32]


def open_standalone(scan: Scan, mask: Array | None, held: Mapping[str, Scan] = MappingProxyType({})) -> OpenCase:
    """Open the corrections of a scan; slow, for any thread.

    Strokes that were not saved when a program ended are in the mask again, and can be undone.

    Parameters
    ----------
    scan
        What is corrected; of several channels the first is what counts.
    mask
        (I, J, K) to begin from where there are no corrections yet; None: an empty mask.
    held
        Scans that this window corrects, by their `pixel_digest`.

    Raises
    ------
    HeldHereError
        It is one of ``held``.
    InputError
        Another window corrects it, the folder cannot be written to, or what was kept is damaged.
    """
    digest = pixel_digest(scan.data)
    # Before the lock, which is this very process's then: it would be taken for another window's.
    if digest in held:
        raise HeldHereError(held[digest])
    folder = _folder_of(digest)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock.acquire(folder / LOCK, "")
    except ProjectLockedError as error:
        raise InputError(
            "This scan is being corrected in another window.",
            f"Close it there; if no window is left, delete “{LOCK}” in {folder}.",
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
    return OpenCase(scan, digest, OwnHome(folder, lock), corrections)
