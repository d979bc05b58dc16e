"""Who is woken by a stroke: those who draw it, and nobody else; the others look a moment later, once."""

from __future__ import annotations

import numpy as np

from napari_morse.widgets.case.corrected_layer import REST
from tests.fakes import make_scan
from tests.widgets.case.test_one_patient import begin
from tests.widgets.conftest import add_scan
from tests.widgets.correct.test_sharpen import stroke
from tests.widgets.project.test_window import at, project  # noqa: F401 (a fixture)
from tests.widgets.segment.test_dock_run import run_through


def listeners(dock):
    """How many hear of a stroke before the call that made it returns; a relay counts as those behind it."""
    layer, active_case = dock.active_case.corrected, dock.active_case
    assert len(layer.case.edited) == 1, "but for its layer, nobody listens to the case itself"
    assert len(layer.corrections.changed) == 1, "who watches what is not on the disk"
    relayed = layer.receivers(layer.acted) - 1 + active_case.receivers(active_case.acted)
    return relayed + layer.receivers(layer.stroked)


def test_a_stroke_is_followed_by_three_at_most(viewer, dock, qtbot):
    add_scan(viewer, make_scan())
    run_through(qtbot, dock)
    begin(qtbot, dock)
    dock.show_planes()
    assert 1 <= listeners(dock) <= 3


def test_of_a_project_too(viewer, dock, qtbot, project):  # noqa: F811
    dock.ahead.set_enabled(False)
    dock.host.take(project)
    at(qtbot, dock, 1)
    dock.show_worklist()
    dock.show_planes()
    assert 1 <= listeners(dock) <= 3


def test_strokes_that_follow_each_other_wake_the_others_once(viewer, dock, qtbot, project):  # noqa: F811
    dock.ahead.set_enabled(False)
    dock.host.take(project)
    at(qtbot, dock, 1)
    corrected = dock.host.corrected
    stroke(dock, value=1)
    corrected.rest()
    assert dock.host.case.status == "corrected"
    rests, changes = [], []
    corrected.rested.connect(rests.append)
    dock.host.changed.connect(lambda: changes.append(1))
    for corner in ((2, 2, 2), (4, 2, 2), (6, 2, 2)):
        stroke(dock, corner, (2, 2, 1), 2)
    qtbot.waitUntil(lambda: bool(rests), timeout=20 * REST)
    qtbot.wait(2 * REST)
    (rest,) = rests
    assert len(rest.strokes) == 3 and rest.box.start[0] == 2 and rest.box.stop[0] == 8
    assert not changes, "nothing of the project changed, and all who show it looked again"
    assert np.count_nonzero(corrected.corrections.mask == 2) >= 12
