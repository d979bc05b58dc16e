"""What is under work: the scan, what a model said of it, and the mask that is corrected; of a project, or loose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject, Signal

from napari_morse.errors import MorseError
from napari_morse.session import SegmentSession
from napari_morse.session.case import Structures
from napari_morse.types import Array, Label, Prediction, Roi, Scan
from napari_morse.widgets.base import JobRunner, each_of
from napari_morse.widgets.bridge import PlaneInView, plane_in_view
from napari_morse.widgets.case.corrected_layer import CorrectedLayer, Rest
from napari_morse.widgets.case.standalone import StandaloneCases

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_morse.widgets.case.project_case import ProjectHost

NO_SCAN = "Open a scan first: drop a file on the window, or File ▸ Open Sample ▸ MORSE."
CORRECTED_LEFT_OUT = "Your corrected mask of this scan could not be opened, and is not among them."
NO_MASK = "There is no mask to correct: press “Start correcting”, or open a case."
OUTSIDE = "Nothing was drawn: this slice lies outside of the corrected mask. Go back to a slice of its scan."
UNCHANGED = "Nothing changed."
KEPT_OUT = "Protected by a lock, or accepted, and left as it was: {}."


class ActiveCase(QObject):
    """The one place where review, correction, comparison and measures learn what they work on.

    Parameters
    ----------
    viewer
        Whose layers it is about.
    session
        Holds the scan that is chosen and the result of the last run.
    scan_layer
        Gives the image layer of the session's scan.
    host
        Of the project.
    parent
        Owner.
    """

    changed = Signal()
    """Another scan, case, corrected mask, prediction, label under work, or lock."""
    acted = Signal(object)
    """As `CorrectedLayer.acted`: the corrected mask changed inside a `Roi` (storage order); for those who draw it."""
    rested = Signal(object)
    """As `CorrectedLayer.rested`."""
    redrawn = Signal()
    """As `CorrectedLayer.redrawn`."""
    moved = Signal(object)
    """As `CorrectedLayer.moved`."""
    drawn_on = Signal()
    """As `CorrectedLayer.drawn_on`."""
    kept = Signal()
    """As `Unwritten.changed`."""
    replaced = Signal()
    """As `CorrectedLayer.replaced`."""
    said = Signal(str)
    """A plain sentence on what was just done, or was not."""

    def __init__(
        self,
        viewer: ViewerModel,
        session: SegmentSession,
        scan_layer: Callable[[], Image | None],
        host: ProjectHost,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.session, self.host = viewer, session, host
        self._scan_layer = scan_layer
        self.runner = JobRunner("morse-tools", self)
        """For slow work of the tools."""
        self.cases = host.cases
        self._standalone = StandaloneCases(viewer, self.cases, self)
        self._corrected: CorrectedLayer | None = None
        self._warned: CorrectedLayer | None = None
        self._told: tuple[Any, ...] = ()
        self._named: dict[Path, Structures] = {}
        """Structures of the folder that they were asked of last."""
        self.elsewhere: Callable[[], Iterable[int]] = tuple
        """Ids that masks of other cases are known to hold."""
        self.holds: Callable[[Layer], bool] = lambda _layer: True
        """Whether a layer lies on the scan in view, and not on another one of the same size and place."""
        self._then: list[Callable[[], None]] = []
        self._standalone.changed.connect(self.refresh)
        self._standalone.failed.connect(self._on_not_begun)
        session.setup_changed.connect(self.refresh)
        session.status_changed.connect(self._on_status)
        host.changed.connect(self.refresh)
        self.refresh()

    # What is under work

    @property
    def scan(self) -> Scan | None:
        """The chosen one, which is the one in view."""
        return self.session.scan

    @property
    def scan_layer(self) -> Image | None:
        """The layer of `scan`."""
        layer = self._scan_layer()
        return layer if layer is not None and layer in self.viewer.layers else None

    @property
    def corrected(self) -> CorrectedLayer | None:
        """The mask that is corrected; None before correcting was begun, and where nothing may be corrected."""
        case = self.cases.current
        return next((layer for layer in self._layers if layer.case is case), None)

    @property
    def _layers(self) -> tuple[CorrectedLayer, ...]:
        """Of all masks that are corrected, whichever scan is on the stage."""
        own = self.host.corrected
        return self._standalone.layers if own is None else (own, *self._standalone.layers)

    @property
    def prediction(self) -> Prediction | None:
        """What a model said of `scan`; None where none ran, and where it may not be seen."""
        return self.cases.prediction

    @property
    def labels(self) -> tuple[Label, ...]:
        """The structures that can be worked on."""
        own = {label.id: label for label in self.own}
        known = self._known_labels()
        ids = {label.id for label in known}
        return (*(own.get(label.id, label) for label in known), *(x for x in own.values() if x.id not in ids))

    def _known_labels(self) -> tuple[Label, ...]:
        """Of the corrected mask, else of what a model said, else of the model that is chosen."""
        corrected, prediction = self.corrected, self.prediction
        if corrected is not None and corrected.labels:
            return corrected.labels
        if prediction is not None and prediction.rendered.labels:
            return prediction.rendered.labels
        return self.session.labels

    @property
    def own(self) -> tuple[Label, ...]:
        """Structures that a person added, in this project or on this scan."""
        return () if self._structures is None else self._structures.labels

    @property
    def _structures(self) -> Structures | None:
        case = self.host.here
        folder = self._standalone.folder_of(self.scan)
        if case is not None and self.host.in_view:
            folder = case.project.places.folder
        if folder is None:
            return None
        if folder not in self._named:
            self._named = {folder: Structures(folder)}
        return self._named[folder]

    @property
    def structures(self) -> Structures | None:
        """Where structures can be added and named now; None where that is not so."""
        corrected = self.corrected
        return None if corrected is None or self.folder is None or corrected.frozen() else self._structures

    def add_structure(self, name: str) -> int:
        """One more structure, under work from now on; its id, 0 where it cannot be added."""
        corrected, structures = self.corrected, self.structures
        if corrected is None or structures is None:
            self.said.emit(self.blocked or NO_MASK)
            return 0
        models = (entry.id for info in self.session.engine.models() for entry in info.card.labels)
        # Above every id of any model or other mask: a number that one of them has would mean two structures in one
        # file.
        above = max((*models, *(label.id for label in self.session.labels), *self.elsewhere()), default=0)
        try:
            made = structures.add(name, self.labels, above, corrected.corrections.mask, self._reader)
        except MorseError as error:
            show_error(str(error))
            return 0
        corrected.colour(self.own)
        self.label = made.id
        self.refresh()
        return made.id

    def name_structure(self, number: int, name: str) -> None:
        """Call one that a person added otherwise; who reads blind, only their own."""
        structures = self.structures
        if structures is None:
            return
        try:
            structures.rename(number, name, self.labels, self._reader if self.host.blind else None)
        except MorseError as error:
            show_error(str(error))
        self.refresh()

    @property
    def _reader(self) -> str:
        return "" if self.host.project is None else self.host.project.reader

    @property
    def mask(self) -> Array | None:
        """As `OpenCases.mask`."""
        return self.cases.mask

    @property
    def plane(self) -> PlaneInView | None:
        """The slice of `scan` that is in view; None in 3-D, and outside of it."""
        scan, layer = self.scan, self.scan_layer
        return None if scan is None or layer is None else plane_in_view(self.viewer, scan, layer)

    def name_of(self, label: int) -> str:
        """What a label stands for."""
        names = {0: "background"} | {x.id: x.name for x in self.labels}
        return names.get(label, f"label {label}")

    @property
    def label(self) -> int:
        """Id of the structure under work; 0 where there is no mask to correct."""
        corrected = self.corrected
        return int(corrected.layer.selected_label) if corrected is not None else 0

    @label.setter
    def label(self, number: int) -> None:
        corrected = self.corrected
        if corrected is not None and number != self.label:
            corrected.layer.selected_label = number

    @property
    def locked(self) -> frozenset[int]:
        """Labels that no act may touch."""
        corrected = self.corrected
        return corrected.case.protection.locked if corrected is not None else frozenset()

    def lock(self, label: int, locked: bool) -> None:
        """Let no act touch a label any more, or let them again."""
        corrected = self.corrected
        if corrected is not None:
            now = corrected.case.protection.locked
            corrected.case.protection.locked = now | {label} if locked else now - {label}
            self.refresh()

    @property
    def folder(self) -> Path | None:
        """Where the files of what is under work lie; None where nothing may be written."""
        case = self.host.here
        if case is not None and self.host.in_view:
            return case.work.folder if case.project.writable else None
        return self._standalone.folder_of(self.scan)

    # Correcting

    @property
    def coming(self) -> bool:
        """Whether what was corrected of `scan` is being read."""
        return not self.host.in_view and self._standalone.coming(self.scan)

    @property
    def left_out(self) -> str:
        """What is said of masks that are saved while the corrected one could not be opened; else empty."""
        return CORRECTED_LEFT_OUT if self.corrected is None and self._standalone.refused(self.scan) else ""

    @property
    def blocked(self) -> str:
        """Why correcting cannot begin, as a sentence with the way out; empty when it can, or has begun."""
        if self.corrected is not None:
            return ""
        if self.scan is None or self.scan_layer is None:
            return NO_SCAN
        if self.host.in_view:
            return "The mask of this case is only looked at: its reader has decided, or nothing may be written."
        return self.session.forbidden

    def begin(self, then: Callable[[], None] = lambda: None) -> None:
        """Begin to correct, from the rendered mask or from what was corrected before; ``then`` is called after that."""
        if self.corrected is not None:
            then()
            return
        scan, why = self.scan, self.blocked
        if why or scan is None:
            self.said.emit(why)
            return
        self._then.append(then)
        mask = None if self.prediction is None else self.prediction.rendered.data
        self._standalone.begin(scan, self.scan_layer, mask, self.labels)

    def _on_not_begun(self, error: Exception) -> None:
        self._then.clear()
        show_error(str(error))

    def apply(self, box: Roi, values: Array, kind: str, state: int | None = None) -> str:
        """One act on the corrected mask, on the disk when this returns; see `CorrectedLayer.act`.

        Returns
        -------
        str
            What was kept out, or that nothing changed; empty when all went in.
        """
        corrected = self.corrected
        if corrected is None:
            return NO_MASK
        try:
            done, refused = corrected.act(box, values, kind, state)
            corrected.rest()
        except MorseError as error:
            return str(error)
        if refused:
            return KEPT_OUT.format(_voxels(refused))
        return "" if done is not None else UNCHANGED

    # What happens

    def _on_status(self, _status: str) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Look again, and tell when anything is another than before."""
        corrected = self._again()
        if self._told and self._told[0] is not self.scan:
            self._then.clear()  # what was to be done next was meant for another scan
        if corrected is not self._corrected:
            self._follow(corrected)
        now = (
            self.scan, self.scan_layer, corrected, self.prediction, self.label, self.locked, self.folder, self.blocked,
            self.own,
        )  # fmt: skip
        same = len(now) == len(self._told) and all(
            # Scans, predictions and masks by identity: they hold whole volumes, and what is under work is this very
            # object.
            a is b or (isinstance(a, int | str | frozenset | Path) and a == b)
            for a, b in zip(now, self._told, strict=True)
        )
        if not same:
            self._told = now
            self.changed.emit()
        if corrected is not None and self._then:
            # Emptied first: what is done here may change the mask, which comes here again.
            due, self._then = self._then, []
            for each in due:
                each()

    def _again(self) -> CorrectedLayer | None:
        """The mask that is corrected; what was corrected on another day is there without being asked for."""
        corrected, scan = self.corrected, self.scan
        if corrected is not None or scan is None or self.blocked:
            return corrected
        # What it opens arrives later, and tells by `changed`, which leads here again: nothing is returned of it now.
        if self._standalone.waits(scan):
            self.begin()
        else:
            self._standalone.look(scan)
        return corrected

    def _follow(self, corrected: CorrectedLayer | None) -> None:
        before, self._corrected = self._corrected, corrected
        if before is not None:
            before.layer.events.selected_label.disconnect(self._on_label)
            for signal, slot in self._signals(before):
                signal.disconnect(slot)
        if corrected is not None:
            corrected.take_keys()
            corrected.colour(self.own)
            if self._structures is not None and self._structures.trouble:
                show_error(self._structures.trouble)
            corrected.layer.events.selected_label.connect(self._on_label)
            for signal, slot in self._signals(corrected):
                signal.connect(slot)

    def _signals(self, corrected: CorrectedLayer) -> tuple[tuple[Any, Any], ...]:
        return (
            (corrected.acted, self.acted), (corrected.rested, self.rested), (corrected.moved, self.moved),
            (corrected.redrawn, self.redrawn), (corrected.replaced, self._on_all), (corrected.drawn_on, self.drawn_on),
            (corrected.refused, self._on_refused), (corrected.outside, self._on_outside),
            (corrected.unseen, self._on_unseen), (corrected.unwritten.changed, self.kept),
        )  # fmt: skip

    def _on_label(self, _event: Any = None) -> None:
        self.refresh()

    def _on_all(self) -> None:
        """Another mask stands there: no edit of a person's, which would move the case."""
        corrected = self.corrected
        if corrected is not None:
            whole = Roi((0, 0, 0), corrected.corrections.mask.shape)
            self.replaced.emit()
            self.acted.emit(whole)
            self.rested.emit(Rest(whole))

    def _on_refused(self, voxels: int) -> None:
        self.said.emit(KEPT_OUT.format(_voxels(voxels)))
        if self._warned is not self._corrected:  # each time would be in the way
            self._warned = self._corrected
            show_info(KEPT_OUT.format(_voxels(voxels)))

    def _on_outside(self) -> None:
        self._tell(OUTSIDE)

    def _on_unseen(self, sentence: str) -> None:
        self._tell(sentence)

    def _tell(self, sentence: str) -> None:
        """In the tab, and over the canvas, where the person looks."""
        self.said.emit(sentence)
        show_info(sentence)

    @property
    def unwritten(self) -> CorrectedLayer | None:
        """A corrected mask of which something is in memory only, whichever scan is chosen; None: all is on the disk."""
        return next((each for each in self._layers if each.unwritten.count), None)

    def may_leave(self) -> bool:
        """Whether nothing goes unsaid when the window is closed; see `settled`."""
        return self.host.may_leave() and self._standalone.may_leave()

    @property
    def stop_events(self) -> tuple[Event, ...]:
        """What to set to cancel whatever runs, even when this is gone."""
        return self.runner.stop_event, *self._standalone.stop_events

    def stop_work(self) -> None:
        """Cancel whatever runs, and save what belongs to no project."""
        self.runner.cancel()
        self._standalone.stop_work()

    def close_down(self) -> None:
        """Save what is loose, and let go of everything."""
        each_of(
            (
                self.runner.cancel,
                partial(self._follow, None),
                partial(self.session.setup_changed.disconnect, self.refresh),
                partial(self.session.status_changed.disconnect, self._on_status),
                self._standalone.close_down,
            )
        )


def _voxels(number: int) -> str:
    return "1 voxel" if number == 1 else f"{number:,} voxels".replace(",", "\u202f")
