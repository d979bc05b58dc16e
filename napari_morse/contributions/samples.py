"""Sample scans in napari's menu, opened with their geometry."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

from napari_morse.io import open_scan

LayerData = tuple[Any, dict[str, Any], str]


def left_hippocampus() -> list[LayerData]:
    """T1 around the left hippocampus, 1 mm."""
    return _sample("colin27_left_hippocampus.nii.gz")


def right_hippocampus() -> list[LayerData]:
    """T1 around the right hippocampus, 1 mm."""
    return _sample("colin27_right_hippocampus.nii.gz")


def whole_head() -> list[LayerData]:
    """T1 of the whole head, 1 mm: for a region of interest."""
    return _sample("colin27_t1.nii.gz")


def coronal_slice() -> list[LayerData]:
    """One coronal slice, a 2-D picture."""
    return _sample("colin27_coronal.png")


def _sample(name: str) -> list[LayerData]:
    from napari_morse.widgets.bridge import scan_layer_data

    with as_file(files("napari_morse") / "sample_data" / name) as path:
        return [scan_layer_data(open_scan(path))]
