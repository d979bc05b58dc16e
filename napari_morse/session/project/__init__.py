"""A project of many cases: worklist, audit, hold-out, second readers. No Qt, no torch."""

from napari_morse.io.lock import ProjectLockedError
from napari_morse.session.project.clock import IDLE, WorkClock
from napari_morse.session.project.discover import from_bids, from_folders, from_list, with_patients
from napari_morse.session.project.layout import check_new
from napari_morse.session.project.project import Project
from napari_morse.session.project.records import (
    DONE,
    MOVES,
    STATUSES,
    WORDS,
    Agreement,
    Case,
    PredictionRecord,
    Reading,
    Source,
    Status,
    TruthFrom,
)
from napari_morse.session.project.scan_paths import ScanChangedError, ScanMissingError
from napari_morse.session.project.second_readers import agreement
from napari_morse.session.project.twins import read_scans

__all__ = [
    "DONE",
    "IDLE",
    "MOVES",
    "STATUSES",
    "WORDS",
    "Agreement",
    "Case",
    "PredictionRecord",
    "Project",
    "ProjectLockedError",
    "Reading",
    "ScanChangedError",
    "ScanMissingError",
    "Source",
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
