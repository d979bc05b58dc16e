"""The Segment tab: scan, region, model, run, result."""

from napari_morse.widgets.segment.patch_table import PatchTable
from napari_morse.widgets.segment.patch_view import PatchView
from napari_morse.widgets.segment.tab import SegmentTab

__all__ = ["PatchTable", "PatchView", "SegmentTab"]
