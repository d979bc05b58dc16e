"""Files of the cases that a run reads, and what their voxels are marked with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from napari_morse.io.voxels import file_digest, scan_digest

CODE_PLAIN, CODE_UNREVIEWED, CODE_CORRECTED = 0, 1, 2
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
    """NIfTI of the codes above per voxel, on the scan's grid; None where all was reviewed."""


def digests(
    sources: Iterable[Source], channels: int = 1, between: Callable[[], None] = lambda: None
) -> tuple[str, ...]:
    """What each case's scan is known again by, in order, whatever it is called and however it was saved.

    Slow; a scan that was read before is not read again. ``between`` is called before each.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    found = []
    for source in sources:
        between()
        found.append(scan_digest(source.scan, channels))
    return tuple(found)


def older_digests(sources: Iterable[Source], channels: int = 1) -> tuple[str, ...]:
    """What older versions knew each case's scan again by: its files, byte by byte; errors as `digests`."""
    return tuple(file_digest(source.scan, channels) for source in sources)
