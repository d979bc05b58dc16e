"""A saved file is the old one or the whole new one, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_morse.errors import CancelledError, InputError
from napari_morse.io import atomic, open_mask, save_mask
from napari_morse.io.atomic import atomic_path, sweep, write_bytes, write_text
from napari_morse.types import Grid, Mask

GRID = Grid((40, 40, 40), np.eye(4))

SAVE_FOREVER = """
import sys
import numpy as np
from napari_morse.io import save_mask
from napari_morse.types import Grid, Mask
rng = np.random.default_rng(0)
mask = Mask(rng.integers(0, 200, (40, 40, 40)).astype(np.uint8), Grid((40, 40, 40), np.eye(4)))
while True:
    save_mask(mask, sys.argv[1])
    print("saved", flush=True)
"""


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.name.startswith(".morse-part-")]


def test_write_and_replace(tmp_path):
    target = tmp_path / "note.txt"
    assert write_text(target, "ä\n") == target
    assert target.read_bytes() == "ä\n".encode()
    write_bytes(target, b"new")
    assert target.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("error", [ValueError("no"), CancelledError(), KeyboardInterrupt()], ids=repr)
def test_any_error_leaves_the_old_file_and_nothing_else(error, tmp_path):
    target = tmp_path / "mask.nii.gz"
    target.write_bytes(b"old")

    def fail():
        with atomic_path(target) as part:
            part.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert target.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_the_part_lies_beside_and_keeps_the_ending(tmp_path):
    with atomic_path(tmp_path / "DOE_JANE.nii.gz") as part:
        assert part.parent == tmp_path
        assert part.name.endswith(".nii.gz")
        assert "DOE" not in part.name
        part.write_bytes(b"x")


def test_long_names(tmp_path):
    name = "x" * 245 + ".nii.gz"
    assert write_bytes(tmp_path / name, b"x").exists()


def test_a_full_disk_is_a_plain_sentence(tmp_path, monkeypatch):
    target = tmp_path / "mask.nii.gz"
    target.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        save_mask(Mask(np.zeros(GRID.shape, np.uint8), GRID), target)
    assert target.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_no_folder_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        write_text(tmp_path / "none" / "note.txt", "x")
    with pytest.raises(InputError, match="is a folder"):
        write_text(tmp_path, "x")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="could not be written"):
            write_text(tmp_path / "note.txt", "x")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(os.name == "nt", reason="links and modes of POSIX")
def test_links_and_modes_stay(tmp_path):
    target = tmp_path / "real.txt"
    target.write_text("old")
    target.chmod(0o640)
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_sweep_takes_only_dead_writers_leftovers(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with atomic_path(tmp_path / "mine.txt") as part:
        part.write_bytes(b"x")
        mine = part.name
        dead = tmp_path / re.sub(r"-\d+-", f"-{ended.pid}-", mine)
        other = tmp_path / f".morse-part-{'0' * 6}-{ended.pid}-01234567.nii.gz"
        old = tmp_path / f".morse-part-{'0' * 6}-{ended.pid}-89abcdef.nii.gz"
        alike = tmp_path / ".morse-part-notes.txt"
        for path in (dead, other, old, alike):
            path.write_bytes(b"x")
        os.utime(old, (time.time() - 3 * 86400,) * 2)
        assert sorted(sweep(tmp_path)) == sorted([dead.name, old.name])
        assert part.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([alike.name, other.name, "mine.txt"])


def test_sweep_of_no_folder(tmp_path):
    assert sweep(tmp_path / "none") == []


def test_kill_while_saving_over_a_mask(tmp_path):
    target = tmp_path / "mask.nii.gz"
    old = np.random.default_rng(1).integers(0, 200, GRID.shape).astype(np.uint8)
    save_mask(Mask(old, GRID), target)
    new = np.random.default_rng(0).integers(0, 200, GRID.shape).astype(np.uint8)
    for delay in (0.0, 0.003, 0.011, 0.02):
        child = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOREVER, str(target)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        child.stdout.readline()
        time.sleep(delay)
        child.kill()
        child.wait()
        child.stdout.close()
        data = open_mask(target).data
        assert np.array_equal(data, old) or np.array_equal(data, new)
    sweep(tmp_path)
    assert leftovers(tmp_path) == []


def test_the_first_write_of_a_run_sweeps(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_swept", set())
    left = tmp_path / f".morse-part-{'0' * 6}-1-89abcdef.nii.gz"
    left.write_bytes(b"x")
    os.utime(left, (0, 0))
    write_text(tmp_path / "note.txt", "x")
    assert not left.exists()
