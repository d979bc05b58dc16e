"""Scans on any grid, for the tests of layers, reader and writers."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations

from napari_morse.types import Grid, Label, Mask, Points, Prediction, Scan

SHAPE = (7, 9, 12)
ZOOMS = (0.5, 0.7, 7.0)
MARKER = (1, 6, 10)
"""A voxel in no plane of symmetry of `SHAPE`."""
LABELS = (Label(1, "anterior", "#0072b2"), Label(2, "posterior", "#e69f00"))
ORIENTATIONS = ["".join(axes) for order in permutations(("RL", "AP", "SI")) for axes in product(*order)]


def affine_of(codes: str, origin=(31.0, -52.0, 1e5), angle: float = 0.0):
    """Voxel → mm for an image stored along ``codes``, turned by ``angle`` degrees about two axes."""
    order = orientations.axcodes2ornt(tuple(codes))
    affine = np.zeros((4, 4))
    for axis, (world, sign) in enumerate(order):
        affine[int(world), axis] = sign * ZOOMS[axis]
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]) @ np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3], affine[3, 3] = origin, 1.0
    return affine


def scan_on(affine, shape=SHAPE, *, made_in_viewer: bool = False) -> Scan:
    data = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    return Scan(data, Grid(shape, affine), "case", None if made_in_viewer else Path("case.nii.gz"))


def mask_on(scan: Scan) -> Mask:
    """Both labels at random places, 2 at the marker."""
    data = np.random.default_rng(1).integers(0, 3, scan.grid.shape).astype(np.uint8)
    data[MARKER] = 2
    return Mask(data, scan.grid, LABELS, scan.header)


def prediction_on(scan: Scan, count: int = 40) -> Prediction:
    rng = np.random.default_rng(2)
    flat = rng.choice(scan.data.size, count, replace=False)
    voxel = np.stack(np.unravel_index(flat, scan.grid.shape), axis=1).astype(np.int64)
    mask = mask_on(scan)
    points = Points(
        voxel,
        voxel @ scan.grid.affine[:3, :3].T + scan.grid.affine[:3, 3],
        np.sort(rng.random(count).astype(np.float32)),
        rng.integers(0, 3, count).astype(np.uint16),
        mask.data[tuple(voxel.T)].astype(np.uint16),
        rng.dirichlet(np.ones(3), count).astype(np.float32),
        ("near", "far", "native"),
    )
    return Prediction(mask, mask, rng.random(scan.grid.shape).astype(np.float32), points, "model", "0" * 64)


def mm(affine, voxel):
    return affine[:3, :3] @ np.asarray(voxel, dtype=float) + affine[:3, 3]


def write_nifti(path: Path, data, affine, *, sform: int = 1, qform: int = 2) -> Path:
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, qform, strip_shears=True)
    image.set_sform(affine, sform)
    nib.save(image, path)
    return path
