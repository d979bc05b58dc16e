"""The Segment tab: scan, region, model, run, result."""

from napari_morse.widgets.segment.patches import PatchTable, PatchView
from napari_morse.widgets.segment.tab import SegmentTab

__all__ = ["PatchTable", "PatchView", "SegmentTab"]
