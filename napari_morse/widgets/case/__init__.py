"""What is worked on: a case of a project or a scan of its own, its corrected mask, and writing it down."""

from napari_morse.widgets.case.active_case import UNCHANGED, ActiveCase
from napari_morse.widgets.case.corrected_layer import CorrectedLayer, Rest
from napari_morse.widgets.case.decisions import agreed
from napari_morse.widgets.case.layers import CaseInView
from napari_morse.widgets.case.passing import Passing
from napari_morse.widgets.case.project_case import ProjectHost
from napari_morse.widgets.case.save_box import SaveBox
from napari_morse.widgets.case.unwritten_line import UnwrittenLine

__all__ = [
    "UNCHANGED",
    "ActiveCase",
    "CaseInView",
    "CorrectedLayer",
    "Passing",
    "ProjectHost",
    "Rest",
    "SaveBox",
    "UnwrittenLine",
    "agreed",
]
