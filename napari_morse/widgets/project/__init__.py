"""A project of many cases: worklist, decisions, second readers, background prediction."""

from napari_morse.widgets.project.case_bar import CaseBar
from napari_morse.widgets.project.dialogs import ask_unfinished
from napari_morse.widgets.project.predict_ahead import BackgroundPredictor
from napari_morse.widgets.project.worklist import Worklist

__all__ = ["BackgroundPredictor", "CaseBar", "Worklist", "ask_unfinished"]
