"""A hand at mouse and keyboard: X events to a napari window, from a thread beside it, as a person makes them."""

from __future__ import annotations

import queue
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QObject, QPoint, Qt, Signal, Slot
from qtpy.QtWidgets import QApplication, QMenu, QWidget

CANCEL_PATIENCE = 60.0
"""Seconds to wait for what should happen."""


class _ActiveCase(QObject):
    asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.asked.connect(self._answer, Qt.ConnectionType.QueuedConnection)

    @Slot(object)
    def _answer(self, question: Callable[[], None]) -> None:
        question()


class Hand:
    """Make it in the window's thread; everything else is called from another one.

    Parameters
    ----------
    rest
        Seconds after every movement.
    """

    def __init__(self, rest: float = 0.15) -> None:
        self._active_case, self._rest = _ActiveCase(), rest

    def ask(self, question: Callable[[], Any]) -> Any:
        """Call ``question`` in the window's thread; what it gives."""
        answers: queue.Queue[tuple[Any, Exception | None]] = queue.Queue()

        def answer() -> None:
            try:
                answers.put((question(), None))
            except Exception as error:  # it belongs to who asked
                answers.put((None, error))

        self._active_case.asked.emit(answer)
        found, error = answers.get(timeout=CANCEL_PATIENCE)
        if error is not None:
            raise error
        return found

    def until(self, question: Callable[[], Any], what: str, seconds: float = CANCEL_PATIENCE) -> float:
        """Wait until ``question`` is true; how many seconds it took."""
        begun = time.monotonic()
        while not self.ask(question):
            if time.monotonic() > begun + seconds:
                raise TimeoutError(f"waited in vain: {what}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def move(self, place: tuple[int, int]) -> None:
        _xdotool("mousemove", *place)

    def click(self, widget: Callable[[], QWidget], where: Callable[[QWidget], QPoint] | None = None) -> None:
        """A click into the middle of a widget, or at a place of it."""
        self.until(lambda: widget().isVisible(), "a widget to click")
        self.move(self.ask(lambda: _place(widget(), where)))
        _xdotool("click", 1)
        time.sleep(self._rest)

    def click_at(self, place: tuple[int, int]) -> None:
        """A click at a place of the screen."""
        self.move(place)
        _xdotool("click", 1)
        time.sleep(self._rest)

    def click_with(self, key: str, widget: Callable[[], QWidget], where: Callable[[QWidget], QPoint]) -> None:
        """A click while a key is held."""
        _xdotool("keydown", key)
        self.click(widget, where)
        _xdotool("keyup", key)

    def drag(self, places: Sequence[tuple[int, int]]) -> None:
        """The left button, held along places of the screen."""
        self.move(places[0])
        time.sleep(self._rest)
        _xdotool("mousedown", 1)
        for place in places[1:]:
            self.move(place)
            time.sleep(0.04)
        _xdotool("mouseup", 1)
        time.sleep(self._rest)

    def focus(self, widget: Callable[[], QWidget]) -> None:
        """Where no window manager gives the keyboard to a window: do it."""
        self.until(lambda: widget().isVisible(), "a window")
        time.sleep(self._rest)
        _xdotool("windowfocus", "--sync", self.ask(lambda: int(widget().window().winId())))
        time.sleep(self._rest)

    def key(self, *keys: str) -> None:
        _xdotool("key", *keys)
        time.sleep(self._rest)

    def type(self, text: str) -> None:
        _xdotool("type", "--delay", 4, text)
        time.sleep(self._rest)

    def write(self, field: Callable[[], QWidget], text: str) -> None:
        """Replace what stands in a field."""
        self.click(field)
        self.key("ctrl+a")
        self.type(text)

    def choose(self, button: Callable[[], QWidget], name: str) -> None:
        """An entry of a button's menu."""
        time.sleep(self._rest)  # a layout that still moves would be missed
        self.click(button)
        self.until(lambda: QApplication.activePopupWidget() is not None, f"the menu with {name}")

        def place() -> tuple[int, int]:
            menu: Any = QApplication.activePopupWidget()
            act = next(act for act in menu.actions() if act.text() == name)
            return _place(menu, lambda menu: menu.actionGeometry(act).center())

        self.move(self.ask(place))
        time.sleep(self._rest)
        _xdotool("click", 1)
        time.sleep(self._rest)

    def menu(self, bar: Callable[[], Any], *names: str) -> None:
        """An entry of a window's menu bar, by the texts on the way to it."""
        self.click(bar, lambda bar: _entry(bar, names[0]))
        passed: list[QMenu] = []  # a menu and one of its own may hold entries of one name
        for name in names[1:]:
            self.until(lambda name=name: _popup_with(name, passed) is not None, f"the menu with {name}")
            time.sleep(self._rest)
            menu = self.ask(lambda name=name: _popup_with(name, passed))
            self.click(lambda menu=menu: menu, lambda menu, name=name: _entry(menu, name))
            passed.append(menu)

    def dialog(self) -> QWidget:
        """The dialog that waits for an answer; in the window's thread."""
        found = QApplication.activeModalWidget()
        return found if found is not None else QWidget()

    def answer(self, text: str) -> None:
        """Type into the dialog that asks for one line, and end it."""
        self.until(lambda: QApplication.activeModalWidget() is not None, "a question")
        self.focus(self.dialog)
        self.key("ctrl+a")
        self.type(text)
        self.key("Return")


def _entry(menu: Any, name: str) -> QPoint:
    """Where an entry of a menu, or of a menu bar, is drawn."""
    act = next(act for act in menu.actions() if _plain(act.text()) == name)
    return menu.actionGeometry(act).center()


def _popup_with(name: str, passed: Sequence[QMenu]) -> Any:
    """The open menu with an entry of that name that is not among ``passed``."""
    for widget in QApplication.topLevelWidgets():
        shown = isinstance(widget, QMenu) and widget.isVisible() and widget not in passed
        if shown and any(_plain(act.text()) == name for act in widget.actions()):
            return widget
    return None


def _plain(text: str) -> str:
    return text.replace("&", "").split("\t")[0]


def _place(widget: QWidget, where: Callable[[QWidget], QPoint] | None = None) -> tuple[int, int]:
    point = widget.mapToGlobal(where(widget) if where is not None else widget.rect().center())
    return point.x(), point.y()


def _xdotool(*words: object) -> None:
    subprocess.run(["xdotool", *map(str, words)], check=True)
