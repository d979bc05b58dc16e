"""The live wire on the canvas: in every plane, on the right voxels, one act."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Points
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks
from napari.utils.key_bindings import coerce_keybinding

from napari_morse.types import Grid, Roi, Scan
from napari_morse.widgets.bridge import display_axes
from napari_morse.widgets.correct.live_wire import WIRE_GONE
from napari_morse.widgets.correct.wire_drawing import WIRE_HINT
from tests.fakes import make_scan
from tests.widgets.conftest import add_scan
from tests.widgets.hands import Mouse, begin, oblique_scan

CENTRE = (17, 9, 13)
"""Storage voxel in the middle of the ball: in no axis the middle of the scan, so that nothing turned around fits."""


def lopsided_scan():
    """As `oblique_scan`, with the ball around `CENTRE`, and how far each voxel is from it in mm."""
    scan, _ = oblique_scan()
    away = np.indices(scan.grid.shape) - np.array(CENTRE).reshape(3, 1, 1, 1)
    far = np.linalg.norm(np.einsum("ij,j...->i...", scan.grid.affine[:3, :3], away), axis=0)
    data = 100.0 * (far < 9) + np.random.default_rng(0).normal(0, 4, scan.grid.shape)
    return Scan(data.astype(np.float32), scan.grid, "lopsided"), far


@pytest.fixture
def scene(viewer, dock, qtbot):
    scan, far = lopsided_scan()
    corrected = begin(viewer, dock, scan, qtbot)
    return scan, far, corrected, Mouse(viewer, corrected.layer)


def on(dock, qtbot):
    dock.wire.start()
    qtbot.waitUntil(lambda: dock.wire.drawn.contour is not None)


def rim(viewer, dock, corrected, radius=9.0, count=6):
    """Display voxels on the ball's rim in the slice in view."""
    plane = dock.wire.drawn.plane
    middle = np.array(plane.pixel(display_axes(dock.active_case.scan).index_to_view(np.array([CENTRE]))[0]))
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    steps = [radius * np.array([np.sin(a), np.cos(a)]) / plane.spacing(dock.active_case.scan) for a in angles]
    return plane.places(np.rint([middle + step for step in steps]))


def seen_at(viewer, cell, layer):
    """Display voxels (float) over which the nodes of a cell are drawn, by the canvas's own way from pixels to world."""
    canvas = viewer.window._qt_viewer.canvas
    drawn = cell.nodes.get_transform("visual", "canvas").map(cell.nodes._data["a_position"])
    found = []
    for x, y in drawn[:, :2] / drawn[:, 3:]:
        view, _ = canvas._get_viewbox_at((x, y))
        found.append(layer.world_to_data(canvas._map_canvas2world((x, y), view)))
    return np.array(found)


def drawn(dock):
    """How many nodes are seen in each cell."""
    return [len(cell.nodes._data) if cell.nodes.visible else 0 for cell in dock.wire.line.cells]


def press(viewer, dock, name):
    """A key, as the canvas finds what it does."""
    handler = viewer.window._qt_viewer.canvas._key_map_handler
    handler.press_key(coerce_keybinding(name))
    handler.release_key(coerce_keybinding(name))


def mouse_callbacks(viewer):
    """Who hears of the mouse on the canvas."""
    return [
        list(callbacks)
        for callbacks in (viewer.mouse_drag_callbacks, viewer.mouse_move_callbacks, viewer.mouse_double_click_callbacks)
    ]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)])
def test_what_is_clicked_around_is_seen_there_and_filled_on_its_own_voxels_in_every_plane(
    viewer, dock, scene, qtbot, order
):
    scan, far, corrected, mouse = scene
    viewer.dims.order = order
    centre = display_axes(scan).index_to_view(np.array([CENTRE]))[0]
    for axis, x in enumerate(corrected.layer.data_to_world(centre)):
        viewer.dims.set_point(axis, float(x))
    on(dock, qtbot)
    nodes = rim(viewer, dock, corrected)
    for voxel in nodes:
        mouse.move(voxel)
        mouse.click(voxel)
    viewer.reset_view()
    qtbot.waitUntil(lambda: drawn(dock) == [len(nodes)])
    shown = [axis for axis in range(3) if axis != dock.wire.drawn.plane.across]
    seen = seen_at(viewer, dock.wire.line.cells[0], corrected.layer)
    np.testing.assert_allclose(seen[:, shown], nodes[:, shown], atol=0.02)
    press(viewer, dock, "Enter")
    mask = np.array(corrected.corrections.mask)
    axis = int(display_axes(scan).order[order[0]])
    truth = np.zeros(mask.shape, bool)
    at = [slice(None)] * 3
    at[axis] = CENTRE[axis]
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
    away = dock.wire.drawn.plane.places(np.array([[2.0, 3.0]]))[0]
    before = list(dock.wire.drawn.contour.nodes)
    mouse.drag(nodes[2], away)
    assert dock.wire.drawn.contour.nodes[2] == (2, 3)
    assert [n for k, n in enumerate(dock.wire.drawn.contour.nodes) if k != 2] == [
        n for k, n in enumerate(before) if k != 2
    ]
    mouse.double(nodes[5])
    assert corrected.corrections.undoable == 1 and not dock.wire.drawn.contour.nodes


def test_backspace_takes_nodes_back_and_escape_leaves_everything_as_it_was(viewer, dock, scene, qtbot):
    _, _, corrected, mouse = scene
    corrected.layer.mode = "paint"
    layers = list(viewer.layers)
    on(dock, qtbot)
    assert dock.correct.wire.isChecked() and str(corrected.layer.mode) == "pan_zoom"
    for voxel in rim(viewer, dock, corrected)[:3]:
        mouse.click(voxel)
    press(viewer, dock, "Backspace")
    assert len(dock.wire.drawn.contour.nodes) == 2
    press(viewer, dock, "Enter")
    assert not corrected.corrections.mask.any() and "three" in dock.correct.note.text()
    qtbot.waitUntil(lambda: len(dock.wire.line.cells) == 1)
    dock.wire.leave()
    assert not dock.wire.line.cells and dock.correct.note.text() == WIRE_GONE
    assert list(viewer.layers) == layers and str(corrected.layer.mode) == "paint"
    assert viewer.scene.camera.mouse_pan == corrected.layer.mouse_pan and not dock.correct.wire.isChecked()
    mouse.click(np.zeros(3))
    assert dock.wire.drawn.contour is None and not any(str(key) == "Escape" for key in viewer.keymap)


def test_another_slice_drops_the_wire_and_erasing_takes_only_the_structure(viewer, dock, scene, qtbot):
    _scan, _, corrected, mouse = scene
    on(dock, qtbot)
    for voxel in rim(viewer, dock, corrected):
        mouse.click(voxel)
    press(viewer, dock, "Enter")
    filled = np.array(corrected.corrections.mask)
    dock.active_case.label = 2
    for voxel in rim(viewer, dock, corrected, 4.0):
        mouse.click(voxel)
    press(viewer, dock, "Shift-Enter")
    np.testing.assert_array_equal(corrected.corrections.mask, filled)
    dock.active_case.label = 1
    for voxel in rim(viewer, dock, corrected, 4.0):
        mouse.click(voxel)
    press(viewer, dock, "Shift-Enter")
    assert 0 < (corrected.corrections.mask == 1).sum() < (filled == 1).sum()
    mouse.click(rim(viewer, dock, corrected)[0])
    assert dock.wire.drawn.contour.nodes
    viewer.dims.set_point(0, viewer.dims.point[0] + 1.5)
    qtbot.waitUntil(lambda: dock.wire.drawn.contour is not None and not dock.wire.drawn.contour.nodes)
    assert WIRE_HINT in dock.correct.note.text()
    dock.wire.leave()


def test_locked_structures_are_not_drawn_over(viewer, dock, scene, qtbot):
    _, _, corrected, mouse = scene
    shape = corrected.corrections.mask.shape
    half = np.zeros(shape, np.uint8)
    half[: shape[0] // 2] = 2
    dock.active_case.apply(Roi((0, 0, 0), shape), half, "scratch")
    dock.active_case.lock(2, True)
    on(dock, qtbot)
    for voxel in rim(viewer, dock, corrected):
        mouse.click(voxel)
    press(viewer, dock, "Enter")
    mask = corrected.corrections.mask
    np.testing.assert_array_equal(mask == 2, half == 2)
    assert (mask == 1).any() and "Protected" in dock.correct.note.text()


def test_side_by_side_the_wire_is_seen_in_both_cells(viewer, dock, engine, qtbot):
    scan = make_scan()
    add_scan(viewer, scan)
    engine.pace.set()
    dock.segment.run_bar.run.click()
    qtbot.waitUntil(lambda: viewer.canvas.grid.enabled, timeout=20000)
    dock.active_case.begin()
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    dock.active_case.label = 1
    on(dock, qtbot)
    layer, layers = dock.active_case.corrected.layer, len(viewer.layers)
    mouse, nodes = Mouse(viewer, layer), dock.wire.drawn.plane.places(np.array([[3, 4], [12, 5], [9, 11]]))
    for voxel in nodes:
        mouse.click(voxel)
    qtbot.waitUntil(lambda: not dock.comparison.settling and drawn(dock) == [3, 3], timeout=20000)
    for cell in dock.wire.line.cells:
        np.testing.assert_allclose(seen_at(viewer, cell, layer)[:, 1:], nodes[:, 1:], atol=0.02)
    dock.comparison.mode = "contour"
    qtbot.waitUntil(lambda: not viewer.canvas.grid.enabled and drawn(dock) == [3], timeout=20000)
    cell = dock.wire.line.cells[0]
    np.testing.assert_allclose(seen_at(viewer, cell, layer)[:, 1:], nodes[:, 1:], atol=0.02)
    dock.wire.leave()
    assert all(part.parent is None for part in cell.parts) and len(viewer.layers) <= layers


def test_control_z_takes_nodes_back_first_and_then_what_was_filled(viewer, dock, scene, qtbot):
    _, _, corrected, mouse = scene
    keys = {target: dict(target.keymap) for target in (viewer, corrected.layer)}
    on(dock, qtbot)
    nodes = rim(viewer, dock, corrected)
    for voxel in nodes:
        mouse.click(voxel)
    press(viewer, dock, "Enter")
    filled = np.array(corrected.corrections.mask)
    assert filled.any()
    for voxel in rim(viewer, dock, corrected, 4.0)[:2]:
        mouse.click(voxel)
    for left in (1, 0):
        press(viewer, dock, "Control-Z")
        assert len(dock.wire.drawn.contour.nodes) == left
        np.testing.assert_array_equal(corrected.corrections.mask, filled)
    press(viewer, dock, "Control-Z")
    assert not corrected.corrections.mask.any()
    press(viewer, dock, "Escape")
    assert not dock.wire.active
    assert {target: dict(target.keymap) for target in keys} == keys
    press(viewer, dock, "Control-Shift-Z")
    np.testing.assert_array_equal(corrected.corrections.mask, filled)
    press(viewer, dock, "Control-Z")
    assert not corrected.corrections.mask.any()


def test_the_line_is_dragged_a_node_taken_away_and_a_click_on_the_first_fills(viewer, dock, scene, qtbot):
    _, _, corrected, mouse = scene
    on(dock, qtbot)
    contour = dock.wire.drawn.contour
    for voxel in rim(viewer, dock, corrected)[:3]:
        mouse.click(voxel)
    nodes, paths = list(contour.nodes), [path.copy() for path in contour.paths]
    middle, away = paths[0][len(paths[0]) // 2], (3, 5)
    mouse.drag(*dock.wire.drawn.plane.places(np.array([middle, away], float)))
    assert contour.nodes == [nodes[0], away, *nodes[1:]]
    np.testing.assert_array_equal(contour.paths[2], paths[1])
    there = dock.wire.drawn.plane.places(np.array([away], float))[0]
    event = mouse.event("mouse_press", there)
    event.__wrapped__.modifiers = ("Shift",)
    mouse_press_callbacks(viewer, event)
    mouse_release_callbacks(viewer, mouse.event("mouse_release", there))
    assert contour.nodes == nodes
    for old, new in zip(paths, contour.paths, strict=True):
        np.testing.assert_array_equal(old, new)
    last, first = rim(viewer, dock, corrected)[[4, 0]]
    mouse.drag(last, last + 0.1)  # a hand trembles: both are clicks
    assert len(contour.nodes) == 4 and not corrected.corrections.mask.any()
    mouse.drag(first, first + 0.1)
    assert corrected.corrections.mask.any() and not dock.wire.drawn.contour.nodes


def test_a_line_that_is_taken_back_while_it_is_held_is_not_dragged(viewer, dock, scene, qtbot):
    _, _, corrected, mouse = scene
    on(dock, qtbot)
    for voxel in rim(viewer, dock, corrected)[:3]:
        mouse.click(voxel)
    contour = dock.wire.drawn.contour
    nodes, path = list(contour.nodes), contour.paths[1]
    held, away = dock.wire.drawn.plane.places(np.array([path[len(path) // 2], (3, 5)], float))
    mouse_press_callbacks(viewer, mouse.event("mouse_press", held))
    press(viewer, dock, "Backspace")
    mouse_move_callbacks(viewer, mouse.event("mouse_move", away, dragging=True))
    mouse_release_callbacks(viewer, mouse.event("mouse_release", away))
    assert contour.nodes == [*nodes[:2], (3, 5)]
    for first, last, joined in zip(contour.nodes[:-1], contour.nodes[1:], contour.paths, strict=True):
        assert tuple(joined[0]) == first and tuple(joined[-1]) == last


def test_clicks_before_the_edges_are_found_are_kept(viewer, dock, scene, qtbot):
    _, _, corrected, mouse = scene
    dock.wire.start()
    nodes = rim(viewer, dock, corrected)
    for voxel in nodes[:4]:
        mouse.click(voxel)
    assert dock.wire.drawn.contour is None
    press(viewer, dock, "Backspace")
    qtbot.waitUntil(lambda: dock.wire.drawn.contour is not None)
    expected = [tuple(round(v) for v in dock.wire.drawn.plane.pixel(voxel)) for voxel in nodes[:3]]
    assert dock.wire.drawn.contour.nodes == expected


def test_a_picture_of_one_slice_is_filled_where_it_was_clicked(viewer, dock, qtbot):
    shape = (40, 52, 1)
    down, right = np.indices(shape[:2]) - np.array([16, 30]).reshape(2, 1, 1)  # not in the middle: a flip shows
    inside = np.hypot(down, right) < 9
    data = (100.0 * inside + np.random.default_rng(0).normal(0, 4, shape[:2])).astype(np.float32)[..., None]
    affine = np.zeros((4, 4))
    affine[0, 1], affine[1, 0], affine[2, 2], affine[3, 3] = -1.0, -1.0, 1.0, 1.0
    scan = Scan(data, Grid(shape, affine), "picture", is_picture=True, orientation_known=False, size_known=False)
    corrected = begin(viewer, dock, scan, qtbot)
    on(dock, qtbot)
    angles = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    stored = np.rint(np.stack([16 + 9 * np.sin(angles), 30 + 9 * np.cos(angles), 0 * angles], axis=1)).astype(int)
    mouse = Mouse(viewer, corrected.layer)
    for voxel in corrected._axes.index_to_view(stored):
        mouse.click(voxel.astype(float))
    press(viewer, dock, "Enter")
    found = corrected.corrections.mask[..., 0] == 1
    assert 2 * (found & inside).sum() / (found.sum() + inside.sum()) > 0.95


def test_the_view_does_not_move_and_another_tool_takes_the_mouse(viewer, dock, scene, qtbot):
    _, _, corrected, mouse = scene
    other = viewer.add_layer(Points(np.zeros((1, 3)), name="mine"))
    on(dock, qtbot)
    mouse.click(rim(viewer, dock, corrected)[0])
    viewer.layers.selection.active = other
    qtbot.wait(50)
    assert dock.wire.active and not viewer.scene.camera.mouse_pan
    other.selected_data = {0}
    press(viewer, dock, "Backspace")
    assert len(other.data) == 1 and not dock.wire.drawn.contour.nodes  # the wire's node went, not the point
    mouse.click(rim(viewer, dock, corrected)[0])
    viewer.layers.selection.active = corrected.layer
    other.mode = "add"
    viewer.layers.selection.active = other
    qtbot.waitUntil(lambda: not dock.wire.active)
    assert WIRE_GONE in dock.correct.note.text()
    assert viewer.scene.camera.mouse_pan == other.mouse_pan and not other.keymap


def test_another_scan_ends_it_and_without_a_canvas_it_does_not_begin(viewer, dock, scene, qtbot, monkeypatch):
    _, _, corrected, mouse = scene
    corrected.layer.mode = "paint"
    with monkeypatch.context() as patch:
        patch.setattr(type(dock.wire.line), "possible", property(lambda _: False))
        dock.wire.start()
    assert not dock.wire.active and str(corrected.layer.mode) == "paint" and not dock.correct.wire.isChecked()
    assert "polygon" in dock.correct.note.text()
    before = mouse_callbacks(viewer)
    on(dock, qtbot)
    assert mouse_callbacks(viewer) != before
    mouse.click(rim(viewer, dock, corrected)[0])
    qtbot.waitUntil(lambda: len(dock.wire.line.cells) == 1)
    cell = dock.wire.line.cells[0]
    said = []
    dock.wire.said.connect(said.append)
    layer = add_scan(viewer, make_scan(stem="other"))
    dock.segment.scans.combo.setCurrentIndex(dock.segment.scans.combo.findData(layer))
    qtbot.waitUntil(lambda: not dock.wire.active)
    assert any(WIRE_GONE in text for text in said) and all(part.parent is None for part in cell.parts)
    assert mouse_callbacks(viewer) == before
