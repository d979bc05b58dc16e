"""The demonstration: what a person would click, clicked in the real window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import napari
from qtpy.QtCore import QEventLoop, QTimer

from napari_morse.errors import InputError, MorseError
from napari_morse.types import Prediction, Scan
from napari_morse.widgets.bridge import Mode
from napari_morse.widgets.dock import MorseDock

DEMO_SAMPLE = "colin27_left_hippocampus"
SIZE = (1400, 900)
"""Pixels of the window."""
PATIENCE = 300_000
"""Milliseconds before the demonstration gives up."""
REDRAW = 500
"""Milliseconds for the last frame to be drawn before the picture is taken."""

TakePicture = Callable[[Path, Mode], None]
"""``take_picture(path, mode)``: the whole window, in that mode, as PNG."""
Ready = Callable[[Prediction, Scan, TakePicture], None]
"""``ready(prediction, scan, take_picture)``: called when both masks are in view."""


def run_demo(model: str, ready: Ready, *, stay: bool) -> None:
    """Open napari with the sample scan, dock MORSE, press Run, and show both masks.

    Parameters
    ----------
    model
        Name of the model.
    ready
        Called once both masks are in view.
    stay
        Leave the window open until the person closes it.

    Raises
    ------
    MorseError
        What the run said when it failed.
    """
    viewer = napari.Viewer(title="MORSE")
    try:
        viewer.window.resize(*SIZE)
        dock = MorseDock.open(viewer)
        viewer.open_sample("napari-morse", DEMO_SAMPLE)
        prediction, scan = _press_run(dock, model)
        ready(prediction, scan, lambda path, mode: _picture(viewer, dock, path, mode))
        if stay:
            napari.run()
    finally:
        if not stay:
            dock.close_down()
            viewer.close()


def _press_run(dock: MorseDock, model: str) -> tuple[Prediction, Scan]:
    session, tab = dock.session, dock.segment
    if tab.model.findText(model) < 0:
        raise InputError(f"There is no model {model!r}.", "See `napari-morse models`.")
    tab.model.setCurrentText(model)
    with _until_settled(dock):
        tab.run_bar.run.click()
    if isinstance(session.error, MorseError):
        raise session.error
    if session.result is None or session.result_scan is None:
        raise MorseError("The demonstration did not come to its end.", f"It said: {session.error or 'nothing'}.")
    return session.result, session.result_scan


@contextmanager
def _until_settled(dock: MorseDock) -> Iterator[None]:
    """Let the window live until what is begun inside stands in its place, or has failed."""
    loop = QEventLoop()

    def on_settled() -> None:
        QTimer.singleShot(REDRAW, loop.quit)

    def on_status(status: str) -> None:
        if status in {"failed", "cancelled"}:
            loop.quit()

    dock.comparison.settled.connect(on_settled)
    dock.session.status_changed.connect(on_status)
    watch = QTimer()
    watch.setSingleShot(True)
    watch.timeout.connect(loop.quit)
    watch.start(PATIENCE)
    yield
    loop.exec()
    watch.stop()
    dock.comparison.settled.disconnect(on_settled)
    dock.session.status_changed.disconnect(on_status)


def _picture(viewer: napari.Viewer, dock: MorseDock, path: Path, mode: Mode) -> None:
    before = dock.comparison.mode
    _turn_to(dock, mode)
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    _turn_to(dock, before)


def _turn_to(dock: MorseDock, mode: Mode) -> None:
    if mode != dock.comparison.mode:
        with _until_settled(dock):
            dock.comparison.mode = mode
