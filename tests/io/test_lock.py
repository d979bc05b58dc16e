"""One window at a time: locks held, stale, foreign, damaged, taken over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time

import pytest

from napari_morse.errors import InputError
from napari_morse.io.lock import STALE, Lock
from napari_morse.session.project import Project, ProjectLockedError
from tests.project_cases import again, child, make

HOLD = """
import sys
from napari_morse.session.project import Project
project = Project.open(sys.argv[1], reader="CD")
print("open", flush=True)
sys.stdin.read()
project.close()
"""


def lock_file(tmp_path):
    return tmp_path / "study" / "lock.json"


def write(tmp_path, **said):
    lock_file(tmp_path).write_text(json.dumps(said))


def test_two_processes_refuse_each_other_and_the_second_may_come_when_the_first_has_gone(tmp_path):
    make(tmp_path).close()
    other = child(HOLD, tmp_path / "study", stdin=subprocess.PIPE)
    with other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ProjectLockedError, match=r"another window \(CD, on this computer, last seen a moment"):
            again(tmp_path)
        with again(tmp_path, read_only=True) as looking:
            assert len(looking.cases()) == 6
        other.communicate("", timeout=60)
    assert other.returncode == 0
    assert not lock_file(tmp_path).exists()
    again(tmp_path).close()


def test_the_lock_of_a_killed_process_is_taken_silently(tmp_path):
    make(tmp_path).close()
    other = child(HOLD, tmp_path / "study", stdin=subprocess.PIPE)
    with other:
        assert other.stdout.readline() == "open\n"
        other.kill()
    assert lock_file(tmp_path).exists()
    with again(tmp_path) as project:
        project.comment("p0_0", "mine")
    assert sorted(p.name for p in (tmp_path / "study").iterdir()) == ["project.json", "worklist.sqlite"]


def test_two_windows_of_one_process_refuse_each_other(tmp_path):
    with make(tmp_path), pytest.raises(ProjectLockedError):
        again(tmp_path)


@pytest.mark.parametrize(("age", "alive"), [(1.0, True), (STALE + 60, False)])
def test_another_computers_lock_is_asked_for_and_never_taken_silently(tmp_path, age, alive):
    make(tmp_path).close()
    write(tmp_path, token="t", host="elsewhere", process=1, reader="CD", at=time.time() - age)
    with pytest.raises(ProjectLockedError, match="on another computer") as caught:
        again(tmp_path)
    assert caught.value.alive is alive
    assert "take the project over" in caught.value.hint
    with again(tmp_path, take_over=True) as project:
        project.comment("p0_0", "mine")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[1]", b"null", b'{"at": NaN}', b'{"at": "x", "process": "y"}', b"[" * 100_000],
)
def test_a_damaged_lock_is_asked_for(tmp_path, content):
    make(tmp_path).close()
    lock_file(tmp_path).write_bytes(content)
    with pytest.raises(ProjectLockedError, match="somebody"):
        again(tmp_path)
    again(tmp_path, take_over=True).close()
    assert not lock_file(tmp_path).exists()


@pytest.mark.parametrize("process", [True, -1, 0, 2**80, None])
def test_a_process_number_that_is_none_ends_nothing_and_takes_nothing(tmp_path, process):
    with make(tmp_path):
        said = json.loads(lock_file(tmp_path).read_text())
    write(tmp_path, **{**said, "process": process})
    with pytest.raises(ProjectLockedError):
        again(tmp_path)


def test_a_window_that_was_taken_over_writes_nothing_more(tmp_path):
    first = make(tmp_path)
    with again(tmp_path, "CD", take_over=True) as second:
        for change in (
            lambda: first.comment("p0_0", "late"),
            lambda: first.set_status(["p0_0"], "in_review"),
        ):
            with pytest.raises(InputError):
                change()
        assert first.read_only
        assert first.case("p0_0").comment == ""
        first.close()
        second.comment("p0_0", "mine")  # its lock stayed
    with again(tmp_path, read_only=True) as project:
        assert [row.reader for row in project.audit()] == ["AB", "CD"]
        assert project.verify() == ""


def test_the_first_write_after_a_take_over_says_so(tmp_path):
    with make(tmp_path) as first:
        again(tmp_path, take_over=True).close()
        with pytest.raises(InputError, match="took this project over"):
            first.comment("p0_0", "late")
        with pytest.raises(InputError, match="reading only"):
            first.comment("p0_0", "late")


def test_a_sign_of_life_keeps_the_lock_ours_and_young(tmp_path):
    with make(tmp_path) as project:
        said = json.loads(lock_file(tmp_path).read_text())
        write(tmp_path, **{**said, "at": 0})
        project.beat()
        assert time.time() - json.loads(lock_file(tmp_path).read_text())["at"] < 60
        project.comment("p0_0", "still mine")


def test_a_lock_that_was_set_meanwhile_is_not_displaced(tmp_path, monkeypatch):
    """Two windows find the same stale lock; the slower one must not take the faster one's."""
    path = tmp_path / "lock.json"
    path.write_text(json.dumps({**json.loads(Lock(path, "old", "AB")._text()), "process": 2**22 + 1}))
    stale, real = path.read_text(), os.kill

    def slow(process, signal):
        if path.exists() and path.read_text() == stale:
            path.unlink()
            Lock.acquire(path, "faster")
            raise ProcessLookupError
        return real(process, signal)

    monkeypatch.setattr(os, "kill", slow)
    with pytest.raises(ProjectLockedError, match="faster"):
        Lock.acquire(path, "slower")
    assert json.loads(path.read_text())["reader"] == "faster"
    assert [p.name for p in tmp_path.iterdir()] == ["lock.json"]


def test_no_name_of_the_computer_is_in_the_lock(tmp_path):
    with make(tmp_path):
        assert socket.gethostname() not in lock_file(tmp_path).read_text()


def test_who_is_not_named_may_only_look(tmp_path):
    make(tmp_path).close()
    with pytest.raises(InputError, match="who is reading"):
        Project.open(tmp_path / "study", reader="  ")
    assert not lock_file(tmp_path).exists()
    with Project.open(tmp_path / "study", read_only=True) as project:
        for change in (
            lambda: project.comment("p0_0", "x"),
            lambda: project.set_status(["p0_0"], "in_review"),
            lambda: setattr(project, "current", "p0_0"),
            lambda: project.add_cases([]),
        ):
            with pytest.raises(InputError, match="reading only"):
                change()
        assert not project.folder_of("p0_0").exists()
