"""Which structures the masks of a project's cases hold by now, and what they are called: read beside the window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_morse.errors import CancelledError, MorseError
from napari_morse.session.case.masks import load_masks
from napari_morse.session.case.prediction_store import kept_labels
from napari_morse.session.learn.snapshot import ids_in
from napari_morse.session.project import Project
from napari_morse.types import Array


@dataclass(frozen=True)
class MaskStructures:
    """What a case's mask holds.

    Parameters
    ----------
    ids
        Label ids above 0, in order.
    names
        By id, those that a model has said of this case.
    stamp
        Differs when the mask may have changed since.
    """

    ids: tuple[int, ...]
    names: Mapping[int, str]
    stamp: tuple[object, ...]


@dataclass(frozen=True, eq=False)
class OpenMask:
    """The case that is open: its mask may be ahead of what was saved.

    Parameters
    ----------
    case
        Its id.
    mask
        (I, J, K) label ids.
    state
        Another one after every act.
    """

    case: str
    mask: Array
    state: int


def structures_in_masks(
    folder: Path, reader: str, cases: Iterable[str], known: Mapping[str, MaskStructures], open_case: OpenMask | None,
    tell: Callable[[str, MaskStructures], None], cancelled: Callable[[], bool],
) -> None:  # fmt: skip
    """Read what the masks of some cases hold; slow, for any thread.

    Parameters
    ----------
    folder, reader
        Of the project, which is opened for reading only.
    cases
        Ids.
    known
        What was found before: what has not changed since is not read again.
    open_case
        Read from memory.
    tell
        Given the id of a case and what it holds, where that is new. What cannot be read is passed over: a round
        says why when it is begun.
    cancelled
        Asked before every case.

    Raises
    ------
    InputError
        The project cannot be read.
    CancelledError
        ``cancelled`` said so.
    """
    with Project.open(folder, reader=reader, read_only=True) as project:
        for case in cases:
            if cancelled():
                raise CancelledError
            before = known.get(case)
            try:
                structures = _mask_structures(project, case, before, open_case)
            except (MorseError, OSError):
                continue
            if structures is not before:
                tell(case, structures)


def _mask_structures(
    project: Project, name: str, before: MaskStructures | None, open_case: OpenMask | None
) -> MaskStructures:
    live = open_case if open_case is not None and open_case.case == name else None
    stamp = _stamp(project, name) if live is None else ("open", id(live.mask), live.state)
    if before is not None and before.stamp == stamp:
        return before
    names = {label.id: label.name for label in kept_labels(project.folder_of(name))}
    if live is not None:
        return MaskStructures(ids_in(live.mask), names, stamp)
    case = project.case(name)
    masks = load_masks(project, case)
    data = masks.truth if case.held_out else (masks.final[1] if masks.final is not None else None)
    return MaskStructures(() if data is None else ids_in(data), names, stamp)


def _stamp(project: Project, name: str) -> tuple[object, ...]:
    case, own = project.case(name), project.folder_of(name)
    files = [*own.rglob("*.zarr.zip"), project.mask_of(name), project.truth_of(name)]
    seen = sorted((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in files if p is not None and p.is_file())
    return (case.status, case.truth_from, project.final_reader(name), *seen)
