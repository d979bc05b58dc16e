"""``napari-morse train``: a model from scans and labels, from one command."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_morse.errors import InputError, WeightsError

if TYPE_CHECKING:
    from napari_morse.config import Recipe
    from napari_morse.training.auto_recipe import Fitted
    from napari_morse.training.engine import Engine, StepReport
    from napari_morse.training.from_folders import TrainingRun
    from napari_morse.zoo import LoadedModel


def train(
    images: Annotated[Path, typer.Option(help="Folder of scans; of several channels as CASE_0000, CASE_0001, ….")],
    labels: Annotated[Path, typer.Option(help="Folder of masks, named as the scans, or CASE.")],
    out: Annotated[Path, typer.Option(help="Model folder to make; its name is the model's name.")],
    splits: Annotated[Path | None, typer.Option(help="JSON lists train and val; else 1 in 5 is held out.")] = None,
    recipe: Annotated[
        str, typer.Option(help="Name (see `napari-morse recipes`), JSON file, or auto: one that fits the scans.")
    ] = "default-3d",
    change: Annotated[list[str] | None, typer.Option("--set", help="Change a knob: part.knob=value.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0, max=2**63 - 1)] = 0,
    minutes: Annotated[float | None, typer.Option(help="Wall-clock budget instead of iterations.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that was begun for this model.")] = False,
    backbone_of: Annotated[
        str | None, typer.Option(help="Begin with the backbone of this model (with train.frozen=true: and keep it).")
    ] = None,
    spacing: Annotated[str | None, typer.Option(help="Working voxel in mm, e.g. 1,1,1; else the median.")] = None,
    slice_axis: Annotated[str, typer.Option(help="2-D: R (sagittal), A (coronal), S (axial).")] = "A",
    names: Annotated[str | None, typer.Option(help="Names of the labels: 1=anterior,2=posterior.")] = None,
    channels: Annotated[str | None, typer.Option(help="Names of the images per case: T1,FLAIR.")] = None,
    summary: Annotated[str, typer.Option(help="One sentence for the model's card.")] = "",
    data_name: Annotated[str, typer.Option(help="Training data, for the card.")] = "own cases",
    licence: Annotated[str, typer.Option(help="Licence of the training data, for the card.")] = "not stated",
    attribution: Annotated[str, typer.Option(help="Whom the data's licence asks to name.")] = "",
    largest_component: Annotated[
        bool, typer.Option("--largest-component", help="The model keeps only the largest connected piece.")
    ] = False,
    minimum_volume: Annotated[float, typer.Option(help="The model removes pieces below so many mm³.", min=0)] = 0.0,
    precision: Annotated[str | None, typer.Option(help="float32, bfloat16, or auto: whichever is faster.")] = None,
) -> None:  # fmt: skip
    """Train on scans and labels; the best weights, judged by their rendered masks, become a model folder."""
    from napari_morse.training.card import Purpose
    from napari_morse.training.from_folders import TrainingRun

    fit = _fitted(images, labels, tuple(change or ())) if recipe == "auto" else None
    chosen = _precise(recipe, tuple(change or ()), precision, None if fit is None else fit.recipe)
    _check_backbone_of(backbone_of, chosen, tuple(change or ()))
    check_out(out)
    if minutes is not None and not 0 < minutes < math.inf:
        raise InputError(f"{minutes:g} minutes are no time to train in.", "Give a number above 0.")
    if slice_axis not in ("R", "A", "S"):
        raise InputError(f"{slice_axis!r} is no slice axis.", "Give R (sagittal), A (coronal) or S (axial).")
    run = TrainingRun(
        pairs=(images, labels),
        splits=splits,
        recipe=chosen,
        seed=seed,
        minutes=minutes,
        spacing=_numbers(spacing, chosen) or (None if fit is None else fit.spacing),
        slice_axis=(slice_axis if fit is None else fit.slice_axis) if chosen.backbone.spatial_dims == 2 else None,
        names=names,
        purpose=Purpose(
            out.name, summary, data_name, licence, attribution, _words(channels), largest_component, minimum_volume
        ),
        # Not `with_suffix`: a name may have points, and `site-1.2` would lose its end.
        state=out.with_name(f"{out.name}.run"),
        start=None if backbone_of is None else _start(backbone_of, chosen),
        say=typer.echo,
    )
    engine = run.engine(resume)
    _watched(engine, run, out)


def _start(name: str, recipe: Recipe) -> LoadedModel:
    from napari_morse import zoo

    model = zoo.load(name)
    dims = model.card.recipe.backbone.spatial_dims
    if dims != recipe.backbone.spatial_dims:
        raise InputError(f"The backbone of {name!r} is {dims}-D, the recipe is not.", "Choose another recipe.")
    return model


def _check_backbone_of(backbone_of: str | None, chosen: Recipe, changes: tuple[str, ...]) -> None:
    """Refuse what a model's backbone, or a frozen one, cannot be told."""
    if backbone_of is not None and any(knob.strip().startswith("backbone.") for knob in changes):
        raise InputError(
            "--backbone-of brings its own backbone; its knobs cannot be set.", "Leave --set backbone.… out."
        )
    if chosen.train.frozen and chosen.train.point_weight == 0:
        raise InputError(
            "With a frozen backbone and train.point_weight=0 nothing is trained.", "Give a weight above 0."
        )
    if chosen.train.frozen and backbone_of is None:
        raise InputError("A frozen backbone that was never trained finds nothing.", "Name one with --backbone-of.")


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip()) if text else ()


def _fitted(images: Path, labels: Path, changes: tuple[str, ...]) -> Fitted:
    """The recipe for ``auto``; what it is, is said."""
    from napari_morse.geometry.orientation import RAS, axes_to, oriented
    from napari_morse.inference.devices import resolve_device
    from napari_morse.io import open_mask
    from napari_morse.training.auto_recipe import fitted
    from napari_morse.training.cases import pair_files

    channels = next((int(c.partition("=")[2]) for c in changes if c.startswith("backbone.in_channels=")), 1)
    grids = [open_mask(truth).grid for _, truth in pair_files(images, labels, channels).values()]
    fitted_recipe = fitted(
        [oriented(grid, axes_to(grid, RAS)) for grid in grids],
        "cuda" if resolve_device("auto").startswith("cuda") else "cpu",
    )
    typer.echo(f"Fitted to {len(grids)} cases: {fitted_recipe.why}.")
    return fitted_recipe


def _precise(name: str, changes: tuple[str, ...], precision: str | None, own: Recipe | None = None) -> Recipe:
    """The recipe in a precision that this machine has."""
    from napari_morse.inference.devices import has_bfloat16, resolve_device
    from napari_morse.training.recipes import recipe_named

    here = resolve_device("auto")
    device = here if here.startswith("cuda") else "cpu"
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16(device) else "float32"
    chosen = recipe_named(name, (*changes, *([f"train.precision={precision}"] if precision else [])), own)
    if chosen.train.precision == "bfloat16" and not has_bfloat16(device):
        raise InputError(
            "This processor has no bfloat16; training would take many times longer.", "Say --precision auto."
        )
    return chosen


def check_out(out: Path) -> None:
    """Refuse before training what could not be written after it."""
    from napari_morse.config import MODEL_NAME

    if not re.fullmatch(MODEL_NAME, out.name):
        raise InputError(f"{out.name!r} cannot be the name of a model.", "Use letters, digits, '.', '_' and '-'.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WeightsError(f"“{out.name}” exists already.", "Give the new model another name.")
    existing = next(parent for parent in out.absolute().parents if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InputError(f"A model cannot be written to “{existing}”.", "Choose a folder that you may write to.")


def _numbers(text: str | None, recipe: Recipe) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        numbers = tuple(float(v) for v in text.split(","))
    except ValueError as error:
        raise InputError(f"{text!r} is no spacing.", "Write mm per axis, e.g. 1,1,1.") from error
    if len(numbers) != recipe.backbone.spatial_dims or not all(0 < f < math.inf for f in numbers):
        raise InputError(
            f"{text!r} is no spacing for a {recipe.backbone.spatial_dims}-D recipe.", "One length per axis."
        )
    return numbers


def _watched(engine: Engine, run: TrainingRun, out: Path) -> None:
    """Train under a progress bar and write the model."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(markup=False, highlight=False)  # a name may hold [brackets], which rich takes for its own marks
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        task = bars.add_task("starting", total=1.0)

        def watch(report: StepReport) -> None:
            share = report.iteration / max(report.total, 1)
            bars.update(task, completed=share, description=f"stage {report.stage}, loss {report.loss:.3f}")
            if report.verdict is not None:
                mark = "  best" if report.best else ""
                console.print(
                    f"iteration {report.iteration}: rendered Dice {report.verdict.dice:.4f} on validation{mark}"
                )

        engine.steps.say = console.print
        net = engine.run(watch)
    card = run.finish(net, out)
    console.print(f"{out}: {card.name}, rendered Dice on validation "
                  + ", ".join(f"{card.metrics[f'val_rendered_dice_{n}']:.4f} {label.name}"
                              for n, label in enumerate(card.labels, start=1)))  # fmt: skip
