"""Three planes: each voxel at its place in mm, with the right letters, and a click leads the main view there."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_morse.types import Roi
from napari_morse.widgets.bridge import display_axes
from napari_morse.widgets.view.plane_pane import PlanePane
from napari_morse.widgets.view.planes import FILL, HIDDEN, LINES
from tests.fakes import make_scan
from tests.widgets.conftest import add_scan
from tests.widgets.hands import oblique_scan
from tests.widgets.plane_hands import (
    CTRL,
    MARKED,
    MOVE,
    NONE,
    PRESS,
    RELEASE,
    SHAPE,
    axes_but,
    go,
    grabbed,
    marked_scan,
    mm_of,
    mouse,
    settled,
    wheel,
)
from tests.widgets.segment.test_result_box import run_through

SIDES = {0: ("A", "P", "R", "L"), 1: ("S", "I", "R", "L"), 2: ("S", "I", "A", "P")}
CODES = ("RAS", "LPI", "PSR", "SLA", "AIL", "IRP")
"""Every axis is stored first, second and third, forward and backward."""
RED = 0xFFFF0000


@pytest.fixture
def scene(viewer, dock, qtbot):
    scan, _ = oblique_scan()
    add_scan(viewer, scan)
    dock.show_planes()
    qtbot.waitUntil(lambda: dock.planes.panes[2].content is not None)
    return scan, dock.planes


# Where a voxel is


@pytest.mark.parametrize("codes", CODES)
def test_a_voxel_at_known_mm_is_at_its_pixel_in_every_plane_whatever_way_it_is_stored(viewer, dock, qtbot, codes):
    scan = marked_scan(codes)
    layer = add_scan(viewer, scan)
    layer.contrast_limits, layer.colormap = (0, 1000), "red"  # no letter and no crosshair is red
    dock.show_planes()
    planes = dock.planes
    settled(planes, qtbot)
    right, front, up = mm_of(scan, MARKED)
    viewer.dims.set_point((0, 1, 2), (-up, -front, -right))  # the viewer's world: downward, to posterior, to the left
    settled(planes, qtbot, tuple(int(v) for v in display_axes(scan).index_to_view(np.array([MARKED]))[0]))
    centre = mm_of(scan, (np.array(SHAPE) - 1) / 2)
    size = np.abs(scan.grid.affine[:3, :3]) @ SHAPE  # mm along R, A, S
    voxel_mm = np.abs(scan.grid.affine[:3, :3]).sum(axis=1)
    offset = np.array([right, front, up]) - centre
    for across, pane in enumerate(planes.panes):
        assert pane.content.letters == SIDES[across]
        down, to_right = {0: (1, 0), 1: (2, 0), 2: (2, 1)}[across]  # which of R, A, S
        scale = min(pane.height() / size[down], pane.width() / size[to_right])  # pixels a mm
        wanted = (pane.height() / 2 - offset[down] * scale, pane.width() / 2 - offset[to_right] * scale)
        red = np.argwhere(grabbed(pane) == RED)
        assert len(red) == pytest.approx(voxel_mm[down] * voxel_mm[to_right] * scale**2, rel=0.35)
        np.testing.assert_allclose(red.mean(axis=0) + 0.5, wanted, atol=1.0)
    said = f"crosshair: voxel 3, 19, 10; {right:.1f}, {front:.1f}, {up:.1f} mm RAS; value 1000"
    assert planes.place.whole == said
    # From elsewhere, a click into the voxel leads there, to the mm.
    go(planes, qtbot, (0, 0, 0))
    for across in (1, 2, 0):
        pane, there = planes.panes[across], display_axes(scan).index_to_view(np.array([MARKED]))[0]
        down, to_right = pane.shown.frame.pixel(*(there[a] for a in axes_but(across)))
        qtbot.mouseClick(pane, Qt.MouseButton.LeftButton, pos=QPoint(int(to_right), int(down)))
        settled(planes, qtbot)
    np.testing.assert_allclose(viewer.dims.point, (-up, -front, -right), atol=1e-3)


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@pytest.mark.parametrize("scan", [marked_scan("PIR", 12.0), marked_scan("ASL", 12.0, made_in_viewer=True)])
def test_of_an_oblique_scan_the_exact_mm_are_told_and_the_place_is_the_main_views(viewer, dock, qtbot, scan):
    layer = add_scan(viewer, scan)
    dock.show_planes()
    planes = dock.planes
    settled(planes, qtbot)
    voxel = tuple(int(v) for v in display_axes(scan).index_to_view(np.array([MARKED]))[0])
    go(planes, qtbot, voxel)
    # The main view's sliders step along the world's axes, not along those of a turned layer.
    np.testing.assert_allclose(layer.world_to_data(viewer.dims.point), voxel, atol=0.01 if scan.source else 0.49)
    x, y, z = mm_of(scan, MARKED)
    assert f"voxel 3, 19, 10; {x:.1f}, {y:.1f}, {z:.1f} mm" in planes.place.whole
    for across, pane in enumerate(planes.panes):
        rows, columns = axes_but(across)
        assert pane.content.pixels[voxel[rows], voxel[columns]] == 1000
        assert (pane.content.pixels == 0).sum() == pane.content.pixels.size - 1


# Hand and main view


def test_dragging_out_of_a_pane_stops_at_the_edge_of_the_scan(viewer, scene, qtbot):
    _, planes = scene
    pane = planes.panes[0]
    left = Qt.MouseButton.LeftButton
    mouse(pane, PRESS, pane.shown.frame.pixel(3, 3), left, left)
    mouse(pane, MOVE, (-500, 9000), NONE, left)
    mouse(pane, RELEASE, (-500, 9000), left, NONE)
    assert planes.voxel[1:] == (0, pane.content.shape[1] - 1)
    mouse(pane, MOVE, pane.shown.frame.pixel(5, 5), NONE, NONE)
    assert planes.voxel[1] == 0  # nothing is dragged any more


def test_what_is_out_of_sight_in_the_main_view_is_brought_there(viewer, scene, qtbot):
    scan, planes = scene
    viewer.scene.camera.zoom *= 6
    low, _ = viewer.layers[0].extent.world
    viewer.scene.camera.center = (0.0, low[1], low[2])
    last = tuple(n - 1 for n in display_axes(scan).to_view(scan.data).shape)
    planes.over.go(last)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], viewer.layers[0].data_to_world(last)[1:], atol=1e-6)
    planes.over.go((last[0], last[1] - 1, last[2]))
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], viewer.layers[0].data_to_world(last)[1:], atol=1e-6)


def test_the_panes_follow_the_main_view_and_a_double_click_brings_a_plane_there(viewer, scene, qtbot):
    _, planes = scene
    go(planes, qtbot, (3, 4, 5))
    viewer.dims.ndisplay = 3
    settled(planes, qtbot)
    assert not any(pane.content.main for pane in planes.panes)
    pane = planes.panes[2]
    down, right = pane.shown.frame.pixel(3, 4)
    qtbot.mouseDClick(pane, Qt.MouseButton.LeftButton, pos=QPoint(round(right), round(down)))
    assert viewer.dims.order == (2, 0, 1) and viewer.dims.ndisplay == 2 and planes.voxel == (3, 4, 5)
    low, high = viewer.layers[0].extent.world
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], ((low + high) / 2)[:2], atol=1e-6)
    viewer.dims.set_point(2, viewer.layers[0].data_to_world((3, 4, 8))[2])
    settled(planes, qtbot, (3, 4, 8))
    assert planes.panes[2].content.main and not planes.panes[0].content.main
    wheel(planes.panes[1], planes.panes[1].shown.frame.pixel(3, 8), -2)
    assert planes.voxel == (3, 6, 8)
    wheel(planes.panes[1], planes.panes[1].shown.frame.pixel(3, 8), 99)
    assert planes.voxel == (3, 0, 8)  # no farther than the first slice


def test_keys_do_what_the_mouse_does_and_leave_the_rest_to_the_viewer(viewer, scene, qtbot):
    _, planes = scene
    go(planes, qtbot, (3, 4, 5))
    pane = planes.panes[0]
    for key, voxel in ((Qt.Key.Key_Down, (3, 5, 5)), (Qt.Key.Key_Left, (3, 5, 4)), (Qt.Key.Key_PageDown, (4, 5, 4))):
        qtbot.keyClick(pane, key)
        settled(planes, qtbot, voxel)
    qtbot.keyClick(pane, Qt.Key.Key_Plus, Qt.KeyboardModifier.ShiftModifier)
    assert pane.zoom == pytest.approx(1.25)
    qtbot.keyClick(pane, Qt.Key.Key_Home)
    assert pane.zoom == 1
    seen = []
    viewer.bind_key("F9", lambda _: seen.append("F9"))
    qtbot.keyClick(pane, Qt.Key.Key_F9)
    viewer.bind_key("F9", None)
    assert seen == ["F9"]
    qtbot.keyClick(planes.panes[1], Qt.Key.Key_Return)
    assert viewer.dims.order == (1, 0, 2)


# What of it is in view


def test_zoom_keeps_the_voxel_under_the_cursor_and_a_drag_takes_the_slice_along(viewer, scene, qtbot):
    _, planes = scene
    pane = planes.panes[1]
    at = pane.shown.frame.pixel(6, 9)
    wheel(pane, at, 9, CTRL)
    assert pane.zoom == pytest.approx(1.25**9)
    held = pane.shown.frame.exact(*at)
    wheel(pane, at, 3, CTRL)
    assert pane.shown.frame.exact(*at) == pytest.approx(held)
    before = pane.shown.frame.exact(*at)
    right = Qt.MouseButton.RightButton
    mouse(pane, PRESS, at, right, right)
    mouse(pane, MOVE, (at[0] + 12, at[1] - 17), NONE, right)
    mouse(pane, RELEASE, (at[0] + 12, at[1] - 17), right, NONE)
    assert pane.shown.frame.exact(at[0] + 12, at[1] - 17) == pytest.approx(before)
    mouse(pane, MOVE, (at[0], at[1]), NONE, NONE)
    assert pane.shown.frame.exact(at[0] + 12, at[1] - 17) == pytest.approx(before)
    wheel(pane, at, -99, CTRL)
    assert pane.zoom == 1 and planes.panes[0].zoom == 1


def test_the_crosshair_is_followed_unless_it_shall_not_be(viewer, scene, qtbot):
    _, planes = scene
    pane = planes.panes[0]
    go(planes, qtbot, (2, 2, 2))
    wheel(pane, pane.shown.frame.pixel(2, 2), 14, CTRL)
    assert pane.shown.frame.holds(2, 2) and not pane.shown.frame.holds(20, 20)
    go(planes, qtbot, (2, 20, 20))
    assert pane.shown.frame.holds(20, 20)
    planes.follow.click()
    go(planes, qtbot, (2, 2, 2))
    assert not pane.shown.frame.holds(2, 2)
    planes.fit.click()
    assert pane.zoom == 1 and pane.shown.frame.holds(2, 2)


def test_what_is_under_the_cursor_is_told_and_then_the_crosshair_again(viewer, scene, qtbot):
    scan, planes = scene
    go(planes, qtbot, (3, 4, 5))
    pane = planes.panes[2]
    mouse(pane, MOVE, pane.shown.frame.pixel(10, 12), NONE, NONE)
    stored = tuple(int(v) for v in display_axes(scan).index_to_storage(np.array([(10, 12, 5)]))[0])
    x, y, z = mm_of(scan, stored)
    i, j, k = stored
    wanted = f"cursor: voxel {i}, {j}, {k}; {x:.1f}, {y:.1f}, {z:.1f} mm RAS; value {scan.data[stored]:.5g}"
    qtbot.waitUntil(lambda: planes.place.whole == wanted)
    assert planes.voxel == (3, 4, 5)
    mouse(pane, MOVE, (1, 1), NONE, NONE)  # beside the slice
    qtbot.waitUntil(lambda: planes.place.whole.startswith("crosshair"))


# What is drawn


def test_masks_and_frames_are_drawn_where_they_are(viewer, dock, scene, qtbot):
    scan, planes = scene
    dock.active_case.begin()
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    box = Roi((3, 4, 5), (6, 8, 10))
    dock.active_case.apply(box, np.ones(box.shape, np.uint8), "scratch")
    planes.frame(box)
    there = display_axes(scan).roi_to_view(box)
    go(planes, qtbot, there.start)
    qtbot.waitUntil(lambda: bool(planes.panes[1].content.frames))
    for across, pane in enumerate(planes.panes):
        (mask,) = pane.content.outlines
        rows, columns = axes_but(across)
        wanted = np.zeros(pane.content.pixels.shape, bool)
        wanted[there.slices[rows], there.slices[columns]] = True
        np.testing.assert_array_equal(mask.labels == 1, wanted)
        assert pane.content.frames == ((there.slices[rows], there.slices[columns]),)
        pink = np.argwhere(grabbed(pane) == 0xFFFF00FF)
        top, left = pane.shown.frame.pixel(there.start[rows] - 0.5, there.start[columns] - 0.5)
        bottom, right = pane.shown.frame.pixel(there.stop[rows] - 0.5, there.stop[columns] - 0.5)
        np.testing.assert_allclose(pink.min(axis=0), (top - 3, left - 3), atol=1.6)
        np.testing.assert_allclose(pink.max(axis=0), (bottom + 2, right + 2), atol=1.6)
    planes.over.go(tuple(x - 1 for x in there.start))
    qtbot.waitUntil(lambda: not any(pane.content.frames for pane in planes.panes))


def test_masks_have_the_colours_of_their_layer_and_are_lines_filled_or_hidden(viewer, dock, scene, qtbot):
    scan, planes = scene
    dock.active_case.begin()
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    dock.active_case.apply(Roi((0, 0, 0), scan.grid.shape), np.ones(scan.grid.shape, np.uint8), "scratch")
    layer, pane = dock.active_case.corrected.layer, planes.panes[0]
    go(planes, qtbot, (5, 5, 5))
    viewer.layers[0].contrast_limits = (5000, 6000)  # the scan is black
    qtbot.waitUntil(lambda: pane.content.limits == (5000, 6000))
    down, right = (int(x) for x in pane.shown.frame.pixel(20, 2))
    edge = int(pane.shown.frame.pixel(20, -0.5)[1]) + 1
    rgb = [round(255 * float(x)) for x in layer.get_color(1)[:3]]
    number = 0xFF000000 | rgb[0] << 16 | rgb[1] << 8 | rgb[2]
    assert planes.masks.currentText() == LINES
    qtbot.waitUntil(lambda: grabbed(pane)[down, edge] == number)
    assert grabbed(pane)[down, right] == 0xFF000000
    planes.masks.setCurrentText(FILL)
    tinted = [round(0.4 * x) for x in rgb]
    qtbot.waitUntil(lambda: grabbed(pane)[down, right] != 0xFF000000)
    shown = int(grabbed(pane)[down, right])
    assert [shown >> s & 0xFF for s in (16, 8, 0)] == pytest.approx(tinted, abs=2)
    planes.masks.setCurrentText(HIDDEN)
    qtbot.waitUntil(lambda: grabbed(pane)[down, edge] == 0xFF000000)
    planes.masks.setCurrentText(LINES)
    from napari.utils.colormaps import DirectLabelColormap

    layer.colormap = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: "#ff0000"})
    qtbot.waitUntil(lambda: grabbed(pane)[down, edge] == RED)
    assert planes.legend.entries[1].colour == RED


def test_coarse_and_rendered_mask_are_shown_until_one_is_corrected(viewer, dock, qtbot):
    dock.comparison.mode = "contour"
    scan = make_scan()
    add_scan(viewer, scan)
    run_through(qtbot, dock)
    dock.show_planes()
    planes, result, axes = dock.planes, dock.session.result, display_axes(scan)
    qtbot.waitUntil(lambda: planes.panes[0].content is not None and len(planes.panes[0].content.outlines) == 2)
    voxel = tuple(n // 2 for n in axes.to_view(scan.data).shape)
    go(planes, qtbot, voxel)
    for across, pane in enumerate(planes.panes):
        for outline, mask, style in zip(
            pane.content.outlines, (result.coarse, result.rendered), ("dotted", "solid"), strict=True
        ):
            np.testing.assert_array_equal(outline.labels, np.take(axes.to_view(mask.data), voxel[across], axis=across))
            assert outline.style == style and outline.labels.any()
    dock.active_case.begin()
    qtbot.waitUntil(lambda: [e.text for e in planes.legend.entries][:2] == ["coarse", "corrected"])
    box = Roi((0, 0, 0), scan.grid.shape)
    dock.active_case.apply(box, np.zeros(scan.grid.shape, np.uint8), "scratch")
    qtbot.waitUntil(lambda: not planes.panes[0].content.outlines[1].labels.any())
    assert planes.panes[0].content.outlines[0].labels.any()


def test_only_planes_that_an_act_crosses_are_painted_again_and_once_a_turn(viewer, dock, scene, qtbot, monkeypatch):
    scan, planes = scene
    dock.active_case.begin()
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    go(planes, qtbot, (5, 6, 7))
    qtbot.waitUntil(lambda: len(planes.panes[0].content.outlines) == 1)
    qtbot.wait(50)
    counts, paint = Counter(), PlanePane.paintEvent
    monkeypatch.setattr(PlanePane, "paintEvent", lambda pane, event: counts.update([pane]) or paint(pane, event))
    there = Roi((5, 10, 10), (6, 14, 15))  # display order: the axial plane alone goes through it
    box = display_axes(scan).roi_to_storage(there)
    dock.active_case.apply(box, np.ones(box.shape, np.uint8), "scratch")
    qtbot.waitUntil(lambda: planes.panes[0].content.outlines[0].labels.sum() == 20)
    qtbot.wait(50)
    assert [counts[pane] for pane in planes.panes] == [1, 0, 0]
    dock.active_case.corrected.undo()
    qtbot.waitUntil(lambda: not planes.panes[0].content.outlines[0].labels.any())
    qtbot.wait(50)
    assert [counts[pane] for pane in planes.panes] == [2, 0, 0]
    for index in range(6, 12):
        planes.over.go((5, index, 7))
    settled(planes, qtbot, (5, 11, 7))
    qtbot.wait(50)
    assert [counts[pane] for pane in planes.panes] == [3, 1, 1]


def test_contrast_gamma_and_colours_of_the_scan_are_followed(viewer, scene, qtbot):
    scan, planes = scene
    layer, pane = viewer.layers[0], planes.panes[0]
    middle = tuple(n // 2 for n in display_axes(scan).to_view(scan.data).shape)
    go(planes, qtbot, middle)
    at = [int(x) for x in pane.shown.frame.pixel(middle[1], middle[2])]
    value = float(pane.content.pixels[middle[1:]])
    layer.contrast_limits = (value - 100, value + 100)
    qtbot.waitUntil(lambda: abs(int(grabbed(pane)[at[0], at[1]] & 0xFF) - 128) <= 1)
    layer.gamma = 2.0
    qtbot.waitUntil(lambda: abs(int(grabbed(pane)[at[0], at[1]] & 0xFF) - 64) <= 2)
    layer.colormap = "red"
    qtbot.waitUntil(lambda: grabbed(pane)[at[0], at[1]] & 0xFF == 0)


# Nobody looks, and the end


def test_hidden_it_does_no_work_and_holds_no_scan(viewer, scene, qtbot):
    _, planes = scene
    go(planes, qtbot, (3, 4, 5))
    planes.parentWidget().hide()
    looks = len(viewer.layers[0].events.contrast_limits.callbacks)
    planes.over.go((6, 6, 6))
    planes.frame(Roi((0, 0, 0), (4, 4, 4)))
    qtbot.wait(50)
    assert all(pane.content is None for pane in planes.panes) and not planes._soon.isActive()
    assert not any(slices._kept for slices in planes._slices)
    planes.parentWidget().show()
    settled(planes, qtbot, (6, 6, 6))
    assert len(viewer.layers[0].events.contrast_limits.callbacks) == looks + 1
