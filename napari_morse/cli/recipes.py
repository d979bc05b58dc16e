"""``napari-morse recipes``: which recipes there are, and every knob of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_morse.errors import InputError

if TYPE_CHECKING:
    from napari_morse.config import Recipe

PARTS = ("backbone", "render", "train")


def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe's name or JSON file: show every knob.")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="Change a knob first: part.knob=value.")] = None,
    out: Annotated[Path | None, typer.Option(help="Save it as this JSON file, for `train --recipe`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the recipes, or show one; a knob is printed as `train --set` takes it."""
    from napari_morse.training.recipes import RECIPES, recipe_named, save_recipe

    if name is None:
        if change or out is not None:
            raise InputError("Which recipe is meant was not said.", f"Name one of {', '.join(RECIPES)}.")
        _list(list(RECIPES.values()), as_json)
        return
    recipe = recipe_named(name, tuple(change or ()))
    if out is not None:
        _check_free(recipe, name, out)
        save_recipe(recipe, out)
    if as_json:
        typer.echo(recipe.model_dump_json(indent=2))
    else:
        typer.echo("\n".join(knobs(recipe)))


def _check_free(recipe: Recipe, name: str, out: Path) -> None:
    """Write over a recipe only where it is the one that was named, or says the same."""
    from napari_morse.training.recipes import load_recipe

    if not out.exists() or (Path(name).exists() and out.samefile(name)):
        return
    try:
        same = load_recipe(out) == recipe
    except InputError:
        same = False
    if not same:
        raise InputError(f"“{out.name}” is there already, and says something else.", "Give another name to --out.")


def knobs(recipe: Recipe) -> list[str]:
    """Every knob as ``part.knob=value``, values as JSON without spaces."""
    fields = recipe.model_dump(mode="json")
    return [
        f"{part}.{knob}={json.dumps(value, separators=(',', ':'))}"
        for part in PARTS
        for knob, value in fields[part].items()
    ]


def _list(known: list[Recipe], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([recipe.model_dump(mode="json") for recipe in known], indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("name", no_wrap=True)
    for column in ("backbone", "mixture", "position", "points: training, test", "budget"):
        table.add_column(column, overflow="fold")
    for recipe in known:
        table.add_row(recipe.name, *_cells(recipe))
    Console(markup=False, highlight=False).print(table)


def _cells(recipe: Recipe) -> list[str]:
    backbone, render, train = recipe.backbone, recipe.render, recipe.train
    mixture = "none" if render.mixture == "none" else f"{render.mixture}, {render.experts}"
    if render.selection == "count":
        tested = str(render.test_points) if render.test_points else f"{render.fraction:.1%}"
        tested = f"{tested} × {render.steps}"
    else:
        tested = f"margin < {render.uncertain_below:g}"
    return [
        f"{backbone.spatial_dims}-D {backbone.name}, stride {backbone.stem_stride}",
        mixture,
        render.encoding,
        f"{render.points}, {tested}",
        f"{train.iterations} × {train.batch}, {train.optimizer}",
    ]
