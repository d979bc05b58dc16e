"""Review, Correct, Learn and Planes in docks of their own, over the MORSE dock, which is opened where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout

from napari_morse.widgets.base import EndingWidget, Note, in_dock, plain
from napari_morse.widgets.correct import CorrectTab
from napari_morse.widgets.dock import MorseDock
from napari_morse.widgets.learn import LearnTab
from napari_morse.widgets.review import ReviewTab
from napari_morse.widgets.view import Planes

if TYPE_CHECKING:
    from napari.viewer import Viewer

Part = ReviewTab | CorrectTab | LearnTab | Planes

DOCK_CLOSED = "The MORSE dock was closed. Open it again to go on: Plugins ▸ MORSE ▸ MORSE."


class Alone(EndingWidget):
    """A part of the dock in a dock of its own.

    Parameters
    ----------
    napari_viewer
        The viewer that it is added to.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = plain(napari_viewer)
        self._dock: MorseDock | None = None
        self.part: Part | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self.note = Note("The MORSE dock is being opened.", self)
        self._layout.addWidget(self.note)
        self.watch_the_end(())
        QTimer.singleShot(0, self._fill)  # once this one is in its dock

    def make(self, dock: MorseDock) -> Part:
        """The part, over the dock's work."""
        raise NotImplementedError

    def _fill(self) -> None:
        if in_dock(self):  # it may be closed again by now
            self.take(MorseDock.open(self._viewer))

    def take(self, dock: MorseDock) -> None:
        """Go on over a dock, where it is of the same viewer and there is none yet."""
        if self._dock is not None or dock is not MorseDock.of(self._viewer):
            return
        MorseDock.opened.discard(self)
        self._dock = dock
        dock.closing.connect(self._on_closing)
        self.part = self.make(dock)
        self._layout.insertWidget(0, self.part, 1)
        self.note.say("")

    def _on_closing(self) -> None:
        self._drop()
        self.note.say(DOCK_CLOSED)
        MorseDock.opened.add(self)

    def _drop(self) -> None:
        dock, self._dock, part, self.part = self._dock, None, self.part, None
        if dock is not None:
            dock.closing.disconnect(self._on_closing)
        if part is not None:
            part.setParent(None)
            part.deleteLater()
            part.close_down()

    def stop_work(self) -> None:
        """Nothing runs here that is not the dock's."""

    def close_down(self) -> None:
        """Let go of the dock."""
        MorseDock.opened.discard(self)
        self._drop()


class ReviewAlone(Alone):
    """The walk along the doubtful boundary."""

    def make(self, dock: MorseDock) -> ReviewTab:
        """Over the dock's walk."""
        return ReviewTab(dock.active_case, dock.walker, self)


class CorrectAlone(Alone):
    """Structures, tools and sharpening."""

    def make(self, dock: MorseDock) -> CorrectTab:
        """Over the dock's corrected mask."""
        tab = CorrectTab(dock.active_case, dock.sharpener, dock.segment.to_save, self)
        tab.add_wire(dock.wire)
        return tab


class LearnAlone(Alone):
    """Fine-tuning on what was corrected."""

    def make(self, dock: MorseDock) -> LearnTab:
        """Over the dock's round."""
        return LearnTab(dock.learner, self)


class PlanesAlone(Alone):
    """Three planes with a crosshair."""

    def make(self, dock: MorseDock) -> Planes:
        """Of the dock's scan."""
        planes = Planes(dock.active_case, self)
        planes.follow_frames(dock.walker.framed)
        return planes
