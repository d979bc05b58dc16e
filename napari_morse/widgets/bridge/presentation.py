"""A prediction ready to be shown: its table and its layers, made beside the window."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_morse.session import Row, result_rows
from napari_morse.types import Points, Prediction, Scan
from napari_morse.widgets.bridge.placement import display_axes
from napari_morse.widgets.bridge.to_layers import LayerData, mask_layer_data, points_layer_data, uncertainty_layer_data

MOST_POINTS = 50_000
"""Points in the viewer, the most doubtful ones: napari takes a second for every half a million. All are saved."""


@dataclass(frozen=True, eq=False)
class Presentation:
    """A prediction ready to be shown.

    Parameters
    ----------
    prediction, scan
        What was predicted of what.
    rows
        The table.
    layers
        Uncertainty, coarse, rendered and points.
    slice
        Display slice with the most voxels of the rendered mask, or None when it is empty.
    """

    prediction: Prediction
    scan: Scan
    rows: tuple[Row, ...]
    layers: tuple[LayerData, ...]
    slice: int | None


def prepare_presentation(prediction: Prediction, scan: Scan) -> Presentation:
    """Everything that can be made ready outside the window's thread; touches no layer."""
    # The points come ranked, the most doubtful first: the first ones are those to be seen.
    shown = replace(prediction, points=_first(prediction.points, MOST_POINTS))
    doubt, attributes, kind = uncertainty_layer_data(prediction, scan, f"uncertainty · {scan.stem}")
    layers = (
        (np.ascontiguousarray(doubt), attributes, kind),
        mask_layer_data(prediction.coarse, scan, f"{scan.stem}_coarse", role="coarse"),
        mask_layer_data(prediction.rendered, scan, f"{scan.stem}_rendered", role="rendered"),
        points_layer_data(shown, scan, f"boundary points · {scan.stem}"),
    )
    area = np.count_nonzero(display_axes(scan).to_view(prediction.rendered.data), axis=(1, 2))
    return Presentation(
        prediction, scan, result_rows(prediction, scan), layers, int(area.argmax()) if area.any() else None
    )


def _first(points: Points, count: int) -> Points:
    if len(points) <= count:
        return points
    part = slice(0, count)
    return replace(
        points,
        voxel=points.voxel[part],
        mm=points.mm[part],
        margin=points.margin[part],
        before=points.before[part],
        after=points.after[part],
        expert_weights=points.expert_weights[part],
    )
