"""The open case: a scan under work, of a project or on its own, and all that belongs to it.

Nothing here knows of a window. What happens to a case is told by its events; who shows it draws, and forwards what a
person does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from psygnal import Signal

from napari_morse.errors import GeometryError, InputError
from napari_morse.io import open_mask, open_scan
from napari_morse.io.mask_store import load_store, pixel_digest
from napari_morse.session.case.prediction_store import kept_prediction, record_of
from napari_morse.session.case.protection import Protection
from napari_morse.session.case_files import CORRECTED, RENDERED
from napari_morse.session.edits import Corrections, Edit, Unfinished, UnfinishedError, apply_before
from napari_morse.session.edits.corrections import OnUnfinished
from napari_morse.session.project import PredictionRecord, Project, rules
from napari_morse.types import Array, Label, Mask, Prediction, Roi, Scan


class Home(Protocol):
    """Where a case lies, and who lets it be written to."""

    @property
    def folder(self) -> Path:
        """Of its mask and journal, and of nothing else's."""

    @property
    def writable(self) -> bool:
        """Whether this window may write there still: another one may have taken it over."""

    def leave(self) -> None:
        """Let other windows have it; safe to call twice."""


@dataclass(frozen=True, eq=False)
class ProjectHome:
    """A case's folder in a project, which goes on when the case is left."""

    project: Project
    folder: Path

    @property
    def writable(self) -> bool:
        """As `Home.writable`."""
        return self.project.writable

    def leave(self) -> None:
        """As `Home.leave`; the lock is the project's."""


class Steps(Protocol):
    """What can be taken back and done again, one after the other."""

    def undo(self) -> Roi | None:
        """Take the last back; the box (storage order) in which the mask changed, or None."""

    def redo(self) -> Roi | None:
        """Do the last undone again; as `undo`."""


class OpenCase:
    """A scan under work; it belongs to one thread.

    Parameters
    ----------
    scan, digest
        The scan, and the `pixel_digest` of it.
    home
        Where its corrections lie; None where nothing is kept.
    corrections
        The mask under work; None where it is only looked at, or strokes of an earlier session wait for a decision.
    labels
        Names and colours, where a mask brought some.
    id
        Of a project's case; empty for a scan on its own.
    blind, blank, given
        As of `OpenCaseRequest`: read a second time, begun from nothing, begun from a mask that it came with.
    unfinished
        The strokes that wait.
    view_only_mask
        The mask, where it is only looked at.
    prediction
        What a model said of it, kept from an earlier run.
    record
        What the project is to know of ``prediction``, where it does not yet.
    """

    edited: ClassVar[Signal] = Signal(Roi)
    """The corrected mask changed inside this box (storage order); on the disk unless `Corrections.trouble` says why."""
    renumbered: ClassVar[Signal] = Signal(object)
    """States have new numbers (`Renumbering`): something was put before what was done since."""
    replaced: ClassVar[Signal] = Signal()
    """The mask is that of other `Corrections` now."""

    def __init__(
        self,
        scan: Scan,
        digest: str,
        home: Home | None = None,
        corrections: Corrections | None = None,
        *,
        labels: tuple[Label, ...] = (),
        id: str = "",  # noqa: A002 (what a case's id is called everywhere)
        blind: bool = False,
        blank: bool = False,
        given: bool = False,
        unfinished: Unfinished | None = None,
        view_only_mask: Mask | None = None,
        prediction: Prediction | None = None,
        record: PredictionRecord | None = None,
    ) -> None:
        self.scan, self.digest, self.home, self.labels = scan, digest, home, labels
        self.id, self.blind, self.blank, self.given = id, blind, blank, given
        self.unfinished, self.record = unfinished, record
        self.view_only_mask, self.prediction = view_only_mask, prediction
        self.corrections = corrections
        self.protection = Protection(scan.grid.shape)
        """What no edit may change."""
        self.steps: Steps | None = corrections
        """What undo and redo step through: edits, and decisions of a walk between them."""

    @property
    def folder(self) -> Path:
        """Where its files lie.

        Raises
        ------
        InputError
            Nothing is kept of it.
        """
        if self.home is None:
            raise InputError("Nothing is kept of this scan.", "Begin to correct it.")
        return self.home.folder

    @property
    def writable(self) -> bool:
        """Whether its files may be written."""
        return self.home is not None and self.home.writable

    @property
    def resumed(self) -> bool:
        """Whether edits of an earlier day are in the mask."""
        return self.corrections is not None and not self.corrections.untouched

    @property
    def untouched(self) -> bool:
        """Whether there is a mask to correct that nobody has changed yet."""
        return self.corrections is not None and self.corrections.untouched

    @property
    def unsaved(self) -> bool:
        """Whether there is anything that the saved mask lacks."""
        found = self.corrections
        return found is not None and bool(found.dirty or found.unwritten)

    @property
    def mask(self) -> Array | None:
        """(I, J, K) the corrected mask, or the one that is only looked at, storage order; None: there is neither."""
        if self.corrections is not None:
            return self.corrections.mask
        return None if self.view_only_mask is None else np.asarray(self.view_only_mask.data)

    def edit(self, box: Roi, values: Array, kind: str, state: int | None = None) -> tuple[Edit | None, int]:
        """Change voxels as one edit, but for those that are protected.

        Parameters
        ----------
        box
            Storage order.
        values
            Labels, of the box's shape.
        kind
            As of `Corrections.apply`.
        state
            The `Corrections.state` after which it is put, before what was done since; None: now.

        Returns
        -------
        tuple
            What was done, or None, and how many voxels were kept out.

        Raises
        ------
        InputError, GeometryError
            A label that does not fit, or a box outside.
        """
        corrections = self._under_work()
        box.check(corrections.mask.shape)
        after = corrections.state if state is None else state
        if not corrections.reaches(after):
            return None, 0
        before = corrections.at(after, box)  # where it is put: what came later lies on top, and is not asked
        refused = self.protection.refused(before, values, box)
        done, moved = apply_before(corrections, after, box, np.where(refused, before, values), kind)
        if done is not None:
            if state is not None:
                self.renumbered.emit(moved)
            self.edited.emit(box)
        return done, int(np.count_nonzero(refused))

    def take_over(self, shown: Array, box: Roi, kind: str) -> tuple[Edit | None, int]:
        """Take over what was painted into a copy of the mask; what is protected is put back into that copy.

        Parameters
        ----------
        shown
            (I, J, K) the copy, storage order; written to where voxels are protected.
        box
            Where it may differ.
        kind
            As of `Corrections.apply`.

        Returns
        -------
        tuple
            What was done, or None, and how many voxels were put back.

        Raises
        ------
        InputError, GeometryError
            A label that does not fit, or another shape.
        """
        corrections = self._under_work()
        mask = corrections.mask
        refused = self.protection.refused(mask[box.slices], shown[box.slices], box)
        count = int(np.count_nonzero(refused))
        if count:
            shown[box.slices][refused] = mask[box.slices][refused]
        done = corrections.diff(shown, box, kind)
        if done is not None:
            self.edited.emit(done.box)
        return done, count

    def undo(self) -> Roi | None:
        """Take the last edit or decision back; the box in which the mask changed, or None."""
        return self._step(None if self.steps is None else self.steps.undo())

    def redo(self) -> Roi | None:
        """Do what was taken back last again; as `undo`."""
        return self._step(None if self.steps is None else self.steps.redo())

    def replace(self, corrections: Corrections) -> None:
        """Go on with other corrections of the same scan, which begin anew."""
        self.corrections = self.steps = corrections
        self.replaced.emit()

    def close(self) -> None:
        """Let other windows have it; nothing is saved here."""
        if self.home is not None:
            self.home.leave()

    def _step(self, box: Roi | None) -> Roi | None:
        if box is not None:
            self.edited.emit(box)
        return box

    def _under_work(self) -> Corrections:
        if self.corrections is None:
            raise InputError("This mask is only looked at.", "Open the case for correcting.")
        return self.corrections


@dataclass(frozen=True)
class OpenCaseRequest:
    """What is needed to open a project's case, for any thread: plain values, nothing of its database.

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
    keep_mask
        A corrected mask stands though nobody has touched it; see `rules.keeps_untouched`.
    chosen_mask
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
    keep_mask: bool = False
    chosen_mask: Path | None = None
    model_digest: str = ""

    @classmethod
    def of(cls, project: Project, case: str, unfinished: OnUnfinished = "ask") -> OpenCaseRequest:
        """What the present reader of a project may see of a case, and correct.

        Raises
        ------
        InputError
            There is no such case, its scan is not found, or its folder cannot be made.
        """
        found, blind = project.case(case), case in project.to_read()
        chosen, hidden = "" if blind else project.final_reader(case), rules.hides_model_output(found)
        return cls(
            case,
            project.scan_of(case),
            None if blind or hidden else project.mask_of(case),
            project.folder_of(case),
            unfinished,
            project.read_only,
            blank=not blind and hidden,
            blind=blind,
            keep_mask=rules.keeps_untouched(found, project.decided_unpredicted(case)),
            chosen_mask=project.folder_of(case, chosen) / CORRECTED if chosen else None,
            model_digest=found.model_digest,
        )

    def run(self) -> OpenCase:
        """Read scan and mask; slow.

        Raises
        ------
        MorseError
            A file is missing, damaged, or does not fit the scan.
        """
        scan = open_scan(self.scan)
        digest = pixel_digest(scan.data)
        prediction = None if self.blank or self.blind else kept_prediction(scan, digest, self.folder)
        start, labels = self._start(scan)
        labels = labels or (prediction.rendered.labels if prediction is not None else ())
        opened = OpenCase(
            scan, digest, labels=labels, prediction=prediction,
            id=self.case, blind=self.blind, blank=self.blank, given=self.mask is not None,
        )  # fmt: skip
        if prediction is not None and prediction.digest != self.model_digest:
            # it was written just before somebody stopped, and nobody was told
            opened.record = record_of(prediction, scan)
        if self.read_only or self.chosen_mask is not None:
            saved = self.chosen_mask or self.folder / CORRECTED
            mask = load_store(saved).data if saved.is_file() else start
            opened.view_only_mask = Mask(mask, scan.grid, labels, scan.header)
            return opened
        try:
            corrections = Corrections.open(self.folder, start, digest, unfinished=self.unfinished)
        except UnfinishedError as error:
            opened.unfinished, opened.prediction, opened.record = error.unfinished, None, None
            return opened
        opened.replace(self._as_wanted(corrections, start, digest))
        return opened

    def _as_wanted(self, corrections: Corrections, start: Array, digest: str) -> Corrections:
        """A mask that nobody touched begins with what there is now, on the disk before a stroke waits for it."""
        if self.keep_mask or not corrections.untouched:
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


def first_mask(path: Path) -> Array | None:
    """The first reader's saved mask, for comparison only; None when there is none. Slow."""
    return load_store(path).data if path.is_file() else None
