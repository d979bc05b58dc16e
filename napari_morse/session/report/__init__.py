"""What a project comes to: a report as HTML, JSON and CSV, and its final masks as files. No Qt, no torch."""

from napari_morse.session.report.build import build, write
from napari_morse.session.report.export import Exported, export_masks
from napari_morse.session.report.figures import CaseFigures, Report

__all__ = ["CaseFigures", "Exported", "Report", "build", "export_masks", "write"]
