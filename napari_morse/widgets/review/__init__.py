"""The Review tab: the walk along doubtful patches, measures, a ground truth."""

from napari_morse.widgets.review.measure_box import MeasureBox
from napari_morse.widgets.review.tab import ReviewTab
from napari_morse.widgets.review.truth_box import TruthBox
from napari_morse.widgets.review.walker import Walker

__all__ = ["MeasureBox", "ReviewTab", "TruthBox", "Walker"]
