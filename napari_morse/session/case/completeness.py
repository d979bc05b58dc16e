"""What a mask lacks when a person says that it is right: everything, or a structure that a model found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session.case.masks import load_masks
from napari_morse.session.case.prediction_store import kept_labels
from napari_morse.session.project import Case, Project
from napari_morse.types import Array

_SLAB = 1 << 22
"""Voxels looked at together: what is found is out of the way of the next ones."""


@dataclass(frozen=True)
class Expected:
    """A structure that a model found: its label id, its name, and how large it was in ml."""

    id: int
    name: str
    ml: float


@dataclass(frozen=True)
class Lacking:
    """What is not there.

    Parameters
    ----------
    empty
        There is no voxel of any structure.
    missing
        Of what was expected.
    trouble
        Why nothing is known of the mask, as a sentence.
    """

    empty: bool = False
    missing: tuple[Expected, ...] = ()
    trouble: str = ""

    def __bool__(self) -> bool:
        return bool(self.empty or self.missing or self.trouble)

    @property
    def sentence(self) -> str:
        """Said of “the mask”; empty where nothing is lacking."""
        found = ", ".join(f"{each.name} ({each.ml:.2f} ml)" for each in self.missing)
        if self.trouble:
            return f"The mask could not be looked at: {self.trouble}"
        if self.empty:
            return "The mask is empty." + (f" The model found {found}." if found else "")
        return f"The mask lacks what the model found: {found}." if found else ""


def lacking(mask: Array | None, expected: Sequence[Expected] = ()) -> Lacking:
    """What a mask lacks; 512 × 512 × 300 voxels of uint8 take 3 ms, and 10 ms more where structures are missing.

    Parameters
    ----------
    mask
        (I, J, K) label ids; None: there is no mask.
    expected
        What is asked for beside that anything is there at all.
    """
    if mask is None:
        return Lacking(True, tuple(expected))
    empty, left = True, {each.id for each in expected}
    # In the order in which it lies: any other would copy the whole mask first.
    flat = mask.ravel("K")
    for at in range(0, len(flat), _SLAB):
        slab = flat[at : at + _SLAB]
        if slab.any():
            empty = False
            left = {number for number in left if not (slab == number).any()}
            if not left:
                break
    return Lacking(empty, tuple(each for each in expected if each.id in left))


def expected_of(sizes: Mapping[str, float], labels: Iterable[tuple[int, str]]) -> tuple[Expected, ...]:
    """What the last run found of a case, largest ids last: ml by name, and ids with their names."""
    found = {number: name for number, name in labels if sizes.get(name, 0) > 0}
    return tuple(Expected(number, name, sizes[name]) for number, name in sorted(found.items()))


def lacking_in(
    folder: Path, reader: str, cases: Sequence[Case], told: Iterable[str], tell: Callable[[int], None],
    cancelled: Callable[[], bool],
) -> dict[str, Lacking]:  # fmt: skip
    """What the masks of cases lack as they lie on the disk, by id, where they lack something; slow, for any thread.

    Parameters
    ----------
    folder, reader
        Of the project, which is opened for reading only.
    cases
        Whose masks.
    told
        Ids of cases of which it may be said what a model found.
    tell
        Given how many were looked at.
    cancelled
        Asked before every case.

    Raises
    ------
    InputError
        The project cannot be read.
    CancelledError
        ``cancelled`` said so.
    """
    found, open_ones = {}, set(told)
    with Project.open(folder, reader=reader, read_only=True) as project:
        for done, case in enumerate(cases):
            tell(done)
            if cancelled():
                raise CancelledError
            found[case.id] = _lacking(project, case, case.id in open_ones)
    return {case: each for case, each in found.items() if each}


def _lacking(project: Project, case: Case, told: bool) -> Lacking:
    try:
        labels = [(label.id, label.name) for label in kept_labels(project.folder_of(case.id))] if told else []
        final = load_masks(project, case).final
    except (MorseError, OSError) as error:
        return Lacking(trouble=str(error.args[0] if isinstance(error, MorseError) else error))
    return lacking(None if final is None else final[1], expected_of(case.sizes, labels))
