"""A NIfTI header read without trust: sizes, datatype, intensity scale, and where the voxels lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from napari_morse.errors import DamagedFileError, GeometryError, InputError
from napari_morse.types import Array, Grid

REPAIR = "Repair the header, or export the image again."
_FARTHEST = 1e7
"""mm; an affine with a larger number places voxels more than 10 km away: damage."""
_FLATTEST = 1e-6
"""Volume of a voxel over the product of its sides, below which the axes lie in one plane."""
_DISAGREE = 0.05
"""Voxels between the corners of sform and qform that are worth a notice: rounding of the quaternion stays below."""
_DATATYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_REFUSED = {
    1: "single bits",
    32: "complex numbers",
    128: "RGB colours",
    1536: "128-bit floats",
    1792: "complex numbers",
    2048: "complex numbers",
    2304: "RGBA colours",
}
_TO_MM = {1: 1e3, 3: 1e-3}
"""Spatial unit code of the header → mm; 2 is mm, and 0 (not said) is taken for mm."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the voxels are in the file, and how they are stored."""

    shape: tuple[int, int, int]
    frames: int
    dtype: np.dtype[Any]
    offset: int
    slope: float
    """1.0 with ``inter`` 0.0 when the voxels are meant as they are stored."""
    inter: float
    notices: tuple[str, ...]

    @property
    def frame_bytes(self) -> int:
        """Bytes of one 3-D frame."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def declared(self) -> int:
        """Bytes of the whole file, uncompressed."""
        return self.offset + self.frames * self.frame_bytes


def parse(block: bytes, name: str) -> Nifti1Header:
    """The header in ``block``, the 348 (NIfTI-2: 540) bytes that a sniffer has recognised; extensions are left out."""
    try:
        # Unchecked: nibabel would mend what is odd by itself, with a line in a log; here it is told, or refused.
        return Nifti1Header(block, check=False) if len(block) == 348 else Nifti2Header(block, check=False)
    except (HeaderDataError, ValueError) as error:
        raise DamagedFileError(f"The header of “{name}” is damaged.", REPAIR) from error


def layout(header: Nifti1Header, name: str) -> Layout:
    """Check sizes, datatype, offset and scale, in this order.

    Raises
    ------
    GeometryError
        Names the dimension that is not possible.
    InputError
        Names the datatype that is not opened.
    DamagedFileError
        The voxels start where they cannot.
    """
    shape, frames = _shape(header, name)
    dtype = _dtype(header, name)
    offset, moved = _offset(header, name)
    slope, inter, scaled = _scale(header)
    notices = moved + scaled
    if int(header["bitpix"]) != dtype.itemsize * 8:
        notices += ("The header's bits per voxel contradict its datatype; the datatype was followed.",)
    return Layout(shape, frames, dtype, offset, slope, inter, notices)


def _shape(header: Nifti1Header, name: str) -> tuple[tuple[int, int, int], int]:
    dim = [int(n) for n in header["dim"]]
    if not 2 <= dim[0] <= 7:
        raise GeometryError(f"“{name}” has dim[0] = {dim[0]} dimensions; 2 to 4 are possible.", REPAIR)
    sizes = dim[1 : dim[0] + 1] + [1] * (7 - dim[0])
    for number, size in enumerate(sizes, start=1):
        if size < 1:
            raise GeometryError(f"“{name}” has dim[{number}] = {size}, which is no number of voxels.", REPAIR)
        if number > 4 and size > 1:
            raise GeometryError(
                f"“{name}” has dim[{number}] = {size}: images of more than 4 dimensions are not opened.",
                "Split it into 3-D images first.",
            )
    return (sizes[0], sizes[1], sizes[2]), sizes[3]


def _dtype(header: Nifti1Header, name: str) -> np.dtype[Any]:
    code = int(header["datatype"])
    if code in _REFUSED:
        raise InputError(
            f"“{name}” holds {_REFUSED[code]} (datatype {code}), which are not opened.",
            "Convert it to one real number per voxel first (of complex numbers, take the magnitude).",
        )
    if code not in _DATATYPES:
        raise InputError(f"“{name}” has the unknown datatype {code}.", REPAIR)
    return np.dtype(f"{header.endianness}{_DATATYPES[code]}")


def _offset(header: Nifti1Header, name: str) -> tuple[int, tuple[str, ...]]:
    first = header.single_vox_offset
    offset = float(header["vox_offset"])
    if offset == 0:
        return first, (f"The header does not say where the voxels start; byte {first}, the usual place, was taken.",)
    if not math.isfinite(offset) or offset != int(offset) or offset < first:
        raise DamagedFileError(f"“{name}” says that its voxels start at byte {offset:g}, which cannot be.", REPAIR)
    return int(offset), ()


def _scale(header: Nifti1Header) -> tuple[float, float, tuple[str, ...]]:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return math.nan, 0.0, (f"The intensity scale in the header is {slope:g}: intensities were taken as stored.",)
    if not math.isfinite(inter):
        return slope, 0.0, (f"The intensity offset in the header is {inter:g}: it was taken as 0.",)
    return slope, inter, ()


def affine_of(header: Nifti1Header) -> tuple[NDArray[np.float64], bool]:
    """Voxel index → mm RAS+ (4, 4) from sform, else qform, else spacing alone; and whether the orientation is known."""
    # sform first, as nibabel does: it is the affine itself, while a qform, a rotation, can't hold a shear.
    if int(header["sform_code"]) > 0:
        affine, known = _sform(header), True
    elif int(header["qform_code"]) > 0:
        affine, known = _qform(header), True
    else:
        # Unlike nibabel's, which turns the first axis round where there is no form (`default_x_flip`): left stays left.
        affine, known = np.diag([*_steps(header), 1.0]), False
    affine[:3] *= _TO_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    return affine, known


def grid_of_header(header: Nifti1Header, shape: tuple[int, int, int], name: str) -> tuple[Grid, bool, tuple[str, ...]]:
    """The grid of the voxels, whether its orientation is known, and what is unusual about it.

    Raises
    ------
    GeometryError
        Not finite, singular, or absurdly far away.
    """
    try:
        with np.errstate(all="ignore"):
            affine, known = affine_of(header)
    except (HeaderDataError, ValueError) as error:
        raise GeometryError(f"The rotation in the header of “{name}” (qform) is not possible.", REPAIR) from error
    _check_affine(affine, name)
    grid = Grid(shape, affine)
    return grid, known, _oddities(header, grid, known)


def _check_affine(affine: NDArray[np.float64], name: str) -> None:
    if not np.isfinite(affine).all():
        raise GeometryError(f"The affine of “{name}” holds values that are not finite.", REPAIR)
    if np.abs(affine).max() > _FARTHEST:
        raise GeometryError(f"The affine of “{name}” places voxels more than 10 km away.", REPAIR)
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    if sides.min() == 0 or abs(np.linalg.det(affine[:3, :3] / np.where(sides > 0, sides, 1.0))) < _FLATTEST:
        raise GeometryError(f"The affine of “{name}” is singular: its voxels have no volume.", REPAIR)


def _oddities(header: Nifti1Header, grid: Grid, known: bool) -> tuple[str, ...]:
    notices = []
    if not known:
        notices.append("The file holds no orientation: left and right, front and back, up and down are not known.")
        if not _usable(header["pixdim"][1:4]).all():
            notices.append("The file holds no voxel size along every axis: 1 mm was assumed where it is missing.")
    unit = int(header["xyzt_units"]) & 7
    if unit in _TO_MM:
        notices.append(f"Lengths were given in {'metres' if unit == 1 else 'micrometres'} and turned to mm.")
    if int(header["sform_code"]) > 0 and int(header["qform_code"]) > 0:
        notices += _disagreement(header, grid)
    return tuple(notices)


def _disagreement(header: Nifti1Header, grid: Grid) -> list[str]:
    both = "The file holds two geometries (sform and qform)"
    try:
        with np.errstate(all="ignore"):
            qform = _qform(header)
    except (HeaderDataError, ValueError):
        return [f"{both}, of which the qform cannot be read: the sform was taken."]
    qform[:3] *= _TO_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape], indexing="ij")).reshape(3, -1)
    with np.errstate(all="ignore"):
        apart = np.linalg.norm(((grid.affine - qform) @ np.vstack([corners, np.ones(8)]))[:3], axis=0).max()
    if apart <= _DISAGREE * min(grid.spacing):
        return []
    return [f"{both} that differ by up to {apart:.3g} mm: the sform was taken."]


def _sform(header: Nifti1Header) -> NDArray[np.float64]:
    rows = [np.asarray(header[f"srow_{axis}"], dtype=np.float64) for axis in "xyz"]
    return np.vstack([*rows, [0.0, 0.0, 0.0, 1.0]])


def _qform(header: Nifti1Header) -> NDArray[np.float64]:
    # nibabel refuses qfac 0 and sizes below 0, which the standard reads as 1 and as their absolute value
    usual = header.copy()
    pixdim = np.asarray(header["pixdim"], dtype=np.float64)
    sizes = np.abs(pixdim[1:4])
    sizes[(sizes == 0) & (np.arange(3) >= int(header["dim"][0]))] = 1.0
    usual["pixdim"][0] = -1.0 if pixdim[0] < 0 else 1.0
    usual["pixdim"][1:4] = sizes
    return np.array(usual.get_qform(), dtype=np.float64)


def _usable(sizes: Array) -> NDArray[np.bool_]:
    return np.isfinite(sizes) & (np.abs(sizes) > 0)


def _steps(header: Nifti1Header) -> list[float]:
    sizes = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    return [float(size) if good else 1.0 for size, good in zip(sizes, _usable(sizes), strict=True)]


def header_for(dtype: np.dtype[Any], grid: Grid, like: object = None) -> Nifti1Header:
    """A new header for voxels of ``dtype`` on ``grid``, with the codes, forms and units of ``like``, none of its text.

    Where ``like`` gives the very affine of ``grid``, its fields are copied bit by bit. NIfTI-2 where ``like`` is, or
    where an axis is longer than NIfTI-1 can say.
    """
    # New, never a copy of `like`: the free text of a scan's header may name the patient.
    version2 = isinstance(like, Nifti2Header) or max(grid.shape) > np.iinfo(np.int16).max
    header = Nifti2Header() if version2 else Nifti1Header()
    header.set_data_shape(grid.shape)
    header.set_data_dtype(dtype)
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    header["descrip"] = b"napari-morse"
    if isinstance(like, Nifti1Header) and _same_affine(like, grid):
        for field in ("sform_code", "qform_code", "xyzt_units", "quatern_b", "quatern_c", "quatern_d"):
            header[field] = like[field]
        for axis in "xyz":
            header[f"srow_{axis}"], header[f"qoffset_{axis}"] = like[f"srow_{axis}"], like[f"qoffset_{axis}"]
        # From 0: pixdim[0] is qfac, the handedness; without it the copied qform may be mirrored.
        header["pixdim"][:4] = like["pixdim"][:4]
    else:
        _set_affine(header, grid, like)
    return header


def _same_affine(like: Nifti1Header, grid: Grid) -> bool:
    # To the last bit: an affine that goes through a quaternion and back is off in its last digits, and programs that
    # compare headers exactly then refuse the mask as one of another grid.
    try:
        with np.errstate(all="ignore"):
            return bool(np.array_equal(affine_of(like)[0], grid.affine))
    except (HeaderDataError, ValueError):
        return False


def _set_affine(header: Nifti1Header, grid: Grid, like: object) -> None:
    code = 2  # aligned; 1 would say that the place is the scanner's own, which nobody told
    if isinstance(like, Nifti1Header):
        code = max(int(like["sform_code"]), 0) or max(int(like["qform_code"]), 0) or code
    header.set_xyzt_units("mm")
    header.set_sform(grid.affine, code=code)
    header["pixdim"][1:4] = grid.spacing
    try:
        # Without stripping: a qform that silently lost the shear would lie elsewhere than the sform.
        header.set_qform(grid.affine, code=code, strip_shears=False)
    except HeaderDataError:  # a sheared affine has no qform
        header["qform_code"] = 0
