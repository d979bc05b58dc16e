"""Cases with an empty mask in the Learn tab: said in their row, and trained on only where a person ticks them."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

from tests.widgets.learn import hands
from tests.widgets.learn.hands import begin, usable
from tests.widgets.segment.test_dock_run import messages, press


def emptied(qtbot, dock, case):
    """Open a case and erase all of its mask; the stroke is in memory and in the journal, and not saved."""
    dock.host.go(case)
    qtbot.waitUntil(lambda: dock.host.corrected is not None and dock.host.case.id == case, timeout=20000)
    dock.host.corrected.layer.data[:] = 0
    dock.host.corrected.compare()
    assert dock.host.case.status == "corrected"


def said(table, case):
    row = hands.row(table, case)
    return table.item(row, 0).checkState() == Qt.CheckState.Checked, table.item(row, 1).text()


def test_an_empty_mask_is_said_and_not_ticked_until_a_person_does(dock, qtbot):
    tab, (case, *others) = dock.learn, usable(dock)
    qtbot.waitUntil(lambda: set(tab.learner.structures.found) >= {case, *others}, timeout=20000)
    assert said(tab.cases, case) == (True, "accepted") and set(tab.cases.ticked) == {case, *others}
    emptied(qtbot, dock, case)
    qtbot.waitUntil(lambda: said(tab.cases, case) == (False, "empty mask ⚠"), timeout=20000)
    assert set(tab.cases.ticked) == set(others) and "1 case with an empty mask" in tab.missing.whole
    assert "there is nothing" in tab.cases.item(hands.row(tab.cases, case), 0).toolTip()
    assert all(said(tab.cases, other) == (True, "accepted") for other in others)
    hands.check(tab.cases, case, True)
    assert case in tab.cases.ticked and tab.cases.sure == (case,) and "empty" not in tab.missing.whole
    made = begin(qtbot, dock)
    assert {source.name for source in made.plan.train} == {case, *others}


def test_a_mask_that_is_drawn_again_is_ticked_again_and_one_that_was_left_out_is_not(dock, qtbot):
    tab, (case, other, *_) = dock.learn, usable(dock)
    hands.check(tab.cases, other, False)
    emptied(qtbot, dock, case)
    qtbot.waitUntil(lambda: case not in tab.cases.ticked, timeout=20000)
    dock.host.corrected.undo()
    qtbot.waitUntil(lambda: case in tab.cases.ticked, timeout=20000)
    assert said(tab.cases, case) == (True, "corrected") and other not in tab.cases.ticked


def test_a_round_that_is_begun_before_the_masks_were_read_is_refused_and_names_the_case(dock, qtbot, monkeypatch):
    tab, (case, *_) = dock.learn, usable(dock)
    qtbot.waitUntil(lambda: not tab.learner.structures.busy and case in tab.learner.structures.found, timeout=20000)
    monkeypatch.setattr(tab.learner.structures, "look", lambda _cases: None)
    emptied(qtbot, dock, case)
    assert case in tab.cases.ticked
    press(qtbot, tab.bar.start)
    qtbot.waitUntil(lambda: not tab.learner.doing, timeout=20000)
    assert not tab.learner.view.alive and any(f"The mask of {case} is empty" in text for text in messages())
    assert np.asarray(dock.host.corrected.layer.data).max() == 0
