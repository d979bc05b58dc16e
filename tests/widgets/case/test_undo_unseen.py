"""Undo and redo of what is not in the slice in view: it is said where it was."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_morse.types import Roi
from napari_morse.widgets.bridge import display_axes
from tests.fakes import make_scan
from tests.widgets.case.test_outside import draw, go, longer, turn
from tests.widgets.conftest import add_scan
from tests.widgets.hands import CanvasMouse, begin, oblique_scan
from tests.widgets.review.test_walk import walker  # noqa: F401 (a fixture)
from tests.widgets.segment.test_dock_run import messages, press


@pytest.fixture
def corrected(viewer, dock, qtbot):
    return begin(viewer, dock, oblique_scan()[0], qtbot)


def key(viewer, qtbot, more=False):
    held = Qt.KeyboardModifier.ControlModifier
    held = held | Qt.KeyboardModifier.ShiftModifier if more else held
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_Z, held)


def told(dock, said):
    """What has been notified of since; the tab's line says the last of it."""
    found = messages()[said:]
    assert not found or dock.correct.note.text() == found[-1]
    return found


def slider(viewer, axis):
    return int(viewer.dims.current_step[axis])


@pytest.mark.parametrize(("by", "axis"), [("key", 0), ("key", 1), ("key", 2), ("button", 1)])
def test_a_stroke_of_another_slice_is_taken_back_with_a_word_of_where_it_was(viewer, dock, corrected, qtbot, by, axis):
    turn(viewer, axis)
    go(viewer, corrected, axis, 4)
    here = slider(viewer, axis)
    draw(viewer, dock, corrected, qtbot, "brush", CanvasMouse(viewer))
    drawn = np.array(corrected.layer.data)
    assert drawn.any()

    def step(more):
        if by == "key":
            key(viewer, qtbot, more)
        else:
            press(qtbot, dock.correct.redo if more else dock.correct.undo)

    for more, word in ((False, "Taken back"), (True, "Done again")):
        said = len(messages())
        step(more)
        assert told(dock, said) == [], "the slice in view shows it"
        step(not more)
        assert told(dock, said) == []
        go(viewer, corrected, axis, 7)
        step(more)
        assert told(dock, said) == [f"{word} in slice {here}, which was not in view."]
        assert np.array_equal(corrected.layer.data, drawn) == more
        go(viewer, corrected, axis, 4)


def test_the_slice_is_numbered_as_on_the_slider_beside_a_longer_and_finer_scan(viewer, dock, qtbot):
    scan = make_scan((12, 14, 10))
    corrected = begin(viewer, dock, scan, qtbot)
    first = dock.segment.scans.layer
    add_scan(viewer, longer(scan, spacing=0.5))
    dock.segment.scans.choose(first)
    turn(viewer, 0)
    go(viewer, corrected, 0, 3)
    here = slider(viewer, 0)
    assert here != 3
    draw(viewer, dock, corrected, qtbot, "brush", CanvasMouse(viewer))
    said = len(messages())
    go(viewer, corrected, 0, -2)  # where the mask has no slice
    key(viewer, qtbot)
    assert told(dock, said) == [f"Taken back in slice {here}, which was not in view."]
    viewer.dims.set_current_step(0, here)
    key(viewer, qtbot, more=True)
    assert len(messages()[said:]) == 1 and not dock.correct.note.text() and corrected.layer.data[3].any()


def test_a_change_of_several_slices_that_left_the_one_in_view_alone_is_told_of_too(viewer, dock, corrected, qtbot):
    scan = dock.active_case.scan
    turn(viewer, 0)
    slices = np.zeros(corrected.layer.data.shape, np.uint8)
    slices[2], slices[8] = 1, 1
    stored = display_axes(scan).to_storage(slices)
    dock.active_case.apply(Roi((0, 0, 0), stored.shape), stored, "tool")
    said, ends = len(messages()), []
    for index in (2, 8):
        go(viewer, corrected, 0, index)
        ends.append(slider(viewer, 0))
    go(viewer, corrected, 0, 5)
    key(viewer, qtbot)
    low, high = sorted(ends)
    assert told(dock, said) == [f"Taken back between slices {low} and {high}, not in the one that was in view."]
    go(viewer, corrected, 0, 8)
    key(viewer, qtbot, more=True)
    assert len(messages()[said:]) == 1 and not dock.correct.note.text()


def test_in_3d_and_where_there_is_nothing_to_take_back_nothing_is_said(viewer, dock, corrected, qtbot):
    draw(viewer, dock, corrected, qtbot, "brush", CanvasMouse(viewer))
    viewer.dims.ndisplay = 3
    QApplication.processEvents()
    said = len(messages())
    for _ in range(3):
        key(viewer, qtbot)
    assert not corrected.layer.data.any() and told(dock, said) == []


def test_where_undo_leads_to_the_patch_it_is_seen(viewer, dock, walker, qtbot):  # noqa: F811
    press(qtbot, dock.review.begin)
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    press(qtbot, dock.review.next)
    press(qtbot, dock.review.coarse)
    go(viewer, dock.active_case.corrected, 0, 0)
    said = len(messages())
    key(viewer, qtbot)
    assert dock.walker.rank == 0 and not walker.walk.decisions
    assert [text for text in messages()[said:] if "not in view" in text] == []
