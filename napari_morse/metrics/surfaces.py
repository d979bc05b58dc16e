"""Surfaces of masks as meshes, and how far one lies from another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from napari_morse.errors import CancelledError
from napari_morse.metrics.surface import bounding_box
from napari_morse.types import Array

MOST_FACES = 60_000
"""Faces of one structure beyond which the mesh is made coarser."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A surface of triangles.

    Parameters
    ----------
    vertex
        (N, 3) float32, voxel coordinates (I, J, K), voxel centres at whole numbers.
    face
        (M, 3) int32, indices of vertices.
    step
        Voxels from one sample to the next; more than 1 where the mesh was made coarser.
    """

    vertex: NDArray[np.float32]
    face: NDArray[np.int32]
    step: int = 1

    def __len__(self) -> int:
        return len(self.face)


def mesh(mask: Array, cancelled: Callable[[], bool] | None = None, most: int = MOST_FACES) -> Mesh:
    """The surfaces of all structures of a mask, each closed, between voxel centres.

    Parameters
    ----------
    mask
        (I, J, K) label ids, storage order.
    cancelled
        Asked between structures.
    most
        Faces of one structure beyond which every second voxel, or fewer, is sampled.

    Raises
    ------
    CancelledError
        When ``cancelled`` said so.
    """
    vertices, faces, count, coarsest = [np.zeros((0, 3), np.float32)], [np.zeros((0, 3), np.int32)], 0, 1
    for label in np.unique(mask):
        if label == 0:
            continue
        if cancelled is not None and cancelled():
            raise CancelledError
        vertex, face, step = _closed(mask == label, most)
        vertices.append(vertex)
        faces.append(face + count)
        count += len(vertex)
        coarsest = max(coarsest, step)
    return Mesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int32), coarsest)


def _closed(region: NDArray[np.bool_], most: int) -> tuple[NDArray[np.float32], NDArray[np.int32], int]:
    box = bounding_box(region)
    solid = region[box]
    step = 1
    while True:
        # Enough empty voxels that a coarse step meets one: a structure that ends with the image is closed there.
        wide = 2 * step
        vertex, face, _, _ = marching_cubes(  # type: ignore[no-untyped-call]
            np.pad(solid, wide).astype(np.float32), 0.5, step_size=step
        )
        if len(face) <= most or step >= min(solid.shape):
            break
        step += 1
    start = np.array([s.start for s in box]) - wide
    return (vertex + start).astype(np.float32), face.astype(np.int32), step


def apart(one: Mesh, other: Mesh, spacing: Sequence[float]) -> NDArray[np.float32]:
    """Distance in mm from each vertex of one surface to the nearest of another.

    Parameters
    ----------
    one, other
        Of masks on one grid.
    spacing
        mm along I, J and K.

    Returns
    -------
    ndarray
        (N,) float32; NaN where the other mask is empty.
    """
    if not len(other.vertex):
        return np.full(len(one.vertex), np.nan, np.float32)
    sides = np.asarray(spacing, np.float64)
    far, _ = cKDTree(other.vertex * sides).query(one.vertex * sides, workers=-1)
    return np.asarray(far, np.float32)
