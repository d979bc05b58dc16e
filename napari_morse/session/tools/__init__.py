"""Tools that change a mask, as plain functions: what would be another label, and where. No Qt."""

from napari_morse.session.tools.clean import fill_holes, grow, remove_islands
from napari_morse.session.tools.interpolation import interpolate, slices_with
from napari_morse.session.tools.livewire import Contour, Path, Pixel, edge_cost
from napari_morse.session.tools.tool_change import ToolChange, changed

__all__ = [
    "Contour",
    "Path",
    "Pixel",
    "ToolChange",
    "changed",
    "edge_cost",
    "fill_holes",
    "grow",
    "interpolate",
    "remove_islands",
    "slices_with",
]
