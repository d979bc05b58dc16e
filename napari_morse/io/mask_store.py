"""A mask under work and its undo history as zarr in one zip file: written whole, read behind gates.

Inside: a group with our attributes, the array ``mask`` (I, J, K) in blosc-compressed chunks, and the array ``history``
(bytes). Nothing else is read: every name, dtype, codec, chunk and length is checked before memory is spent, members
must lie in the zip file uncompressed (so it cannot unfold), and sha256 sums of both arrays are compared at the end.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.io.atomic import atomic_path
from napari_morse.io.guards import check_budget, enough_memory
from napari_morse.types import Array

FORMAT: Final = "napari-morse-corrections"
FORMAT_VERSION: Final = 1
ENDING = ".zarr.zip"
_CHUNK = 128
"""Voxels per axis of a chunk: 2 MB of uint8."""
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

    def keys(self, name: str) -> list[str]:
        """Members that hold the chunks."""
        return ["/".join((name, "c", *map(str, index))) for index in np.ndindex(*self.counts)]


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
    import zarr
    from zarr.codecs import BloscCodec
    from zarr.storage import ZipStore

    data = np.ascontiguousarray(stored.data, stored.data.dtype.newbyteorder("<"))
    attributes = _Attributes(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        mask_sha256=stored.digest,
        history_sha256=hashlib.sha256(stored.history).hexdigest(),
        about=stored.about,
    )
    settings: dict[str, Any] = {"filters": None, "fill_value": 0, "config": {"write_empty_chunks": True}}
    with atomic_path(path) as part, ZipStore(part, mode="w") as store:
        group = zarr.create_group(store, zarr_format=3, attributes=attributes.model_dump())
        chunks = tuple(min(n, _CHUNK) for n in data.shape)
        codec = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=data.dtype.itemsize)
        mask = group.create_array(
            "mask", shape=data.shape, chunks=chunks, dtype=data.dtype, compressors=[codec], **settings
        )
        mask[...] = data
        written = np.frombuffer(stored.history, np.uint8)
        pieces = (max(len(written), 1),)
        history = group.create_array(
            "history", shape=written.shape, chunks=pieces, dtype="uint8", compressors=None, **settings
        )
        history[...] = written
    return Path(path)


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
        stored = StoredMask(self._pixels("mask"), self._pixels("history").tobytes(), attributes.about)
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
                    if sum(map(len, parts.values())) > len(content):
                        raise self._damaged("its parts overlap")
        except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OSError, RuntimeError) as error:
            raise self._damaged("it is not a whole zip file") from error
        return parts

    def _attributes(self) -> _Attributes:
        found = self._parsed("zarr.json", _Group).attributes
        version = found.get("format_version")
        if found.get("format") == FORMAT and isinstance(version, int) and version > FORMAT_VERSION:
            raise InputError(f"“{self._name}” was written by a newer version of napari-morse.", "Update napari-morse.")
        try:
            return _Attributes.model_validate(found)
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
        if not len(shape) == len(chunk) == axes or min(shape) < (axes == 3) or min(chunk) < 1:
            raise self._damaged(f"the shape {shape} in chunks of {chunk} is impossible")
        if [codec.name for codec in meta.codecs] != _CODECS[: len(meta.codecs)] or not meta.codecs:
            names = ", ".join(codec.name[:40] for codec in meta.codecs)
            raise self._damaged(f"its pixels are encoded as “{names}”, which is not read")
        if meta.chunk_key_encoding != _KEYS or meta.codecs[0].configuration not in _LITTLE:
            raise self._damaged("its chunks are not laid out as ours are")
        check_budget(meta.nbytes + meta.chunk_bytes, self._name)
        return meta

    def _check_members(self, *arrays: tuple[str, _ArrayMeta]) -> None:
        count = sum(meta.count for _, meta in arrays)
        if count > len(self._parts):
            there = sum("/c/" in key for key in self._parts)
            raise self._damaged(f"{count - there} of the {count} chunks of its mask and history are missing")
        expected = {"zarr.json"}.union(*({f"{name}/zarr.json", *meta.keys(name)} for name, meta in arrays))
        if missing := expected - self._parts.keys():
            raise self._damaged(f"{len(missing)} of the {count} chunks of its mask and history are missing")
        if strange := self._parts.keys() - expected:
            raise self._damaged(f"it holds “{min(strange)[:80]}”, which does not belong there")
        for name, meta in arrays:
            for key in meta.keys(name):
                self._check_chunk(key, meta)

    def _check_chunk(self, key: str, meta: _ArrayMeta) -> None:
        """Refuse a chunk that would unfold to another length than the metadata says."""
        content = self._parts[key]
        if len(meta.codecs) == 1:
            length = len(content)
        elif len(content) < _BLOSC_HEADER or int.from_bytes(content[12:16], "little") != len(content):
            raise self._damaged(f"its part “{key}” is cut off or junk")
        else:
            length = int.from_bytes(content[4:8], "little")
        if length != meta.chunk_bytes:
            raise self._damaged(f"its part “{key}” holds {length} of {meta.chunk_bytes} bytes")

    def _pixels(self, name: str) -> Array:
        import zarr
        from zarr.core.buffer import default_buffer_prototype
        from zarr.storage import MemoryStore

        as_buffer = default_buffer_prototype().buffer.from_bytes
        store = MemoryStore({key: as_buffer(part) for key, part in self._parts.items()}, read_only=True)
        try:
            pixels = np.asarray(zarr.open_array(store, path=name, mode="r", zarr_format=3)[...])
        except (ValueError, TypeError, KeyError, RuntimeError, OSError) as error:
            raise self._damaged("a chunk of it cannot be read") from error
        return np.ascontiguousarray(pixels)

    def _damaged(self, why: str) -> DamagedFileError:
        return DamagedFileError(f"“{self._name}” is damaged: {why}.", _BACKUP)
