"""The files of one case's corrections: the saved mask, the journal beside it, and what was kept aside."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_morse.config import EditsConfig
from napari_morse.errors import DamagedFileError, InputError
from napari_morse.io.mask_store import StoredMask, load_store, read_about, save_store
from napari_morse.session.case_files import CORRECTED, JOURNAL
from napari_morse.session.edits.history import History
from napari_morse.session.edits.journal import JournalText, Record, Step, read_journal
from napari_morse.types import Array


class ChangedOnDiskError(InputError):
    """The saved mask is no longer the one that we read or wrote; nothing was written."""


@dataclass(frozen=True)
class Unfinished:
    """What a journal holds that was not saved.

    Parameters
    ----------
    steps
        Edits, undos and redos that can be taken again.
    lost
        Steps that were damaged, at least.
    when
        When the last was written: seconds since 1970.
    """

    steps: int
    lost: int
    when: float

    def __str__(self) -> str:
        text = f"{_count(self.steps)} of this case were not saved and can be recovered."
        return text if not self.lost else f"{text} At least {_count(self.lost)} after them cannot be read."


class UnfinishedError(InputError):
    """The last session on this case did not end with saving: ask whether to recover.

    Parameters
    ----------
    unfinished
        What can be recovered.
    """

    def __init__(self, unfinished: Unfinished) -> None:
        super().__init__(str(unfinished), "Recover them, or set them aside.")
        self.unfinished = unfinished


class About(BaseModel):
    """What the saved mask says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    scan: str
    """Digest of the scan."""
    saved: int = Field(ge=0)
    """State that the person saved last; the pixels may be further on."""
    journal: str = ""
    """Journal whose first ``records`` steps are in the pixels already."""
    records: int = Field(0, ge=0)


@dataclass(frozen=True, eq=False)
class Saved:
    """The mask to begin from."""

    stored: StoredMask
    history: History
    about: About
    fingerprint: str
    """Of the file; empty when there is none."""


def mask_and_journal(folder: Path) -> tuple[Path, Path]:
    """Saved mask and journal of a case's folder."""
    return folder / CORRECTED, folder / JOURNAL


def fingerprint(path: Path) -> str:
    """Sha256 of a file; empty when there is none.

    Raises
    ------
    InputError
        It cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InputError(f"“{path.name}” cannot be read: {error.strerror}.", "Check who may read it.") from error


def load_saved(path: Path, mask: Array | None, scan: str, limits: EditsConfig) -> Saved:
    """The saved mask, or the given one when nothing was saved.

    Raises
    ------
    InputError
        It is damaged, of another scan, or there is neither.
    """
    # Before the file is read: one that is exchanged in between counts as changed at the next save, instead of being
    # replaced.
    print_before = fingerprint(path)
    if print_before:
        stored = load_store(path)
        history = History.load(stored.history, limits)
        about = _about(stored.about)
        if about.scan != scan:
            raise InputError(f"“{path.name}” belongs to another scan.", "Open the case that it was saved for.")
        return Saved(stored, history, about, print_before)
    if mask is None:
        raise InputError("No mask of this case was saved yet.", "Run a model or open a mask first.")
    return Saved(StoredMask(mask, b"", {}), History(limits), About(scan=scan, saved=0), "")


def _about(raw: object) -> About:
    try:
        return About.model_validate(raw)
    except ValidationError as error:
        raise DamagedFileError(
            "The saved mask does not say what it belongs to.", "Restore it from a backup."
        ) from error


def was_touched(stored: StoredMask) -> bool:
    """Whether a saved mask is another than the one that it began with, or was once; one without a history counts so.

    Raises
    ------
    DamagedFileError
        Its history is damaged.
    """
    if not stored.history:
        return True
    history = History.load(stored.history, EditsConfig())
    return bool(history.undoable or history.redoable)


def read_fitting(path: Path, about: About, digest: str) -> tuple[JournalText, tuple[Record, ...]]:
    """The journal of a saved mask, and those of its records that the mask does not hold yet.

    Raises
    ------
    InputError
        It is of another scan, of another mask, of a newer version, or its beginning is damaged.
    """
    text = read_journal(path)
    if text.header.scan != about.scan:
        raise InputError("The journal belongs to another scan.")
    # A crash between the saved mask and its new journal leaves the old journal: steps that are in the pixels already
    # are not taken twice.
    if text.header.id == about.journal:
        return text, text.records[about.records :]
    if text.header.base != digest:
        raise InputError("The journal belongs to another mask than the saved one.")
    return text, text.records


def recoverable(folder: Path | str) -> Unfinished | None:
    """What could be recovered in a case's folder, without reading its mask; None when there is nothing.

    A journal that does not belong to the saved mask is not counted; `Corrections.open` says so and keeps it aside.

    Raises
    ------
    InputError
        The saved mask is damaged.
    """
    mask, journal = mask_and_journal(Path(folder))
    if not journal.exists() or not mask.exists():
        return None
    saved = read_about(mask)
    try:
        text, records = read_fitting(journal, _about(saved.about), saved.digest)
    except InputError:
        return None
    return unfinished(journal, text, records)


def unfinished(path: Path, text: JournalText, records: tuple[Record, ...]) -> Unfinished | None:
    """What these records of a journal hold; None when nothing."""
    steps = sum(record.step != Step.MARK for record in records)
    return Unfinished(steps, text.lost, path.stat().st_mtime) if steps else None


def keep_aside(path: Path) -> Path | None:
    """Give a file another name in its folder; returns it, or None when there is no such file.

    Raises
    ------
    InputError
        The folder cannot be written to.
    """
    number = 1
    while (aside := path.with_name(f"{path.stem}-aside-{number}{path.suffix}")).exists():
        number += 1
    try:
        os.rename(path, aside)  # noqa: PTH104 - unlike Path.replace it never replaces on Windows
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(
            f"“{path.name}” cannot be kept aside: {error.strerror}.", "Check who may write there."
        ) from error
    return aside


def put_aside(folder: Path | str) -> None:
    """Keep a case's saved mask and journal under other names: the case begins anew.

    Raises
    ------
    InputError
        The folder cannot be written to.
    """
    for path in mask_and_journal(Path(folder)):
        keep_aside(path)


def _count(steps: int) -> str:
    return f"{steps} step{'s' * (steps != 1)} (edits, undos, redos)"


@dataclass(frozen=True)
class Written:
    """What was written: digest of the pixels, fingerprint of the file."""

    digest: str
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A mask as it was when saving began.

    Parameters
    ----------
    path
        The file to write.
    stored
        Pixels and history; nobody else changes them.
    about
        What the file says of itself.
    expected
        Fingerprint that the file on the disk must have; None when it may be any.
    steps
        How many were taken by then.
    """

    path: Path
    stored: StoredMask
    about: About
    expected: str | None
    steps: int = 0

    def run(self) -> Written:
        """Write the file, whole or not at all, in whichever thread calls.

        Raises
        ------
        ChangedOnDiskError
            Something else wrote the file since we read or wrote it.
        InputError
            No space, or no right to write.
        """
        # A file that is gone may be written anew: that replaces nobody's work.
        if self.expected is not None and fingerprint(self.path) not in ("", self.expected):
            raise ChangedOnDiskError(
                f"“{self.path.name}” was changed by another program or window.",
                "Open the case again, or save anyway to replace it.",
            )
        save_store(self.stored, self.path)
        return Written(self.stored.digest, fingerprint(self.path))

    def beside(self) -> Path:
        """Write the file under another name, which it gives; nothing else is touched.

        Raises
        ------
        InputError
            No space, or no right to write.
        """
        number = 1
        while (path := self.path.with_name(f"mine-{number}-{self.path.name}")).exists():
            number += 1
        return save_store(self.stored, path)
