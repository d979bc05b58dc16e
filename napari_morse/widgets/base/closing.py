"""How a dock widget lives in napari: the viewer that it is given, and how it learns that its end has come.

napari tells a widget nothing of its end: a closed dock loses its parent, a closed window is deleted, an application
quits.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from threading import Event
from typing import TYPE_CHECKING
from weakref import ref

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QTimer, Slot
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QApplication, QDockWidget, QWidget

from napari_morse.session import thaw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.viewer import Viewer


class EndingWidget(QWidget):
    """A widget that cancels its work, and lets go of the viewer, when it is closed.

    Subclasses say what that means in `stop_work` and `close_down`, and call `watch_the_end` once they are built.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._docked = False
        self._window: ref[QWidget] | None = None
        self._showing, self._closing = QTimer(self), QTimer(self)
        for timer, due in ((self._showing, self.shown), (self._closing, self._after_close)):
            timer.setSingleShot(True)
            timer.timeout.connect(due)

    def stop_work(self) -> None:
        """Cancel whatever runs; returns at once."""
        raise NotImplementedError

    def close_down(self) -> None:
        """Cancel, and leave the viewer as it was found. Called once, or never when the window goes."""
        raise NotImplementedError

    def shown(self) -> None:
        """Do what is due once the widget is in view; called after each showing."""

    def watch_the_end(self, events: Iterable[Event]) -> None:
        """Set ``events`` when Qt deletes the widget; stop the work when the application quits."""
        # When Qt deletes a widget its children are gone already: what is called then may not belong to any of them.
        self.destroyed.connect(partial(_set_all, tuple(events)))
        app = QApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self._on_quit)

    @Slot()  # type: ignore[untyped-decorator]  # a slot of Qt's own: its tie goes with the widget
    def _on_quit(self) -> None:
        self.stop_work()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Watch the window that the widget is shown in."""
        super().showEvent(event)
        window = self.window()
        if isinstance(window, QDockWidget):  # it floats: to hide it there is not its end either
            around = window.parentWidget()
            window = around.window() if around is not None else None
        if window is not None and window is not self._in():
            # On the window: a dock gets no close event of its own when its window is closed.
            window.installEventFilter(self)
            self._window = ref(window)
        self._showing.start(0)

    def event(self, event: QEvent | None) -> bool:
        """Notice when the viewer lets go of the widget."""
        done = bool(super().event(event))
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if isinstance(self.parent(), QDockWidget):
                self._docked = True
            elif self.parent() is None and self._docked:
                self._docked = False
                try:
                    self.close_down()
                finally:
                    self.deleteLater()
        return done

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 (Qt's name)
        """Stop the work when the window closes (and not when the person thinks better of it)."""
        if event is not None and event.type() == QEvent.Type.Close and watched is self._in():
            # The window may still ask, and stay: whether it is gone is looked at in the next turn of the event loop.
            self._closing.start(0)
        return False

    def _in(self) -> QWidget | None:
        return self._window() if self._window is not None else None

    def _after_close(self) -> None:
        window = self._in()
        if window is None or not window.isVisible():
            try:
                self.stop_work()
            finally:
                thaw()


def plain(viewer: Viewer) -> Viewer:
    """The viewer itself, where napari gives a proxy of it.

    The proxy makes a new wrapper at each access, so that layers lose their identity, which links and pairs rest on.
    """
    itself: Viewer = getattr(viewer, "__wrapped__", viewer)
    return itself


def in_dock(widget: QWidget) -> bool:
    """Whether napari holds a widget in a dock; one that was closed has no dock, and soon is no more."""
    return bool(isalive(widget)) and widget.parent() is not None  # type: ignore[no-untyped-call]


def each_of(acts: Iterable[Callable[[], object]]) -> None:
    """Do all of them, whatever one says; the first error is raised after the last."""
    left = iter(acts)
    for act in left:
        try:
            act()
        except Exception:
            with suppress(Exception):
                each_of(left)
            raise


def _set_all(events: tuple[Event, ...], _gone: QObject | None = None) -> None:
    for event in events:
        event.set()
    thaw()
