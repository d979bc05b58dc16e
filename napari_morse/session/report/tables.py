"""A report as JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from napari_morse.metrics import ClassSummary, summarise
from napari_morse.session.case.masks import MASK_KINDS, MaskKind
from napari_morse.session.project.audit import AuditEntry
from napari_morse.session.report.figures import NSD_TOLERANCE, CaseFigures, Report

REPORT_FORMAT = "napari-morse-report"
NOTE = "Not a medical device: for research."
_RISKY = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet may take for a formula at the start of a text."""


def cell(value: object) -> str:
    """A value for a CSV; a text that a spreadsheet would run as a formula begins with an apostrophe."""
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_RISKY) else text


def summaries(figures: Iterable[CaseFigures]) -> dict[MaskKind, list[ClassSummary]]:
    """Means by stage and label over the cases with a truth, with the counts of found and missed."""
    measured = list(figures)
    scored = {stage: [f.scores[stage] for f in measured if stage in f.scores] for stage in MASK_KINDS}
    return {stage: summarise(rows) for stage, rows in scored.items() if rows}


def as_json(report: Report) -> dict[str, Any]:
    """All of a report but its pictures."""
    return {
        "format": REPORT_FORMAT,
        "format_version": 1,
        "note": NOTE,
        "made": report.made,
        "project": {
            "id": report.about.id, "name": report.about.name, "created": report.about.created,
            "held_out_share": report.about.holdout,
        },
        "counts": report.counts,
        "tolerance_mm": NSD_TOLERANCE,
        "summary": {stage: [asdict(row) for row in rows] for stage, rows in summaries(report.figures).items()},
        "cases": [_case(f) for f in report.figures],
        "audit": {"trouble": report.verified, "rows": [_entry(entry) for entry in report.audit]},
    }  # fmt: skip


def _entry(entry: AuditEntry) -> dict[str, Any]:
    return {**asdict(entry), "details": dict(entry.details)}


def _case(f: CaseFigures) -> dict[str, Any]:
    case = asdict(f.case)
    hidden = {"scan", "mask", "truth"}
    return {
        **{name: value for name, value in case.items() if name not in hidden},
        "minutes": f.case.seconds / 60,
        "sizes_ml": {stage: {str(label): ml for label, ml in sizes.items()} for stage, sizes in f.sizes.items()},
        "scores": {stage: [asdict(row) for row in rows] for stage, rows in f.scores.items()},
        "change": None if f.change is None else asdict(f.change),
        "readings": [asdict(reading) for reading in f.readings],
        "trouble": f.trouble,
        "measures": [m.model_dump(mode="json") for m in f.measures],
        "measured_now": dict(f.measured_now),
    }


def cases_csv(figures: Sequence[CaseFigures]) -> str:
    """One row a case."""
    columns = (
        "case", "name", "patient", "status", "reviewer", "comment", "minutes", "held_out", "truth_from", "model",
        "model_digest", "doubt_mm", "disagreement_mm3", "before_ml", "final_ml", "changed_ml", "changed_dice",
        "changed_asd_mm", "changed_hd95_mm", "trouble",
    )  # fmt: skip
    return _csv(columns, (_case_row(f) for f in figures))


def _case_row(f: CaseFigures) -> list[object]:
    c, totals = f.case, [sum(sizes.values()) for sizes in f.sizes.values()]
    corrected = "corrected" in f.sizes
    before = totals[-2] if corrected and len(totals) > 1 else None
    change: list[object] = [None] * 4
    if f.change is not None:
        change = [f.change.ml, f.change.agreement.dice, f.change.agreement.asd_mm, f.change.agreement.hd95_mm]
    return [
        c.id, c.stem, c.patient, c.status, c.reviewer, c.comment, c.seconds / 60, int(c.held_out), c.truth_from,
        c.model, c.model_digest, c.doubt_mm, c.disagreement_mm3, before, totals[-1] if totals else None, *change,
        f.trouble,
    ]  # fmt: skip


def scores_csv(figures: Sequence[CaseFigures]) -> str:
    """One row a case, stage and label: against the truth."""
    columns = (
        "case", "stage", "label", "dice", "hd95_mm", "asd_mm", "nsd", "hd95_or_diagonal_mm", "asd_or_diagonal_mm",
        "missed", "spurious", "ml",
    )  # fmt: skip
    rows = (
        [
            f.case.id, stage, s.id, s.dice, s.hd95, s.asd, s.nsd, s.hd95_or_diagonal, s.asd_or_diagonal, int(s.missed),
            int(s.spurious), f.sizes[stage][s.id],
        ]
        for f in figures for stage, scores in f.scores.items() for s in scores
    )  # fmt: skip
    return _csv(columns, rows)


def measures_csv(figures: Sequence[CaseFigures]) -> str:
    """One row a measure; ``across`` is the second value of diameters, ``index`` the slice along its storage axis.

    ``now`` is what a structure comes to where its mask was changed since.
    """
    columns = (
        "case", "kind", "structure", "label", "plane", "slice", "axis", "index", "value", "across", "unit", "reader",
        "when", "note", "now",
    )  # fmt: skip
    rows = (
        [
            f.case.id, m.kind, m.structure, m.label, m.plane, m.shown, "IJK"[m.axis], m.index, m.values[0],
            m.values[1] if len(m.values) > 1 else None, m.unit, m.reader, m.when, m.note,
            f.measured_now.get(m.id),
        ]
        for f in figures for m in f.measures
    )  # fmt: skip
    return _csv(columns, rows)


def audit_csv(entries: Sequence[AuditEntry]) -> str:
    """One row an act."""
    import json

    rows = ([e.number, e.at, e.reader, e.case, e.act, json.dumps(e.details, ensure_ascii=False)] for e in entries)
    return _csv(("number", "at", "reader", "case", "act", "details"), rows)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return buffer.getvalue()
