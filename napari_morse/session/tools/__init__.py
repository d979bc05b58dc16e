"""Tools that change a mask, as plain functions: what would be another label, and where. No Qt."""

from napari_morse.session.tools.clean import fill_holes, grow, remove_islands
from napari_morse.session.tools.interpolate import interpolate, slices_with
from napari_morse.session.tools.tool_change import ToolChange, changed

__all__ = ["ToolChange", "changed", "fill_holes", "grow", "interpolate", "remove_islands", "slices_with"]
