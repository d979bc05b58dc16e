"""One saving of a mask and its history: a frozen copy, so that another thread may write it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_morse.io.mask_store import StoredMask, save_store
from napari_morse.session.edits.files import About, ChangedOnDiskError, fingerprint


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
        while (place := self.path.with_name(f"mine-{number}-{self.path.name}")).exists():
            number += 1
        return save_store(self.stored, place)
