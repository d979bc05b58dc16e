"""A held-out case before and after a round: side by side, the truth over both, until something else is compared."""

from __future__ import annotations

import numpy as np

from tests.widgets.learn import hands
from tests.widgets.segment.test_dock_run import press


def test_a_held_out_case_is_shown_before_and_after_side_by_side(viewer, qtbot, tmp_path, project, runs):
    _, verdict = hands.over(tmp_path, project, model=False)
    dock = hands.opened(viewer, qtbot, project)
    result, worst = dock.learn.result, verdict.worst()[0].case
    qtbot.waitUntil(result.isVisible, timeout=10000)
    press(qtbot, result.show_case)
    before, after, truth = shown(viewer, qtbot, dock)
    assert dock.host.case.id == worst and dock.comparison.mode == "side"
    assert dock.comparison.titles.text == (f"before\n{worst}", f"after\n{worst}")
    assert [layer.name for layer in (before, after, truth)] == [f"{n} · {worst}" for n in ("before", "after", "truth")]
    scan = dock.host.layers.scan
    for layer in (before, after, truth):
        assert layer in viewer.layers and layer.data.shape == scan.data.shape and not layer.editable
        np.testing.assert_allclose(layer.scale, scan.scale)
        np.testing.assert_allclose(layer.translate, scan.translate)
    assert (before.contour, after.contour, truth.contour) == (0, 0, 1)
    half = viewer.canvas.grid.stride
    cells = [list(viewer.layers)[:half], list(viewer.layers)[half : 2 * half]]
    assert before in cells[0] and after in cells[1] and truth in cells[0]
    assert [layer.name for layer in cells[1] if "truth" in layer.name]
    assert (np.asarray(before.data) > 0).sum() < (np.asarray(after.data) > 0).sum()
    other = verdict.worst()[1].case
    result.table.itemDoubleClicked.emit(result.table.item(hands.row(result.table, other), 2))
    qtbot.waitUntil(lambda: after not in viewer.layers and len(dock.learner.before_after.layers) == 3, timeout=20000)
    assert dock.host.case.id == other


def shown(viewer, qtbot, dock):
    """The three layers, once they stand in their cells."""
    qtbot.waitUntil(lambda: len(dock.learner.before_after.layers) == 3 and viewer.canvas.grid.enabled, timeout=20000)
    found = dock.learner.before_after.layers
    return found["before"], found["after"], found["truth"]


def test_a_run_takes_the_place_of_before_and_after(viewer, qtbot, tmp_path, project, runs):
    hands.over(tmp_path, project, model=False)
    dock = hands.opened(viewer, qtbot, project)
    qtbot.waitUntil(dock.learn.result.isVisible, timeout=10000)
    press(qtbot, dock.learn.result.show_case)
    layers = shown(viewer, qtbot, dock)
    dock.comparison.mode = "difference"
    qtbot.waitUntil(lambda: dock.comparison.differences.shown.there, timeout=10000)
    assert dock.comparison.titles.text[0] == f"before to after\n{dock.host.case.id}"
    dock.surfaces.start()
    assert not dock.surfaces.active and dock.comparison.shown is not None
    dock.segment.run()
    qtbot.waitUntil(lambda: not set(layers) & set(viewer.layers), timeout=20000)
    qtbot.waitUntil(lambda: dock.comparison.shown is not None, timeout=20000)
    assert dock.comparison.shown.names == ("coarse", "rendered") and not dock.learner.before_after.layers
