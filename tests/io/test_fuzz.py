"""1 to 8 bytes of a header changed: a typed error, or a scan that validates and carries a mask."""

from __future__ import annotations

import gzip
import io
import struct
import warnings
import zlib

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_morse.errors import MorseError
from napari_morse.io import atomic, open_mask, open_scan, save_mask
from napari_morse.types import Mask
from tests.faults import AFFINE, image, oddity, voxels

ROUNDS = 200
SEED = 20240


def _picture(kind: str, **kwargs) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((voxels((20, 30)) % 256).astype(np.uint8)).save(buffer, format=kind, **kwargs)
    return buffer.getvalue()


def _big_endian() -> bytes:
    return nib.Nifti1Image(voxels((3, 4, 5)), AFFINE, image().header.as_byteswapped(">")).to_bytes()


SMALL = {"data": voxels((3, 4, 5))}
NIFTI = {
    "nifti1": image(**SMALL).to_bytes(),
    "nifti2": image(version=2, **SMALL).to_bytes(),
    "big_endian": _big_endian(),
}
PICTURES = {
    "slice.png": _picture("PNG", dpi=(25.4, 25.4)),
    "slice.jpg": _picture("JPEG"),
    "slice.bmp": _picture("BMP"),
    "slice.tif": _picture("TIFF"),
}


def mutated(content: bytes, rng: np.random.Generator, last: int) -> bytes:
    changed = bytearray(content)
    for place in rng.integers(0, last, rng.integers(1, 9)):
        changed[place] = rng.integers(0, 256)
    return bytes(changed)


def recomputed(content: bytes) -> bytes:
    """A PNG whose chunks carry the checksums of their changed content."""
    out, at = content[:8], 8
    while at + 12 <= len(content):
        length = struct.unpack(">I", content[at : at + 4])[0]
        body = content[at + 4 : at + 8 + length]
        out += content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return out


def outcome(path, folder) -> str:
    """``refused`` or ``opened``; anything else fails the test."""
    try:
        scan = open_scan(path)
    except MorseError as error:
        return "refused" if error.message.endswith(".") else f"not a sentence: {error.message}"
    assert scan.data.shape == scan.grid.shape
    assert scan.data.dtype.kind in "uif"
    assert np.isfinite(scan.grid.affine).all()
    mask = Mask(np.zeros(scan.data.shape, np.uint8), scan.grid, header=scan.header)
    again = open_mask(save_mask(mask, folder / "mask.nii"))
    if scan.header is None:
        np.testing.assert_allclose(again.grid.affine, scan.grid.affine, rtol=1e-6, atol=1e-6)
    else:
        assert np.array_equal(again.grid.affine, scan.grid.affine)
    return "opened"


@pytest.fixture(autouse=True)
def _small_budget(monkeypatch):
    monkeypatch.setenv("NAPARI_MORSE_MEMORY_GB", "0.02")
    monkeypatch.setattr(atomic.os, "fsync", lambda _: None)  # thousands of masks, none of which need survive


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gzipped"])
@pytest.mark.parametrize("name", NIFTI)
def test_nifti_headers(name, packed, tmp_path):
    rng = np.random.default_rng(SEED)
    path = tmp_path / "scan.nii"
    seen = set()
    for _ in range(ROUNDS):
        content = mutated(NIFTI[name], rng, 540 if name == "nifti2" else 348)
        path.write_bytes(gzip.compress(content, 1) if packed else content)
        seen.add(outcome(path, tmp_path))
    assert seen == {"refused", "opened"}


def test_headers_without_a_form(tmp_path):
    rng = np.random.default_rng(SEED)
    content = oddity("no_form").make(tmp_path).read_bytes()
    path = tmp_path / "scan.nii"
    for _ in range(ROUNDS):
        path.write_bytes(mutated(content, rng, 348))
        assert outcome(path, tmp_path) in ("refused", "opened")


@pytest.mark.parametrize("name", PICTURES)
def test_picture_headers(name, tmp_path):
    rng = np.random.default_rng(SEED)
    path = tmp_path / name
    seen = set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for turn in range(ROUNDS):
            content = PICTURES[name]
            changed = mutated(content, rng, len(content) if name.endswith("tif") else 120)
            path.write_bytes(recomputed(changed) if name.endswith("png") and turn % 2 else changed)
            seen.add(outcome(path, tmp_path))
    assert "refused" in seen
    assert seen <= {"refused", "opened"}
