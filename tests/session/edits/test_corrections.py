"""One case's mask under work: dirty, saving, what others wrote, signals, and kills."""

from __future__ import annotations

import errno
import os
import threading
import time

import numpy as np
import pytest

from benchmarks.crash import crash
from napari_morse.config import EditsConfig
from napari_morse.errors import DamagedFileError, GeometryError, InputError
from napari_morse.io.mask_store import load_store, save_store
from napari_morse.session.edits import ChangedOnDiskError, Corrections, UnfinishedError, recoverable
from napari_morse.session.edits.journal import Journal
from napari_morse.types import Roi
from tests.edit_cases import SCAN, SHAPE, again, asides, begin, journal, saved, work


def test_nothing_is_written_before_the_first_act(tmp_path):
    corrections = begin(tmp_path)
    assert corrections.apply(np.array([3]), 0, "nothing") is None
    assert corrections.undo() is None and corrections.redo() is None
    assert not corrections.dirty and list(tmp_path.iterdir()) == []


def test_an_act_is_on_the_disk_when_it_returns(tmp_path):
    corrections = begin(tmp_path)
    act = corrections.apply(Roi((1, 2, 3), (4, 5, 6)), 2, "box")
    assert (act.kind, act.voxels, act.box) == ("box", 27, Roi((1, 2, 3), (4, 5, 6)))
    assert np.array_equal(again(tmp_path).mask, corrections.mask)
    assert corrections.undo() == act.box and not again(tmp_path).mask.any()
    assert corrections.redo() == act.box and again(tmp_path).mask.sum() == 54


def test_the_mask_given_is_neither_changed_nor_shared(tmp_path):
    given = np.zeros(SHAPE, np.uint8)
    corrections = Corrections.open(tmp_path, given, SCAN)
    corrections.apply(np.array([0]), 1, "voxel")
    assert not given.any()
    with pytest.raises(ValueError, match="read-only"):
        corrections.mask[0, 0, 0] = 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("region", [None, Roi((2, 2, 2), (9, 9, 9))], ids=str)
def test_diff_takes_over_what_another_editor_changed(region, dtype, tmp_path):
    corrections = begin(tmp_path)
    layer = np.array(corrections.mask, dtype)
    layer[3:5, 4, 2:8] = 3
    act = corrections.diff(layer, region, "brush")
    assert np.array_equal(corrections.mask, layer) and (act.voxels, act.box) == (12, Roi((3, 4, 2), (5, 5, 8)))
    assert corrections.diff(layer, region) is None
    corrections.undo()
    assert not corrections.mask.any()


def test_diff_looks_only_inside_its_region(tmp_path):
    corrections = begin(tmp_path)
    layer = np.array(corrections.mask)
    layer[0, 0, 0] = layer[5, 5, 5] = 1
    assert corrections.diff(layer, Roi((4, 4, 4), (6, 6, 6))).voxels == 1
    assert corrections.diff(layer).box == Roi((0, 0, 0), (1, 1, 1))


def test_diff_refuses_what_does_not_fit(tmp_path):
    corrections = begin(tmp_path)
    with pytest.raises(GeometryError, match="shape"):
        corrections.diff(np.zeros((1, 1, 1), np.uint8))
    with pytest.raises(GeometryError, match="region"):
        corrections.diff(np.zeros(SHAPE, np.uint8), Roi((0, 0, 0), (99, 1, 1)))
    with pytest.raises(InputError, match="label 300 does not fit"):
        corrections.diff(np.full(SHAPE, 300))
    assert not corrections.mask.any() and not corrections.dirty


def test_dirty_follows_undo_and_redo_to_the_saved_state_and_away(tmp_path):
    corrections = begin(tmp_path)
    told = []
    corrections.dirty_changed.connect(told.append)
    for place in range(3):
        corrections.apply(np.array([place]), 1, "voxel")
    corrections.undo()
    corrections.checkpoint()
    assert not corrections.dirty
    corrections.redo()
    assert corrections.dirty
    corrections.undo()
    assert not corrections.dirty
    corrections.undo()
    assert corrections.dirty
    assert told == [True, False, True, False, True]
    corrections.apply(np.array([9]), 1, "voxel")
    corrections.undo()
    corrections.undo()
    assert corrections.dirty, "the saved state was on the dropped branch"


def test_changed_tells_the_box_to_draw_again(tmp_path):
    corrections = begin(tmp_path)
    boxes = []
    corrections.changed.connect(boxes.append)
    corrections.apply(Roi((1, 1, 1), (2, 3, 4)), 1, "box")
    corrections.undo()
    corrections.redo()
    corrections.checkpoint()
    assert boxes == [Roi((1, 1, 1), (2, 3, 4))] * 3


def test_saving_keeps_mask_and_history_for_the_next_session(tmp_path):
    corrections = begin(tmp_path)
    seen = [np.zeros(SHAPE, np.uint8), *(mask for _, mask in work(corrections, 20))]
    corrections.undo()
    corrections.checkpoint()
    undoable, redoable = corrections.undoable, corrections.redoable
    back = again(tmp_path, "ask")
    assert np.array_equal(back.mask, corrections.mask) and not back.dirty
    assert (back.undoable, back.redoable) == (undoable, redoable) and redoable
    assert np.array_equal(load_store(saved(tmp_path)).data, corrections.mask)
    while back.undo() is not None:
        assert any(np.array_equal(back.mask, mask) for mask in seen)
    assert not back.mask.any() and back.dirty
    assert np.array_equal(again(tmp_path).mask, back.mask)


def test_a_crash_between_the_saved_mask_and_the_new_journal_loses_nothing_and_repeats_nothing(tmp_path, monkeypatch):
    corrections = begin(tmp_path)
    work(corrections, 6)
    monkeypatch.setattr(Journal, "create", lambda *_: (_ for _ in ()).throw(InputError("No space left.")))
    corrections.checkpoint()
    assert not corrections.dirty and corrections.trouble == "" and not corrections.unwritten
    assert recoverable(tmp_path) is None
    back = again(tmp_path, "ask")
    assert np.array_equal(back.mask, corrections.mask) and not back.dirty and back.notices == ()
    assert back.undoable == corrections.undoable
    work(corrections, 4, seed=5)  # the old journal goes on
    assert corrections.trouble == "" and recoverable(tmp_path).steps == 4
    back = again(tmp_path)
    assert np.array_equal(back.mask, corrections.mask) and back.notices == ()
    assert back.undoable == corrections.undoable


def test_a_journal_that_lacks_steps_of_the_saved_mask_is_not_added_to(tmp_path, monkeypatch):
    corrections = begin(tmp_path)
    corrections.apply(np.array([1]), 1, "voxel")
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        patch.setattr(Journal, "create", lambda *_: (_ for _ in ()).throw(InputError("No space left.")))
        for place in (2, 3, 4):
            corrections.apply(np.array([place]), 1, "voxel")
        corrections.checkpoint()
    back = again(tmp_path, "ask")
    assert back.mask.sum() == 4 and not back.dirty
    back.apply(np.array([5]), 1, "voxel")
    back.apply(np.array([6]), 1, "voxel")
    assert np.flatnonzero(again(tmp_path).mask).tolist() == [1, 2, 3, 4, 5, 6]


def test_saving_ends_the_trouble(tmp_path, monkeypatch):
    corrections = begin(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        corrections.apply(np.array([1]), 1, "voxel")
    assert corrections.trouble
    corrections.checkpoint()
    assert corrections.trouble == "" and not corrections.dirty and again(tmp_path, "ask").undoable == 1


def test_saving_in_another_thread_while_work_goes_on(tmp_path):
    corrections = begin(tmp_path)
    work(corrections, 5)
    job = corrections.begin_checkpoint()
    as_saved = np.array(corrections.mask)
    written = []
    thread = threading.Thread(target=lambda: written.append(job.run()))
    thread.start()
    work(corrections, 3, seed=1)
    thread.join()
    corrections.finish_checkpoint(job, written[0])
    assert corrections.dirty and np.array_equal(load_store(saved(tmp_path)).data, as_saved)
    assert recoverable(tmp_path).steps == 3
    back = again(tmp_path)
    assert np.array_equal(back.mask, corrections.mask) and back.undoable == corrections.undoable
    corrections.checkpoint()
    assert not corrections.dirty and recoverable(tmp_path) is None


def test_saved_ahead_the_first_act_writes_only_its_journal(tmp_path):
    corrections = begin(tmp_path)
    job = corrections.begin_checkpoint()
    corrections.finish_checkpoint(job, job.run())
    before = saved(tmp_path).stat().st_mtime_ns
    corrections.apply(np.array([1]), 1, "voxel")
    assert saved(tmp_path).stat().st_mtime_ns == before
    assert again(tmp_path).mask.sum() == 1


def test_a_saved_mask_that_something_else_wrote_is_not_replaced_unless_asked(tmp_path):
    corrections = begin(tmp_path)
    work(corrections, 3)
    stored = load_store(saved(tmp_path))
    stored.about["saved"] = 7
    save_store(stored, saved(tmp_path))
    theirs = saved(tmp_path).read_bytes()
    with pytest.raises(ChangedOnDiskError, match="another program or window"):
        corrections.checkpoint()
    assert corrections.dirty and saved(tmp_path).read_bytes() == theirs
    corrections.checkpoint(replace_changed=True)
    assert not corrections.dirty and np.array_equal(load_store(saved(tmp_path)).data, corrections.mask)
    corrections.apply(np.array([0]), int(corrections.mask.flat[0] == 0), "voxel")
    corrections.checkpoint()


def test_a_touched_file_is_not_a_changed_one(tmp_path):
    corrections = begin(tmp_path)
    work(corrections, 3)
    os.utime(saved(tmp_path), (1, 1))
    corrections.checkpoint()
    assert not corrections.dirty


def test_two_windows_on_one_case_lose_nothing(tmp_path):
    one, two = begin(tmp_path), begin(tmp_path)
    one.apply(np.array([1]), 1, "voxel")
    two.apply(np.array([2]), 2, "voxel")
    assert "another program or window" in two.trouble and two.dirty
    one.apply(np.array([3]), 3, "voxel")
    assert one.trouble == "" and np.flatnonzero(again(tmp_path).mask).tolist() == [1, 3]
    with pytest.raises(ChangedOnDiskError):
        two.checkpoint()


def test_a_second_window_keeps_the_first_ones_journal(tmp_path):
    begin(tmp_path).checkpoint()
    one, two = again(tmp_path), again(tmp_path)
    one.apply(np.array([1]), 1, "voxel")
    first = journal(tmp_path).read_bytes()
    two.apply(np.array([2]), 2, "voxel")
    assert first in asides(tmp_path)
    one.apply(np.array([3]), 3, "voxel")
    assert np.flatnonzero(one.mask).tolist() == [1, 3] and len(asides(tmp_path)) == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_saving_that_fails_leaves_everything_as_it_was(code, tmp_path, monkeypatch):
    corrections = begin(tmp_path)
    work(corrections, 4)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(code, os.strerror(code))))
        with pytest.raises(InputError, match=os.strerror(code)):
            corrections.checkpoint()
    assert corrections.dirty
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    corrections.checkpoint()
    assert not corrections.dirty


def test_the_saved_mask_goes_before_the_given_one(tmp_path):
    corrections = begin(tmp_path)
    work(corrections, 3)
    corrections.checkpoint()
    back = Corrections.open(tmp_path, np.full(SHAPE, 9, np.uint8), SCAN)
    assert np.array_equal(back.mask, corrections.mask)


def test_what_cannot_be_opened_is_refused_and_left_alone(tmp_path):
    with pytest.raises(InputError, match="No mask"):
        Corrections.open(tmp_path, None, SCAN)
    with pytest.raises(InputError, match="whole numbers"):
        Corrections.open(tmp_path, np.zeros(SHAPE), SCAN)
    with pytest.raises(GeometryError, match="shape"):
        Corrections.open(tmp_path, np.zeros((3, 3), np.uint8), SCAN)
    work(begin(tmp_path), 3)
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="another scan"):
        Corrections.recover(tmp_path, None, "0ther")
    with pytest.raises(GeometryError, match="shape"):
        Corrections.recover(tmp_path, np.zeros((3, 3, 3), np.uint8), SCAN)
    with pytest.raises(UnfinishedError):
        Corrections.open(tmp_path, None, SCAN)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == content
    saved(tmp_path).write_bytes(b"half")
    with pytest.raises(DamagedFileError):
        again(tmp_path)
    with pytest.raises(DamagedFileError):
        recoverable(tmp_path)
    assert journal(tmp_path).read_bytes() == content["journal.log"]


def test_a_given_mask_with_its_journal_recovers_when_the_saved_file_is_gone(tmp_path):
    corrections = begin(tmp_path)
    work(corrections, 5)
    saved(tmp_path).unlink()
    back = Corrections.recover(tmp_path, np.zeros(SHAPE, np.uint8), SCAN)
    assert np.array_equal(back.mask, corrections.mask) and back.dirty
    assert np.array_equal(again(tmp_path).mask, corrections.mask)


def test_big_endian_and_turned_masks_are_taken(tmp_path):
    given = np.asfortranarray(np.arange(60, dtype=">u2").reshape(3, 4, 5))
    corrections = Corrections.open(tmp_path, given, SCAN)
    corrections.apply(np.array([0]), 500, "voxel")
    given[0, 0, 0] = 500
    assert np.array_equal(again(tmp_path).mask, given)


def test_a_hundred_acts_can_be_undone_under_any_budget_and_after_recovery(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    limits = EditsConfig(history_bytes=0)
    corrections = begin(tmp_path, limits=limits)
    for number in range(130):
        corrections.apply(np.array([number]), 1, "voxel")
    assert corrections.undoable == 100
    back = Corrections.recover(tmp_path, None, SCAN, limits=limits)
    assert back.undoable == 100 and np.array_equal(back.mask, corrections.mask)


@pytest.mark.alone
def test_a_thousand_acts_through_the_journal(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    corrections = begin(tmp_path, (24, 31, 17), np.uint16)
    seen = work(corrections, 1000, labels=300)
    back = again(tmp_path)
    assert np.array_equal(back.mask, seen[-1][1]) and back.undoable == corrections.undoable
    began = time.perf_counter()
    back.checkpoint()
    assert again(tmp_path, "ask").undoable == corrections.undoable
    assert time.perf_counter() - began < 20


def test_no_file_holds_a_name_of_the_machine_or_of_the_folder(tmp_path):
    folder = tmp_path / "DOE_JANE"
    folder.mkdir()
    corrections = begin(folder)
    work(corrections, 3)
    corrections.checkpoint()
    work(corrections, 3)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["corrected.zarr.zip", "journal.log"]
    for path in folder.iterdir():
        assert b"DOE" not in path.read_bytes() and str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.slow
def test_thirty_kills_never_leave_a_wrong_voxel(tmp_path):
    results = crash(tmp_path, 30, seed=1)
    assert len(results) == 30
    for one in results:
        assert one.found in (one.reported, one.reported + 1), one
    assert results[-1].found > 100
