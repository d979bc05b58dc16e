"""Writers: a labels or an image layer as NIfTI, exactly on its scan's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_morse.io import save_image, save_mask

Attributes = Mapping[str, Any]


def write_labels(path: str, data: Any, attributes: Attributes) -> list[str]:
    """Save a labels layer, also one made by hand over a scan.

    Parameters
    ----------
    path
        Ends in ``.nii.gz`` or ``.nii``; without an ending it becomes ``.nii.gz``.
    data, attributes
        The layer's, as napari gives them.

    Returns
    -------
    list of str
        The file written.

    Raises
    ------
    MorseError
        The layer's place is not known, it holds negative ids, or the file cannot be written; the old file then stays.
    """
    from napari_morse.widgets.layers import mask_of
    from napari_morse.widgets.layers_host import current_viewer, layer_again

    mask = mask_of(layer_again(data, attributes, "labels"), current_viewer())
    return [str(save_mask(mask, _complete(path)))]


def write_image(path: str, data: Any, attributes: Attributes) -> list[str]:
    """Save an image layer, as `write_labels` does a labels layer; floats become float32, integers stay as they are."""
    from napari_morse.widgets.layers import scan_of
    from napari_morse.widgets.layers_host import current_viewer, layer_again

    scan = scan_of(layer_again(data, attributes, "image"), current_viewer())
    return [str(save_image(scan.data, scan.grid, _complete(path), header=scan.header))]


def _complete(path: str) -> Path:
    given = Path(path)
    return given if given.suffix else given.with_name(f"{given.name}.nii.gz")
