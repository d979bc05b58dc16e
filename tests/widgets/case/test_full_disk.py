"""What the window says and does while the disk takes nothing: the truth, once, and nothing goes unasked."""

from __future__ import annotations

import errno
import shutil

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_morse.errors import InputError
from napari_morse.io import open_mask
from napari_morse.session.case.standalone import open_standalone
from napari_morse.session.edits import Corrections, files
from napari_morse.widgets.case.unwritten import OVER
from tests.edit_cases import Disk
from tests.fakes import make_scan
from tests.widgets.case.test_outside import go, place, turn
from tests.widgets.conftest import add_scan
from tests.widgets.hands import CanvasMouse, begin
from tests.widgets.project.test_more import opened, study
from tests.widgets.project.test_window import at
from tests.widgets.questions import Answers, chosen_file
from tests.widgets.segment.test_dock_run import messages, press

MEMORY = "only in memory"


@pytest.fixture
def disk(monkeypatch):
    disk = Disk(monkeypatch)
    notification_manager.records.clear()
    yield disk
    disk.full = False


@pytest.fixture
def answers():
    made = []

    def begin(*texts):
        made.append(Answers(*texts))
        return made[-1]

    yield begin
    for each in made:
        each.stop()


def stroke(viewer, corrected, index, qtbot):
    """With the brush, in a slice of its own."""
    viewer.layers.selection.active = corrected.layer
    corrected.layer.mode, corrected.layer.selected_label = "paint", 1
    before = corrected.corrections.undoable
    go(viewer, corrected, 0, index)
    CanvasMouse(viewer).drag(place(viewer, corrected), place(viewer, corrected, 0.1, 0.1))
    qtbot.waitUntil(lambda: corrected.corrections.undoable == before + 1)


def warnings_of(memory=MEMORY):
    return [text for text in messages() if memory in text]


def keeper(dock):
    """What keeps the corrections of the scan in view."""
    if dock.host.project is not None:
        return dock.host.keeper
    return dock.active_case._standalone._kept[dock.active_case.scan].keeper


def rested(qtbot, dock):
    qtbot.waitUntil(lambda: not keeper(dock).writes.busy, timeout=10000)
    qtbot.wait(50)


def recovered(dock, corrected):
    """The mask as another window would find it after a crash."""
    folder = dock.active_case.folder
    copy = folder.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    return np.array(Corrections.recover(copy, None, corrected.corrections._scan).mask)


@pytest.fixture(params=["loose", "project"])
def scene(request, viewer, qtbot, tmp_path, disk):
    if request.param == "loose":
        dock = request.getfixturevalue("dock")
        corrected = begin(viewer, dock, make_scan(), qtbot)
    else:
        dock = opened(viewer, qtbot, study(tmp_path))
        corrected = dock.host.corrected
    turn(viewer, 0)
    stroke(viewer, corrected, 1, qtbot)
    rested(qtbot, dock)
    return dock, corrected


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_the_truth_is_told_once_and_again_when_it_is_over(viewer, qtbot, scene, disk, code):
    dock, corrected = scene
    disk.code = code
    assert "all on the disk" in dock.correct.kept.whole and not dock.unwritten.isVisible()
    disk.full = True
    for index, said in ((2, "the last change"), (3, "the last 2 changes"), (4, "the last 3 changes")):
        stroke(viewer, corrected, index, qtbot)
        for text in (dock.correct.kept.whole, dock.brush.toolTip(), dock.unwritten.note.text()):
            assert said in text and "all on the disk" not in text and "as soon as they are drawn" not in text
        if dock.host.project is not None:
            assert said in dock.case_bar.state.whole
    assert dock.unwritten.isVisible()
    keeper(dock).save()  # as every two minutes
    press(qtbot, dock.unwritten.again)
    rested(qtbot, dock)
    (told,) = warnings_of()
    assert "Make space" in told and "Save elsewhere" in told
    assert not [text for text in messages() if "in the journal," in text or "is in the journal" in text]
    assert np.count_nonzero(recovered(dock, corrected)) < np.count_nonzero(corrected.corrections.mask)
    disk.full = False
    press(qtbot, dock.unwritten.again)
    rested(qtbot, dock)
    qtbot.waitUntil(lambda: not dock.unwritten.isVisible())
    assert messages().count(OVER) == 1 and "all on the disk" in dock.correct.kept.whole
    assert "as soon as they are drawn" in dock.brush.toolTip()
    np.testing.assert_array_equal(recovered(dock, corrected), corrected.corrections.mask)


def test_what_is_in_the_journal_though_it_cannot_be_saved_is_said_so_and_once(viewer, qtbot, scene, monkeypatch):
    dock, corrected = scene
    owner = keeper(dock)
    with monkeypatch.context() as patch:
        patch.setattr(files, "save_store", lambda *_: (_ for _ in ()).throw(InputError("No room for a whole mask.")))
        for index in (2, 3):
            stroke(viewer, corrected, index, qtbot)
            owner.save()
            rested(qtbot, dock)
    assert [text for text in messages() if "is in the journal" in text and "No room" in text] == messages()
    assert len(messages()) == 1 and not corrected.unwritten.count and not dock.unwritten.isVisible()
    np.testing.assert_array_equal(recovered(dock, corrected), corrected.corrections.mask)
    owner.save()
    rested(qtbot, dock)
    assert not corrected.corrections.dirty


def test_it_is_written_by_itself_as_soon_as_that_goes(viewer, qtbot, scene, disk):
    dock, corrected = scene
    corrected.unwritten._again.setInterval(100)
    disk.full = True
    stroke(viewer, corrected, 2, qtbot)
    qtbot.wait(400)
    assert corrected.unwritten.count == 1 and len(warnings_of()) == 1
    disk.full = False
    qtbot.waitUntil(lambda: not corrected.unwritten.count, timeout=5000)
    np.testing.assert_array_equal(recovered(dock, corrected), corrected.corrections.mask)


def test_the_window_stays_open_while_strokes_would_be_lost(viewer, qtbot, scene, disk, answers, monkeypatch, tmp_path):
    dock, corrected = scene
    disk.full = True
    stroke(viewer, corrected, 2, qtbot)
    mask, window = np.array(corrected.corrections.mask), viewer.window._qt_window
    asked = answers("Stay here")
    assert not window.close() and window.isVisible()
    assert MEMORY in asked.asked[0].lower() and asked.defaults == ["Stay here"]
    asked.stop()
    asked = answers("Try again")  # and then Escape
    assert not window.close() and len(asked.asked) == 2 and window.isVisible()
    asked.stop()
    np.testing.assert_array_equal(corrected.corrections.mask, mask)
    disk.full = False
    (tmp_path / "elsewhere").mkdir()
    chosen_file(monkeypatch, tmp_path / "elsewhere" / "mine.nii.gz")
    press(qtbot, dock.unwritten.elsewhere)
    np.testing.assert_array_equal(open_mask(tmp_path / "elsewhere" / "mine.nii.gz").data, mask)


def test_a_dock_that_is_closed_asks_until_the_strokes_are_somewhere(viewer, qtbot, scene, disk, answers):
    dock, corrected = scene
    disk.full = True
    stroke(viewer, corrected, 2, qtbot)
    mask = np.array(corrected.corrections.mask)
    scan, folder = corrected.scan, dock.active_case.folder
    asked = answers("Try again", "Try again")
    tries = iter((True, True, False))
    owner = keeper(dock)
    save = owner.save_now

    def then():
        disk.full = next(tries, False)
        save()

    owner.save_now = then
    viewer.window.remove_dock_widget(dock)
    QApplication.processEvents()
    assert len(asked.asked) == 2
    found = Corrections.recover(folder, None, corrected.corrections._scan)
    np.testing.assert_array_equal(found.mask, mask)
    assert scan is not None


def test_the_next_case_waits_until_the_strokes_are_settled(viewer, qtbot, tmp_path, disk, answers, monkeypatch):
    dock = opened(viewer, qtbot, study(tmp_path))
    for number in (2, 1):  # so that it is there
        dock.host.go(f"P0{number - 1}_t1")
        at(qtbot, dock, number)
    corrected = dock.host.corrected
    turn(viewer, 0)
    stroke(viewer, corrected, 1, qtbot)
    disk.full = True
    stroke(viewer, corrected, 2, qtbot)
    mask = np.array(corrected.corrections.mask)
    asked = answers("Stay here", "Stay here", "Save elsewhere…")
    press(qtbot, dock.case_bar.on)
    assert len(asked.asked) == 1 and dock.host.case.number == 1 and dock.host.corrected is corrected
    dock.case_bar.menu.acts["Close"].trigger()
    assert len(asked.asked) == 2 and dock.host.project is not None
    monkeypatch.setattr(
        "napari_morse.widgets.case.settling.save_mask", lambda mask, path, original: path.write_bytes(b"x")
    )
    chosen_file(monkeypatch, tmp_path / "mine.nii.gz")
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    at(qtbot, dock, 2)
    assert len(asked.asked) == 3 and (tmp_path / "mine.nii.gz").exists()
    disk.full = False
    dock.host._ask = lambda found: True
    dock.host.go("P00_t1")
    at(qtbot, dock, 1)
    assert np.count_nonzero(dock.host.corrected.corrections.mask) < np.count_nonzero(mask)  # what was on the disk


def test_strokes_in_memory_stay_while_another_scan_is_corrected_and_are_asked_about_at_the_end(
    viewer, qtbot, dock, disk, answers
):
    scan = make_scan()
    corrected = begin(viewer, dock, scan, qtbot)
    turn(viewer, 0)
    stroke(viewer, corrected, 1, qtbot)
    first = dock.segment.scans.layer
    other = add_scan(viewer, make_scan(seed=5, stem="other"))
    dock.segment.scans.combo.setCurrentIndex(dock.segment.scans.combo.findData(first))
    disk.full = True
    stroke(viewer, corrected, 2, qtbot)
    mask = np.array(corrected.corrections.mask)
    dock.segment.scans.combo.setCurrentIndex(dock.segment.scans.combo.findData(other))
    assert dock.active_case.corrected is None and dock.unwritten.isVisible()
    disk.full = False
    dock.active_case.begin()
    qtbot.waitUntil(lambda: dock.active_case.corrected is not None)
    assert (
        dock.active_case.corrected is not corrected and corrected.layer in viewer.layers and not corrected.layer.visible
    )
    disk.full = True
    stroke(viewer, dock.active_case.corrected, 3, qtbot)
    asked = answers("Try again", "Try again")
    disk.full = False
    assert dock.active_case.may_leave() and len(asked.asked) == 0, "what can be written is, without a question"
    viewer.layers.remove(first)
    qtbot.waitUntil(lambda: corrected.layer not in viewer.layers)
    back = open_standalone(scan, None)
    np.testing.assert_array_equal(back.corrections.mask, mask)
    back.close()


def test_a_folder_that_goes_away_and_comes_back_loses_nothing(viewer, qtbot, scene, tmp_path):
    dock, corrected = scene
    root = tmp_path / ("loose" if dock.host.project is None else "study")
    aside = tmp_path / "unplugged"
    root.rename(aside)
    stroke(viewer, corrected, 2, qtbot)
    stroke(viewer, corrected, 3, qtbot)
    assert corrected.unwritten.count == 2 and corrected.layer.editable
    assert "cannot be reached" in dock.unwritten.note.text() or "no folder" in dock.unwritten.note.text()
    assert len(warnings_of("from now on")) == 1 and not [text for text in messages() if "took this" in text]
    aside.rename(root)
    press(qtbot, dock.unwritten.again)
    rested(qtbot, dock)
    qtbot.waitUntil(lambda: not corrected.unwritten.count)
    np.testing.assert_array_equal(recovered(dock, corrected), corrected.corrections.mask)
    stroke(viewer, corrected, 4, qtbot)
    np.testing.assert_array_equal(recovered(dock, corrected), corrected.corrections.mask)


def test_a_report_is_not_made_without_the_strokes_that_are_only_in_memory(viewer, qtbot, tmp_path, disk):
    dock = opened(viewer, qtbot, study(tmp_path))
    turn(viewer, 0)
    disk.full = True
    stroke(viewer, dock.host.corrected, 1, qtbot)
    dock.case_bar.menu.acts["Report"].trigger()
    rested(qtbot, dock)
    assert not dock.case_bar.acts.runner.busy and not (tmp_path / "study" / "reports").exists()
    assert any("report" in text and MEMORY in text.lower() for text in messages())
    press(qtbot, dock.case_bar.accept)
    assert dock.host.case.status == "corrected" and any("not accepted" in text for text in messages())
    disk.full = False
    dock.case_bar.menu.acts["Close"].trigger()
    assert dock.host.project is None  # without a question: it could be written meanwhile


def test_scan_and_mask_deleted_together_are_asked_about_once(viewer, qtbot, dock, disk, answers):
    corrected = begin(viewer, dock, make_scan(), qtbot)
    turn(viewer, 0)
    stroke(viewer, corrected, 1, qtbot)
    rested(qtbot, dock)
    disk.full = True
    stroke(viewer, corrected, 2, qtbot)
    asked, shown = answers(), []

    def late(box):
        """Let all that waits for the event loop happen while the question stands, then answer it."""
        shown.append(box)
        if len(shown) > 5:
            next(button for button in box.buttons() if "Lose" in button.text()).click()

    asked.act = late
    before = len(messages())
    viewer.layers.selection = set(viewer.layers)
    viewer.layers.remove_selected()
    qtbot.waitUntil(lambda: not dock.active_case.cases.current, timeout=5000)
    qtbot.wait(200)
    assert len(set(map(id, shown))) == 1, "the same strokes were asked about twice"
    assert not [text for text in messages()[before:] if "RuntimeError" in text]
