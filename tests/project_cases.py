"""Projects of small fake cases that several test files use."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import nibabel as nib
import numpy as np

from napari_morse.session.project import CaseFiles, Project, from_folders, with_patients

SHAPE = (12, 10, 8)
"""Of scans and masks that hold pixels; voxels of 1 × 2 × 2.5 mm."""
AFFINE = np.array([[0, -2.0, 0, 7], [1.0, 0, 0, -3], [0, 0, 2.5, 11], [0, 0, 0, 1]])
ROOT = Path(__file__).parents[1]
PATTERN = r"(p\d+)_"


def scans(folder: Path, patients: int = 3, each: int = 2) -> Path:
    """A folder of files that are scans by their name only: nothing reads their pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    for patient in range(patients):
        for case in range(each):
            (folder / f"p{patient}_{case}.nii.gz").write_bytes(b"scan %d of patient %d" % (case, patient))
    return folder


def sources(folder: Path, patients: int = 3, each: int = 2) -> list[CaseFiles]:
    return with_patients(from_folders(scans(folder, patients, each)), PATTERN)


def make(tmp_path: Path, patients: int = 3, each: int = 2, reader: str = "AB", **kwargs) -> Project:
    """A new project in ``tmp_path/study`` over scans in ``tmp_path/scans``."""
    found = sources(tmp_path / "scans", patients, each)
    return Project.create(tmp_path / "study", found, name="study", reader=reader, **kwargs)


def again(tmp_path: Path, reader: str = "AB", **kwargs) -> Project:
    """The project of `make` once more."""
    return Project.open(tmp_path / "study", reader=reader, **kwargs)


def tamper(tmp_path: Path, *statements: str) -> None:
    """Change the database behind the program's back."""
    with closing(sqlite3.connect(tmp_path / "study" / "worklist.sqlite")) as connection:
        connection.executescript("DROP TRIGGER audit_stays; DROP TRIGGER audit_kept;" + ";".join(statements))


def child(code: str, *arguments: object, **kwargs) -> subprocess.Popen[str]:
    """Another process that runs ``code``; ``sys.argv[1:]`` are the arguments."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **kwargs)


def box(start=2, label=1, second=False):
    """A cube of 4 voxels a side, and with ``second`` a small other structure."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[start : start + 4, 2:6, 2:6] = label
    if second:
        mask[9:11, 7:9, 5:7] = 2
    return mask


def nifti(path, data, affine=AFFINE):
    """A file that can be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)
