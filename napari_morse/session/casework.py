"""The case under work: its scan, and a mask whose every change is on the disk before the next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from napari_morse.errors import GeometryError
from napari_morse.io import open_mask, open_scan
from napari_morse.io.mask_store import StoredMask, load_store, pixel_digest, save_store
from napari_morse.session.edits import Corrections, Unfinished, UnfinishedError
from napari_morse.session.edits.corrections import OnUnfinished
from napari_morse.session.project import PredictionRecord
from napari_morse.session.table import result_rows
from napari_morse.types import Array, Label, Mask, Prediction, Scan

COARSE, RENDERED, CORRECTED = "coarse.zarr.zip", "rendered.zarr.zip", "corrected.zarr.zip"


@dataclass(frozen=True)
class CaseJob:
    """What is needed to open a case, for any thread: plain values, nothing of the project's database.

    Parameters
    ----------
    case
        Its id.
    scan
        Where the scan is.
    mask
        A mask to begin from, when the case brought one.
    folder
        Of its masks and journal.
    unfinished
        As `Corrections.open` takes it.
    read_only
        Only look: nothing is written, and nothing can be corrected.
    """

    case: str
    scan: Path
    mask: Path | None
    folder: Path
    unfinished: OnUnfinished = "ask"
    read_only: bool = False

    def run(self) -> OpenCase:
        """Read scan and mask; slow.

        Raises
        ------
        MorseError
            A file is missing, damaged, or does not fit the scan.
        """
        scan = open_scan(self.scan)
        digest = pixel_digest(scan.data)
        start, labels = self._start(scan)
        if self.read_only:
            saved = self.folder / CORRECTED
            mask = load_store(saved).data if saved.is_file() else start
            return OpenCase(self, scan, None, labels, seen=Mask(mask, scan.grid, labels, scan.header))
        try:
            corrections = Corrections.open(self.folder, start, digest, unfinished=self.unfinished)
        except UnfinishedError as error:
            return OpenCase(self, scan, None, labels, error.unfinished)
        if corrections.undoable == 0 and not (self.folder / CORRECTED).exists():
            corrections.checkpoint()  # what the first stroke would else wait for
        return OpenCase(self, scan, corrections, labels)

    def _start(self, scan: Scan) -> tuple[Array, tuple[Label, ...]]:
        """The mask that corrections begin from, and what is known of its labels."""
        rendered = self.folder / RENDERED
        if rendered.is_file():
            return load_store(rendered).data, ()
        if self.mask is None:
            return np.zeros(scan.grid.shape, np.uint8), ()
        mask = open_mask(self.mask)
        if not mask.grid.same_as(scan.grid):
            raise GeometryError(
                f"The mask “{self.mask.name}” does not lie on the voxels of its scan.",
                "Resample it to the scan's grid.",
            )
        return np.asarray(mask.data), mask.labels


@dataclass(frozen=True, eq=False)
class OpenCase:
    """A case as it was read.

    Parameters
    ----------
    job
        What was asked.
    scan
        Its scan.
    corrections
        The mask under work; None when strokes of an earlier session wait for a decision.
    labels
        Names, where a mask brought some.
    unfinished
        Those strokes.
    seen
        The mask, where it is only looked at.
    """

    job: CaseJob
    scan: Scan
    corrections: Corrections | None
    labels: tuple[Label, ...] = ()
    unfinished: Unfinished | None = None
    seen: Mask | None = None


def first_mask(path: Path) -> Array | None:
    """The first reader's saved mask, for comparison only; None when there is none. Slow."""
    return load_store(path).data if path.is_file() else None


def keep_masks(prediction: Prediction, folder: Path) -> None:
    """Write both masks of a prediction into a case's folder; slow."""
    about: dict[str, JsonValue] = {"model": prediction.model, "digest": prediction.digest}
    for name, mask in ((COARSE, prediction.coarse), (RENDERED, prediction.rendered)):
        save_store(StoredMask(np.asarray(mask.data), b"", about), folder / name)


def record_of(prediction: Prediction, scan: Scan) -> PredictionRecord:
    """What a prediction says of its case."""
    patches = prediction.patches
    differs = int(np.count_nonzero(prediction.coarse.data != prediction.rendered.data))
    return PredictionRecord(
        prediction.model,
        prediction.digest,
        float((patches.length * patches.probability).sum()),
        differs * scan.grid.voxel_volume,
        {row.name: round(row.rendered, 4) for row in result_rows(prediction, scan)},
    )
