"""The walk: keys, decisions, what they protect, and taking them back."""

from __future__ import annotations

import numpy as np
import pytest

from napari_morse.session.case_files import WALK
from napari_morse.types import Roi
from napari_morse.widgets.bridge import display_axes
from tests.fakes import make_scan
from tests.widgets.conftest import add_scan
from tests.widgets.segment.test_result_box import run_through


@pytest.fixture
def walker(viewer, dock, qtbot):
    add_scan(viewer, make_scan())
    run_through(qtbot, dock)
    return dock.walker


def begun(qtbot, dock):
    dock.active_case.begin()
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    return dock.active_case.corrected


def test_next_and_back_lead_to_open_patches_in_turn(viewer, dock, walker):
    assert walker.rank == -1 and len(walker.walk) > 3
    walker.next()
    assert walker.rank == 0
    walker.next()
    assert walker.rank == 1
    walker.back()
    assert walker.rank == 0
    walker.back()
    assert walker.rank == len(walker.walk) - 1
    centre = display_axes(dock.active_case.scan).index_to_view(walker.walk.patches.centre[-1:])[0]
    at = dock.active_case.scan_layer.world_to_data(viewer.dims.point)
    np.testing.assert_allclose(at, centre, atol=0.51)


def test_an_accepted_patch_is_kept_from_strokes_and_undo_opens_it_again(viewer, dock, walker, qtbot):
    corrected = begun(qtbot, dock)
    walker.next()
    left = walker.walk.counter().left
    walker.accept()
    assert walker.walk.decisions == {0: "accepted"} and walker.rank == 1
    assert walker.walk.counter().left == pytest.approx(left - walker.walk.patches.length[0])
    voxel = walker.walk.patches.of(0)
    before = np.array(corrected.corrections.mask)
    shown = display_axes(dock.active_case.scan).to_storage(corrected.layer.data)
    shown[...] = 2
    corrected.compare()
    mask = corrected.corrections.mask
    np.testing.assert_array_equal(mask[tuple(voxel.T)], before[tuple(voxel.T)])
    np.testing.assert_array_equal(shown, mask)
    others = np.ones(mask.shape, bool)
    others[tuple(voxel.T)] = False
    assert (mask[others] == 2).all()
    corrected.undo()
    np.testing.assert_array_equal(mask, before)
    assert walker.walk.decisions == {0: "accepted"}
    corrected.undo()
    assert walker.walk.decisions == {} and walker.rank == 0
    corrected.redo()
    assert walker.walk.decisions == {0: "accepted"}
    corrected.redo()
    assert (corrected.corrections.mask[others] == 2).all()


def test_the_coarse_side_is_taken_around_the_patch_alone_and_one_undo_takes_it_back(dock, walker, qtbot):
    corrected = begun(qtbot, dock)
    prediction = dock.active_case.prediction
    before = np.array(corrected.corrections.mask)
    walker.next()
    walker.take_coarse()
    mask = np.array(corrected.corrections.mask)
    changed = mask != before
    assert changed.any()
    np.testing.assert_array_equal(mask[changed], prediction.coarse.data[changed])
    assert changed.sum() < (prediction.coarse.data != before).sum()
    assert walker.walk.decisions == {0: "coarse"}
    corrected.undo()
    np.testing.assert_array_equal(corrected.corrections.mask, before)
    assert not walker.walk.decisions
    corrected.redo()
    np.testing.assert_array_equal(corrected.corrections.mask, mask)
    assert walker.walk.decisions == {0: "coarse"}


def test_rerender_is_an_act_of_its_own_inside_the_box(dock, walker, qtbot):
    corrected = begun(qtbot, dock)
    walker.next()
    box = walker.walk.box(0).grown(2, corrected.corrections.mask.shape)
    dock.active_case.apply(box, np.zeros(box.shape, np.uint8), "scratch")
    scratched = np.array(corrected.corrections.mask)
    with qtbot.waitSignal(walker.said):
        walker.rerender()
    truth = dock.active_case.prediction.rendered.data
    np.testing.assert_array_equal(corrected.corrections.mask, truth)
    corrected.undo()
    np.testing.assert_array_equal(corrected.corrections.mask, scratched)


def test_decisions_are_found_again(dock, walker, qtbot, viewer):
    begun(qtbot, dock)
    for act in (walker.next, walker.accept, walker.next, walker.accept):
        act()
    decided = dict(walker.walk.decisions)
    assert set(decided.values()) == {"accepted"} and len(decided) == 2
    folder = dock.active_case.folder
    assert (folder / WALK).is_file()
    viewer.layers.remove(dock.active_case.corrected.layer)
    qtbot.waitUntil(lambda: dock.active_case.corrected is None)
    assert walker.walk.decisions == {}
    begun(qtbot, dock)
    assert walker.walk.decisions == decided
    assert len(dock.active_case.corrected.case.protection.patches) == 2


def test_what_is_drawn_over_counts_as_edited(dock, walker, qtbot):
    begun(qtbot, dock)
    box = walker.walk.box(0)
    left = walker.walk.counter()
    now = dock.active_case.corrected.corrections.mask[box.slices]
    dock.active_case.apply(box, np.where(now == 0, 1, 0).astype(np.uint8), "scratch")
    assert walker.walk.state(0) == "edited"
    assert walker.walk.counter().left < left.left
    assert dock.review.table.item(0, 0).text() == "✎ 1"
    walker.next()
    assert walker.rank != 0


def test_accepting_before_correcting_was_begun_begins_it(dock, walker, qtbot):
    walker.next()
    assert dock.active_case.corrected is None
    walker.accept()
    qtbot.waitUntil(lambda: walker.walk is not None and walker.walk.decisions == {0: "accepted"})
    assert dock.active_case.corrected is not None


def test_a_list_of_another_mask_is_made_from_it(dock, walker, qtbot):
    corrected = begun(qtbot, dock)
    mask = np.roll(np.array(corrected.corrections.mask), 5, axis=0)
    corrected.act(Roi((0, 0, 0), mask.shape), mask, "scratch")
    old = walker.walk
    walker.list_again()
    qtbot.waitUntil(lambda: walker.walk is not old)
    at = tuple(walker.walk.patches.voxel.T)
    edge = np.zeros(mask.shape, bool)
    for axis in range(3):
        step = np.diff(mask.astype(int), axis=axis) != 0
        first = [slice(None)] * 3
        first[axis] = slice(None, -1)
        edge[tuple(first)] |= step
        first[axis] = slice(1, None)
        edge[tuple(first)] |= step
    assert edge[at].all() and edge.sum() == len(at[0])


def test_a_place_in_a_longer_list_goes_with_it(viewer, dock, walker, qtbot):
    models = len(walker.walk)
    corrected = begun(qtbot, dock)
    mask = np.zeros_like(corrected.corrections.mask)
    mask[1::4, 1::4, 1::4] = 1
    corrected.act(Roi((0, 0, 0), mask.shape), mask, "scratch")
    walker.list_again()
    qtbot.waitUntil(lambda: len(walker.walk) > models)
    walker.back()
    assert walker.rank >= models
    viewer.layers.remove(corrected.layer)
    qtbot.waitUntil(lambda: dock.active_case.corrected is None)
    assert len(walker.walk) == models and walker.rank == -1
