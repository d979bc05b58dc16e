"""Writing the journal: each step is on the disk before the next begins; what could not be written is written later."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from napari_morse.errors import InputError
from napari_morse.io.atomic import write_bytes
from napari_morse.session.edits.format import Header, Record, pack_header, pack_record, together
from napari_morse.session.edits.reading import JournalText


class LostJournalError(InputError):
    """The file is gone, or is no longer the one that we wrote."""


class Journal:
    """One open journal. The file is opened anew for each step, so that nothing is held and a lost file is noticed.

    Parameters
    ----------
    path
        The file, which begins with ``header`` and holds ``records`` whole records in ``length`` bytes.
    """

    def __init__(self, path: Path, header: Header, records: int, length: int) -> None:
        self.path = path
        self.header = header
        self._front = pack_header(header)
        self._written = records
        self._length = length
        self._pending: list[Record] = []
        self._torn = 0
        self._held: int | None = None

    @classmethod
    def create(cls, path: Path, header: Header, records: Sequence[Record] = ()) -> Journal:
        """Begin a new journal in place of what is at ``path``, whole or not at all.

        Raises
        ------
        InputError
            No space, or no right to write.
        """
        packed = [pack_record(record, number) for number, record in enumerate(records, 1)]
        content = pack_header(header) + b"".join(packed)
        write_bytes(path, content)
        return cls(path, header, len(records), len(content))

    @classmethod
    def resume(cls, path: Path, text: JournalText) -> Journal:
        """Go on with a journal that is whole and of this version."""
        return cls(path, text.header, len(text.records), text.whole)

    @property
    def records(self) -> int:
        """Steps so far, those included that are not on the disk yet."""
        return self._written + len(self._pending)

    @property
    def holding(self) -> bool:
        """Whether steps are gathered, for one write of them all."""
        return self._held is not None

    def hold(self) -> None:
        """Gather steps from here on, for one write of them all."""
        self._held = len(self._pending)

    def let_go(self) -> None:
        """Gather no more: what was gathered counts as a whole or not at all. The next `append` writes it."""
        held, self._held = self._held or 0, None
        if len(self._pending) - held > 1:
            self._pending.insert(held, together(len(self._pending) - held))

    def keep(self, *records: Record) -> None:
        """Have steps written by the next `append`."""
        self._pending += records

    def append(self, *records: Record) -> None:
        """Write steps, and before them those that were not written yet; all are on the disk when this returns.

        Raises
        ------
        LostJournalError
            The file is gone, or something else wrote to it.
        InputError
            It could not be written; the step is kept, and the next call writes it first.
        """
        self.keep(*records)
        if self.holding or not self._pending:
            return
        packed = [pack_record(waiting, number) for number, waiting in enumerate(self._pending, self._written + 1)]
        content = b"".join(packed)
        try:
            with self.path.open("r+b", buffering=0) as file:
                self._check(file)
                self._write(file, content)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise LostJournalError("The journal of this case is gone.") from error
        except OSError as error:
            raise InputError(
                f"The last change could not be written to the journal: {error.strerror or error}.",
                "It is kept in memory. Make space, or save to another place.",
            ) from error
        self._written += len(self._pending)
        self._length += len(content)
        self._pending.clear()
        self._torn = 0

    def _check(self, file: BinaryIO) -> None:
        size = os.fstat(file.fileno()).st_size
        if not self._length <= size <= self._length + self._torn or file.read(len(self._front)) != self._front:
            raise LostJournalError("Something else wrote to the journal of this case.")

    def _write(self, file: BinaryIO, content: bytes) -> None:
        self._torn = len(content)
        file.truncate(self._length)
        file.seek(self._length)
        try:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(self._length)
            raise
