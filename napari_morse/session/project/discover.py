"""Cases found on the disk: in folders, in a list, in a BIDS data set. Names only; no pixel is read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from napari_morse.errors import InputError
from napari_morse.io import case_stem
from napari_morse.io.channels import IMAGE_ENDINGS
from napari_morse.io.subjects import folder_subject, patient_key, patient_said, subject_in, subject_of
from napari_morse.session.project.layout import is_file
from napari_morse.session.project.records import CaseFiles

_OF_THE_MASK = ("space-", "desc-", "label-", "atlas-", "seg-", "res-", "den-")
"""What the name of a BIDS segmentation says of itself, not of its image."""
_MASKED = re.compile(r"_(mask|dseg|seg|label|labels|truth|segmentation|coarse|rendered|corrected)$", re.IGNORECASE)


def from_folders(scans: Path, masks: Path | None = None, truths: Path | None = None) -> list[CaseFiles]:
    """A case for every scan in a folder, with the mask and the truth of the same name.

    Raises
    ------
    InputError
        A folder is missing, or there is no scan.
    """
    images = _images(scans)
    if not images:
        raise InputError(f"There is no scan in {scans}.", f"Scans end in {', '.join(IMAGE_ENDINGS)}.")
    masks_by_stem, truths_by_stem = (_by_stem(folder, scans) for folder in (masks, truths))
    return [CaseFiles(path, masks_by_stem.get(case_stem(path)), truths_by_stem.get(case_stem(path))) for path in images]


def from_list(path: Path) -> list[CaseFiles]:
    """Cases named by a file.

    A CSV has the column ``scan`` and, when wanted, ``mask``, ``truth``, ``patient``; a text file one scan a line. Paths
    are relative to the file.

    Raises
    ------
    InputError
        It cannot be read, names no scan, or names a file that is not there.
    """
    if path.suffix.lower() in (".csv", ".tsv"):
        rows = read_table(path)
        if rows and "scan" not in rows[0]:
            raise InputError(f"The list “{path.name}” has no column “scan”.", "Name its columns in the first line.")
    else:
        lines = (line.strip() for line in read_words(path).splitlines())
        rows = [{"scan": line} for line in lines if line and not line.startswith("#")]
    sources = [_listed(path.parent, row) for row in rows if row["scan"]]
    if not sources:
        raise InputError(f"The list “{path.name}” names no scan.", "Write one scan a line.")
    return sources


def from_bids(root: Path, suffix: str = "") -> list[CaseFiles]:
    """Images of a BIDS data set, ``sub-*/[ses-*/]<folder>/*.nii[.gz]``.

    A segmentation among its derivatives (``_dseg``, ``_mask``, …) is the truth of the image of the same subject,
    session and run, which must have all else that its name says (``acq-…``); the one that says most is taken.

    Parameters
    ----------
    root
        Of the data set.
    suffix
        Only images of that kind, e.g. ``T1w``; empty: all.

    Raises
    ------
    InputError
        There is no such image, or one lies in the folder of another subject.
    """
    people = [p for p in root.iterdir() if p.name.lower().startswith("sub-")] if root.is_dir() else []
    images = sorted(p for folder in people for p in folder.rglob("*") if p.is_file() and _is_scan(p))
    images = [p for p in images if not suffix or case_stem(p).endswith(f"_{suffix}")]
    if not images:
        kind = f" that ends in _{suffix}" if suffix else ""
        raise InputError(f"There is no image{kind} in the data set {root}.", "Check the folder, or leave the kind out.")
    truths: dict[frozenset[str], list[Path]] = {}
    for path in sorted((root / "derivatives").rglob("*")):
        if path.is_file() and _is_image(path) and _MASKED.search(case_stem(path)):
            truths.setdefault(_who(case_stem(path)), []).append(path)
    _check_folders(images)
    return [CaseFiles(p, truth=_fitting(p, truths), patient=subject_of(p)) for p in images]


def with_patients(sources: Iterable[CaseFiles], pattern: str = "", table: Path | None = None) -> list[CaseFiles]:
    """Say whose scan each is: by a table, by a pattern, by BIDS ``sub-``; else a case is its own patient.

    Parameters
    ----------
    sources
        What was found; a patient that is known already stays.
    pattern
        A regular expression; its first group, found in the file's name, else in the nearest folder's that it fits, is
        the patient.
    table
        A CSV with the columns ``case`` (file name or stem) and ``patient``; a cell that is empty, or says ``n/a``,
        ``unknown`` or the like, makes a patient of its own.

    Raises
    ------
    InputError
        The pattern is none, has no group, or fits no name at all; the table lacks a column or a case; a file lies in
        the folder of another subject.
    """
    known = _table(table) if table is not None else {}
    fitted = _compiled(pattern) if pattern else None
    listed = list(sources)
    if not pattern and table is None:
        _check_folders(s.scan for s in listed if not s.patient)
    sources_with_patients = [replace(s, patient=s.patient or _patient(s, fitted, known, table)) for s in listed]
    if fitted is not None and all(_matched(s.scan, fitted) is None for s in sources_with_patients):
        raise InputError(f"The pattern {pattern!r} fits no scan's name.", "Try it on one name first.")
    return sources_with_patients


def _patient(source: CaseFiles, pattern: re.Pattern[str] | None, known: Mapping[str, str], table: Path | None) -> str:
    if table is not None:
        rows = [name for name in (source.scan.name, case_stem(source.scan)) if name in known]
        if not rows:
            raise InputError(f"“{table.name}” says no patient for “{source.scan.name}”.", "Add a row for it.")
        return next((who for name in rows if (who := patient_said(known[name]))), "")
    if pattern is not None:
        return patient_said(_matched(source.scan, pattern) or "")
    return subject_of(source.scan)


def _check_folders(scans: Iterable[Path]) -> None:
    """Raise where a file of one subject lies in the folder of another who is there, too: whose it is nobody knows."""
    named = [(scan, subject_in(case_stem(scan)), folder_subject(scan)) for scan in scans]
    people = {patient_key(own) for _, own, _ in named if own}
    for scan, own, folder in named:
        if own and folder and patient_key(own) != patient_key(folder) and patient_key(folder) in people:
            raise InputError(
                f"“{scan.name}” lies in the folder of {folder}: whose scan it is cannot be told.",
                "Rename or move it, or say the patients in a list or by a pattern.",
            )


def _matched(path: Path, pattern: re.Pattern[str]) -> str | None:
    """What the pattern's first group finds in a file's own name, else in the nearest folder's, else in the path."""
    for part in (path.name, *(p.name for p in path.parents), path.as_posix()):
        match = pattern.search(part)
        if match:
            return match[1]
    return None


def _who(stem: str) -> frozenset[str]:
    """Subject, session and run: what a segmentation and its image always have in common."""
    return frozenset(part for part in stem.casefold().split("_") if part.startswith(("sub-", "ses-", "run-")))


def _fitting(image: Path, truths: Mapping[frozenset[str], list[Path]]) -> Path | None:
    has = set(case_stem(image).split("_"))

    def entities(truth: Path) -> set[str]:
        parts = case_stem(truth).split("_")
        return {part for part in parts if "-" in part and not part.startswith(_OF_THE_MASK)}

    fitting = [truth for truth in truths.get(_who(case_stem(image)), []) if entities(truth) <= has]
    return max(fitting, key=lambda truth: len(entities(truth)), default=None)


def _table(path: Path) -> dict[str, str]:
    rows = read_table(path)
    if not rows or not {"case", "patient"} <= set(rows[0]):
        raise InputError(f"“{path.name}” lacks the columns “case” and “patient”.", "Name them in its first line.")
    return {row["case"]: row["patient"] for row in rows}


def read_words(path: Path) -> str:
    """A text file.

    Raises
    ------
    InputError
        It cannot be read, or is not text.
    """
    try:
        # -sig: spreadsheets write a byte order mark, which would become part of the first column's name.
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The list “{path.name}” could not be read.", "Save it as UTF-8 text.") from error


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV whose first line names its columns; parted by commas, semicolons or tabs, blanks around are cut.

    Raises
    ------
    InputError
        It cannot be read, or is not a CSV.
    """
    words = read_words(path)
    first = words.partition("\n")[0]
    parting = max(",;\t", key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(words, newline=""), delimiter=parting, strict=True))
    except csv.Error as error:
        raise InputError(f"The list “{path.name}” is no CSV: {error}.", "Save it as UTF-8 CSV.") from error
    names = [name.strip().lower() for name in lines[0]] if lines else []
    filled = ([cell.strip() for cell in line] for line in lines[1:] if any(cell.strip() for cell in line))
    return [dict(zip(names, [*line, *[""] * len(names)], strict=False)) for line in filled]


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"{pattern!r} is no pattern: {error}.", "Example: (P[0-9]+)_") from error
    if compiled.groups < 1:
        raise InputError(f"The pattern {pattern!r} has no group.", "Put the patient's part in brackets: (P[0-9]+)_")
    return compiled


def _listed(folder: Path, row: Mapping[str, str]) -> CaseFiles:
    def path(name: str) -> Path | None:
        text = row.get(name, "")
        if not text:
            return None
        file = folder / text
        if not is_file(file):
            raise InputError(f"There is no file “{text}”, which the list names.", "Paths are relative to the list.")
        return file

    scan = path("scan")
    if scan is None:
        raise InputError("A line of the list names no scan.", "Fill its column “scan”.")
    return CaseFiles(scan, path("mask"), path("truth"), patient_said(row.get("patient", "")))


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Give a folder that exists.")
    return sorted(p for p in folder.iterdir() if p.is_file() and _is_scan(p))


def _is_scan(path: Path) -> bool:
    return _is_image(path) and not _MASKED.search(case_stem(path))


def _is_image(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.lower().endswith(IMAGE_ENDINGS)


def _by_stem(folder: Path | None, scans: Path) -> dict[str, Path]:
    """Masks by the name of their scan: ``case_mask.nii.gz`` belongs to ``case.nii.gz``; a scan is never a mask."""
    if folder is None:
        return {}
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Give a folder that exists.")
    files = sorted(p for p in folder.iterdir() if p.is_file() and _is_image(p))
    if folder.samefile(scans):
        files = [path for path in files if _MASKED.search(case_stem(path))]
    return {_MASKED.sub("", case_stem(p)): p for p in files} | {case_stem(p): p for p in files}
