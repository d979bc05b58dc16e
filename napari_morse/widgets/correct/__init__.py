"""The Correct tab: painting, sharpening, live wire, tools."""

from napari_morse.widgets.correct.brush_line import BrushLine
from napari_morse.widgets.correct.live_wire import LiveWire
from napari_morse.widgets.correct.sharpener import Sharpener
from napari_morse.widgets.correct.tab import CorrectTab
from napari_morse.widgets.correct.tools_box import ToolsBox

__all__ = ["BrushLine", "CorrectTab", "LiveWire", "Sharpener", "ToolsBox"]
