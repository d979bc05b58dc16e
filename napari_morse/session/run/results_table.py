"""The result in numbers: one row a structure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_morse.types import Array, Prediction, Scan


@dataclass(frozen=True)
class Row:
    """One structure.

    Parameters
    ----------
    id, name, color
        The label.
    coarse, rendered
        Size in the unit of `size_unit`.
    changed
        Voxels that rendering added to or took from the structure.
    points
        Re-predicted voxels that were or became the structure.
    """

    id: int
    name: str
    color: str
    coarse: float
    rendered: float
    changed: int
    points: int


def size_unit(scan: Scan) -> str:
    """``ml``, or ``mm²`` for a 2-D picture; where a voxel's size is not known, ``vx``, or ``px²``."""
    if scan.is_picture:
        return "mm²" if scan.size_known else "px²"
    return "ml" if scan.size_known else "vx"


def voxel_size(scan: Scan) -> float:
    """Size of one voxel in the unit of `size_unit`."""
    if not scan.size_known:
        return 1.0
    if scan.is_picture:
        return float(np.linalg.norm(np.cross(scan.grid.affine[:3, 0], scan.grid.affine[:3, 1])))
    return scan.grid.voxel_volume / 1000.0


def result_rows(prediction: Prediction, scan: Scan) -> tuple[Row, ...]:
    """Sizes before and after rendering, voxels changed and points, for each structure of the model."""
    coarse, rendered, points = prediction.coarse.data, prediction.rendered.data, prediction.points
    top = max((label.id for label in prediction.rendered.labels), default=0) + 1
    differs = coarse != rendered
    before, after = _count(coarse, top), _count(rendered, top)
    changed = _count(coarse[differs], top) + _count(rendered[differs], top)
    moved = points.changed
    met = _count(points.before, top) + _count(points.after[moved], top)
    one = voxel_size(scan)
    return tuple(
        Row(
            label.id,
            label.name,
            label.color,
            float(before[label.id] * one),
            float(after[label.id] * one),
            int(changed[label.id]),
            int(met[label.id]),
        )
        for label in prediction.rendered.labels
    )


def _count(ids: Array, top: int) -> NDArray[np.int64]:
    # A count needs no order: in C order a mask that lies in Fortran order, as in NIfTI files, would be copied first.
    return np.bincount(ids.reshape(-1, order="A"), minlength=top).astype(np.int64)


def table_csv(rows: Sequence[Row], unit: str) -> str:
    """The rows as CSV with a header line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    size = unit.replace("²", "2")
    writer.writerow(["id", "structure", f"coarse_{size}", f"rendered_{size}", "changed_voxels", "points"])
    writer.writerows([r.id, r.name, f"{r.coarse:.4f}", f"{r.rendered:.4f}", r.changed, r.points] for r in rows)
    return out.getvalue()


def table_text(rows: Sequence[Row], unit: str) -> str:
    """The rows as aligned text."""
    wide = max([len("structure"), *(len(r.name) for r in rows)])
    lines = [f"{'structure':<{wide}}  {'coarse ' + unit:>12}  {'rendered ' + unit:>12}  {'changed':>8}  {'points':>8}"]
    lines += [f"{r.name:<{wide}}  {r.coarse:>12.2f}  {r.rendered:>12.2f}  {r.changed:>8}  {r.points:>8}" for r in rows]
    return "\n".join(lines)
