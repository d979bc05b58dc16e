"""One patient in view, whatever way a scan, a mask or a late result comes by."""

from __future__ import annotations

import numpy as np
import pytest

from napari_morse.widgets.layers import carrier_of
from tests.qt.test_dock_run import press
from tests.qt.test_project_window import at, project  # noqa: F401 (a fixture)
from tests.qt.test_stage import check_one_patient, choose, first, seen, settled  # noqa: F401 (a fixture)


@pytest.fixture
def both(viewer, dock, first, qtbot, project):  # noqa: F811
    """A case of a project is open, and the scan in view is another one."""
    dock.ahead.set_enabled(False)
    dock.host.take(project)
    at(qtbot, dock, 1)
    choose(qtbot, dock, first)
    assert not dock.host.in_view
    return dock


def test_measures_of_a_scan_beside_the_case_are_not_kept_with_the_case(both, qtbot):
    box, work = both.measures, both.host.work
    assert box._folder != work.job.folder, "the case's measures are listed and drawn over another patient"
    begin(qtbot, both)
    both.desk.label = 1
    rendered = both.comparison.shown.rendered
    both.desk.viewer.dims.set_point(0, float(rendered.data_to_world(np.argwhere(np.asarray(rendered.data) == 1)[0])[0]))
    box.structure("area")
    assert len(box.measures.items) == 1, box.note.text()
    choose(qtbot, both, both.host.layers.scan)
    assert not box.measures.items, "a measure of another patient stands in the case"


def test_planes_draw_no_mask_of_the_case_over_the_scan_in_view(both, qtbot):
    both.host.corrected.layer.data[4:9, 4:9, 4:9] = 1
    both.host.corrected.compare()
    both.show_planes()
    drawn = [x.layer for x in both.planes._masks(both.desk.scan)]
    assert both.host.layers.mask not in drawn
    assert all(x is None or carrier_of(x).scan is both.desk.scan for x in drawn)


def begin(qtbot, dock):
    dock.tabs.setCurrentIndex(2)
    press(qtbot, dock.correct.begin)
    qtbot.waitUntil(lambda: dock.desk.corrected is not None)
    return dock.desk.corrected
