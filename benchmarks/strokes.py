"""Random acts of correction: what an annotator, a fill or a model's run may do to a mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_morse.types import Roi

KINDS = ("voxel", "ball", "box", "scattered", "slice", "labels")
Shape = tuple[int, int, int]


def random_stroke(rng: np.random.Generator, shape: Shape, labels: int = 4, kind: str = "") -> tuple[Any, Any, str]:
    """Where, values and kind of one act on a mask of ``shape`` with labels 0 to ``labels`` − 1."""
    kind = kind or str(rng.choice(KINDS))
    label = int(rng.integers(labels))
    if kind == "voxel":
        return np.array([rng.integers(np.prod(shape))]), label, kind
    if kind == "scattered":
        return rng.integers(0, np.prod(shape), int(rng.integers(2, 200))), label, kind
    if kind == "slice":
        axis = int(rng.integers(3))
        at = int(rng.integers(shape[axis]))
        start, stop = [0, 0, 0], list(shape)
        start[axis], stop[axis] = at, at + 1
        return Roi(tuple(start), tuple(stop)), label, kind
    box = random_box(rng, shape)
    if kind == "box":
        return box, label, kind
    if kind == "labels":
        return box, rng.integers(0, labels, box.shape), kind
    return ball(rng, shape), label, kind


def random_box(rng: np.random.Generator, shape: Shape, most: int = 12) -> Roi:
    sizes = [int(rng.integers(1, min(n, most) + 1)) for n in shape]
    start = [int(rng.integers(n - size + 1)) for n, size in zip(shape, sizes, strict=True)]
    return Roi(tuple(start), tuple(a + size for a, size in zip(start, sizes, strict=True)))


def ball(rng: np.random.Generator, shape: Shape, radius: float = 0.0) -> tuple[Any, Any, Any]:
    """Indices along I, J and K of a ball around a random voxel, cut at the mask's border."""
    radius = radius or float(rng.uniform(1, 8))
    centre = [int(rng.integers(n)) for n in shape]
    low = [max(0, int(c - radius)) for c in centre]
    high = [min(n, int(c + radius) + 1) for c, n in zip(centre, shape, strict=True)]
    grid = np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij")
    inside = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) <= radius**2
    i, j, k = (axis[inside] for axis in grid)
    return i, j, k
