"""The Learn tab with rounds that train nothing: what it offers, what it begins, what it shows, what becomes of it."""

from __future__ import annotations

import time

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QPushButton

from napari_morse.session.learn import rounds
from napari_morse.session.project import Project, from_folders, with_patients
from napari_morse.widgets.docks import LearnAlone
from napari_morse.widgets.learn.event_log import RoundLog
from tests.widgets.learn import hands
from tests.widgets.learn.hands import begin, held, reopened, state, usable
from tests.widgets.segment.test_dock_run import messages, press
from tests.widgets.test_dock_looks import controls, cut

# What is offered


def test_without_a_project_it_says_where_to_begin(viewer, qtbot):
    tab = hands.opened(viewer, qtbot, None).learn
    assert "Project ▸ New…" in tab.about.text() and "Project ▸ New…" in tab.bar.start.toolTip()
    assert not tab.bar.start.isEnabled() and not tab.bar.pause.isEnabled() and not tab.bar.cancel.isEnabled()
    assert tab.cases.isHidden() and tab.curves.isHidden() and tab.log.isHidden() and tab.result.isHidden()
    assert tab.curves.plots is None


def test_without_an_accepted_case_it_says_the_next_step(viewer, qtbot, tmp_path, runs):
    dock = hands.opened(viewer, qtbot, hands.learning(tmp_path, accepted=False))
    assert "Accept a corrected case first" in dock.learn.about.text()
    assert "Accept a corrected case first" in dock.learn.bar.start.toolTip()
    assert dock.learn.cases.ticked == () and dock.learn.cases.rowCount() == len(held(dock))


def test_cases_are_counted_and_what_judges_cannot_be_ticked(dock, qtbot):
    tab, judges = dock.learn, held(dock)
    assert len(judges) == 2 and tab.about.text() == "Trains on 4 cases, judged on 2 (held out)."
    for case in judges:
        item = tab.cases.item(hands.row(tab.cases, case), 0)
        assert not item.flags() & Qt.ItemFlag.ItemIsUserCheckable
        assert tab.cases.item(item.row(), 1).text() == "judges only" and "never trained on" in item.toolTip()
    hands.check(tab.cases, usable(dock)[0], False)
    assert tab.about.text() == "Trains on 3 cases, judged on 2 (held out)."
    assert tab.cases.ticked == tuple(usable(dock)[1:])
    for case in usable(dock)[1:]:
        hands.check(tab.cases, case, False)
    assert not tab.bar.start.isEnabled() and "Tick a case" in tab.bar.start.toolTip()


def test_a_case_that_is_accepted_appears_and_an_unticked_one_stays_so(dock, qtbot):
    tab, (first, second, *_) = dock.learn, usable(dock)
    hands.check(tab.cases, second, False)
    dock.host.set_status([first], "in_review")
    qtbot.waitUntil(lambda: tab.cases.rowCount() == 5)
    assert tab.about.text() == "Trains on 2 cases, judged on 2 (held out)."
    dock.host.set_status([first], "corrected")
    qtbot.waitUntil(lambda: tab.cases.rowCount() == 6)
    assert second not in tab.cases.ticked and first in tab.cases.ticked
    assert tab.cases.item(hands.row(tab.cases, first), 1).text() == "corrected"


def test_held_out_cases_without_a_truth_or_with_a_flattering_one_are_said(viewer, qtbot, tmp_path, runs):
    folder = hands.scans(tmp_path / "scans", 4)
    project = Project.create(
        tmp_path / "study", with_patients(from_folders(folder), r"(P\d+)_"), name="s", reader="AB", holdout_share=0.5
    )
    first = next(case.id for case in project.cases() if case.held_out)
    project.set_truth_from(first, "from_model")
    project.set_status([first], "in_review")
    project.set_status([first], "accepted")
    tab = hands.opened(viewer, qtbot, project).learn
    assert "1 case held out without a truth" in tab.missing.whole and "1 of the truths" in tab.missing.whole
    assert "flatters" in tab.missing.toolTip() and "draw or accept one" in tab.missing.toolTip()
    assert tab.cases.item(hands.row(tab.cases, first), 1).text() == "judges only ⚠"


def test_the_model_of_the_segment_tab_is_tuned_under_a_free_name(dock, qtbot):
    choice = dock.learn.choice
    assert choice.base.currentText() == dock.segment.model.currentText() == hands.BASE
    assert choice.name.text() == f"{hands.BASE}-tuned-1"
    assert (choice.settings.what, choice.settings.minutes) == ("decoder", 2.0)
    dock.segment.model.setCurrentText("hippocampus-2d")
    dock.learn.refresh()
    assert choice.base.currentText() == "hippocampus-2d" and choice.name.text() == "hippocampus-2d-tuned-1"
    for wrong, why in (("no such name!", "letters"), (hands.BASE.upper(), "already")):
        choice.name.clear()
        qtbot.keyClicks(choice.name, wrong)
        assert not dock.learn.bar.start.isEnabled() and why in dock.learn.bar.start.toolTip()
    choice.name.clear()
    qtbot.keyClicks(choice.name, "mine")
    assert dock.learn.bar.start.isEnabled()


# A round


def test_start_writes_a_plan_with_the_ticked_cases_and_none_that_judges(dock, qtbot, runs):
    left_out = usable(dock)[1]
    hands.check(dock.learn.cases, left_out, False)
    dock.learn.choice.what.setCurrentIndex(0)
    dock.learn.choice.minutes.setCurrentIndex(3)
    dock.learn.choice.judges.setCurrentIndex(1)
    made = begin(qtbot, dock)
    plan = made.plan
    assert {s.name for s in plan.train} == set(usable(dock)) - {left_out}
    assert {s.name for s in plan.held_out} == set(held(dock)) and not plan.earlier
    assert (plan.settings.what, plan.settings.minutes, plan.by) == ("head", 10.0, "AB") and plan.leave_one_out
    assert plan.name == f"{hands.BASE}-tuned-1" and runs.begun[0][1] is False
    bar = dock.learn.bar
    assert not bar.start.isEnabled() and bar.pause.isEnabled() and bar.cancel.isEnabled()
    assert not dock.learn.choice.base.isEnabled() and not dock.learn.cases.isEnabled()


def test_a_stroke_just_before_start_is_learned_from(dock, qtbot, runs):
    first = usable(dock)[0]
    dock.host.go(first)
    qtbot.waitUntil(lambda: dock.host.corrected is not None and dock.host.case.id == first, timeout=20000)
    dock.host.corrected.layer.data[0, 0, 0] = 2
    made = begin(qtbot, dock)
    labels = next(s.labels for s in made.plan.train if s.name == first)
    assert (np.asarray(nib.load(labels).dataobj) == 2).sum() == 1


def test_a_round_that_cannot_be_made_says_why_and_leaves_nothing(dock, qtbot, runs, tmp_path):
    first = usable(dock)[0]
    dock.host.go(first)
    qtbot.waitUntil(lambda: dock.host.corrected is not None and dock.host.case.id == first, timeout=20000)
    dock.host.corrected.layer.data[0, 0, 0] = 9
    dock.learn.new.box.setChecked(False)
    press(qtbot, dock.learn.bar.start)
    qtbot.waitUntil(lambda: any("holds the label 9" in text for text in messages()), timeout=20000)
    qtbot.waitUntil(lambda: "holds label 9" in dock.learn.bar.start.toolTip(), timeout=20000)
    assert rounds(tmp_path / "study") == [] and not runs.begun and not dock.learner.doing


# While it runs


def test_curves_bar_and_log_follow_what_is_told(dock, qtbot, runs):
    tab, made = dock.learn, begin(qtbot, dock)
    assert "reading the cases" in tab.bar.line.text()
    hands.halfway(made, 0)
    qtbot.waitUntil(lambda: "about 100 steps" in tab.bar.line.text(), timeout=5000)
    hands.halfway(made)
    qtbot.waitUntil(lambda: tab.bar.bar.value() == 400, timeout=5000)
    assert tab.bar.line.text().startswith("step 40 of 100, loss 0.") and "1 min 0 s left" in tab.bar.line.text()
    assert tab.curves.isVisible() and tab.curves.plots.loss.isVisible() and tab.curves.plots.held.isVisible()
    assert len(tab.curves.plots.lines["raw"].xData) == 40
    np.testing.assert_allclose(tab.curves.plots.lines["dice"].yData, [0.80, 0.825, 0.85])
    np.testing.assert_allclose(tab.curves.plots.lines["hd95"].yData, [4.0, 3.5, 3.0])
    assert tab.curves.plots.lines["dice base"].value() == 0.80 and tab.curves.plots.lines["hd95 base"].value() == 4.0
    assert "P00_t1: read" in tab.log.toPlainText()
    hands.tell(made, "step", step=100, loss=0.2, left=0.0)
    qtbot.waitUntil(lambda: "judging" in tab.bar.line.text(), timeout=5000)


def test_pause_go_on_and_cancel_reach_the_round(dock, qtbot, runs):
    bar, made = dock.learn.bar, begin(qtbot, dock)
    hands.halfway(made)
    press(qtbot, bar.pause)
    assert hands.wanted(made) == "pause" and bar.line.text() == "pausing" and not bar.pause.isEnabled()
    hands.tell(made, "paused")
    state(qtbot, dock, "paused")
    assert bar.pause.text() == "Go on" and bar.line.text().startswith("paused")
    press(qtbot, bar.pause)
    assert hands.wanted(made) == "go"
    hands.tell(made, "going")
    state(qtbot, dock, "running")
    assert bar.pause.text() == "Pause"
    press(qtbot, bar.cancel)
    assert hands.wanted(made) == "cancel" and bar.line.text() == "cancelling" and not bar.cancel.isEnabled()
    hands.tell(made, "cancelled")
    hands.die(made)
    state(qtbot, dock, "cancelled")
    assert "Cancelled" in bar.line.text() and bar.start.isEnabled() and not dock.learner._timer.isActive()


def test_a_round_that_does_not_obey_is_ended_within_two_seconds(dock, qtbot, runs, monkeypatch):
    made = begin(qtbot, dock)
    monkeypatch.setattr(type(made), "_kill", hands.die)
    begun = time.monotonic()
    press(qtbot, dock.learn.bar.cancel)
    state(qtbot, dock, "cancelled")
    assert time.monotonic() - begun < 2.5


def test_cancel_while_masks_are_copied_leaves_no_round(dock, qtbot, runs, tmp_path):
    press(qtbot, dock.learn.bar.start)
    assert dock.learner.doing == "preparing" and "copying" in dock.learn.bar.line.text()
    press(qtbot, dock.learn.bar.cancel)
    qtbot.waitUntil(lambda: not dock.learner.doing and not dock.learner.runner.busy, timeout=10000)
    assert rounds(tmp_path / "study") == [] and not runs.begun


def test_a_round_that_failed_says_why(dock, qtbot, runs):
    made = begin(qtbot, dock)
    hands.tell(made, "failed", text="There is not enough memory. Close other programs, or tune the head.")
    hands.die(made)
    state(qtbot, dock, "failed")
    assert "tune the head" in dock.learn.bar.line.text() and any("tune the head" in text for text in messages())
    assert dock.learn.bar.start.isEnabled()


# Closing, and found again


def test_a_round_outlives_the_dock_and_is_found_again(viewer, dock, qtbot, runs, tmp_path):
    made = begin(qtbot, dock)
    hands.halfway(made)
    qtbot.waitUntil(lambda: dock.learn.bar.bar.value() == 400, timeout=5000)
    again = reopened(viewer, qtbot, dock, tmp_path)
    assert hands.wanted(made) == "go"
    state(qtbot, again, "running")
    qtbot.waitUntil(lambda: again.learn.bar.bar.value() == 400, timeout=5000)
    assert len(again.learn.curves.plots.lines["raw"].xData) == 40 and "P00_t1: read" in again.learn.log.toPlainText()
    hands.tell(made, "step", step=41, loss=0.3, left=59.0)
    qtbot.waitUntil(lambda: again.learn.bar.bar.value() == 410, timeout=5000)
    assert len(runs.begun) == 1


def test_a_round_ends_with_the_dock_where_that_is_wanted(viewer, dock, qtbot, runs):
    made = begin(qtbot, dock)
    dock.learn.bar.stays.setChecked(False)
    viewer.window.remove_dock_widget(dock)
    assert hands.wanted(made) == "cancel"


def test_a_stopped_round_can_go_on(viewer, dock, qtbot, runs, tmp_path):
    made = begin(qtbot, dock)
    hands.halfway(made)
    hands.die(made)
    state(qtbot, dock, "stopped")
    again = reopened(viewer, qtbot, dock, tmp_path)
    state(qtbot, again, "stopped")
    bar = again.learn.bar
    assert "can go on" in bar.line.text() and bar.pause.text() == "Go on" and bar.start.isEnabled()
    press(qtbot, bar.pause)
    assert runs.begun[-1][1] is True
    state(qtbot, again, "running")
    hands.tell(made, "prepared", steps=100, resumed=True)
    hands.tell(made, "step", step=31, loss=0.3, left=69.0)
    qtbot.waitUntil(lambda: bar.bar.value() == 310, timeout=5000)
    assert again.learner.view.log.steps == list(range(1, 32))
    assert [c.step for c in again.learner.view.log.checks] == [0, 20]


def test_another_project_shows_its_own_rounds(viewer, dock, qtbot, runs, tmp_path):
    begin(qtbot, dock)
    (tmp_path / "b").mkdir()
    dock.host.take(hands.learning(tmp_path / "b"))
    qtbot.waitUntil(lambda: dock.host.work is not None and not dock.learner.finder.busy, timeout=20000)
    assert not dock.learner.view.state and not dock.learner.view.log.lines
    qtbot.waitUntil(dock.learn.bar.start.isEnabled, timeout=5000)


def test_the_tab_alone_follows_the_same_round(viewer, dock, qtbot, runs):
    widget = LearnAlone(viewer)
    around = viewer.window.add_dock_widget(widget, name="alone", area="right")
    qtbot.waitUntil(lambda: widget.part is not None)
    made = begin(qtbot, dock)
    hands.halfway(made)
    qtbot.waitUntil(lambda: widget.part.bar.bar.value() == 400, timeout=5000)
    viewer.window.remove_dock_widget(dock)
    assert widget.part is None
    viewer.window.remove_dock_widget(around)


# The verdict


def test_the_verdict_is_shown_worst_first_and_kept(viewer, qtbot, tmp_path, project, runs):
    made, verdict = hands.over(tmp_path, project)
    dock = hands.opened(viewer, qtbot, project)
    tab, result = dock.learn, dock.learn.result
    state(qtbot, dock, "done")
    qtbot.waitUntil(result.isVisible)
    assert result.sentence.text() == verdict.sentence and "fewer than 6 cases" in verdict.sentence
    worst = verdict.worst()[0].case
    assert [result.table.item(r, 0).text() for r in range(3)] == ["mean of 2", worst, verdict.worst()[1].case]
    assert result.table.item(1, 1).text() == "0.800\n→ 0.820" and result.table.item(0, 1).text() == "0.800\n→ 0.830"
    assert "too few cases" in result.table.item(0, 0).toolTip() and "0.981" in result.samples.whole
    assert not tab.bar.start.isEnabled() and "Keep or discard" in tab.bar.start.toolTip()
    assert not result.roll_back.isEnabled() and "Keep the model first" in result.roll_back.toolTip()
    press(qtbot, result.keep)
    qtbot.waitUntil(lambda: dock.segment.model.currentText() == f"{hands.BASE}-tuned-1", timeout=30000)
    assert (tmp_path / "models" / f"{hands.BASE}-tuned-1").is_dir() and made.decision == "kept"
    assert "Kept" in result.done.text() and not result.keep.isEnabled() and result.roll_back.isEnabled()
    assert tab.bar.start.isEnabled() and tab.choice.base.currentText() == f"{hands.BASE}-tuned-1"
    assert tab.choice.name.text() == f"{hands.BASE}-tuned-2"
    press(qtbot, result.roll_back)
    qtbot.waitUntil(lambda: dock.segment.model.currentText() == hands.BASE, timeout=10000)
    assert made.decision == "rolled_back" and "Rolled back" in result.done.text() and result.isVisible()
    told = [entry.details for entry in project.audit() if entry.act == "learning"]
    assert [(t["what"], t["round"]) for t in told] == [("kept", 1), ("rolled_back", 1)] and not project.verify()


def test_discarded_the_verdict_stays(viewer, qtbot, tmp_path, project, runs):
    made, _verdict = hands.over(tmp_path, project)
    dock = hands.opened(viewer, qtbot, project)
    result = dock.learn.result
    qtbot.waitUntil(result.isVisible, timeout=10000)
    press(qtbot, result.discard)
    qtbot.waitUntil(lambda: "Discarded" in result.done.text(), timeout=10000)
    assert made.decision == "discarded" and not (made.folder / "model").exists()
    assert result.sentence.isVisible() and not result.keep.isEnabled() and not result.roll_back.isEnabled()
    assert dock.segment.model.currentText() == hands.BASE and dock.learn.bar.start.isEnabled()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_is_cut_at_340_by_720(viewer, qtbot, tmp_path, project, runs, theme):
    viewer.theme = theme
    hands.over(tmp_path, project, model=False)
    dock = hands.opened(viewer, qtbot, project)
    viewer.window.resize(1000, 860 - dock.height() + 720)
    qtbot.waitUntil(lambda: (dock.width(), dock.height()) == (340, 720))
    qtbot.waitUntil(dock.learn.result.isVisible, timeout=10000)
    qtbot.wait(100)
    kinds = (QLabel, QPushButton, QCheckBox, QComboBox)
    seen = [w for w in dock.learn.findChildren(kinds) if w.isVisible()]
    assert [why for why in map(cut, seen) if why] == []
    for widget in [*seen, dock.learn.curves.plots.held, dock.learn.log]:
        assert widget.mapTo(dock, widget.rect().topRight()).x() <= 340, widget
    table = dock.learn.result.table
    for column in range(1, 5):
        lines = [line for r in range(3) for line in table.item(r, column).text().splitlines()]
        assert table.columnWidth(column) >= max(map(table.fontMetrics().horizontalAdvance, lines)) + 4
    for widget in controls(dock.learn):
        assert widget.toolTip(), widget


def test_a_story_passes_over_what_it_does_not_know():
    story = RoundLog()
    story.feed([{"event": "news"}, {"event": "log", "text": "a"}, {"event": "step", "step": 1, "loss": 2}])
    assert list(story.lines) == ["a"] and story.losses == [2.0] and story.fraction == 0.0
