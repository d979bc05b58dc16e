"""Writing the journal: each step is on the disk before the next begins; what could not be written is written later."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.io.atomic import write_bytes

MAGIC = b"MORSEJNL"
JOURNAL_VERSION = 2
FRONT = struct.Struct("<8sHI")
CHECK = struct.Struct("<I")
RECORD = struct.Struct("<4sIIIB")
MARKER = b"\xf5MR\n"
OLD_RECORD = struct.Struct("<IIB")
_TOGETHER = b"together "
LONGEST_HEADER = 1 << 16
"""Bytes that the JSON text may have."""


class Step(IntEnum):
    """What a record is."""

    EDIT = 1
    UNDO = 2
    REDO = 3
    MARK = 4
    """A note that changes nothing; see `together_record`."""


class Header(BaseModel):
    """Whose journal it is, and on what mask it begins."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    scan: str
    """Digest of the scan."""
    shape: list[int] = Field(min_length=3, max_length=3)
    dtype: str = Field(pattern=r"^[ui][1248]$")
    base: str
    """Digest of the mask before the first record."""


@dataclass(frozen=True)
class Record:
    """One step, and what is needed to take it again."""

    step: Step
    payload: bytes = b""


def together_record(count: int) -> Record:
    """A note that the next ``count`` records count only if all of them are there."""
    return Record(Step.MARK, _TOGETHER + str(count).encode())


def together_with(record: Record) -> int:
    """How many records after this one count only if all of them are there; 0 where it is no such note."""
    if record.step != Step.MARK or not record.payload.startswith(_TOGETHER):
        return 0
    number = record.payload.removeprefix(_TOGETHER)
    return int(number) if number.isdigit() and len(number) < 10 else 0


def pack_header(header: Header) -> bytes:
    """The start of a journal."""
    text = header.model_dump_json().encode()
    front = FRONT.pack(MAGIC, JOURNAL_VERSION, len(text)) + text
    return front + CHECK.pack(zlib.crc32(front))


def pack_record(record: Record, number: int) -> bytes:
    """One record, the ``number``-th of its journal."""
    length = len(record.payload)
    check = checksum(number, length, record.step, record.payload)
    return RECORD.pack(MARKER, number, length, check, record.step) + record.payload


def checksum(number: int, length: int, step: int, payload: bytes) -> int:
    """CRC32 of a record."""
    return zlib.crc32(payload, zlib.crc32(struct.pack("<IIB", number, length, step)))


@dataclass(frozen=True)
class JournalText:
    """What a journal says.

    Parameters
    ----------
    header, version
        As it begins.
    records
        The whole records before the first that is cut off or damaged, or belongs to a piece that is.
    whole
        Bytes up to there.
    size
        Bytes of the file.
    lost
        Steps behind that, at least; 0 when the file ends there.
    """

    header: Header
    version: int
    records: tuple[Record, ...]
    whole: int
    size: int
    lost: int


def read_journal(path: Path) -> JournalText:
    """Read a journal up to its first record that is not whole.

    Raises
    ------
    DamagedFileError
        The header is not whole.
    InputError
        A newer version wrote it, or it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"The journal cannot be read: {error.strerror}.", "Check who may read it.") from error
    header, version, at = _header(content)
    read = _record if version == JOURNAL_VERSION else _old_record
    records: list[Record] = []
    starts = [at]
    while (record_and_end := read(content, starts[-1], len(records) + 1)) is not None:
        record, at = record_and_end
        records.append(record)
        starts.append(at)
    lost, whole = _lost(content, at, len(records)), _whole(records)
    if whole < len(records):
        lost = max(1, lost)
    return JournalText(header, version, tuple(records[:whole]), starts[whole], len(content), lost)


def _whole(records: list[Record]) -> int:
    """How many records count: not those of a piece whose end is missing."""
    for number, record in enumerate(records):
        if number + together_with(record) >= len(records):
            return number
    return len(records)


def _lost(content: bytes, whole: int, number: int) -> int:
    """Steps behind the last whole record: told by the numbers of those that can still be read."""
    last, end = number, whole
    at = content.find(MARKER, whole)
    while at >= 0:
        # The marker may stand inside a payload, too: only what passes its checksum is a record.
        seen = RECORD.unpack_from(content, at)[1] if at + RECORD.size <= len(content) else 0
        record_and_end = _record(content, at, seen) if seen > last else None
        last, end = (seen, record_and_end[1]) if record_and_end else (last, end)
        at = content.find(MARKER, record_and_end[1] if record_and_end else at + 1)
    return last - number + (end < len(content))


def _header(content: bytes) -> tuple[Header, int, int]:
    if len(content) < FRONT.size or not content.startswith(MAGIC):
        raise _damaged()
    _, version, length = FRONT.unpack_from(content)
    if version > JOURNAL_VERSION:
        raise InputError("The journal was written by a newer version of napari-morse.", "Update napari-morse.")
    end = FRONT.size + length
    if length > LONGEST_HEADER or len(content) < end + CHECK.size:
        raise _damaged()
    if CHECK.unpack_from(content, end)[0] != zlib.crc32(content[:end]):
        raise _damaged()
    try:
        return Header.model_validate_json(content[FRONT.size : end]), version, end + CHECK.size
    except ValidationError as error:
        raise _damaged() from error


def _record(content: bytes, at: int, number: int) -> tuple[Record, int] | None:
    """The ``number``-th record, at ``at``, and where it ends; None unless it is whole."""
    if at + RECORD.size > len(content):
        return None
    marker, own, length, check, step = RECORD.unpack_from(content, at)
    end = at + RECORD.size + length
    if marker != MARKER or own != number or end > len(content):
        return None
    payload = content[at + RECORD.size : end]
    if checksum(number, length, step, payload) != check or step not in set(Step):
        return None
    return Record(Step(step), payload), end


def _old_record(content: bytes, at: int, _: int) -> tuple[Record, int] | None:
    """As `_record`, of version 1."""
    if at + OLD_RECORD.size > len(content):
        return None
    length, check, step = OLD_RECORD.unpack_from(content, at)
    end = at + OLD_RECORD.size + length
    payload = content[at + OLD_RECORD.size : end]
    if end > len(content) or zlib.crc32(bytes([step]) + payload) != check or step not in set(Step):
        return None
    return Record(Step(step), payload), end


def _damaged() -> DamagedFileError:
    return DamagedFileError("The journal's beginning is damaged.", "What was saved before is untouched.")


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
            self._pending.insert(held, together_record(len(self._pending) - held))

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
            # Not for appending: that would make a journal which is gone anew, without its header. Unbuffered: what the
            # disk refuses fails at the write, not when the file is closed.
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
        # A write that failed halfway may have left a piece that could not be cut off then: that much longer is ours.
        size = os.fstat(file.fileno()).st_size
        if not self._length <= size <= self._length + self._torn or file.read(len(self._front)) != self._front:
            raise LostJournalError("Something else wrote to the journal of this case.")

    def _write(self, file: BinaryIO, content: bytes) -> None:
        # Noted before anything is written: whatever fails from here on, the file may be this much longer.
        self._torn = len(content)
        file.truncate(self._length)
        file.seek(self._length)
        try:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
            # Until then the bytes may be in the system's cache alone, and a power cut takes them.
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(self._length)
            raise
