"""``napari-morse demo``: the sample scan in napari, with both masks."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_morse.errors import InputError

if TYPE_CHECKING:
    from napari_morse.types import Prediction, Scan
    from napari_morse.widgets.bridge.mask_looks import Mode
    from napari_morse.widgets.demo import TakePicture


def demo(
    out: Annotated[Path | None, typer.Option(help="Also leave masks, points, table and a picture here.")] = None,
    model: Annotated[str, typer.Option(help="Name of a model.")] = "hippocampus-3d",
    headless: Annotated[bool, typer.Option("--headless", help="Close the window once everything is written.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over files in that folder that were changed meanwhile.")
    ] = False,
) -> None:
    """Open napari on the sample scan, press Run, and show both masks side by side."""
    if headless and out is None:
        raise InputError("A demonstration that closes its window leaves nothing behind.", "Name a folder with --out.")
    _check_screen()
    from napari_morse.widgets.demo import run_demo

    def ready(prediction: Prediction, scan: Scan, picture: TakePicture) -> None:
        _leave(prediction, scan, picture, out, replace)

    run_demo(model, ready, stay=not headless)


def _leave(prediction: Prediction, scan: Scan, picture: TakePicture, out: Path | None, replace: bool) -> None:
    from napari_morse.inference.written_files import save_safely
    from napari_morse.io.atomic import write_text
    from napari_morse.session import result_rows, size_unit, table_csv, table_text

    rows, unit = result_rows(prediction, scan), size_unit(scan)
    for sentence in prediction.warnings:
        typer.echo(f"Note: {sentence}")
    typer.echo(table_text(rows, unit))
    if out is None:
        return
    pictures: tuple[tuple[Mode, str], ...] = (("side", "side_by_side"), ("contour", "contour"))

    def further(folder: Path) -> list[Path]:
        files = [write_text(folder / f"{scan.stem}_table.csv", table_csv(rows, unit))]
        for mode, name in pictures:
            files.append(folder / f"{scan.stem}_{name}.png")
            picture(files[-1], mode)
        return files

    written = save_safely(prediction, scan, out, replace=replace, further=further)
    for path in written:
        typer.echo(str(path))


def _check_screen() -> None:
    """Qt would end the whole process without a screen; say it instead."""
    elsewhere = sys.platform in {"win32", "darwin"}
    if not elsewhere and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")):
        raise InputError("There is no screen to open napari on.", "Use a desktop, or run it under xvfb-run.")
