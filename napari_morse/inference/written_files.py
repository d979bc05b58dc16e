"""What was written of a scan, remembered beside it: only our own files, unchanged and of that very scan, are replaced.

A case's files lie in one folder: ``<case>_coarse.nii.gz``, ``<case>_rendered.nii.gz``, its tables, and
``<case>_written.json``, which holds a digest of the scan's voxels and place and one of every file. The memory knows its
files by their endings, so it goes wherever they go.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_morse.errors import InputError
from napari_morse.inference.export import output_files, save_prediction
from napari_morse.io.atomic import part_folder, replace_files, write_text
from napari_morse.io.guards import keep_original
from napari_morse.io.mask_store import pixel_digest
from napari_morse.types import Prediction, Scan

RECORD_ENDING = "_written.json"
"""What follows the case's name in the name of its memory."""
_LARGEST_RECORD = 1_000_000
"""Bytes of a memory; a kB is usual."""
_WRITABLE = 0o222
REPLACE_HINT = "Give another --out, or --replace to write over it."
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class WrittenRecord(BaseModel):
    """``<case>_written.json``, strict."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal["napari-morse-written"] = "napari-morse-written"
    format_version: Literal[1] = 1
    scan: Digest
    """Of the scan that the files were predicted from: `digest_of_scan`."""
    model: str
    model_digest: str
    files: dict[str, tuple[Digest, ...]]
    """By what follows the case's name: sha256 of the file; of two, while files are exchanged, either."""


def digest_of_scan(scan: Scan) -> str:
    """Sha256 over the voxels of every channel and where they lie, whatever the file is called and however packed."""
    # + 0.0 makes −0 a 0: they are one place, in different bytes.
    digest = hashlib.sha256((scan.grid.affine + 0.0).astype("<f8").tobytes())
    for channel in scan.channels:
        digest.update(pixel_digest(channel).encode())
    return digest.hexdigest()


def check_free(scan: Scan, folder: Path, replace: bool = False, endings: Iterable[str] = ()) -> None:
    """Look that the files of a result may be written; cheap beside the prediction.

    Parameters
    ----------
    scan
        What is predicted.
    folder
        Where to; it need not exist.
    replace
        Whether files that are not our own, or were changed, may be written over.
    endings
        What follows the case's name in further files.

    Raises
    ------
    InputError
        Names the file, why it is not written over, and the way out. Links, folders and the scan itself never are.
    """
    names = [p.name for p in output_files(scan.stem, folder, scan.is_picture)]
    names += [f"{scan.stem}{ending}" for ending in (*endings, RECORD_ENDING) if f"{scan.stem}{ending}" not in names]
    # lexists: a link that leads nowhere is in the way, too.
    existing = [folder / name for name in names if os.path.lexists(folder / name)]
    for path in existing:
        _check_kind(path)
        keep_original(path, scan.source)
    if existing and not replace:
        _check_own(existing, scan, read_record(scan.stem, folder))


def _check_kind(path: Path) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise InputError(
            f"“{path.name}” in {path.parent} is a link; what it points to is not written over.",
            "Remove the link, or give another --out.",
        )
    if not stat.S_ISREG(mode):
        raise InputError(f"“{path.name}” in {path.parent} is no plain file.", "Move it away, or give another --out.")


def _check_own(existing: list[Path], scan: Scan, record: WrittenRecord | None) -> None:
    """Raise unless all these files are what was written of this scan."""
    if record is None:
        raise _taken(existing, "is there already, and nothing says that it was predicted from this scan")
    files = [path for path in existing if not path.name.endswith(RECORD_ENDING)]
    if files and record.scan != digest_of_scan(scan):
        raise _taken(files, "belongs to another scan of that name")
    known = {ending: set(digests) for ending, digests in record.files.items()}
    unknown = [path for path in files if path.name[len(scan.stem) :] not in known]
    if unknown:
        raise _taken(unknown, "is there already, and nothing says that it was predicted from this scan")
    # Except on Windows, a rename asks for rights on the folder alone: without this look, what somebody write-protected
    # would go.
    protected = [path for path in files if not path.stat().st_mode & _WRITABLE]
    if protected:
        raise _taken(protected, "is write-protected")
    changed = [path for path in files if digest_of_file(path) not in known[path.name[len(scan.stem) :]]]
    if changed:
        raise _taken(changed, "was changed since it was written")


def _taken(files: list[Path], why: str) -> InputError:
    """The rendered mask is what people correct: it is named first."""
    first = next((path for path in files if "_rendered." in path.name), files[0])
    more = sum(not path.name.endswith(RECORD_ENDING) for path in files) - 1
    also = f" (and {more} more)" if more > 0 else ""
    return InputError(f"“{first.name}”{also} in {first.parent} {why}.", REPLACE_HINT)


def read_record(stem: str, folder: Path) -> WrittenRecord | None:
    """What is remembered of a case's files; None where that is nothing, or cannot be read."""
    try:
        with (folder / f"{stem}{RECORD_ENDING}").open("rb") as file:
            content = file.read(_LARGEST_RECORD)
        return WrittenRecord.model_validate_json(content)
    except (OSError, ValidationError):
        return None


def digest_of_file(path: Path) -> str:
    """Sha256 of a file.

    Raises
    ------
    InputError
        It cannot be read, so that nobody knows whose it is.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"“{path.name}” in {path.parent} is there already and cannot be read: {error.strerror or error}.",
            REPLACE_HINT,
        ) from error


def save_safely(
    prediction: Prediction,
    scan: Scan,
    folder: Path,
    *,
    replace: bool = False,
    further: Callable[[Path], Iterable[Path]] | None = None,
) -> list[Path]:
    """Write a result as `save_prediction` does, and its memory; nothing that is somebody's is written over.

    All files are made before the first one takes its place. Killed in between, old and new ones lie beside each other,
    and both are known as our own.

    Parameters
    ----------
    replace
        As `check_free`.
    further
        Makes more files in the folder that it is given, named ``<case>…``, and tells them.

    Returns
    -------
    list of Path
        What was written, without the memory.

    Raises
    ------
    InputError
        As `check_free`; or the folder cannot be written to.
    """
    # Inside the folder itself: a rename replaces in one step on one disk only.
    part = part_folder(folder / "morse")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        files = [*save_prediction(prediction, scan, part), *(() if further is None else further(part))]
        return _take_place(files, prediction, scan, folder, replace)
    except OSError as error:
        raise InputError(
            f"The result of “{scan.stem}” could not be written to {folder}: {error.strerror or error}.",
            "Choose a folder with space that you may write to.",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _take_place(files: list[Path], prediction: Prediction, scan: Scan, folder: Path, replace: bool) -> list[Path]:
    digests = {path.name[len(scan.stem) :]: digest_of_file(path) for path in files}
    check_free(scan, folder, replace, digests)  # again: somebody may have painted while the model ran
    known, scanned = read_record(scan.stem, folder), digest_of_scan(scan)
    before = known.files if known is not None and known.scan == scanned else {}

    def remember(by_ending: Mapping[str, tuple[str, ...]]) -> None:
        record = WrittenRecord(
            scan=scanned, model=prediction.model, model_digest=prediction.digest, files=dict(by_ending)
        )
        write_text(folder / f"{scan.stem}{RECORD_ENDING}", record.model_dump_json(indent=1) + "\n")

    # Old and new digests first: killed between two files, whatever lies there is still known as our own.
    both = {ending: tuple({*before.get(ending, ()), digest}) for ending, digest in digests.items()}
    remember({**before, **both})
    finals = replace_files(files, folder)
    remember({**before, **{ending: (digest,) for ending, digest in digests.items()}})
    return finals
