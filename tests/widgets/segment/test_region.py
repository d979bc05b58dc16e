"""The region of interest, drawn in the window: a box that is seen on each of its slices."""

from __future__ import annotations

import numpy as np
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_morse.widgets.bridge import display_axes
from tests.fakes import make_scan
from tests.widgets.conftest import add_scan

AXIAL = np.array([[20, 12, 14], [20, 12, 29], [20, 21, 29], [20, 21, 14]])


def start(viewer, dock, qtbot):
    scan = make_scan((40, 44, 48), (1.0, 1.0, 1.0))
    add_scan(viewer, scan)
    qtbot.mouseClick(dock.segment.region.draw, Qt.MouseButton.LeftButton)
    return scan, viewer.layers.selection.active


def shown(dock, scan):
    roi = display_axes(scan).roi_to_view(dock.session.roi)
    return roi.start, roi.stop


def test_a_rectangle_makes_a_box_that_is_seen_on_each_of_its_slices(viewer, dock, qtbot):
    scan, layer = start(viewer, dock, qtbot)
    layer.add_rectangles(AXIAL)
    qtbot.waitUntil(lambda: dock.session.roi is not None)
    assert shown(dock, scan) == ((12, 12, 14), (29, 22, 30)), "as deep as its longer side, 16 mm, on either side"
    assert (dock.segment.region.first.value(), dock.segment.region.last.value()) == (12, 28)
    for axis, (low, high) in enumerate(zip(*shown(dock, scan), strict=True)):
        flat = [x[0, axis] for x in layer.data if np.ptp(x[:, axis]) == 0]
        assert sorted(flat) == list(range(low, high))
    dock.segment.region.first.setValue(18)
    qtbot.waitUntil(lambda: shown(dock, scan)[0][0] == 18)
    assert min(x[:, 0].min() for x in layer.data) >= 17.5


def test_a_rectangle_in_another_view_bounds_the_third_axis(viewer, dock, qtbot):
    scan, layer = start(viewer, dock, qtbot)
    layer.add_rectangles(AXIAL)
    qtbot.waitUntil(lambda: dock.session.roi is not None)
    layer.add_rectangles(np.array([[5, 15, 10], [5, 15, 25], [33, 15, 25], [33, 15, 10]]))
    qtbot.waitUntil(lambda: shown(dock, scan) == ((5, 12, 10), (34, 22, 26)))


def test_a_box_beside_the_scan_is_told_and_changes_nothing(viewer, dock, qtbot):
    scan, layer = start(viewer, dock, qtbot)
    layer.add_rectangles(AXIAL)
    qtbot.waitUntil(lambda: dock.session.roi is not None)
    before, said = shown(dock, scan), len(notification_manager.records)
    layer.add_rectangles(AXIAL + np.array([0, 500, 500]))
    qtbot.waitUntil(lambda: len(notification_manager.records) > said)
    assert "Draw it over the scan" in notification_manager.records[-1].message
    assert shown(dock, scan) == before


def test_deleting_the_outline_goes_back_to_the_whole_scan(viewer, dock, qtbot):
    _, layer = start(viewer, dock, qtbot)
    layer.add_rectangles(AXIAL)
    qtbot.waitUntil(lambda: dock.session.roi is not None)
    layer.selected_data = {0}
    layer.remove_selected()
    qtbot.waitUntil(lambda: dock.session.roi is None)
    assert len(layer.data) == 0 and dock.segment.region.text.whole == "whole scan"


def test_a_region_comes_back_with_its_scan(viewer, dock, qtbot):
    scan, layer = start(viewer, dock, qtbot)
    layer.add_rectangles(AXIAL)
    qtbot.waitUntil(lambda: dock.session.roi is not None)
    dock.segment.region.first.setValue(18)
    qtbot.waitUntil(lambda: shown(dock, scan)[0][0] == 18)
    before, outlines, combo = dock.session.roi, len(layer.data), dock.segment.scans.combo
    add_scan(viewer, make_scan((40, 44, 48), (1.0, 1.0, 1.0), stem="other", seed=1))
    assert dock.session.roi is None and not any("region" in x.name for x in viewer.layers)
    combo.setCurrentIndex(combo.findText("case"))
    assert dock.session.roi == before, "at once: a run may be started at once"
    qtbot.waitUntil(lambda: any("region" in x.name for x in viewer.layers))
    again = next(x for x in viewer.layers if "region" in x.name)
    qtbot.waitUntil(lambda: len(again.data) == outlines)
    assert dock.session.roi == before and dock.segment.region.text.whole.startswith("16 × 10 × 11 mm")
    again.add_rectangles(np.array([[20, 15, 17], [20, 15, 25], [20, 18, 25], [20, 18, 17]]))
    qtbot.waitUntil(lambda: dock.session.roi != before)
    qtbot.mouseClick(dock.segment.region.clear, Qt.MouseButton.LeftButton)
    assert dock.session.roi is None
    for name in ("other", "case"):
        combo.setCurrentIndex(combo.findText(name))
        qtbot.wait(20)
        assert dock.session.roi is None


def test_a_rectangle_drawn_the_moment_before_is_kept_too(viewer, dock, qtbot):
    scan, layer = start(viewer, dock, qtbot)
    other = make_scan((40, 44, 48), (1.0, 1.0, 1.0), stem="other", seed=1)
    layer.add_rectangles(AXIAL)
    add_scan(viewer, other)
    assert dock.session.roi is None
    qtbot.wait(20)
    assert dock.session.roi is None, "the region of one scan is set on another"
    combo = dock.segment.scans.combo
    combo.setCurrentIndex(combo.findText("case"))
    assert shown(dock, scan) == ((12, 12, 14), (29, 22, 30))
