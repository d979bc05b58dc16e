"""The case under work: its scan, and a mask whose every change is on the disk before the next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_morse.errors import GeometryError
from napari_morse.io import open_mask, open_scan
from napari_morse.io.mask_store import load_store, pixel_digest
from napari_morse.session.case.prediction_store import RENDERED, kept_prediction, record_of
from napari_morse.session.edits import Corrections, Unfinished, UnfinishedError
from napari_morse.session.edits.corrections import OnUnfinished
from napari_morse.session.project import PredictionRecord
from napari_morse.types import Array, Label, Mask, Prediction, Scan

CORRECTED = "corrected.zarr.zip"


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
    blank
        Begin from nothing, and show nothing that a model said: a truth is made.
    blind
        As ``blank``: somebody reads a second time.
    settled
        A person has decided on the mask that is there: it begins with nothing newer.
    final
        The mask of a second reader that was chosen: it is shown, and nothing is corrected.
    model_digest
        Of the model whose prediction the project knows of.
    """

    case: str
    scan: Path
    mask: Path | None
    folder: Path
    unfinished: OnUnfinished = "ask"
    read_only: bool = False
    blank: bool = False
    blind: bool = False
    settled: bool = False
    final: Path | None = None
    model_digest: str = ""

    def run(self) -> OpenCase:
        """Read scan and mask; slow.

        Raises
        ------
        MorseError
            A file is missing, damaged, or does not fit the scan.
        """
        scan = open_scan(self.scan)
        digest = pixel_digest(scan.data)
        said = None if self.blank or self.blind else kept_prediction(scan, digest, self.folder)
        start, labels = self._start(scan)
        labels = labels or (said.rendered.labels if said is not None else ())
        record = None
        if said is not None and said.digest != self.model_digest:
            record = record_of(said, scan)  # it was written just before somebody stopped, and nobody was told
        if self.read_only or self.final is not None:
            saved = self.final or self.folder / CORRECTED
            mask = load_store(saved).data if saved.is_file() else start
            seen = Mask(mask, scan.grid, labels, scan.header)
            return OpenCase(self, scan, digest, None, labels, seen=seen, said=said, record=record)
        try:
            corrections = Corrections.open(self.folder, start, digest, unfinished=self.unfinished)
        except UnfinishedError as error:
            return OpenCase(self, scan, digest, None, labels, error.unfinished)
        corrections = self._as_wanted(corrections, start, digest)
        return OpenCase(self, scan, digest, corrections, labels, said=said, record=record)

    def _as_wanted(self, corrections: Corrections, start: Array, digest: str) -> Corrections:
        """A mask that nobody touched begins with what there is now, on the disk before a stroke waits for it."""
        if self.settled or not corrections.untouched:
            return corrections
        if not np.array_equal(corrections.mask, start):
            return Corrections.restart(self.folder, start, digest)
        if not (self.folder / CORRECTED).exists():
            corrections.checkpoint()
        return corrections

    def _start(self, scan: Scan) -> tuple[Array, tuple[Label, ...]]:
        """The mask that corrections begin from, and what is known of its labels."""
        rendered = self.folder / RENDERED
        if self.blank or self.blind or (self.mask is None and not rendered.is_file()):
            return np.zeros(scan.grid.shape, np.uint8), ()
        if self.mask is None:
            return load_store(rendered).data, ()
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
    scan, digest
        Its scan, and the `pixel_digest` of it.
    corrections
        The mask under work; None when strokes of an earlier session wait for a decision.
    labels
        Names, where a mask brought some.
    unfinished
        Those strokes.
    seen
        The mask, where it is only looked at.
    said
        What a model said of it, kept from an earlier run.
    record
        What the project is to know of ``said``, where it does not yet.
    """

    job: CaseJob
    scan: Scan
    digest: str
    corrections: Corrections | None
    labels: tuple[Label, ...] = ()
    unfinished: Unfinished | None = None
    seen: Mask | None = None
    said: Prediction | None = None
    record: PredictionRecord | None = None


def first_mask(path: Path) -> Array | None:
    """The first reader's saved mask, for comparison only; None when there is none. Slow."""
    return load_store(path).data if path.is_file() else None
