"""The journal's bytes: a header that says whose it is, then one record a step, each with its length and checksum.

Header: magic, version, length of a JSON text, the text, CRC32 of all that. A record: marker, number (from 1), length
of the payload, CRC32 of the other four, step, payload. Little-endian. The marker lets records behind a damaged one be
counted. In version 1 a record was: length, CRC32 of step and payload, step, payload.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from pydantic import BaseModel, ConfigDict, Field

MAGIC = b"MORSEJNL"
VERSION = 2
FRONT = struct.Struct("<8sHI")
CHECK = struct.Struct("<I")
RECORD = struct.Struct("<4sIIIB")
MARKER = b"\xf5MR\n"
OLD_RECORD = struct.Struct("<IIB")
_TOGETHER = b"together "
MOST_HEADER = 1 << 16
"""Bytes that the JSON text may have."""


class Step(IntEnum):
    """What a record is."""

    ACT = 1
    UNDO = 2
    REDO = 3
    MARK = 4
    """A note that changes nothing; see `together`."""


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


def together(count: int) -> Record:
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
    front = FRONT.pack(MAGIC, VERSION, len(text)) + text
    return front + CHECK.pack(zlib.crc32(front))


def pack_record(record: Record, number: int) -> bytes:
    """One record, the ``number``-th of its journal."""
    length = len(record.payload)
    check = checksum(number, length, record.step, record.payload)
    return RECORD.pack(MARKER, number, length, check, record.step) + record.payload


def checksum(number: int, length: int, step: int, payload: bytes) -> int:
    """CRC32 of a record."""
    return zlib.crc32(payload, zlib.crc32(struct.pack("<IIB", number, length, step)))
