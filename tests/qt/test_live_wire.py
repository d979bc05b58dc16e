"""The live wire on the canvas: in every plane, on the right voxels, one act."""

from __future__ import annotations

import numpy as np
import pytest

from napari_morse.widgets.layers import carrier_of
from napari_morse.widgets.live_wire import HINT
from tests.qt.hands import Mouse, begin, oblique_scan


@pytest.fixture
def scene(viewer, dock, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MORSE_CORRECTIONS", str(tmp_path / "loose"))
    scan, far = oblique_scan()
    corrected = begin(viewer, dock, scan, qtbot)
    return scan, far, corrected, Mouse(viewer, corrected.layer)


def on(dock, qtbot):
    dock.wire.start()
    qtbot.waitUntil(lambda: dock.wire.contour is not None)


def rim(viewer, dock, corrected, radius=9.0, count=6):
    """Display voxels on the ball's rim in the slice in view."""
    plane = dock.wire._plane
    spacing = plane.spacing(dock.desk.scan)
    middle = (np.array(plane.size) - 1) / 2
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    pixels = [middle + radius * np.array([np.sin(a), np.cos(a)]) / spacing for a in angles]
    return plane.places(np.rint(pixels))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)])
def test_what_is_clicked_around_is_filled_on_its_own_voxels_in_every_plane(viewer, dock, scene, qtbot, order):
    _scan, far, corrected, mouse = scene
    viewer.dims.order = order
    for axis in range(3):
        viewer.dims.set_point(
            axis, float(corrected.layer.data_to_world((np.array(corrected.layer.data.shape) - 1) // 2)[axis])
        )
    on(dock, qtbot)
    for voxel in rim(viewer, dock, corrected):
        mouse.move(voxel)
        mouse.click(voxel)
    dock.wire.fill()
    mask = np.array(corrected.corrections.mask)
    axis, index = dock.wire._plane.storage
    truth = np.zeros(mask.shape, bool)
    at = [slice(None)] * 3
    at[axis] = index
    truth[tuple(at)] = far[tuple(at)] < 9
    assert 2 * (truth & (mask == 1)).sum() / (truth.sum() + (mask == 1).sum()) > 0.95
    assert corrected.corrections.undoable == 1
    corrected.undo()
    assert not corrected.corrections.mask.any()


def test_a_node_is_dragged_and_a_double_click_fills(viewer, dock, scene, qtbot):
    _, _, corrected, mouse = scene
    on(dock, qtbot)
    nodes = rim(viewer, dock, corrected)
    for voxel in nodes[:5]:
        mouse.click(voxel)
    away = dock.wire._plane.places(np.array([[2.0, 3.0]]))[0]
    before = list(dock.wire.contour.nodes)
    mouse.drag(nodes[2], away)
    assert dock.wire.contour.nodes[2] == (2, 3)
    assert [n for k, n in enumerate(dock.wire.contour.nodes) if k != 2] == [n for k, n in enumerate(before) if k != 2]
    mouse.double(nodes[5])
    assert corrected.corrections.undoable == 1 and not dock.wire.contour.nodes


def test_backspace_takes_nodes_back_and_escape_leaves_everything_as_it_was(viewer, dock, scene, qtbot):
    _, _, corrected, mouse = scene
    corrected.layer.mode = "paint"
    layers = list(viewer.layers)
    on(dock, qtbot)
    assert dock.correct.wire.isChecked() and str(corrected.layer.mode) == "pan_zoom"
    for voxel in rim(viewer, dock, corrected)[:3]:
        mouse.click(voxel)
    dock.wire.take_back()
    assert len(dock.wire.contour.nodes) == 2
    dock.wire.fill()
    assert not corrected.corrections.mask.any() and "three" in dock.correct.note.text()
    qtbot.waitUntil(lambda: any(c.role == "tool" for x in viewer.layers if (c := carrier_of(x)) is not None))
    dock.wire.leave()
    assert list(viewer.layers) == layers and str(corrected.layer.mode) == "paint"
    assert viewer.scene.camera.mouse_pan == corrected.layer.mouse_pan and not dock.correct.wire.isChecked()
    mouse.click(np.zeros(3))
    assert dock.wire.contour is None and not any(str(key) == "Escape" for key in viewer.keymap)


def test_another_slice_drops_the_wire_and_erasing_takes_only_the_structure(viewer, dock, scene, qtbot):
    _scan, _, corrected, mouse = scene
    on(dock, qtbot)
    for voxel in rim(viewer, dock, corrected):
        mouse.click(voxel)
    dock.wire.fill()
    filled = np.array(corrected.corrections.mask)
    dock.desk.label = 2
    for voxel in rim(viewer, dock, corrected, 4.0):
        mouse.click(voxel)
    dock.wire.fill(erase=True)
    np.testing.assert_array_equal(corrected.corrections.mask, filled)
    dock.desk.label = 1
    for voxel in rim(viewer, dock, corrected, 4.0):
        mouse.click(voxel)
    dock.wire.fill(erase=True)
    assert 0 < (corrected.corrections.mask == 1).sum() < (filled == 1).sum()
    mouse.click(rim(viewer, dock, corrected)[0])
    assert dock.wire.contour.nodes
    viewer.dims.set_point(0, viewer.dims.point[0] + 1.5)
    qtbot.waitUntil(lambda: dock.wire.contour is not None and not dock.wire.contour.nodes)
    assert HINT in dock.correct.note.text()
    dock.wire.leave()


def test_locked_structures_are_not_drawn_over(viewer, dock, scene, qtbot):
    _, _, corrected, mouse = scene
    shape = corrected.corrections.mask.shape
    half = np.zeros(shape, np.uint8)
    half[: shape[0] // 2] = 2
    from napari_morse.types import Roi

    dock.desk.apply(Roi((0, 0, 0), shape), half, "scratch")
    dock.desk.lock(2, True)
    on(dock, qtbot)
    for voxel in rim(viewer, dock, corrected):
        mouse.click(voxel)
    dock.wire.fill()
    mask = corrected.corrections.mask
    np.testing.assert_array_equal(mask == 2, half == 2)
    assert (mask == 1).any() and "Protected" in dock.correct.note.text()
