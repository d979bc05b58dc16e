"""Corrections of a scan that belongs to no project: found again by its pixels, one window at a time."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from napari_morse.errors import InputError
from napari_morse.session.case.protection import Protection
from napari_morse.session.case.standalone import VARIABLE, corrections_folder, open_standalone
from napari_morse.types import Roi
from tests.fakes import make_scan

BOX = Roi((1, 1, 1), (4, 4, 4))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "loose"))
    return tmp_path / "loose"


def test_strokes_are_there_again_and_can_be_undone(folder):
    scan = make_scan(stem="Miller_Anna")
    case = open_standalone(scan, None)
    assert not case.resumed and not case.corrections.mask.any()
    case.corrections.apply(BOX, 2, "stroke")
    case.close()
    again = open_standalone(make_scan(stem="another_name"), np.ones(scan.grid.shape, np.uint8))
    assert again.resumed and (again.corrections.mask[BOX.slices] == 2).all()
    again.corrections.undo()
    assert not again.corrections.mask.any()
    again.close()
    assert corrections_folder() == folder
    assert not [path for path in folder.rglob("*") if "miller" in path.name.lower()]
    assert not open_standalone(make_scan(seed=1), None).resumed


def test_corrections_that_nobody_made_begin_with_the_mask_of_now():
    scan = make_scan()
    open_standalone(scan, None).close()
    mask = np.ones(scan.grid.shape, np.uint8)
    case = open_standalone(scan, mask)
    np.testing.assert_array_equal(case.corrections.mask, mask)


def test_another_window_is_refused_while_one_corrects_and_welcome_after_a_crash():
    code = f"""
import sys
from napari_morse.session.case.standalone import open_standalone
from napari_morse.types import Roi
from tests.fakes import make_scan
case = open_standalone(make_scan(), None)
case.corrections.apply(Roi({BOX.start}, {BOX.stop}), 3, "stroke")
print("open", flush=True)
sys.stdin.read()
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "open\n"
    with pytest.raises(InputError, match="another window"):
        open_standalone(make_scan(), None)
    other.kill()
    other.communicate()
    case = open_standalone(make_scan(), None)
    assert case.resumed and (case.corrections.mask[BOX.slices] == 3).all()


def test_a_folder_that_cannot_be_made_is_a_sentence(folder):
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file")
    with pytest.raises(InputError, match="cannot be written to"):
        open_standalone(make_scan(), None)


def test_locked_labels_are_neither_painted_nor_painted_over_and_patches_stay():
    mask = np.zeros((6, 6, 6), np.uint8)
    mask[:3] = 1
    mask[3:, :3] = 2
    protection = Protection(mask.shape)
    whole = Roi((0, 0, 0), mask.shape)
    assert not protection.refused(mask, np.full(mask.shape, 3), whole).any()
    protection.locked = frozenset({2})
    np.testing.assert_array_equal(protection.refused(mask, np.full(mask.shape, 3), whole), mask == 2)
    np.testing.assert_array_equal(protection.refused(mask, np.full(mask.shape, 2), whole), mask != 2)
    patch = np.array([[0, 0, 0], [5, 5, 5]])
    protection.keep(4, patch)
    part = Roi((3, 3, 3), mask.shape)
    refused = protection.refused(mask[part.slices], np.ones(part.shape), part)
    assert np.argwhere(refused).tolist() == [[2, 2, 2]]
    protection.let_go(4)
    assert not protection.refused(mask[part.slices], np.ones(part.shape), part).any()
