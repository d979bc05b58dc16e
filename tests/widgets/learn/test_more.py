"""The Learn tab beyond tuning as it is: rounds that failed and go on, structures that are new, models that are."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QInputDialog

from napari_morse import zoo
from napari_morse.errors import MorseError
from napari_morse.session.learn import rounds
from tests.widgets.learn import hands
from tests.widgets.learn.hands import begin, held, reopened, state, usable
from tests.widgets.segment.test_dock_run import messages, press

# A round that failed


def test_a_round_that_failed_goes_on_and_its_old_end_is_forgotten(viewer, dock, qtbot, runs, tmp_path):
    made, trouble = begin(qtbot, dock), "There is no space left on the disk. Make some."
    hands.halfway(made)
    hands.tell(made, "failed", text=trouble)
    hands.die(made)
    state(qtbot, dock, "failed")
    bar = dock.learn.bar
    assert trouble in bar.line.text() and "Go on tries again" in bar.line.text() and bar.pause.text() == "Go on"
    again = reopened(viewer, qtbot, dock, tmp_path)
    state(qtbot, again, "failed")
    bar = again.learn.bar
    assert trouble in bar.line.text() and bar.start.isEnabled()
    press(qtbot, bar.pause)
    state(qtbot, again, "running")
    assert runs.begun[-1][1] is True and trouble not in bar.line.text() and not bar.start.isEnabled()
    assert trouble in again.learner.view.log.lines  # in the log it stays
    hands.die(made)
    state(qtbot, again, "stopped")
    assert trouble not in bar.line.text() and "can go on" in bar.line.text()
    third = reopened(viewer, qtbot, again, tmp_path)
    state(qtbot, third, "stopped")
    press(qtbot, third.learn.bar.pause)
    state(qtbot, third, "running")


def test_another_round_can_be_begun_after_one_that_failed(dock, qtbot, runs, tmp_path):
    made = begin(qtbot, dock)
    hands.tell(made, "failed", text="There is not enough memory.")
    hands.die(made)
    state(qtbot, dock, "failed")
    other = begin(qtbot, dock)
    assert other.folder != made.folder and runs.begun[-1] == (other, False) and len(rounds(tmp_path / "study")) == 2


# New structures


def paint(qtbot, dock, case, label):
    dock.host.go(case)
    qtbot.waitUntil(lambda: dock.host.corrected is not None and dock.host.case.id == case, timeout=20000)
    dock.host.corrected.layer.data[0, 0, 0] = label
    dock.host.corrected.compare()


def test_a_painted_structure_that_the_model_does_not_know_is_offered_and_learned(dock, qtbot, runs):
    tab, first = dock.learn, usable(dock)[0]
    assert tab.new.isHidden()
    paint(qtbot, dock, first, 9)
    qtbot.waitUntil(lambda: tab.new.which.text() == "label 9 (in 1 of 4 cases)", timeout=20000)
    assert tab.new.isVisible() and tab.new.on and first in tab.new.which.toolTip() and tab.bar.start.isEnabled()
    tab.choice.what.setCurrentIndex(0)
    assert "A head alone cannot learn label 9" in tab.bar.start.toolTip() and not tab.bar.start.isEnabled()
    tab.choice.what.setCurrentIndex(1)
    tab.new.box.setChecked(False)
    assert f"{first} holds label 9, which {hands.BASE} does not know" in tab.bar.line.text()
    assert not tab.bar.start.isEnabled() and tab.new.isVisible()
    hands.check(tab.cases, first, False)
    assert tab.new.isHidden() and tab.bar.start.isEnabled()
    hands.check(tab.cases, first, True)
    tab.new.box.setChecked(True)
    made = begin(qtbot, dock)
    assert [(entry.id, entry.name) for entry in made.plan.new_labels] == [(9, "label 9")]
    taken = {entry.color for entry in zoo.find(hands.BASE).card.labels}
    assert made.plan.new_labels[0].color not in taken and not tab.new.box.isEnabled()


def test_a_structure_that_is_painted_over_again_is_offered_no_more(dock, qtbot, runs):
    paint(qtbot, dock, usable(dock)[0], 9)
    qtbot.waitUntil(dock.learn.new.isVisible, timeout=20000)
    dock.host.corrected.undo()
    qtbot.waitUntil(dock.learn.new.isHidden, timeout=20000)


def test_held_out_cases_that_the_model_cannot_be_judged_by_are_named(viewer, qtbot, runs, tmp_path):
    project = hands.learning(tmp_path, truth=9)
    judges = [case for case in project.cases() if case.held_out]
    made, _ = hands.over(tmp_path, project)
    assert made.plan.passed_over == tuple(case.id for case in judges) and len(judges) == 2
    dock = hands.opened(viewer, qtbot, project)
    state(qtbot, dock, "done")
    told, names = dock.learn.result.unjudged, " and ".join(case.stem for case in judges)
    qtbot.waitUntil(told.isVisible, timeout=20000)
    assert told.text() == f"Not judged: {names}; their truths hold structures that the model does not know."


# A new model


def anew(qtbot, dock):
    """Choose it with the mouse's ways."""
    base = dock.learn.choice.base
    base.setCurrentIndex(base.count() - 1)
    base.activated.emit(base.count() - 1)


def test_a_new_model_is_offered_and_begun_with_what_the_masks_hold(dock, qtbot, runs):
    tab, choice = dock.learn, dock.learn.choice
    qtbot.waitUntil(lambda: len(dock.learner.structures.found) == 4, timeout=20000)
    assert tab.new.isHidden()
    anew(qtbot, dock)
    assert choice.base.currentText() == "new, from these labels" and choice.name.text() == "new-model-1"
    assert tab.new.which.text() == "Learns: anterior hippocampus (in 4 of 4 cases)" and tab.new.box.isHidden()
    assert choice.what.currentText() == "everything" and choice.judges.currentText() == "held-out cases"
    assert not choice.what.isEnabled() and "everything" in choice.what.toolTip() and not choice.judges.isEnabled()
    assert choice.minutes.currentText() == "as the cases need" and tab.bar.start.isEnabled()
    tab.refresh()
    assert choice.base.currentText() == "new, from these labels"
    plan = begin(qtbot, dock).plan
    assert plan.model == "" and plan.anew.whole and not plan.leave_one_out and plan.settings.what == "all"
    assert [(entry.id, entry.name) for entry in plan.new_labels] == [(1, "anterior hippocampus")]
    assert {s.name for s in plan.train} == set(usable(dock)) and {s.name for s in plan.held_out} == set(held(dock))
    assert choice.model == "" and tab.new.which.text().startswith("Learns: ")  # still what runs


def test_its_time_can_be_given_and_a_model_that_is_tuned_has_no_open_end(dock, qtbot, runs):
    tab, choice = dock.learn, dock.learn.choice
    anew(qtbot, dock)
    choice.minutes.setCurrentIndex(4)
    assert choice.minutes.currentText() == "10 min"
    plan = begin(qtbot, dock).plan
    assert not plan.anew.whole and plan.settings.minutes == 10.0
    hands.tell(dock.learner.view.round, "cancelled")
    hands.die(dock.learner.view.round)
    state(qtbot, dock, "cancelled")
    choice.base.setCurrentText(hands.BASE)
    assert choice.minutes.count() == 6 and choice.minutes.currentText() == "2 min" and choice.what.isEnabled()
    assert choice.what.currentText() == "head and decoder"
    assert tab.choice.name.text() == f"{hands.BASE}-tuned-1"


def test_a_new_model_says_which_recipe_and_how_long_and_is_found_again(viewer, dock, qtbot, runs, tmp_path):
    anew(qtbot, dock)
    made = begin(qtbot, dock)
    assert dock.learn.bar.line.text() == "reading the cases" and dock.learn.recipe.isHidden()
    hands.fitting(made, 0)
    qtbot.waitUntil(lambda: dock.learn.bar.line.text() == "1500 steps, about 12 min 5 s", timeout=5000)
    assert dock.learn.recipe.text() == hands.WHY and dock.learn.recipe.isVisible()
    again = reopened(viewer, qtbot, dock, tmp_path)
    state(qtbot, again, "running")
    assert again.learn.recipe.text() == hands.WHY and again.learn.recipe.isVisible()
    hands.tell(made, "step", step=1, loss=0.5, left=60.0)
    qtbot.waitUntil(lambda: again.learn.bar.line.text().startswith("step 1 of 1500"), timeout=5000)


def test_the_verdict_of_a_new_model_has_no_before_and_nothing_to_go_back_to(viewer, qtbot, tmp_path, project, runs):
    made, verdict = hands.over(tmp_path, project, hands.fitting, base="")
    dock = hands.opened(viewer, qtbot, project)
    result = dock.learn.result
    qtbot.waitUntil(result.isVisible, timeout=10000)
    assert result.sentence.text() == verdict.sentence
    assert verdict.sentence == (
        "New model: mean Dice 0.830, ASD 1.00 mm over 2 held-out cases; there is no base model to compare it with."
    )
    worst = verdict.worst()[0].case
    rows = [[result.table.item(r, c).text() for c in (0, 1, 2)] for r in range(2)]
    assert rows == [["mean of 2", "0.830", "3.0"], [worst, "0.820", "3.0"]] and result.samples.isHidden()
    assert not result.roll_back.isEnabled() and "no base model" in result.roll_back.toolTip()
    press(qtbot, result.show_case)
    qtbot.waitUntil(lambda: len(dock.learner.before_after.layers) == 2 and viewer.canvas.grid.enabled, timeout=20000)
    truth, new = dock.learner.before_after.layers.values()
    assert dock.comparison.titles.text == (f"truth\n{worst}", f"new model\n{worst}") and dock.host.case.id == worst
    assert (truth.contour, new.contour) == (0, 0) and np.any(np.asarray(truth.data)) and truth in viewer.layers
    press(qtbot, result.keep)
    qtbot.waitUntil(lambda: dock.segment.model.currentText() == "new-model-1", timeout=30000)
    assert made.decision == "kept" and "Kept as new-model-1" in result.done.text() and not result.roll_back.isEnabled()
    assert dock.learn.choice.base.currentText() == "new-model-1"
    assert dock.learn.choice.name.text() == "new-model-1-tuned-1"
    with pytest.raises(MorseError, match="no base model"):
        made.roll_back("AB")


# A structure that a person adds


@pytest.fixture
def answers(monkeypatch):
    """What is typed when a name is asked for, in this order; None: the dialog is closed."""
    given = []

    def ask(*_args, text=""):
        answer = given.pop(0)
        answer = answer(text) if callable(answer) else answer
        return answer or "", answer is not None

    monkeypatch.setattr(QInputDialog, "getText", ask)
    return given


def go(qtbot, dock, case):
    dock.host.go(case)
    qtbot.waitUntil(lambda: dock.host.corrected is not None and dock.host.case.id == case, timeout=20000)
    dock.tabs.setCurrentIndex(1)


def names(dock):
    labels = dock.correct.labels
    return [labels.item(row, 0).text() for row in range(labels.rowCount())]


def rename(dock, row):
    dock.correct.labels.itemDoubleClicked.emit(dock.correct.labels.item(row, 0))


def test_a_structure_is_added_named_drawn_and_learned_by_its_name(dock, qtbot, runs, answers):
    go(qtbot, dock, usable(dock)[0])
    tab, layer, before = dock.correct, dock.host.corrected.layer, names(dock)
    answers += [None, "lesion"]
    press(qtbot, tab.another)
    assert names(dock) == before and dock.active_case.own == ()
    press(qtbot, tab.another)
    added = dock.active_case.own[-1]
    assert names(dock) == [*before, "lesion"] and layer.selected_label == added.id
    assert added.id > max(entry.id for info in zoo.available() for entry in info.card.labels)
    assert not np.allclose(layer.get_color(added.id), layer.get_color(added.id + 40))  # not as what nobody named
    layer.data[0, 0, 0] = added.id
    dock.host.corrected.compare()
    assert (dock.host.corrected.corrections.mask == added.id).any()
    dock.tabs.setCurrentIndex(3)
    qtbot.waitUntil(lambda: dock.learn.new.which.text() == "lesion (in 1 of 4 cases)", timeout=20000)
    made = begin(qtbot, dock)
    assert [(entry.id, entry.name) for entry in made.plan.new_labels] == [(added.id, "lesion")]
    hands.die(made)


def test_an_added_structure_is_there_in_every_case_and_can_be_renamed(dock, qtbot, answers):
    one, other = usable(dock)[:2]
    go(qtbot, dock, one)
    answers += ["lesion", lambda before: before + " core", " ", "Anterior hippocampus"]
    press(qtbot, dock.correct.another)
    go(qtbot, dock, other)
    last = len(names(dock)) - 1
    assert names(dock)[last] == "lesion"
    rename(dock, 0)  # a model's stays as it is
    assert len(answers) == 3
    rename(dock, last)
    assert names(dock)[last] == "lesion core"
    for why in ("1 to 60 characters", "already"):
        rename(dock, last)
        assert why in messages()[-1] and names(dock)[last] == "lesion core"


def test_a_name_goes_nowhere_else_than_where_it_was_asked_for(dock, qtbot, answers):
    one, other = usable(dock)[:2]
    go(qtbot, dock, one)

    def elsewhere(_before):
        go(qtbot, dock, other)
        return "lesion"

    answers.append(elsewhere)
    press(qtbot, dock.correct.another)
    assert dock.active_case.own == () and dock.host.case.id == other
