"""An empty mask, or one without what the model found, is decided on only after a question: by mouse and by key."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDialogButtonBox

from napari_morse.session.project import Project, from_folders, with_patients
from tests.fakes import FakeEngine
from tests.widgets.conftest import add_dock
from tests.widgets.project.test_more import opened, paint, settled, study
from tests.widgets.project.test_window import at, scans
from tests.widgets.questions import Answers
from tests.widgets.segment.test_dock_run import messages, press

BOX = np.s_[2:6, 3:9, 4:8]


@pytest.fixture
def answers():
    made = []
    notification_manager.records.clear()

    def begin(*texts):
        made.append(Answers(*texts))
        return made[-1]

    yield begin
    for each in made:
        each.stop()


def accept_by_key(viewer, qtbot, dock):
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_Y, Qt.KeyboardModifier.ShiftModifier)


def accept_by_mouse(viewer, qtbot, dock):
    press(qtbot, dock.case_bar.accept)


def trail(dock):
    return [(entry.act, entry.case) for entry in dock.host.project.audit() if entry.act != "time"]


def files(dock):
    folder = dock.host.work.folder
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_empty_mask_is_accepted_only_when_one_says_so(viewer, qtbot, tmp_path, answers):
    dock = opened(viewer, qtbot, study(tmp_path))
    before = trail(dock), files(dock)
    asked = answers("Cancel", "Cancel")
    for way in (accept_by_mouse, accept_by_key):
        way(viewer, qtbot, dock)
        assert asked.asked.pop() == "The mask is empty.\n\nAccept it all the same?" and asked.defaults.pop() == "Cancel"
        assert dock.host.case.status == "in_review" and (trail(dock), files(dock)) == before
    for way in (accept_by_mouse, accept_by_key):
        asked.texts[:] = ["Accept"]
        way(viewer, qtbot, dock)
        assert dock.host.case.status == "accepted" and len(asked.asked) == 1
        asked.asked.clear()
        dock.host.project.undo_status("P00_t1")


def test_escape_and_enter_say_no(viewer, qtbot, tmp_path, answers):
    dock = opened(viewer, qtbot, study(tmp_path))
    pressed = answers()
    for count, key in enumerate((Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter), 1):
        pressed.act = lambda box, key=key: QTest.keyClick(box, key)
        press(qtbot, dock.case_bar.accept)
        assert len(pressed.asked) == count and dock.host.case.status == "in_review"


def test_a_mask_with_something_in_it_is_accepted_without_a_question_and_the_last_stroke_counts(
    viewer, qtbot, tmp_path, answers
):
    dock = opened(viewer, qtbot, study(tmp_path))
    asked = answers("Cancel")
    layer = dock.host.corrected.layer
    layer.data[BOX] = 1  # without an event, as a script writes
    press(qtbot, dock.case_bar.accept)
    assert not asked.asked and dock.host.case.status == "accepted"
    layer.data[BOX] = 0
    dock.host.corrected.compare()
    press(qtbot, dock.case_bar.accept)
    assert len(asked.asked) == 1 and dock.host.case.status == "corrected"


def test_a_structure_that_the_model_found_and_the_mask_lacks_is_asked_about(viewer, qtbot, tmp_path, answers):
    dock = opened(viewer, qtbot, study(tmp_path))
    press(qtbot, dock.segment.run_bar.run)
    settled(qtbot, dock)
    qtbot.waitUntil(lambda: bool(dock.host.case.model) and not dock.host.keeper.writes.busy, timeout=10000)
    layer = dock.host.corrected.layer
    layer.data[np.asarray(layer.data) == 2] = 0
    dock.host.corrected.compare()
    asked = answers("Cancel", "Accept")
    press(qtbot, dock.case_bar.accept)
    assert "posterior (" in asked.asked[0] and "anterior (" not in asked.asked[0].replace("posterior (", "")
    assert dock.host.case.status == "corrected"
    dock.host.corrected.undo()
    press(qtbot, dock.case_bar.accept)
    assert len(asked.asked) == 1 and dock.host.case.status == "accepted"


def test_an_empty_second_reading_is_not_submitted_and_unblinds_nobody_before_the_answer(
    viewer, qtbot, tmp_path, answers
):
    dock = opened(viewer, qtbot, study(tmp_path))
    press(qtbot, dock.segment.run_bar.run)
    settled(qtbot, dock)
    qtbot.waitUntil(lambda: bool(dock.host.case.model) and not dock.host.keeper.writes.busy, timeout=10000)
    dock.host.project.ask_second_reader("P00_t1", "CD")
    dock.host.close_project()
    dock.host.take(Project.open(tmp_path / "study", reader="CD"))
    at(qtbot, dock, 1)
    before = trail(dock), files(dock)
    asked = answers("Cancel", "Cancel", "Submit")
    for way in (accept_by_mouse, accept_by_key):
        way(viewer, qtbot, dock)
        assert asked.asked.pop() == "The mask is empty.\n\nSubmit it all the same?"  # and not a word of the model
        assert dock.host.blind and dock.host.corrected.layer.editable and (trail(dock), files(dock)) == before
    accept_by_mouse(viewer, qtbot, dock)
    qtbot.waitUntil(lambda: not dock.host.blind, timeout=10000)
    (reading,) = dock.host.project.readings("P00_t1")
    assert reading.submitted


def test_a_truth_that_is_drawn_blind_is_asked_about_without_a_word_of_the_model(viewer, qtbot, tmp_path, answers):
    found = with_patients(from_folders(scans(tmp_path / "scans", 2)), r"(P\d+)_")
    project = Project.create(tmp_path / "study", found, name="s", reader="AB", holdout_share=0.5)
    held = next(case for case in project.cases() if case.held_out)
    project.current = held.id
    dock = add_dock(viewer, FakeEngine())
    dock.ahead.set_enabled(False)
    dock.host.take(project)
    at(qtbot, dock, held.number)
    asked = answers("Cancel")
    press(qtbot, dock.case_bar.accept)
    assert asked.asked == ["The mask is empty.\n\nAccept it all the same?"]
    assert dock.host.case.status == "in_review" and dock.host.case.truth_from == ""


def test_the_worklist_asks_once_for_all_and_accepts_all_or_none(viewer, qtbot, tmp_path, answers):
    dock = opened(viewer, qtbot, study(tmp_path, 3))
    paint(dock, BOX)
    dock.host.step(1)
    at(qtbot, dock, 2)
    dock.host.set_status(["P02_t1"], "in_review")
    press(qtbot, dock.case_bar.list)
    table = dock.worklist
    asked = answers("Cancel", "Accept")
    before = trail(dock)
    table.table.selectAll()
    press(qtbot, table.buttons["Accept"])
    qtbot.waitUntil(lambda: len(asked.asked) == 1 and not dock.host.decisions.runner.busy, timeout=10000)
    qtbot.wait(50)
    assert "P01_t1: The mask is empty." in asked.asked[0] and "P02_t1: The mask is empty." in asked.asked[0]
    assert "P00_t1" not in asked.asked[0] and "all 3 cases" in asked.asked[0] and asked.defaults == ["Cancel"]
    assert {case.status for case in table.model.cases} == {"corrected", "in_review"} and trail(dock) == before
    press(qtbot, table.buttons["Accept"])
    qtbot.waitUntil(lambda: {case.status for case in table.model.cases} == {"accepted"}, timeout=10000)
    assert len(asked.asked) == 2


def test_what_was_not_saved_of_another_case_is_named_in_the_worklists_question(viewer, qtbot, tmp_path, answers):
    from napari_morse.session.edits import Corrections

    dock = opened(viewer, qtbot, study(tmp_path, 2))
    folder, digest = dock.host.work.folder, dock.host.corrected.corrections._scan
    paint(dock, BOX)
    dock.host.step(1)
    at(qtbot, dock, 2)
    qtbot.waitUntil(lambda: not dock.host.keeper.writes.busy)
    crashed = Corrections.open(folder, None, digest)
    crashed.apply(np.array([3]), 1, "stroke")
    press(qtbot, dock.case_bar.list)
    dock.worklist.table.selectRow(0)
    asked = answers("Cancel")
    press(qtbot, dock.worklist.buttons["Accept"])
    qtbot.waitUntil(lambda: len(asked.asked) == 1, timeout=10000)
    assert "not saved" in asked.asked[0] and dock.host.project.case("P00_t1").status == "corrected"


@pytest.mark.parametrize("chosen", ["first", "CD"])
def test_whose_mask_is_final_is_asked_about_when_that_mask_is_empty(viewer, qtbot, tmp_path, answers, chosen):
    dock = opened(viewer, qtbot, study(tmp_path))
    if chosen == "CD":
        paint(dock, BOX)
    dock.host.project.ask_second_reader("P00_t1", "CD")
    dock.host.close_project()
    dock.host.take(Project.open(tmp_path / "study", reader="CD"))
    at(qtbot, dock, 1)
    if chosen == "first":
        paint(dock, BOX, 2)
    dock.host.submit()
    qtbot.waitUntil(lambda: not dock.host.blind, timeout=10000)
    dock.host.close_project()
    dock.host.take(Project.open(tmp_path / "study", reader="EF"))
    at(qtbot, dock, 1)
    press(qtbot, dock.case_bar.accept)
    dialog = dock.case_bar.acts.adjudicating
    dialog.choices[chosen].setChecked(True)
    dialog.reason.setText("nothing there")
    before = trail(dock)
    asked = answers("Cancel", "Accept")
    ok = dialog.buttons.button(QDialogButtonBox.StandardButton.Ok)
    qtbot.waitUntil(lambda: bool(dialog.layers), timeout=10000)
    press(qtbot, ok)
    assert len(asked.asked) == 1 and "The mask is empty." in asked.asked[0] and trail(dock) == before
    assert dialog.isVisible()
    press(qtbot, ok)
    assert dock.host.project.case("P00_t1").status == "accepted" and len(asked.asked) == 2


def test_taking_a_move_back_does_not_accept_an_empty_mask_unasked(viewer, qtbot, tmp_path, answers):
    dock = opened(viewer, qtbot, study(tmp_path))
    paint(dock, BOX)
    press(qtbot, dock.case_bar.accept)
    assert dock.host.case.status == "accepted"
    paint(dock, BOX, 0)
    assert dock.host.case.status == "corrected"
    undo = dock.case_bar.menu.acts["Undo the last move"].trigger
    undo()  # corrected → in review
    asked = answers("Cancel", "Accept")
    undo()
    assert len(asked.asked) == 1 and dock.host.case.status == "in_review"
    press(qtbot, dock.case_bar.list)
    dock.worklist.table.selectRow(0)
    press(qtbot, dock.worklist.buttons["Undo"])
    assert len(asked.asked) == 2 and dock.host.case.status == "accepted"


def test_a_move_that_is_not_possible_is_said_without_a_question(viewer, qtbot, tmp_path, answers):
    dock = opened(viewer, qtbot, study(tmp_path))
    asked = answers("Accept")
    press(qtbot, dock.case_bar.accept)
    press(qtbot, dock.case_bar.accept)
    assert len(asked.asked) == 1 and any("cannot become accepted" in text for text in messages())
