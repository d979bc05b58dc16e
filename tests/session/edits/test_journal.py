"""The journal: cut, flipped, foreign, newer, older, unwritable. Rows 37 and 38 of the faults."""

from __future__ import annotations

import base64
import errno
import os
import shutil
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_morse.errors import DamagedFileError
from napari_morse.session.edits import Corrections, UnfinishedError, recoverable
from napari_morse.session.edits.edit import Change, encode
from napari_morse.session.edits.journal import (
    FRONT,
    JOURNAL_VERSION,
    Header,
    Journal,
    Record,
    Step,
    pack_header,
    read_journal,
)
from tests.edit_cases import SCAN, SHAPE, Disk, again, asides, begin, journal, saved, work

OLD = base64.b64decode(
    "TU9SU0VKTkwBAJIAAAB7ImlkIjoiMDEyMzQ1Njc4OWFiY2RlZiIsInNjYW4iOiI1Y2ExYWIxZSIsInNoYXBlIjpbNiw1LDRdLCJk"
    "dHlwZSI6InUxIiwiYmFzZSI6Ijk5YWY0MDAxNGE2NmY4ZjQ0ODk2ODAyYjQxNjliM2MzYWQ0MjllOTIwZDEzMzU3ZDcyOWEyMmIz"
    "MjRkOTVjYWMifaoFX28bAAAAMvs7NwEDYm94DAEBAgIAAgwMGQECAQIBCgECAQIBAAAZAAAA4ZLqTgEFYnJ1c2gDAwAGBgABAAIA"
    "AwMDAAZvAQEkAAAAAKGODDwCAAAAADe+C0sDIQAAAHgVWGwBBGZpbGweAgAEBAADAQMeC3icY2DGBwAFNwBYBAQBAAAAAAAAAKGO"
    "DDwCEgAAABELW54BBWJydXNoAQEAAgIAAQEBBAAA"
)
"""A journal of version 1: box, brush, undo, redo, fill, undo, brush."""
HEADER = Header(id="0123456789abcdef", scan=SCAN, shape=[2, 2, 2], dtype="u1", base="b")


def expected(seen, start, length):
    """The mask after the last step that lies wholly in the first ``length`` bytes; None: none does."""
    whole = [mask for size, mask in seen if size <= length]
    return whole[-1] if whole else start


def reopened(folder, content, before):
    """The case with its journal's bytes replaced, in a folder of its own."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    saved(copy).write_bytes(before)
    journal(copy).write_bytes(content)
    return again(copy), copy


def without_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.slow
def test_a_journal_cut_at_any_byte_gives_the_state_after_its_last_whole_record(tmp_path, monkeypatch):
    without_fsync(monkeypatch)
    seen = work(begin(tmp_path), 8)
    content, before = journal(tmp_path).read_bytes(), saved(tmp_path).read_bytes()
    ends = {size for size, _ in seen}
    for length in range(len(content) + 1):
        back, copy = reopened(tmp_path, content[:length], before)
        assert np.array_equal(back.mask, expected(seen, np.zeros(SHAPE, np.uint8), length)), length
        cut = length not in ends and length != FRONT.size + len(header_text(content)) + 4
        assert bool(back.notices) == cut, length
        assert asides(copy) == ([content[:length]] if cut else []), length


def header_text(content):
    return content[FRONT.size : FRONT.size + FRONT.unpack_from(content)[2]]


@pytest.mark.slow
def test_a_longer_journal_cut_at_random_bytes(tmp_path, monkeypatch):
    without_fsync(monkeypatch)
    seen = work(begin(tmp_path, (40, 30, 20), np.uint16), 200, labels=900)
    content, before = journal(tmp_path).read_bytes(), saved(tmp_path).read_bytes()
    for length in np.random.default_rng(3).integers(0, len(content), 200).tolist():
        back, _ = reopened(tmp_path, content[:length], before)
        assert np.array_equal(back.mask, expected(seen, np.zeros((40, 30, 20), np.uint16), length))


def test_after_a_flipped_bit_everything_is_dropped_and_counted(tmp_path, monkeypatch):
    without_fsync(monkeypatch)
    seen = work(begin(tmp_path), 20)
    content, before = journal(tmp_path).read_bytes(), saved(tmp_path).read_bytes()
    rng = np.random.default_rng(4)
    for at in rng.integers(len(content) - seen[-1][0] + seen[0][0], len(content), 60).tolist():
        flipped = bytearray(content)
        flipped[at] ^= 1 << int(rng.integers(8))
        good = sum(size <= at for size, _ in seen)
        back, copy = reopened(tmp_path, bytes(flipped), before)
        assert np.array_equal(back.mask, seen[good - 1][1])
        assert f"At least {len(seen) - good} of" in back.notices[0]
        assert asides(copy) == [bytes(flipped)]
        back.apply(np.array([0]), 1 - int(back.mask.flat[0] == 1), "voxel")
        assert np.array_equal(again(copy).mask, back.mask)


def test_a_flipped_header_is_refused_and_kept(tmp_path, monkeypatch):
    without_fsync(monkeypatch)
    seen = work(begin(tmp_path), 3)
    content, before = journal(tmp_path).read_bytes(), saved(tmp_path).read_bytes()
    for at in range(FRONT.size + len(header_text(content)) + 4):
        flipped = content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :]
        back, copy = reopened(tmp_path, flipped, before)
        assert not back.mask.any() and not back.dirty
        assert "journal-aside-1.log" in back.notices[0] and asides(copy) == [flipped]
    assert seen


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scan": "0ther"}, "another scan"),
        ({"base": "0" * 64, "id": "f" * 16}, "another mask"),
    ],
    ids=["scan", "base"],
)
def test_a_journal_of_something_else_is_refused_and_kept(change, words, tmp_path):
    work(begin(tmp_path), 3)
    content = journal(tmp_path).read_bytes()
    text = read_journal(journal(tmp_path))
    end = FRONT.size + len(header_text(content)) + 4
    other = pack_header(text.header.model_copy(update=change)) + content[end:]
    journal(tmp_path).write_bytes(other)
    assert recoverable(tmp_path) is None
    back = again(tmp_path, "ask")
    assert words in back.notices[0] and asides(tmp_path) == [other]
    assert not back.mask.any()


def test_a_newer_journal_is_refused_and_kept(tmp_path):
    work(begin(tmp_path), 3)
    content = bytearray(journal(tmp_path).read_bytes())
    content[8] = JOURNAL_VERSION + 1
    journal(tmp_path).write_bytes(content)
    back = again(tmp_path)
    assert "newer version" in back.notices[0] and asides(tmp_path) == [bytes(content)]


def test_a_journal_of_version_1_is_read(tmp_path):
    assert FRONT.unpack_from(OLD)[1] == 1
    journal(tmp_path).write_bytes(OLD)
    live = np.zeros((6, 5, 4), np.uint8)
    live[1:3, 1:4, 1:3] = 2
    live.reshape(-1)[[0, 7, 119, 4]] = [1, 2, 3, 1]
    back = Corrections.recover(tmp_path, np.zeros((6, 5, 4), np.uint8), SCAN)
    assert np.array_equal(back.mask, live) and (back.undoable, back.redoable) == (3, 0)
    assert asides(tmp_path) == [OLD] and back.dirty
    back.undo()
    assert read_journal(journal(tmp_path)).version == JOURNAL_VERSION
    assert np.array_equal(again(tmp_path).mask, back.mask)


def test_a_cut_journal_of_version_1_is_read_up_to_there(tmp_path):
    for length in range(FRONT.size + 150, len(OLD)):
        folder = tmp_path / str(length)
        folder.mkdir()
        journal(folder).write_bytes(OLD[:length])
        text = read_journal(journal(folder))
        assert text.whole <= length and text.lost == (text.whole < length)


def test_records_come_back_with_their_payloads(tmp_path):
    path = tmp_path / "journal.log"
    written = Journal.create(path, HEADER, [Record(Step.EDIT, b"a" * 300), Record(Step.UNDO)])
    written.append(Record(Step.REDO))
    written.append(Record(Step.MARK, b"note"))
    text = read_journal(path)
    assert [(r.step, len(r.payload)) for r in text.records] == [(1, 300), (2, 0), (3, 0), (4, 4)]
    assert (text.header, text.lost, text.whole) == (HEADER, 0, path.stat().st_size)
    assert written.records == 4


def test_an_act_whose_old_labels_are_not_the_masks_ends_the_replay(tmp_path):
    corrections = begin(tmp_path)
    corrections.apply(np.array([1]), 1, "voxel")
    wrong = Change("voxel", np.array([2]), np.array([3], np.uint8), np.array([1], np.uint8))
    corrections._journal.append(Record(Step.EDIT, encode(wrong)))
    back = again(tmp_path)
    assert np.flatnonzero(back.mask).tolist() == [1] and "At least 1" in back.notices[0]


def test_a_record_with_a_right_checksum_that_does_not_fit_the_mask_ends_the_replay(tmp_path):
    corrections = begin(tmp_path)
    seen = work(corrections, 5)
    corrections._journal.append(Record(Step.EDIT, b"no act"))
    corrections._journal.append(Record(Step.MARK))
    back = again(tmp_path)
    assert np.array_equal(back.mask, seen[-1][1]) and "At least 2" in back.notices[0]


@pytest.mark.parametrize(
    "content", [b"", b"M", b"text" * 20, FRONT.pack(b"MORSEJNL", JOURNAL_VERSION, 2**32 - 1) + b"{}"]
)
def test_what_is_no_journal_is_refused(content, tmp_path):
    path = tmp_path / "journal.log"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="beginning"):
        read_journal(path)


def test_a_header_that_is_not_ours_is_refused(tmp_path):
    front = FRONT.pack(b"MORSEJNL", JOURNAL_VERSION, 2) + b"{}"
    path = tmp_path / "journal.log"
    path.write_bytes(front + zlib.crc32(front).to_bytes(4, "little"))
    with pytest.raises(DamagedFileError, match="beginning"):
        read_journal(path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 25), dtype=st.sampled_from([np.uint8, np.uint16, np.int32]))
def test_replay_gives_the_live_state(tmp_path_factory, monkeypatch, seed, steps, dtype):
    without_fsync(monkeypatch)
    folder = tmp_path_factory.mktemp("case")
    live = begin(folder, (6, 7, 1), dtype)
    work(live, steps, seed)
    back = again(folder)
    assert np.array_equal(back.mask, live.mask) and back.dirty == live.dirty
    assert (back.undoable, back.redoable) == (live.undoable, live.redoable)
    for corrections in (live, back):
        while corrections.undo() is not None:
            pass
    assert not back.mask.any() and not live.mask.any()


def test_an_act_after_undo_drops_the_branch_in_the_journal_too(tmp_path):
    corrections = begin(tmp_path)
    for place in range(4):
        corrections.apply(np.array([place]), 1, "voxel")
    corrections.undo()
    corrections.undo()
    corrections.apply(np.array([99]), 2, "voxel")
    back = again(tmp_path)
    assert back.redo() is None and (back.undoable, back.redoable) == (3, 0)
    assert np.flatnonzero(back.mask).tolist() == [0, 1, 99]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO], ids=errno.errorcode.get)
def test_a_disk_that_refuses_loses_nothing_and_the_next_write_catches_up(code, tmp_path, monkeypatch):
    disk = Disk(monkeypatch, code)
    corrections = begin(tmp_path)
    told = []
    corrections.trouble_changed.connect(told.append)
    good = work(corrections, 5)
    disk.full = True
    work(corrections, 6, seed=1)
    assert corrections.dirty and os.strerror(code) in corrections.trouble and len(told) == 1
    assert np.array_equal(again_copy(tmp_path).mask, good[-1][1])
    disk.full = False
    corrections.apply(np.array([5]), int(corrections.mask.flat[5] == 0), "voxel")
    assert corrections.trouble == "" == told[-1] and len(told) == 2
    back = again(tmp_path)
    assert np.array_equal(back.mask, corrections.mask) and back.notices == ()
    assert (back.undoable, back.redoable) == (corrections.undoable, corrections.redoable)


def again_copy(folder):
    """A new session on a copy, so that the first can go on."""
    copy = folder / "copy"
    copy.mkdir()
    for path in (journal(folder), saved(folder)):
        shutil.copy(path, copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        return again(copy)


def test_a_record_that_went_half_onto_the_disk_is_cut_off_before_the_next(tmp_path):
    resource = pytest.importorskip("resource")
    corrections = begin(tmp_path)
    work(corrections, 3)
    size = journal(tmp_path).stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))  # a real write that stops after 10 bytes
    try:
        corrections.apply(np.arange(0, 900, 7), 3, "strewn")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "could not be written" in corrections.trouble and corrections.dirty
    assert journal(tmp_path).stat().st_size == size
    with journal(tmp_path).open("ab") as file:  # and had it not been taken back at once
        file.write(b"1234567890")
    corrections.undo()
    assert corrections.trouble == ""
    back = again(tmp_path)
    assert np.array_equal(back.mask, corrections.mask) and back.redoable == 1 and back.notices == ()


def test_a_disk_that_refuses_from_the_start_is_caught_up_with(tmp_path, monkeypatch):
    disk = Disk(monkeypatch, errno.ENOSPC)
    corrections = begin(tmp_path)
    disk.full = True
    work(corrections, 4)
    assert corrections.trouble and corrections.dirty and not saved(tmp_path).exists()
    disk.full = False
    corrections.apply(np.array([5]), int(corrections.mask.flat[5] == 0), "voxel")
    assert corrections.trouble == "" and corrections.dirty
    back = again(tmp_path)
    assert np.array_equal(back.mask, corrections.mask) and back.dirty and back.undoable == corrections.undoable


@pytest.mark.parametrize("lost", ["journal", "mask", "both", "foreign", "longer"])
def test_files_that_vanish_or_change_under_the_session_are_made_anew(lost, tmp_path):
    corrections = begin(tmp_path)
    work(corrections, 5)
    if lost in ("journal", "both"):
        journal(tmp_path).unlink()
    if lost in ("mask", "both"):
        saved(tmp_path).unlink()
    if lost == "foreign":
        journal(tmp_path).write_bytes(b"something else" * 99)
    if lost == "longer":
        with journal(tmp_path).open("ab") as file:
            file.write(b"another window's record")
    there = journal(tmp_path).read_bytes() if journal(tmp_path).exists() else None
    corrections.apply(np.array([5]), int(corrections.mask.flat[5] == 0), "voxel")
    assert corrections.trouble == "" and corrections.dirty
    assert asides(tmp_path) == ([] if there is None else [there])
    back = again(tmp_path)
    assert np.array_equal(back.mask, corrections.mask) and back.undoable == corrections.undoable


def test_what_was_not_saved_is_offered_and_not_taken_silently(tmp_path):
    corrections = begin(tmp_path)
    seen = work(corrections, 5)
    with pytest.raises(UnfinishedError, match="5 steps") as caught:
        again(tmp_path, "ask")
    assert caught.value.unfinished.steps == 5 == recoverable(tmp_path).steps
    assert caught.value.unfinished.when == pytest.approx(journal(tmp_path).stat().st_mtime)
    content = journal(tmp_path).read_bytes()
    fresh = again(tmp_path, "set_aside")
    assert not fresh.mask.any() and not fresh.dirty and "journal-aside-1.log" in fresh.notices[0]
    assert asides(tmp_path) == [content] and recoverable(tmp_path) is None
    shutil.move(tmp_path / "journal-aside-1.log", journal(tmp_path))
    assert np.array_equal(again(tmp_path).mask, seen[-1][1])


def test_steps_that_lead_back_to_what_was_saved_are_not_asked_about(tmp_path):
    corrections = begin(tmp_path)
    corrections.apply(np.array([1]), 1, "voxel")
    corrections.undo()
    back = again(tmp_path, "ask")
    assert not back.dirty and back.redo() is not None and back.mask.sum() == 1


def test_recovery_after_recovery_goes_on(tmp_path):
    for number in range(4):
        corrections = begin(tmp_path) if number == 0 else again(tmp_path)
        assert corrections.undoable == number
        corrections.apply(np.array([number]), 1, "voxel")
    assert again(tmp_path).undoable == 4 and again(tmp_path).notices == ()
    assert recoverable(tmp_path).steps == 4
