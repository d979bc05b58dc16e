"""A rough stroke becomes a sharp edge: inside its box, beside the window, and as one act."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_morse.types import Roi
from napari_morse.widgets.bridge import display_axes
from tests.widgets.hands import CanvasMouse, stored
from tests.widgets.review.test_walk import begun, walker  # noqa: F401 (a fixture)
from tests.widgets.segment.test_dock_run import press


@pytest.fixture
def corrected(dock, walker, qtbot):  # noqa: F811
    return begun(qtbot, dock)


def stroke(dock, corner=(8, 8, 6), size=(4, 4, 1), value=0):
    """Paints a box as napari does: pixels, then the event."""
    corrected = dock.active_case.corrected
    axes = display_axes(dock.active_case.scan)
    box = Roi(corner, tuple(a + b for a, b in zip(corner, size, strict=True)))
    there = axes.roi_to_view(box)
    places = tuple(x.ravel() for x in np.meshgrid(*map(np.arange, there.start, there.stop), indexing="ij"))
    with corrected.layer.block_history():
        places = tuple(np.arange(a, b) for a, b in zip(there.start, there.stop, strict=True))
        corrected.layer.data_setitem(tuple(x.ravel() for x in np.meshgrid(*places, indexing="ij")), value)
    return box


def half_kept(dock):
    """Let the model leave every other voxel of what is erased as it is drawn."""
    local = dock.sharpener._sharpening._renderer()
    local.truth = np.where(np.indices(local.truth.shape)[0] % 2, local.truth, 0).astype(np.uint8)
    return local.truth


def settled(qtbot, dock):
    qtbot.waitUntil(lambda: not dock.sharpener.busy)


def test_a_stroke_is_sharpened_in_its_box_and_one_undo_takes_both_back(dock, corrected, qtbot):
    before = np.array(corrected.corrections.mask)
    truth = half_kept(dock)
    box = stroke(dock)
    painted = np.array(corrected.corrections.mask)
    assert (painted[box.slices] == 0).all() and not np.array_equal(painted, before)
    settled(qtbot, dock)
    sharp = np.array(before)
    sharp[box.slices] = truth[box.slices]
    np.testing.assert_array_equal(corrected.corrections.mask, sharp)
    np.testing.assert_array_equal(display_axes(dock.active_case.scan).to_storage(corrected.layer.data), sharp)
    assert "voxels of the edge moved" in dock.correct.note.text()
    assert corrected.corrections.undoable == 2
    corrected.undo()
    assert corrected.corrections.undoable == 0
    np.testing.assert_array_equal(corrected.corrections.mask, before)
    corrected.redo()
    assert corrected.corrections.undoable == 2
    np.testing.assert_array_equal(corrected.corrections.mask, sharp)


WAY_OUT = "[T] draws without sharpening."


def erased(viewer, dock, qtbot):
    """A stroke of the eraser by the mouse; what it changed, and what the mask was."""
    corrected, before = dock.active_case.corrected, np.array(dock.active_case.corrected.corrections.mask)
    changed = []
    corrected.stroked.connect(lambda _act: changed.append(corrected.corrections.mask != before))
    dock.view_bar.contour.click()  # one view
    dock.tabs.setCurrentIndex(2)
    press(qtbot, dock.correct.modes["erase"])
    dock.correct.brush_size.setValue(3)
    viewer.dims.set_point(0, float(corrected.layer.data_to_world([n // 2 for n in corrected.layer.data.shape])[0]))
    middle = corrected.layer.data_to_world([n // 2 for n in corrected.layer.data.shape])
    CanvasMouse(viewer).drag(middle, (middle[0], middle[1] + 2, middle[2] + 2))
    qtbot.waitUntil(lambda: len(changed) == 1)
    settled(qtbot, dock)
    return changed[0], before


def ctrl_z(viewer, qtbot):
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)


def test_of_a_stroke_that_is_taken_back_whole_it_is_said_so_and_ctrl_z_brings_it_back(viewer, dock, corrected, qtbot):
    changed, before = erased(viewer, dock, qtbot)
    corrections = corrected.corrections
    np.testing.assert_array_equal(corrections.mask, before)
    told = dock.correct.note.text()
    assert told == f"The model took your whole stroke back. Ctrl+Z brings it back; {WAY_OUT}"
    ctrl_z(viewer, qtbot)
    np.testing.assert_array_equal(corrections.mask != before, changed)
    ctrl_z(viewer, qtbot)
    np.testing.assert_array_equal(corrections.mask, before)
    assert not corrections.undoable
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_T)
    assert not dock.correct.sharpen.isChecked()
    changed, _ = erased(viewer, dock, qtbot)
    np.testing.assert_array_equal(corrections.mask != before, changed)


def test_of_a_stroke_that_is_taken_back_for_the_most_part_it_is_said_so(viewer, dock, corrected, qtbot):
    local = dock.sharpener._sharpening._renderer()
    local.truth = np.array(local.truth)
    local.truth[tuple(stored(dock.active_case.scan, [n // 2 for n in corrected.layer.data.shape]))] = 0
    changed, before = erased(viewer, dock, qtbot)
    left = np.count_nonzero(corrected.corrections.mask != before)
    count = int(changed.sum())
    assert 0 < left < count / 2
    told = dock.correct.note.text()
    assert told == f"The model took most of your stroke back, {count - left} of {count} voxels. {WAY_OUT}"
    ctrl_z(viewer, qtbot)
    np.testing.assert_array_equal(corrected.corrections.mask, before)


def test_of_a_stroke_that_the_model_agrees_with_nothing_else_is_said(viewer, dock, corrected, qtbot):
    dock.sharpener._sharpening._renderer().sharpen = lambda mask, box, *_: mask[box.slices].copy()
    changed, before = erased(viewer, dock, qtbot)
    np.testing.assert_array_equal(corrected.corrections.mask != before, changed)
    assert dock.correct.note.text() == "The edge stays as you drew it."


def test_what_is_drawn_since_or_locked_is_not_said_to_be_taken_back(dock, corrected, edges, engine, qtbot):
    told = []
    dock.sharpener.said.connect(told.append)
    stroke(dock, (2, 2, 2), value=1)
    stroke(dock, (2, 2, 2), (4, 3, 1), value=2)
    edges += [np.zeros_like, as_painted]
    engine.sharpening.set()
    settled(qtbot, dock)
    assert "voxels of the edge moved" in told[0] and told[1] == "The edge stays as you drew it."
    engine.sharpening.clear()
    stroke(dock, (2, 12, 2), value=1)
    dock.active_case.lock(1, True)
    edges += [np.zeros_like]
    engine.sharpening.set()
    settled(qtbot, dock)
    assert "Protected" in told[2] and "took" not in told[2]
    assert (corrected.corrections.mask[2:6, 12:16, 2] == 1).all()


def test_switched_off_and_at_strength_zero_strokes_stay(dock, corrected, qtbot):
    dock.correct.toggle_sharpen()
    box = stroke(dock)
    settled(qtbot, dock)
    assert (corrected.corrections.mask[box.slices] == 0).all() and corrected.corrections.undoable == 1
    dock.correct.toggle_sharpen()
    dock.correct.strength.setValue(0)
    stroke(dock, (8, 8, 7))
    settled(qtbot, dock)
    assert corrected.corrections.undoable == 2


def test_a_stroke_drawn_while_the_one_before_is_sharpened_stays_on_top(dock, corrected, engine, qtbot):
    engine.sharpening.clear()
    first = stroke(dock, (8, 8, 6))
    second = stroke(dock, (10, 10, 6), value=1)
    both = np.array(corrected.corrections.mask)
    assert (both[second.slices] == 1).all()
    engine.sharpening.set()
    qtbot.waitUntil(lambda: corrected.corrections.undoable >= 3)
    settled(qtbot, dock)
    truth = dock.active_case.prediction.rendered.data
    np.testing.assert_array_equal(corrected.corrections.mask, truth)
    corrected.undo()
    mask = corrected.corrections.mask
    assert (mask[second.slices] == 1).all()  # nothing was left of it: its edge was taken back by itself
    corrected.undo()
    np.testing.assert_array_equal(mask, truth)  # the second stroke is gone, the first one and its sharpening stay
    corrected.undo()
    np.testing.assert_array_equal(mask, truth)
    assert corrected.corrections.undoable == 0
    assert first.shape == (4, 4, 1)


def test_undo_while_a_stroke_is_being_sharpened_takes_the_stroke_back_for_good(dock, corrected, engine, qtbot):
    before = np.array(corrected.corrections.mask)
    engine.sharpening.clear()
    stroke(dock, (4, 4, 4), value=2)
    corrected.undo()
    engine.sharpening.set()
    settled(qtbot, dock)
    np.testing.assert_array_equal(corrected.corrections.mask, before)
    assert corrected.corrections.undoable == 0 and corrected.corrections.redoable == 1


def test_nothing_is_drawn_under_a_stroke_in_progress(dock, corrected, engine, qtbot):
    stroke(dock)
    painted = np.array(corrected.corrections.mask)
    corrected.drawing = True
    qtbot.wait(150)
    np.testing.assert_array_equal(corrected.corrections.mask, painted)
    corrected.drawing = False
    qtbot.waitUntil(lambda: corrected.corrections.undoable == 2)


def test_locked_labels_and_accepted_patches_are_not_sharpened_away(dock, corrected, qtbot):
    dock.active_case.lock(2, True)
    dock.walker.next()
    dock.walker.accept()
    voxel = dock.walker.walk.patches.of(0)
    truth = dock.active_case.prediction.rendered.data
    dock.sharpener._sharpening._renderer().truth = np.where(truth == 1, 2, 1).astype(np.uint8)
    mask = corrected.corrections.mask
    before = np.array(mask)
    stroke(dock, (2, 2, 2), (16, 20, 12), value=1)
    settled(qtbot, dock)
    np.testing.assert_array_equal(mask == 2, before == 2)
    np.testing.assert_array_equal(mask[tuple(voxel.T)], before[tuple(voxel.T)])
    assert "Protected" in dock.correct.note.text()


def test_without_a_model_that_can_the_reason_is_told(dock, corrected, engine, qtbot, monkeypatch):
    card = engine.models()[0].card
    rough = card.model_copy(
        update={"recipe": card.recipe.model_copy(update={"train": card.recipe.train.model_copy(update={"rough": 0.0})})}
    )
    info = engine.models()[0]
    monkeypatch.setattr(engine, "models", lambda: [type(info)(info.name, info.folder, rough, True)])
    dock.correct.refresh()
    assert not dock.correct.sharpen.isEnabled() and "rough" in dock.correct.sharpen.toolTip()
    box = stroke(dock)
    settled(qtbot, dock)
    assert (corrected.corrections.mask[box.slices] == 0).all()


@pytest.fixture
def edges(dock, corrected, engine):
    """What the next edges come to, one after the other; they wait until the engine lets them go on."""
    local, wanted = dock.sharpener._sharpening._renderer(), []

    def sharpen(mask, box, strength=1.0, cancelled=None):
        engine.sharpening.wait(10)
        return wanted.pop(0)(mask[box.slices].copy())

    local.sharpen = sharpen
    engine.sharpening.clear()
    return wanted


def as_painted(part):
    return part


def test_what_was_erased_last_stays_erased_whatever_edges_come_late(dock, corrected, engine, edges, qtbot):
    def emptied(part):
        part[:] = 0
        return part

    def filled(part):
        part[:] = 1
        return part

    stroke(dock, (2, 2, 2), value=1)
    stroke(dock, (1, 1, 2), (6, 6, 1), value=1)  # around the first, and over it
    erased = stroke(dock, (3, 4, 2), (2, 1, 1), value=0)
    edges += [emptied, filled, as_painted]
    engine.sharpening.set()
    settled(qtbot, dock)
    mask = corrected.corrections.mask
    assert (mask[erased.slices] == 0).all() and not edges
    assert np.count_nonzero(mask[1:7, 1:7, 2] == 1) == 34
    np.testing.assert_array_equal(display_axes(dock.active_case.scan).to_storage(corrected.layer.data), mask)


def test_an_edge_takes_nothing_of_a_later_stroke_for_its_own(dock, corrected, engine, edges, qtbot):
    stroke(dock, (2, 2, 2), value=1)
    stroke(dock, (2, 3, 2), (5, 3, 1), value=2)
    before = np.array(corrected.corrections.mask)
    stroke(dock, (3, 3, 2), (4, 3, 1), value=1)
    painted = np.array(corrected.corrections.mask)
    edges += [as_painted] * 3
    engine.sharpening.set()
    settled(qtbot, dock)
    np.testing.assert_array_equal(corrected.corrections.mask, painted)
    corrected.undo()
    np.testing.assert_array_equal(corrected.corrections.mask, before)


def test_what_is_locked_or_accepted_later_is_not_put_under_an_earlier_edge(dock, corrected, engine, edges, qtbot):
    stroke(dock, (2, 2, 2), value=1)
    stroke(dock, (2, 2, 2), (2, 2, 1), value=2)
    dock.active_case.lock(2, True)

    def corner_gone(part):
        part[3, 3] = 0
        return part

    edges += [corner_gone, as_painted]
    engine.sharpening.set()
    settled(qtbot, dock)
    mask = corrected.corrections.mask
    assert (mask[2:4, 2:4, 2] == 2).all() and mask[5, 5, 2] == 0
    corrected.undo()
    assert np.count_nonzero(mask[2:6, 2:6, 2] == 1) == 15 and mask[5, 5, 2] == 0


def test_a_boundary_asked_for_while_an_edge_is_on_its_way_comes_after_it(dock, corrected, engine, edges, qtbot):
    told = []
    box = stroke(dock, (2, 2, 2), value=1)
    dock.sharpener.rerender(box, told.append)
    edges += [lambda part: np.full_like(part, 2), np.zeros_like]
    engine.sharpening.set()
    settled(qtbot, dock)
    assert told and (corrected.corrections.mask[box.slices] == 0).all()
    corrected.undo()
    assert (corrected.corrections.mask[box.slices] == 2).all()  # the stroke with its edge
    corrected.undo()
    assert corrected.corrections.undoable == 0
