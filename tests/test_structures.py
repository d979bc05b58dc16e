"""Structures that a person adds to those of the models: numbers, colours and names, kept beside the masks."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_morse.errors import InputError
from napari_morse.session.structures import FILE, LONGEST, Structures
from napari_morse.training.palette import PALETTE
from napari_morse.types import Label

KNOWN = (Label(1, "anterior", PALETTE[0]), Label(2, "posterior", PALETTE[1]))


def test_a_structure_gets_a_number_and_a_colour_that_nothing_has(tmp_path: Path):
    kept = Structures(tmp_path)
    first = kept.add(KNOWN, lambda number: number == 3)
    assert first == Label(4, "label 4", PALETTE[2])  # 3 is drawn already, by whomever
    second = kept.add(KNOWN, lambda _: False)
    assert (second.id, second.color) == (3, PALETTE[3])
    assert Structures(tmp_path).labels == (first, second)


def test_names_are_kept_and_go(tmp_path: Path):
    kept = Structures(tmp_path)
    made = kept.add(KNOWN, lambda _: False)
    seen = kept.labels
    assert kept.labels is seen
    kept.rename(made.id, "  lesion \n core ")
    assert [label.name for label in kept.labels] == ["lesion core"] and kept.labels is not seen
    for name in (" ", "x" * (LONGEST + 1)):
        with pytest.raises(InputError, match="1 to 60 characters"):
            kept.rename(made.id, name)
    assert kept.labels[0].name == "lesion core"
    kept.remove(made.id)
    assert kept.labels == ()


def test_what_another_window_writes_is_read(tmp_path: Path):
    one, other = Structures(tmp_path), Structures(tmp_path)
    assert other.labels == ()
    one.add(KNOWN, lambda _: False)
    assert other.labels == one.labels != ()


def test_a_damaged_file_names_nothing_and_is_left_as_it_is(tmp_path: Path):
    kept = Structures(tmp_path)
    (tmp_path / FILE).write_text("{")
    assert kept.labels == ()
    for act in (lambda: kept.add(KNOWN, lambda _: False), lambda: kept.rename(3, "a"), lambda: kept.remove(3)):
        with pytest.raises(InputError, match="damaged"):
            act()
    assert (tmp_path / FILE).read_text() == "{"


def test_without_a_free_number_it_is_a_sentence(tmp_path: Path):
    with pytest.raises(InputError, match="no number left"):
        Structures(tmp_path).add((), lambda _: True)
    assert not (tmp_path / FILE).exists()
