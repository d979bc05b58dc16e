"""A review with mouse and keys in a real window: ``python -m benchmarks.review [--pictures DIR] [--film FILE]``.

Opens the sample scan, runs the model, walks: accepts, takes the coarse side, renders again; draws a rough stroke that
is sharpened, sets a live wire, interpolates between two drawn slices, and takes each of these back; looks at the
difference, three planes and surfaces; measures. Every step waits for what should come of it, and stops the review when
it does not. Needs an X server and xdotool. The film is an animated GIF of the window.
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

import numpy as np
from qtpy.QtCore import QPoint, QTimer

from benchmarks.blame import Blame
from benchmarks.film import Film
from benchmarks.hand import Hand


class Review:
    """The hand's way through one scan.

    Parameters
    ----------
    viewer, dock
        The window.
    pictures
        Where screenshots go; None: none are taken.
    """

    def __init__(self, viewer: Any, dock: Any, pictures: Path | None = None) -> None:
        self.viewer, self.dock, self.pictures = viewer, dock, pictures
        self.hand = Hand()
        self.error: BaseException | None = None
        self.done = threading.Event()
        self.seconds: dict[str, float] = {}

    def start(self) -> None:
        """Begin, in a thread of its own; `done` is set at the end."""
        threading.Thread(target=self._all, name="hand").start()

    def _all(self) -> None:
        try:
            for step in self.steps():
                step()
        except BaseException as error:  # told when the review is over
            self.error = error
            self.picture("stopped")
        finally:
            self.done.set()

    def steps(self) -> tuple[Callable[[], None], ...]:
        """What is done, in this order."""
        return self.run, self.walk, self.sharpen, self.wire, self.interpolate, self.compare, self.measure

    # Steps

    def run(self) -> None:
        """Both masks of the sample scan."""
        self.hand.click(lambda: self.dock.segment.run_bar.run)
        self.hand.until(lambda: self.viewer.canvas.grid.enabled, "both masks")
        self.rest(1)

    def walk(self) -> None:
        """Next, accept, coarse side, each taken back and done again; render again."""
        self.tab("Review")
        self.keys("n")
        self.hand.until(lambda: self.walker.rank == 0, "the first patch")
        self.rest(0.6)
        self.keys("a")
        self.hand.until(lambda: self.decisions() == {0: "accepted"}, "accepted")
        self.hand.until(lambda: self.walker.rank == 1, "the second patch")
        self.picture("review-walk")
        self.keys("ctrl+z")
        self.hand.until(lambda: self.decisions() == {} and self.walker.rank == 0, "the first one open again")
        self.keys("ctrl+shift+z")
        self.hand.until(lambda: self.decisions() == {0: "accepted"}, "accepted again")
        self.coarse_differs()
        before, rank = self.mask(), self.ask(lambda: self.walker.rank)
        self.keys("k")
        self.hand.until(lambda: self.decisions().get(rank) == "coarse", "the coarse side")
        assert (self.mask() != before).any()
        self.keys("ctrl+z")
        self.hand.until(lambda: rank not in self.decisions() and self.is_mask(before), "the coarse side taken back")
        self.keys("r")
        self.hand.until(lambda: "rendered again" in self.dock.review.note.text(), "rendered again")
        self.keys("n")
        self.hand.until(lambda: self.walker.rank != rank, "the next patch")
        further = self.ask(lambda: self.walker.rank)
        self.keys("j")
        self.hand.until(lambda: self.walker.rank != further, "back")

    def coarse_differs(self) -> None:
        """Go on to a patch where the coarse mask is another."""

        def there() -> bool:
            walk, rank = self.walker.walk, self.walker.rank
            return walk.is_open(rank) and walk.coarse_side(rank, self.corrections().mask) is not None

        for _ in range(20):
            if self.ask(there):
                return
            rank = self.ask(lambda: self.walker.rank)
            self.keys("n")
            self.hand.until(lambda rank=rank: self.walker.rank != rank, "the next patch")
        raise AssertionError("the coarse mask is the same everywhere")

    def sharpen(self) -> None:
        """A rough stroke; its edge; both taken back at once, and done again."""
        self.keys("d")
        self.hand.until(lambda: str(self.layer().mode) == "paint", "the brush")
        self.ask(lambda: setattr(self.layer(), "brush_size", 5))
        self.rest(0.6)
        before, acts = self.mask(), self.acts()
        # along the structure's rim, a little outside
        rim = self.ask(lambda: self.rim(1.5))
        places = [self.ask(lambda v=v: self.on_screen(v)) for v in rim[: len(rim) // 3 : 2]]
        self.hand.drag(places)
        begun = time.monotonic()
        self.hand.until(lambda: self.corrections().undoable > acts, "the stroke")
        self.hand.until(lambda: not self.dock.sharpener.busy, "the sharp edge")
        self.seconds["stroke to sharp edge"] = time.monotonic() - begun
        sharp = self.mask()
        self.picture("correct-sharpen")
        assert (sharp != before).any() and self.acts() == acts + 2
        self.keys("ctrl+z")
        self.hand.until(lambda: self.is_mask(before), "stroke and edge taken back")
        self.keys("ctrl+shift+z")
        self.hand.until(lambda: self.is_mask(sharp), "and done again")

    def wire(self) -> None:
        """Five clicks around the structure, filled, taken back."""
        before = self.mask()
        self.keys("w")
        self.hand.until(lambda: self.dock.wire.drawn.contour is not None, "the live wire")
        rim = self.ask(lambda: self.rim(0.0))
        for voxel in rim[:: max(1, len(rim) // 6)]:
            place = self.ask(lambda v=voxel: self.on_screen(v))
            self.hand.move(place)
            self.rest(0.2)
            self.hand.click_at(place)
        self.hand.until(lambda: len(self.dock.wire.drawn.contour.nodes) >= 5, "the nodes")
        self.picture("correct-wire")
        wire = self.ask(lambda: self.dock.wire.drawn)
        node = self.ask(lambda: wire.plane.places(np.array([wire.contour.nodes[1]], float))[0])
        first = self.ask(lambda: self.on_screen(node))
        self.hand.drag([first, (first[0] + 12, first[1] - 6), (first[0] + 24, first[1] - 12)])
        self.keys("Return")
        self.hand.until(lambda: not self.is_mask(before), "filled")
        self.keys("Escape")
        self.hand.until(lambda: not self.dock.wire.active, "the wire left")
        self.keys("ctrl+z")
        self.hand.until(lambda: self.is_mask(before), "the wire taken back")

    def interpolate(self) -> None:
        """A stroke in each of two slices, and the slices between."""
        self.ask(self._clear_the_label)
        self.ask(lambda: setattr(self.dock.sharpener, "enabled", False))
        self.hand.click(lambda: self.dock.correct.modes["paint"])
        self.ask(lambda: setattr(self.layer(), "brush_size", 9))
        start = self.ask(lambda: int(self.viewer.dims.current_step[0]))
        for slot in range(2):
            acts = self.acts()
            x, y = self.middle()
            self.hand.drag([(x + step + 20 * slot, y + step // 3) for step in range(-24, 25, 6)])
            self.hand.until(lambda acts=acts: self.corrections().undoable > acts, "a stroke")
            if slot == 0:
                self.keys(*["Right"] * 5)
                self.hand.until(lambda: int(self.viewer.dims.current_step[0]) == start + 5, "another slice")
        before = self.mask()
        self.keys("y")
        self.hand.until(lambda: not self.is_mask(before) and not self.dock.active_case.runner.busy, "interpolated")
        between = self.ask(lambda: (self.layer().data[start + 1 : start + 5] == 1).any(axis=(1, 2)).all())
        assert between
        self.keys("Left", "Left")
        self.picture("correct-interpolate")
        self.keys("ctrl+z")
        self.hand.until(lambda: self.is_mask(before), "the interpolation taken back")
        self.keys("ctrl+z")
        self.keys("ctrl+z")
        self.keys("ctrl+z")
        self.ask(lambda: setattr(self.dock.sharpener, "enabled", True))

    def _clear_the_label(self) -> None:
        """An empty structure to draw from its first slice on."""
        from napari_morse.types import Roi

        mask = self.corrections().mask
        self.dock.active_case.label = 1
        self.dock.active_case.apply(Roi((0, 0, 0), mask.shape), np.where(mask == 1, 0, mask), "clear")

    def compare(self) -> None:
        """Difference, contour, planes, surfaces."""
        for mode in ("contour", "difference"):
            self.hand.click(lambda mode=mode: self.dock.view_bar.modes[mode], _sign)
            self.hand.until(lambda mode=mode: self.dock.comparison.mode == mode, mode)
            self.rest(1)
            self.picture(f"compare-{mode}")
        self.hand.click(lambda: self.dock.view_bar.planes)
        self.hand.until(lambda: self.dock.planes is not None and self.dock.planes.isVisible(), "the planes")
        self.rest(1)
        self.hand.click(lambda: self.dock.planes.panes[1])
        self.rest(0.5)
        self.picture("compare-planes")
        self.ask(self._close_planes)
        self.hand.click(lambda: self.dock.view_bar.solid, _sign)
        self.hand.until(lambda: len(self.dock.surfaces.layers) == 2, "surfaces")
        self.rest(1)
        self.picture("compare-surfaces")
        self.hand.click(lambda: self.dock.view_bar.side, _sign)
        self.hand.until(lambda: self.viewer.canvas.grid.enabled, "both masks")
        self.rest(0.6)

    def _close_planes(self) -> None:
        self.dock.planes.parentWidget().hide()

    def measure(self) -> None:
        """A ruler."""
        self.tab("Review")
        self.hand.click(lambda: self.dock.measures.line)
        self.hand.until(lambda: self.dock.measures.ruler.active, "the ruler")
        x, y = self.middle()
        self.hand.drag([(x - 40, y - 30), (x, y), (x + 40, y + 30)])
        self.hand.until(lambda: len(self.dock.measures.measures.items) == 1, "a length")
        self.keys("Escape")
        self.hand.until(lambda: not self.dock.measures.ruler.active, "the ruler left")
        self.hand.click(lambda: self.dock.measures.diameters)
        self.rest(0.6)
        self.picture("review-measure")

    # What steps are made of

    @property
    def walker(self) -> Any:
        return self.dock.walker

    def ask(self, question: Callable[[], Any]) -> Any:
        return self.hand.ask(question)

    def layer(self) -> Any:
        return self.dock.active_case.corrected.layer

    def corrections(self) -> Any:
        return self.dock.active_case.corrected.corrections

    def acts(self) -> int:
        return int(self.ask(lambda: self.corrections().undoable))

    def mask(self) -> Any:
        return self.ask(lambda: np.array(self.corrections().mask))

    def is_mask(self, mask: Any) -> bool:
        return bool(np.array_equal(self.corrections().mask, mask))

    def decisions(self) -> dict[int, str]:
        return dict(self.walker.walk.decisions)

    def tab(self, name: str) -> None:
        tabs = self.dock.tabs
        number = next(n for n in range(tabs.count()) if tabs.tabText(n) == name)
        self.hand.click(tabs.tabBar, lambda bar: bar.tabRect(number).center())
        self.hand.until(lambda: tabs.currentIndex() == number, f"the tab {name}")

    def keys(self, *keys: str) -> None:
        """To the canvas."""
        self.hand.focus(lambda: self.viewer.window._qt_window)
        self.ask(self.viewer.window._qt_viewer.canvas.native.setFocus)
        for key in keys:
            self.hand.key(key)

    def rim(self, outside: float) -> Any:
        """Display voxels around the structure under work in the slice in view, in order."""
        from skimage.measure import find_contours

        plane = self.dock.active_case.plane
        shown = plane.of(self.layer().data) == self.dock.active_case.label
        line = max(find_contours(np.pad(shown, 1).astype(float), 0.5), key=len) - 1
        centre = line.mean(axis=0)
        away = line - centre
        line = centre + away * (1 + outside / np.maximum(1, np.linalg.norm(away, axis=1, keepdims=True)))
        return plane.places(np.rint(line))

    def on_screen(self, voxel: Any) -> tuple[int, int]:
        """Where a display voxel is drawn: in the left cell, or the only one."""
        canvas = self.viewer.window._qt_viewer.canvas
        node = canvas.layer_to_visual[self.layer()].node
        rows, columns = (axis for axis in self.viewer.dims.displayed)
        x, y = node.get_transform("visual", "canvas").map((voxel[columns] + 0.5, voxel[rows] + 0.5))[:2]
        point = canvas.native.mapToGlobal(QPoint(round(float(x)), round(float(y))))
        return point.x(), point.y()

    def middle(self) -> tuple[int, int]:
        def place() -> tuple[int, int]:
            canvas = self.viewer.window._qt_viewer.canvas.native
            cells = 2 if self.viewer.canvas.grid.enabled else 1
            point = canvas.mapToGlobal(QPoint(canvas.width() // (2 * cells), canvas.height() // 2))
            return point.x(), point.y()

        found: tuple[int, int] = self.ask(place)
        return found

    def rest(self, seconds: float = 0.3) -> None:
        time.sleep(seconds)

    def picture(self, name: str) -> None:
        if self.pictures is None:
            return
        self.rest(0.5)
        path = str(self.pictures / f"{name}.png")
        self.ask(lambda: self.viewer.screenshot(path, canvas_only=False, flash=False))


def _sign(button: Any) -> QPoint:
    """The sign of a radio button; its text may be shorter than the button."""
    return QPoint(8, button.rect().center().y())


def main() -> int:
    import napari

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    parser.add_argument("--film", type=Path, help="file of the animation")
    given = parser.parse_args()
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_MORSE_CORRECTIONS"] = folder
        viewer = napari.Viewer()
        viewer.window.resize(1400, 960)
        viewer.window._qt_window.move(QPoint(0, 0))
        _, dock = viewer.window.add_plugin_dock_widget("napari-morse", "MORSE")
        viewer.open_sample("napari-morse", "colin27_left_hippocampus")
        review = Review(viewer, dock, given.pictures)
        film = Film(viewer.window._qt_window) if given.film is not None else None
        watch = QTimer()

        def look() -> None:
            if review.done.is_set():
                watch.stop()
                if film is not None:
                    film.stop()
                viewer.close()

        watch.timeout.connect(look)
        watch.start(200)
        QTimer.singleShot(2500, review.start)
        with Blame() as blame:
            napari.run()
    if film is not None:
        film.save(given.film)
        print(f"{len(film.frames)} pictures in {given.film}, {given.film.stat().st_size / 1e6:.1f} MB")
    print(f"longest that the program's own code held the window: {1000 * blame.worst:.0f} ms, {blame.where}")
    for name, seconds in review.seconds.items():
        print(f"{name}: {1000 * seconds:.0f} ms")
    if review.error is not None:
        traceback.print_exception(review.error)
    print("the review is done" if review.error is None else "stopped")
    return 0 if review.error is None else 1


if __name__ == "__main__":
    raise SystemExit(main())
