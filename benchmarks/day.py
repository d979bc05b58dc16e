"""A day with a project of 20 cases, with mouse and keys in a real napari window: ``python -m benchmarks.day``.

Makes the project in the dialog, runs the model, accepts, corrects, takes back, rejects, comments, asks for a second
reading, accepts several, closes, opens again at the same place, reads blind, says whose mask is final, and reports.
Every step waits for what should come of it, and stops the day when it does not. Needs an X server and xdotool.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from qtpy.QtCore import QPoint, QTimer
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QLineEdit, QMessageBox, QRadioButton

from benchmarks.hand import Hand

CASES = 20
PATTERN = "(P[0-9]+)_"


def scans(folder: Path, count: int = CASES) -> Path:
    """Cases made from the sample scans: shifted, brighter or darker, with noise."""
    samples = Path(__file__).parents[1] / "sample_data"
    folder.mkdir(parents=True)
    for number in range(count):
        side = "left" if number % 2 else "right"
        image = nib.load(samples / f"colin27_{side}_hippocampus.nii.gz")
        rng = np.random.default_rng(number)
        data = np.roll(image.get_fdata(), tuple(rng.integers(-2, 3, 3)), (0, 1, 2))
        noisy = data * rng.uniform(0.7, 1.3) + rng.normal(0, 0.03 * np.ptp(data), data.shape)
        header = image.header.copy()
        header.set_data_dtype(np.float32)
        nib.save(nib.Nifti1Image(noisy.astype(np.float32), image.affine, header), folder / f"P{number:02d}_t1.nii.gz")
    return folder


class Day:
    """The hand's way through a project.

    Parameters
    ----------
    viewer, dock
        The window.
    folder
        Of scans (in ``scans``) and project (``study``, made here).
    pictures
        Where screenshots go; None: none are taken.
    """

    def __init__(self, viewer: Any, dock: Any, folder: Path, pictures: Path | None = None) -> None:
        self.viewer, self.dock, self.folder, self.pictures = viewer, dock, folder, pictures
        self.hand = Hand()
        self.seconds: dict[str, list[float]] = {}
        self.error: BaseException | None = None
        self.done = threading.Event()

    def start(self) -> None:
        """Begin, in a thread of its own; `done` is set at the end."""
        threading.Thread(target=self._all, name="hand").start()

    def _all(self) -> None:
        try:
            for step in (self.make, self.look, self.correct, self.reject, self.several, self.truth, self.again,
                         self.blind, self.judge, self.report, self.close):  # fmt: skip
                step()
        except Exception as error:  # told when the day is over
            self.error = error
            self.picture("stopped")
        finally:
            self.done.set()

    # Steps

    def make(self) -> None:
        self.menu("New…")
        dialog = self.hand.dialog
        self.hand.until(lambda: hasattr(dialog(), "cases"), "the dialog")
        self.hand.focus(dialog)
        for field, text in (("cases", self.folder / "scans"), ("folder", self.folder / "study"), ("pattern", PATTERN),
                            ("name", "study"), ("reader", "AB")):  # fmt: skip
            self.hand.write(lambda name=field: getattr(dialog(), name), str(text))
        self.picture("project-new", dialog)
        self.press_ok()
        self.at(1)
        assert self.ask(lambda: sum(self.host.project.counts().values())) == CASES

    def look(self) -> None:
        """Case 1: run the model, or say how the truth is made; accept by key."""
        self.truth_from_model()
        self.hand.click(lambda: self.dock.segment.run_bar.run)
        self.hand.until(lambda: self.viewer.canvas.grid.enabled, "both masks")
        self.rest()
        self.keys("shift+y")
        self.accepted()
        self.next(2)

    def correct(self) -> None:
        """Case 2: shown as it was predicted ahead; a stroke, taken back, done again, accepted."""
        self.truth_from_model()
        self.hand.until(lambda: self.viewer.canvas.grid.enabled, "what was predicted ahead")
        self.rest()
        self.picture("project-case")
        before = self.mask()
        self.stroke()
        painted = self.mask()
        assert (painted != before).any()
        self.status_is("corrected")
        self.keys("ctrl+z")
        self.hand.until(lambda: np.array_equal(self.mask_here(), before), "undo")
        self.keys("ctrl+shift+z")
        self.hand.until(lambda: np.array_equal(self.mask_here(), painted), "redo")
        self.picture("project-stroke")
        self.keys("shift+y")
        self.accepted()
        self.next(3)

    def reject(self) -> None:
        """Case 3: rejected with a comment. Case 4: a mask, and a second reader asked."""
        self.keys("shift+r")
        self.status_is("rejected")
        self.menu("Comment…")
        self.hand.until(lambda: QApplication.activeModalWidget() is not None, "the comment")
        self.hand.focus(self.hand.dialog)
        self.hand.type("motion; not usable")
        self.press_ok()
        self.hand.until(lambda: self.host.case.comment == "motion; not usable", "the comment kept")
        self.next(4)
        self.truth_from_model()
        self.hand.until(lambda: self.host.corrected is not None, "a mask to correct")
        self.stroke()
        self.menu("Second reader…")
        self.hand.answer("CD")
        self.status_is("second_reader")
        self.next(5)

    def several(self) -> None:
        """The worklist: two cases accepted at once, one of them taken back."""
        for number in (6, 7):
            self.next(number)
        self.hand.click(lambda: self.dock.case_bar.list)
        self.hand.until(lambda: self.dock.worklist is not None and self.dock.worklist.isVisible(), "the worklist")
        self.rest(0.5)
        self.hand.click(self.table, self.row(5))
        self.hand.click_with("shift", self.table, self.row(6))
        self.picture("project-worklist")
        self.hand.click(lambda: self.dock.worklist.buttons["Accept"])
        self.confirm("Accept", lambda: self.statuses()[5:7] == ["accepted", "accepted"], "both accepted")
        self.hand.click(self.table, self.row(6))
        self.hand.click(lambda: self.dock.worklist.buttons["Undo"])
        self.hand.until(lambda: self.statuses()[5:7] == ["accepted", "in_review"], "one taken back")

    def truth(self) -> None:
        """A case for judging, found by its name: its truth is drawn from a blank mask."""
        case = self.ask(lambda: next(c for c in self.host.project.cases() if c.held_out and c.number > 8))
        self.hand.write(lambda: self.dock.worklist.text, case.stem)
        self.hand.until(lambda: self.dock.worklist.model.rowCount() == 1, "one row")
        self.hand.click(self.table, self.row(0))
        self.hand.click(lambda: self.dock.worklist.buttons["Open"])
        self.at(case.number)
        self.picture("project-truth")
        self.hand.click(lambda: self.dock.case_bar.truth.blank)
        self.hand.until(lambda: self.host.case is not None and self.host.case.truth_from == "blank_start", "noted")
        self.at(case.number)
        assert not self.mask().any()
        self.stroke()
        self.keys("shift+y")
        self.accepted()
        self.hand.write(lambda: self.dock.worklist.text, " ")
        self.hand.key("BackSpace")
        self.hand.until(lambda: self.dock.worklist.model.rowCount() == CASES, "all rows")

    def again(self) -> None:
        """Close the project, and open it at the same place."""
        kept = self.ask(lambda: (self.host.case.number, self.statuses()[:7]))
        self.close()
        self.open_as("AB")
        self.at(kept[0])
        assert self.ask(self.statuses)[:7] == kept[1]  # those behind may have been predicted meanwhile

    def blind(self) -> None:
        """The second reader reads case 4 without seeing the first mask."""
        self.close()
        self.open_as("CD")
        self.open_row(3)
        self.at(4)
        assert self.ask(lambda: self.host.blind) and not self.mask().any()
        self.stroke()
        self.picture("project-blind")
        self.hand.click(lambda: self.dock.case_bar.accept)
        self.confirm("Submit", lambda: not self.host.blind, "the reading submitted")

    def judge(self) -> None:
        """A third person says whose mask is final."""
        self.close()
        self.open_as("EF")
        self.open_row(3)
        self.at(4)
        self.menu("Whose mask is final…")
        acts = self.dock.case_bar.acts
        self.hand.until(lambda: acts.adjudicating is not None and acts.adjudicating.layers, "the readers' masks")
        self.hand.until(lambda: self.viewer.canvas.grid.enabled, "all masks side by side")
        self.picture("project-final")
        self.hand.focus(lambda: acts.adjudicating)
        self.hand.click(lambda: acts.adjudicating.choices["CD"], _left)
        self.hand.write(lambda: acts.adjudicating.reason, "sharper at the head")
        self.hand.click(lambda: acts.adjudicating.buttons.button(QDialogButtonBox.StandardButton.Ok))
        self.accepted()
        self.at(4)
        assert self.ask(lambda: self.host.project.final_reader(self.host.case.id)) == "CD"

    def report(self) -> None:
        self.menu("Report")
        path = self.folder / "study" / "reports" / "report.html"
        self.hand.until(path.is_file, "the report", 120)
        self.hand.until(lambda: not self.dock.case_bar.acts.runner.busy, "its end")
        assert self.ask(self.host.project.verify) == ""

    def close(self) -> None:
        self.menu("Close")
        self.hand.until(lambda: self.host.project is None and not self.ours(), "the project closed")
        self.rest(1)

    # What steps are made of

    @property
    def host(self) -> Any:
        return self.dock.host

    def ask(self, question: Callable[[], Any]) -> Any:
        return self.hand.ask(question)

    def menu(self, name: str) -> None:
        self.hand.choose(lambda: self.dock.case_bar.menu, name)

    def press_ok(self) -> None:
        def button() -> Any:
            box = self.hand.dialog().findChild(QDialogButtonBox)
            return box.button(QDialogButtonBox.StandardButton.Ok)

        self.hand.click(button)

    def keys(self, *keys: str) -> None:
        """To the canvas."""
        self.hand.focus(lambda: self.viewer.window._qt_window)
        self.ask(self.viewer.window._qt_viewer.canvas.native.setFocus)
        self.hand.key(*keys)

    def at(self, number: int) -> None:
        taken = self.hand.until(
            lambda: self.host.layers is not None and self.host.case.number == number, f"case {number}"
        )
        self.seconds.setdefault("open", []).append(taken)
        self.rest()

    def next(self, number: int) -> None:
        self.keys("shift+n")
        self.at(number)

    def status_is(self, status: str) -> None:
        self.hand.until(lambda: self.host.case is not None and self.host.case.status == status, f"the case {status}")

    def accepted(self) -> None:
        self.confirm("Accept", lambda: self.host.case is not None and self.host.case.status == "accepted", "accepted")

    def confirm(self, verb: str, done: Callable[[], bool], what: str) -> None:
        """Wait until it is done; where it is asked whether a mask that lacks something is meant so, it is."""
        self.hand.until(lambda: done() or self._question(verb) is not None, what)
        if not self.ask(done):
            self.picture("lacking", self.hand.dialog)
            self.hand.click(lambda: self._question(verb))
        self.hand.until(done, what)

    def _question(self, verb: str) -> Any:
        box = self.hand.dialog()
        buttons = box.buttons() if isinstance(box, QMessageBox) else []
        return next((button for button in buttons if button.text() == verb), None)

    def statuses(self) -> list[str]:
        return [case.status for case in self.host.project.cases()]

    def truth_from_model(self) -> None:
        """Of a case that is for judging: make the truth from the model's mask, which is noted."""
        row = self.dock.case_bar.truth
        if self.ask(lambda: row.isVisible() and row.model.isVisible()):
            number = self.ask(lambda: self.host.case.number)
            self.hand.click(lambda: row.model)
            self.hand.until(lambda: self.host.case is not None and self.host.case.truth_from == "from_model", "noted")
            self.at(number)
        if self.ask(lambda: self.host.case.model) == "" and self.ask(lambda: self.host.case.number) != 1:
            self.hand.click(lambda: self.dock.segment.run_bar.run)
            self.hand.until(lambda: self.host.case.model != "", "the model's mask")

    def stroke(self) -> None:
        """Paint across the middle of the left cell.

        Without sharpening: an edge may take all of a stroke back that lies inside another structure, and what is looked
        at here is the stroke.
        """
        self.ask(lambda: setattr(self.dock.sharpener, "enabled", False))
        self.ask(self._take_the_brush)
        self.keys("p")
        before = self.ask(lambda: self.host.corrected.corrections.undoable)
        x, y = self.ask(self._middle)
        self.hand.drag([(x + step, y + step // 3) for step in range(-30, 31, 6)])
        self.hand.until(lambda: self.host.corrected.corrections.undoable > before, "the stroke")

    def _take_the_brush(self) -> None:
        layer = self.host.corrected.layer
        self.viewer.layers.selection.active = layer
        layer.selected_label, layer.brush_size = 1, 3

    def _middle(self) -> tuple[int, int]:
        canvas = self.viewer.window._qt_viewer.canvas.native
        cells = 2 if self.viewer.canvas.grid.enabled else 1
        point = canvas.mapToGlobal(QPoint(canvas.width() // (2 * cells), canvas.height() // 2))
        return point.x(), point.y()

    def mask_here(self) -> Any:
        return np.array(self.host.corrected.layer.data)

    def mask(self) -> Any:
        return self.ask(self.mask_here)

    def ours(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]

    def table(self) -> Any:
        return self.dock.worklist.table.viewport()

    def row(self, row: int) -> Callable[[Any], QPoint]:
        return lambda _: self.dock.worklist.table.visualRect(self.dock.worklist.model.index(row, 0)).center()

    def open_row(self, row: int) -> None:
        self.hand.until(lambda: self.dock.worklist.model.rowCount() == CASES, "the worklist")
        self.rest(0.3)
        self.hand.click(self.table, self.row(row))
        self.hand.click(lambda: self.dock.worklist.buttons["Open"])

    def open_as(self, reader: str) -> None:
        self.menu("Open…")
        self.hand.until(lambda: self.hand.dialog().findChild(QLineEdit) is not None, "the choice of a folder")
        self.hand.focus(self.hand.dialog)
        folder = str(self.folder / "study")
        self.hand.write(self._path, folder)
        self.hand.until(lambda: self._path().text().rstrip("/") == folder, "the folder's name typed")
        for _ in range(3):  # a list of completions takes the first key or click
            if not self.ask(self._reader_is_asked):
                self.hand.key("Return")
                self.rest(0.5)
        self.hand.until(self._reader_is_asked, "who is reading")
        self.hand.answer(reader)
        self.hand.until(lambda: self.host.project is not None and self.host.layers is not None, "the project")

    def _path(self) -> Any:
        return self.hand.dialog().findChild(QLineEdit)

    def _reader_is_asked(self) -> bool:
        return "QInputDialog" in type(self.hand.dialog()).__name__

    def rest(self, seconds: float = 0.3) -> None:
        time.sleep(seconds)

    def picture(self, name: str, of: Callable[[], Any] | None = None) -> None:
        if self.pictures is None:
            return
        self.rest(0.5)
        path = str(self.pictures / f"{name}.png")
        if of is not None:
            self.ask(lambda: of().grab().save(path))
        else:
            self.ask(lambda: self.viewer.screenshot(path, canvas_only=False, flash=False))


def _left(button: Any) -> QPoint:
    """The sign of a radio button; its text may be shorter than the button."""
    return QPoint(8, button.rect().center().y()) if isinstance(button, QRadioButton) else button.rect().center()


def main() -> int:
    import napari

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    given = parser.parse_args()
    viewer = napari.Viewer()
    viewer.window.resize(1400, 960)
    viewer.window._qt_window.move(QPoint(0, 0))
    _, dock = viewer.window.add_plugin_dock_widget("napari-morse", "MORSE")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scans(folder / "scans")
        if given.pictures is not None:
            given.pictures.mkdir(parents=True, exist_ok=True)
        day = Day(viewer, dock, folder, given.pictures)
        watch = QTimer()
        watch.timeout.connect(lambda: viewer.close() if day.done.is_set() else None)
        watch.start(200)
        QTimer.singleShot(1500, day.start)
        napari.run()
    opened = day.seconds.get("open", [])
    print(f"{len(opened)} cases opened, {np.median(opened):.2f} s in the median, {max(opened):.2f} s at most")
    if day.error is not None:
        traceback.print_exception(day.error)
    print("the day is done" if day.error is None else "stopped")
    return 0 if day.error is None else 1


if __name__ == "__main__":
    raise SystemExit(main())
