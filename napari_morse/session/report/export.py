"""The final masks of a project as files on their scans' exact grids, with a list of what is what."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from napari_morse.errors import InputError, MorseError
from napari_morse.io import save_mask
from napari_morse.io.atomic import write_text
from napari_morse.session.case.masks import load_masks
from napari_morse.session.project import Case, Project, Status
from napari_morse.session.project.rules import FINAL
from napari_morse.session.report.tables import cell
from napari_morse.types import Mask

MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Exported:
    """One row of the manifest; ``trouble`` says why there is no file."""

    case: str
    file: str
    scan: str
    status: Status
    reviewer: str
    stage: str
    chosen_reader: str
    model: str
    model_digest: str
    sha256: str
    trouble: str
    project: str
    """Its id."""


def export_masks(
    project: Project,
    folder: Path | str,
    statuses: Sequence[Status] = FINAL,
    exported: Callable[[Exported], None] | None = None,
) -> list[Exported]:
    """Write the final mask of every case of some statuses, and ``manifest.csv``.

    A mask is called as its scan with ``_mask``, or as its case's id where two scans have one name. A case whose mask
    can't be read or written doesn't stop the others.

    Parameters
    ----------
    project
        Where from.
    folder
        Where to; made when it is not there.
    statuses
        Of the cases.
    exported
        Called with each row as it is done.

    Raises
    ------
    InputError
        No case has such a status, the folder can't be made or written to, or it holds another project's masks or a list
        of somebody's own.
    """
    cases, target = project.cases(statuses=statuses), Path(folder)
    if not cases:
        raise InputError("No case has a status to export.", "Accept some first, or choose other statuses.")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {target} could not be made: {error.strerror}.", "Choose another.") from error
    inputs, earlier, names = _inputs(project), _earlier(target, project.about.id), _names(cases)
    rows = []
    for case in cases:
        rows.append(_exported(project, case, target, names[case.id], inputs, earlier))
        if exported is not None:
            exported(rows[-1])
    write_text(target / MANIFEST, _text(rows))
    return rows


def _exported(
    project: Project, case: Case, folder: Path, name: str, inputs: set[tuple[int, int]],
    earlier: dict[str, str],
) -> Exported:  # fmt: skip
    stage, file, digest, trouble = "", "", "", ""
    try:
        masks = load_masks(project, case)
        if masks.final is None:
            raise InputError("There is no mask.", "")
        stage, data = masks.final
        path = folder / f"{name}{'.png' if masks.scan.is_picture else '.nii.gz'}"
        _spare(path, inputs, earlier)
        save_mask(Mask(data, masks.scan.grid, header=masks.scan.header), path, original=masks.scan.source)
        file, digest = path.name, hashlib.sha256(path.read_bytes()).hexdigest()
    except MorseError as error:
        trouble = str(error)
    except OSError as error:
        trouble = f"“{name}” could not be read or written: {error.strerror or error}."
    return Exported(
        case.id, file, case.scan.name, case.status, case.reviewer, stage, project.final_reader(case.id), case.model,
        case.model_digest, digest, trouble, project.about.id,
    )  # fmt: skip


def _names(cases: Sequence[Case]) -> dict[str, str]:
    stems = [case.stem.casefold() for case in cases]
    return {c.id: f"{c.stem if stems.count(c.stem.casefold()) == 1 else c.id}_mask" for c in cases}


def _inputs(project: Project) -> set[tuple[int, int]]:
    """What the project's own inputs are on the disk, also under other names and links."""
    inputs = set()
    for case in project.cases():
        for path in (case.scan, case.mask, case.truth):
            if path is not None and path.exists():
                # By device and inode, not by name: a link, or another spelling of the path, is the same file.
                status = path.stat()
                inputs.add((status.st_dev, status.st_ino))
    return inputs


def _earlier(folder: Path, project: str) -> dict[str, str]:
    """Files that an earlier export of this project into this folder wrote, and their sha256."""
    path = folder / MANIFEST
    if not os.path.lexists(path):
        return {}
    rows = [] if path.is_symlink() else _rows(path)
    if not rows:
        raise InputError(f"“{MANIFEST}” is there already, and no earlier export wrote it.", "Choose another folder.")
    if {row.get("project") or project for row in rows} != {project}:
        raise InputError(f"{folder} holds the exported masks of another project.", "Choose another folder.")
    return {row["file"]: row["sha256"] for row in rows if row["file"]}


def _rows(path: Path) -> list[dict[str, str]]:
    """What a manifest lists; nothing, when it is none. One that lists nothing is never written."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    return rows if all(row.get("file") is not None and row.get("sha256") is not None for row in rows) else []


def _spare(path: Path, inputs: set[tuple[int, int]], earlier: dict[str, str]) -> None:
    if not os.path.lexists(path):
        return
    # Not `stat`, which tells of what a link leads to.
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"“{path.name}” is a link or no plain file, and not written over.", "Choose another folder.")
    if (status.st_dev, status.st_ino) in inputs:
        raise InputError(f"“{path.name}” is one of the project's inputs, which are never written over.", "")
    if path.name not in earlier:
        raise InputError(f"“{path.name}” is there already, and no earlier export lists it.", "Choose another folder.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != earlier[path.name]:
        raise InputError(f"“{path.name}” was changed since it was exported.", "Choose another folder.")


def _text(rows: Sequence[Exported]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([field.name for field in fields(Exported)])
    writer.writerows([cell(value) for value in astuple(row)] for row in rows)
    return buffer.getvalue()
