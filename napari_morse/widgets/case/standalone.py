"""The corrected layers of scans that belong to no project: read, kept and put away, each with its scan."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari.layers import Layer
from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session.case import HeldHereError, OpenCase, OpenCases, any_kept, open_standalone, was_corrected
from napari_morse.types import Array, Label, Scan
from napari_morse.widgets.base import JobRunner, Work, each_of
from napari_morse.widgets.case.corrected_layer import CorrectedLayer
from napari_morse.widgets.case.keeper import CaseKeeper, let_go

if TYPE_CHECKING:
    from napari.components import ViewerModel

SAFE = "Every stroke is in the journal."
RESUMED = "Your earlier corrections of this scan are shown. Ctrl+Z takes them back one by one."


@dataclass(frozen=True, eq=False)
class _Asked:
    """A scan whose corrections are to be opened: its layer, what to begin from, and names."""

    scan: Scan
    layer: Layer | None
    mask: Array | None
    labels: tuple[Label, ...]


@dataclass(frozen=True, eq=False)
class _Kept:
    """Corrections that are open: who keeps them, their layer, and the layer of their scan."""

    case: OpenCase
    keeper: CaseKeeper
    layer: CorrectedLayer
    scan_layer: Layer | None


class StandaloneCases(QObject):
    """Corrections in the user's own folder, of as many scans as are open: whose scan is not on the stage is hidden.

    Parameters
    ----------
    viewer
        Gets the layers.
    cases
        All that are open.
    parent
        Owner.
    """

    changed = Signal()
    """Corrections were begun, or put away, or it is known that there are some."""
    failed = Signal(object)
    """Why they could not be begun."""

    def __init__(self, viewer: ViewerModel, cases: OpenCases, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._cases = viewer, cases
        self._kept: dict[Scan, _Kept] = {}
        self._queue: deque[_Asked] = deque()
        self._asked_about: WeakSet[Scan] = WeakSet()
        """Scans that are being put away, while the person is asked about strokes that are in memory only."""
        self._gone: list[Scan] = []
        """Scans whose layer, or corrected layer, the person has removed."""
        self._now: _Asked | None = None
        self._loader = JobRunner("morse-standalone", self)
        self._loader.succeeded.connect(self._on_read)
        self._loader.failed.connect(self._on_failed)
        self._finder = JobRunner("morse-kept", self)
        self._finder.succeeded.connect(self._on_found)
        self._finder.failed.connect(lambda _error: self._on_found(None))
        self._looked_at: WeakSet[Scan] = WeakSet()
        self._sought: Scan | None = None
        self._waiting: WeakSet[Scan] = WeakSet()
        """Scans that a person corrected on another day, and whose corrections are not open yet."""
        self._refused: WeakSet[Scan] = WeakSet()
        """Scans whose corrections could not be opened, which was said."""
        viewer.layers.events.removed.connect(self._on_removed)
        # Where Qt deletes the window without a word, a plain list is all that is left of what is on its way.
        self._coming: list[OpenCase] = []
        self.destroyed.connect(partial(let_go, self._coming))

    @property
    def stop_events(self) -> tuple[Event, ...]:
        """Set to cancel what is read."""
        return self._loader.stop_event, self._finder.stop_event

    @property
    def layers(self) -> tuple[CorrectedLayer, ...]:
        """All that are open, whichever scan is on the stage."""
        return tuple(kept.layer for kept in self._kept.values())

    def coming(self, scan: Scan | None) -> bool:
        """Whether a scan's corrections are being read, wait to be, or are just being looked for."""
        sought = self._sought is scan and self._finder.busy
        return scan is not None and (self._is_asked(scan) or sought or scan in self._waiting)

    def _is_asked(self, scan: Scan) -> bool:
        now = () if self._now is None else (self._now,)
        return any(each.scan is scan for each in (*self._queue, *now))

    def folder_of(self, scan: Scan | None) -> Path | None:
        """Where its corrections lie."""
        return next((kept.case.folder for kept in self._kept.values() if kept.case.scan is scan), None)

    def refused(self, scan: Scan | None) -> bool:
        """Whether a scan's corrections could not be opened: another window has them, say."""
        return scan in self._refused

    # Corrections of another day

    def look(self, scan: Scan) -> None:
        """Look, once and beside the window, whether a scan was corrected on another day; `waits` says so then."""
        if scan in self._looked_at or scan in self._kept or self._finder.busy or not any_kept():
            return
        self._looked_at.add(scan)
        self._sought = scan
        self._finder.start(lambda _tell, _cancelled: was_corrected(scan))

    def waits(self, scan: Scan | None) -> bool:
        """Whether a scan was corrected on another day, and its corrections are not open."""
        return scan in self._waiting

    def _on_found(self, found: bool | None) -> None:
        scan, self._sought = self._sought, None
        if found and scan is not None and scan not in self._kept and not self._is_asked(scan):
            self._waiting.add(scan)
        self.changed.emit()  # also for the next scan, which had to wait

    # Opening and putting away

    def begin(self, scan: Scan, layer: Layer | None, mask: Array | None, labels: tuple[Label, ...]) -> None:
        """Open what was corrected before, or begin with ``mask`` (storage order); ``layer`` holds the scan."""
        self._waiting.discard(scan)
        self._refused.discard(scan)
        self._looked_at.add(scan)
        if scan in self._kept or self._is_asked(scan):
            return
        self._queue.append(_Asked(scan, layer, mask, labels))
        self._next()

    def _next(self) -> None:
        if self._queue and self._now is None:
            self._now = self._queue.popleft()
            # By the content of the scan: one file opened twice has one correction, and its lock is ours already.
            held = {case.digest: case.scan for case in self._cases if not case.id}
            self._loader.start(_opening(self._now, held, self._coming))

    def _on_read(self, case: OpenCase) -> None:
        asked, self._now = self._now, None
        if asked is None or case.scan is not asked.scan:
            case.close()
            return
        case.labels = asked.labels
        self._coming.clear()
        keeper = CaseKeeper(SAFE, self._cases, replaces_changed=True, parent=self)
        keeper.writes.failed.connect(keeper.complaints.say)
        layer = CorrectedLayer(self._viewer, case, keeper)
        self._kept[case.scan] = _Kept(case, keeper, layer, asked.layer)
        keeper.hold(case, layer)
        if case.resumed:
            show_info(RESUMED)
        self._next()
        self.changed.emit()

    def _on_failed(self, error: Exception) -> None:
        let_go(self._coming)
        asked, self._now = self._now, None
        if isinstance(error, HeldHereError) and asked is not None:
            self.put_away(error.scan)  # the same scan, opened a second time
            self._queue.appendleft(asked)
        elif not isinstance(error, CancelledError):
            known = isinstance(error, MorseError | MemoryError)
            if asked is not None:
                self._refused.add(asked.scan)
            self.failed.emit(error if known else RuntimeError(f"Correcting could not begin: {error}"))
        self._next()
        self.changed.emit()

    def may_leave(self) -> bool:
        """Whether nothing goes unsaid when all are put away; see `settled`."""
        return all(kept.keeper.may_leave() for kept in tuple(self._kept.values()))

    def put_away(self, scan: Scan) -> None:
        """Save, and take the layer out of the viewer; beginning again brings it back."""
        if scan not in self._kept or scan in self._asked_about:
            return
        # The question runs the event loop: the scan's layer and the mask's, deleted together, come here twice.
        self._asked_about.add(scan)
        self._kept[scan].keeper.may_leave(may_stay=False)
        self._asked_about.discard(scan)
        # Out of the table before its layer goes: the removal is told of, and would put it away again.
        kept = self._kept.pop(scan)
        each_of(
            (
                # In this order: the last stroke is taken over, and saved while the folder is still ours; then the layer
                # goes.
                kept.layer.close_down,
                kept.keeper.save_now,
                kept.keeper.drop,
                partial(self._take_out, kept.layer),
                kept.layer.let_go,
                kept.keeper.deleteLater,
                self.changed.emit,
            )
        )

    def put_all_away(self) -> None:
        """As `put_away`, all."""
        each_of(tuple(partial(self.put_away, scan) for scan in tuple(self._kept)))

    def _take_out(self, layer: CorrectedLayer) -> None:
        if layer.layer in self._viewer.layers:
            self._viewer.layers.remove(layer.layer)

    def _on_removed(self, event: Any) -> None:
        for scan, kept in self._kept.items():
            if event.value in (kept.layer.layer, kept.scan_layer):
                self._gone.append(scan)
                # not while napari tells of it; a method of ours, which Qt calls no more once we are deleted
                QTimer.singleShot(0, self._put_gone_away)

    def _put_gone_away(self) -> None:
        while self._gone:
            self.put_away(self._gone.pop())

    # Leaving

    def stop_work(self) -> None:
        """Read nothing any more, save, and let other windows have the scans."""
        self._queue.clear()
        self._now = None
        # A queue that is empty before the cancelled work ends: its end starts the next one.
        self._loader.cancel()
        self._finder.cancel()
        each_of((partial(let_go, self._coming), self.put_all_away))

    def close_down(self) -> None:
        """Save, and let go of the viewer."""
        each_of(
            (
                self.stop_work,
                partial(self._loader.join, 10),
                partial(self._finder.join, 10),
                partial(self._viewer.layers.events.removed.disconnect, self._on_removed),
            )
        )


def _opening(asked: _Asked, held: Mapping[str, Scan], coming: list[OpenCase]) -> Work:
    def work(_tell: Any, cancelled: Any) -> OpenCase:
        case = open_standalone(asked.scan, asked.mask, held)
        coming.append(case)  # before the question: it may be told to stop once the window has looked into the list
        if cancelled():
            case.close()
            raise CancelledError
        return case

    return work
