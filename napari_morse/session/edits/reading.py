"""Reading a journal as far as it is whole."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.session.edits.format import (
    CHECK,
    FRONT,
    MAGIC,
    MARKER,
    MOST_HEADER,
    OLD_RECORD,
    RECORD,
    VERSION,
    Header,
    Record,
    Step,
    checksum,
    together_with,
)


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
    read = _record if version == VERSION else _old_record
    records: list[Record] = []
    starts = [at]
    while (found := read(content, starts[-1], len(records) + 1)) is not None:
        record, at = found
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
        seen = RECORD.unpack_from(content, at)[1] if at + RECORD.size <= len(content) else 0
        found = _record(content, at, seen) if seen > last else None
        last, end = (seen, found[1]) if found else (last, end)
        at = content.find(MARKER, found[1] if found else at + 1)
    return last - number + (end < len(content))


def _header(content: bytes) -> tuple[Header, int, int]:
    if len(content) < FRONT.size or not content.startswith(MAGIC):
        raise _damaged()
    _, version, length = FRONT.unpack_from(content)
    if version > VERSION:
        raise InputError("The journal was written by a newer version of napari-morse.", "Update napari-morse.")
    end = FRONT.size + length
    if length > MOST_HEADER or len(content) < end + CHECK.size:
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
