"""A project of many cases: worklist, audit, hold-out, second readers. No Qt, no torch."""

from napari_morse.io.lock import ProjectLockedError
from napari_morse.session.project.clock import IDLE, WorkClock
from napari_morse.session.project.discover import from_bids, from_folders, from_list, with_patients
from napari_morse.session.project.layout import check_new
from napari_morse.session.project.project import Project
from napari_morse.session.project.records import (
    DONE_STATUSES,
    MOVES,
    STATUS_WORDS,
    STATUSES,
    Agreement,
    Case,
    CaseFiles,
    PredictionRecord,
    SecondReading,
    Status,
    TruthFrom,
)
from napari_morse.session.project.rows import Arrangement, Order
from napari_morse.session.project.rules import (
    FINAL,
    Consequence,
    after_look,
    begins_anew_with_run,
    decision_of,
    hides_model_output,
    is_decided,
    predicted_ahead,
)
from napari_morse.session.project.scan_paths import ScanChangedError, ScanMissingError
from napari_morse.session.project.second_readers import agreement
from napari_morse.session.project.twins import read_scans

__all__ = [
    "DONE_STATUSES",
    "FINAL",
    "IDLE",
    "MOVES",
    "STATUSES",
    "STATUS_WORDS",
    "Agreement",
    "Arrangement",
    "Case",
    "CaseFiles",
    "Consequence",
    "Order",
    "PredictionRecord",
    "Project",
    "ProjectLockedError",
    "ScanChangedError",
    "ScanMissingError",
    "SecondReading",
    "Status",
    "TruthFrom",
    "WorkClock",
    "after_look",
    "agreement",
    "begins_anew_with_run",
    "check_new",
    "decision_of",
    "from_bids",
    "from_folders",
    "from_list",
    "hides_model_output",
    "is_decided",
    "predicted_ahead",
    "read_scans",
    "with_patients",
]
