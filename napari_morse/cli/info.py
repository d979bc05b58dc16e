"""``napari-morse info``: what a scan holds and where it lies, before anything is run on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

if TYPE_CHECKING:
    from napari_morse.types import Scan


def info(
    file: Annotated[Path, typer.Argument(help="A NIfTI file or a picture.", show_default=False)],
    *,
    frame: Annotated[int | None, typer.Option(help="Frame of a 4-D series, from 0.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show shape, voxel size, orientation, intensities and anything unusual of a scan."""
    from napari_morse.io import open_scan

    facts = describe(open_scan(file, frame=frame))
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _show(facts)


def describe(scan: Scan) -> dict[str, Any]:
    """What there is to say about a scan, without any text of its header (it may name the patient).

    Returns
    -------
    dict
        JSON values; lengths in mm, angles in degrees, intensities over the finite voxels; ``codes`` and obliquity
        are None where the orientation is not known.
    """
    from napari_morse.geometry.orientation import codes, obliquity

    finite = scan.data[np.isfinite(scan.data)] if scan.data.dtype.kind == "f" else scan.data
    return {
        "file": scan.source.name if scan.source else scan.stem,
        "shape": list(scan.data.shape),
        "spacing_mm": [round(step, 6) for step in scan.grid.spacing],
        "voxel_volume_mm3": float(f"{scan.grid.voxel_volume:.6g}"),
        "orientation_known": scan.orientation_known,
        "codes": codes(scan.grid) if scan.orientation_known else None,
        "obliquity_degrees": round(obliquity(scan.grid), 3) if scan.orientation_known else None,
        "picture": scan.is_picture,
        "frame": scan.frame,
        "dtype": str(scan.data.dtype),
        "voxels": int(scan.data.size),
        "finite": int(finite.size),
        "minimum": float(finite.min()),
        "maximum": float(finite.max()),
        "notices": list(scan.notices),
    }


def _show(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(facts):
        # Text, not str: rich would take square brackets in a file's name for markup.
        table.add_row(name, Text(value))
    console = Console()
    console.print(table)
    for notice in facts["notices"]:
        console.print(Text(f"Note: {notice}"))


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    known = facts["orientation_known"]
    tilt = f", up to {facts['obliquity_degrees']:.1f}° oblique" if known and facts["obliquity_degrees"] >= 0.05 else ""
    what = "pixels (rows, columns)" if facts["picture"] else "voxels"
    shape = facts["shape"][:2] if facts["picture"] else facts["shape"]
    spacing = facts["spacing_mm"][:2] if facts["picture"] else facts["spacing_mm"]
    rows = [
        ("file", facts["file"]),
        ("size", f"{' × '.join(str(n) for n in shape)} {what}"),
        ("spacing", f"{' × '.join(f'{step:.4g}' for step in spacing)} mm"),
        ("orientation", f"{facts['codes']}{tilt}" if known else "not known"),
        ("intensities", f"{facts['minimum']:.6g} to {facts['maximum']:.6g} ({facts['dtype']})"),
        ("finite", f"{facts['finite']} of {facts['voxels']}"),
    ]
    if facts["frame"] is not None:
        rows.insert(1, ("frame", str(facts["frame"])))
    return rows
