"""The Segment tab's state: what runs on what, and what came out.

The session belongs to one thread (the window's); a `SegmentJob` is a frozen copy of the choices, for any thread to run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

from psygnal import Signal

from napari_morse.errors import CancelledError, GeometryError, InputError
from napari_morse.session.run.engine import InferenceEngine, LocalEngine
from napari_morse.types import Label, Prediction, Roi, Scan

RunStatus = Literal["idle", "running", "done", "cancelled", "failed"]


@dataclass(frozen=True, eq=False)
class SegmentJob:
    """One run: its inputs cannot change under it; ``others`` are the scans that are the model's further channels."""

    engine: InferenceEngine
    scan: Scan
    model: str
    device: str
    roi: Roi | None = None
    others: tuple[Scan, ...] = ()

    def run(
        self,
        progress: Callable[[Any], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        warned: Callable[[tuple[str, ...]], None] | None = None,
    ) -> Prediction:
        """Load the model, read the scan and predict, in whichever thread calls.

        Parameters
        ----------
        progress
            Called with the predictor's ``Progress`` after each step.
        cancelled
            Asked between steps; True ends the run.
        warned
            Called, before the long part, with sentences on how the scan differs from the training data.

        Raises
        ------
        CancelledError
            Within one tile of ``cancelled`` turning True.
        MorseError
            With a plain sentence for anything that the person can act on.
        """
        stop = cancelled or _never
        predictor = self.engine.predictor(self.model, self.device)
        _leave_if(stop)
        warnings = predictor.set_scan(self._read(), self.roi)
        if warned is not None and warnings:
            warned(warnings)
        _leave_if(stop)
        prediction = predictor.predict(progress, stop)
        return replace(prediction, warnings=tuple(dict.fromkeys((*warnings, *prediction.warnings))))

    def _read(self) -> Scan:
        """The scan with its further channels."""
        if not self.others:
            return self.scan
        return replace(self.scan, others=tuple(scan.data for scan in self.others))


def _never() -> bool:
    return False


def _leave_if(stop: Callable[[], bool]) -> None:
    if stop():
        raise CancelledError


class SegmentSession:
    """Choices, state and result of the Segment tab.

    Parameters
    ----------
    engine
        What runs the models; the machine itself when None.
    """

    setup_changed: ClassVar[Signal] = Signal()
    """The scan, the model, the device or the region was changed."""
    status_changed: ClassVar[Signal] = Signal(str)
    """The new `RunStatus`."""

    def __init__(self, engine: InferenceEngine | None = None) -> None:
        self.engine: InferenceEngine = engine if engine is not None else LocalEngine()
        self._scan: Scan | None = None
        self._model = ""
        self._device = "auto"
        self._roi: Roi | None = None
        self._wanted: tuple[str, ...] = ()
        self._others: dict[str, Scan] = {}
        self._status: RunStatus = "idle"
        self.forbidden = ""
        """Why no model may be run now, whatever is chosen; a sentence with the way out."""
        self.result: Prediction | None = None
        self.result_scan: Scan | None = None
        self._made_from: WeakKeyDictionary[Prediction, tuple[Scan, ...]] = WeakKeyDictionary()
        self.warnings: tuple[str, ...] = ()
        self.error: BaseException | None = None

    @property
    def scan(self) -> Scan | None:
        """The scan to segment. Another scan clears the region."""
        return self._scan

    @scan.setter
    def scan(self, scan: Scan | None) -> None:
        if scan is self._scan:
            return
        self._scan = scan
        self._roi = None
        self.setup_changed.emit()

    @property
    def model(self) -> str:
        """Name of the model, empty when none is chosen."""
        return self._model

    @model.setter
    def model(self, name: str) -> None:
        if name != self._model:
            self._model = name
            self.setup_changed.emit()

    @property
    def others(self) -> Mapping[str, Scan]:
        """What was chosen for the model's further channels, by name."""
        return self._others

    @property
    def labels(self) -> tuple[Label, ...]:
        """The structures that the model finds; none when no model is chosen."""
        cards = (info.card for info in self.engine.models() if info.name == self._model)
        return tuple(Label(x.id, x.name, x.color, x.code) for card in cards for x in card.labels)

    @property
    def one_channel(self) -> bool:
        """Whether the model reads nothing but the scan itself."""
        return not self._wanted

    def others_of(self, scan: Scan) -> tuple[Scan, ...]:
        """The further channels that the result on a scan was made from."""
        result = self.result if scan is self.result_scan else None
        return () if result is None else self._made_from.get(result, ())

    def set_channels(self, wanted: tuple[str, ...], chosen: Mapping[str, Scan]) -> None:
        """Say which channels the model reads after the first, and which scans they are, as far as chosen."""
        if wanted != self._wanted or dict(chosen) != self._others:
            self._wanted, self._others = wanted, dict(chosen)
            self.setup_changed.emit()

    @property
    def device(self) -> str:
        """``auto`` or the name of a device."""
        return self._device

    @device.setter
    def device(self, name: str) -> None:
        if name != self._device:
            self._device = name
            self.setup_changed.emit()

    @property
    def roi(self) -> Roi | None:
        """The region to read, in storage order, or None for the whole scan."""
        return self._roi

    @roi.setter
    def roi(self, roi: Roi | None) -> None:
        if roi == self._roi:
            return
        if roi is not None:
            if self._scan is None:
                raise InputError("There is no scan to draw a region on.", "Open a scan first.")
            roi.check(self._scan.grid.shape)
        self._roi = roi
        self.setup_changed.emit()

    @property
    def status(self) -> RunStatus:
        """Where the last run stands."""
        return self._status

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._status == "running"

    @property
    def blocked(self) -> str:
        """Why nothing can be run now, as a sentence with the way out; empty when it can."""
        if self.running:
            return "A segmentation is running: wait for it or cancel it."
        if self.forbidden:
            return self.forbidden
        if self._scan is None:
            return "Open a scan first: drop a file on the window, or File ▸ Open Sample ▸ MORSE."
        if not self._model:
            return "No model is chosen: choose one above."
        missing = [name for name in self._wanted if name not in self._others]
        if missing:
            return f"The model also reads the channel “{missing[0]}”: choose its layer below the scan."
        return ""

    def begin(self) -> SegmentJob:
        """Start a run: a job with the present choices.

        Raises
        ------
        InputError
            When nothing can be run now (see `blocked`).
        GeometryError
            When a channel does not lie on the scan's grid.
        """
        if self.blocked or self._scan is None:
            raise InputError(self.blocked)
        others = tuple(self._others[name] for name in self._wanted)
        for name, other in zip(self._wanted, others, strict=True):
            if not other.grid.same_as(self._scan.grid):
                raise GeometryError(
                    f"The channel “{name}” ({other.stem}) does not lie on the scan's grid.",
                    "Resample it to the scan's grid, or choose another layer.",
                )
        self.warnings, self.error = (), None
        self._move("running")
        return SegmentJob(self.engine, self._scan, self._model, self._device, self._roi, others)

    def finish(self, job: SegmentJob, prediction: Prediction) -> None:
        """Keep what a job gave."""
        # Of the job, not of the session: another scan and other channels may be chosen by now.
        self._made_from[prediction] = job.others
        self.result, self.result_scan, self.warnings = prediction, job.scan, prediction.warnings
        self._move("done")

    def recall(self, prediction: Prediction, scan: Scan) -> None:
        """Take up what was found on a scan before; no run was made."""
        self.result, self.result_scan, self.warnings = prediction, scan, prediction.warnings
        if not self.running:
            self._move("idle")

    def fail(self, error: BaseException) -> None:
        """Note that the run ended without a result; the earlier result stays."""
        self.error = error
        self._move("cancelled" if isinstance(error, CancelledError) else "failed")

    def _move(self, status: RunStatus) -> None:
        self._status = status
        self.status_changed.emit(status)
