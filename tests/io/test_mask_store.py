"""A mask and its history in one file: whole or refused, whatever the file claims. Rows 27 and 28 of the faults."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_morse.errors import DamagedFileError, InputError, MemoryBudgetError, MorseError
from napari_morse.io.mask_store import StoredMask, load_store, pixel_digest, read_about, save_store

CANARY = "canary"


def stored(dtype=np.uint16) -> StoredMask:
    data = np.random.default_rng(2).integers(0, 5, (130, 9, 4)).astype(dtype)
    return StoredMask(data, b"history of it", {"scan": "5ca1ab1e", "saved": 3})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def rewritten(folder: Path, change: Callable[[dict[str, bytes]], object], compression=zipfile.ZIP_STORED) -> Path:
    """A saved mask whose parts were changed."""
    path = save_store(stored(), folder / "mask.zarr.zip")
    inside = parts(path)
    change(inside)
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name, content in inside.items():
            packed.writestr(name, content)
    return path


def patched(key: str, **fields: object) -> Callable[[dict[str, bytes]], None]:
    def change(inside: dict[str, bytes]) -> None:
        inside[key] = json.dumps({**json.loads(inside[key]), **fields}).encode()

    return change


def attribute(**fields: object) -> Callable[[dict[str, bytes]], None]:
    def change(inside: dict[str, bytes]) -> None:
        group = json.loads(inside["zarr.json"])
        group["attributes"].update(fields)
        inside["zarr.json"] = json.dumps(group).encode()

    return change


def of_part(key: str, change: Callable[[bytes], bytes]) -> Callable[[dict[str, bytes]], None]:
    return lambda inside: inside.update({key: change(inside[key])})


def plus(name: str, content: bytes = b"x") -> Callable[[dict[str, bytes]], None]:
    return lambda inside: inside.update({name: content})


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


def claims(nbytes: int) -> Callable[[bytes], bytes]:
    """A blosc chunk that says it unfolds to ``nbytes``."""
    return lambda content: content[:4] + nbytes.to_bytes(4, "little") + content[8:]


PICKLE = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "pickle", "configuration": {}}]
CHUNK = "mask/c/0/0/0"
HUGE = {"shape": [10**5, 10**5, 20000], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [128] * 3}}}
TINY = {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1, 1]}}}
OTHER = {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 9, 4]}}}


@dataclass(frozen=True)
class Fault:
    """A store that must be refused, with the row of the faults that it belongs to."""

    row: int
    name: str
    change: Callable[[dict[str, bytes]], object]
    error: type[MorseError]
    words: str

    def __str__(self) -> str:
        return f"{self.row}-{self.name}"


FAULTS = (
    Fault(27, "pickle-codec", patched("mask/zarr.json", codecs=PICKLE), DamagedFileError, "pickle"),
    Fault(27, "pickle-first", patched("mask/zarr.json", codecs=PICKLE[1:]), DamagedFileError, "pickle"),
    Fault(27, "unknown-codec", patched("mask/zarr.json", codecs=[{"name": "x" * 999}]), DamagedFileError, "xxx"),
    Fault(27, "no-codec", patched("mask/zarr.json", codecs=[]), DamagedFileError, "damaged"),
    Fault(27, "object-dtype", patched("mask/zarr.json", data_type="object"), DamagedFileError, "mask/zarr.json"),
    Fault(27, "text-dtype", patched("mask/zarr.json", data_type="string"), DamagedFileError, "mask/zarr.json"),
    Fault(27, "float-dtype", patched("mask/zarr.json", data_type="float64"), DamagedFileError, "mask/zarr.json"),
    Fault(27, "zarr-2", patched("zarr.json", zarr_format=2), DamagedFileError, "zarr.json"),
    Fault(27, "transformer", patched("mask/zarr.json", storage_transformers=[{}]), DamagedFileError, "zarr.json"),
    Fault(28, "400-TB", patched("mask/zarr.json", **HUGE), MemoryBudgetError, "400000"),
    Fault(28, "long-history", patched("history/zarr.json", shape=[10**14]), MemoryBudgetError, "memory"),
    Fault(28, "many-chunks", patched("mask/zarr.json", **TINY), DamagedFileError, "missing"),
    Fault(28, "chunk-of-nothing", patched("mask/zarr.json", **OTHER), DamagedFileError, "impossible"),
    Fault(28, "negative", patched("mask/zarr.json", shape=[-1, 9, 4]), DamagedFileError, "impossible"),
    Fault(28, "two-axes", patched("mask/zarr.json", shape=[130, 9]), DamagedFileError, "impossible"),
    Fault(28, "another-shape", patched("mask/zarr.json", shape=[129, 9, 4]), DamagedFileError, "checksum"),
    Fault(28, "another-dtype", patched("mask/zarr.json", data_type="int16"), DamagedFileError, "checksum"),
    Fault(28, "missing-chunk", lambda inside: inside.pop(CHUNK), DamagedFileError, "1 of the 3 chunks"),
    Fault(28, "no-history", lambda inside: inside.pop("history/c/0"), DamagedFileError, "missing"),
    Fault(28, "junk-chunk", of_part(CHUNK, lambda c: b"\x07" * len(c)), DamagedFileError, CHUNK),
    Fault(28, "empty-chunk", of_part(CHUNK, lambda _: b""), DamagedFileError, CHUNK),
    Fault(28, "half-chunk", of_part(CHUNK, lambda c: c[: len(c) // 2]), DamagedFileError, CHUNK),
    Fault(28, "junk-after-header", of_part(CHUNK, lambda c: c[:16] + b"\x07" * (len(c) - 16)), DamagedFileError, ""),
    Fault(28, "flipped-chunk", of_part(CHUNK, flipped), DamagedFileError, "damaged"),
    Fault(28, "bomb-chunk", of_part(CHUNK, claims(2**31)), DamagedFileError, "2147483648"),
    Fault(28, "other-chunk", lambda i: i.update({CHUNK: i["mask/c/1/0/0"]}), DamagedFileError, "checksum"),
    Fault(28, "flipped-history", of_part("history/c/0", flipped), DamagedFileError, "history"),
    Fault(28, "half-json", of_part("zarr.json", lambda c: c[: len(c) // 2]), DamagedFileError, "zarr.json"),
    Fault(28, "half-array-json", of_part("mask/zarr.json", lambda c: c[:50]), DamagedFileError, "mask/zarr.json"),
    Fault(28, "deep-json", of_part("zarr.json", lambda _: b"[" * 100_000), DamagedFileError, "zarr.json"),
    Fault(28, "large-json", of_part("zarr.json", lambda c: c + b" " * 2**20), DamagedFileError, "zarr.json"),
    Fault(28, "no-json", lambda inside: inside.pop("zarr.json"), DamagedFileError, "zarr.json"),
    Fault(28, "nothing", dict.clear, DamagedFileError, "zarr.json"),
    Fault(28, "another-format", attribute(format="x"), DamagedFileError, "corrections"),
    Fault(28, "newer", attribute(format_version=2), InputError, "newer"),
    Fault(28, "up-and-out", plus("../" + CANARY), DamagedFileError, "belong"),
    Fault(28, "absolute", plus("/" + CANARY), DamagedFileError, "belong"),
    Fault(28, "stray-chunk", plus("mask/c/9/9/9"), DamagedFileError, "belong"),
    Fault(28, "zarr-2-array", plus("mask/.zarray", b"{}"), DamagedFileError, "belong"),
)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_store_that_cannot_be_trusted_is_refused(fault, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MORSE_MEMORY_GB", "1")
    path = rewritten(tmp_path, fault.change)
    with pytest.raises(fault.error) as caught:
        load_store(path)
    assert fault.words in str(caught.value) and caught.value.hint
    assert names(tmp_path) == ["mask.zarr.zip"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_parts_that_could_unfold_are_refused_unread(method, tmp_path):
    path = rewritten(tmp_path, plus("bomb", bytes(10**8)), method)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError, match="compressed"):
            load_store(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**24


def test_a_part_twice_is_refused(tmp_path):
    path = save_store(stored(), tmp_path / "mask.zarr.zip")
    with zipfile.ZipFile(path, "a") as packed, pytest.warns(UserWarning, match="Duplicate"):
        packed.writestr("zarr.json", b"{}")
    with pytest.raises(DamagedFileError, match="twice"):
        load_store(path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x05\x06", b"PK\x03\x04" * 99], ids=repr)
def test_what_is_no_zip_file_is_refused(content, tmp_path):
    path = tmp_path / "mask.zarr.zip"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="zip"):
        load_store(path)


def test_a_store_cut_anywhere_is_refused(tmp_path):
    content = save_store(stored(), tmp_path / "mask.zarr.zip").read_bytes()
    cut = tmp_path / "cut.zarr.zip"
    for length in [*range(0, len(content), 97), len(content) - 1]:
        cut.write_bytes(content[:length])
        with pytest.raises(DamagedFileError):
            load_store(cut)


def test_missing_or_unreadable_is_a_plain_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_store(tmp_path / "mask.zarr.zip")
    with pytest.raises(InputError, match="cannot be read"):
        read_about(tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutated_store_is_refused_or_the_same_mask(tmp_path, data):
    path = tmp_path / "mask.zarr.zip"
    content = bytearray(save_store(stored(), path).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        back = load_store(path)
    except MorseError:
        return
    assert np.array_equal(back.data, stored().data) and back.history == stored().history


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32, np.uint64, np.int8]).map(np.dtype),
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=140).filter(lambda shape: np.prod(shape) < 20000),
        fill=st.integers(0, 3),
    ),
    st.binary(max_size=300),
)
def test_load_gives_what_save_got(tmp_path, data, history):
    path = save_store(StoredMask(data, history, {"a": [1, None, "ä"]}), tmp_path / "mask.zarr.zip")
    back = load_store(path)
    assert np.array_equal(back.data, data) and back.data.dtype == data.dtype
    assert (back.history, back.about) == (history, {"a": [1, None, "ä"]})
    assert read_about(path).digest == back.digest == pixel_digest(data)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<i4", ">i4"])
def test_memory_order_and_byte_order_do_not_matter(order, dtype, tmp_path):
    plain = stored(np.int32)
    data = np.asarray(plain.data, dtype=dtype, order=order)
    back = load_store(save_store(StoredMask(data, b"", {}), tmp_path / "mask.zarr.zip"))
    assert np.array_equal(back.data, plain.data) and back.data.flags.c_contiguous
    assert pixel_digest(data) == plain.digest == back.digest


def test_the_digest_tells_shapes_dtypes_and_values_apart():
    base = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    others = [base.reshape(4, 3, 2), base.astype(np.uint16), base.astype(np.int8), base + np.uint8(1)]
    assert len({pixel_digest(data) for data in (base, *others)}) == 5


READ = """
import sys
import zarr
from zarr.storage import ZipStore
with ZipStore(sys.argv[1], mode="r") as store:
    group = zarr.open_group(store, mode="r")
    sys.stdout.buffer.write(group["mask"][...].tobytes() + group["history"][...].tobytes())
"""


def test_the_file_is_plain_zarr_that_others_can_read(tmp_path):
    path = save_store(stored(), tmp_path / "mask.zarr.zip")
    # zarr keeps threads of its own: in a process of its own
    read = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, check=True)
    assert read.stdout == stored().data.tobytes() + b"history of it"
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as packed:
        assert packed.testzip() is None


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = save_store(stored(), tmp_path / "mask.zarr.zip")
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match="No space left"):
        save_store(stored(np.int32), path)
    assert path.read_bytes() == before and names(tmp_path) == ["mask.zarr.zip"]
