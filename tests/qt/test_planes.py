"""Three planes: each voxel at its place in mm, with the right letters, and a click leads the main view there."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_morse.types import Roi
from napari_morse.widgets.layers import display_axes
from napari_morse.widgets.letters import OPPOSITE
from tests.fakes import make_scan
from tests.qt.conftest import add_scan
from tests.qt.hands import begin, oblique_scan

SIDES = {0: ("A", "P", "R", "L"), 1: ("S", "I", "R", "L"), 2: ("S", "I", "A", "P")}


@pytest.fixture
def scene(viewer, dock, qtbot):
    scan, _ = oblique_scan()
    add_scan(viewer, scan)
    dock.show_planes()
    qtbot.waitUntil(lambda: dock.planes.panes[2].content is not None)
    return scan, dock.planes


def world(scan, voxel):
    """RAS mm of a display voxel."""
    stored = display_axes(scan).index_back(np.array([voxel], float))[0]
    return scan.grid.affine[:3, :3] @ stored + scan.grid.affine[:3, 3]


def test_every_pane_shows_its_own_slice_with_its_letters_in_the_patients_directions(viewer, scene, qtbot):
    scan, planes = scene
    planes.go((5, 7, 9))
    qtbot.waitUntil(lambda: planes.panes[0].content.voxel == (7, 9))
    shown = display_axes(scan).there(scan.data)
    for across, pane in enumerate(planes.panes):
        content = pane.content
        at = tuple((5, 7, 9)[a] if a == across else slice(None) for a in range(3))
        np.testing.assert_array_equal(content.pixels, shown[at])
        assert content.letters == SIDES[across]
        rows, columns = (a for a in range(3) if a != across)
        for axis, letter in ((rows, content.letters[1]), (columns, content.letters[3])):
            step = np.zeros(3)
            step[axis] = 1
            way = world(scan, np.array([5.0, 7, 9]) + step) - world(scan, (5, 7, 9))
            mm = way["RAS".index(letter if letter in "RAS" else OPPOSITE[letter])]
            assert (mm > 0) == (letter in "RAS") and abs(mm) == pytest.approx(content.spacing[axis == columns])


@pytest.mark.parametrize("across", [0, 1, 2])
def test_a_click_leads_every_plane_and_the_main_view_to_the_voxel(viewer, scene, qtbot, across):
    scan, planes = scene
    pane = planes.panes[across]
    row, column = 4, 8
    down, right = pane.place.pixel(row, column)
    qtbot.mouseClick(pane, Qt.MouseButton.LeftButton, pos=QPoint(round(right), round(down)))
    rows, columns = (a for a in range(3) if a != across)
    assert planes.voxel[rows] == row and planes.voxel[columns] == column
    layer = viewer.layers[0]
    np.testing.assert_allclose(layer.world_to_data(viewer.dims.point), planes.voxel, atol=0.01)
    qtbot.waitUntil(
        lambda: all(
            p.content.voxel == tuple(planes.voxel[a] for a in range(3) if a != n) for n, p in enumerate(planes.panes)
        )
    )
    assert f"{scan.data[tuple(display_axes(scan).index_back(np.array([planes.voxel]))[0])]:.5g}" in planes.place.whole


def test_the_panes_follow_the_main_view_and_a_plane_is_brought_there(viewer, scene, qtbot):
    _, planes = scene
    planes.go((3, 4, 5))
    planes.show_in_main(2)
    assert viewer.dims.order == (2, 0, 1) and planes.voxel == (3, 4, 5)
    viewer.dims.set_point(2, viewer.layers[0].data_to_world((3, 4, 8))[2])
    qtbot.waitUntil(lambda: planes.panes[0].content.voxel == (4, 8))
    assert planes.panes[2].content.main and not planes.panes[0].content.main
    planes.panes[1].stepped.emit(2)
    assert planes.voxel == (3, 6, 8)


def test_masks_locks_and_frames_are_drawn_where_they_are(viewer, dock, scene, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MORSE_CORRECTIONS", str(tmp_path))
    scan, planes = scene
    dock.desk.begin()
    qtbot.waitUntil(lambda: dock.desk.corrected is not None)
    box = Roi((3, 4, 5), (6, 8, 10))
    dock.desk.apply(box, np.ones(box.shape, np.uint8), "scratch")
    planes.frame(box)
    there = display_axes(scan).roi_there(box)
    planes.go(there.start)
    qtbot.waitUntil(lambda: len(planes.panes[1].content.outlines) == 2)
    for across, pane in enumerate(planes.panes):
        mask, frame = pane.content.outlines
        rows, columns = (a for a in range(3) if a != across)
        wanted = np.zeros(pane.content.pixels.shape, bool)
        wanted[there.start[rows] : there.stop[rows], there.start[columns] : there.stop[columns]] = True
        np.testing.assert_array_equal(mask.labels == 1, wanted)
        assert (frame.labels[wanted] == 1).all()


def test_a_picture_has_one_plane(viewer, dock, qtbot):
    add_scan(viewer, make_scan((20, 24, 1)))
    dock.show_planes()
    qtbot.waitUntil(lambda: "single slice" in dock.planes.note.text())
    assert [not pane.isHidden() for pane in dock.planes.panes].count(True) == 1


def test_without_a_scan_and_after_closing_nothing_is_left(viewer, dock, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MORSE_CORRECTIONS", str(tmp_path))
    dock.show_planes()
    assert "Open a scan" in dock.planes.note.text()
    scan, _ = oblique_scan()
    begin(viewer, dock, scan, qtbot)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: "Open a scan" in dock.planes.note.text())
