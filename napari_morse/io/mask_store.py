"""A mask under work and its undo history as zarr in one zip file: written whole, read behind gates.

Inside: a group with our attributes, the array ``mask`` (I, J, K) and the array ``history`` (bytes), both in chunks that
blosc compressed, as any zarr library reads them. We need so little of zarr 3 that it is written and read here: nothing
but what `save_store` writes is taken. Every name, dtype, codec, chunk and length is checked before memory is spent,
parts must lie in the zip file uncompressed (so it cannot unfold), and the arrays' sha256 sums are compared at the end.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.io.atomic import atomic_path
from napari_morse.io.guards import check_budget, enough_memory
from napari_morse.types import Array

CORRECTIONS_FORMAT: Final = "napari-morse-corrections"
FORMAT_VERSION: Final = 1
ENDING = ".zarr.zip"
_CHUNK_SIDE = 128
"""Voxels per axis of a chunk: 2 MB of uint8."""
_HISTORY_CHUNK = 1 << 26
"""Bytes: blosc takes no more than 2 GB at once."""
_MOST_META = 1 << 20
"""Bytes that a member with metadata may have."""
_BLOSC_HEADER = 16
_BACKUP = "Restore the file from a backup."


@dataclass(frozen=True, eq=False)
class StoredMask:
    """What one file holds.

    Parameters
    ----------
    data
        (I, J, K) label ids, any integer dtype.
    history
        The undo history, opaque here.
    about
        What the owner says of it: names and JSON values.
    """

    data: Array
    history: bytes
    about: dict[str, JsonValue]

    @cached_property
    def digest(self) -> str:
        """`pixel_digest` of ``data``."""
        return pixel_digest(self.data)


@dataclass(frozen=True)
class StoredAbout:
    """What is said of a stored mask: the owner's words, and the `pixel_digest` that its pixels should have."""

    about: dict[str, JsonValue]
    digest: str


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Attributes(_Strict):
    format: Literal["napari-morse-corrections"]
    format_version: Literal[1]
    mask_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    history_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    about: dict[str, JsonValue]


class _Group(_Strict):
    zarr_format: Literal[3]
    node_type: Literal["group"]
    attributes: dict[str, JsonValue]
    consolidated_metadata: None = None


class _Named(_Strict):
    name: str
    configuration: dict[str, JsonValue] = {}


class _Chunks(_Strict):
    chunk_shape: list[int]


class _ChunkGrid(_Strict):
    name: Literal["regular"]
    configuration: _Chunks


class _ArrayMeta(_Strict):
    zarr_format: Literal[3]
    node_type: Literal["array"]
    shape: list[int]
    data_type: Literal["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
    chunk_grid: _ChunkGrid
    chunk_key_encoding: _Named
    fill_value: Literal[0]
    codecs: list[_Named]
    attributes: dict[str, JsonValue] = {}
    storage_transformers: list[JsonValue] = Field(default=[], max_length=0)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.data_type).itemsize

    @property
    def chunk_bytes(self) -> int:
        return math.prod(self.chunk_grid.configuration.chunk_shape) * np.dtype(self.data_type).itemsize

    @property
    def counts(self) -> list[int]:
        """Chunks along each axis."""
        return [-(-n // c) for n, c in zip(self.shape, self.chunk_grid.configuration.chunk_shape, strict=True)]

    @property
    def count(self) -> int:
        return math.prod(self.counts)

    def chunks(self, name: str) -> Iterator[tuple[str, tuple[slice, ...]]]:
        """The member that holds each chunk, and its place in the array."""
        chunk = self.chunk_grid.configuration.chunk_shape
        for index in np.ndindex(*self.counts):
            box = (slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(index, chunk, self.shape, strict=True))
            yield "/".join((name, "c", *map(str, index))), tuple(box)

    @classmethod
    def of(cls, data: Array, chunk: list[int]) -> _ArrayMeta:
        """The description of an array in chunks of ``chunk``."""
        settings: dict[str, JsonValue] = {
            "typesize": data.dtype.itemsize,
            "cname": "zstd",
            "clevel": 3,
            "shuffle": "shuffle",
            "blocksize": 0,
        }
        order = _Named(name="bytes", configuration={"endian": "little"})
        return cls.model_validate(
            {
                "zarr_format": 3,
                "node_type": "array",
                "shape": list(data.shape),
                "data_type": data.dtype.name,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
                "chunk_key_encoding": _KEYS.model_dump(),
                "fill_value": 0,
                "codecs": [order.model_dump(), {"name": "blosc", "configuration": settings}],
            }
        )


_Model = TypeVar("_Model", bound=BaseModel)
_CODECS = ["bytes", "blosc"]
_KEYS = _Named(name="default", configuration={"separator": "/"})
_LITTLE: list[dict[str, JsonValue]] = [{}, {"endian": "little"}]
"""One byte a value has no order of bytes."""


def pixel_digest(data: Array) -> str:
    """Sha256 of shape, dtype and values of (I, J, K) integers, the same on every machine and in every memory order."""
    plain = np.ascontiguousarray(data, data.dtype.newbyteorder("<"))
    summed = hashlib.sha256(f"{data.shape} {data.dtype.kind}{data.dtype.itemsize}\n".encode())
    summed.update(plain.data)
    return summed.hexdigest()


def save_store(stored: StoredMask, path: Path | str) -> Path:
    """Write a mask and its history, whole or not at all; returns the path.

    Raises
    ------
    InputError
        No such folder, no space, no right to write.
    """
    attributes = _Attributes(
        format=CORRECTIONS_FORMAT,
        format_version=FORMAT_VERSION,
        mask_sha256=stored.digest,
        history_sha256=hashlib.sha256(stored.history).hexdigest(),
        about=stored.about,
    )
    group = _Group(zarr_format=3, node_type="group", attributes=attributes.model_dump())
    history = np.frombuffer(stored.history, np.uint8)
    with atomic_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr("zarr.json", group.model_dump_json(exclude_none=True))
        _write_array(packed, "mask", stored.data, [min(n, _CHUNK_SIDE) for n in stored.data.shape])
        _write_array(packed, "history", history, [min(max(len(history), 1), _HISTORY_CHUNK)])
    return Path(path)


def _write_array(packed: zipfile.ZipFile, name: str, data: Array, chunk: list[int]) -> None:
    """One array: its metadata, and all its chunks, those at the far borders filled up with zeros as zarr wants them."""
    from numcodecs import blosc

    meta = _ArrayMeta.of(data, chunk)
    packed.writestr(f"{name}/zarr.json", meta.model_dump_json())
    padded = np.zeros(chunk, np.dtype(meta.data_type).newbyteorder("<"))
    for key, box in meta.chunks(name):
        piece = data[box]
        padded[...] = 0
        padded[tuple(slice(n) for n in piece.shape)] = piece
        packed.writestr(key, blosc.compress(padded, b"zstd", 3, blosc.SHUFFLE, typesize=data.dtype.itemsize))


def load_store(path: Path | str) -> StoredMask:
    """Read what `save_store` wrote.

    Raises
    ------
    DamagedFileError
        Incomplete, damaged, tampered with, or not such a file.
    InputError
        Missing, unreadable, or written by a newer version.
    MemoryBudgetError
        Larger than the memory budget.
    """
    path = Path(path)
    with enough_memory(path.name):
        return _Reader(path).read()


def read_about(path: Path | str) -> StoredAbout:
    """What is said of a stored mask, without unfolding its pixels.

    Raises
    ------
    DamagedFileError, InputError
        As `load_store`.
    """
    return _Reader(Path(path)).about()


class _Reader:
    """One file, read once into memory as it lies on the disk, then checked from outside to inside."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            check_budget(path.stat().st_size, path.name)
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"“{path.name}” cannot be read: {error.strerror}.", "Check that it is there.") from error
        self._parts = self._unzip(content)

    def read(self) -> StoredMask:
        attributes = self._attributes()
        mask, history = self._array("mask", 3), self._array("history", 1)
        check_budget(mask.nbytes + history.nbytes, self._name)
        self._check_members(("mask", mask), ("history", history))
        stored = StoredMask(self._pixels("mask", mask), self._pixels("history", history).tobytes(), attributes.about)
        if stored.digest != attributes.mask_sha256:
            raise self._damaged("the checksum of its mask does not hold")
        if hashlib.sha256(stored.history).hexdigest() != attributes.history_sha256:
            raise self._damaged("the checksum of its history does not hold")
        return stored

    def about(self) -> StoredAbout:
        attributes = self._attributes()
        return StoredAbout(attributes.about, attributes.mask_sha256)

    def _unzip(self, content: bytes) -> dict[str, bytes]:
        parts: dict[str, bytes] = {}
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as packed:
                for member in packed.infolist():
                    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
                        raise self._damaged(f"its part “{member.filename[:80]}” is compressed or locked")
                    if member.filename in parts:
                        raise self._damaged("it holds one part twice")
                    parts[member.filename] = packed.read(member)
                    # Members that share bytes unfold without any compression: together they are longer than the file.
                    if sum(map(len, parts.values())) > len(content):
                        raise self._damaged("its parts overlap")
        except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OSError, RuntimeError) as error:
            raise self._damaged("it is not a whole zip file") from error
        return parts

    def _attributes(self) -> _Attributes:
        attributes = self._parsed("zarr.json", _Group).attributes
        version = attributes.get("format_version")
        if attributes.get("format") == CORRECTIONS_FORMAT and isinstance(version, int) and version > FORMAT_VERSION:
            raise InputError(f"“{self._name}” was written by a newer version of napari-morse.", "Update napari-morse.")
        try:
            return _Attributes.model_validate(attributes)
        except ValidationError as error:
            raise self._damaged("it does not hold corrections of napari-morse") from error

    def _parsed(self, key: str, kind: type[_Model]) -> _Model:
        content = self._parts.get(key, b"")
        try:
            return kind.model_validate(json.loads(content if len(content) <= _MOST_META else b""))
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"its part “{key}” is not what a mask is described by") from error

    def _array(self, name: str, axes: int) -> _ArrayMeta:
        meta = self._parsed(f"{name}/zarr.json", _ArrayMeta)
        shape, chunk = meta.shape, meta.chunk_grid.configuration.chunk_shape
        # A mask has a voxel at least; a history may be empty.
        if not len(shape) == len(chunk) == axes or min(shape) < (axes == 3) or min(chunk) < 1:
            raise self._damaged(f"the shape {shape} in chunks of {chunk} is impossible")
        if [codec.name for codec in meta.codecs] != _CODECS:
            names = ", ".join(codec.name[:40] for codec in meta.codecs)
            raise self._damaged(f"its pixels are encoded as “{names}”, which is not read")
        if meta.chunk_key_encoding != _KEYS or meta.codecs[0].configuration not in _LITTLE:
            raise self._damaged("its chunks are not laid out as ours are")
        check_budget(meta.nbytes + meta.chunk_bytes, self._name)
        return meta

    def _check_members(self, *arrays: tuple[str, _ArrayMeta]) -> None:
        count = sum(meta.count for _, meta in arrays)
        # Counted before they are named: a few bytes of metadata may claim more chunks than memory holds names.
        if count > len(self._parts):
            there = sum("/c/" in key for key in self._parts)
            raise self._damaged(f"{count - there} of the {count} chunks of its mask and history are missing")
        expected = {"zarr.json"}
        for name, meta in arrays:
            expected |= {f"{name}/zarr.json", *(key for key, _ in meta.chunks(name))}
        if missing := expected - self._parts.keys():
            raise self._damaged(f"{len(missing)} of the {count} chunks of its mask and history are missing")
        if strange := self._parts.keys() - expected:
            raise self._damaged(f"it holds “{min(strange)[:80]}”, which does not belong there")

    def _pixels(self, name: str, meta: _ArrayMeta) -> Array:
        chunk = meta.chunk_grid.configuration.chunk_shape
        stored = np.dtype(meta.data_type).newbyteorder("<")
        pixels = np.empty(meta.shape, meta.data_type)
        for key, box in meta.chunks(name):
            piece = np.frombuffer(self._unfolded(key, meta), stored).reshape(chunk)
            pixels[box] = piece[tuple(slice(b.stop - b.start) for b in box)]
        return pixels

    def _unfolded(self, key: str, meta: _ArrayMeta) -> bytes:
        """A chunk, which is refused unread when it would unfold to another length than the metadata says."""
        from numcodecs import blosc

        # blosc believes its own header and allocates what stands there: bytes 4 to 8 (unfolded) and 12 to 16 (folded).
        content = self._parts[key]
        if len(content) < _BLOSC_HEADER or int.from_bytes(content[12:16], "little") != len(content):
            raise self._damaged(f"its part “{key}” is cut off or junk")
        length = int.from_bytes(content[4:8], "little")
        if length != meta.chunk_bytes:
            raise self._damaged(f"its part “{key}” holds {length} of {meta.chunk_bytes} bytes")
        try:
            unfolded: bytes = blosc.decompress(content)
        except (RuntimeError, ValueError) as error:
            raise self._damaged(f"its part “{key}” cannot be read") from error
        return unfolded

    def _damaged(self, why: str) -> DamagedFileError:
        return DamagedFileError(f"“{self._name}” is damaged: {why}.", _BACKUP)
