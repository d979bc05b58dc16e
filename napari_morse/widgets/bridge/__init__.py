"""Scans, masks, points and regions ⇄ napari layers.

Every layer of ours carries, in ``metadata["napari_morse"]``, a `Carrier` with the `Scan` whose grid it lies on: what
the viewer shows is straightened for display, what is saved is exact.
"""

from napari_morse.widgets.bridge.from_layers import lies_on, mask_as_it_is, mask_of, open_scans, scan_of
from napari_morse.widgets.bridge.layer_keys import BorrowedKeys, LayerKeys
from napari_morse.widgets.bridge.mask_looks import (
    COMPARE_MODES,
    CONTOUR_WIDTH,
    LINE_COLOURS,
    LineColours,
    Mode,
    titles,
    wrapped,
)
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
from napari_morse.widgets.bridge.presentation import Presentation, prepare_presentation
from napari_morse.widgets.bridge.regions import roi_from_shapes, roi_shape_data
from napari_morse.widgets.bridge.slice_in_view import (
    PlaneInView,
    go_to,
    plane_in_view,
    slice_at,
    slider_number,
    turn_to,
)
from napari_morse.widgets.bridge.to_layers import (
    KEY,
    MARK,
    PALETTE,
    UNNAMED,
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
from napari_morse.widgets.bridge.viewer import RightContext, offer_nifti_first

__all__ = [
    "AXIS_LABELS",
    "COMPARE_MODES",
    "CONTOUR_WIDTH",
    "KEY",
    "LINE_COLOURS",
    "MARK",
    "PALETTE",
    "UNNAMED",
    "BorrowedKeys",
    "Carrier",
    "Colouring",
    "LayerData",
    "LayerKeys",
    "LineColours",
    "Mode",
    "PlaneInView",
    "Presentation",
    "RightContext",
    "Role",
    "carrier_of",
    "colour_points",
    "colours",
    "contrast_limits",
    "display_axes",
    "display_to_world",
    "go_to",
    "has_length",
    "layer_matrix",
    "lies_on",
    "mask_as_it_is",
    "mask_layer_data",
    "mask_of",
    "offer_nifti_first",
    "open_scans",
    "patch_attributes",
    "placement",
    "plane_in_view",
    "points_layer_data",
    "prepare_presentation",
    "roi_from_shapes",
    "roi_shape_data",
    "scan_layer_data",
    "scan_of",
    "slice_at",
    "slider_number",
    "titles",
    "turn_to",
    "uncertainty_layer_data",
    "units_of",
    "world_matrix",
    "wrapped",
]
