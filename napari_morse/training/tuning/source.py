"""Files of the cases that a run reads, and what their voxels are marked with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from napari_morse.errors import InputError
from napari_morse.io.channels import channel_files

PLAIN, UNREVIEWED, CORRECTED = 0, 1, 2
"""Codes of voxels: as good as any, to be ignored, changed by a person."""


class Source(BaseModel):
    """Files of one case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    scan: Path
    """Of several channels, the first one."""
    labels: Path
    patient: str = ""
    """Cases of one patient are never on both sides."""
    codes: Path | None = None
    """NIfTI with `PLAIN`, `UNREVIEWED` or `CORRECTED` per voxel, on the scan's grid; None where all was reviewed."""


def digests(sources: Iterable[Source], channels: int = 1) -> tuple[str, ...]:
    """sha256 of each case's scan files, in order: how a case is known again, whatever it is called.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    return tuple(_digest(channel_files(source.scan, channels)) for source in sources)


def _digest(files: Sequence[Path]) -> str:
    found = hashlib.sha256()
    for path in files:
        try:
            found.update(path.read_bytes())
        except OSError as error:
            raise InputError(f"The scan {path} can't be read: {error.strerror}.", "Bring it back.") from error
    return found.hexdigest()
