"""A case without a window: its masks, walk, measures, structures, corrections."""

from napari_morse.session.case.completeness import Expected, Lacking, expected_of, lacking, lacking_in
from napari_morse.session.case.measures import Measure, Measures, again, length, now, of_structure, ruler
from napari_morse.session.case.open_case import OpenCase, OpenCaseRequest, ProjectHome, first_mask
from napari_morse.session.case.open_cases import OpenCases
from napari_morse.session.case.prediction_store import keep_prediction, record_of
from napari_morse.session.case.protection import Protection
from napari_morse.session.case.sharpening import Sharpening
from napari_morse.session.case.standalone import HeldHereError, any_kept, open_standalone, was_corrected
from napari_morse.session.case.structures import Structures
from napari_morse.session.case.timeline import Timeline
from napari_morse.session.case.walk import Counter, PatchDecision, Walk, patches_of

__all__ = [
    "Counter",
    "Expected",
    "HeldHereError",
    "Lacking",
    "Measure",
    "Measures",
    "OpenCase",
    "OpenCaseRequest",
    "OpenCases",
    "PatchDecision",
    "ProjectHome",
    "Protection",
    "Sharpening",
    "Structures",
    "Timeline",
    "Walk",
    "again",
    "any_kept",
    "expected_of",
    "first_mask",
    "keep_prediction",
    "lacking",
    "lacking_in",
    "length",
    "now",
    "of_structure",
    "open_standalone",
    "patches_of",
    "record_of",
    "ruler",
    "was_corrected",
]
