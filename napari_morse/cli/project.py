"""``napari-morse project``: make a project of many cases, see where it stands, report on it, export its masks."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from napari_morse.errors import InputError
from napari_morse.session.project import (
    STATUS_WORDS,
    STATUSES,
    Case,
    CaseFiles,
    Project,
    Status,
    check_new,
    from_bids,
    from_folders,
    from_list,
    read_scans,
    with_patients,
)

project_app = typer.Typer(no_args_is_help=True, help="Projects: many cases, their review, their report.")
Sort = Literal["number", "name", "status", "doubt", "disagreement", "seconds"]
_TERMINAL_WIDTH = 1000
Folder = Annotated[Path, typer.Argument(help="Folder of the project.")]


@project_app.command()
def new(
    folder: Annotated[Path, typer.Argument(help="Folder for the project; new or empty.")],
    scans: Annotated[Path | None, typer.Option(help="Folder of scans.")] = None,
    list_file: Annotated[
        Path | None, typer.Option("--list", help="Text file, a scan a line; or CSV: scan, mask, truth, patient.")
    ] = None,
    bids: Annotated[Path | None, typer.Option(help="BIDS data set.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of masks, named as the scans; with --scans.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Folder of true masks, named as the scans; with --scans.")] = None,
    kind: Annotated[str, typer.Option(help="With --bids: only images of this kind, such as T1w.")] = "",
    pattern: Annotated[
        str, typer.Option(help="Regular expression whose group is the patient: '(P[0-9]+)_'.", metavar="RE")
    ] = "",
    patients: Annotated[Path | None, typer.Option(help="CSV with the columns case and patient.")] = None,
    name: Annotated[str, typer.Option(help="Of the project; else the folder's.")] = "",
    reader: Annotated[str, typer.Option(help="Who makes it: name or initials; else the system's user.")] = "",
    holdout: Annotated[float, typer.Option(help="Share of the patients that is for judging only.")] = 0.2,
) -> None:
    """Make a project. Whose scans are for judging only is decided now, and never changed."""
    sources = with_patients(_sources(scans, list_file, bids, masks, truth, kind), pattern, patients)
    check_new(folder, holdout)
    with _progress(len(sources), "Reading the scans") as step:
        read_scans((source.scan for source in sources), step)
    with Project.create(folder, sources, name=name, reader=reader or _user(), holdout_share=holdout) as project:
        cases, notices = project.cases(), project.duplicate_notices
    held = {case.patient for case in cases if case.held_out}
    everybody = {case.patient for case in cases}
    console = _console()
    console.print(f"{len(cases)} cases of {len(everybody)} patients; {len(held)} patients are held out.")
    unknown = sum(not source.patient for source in sources)
    if unknown and unknown < len(sources):
        console.print(f"Of {unknown} cases nobody says whose they are: each is taken for a patient of its own.")
    for sentence in notices:
        console.print(sentence, soft_wrap=True)


def _sources(
    scans: Path | None, list_file: Path | None, bids: Path | None, masks: Path | None, truth: Path | None, kind: str
) -> list[CaseFiles]:
    if sum(way is not None for way in (scans, list_file, bids)) != 1:
        raise InputError("Say once where the scans are.", "Give one of --scans, --list and --bids.")
    if scans is None and (masks or truth):
        raise InputError("--masks and --truth go with --scans.", "A list has columns for them, BIDS derivatives.")
    if bids is None and kind:
        raise InputError("--kind goes with --bids.", "Leave it out.")
    if scans is not None:
        return from_folders(scans, masks, truth)
    return from_list(list_file) if list_file is not None else from_bids(bids or Path(), kind)


def _user() -> str:
    try:
        # A user without a name, as in containers, is a KeyError, from Python 3.13 on an OSError; on Windows the module
        # that would be asked is missing.
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


@project_app.command()
def status(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    sort: Annotated[Sort, typer.Option(help="By what; doubt, disagreement and seconds: the largest first.")] = "number",
) -> None:
    """Show where the cases of a project stand, and whether its audit trail is whole."""
    with Project.open(folder, read_only=True) as project:
        cases = project.cases(sort, descending=sort in ("doubt", "disagreement", "seconds"))
        counts, trouble, name = project.counts(), project.verify(), project.about.name
    if as_json:
        summary = {"name": name, "counts": counts, "audit": trouble, "cases": [_plain(case) for case in cases]}
        typer.echo(json.dumps(summary, indent=1))
    else:
        _show(name, cases, counts, trouble)
    if trouble:
        raise typer.Exit(1)


def _plain(case: Case) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(case).items()}


def _show(name: str, cases: list[Case], counts: dict[Status, int], trouble: str) -> None:
    table = Table(box=box.SIMPLE)
    for column in ("case", "status", "reviewer", "minutes", "doubt mm", "disagreement mm³", "held out", "comment"):
        table.add_column(column)
    for c in cases:
        numbers = (f"{c.seconds / 60:.1f}", _number(c.doubt_mm), _number(c.disagreement_mm3))
        table.add_row(c.id, STATUS_WORDS[c.status], c.reviewer, *numbers, "yes" if c.held_out else "", c.comment)
    console = _console()
    console.print(table, width=max(console.width, min(console.measure(table).maximum, _TERMINAL_WIDTH)), crop=False)
    console.print(
        f"{name}: " + ", ".join(f"{count} {STATUS_WORDS[status]}" for status, count in counts.items() if count)
    )
    console.print(trouble or "The audit trail is whole.")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


@project_app.command()
def report(
    folder: Folder,
    out: Annotated[Path | None, typer.Option(help="Where to; else the project's folder reports.")] = None,
) -> None:
    """Write a report: one HTML file, JSON and CSV, with figures, changes, agreement and the audit trail."""
    from napari_morse.session.report import build, write

    with Project.open(folder, read_only=True) as project:
        with _progress(len(project.cases()), "Measuring") as step:
            built = build(project, lambda _: step())
        paths = write(built, out or project.places.reports)
    console = _console()
    for path in paths:
        console.print(str(path), soft_wrap=True)
    for figures in built.figures:
        if figures.trouble:
            Console(stderr=True, markup=False).print(f"{figures.case.id}: {figures.trouble}", soft_wrap=True)
    if built.verified:
        raise InputError(built.verified, "Compare it with an earlier report.")


@project_app.command()
def export(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Folder for the masks and manifest.csv.")],
    statuses: Annotated[
        str, typer.Option("--status", help="Of the cases, separated by commas.")
    ] = "accepted,corrected",
) -> None:
    """Write the final masks as NIfTI on their scans' exact grids (pictures as PNG)."""
    from napari_morse.session.report import export_masks

    wanted = _statuses(statuses)
    with (
        Project.open(folder, read_only=True) as project,
        _progress(len(project.cases(statuses=wanted)), "Writing") as step,
    ):
        rows = export_masks(project, out, wanted, lambda _: step())
    failed = [row for row in rows if row.trouble]
    _console().print(f"{len(rows) - len(failed)} of {len(rows)} masks written to {out}.", soft_wrap=True)
    for row in failed:
        Console(stderr=True, markup=False).print(f"{row.case}: {row.trouble}", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _statuses(text: str) -> list[Status]:
    named = [part.strip() for part in text.split(",") if part.strip()]
    statuses = [status for status in STATUSES if status in named]
    strange = [part for part in named if part not in get_args(Status)]
    if strange or not statuses:
        raise InputError(f"{', '.join(strange) or 'Nothing'} is no status.", f"Choose of {', '.join(STATUSES)}.")
    return statuses


@contextmanager
def _progress(total: int, what: str) -> Iterator[Callable[[], None]]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def _console() -> Console:
    return Console(markup=False, highlight=False)
