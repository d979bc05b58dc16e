"""The corrected layer of a scan that belongs to no project."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session.case.open_case import OpenCase
from napari_morse.session.case.standalone import open_standalone
from napari_morse.types import Array, Label, Scan
from napari_morse.widgets.base.closing import each_of
from napari_morse.widgets.base.jobs import JobRunner, Work
from napari_morse.widgets.case.corrected_layer import CorrectedLayer
from napari_morse.widgets.case.keeper import CaseKeeper, let_go

if TYPE_CHECKING:
    from napari.components import ViewerModel


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
        self._loader = JobRunner("morse-standalone", self)
        self.keeper = CaseKeeper("Every stroke is in the journal.", replaces_changed=True, parent=self)
        self._wanted: tuple[Scan, tuple[Label, ...]] | None = None
        self._begun: WeakSet[Scan] = WeakSet()
        self._loader.succeeded.connect(self._on_read)
        self._loader.failed.connect(self._on_failed)
        self.keeper.writes.failed.connect(self.keeper.complaints.say)
        viewer.layers.events.removed.connect(self._on_removed)
        # Where Qt deletes the window without a word, a plain list is all that is left of what is on its way.
        self._coming: list[OpenCase] = []
        self.destroyed.connect(partial(let_go, self._coming))

    @property
    def stop_event(self) -> Event:
        """Set to cancel what is read."""
        return self._loader.stop_event

    @property
    def layer(self) -> CorrectedLayer | None:
        """The layer that is corrected, whatever scan is chosen."""
        return self.keeper.layer

    def of(self, scan: Scan | None) -> CorrectedLayer | None:
        """The layer that corrects a scan."""
        return self.layer if self.layer is not None and self.layer.scan is scan else None

    def was_begun(self, scan: Scan | None) -> bool:
        """Whether a scan's corrections were open, and were put away for those of another scan."""
        return scan is not None and scan in self._begun and not self._loader.busy

    def coming(self, scan: Scan | None) -> bool:
        """Whether a scan's corrections are being read, or wait to be."""
        wanted = self._wanted is not None and self._wanted[0] is scan
        return scan is not None and self._loader.busy and (wanted or scan in self._begun)

    def folder_of(self, scan: Scan | None) -> Path | None:
        """Where its corrections lie."""
        return self.keeper.case.folder if self.keeper.case is not None and self.of(scan) is not None else None

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

    def may_leave(self) -> bool:
        """As `CaseKeeper.may_leave`."""
        return self.keeper.may_leave()

    def put_away(self) -> None:
        """Save, and take the layer out of the viewer; beginning again brings it back."""
        keeper = self.keeper
        keeper.may_leave(may_stay=False)
        layer = keeper.layer
        if layer is None:
            keeper.drop()
            return
        each_of(
            (
                layer.close_down,
                keeper.save_now,
                keeper.drop,
                partial(self._take_out, layer),
                layer.let_go,
                self.changed.emit,
            )
        )

    def _take_out(self, layer: CorrectedLayer) -> None:
        if layer.layer in self._viewer.layers:
            self._viewer.layers.remove(layer.layer)

    def _on_read(self, case: OpenCase) -> None:
        if self._wanted is None:
            case.close()
            return
        scan, case.labels = self._wanted
        self._coming.clear()
        self.keeper.hold(case, CorrectedLayer(self._viewer, case, self))
        self._begun.add(scan)  # not before there is the layer: whoever hears of that one would begin again
        if case.resumed:
            show_info("Your earlier corrections of this scan are shown. Ctrl+Z takes them back one by one.")
        self.changed.emit()

    def _on_failed(self, error: Exception) -> None:
        let_go(self._coming)
        if not isinstance(error, CancelledError):
            known = isinstance(error, MorseError | MemoryError)
            self.failed.emit(error if known else RuntimeError(f"Correcting could not begin: {error}"))
            self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        layer = self.layer
        if layer is not None and event.value is layer.layer:
            self._begun.discard(layer.scan)  # the person took it away
            QTimer.singleShot(0, self.put_away)

    def stop_work(self) -> None:
        """Read nothing any more, save, and let other windows have the scan."""
        self._wanted = None
        self._begun.clear()
        self._loader.cancel()
        each_of((partial(let_go, self._coming), self.put_away))

    def close_down(self) -> None:
        """Save, and let go of the viewer."""
        each_of(
            (
                self.stop_work,
                partial(self._loader.join, 10),
                self.keeper.writes.finish,
                partial(self._viewer.layers.events.removed.disconnect, self._on_removed),
            )
        )


def _opening(scan: Scan, mask: Array | None, coming: list[OpenCase]) -> Work:
    def work(_tell: Any, cancelled: Any) -> OpenCase:
        case = open_standalone(scan, mask)
        coming.append(case)  # before the question: it may be told to stop once the window has looked into the list
        if cancelled():
            case.close()
            raise CancelledError
        return case

    return work
