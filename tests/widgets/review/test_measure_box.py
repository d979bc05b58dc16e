"""Ruler, diameters and area: mm at the right voxels, kept with the case; and figures against a truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Labels

from napari_morse.io import open_scan
from napari_morse.metrics import score
from napari_morse.session.case.measures import Measures, read_measures, ruler
from napari_morse.session.case_files import MEASURES
from napari_morse.types import Roi
from napari_morse.widgets.bridge import display_axes
from napari_morse.widgets.view import is_twin
from tests.fakes import make_scan
from tests.widgets.conftest import add_dock, add_scan
from tests.widgets.hands import Mouse, begin, oblique_scan
from tests.widgets.project.test_more import opened_to_look, study
from tests.widgets.segment.test_result_box import run_through


@pytest.fixture
def scene(viewer, dock, qtbot):
    scan, far = oblique_scan()
    corrected = begin(viewer, dock, scan, qtbot)
    truth = (far < 9).astype(np.uint8)
    dock.active_case.apply(Roi((0, 0, 0), truth.shape), truth, "scratch")
    middle = (np.array(corrected.layer.data.shape) - 1) // 2
    viewer.dims.set_point(range(3), corrected.layer.data_to_world(middle))
    return scan, truth, corrected


def ends_of(box):
    """Display voxels of the only line that is drawn; its text stands at the last."""
    return np.asarray(box.shown.layer.data)[[0, -2]]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_a_line_is_as_long_as_it_is_in_the_patient(viewer, dock, scene, order, qtbot):
    scan, _, corrected = scene
    viewer.dims.order = order
    box, mouse = dock.measures, Mouse(viewer, corrected.layer)
    plane = dock.active_case.plane
    first, last = plane.places(np.array([[2.0, 3.0], [12.0, 9.0]]))
    before = list(viewer.mouse_drag_callbacks)
    box.ruler.begin()
    assert box.line.isChecked()
    mouse.click(first)
    mouse.move(last)
    qtbot.waitUntil(lambda: box.shown.layer is not None)
    np.testing.assert_allclose(ends_of(box), [first, last], atol=1e-6)
    length = box.shown.layer.features["value"].iloc[-1]
    mouse.click(last)
    kept = box.measures.items[-1]
    ends = display_axes(scan).index_to_storage(np.array([first, last]))
    mm = ends @ scan.grid.affine[:3, :3].T + scan.grid.affine[:3, 3]
    assert kept.values[0] == pytest.approx(np.linalg.norm(mm[1] - mm[0]))
    np.testing.assert_allclose(kept.mm, mm, atol=1e-6)
    assert kept.plane == ("axial", "coronal", "sagittal")[order[0]] and kept.unit == "mm"
    np.testing.assert_allclose(ends_of(box), [first, last], atol=1e-6)
    assert length == box.shown.layer.features["value"].iloc[-1] == kept.text
    box.ruler.leave()
    assert not box.line.isChecked() and viewer.mouse_drag_callbacks == before


def test_structures_are_measured_kept_marked_when_changed_and_deleted(viewer, dock, scene, qtbot):
    scan, truth, corrected = scene
    box = dock.measures
    box.diameters.click()
    box.area.click()
    diameters, area = box.measures.items
    axis, index = dock.active_case.plane.storage
    plane = np.take(truth, index, axis)
    sides = [s for a, s in enumerate(scan.grid.spacing) if a != axis]
    assert area.values[0] == pytest.approx(plane.sum() * np.prod(sides))
    assert 15 < diameters.values[1] <= diameters.values[0] < 21
    assert read_measures(dock.active_case.folder) == box.measures.items
    at = [slice(0, n) for n in truth.shape]
    at[axis] = slice(index, index + 1)
    where = Roi(tuple(s.start for s in at), tuple(s.stop for s in at))
    dock.active_case.apply(where, np.zeros(where.shape, np.uint8), "scratch")
    qtbot.waitUntil(lambda: box.table.item(1, 2).text().endswith("*"))
    assert box.measures.items == (diameters, area)
    corrected.undo()
    qtbot.waitUntil(lambda: not box.table.item(1, 2).text().endswith("*"))
    viewer.dims.order = (2, 0, 1)
    box.table.cellClicked.emit(0, 0)
    assert viewer.dims.order[0] == display_axes(scan).order.index(axis) and dock.active_case.plane.storage == (
        axis,
        index,
    )
    box.table.setCurrentCell(0, 0)
    box.delete.click()
    assert box.measures.items == (area,)
    box.restore.click()
    assert box.measures.items == (diameters, area)


def test_what_was_measured_before_correcting_began_is_kept_then(viewer, dock, qtbot):
    scan, _ = oblique_scan()
    layer = add_scan(viewer, scan)
    dock.measures.ruler.begin()
    mouse, plane = Mouse(viewer, layer), dock.active_case.plane
    for voxel in plane.places(np.array([[2.0, 3.0], [12.0, 9.0]])):
        mouse.click(voxel)
    assert len(dock.measures.measures.items) == 1
    dock.active_case.begin()
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    assert (
        read_measures(dock.active_case.folder) == dock.measures.measures.items
        and len(dock.measures.measures.items) == 1
    )


def line(viewer, dock, layer, first=(2.0, 3.0), last=(12.0, 9.0)):
    """Draw a line with two clicks in the slice in view."""
    box = dock.measures
    mouse, ends = Mouse(viewer, layer), dock.active_case.plane.places(np.array([first, last]))
    box.ruler.begin()
    for end in ends:
        mouse.click(end)
    return ends, mouse


@pytest.mark.parametrize("end", [0, 1])
def test_an_end_is_dragged_to_another_place_and_undone(viewer, dock, scene, end):
    scan, _, corrected = scene
    box = dock.measures
    ends, mouse = line(viewer, dock, corrected.layer)
    before = box.measures.items[0]
    to = dock.active_case.plane.places(np.array([[7.0, 16.0]]))[0]
    mouse.drag(ends[end] + 0.2 * (ends[1 - end] - ends[end]) / np.ptp(ends), to)
    (moved,) = box.measures.items
    stored = display_axes(scan).index_to_storage(np.array([ends[1 - end], to]))
    mm = stored @ scan.grid.affine[:3, :3].T + scan.grid.affine[:3, 3]
    np.testing.assert_allclose(moved.mm, mm, atol=1e-6)
    assert moved.values[0] == pytest.approx(np.linalg.norm(mm[1] - mm[0]))
    assert {tuple(np.round(dot, 6)) for dot in ends_of(box)} == {tuple(ends[1 - end]), tuple(to)}
    mouse.click(ends[1 - end])  # taken, and let go where it was
    assert box.measures.items == (moved,)
    box.restore.click()
    assert read_measures(dock.active_case.folder) == box.measures.items == (before,)


def test_measures_are_drawn_in_their_plane_only_and_in_no_other_slice(viewer, dock, scene):
    _, _, corrected = scene
    box = dock.measures
    line(viewer, dock, corrected.layer)
    box.diameters.click()
    layer, count = box.shown.layer, len(box.shown.layer.data)
    assert count and len(layer._view_indices) == count
    assert sorted(set(layer.features["value"])) == sorted({"", *(each.text for each in box.measures.items)})
    viewer.dims.set_point(0, viewer.dims.point[0] + 3 * layer.scale[0])
    assert len(layer._view_indices) == 0
    viewer.dims.order = (1, 0, 2)
    assert box.shown.layer is layer and len(layer.data) == 0
    box.table.cellClicked.emit(1, 0)
    assert len(layer._view_indices) == count
    assert not layer.editable  # after many changes of its data


def test_texts_of_one_slice_do_not_cover_each_other(viewer, dock, scene):
    box = dock.measures
    for _ in range(3):
        box.area.click()
    layer = box.shown.layer
    said = np.array([bool(text) for text in layer.features["value"]])
    rows = np.sort([layer.data_to_world(place)[1] for place in np.asarray(layer.data)[said]])
    assert said.sum() == 3 and (np.diff(rows) * viewer.scene.camera.zoom > 14).all()


def test_the_drawing_cannot_be_changed_or_lost(viewer, dock, scene, qtbot):
    _, _, corrected = scene
    box = dock.measures
    line(viewer, dock, corrected.layer)
    data = np.array(box.shown.layer.data)
    box.shown.layer.data = data[:3] + 1
    assert "follows the list" in box.note.text()
    qtbot.waitUntil(lambda: np.array_equal(box.shown.layer.data, data))
    viewer.layers.remove(box.shown.layer)
    assert "still listed" in box.note.text() and len(box.measures.items) == 1
    viewer.dims.order = (1, 0, 2)
    viewer.dims.order = (0, 1, 2)
    np.testing.assert_array_equal(box.shown.layer.data, data)


def test_both_cells_show_the_same_also_what_was_measured_before_the_run(viewer, dock, qtbot):
    scan = make_scan()
    layer, box = add_scan(viewer, scan), dock.measures
    line(viewer, dock, layer, (2.0, 3.0), (9.0, 8.0))
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        run_through(qtbot, dock)
    shown = box.shown.layer
    (twin,) = [x for x in viewer.layers if is_twin(x) and x.name == f"{shown.name} (twin)"]
    assert shown.visible and twin.visible
    viewer.dims.set_point(0, layer.data_to_world((scan.grid.shape[2] // 2, 0, 0))[0])
    box.diameters.click()
    assert len(box.measures.items) == 2
    qtbot.waitUntil(lambda: np.array_equal(twin.data, shown.data))
    assert list(twin.features["value"]) == list(shown.features["value"])
    np.testing.assert_array_equal(twin.size, shown.size)
    viewer.dims.order = (1, 0, 2)
    qtbot.waitUntil(lambda: len(twin.data) == 0)
    viewer.dims.order = (0, 1, 2)
    qtbot.waitUntil(lambda: list(twin.features["value"]) == list(shown.features["value"]))
    assert viewer.layers.index(twin) != viewer.layers.index(shown) and not shown.editable


def test_what_was_measured_on_a_scan_comes_back_with_it(viewer, dock, qtbot):
    box = dock.measures
    scans = make_scan(), make_scan(stem="other", seed=1)
    line(viewer, dock, add_scan(viewer, scans[0]))
    kept = box.measures.items
    assert len(kept) == 1 and "while this window is open" in box.note.text()
    add_scan(viewer, scans[1])
    combo = dock.segment.scans.combo
    combo.setCurrentIndex(1)
    qtbot.waitUntil(lambda: dock.active_case.scan is scans[1])
    assert box.measures.items == () and box.shown.layer is None and not box.table.isVisibleTo(box)
    combo.setCurrentIndex(0)
    qtbot.waitUntil(lambda: dock.active_case.scan is scans[0])
    assert box.measures.items == kept and len(box.shown.layer.data)


def test_without_a_voxel_size_a_length_is_in_pixels(viewer, dock, qtbot):
    scan = replace(make_scan(), size_known=False)
    line(viewer, dock, add_scan(viewer, scan), (2.0, 3.0), (5.0, 7.0))
    (kept,) = dock.measures.measures.items
    assert (kept.text, kept.mm) == ("5.0 px", None)
    assert dock.measures.shown.layer.features["value"].iloc[-1] == "5.0 px"


def test_who_only_looks_at_a_project_sees_its_measures_and_adds_none(viewer, qtbot, tmp_path):
    project = study(tmp_path)
    case = project.cases()[0].id
    scan = open_scan(project.scan_of(case))
    folder = project.folder_of(case)
    kept = Measures(folder)
    kept.add(ruler(scan, 2, (1.0, 2.0, 3.0), (4.0, 5.0, 3.0), "AB"))
    project.close()
    before = (folder / MEASURES).read_bytes()
    box = opened_to_look(viewer, qtbot, tmp_path).measures
    qtbot.waitUntil(lambda: box.measures.items == kept.items)
    assert box.table.item(0, 2).text() == kept.items[0].text
    box.table.setCurrentCell(0, 0)
    box.delete.click()
    assert "only be looked at" in box.note.text() and box.measures.items == kept.items
    assert (folder / MEASURES).read_bytes() == before


def test_old_values_are_marked_after_opening_again_and_measured_again_on_demand(viewer, dock, scene, engine, qtbot):
    scan, truth, _ = scene
    box = dock.measures
    box.area.click()
    (before,) = box.measures.items
    half = truth.copy()
    half[: truth.shape[0] // 2] = 0
    dock.active_case.apply(Roi((0, 0, 0), truth.shape), half, "scratch")
    viewer.window.remove_dock_widget(dock)
    dock.close()
    second = add_dock(viewer, engine)
    qtbot.waitUntil(lambda: second.active_case.scan is scan)
    second.active_case.begin()
    qtbot.waitUntil(lambda: second.measures.measures.items == (before,))
    box = second.measures
    qtbot.waitUntil(lambda: box.table.item(0, 2).text() == f"{before.text} *")
    assert box.legend.isVisibleTo(box) and not box.anew.isEnabled()
    box.table.setCurrentCell(0, 0)
    box.anew.click()
    (after,) = box.measures.items
    region = np.take(half, before.index, before.axis) == 1
    sides = [s for a, s in enumerate(scan.grid.spacing) if a != before.axis]
    assert after.values[0] == pytest.approx(region.sum() * np.prod(sides)) and after.values[0] < before.values[0]
    assert read_measures(second.active_case.folder) == (after,) and not box.legend.isVisibleTo(box)
    box.restore.click()
    qtbot.waitUntil(lambda: box.table.item(0, 2).text() == f"{before.text} *")


def test_figures_against_a_truth_are_those_of_the_table_and_follow_strokes(viewer, dock, scene, qtbot):
    scan, truth, corrected = scene
    assert dock.truth.isHidden()
    layer = corrected.layer
    shifted = np.roll(layer.data, 2, axis=1)
    viewer.add_layer(Labels(shifted, name="truth", scale=layer.scale, translate=layer.translate, units=layer.units))
    assert not dock.truth.isHidden()
    dock.truth.combo.setCurrentIndex(1)
    stored = display_axes(scan).to_storage(shifted)

    def line():
        row = score(np.asarray(corrected.corrections.mask), stored, scan.grid.spacing, [1], merged=False)[0]
        return f"corrected: Dice {row.dice:.3f}, HD95 {row.hd95:.1f} mm, ASD {row.asd:.2f} mm"

    qtbot.waitUntil(lambda: line() in dock.truth.figures.text())
    before = line()
    dock.active_case.apply(Roi((0, 0, 0), truth.shape), np.where(stored > 0, 1, truth).astype(np.uint8), "scratch")
    assert line() != before
    qtbot.waitUntil(lambda: line() in dock.truth.figures.text())
    viewer.layers.remove("truth")
    assert dock.truth.isHidden()
