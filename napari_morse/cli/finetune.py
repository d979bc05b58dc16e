"""``napari-morse finetune``: a model learns from a few corrected cases, and what that was worth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_morse.errors import InputError, WeightsError

if TYPE_CHECKING:
    from napari_morse.training.finetuning.plan import Plan
    from napari_morse.training.finetuning.verdict import Verdict
    from napari_morse.training.source import Source


def finetune(
    model: Annotated[str, typer.Option(help="The model to begin with: its name or folder.")],
    images: Annotated[Path, typer.Option(help="Folder of scans.")],
    labels: Annotated[Path, typer.Option(help="Folder of corrected masks, named like the scans.")],
    out: Annotated[Path, typer.Option(help="Folder of the new model; its name is the model's.")],
    holdout: Annotated[
        Path | None, typer.Option(help="Text file with the names of cases that only judge, a line each; else 1 in 5.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Time for training; judging comes after it.")] = 2.0,
    what: Annotated[str, typer.Option(help="What is trained: head, decoder or all.")] = "decoder",
    new_label: Annotated[
        list[str] | None, typer.Option("--new-label", help="A structure that the model does not know: 3=lesion.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0, max=2**63 - 1)] = 0,
    steps: Annotated[int, typer.Option(help="Steps instead of minutes: the same on every run on a CPU.", min=0)] = 0,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Judge by the training cases, each left out in turn: takes longer.")
    ] = False,
    by: Annotated[str, typer.Option(help="Who asks for it, for the card.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that was begun for this model.")] = False,
) -> None:  # fmt: skip
    """Tune a model on corrected cases and judge both on held-out ones; the base model stays as it is."""
    from napari_morse.cli.train import check_out

    check_out(out)
    if what not in ("head", "decoder", "all"):
        raise InputError(f"{what!r} is nothing that can be trained.", "Give head, decoder or all.")
    if len(by) > 200:
        raise InputError("--by is longer than 200 characters.", "Give a name or initials.")
    if not 0 < minutes < math.inf:
        raise InputError(f"{minutes:g} minutes are no time to train in.", "Give a number above 0.")
    # Not `with_suffix`: a name may have points, and `site-1.2` would lose its end.
    folder = out.with_name(f"{out.name}.run")
    plan = _plan(model, images, labels, holdout, out.name, by, what, minutes, seed, steps)  # type: ignore[arg-type]
    plan = _with_new(plan, new_label or []).model_copy(update={"leave_one_out": leave_one_out})
    _keep(plan, folder, resume)
    verdict = _watched(folder, resume)
    _publish(folder, out)
    show(verdict)
    typer.echo(f"The model lies in {out}; masks and verdict, for `napari-morse models compare`, in {folder}.")


def _plan(
    model: str, images: Path, labels: Path, holdout: Path | None, name: str, by: str,
    what: Literal["head", "decoder", "all"], minutes: float, seed: int, steps: int,
) -> Plan:  # fmt: skip
    from napari_morse import zoo
    from napari_morse.training.finetuning.plan import Plan
    from napari_morse.training.settings import TuneSettings
    from napari_morse.training.source import Source

    info = zoo.find(model)
    sources = _sources(images, labels, len(info.card.channels), Source)
    held = _held(sources, holdout, len(info.card.channels))
    train = tuple(source for source in sources if source.name not in held)
    if not train:
        raise InputError("All cases are held out; there is none to train on.", "Name fewer in --holdout.")
    settings = TuneSettings(what=what, minutes=minutes, seed=seed, steps=steps)
    return Plan(
        model=model, name=name, by=by, train=train, held_out=tuple(s for s in sources if s.name in held),
        settings=settings,
    )  # fmt: skip


def _with_new(plan: Plan, given: list[str]) -> Plan:
    """The plan with further labels, coloured apart from those of the model."""
    from napari_morse import zoo
    from napari_morse.training.palette import label_entries

    if not given:
        return plan
    if plan.settings.what == "head":
        raise InputError("A head alone cannot learn a new structure.", "Say --what decoder or --what all.")
    named = []
    for text in given:
        number, equals, name = text.partition("=")
        if not equals or not number.strip().isdecimal() or not 0 < int(number) <= 65535 or not name.strip():
            raise InputError(f"{text!r} is no new label.", "Write its number and name: 3=lesion.")
        named.append((int(number), name.strip()))
    return plan.model_copy(update={"new_labels": label_entries(named, zoo.find(plan.model).card.labels)})


def _sources(images: Path, labels: Path, channels: int, kind: type[Source]) -> list[Source]:
    from napari_morse.io.subjects import subject_in
    from napari_morse.training.cases import pair_files

    return [
        kind(name=name, scan=scan.resolve(), labels=truth.resolve(), patient=subject_in(name))
        for name, (scan, truth) in pair_files(images, labels, channels).items()
    ]


def _held(sources: list[Source], holdout: Path | None, channels: int) -> set[str]:
    """Names of the cases that judge: those listed, or every fifth patient, one scan under several names as one."""
    from napari_morse.io import case_stem

    if holdout is None:
        groups = _groups(sources, channels)
        chosen = set(sorted(set(groups))[4::5])
        return {source.name for source, group in zip(sources, groups, strict=True) if group in chosen}
    try:
        lines = [line.strip() for line in holdout.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The list {holdout} cannot be read.", "Give a text file with a name a line.") from error
    known = {source.name for source in sources}
    names = [line if line in known else case_stem(line) for line in lines]
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(f"{holdout} names {missing[0]!r}, which has no scan with a label.", "Check its name.")
    return set(names)


def _groups(sources: list[Source], channels: int) -> list[str]:
    """What each case belongs to: the name of the first patient, or case, of all that belong together."""
    from napari_morse.io.subjects import group_by_marks, patient_key
    from napari_morse.io.voxels import same_scans
    from napari_morse.training.source import digests

    known = digests(sources, channels)
    for sentence in same_scans([source.scan for source in sources], known):
        typer.echo(f"{sentence}: either all train or all judge.")
    names = [source.patient or source.name for source in sources]
    groups = group_by_marks([{patient_key(name), digest} for name, digest in zip(names, known, strict=True)])
    return [min(name for name, other in zip(names, groups, strict=True) if other == group) for group in groups]


def _keep(plan: Plan, folder: Path, resume: bool) -> None:
    """Write the plan, or look that a run that goes on is the one that was begun."""
    from napari_morse.training.finetuning.plan import PLAN
    from napari_morse.training.finetuning.plan import Plan as Kept

    there = (folder / PLAN).exists()
    if resume:
        saved = Kept.read(folder)
        measured = {"steps": plan.settings.steps}  # the run found that out itself
        settings = saved.settings.model_copy(update=measured)
        # The day as well: a run that goes on after midnight is the same run.
        same = saved.model_copy(update={"settings": settings, "created": plan.created})
        if same != plan:
            raise WeightsError(f"The run in {folder} was begun with other settings or cases.", "Resume it as it was.")
        return
    if there:
        raise WeightsError(f"{folder} holds a run already.", "Add --resume, or delete that folder to begin anew.")
    plan.write(folder)


def _watched(folder: Path, resume: bool) -> Verdict:
    """Run under a progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from napari_morse.training.finetuning.plan import Plan
    from napari_morse.training.finetuning.round import TuningRun

    console = Console(markup=False, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        task = bars.add_task("reading", total=None)

        def tell(event: dict[str, Any]) -> None:
            kind = event["event"]
            if kind == "prepared":
                bars.update(task, total=event["steps"], description="training")
            elif kind == "step":
                bars.update(task, completed=event["step"], description=f"training, loss {event['loss']:.3f}")
            elif kind == "check":
                at = "base model" if event["step"] == 0 else f"step {event['step']}"
                console.print(f"{at}: Dice {event['dice']:.4f}, HD95 {event['hd95']:.2f} mm on held-out cases")
            elif kind == "log":
                console.print(event["text"])

        return TuningRun(Plan.read(folder), folder, tell).run(resume)


def _publish(folder: Path, out: Path) -> None:
    from napari_morse.zoo.moving import copy_model

    out.parent.mkdir(parents=True, exist_ok=True)
    copy_model(folder / "model", out)


def show(verdict: Verdict) -> None:
    """Print a verdict: every case before and after (a new model has no before), and the sentence."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from napari_morse.training.finetuning.verdict import FIGURES, WHENS

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("case", "mask", "Dice", "HD95 mm", "ASD mm", "NSD"):
        table.add_column(column, overflow="fold")
    for case in verdict.cases:
        for stage in ("rendered", "coarse"):
            columns = [case.figures[f"{when} {stage}"] for when in (("after",) if verdict.alone else WHENS)]
            figures = (" → ".join(f"{getattr(each, f):.3f}" for each in columns) for f in FIGURES)
            table.add_row(case.case, stage, *figures)
    console = Console(markup=False, highlight=False)
    console.print(table)
    for name, same in verdict.samples.items():
        console.print(f"{name}: Dice {same:.3f} between the masks of both models")
    console.print(" ".join(sentence for sentence in (verdict.sentence, verdict.unjudged({})) if sentence))
