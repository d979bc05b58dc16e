"""Distances between the surfaces of two regions, in millimetres.

Two surfaces are in use, and each figure names its own:

- *edge voxels*: voxels of the region with a face neighbour outside it (the image's outside counts as outside), as
  MONAI's ``use_subvoxels=False``. HD95 and ASD are taken between them; every edge voxel counts the same.
- *surfels*: the marching-cubes surface through the corners where 2^d voxels meet, each corner weighing as much as the
  surface that passes it (mm² in 3-D, mm in 2-D), as in DeepMind's ``surface-distance``. NSD is taken over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import edt
import numpy as np
from numpy.typing import NDArray

BinaryMask = NDArray[np.bool_]

_TOLERANCE_SLACK = 1e-6
"""Relative slack on the tolerance: distance maps are float32, and a surface exactly at the tolerance is inside it."""


@dataclass(frozen=True)
class SurfaceScores:
    """Surface figures of one pair of non-empty regions."""

    hd95: float
    """mm ≥ 0; the larger of the two directed 95th percentiles between edge voxels."""
    asd: float
    """mm ≥ 0; mean over the edge voxels of both regions of the distance to the other."""
    nsd: float
    """[0, 1]; share of both surfaces that lies within the tolerance of the other."""


def surface_scores(pred: BinaryMask, truth: BinaryMask, spacing: Sequence[float], tolerance: float) -> SurfaceScores:
    """HD95, ASD and NSD of two non-empty regions.

    Parameters
    ----------
    pred, truth
        Boolean, one shape, 2-D or 3-D, each with at least one voxel.
    spacing
        mm per voxel along each axis.
    tolerance
        mm ≥ 0; surfaces this close count as equal in NSD.

    Raises
    ------
    ValueError
        A region is empty.
    """
    if not pred.any() or not truth.any():
        raise ValueError("surface distances need two non-empty regions")
    # One empty voxel around both: a region that ends with the image has a surface there, too, and `_edges` rolls over
    # the array's end.
    pred, truth = _framed(pred, truth)
    there, back = _distances(_edges(pred), _edges(truth), spacing)
    areas = surfel_areas(tuple(float(s) for s in spacing))
    return SurfaceScores(
        hd95=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        # Both directions in one list, as MONAI has it: a mean of two means would weigh the smaller surface more.
        asd=float(np.concatenate([there, back]).mean(dtype=np.float64)),
        nsd=_surface_dice(_corner_codes(pred), _corner_codes(truth), areas, spacing, tolerance),
    )


def bounding_box(region: BinaryMask) -> tuple[slice, ...]:
    """Smallest box that holds every True voxel; empty slices when there is none."""
    box = []
    for axis in range(region.ndim):
        hit = np.flatnonzero(region.any(axis=tuple(a for a in range(region.ndim) if a != axis)))
        box.append(slice(int(hit[0]), int(hit[-1]) + 1) if len(hit) else slice(0, 0))
    return tuple(box)


def _framed(pred: BinaryMask, truth: BinaryMask) -> tuple[BinaryMask, BinaryMask]:
    """Both cropped to the box around their union, with one empty voxel around it."""
    box = bounding_box(pred | truth)
    return np.pad(pred[box], 1), np.pad(truth[box], 1)


def _edges(region: BinaryMask) -> BinaryMask:
    """Voxels with a face neighbour outside; the array's outermost layer must be empty."""
    inner = region.copy()
    for axis in range(region.ndim):
        inner &= np.roll(region, 1, axis) & np.roll(region, -1, axis)
    return region & ~inner


def _distances(
    a: BinaryMask, b: BinaryMask, spacing: Sequence[float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distance in mm of each voxel of ``a`` to the nearest of ``b``, and of each of ``b`` to the nearest of ``a``."""
    anisotropy = tuple(float(s) for s in spacing)
    to_a = edt.edt(~a, anisotropy=anisotropy, parallel=1)
    to_b = edt.edt(~b, anisotropy=anisotropy, parallel=1)
    return to_b[a], to_a[b]


def _corner_codes(region: BinaryMask) -> NDArray[np.uint8]:
    """Which of the 2^d voxels around each corner are inside: one bit each, in the order of ``itertools.product``."""
    shape = tuple(n - 1 for n in region.shape)
    codes = np.zeros(shape, dtype=np.uint8)
    for bit, corner in enumerate(product((0, 1), repeat=region.ndim)):
        window = tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))
        codes |= region[window].view(np.uint8) << np.uint8(bit)
    return codes


def _surface_dice(
    pred: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    areas: NDArray[np.float64],
    spacing: Sequence[float],
    tolerance: float,
) -> float:
    full = len(areas) - 1
    pred_surface, truth_surface = (pred != 0) & (pred != full), (truth != 0) & (truth != full)
    there, back = _distances(pred_surface, truth_surface, spacing)
    pred_areas, truth_areas = areas[pred[pred_surface]], areas[truth[truth_surface]]
    reach = tolerance * (1 + _TOLERANCE_SLACK)
    close = pred_areas[there <= reach].sum() + truth_areas[back <= reach].sum()
    return float(close / (pred_areas.sum() + truth_areas.sum()))


@lru_cache(maxsize=64)
def surfel_areas(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Surface through a corner, for each code of the voxels around it.

    Parameters
    ----------
    spacing
        mm per voxel, two or three numbers.

    Returns
    -------
    (2^(2^d),) float64
        mm in 2-D, mm² in 3-D; index as made by the corner codes of this module.
    """
    if len(spacing) == 2:
        areas = np.array([_contour_length(code, *spacing) for code in range(16)])
    else:
        a, b, c = spacing
        # A normal's component is the area seen along that axis, and grows with the other two spacings.
        scale = np.array([b * c, a * c, a * b])
        areas = np.array([np.linalg.norm(normals * scale, axis=1).sum() for normals in _cube_normals()])
    # The cache hands out this very array: what one caller changed would be changed for all.
    areas.flags.writeable = False
    return areas


def _contour_length(code: int, row: float, column: float) -> float:
    """Length in mm of the contour between the four pixels of ``code``: straight through or cutting corners."""
    inside = np.array([code >> bit & 1 for bit in range(4)]).reshape(2, 2)
    if inside.sum() in (0, 4):
        return 0.0
    if (inside[0] == inside[1]).all():
        return row
    if (inside[:, 0] == inside[:, 1]).all():
        return column
    corner = 0.5 * float(np.hypot(row, column))
    return 2 * corner if inside.sum() == 2 else corner


@lru_cache(maxsize=1)
def _cube_normals() -> tuple[NDArray[np.float64], ...]:
    """Area-weighted normals (T, 3) of the T triangles of each of the 256 cubes, at unit spacing.

    A cube with more than four corners inside takes the triangles of its complement, so that a mask and its inverse
    have one area.
    """
    from skimage.measure import marching_cubes

    normals = [np.zeros((0, 3))]
    for code in range(1, 255):
        sparse = code if code.bit_count() <= 4 else 255 - code
        cube = np.array([sparse >> bit & 1 for bit in range(8)], dtype=np.float32).reshape(2, 2, 2)
        # Lorensen's triangles are those of the published areas; skimage's own choice parts ambiguous cubes differently.
        vertices, faces, _, _ = marching_cubes(cube, 0.5, method="lorensen")  # type: ignore[no-untyped-call]
        a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
        normals.append(np.cross(b - a, c - a) / 2)
    normals.append(np.zeros((0, 3)))
    return tuple(normals)
