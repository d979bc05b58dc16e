"""A mask that is given, painted or of another program: onto the model's axes, and whether it can be its structure."""

from __future__ import annotations

import math

import cc3d
import numpy as np
from numpy.typing import NDArray

from napari_morse.config import ModelCard
from napari_morse.errors import GeometryError, InputError
from napari_morse.geometry.orientation import RAS, axes_to, oriented
from napari_morse.inference.domain_check import EXTENT_SLACK, lengths_text
from napari_morse.inference.prepared import Prepared
from napari_morse.metrics.surface import bounding_box
from napari_morse.types import Array, Mask, Scan

FOUND_SHARE = 0.02
"""Share of a given mask in which the model itself must find one of its structures. In masks of hippocampi that
are swollen by 3 mm, eaten away by 2 or one slice alone it is a tenth at least; in atria, kidneys, heart walls mostly
none."""
NOT_ITS_STRUCTURE_HINT = "Choose a model of that structure; --anyway renders the mask all the same."


def classes_of(card: ModelCard, ready: Prepared, mask: Mask) -> NDArray[np.int64]:
    """A mask in storage order → (B, *space) class indices of the stack that the engine reads.

    Raises
    ------
    GeometryError
        The mask does not lie on the scan's grid.
    InputError
        It holds a label that the model does not know.
    """
    canonical = _like(ready.scan, mask)
    ids = [0, *(entry.id for entry in card.labels)]
    stray = sorted(set(np.unique(mask.data).tolist()) - set(ids))
    if stray:
        raise InputError(
            f"The coarse mask holds the label {stray[0]}, which the model {card.name!r} does not know.",
            f"Its labels are {', '.join(map(str, ids[1:]))}.",
        )
    if ready.roi is not None:
        canonical = canonical[ready.axes.roi_to_view(ready.roi).slices]
    classes = np.zeros(canonical.shape, np.int64)
    for index, number in enumerate(ids):
        classes[canonical == number] = index
    return classes[None] if ready.slice_axis is None else np.moveaxis(classes, ready.slice_axis, 0)


def _like(scan: Scan, mask: Mask) -> Array:
    """A mask in RAS order, when it lies on a scan's voxels; a painted picture seldom says how large its pixels are."""
    axes = axes_to(scan.grid if scan.is_picture else mask.grid, RAS)
    same = mask.data.shape == scan.data.shape
    if not scan.is_picture:
        # In RAS: another program may have stored the same voxels in another order of axes.
        same = oriented(mask.grid, axes).same_as(oriented(scan.grid, axes_to(scan.grid, RAS)))
    if not same:
        raise GeometryError("The coarse mask does not lie on the scan's grid.", "Resample it to the scan's grid.")
    return axes.to_view(mask.data)


def too_large(card: ModelCard, classes: NDArray[np.integer], spacing: tuple[float, ...], unsized: bool) -> str:
    """A sentence where the given mask is larger than anything that the model can have seen; else empty.

    Every training scan held its structures whole, so none of them is larger than the largest field of view.

    Parameters
    ----------
    classes
        (B, *space) class indices.
    spacing
        mm per voxel along the model's axes; of a picture that does not say it, the model's own.
    unsized
        Whether the spacing is not known.
    """
    extent = piece_extent(classes, spacing)
    if not card.field_of_view or all(
        e <= EXTENT_SLACK * high for e, (_, high) in zip(extent, card.field_of_view, strict=True)
    ):
        return ""
    unit = "pixels" if unsized else "mm"
    largest = lengths_text(tuple(high for _, high in card.field_of_view))
    return (
        f"The given mask spans {lengths_text(extent)} {unit} in one piece, and the scans that the model {card.name!r} "
        f"learned from spanned {largest} mm at most: it cannot be what the model knows."
    )


def not_found(card: ModelCard, found_share: float | None) -> str:
    """A sentence where the model finds its structures (almost) nowhere in the given mask; else empty.

    Parameters
    ----------
    found_share
        Share of the mask's voxels in which its own coarse pass finds any of them; None where nothing can be said.
    """
    if found_share is None or found_share >= FOUND_SHARE:
        return ""
    share = f"{math.ceil(1000 * found_share) / 10:.1f} %" if found_share else "no voxel"
    return (
        f"The model {card.name!r} itself finds its structures in {share} of the given mask: it takes it for something "
        "else, and rendering would eat it away."
    )


def absent_structures(card: ModelCard, classes: NDArray[np.integer]) -> tuple[str, ...]:
    """Sentences on structures of the model that a given mask does not hold: no reason to refuse it."""
    held = set(np.unique(classes).tolist())
    names = [f"“{entry.name}”" for index, entry in enumerate(card.labels, start=1) if index not in held]
    if len(names) == len(card.labels):
        return ("The given mask is empty where the scan is read: nothing is rendered.",)
    return (f"The given mask does not hold {', '.join(names)}.",) if names else ()


def piece_extent(classes: NDArray[np.integer], spacing: tuple[float, ...]) -> tuple[float, ...]:
    """Extent in mm of the largest connected piece, all structures together; in 2-D along each axis of any slice.

    Pieces for themselves: a mask of both sides of the head is no larger structure, and specks of paint do not count.
    """
    largest = np.zeros(len(spacing))
    for image in classes:
        if image.any():
            inside = cc3d.largest_k(image > 0, k=1, connectivity=26 if image.ndim == 3 else 8).astype(bool)
            sides = [side.stop - side.start for side in bounding_box(inside)]
            largest = np.maximum(largest, np.array(sides) * spacing)
    return tuple(float(side) for side in largest)
