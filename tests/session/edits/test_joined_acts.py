"""Acts that belong together, acts that come late, and decisions between them: one order of undo."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from napari_morse.session.case.timeline import Timeline
from napari_morse.session.case.walk import Walk
from napari_morse.session.edits import JOINED, Corrections, Renumbering, apply_before
from napari_morse.session.edits.journal import Journal
from napari_morse.types import Roi
from tests.fakes import make_prediction, make_scan

SHAPE = (12, 10, 8)
A, B = Roi((1, 1, 1), (6, 6, 3)), Roi((4, 4, 1), (9, 9, 4))


@pytest.fixture
def corrections(tmp_path):
    return Corrections.open(tmp_path, np.zeros(SHAPE, np.uint8), "scan")


def again(tmp_path):
    return Corrections.recover(tmp_path, None, "scan")


def test_a_joined_act_is_undone_and_redone_with_the_one_before(corrections):
    corrections.apply(B, 3, "stroke")
    first = np.array(corrections.mask)
    corrections.apply(A, 1, "stroke")
    corrections.apply(Roi((2, 2, 1), (4, 4, 2)), 2, f"{JOINED}sharpen")
    both = np.array(corrections.mask)
    assert corrections.undo() == A.around(Roi((2, 2, 1), (4, 4, 2)))
    np.testing.assert_array_equal(corrections.mask, first)
    corrections.redo()
    np.testing.assert_array_equal(corrections.mask, both)
    assert corrections.redoable == 0 and corrections.undoable == 3


def test_an_act_that_comes_late_lies_under_what_was_done_since(corrections, tmp_path):
    corrections.apply(A, 1, "stroke")
    state = corrections.state
    corrections.apply(B, 2, "stroke")
    later = corrections.state
    act, moved = apply_before(corrections, state, A, 3, f"{JOINED}sharpen")
    assert act is not None and moved.later == {later: corrections.state} and moved.at == state
    mask = np.array(corrections.mask)
    assert (mask[B.slices] == 2).all()
    under = np.zeros(SHAPE, bool)
    under[A.slices] = True
    under[B.slices] = False
    assert (mask[under] == 3).all()
    found = again(tmp_path)
    np.testing.assert_array_equal(found.mask, mask)
    for each in (corrections, found):
        each.undo()
        assert (each.mask[A.slices] == 3).all() and not (each.mask == 2).any()
        each.undo()
        assert not each.mask.any()


def test_it_goes_into_the_journal_in_one_piece(corrections, tmp_path, monkeypatch):
    corrections.apply(A, 1, "stroke")
    state = corrections.state
    corrections.apply(B, 2, "stroke")
    writes, write = [], Journal._write

    def written(journal, file, content):
        writes.append(content)
        write(journal, file, content)

    monkeypatch.setattr(Journal, "_write", written)
    apply_before(corrections, state, A, 3, f"{JOINED}sharpen")
    assert len(writes) == 1
    np.testing.assert_array_equal(again(tmp_path).mask, corrections.mask)


def test_a_piece_of_which_the_end_is_missing_costs_no_later_stroke(corrections, tmp_path):
    corrections.apply(A, 1, "stroke")
    state = corrections.state
    corrections.apply(B, 2, "stroke")
    corrections.apply(Roi((8, 8, 1), (11, 10, 4)), 3, "stroke")
    before, path = np.array(corrections.mask), tmp_path / "journal.log"
    length = path.stat().st_size
    apply_before(corrections, state, A, 3, f"{JOINED}sharpen")
    content = path.read_bytes()
    for cut in (*range(length, len(content), 7), len(content) - 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "journal.log").write_bytes(content[:cut])
        shutil.copy(tmp_path / "corrected.zarr.zip", folder)
        found = again(folder)
        np.testing.assert_array_equal(found.mask, before)
        assert found.undoable == 3 and found.redoable == 0 and len(found.notices) == (cut > length)
        found.apply(Roi((0, 0, 0), (1, 1, 1)), 4, "stroke")  # and work goes on
        after = again(folder)
        assert after.mask[0, 0, 0] == 4 and after.undoable == 4


def test_a_state_that_was_undone_takes_nothing_late(corrections):
    corrections.apply(A, 1, "stroke")
    state = corrections.state
    corrections.undo()
    assert apply_before(corrections, state, A, 3, "late") == (None, Renumbering(state, state))
    assert not corrections.mask.any() and corrections.redoable == 1


@pytest.fixture
def walk(tmp_path):
    scan = make_scan()
    said = make_prediction(scan)
    return Walk(said.patches, said.rendered.data, said.coarse.data, scan.grid.spacing, tmp_path / "walk")


def test_decisions_and_strokes_are_taken_back_in_the_order_in_which_they_were_made(tmp_path, walk):
    (tmp_path / "walk").mkdir()
    corrections = Corrections.open(tmp_path / "walk", walk._rendered, "scan")
    told = []
    timeline = Timeline(corrections, walk, told.append)
    timeline.decide(0, "accepted")
    corrections.apply(Roi((0, 0, 0), (2, 2, 2)), 2, "stroke")
    before = corrections.state
    box, values = walk.coarse_side(1, corrections.mask)
    corrections.apply(box, values, "coarse side")
    timeline.decide(1, "coarse", before)
    timeline.decide(2, "accepted")
    for left in ({0: "accepted", 1: "coarse"}, {0: "accepted"}, {0: "accepted"}, {}):
        timeline.undo()
        assert walk.decisions == left
    assert corrections.undoable == 0 and timeline.undo() is None
    for there in ({0: "accepted"}, {0: "accepted"}, {0: "accepted", 1: "coarse"}):
        timeline.redo()
        assert walk.decisions == there
    assert told[:3] == [0, 1, 2]


def test_states_that_got_other_numbers_are_still_met(tmp_path, walk):
    (tmp_path / "walk").mkdir()
    corrections = Corrections.open(tmp_path / "walk", walk._rendered, "scan")
    timeline = Timeline(corrections, walk, lambda _: None)
    corrections.apply(Roi((0, 0, 0), (2, 2, 2)), 2, "stroke")
    state = corrections.state
    corrections.apply(Roi((5, 5, 5), (7, 7, 7)), 1, "stroke")
    timeline.decide(3, "accepted")
    _, moved = apply_before(corrections, state, Roi((0, 0, 0), (1, 1, 1)), 1, f"{JOINED}sharpen")
    timeline.renumber(moved)
    timeline.undo()
    assert walk.decisions == {} and corrections.undoable == 3


def test_decisions_fit_another_list_of_the_same_boundary_and_no_other(tmp_path, walk):
    (tmp_path / "walk").mkdir()
    walk.decide(0, "accepted")
    walk.decide(2, "coarse")
    scan = make_scan()
    said = make_prediction(scan)
    masks = (said.rendered.data, said.coarse.data, scan.grid.spacing, tmp_path / "walk")
    assert Walk(said.patches, *masks).decisions == {0: "accepted", 2: "coarse"}
    smaller = make_prediction(scan, (4.0, 3.0))
    other = Walk(smaller.patches, smaller.rendered.data, *masks[1:])
    other.decide(1, "accepted")
    assert {0, 2} <= set(Walk(said.patches, *masks).decisions)  # what did not fit was kept


def test_a_damaged_file_of_decisions_is_kept_aside(tmp_path, walk):
    folder = tmp_path / "walk"
    folder.mkdir()
    (folder / "walk.json").write_text("{")
    scan = make_scan()
    said = make_prediction(scan)
    found = Walk(said.patches, said.rendered.data, said.coarse.data, scan.grid.spacing, folder)
    assert "damaged-walk.json" in found.trouble and (folder / "damaged-walk.json").read_text() == "{"
    found.decide(0, "accepted")
    assert found.trouble == ""


def test_the_coarse_side_is_taken_near_the_patch_alone(walk):
    mask = np.array(walk._rendered)
    box, values = walk.coarse_side(0, mask)
    changed = np.argwhere(values != mask[box.slices]) + box.start
    far = np.linalg.norm((changed[:, None] - walk.patches.of(0)[None]) * walk._spacing, axis=2)
    assert len(changed) and far.min(axis=1).max() <= 4.0
    np.testing.assert_array_equal(values[tuple((changed - box.start).T)], walk._coarse[tuple(changed.T)])


def test_the_counter_counts_mm_of_open_patches(walk):
    told = walk.counter()
    assert told.left == pytest.approx(walk.patches.length.sum()) == pytest.approx(told.total)
    walk.decisions[1] = "accepted"
    assert walk.counter().left == pytest.approx(told.left - walk.patches.length[1])
    mask = np.array(walk._rendered)
    some = walk.patches.of(0)[: len(walk.patches.of(0)) // 3]
    mask[tuple(some.T)] = 9
    walk.look(mask)
    share = 1 - len(some) / len(walk.patches.of(0))
    assert walk.counter().left == pytest.approx(
        told.left - walk.patches.length[1] - (1 - share) * walk.patches.length[0]
    )
