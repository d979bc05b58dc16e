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
from napari_morse.session.project.scan_paths import ScanChangedError, ScanMissingError
from napari_morse.session.project.second_readers import agreement
from napari_morse.session.project.twins import read_scans

__all__ = [
    "DONE_STATUSES",
    "IDLE",
    "MOVES",
    "STATUSES",
    "STATUS_WORDS",
    "Agreement",
    "Case",
    "CaseFiles",
    "PredictionRecord",
    "Project",
    "ProjectLockedError",
    "ScanChangedError",
    "ScanMissingError",
    "SecondReading",
    "Status",
    "TruthFrom",
    "WorkClock",
    "agreement",
    "check_new",
    "from_bids",
    "from_folders",
    "from_list",
    "read_scans",
    "with_patients",
]
