"""Where voxels lie in the viewer.

The world of napari is read as (I, P, L): millimetres downward, to posterior and to the patient's left. An array is
shown in *display order*, its axes permuted and flipped (never resampled) to the nearest of these, so that an axial
slice has anterior at the top and the patient's right at the left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from napari_morse.geometry.orientation import DISPLAY, Axes, oriented, shown_axes
from napari_morse.types import Grid, Scan

Matrix = NDArray[np.float64]

AXIS_LABELS = tuple(DISPLAY)


def _world(frame: str) -> Matrix:
    """(4, 4): millimetres RAS+ → millimetres along ``frame``."""
    world = np.zeros((4, 4))
    for axis, letter in enumerate(frame):
        world[axis, "RLAPSI".index(letter) // 2] = 1.0 if letter in "RAS" else -1.0
    world[3, 3] = 1.0
    return world


WORLD = _world(DISPLAY)
"""(4, 4): millimetres RAS+ → millimetres in the viewer's world (I, P, L)."""


_known: WeakKeyDictionary[Scan, Axes] = WeakKeyDictionary()


def display_axes(scan: Scan) -> Axes:
    """Storage order of ``scan`` → display order, and back; found once for each scan, since it takes half a ms."""
    if scan not in _known:
        _known[scan] = shown_axes(scan.grid)
    return _known[scan]


def display_to_world(scan: Scan) -> Matrix:
    """(4, 4): display voxel index → world, as the layers of ``scan`` are placed.

    The first display voxel lies at its own (I, P, L) position. A scan from a file is then shown along its nearest
    patient axes with positive steps: for axis-aligned scans every voxel is at its own place, an oblique one looks
    straightened (its exact geometry stays in the `Scan`). A scan made from a layer of the viewer keeps that layer's
    place exactly, rotation and shear included.
    """
    grid = oriented(scan.grid, display_axes(scan))
    exact = WORLD @ grid.affine
    if scan.source is None:
        return exact
    # Straightened for the viewer alone: saving goes by the exact grid that the `Scan` keeps.
    straight = np.diag([*grid.spacing, 1.0])
    straight[:3, 3] = exact[:3, 3]
    return straight


def units_of(scan: Scan) -> str:
    """``mm``, or ``pixel`` where the size of a voxel is unknown (plain pictures, layers without a length unit)."""
    return "mm" if scan.size_known else "pixel"


def placement(scan: Scan) -> dict[str, Any]:
    """Layer attributes that put a display array of ``scan`` in its place.

    Returns
    -------
    dict
        ``scale`` (> 0), ``translate``, ``units``, ``axis_labels``; ``affine`` instead of the first two when the axes
        are not along the world's.
    """
    matrix = display_to_world(scan)
    attributes: dict[str, Any] = {"units": (units_of(scan),) * 3, "axis_labels": AXIS_LABELS}
    steps = np.diag(matrix)[:3]
    if np.array_equal(matrix[:3, :3], np.diag(steps)):
        # Scale and translate wherever they say it all: napari 0.9 cuts slices of turned affines at the wrong place in
        # 2-D.
        return attributes | {"scale": tuple(steps.tolist()), "translate": tuple(matrix[:3, 3].tolist())}
    return attributes | {"affine": matrix}


def world_matrix(attributes: Mapping[str, Any], ndim: int) -> Matrix:
    """(4, 4): data index of a layer → world, in mm where the layer has length units.

    Parameters
    ----------
    attributes
        ``scale``, ``translate``, ``rotate``, ``shear``, ``affine`` and ``units``, as layers of napari hold them; each
        may be missing.
    ndim
        2 or 3. A 2-D layer lies in the (P, L) plane, at S = 0, one unit thick.
    """
    from napari.utils.transforms import Affine

    own = Affine(
        scale=attributes.get("scale", (1.0,) * ndim),
        translate=attributes.get("translate", (0.0,) * ndim),
        rotate=attributes.get("rotate"),
        shear=attributes.get("shear"),
        ndim=ndim,
    ).affine_matrix
    outer = attributes.get("affine")
    matrix = own if outer is None else np.asarray(getattr(outer, "affine_matrix", outer), dtype=float) @ own
    matrix = np.diag([*unit_factors(attributes.get("units"), ndim), 1.0]) @ matrix
    full = np.eye(4)
    full[3 - ndim :, 3 - ndim :] = matrix
    return full


def layer_matrix(layer: Any) -> Matrix:
    """`world_matrix` of a 2-D or 3-D napari layer."""
    names = ("scale", "translate", "rotate", "shear", "affine", "units")
    return world_matrix({name: getattr(layer, name) for name in names}, layer.ndim)


def unit_factors(units: Any, ndim: int) -> tuple[float, ...]:
    """How many mm one unit of each axis is; 1 for axes without a length unit (pixels)."""
    if units is None:
        return (1.0,) * ndim
    return tuple(_millimetres(unit) for unit in units)


def has_length(units: Any) -> bool:
    """Whether every axis is measured in a unit of length."""
    return units is not None and all(_is_length(unit) for unit in units)


def _is_length(unit: Any) -> bool:
    import pint

    return bool(pint.Unit(str(unit)).is_compatible_with("mm"))


def _millimetres(unit: Any) -> float:
    import pint

    return float(pint.Quantity(1.0, str(unit)).to("mm").magnitude) if _is_length(unit) else 1.0


def grid_of(matrix: Matrix, shape: tuple[int, int, int]) -> Grid:
    """A grid in RAS+ mm for an array whose voxels lie at ``matrix`` in the viewer's world."""
    return Grid(shape, np.linalg.inv(WORLD) @ matrix)
