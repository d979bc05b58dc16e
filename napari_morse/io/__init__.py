"""Files in and out: scans and masks with their exact geometry, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_morse.errors import InputError
from napari_morse.io.labels import as_labels
from napari_morse.types import Array, Grid, Mask, Scan

__all__ = ["as_labels", "case_stem", "open_mask", "open_scan", "save_image", "save_mask"]

_NIFTI = (".nii.gz", ".nii")


def open_scan(path: Path | str, *, frame: int | None = None) -> Scan:
    """Open an image, told by its first bytes and not by its name.

    Parameters
    ----------
    path
        A NIfTI file (.nii, .nii.gz) or a 2-D picture (PNG, JPEG, TIFF, BMP).
    frame
        Which frame of a 4-D series (or page of a picture) to take, from 0. A series without it is refused: no frame is
        taken silently.

    Returns
    -------
    Scan
        ``data`` (I, J, K): integers where the file's intensities are plain integers, else float32; what is
        unusual is in ``notices``.

    Raises
    ------
    InputError
        Missing, damaged (`DamagedFileError`), of an impossible geometry (`GeometryError`), or not a scalar image.
    MemoryBudgetError
        Larger than half of the memory, or than ``NAPARI_MORSE_MEMORY_GB``.
    """
    from napari_morse.io import guards, nifti, pictures, sniff

    path = Path(path)
    sniffed = sniff.sniff(path)
    read = nifti.read_scan if sniffed.kind.is_nifti else pictures.read_picture
    with guards.enough_memory(path.name):
        return read(path, sniffed, case_stem(path), frame)


def open_mask(path: Path | str) -> Mask:
    """Open a mask: a NIfTI file or a PNG, TIFF or BMP picture whose values are label ids.

    Returns
    -------
    Mask
        ``data`` (I, J, K) in the smallest unsigned dtype that holds the ids; a palette picture gives its indices.

    Raises
    ------
    InputError
        As `open_scan`; also fractions, negative values, colours, and series.
    """
    from napari_morse.io import guards, nifti, pictures, sniff

    path = Path(path)
    sniffed = sniff.sniff(path)
    read = nifti.read_mask if sniffed.kind.is_nifti else pictures.read_label_picture
    with guards.enough_memory(path.name):
        return read(path, sniffed)


def save_mask(mask: Mask, path: Path | str, *, original: Path | None = None) -> Path:
    """Write a mask on its own grid, whole or not at all; the same mask gives the same bytes.

    Parameters
    ----------
    mask
        Geometry codes, forms and units of ``mask.header`` are kept exactly where they give the mask's affine.
    path
        Ends in ``.nii`` or ``.nii.gz``; or in ``.png`` for a single slice, written as (I, J) = (rows, columns).
    original
        The scan's own file, which is never written over.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        Another ending, negative or fractional labels, no such folder, no space, no right to write, the original itself.
    """
    from napari_morse.io import guards, nifti, pictures

    path = Path(path)
    guards.keep_original(path, original)
    if path.name.lower().endswith(_NIFTI):
        nifti.write_mask(mask, path)
    elif path.suffix.lower() == ".png":
        pictures.write_label_picture(mask, path)
    else:
        raise InputError(f"A mask cannot be written as “{path.name}”.", "Let the name end in .nii.gz, .nii or .png.")
    return path


def save_image(data: Array, grid: Grid, path: Path | str, *, header: Any = None, original: Path | None = None) -> Path:
    """Write an image (I, J, K) on ``grid`` as NIfTI: floats as float32, integers as they are, unscaled.

    Codes, forms and units of ``header`` are kept where they give ``grid``; ``original`` is never written over.

    Raises
    ------
    InputError
        Another ending than ``.nii`` or ``.nii.gz``, pixels that are not real numbers, or as `save_mask`.
    """
    from napari_morse.io import guards, nifti

    path = Path(path)
    guards.keep_original(path, original)
    if not path.name.lower().endswith(_NIFTI):
        raise InputError(f"An image cannot be written as “{path.name}”.", "Let the name end in .nii.gz or .nii.")
    nifti.write_nifti(data, grid, path, header)
    return path


def case_stem(path: Path | str) -> str:
    """The name of a case: the file's own name without ``.nii.gz``, ``.nii`` or its last ending; never from a header."""
    name = Path(path).name
    for ending in _NIFTI:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return Path(name).stem
