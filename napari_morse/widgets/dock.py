"""The MORSE dock: the tabs in the order of the day, and how the result is looked at below them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QScrollArea, QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from napari_morse.session import SegmentSession
from napari_morse.types import Roi
from napari_morse.widgets.base import EndingWidget, each_of, in_dock, plain, shortcuts
from napari_morse.widgets.bridge import LayerKeys, RightContext
from napari_morse.widgets.case import ActiveCase, ProjectHost, UnwrittenLine
from napari_morse.widgets.correct import BrushLine, CorrectTab, LiveWire, Sharpener, ToolsBox
from napari_morse.widgets.learn import Learner, LearnTab
from napari_morse.widgets.project import BackgroundPredictor, CaseBar, Worklist, ask_unfinished
from napari_morse.widgets.review import MeasureBox, ReviewTab, TruthBox, Walker
from napari_morse.widgets.segment import SegmentTab
from napari_morse.widgets.view import Comparison, Letters, Planes, ResultLayers, SurfaceView, ViewBar, keys

if TYPE_CHECKING:
    from napari.viewer import Viewer

DOCK_WIDTH = 340
"""Pixels in which everything has to fit."""
NAME = "MORSE (MORSE)"
"""What napari's Plugins menu calls the dock: under another name it would not find it, and open a second one."""


class MorseDock(EndingWidget):
    """Home of the plugin.

    Parameters
    ----------
    napari_viewer
        The viewer that the dock is added to.
    session
        State behind the Segment tab; a new one when None.
    """

    closing = Signal()
    """It lets go of the viewer."""
    opened: ClassVar[WeakSet[Any]] = WeakSet()
    """Whose `take` is called with a dock that was opened: parts in docks of their own that have lost theirs."""
    _open: ClassVar[WeakSet[MorseDock]] = WeakSet()

    def __init__(self, napari_viewer: Viewer, session: SegmentSession | None = None) -> None:
        super().__init__()
        viewer = plain(napari_viewer)
        self._close_another(viewer)
        self.session = session if session is not None else SegmentSession()
        self.comparison = Comparison(viewer, self)
        self.segment = SegmentTab(viewer, self.session, self.comparison, self)
        self._viewer = viewer
        self.host = ProjectHost(viewer, self.session, lambda found: ask_unfinished(self, found), self)
        self.ahead = BackgroundPredictor(self.host)
        self.case_bar = CaseBar(viewer, self.host, self.ahead, self.show_worklist, self)
        self.worklist: Worklist | None = None
        self._make_hands()
        self._letters, self._context = Letters(viewer), RightContext(viewer)
        self._unbind = keys.bind(viewer, self.comparison)
        acts = {
            "sharpen": self.correct.toggle_sharpen, "wire": self.wire.toggle, "interpolate": self.tools.run_interpolate,
        }  # fmt: skip
        keys_of = shortcuts.chosen()
        if shortcuts.trouble():
            show_warning(shortcuts.trouble())
        self._keys = LayerKeys(
            viewer, {key: acts.get(act) or getattr(self.walker, act) for act, key in keys_of.items()}
        )
        self._looked: ResultLayers | None = None
        self.tabs = QTabWidget(self)
        self._add_tab(self.segment, "Segment", "What runs on what, and the result in numbers.")
        self._add_tab(self.review, "Review", "Walk along the doubtful boundary.")
        self._add_tab(self.correct, "Correct", "Draw, and let strokes be sharpened.")
        self._add_tab(self.learn, "Learn", "Train the model on your corrections, and see what it was worth.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.case_bar)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.unwritten)
        layout.addWidget(self.brush)
        layout.addWidget(self.view_bar)
        self.setMinimumWidth(DOCK_WIDTH)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.session.setup_changed.connect(self._on_setup)
        self.comparison.changed.connect(self._on_comparison)
        self.host.staging.connect(self.segment.scans.choose)
        self.host.presenting.connect(self.segment.show_kept)
        self.host.leaving.connect(self.segment.put_away)
        self.host.changed.connect(self.segment.refresh)
        self._on_setup()
        runners = (
            self.host.loader, self.host.decisions.runner, self.ahead.runner, self.case_bar.acts.runner,
            self.sharpener.runner, self.walker.runner, self.surfaces.runner, self.truth.runner,
            *self.learner.runners,
        )  # fmt: skip
        self.watch_the_end(
            (
                *self.segment.stop_events,
                *self.active_case.stop_events,
                self.wire.stop_event,
                *(runner.stop_event for runner in runners),
            )
        )
        self._open.add(self)

    @classmethod
    def of(cls, viewer: Viewer) -> MorseDock | None:
        """The dock of a viewer, where one is open."""
        return next((dock for dock in cls._open if dock.active_case.viewer is viewer), None)

    @classmethod
    def open(cls, viewer: Viewer) -> MorseDock:
        """The dock of a viewer, opened as the Plugins menu opens it where none is."""
        dock = cls.of(viewer)
        if dock is None:
            dock = cls(viewer)
            viewer.window.add_dock_widget(dock, name=NAME)
        return dock

    def _close_another(self, viewer: Viewer) -> None:
        """Two over one viewer would both have its keys and its layers."""
        another = self.of(viewer)
        if another is not None and in_dock(another):
            viewer.window.remove_dock_widget(another)

    def shown(self) -> None:
        """Let parts in docks of their own that have lost their dock go on over this one."""
        for each in list(self.opened):
            each.take(self)

    def _make_hands(self) -> None:
        """What reviewing and correcting take."""
        viewer = self._viewer
        self.active_case = ActiveCase(viewer, self.session, lambda: self.segment.scans.layer, self.host, self)
        self.active_case.holds = self.segment.stage.holds
        self.segment.wait_for(lambda: self.active_case.coming)
        self.segment.save_decided(lambda: self.host.decided)
        self.segment.results.save.left_out = lambda: self.active_case.left_out
        self.sharpener = Sharpener(self.active_case, self)
        self.walker = Walker(self.active_case, self.sharpener, self.segment.patch_view, self)
        self.review = ReviewTab(self.active_case, self.walker, self)
        self.correct = CorrectTab(self.active_case, self.sharpener, self.segment.to_save, self)
        self.correct.save.left_out = lambda: self.active_case.left_out
        self.tools = ToolsBox(self.active_case, self)
        self.wire = LiveWire(self.active_case, self)
        self.correct.add_wire(self.wire)
        self.correct.add(self.tools)
        self.truth, self.measures = TruthBox(self.active_case, self), MeasureBox(self.active_case, self)
        self.review.add(self.truth)
        self.review.add(self.measures)
        self.segment.stage.claimed.connect(self.truth.refresh)
        self.learner = Learner(viewer, self.host, self.segment, self)
        known = self.learner.structures.found
        self.active_case.elsewhere = lambda: {number for held in known.values() for number in held.ids}
        self.learn = LearnTab(self.learner, self)
        self.brush, self.unwritten = BrushLine(self.active_case, self), UnwrittenLine(self.active_case, self)
        self.surfaces = SurfaceView(self.active_case, self.comparison, self)
        self.view_bar = ViewBar(self.comparison, self.surfaces, self.show_planes, self)
        self.planes: Planes | None = None
        self.walker.editing.connect(self._on_editing)
        self.wire.toggled.connect(lambda on: self.measures.ruler.leave() if on else None)
        self.measures.ruler.toggled.connect(lambda on: self.wire.leave() if on else None)
        self.active_case.changed.connect(self._outline)
        self.active_case.changed.connect(self._on_case)
        self.active_case.redrawn.connect(self._on_redrawn)
        self.active_case.changed.connect(self._on_difference)
        self.active_case.acted.connect(self._on_act)
        self.active_case.drawn_on.connect(self._on_difference)

    def _add_tab(self, tab: QWidget, name: str, tip: str) -> None:
        area = QScrollArea(self.tabs)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(tab)
        self.tabs.setTabToolTip(self.tabs.addTab(area, name), tip)

    def _on_setup(self) -> None:
        self._letters.show(self.session.scan)

    def _on_comparison(self) -> None:
        shown = self.comparison.shown
        if shown is not None and shown is not self._looked:
            self.view_bar.apply()
            corrected = self.active_case.corrected
            if corrected is not None and corrected.layer in self._viewer.layers:
                self._viewer.layers.selection.active = corrected.layer  # what the brush is for
        self._looked = shown
        self._outline()

    def _outline(self) -> None:
        """A mask that is only seen is a line while it would cover the two that are compared."""
        if self.host.layers is not None:
            self.host.layers.outline(self.comparison.shown is not None)

    def _on_editing(self) -> None:
        self.tabs.setCurrentIndex(2)
        self.correct.take("paint")

    def _on_case(self) -> None:
        for box in (self.segment.results.save, self.correct.save):
            box.follow(self.active_case.scan, self.active_case.corrected, self.active_case.prediction)

    def _on_redrawn(self) -> None:
        if self.active_case.corrected is not None:
            self.comparison.redraw(self.active_case.corrected.layer)

    def _on_act(self, box: Roi) -> None:
        self._on_difference()
        self.comparison.differences.update(box)
        self.view_bar.say_difference()

    def _on_difference(self) -> None:
        corrected = self.active_case.corrected
        if corrected is None:
            self.comparison.lead_to(None)
        else:
            self.comparison.lead_to(corrected.layer, corrected.touched)

    def show_planes(self) -> None:
        """Bring the three planes into view, as a dock of their own below the viewer."""
        planes = self.planes
        if planes is None or not in_dock(planes):
            planes = self.planes = Planes(self.active_case)
            planes.follow_frames(self.walker.framed)
            self._viewer.window.add_dock_widget(planes, name="MORSE Planes", area="bottom")
        _raise(planes)
        planes.refresh()

    def show_worklist(self) -> None:
        """Bring the list of cases into view, as a dock of its own below the viewer."""
        worklist = self.worklist
        if worklist is None or not in_dock(worklist):
            worklist = self.worklist = Worklist(self.host)
            self._viewer.window.add_dock_widget(worklist, name="MORSE Worklist", area="bottom")
        _raise(worklist)
        worklist.refresh()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 (Qt's name)
        """Keep the window open while something is only in memory and the person stays."""
        closing = event is not None and event.type() == QEvent.Type.Close and watched is self._in()
        if closing and event is not None and not self.active_case.may_leave():
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def stop_work(self) -> None:
        """Cancel whatever runs, and leave the project in order."""
        each_of(
            (
                self.segment.stop_work,
                self.learner.stop_work,
                self.sharpener.cancel,
                self.walker.stop_work,
                self.active_case.stop_work,
                self.ahead.stop,
                self.case_bar.acts.close_down,
                self.host.close_project,
            )
        )

    def close_down(self) -> None:
        """Cancel what runs and leave the viewer as it was found; the results stay."""
        self._open.discard(self)
        parts = (
            self.surfaces, self.truth, self.measures, self.brush, self.unwritten, self.tools, self.wire, self.review,
            self.correct, self.learn, self.learner, self.walker, self.sharpener, self.active_case,
        )  # fmt: skip
        each_of(
            (
                self.closing.emit,
                partial(self.session.setup_changed.disconnect, self._on_setup),
                *(partial(self._take_out, own) for own in (self.worklist, self.planes)),
                *(part.close_down for part in parts),
                self._keys.close,
                self.case_bar.close_down,
                self.ahead.close_down,
                self.host.close_down,
                self.segment.close_down,
                self._letters.close,
                self._context.close,
                self._unbind,
            )
        )

    def _take_out(self, own: QWidget | None) -> None:
        """Close a dock of ours beside this one."""
        if own is not None and in_dock(own):
            self._viewer.window.remove_dock_widget(own)


def _raise(widget: QWidget) -> None:
    around = widget.parentWidget()
    if around is not None:
        around.show()
        around.raise_()
