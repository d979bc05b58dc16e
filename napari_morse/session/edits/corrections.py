"""One case's mask under work: every edit is on the disk before the next begins, and can be taken back."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from psygnal import Signal

from napari_morse.config import EditsConfig
from napari_morse.errors import GeometryError, InputError, MorseError
from napari_morse.io.mask_store import StoredMask
from napari_morse.session.edits.edit import JOINED, Change, Edit
from napari_morse.session.edits.files import (
    About,
    Checkpoint,
    Saved,
    UnfinishedError,
    Written,
    keep_aside,
    load_saved,
    mask_and_journal,
    read_fitting,
    unfinished,
)
from napari_morse.session.edits.journal import (
    JOURNAL_VERSION,
    Header,
    Journal,
    JournalText,
    LostJournalError,
    Record,
    Step,
)
from napari_morse.session.edits.keeping import Keeping
from napari_morse.session.edits.state import MaskState, Where, check_mask
from napari_morse.types import Array, Roi, frozen

OnUnfinished = Literal["ask", "recover", "set_aside"]


class Corrections:
    """A mask under work. It belongs to one thread; make one with `open` or `recover`.

    Each edit is in the journal, on the disk, when the call that made it returns. Where the disk refuses, the edit stays
    in memory, `trouble` says so, and the next edit that can be written writes what is missing first.

    Parameters
    ----------
    folder
        Of this case and mask alone; it must be there.
    saved
        Begins it.
    """

    changed: ClassVar[Signal] = Signal(Roi)
    """Pixels changed, inside this box: only it needs drawing again."""
    dirty_changed: ClassVar[Signal] = Signal(bool)
    trouble_changed: ClassVar[Signal] = Signal(str)

    def __init__(self, folder: Path, saved: Saved) -> None:
        self._mask_file, self._journal_file = mask_and_journal(folder)
        self._state = MaskState(saved.stored.data, saved.history)
        self._scan = saved.about.scan
        self._saved = saved.about.saved
        self._fingerprint = saved.fingerprint
        self._base = saved.stored.digest if saved.fingerprint else ""
        self._anchored = bool(saved.fingerprint)
        self._journal: Journal | None = None
        self._persisted = Keeping(self.trouble_changed.emit)
        self._reported_dirty = self.dirty
        self.notices: tuple[str, ...] = ()
        """Plain sentences on what was unusual when the case was opened."""
        self.patient = False
        """Whether a whole mask that the disk refused once is left to `checkpoint`, which may run in another thread."""

    @classmethod
    def open(
        cls,
        folder: Path | str,
        mask: Array | None,
        scan_digest: str,
        *,
        unfinished: OnUnfinished = "ask",
        limits: EditsConfig | None = None,
    ) -> Corrections:
        """Begin with, or go on with, the corrections of a case. Nothing is written before the first edit.

        Parameters
        ----------
        folder
            Where the saved mask (``corrected.zarr.zip``) and the journal (``journal.log``) of this mask lie.
        mask
            (I, J, K) integers to begin from when nothing was saved; a saved mask goes before it. None: go on only.
        scan_digest
            Digest of the scan that the mask lies on.
        unfinished
            What to do with steps that the last session did not save: ``ask`` raises, ``recover`` takes them again,
            ``set_aside`` keeps their journal under another name and begins from what was saved.
        limits
            How much can be undone.

        Raises
        ------
        UnfinishedError
            There are such steps, and ``unfinished`` is ``ask``.
        InputError
            The saved mask is damaged, of another scan, or there is none; the mask has no whole numbers.
        GeometryError
            The mask has not three axes, or another shape than the saved one.
        """
        if mask is not None:
            check_mask(mask)
        path = Path(folder)
        saved = load_saved(mask_and_journal(path)[0], mask, scan_digest, limits or EditsConfig())
        if mask is not None and mask.shape != saved.stored.data.shape:
            raise GeometryError(
                f"The mask has shape {mask.shape}, the saved corrections {saved.stored.data.shape}.",
                "Open the case that they were saved for.",
            )
        corrections = cls(path, saved)
        corrections._take_up_journal(saved, unfinished)
        corrections._reported_dirty = corrections.dirty
        return corrections

    @classmethod
    def recover(
        cls, folder: Path | str, mask: Array | None, scan_digest: str, *, limits: EditsConfig | None = None
    ) -> Corrections:
        """`open`, with the steps that the last session did not save; they can be undone."""
        return cls.open(folder, mask, scan_digest, unfinished="recover", limits=limits)

    @classmethod
    def restart(cls, folder: Path | str, mask: Array, scan_digest: str) -> Corrections:
        """Begin with another mask in the place of one that is `untouched`.

        Raises
        ------
        InputError
            The folder cannot be written to.
        """
        # Deleted, not kept aside: the caller has seen that nobody painted on it, and a run may come a hundred times.
        for path in mask_and_journal(Path(folder)):
            path.unlink(missing_ok=True)
        corrections = cls.open(folder, mask, scan_digest)
        corrections.checkpoint()
        return corrections

    @property
    def untouched(self) -> bool:
        """Whether the mask is, and was, the one that it began with."""
        return not self.undoable and not self.redoable

    @property
    def mask(self) -> Array:
        """(I, J, K) the present mask, read-only; it changes with each edit."""
        return frozen(self._state.data)

    @property
    def state(self) -> int:
        """Number of the present state; none is given twice, and undo leads back to the number before."""
        return self._state.history.state

    def reaches(self, state: int) -> bool:
        """Whether undoing, or nothing at all, leads to a state."""
        return self._state.history.reaches(state)

    def before(self, state: int) -> int:
        """The state before a state that it `reaches`; the same where no act that led there is known."""
        return self._state.history.before(state)

    @property
    def newest(self) -> int:
        """Number of the state that was made last; it grows with each edit, and with nothing else."""
        return self._state.history.newest

    def at(self, state: int, box: Roi) -> Array:
        """A box of the mask as it was in a state that it `reaches`; a copy, of the box's shape."""
        return self._state.at(state, box)

    @property
    def dirty(self) -> bool:
        """Whether the present state is another than the one saved last."""
        return self._state.history.state != self._saved

    @property
    def trouble(self) -> str:
        """Why the last steps are in memory only, in a sentence; empty when they are on the disk."""
        return self._persisted.trouble

    @property
    def unwritten(self) -> int:
        """How many of the last steps (edits, undos, redos) are in memory only."""
        return self._persisted.unwritten

    @property
    def undoable(self) -> int:
        """How many edits can be undone."""
        return self._state.history.undoable

    @property
    def redoable(self) -> int:
        """How many undone edits can be done again."""
        return self._state.history.redoable

    def apply(self, where: Where, values: Any, kind: str) -> Edit | None:
        """Set voxels, as one edit; returns it, or None when nothing changes.

        Parameters
        ----------
        where
            A box, flat indices in C order, or indices along I, J and K as of ``np.nonzero``.
        values
            One label, or one a voxel (for a box: an array of its shape).
        kind
            What was done, in a word or two.

        Raises
        ------
        InputError
            A label that the mask's dtype does not hold, a voxel outside, or another number of labels than of voxels.
        """
        return self._do(self._state.change(where, values, kind))

    def diff(self, other: Array, region: Roi | None = None, kind: str = "paint") -> Edit | None:
        """Take over, as one edit, what another editor changed.

        Parameters
        ----------
        other
            (I, J, K) the other editor's whole mask.
        region
            Where it may have changed; None compares everything.
        kind
            As in `apply`.

        Raises
        ------
        InputError, GeometryError
            A label that does not fit, another shape, a region outside.
        """
        if other.shape != self._state.shape:
            raise GeometryError(f"A mask of shape {other.shape} for one of {self._state.shape}.", "Open its own case.")
        if region is None:
            return self._do(self._state.difference(other, None, kind))
        region.check(self._state.shape)
        return self._do(self._state.difference(other[region.slices], region, kind))

    def undo(self) -> Roi | None:
        """Take the last edit back, and those that belong to it; returns the changed box, None: nothing to undo."""
        return self._step(Step.UNDO)

    def redo(self) -> Roi | None:
        """Do the last undone edit again, and those that belong to it; the changed box, None: nothing to redo."""
        return self._step(Step.REDO)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is done inside goes into the journal when it ends, in one piece: whole or not at all."""
        self._ready()
        if (journal := self._journal) is not None:
            journal.hold()
        try:
            yield
        finally:
            if journal is not None:
                # Also after an error: what was done before it is in the mask, so it must be in the journal.
                journal.let_go()
                self._persisted.attempt(self._write)

    def checkpoint(self, *, replace_changed: bool = False) -> None:
        """Save mask and history, and begin a new journal.

        Parameters
        ----------
        replace_changed
            Whether a file that something else wrote meanwhile may be replaced.

        Raises
        ------
        ChangedOnDiskError
            There is such a file, and ``replace_changed`` is False.
        InputError
            No space, or no right to write. What was saved before and the journal are unchanged.
        """
        job = self.begin_checkpoint(replace_changed=replace_changed)
        self.finish_checkpoint(job, job.run())

    def begin_checkpoint(self, *, replace_changed: bool = False) -> Checkpoint:
        """The first third of `checkpoint`: a copy whose ``run`` may be called in another thread, while work goes on."""
        return self._job(self._state.history.state, replace_changed)

    def finish_checkpoint(self, job: Checkpoint, written: Written) -> None:
        """The last third of `checkpoint`, after ``run`` gave ``written``."""
        self._saved = job.about.saved
        self._base, self._fingerprint = written.digest, written.fingerprint
        journal = self._journal
        at_rest = self._state.history.state == job.about.saved
        # As many as the copy holds: what was drawn while it was written may still be in memory only.
        self._persisted.saved(job.steps)
        if journal is None:
            self._anchored = at_rest
            with suppress(MorseError, OSError):
                if at_rest and self._journal_file.exists():  # from before the folder was away: all of it is saved
                    self._begin_journal()
        elif at_rest and journal.records == job.about.records:
            # until the new journal is there, the old one's steps are known from the saved file to be in it
            with suppress(MorseError, OSError):
                self._begin_journal(replace=True)
        self._tell_dirty()

    def retry(self) -> None:
        """Write what is in memory only, where that is a few bytes more for the journal; else `checkpoint` does it."""
        if self.trouble and self._journal is not None:
            self._persisted.attempt(self._journal.append)

    def _do(self, change: Change | None) -> Edit | None:
        if change is None:
            return None
        self._ready()
        # After `_ready`, which may save the mask that a new journal begins on: with this edit in it already, the edit's
        # record would not fit, and the replay would end there.
        payload = self._state.do(change)
        box = change.box(self._state.shape)
        self._record(Record(Step.EDIT, payload), box)
        return Edit(change.kind, len(change.indices), box)

    def _step(self, step: Step) -> Roi | None:
        whole = None
        while (done := self.step_one(step)) is not None:
            box = done.box(self._state.shape)
            whole = box if whole is None else whole.around(box)
            if not self._state.goes_on(done, step):
                break
        return whole

    def step_one(self, step: Step) -> Change | None:
        """One edit taken back or done again, without those that belong to it; None: there is none."""
        if not (self.undoable if step == Step.UNDO else self.redoable):
            return None
        self._ready()
        # An undo is one more record, never the last one cut off: the journal is only appended to.
        change = self._state.undo() if step == Step.UNDO else self._state.redo()
        if change is not None:
            self._record(Record(step), change.box(self._state.shape))
        return change

    def reapply(self, change: Change) -> None:
        """An edit that was taken back once more, with all its voxels, on whatever the mask is now."""
        self._do(self._state.rebased(change))

    def _ready(self) -> None:
        """Before the first edit: have on the disk what the journal begins on."""
        if self._journal is None:
            self._persisted.attempt(self._anchor)

    def _record(self, record: Record, box: Roi) -> None:
        self._anchored = False
        self._persisted.step()
        if self._journal is not None and self._journal.holding:
            self._journal.keep(record)
        else:
            self._persisted.attempt(lambda: self._write(record))
        self.changed.emit(box)
        self._tell_dirty()

    def _write(self, *records: Record) -> None:
        if self._journal is not None:
            self._journal.keep(*records)  # first of all: whatever fails now, none may be left out later
        if not self._mask_file.exists():  # without what it begins on, a journal is worth nothing
            self._journal = None
        if self._journal is not None:
            try:
                self._journal.append()
            except LostJournalError:
                self._journal = None
        if self._journal is None:
            self._anchor()

    def _anchor(self) -> None:
        """Have the present state in the saved file (still unsaved for the person), and a new journal on it."""
        if not self._mask_file.parent.is_dir():
            raise InputError("The folder of this case cannot be reached.")
        if not self._anchored:
            # A whole mask takes long: tried again at every stroke, a full disk would hold the work up.
            if self.patient and self.trouble:
                raise InputError(self.trouble)
            written = self._job(self._saved, replace_changed=False).run()
            self._base, self._fingerprint = written.digest, written.fingerprint
            self._anchored = True
        self._begin_journal()

    def _begin_journal(self, *, replace: bool = False) -> None:
        if not replace:
            # It may hold strokes of another window: never written over.
            keep_aside(self._journal_file)
        self._journal = Journal.create(self._journal_file, self._header())

    def _header(self) -> Header:
        data = self._state.data
        dtype = f"{data.dtype.kind}{data.dtype.itemsize}"
        return Header(id=secrets.token_hex(8), scan=self._scan, shape=list(data.shape), dtype=dtype, base=self._base)

    def _job(self, saved: int, replace_changed: bool) -> Checkpoint:
        journal = self._journal
        about = About(
            scan=self._scan,
            saved=saved,
            journal=journal.header.id if journal else "",
            records=journal.records if journal else 0,
        )
        # A copy: `run` may write it in another thread while strokes go on here.
        stored = StoredMask(self._state.data.copy(), self._state.history.dump(), about.model_dump())
        expected = None if replace_changed else self._fingerprint
        return Checkpoint(self._mask_file, stored, about, expected, self._persisted.steps)

    def _take_up_journal(self, saved: Saved, choice: OnUnfinished) -> None:
        path = self._journal_file
        if not path.exists():
            return
        try:
            text, records = read_fitting(path, saved.about, saved.stored.digest)
        except InputError as error:
            self._set_aside(str(error))
            return
        pending = unfinished(path, text, records)
        if pending and choice == "set_aside":
            self._set_aside(f"{pending.steps} steps were not taken over.")
            return
        # Replayed before anybody is asked: steps that lead back to what was saved, such as a stroke and its undo, are
        # no loss.
        taken = self._state.replay(records)
        if pending and choice == "ask" and self.dirty:
            raise UnfinishedError(pending)
        behind = text.header.id == saved.about.journal and len(text.records) < saved.about.records
        self._adopt(text, records, taken, behind)

    def _adopt(self, text: JournalText, records: tuple[Record, ...], taken: int, behind: bool) -> None:
        """Go on with a journal whose steps were taken; one that can't be added to is kept aside for a new one.

        A journal ``behind`` the saved mask lacks steps that the mask holds: what is added would be taken for them.
        """
        self._anchored = self._anchored and not taken
        lost = text.lost + len(records) - taken
        if lost:
            self.notices += (f"At least {lost} of the last steps could not be read; their journal was kept.",)
        if lost or behind or text.version != JOURNAL_VERSION or not self._fingerprint:
            self._persisted.attempt(self._anchor)
            return
        self._journal = Journal.resume(self._journal_file, text)
        if records:
            self._persisted.attempt(lambda: self._write(Record(Step.MARK, b"recovered")))

    def _set_aside(self, why: str) -> None:
        aside = keep_aside(self._journal_file)
        if aside is not None:
            self.notices += (f"{why} The journal was kept as “{aside.name}”.",)

    def _tell_dirty(self) -> None:
        if self.dirty != self._reported_dirty:
            self._reported_dirty = self.dirty
            self.dirty_changed.emit(self._reported_dirty)


@dataclass(frozen=True)
class Renumbering:
    """What states are called since an edit was put behind one of them.

    Parameters
    ----------
    at, after
        The state behind which it was put, and the one that it made; the same where it changed nothing.
    joined
        Whether it belongs to the edit that made the first: what came after that edit comes after both.
    later
        New numbers of the states of what was done since, by the old ones.
    """

    at: int
    after: int
    joined: bool = False
    later: Mapping[int, int] = field(default_factory=dict)

    def begun(self, state: int) -> int:
        """The state that something begins on that began on ``state``, and was done or asked for since."""
        return self.after if state == self.at else self.later.get(state, state)

    def ended(self, state: int) -> int:
        """The state that an edit leads to which led to ``state``, or in which a decision stands that was made there."""
        return self.begun(state) if self.joined else self.later.get(state, state)


def apply_before(
    corrections: Corrections, state: int, where: Where, values: Any, kind: str
) -> tuple[Edit | None, Renumbering]:
    """`Corrections.apply`, as if it had been called when the mask had a ``state``.

    What was done since is taken back and done again on top, one after the other as it was done: each sets the voxels
    that it changed once to the values that it gave them, also where the late edit gave the same. All of it goes into
    the journal in one piece: no later edit is missing from the disk in between. Where nothing changes, nothing is done.

    Parameters
    ----------
    corrections
        What waits to be redone is forgotten, as after any edit.
    state
        `Corrections.state` of then.
    where, values, kind
        As in `Corrections.apply`.

    Returns
    -------
    tuple
        What was done, None when nothing changes or undoing does not lead back to the state; and what states are called
        now.

    Raises
    ------
    InputError
        As `Corrections.apply`; then everything is as it was.
    """
    edit: Edit | None = None
    new_numbers: dict[int, int] = {}
    if corrections.state == state:
        edit = corrections.apply(where, values, kind)
        state_after = corrections.state
    elif corrections.reaches(state):
        with corrections.together():
            later = _undone_since(corrections, state)
            try:
                edit = corrections.apply(where, values, kind)
            finally:
                if edit is None:
                    for _ in later:
                        # Redo gives the states their old numbers back; `reapply` would give new ones, though nothing
                        # has changed.
                        corrections.step_one(Step.REDO)
            state_after = corrections.state
            # Not redo: the edit that was put in has dropped what could be redone, as any edit does.
            for number, change in reversed(later if edit is not None else []):
                corrections.reapply(change)
                new_numbers[number] = corrections.state
    if edit is None:
        return None, Renumbering(state, state)
    return edit, Renumbering(state, state_after, kind.startswith(JOINED), new_numbers)


def _undone_since(corrections: Corrections, state: int) -> list[tuple[int, Change]]:
    """What was done since a state is taken back: the latest first, each with the number of its state."""
    later = []
    while (number := corrections.state) != state and (change := corrections.step_one(Step.UNDO)) is not None:
        later.append((number, change))
    return later
