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
    MOST_HEADER,
    RECORD,
    VERSION,
    Header,
    Record,
    Step,
)


@dataclass(frozen=True)
class JournalText:
    """What a journal says.

    Parameters
    ----------
    header, version
        As it begins.
    records
        The whole records before the first that is cut off or damaged.
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
    records: list[Record] = []
    while (found := _record(content, at)) is not None:
        record, at = found
        records.append(record)
    return JournalText(header, version, tuple(records), at, len(content), int(at < len(content)))


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


def _record(content: bytes, at: int) -> tuple[Record, int] | None:
    if at + RECORD.size > len(content):
        return None
    length, check, step = RECORD.unpack_from(content, at)
    payload = content[at + RECORD.size : at + RECORD.size + length]
    if len(payload) != length or zlib.crc32(bytes([step]) + payload) != check or step not in set(Step):
        return None
    return Record(Step(step), payload), at + RECORD.size + length


def _damaged() -> DamagedFileError:
    return DamagedFileError("The journal's beginning is damaged.", "What was saved before is untouched.")
