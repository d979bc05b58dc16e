"""Interpolation, holes, islands and growing from the dock: in the plane in view, beside the window, one act each."""

from __future__ import annotations

import numpy as np
import pytest

from napari_morse.types import Roi
from napari_morse.widgets.bridge import display_axes
from napari_morse.widgets.correct.tools_box import SLICE, VOLUME
from tests.widgets.hands import begin, oblique_scan


@pytest.fixture
def scene(viewer, dock, qtbot):
    scan, far = oblique_scan()
    return scan, far < 9, begin(viewer, dock, scan, qtbot)


def done(qtbot, dock):
    qtbot.waitUntil(lambda: not dock.active_case.runner.busy)


def draw(dock, corrected, axis, indices, truth):
    """Strokes, as napari tells of them, that make slices of the truth; ``axis`` and ``indices`` in display order."""
    shown = display_axes(dock.active_case.scan).to_view(truth)
    for index in indices:
        at = [slice(None)] * 3
        at[axis] = index
        places = np.argwhere(shown[tuple(at)])
        where = np.insert(places, axis, index, axis=1)
        with corrected.layer.block_history():
            corrected.layer.data_setitem(tuple(where.T), 1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_between_drawn_slices_the_ball_comes_back_in_every_plane(viewer, dock, scene, qtbot, axis):
    scan, truth, corrected = scene
    viewer.dims.order = (axis, *(a for a in range(3) if a != axis))
    box = np.argwhere(display_axes(scan).to_view(truth))[:, axis]
    low, high = int(box.min()) + 1, int(box.max()) - 1
    indices = [low, (low + high) // 2, high]
    draw(dock, corrected, axis, indices, truth)
    qtbot.waitUntil(lambda: dock.tools.slices.whole == f"between {', '.join(map(str, indices))}")
    drawn = np.array(corrected.corrections.mask)
    dock.tools.run_interpolate()
    done(qtbot, dock)
    mask = corrected.corrections.mask
    shown, wanted = display_axes(scan).to_view(mask), display_axes(scan).to_view(truth)
    part = [slice(None)] * 3
    part[axis] = slice(low, high + 1)
    found, wanted = shown[tuple(part)] == 1, wanted[tuple(part)]
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.88
    assert dock.tools.slices.whole == "gaps between all its slices"
    corrected.undo()
    np.testing.assert_array_equal(mask, drawn)


def test_tools_work_on_this_slice_or_on_everything(viewer, dock, scene, qtbot):
    _scan, truth, corrected = scene
    shape = truth.shape
    start = truth.astype(np.uint8)
    start[15, 13, 11] = 0
    start[0, 0, 0] = 1
    dock.active_case.apply(Roi((0, 0, 0), shape), start, "scratch")
    tools = dock.tools
    tools.scope.setCurrentText(VOLUME)
    for act in (tools.run_holes, tools.run_islands):
        act()
        done(qtbot, dock)
    np.testing.assert_array_equal(corrected.corrections.mask, truth)
    tools.scope.setCurrentText(SLICE)
    tools.mm.setValue(2.0)
    tools.run_grow(1)
    done(qtbot, dock)
    grown = np.array(corrected.corrections.mask)
    axis, index = dock.active_case.plane.storage
    differs = np.flatnonzero((grown != truth).any(axis=tuple(a for a in range(3) if a != axis)))
    np.testing.assert_array_equal(differs, [index])
    tools.run_grow(-1)
    done(qtbot, dock)
    corrected.undo()
    np.testing.assert_array_equal(corrected.corrections.mask, grown)
    for _ in range(3):
        corrected.undo()
    np.testing.assert_array_equal(corrected.corrections.mask, start)


def test_a_result_of_a_mask_that_was_changed_meanwhile_is_dropped(dock, scene, qtbot):
    _, truth, corrected = scene
    start = truth.astype(np.uint8)
    start[15, 13, 11] = 0
    box = Roi((0, 0, 0), truth.shape)
    dock.active_case.apply(box, start, "scratch")
    dock.tools.scope.setCurrentText(VOLUME)
    dock.tools.run_holes()
    start[15, 13, 12] = 0
    dock.active_case.apply(box, start, "scratch")
    done(qtbot, dock)
    np.testing.assert_array_equal(corrected.corrections.mask, start)
    assert "meanwhile" in dock.tools.note.text()


def test_why_a_tool_cannot_be_used_is_told(dock, scene, qtbot):
    _, truth, corrected = scene
    dock.active_case.lock(1, True)
    assert not dock.tools.holes.isEnabled() and "locked" in dock.tools.holes.toolTip()
    dock.active_case.lock(1, False)
    dock.active_case.label = 0
    assert "background" in dock.tools.holes.toolTip()
    dock.active_case.label = 1
    dock.tools.run_interpolate()
    done(qtbot, dock)
    assert "nothing to interpolate" in dock.tools.note.text()
    assert not corrected.corrections.mask.any() and truth.any()
