"""One generator and one expectation for each fault of a file, shared by every test that must meet them.

`FAULTS` are files that must be refused, `ODDITIES` files that must open, with what must be said of them; `MASK_FAULTS`
are refused as masks only. All files are synthetic.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from napari_morse.errors import DamagedFileError, GeometryError, InputError, MemoryBudgetError, MorseError, SeriesError

SHAPE = (12, 14, 10)
AFFINE = np.array([[-1.5, 0, 0, 20], [0, 2, 0, -30], [0, 0, 3, 7], [0, 0, 0, 1]], dtype=float)
BUDGET_GB = "1"
"""Memory budget under which the faults are expected (``NAPARI_MORSE_MEMORY_GB``)."""


@dataclass(frozen=True)
class Fault:
    """A file that must be refused: ``make(folder)`` writes it; the error is of ``error`` and says each of ``words``."""

    number: int
    name: str
    make: Callable[[Path], Path]
    error: type[MorseError]
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.number}-{self.name}"


@dataclass(frozen=True)
class Oddity:
    """A file that must open: ``make(folder)`` writes it; the notices say each of ``words`` (none: no notice at all)."""

    number: int
    name: str
    make: Callable[[Path], Path]
    words: tuple[str, ...]
    dtype: str
    known: bool = True

    def __str__(self) -> str:
        return f"{self.number}-{self.name}"


def voxels(shape: tuple[int, ...] = SHAPE, dtype: Any = np.int16) -> np.ndarray:
    """Noise with contrast, the same at each call."""
    return np.random.default_rng(7).integers(0, 1000, shape).astype(dtype)


def image(data: np.ndarray | None = None, affine: np.ndarray | None = AFFINE, version: int = 1) -> nib.Nifti1Image:
    """A healthy NIfTI image with sform and qform (code 1), in mm."""
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    data = voxels() if data is None else data
    made = kind(data, affine, dtype=data.dtype if data.dtype.kind in "iu" else None)
    made.header.set_xyzt_units("mm")
    if affine is not None:
        made.set_sform(affine, code=1)
        made.set_qform(affine, code=1)
    return made


def healthy(folder: Path, name: str = "scan.nii.gz", **kwargs: Any) -> Path:
    """Write a healthy scan."""
    path = folder / name
    image(**kwargs).to_filename(path)
    return path


def patched(folder: Path, fields: dict[str, Any], name: str = "scan.nii", **kwargs: Any) -> Path:
    """Write a scan whose header fields are overwritten afterwards; an index goes as ``"dim[2]"``."""
    content = bytearray(image(**kwargs).to_bytes())
    header = image(**kwargs).header
    block = type(header)(bytes(content[: header.sizeof_hdr]), check=False)
    for field, value in fields.items():
        if "[" in field:
            base, index = field.rstrip("]").split("[")
            block[base][int(index)] = value
        else:
            block[field] = value
    content[: header.sizeof_hdr] = block.binaryblock
    path = folder / name
    path.write_bytes(gzip.compress(bytes(content)) if name.endswith(".gz") else bytes(content))
    return path


def changed(path: Path, change: Callable[[bytes], bytes]) -> Path:
    """Rewrite a file."""
    path.write_bytes(change(path.read_bytes()))
    return path


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


def _bad_checksum(content: bytes) -> bytes:
    return content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]


def bomb(folder: Path, dim: tuple[int, int, int]) -> Path:
    """A gzip file of 4 MB that unfolds to 4 GB, behind a header that declares ``dim`` bytes."""
    header = image(np.zeros((1, 1, 1), np.uint8)).header
    header.set_data_shape(dim)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(header.binaryblock + bytes(4)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    # a fully flushed block refers to nothing before it, so it may be repeated; the checksum at the end is never reached
    content = b"\x1f\x8b\x08" + bytes(7) + start + block * 256 + packer.flush() + struct.pack("<II", 0, 0)
    path = folder / "bomb.nii.gz"
    path.write_bytes(content)
    return path


def _write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _picture(folder: Path, name: str, pixels: np.ndarray, **kwargs: Any) -> Path:
    path = folder / name
    Image.fromarray(pixels).save(path, **kwargs)
    return path


def _animated(folder: Path) -> Path:
    pages = [Image.fromarray(np.full((8, 9), value, np.uint8)) for value in (10, 20, 30)]
    path = folder / "pages.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


def _nan(where: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        data = voxels(dtype=np.float32)
        data[where] = np.nan
        return healthy(folder, data=data)

    return make


def _coded(dtype: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return healthy(folder, data=np.zeros(SHAPE, dtype))

    return make


def _of(data: np.ndarray, name: str = "scan.nii.gz", **kwargs: Any) -> Callable[[Path], Path]:
    return lambda folder: healthy(folder, name, data=data, **kwargs)


def _with(name: str = "scan.nii", **fields: Any) -> Callable[[Path], Path]:
    return lambda folder: patched(
        folder, {key.replace("_at_", "[") + "]" * ("_at_" in key): v for key, v in fields.items()}, name
    )


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
SHEARED = AFFINE @ np.array([[1, 0.2, 0, 0], [0, 1, 1e-4, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
ROTATED = np.array([[0, -2.0, 0, 20], [1.5, 0, 0, -30], [0, 0, 3, 7], [0, 0, 0, 1]])


def _two_forms(folder: Path) -> Path:
    made = image()
    made.set_qform(ROTATED, code=1)
    path = folder / "scan.nii.gz"
    made.to_filename(path)
    return path


def _sheared(folder: Path) -> Path:
    made = image()
    made.set_qform(None, code=0)
    made.set_sform(SHEARED, code=1)
    path = folder / "scan.nii.gz"
    made.to_filename(path)
    return path


def _qform_only(folder: Path) -> Path:
    return patched(folder, {"sform_code": 0, "srow_x": 0, "srow_y": 0, "srow_z": 0})


_FORMLESS = {"sform_code": 0, "qform_code": 0}

FAULTS = (
    Fault(1, "gz_cut_in_half", lambda d: changed(healthy(d), lambda b: b[: len(b) // 2]), DamagedFileError,
          ("incomplete", "of 3712 bytes")),
    Fault(1, "gz_cut_in_header", lambda d: changed(healthy(d), lambda b: b[:60]), DamagedFileError, ("incomplete",)),
    Fault(1, "gz_without_trailer", lambda d: changed(healthy(d), lambda b: b[:-4]), DamagedFileError, ("incomplete",)),
    Fault(2, "nii_cut", lambda d: changed(healthy(d, "scan.nii"), lambda b: b[:2000]), DamagedFileError,
          ("incomplete", "2000 of 3712 bytes")),
    Fault(2, "nii_cut_in_header", lambda d: changed(healthy(d, "scan.nii"), lambda b: b[:200]), DamagedFileError,
          ("incomplete", "header")),
    Fault(2, "vox_offset_far", _with(vox_offset=1e9), DamagedFileError, ("incomplete", "3712 of 1000003360 bytes")),
    Fault(2, "vox_offset_inside_header", _with(vox_offset=16), DamagedFileError, ("byte 16",)),
    Fault(2, "vox_offset_nan", _with(vox_offset=np.nan), DamagedFileError, ("byte nan",)),
    Fault(3, "flipped_bit", lambda d: changed(healthy(d), _flipped), DamagedFileError, ("damaged",)),
    Fault(3, "bad_checksum", lambda d: changed(healthy(d), _bad_checksum), DamagedFileError, ("damaged",)),
    Fault(4, "empty", lambda d: _write(d, "scan.nii.gz", b""), DamagedFileError, ("empty",)),
    Fault(4, "text_as_gz", lambda d: _write(d, "scan.nii.gz", b"age,sex\n61,f\n"), DamagedFileError, ("text file",)),
    Fault(4, "gzipped_text", lambda d: _write(d, "scan.nii.gz", gzip.compress(b"age,sex\n61,f\n")), DamagedFileError,
          ("no NIfTI",)),
    Fault(4, "missing", lambda d: d / "nowhere.nii.gz", InputError, ("no file",)),
    Fault(4, "folder", lambda d: d, InputError, ("folder",)),
    Fault(4, "pair", lambda d: _write(d, "scan.hdr", nib.Nifti1Pair(voxels(), AFFINE).header.binaryblock), InputError,
          ("pair",)),
    Fault(5, "header_claims_35_TB", _with("scan.nii.gz", dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]), DamagedFileError,
          ("incomplete",)),
    Fault(5, "header_claims_35_TB_raw", _with(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]), DamagedFileError,
          ("incomplete",)),
    Fault(6, "bomb_behind_small_header", lambda d: bomb(d, (10, 10, 10)), DamagedFileError,
          ("more than the 1352 bytes",)),
    Fault(6, "bomb_as_declared", lambda d: bomb(d, (2000, 2000, 1000)), MemoryBudgetError, ("GB of memory", "budget")),
    Fault(7, "dim_negative", _with(dim_at_2=-4), GeometryError, ("dim[2] = -4",)),
    Fault(7, "dim_zero", _with(dim_at_3=0), GeometryError, ("dim[3] = 0",)),
    Fault(7, "five_dimensions", _of(voxels((4, 4, 4, 1, 3))), GeometryError, ("dim[5] = 3",)),
    Fault(7, "no_dimensions", _with(dim_at_0=0), GeometryError, ("dim[0] = 0",)),
    Fault(8, "rgb", _coded(RGB), InputError, ("RGB",)),
    Fault(8, "complex", _coded(np.complex64), InputError, ("complex",)),
    Fault(8, "unknown_datatype", _with(datatype=77), InputError, ("datatype 77",)),
    Fault(9, "series", _of(voxels((5, 6, 7, 3))), SeriesError, ("3 frames", "--frame")),
    Fault(9, "pages", _animated, SeriesError, ("3 frames", "--frame")),
    Fault(11, "all_nan", _nan(...), InputError, ("no finite voxel",)),
    Fault(15, "affine_nan", _with(srow_x=[np.nan, 0, 0, 1]), GeometryError, ("not finite",)),
    Fault(15, "affine_infinite", _with(srow_z=[0, 0, np.inf, 1]), GeometryError, ("not finite",)),
    Fault(15, "affine_singular", _with(srow_x=[0, 2, 0, 20]), GeometryError, ("singular",)),
    Fault(15, "qform_impossible", _with(sform_code=0, quatern_b=3.0), GeometryError, ("qform",)),
    Fault(15, "affine_absurd", _with(srow_y=[0, 2, 0, 1e30]), GeometryError, ("10 km",)),
    Fault(8, "png_cut", lambda d: changed(_picture(d, "slice.png", voxels((40, 50)).astype(np.uint8)),
                                          lambda b: b[: len(b) // 2]), DamagedFileError, ("PNG",)),
    Fault(8, "png_flipped_bit",
          lambda d: changed(_picture(d, "slice.png", voxels((40, 50)).astype(np.uint8)), _flipped), DamagedFileError,
          ("PNG",)),
    Fault(8, "jpeg_cut", lambda d: changed(_picture(d, "slice.jpg", voxels((40, 50)).astype(np.uint8)),
                                           lambda b: b[: len(b) // 2]), DamagedFileError, ("JPEG",)),
)  # fmt: skip

ODDITIES = (
    Oddity(4, "nii_named_gz", lambda d: healthy(d, "scan.nii").rename(d / "scan.nii.gz"), (), "int16"),
    Oddity(9, "series_of_one", _of(voxels((5, 6, 7, 1))), (), "int16"),
    Oddity(10, "one_slice", _of(voxels((20, 30, 1))), (), "int16"),
    Oddity(10, "two_dimensions", _of(voxels((20, 30))), (), "int16"),
    Oddity(10, "thin", _of(voxels((1, 7, 509))), (), "int16"),
    Oddity(11, "some_nan", _nan((0, 0)), ("10 of 1680 voxels are not finite",), "float32"),
    Oddity(11, "nan_slice", _nan((..., 3)), ("168 of 1680",), "float32"),
    Oddity(12, "constant", _of(np.full(SHAPE, 7, np.int16)), (), "int16"),
    Oddity(13, "slope_nan", _with(scl_slope=np.nan), ("scale", "nan"), "float32"),
    Oddity(13, "slope_zero", _with(scl_slope=0.0), ("scale", "0"), "float32"),
    Oddity(13, "slope_infinite", _with(scl_slope=np.inf), ("scale", "inf"), "float32"),
    Oddity(13, "inter_nan", _with(scl_slope=2.0, scl_inter=np.nan), ("offset",), "float32"),
    Oddity(13, "intensities_1e300", _of(voxels(dtype=np.float64) * 1e300), ("range of float32",), "float32"),
    Oddity(13, "slope_3e38", _with(scl_slope=3e38), ("range of float32",), "float32"),
    Oddity(13, "uint32_max", _of(np.full(SHAPE, 2**32 - 1, np.uint32)), ("rounded",), "float32"),
    Oddity(14, "no_form", lambda d: patched(d, {**_FORMLESS, "pixdim": 0}), ("no orientation", "no voxel size"),
           "int16", False),
    Oddity(14, "spacing_only", lambda d: patched(d, _FORMLESS), ("no orientation",), "int16", False),
    Oddity(16, "two_forms", _two_forms, ("sform and qform", "differ"), "int16"),
    Oddity(16, "qform_unreadable", _with(quatern_b=3.0), ("qform cannot be read",), "int16"),
    Oddity(17, "sheared", _sheared, (), "int16"),
    Oddity(18, "qform_only", _qform_only, (), "int16"),
    Oddity(18, "micrometres", _with(xyzt_units=3), ("micrometres",), "int16"),
    Oddity(2, "no_vox_offset", _with(vox_offset=0), ("byte 352",), "int16"),
)  # fmt: skip

MASK_FAULTS = (
    Fault(35, "negative", _of(np.full(SHAPE, -1, np.int16)), InputError, ("negative",)),
    Fault(35, "fraction", _of(np.full(SHAPE, 0.5, np.float32)), InputError, ("fractions",)),
    Fault(35, "scaled_to_fractions", _with(scl_slope=0.3), InputError, ("fractions",)),
    Fault(35, "above_uint32", _of(np.full(SHAPE, 2**33, np.int64)), InputError, ("4294967295",)),
    Fault(35, "nan", _nan((0, 0)), InputError, ("not finite",)),
    Fault(35, "colours", lambda d: _picture(d, "mask.png", voxels((8, 9, 3)).astype(np.uint8)), InputError,
          ("colour",)),
    Fault(35, "blurred", lambda d: _picture(d, "mask.jpg", voxels((8, 9)).astype(np.uint8)), InputError, ("JPEG",)),
)  # fmt: skip


def fault(name: str) -> Fault:
    """The fault of that name."""
    return next(f for f in FAULTS if f.name == name)


def oddity(name: str) -> Oddity:
    """The oddity of that name."""
    return next(o for o in ODDITIES if o.name == name)
