"""Which of the open scans a new dock takes: the one that is looked at."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtWidgets import QApplication

from napari_morse.types import Grid
from tests.fakes import make_scan
from tests.widgets.conftest import add_scan
from tests.widgets.plugin_hands import CLOSE, around, title_bar
from tests.widgets.test_docks_life import morse, window  # noqa: F401 (a fixture)
from tests.widgets.view.test_stage import check_one_patient, choose


def elsewhere(stem, seed):
    """A scan that lies far from the others."""
    scan = make_scan(stem=stem, seed=seed)
    affine = np.array(scan.grid.affine)
    affine[:3, 3] += 400 * seed
    return type(scan)(scan.data, Grid(scan.grid.shape, affine), stem, source=scan.source)


def brightness(viewer):
    QApplication.processEvents()
    picture = np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3]
    return float(picture[picture.shape[0] // 2 - 40 : picture.shape[0] // 2 + 40].mean())


def reopened(viewer, dock, qtbot):
    title_bar(around(dock), CLOSE, qtbot)
    return morse(viewer, qtbot)


@pytest.mark.parametrize("wanted", ["case", "Berta", "Carla"])
def test_a_dock_that_is_opened_again_takes_the_scan_in_view(window, qtbot, wanted):  # noqa: F811
    dock = morse(window, qtbot)
    for seed, stem in enumerate(("Berta", "Carla"), start=1):
        add_scan(window, elsewhere(stem, seed))
    choose(qtbot, dock, window.layers[wanted])
    before = brightness(window)
    dock = reopened(window, dock, qtbot)
    assert dock.segment.scans.layer.name == dock.segment.scans.combo.currentText() == wanted
    check_one_patient(window, dock)
    assert [layer.name for layer in window.layers if isinstance(layer, Image) and layer.visible] == [wanted]
    assert brightness(window) == pytest.approx(before, abs=5) and before > 20


def test_where_no_scan_is_visible_the_last_is_taken(window, qtbot):  # noqa: F811
    dock = morse(window, qtbot)
    title_bar(around(dock), CLOSE, qtbot)
    add_scan(window, elsewhere("Berta", 1))
    for layer in window.layers:
        layer.visible = False
    assert morse(window, qtbot).segment.scans.layer.name == "Berta"


def test_of_several_visible_scans_the_topmost_is_taken(window, qtbot):  # noqa: F811
    title_bar(around(morse(window, qtbot)), CLOSE, qtbot)
    for seed, stem in enumerate(("Berta", "Carla"), start=1):
        add_scan(window, elsewhere(stem, seed))
    window.layers["Carla"].visible = False
    dock = morse(window, qtbot)
    assert dock.segment.scans.layer.name == "Berta"
    check_one_patient(window, dock)
