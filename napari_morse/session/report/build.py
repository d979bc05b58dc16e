"""A project's report: measured once, written as HTML, JSON and CSV."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from pathlib import Path

from napari_morse.errors import InputError
from napari_morse.io.atomic import write_text
from napari_morse.session.project import Project
from napari_morse.session.report.figures import CaseFigures, Report, measure
from napari_morse.session.report.page import page
from napari_morse.session.report.tables import REPORT_FORMAT, as_json, audit_csv, cases_csv, measures_csv, scores_csv


def build(project: Project, measured: Callable[[CaseFigures], None] | None = None) -> Report:
    """Measure every case; ``measured`` is called with each as it is done."""
    figures = []
    for case in project.cases():
        figures.append(measure(project, case))
        if measured is not None:
            measured(figures[-1])
    when = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return Report(project.about, when, project.counts(), tuple(figures), tuple(project.audit()), project.verify())


def write(report: Report, folder: Path | str) -> list[Path]:
    """Write ``report.html``, ``report.json``, ``cases.csv``, ``scores.csv`` and ``audit.csv``; returns their paths.

    Where something was measured on a case there is a ``measures.csv`` too.

    Raises
    ------
    InputError
        The folder can't be made or written to, or holds files of these names that are no report on this project.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {target} could not be made: {error.strerror}.", "Choose another.") from error
    texts = {
        "report.html": page(report),
        "report.json": json.dumps(as_json(report), indent=1, ensure_ascii=False) + "\n",
        "cases.csv": cases_csv(report.figures),
        "scores.csv": scores_csv(report.figures),
        "audit.csv": audit_csv(report.audit),
    }
    if any(f.measures for f in report.figures):
        texts["measures.csv"] = measures_csv(report.figures)
    _check_free(target, tuple(texts), report.about.id)
    return [write_text(target / name, text) for name, text in texts.items()]


def _check_free(folder: Path, names: tuple[str, ...], project: str) -> None:
    """Raise where files are in the way that no report on this project wrote."""
    # Not `exists`, which is false for a link that leads nowhere: writing would follow it.
    existing = [name for name in names if os.path.lexists(folder / name)]
    links = [name for name in existing if (folder / name).is_symlink()]
    if links or (existing and _project_of(folder / "report.json") != project):
        raise InputError(
            f"“{(links or existing)[0]}” in {folder} is there already, and no report on this project.",
            "Choose another folder.",
        )


def _project_of(path: Path) -> str | None:
    """Id of the project that a report is on; None where it is no report."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return str(report["project"]["id"]) if report["format"] == REPORT_FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
