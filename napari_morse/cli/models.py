"""``napari-morse models``: which models there are, what each one is, and how they travel.

``models NAME`` is short for ``models show NAME``; a model named as a subcommand needs the long form, or its path.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from napari_morse import zoo
from napari_morse.config import ModelCard
from napari_morse.errors import InputError
from napari_morse.io.cards import model_digest
from napari_morse.zoo import moving


class _OrShow(TyperGroup):
    """Words that do not begin with a subcommand are those of ``show``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


models_app = typer.Typer(
    cls=_OrShow,
    subcommand_metavar="[[NAME] [--json] | COMMAND ...]",
    help="List the models that are there (no word), show one (its name), or copy one from and to elsewhere.",
)


@models_app.command("show")
def models(
    name: Annotated[str | None, typer.Argument(help="A model's name or folder: show its whole card.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the models that are there, or show one model's card."""
    console = Console(markup=False, highlight=False)
    if name is None:
        if as_json:
            _print_json({"models": [_entry(m) for m in zoo.available()], "broken": [_problem(m) for m in zoo.broken()]})
        else:
            _list(console)
        return
    info = zoo.find(name)
    if as_json:
        _print_json(_entry(info) | {"card": info.card.model_dump(mode="json")})
    else:
        _card(console, info)


@models_app.command()
def export(
    name: Annotated[str, typer.Argument(help="A model's name or folder.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Copy it to DIR/NAME; DIR is made when missing.")],
) -> None:
    """Copy a model into a folder, to be carried elsewhere as one folder; nothing is replaced."""
    info = zoo.find(name)
    _say(f"The model “{info.name}” was copied to {moving.export_model(info, folder)}.")


@models_app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A model folder.")],
    name: Annotated[str | None, typer.Option(help="Of the model from now on; else the folder's.")] = None,
) -> None:
    """Copy a model folder into your own models, once it has been checked; nothing is replaced."""
    there = moving.present(folder)
    info = moving.import_model(folder, name)
    if there is None:
        _say(f"The model “{info.name}” was imported into {info.folder.parent}.")
    else:
        _say(f"This model is there already as “{info.name}”; nothing was copied.")


def _say(sentence: str) -> None:
    Console(markup=False, highlight=False).print(_printable(sentence), soft_wrap=True)


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))


def _entry(info: zoo.ModelInfo) -> dict[str, Any]:
    card = info.card
    return {
        "name": info.name,
        "version": card.version,
        "summary": card.summary,
        "dimensions": info.dims,
        "labels": [label.model_dump() for label in card.labels],
        "spacing_mm": list(card.spacing),
        "size_bytes": info.size,
        "shipped": info.shipped,
        "folder": str(info.folder),
        "trained_on": card.data.name,
        "licence": card.data.licence,
        "digest": model_digest(info.folder),
    }


def _problem(model: zoo.BrokenModel) -> dict[str, Any]:
    return {"name": model.name, "folder": str(model.folder), "shipped": model.shipped, "problem": model.problem}


def _list(console: Console) -> None:
    models, unusable = zoo.available(), zoo.broken()
    if models:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column("name", no_wrap=True)
        for column in ("version", "reads", "finds", "size", "from", "trained on"):
            table.add_column(column, overflow="fold")
        for info in models:
            table.add_row(*(_printable(cell) for cell in _cells(info)))
        console.print(table)
    else:
        console.print("There is no model yet: `napari-morse train` makes one.")
    for model in unusable:
        console.print(f"Cannot be used: {model.name}. {model.problem}")
    console.print(f"Your own models are looked for in {zoo.library()}")


def _cells(info: zoo.ModelInfo) -> list[str]:
    card = info.card
    return [
        info.name,
        str(card.version),
        f"{info.dims}-D, {_millimetres(card.spacing)}",
        ", ".join(label.name for label in card.labels),
        f"{info.size / 1e6:.1f} MB",
        "shipped" if info.shipped else "yours",
        f"{card.data.name} ({card.data.cases} cases, {card.data.licence})",
    ]


def _card(console: Console, info: zoo.ModelInfo) -> None:
    """Every field that a person asks about, one a line."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in _fields(info):
        if value:
            table.add_row(key, _printable(value))
    console.print(table)


def _fields(info: zoo.ModelInfo) -> list[tuple[str, str]]:
    card = info.card
    backbone = card.recipe.backbone
    axis = {"R": "sagittal", "A": "coronal", "S": "axial", None: ""}[card.slice_axis]
    labels = (f"{label.id} {label.name} {label.color} {label.code}".strip() for label in card.labels)
    extents = (f"{low:g} to {high:g}" for low, high in card.field_of_view)
    return [
        ("name", f"{info.name}, version {card.version} ({'shipped' if info.shipped else 'yours'})"),
        ("summary", card.summary),
        ("finds", "\n".join(labels)),
        ("reads", f"{info.dims}-D {axis}".strip() + f", {', '.join(card.channels)}, at {_millimetres(card.spacing)}"),
        ("contrast", "either: a scan or its inverse, whichever it is surer of" * (card.recipe.contrast == "either")),
        ("seen in training", f"{' × '.join(extents)} mm" if card.field_of_view else ""),
        ("network", f"{backbone.name}, recipe {card.recipe.name}, coarse pass at stride {backbone.stem_stride}"),
        ("trained on", f"{card.data.name}, {card.data.cases} cases"),
        ("licence", card.data.licence),
        ("attribution", card.data.attribution),
        ("on validation", "\n".join(f"{key} {value:.4g}" for key, value in card.metrics.items())),
        ("tuned from", "\n".join(card.lineage)),
        *_tuned(card),
        ("made", card.created),
        ("size", f"{info.size / 1e6:.1f} MB"),
        ("digest", model_digest(info.folder)),
        ("folder", str(info.folder)),
    ]


def _tuned(card: ModelCard) -> list[tuple[str, str]]:
    """What a tuned model says of its last round."""
    if card.tuned is None:
        return []
    tuned = card.tuned
    cases = f"{len(tuned.trained)} trained on, {len(tuned.held_out)} held out, over all rounds"
    return [("parent", tuned.parent or "none"), ("tuned by", tuned.by), ("cases", cases), ("verdict", tuned.verdict)]


def _printable(text: str) -> str:
    """Without control characters: a card that someone sent must not steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def _millimetres(spacing: tuple[float, ...]) -> str:
    return " × ".join(f"{s:g}" for s in spacing) + " mm"


@models_app.command()
def compare(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a tuning run: NAME.run, or round-001 of a project.")
    ],
) -> None:
    """Work a tuning run's verdict out again, from the masks that it saved, and say whether it is the one it gave."""
    from napari_morse.cli.finetune import show
    from napari_morse.training.finetuning.judging import rederived
    from napari_morse.training.finetuning.verdict import Verdict

    recorded, recomputed = Verdict.read(run), rederived(run)
    show(recomputed)
    if recomputed != recorded:
        raise InputError(
            f"The verdict in {run} is another one: {recorded.sentence}",
            "Masks, labels or the verdict were changed since.",
        )
    _say("This is the verdict that the run gave.")
