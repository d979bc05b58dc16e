"""From napari's layers back to scans and masks, whoever made the layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_morse.errors import GeometryError, InputError
from napari_morse.geometry.orientation import obliquity
from napari_morse.io import as_labels
from napari_morse.io.guards import check_budget
from napari_morse.io.labels import mask_notice
from napari_morse.types import Array, Grid, Mask, Scan
from napari_morse.widgets.bridge.placement import (
    Matrix,
    display_axes,
    display_to_world,
    grid_of,
    has_length,
    layer_matrix,
)
from napari_morse.widgets.bridge.to_layers import Carrier, carrier_of, labels_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

_ATOL = 1e-4
"""mm within which two layers lie at the same place: napari keeps transforms in float64, people type few decimals."""
_OBLIQUE = 0.1
"""Degrees from which a scan looks straightened in the viewer, so that the viewer's world is not its mm."""


def scan_of(layer: Image, viewer: ViewerModel | None = None) -> Scan:
    """The scan behind an image layer.

    A layer of ours gives its own `Scan` (with the layer's pixels, where a person changed them). So does an image that
    another program laid exactly over one of the scans of ``viewer``, as a filter does. Any other layer is read at its
    own place: the viewer's world is taken as (I, P, L), in mm where the layer has a unit of length, else with pixels
    as mm; of several resolutions the finest is read. A 2-D layer is a picture.

    Parameters
    ----------
    layer
        2-D or 3-D, grey.
    viewer
        Where to look for the scan that an image which is not ours lies on.

    Raises
    ------
    InputError
        Not an image, coloured, more than three axes.
    GeometryError
        The layer lies on several open scans with different grids.
    MemoryBudgetError
        Above the memory budget.
    """
    _check_kind(layer)
    carrier = carrier_of(layer)
    if carrier is not None and lies_on(layer, carrier.scan):
        return _own_scan(layer, carrier)
    beneath = _scan_beneath(layer, viewer, must=False)
    if beneath is not None:
        return _over(layer, beneath)
    return _foreign_scan(layer, moved=carrier is not None)


def mask_of(layer: Labels, viewer: ViewerModel | None = None, scan: Scan | None = None) -> Mask:
    """The mask in a labels layer, on the exact grid of the scan that it was painted on.

    A layer of ours knows its scan. A layer made with the viewer's own button inherits only place and shape: its scan
    is the one of ``viewer`` that is shown with the same shape and place; without one the layer's own place is read as
    (I, P, L) mm.

    Parameters
    ----------
    layer
        2-D or 3-D labels.
    viewer
        Where to look for the scan of a layer that is not ours.
    scan
        The scan that the mask must lie on; shape and place are checked, nothing is pasted by index.

    Raises
    ------
    GeometryError
        The layer does not lie on ``scan``; or it lies on none of the open scans, or on several with different grids,
        so that its place in the patient is not known.
    InputError
        Negative ids, more than three axes.
    """
    shape = _shape3(layer)
    owner, carrier = scan, carrier_of(layer)
    if owner is None:
        owner = (
            carrier.scan
            if carrier is not None and lies_on(layer, carrier.scan)
            else _scan_beneath(layer, viewer, must=True)
        )
    elif not lies_on(layer, owner):
        raise GeometryError(
            f"“{layer.name}” {shape} does not lie on the scan “{owner.stem}” {_shown_shape(owner)} as it is shown.",
            "Make a new labels layer while the scan's layer is selected.",
        )
    labels = labels_of(layer)
    data = as_labels(_solid(_pixels(layer), 3), f"“{layer.name}”")
    if owner is not None:
        # By the exact grid of the scan, not by the layer's scale and translate: the viewer shows an oblique scan
        # straightened.
        return Mask(display_axes(owner).to_storage(data), owner.grid, labels, owner.header)
    return Mask(_stored(data, layer.ndim), _own_grid(layer), labels)


def mask_as_it_is(layer: Labels, scan: Scan) -> Callable[[], Mask]:
    """The mask in a labels layer of ours as it is now, whatever is painted after this returns.

    Parameters
    ----------
    layer
        2-D or 3-D labels.
    scan
        The scan that it lies on.

    Returns
    -------
    callable
        Gives the `Mask`, in any thread: only the pixels are copied here.

    Raises
    ------
    GeometryError
        The layer does not lie on ``scan``.
    """
    if not lies_on(layer, scan):
        raise GeometryError(
            f"“{layer.name}” {_shape3(layer)} does not lie on its scan “{scan.stem}” {_shown_shape(scan)} any more.",
            "Put the layer back where it was: undo its changes of scale, translation or shape.",
        )
    # Copied here, in the window's thread: the brush goes on while another thread writes the mask.
    labels, pixels, name = labels_of(layer), np.array(_solid(_pixels(layer), 3)), layer.name
    return lambda: Mask(display_axes(scan).to_storage(as_labels(pixels, f"“{name}”")), scan.grid, labels, scan.header)


def lies_on(layer: Any, scan: Scan) -> bool:
    """Whether an image or labels layer has the shape and the place in which ``scan`` is shown."""
    if not 2 <= layer.ndim <= 3 or _shape3(layer) != _shown_shape(scan):
        return False
    shown = display_to_world(scan)
    own = layer_matrix(layer)
    if layer.ndim == 2:  # a picture's layer has no S axis: compare rows and columns only
        shown, own = shown[1:, 1:], own[1:, 1:]
    # At the corners, in mm: a tiny difference in a step or an angle only shows at the far end of the scan.
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in _shape3(layer)[3 - layer.ndim :]], indexing="ij"))
    corners = corners.reshape(layer.ndim, -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])
    return bool(np.abs((own - shown) @ corners).max() <= _ATOL)


def open_scans(viewer: ViewerModel) -> Iterator[tuple[Any, Carrier]]:
    """The layers of ``viewer`` that are scans of ours, with their carriers."""
    for layer in viewer.layers:
        carrier = carrier_of(layer)
        if carrier is not None and carrier.role == "scan":
            yield layer, carrier


def _own_scan(layer: Any, carrier: Carrier) -> Scan:
    shown = display_axes(carrier.scan).to_view(carrier.scan.data)
    if carrier.role == "scan":
        # The same memory is the same `Scan`, though the layer may hold another view of it: much is asked by identity.
        same = ("data", "strides", "shape", "typestr")
        ours, theirs = shown.__array_interface__, getattr(_pixels(layer), "__array_interface__", {})
        if all(ours[key] == theirs.get(key) for key in same):
            return carrier.scan
        return replace(carrier.scan, data=_stored_on(layer, carrier.scan))
    return _over(layer, carrier.scan)


def _over(layer: Any, scan: Scan) -> Scan:
    """The pixels of ``layer`` on the grid of ``scan``, under the layer's own name."""
    data, notice = _stored_on(layer, scan), f"It lies on the grid of “{scan.stem}”."
    notices = (notice, *mask_notice(data, layer.name))
    return replace(scan, data=data, stem=_file_name(layer.name), notices=notices)


def _stored_on(layer: Any, scan: Scan) -> Array:
    data = _solid(_pixels(layer), 3)
    return display_axes(scan).to_storage(data.astype(np.uint8) if data.dtype == bool else data)


def _scan_beneath(layer: Any, viewer: ViewerModel | None, must: bool) -> Scan | None:
    """The one scan that a layer which is not ours lies on.

    None when there is none and the layer's own place in the world can be taken as its place in mm; with ``must`` an
    oblique scan beside it, whose place in the world is not its place in mm, is an error then.
    """
    scans = list(open_scans(viewer)) if viewer is not None else []
    fitting = [(image.name, c.scan) for image, c in scans if lies_on(layer, c.scan)]
    if not fitting:
        if must and any(c.scan.source is not None and obliquity(c.scan.grid) > _OBLIQUE for _, c in scans):
            raise GeometryError(
                f"“{layer.name}” lies on none of the open scans, one of which is oblique: its place is not known.",
                "Make a new labels layer while the scan's layer is selected.",
            )
        return None
    named = [scan for name, scan in fitting if layer.name == f"{name} - Labels"]  # what napari's button writes
    for candidates in (named, [scan for _, scan in fitting]):
        if candidates and all(_exactly(candidates[0].grid, scan.grid) for scan in candidates):
            return candidates[0]
    raise GeometryError(
        f"“{layer.name}” lies on several open scans with different grids: {', '.join(name for name, _ in fitting)}.",
        "Close all but the one that it belongs to, and save again.",
    )


def _exactly(one: Grid, other: Grid) -> bool:
    return one.shape == other.shape and np.array_equal(one.affine, other.affine)


def _check_kind(layer: Any) -> None:
    if getattr(layer, "_type_string", "") != "image":
        raise InputError(f"“{layer.name}” is not an image layer.", "Choose the layer of the scan.")
    if layer.rgb:
        raise InputError(f"“{layer.name}” is a colour image.", "Convert it to grey first.")


def _foreign_scan(layer: Any, moved: bool) -> Scan:
    shape, grid = _shape3(layer), _own_grid(layer)
    data = _stored(_solid(_pixels(layer), 3), layer.ndim)
    measured = has_length(layer.units)
    notices = ["Axes are read as the viewer shows them: up, to posterior, to the patient's left."]
    if not measured:
        notices.append("The layer has no unit of length: its scale is read as mm.")
    if moved:
        notices.append("The layer was moved or resized in the viewer: its place there is used, not its file's.")
    if layer.multiscale:
        notices.append(f"Of several resolutions the finest is read: {' × '.join(map(str, shape))} voxels.")
    notices += mask_notice(data, layer.name)
    return Scan(
        data=data.astype(np.uint8) if data.dtype == bool else data,
        grid=grid,
        stem=_file_name(layer.name),
        orientation_known=measured and layer.ndim == 3,
        size_known=measured,
        is_picture=layer.ndim == 2,
        notices=tuple(notices),
    )


def _own_grid(layer: Any) -> Grid:
    """The grid of a layer's own data in storage order: (rows, columns, 1) for 2-D."""
    matrix: Matrix = layer_matrix(layer)
    depth, rows, columns = _shape3(layer)
    if layer.ndim == 2:
        return grid_of(matrix[:, [1, 2, 0, 3]], (rows, columns, 1))
    return grid_of(matrix, (depth, rows, columns))


def _stored(data: Array, ndim: int) -> Array:
    return data.transpose(1, 2, 0) if ndim == 2 else data


def _pixels(layer: Any) -> Any:
    """The layer's array, its finest resolution; not yet loaded."""
    return layer.data[0] if layer.multiscale else layer.data


def _shape3(layer: Any) -> tuple[int, int, int]:
    shape = tuple(int(n) for n in _pixels(layer).shape)
    if not 2 <= len(shape) <= 3 or 0 in shape:
        raise InputError(
            f"“{layer.name}” has the shape {shape}; two or three axes are needed.",
            "Choose one frame or channel: right click on the layer, “Split Stack”.",
        )
    depth, rows, columns = (1,) * (3 - len(shape)) + shape
    return depth, rows, columns


def _shown_shape(scan: Scan) -> tuple[int, int, int]:
    depth, rows, columns = (scan.grid.shape[a] for a in display_axes(scan).order)
    return depth, rows, columns


def _solid(array: Any, ndim: int) -> Array:
    """In memory (dask, zarr and the like are loaded), with ``ndim`` axes; the memory budget is asked first."""
    if not isinstance(array, np.ndarray):
        size = int(np.prod([int(n) for n in array.shape])) * np.dtype(array.dtype).itemsize
        # Before anything is loaded: the array may be larger than the memory.
        check_budget(size, "The layer")
    solid = np.asarray(array)
    return solid.reshape((1,) * (ndim - solid.ndim) + solid.shape)


def _file_name(name: str) -> str:
    """A layer's name as the stem of a file: letters, digits, ``-_.`` and spaces, at most 100 characters."""
    plain = "".join(c if c.isalnum() or c in "-_. " else "_" for c in name).strip(" .")
    return plain[:100] or "layer"
