"""Whose scan it is, as names tell; and what belongs together because one person or one scan is in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from napari_morse.io import case_stem

_SUBJECT = re.compile(r"sub-((?:[^\W_]|[-+]|\.(?=\d))+)", re.IGNORECASE)
"""BIDS knows no hyphen, plus or point in a label, but people write them: it ends at an underscore or a blank."""
_INSIDE = re.compile(rf"(?:^|(?<=[\W_])){_SUBJECT.pattern}", re.IGNORECASE)
_FURTHER = re.compile(r"[-.+](ses|run|acq|task|dir|rec|echo|part|space|desc|res|label)-.*", re.IGNORECASE)
"""What is said of an image and no longer of the person, where hyphens stand for underscores."""
_NUMBER = re.compile(r"_\d+(?=_)|_(?!\d{4}$)\d+$")
"""Behind a label without a digit: ``sub-CON_01_T1w`` is person 01 of CON; four digits at the end number an image."""
_KIND = re.compile(r"-(T[12](w|c|ce|gd|star|starw)?|PDw?|FLAIR|SWI|DWI|ADC|CTA?|MRA?|PET|bold)$", re.IGNORECASE)
_NOBODY = {
    "",
    "n/a",
    "na",
    "n.a.",
    "nan",
    "none",
    "null",
    "unknown",
    "unk",
    "missing",
    "tbd",
    "?",
    "-",
    "--",
    "—",
    "–",
    ".",
}
"""What people write where they do not know whose scan it is, casefolded."""


def subject_of(path: Path) -> str:
    """``sub-…`` of a file's own name, else of the nearest folder whose name begins so; empty without any."""
    return subject_in(case_stem(path)) or folder_subject(path)


def subject_in(stem: str) -> str:
    """``sub-`` and the whole label, as ``sub-CON-01`` of ``sub-CON-01_ses-1_T1w``; empty without one."""
    return _named(_INSIDE.search(unicodedata.normalize("NFC", stem)))


def folder_subject(path: Path) -> str:
    """``sub-…`` of the nearest folder above a file whose name begins so; empty without one."""
    parts = (unicodedata.normalize("NFC", folder.name) for folder in path.parents)
    return next((subject for part in parts if (subject := _named(_SUBJECT.match(part)))), "")


def _named(match: re.Match[str] | None) -> str:
    if match is None:
        return ""
    label = _KIND.sub("", _FURTHER.sub("", match[1])).strip("-+")
    number = _NUMBER.match(match.string, match.end())
    if label and number and label == match[1] and not any(letter.isdigit() for letter in label):
        label += number[0]
    return f"sub-{label}" if label else ""


def older_subject(subject: str) -> str:
    """What older versions took for the subject: its label up to the first sign that BIDS does not know."""
    match = re.match(r"sub-[A-Za-z0-9]+", subject)
    return match[0] if match else ""


def patient_said(text: str) -> str:
    """Who a cell says it is; empty where it says that nobody knows (``n/a``, ``unknown``, ``-``, …)."""
    plain = " ".join(text.split())
    return "" if plain.casefold() in _NOBODY else plain


def patient_key(name: str) -> str:
    """The same for all spellings of a name: capitals, composed letters and blanks do not tell people apart."""
    # NFC: macOS hands out file names with letters and accents apart, other systems together.
    return unicodedata.normalize("NFC", " ".join(name.split()).casefold())


def group_by_marks(marks: Sequence[Iterable[Hashable]]) -> list[int]:
    """Which of some things belong together, because they share a mark, or each shares one with a third.

    Parameters
    ----------
    marks
        Of each thing.

    Returns
    -------
    list of int
        For each thing the place of the first one that it belongs to: its own where it stands alone.
    """
    first = list(range(len(marks)))

    def root(index: int) -> int:
        while first[index] != index:
            # Paths are halved on the way (union-find): thousands of cases stay quick.
            first[index] = index = first[first[index]]
        return index

    seen: dict[Hashable, int] = {}
    for index, own in enumerate(marks):
        for mark in own:
            a, b = sorted((root(seen.setdefault(mark, index)), root(index)))
            first[b] = a
    return [root(index) for index in range(len(marks))]
