"""Writers: a labels or an image layer as NIfTI, exactly on its scan's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_morse.io import save_image, save_mask
from napari_morse.io.guards import keep_original

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

    layer, target = layer_again(data, attributes, "labels"), _complete(path)
    mask = mask_of(layer, current_viewer())
    _keep_originals(target, layer)
    return [str(save_mask(mask, target))]


def write_image(path: str, data: Any, attributes: Attributes) -> list[str]:
    """Save an image layer, as `write_labels` does a labels layer; floats become float32, integers stay as they are."""
    from napari_morse.widgets.layers import scan_of
    from napari_morse.widgets.layers_host import current_viewer, layer_again

    layer, target = layer_again(data, attributes, "image"), _complete(path)
    scan = scan_of(layer, current_viewer())
    _keep_originals(target, layer)
    return [str(save_image(scan.data, scan.grid, target, header=scan.header))]


def _keep_originals(target: Path, layer: Any) -> None:
    """Refuse to write over the file of a scan that is open, or that the layer was made on."""
    from napari_morse.widgets.layers_host import scan_files

    for original in scan_files(layer):
        keep_original(target, original)


def _complete(path: str) -> Path:
    given = Path(path)
    return given if given.suffix else given.with_name(f"{given.name}.nii.gz")
