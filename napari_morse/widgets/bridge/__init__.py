"""Scans, masks, points and regions ⇄ napari layers.

Every layer of ours carries, in ``metadata["napari_morse"]``, a `Carrier` with the `Scan` whose grid it lies on: what
the viewer shows is straightened for display, what is saved is exact.
"""

from napari_morse.widgets.bridge.from_layers import lies_on, mask_as_it_is, mask_of, open_scans, scan_of
from napari_morse.widgets.bridge.placement import (
    AXIS_LABELS,
    display_axes,
    display_to_world,
    has_length,
    layer_matrix,
    placement,
    units_of,
    world_matrix,
)
from napari_morse.widgets.bridge.regions import roi_from_shapes, roi_shape_data
from napari_morse.widgets.bridge.to_layers import (
    KEY,
    PALETTE,
    Carrier,
    Colouring,
    LayerData,
    Role,
    carrier_of,
    colour_points,
    colours,
    contrast_limits,
    mask_layer_data,
    patch_attributes,
    points_layer_data,
    scan_layer_data,
    uncertainty_layer_data,
)

__all__ = [
    "AXIS_LABELS",
    "KEY",
    "PALETTE",
    "Carrier",
    "Colouring",
    "LayerData",
    "Role",
    "carrier_of",
    "colour_points",
    "colours",
    "contrast_limits",
    "display_axes",
    "display_to_world",
    "has_length",
    "layer_matrix",
    "lies_on",
    "mask_as_it_is",
    "mask_layer_data",
    "mask_of",
    "open_scans",
    "patch_attributes",
    "placement",
    "points_layer_data",
    "roi_from_shapes",
    "roi_shape_data",
    "scan_layer_data",
    "scan_of",
    "uncertainty_layer_data",
    "units_of",
    "world_matrix",
]
