"""Reader for NIfTI files (.nii, .nii.gz)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_morse.errors import InputError, MorseError, SeriesError
from napari_morse.io import as_labels, open_scan
from napari_morse.types import Array, Mask, Scan

LayerData = tuple[Any, dict[str, Any], str]
Paths = str | Sequence[str]

_ENDINGS = (".nii", ".nii.gz")
_MASK_NAME = re.compile(r"(^|[-_. ])(coarse|rendered|labels?|d?seg|segmentation|mask)$", re.IGNORECASE)
_INTENT_LABEL = 1002
"""NIFTI_INTENT_LABEL in the header: the file says itself that it holds labels."""
_FEW = 256
"""Largest number of ids that a mask is believed to have."""


def get_reader(path: Paths) -> Callable[..., list[LayerData | tuple[None]]] | None:
    """`read` when every path ends in ``.nii`` or ``.nii.gz``, else None."""
    paths = _listed(path)
    return read if paths and all(p.lower().endswith(_ENDINGS) for p in paths) else None


def read(path: Paths, **_: Any) -> list[LayerData | tuple[None]]:
    """Open each file as one layer, upright and in mm: a labels layer if it `looks_like_mask`, else an image.

    Nothing is added when a file cannot be opened: the reason is shown in napari's window and the other files are
    still opened. Of a series the person is asked for the frame.

    Raises
    ------
    MorseError
        A file cannot be opened, and no window is there to say so.
    """
    from napari_morse.widgets.bridge.viewer import offer_nifti_first, show_in_window

    offer_nifti_first()
    layers: list[LayerData | tuple[None]] = []
    for one in _listed(path):
        try:
            scan = _open(one)
            if scan is not None:
                layers.append(layer_data(scan))
        except MorseError as error:
            if not show_in_window(error):
                raise
    # napari's sign for a file that was read and gives no layer; an empty list would be an error of its own.
    return layers or [(None,)]


def _open(path: str) -> Scan | None:
    """The scan in a file; the person is asked for the frame of a series, None when no frame is wanted."""
    from napari_morse.widgets.bridge.viewer import ask_frame, current_viewer

    try:
        return open_scan(path)
    except SeriesError as error:
        if current_viewer() is None:
            raise
        frame = ask_frame(Path(path).name, error.frames)
    return None if frame is None else open_scan(path, frame=frame)


def layer_data(scan: Scan) -> LayerData:
    """The layer that shows ``scan``: labels if it `looks_like_mask` and the settings let it, else an image."""
    from napari_morse.widgets.bridge import mask_layer_data, scan_layer_data
    from napari_morse.widgets.bridge.viewer import masks_as_labels

    labels = looks_like_mask(scan) if masks_as_labels() else None
    if labels is None:
        return scan_layer_data(scan)
    return mask_layer_data(Mask(labels, scan.grid, header=scan.header), scan, scan.stem)


def looks_like_mask(scan: Scan) -> Array | None:
    """The label ids of a file that is a mask, or None.

    A mask says so, by the header's intent (label) or by the end of its name (coarse, rendered, label, labels, seg,
    dseg, segmentation, mask, after the start or one of ``-_. ``), and holds whole numbers from 0, at most 256
    different ones.
    """
    intent = 0 if scan.header is None else int(scan.header["intent_code"])
    if intent != _INTENT_LABEL and not _MASK_NAME.search(scan.stem):
        return None
    try:
        labels = as_labels(scan.data)
    except InputError:
        return None
    return labels if len(np.unique(labels)) <= _FEW else None


def _listed(path: Paths) -> list[str]:
    return [str(path)] if isinstance(path, str | Path) else [str(p) for p in path]
