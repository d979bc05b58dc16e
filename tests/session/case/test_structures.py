"""Structures that a person adds to those of the models: numbers, colours and names, kept beside the masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_morse.errors import InputError
from napari_morse.session.case.structures import LONGEST_NAME, Structures
from napari_morse.session.case_files import STRUCTURES
from napari_morse.training.palette import MODEL_COLOURS
from napari_morse.types import Label

KNOWN = (Label(1, "anterior", MODEL_COLOURS[0]), Label(2, "posterior", MODEL_COLOURS[1]))


def mask(largest: int = 2) -> np.ndarray:
    return np.array([[[0, 1, largest]]], np.uint8)


def test_a_structure_gets_a_number_and_a_colour_that_nothing_has(tmp_path: Path):
    kept = Structures(tmp_path)
    first = kept.add("  lesion \n core ", KNOWN, 2, mask(), "AB")
    assert first == Label(3, "lesion core", MODEL_COLOURS[2])
    second = kept.add("cyst", KNOWN, 7, mask())  # 7 is known of another case or model
    assert (second.id, second.color) == (8, MODEL_COLOURS[3])
    assert kept.add("vein", KNOWN, 2, mask(40)).id == 41  # 40 is drawn, by whomever
    assert Structures(tmp_path).labels[:2] == (first, second)


def test_where_the_largest_number_is_taken_a_free_one_is_found(tmp_path: Path):
    kept = Structures(tmp_path)
    assert kept.add("lesion", KNOWN, 2, mask(255)).id == 3
    full = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    with pytest.raises(InputError, match="no number left"):
        kept.add("cyst", KNOWN, 2, full)


def test_names_are_given_once_and_kept(tmp_path: Path):
    kept = Structures(tmp_path)
    made, other = (kept.add(name, KNOWN, 0, mask()) for name in ("lesion", "cyst"))
    seen = kept.labels
    assert kept.labels is seen
    kept.rename(made.id, "Lesion", (*KNOWN, made))  # its own name is free
    assert [x.name for x in kept.labels] == ["Lesion", "cyst"] and kept.labels is not seen
    for name in (" ", "x" * (LONGEST_NAME + 1)):
        with pytest.raises(InputError, match="1 to 60 characters"):
            kept.rename(made.id, name, KNOWN)
    for name in ("CYST", "anterior"):
        with pytest.raises(InputError, match="already"):
            kept.rename(made.id, name, KNOWN)
        with pytest.raises(InputError, match="already"):
            kept.add(name, KNOWN, 0, mask())
    with pytest.raises(InputError, match="any more"):
        kept.rename(99, "vein", KNOWN)
    assert [x.name for x in kept.labels] == ["Lesion", "cyst"] and kept.labels[1] == other


def test_who_reads_blind_renames_only_their_own(tmp_path: Path):
    kept = Structures(tmp_path)
    first, second = kept.add("lesion", KNOWN, 0, mask(), "AB"), kept.add("vein", KNOWN, 0, mask(), "CD")
    with pytest.raises(InputError, match="Another reader"):
        kept.rename(first.id, "artery", KNOWN, only_by="CD")
    kept.rename(second.id, "artery", KNOWN, only_by="CD")
    assert [x.name for x in kept.labels] == ["lesion", "artery"]


def test_what_another_window_writes_is_read(tmp_path: Path):
    one, other = Structures(tmp_path), Structures(tmp_path)
    assert other.labels == ()
    one.add("lesion", KNOWN, 0, mask())
    assert other.labels == one.labels != ()


def test_a_damaged_file_is_said_and_left_as_it_is(tmp_path: Path):
    kept = Structures(tmp_path)
    made = kept.add("lesion", KNOWN, 0, mask())
    assert kept.labels == (made,) and not kept.trouble
    twice = json.loads((tmp_path / STRUCTURES).read_text())
    twice["structures"] *= 2
    for text in ("{", json.dumps(twice)):
        (tmp_path / STRUCTURES).write_text(text)
        assert kept.labels == (made,) and "damaged" in kept.trouble
        for act in (lambda: kept.add("cyst", KNOWN, 0, mask()), lambda: kept.rename(3, "a", KNOWN)):
            with pytest.raises(InputError, match="damaged"):
                act()
        assert (tmp_path / STRUCTURES).read_text() == text
    assert Structures(tmp_path).labels == ()
