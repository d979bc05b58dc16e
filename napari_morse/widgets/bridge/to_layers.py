"""Scans, masks and points as napari layers, each with the `Scan` that it lies on in its metadata."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_morse.types import Array, Label, Mask, Prediction, Scan
from napari_morse.widgets.bridge.placement import display_axes, placement

if TYPE_CHECKING:
    from napari.layers import Points

KEY = "napari_morse"
"""Where the `Carrier` lies in a layer's metadata."""
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
"""Colour-blind-safe (Okabe and Ito), for structures without a colour of their own."""
MARK = "#ff00ff"
"""Colour of the patch that is looked at: in no scan, and in no palette of masks."""
UNNAMED = "#bbbbbb"
"""Colour of ids that are in no list of structures: visible, so that a stroke with a new id is seen."""
CONTRAST = (0.5, 99.5)
"""Percentiles of the finite voxels between which grey levels spread: single bright vessels do not darken the rest."""
SAMPLED = 500_000
"""Voxels read for the percentiles: exact to well under a grey level, and quick on large scans."""

WEIGHT = "weight: "
"""Before an expert's name: the feature of a point that holds how much the expert had to say."""

LayerData = tuple[Any, dict[str, Any], str]
Role = Literal["scan", "mask", "coarse", "rendered", "corrected", "uncertainty", "points", "patches", "roi", "tool"]
Colouring = Literal["margin", "expert", "changed"]


@dataclass(frozen=True, eq=False)
class Carrier:
    """What a layer of ours remembers: the scan it lies on, what it is, and the names of its labels."""

    scan: Scan
    role: Role
    labels: tuple[Label, ...] = ()


def carrier_of(layer: Any) -> Carrier | None:
    """The `Carrier` of a layer, or None for a layer that is not ours.

    napari's *Convert to Labels* keeps what an image remembers: such a layer is a mask on the image's scan.
    """
    carrier = layer.metadata.get(KEY)
    if not isinstance(carrier, Carrier):
        return None
    converted = carrier.role == "scan" and getattr(layer, "_type_string", "") == "labels"
    return replace(carrier, role="mask") if converted else carrier


def role_of(layer: Any) -> Role | Literal[""]:
    """What a layer of ours is; empty for one that is not ours."""
    carrier = carrier_of(layer)
    return "" if carrier is None else carrier.role


def labels_of(layer: Any) -> tuple[Label, ...]:
    """The structures that a layer of ours knows by name; of one that is not ours, none."""
    carrier = carrier_of(layer)
    return () if carrier is None else carrier.labels


def is_of(layer: Any, scan: Scan, *roles: Role) -> bool:
    """Whether a layer of ours was made on this very scan, and is one of ``roles``; any, where none is named."""
    carrier = carrier_of(layer)
    return carrier is not None and carrier.scan is scan and (not roles or carrier.role in roles)


def scan_layer_data(scan: Scan) -> LayerData:
    """An image layer: display order, mm, grey, contrast from robust percentiles of the finite voxels."""
    attributes = _attributes(scan, scan.stem, Carrier(scan, "scan"))
    # rgb is said: napari takes a last axis of three or four voxels for colours. Limits too, or it looks for them
    # itself.
    attributes |= {"contrast_limits": contrast_limits(scan.data), "colormap": "gray", "rgb": False}
    return display_axes(scan).to_view(scan.data), attributes, "image"


def mask_layer_data(mask: Mask, scan: Scan, name: str, *, role: Role = "mask", visible: bool = True) -> LayerData:
    """A labels layer: a writable copy in display order, coloured and named by ``mask.labels``.

    Parameters
    ----------
    mask
        On the grid of ``scan``.
    scan
        The scan that the mask was made on.
    name
        Name of the layer.
    role
        What the layer is, kept in its `Carrier`.
    visible
        Whether it is shown.
    """
    _same_grid(mask, scan)
    # A copy: what a person paints on a model's mask must not change the prediction, which is compared and kept.
    data = np.array(display_axes(scan).to_view(mask.data), order="C")
    labels = mask.labels or _unnamed(data)
    attributes = _attributes(scan, name, Carrier(scan, role, mask.labels)) | {
        "colormap": colours(labels),
        "features": {"index": [0, *(x.id for x in labels)], "structure": ["background", *(x.name for x in labels)]},
        "visible": visible,
    }
    return data, attributes, "labels"


def uncertainty_layer_data(prediction: Prediction, scan: Scan, name: str = "uncertainty") -> LayerData:
    """An image layer of the uncertainty, 0 to 1, hidden until it is asked for."""
    _same_grid(prediction.rendered, scan)
    attributes = _attributes(scan, name, Carrier(scan, "uncertainty", prediction.rendered.labels)) | {
        "contrast_limits": (0.0, 1.0),
        "colormap": "inferno",
        "blending": "additive",
        "opacity": 0.7,
        "rgb": False,
        "visible": False,
    }
    return display_axes(scan).to_view(prediction.uncertainty), attributes, "image"


def points_layer_data(prediction: Prediction, scan: Scan, name: str = "boundary points") -> LayerData:
    """A points layer of the re-predicted voxels, each on its voxel's centre, coloured by margin.

    ``features`` has a row a point: ``margin``, ``expert`` (the one with the largest weight), ``changed`` (yes or no),
    ``before`` and ``after`` (names of structures), and ``weight: <expert>`` for each expert.
    """
    _same_grid(prediction.rendered, scan)
    points = prediction.points
    features = _features(prediction)
    attributes = _attributes(scan, name, Carrier(scan, "points", prediction.rendered.labels)) | {
        "features": features,
        "size": 0.6,
        "border_width": 0.0,
        "symbol": "disc",
        "opacity": 0.9,
    }
    if len(points):
        attributes |= _margin_colours(features["margin"])
    return display_axes(scan).index_to_view(points.voxel).astype(float).reshape(-1, 3), attributes, "points"


def patch_attributes(scan: Scan) -> dict[str, Any]:
    """How the voxels of one doubtful patch are shown: a points layer of squares, one a voxel, that hide no pixel."""
    return _attributes(scan, f"doubtful patch · {scan.stem}", Carrier(scan, "patches")) | {
        "size": 1.0,
        "symbol": "square",
        "face_color": "transparent",
        "border_color": MARK,
        "border_width": 0.12,
    }


def colour_points(layer: Points, by: Colouring) -> None:
    """Colour the points of `points_layer_data` by margin, by dominant expert, or by whether rendering changed them."""
    if not len(layer.data):
        return
    if by == "margin":
        chosen = _margin_colours(np.asarray(layer.features["margin"]))
    else:
        weights = [str(column) for column in layer.features.columns if str(column).startswith(WEIGHT)]
        values = ["no", "yes"] if by == "changed" else [column.removeprefix(WEIGHT) for column in weights]
        cycle = {value: PALETTE[i % len(PALETTE)] for i, value in enumerate(values)}
        chosen = {"face_color_cycle": cycle, "face_color": by}
    layer.face_color_mode = "direct"  # from a continuous colouring straight to names, the viewer reads names as numbers
    for attribute, value in chosen.items():
        setattr(layer, attribute, value)


def contrast_limits(data: Array) -> tuple[float, float]:
    """Grey levels shown as black and as white: `CONTRAST` percentiles of the finite voxels, always increasing."""
    step = max(1, data.size // SAMPLED)
    # Order “A” and a stride: a scan in Fortran order, as NIfTI stores it, would be copied whole by any other order.
    sample = data.reshape(-1, order="A")[::step].astype(np.float64)
    finite = sample[np.isfinite(sample)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, CONTRAST))
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + max(1.0, abs(low) * 1e-3))


def colours(labels: tuple[Label, ...]) -> Any:
    """A direct colormap of napari for ``labels``; the background is clear, other ids are `UNNAMED`."""
    from napari.utils.colormaps import DirectLabelColormap

    table: dict[int | None, str] = {None: UNNAMED, 0: "transparent"}
    return DirectLabelColormap(color_dict=table | {label.id: label.color for label in labels})


def _attributes(scan: Scan, name: str, carrier: Carrier) -> dict[str, Any]:
    return {"name": name, "metadata": {KEY: carrier}} | placement(scan)


def _unnamed(data: Array) -> tuple[Label, ...]:
    ids = [int(i) for i in np.unique(data) if i]
    return tuple(Label(i, f"label {i}", PALETTE[(i - 1) % len(PALETTE)]) for i in ids)


def _same_grid(mask: Mask, scan: Scan) -> None:
    from napari_morse.errors import GeometryError

    if not mask.grid.same_as(scan.grid):
        raise GeometryError(
            f"The mask (shape {mask.grid.shape}) does not lie on the grid of the scan (shape {scan.grid.shape}).",
            "Open the scan that the mask was made on.",
        )


def _features(prediction: Prediction) -> dict[str, Any]:
    points = prediction.points
    names = {0: "background"} | {label.id: label.name for label in prediction.rendered.labels}
    # The shape is given in full: with no points at all, NumPy cannot tell what -1 stands for.
    weights = points.expert_weights.reshape(len(points), len(points.experts))
    dominant = weights.argmax(axis=1) if weights.size else np.zeros(len(points), dtype=np.int64)

    def named(ids: Array) -> Array:
        return np.array([names.get(int(i), f"label {i}") for i in ids], dtype=object)

    return {
        "margin": points.margin,
        "expert": np.array([points.experts[int(s)] for s in dominant], dtype=object),
        "changed": np.where(points.changed, "yes", "no").astype(object),
        "before": named(points.before),
        "after": named(points.after),
    } | {f"{WEIGHT}{expert}": weights[:, s] for s, expert in enumerate(points.experts)}


def _margin_colours(margin: Array) -> dict[str, Any]:
    finite = margin[np.isfinite(margin)]
    top = float(np.percentile(finite, 95)) if finite.size else 1.0
    return {"face_colormap": "viridis", "face_contrast_limits": (0.0, max(top, 1e-6)), "face_color": "margin"}
