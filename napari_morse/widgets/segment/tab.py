"""The Segment tab: what runs on what, the run, and the result in numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QFormLayout, QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_morse.errors import CancelledError, MorseError
from napari_morse.io.labels import MAY_BE_MASK
from napari_morse.session import SegmentJob, SegmentSession, ToSave
from napari_morse.types import Roi, Scan
from napari_morse.widgets.base import Banner, EndingWidget, JobRunner, Tell, combo_box, plain
from napari_morse.widgets.bridge import Presentation, offer_nifti_first, prepare_presentation
from napari_morse.widgets.segment.model_card import CardDialog
from napari_morse.widgets.segment.region_box import RegionBox
from napari_morse.widgets.segment.run_bar import RunBar
from napari_morse.widgets.segment.scan_picker import ChannelBox, ScanPicker
from napari_morse.widgets.segment.shown_result import ShownResult
from napari_morse.widgets.view import Comparison, Stage

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_morse.zoo import ModelInfo

CONVERT = "Right-click the layer ▸ Convert to Labels, if it is one."
DEVICES = ("auto", "cpu")
"""Offered until the machine has been asked."""


@dataclass(eq=False)
class _Run:
    """A run that is under way until its masks are in view, and what it has said of its scan."""

    job: SegmentJob
    layer: Image
    warnings: tuple[str, ...] = ()


class SegmentTab(EndingWidget):
    """Chooses scan, region, model and device, runs, and shows the table.

    Parameters
    ----------
    napari_viewer
        Whose layers are segmented.
    session
        The state behind the tab; a new one when None.
    comparison
        Shows the result; a new one when None.
    parent
        Owner.
    """

    def __init__(
        self,
        napari_viewer: Viewer,
        session: SegmentSession | None = None,
        comparison: Comparison | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        # The Plugins menu opens this tab as a dock of its own, and hands over the viewer alone.
        self._viewer = viewer = plain(napari_viewer)
        self._session = SegmentSession() if session is None else session
        self._comparison = Comparison(viewer, self) if comparison is None else comparison
        self._runner = JobRunner("morse-segment", self)
        self._asker = JobRunner("morse-devices", self)
        self.scans = ScanPicker(viewer, self)
        self.stage = Stage(viewer, self.scans.known, self)
        self._shown = ShownResult(viewer, self._session, self._comparison, self.stage, self)
        self._asked = False
        self._run: _Run | None = None
        self._models: dict[str, ModelInfo] = {}
        self._chosen_by_hand = False
        self._build()
        self._connect()
        self._list_models()
        self._on_scan()
        self.watch_the_end(self.stop_events)
        offer_nifti_first()

    # Building

    def _build(self) -> None:
        self.channels = ChannelBox(self.scans, self)
        self.model = combo_box(self, "The model that segments.")
        self.card = QPushButton("i", self)
        self.card.setFixedWidth(28)
        self.card.setAccessibleName("About this model")
        self.device = combo_box(self, "Where the model runs; auto takes a graphics card when there is one.")
        self.region = RegionBox(self._viewer, self)
        self.run_bar = RunBar(self)
        self.banner = Banner(self)
        self.results = self._shown.box
        self.patch_view = self._shown.patch_view
        for item in DEVICES:
            self.device.addItem(item)
        model = QHBoxLayout()
        model.addWidget(self.model, 1)
        model.addWidget(self.card)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Scan", self.scans.combo)
        form.addRow("", self.scans.about)
        form.addRow(self.channels)
        form.addRow("Region", self.region.buttons)
        form.addRow("Slices", self.region.slices)
        form.addRow("", self.region.text)
        form.addRow("Model", model)
        form.addRow("Device", self.device)
        line = QFrame(self)
        line.setFrameShape(QFrame.Shape.HLine)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addLayout(form)
        layout.addWidget(self.run_bar)
        layout.addWidget(self.banner)
        layout.addWidget(line)
        layout.addWidget(self.results)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.scans.changed.connect(self._on_scan)
        self.scans.removed.connect(self._on_scan_removed)
        self.scans.listed.connect(self._name_scan)
        self.stage.asked.connect(self.scans.choose)
        self.channels.changed.connect(self._on_channels)
        self.model.currentTextChanged.connect(self._on_model_chosen)
        self.device.currentTextChanged.connect(self._on_device)
        self.card.clicked.connect(self._show_card)
        self.region.changed.connect(self._on_region)
        self.run_bar.run.clicked.connect(self.run)
        self.run_bar.cancel.clicked.connect(self.cancel)
        self._runner.progressed.connect(self._on_progress)
        self._runner.succeeded.connect(self._on_success)
        self._runner.failed.connect(self._on_failure)
        self._asker.succeeded.connect(self._on_devices)
        self._asker.failed.connect(self._on_devices_failed)

    @property
    def comparison(self) -> Comparison:
        """What the masks are compared in."""
        return self._comparison

    def to_save(self) -> ToSave | None:
        """The masks of the scan in view, as they are now; None where there are none."""
        return self._shown.to_save()

    def wait_for(self, coming: Callable[[], bool]) -> None:
        """Save nothing while a corrected mask is coming, which ``coming`` tells."""
        self._shown.coming = coming

    def save_decided(self, decided: Callable[[], Labels | None]) -> None:
        """Save also a mask that is only looked at, which ``decided`` gives where the scan in view has one."""
        self._shown.decided = decided

    @property
    def presenting(self) -> bool:
        """Whether the layers of a result are on their way."""
        return self._shown.presenter.busy

    # What can be chosen

    def choose(self, model: str) -> bool:
        """List the models anew, and choose one as if by hand; whether it is there."""
        self._chosen_by_hand = True
        self._list_models(model)
        return model in self._models

    def _list_models(self, chosen: str = "") -> None:
        try:
            models = list(self._session.engine.models())
        except MorseError as error:
            models = []
            show_error(str(error))
        self._models = {info.name: info for info in models}
        with QSignalBlocker(self.model):
            self.model.clear()
            self.model.addItems(list(self._models))
            self.model.setCurrentText(chosen)
        self._on_model(self.model.currentText())

    def shown(self) -> None:
        """Ask the machine for its devices, once."""
        if not self._asked:
            self._asked = True
            self.ask_devices()

    def ask_devices(self) -> None:
        """Ask, beside the window, which devices the machine has; this also warms the engine up for the first run."""
        engine = self._session.engine
        if not self._asker.busy:
            # Beside the window: the first answer imports torch, which the window's thread never does.
            self._asker.start(lambda _progress, _cancelled: tuple(engine.devices()))

    def _on_devices(self, names: tuple[str, ...]) -> None:
        chosen = self.device.currentText()
        with QSignalBlocker(self.device):
            self.device.clear()
            self.device.addItems(list(names))
            self.device.setCurrentText(chosen)
        self._on_device(self.device.currentText())

    def _on_devices_failed(self, error: Exception) -> None:
        if not isinstance(error, CancelledError):
            show_warning(f"Only the CPU can be used: {error}")

    def _on_scan(self) -> None:
        layer, scan = self.scans.layer, self.scans.scan
        # Before the stage: what is put away makes layers of the scan before visible again, which the stage then hides.
        self._shown.leave(layer)
        self.stage.show(layer)
        self._session.scan = scan
        self._name_scan()
        if scan is not None:
            self._suggest_model(scan)
        self.region.set_scan(scan)
        self._session.roi = self.region.roi
        self.region.describe()
        self._shown.come(layer)
        self._shown.match()
        self._warn()
        self.refresh()

    def _name_scan(self) -> None:
        """Say in the view which scan it shows."""
        self._comparison.name_scan(self.scans.combo.currentText())

    def _on_scan_removed(self, layer: Image) -> None:
        if self._run is not None and self._run.layer is layer:
            self.cancel()
        self._shown.forget_closed()

    def _warn(self) -> None:
        """What is unusual about the scan in view, and about what a run said of it."""
        scan, run, result = self._session.scan, self._run, self._session.result
        warnings = () if scan is None else tuple(map(_with_way_out, scan.notices))
        if run is not None and run.layer is self.scans.layer:
            warnings += run.warnings
        elif result is not None and self._session.result_scan is scan:
            warnings += result.warnings
        self.banner.warn(tuple(dict.fromkeys(warnings)))

    def _suggest_model(self, scan: Scan) -> None:
        """Until a model was chosen by hand: the first one that reads volumes, or planes, as the scan is."""
        if self._chosen_by_hand or self._session.running:
            return
        dims = 2 if 1 in scan.grid.shape else 3
        fitting = [n for n, info in self._models.items() if info.card.recipe.backbone.spatial_dims == dims]
        if fitting and fitting[0] != self.model.currentText():
            # Silent: it would count as chosen by hand, and the next scan would keep a model that does not fit.
            with QSignalBlocker(self.model):
                self.model.setCurrentText(fitting[0])
            self._on_model(fitting[0])

    def _on_model_chosen(self, name: str) -> None:
        self._chosen_by_hand = True
        self._on_model(name)

    def _on_model(self, name: str) -> None:
        self._session.model = name
        self.card.setEnabled(name in self._models)
        known = "What this model is, and what it was trained on."
        self.card.setToolTip(known if name in self._models else "There is no model.")
        self.channels.set_channels(self._models[name].card.channels[1:] if name in self._models else ())
        self._on_channels()

    def _on_channels(self) -> None:
        self._session.set_channels(tuple(self.channels.combos), self.channels.scans())
        self.refresh()

    def _on_device(self, name: str) -> None:
        self._session.device = name

    def _on_region(self, roi: Roi | None) -> None:
        self._session.roi = roi
        self.region.describe()

    def _show_card(self) -> None:
        name = self.model.currentText()
        if name in self._models:
            CardDialog(self._models[name], self).show()

    # The run

    def run(self) -> None:
        """Start a run with what is chosen."""
        layer = self.scans.layer
        try:
            if self._runner.busy or self._shown.presenter.busy:
                show_warning("A segmentation is running: wait for it or cancel it.")
                return
            job = self._session.begin()
        except MorseError as error:
            show_warning(str(error))
            return
        if layer is not None:  # there is a scan, or nothing would have begun
            self._start(_Run(job, layer))

    def _start(self, run: _Run) -> None:
        self._run = run
        self._warn()
        self.run_bar.start()
        self._lock("The choices are fixed while a segmentation runs.")
        self._runner.start(_work(run))

    def cancel(self) -> None:
        """Stop the run at its next step."""
        if self._runner.busy:
            self.run_bar.cancelling()
            self._runner.cancel()
        elif self._shown.presenter.busy:
            self._shown.presenter.stop()

    def _on_progress(self, message: tuple[_Run, Any]) -> None:
        run, progress = message
        if isinstance(progress, tuple):
            run.warnings = progress
            self._warn()
        elif isinstance(progress, str):
            self.run_bar.busy(progress)
        # Once Cancel was pressed the bar says so: tiles that still arrive do not write over it.
        elif self.run_bar.cancel.isEnabled():
            self.run_bar.advance(progress.stage, progress.done, progress.total, progress.fraction)

    def _on_success(self, result: tuple[_Run, Presentation]) -> None:
        run, ready = result
        layer = run.layer
        # The scan may have been deleted after the last tile.
        if layer not in self._viewer.layers:
            self._on_failure(CancelledError())
            return
        self.run_bar.busy("showing the masks")

        def done() -> None:
            on = "" if self.scans.layer is layer else f", on “{layer.name}”"
            self._end(f"done in {ready.prediction.seconds.get('total', 0.0):.1f} s{on}")
            self._warn()

        keep = partial(self._session.finish, run.job, ready.prediction)
        self._shown.show(ready, layer, keep, done, lambda: self._on_failure(CancelledError()))

    def show_kept(self, ready: Presentation, layer: Image) -> None:
        """Show what was found on a scan before, without a run."""
        keep = partial(self._session.recall, ready.prediction, ready.scan)
        self._shown.show(ready, layer, keep, self._warn, lambda: None)

    def put_away(self) -> None:
        """Show no result."""
        self._shown.put_away()

    def _on_failure(self, error: Exception) -> None:
        self._session.fail(error)
        if isinstance(error, CancelledError):
            self._end("cancelled; nothing was kept")
            return
        self._end("stopped; see the message")
        if isinstance(error, MorseError):
            show_error(str(error))
        elif isinstance(error, MemoryError):
            show_error("There is not enough memory for this scan. Draw a region, and run again.")
        else:
            show_error(f"The segmentation failed: {type(error).__name__}: {error}")

    def _end(self, line: str) -> None:
        self._run = None
        self._lock("")
        self.run_bar.rest(self._session.blocked, line)

    def _lock(self, why: str) -> None:
        for widget in (self.scans.combo, self.model, self.device):
            widget.setEnabled(not why)
            widget.setToolTip(why or str(widget.property("tip")))
        self.channels.set_enabled(why)
        self.region.set_enabled(why)

    def refresh(self) -> None:
        """Say whether anything can be run now."""
        if not self._session.running:
            self.run_bar.rest(self._session.blocked)

    # Leaving

    @property
    def stop_events(self) -> tuple[Event, Event]:
        """What to set to cancel whatever runs, even when the tab is gone."""
        return self._runner.stop_event, self._asker.stop_event

    def stop_work(self) -> None:
        """Cancel whatever runs; returns at once."""
        self._runner.cancel()
        self._asker.cancel()

    def close_down(self) -> None:
        """Cancel, and let go of the viewer."""
        self.stop_work()
        self._shown.leave_behind()
        self._comparison.name_scan("")
        self.stage.close_down()
        self.scans.close_down()
        self.region.close_down()


def _with_way_out(notice: str) -> str:
    """A notice of a file, and what can be done about it in the window."""
    return f"{notice} {CONVERT}" if notice.endswith(MAY_BE_MASK) else notice


def _work(run: _Run) -> Callable[[Tell, Callable[[], bool]], tuple[_Run, Presentation]]:
    """A run without the tab, the thread holds no widget; all that it tells and gives comes with the run."""

    def work(tell: Tell, cancelled: Callable[[], bool]) -> tuple[_Run, Presentation]:
        def tell_of_run(progress: Any) -> None:
            tell((run, progress))

        prediction = run.job.run(tell_of_run, cancelled, warned=tell_of_run)
        if cancelled():
            raise CancelledError
        tell_of_run("getting the masks ready")
        return run, prepare_presentation(prediction, run.job.scan)

    return work
