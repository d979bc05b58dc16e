"""Corrections that begin with another mask than those before."""

from __future__ import annotations

from pathlib import Path

from napari_morse.session.edits.corrections import Corrections
from napari_morse.session.edits.files import case_files
from napari_morse.types import Array


def begin_afresh(folder: Path | str, mask: Array, scan_digest: str) -> Corrections:
    """Begin with another mask in the place of one that is `Corrections.untouched`.

    Raises
    ------
    InputError
        The folder cannot be written to.
    """
    for path in case_files(Path(folder)):
        path.unlink(missing_ok=True)
    corrections = Corrections.open(folder, mask, scan_digest)
    corrections.checkpoint()
    return corrections
