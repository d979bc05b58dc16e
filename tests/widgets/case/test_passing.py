"""What is said of an act goes when it is true no more: with another scan, edit, undo or redo."""

from __future__ import annotations

import numpy as np
import pytest

from napari_morse.types import Mask
from napari_morse.widgets.bridge import mask_layer_data
from napari_morse.widgets.correct.tools_box import NO_SLICE
from napari_morse.widgets.correct.wire_drawing import WIRE_HINT
from tests.fakes import FakeEngine, make_scan
from tests.widgets.case.test_outside import draw, go, longer, turn
from tests.widgets.case.test_undo_unseen import key
from tests.widgets.conftest import add_dock, add_scan
from tests.widgets.correct.test_sharpen import settled, stroke
from tests.widgets.hands import CanvasMouse, begin
from tests.widgets.review.test_walk import walker  # noqa: F401 (a fixture)
from tests.widgets.segment.test_dock_run import press, run_through
from tests.widgets.view.test_stage import choose


@pytest.fixture
def corrected(viewer, dock, walker, qtbot):  # noqa: F811
    """A mask whose strokes are sharpened: half of what is drawn there stays."""
    press(qtbot, dock.correct.begin)
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    go(viewer, dock.active_case.corrected, 0, 9)
    return dock.active_case.corrected


def sharpened(dock, qtbot, corner=(8, 8, 6)):
    local = dock.sharpener._sharpening._renderer()
    local.truth = np.where(np.indices(local.truth.shape)[0] % 2, local.truth, 0).astype(np.uint8)
    stroke(dock, corner)
    settled(qtbot, dock)
    assert "voxels of the edge moved" in dock.correct.note.text()


def gone(qtbot, note):
    """Within the moment in which all that is only said follows an edit."""
    qtbot.waitUntil(lambda: not note.text(), timeout=1000)
    assert not note.isVisible()


def test_a_line_of_the_last_stroke_goes_with_undo_another_stroke_the_switch_and_another_scan(
    viewer, dock, corrected, qtbot
):
    dock.tabs.setCurrentIndex(2)
    first = dock.segment.scans.layer
    for number, way in enumerate(
        (
            lambda: press(qtbot, dock.correct.undo),
            lambda: key(viewer, qtbot),
            lambda: (
                dock.correct.strength.setValue(0),
                stroke(dock, (2, 2, 2), value=1),
            ),  # of the next something else is said
            lambda: add_scan(viewer, make_scan(stem="Berta", seed=1)),
        )
    ):
        dock.correct.strength.setValue(100)
        sharpened(dock, qtbot, (8, 8, 5 + number))  # where nothing is drawn yet
        qtbot.wait(100)
        assert "voxels of the edge moved" in dock.correct.note.text()
        way()
        qtbot.waitUntil(lambda: "edge moved" not in dock.correct.note.text())
        key(viewer, qtbot)
    choose(qtbot, dock, first)
    assert dock.active_case.corrected is corrected and not dock.correct.note.text()
    sharpened(dock, qtbot, (8, 8, 9))
    dock.correct.sharpen.click()
    assert dock.correct.note.text() == "Strokes stay as they are drawn."


def test_nothing_was_drawn_goes_when_a_slice_of_the_mask_is_in_view_again(viewer, dock, qtbot):
    scan = make_scan((12, 14, 10))
    corrected = begin(viewer, dock, scan, qtbot)
    first = dock.segment.scans.layer
    add_scan(viewer, longer(scan))
    dock.segment.scans.choose(first)
    viewer.layers.selection.active = corrected.layer
    turn(viewer, 0)
    mouse = CanvasMouse(viewer)
    go(viewer, corrected, 0, -3)
    draw(viewer, dock, corrected, qtbot, "brush", mouse)
    assert "Nothing was drawn" in dock.correct.note.text()
    go(viewer, corrected, 0, -4)
    assert "Nothing was drawn" in dock.correct.note.text()
    press(qtbot, dock.tools.holes)
    assert dock.tools.note.text() == NO_SLICE
    go(viewer, corrected, 0, 4)
    gone(qtbot, dock.correct.note)
    gone(qtbot, dock.tools.note)


def test_the_hint_of_the_live_wire_stays_while_it_is_in_use(viewer, dock, corrected, qtbot):
    sharpened(dock, qtbot)
    press(qtbot, dock.correct.wire)
    assert dock.correct.note.text() == WIRE_HINT
    key(viewer, qtbot)
    qtbot.wait(100)
    assert dock.correct.note.text() == WIRE_HINT
    key(viewer, qtbot, more=True)
    qtbot.wait(100)
    assert dock.correct.note.text() == WIRE_HINT
    press(qtbot, dock.correct.wire)
    assert not dock.correct.note.text()


def test_lines_of_the_tools_go_with_an_undo_and_a_lock(viewer, dock, corrected, qtbot):
    tools = dock.tools
    dock.active_case.label = 1
    press(qtbot, tools.bigger)
    qtbot.waitUntil(lambda: "voxels changed" in tools.note.text())
    qtbot.wait(100)
    assert "voxels changed" in tools.note.text()
    press(qtbot, dock.correct.undo)
    gone(qtbot, tools.note)
    dock.active_case.lock(1, True)
    tools.run_holes()  # by its key or a script: the button is disabled
    assert "locked" in tools.note.text()
    dock.active_case.lock(1, False)
    gone(qtbot, tools.note)


def test_lines_of_the_walk_go_when_the_decision_is_taken_back(viewer, dock, corrected, qtbot):
    review = dock.review
    press(qtbot, review.next)
    press(qtbot, review.accept)
    assert "Patch 1 accepted" in review.note.text()
    qtbot.wait(100)
    press(qtbot, review.next)
    assert "Patch 1 accepted" in review.note.text()
    key(viewer, qtbot)
    gone(qtbot, review.note)
    press(qtbot, review.coarse)
    assert "coarse side was taken" in review.note.text()
    stroke(dock, (1, 1, 1), value=1)
    gone(qtbot, review.note)


def test_what_was_measured_is_not_said_of_a_changed_mask_or_of_another_scan(viewer, dock, corrected, qtbot):
    box = dock.measures
    dock.correct.sharpen.click()
    dock.active_case.label = 1
    for change in (lambda: stroke(dock, (1, 1, 1), value=1), lambda: add_scan(viewer, make_scan(stem="Berta"))):
        press(qtbot, box.area)
        assert "area:" in box.note.text()
        qtbot.wait(100)
        assert "area:" in box.note.text()
        change()
        gone(qtbot, box.note)


def test_figures_against_a_truth_go_with_the_scan_at_once(viewer, dock, corrected, qtbot):
    scan = dock.active_case.scan
    data, attributes, _ = mask_layer_data(Mask(np.ones(scan.grid.shape, np.uint8), scan.grid), scan, "truth")
    viewer.add_labels(data, **attributes)
    dock.truth.combo.setCurrentIndex(dock.truth.combo.findText("truth"))
    qtbot.waitUntil(lambda: "Dice" in dock.truth.figures.text())
    add_scan(viewer, make_scan(stem="Berta"))
    assert not dock.truth.figures.text()


def test_what_a_run_warned_of_and_how_long_it_took_is_not_said_of_another_scan(viewer, qtbot):
    engine = FakeEngine(steps=200, seconds=0.05, warnings=("Unlike the training data.",))
    dock = add_dock(viewer, engine)
    first = add_scan(viewer, make_scan(stem="Anna"))
    tab = dock.segment
    press(qtbot, tab.run_bar.run)
    qtbot.waitUntil(lambda: "Unlike" in tab.banner.text())
    second = add_scan(viewer, make_scan(stem="Berta", seed=1))
    assert tab.scans.layer is second and not tab.banner.text()
    engine.pace.set()
    qtbot.waitUntil(lambda: "done in" in tab.run_bar.line.text(), timeout=20000)
    assert "“Anna”" in tab.run_bar.line.text() and not tab.banner.text()
    choose(qtbot, dock, first)
    assert "done in" not in tab.run_bar.line.text()
    run_through(qtbot, dock)
    assert tab.run_bar.line.text().startswith("done in") and "Anna" not in tab.run_bar.line.text()
