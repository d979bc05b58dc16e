"""Drawing where the corrected mask has no voxels, beside a scan that goes further: nothing changes, and it is said."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_morse.types import Grid, Roi, Scan
from napari_morse.widgets.bridge import display_axes
from napari_morse.widgets.correct.tools_box import SLICE
from tests.fakes import make_scan
from tests.widgets.conftest import add_scan
from tests.widgets.hands import RIGHT, CanvasMouse, begin
from tests.widgets.segment.test_dock_run import messages

SHAPE, SPACING, HOLE = (12, 14, 10), (1.0, 1.5, 2.0), (6, 7, 5)
OUTSIDE = "lies outside"
WAYS = ("brush", "eraser", "bucket", "polygon", "polygon by key", "loop", "ball", "wire")


def longer(scan, spacing=1.0, more=9):
    """A scan that goes further than ``scan`` at all six sides, in steps of its own."""
    far = scan.grid.affine @ np.array([*(n - 1 for n in scan.grid.shape), 1.0])
    near = scan.grid.affine @ np.array([0.0, 0.0, 0.0, 1.0])
    low, high = np.minimum(near, far)[:3] - more, np.maximum(near, far)[:3] + more
    shape = tuple(int(n) for n in np.ceil((high - low) / spacing) + 1)
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    affine[:3, 3] = (high[0], high[1], low[2])
    return Scan(np.zeros(shape, np.float32), Grid(shape, affine), "longer")


@pytest.fixture
def scene(viewer, dock, qtbot):
    """A mask that is 2 everywhere, label 1 in hand, and a longer scan behind it."""
    scan = make_scan(SHAPE, SPACING)
    corrected = begin(viewer, dock, scan, qtbot)
    dock.active_case.apply(Roi((0, 0, 0), SHAPE), np.full(SHAPE, 2, np.uint8), "start")
    first = dock.segment.scans.layer
    add_scan(viewer, longer(scan))
    dock.segment.scans.combo.setCurrentIndex(dock.segment.scans.combo.findData(first))  # which comes into view again
    viewer.layers.selection.active = corrected.layer
    return scan, corrected


def turn(viewer, axis):
    """Slices across an axis; the other two as rolling or transposing leaves them."""
    viewer.dims.order = {0: (0, 2, 1), 1: (1, 2, 0), 2: (2, 0, 1)}[axis]
    viewer.reset_view()
    QApplication.processEvents()


def go(viewer, corrected, axis, index):
    """To where the layer's slice of an index is, or would be."""
    voxel = [(n - 1) / 2 for n in corrected.layer.data.shape]
    voxel[axis] = index
    viewer.dims.set_point(axis, float(corrected.layer.data_to_world(voxel)[axis]))


def place(viewer, corrected, down=0.0, right=0.0):
    """World place in the slice in view, from the mask's middle, in shares of its sides."""
    layer, shown = corrected.layer, viewer.dims.displayed
    voxel = [(n - 1) / 2 for n in layer.data.shape]
    for axis, share in zip(shown, (down, right), strict=True):
        voxel[axis] += share * layer.data.shape[axis]
    world = list(layer.data_to_world(voxel))
    for axis in viewer.dims.not_displayed:
        world[axis] = viewer.dims.point[axis]
    return world


def draw(viewer, dock, corrected, qtbot, way, mouse):
    """With napari's tools and ours, as a person's hand does it."""
    layer = corrected.layer
    at = lambda down, right: place(viewer, corrected, down, right)  # noqa: E731
    square = [at(-0.2, -0.2), at(-0.2, 0.2), at(0.2, 0.2), at(0.2, -0.2)]
    canvas = viewer.window._qt_viewer.canvas.native
    dock.correct.take({"eraser": "erase", "bucket": "fill"}.get(way, way.split()[0] if "polygon" in way else "paint"))
    layer.brush_size = 1 if way == "loop" else 3
    layer.n_edit_dimensions = 3 if way == "ball" else 2
    if way in ("brush", "eraser", "ball"):
        mouse.drag(at(0, 0), at(0.1, 0.1), at(0.2, 0))
    elif way == "bucket":
        mouse.click(at(0, 0))
    elif "polygon" in way:
        for world in square[:3]:
            mouse.click(world)
        if way == "polygon":
            mouse.double(square[3])
        else:
            qtbot.keyClick(canvas, Qt.Key.Key_Return)
        layer._overlays["polygon"].points = []
    elif way == "loop":
        mouse.click(square[0], RIGHT)
        for world in (*square[1:], square[0]):
            mouse.move(world)
        qtbot.waitUntil(lambda: mouse.move(square[0]) or not layer._overlays["brush_stroke"].active)
    else:
        dock.wire.start()
        qtbot.wait(50)
        for world in square:
            mouse.click(world)
        qtbot.keyClick(canvas, Qt.Key.Key_Return)
        dock.wire.leave()
    layer.n_edit_dimensions = 2


def kept(dock, corrected):
    """All that a stroke changes: what is shown, what is kept, what is on the disk."""
    files = {path.name: path.read_bytes() for path in dock.active_case.folder.iterdir() if path.is_file()}
    files.pop("lock.json")
    return np.array(corrected.layer.data).tobytes(), corrected.corrections.mask.tobytes(), files


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_nothing_changes_in_a_slice_outside_whatever_one_draws_with(viewer, dock, scene, qtbot, axis):
    _, corrected = scene
    turn(viewer, axis)
    mouse, length = CanvasMouse(viewer), corrected.layer.data.shape[axis]
    before, acts, told = kept(dock, corrected), corrected.corrections.undoable, []
    dock.wire.said.connect(told.append)
    for index in (-1, 2 - length, length):
        for way in WAYS if index != -1 else ("brush", "polygon"):
            go(viewer, corrected, axis, index)
            said = len(messages())
            dock.correct.note.say("")
            told.clear()
            draw(viewer, dock, corrected, qtbot, way, mouse)
            corrected.compare()
            assert kept(dock, corrected) == before, (way, index)
            if way == "wire":
                assert "go to a slice of the scan" in told[0]
            else:
                assert [OUTSIDE in text for text in messages()[said:]] == [True], (way, index)
                assert OUTSIDE in dock.correct.note.text()
    assert corrected.corrections.undoable == acts
    corrected.undo()
    assert not corrected.layer.data.any()
    corrected.redo()
    assert kept(dock, corrected)[:2] == before[:2]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_is_in_view_is_what_is_drawn_on_up_to_half_a_voxel_at_both_ends(viewer, dock, scene, qtbot, axis):
    _, corrected = scene
    turn(viewer, axis)
    mouse, layer = CanvasMouse(viewer), corrected.layer
    last = layer.data.shape[axis] - 1
    for index in (-0.51, -0.5, 0.5, 3.75, last + 0.5, last + 0.51):
        for way in ("brush", "bucket", "polygon", "ball"):
            go(viewer, corrected, axis, index)
            inside = not layer._slice.empty
            seen = round(float(layer._data_slice.point[axis]))
            draw(viewer, dock, corrected, qtbot, way, mouse)
            changed = np.flatnonzero((layer.data == 1).any(axis=tuple(a for a in range(3) if a != axis)))
            reach = range(max(0, seen - 1), min(last, seen + 1) + 1) if way == "ball" else [seen]
            assert inside == (0 <= seen <= last)
            assert set(changed) <= set(reach) and (seen in changed) == inside, (way, index, changed)
            if len(changed):
                corrected.undo()
            assert (layer.data == 2).all()


def test_a_stroke_that_leaves_the_mask_in_its_plane_keeps_what_was_inside(viewer, dock, scene, qtbot):
    _, corrected = scene
    turn(viewer, 0)
    mouse = CanvasMouse(viewer)
    go(viewer, corrected, 0, 4)
    dock.correct.take("paint")
    said = len(messages())
    mouse.drag(place(viewer, corrected), place(viewer, corrected, 0, 0.4), place(viewer, corrected, 0, 0.8))
    drawn = np.argwhere(corrected.layer.data == 1)
    right = viewer.dims.displayed[1]
    assert set(drawn[:, 0]) == {4} and drawn[:, right].max() == corrected.layer.data.shape[right] - 1
    assert corrected.corrections.undoable == 2 and len(messages()) == said
    corrected.undo()
    assert (corrected.layer.data == 2).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_tools_for_this_slice_change_nothing_where_there_is_none(viewer, dock, scene, qtbot, axis):
    scan, corrected = scene
    holed = np.full(SHAPE, 1, np.uint8)
    holed[HOLE] = 0
    dock.active_case.apply(Roi((0, 0, 0), SHAPE), holed, "start")
    turn(viewer, axis)
    go(viewer, corrected, axis, -2)
    tools = dock.tools
    tools.scope.setCurrentText(SLICE)
    for ndisplay in (2, 3):
        viewer.dims.ndisplay = ndisplay
        for button in (tools.holes, tools.islands, tools.bigger, tools.smaller, tools.interpolate):
            tools.note.say("")
            qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
            qtbot.waitUntil(lambda: not dock.active_case.runner.busy)
            np.testing.assert_array_equal(corrected.corrections.mask, holed)
            assert "slice of the scan" in tools.note.text()
    viewer.dims.ndisplay = 2
    turn(viewer, axis)
    go(viewer, corrected, axis, display_axes(scan).index_to_view(np.array([HOLE]))[0][axis])
    qtbot.mouseClick(tools.holes, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(corrected.corrections.mask.all()))


def test_nothing_changes_outside_beside_a_series_of_volumes_either(viewer, dock, scene, qtbot):
    _, corrected = scene
    first = dock.segment.scans.layer
    viewer.add_image(np.zeros((3, 40, 30, 30), np.float32), scale=(1, 2, 1.5, 1), translate=(0, -25, -30, -40))
    dock.segment.scans.combo.setCurrentIndex(dock.segment.scans.combo.findData(first))
    viewer.layers.selection.active = corrected.layer
    viewer.reset_view()
    QApplication.processEvents()
    before, mouse = kept(dock, corrected), CanvasMouse(viewer)
    dock.correct.take("paint")
    voxel = [-2, 7, 6]
    for time in (0, 2):
        viewer.dims.set_point((0, 1), (time, float(corrected.layer.data_to_world(voxel)[0])))
        assert corrected.layer._slice.empty
        mouse.drag((time, *corrected.layer.data_to_world(voxel)), (time, *corrected.layer.data_to_world((-2, 8, 8))))
        assert kept(dock, corrected) == before and OUTSIDE in messages()[-1]
    viewer.dims.set_point((0, 1), (2, float(corrected.layer.data_to_world((3, 7, 6))[0])))
    mouse.drag((2, *corrected.layer.data_to_world((3, 7, 6))), (2, *corrected.layer.data_to_world((3, 8, 6))))
    assert set(np.argwhere(corrected.layer.data == 1)[:, 0]) == {3}


def test_other_labels_layers_draw_as_napari_has_it(viewer, dock, scene, qtbot):
    _, corrected = scene
    other = viewer.add_labels(np.zeros_like(corrected.layer.data), scale=corrected.layer.scale)
    other.paint((-2, 5, 5), 3)
    assert (other.data[-2] == 3).any()
    assert "paint" not in vars(other) and Labels.paint is type(corrected.layer).paint
    layer = corrected.layer
    dock.active_case._standalone.put_all_away()
    assert not {"paint", "fill", "paint_polygon"} & set(vars(layer))
