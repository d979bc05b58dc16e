"""What a person meets first, with mouse and keys in a real window: ``python -m benchmarks.first_hour``.

Opens Preferences and the sample scan by napari's menus, closes and opens our docks, runs the model, erases (the pixel
of the screen under the cursor has to change), saves the masks (the files have to hold what was corrected), opens a
second scan (nothing of the first one may be seen) and goes back (all of it has to be there). Every step waits for what
should come of it, and stops when it does not. Needs an X server and xdotool; a window manager is of use.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from qtpy.compat import isalive
from qtpy.QtCore import QPoint, QTimer
from qtpy.QtWidgets import QApplication

from benchmarks.blame import Blame
from benchmarks.review import Review
from napari_morse.widgets.view.twins import is_twin

SAMPLES = "Open Sample"
ROUNDS = 3
"""Times that each dock is closed and opened again."""


class FirstHour(Review):
    """The hand's way through it.

    Parameters
    ----------
    viewer
        The window.
    folder
        An empty one, for the masks that are saved.
    pictures
        Where screenshots go; None: none are taken.
    """

    def __init__(self, viewer: Any, folder: Path, pictures: Path | None = None) -> None:
        super().__init__(viewer, None, pictures)
        self.folder = folder

    def steps(self) -> tuple[Callable[[], None], ...]:
        """What is done, in this order."""
        return (
            self.preferences,
            self.open_dock,
            self.sample,
            self.run,
            self.docks,
            self.erase,
            self.save,
            self.second_scan,
        )

    def preferences(self) -> None:
        """The dialog opens, with our page, and closes."""
        self.menu("File", "Preferences…" if self.has_entry("File", "Preferences…") else "Preferences")
        self.hand.until(lambda: self.preferences_dialog() is not None, "Preferences")
        self.rest(1)
        self.screen("first-preferences")
        self.hand.focus(self.preferences_dialog)
        self.hand.key("Escape")
        self.hand.until(lambda: self.preferences_dialog() is None, "Preferences closed")

    def open_dock(self) -> None:
        """The MORSE dock, by the menu."""
        self.menu("Plugins", "MORSE", "MORSE")
        self.hand.until(lambda: self.found_dock() is not None, "the dock")
        self.dock = self.ask(self.found_dock)
        self.rest(1)

    def sample(self) -> None:
        """The sample scan, by the menu."""
        self.menu("File", SAMPLES, "MORSE", "Colin27, left hippocampus")
        self.hand.until(lambda: self.dock.session.scan is not None, "the sample scan")

    def docks(self) -> None:
        """Planes and worklist are closed and opened, again and again."""
        for _ in range(ROUNDS):
            self.hand.click(lambda: self.dock.view_bar.planes)
            self.hand.until(self.planes_seen, "the planes")
            self.rest(0.5)
            self.close(lambda: self.dock.planes)
        self.screen("first-docks")

    def erase(self) -> None:
        """The eraser takes away what is seen under it, in both cells."""
        self.tab("Correct")
        self.hand.click(lambda: self.dock.correct.begin)
        self.hand.until(lambda: self.dock.active_case.corrected is not None, "correcting begun")
        self.ask(lambda: setattr(self.dock.sharpener, "enabled", False))
        self.hand.until(lambda: not self.dock.comparison.settling, "all layers in their places")
        self.hand.click(lambda: self.dock.correct.modes["erase"])
        self.hand.until(lambda: str(self.layer().mode) == "erase", "the eraser")
        inside = self.ask(self.inside)
        place = self.ask(lambda: self.on_screen(inside))
        self.hand.move((place[0] + 150, place[1] + 150))
        self.rest(1)
        self.screen("first-before-erasing")
        before = self.ask(lambda: self.pixel(place))
        acts = self.acts()
        self.hand.drag([place, (place[0] + 3, place[1]), (place[0] + 6, place[1])])
        self.hand.until(lambda: self.corrections().undoable > acts, "the stroke of the eraser")
        self.hand.move((place[0] + 150, place[1] + 150))
        self.rest(1)
        self.screen("first-erased")
        after = self.ask(lambda: self.pixel(place))
        assert np.abs(np.subtract(before, after)).max() > 40, f"the pixel was {before} and is {after}"
        assert self.ask(lambda: int(self.layer().data[tuple(int(v) for v in inside)])) == 0

    def save(self) -> None:
        """All masks are written, the corrected one as it was corrected."""
        self.hand.click(lambda: self.dock.correct.save.button)
        self.hand.answer(str(self.folder))
        self.hand.until(lambda: "Saved" in self.dock.correct.save.saved.text(), "the masks saved")
        names = sorted(path.name for path in self.folder.iterdir())
        print(f"saved: {', '.join(names)}")
        said = self.ask(self.dock.correct.save.saved.text)
        assert said.startswith("Saved colin27_left_hippocampus_corrected.nii.gz"), said
        saved = np.asarray(nib.load(self.folder / "colin27_left_hippocampus_corrected.nii.gz").dataobj)
        assert self.is_mask(saved) and saved.any()
        self.screen("first-saved")

    def second_scan(self) -> None:
        """Another scan: nothing of the first is seen. Back: all of it is."""
        first, mask = self.ask(lambda: self.dock.session.scan), self.mask()
        seen = self.ask(self.visible)
        self.menu("File", SAMPLES, "MORSE", "Colin27, right hippocampus")
        self.hand.until(lambda: self.dock.session.scan is not first, "the second scan")
        self.rest(1.5)
        self.screen("first-second-scan")
        shown = self.ask(self.visible)
        assert [name for name in shown if "left" in name] == [], shown
        titles = self.ask(lambda: self.dock.comparison.titles.text)
        assert len(titles) == 1 and "right" in titles[0], titles
        self.tab("Segment")
        self.hand.click(lambda: self.dock.segment.scans.combo)
        self.hand.key("Up")
        self.hand.key("Return")
        self.hand.until(lambda: self.dock.session.scan is first, "the first scan again")
        self.hand.until(
            lambda: self.dock.active_case.corrected is not None and self.is_mask(mask), "the correction again"
        )
        self.hand.until(lambda: self.dock.comparison.shown is not None, "both masks again")
        self.hand.until(lambda: not self.dock.comparison.settling, "all layers in their places")
        self.rest(1)
        self.screen("first-back")
        assert self.ask(self.visible) == seen

    # What steps are made of

    def menu(self, *names: str) -> None:
        """An entry of the window's menu bar."""
        self.hand.focus(lambda: self.viewer.window._qt_window)
        self.hand.menu(self.viewer.window._qt_window.menuBar, *names)

    def has_entry(self, menu: str, name: str) -> bool:
        def found() -> bool:
            bar = self.viewer.window._qt_window.menuBar()
            of = next(act.menu() for act in bar.actions() if act.text().replace("&", "") == menu)
            return any(act.text().replace("&", "") == name for act in of.actions())

        return bool(self.ask(found))

    @staticmethod
    def preferences_dialog() -> Any:
        found = (w for w in QApplication.topLevelWidgets() if type(w).__name__ == "PreferencesDialog")
        return next((w for w in found if w.isVisible()), None)

    def found_dock(self) -> Any:
        from napari_morse.widgets.dock import MorseDock

        return MorseDock.of(self.viewer)

    def planes_seen(self) -> bool:
        planes = self.dock.planes
        return planes is not None and isalive(planes) and planes.isVisible()

    def close(self, widget: Callable[[], Any]) -> None:
        """A dock, by the cross of its title bar."""
        around = self.ask(lambda: widget().parentWidget())
        self.hand.click(lambda: around.titleBarWidget().close_button)
        self.hand.until(lambda: not isalive(around) or not around.isVisible(), "a dock closed")

    def inside(self) -> Any:
        """A display voxel in the middle of what the slice in view has of the mask."""
        from scipy.ndimage import distance_transform_edt

        plane = self.dock.active_case.plane
        shown = plane.of(self.layer().data) > 0
        deepest = np.unravel_index(int(distance_transform_edt(shown).argmax()), shown.shape)
        return plane.places(np.array([deepest]))[0]

    def visible(self) -> list[str]:
        """Names of the layers that are seen."""
        return sorted(x.name for x in self.viewer.layers if x.visible and not is_twin(x))

    @staticmethod
    def pixel(place: tuple[int, int]) -> tuple[int, int, int]:
        """Colour of the screen."""
        image = QApplication.primaryScreen().grabWindow(0, place[0], place[1], 1, 1).toImage()
        colour = image.pixelColor(0, 0)
        return colour.red(), colour.green(), colour.blue()

    def screen(self, name: str) -> None:
        """A picture of the screen, as it is."""
        if self.pictures is None:
            return
        path = str(self.pictures / f"{name}.png")
        self.ask(lambda: QApplication.primaryScreen().grabWindow(0).save(path))


def main() -> int:
    """Run the drive; the exit status says whether all went well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    parser.add_argument("--without", nargs="*", default=[], help="steps to leave out")
    given = parser.parse_args()
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, place in (("NAPARI_MORSE_CORRECTIONS", "corrections"), ("NAPARI_CONFIG", "settings.yaml")):
            os.environ[name] = str(Path(folder) / place)
        return _drive(given, Path(folder))


def _drive(given: argparse.Namespace, folder: Path) -> int:
    import napari

    (folder / "masks").mkdir()
    viewer = napari.Viewer()
    viewer.window.resize(1400, 960)
    viewer.window._qt_window.move(QPoint(0, 0))
    hour = FirstHour(viewer, folder / "masks", given.pictures)
    kept = tuple(step for step in hour.steps() if step.__name__ not in given.without)
    hour.steps = lambda: kept
    watch, begun = QTimer(), time.monotonic()

    def look() -> None:
        if hour.done.is_set():
            watch.stop()
            viewer.close()

    watch.timeout.connect(look)
    watch.start(200)
    QTimer.singleShot(2500, hour.start)
    with Blame() as blame:
        napari.run()
    left = [
        thread.name for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon
    ]
    print(f"longest that the program's own code held the window: {1000 * blame.worst:.0f} ms, {blame.where}")
    locks = len(list(folder.rglob("lock.json")))
    print(f"{time.monotonic() - begun:.0f} s; threads left: {left or 'none'}; locks left: {locks}")
    if hour.error is not None:
        traceback.print_exception(hour.error)
    print("the first hour is done" if hour.error is None else "stopped")
    return 0 if hour.error is None else 1


if __name__ == "__main__":
    raise SystemExit(main())
