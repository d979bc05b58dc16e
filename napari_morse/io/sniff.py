"""What a file is, told by its first bytes; its name is not trusted."""

from __future__ import annotations

import stat
import zlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from napari_morse.errors import DamagedFileError, InputError

OPENABLE = "Give a NIfTI file (.nii, .nii.gz) or a picture (PNG, JPEG, TIFF, BMP)."
_AGAIN = "Copy it again from where it came."
_HEAD = 1 << 16
"""Bytes looked at: enough compressed bytes for the 544 of a NIfTI-2 header, whatever names the gzip header carries."""
_NIFTI_HEAD = 544


class Kind(Enum):
    """Kinds of files that are opened."""

    NIFTI1 = "NIfTI-1"
    NIFTI2 = "NIfTI-2"
    PNG = "PNG"
    JPEG = "JPEG"
    TIFF = "TIFF"
    BMP = "BMP"

    @property
    def is_nifti(self) -> bool:
        """Whether the file is a NIfTI file, else it is a picture."""
        return self in (Kind.NIFTI1, Kind.NIFTI2)


@dataclass(frozen=True)
class Sniffed:
    """A file's kind, whether it is gzipped, and its size in bytes on disk."""

    kind: Kind
    gzipped: bool
    size: int


_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", Kind.PNG),
    (b"\xff\xd8\xff", Kind.JPEG),
    (b"II*\x00", Kind.TIFF),
    (b"MM\x00*", Kind.TIFF),
    (b"II+\x00", Kind.TIFF),
    (b"MM\x00+", Kind.TIFF),
    (b"BM", Kind.BMP),
)
_STRANGERS = (
    (0, b"NRRD", "an NRRD file"),
    (0, b"ObjectType", "a MetaImage file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 (or MINC 2) file"),
    (0, b"CDF\x01", "a MINC 1 file"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"TRACK", "a TrackVis file"),
    (128, b"DICM", "a DICOM file"),
)


def sniff(path: Path) -> Sniffed:
    """Tell what ``path`` holds.

    Raises
    ------
    InputError
        No such file, a folder, not readable, or a known kind that is not opened.
    DamagedFileError
        Empty, damaged at its start, or of no known kind.
    """
    size = _size(path)
    if size == 0:
        raise DamagedFileError(f"“{path.name}” is empty (0 bytes).", _AGAIN)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise InputError(f"“{path.name}” cannot be read: {error.strerror}.", "Check who may read it.") from error
    gzipped = head.startswith(b"\x1f\x8b")
    if gzipped:
        head = _gunzip(head, size, path)
    return Sniffed(_kind(head, gzipped, path), gzipped, size)


def _size(path: Path) -> int:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise InputError(f"There is no file “{path.name}”.", "Check its name and folder.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"“{path.name[:80]!s}” cannot be opened: {error}.", "Check its name and folder.") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"“{path.name}” is a folder.", "Give one of the files in it.")
    # Before it is opened: opening a pipe waits for its writer.
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"“{path.name}” is not a regular file.", OPENABLE)
    return status.st_size


def _gunzip(head: bytes, size: int, path: Path) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(head, _NIFTI_HEAD)  # no more than a header, whatever the stream unfolds to
    except zlib.error as error:
        raise DamagedFileError(f"“{path.name}” is damaged: its compression cannot be undone.", _AGAIN) from error
    if len(unpacked) < _NIFTI_HEAD and size <= len(head) and not unpacker.eof:
        raise DamagedFileError(f"“{path.name}” is incomplete: it ends after {size} bytes, at its beginning.", _AGAIN)
    return unpacked


def _kind(head: bytes, gzipped: bool, path: Path) -> Kind:
    if _nifti1(head):
        return Kind.NIFTI1
    if _header_size(head) == 540 and head[4:12] == b"n+2\x00\r\n\x1a\n":
        return Kind.NIFTI2
    if not gzipped:
        for magic, kind in _PICTURES:
            if head.startswith(magic):
                return kind
    raise _unknown(head, gzipped, path)


def _header_size(head: bytes) -> int:
    """Length that the header gives itself, in whichever byte order makes sense; 0 when neither does."""
    for order in ("little", "big"):
        size = int.from_bytes(head[:4], order)
        if size in (348, 540):
            return size
    return 0


def _nifti1(head: bytes) -> bool:
    return _header_size(head) == 348 and head[344:348] == b"n+1\x00"


def _unknown(head: bytes, gzipped: bool, path: Path) -> InputError:
    name = f"“{path.name}”"
    if _header_size(head) and (b"ni1" in head[344:348] or b"ni2" in head[4:8]):
        return InputError(
            f"{name} is the header of a pair of files (.hdr and .img).", "Convert the pair to one file (.nii.gz) first."
        )
    for offset, magic, what in _STRANGERS:
        if head[offset : offset + len(magic)] == magic:
            return InputError(f"{name} is {what}, which is not opened here.", OPENABLE)
    if 0 < len(head) < _header_size(head):
        return DamagedFileError(
            f"{name} is incomplete: it ends inside its header, after {len(head)} of {_header_size(head)} bytes.",
            _AGAIN,
        )
    if _header_size(head):
        what = "is an Analyze file, or a NIfTI file with a damaged header"
    elif gzipped:
        what = "is a gzip file, but there is no NIfTI image inside"
    elif _text(head):
        what = "is a text file, not an image, whatever its name says"
    else:
        what = "is not an image of a known kind"
    return DamagedFileError(f"{name} {what}.", OPENABLE)


def _text(head: bytes) -> bool:
    sample = head[:1024]
    return all(byte >= 32 or byte in b"\t\r\n\f" for byte in sample)
