"""A result as files, the same as the command line writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_morse.errors import InputError
from napari_morse.session.warm import load_torch
from napari_morse.types import Prediction, Scan


class WouldReplaceError(InputError):
    """Files of an earlier result are in the way; nothing was written.

    Parameters
    ----------
    files
        Those that would be replaced.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        names = ", ".join(path.name for path in files)
        super().__init__(f"The folder {files[0].parent} already holds {names}.", "Choose another folder.")
        self.files = tuple(files)


def save_result(prediction: Prediction, scan: Scan, folder: Path, *, replace: bool = False) -> list[Path]:
    """Write both masks, points and patches into ``folder``; see `inference.save_prediction`. Not for a window's thread.

    Parameters
    ----------
    prediction, scan
        What was predicted of what.
    folder
        Made when it is not there.
    replace
        Whether files of an earlier result may be replaced.

    Raises
    ------
    WouldReplaceError
        Such files are there, and ``replace`` is False.
    InputError
        The folder cannot be written to, or a file would fall on the scan itself.
    """
    load_torch()
    from napari_morse.inference.export import output_files, save_prediction

    there = [path for path in output_files(scan.stem, folder, scan.is_picture) if path.exists()]
    if there and not replace:
        raise WouldReplaceError(there)
    return save_prediction(prediction, scan, folder)
