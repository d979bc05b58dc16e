"""Masks as files: the corrected one first, then what the command line writes of a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_morse.errors import InputError
from napari_morse.io import save_mask
from napari_morse.session.run.warm import load_torch
from napari_morse.types import Mask, Prediction, Scan


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


@dataclass(frozen=True, eq=False)
class ToSave:
    """What there is of a scan to be saved.

    Parameters
    ----------
    scan
        Whose masks.
    corrected
        Gives, in any thread, the mask that a person corrected, on the scan's grid; None where nothing was begun.
    prediction
        Gives a model's result on the scan; None where none ran.
    """

    scan: Scan
    corrected: Callable[[], Mask] | None
    prediction: Callable[[], Prediction] | None


def save_masks(what: ToSave, folder: Path, *, replace: bool = False) -> list[Path]:
    """Write the corrected mask, then a result's masks, points and patches, into ``folder``; not for a window's thread.

    Parameters
    ----------
    what
        ``<case>_corrected.nii.gz`` is written of the corrected mask (of a picture also ``.png``); for a result see
        `inference.save_prediction`.
    folder
        Made when it is not there.
    replace
        Whether files that are there may be replaced.

    Returns
    -------
    list of Path
        What was written, in that order.

    Raises
    ------
    WouldReplaceError
        Such files are there, and ``replace`` is False; nothing was written.
    InputError
        The folder cannot be written to, or a file would fall on the scan itself.
    """
    load_torch()
    from napari_morse.inference.export import make_folder, output_files, save_prediction

    scan = what.scan
    corrected = _corrected_files(scan, folder) if what.corrected is not None else []
    others = output_files(scan.stem, folder, scan.is_picture) if what.prediction is not None else []
    there = [path for path in (*corrected, *others) if path.exists()]
    if there and not replace:
        raise WouldReplaceError(there)
    make_folder(folder)
    if what.corrected is not None:
        mask = what.corrected()
        for path in corrected:
            save_mask(mask, path, original=scan.source)
    if what.prediction is not None:
        others = save_prediction(what.prediction(), scan, folder)
    return [*corrected, *others]


def _corrected_files(scan: Scan, folder: Path) -> list[Path]:
    endings = (".nii.gz", ".png") if scan.is_picture else (".nii.gz",)
    return [folder / f"{scan.stem}_corrected{ending}" for ending in endings]
