"""The list of doubtful patches leads there: slice, middle of the view, marks in both cells."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_morse.types import no_patches
from napari_morse.widgets.bridge import carrier_of, display_axes
from napari_morse.widgets.segment.patches import LISTED_PATCHES
from napari_morse.widgets.view.twins import is_twin
from tests.fakes import LABELS, make_scan
from tests.widgets.conftest import add_scan
from tests.widgets.segment.test_result_box import run_through


@pytest.fixture
def run(viewer, dock, qtbot):
    scan = make_scan()
    add_scan(viewer, scan)
    run_through(qtbot, dock)
    return dock.session.result, dock.session.result_scan


def marks(viewer):
    return [x for x in viewer.layers if (c := carrier_of(x)) is not None and c.role == "patches"]


def click(qtbot, table, row):
    at = table.visualItemRect(table.item(row, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=at)


def check(viewer, prediction, scan, rank):
    layer = next(x for x in marks(viewer) if not is_twin(x))
    axes = display_axes(scan)
    np.testing.assert_array_equal(layer.data, axes.index_to_view(prediction.patches.of(rank)))
    centre = layer.data_to_world(axes.index_to_view(prediction.patches.centre[rank : rank + 1])[0])
    np.testing.assert_allclose(viewer.dims.point, centre, atol=1.0)
    np.testing.assert_allclose(viewer.scene.camera.center[1:], np.array(centre)[list(viewer.dims.displayed)])


def test_a_click_goes_to_the_patch_in_both_cells(viewer, dock, run, qtbot):
    prediction, scan = run
    table = dock.segment.results.patches
    assert table.isVisible() and table.rowCount() == min(len(prediction.patches), LISTED_PATCHES)
    first = prediction.patches
    assert table.item(0, 2).text() == f"{first.length[0]:.1f}"
    assert table.item(0, 3).text() == f"{100 * first.probability[0]:.0f} %"
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        click(qtbot, table, 0)
    qtbot.waitUntil(lambda: len(marks(viewer)) == 2)
    check(viewer, prediction, scan, 0)
    click(qtbot, table, 2)
    check(viewer, prediction, scan, 2)
    mark, twin = sorted(marks(viewer), key=is_twin)
    qtbot.waitUntil(lambda: np.array_equal(mark.data, twin.data))
    assert len(marks(viewer)) == 2


def test_enter_goes_there_too(viewer, dock, run, qtbot):
    table = dock.segment.results.patches
    table.setCurrentCell(1, 1)
    assert not marks(viewer)
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        qtbot.keyClick(table, Qt.Key.Key_Return)
    check(viewer, *run, 1)


def test_a_new_run_and_another_scan_take_the_marks_away(viewer, dock, run, qtbot):
    table = dock.segment.results.patches
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        click(qtbot, table, 0)
    run_through(qtbot, dock)
    assert not marks(viewer)
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        click(qtbot, table, 0)
    add_scan(viewer, make_scan(stem="other", seed=2))
    dock.segment.scans.combo.setCurrentIndex(1)
    qtbot.waitUntil(lambda: not marks(viewer))


def test_marks_taken_away_by_hand_come_back(viewer, dock, run, qtbot):
    table = dock.segment.results.patches
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        click(qtbot, table, 0)
    qtbot.waitUntil(lambda: len(marks(viewer)) == 2)
    viewer.layers.remove(next(x for x in marks(viewer) if not is_twin(x)))
    with qtbot.waitSignal(dock.comparison.settled, timeout=20000):
        click(qtbot, table, 1)
    check(viewer, *run, 1)


def test_no_patch_no_list(dock, run):
    table = dock.segment.results.patches
    table.fill(no_patches(), LABELS)
    assert not table.isVisible() and table.rowCount() == 0
