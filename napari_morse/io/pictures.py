"""2-D pictures: grey pixels as (rows, columns, 1), shown as an axial image seen from below; masks as label pictures."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.io import guards
from napari_morse.io.atomic import atomic_path
from napari_morse.io.labels import as_labels, mask_notice
from napari_morse.io.nifti import choose_frame
from napari_morse.io.sniff import Kind, Sniffed
from napari_morse.types import Array, Grid, Mask, Scan

_READERS: dict[Kind, type[ImageFile.ImageFile]] = {
    Kind.PNG: PngImageFile,
    Kind.JPEG: JpegImageFile,
    Kind.TIFF: TiffImageFile,
    Kind.BMP: BmpImageFile,
}
"""Pillow's readers by name: its own search would also try formats that we do not open."""
_SCREEN_DPI = (72, 90, 96, 100, 120, 144, 150, 200, 220, 240, 300, 400, 600, 1200)
"""Resolutions that programs write for screen or paper, which say nothing about the patient."""
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, struct.error, zlib.error,
           AttributeError, OverflowError, ZeroDivisionError, NotImplementedError, RuntimeError)  # fmt: skip
"""What Pillow raises on damaged pictures, found by changing bytes of good ones."""
_EXIF_ORIENTATION = 0x0112
_BYTES_PER_PIXEL = 8
"""Bytes that a pixel may take while it is decoded and turned to grey."""


def picture_grid(rows: int, columns: int, spacing: tuple[float, float]) -> Grid:
    """The grid of a picture: rows to posterior, columns to the patient's left; ``spacing`` in mm (rows, columns)."""
    affine = np.zeros((4, 4))
    affine[1, 0], affine[0, 1] = -spacing[0], -spacing[1]
    affine[2, 2] = affine[3, 3] = 1.0
    return Grid((rows, columns, 1), affine)


def read_picture(path: Path, sniffed: Sniffed, stem: str, frame: int | None = None) -> Scan:
    """Open a picture as a grey scan of shape (rows, columns, 1); pages are chosen like the frames of a series.

    Raises
    ------
    DamagedFileError, InputError, MemoryBudgetError
        Incomplete, a series without ``frame``, above the memory budget, no finite pixel.
    """
    with _opened(path, sniffed) as (image, grumbles):
        chosen = choose_frame(frame, int(getattr(image, "n_frames", 1)), path.name)
        image.seek(chosen or 0)
        _check_size(image, sniffed, path.name)  # pages differ
        image.load()
        grey, notices = _grey(image)
        spacing, size_known, size_notices = _spacing(image)
        notices += size_notices + _turned(image)
        if any(not issubclass(each.category, Image.DecompressionBombWarning) for each in grumbles):
            notices += ("Some of the picture's metadata could not be read.",)
    if grey.dtype.kind == "f":
        count = int((~np.isfinite(grey)).sum())
        if count == grey.size:
            raise InputError(f"“{path.name}” holds no finite pixel.", "Export the picture again.")
        notices += (f"{count} of {grey.size} pixels are not finite (NaN or infinite).",) if count else ()
    notices += mask_notice(grey, path.name)
    return Scan(
        data=grey[:, :, np.newaxis],
        grid=picture_grid(grey.shape[0], grey.shape[1], spacing),
        stem=stem,
        source=path,
        orientation_known=False,
        size_known=size_known,
        is_picture=True,
        frame=chosen,
        notices=notices,
    )


def read_label_picture(path: Path, sniffed: Sniffed) -> Mask:
    """Open a picture whose values (of a palette: whose indices) are label ids."""
    if sniffed.kind is Kind.JPEG:
        raise InputError(f"“{path.name}” is a JPEG, which blurs label ids.", "Save the mask as PNG.")
    with _opened(path, sniffed) as (image, _):
        choose_frame(None, int(getattr(image, "n_frames", 1)), path.name)
        image.load()
        spacing, *_ = _spacing(image)
        pixels = _native(np.asarray(image))
    if pixels.ndim == 3:
        colours = pixels[:, :, : 1 if image.mode == "LA" else 3]
        if (colours != colours[:, :, :1]).any():
            raise InputError(f"“{path.name}” is a colour picture, not a mask.", "Save label ids as a grey PNG.")
        pixels = colours[:, :, 0]
    labels = as_labels(pixels, f"“{path.name}”")
    return Mask(labels[:, :, np.newaxis], picture_grid(labels.shape[0], labels.shape[1], spacing))


def write_label_picture(mask: Mask, path: Path) -> None:
    """Write label ids as a grey PNG of (rows, columns), 8 or 16 bits.

    Raises
    ------
    InputError
        More than one slice, or ids above 65535.
    """
    labels = as_labels(mask.data)
    if labels.shape[2] != 1:
        raise InputError("A PNG holds one slice; this mask has more.", "Save it as .nii.gz.")
    if labels.dtype.itemsize > 2:
        raise InputError("A PNG holds label ids up to 65535.", "Save the mask as .nii.gz.")
    # 1 mm is also what is assumed where nothing is said: an assumption must not become a claim
    rows, columns, _ = mask.grid.spacing
    dpi = None if (rows, columns) == (1.0, 1.0) else (25.4 / columns, 25.4 / rows)
    with atomic_path(path) as part:
        Image.fromarray(np.ascontiguousarray(labels[:, :, 0])).save(part, format="PNG", dpi=dpi)


@contextmanager
def _opened(path: Path, sniffed: Sniffed) -> Iterator[tuple[ImageFile.ImageFile, list[warnings.WarningMessage]]]:
    """The picture, checked for damage and size but not yet decoded, and Pillow's warnings; its errors become one."""
    reader = _READERS[sniffed.kind]
    try:
        with warnings.catch_warnings(record=True) as grumbles:
            warnings.simplefilter("always")
            if sniffed.kind is Kind.PNG:
                with reader(path) as checked:  # decoding alone does not look at the checksums
                    checked.verify()
            # Opened anew: after `verify` Pillow cannot decode any more.
            with reader(path) as image:
                _check_size(image, sniffed, path.name)
                yield image, grumbles
    except Image.DecompressionBombError as error:  # of TIFF alone, and whatever the memory budget is
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise InputError(
            f"“{path.name}” has more than {most:.0f} million pixels, the most that is read of a {sniffed.kind.value}.",
            "Crop it, or save it as a grey PNG.",
        ) from error
    except _BROKEN as error:
        raise DamagedFileError(
            f"“{path.name}” cannot be read as {sniffed.kind.value}: it is damaged, incomplete, or of a rare kind.",
            "Copy it again, or save it as an 8- or 16-bit grey PNG.",
        ) from error


def _check_size(image: ImageFile.ImageFile, sniffed: Sniffed, name: str) -> None:
    pixels = image.size[0] * image.size[1]
    if pixels < 1:
        raise DamagedFileError(f"“{name}” has no pixels.", guards.COPY_AGAIN)
    if sniffed.kind is Kind.PNG:
        bits = 1 if image.mode == "1" else 2 if image.mode == "P" else 8
        guards.check_length(pixels * bits // 8, sniffed.size, True, name)
    guards.check_budget(pixels * _BYTES_PER_PIXEL, name)


def _grey(image: Image.Image) -> tuple[Array, tuple[str, ...]]:
    """(rows, columns) grey values: as stored where the picture is grey, luminance where it has colours."""
    if image.mode in ("L", "F", "I") or image.mode.startswith("I;16"):
        return _native(np.asarray(image)), ()
    if image.mode == "1":
        return np.asarray(image.convert("L")), ()
    rgba = np.asarray(image.convert("RGBA"))
    notices: tuple[str, ...] = ()
    if (rgba[:, :, 3] != 255).any():
        notices = ("Transparency was ignored.",)
    if (rgba[:, :, :3] == rgba[:, :, :1]).all():
        return np.ascontiguousarray(rgba[:, :, 0]), notices
    return np.asarray(Image.fromarray(rgba[:, :, :3]).convert("L")), (
        *notices,
        "Colours were turned to grey (luminance).",
    )


def _native(pixels: Array) -> Array:
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _spacing(image: Image.Image) -> tuple[tuple[float, float], bool, tuple[str, ...]]:
    """(mm from row to row, from column to column), whether they are known, and whence: PNG's resolution, or 1 mm."""
    dpi = image.info.get("dpi")
    if image.format == "PNG" and dpi is not None and min(dpi) > 0 and not _for_screen(dpi):
        columns, rows = (25.4 / float(d) for d in dpi)
        return (rows, columns), True, (f"Pixel size {rows:.4g} × {columns:.4g} mm, from the resolution in the file.",)
    return (1.0, 1.0), False, ("Pixel size unknown: 1 mm was assumed; lengths and areas hold only if that is right.",)


def _for_screen(dpi: tuple[float, float]) -> bool:
    return dpi[0] == dpi[1] and any(abs(dpi[0] - usual) < 0.02 for usual in _SCREEN_DPI)


def _turned(image: Image.Image) -> tuple[str, ...]:
    if image.getexif().get(_EXIF_ORIENTATION, 1) == 1:
        return ()
    return ("The camera asks viewers to turn this picture; it is shown as stored.",)
