"""The corrected layer of a scan that belongs to no project."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session.case.standalone import LooseCase, open_loose
from napari_morse.types import Array, Label, Scan
from napari_morse.widgets.base.closing import each_of
from napari_morse.widgets.base.jobs import JobRunner, Work
from napari_morse.widgets.case.corrected_layer import CorrectedLayer
from napari_morse.widgets.case.settling import settled
from napari_morse.widgets.case.write_queue import CaseSaver, Complaints, saving

if TYPE_CHECKING:
    from napari.components import ViewerModel

SAVE = 120_000
"""Milliseconds after which corrections are saved; every stroke that the disk takes is in the journal at once."""


class LooseCorrections(QObject):
    """One scan's corrections at a time, journaled in the user's own folder.

    Parameters
    ----------
    viewer
        Gets the layer.
    parent
        Owner.
    """

    changed = Signal()
    """Corrections were begun, or put away."""
    failed = Signal(object)
    """Why they could not be begun."""

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._loader, self.saver = JobRunner("morse-loose", self), CaseSaver(self)
        self._case: LooseCase | None = None
        self._layer: CorrectedLayer | None = None
        self._wanted: tuple[Scan, tuple[Label, ...]] | None = None
        self._begun: WeakSet[Scan] = WeakSet()
        self._loader.succeeded.connect(self._on_read)
        self._loader.failed.connect(self._on_failed)
        self._complaints = Complaints(self.saver, "Every stroke is in the journal.")
        self.saver.failed.connect(self._complaints.say)
        self._autosave = QTimer(self)
        self._autosave.setInterval(SAVE)
        self._autosave.timeout.connect(self.save)
        viewer.layers.events.removed.connect(self._on_removed)
        # Lists are all that is left where Qt deletes the window without a word: what is open, and what is on its way.
        self._open: list[LooseCase] = []
        self._coming: list[LooseCase] = []
        for cases in (self._open, self._coming):
            self.destroyed.connect(partial(_release, cases))

    @property
    def stop_event(self) -> Event:
        """Set to cancel what is read."""
        return self._loader.stop_event

    @property
    def layer(self) -> CorrectedLayer | None:
        """The layer that is corrected, whatever scan is chosen."""
        return self._layer

    def of(self, scan: Scan | None) -> CorrectedLayer | None:
        """The layer that corrects a scan."""
        return self._layer if self._layer is not None and self._layer.scan is scan else None

    def was_begun(self, scan: Scan | None) -> bool:
        """Whether a scan's corrections were open, and were put away for those of another scan."""
        return scan is not None and scan in self._begun and not self._loader.busy

    def coming(self, scan: Scan | None) -> bool:
        """Whether a scan's corrections are being read, or wait to be."""
        wanted = self._wanted is not None and self._wanted[0] is scan
        return scan is not None and self._loader.busy and (wanted or scan in self._begun)

    def folder_of(self, scan: Scan | None) -> Path | None:
        """Where its corrections lie."""
        return self._case.folder if self._case is not None and self.of(scan) is not None else None

    def begin(self, scan: Scan, mask: Array | None, labels: tuple[Label, ...]) -> None:
        """Read what was corrected before, or begin with ``mask`` (storage order); an open one is put away."""
        if not self._loader.busy:
            self.put_away()
        if self._loader.busy:  # also where who heard of the putting away began at once
            if self._wanted is not None and self._wanted[0] is not scan:
                self._begun.add(scan)  # its turn comes when the other one's has
            return
        self._wanted = scan, labels
        self._begun.discard(scan)
        self._loader.start(_opening(scan, mask, self._coming))

    def save(self) -> None:
        """Save, beside the window, when there is something to save."""
        case = self._case
        if case is not None and case.lock.held and (case.corrections.dirty or case.corrections.unwritten):
            self.saver.add(case.folder, saving(case.corrections))

    def save_now(self) -> None:
        """Save, and wait until that has ended, well or not."""
        self.save()
        self.saver.finish()

    def may_leave(self, may_stay: bool = True) -> bool:
        """Whether nothing goes unsaid when the corrections are put away; see `settled`."""
        return self._layer is None or settled(self._layer, self.save_now, may_stay)

    def put_away(self) -> None:
        """Save, and take the layer out of the viewer; beginning again brings it back."""
        self.may_leave(may_stay=False)
        layer, case = self._layer, self._case
        self._layer = self._case = None
        self._autosave.stop()
        if layer is None or case is None:
            _release(self._open)
            return
        each_of(
            (
                layer.close_down,
                partial(self._save_now, case),
                partial(_release, self._open),
                partial(self._take_out, layer),
                layer.let_go,
                self.changed.emit,
            )
        )

    def _save_now(self, case: LooseCase) -> None:
        if case.corrections.dirty:
            self.saver.add(case.folder, saving(case.corrections))
            self.saver.finish()

    def _take_out(self, layer: CorrectedLayer) -> None:
        if layer.layer in self._viewer.layers:
            self._viewer.layers.remove(layer.layer)

    def _on_read(self, case: LooseCase) -> None:
        if self._wanted is None:
            case.close()
            return
        scan, labels = self._wanted
        self._open[:], self._case = [case], case
        self._coming.clear()
        self._layer = CorrectedLayer(self._viewer, scan, case.corrections, labels, lambda: case.lock.held, self)
        self._begun.add(scan)  # not before there is the layer: whoever hears of that one would begin again
        self._layer.unwritten.due.connect(self.save)
        self._autosave.start()
        for sentence in case.corrections.notices:
            show_warning(sentence)
        if case.found:
            show_info("Your earlier corrections of this scan are shown. Ctrl+Z takes them back one by one.")
        self.changed.emit()

    def _on_failed(self, error: Exception) -> None:
        _release(self._coming)
        if not isinstance(error, CancelledError):
            known = isinstance(error, MorseError | MemoryError)
            self.failed.emit(error if known else RuntimeError(f"Correcting could not begin: {error}"))
            self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        if self._layer is not None and event.value is self._layer.layer:
            self._begun.discard(self._layer.scan)  # the person took it away
            QTimer.singleShot(0, self.put_away)

    def stop_work(self) -> None:
        """Read nothing any more, save, and let other windows have the scan."""
        self._wanted = None
        self._begun.clear()
        self._loader.cancel()
        each_of((partial(_release, self._coming), self.put_away))

    def close_down(self) -> None:
        """Save, and let go of the viewer."""
        each_of(
            (
                self.stop_work,
                partial(self._loader.join, 10),
                self.saver.finish,
                partial(self._viewer.layers.events.removed.disconnect, self._on_removed),
            )
        )


def _opening(scan: Scan, mask: Array | None, coming: list[LooseCase]) -> Work:
    def work(_tell: Any, cancelled: Any) -> LooseCase:
        case = open_loose(scan, mask)
        coming.append(case)  # before the question: it may be told to stop once the window has looked into the list
        if cancelled():
            case.close()
            raise CancelledError
        return case

    return work


def _release(cases: list[LooseCase], _gone: QObject | None = None) -> None:
    """Let other windows have them."""
    while cases:
        cases.pop().close()
