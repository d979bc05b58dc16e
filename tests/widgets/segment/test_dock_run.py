"""Run, cancel and the ways in which a run is interrupted, with the mouse on a real window."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from napari.layers._layer_actions import _convert
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QCoreApplication, QEvent, Qt

from napari_morse.errors import WeightsError
from napari_morse.widgets.bridge import carrier_of, mask_of, scan_layer_data
from tests.fakes import FakeEngine, make_prediction, make_scan
from tests.layer_cases import write_nifti
from tests.widgets.conftest import add_dock, add_scan


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def run_through(qtbot, dock):
    press(qtbot, dock.segment.run_bar.run)
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        pass


def messages():
    return [record.message for record in notification_manager.records]


def work_threads():
    return [t for t in threading.enumerate() if t.name == "morse-segment"]


def test_press_run_and_both_masks_lie_on_the_scan(viewer, dock, scan, qtbot):
    layer = add_scan(viewer, scan)
    run_through(qtbot, dock)
    shown = dock.comparison.shown
    assert shown.scan is layer
    expected = make_prediction(scan)
    for mask, truth in ((shown.coarse, expected.coarse), (shown.rendered, expected.rendered)):
        np.testing.assert_array_equal(mask.data.shape, layer.data.shape)
        np.testing.assert_allclose(mask.scale, layer.scale)
        np.testing.assert_allclose(mask.translate, layer.translate)
        marker = np.argwhere(np.asarray(layer.data) == 500)[0]
        assert mask.data[tuple(marker)] == 2
        np.testing.assert_array_equal(mask_of(mask, viewer).data, truth.data)
    world = shown.points.data_to_world(shown.points.data[0])
    voxel = np.round(shown.coarse.world_to_data(world)).astype(int)
    assert carrier_of(shown.points).scan is scan
    first = expected.points
    axes = [tuple(voxel), shown.coarse.data[tuple(voxel)], first.before[0]]
    assert axes[1] == axes[2]
    assert dock.session.status == "done"
    assert dock.segment.results.table.rowCount() == 2
    assert dock.segment.results.table.item(0, 0).text() == "anterior"
    assert dock.segment.results.isVisible()
    assert not work_threads()


def test_the_view_goes_to_the_slice_with_most_of_the_mask(viewer, dock, scan, qtbot):
    add_scan(viewer, scan)
    run_through(qtbot, dock)
    shown = dock.comparison.shown
    area = np.count_nonzero(shown.rendered.data, axis=(1, 2))
    here = round(float(shown.rendered.world_to_data(viewer.dims.point)[0]))
    assert area[here] == area.max()


def test_cancel_stops_within_a_tile(viewer, qtbot, scan):
    engine = FakeEngine(steps=200, seconds=0.05)
    dock = add_dock(viewer, engine)
    add_scan(viewer, scan)
    press(qtbot, dock.segment.run_bar.run)
    qtbot.waitUntil(lambda: "tile " in dock.segment.run_bar.line.text())  # which one is shown depends on the machine
    assert "left" in dock.segment.run_bar.line.text()
    assert not dock.segment.run_bar.run.isEnabled() and "running" in dock.segment.run_bar.run.toolTip()
    press(qtbot, dock.segment.run_bar.cancel)
    qtbot.waitUntil(lambda: dock.session.status == "cancelled", timeout=2000)
    assert engine.cancelled_after < 10
    assert len(viewer.layers) == 1 and dock.segment.run_bar.run.isEnabled()
    engine.pace.set()
    engine.steps = 3
    run_through(qtbot, dock)
    assert dock.session.status == "done"


def test_a_second_run_while_one_runs_is_refused(viewer, qtbot, scan):
    engine = FakeEngine(steps=200, seconds=0.05)
    dock = add_dock(viewer, engine)
    add_scan(viewer, scan)
    press(qtbot, dock.segment.run_bar.run)
    press(qtbot, dock.segment.run_bar.run)
    dock.segment.run()
    assert any("running" in m for m in messages())
    assert len(work_threads()) == 1
    qtbot.waitUntil(lambda: engine.runs == 1)
    dock.segment.cancel()
    qtbot.waitUntil(lambda: not dock.session.running)


def test_deleting_the_layer_cancels(viewer, qtbot, scan):
    engine = FakeEngine(steps=400, seconds=0.05)
    dock = add_dock(viewer, engine)
    layer = add_scan(viewer, scan)
    press(qtbot, dock.segment.run_bar.run)
    qtbot.waitUntil(lambda: "tile" in dock.segment.run_bar.line.text())
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: dock.session.status == "cancelled", timeout=2000)
    assert len(viewer.layers) == 0
    assert "Open a scan" in dock.segment.run_bar.run.toolTip()


def test_deleting_the_layer_while_the_masks_appear_leaves_none(viewer, dock, scan, qtbot):
    layer = add_scan(viewer, scan)
    press(qtbot, dock.segment.run_bar.run)
    qtbot.waitUntil(lambda: len(viewer.layers) > 1, timeout=10000)
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: not dock.session.running, timeout=10000)
    assert [x.name for x in viewer.layers] == []


def test_closing_the_dock_mid_run_leaves_no_thread(viewer, qtbot, scan):
    engine = FakeEngine(steps=400, seconds=0.05)
    dock = add_dock(viewer, engine)
    add_scan(viewer, scan)
    press(qtbot, dock.segment.run_bar.run)
    qtbot.waitUntil(lambda: "tile" in dock.segment.run_bar.line.text())
    gone = []
    dock.destroyed.connect(lambda: gone.append(True))
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not work_threads(), timeout=2000)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert gone and engine.cancelled_after < 100
    assert not viewer.canvas.grid.enabled
    assert not [name for name in viewer.canvas.overlays if name.startswith("morse")]


def test_closing_the_window_mid_run_leaves_no_thread(make_napari_viewer, nothing_left, qtbot, scan):
    engine = FakeEngine(steps=400, seconds=0.05)
    viewer = make_napari_viewer(show=True)
    dock = add_dock(viewer, engine)
    add_scan(viewer, scan)
    press(qtbot, dock.segment.run_bar.run)
    qtbot.waitUntil(lambda: work_threads() and engine.runs == 1)
    viewer.close()
    qtbot.waitUntil(lambda: not work_threads(), timeout=3000)
    assert engine.cancelled_after < 100


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (
            FakeEngine(load_error=WeightsError("The weights are damaged.", "Get them again.")),
            "The weights are damaged.",
        ),
        (FakeEngine(error=MemoryError()), "not enough memory"),
        (FakeEngine(error=ZeroDivisionError("by zero")), "ZeroDivisionError: by zero"),
    ],
    ids=["typed", "memory", "other"],
)
def test_an_error_is_a_sentence_and_nothing_half_made(viewer, dock, engine, said, scan, qtbot):
    add_scan(viewer, scan)
    notification_manager.records.clear()
    press(qtbot, dock.segment.run_bar.run)
    qtbot.waitUntil(lambda: dock.session.status == "failed")
    assert any(said in m for m in messages())
    assert len(viewer.layers) == 1
    assert dock.segment.run_bar.run.isEnabled()


def test_a_warning_about_the_scan_is_shown(viewer, qtbot, scan):
    engine = FakeEngine(warnings=("The spacing is unlike the training data.",))
    dock = add_dock(viewer, engine)
    add_scan(viewer, scan)
    run_through(qtbot, dock)
    assert "unlike the training data" in dock.segment.banner.text() and dock.segment.banner.isVisible()


def test_a_second_result_replaces_the_first_but_keeps_edits(viewer, dock, scan, qtbot):
    add_scan(viewer, scan)
    run_through(qtbot, dock)
    first = dock.comparison.shown
    first.rendered.data[0, 0, :3] = 1
    run_through(qtbot, dock)
    second = dock.comparison.shown
    assert second is not first
    assert first.coarse not in viewer.layers and first.points not in viewer.layers
    assert first.rendered in viewer.layers and "edited" in first.rendered.name and not first.rendered.visible


def test_a_drawn_box_is_what_runs(viewer, dock, engine, scan, qtbot):
    layer = add_scan(viewer, scan)
    press(qtbot, dock.segment.region.draw)
    box = viewer.layers.selection.active
    assert box.mode == "add_rectangle"
    s, p, a = (int(n) for n in layer.data.shape)
    box.add_rectangles(np.array([[3, 2, 4], [3, 2, 9], [3, 11, 9], [3, 11, 4]]))
    qtbot.waitUntil(lambda: dock.session.roi is not None)
    dock.segment.region.first.setValue(2)
    dock.segment.region.last.setValue(s - 3)
    qtbot.waitUntil(lambda: dock.session.roi is not None and s - 4 in dock.session.roi.shape)
    roi = dock.session.roi
    inside = np.zeros(scan.grid.shape, bool)
    inside[roi.slices] = True
    from napari_morse.widgets.bridge import display_axes

    shown = np.argwhere(display_axes(scan).to_view(inside))
    np.testing.assert_array_equal([shown.min(axis=0), shown.max(axis=0)], [[2, 2, 4], [s - 3, 11, 9]])
    assert "mm" in dock.segment.region.text.whole and "voxels" in dock.segment.region.text.toolTip()
    assert (p, a) == tuple(layer.data.shape[1:])
    run_through(qtbot, dock)
    assert engine.rois == [roi]
    press(qtbot, dock.segment.region.clear)
    qtbot.waitUntil(lambda: dock.session.roi is None)
    assert dock.segment.region.text.whole == "whole scan"


def test_deleting_the_box_goes_back_to_the_whole_scan(viewer, dock, scan, qtbot):
    add_scan(viewer, scan)
    press(qtbot, dock.segment.region.draw)
    box = viewer.layers.selection.active
    box.add_rectangles(np.array([[3, 2, 4], [3, 2, 9], [3, 11, 9], [3, 11, 4]]))
    qtbot.waitUntil(lambda: dock.session.roi is not None)
    viewer.layers.remove(box)
    qtbot.waitUntil(lambda: dock.session.roi is None)


def test_the_scan_list_follows_the_layers(viewer, dock, scan, qtbot):
    picker = dock.segment.scans
    assert picker.combo.count() == 0 and not dock.segment.run_bar.run.isEnabled()
    first = add_scan(viewer, scan)
    second = add_scan(viewer, make_scan(stem="other", seed=2))
    assert [picker.combo.itemText(i) for i in range(2)] == ["case", "other"]
    picker.combo.setCurrentIndex(0)
    assert dock.session.scan is scan and "1 × 1.5 × 2 mm" in picker.about.whole and "LPS" in picker.about.whole
    second.name = "renamed"
    assert picker.combo.itemText(1) == "renamed"
    viewer.layers.remove(first)
    assert picker.combo.count() == 1 and dock.session.scan.stem == "other"
    viewer.add_labels(np.zeros((3, 4, 5), np.uint8))
    assert picker.combo.count() == 1


@pytest.mark.parametrize(("known", "unit"), [(True, "mm²"), (False, "px²")])
def test_a_picture_shows_what_was_assumed(viewer, dock, qtbot, known, unit):
    picture = replace(
        make_scan((20, 24, 1), (0.5, 0.5, 1.0)), is_picture=True, orientation_known=False, size_known=known,
        notices=("Pixel size unknown.",),
    )  # fmt: skip
    data, attributes, _ = scan_layer_data(picture)
    viewer.add_image(data, **attributes)
    assert "Pixel size unknown." in dock.segment.banner.text()
    run_through(qtbot, dock)
    table, found = dock.segment.results.table, make_prediction(picture).rendered.data
    assert [table.horizontalHeaderItem(n).text().split()[1] for n in (1, 2)] == [unit, unit]
    assert float(table.item(0, 2).text()) == (found == 1).sum() * (0.25 if known else 1)


def test_a_mask_that_opens_as_a_scan_is_told_of_until_it_is_converted(viewer, dock, plugin, qtbot, tmp_path):
    scan = make_scan(stem="Anna")
    first = add_scan(viewer, scan)
    mask = np.asarray(make_prediction(scan).rendered.data)
    path = write_nifti(tmp_path / "Anna_expert2.nii.gz", mask, scan.grid.affine)
    (opened,) = viewer.open(path, plugin="napari-morse")
    assert dock.segment.scans.layer is opened and dock.segment.banner.isVisible()
    assert dock.segment.banner.text() == (
        "⚠ “Anna_expert2.nii.gz” has only 3 grey levels: it may be a mask. "
        "Right-click the layer ▸ Convert to Labels, if it is one."
    )
    viewer.layers.selection = {opened}
    opened.projection_mode = "none"
    _convert(viewer.layers, "labels")  # the entry of that menu
    assert dock.segment.scans.layer is first and not dock.segment.banner.text()
    script = viewer.add_image(np.where(mask > 1, 255, 0), name="array", scale=(1, 1, 1))
    assert dock.segment.scans.layer is script
    assert "“array” has only 2 grey levels: it may be a mask. Right-click" in dock.segment.banner.text()
