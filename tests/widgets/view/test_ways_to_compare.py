"""Difference and surfaces: bit by bit and mm by mm, and the view comes back as it was."""

from __future__ import annotations

import numpy as np
import pytest

from napari_morse.widgets.bridge import display_axes, display_to_world
from napari_morse.widgets.view.difference import ADDED, OTHER, REMOVED, difference
from tests.fakes import make_scan
from tests.widgets.conftest import add_scan
from tests.widgets.segment.test_result_box import run_through


@pytest.fixture
def run(viewer, dock, qtbot):
    dock.comparison.mode = "contour"
    add_scan(viewer, make_scan())
    run_through(qtbot, dock)
    return dock.session.result


def test_each_kind_of_difference_has_its_number():
    before, after = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 0, 1, 2])
    np.testing.assert_array_equal(difference(before, after), [0, ADDED, 0, REMOVED, OTHER, 0])


def test_the_difference_is_that_of_the_masks_follows_strokes_and_gives_the_view_back(viewer, dock, run, qtbot):
    shown = dock.comparison.shown
    dock.view_bar.modes["difference"].click()
    qtbot.waitUntil(lambda: dock.comparison.differences.shown.there)
    axes = display_axes(dock.active_case.scan)
    found = dock.comparison.differences.shown
    wanted = difference(run.coarse.data, run.rendered.data)
    np.testing.assert_array_equal(axes.to_storage(found.layer.data), wanted)
    assert not shown.coarse.visible and not shown.rendered.visible and wanted.any()
    assert dock.comparison.titles.text[0] == "coarse to rendered\ncase"
    ml = (wanted == ADDED).sum() * dock.active_case.scan.grid.voxel_volume / 1000
    assert f"added {ml:.2f} ml" in dock.view_bar.note.text()
    dock.active_case.begin()
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    qtbot.waitUntil(lambda: dock.comparison.titles.text[0] == "rendered to corrected\ncase")
    box = dock.walker.walk.box(0)
    dock.active_case.apply(box, np.full(box.shape, 2, np.uint8), "scratch")
    found = dock.comparison.differences.shown
    mask = dock.active_case.corrected.corrections.mask
    np.testing.assert_array_equal(axes.to_storage(found.layer.data), difference(run.rendered.data, mask))
    dock.comparison.swapped = True
    np.testing.assert_array_equal(
        axes.to_storage(dock.comparison.differences.shown.layer.data), difference(mask, run.rendered.data)
    )
    dock.comparison.swapped = False
    dock.view_bar.contour.click()
    qtbot.waitUntil(lambda: not dock.comparison.settling)
    assert shown.coarse.visible and shown.rendered.visible and not dock.comparison.differences.shown.there
    assert not [x for x in viewer.layers if x.name.startswith("difference")]


def test_a_difference_that_was_deleted_is_made_again_and_both_masks_still_come_back(viewer, dock, run, qtbot):
    shown = dock.comparison.shown
    dock.view_bar.modes["difference"].click()
    qtbot.waitUntil(lambda: dock.comparison.differences.shown.there)
    viewer.layers.remove(dock.comparison.differences.shown.layer)
    qtbot.waitUntil(lambda: dock.comparison.differences.shown.there and not dock.comparison.settling)
    assert not shown.coarse.visible and not shown.rendered.visible
    dock.view_bar.contour.click()
    qtbot.waitUntil(lambda: not dock.comparison.settling)
    assert shown.coarse.visible and shown.rendered.visible


def test_surfaces_lie_in_the_layers_own_mm_and_the_view_comes_back(viewer, dock, run, qtbot):
    viewer.dims.order = (1, 0, 2)
    before = {layer.name: layer.visible for layer in viewer.layers}
    dock.view_bar.solid.click()
    qtbot.waitUntil(lambda: len(dock.surfaces.layers) == 2, timeout=20000)
    assert viewer.dims.ndisplay == 3 and not any(viewer.layers[name].visible for name in before)
    scan = dock.active_case.scan
    for layer, mask in zip(dock.surfaces.layers, (run.coarse, run.rendered), strict=True):
        voxel = np.argwhere(display_axes(scan).to_view(mask.data))
        low = np.array(layer.data_to_world(layer.data[0].min(axis=0)))
        high = np.array(layer.data_to_world(layer.data[0].max(axis=0)))
        matrix = display_to_world(scan)
        np.testing.assert_allclose(low, matrix[:3, :3] @ (voxel.min(axis=0) - 0.5) + matrix[:3, 3], atol=1e-3)
        np.testing.assert_allclose(high, matrix[:3, :3] @ (voxel.max(axis=0) + 0.5) + matrix[:3, 3], atol=1e-3)
    assert "mm to the coarse surface" in dock.view_bar.note.text()
    dock.comparison.swapped = True
    qtbot.waitUntil(lambda: [layer.visible for layer in dock.surfaces.layers] == [True, False])
    dock.comparison.swapped = False
    dock.view_bar.contour.click()
    qtbot.waitUntil(lambda: not dock.comparison.settling)
    assert viewer.dims.ndisplay == 2 and viewer.dims.order == (1, 0, 2) and not dock.surfaces.active
    assert {layer.name: layer.visible for layer in viewer.layers} == before


def test_without_a_result_there_is_a_sentence(dock):
    dock.surfaces.start()
    assert "Run a model" in dock.view_bar.note.text() and not dock.surfaces.active
    assert not dock.view_bar.solid.isEnabled()
