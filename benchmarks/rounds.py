"""A round of learning with mouse and keys: ``python -m benchmarks.rounds --data DIR/hippocampus [--pictures DIR]``.

Twelve scans of the split ``val``, which the shipped model was not trained on, of a site that draws every boundary one
voxel further out (`benchmarks.learn.wider`). A project is made of them by code: it holds seven out, whose truths are
given; of the other five, three are corrected and accepted by code. With mouse and keys: two cases are segmented, grown
by 1 mm, painted on and accepted; a round is begun, paused, let go on while slices are changed; its verdict is read, the
worst case is looked at, the model is kept, run, and rolled back. Every step waits for what should come of it, and stops
when it does not. Needs an X server and xdotool.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from qtpy.QtCore import QPoint, QTimer
from qtpy.QtWidgets import QScrollArea

from benchmarks.blame import Blame
from benchmarks.learn import wider
from benchmarks.review import Review
from napari_morse import zoo
from napari_morse.io import open_mask, open_scan
from napari_morse.io.mask_store import pixel_digest
from napari_morse.session.edits import Corrections
from napari_morse.session.project import Case, CaseFiles, Project, Status

HELD, TRAINED, BY_HAND = 7, 5, 2
ROUND = 900.0
"""Seconds that a round may take, its judging included."""
READER = "AB"
MOVED: tuple[Status, ...] = ("in_review", "corrected", "accepted")


def study(data: Path, folder: Path) -> Project:
    """The project; where a case is for judging, only its truth is known, else nothing."""
    names = json.loads((data / "splits.json").read_text())["val"][: HELD + TRAINED]
    truths = folder / "truths"
    truths.mkdir()
    for name in names:
        labels = nib.load(data / "labels" / name)
        drawn = wider(np.asarray(labels.dataobj).astype(np.uint8))
        nib.save(nib.Nifti1Image(drawn, labels.affine), truths / name)
    sources = [CaseFiles(data / "images" / name, truth=truths / name) for name in names]
    share = HELD / len(sources)
    project = Project.create(folder / "study", sources, name="study", reader=READER, holdout_share=share)
    for case in usable(project)[BY_HAND:]:
        correct(project, case)
    return project


def usable(project: Project) -> list[Case]:
    return [case for case in project.cases() if not case.held_out]


def correct(project: Project, case: Case) -> None:
    """As if a person had drawn the whole mask and accepted it."""
    scan, truth = open_scan(project.scan_of(case.id)), project.truth_of(case.id)
    assert truth is not None
    drawn = np.asarray(open_mask(truth).data).astype(np.uint8)
    folder = project.folder_of(case.id)
    Corrections.open(folder, drawn, pixel_digest(scan.data)).checkpoint()
    for status in MOVED:
        project.set_status([case.id], status)


class Rounds(Review):
    """The hand's way through a round.

    Parameters
    ----------
    viewer, dock
        The window; the project is open in it.
    blame
        Knows how long the program's own code held the window.
    pictures
        Where screenshots go; None: none are taken.
    """

    def __init__(self, viewer: Any, dock: Any, blame: Blame, pictures: Path | None = None) -> None:
        super().__init__(viewer, dock, pictures)
        self.blame = blame
        self.longest = 0.0, ""
        self.base = ""

    def _all(self) -> None:
        try:
            self.hand.until(lambda: self.host.layers is not None, "the project")
            self.ask(self.blame.afresh)
            for step in self.steps:
                began = time.monotonic()
                step()
                taken, (held, where) = time.monotonic() - began, self.ask(self.blame.afresh)
                self.longest = max(self.longest, (held, where))
                self.say(f"{step.__name__}: {taken:.1f} s, window held {1000 * held:.0f} ms, {where}")
        except BaseException as error:  # told when the round is over
            self.error = error
            self.picture("stopped")
        finally:
            self.done.set()

    @property
    def steps(self) -> tuple[Callable[[], None], ...]:
        """What is done, in this order."""
        return (self.first, self.second, self.begin, self.train, self.pause, self.verdict, self.look, self.keep,
                self.use, self.roll_back)  # fmt: skip

    @staticmethod
    def say(line: str) -> None:
        print(line, flush=True)

    # Steps

    def first(self) -> None:
        self.corrected_by_hand(self.ask(lambda: usable(self.host.project)[0]))

    def second(self) -> None:
        self.corrected_by_hand(self.ask(lambda: usable(self.host.project)[1]))

    def corrected_by_hand(self, case: Case) -> None:
        """Segment a case, grow both structures in the whole volume, paint, and accept."""
        self.open(case)
        self.run_model(self.dock.segment.model.currentText())
        rendered = self.mask()
        assert rendered.any()
        self.turn_to("Correct")
        self.no_sharpening()
        self.whole_volume()
        for row in range(2):
            self.grow(row)
        self.stroke()
        assert np.count_nonzero(self.mask()) > 1.2 * np.count_nonzero(rendered)
        self.keys("shift+y")
        self.hand.until(lambda: self.host.case.status == "accepted", "accepted")

    def begin(self) -> None:
        """Choose two minutes, and Start."""
        tab = self.dock.learn
        self.turn_to("Learn")
        said = f"Trains on {TRAINED} cases, judged on {HELD} (held out)."
        self.hand.until(lambda: tab.about.text() == said, said)
        self.base = self.ask(tab.choice.base.currentText)
        self.take(lambda: tab.choice.minutes, "2 min")
        self.press(lambda: tab.bar.start)
        self.hand.until(lambda: self.dock.learner.view.alive, "the round")
        assert len(self.now.round.plan.train) == TRAINED and len(self.now.round.plan.held_out) == HELD

    def train(self) -> None:
        """Curves move, and slices can be changed meanwhile."""
        curves = self.dock.learn.curves
        self.hand.until(lambda: len(self.story.steps) > 2, "the first steps", ROUND)
        seen = self.ask(lambda: len(curves.plots.lines["raw"].xData))
        self.picture("learn-first")
        self.slices()
        self.hand.until(lambda: len(self.story.checks) > 2 and self.story.step > seen, "two checks", ROUND)
        assert self.ask(lambda: len(curves.plots.lines["raw"].xData)) > seen
        assert self.ask(lambda: self.now.state) == "running"
        self.picture("learn-train")

    def slices(self) -> None:
        """The arrow keys, six times, while it trains."""
        seconds = []
        for number in range(6):
            key, by = ("Right", 1) if number < 3 else ("Left", -1)
            wanted = self.ask(lambda: self.viewer.dims.current_step[0]) + by
            self.keys(key)
            began = time.monotonic()
            self.hand.until(lambda wanted=wanted: self.viewer.dims.current_step[0] == wanted, "the next slice")
            seconds.append(time.monotonic() - began)
        assert self.ask(lambda: self.now.state) == "running"
        self.say(f"a slice while it trains: {1000 * max(seconds):.0f} ms after the key at most")

    def pause(self) -> None:
        """No step is made while it waits; then it goes on to its end."""
        bar = self.dock.learn.bar
        self.press(lambda: bar.pause)
        self.hand.until(lambda: self.now.state == "paused" and bar.pause.text() == "Go on", "paused")
        step = self.ask(lambda: self.story.step)
        self.rest(2)
        assert self.ask(lambda: self.story.step) == step
        self.press(lambda: bar.pause)
        self.hand.until(lambda: self.now.state == "running" and self.story.step > step, "going on")

    def judged(self) -> Any:
        """The verdict, once it is in view."""
        result = self.dock.learn.result
        self.hand.until(lambda: self.now.state == "done" and result.isVisible(), "the verdict", ROUND)
        verdict = self.ask(lambda: self.now.verdict)
        assert len(verdict.cases) == HELD and not self.ask(lambda: self.now.decision)
        self.rest(1)
        self.say(verdict.sentence)
        return verdict

    def verdict(self) -> None:
        """Read it."""
        verdict = self.judged()
        self.picture("learn-verdict")
        for figure in ("dice", "hd95", "asd", "nsd"):
            before, after = (verdict.mean(when, "rendered", figure) for when in ("before", "after"))
            self.say(f"rendered {figure}: {before:.3f} before, {after:.3f} after, p {verdict.p[f'{figure} rendered']}")
        told = ", ".join(f"{name} {dice:.3f}" for name, dice in verdict.samples.items())
        self.say(f"{self.ask(lambda: self.story.step)} steps; samples: {told}")

    def look(self) -> None:
        """The worst case, before at the left, after at the right."""
        shown = self.dock.learner.before_after
        worst = self.ask(lambda: self.now.verdict.worst()[0].case)
        self.press(lambda: self.dock.learn.result.show_case)
        self.hand.until(lambda: {"before", "after"} <= set(shown.layers) and self.case_open == worst, "both masks")
        self.hand.until(lambda: self.viewer.canvas.grid.enabled, "side by side")
        before, after = (self.ask(lambda when=when: np.array(shown.layers[when].data)) for when in ("before", "after"))
        assert (before != after).any()
        self.rest(1)
        self.picture("learn-case")

    def keep(self) -> None:
        """The model is in the library, and chosen."""
        result = self.dock.learn.result
        name = self.ask(lambda: self.now.verdict.model)
        self.press(lambda: result.keep)
        self.hand.until(lambda: self.now.decision == "kept", "kept")
        self.hand.until(lambda: self.dock.segment.model.currentText() == name, "the kept model chosen")
        assert (zoo.library() / name).is_dir() and name != self.base
        self.reach(result.done)
        self.picture("learn-kept")

    def use(self) -> None:
        """Run the kept model on the case in view."""
        self.turn_to("Segment")
        self.run_model(self.ask(lambda: self.now.verdict.model))
        self.picture("learn-used")

    def roll_back(self) -> None:
        self.turn_to("Learn")
        self.press(lambda: self.dock.learn.result.roll_back)
        self.hand.until(lambda: self.now.decision == "rolled_back", "rolled back")
        self.hand.until(lambda: self.dock.segment.model.currentText() == self.base, "the parent chosen again")
        assert self.ask(self.host.project.verify) == ""

    # What steps are made of

    @property
    def host(self) -> Any:
        return self.dock.host

    @property
    def now(self) -> Any:
        return self.dock.learner.view

    @property
    def story(self) -> Any:
        return self.now.log

    @property
    def case_open(self) -> str:
        """Id of the case; the worklist is not asked."""
        return "" if self.host.layers is None else str(self.host.work.id)

    def open(self, case: Case) -> None:
        """In the worklist, which is scrolled, and put away again, by code."""
        self.hand.click(lambda: self.dock.case_bar.list)
        self.hand.until(lambda: self.dock.worklist is not None and self.dock.worklist.isVisible(), "the worklist")
        self.rest(0.5)
        table, model = self.dock.worklist.table, self.dock.worklist.model
        row = model.index(case.number - 1, 0)
        self.ask(lambda: table.scrollTo(row))
        self.hand.click(table.viewport, lambda _: table.visualRect(row).center())
        self.hand.click(lambda: self.dock.worklist.buttons["Open"])
        self.hand.until(lambda: self.case_open == case.id, f"case {case.number}")
        self.ask(lambda: self.dock.worklist.parentWidget().hide())
        self.rest(0.5)

    def run_model(self, name: str) -> None:
        """Run in the Segment tab, until what it found is kept with the case."""
        self.turn_to("Segment")
        self.press(lambda: self.dock.segment.run_bar.run)
        self.hand.until(lambda: self.host.case.model == name, f"a mask of {name}")
        self.hand.until(lambda: self.viewer.canvas.grid.enabled and not self.host.keeper.writes.busy, "both masks")
        self.rest(0.5)

    def no_sharpening(self) -> None:
        """This site draws elsewhere than the model does: strokes stay as they are drawn."""
        if self.ask(lambda: self.dock.sharpener.enabled):
            self.keys("t")
            self.hand.until(lambda: not self.dock.sharpener.enabled, "strokes not sharpened")

    def whole_volume(self) -> None:
        tools = self.dock.tools
        if self.ask(tools.scope.currentText) != "whole volume":
            self.take(lambda: tools.scope, "whole volume")

    def grow(self, row: int) -> None:
        """One structure, by the 1 mm that the box says at first."""
        labels, tools = self.dock.correct.labels, self.dock.tools
        self.reach(labels)
        self.hand.click(labels.viewport, lambda _: labels.visualItemRect(labels.item(row, 0)).center())
        self.hand.until(lambda: labels.currentRow() == row, "the structure")
        before = self.acts()
        self.press(lambda: tools.bigger)
        self.hand.until(lambda: self.acts_now() == before + 1, "grown")

    def stroke(self) -> None:
        """Along the rim of the structure in the left cell, a little outside."""
        before = self.acts()
        self.keys("p")
        self.ask(lambda: setattr(self.layer(), "brush_size", 3))
        rim = self.ask(lambda: self.rim(1.5))
        self.hand.drag([self.ask(lambda v=v: self.on_screen(v)) for v in rim[: len(rim) // 4 : 2]])
        self.hand.until(lambda: self.acts_now() > before, "the stroke")

    def acts_now(self) -> int:
        return int(self.corrections().undoable)

    def turn_to(self, name: str) -> None:
        self.tab(name)
        self.rest(0.5)

    def reach(self, widget: Any) -> None:
        """Scroll to a widget, by code: the wheel would turn what lies under the mouse."""
        area = self.dock.tabs.currentWidget()
        if isinstance(area, QScrollArea):
            self.ask(lambda: area.ensureWidgetVisible(widget))
        self.rest(0.3)

    def press(self, button: Callable[[], Any]) -> None:
        self.hand.until(lambda: button().isEnabled(), "a button that can be pressed")
        self.reach(button())
        self.hand.click(button)

    def take(self, box: Callable[[], Any], text: str) -> None:
        """Choose in a list, by its keys."""
        self.press(box)
        now, wanted = self.ask(lambda: (box().currentIndex(), box().findText(text)))
        for _ in range(abs(wanted - now)):
            self.hand.key("Down" if wanted > now else "Up")
        self.hand.key("Return")
        self.hand.until(lambda: box().currentText() == text, text)


def main(kind: type[Rounds] = Rounds, about: str | None = __doc__) -> int:
    import napari

    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    given = parser.parse_args()
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ[zoo.LIBRARY_VARIABLE] = str(folder / "models")
        os.environ["NAPARI_MORSE_CORRECTIONS"] = str(folder / "loose")
        project = study(given.data, folder)
        viewer = napari.Viewer()
        viewer.window.resize(1400, 960)
        viewer.window._qt_window.move(QPoint(0, 0))
        _, dock = viewer.window.add_plugin_dock_widget("napari-morse", "MORSE")
        dock.ahead.set_enabled(False)
        dock.host.take(project)
        watch = QTimer()
        with Blame() as blame:
            rounds = kind(viewer, dock, blame, given.pictures)
            watch.timeout.connect(lambda: viewer.close() if rounds.done.is_set() else None)
            watch.start(200)
            QTimer.singleShot(2500, rounds.start)
            napari.run()
    held, where = rounds.longest
    print(f"longest that the program's own code held the window: {1000 * held:.0f} ms, {where}")
    if rounds.error is not None:
        traceback.print_exception(rounds.error)
    print("the round is done" if rounds.error is None else "stopped")
    return 0 if rounds.error is None else 1


if __name__ == "__main__":
    raise SystemExit(main())
