"""Side by side and contour over fill: equal groups, one camera, nothing on the wrong side, nothing left."""

from __future__ import annotations

import numpy as np
import pytest

from napari_morse.widgets.base import shortcuts
from napari_morse.widgets.bridge import (
    carrier_of,
    mask_layer_data,
    points_layer_data,
    uncertainty_layer_data,
)
from napari_morse.widgets.view import Comparison, ResultLayers, keys
from napari_morse.widgets.view.orientation_labels import Letters
from napari_morse.widgets.view.twins import is_twin
from tests.fakes import make_prediction, make_scan
from tests.widgets.conftest import add_scan


@pytest.fixture
def result(viewer, scan):
    return add_result(viewer, scan)


def add_result(viewer, scan):
    prediction = make_prediction(scan)
    image = add_scan(viewer, scan)
    made = []
    for data, attributes, kind in (
        uncertainty_layer_data(prediction, scan),
        mask_layer_data(prediction.coarse, scan, "coarse", role="coarse"),
        mask_layer_data(prediction.rendered, scan, "rendered", role="rendered"),
        points_layer_data(prediction, scan),
    ):
        made.append(getattr(viewer, f"add_{kind}")(data, **attributes))
    return ResultLayers(image, *made)


@pytest.fixture
def comparison(viewer, result, qtbot):
    comparison = Comparison(viewer)
    with qtbot.waitSignal(comparison.settled, timeout=10000):
        comparison.open(result)
    yield comparison
    comparison.close()


def settle(qtbot, comparison):
    with qtbot.waitSignal(comparison.settled, timeout=10000):
        pass


def cells(viewer):
    """Layers in the left and the right cell, and whether all visible ones are in one of the two."""
    grid = viewer.canvas.grid
    groups = [[], []]
    for index, layer in enumerate(viewer.layers):
        if not layer.visible:
            continue
        group = index // grid.stride
        assert group < 2, f"{layer.name} would open a third cell"
        assert grid.position(index, viewer.layers) == (0, group)
        groups[group].append(layer)
    return groups


def check_apart(viewer, comparison):
    """Each cell shows its own mask and otherwise the same."""
    left, right = cells(viewer)
    shown = comparison.shown
    assert shown.coarse in left and shown.rendered in right
    assert shown.rendered not in left and shown.coarse not in right
    assert [type(x) for x in left] == [type(x) for x in right]
    assert viewer.canvas.grid.enabled and viewer.canvas.grid.actual_shape(viewer.layers) == (1, 2)


def test_two_equal_groups_share_one_image(viewer, comparison, result):
    check_apart(viewer, comparison)
    assert viewer.canvas.grid.stride == 4
    twin = next(x for x in viewer.layers if is_twin(x) and carrier_of(x).role == "scan")
    assert np.shares_memory(np.asarray(twin.data), np.asarray(result.scan.data))
    result.scan.contrast_limits = (20, 60)
    assert tuple(twin.contrast_limits) == (20, 60)
    twin.contrast_limits = (30, 70)
    assert tuple(result.scan.contrast_limits) == (30, 70)
    assert comparison.titles.text == ("coarse", "rendered")


def test_there_and_back_again(viewer, result, comparison, qtbot):
    for _ in range(2):
        comparison.mode = "contour"
        settle(qtbot, comparison)
        assert not viewer.canvas.grid.enabled and len(viewer.layers) == 5
        assert result.coarse.contour == 1 and result.rendered.contour == 0
        assert viewer.layers.index(result.coarse) > viewer.layers.index(result.rendered)
        assert comparison.titles.text == ("contour: coarse", "fill: rendered")
        comparison.mode = "side"
        settle(qtbot, comparison)
        check_apart(viewer, comparison)
        assert result.coarse.contour == 0


def test_closing_restores_the_viewer(viewer, scan, qtbot):
    result = add_result(viewer, scan)
    other = viewer.add_image(np.zeros((4, 5, 6)), name="other")
    viewer.canvas.grid.stride, viewer.canvas.grid.shape = 3, (-1, 2)
    viewer.scene.camera.zoom = 7.0
    before = (viewer.canvas.grid.model_dump(), {x.name for x in viewer.layers}, set(viewer.canvas.overlays))
    comparison = Comparison(viewer)
    with qtbot.waitSignal(comparison.settled, timeout=10000):
        comparison.open(result)
    assert not other.visible
    comparison.mode = "contour"
    settle(qtbot, comparison)
    comparison.close()
    assert (viewer.canvas.grid.model_dump(), {x.name for x in viewer.layers}, set(viewer.canvas.overlays)) == before
    assert other.visible and result.coarse.contour == 0 and viewer.scene.camera.zoom == 7.0
    from napari.experimental import layers_linked

    assert layers_linked is not None
    from napari.layers.utils._link_layers import layer_is_linked

    assert not any(layer_is_linked(layer) for layer in viewer.layers)


def test_labels_made_by_hand_appear_in_both_cells(viewer, comparison, result, qtbot):
    layer = viewer.add_labels(np.zeros(result.scan.data.shape, np.uint8), scale=result.scan.scale, name="mine")
    assert not viewer.canvas.grid.enabled, "no cell until the groups are equal again"
    settle(qtbot, comparison)
    check_apart(viewer, comparison)
    left, right = cells(viewer)
    twin = next(x for x in right if x.name.startswith("mine"))
    assert layer in left and twin.data is layer.data
    layer.selected_label = 1
    layer.paint((5, 6, 7), 1)
    assert twin.data[5, 6, 7] == 1
    layer.data = np.ones_like(layer.data)
    qtbot.waitUntil(lambda: bool(np.asarray(twin.data).all()))


def test_shapes_drawn_in_one_cell_appear_in_the_other(viewer, comparison, qtbot):
    layer = viewer.add_shapes(ndim=3, name="box")
    settle(qtbot, comparison)
    layer.add_rectangles(np.array([[3, 2, 4], [3, 2, 9], [3, 11, 9], [3, 11, 4]]))
    _, right = cells(viewer)
    twin = next(x for x in right if x.name.startswith("box"))
    qtbot.waitUntil(lambda: len(twin.data) == 1)
    np.testing.assert_allclose(twin.data[0], layer.data[0])
    check_apart(viewer, comparison)


def test_a_hidden_layer_has_no_cell_until_it_is_shown(viewer, comparison, qtbot):
    layer = viewer.add_points(np.zeros((1, 3)), visible=False, name="hidden")
    settle(qtbot, comparison)
    check_apart(viewer, comparison)
    layer.visible = True
    settle(qtbot, comparison)
    check_apart(viewer, comparison)
    assert layer in cells(viewer)[0]


def test_a_twin_that_was_deleted_comes_back(viewer, comparison, qtbot):
    viewer.layers.remove(next(x for x in viewer.layers if is_twin(x)))
    settle(qtbot, comparison)
    check_apart(viewer, comparison)


def test_reordered_layers_go_back(viewer, comparison, qtbot):
    viewer.layers.move(0, 7)
    settle(qtbot, comparison)
    check_apart(viewer, comparison)


@pytest.mark.parametrize("role", ["coarse", "rendered", "scan", "points"])
def test_deleting_a_layer_of_the_result_ends_it(viewer, comparison, result, role, qtbot):
    viewer.layers.remove(getattr(result, role))
    qtbot.waitUntil(lambda: comparison.shown is None)
    assert not viewer.canvas.grid.enabled and not any(is_twin(x) for x in viewer.layers)
    assert len(viewer.layers) == 4


def test_deleting_everything_at_once(viewer, comparison, qtbot):
    viewer.layers.select_all()
    viewer.layers.remove_selected()
    qtbot.waitUntil(lambda: comparison.shown is None)
    assert len(viewer.layers) == 0


def test_napari_s_own_grid_button_changes_the_mode(viewer, comparison, qtbot):
    viewer.canvas.grid.enabled = False
    settle(qtbot, comparison)
    assert comparison.mode == "contour"
    viewer.canvas.grid.enabled = True
    settle(qtbot, comparison)
    assert comparison.mode == "side"
    check_apart(viewer, comparison)


def test_another_result_takes_over(viewer, comparison, result, qtbot):
    other = add_result(viewer, make_scan(stem="other"))
    with qtbot.waitSignal(comparison.settled, timeout=10000):
        comparison.open(other)
    check_apart(viewer, comparison)
    assert not result.rendered.visible and not result.scan.visible
    comparison.close()
    assert result.rendered.visible and result.scan.visible


@pytest.mark.parametrize("active", ["scan", "coarse", "points", "shapes"])
def test_keys_work_whichever_layer_is_selected(viewer, comparison, result, active, qtbot):
    unbind = keys.bind(viewer, comparison)
    if active == "shapes":
        layer = viewer.add_shapes(ndim=3)
        settle(qtbot, comparison)
    else:
        layer = getattr(result, active)
    viewer.layers.selection.active = layer
    canvas = viewer.window._qt_viewer._key_map_handler
    canvas.press_key(shortcuts.SWAP)
    assert comparison.swapped and comparison.titles.text == ("rendered", "coarse")
    left, right = cells(viewer)
    assert result.rendered in left and result.coarse in right
    canvas.release_key(shortcuts.SWAP)
    qtbot.waitUntil(lambda: not comparison.swapped)
    check_apart(viewer, comparison)
    canvas.press_key(shortcuts.POINTS)
    assert not result.points.visible
    canvas.press_key(shortcuts.MODE)
    assert comparison.mode == "contour"
    settle(qtbot, comparison)
    canvas.press_key(shortcuts.SWAP)
    assert result.coarse.contour == 0 and result.rendered.contour == 1
    canvas.release_key(shortcuts.SWAP)
    qtbot.waitUntil(lambda: result.coarse.contour == 1)
    unbind()
    assert not viewer.keymap


def test_our_keys_are_nobody_else_s(viewer):
    from napari import layers
    from napari.utils.key_bindings import coerce_keybinding

    for kind in (layers.Image, layers.Labels, layers.Points, layers.Shapes, layers.Vectors, layers.Tracks):
        taken = {str(key) for key in kind.class_keymap}
        for key in (shortcuts.SWAP, shortcuts.MODE, shortcuts.POINTS):
            assert str(coerce_keybinding(key)) not in taken, (kind, key)
    for key in (shortcuts.SWAP, shortcuts.MODE, shortcuts.POINTS):
        assert coerce_keybinding(key) not in type(viewer).class_keymap


def test_points_take_colour_and_size_in_both_cells(viewer, comparison, result):
    twin = next(x for x in viewer.layers if is_twin(x) and carrier_of(x).role == "points")
    comparison.colour("changed")
    assert len(np.unique(result.points.face_color, axis=0)) == 2
    np.testing.assert_allclose(result.points.face_color, twin.face_color)
    comparison.size(1.2)
    assert set(result.points.size) == set(twin.size) == {1.2}
    comparison.show_points(False)
    assert not result.points.visible and not twin.visible


def test_letters_follow_the_axes_and_vanish(viewer, scan):
    before = viewer.canvas.overlays.scale_bar.visible
    add_scan(viewer, scan)
    letters = Letters(viewer)
    letters.show(scan)
    assert letters.text == {"top_center": "A", "bottom_center": "P", "middle_left": "R", "middle_right": "L"}
    viewer.dims.order = (1, 0, 2)
    assert letters.text == {"top_center": "S", "bottom_center": "I", "middle_left": "R", "middle_right": "L"}
    viewer.dims.order = (2, 0, 1)
    assert letters.text == {"top_center": "S", "bottom_center": "I", "middle_left": "A", "middle_right": "P"}
    viewer.dims.ndisplay = 3
    assert letters.text == {}
    viewer.dims.ndisplay = 2
    from dataclasses import replace

    letters.show(replace(scan, orientation_known=False))
    assert letters.text == {}
    letters.close()
    assert viewer.canvas.overlays.scale_bar.visible == before
    assert not [name for name in viewer.canvas.overlays if name.startswith("morse")]


def test_a_held_key_that_repeats_does_not_flicker(viewer, comparison, result, qtbot):
    unbind = keys.bind(viewer, comparison)
    canvas = viewer.window._qt_viewer._key_map_handler
    seen = []
    comparison.settled.connect(lambda: seen.append(comparison.swapped))
    for _ in range(3):  # what X11 makes of a key that is held
        canvas.press_key(shortcuts.SWAP)
        canvas.release_key(shortcuts.SWAP)
    canvas.press_key(shortcuts.SWAP)
    qtbot.wait(3 * keys.LET_GO)
    assert comparison.swapped and seen == [True]
    canvas.release_key(shortcuts.SWAP)
    qtbot.waitUntil(lambda: not comparison.swapped)
    unbind()
