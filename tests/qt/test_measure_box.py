"""Ruler, diameters and area: mm at the right voxels, kept with the case; and figures against a truth."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_morse.metrics import score
from napari_morse.session.measures import read_measures
from napari_morse.types import Roi
from napari_morse.widgets.layers import display_axes
from tests.qt.hands import Mouse, begin, oblique_scan


@pytest.fixture
def scene(viewer, dock, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MORSE_CORRECTIONS", str(tmp_path / "loose"))
    scan, far = oblique_scan()
    corrected = begin(viewer, dock, scan, qtbot)
    truth = (far < 9).astype(np.uint8)
    dock.desk.apply(Roi((0, 0, 0), truth.shape), truth, "scratch")
    middle = (np.array(corrected.layer.data.shape) - 1) // 2
    viewer.dims.set_point(range(3), corrected.layer.data_to_world(middle))
    return scan, truth, corrected


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_a_line_is_as_long_as_it_is_in_the_patient(viewer, dock, scene, order):
    scan, _, corrected = scene
    viewer.dims.order = order
    box, mouse = dock.measures, Mouse(viewer, corrected.layer)
    plane = box._plane()
    first, last = plane.places(np.array([[2.0, 3.0], [12.0, 9.0]]))
    before = list(viewer.mouse_drag_callbacks)
    box.ruler.begin()
    assert box.line.isChecked()
    mouse.click(first)
    mouse.move(last)
    assert len(box.shown.layer.data)
    mouse.click(last)
    kept = box.measures.items[-1]
    ends = display_axes(scan).index_back(np.array([first, last]))
    mm = ends @ scan.grid.affine[:3, :3].T + scan.grid.affine[:3, 3]
    assert kept.values[0] == pytest.approx(np.linalg.norm(mm[1] - mm[0]))
    np.testing.assert_allclose(kept.mm, mm, atol=1e-6)
    assert kept.plane == ("axial", "coronal", "sagittal")[order[0]] and kept.unit == "mm"
    dots = np.asarray(box.shown.layer.data)
    np.testing.assert_allclose(dots[[0, -1]], [first, last], atol=1e-6)
    box.ruler.leave()
    assert not box.line.isChecked() and viewer.mouse_drag_callbacks == before


def test_structures_are_measured_kept_marked_when_changed_and_deleted(viewer, dock, scene, qtbot):
    scan, truth, corrected = scene
    box = dock.measures
    box.structure("diameters")
    box.structure("area")
    diameters, area = box.measures.items
    axis, index = box._plane().storage
    plane = np.take(truth, index, axis)
    sides = [s for a, s in enumerate(scan.grid.spacing) if a != axis]
    assert area.values[0] == pytest.approx(plane.sum() * np.prod(sides))
    assert 15 < diameters.values[1] <= diameters.values[0] < 21
    assert read_measures(dock.desk.folder) == box.measures.items
    at = [slice(0, n) for n in truth.shape]
    at[axis] = slice(index, index + 1)
    where = Roi(tuple(s.start for s in at), tuple(s.stop for s in at))
    dock.desk.apply(where, np.zeros(where.shape, np.uint8), "scratch")
    qtbot.waitUntil(lambda: box.table.item(1, 2).text().endswith("*"))
    assert box.measures.items == (diameters, area)
    corrected.undo()
    qtbot.waitUntil(lambda: not box.table.item(1, 2).text().endswith("*"))
    viewer.dims.order = (2, 0, 1)
    box.go(0)
    assert viewer.dims.order[0] == display_axes(scan).order.index(axis) and box._plane().storage == (axis, index)
    box.table.setCurrentCell(0, 0)
    box.remove()
    assert box.measures.items == (area,)
    box.put_back()
    assert box.measures.items == (diameters, area)


def test_what_was_measured_before_correcting_began_is_kept_then(viewer, dock, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MORSE_CORRECTIONS", str(tmp_path / "loose"))
    from tests.qt.conftest import add_scan

    scan, _ = oblique_scan()
    layer = add_scan(viewer, scan)
    dock.measures.ruler.begin()
    mouse, plane = Mouse(viewer, layer), dock.measures._plane()
    for voxel in plane.places(np.array([[2.0, 3.0], [12.0, 9.0]])):
        mouse.click(voxel)
    assert len(dock.measures.measures.items) == 1
    dock.desk.begin()
    qtbot.waitUntil(lambda: dock.desk.corrected is not None)
    assert read_measures(dock.desk.folder) == dock.measures.measures.items and len(dock.measures.measures.items) == 1


def test_figures_against_a_truth_are_those_of_the_table_and_follow_strokes(viewer, dock, scene, qtbot):
    scan, truth, corrected = scene
    assert dock.truth.isHidden()
    layer = corrected.layer
    shifted = np.roll(layer.data, 2, axis=1)
    viewer.add_layer(Labels(shifted, name="truth", scale=layer.scale, translate=layer.translate, units=layer.units))
    assert not dock.truth.isHidden()
    dock.truth.combo.setCurrentIndex(1)
    stored = display_axes(scan).back(shifted)

    def line():
        row = score(np.asarray(corrected.corrections.mask), stored, scan.grid.spacing, [1], merged=False)[0]
        return f"corrected: Dice {row.dice:.3f}, HD95 {row.hd95:.1f} mm, ASD {row.asd:.2f} mm"

    qtbot.waitUntil(lambda: line() in dock.truth.figures.text())
    before = line()
    dock.desk.apply(Roi((0, 0, 0), truth.shape), np.where(stored > 0, 1, truth).astype(np.uint8), "scratch")
    assert line() != before
    qtbot.waitUntil(lambda: line() in dock.truth.figures.text())
    viewer.layers.remove("truth")
    assert dock.truth.isHidden()
