"""How many steps are on the disk: counted right while it refuses, and told truly when it takes them again."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_morse.errors import InputError
from napari_morse.io.atomic import write_text
from napari_morse.io.lock import Lock
from napari_morse.session.edits import Corrections, apply_before
from napari_morse.types import Roi
from tests.edit_cases import Disk, again, begin, journal, saved, work

BOX = Roi((1, 1, 1), (3, 3, 3))


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def told_by(corrections):
    told = []
    corrections.trouble_changed.connect(told.append)
    return told


def test_what_is_in_memory_only_is_counted_and_written_by_a_retry(tmp_path, disk):
    corrections = begin(tmp_path)
    work(corrections, 3)
    assert corrections.unwritten == 0
    disk.full = True
    for count in (1, 2):
        corrections.apply(np.array([count]), 200 + count, "voxel")
        assert corrections.unwritten == count
    corrections.undo()
    assert corrections.unwritten == 3  # a step, too
    corrections.retry()
    assert corrections.unwritten == 3 and "No space left" in corrections.trouble
    disk.full = False
    corrections.retry()
    assert corrections.unwritten == 0 and corrections.trouble == ""
    assert np.array_equal(again(tmp_path).mask, corrections.mask)


def test_saving_beside_the_work_counts_only_what_was_drawn_since(tmp_path, disk):
    corrections = begin(tmp_path)
    work(corrections, 2)
    disk.full = True
    corrections.apply(np.array([1]), 201, "voxel")
    job = corrections.begin_checkpoint()
    corrections.apply(np.array([2]), 202, "voxel")
    disk.full = False
    written = job.run()
    disk.full = True
    corrections.finish_checkpoint(job, written)
    assert corrections.unwritten == 1 and corrections.trouble
    disk.full = False
    corrections.retry()
    assert corrections.unwritten == 0 and np.array_equal(again(tmp_path).mask, corrections.mask)


def test_acts_that_go_in_one_piece_do_not_say_that_it_is_over(tmp_path, disk):
    corrections = begin(tmp_path)
    corrections.apply(BOX, 1, "box")
    state = corrections.state
    corrections.apply(np.array([3]), 2, "voxel")
    disk.full = True
    corrections.apply(np.array([4]), 2, "voxel")
    told = told_by(corrections)
    apply_before(corrections, state, np.array([5]), 3, "late")
    assert told == [] and corrections.trouble and corrections.unwritten > 1
    disk.full = False
    corrections.retry()
    assert told == [""] and np.array_equal(again(tmp_path).mask, corrections.mask)


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ESTALE], ids=errno.errorcode.get)
def test_a_share_that_cannot_even_be_looked_at_is_a_sentence_and_no_exception(tmp_path, monkeypatch, code):
    corrections = begin(tmp_path / "case") if (tmp_path / "case").mkdir() is None else None
    corrections.apply(BOX, 1, "box")
    real = os.stat

    def dead(path, *arguments, **named):
        if isinstance(path, str | os.PathLike) and str(tmp_path / "case") in str(path):
            raise OSError(code, os.strerror(code), str(path))
        return real(path, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", dead)
        corrections.apply(np.array([3]), 2, "voxel")
        assert os.strerror(code) in corrections.trouble and corrections.unwritten == 1
        assert str(tmp_path) not in corrections.trouble
        with pytest.raises(InputError, match=os.strerror(code)):
            write_text(tmp_path / "case" / "x.txt", "x")
    corrections.apply(np.array([4]), 2, "voxel")
    assert corrections.trouble == "" and corrections.unwritten == 0
    assert np.array_equal(again(tmp_path / "case").mask, corrections.mask)


def test_who_waits_writes_no_whole_mask_again_that_was_refused(tmp_path, disk, monkeypatch):
    corrections = begin(tmp_path)
    corrections.patient = True
    disk.full = True
    corrections.apply(BOX, 1, "box")
    runs = []
    monkeypatch.setattr(type(corrections.begin_checkpoint()), "run", lambda _: runs.append(1))
    for place in range(5):
        corrections.apply(np.array([place]), 2, "voxel")
    assert corrections.unwritten == 6 and not runs
    monkeypatch.undo()
    corrections.checkpoint()
    assert corrections.unwritten == 0 and corrections.trouble == ""
    corrections.apply(np.array([7]), 2, "voxel")
    back = again(tmp_path)
    assert np.array_equal(back.mask, corrections.mask) and back.notices == ()


def test_a_folder_that_was_away_comes_back_without_a_word_of_the_old_journal(tmp_path):
    place = tmp_path / "case"
    place.mkdir()
    corrections = begin(place)
    corrections.patient = True
    work(corrections, 3)
    place.rename(tmp_path / "away")
    work(corrections, 3, seed=1)
    assert corrections.unwritten == 3 and "cannot be reached" in corrections.trouble
    (tmp_path / "away").rename(place)
    corrections.checkpoint()
    back = again(place, "ask")
    assert np.array_equal(back.mask, corrections.mask) and back.notices == () and not back.dirty
    assert back.undoable == corrections.undoable


def test_what_is_saved_is_no_trouble_when_only_the_new_journal_is_refused(tmp_path, monkeypatch):
    corrections = begin(tmp_path)
    work(corrections, 3)
    told, real = told_by(corrections), os.replace

    def refuse(self, target):
        if Path(target).name == "journal.log":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    corrections.checkpoint()
    assert told == [] and corrections.unwritten == 0 and not corrections.dirty
    corrections.apply(np.array([3]), 77, "voxel")  # the old one goes on
    assert told == [] and np.array_equal(again(tmp_path).mask, corrections.mask)


def test_opening_on_a_full_disk_has_nothing_in_memory_only(tmp_path, disk):
    work(begin(tmp_path), 3)
    disk.full = True
    back = again(tmp_path)
    assert back.unwritten == 0 and back.trouble == ""
    back.apply(np.array([3]), 77, "voxel")
    assert back.unwritten == 1 and back.trouble
    disk.full = False
    back.retry()
    assert back.trouble == "" and journal(tmp_path).exists() and saved(tmp_path).exists()
    assert np.array_equal(again(tmp_path).mask, back.mask)


def test_a_lock_out_of_reach_is_still_ours_and_one_that_was_taken_is_not(tmp_path, monkeypatch):
    place = tmp_path / "study"
    place.mkdir()
    lock = Lock.acquire(place / "lock.json", "AB")
    place.rename(tmp_path / "away")
    assert lock.held
    place.mkdir()  # the empty folder that a share is mounted on
    assert lock.held
    place.rmdir()
    (tmp_path / "away").rename(place)
    assert lock.held
    (place / "lock.json").rename(place / "aside")
    assert not lock.held  # somebody took it away
    (place / "aside").rename(place / "lock.json")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        assert lock.held
    Lock.acquire(place / "lock.json", "CD", take_over=True)
    assert not lock.held
    shutil.rmtree(place)


def test_recovering_takes_what_was_written_after_a_half_record(tmp_path):
    resource = pytest.importorskip("resource")
    corrections = begin(tmp_path)
    work(corrections, 3)
    limits, size = resource.getrlimit(resource.RLIMIT_FSIZE), journal(tmp_path).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 7, limits[1]))  # real writes that end after 7 bytes
    try:
        for place in range(0, 900, 300):
            corrections.apply(np.arange(place, place + 300, 7), 90 + place // 300, "strewn")
        assert corrections.unwritten == 3
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    corrections.retry()
    assert corrections.unwritten == 0
    back = Corrections.recover(tmp_path, None, corrections._scan)
    assert back.notices == () and np.array_equal(back.mask, corrections.mask)
