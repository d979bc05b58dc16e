"""Named arrays in one file: exactly what was written, or one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_morse.errors import InputError, MorseError
from napari_morse.io.arrays import StoredArrays, load_arrays, save_arrays


@pytest.fixture
def stored():
    rng = np.random.default_rng(0)
    arrays = {
        "points.voxel": rng.integers(0, 99, (7, 3)),
        "points.margin": rng.random(7).astype(np.float32),
        "ids": np.arange(5, dtype=np.uint16),
        "none": np.zeros((0, 3)),
        "strided": np.arange(24).reshape(4, 6)[::2, ::3],
    }
    return StoredArrays(arrays, {"model": "hippocampus-3d", "warnings": ["ä", "…"], "roi": None})


@pytest.fixture
def path(stored, tmp_path):
    return save_arrays(stored, tmp_path / "found.safetensors")


def test_arrays_and_words_come_back(stored, path):
    found = load_arrays(path)
    assert found.about == stored.about and set(found.arrays) == set(stored.arrays)
    for name, array in stored.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_every_flipped_bit_is_noticed(path):
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(300):
        changed = bytearray(content)
        changed[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(changed))
        with pytest.raises(MorseError):
            load_arrays(path)


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 20, 0.5, 0.99])
def test_a_file_that_is_cut_is_refused(path, cut):
    content = path.read_bytes()
    path.write_bytes(content[: cut if isinstance(cut, int) else int(cut * len(content))])
    with pytest.raises(MorseError, match="damaged"):
        load_arrays(path)


@pytest.mark.parametrize(
    "head",
    [
        {"a": {"dtype": "F64", "shape": [1 << 40], "data_offsets": [0, 8]}, "__metadata__": {"about": "{}"}},
        {"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F64", "shape": [-1], "data_offsets": [0, 8]}, "__metadata__": {"about": "{}"}},
        {"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 8]}, "__metadata__": {"about": "{}"}},
        {"a": 3, "__metadata__": {"about": "{}"}},
        {"__metadata__": []},
        [],
    ],
)
def test_a_head_that_claims_what_is_not_there_is_refused(tmp_path, head):
    text = json.dumps(head).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(MorseError, match="damaged"):
        load_arrays(path)


def test_a_huge_head_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "head.safetensors"
    path.write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    with pytest.raises(MorseError, match="damaged"):
        load_arrays(path)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="could not be read"):
        load_arrays(tmp_path / "none.safetensors")
