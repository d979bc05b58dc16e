"""A report as one HTML file: no network, no script, pictures inside."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from html import escape

from napari_morse.session.case.measures import Measure
from napari_morse.session.project import STATUS_WORDS
from napari_morse.session.report.figures import NSD_TOLERANCE, CaseFigures, Report
from napari_morse.session.report.tables import NOTE, summaries

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #1a1a1a }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #ddd; padding: .2rem .7rem; text-align: left; vertical-align: top }
.note { color: #555 } .trouble { color: #a00 } img { image-rendering: pixelated; min-width: 6rem }
details { margin: .5rem 0 } @media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd }
th, td { border-color: #444 } .note { color: #aaa } .trouble { color: #f88 } }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class _Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def page(report: Report) -> str:
    """The whole file."""
    name = escape(report.about.name)
    parts = (
        f"<h1>{name}</h1>",
        f"<p class='note'>{escape(NOTE)} Made {escape(report.made)}, project of {escape(report.about.created)}.</p>",
        "<h2>Where the cases stand</h2>",
        _table(("status", "cases"), [(STATUS_WORDS[status], count) for status, count in report.counts.items()]),
        *_summary(report),
        "<h2>Cases</h2>",
        _legend(report),
        _table(_CASE_COLUMNS, (_case_row(f) for f in report.figures)),
        *_measures(report),
        *_readings(report),
        *_audit(report),
    )
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{name}</title>"
        f"<meta http-equiv='Content-Security-Policy' content=\"{_POLICY}\"><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _summary(report: Report) -> Iterable[str]:
    by_stage = summaries(report.figures)
    if not by_stage:
        return
    yield "<h2>Against the truth</h2>"
    yield (
        f"<p class='note'>Dice and NSD ({NSD_TOLERANCE:g} mm) over all cases with anything to find or anything found: a"
        " missed structure counts as 0. HD95 and ASD over the cases where both hold it; in the last two columns with"
        " the image's diagonal for the others.</p>"
    )
    flattering = sum(f.case.truth_from == "from_model" for f in report.figures if f.scores)
    if flattering:
        yield (
            f"<p class='trouble'>{flattering} of the truths were corrected from the model's own mask, which flatters"
            " that model.</p>"
        )
    columns = (
        "stage", "label", "cases", "found", "missed", "spurious", "Dice", "NSD", "HD95 mm", "ASD mm",
        "HD95 or diagonal", "ASD or diagonal",
    )  # fmt: skip
    yield _table(
        columns,
        (
            (stage, r.id, r.n, r.found, r.missed, r.spurious, r.dice, r.nsd, r.hd95, r.asd, r.hd95_or_diagonal,
             r.asd_or_diagonal)
            for stage, rows in by_stage.items() for r in rows
        ),
    )  # fmt: skip


def _legend(report: Report) -> str:
    if not any(f.picture.png for f in report.figures):
        return ""
    return (
        "<p class='note'>Pictures lie as in the window: in axial and coronal slices the patient's right is at the left."
        " The letters at the sides say where the patient's right (R), left (L), front (A, anterior), back (P,"
        " posterior), head (S, superior) and feet (I, inferior) are, in oblique scans the nearest; where the file holds"
        " no orientation, as with 2-D pictures, there are none. The mask's outline is yellow; red is where it was"
        " before it was corrected. Slices are numbered as the viewer shows them, from 0.</p>"
    )


_CASE_COLUMNS = (
    "case", "status", "reviewer", "comment", "minutes", "held out", "model", "ml", "Dice, HD95, ASD, NSD", "change", ""
)  # fmt: skip


def _case_row(f: CaseFigures) -> Sequence[object]:
    c = f.case
    held = f"yes ({c.truth_from.replace('_', ' ') or 'no truth yet'})" if c.held_out else ""
    model = f"{c.model} {c.model_digest[:8]}".strip()
    comment = _Html(escape(c.comment) + (f"<br><span class='trouble'>{escape(f.trouble)}</span>" if f.trouble else ""))
    figures = (_sizes(f), _scores(f), _change(f), _picture(f))
    return (c.id, STATUS_WORDS[c.status], c.reviewer, comment, c.seconds / 60, held, model, *figures)


def _picture(f: CaseFigures) -> _Html:
    if not f.picture.png:
        return _Html("")
    data, says = base64.b64encode(f.picture.png).decode(), escape(f.picture.says, quote=True)
    alt = f"{escape(f.case.id, quote=True)}: {says}"
    return _Html(f"<img alt='{alt}' src='data:image/png;base64,{data}'><br><span class='note'>{says}</span>")


def _sizes(f: CaseFigures) -> _Html:
    lines = (
        f"{stage}: " + ", ".join(f"{label}: {ml:.2f}" for label, ml in sizes.items())
        for stage, sizes in f.sizes.items()
    )
    return _Html("<br>".join(lines))


def _scores(f: CaseFigures) -> _Html:
    lines = []
    for stage, rows in f.scores.items():
        for r in rows:
            text = "missed" if r.missed else "not there" if r.spurious else "empty"
            if r.hd95 is not None:
                text = f"{_show(r.dice)}, {_show(r.hd95)}, {_show(r.asd)}, {_show(r.nsd)}"
            lines.append(f"{stage} {r.id}: {text}")
    return _Html("<br>".join(lines))


def _change(f: CaseFigures) -> str:
    if f.change is None:
        return ""
    compared = f.change.agreement
    mm = (
        "a structure came or went"
        if compared.hd95_mm is None
        else f"ASD {compared.asd_mm:.2f}, HD95 {compared.hd95_mm:.2f} mm"
    )
    return f"{f.change.ml:.2f} ml; {mm}"


def _measures(report: Report) -> Iterable[str]:
    measured = [f for f in report.figures if f.measures]
    if measured:
        yield "<h2>Measures</h2>"
        yield (
            "<p class='note'>Diameters are the longest in the slice and the longest across it; of a structure in"
            " several parts, the largest is measured. Slices are numbered as the viewer shows them, from 0.</p>"
        )
    for f in measured:
        yield f"<h3>{escape(f.case.id)}</h3>"
        rows = (
            (m.kind, m.structure or "", m.plane, m.shown, m.text, m.reader, m.when, _remark(f, m)) for m in f.measures
        )
        yield _table(("measure", "structure", "plane", "slice", "value", "reader", "UTC", ""), rows)


def _remark(f: CaseFigures, measure: Measure) -> str:
    later = f.measured_now.get(measure.id)
    return "; ".join(x for x in (measure.note, later and f"the mask was changed since: {later} now") if x)


def _readings(report: Report) -> Iterable[str]:
    rows = [
        (r.case, r.reader, r.verdict if r.submitted else "not done yet", r.comment, a and a.dice, a and a.asd_mm,
         a and a.hd95_mm)
        for f in report.figures for r in f.readings for a in (r.agreement,)
    ]  # fmt: skip
    if rows:
        yield "<h2>Second readers</h2>"
        yield _table(("case", "reader", "verdict", "comment", "Dice", "ASD mm", "HD95 mm"), rows)


def _audit(report: Report) -> Iterable[str]:
    yield "<h2>Audit trail</h2>"
    good = "Every row is as it was written, and none is missing before the last."
    yield f"<p class='{'trouble' if report.verified else 'note'}'>{escape(report.verified or good)}</p>"
    rows = [(e.number, e.at, e.reader, e.case, e.act, json.dumps(e.details, ensure_ascii=False)) for e in report.audit]
    shown = _table(("", "UTC", "reader", "case", "act", "details"), rows)
    yield f"<details><summary>{len(rows)} rows</summary>{shown}</details>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "\n".join("<tr>" + "".join(f"<td>{_show(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _show(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, _Html):
        return value
    return f"{value:.3g}" if isinstance(value, float) else escape(str(value))
