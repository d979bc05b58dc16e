"""The masks of a project's case, from wherever they lie, on the scan's grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from napari_morse.errors import GeometryError, InputError
from napari_morse.io import open_mask, open_scan
from napari_morse.io.mask_store import load_store
from napari_morse.session.case_files import COARSE, CORRECTED, RENDERED
from napari_morse.session.edits import recoverable, was_touched
from napari_morse.session.project import Case, Project
from napari_morse.session.project.rules import keeps_untouched
from napari_morse.types import Array, Scan

MaskKind = Literal["given", "coarse", "rendered", "corrected"]
MASK_KINDS: tuple[MaskKind, ...] = get_args(MaskKind)
"""In the order in which they come about."""
COUNTS: tuple[MaskKind, ...] = ("corrected", "given", "rendered", "coarse")
"""The first one that there is counts: a case that came with a mask is corrected from that, whatever a model said."""


@dataclass(frozen=True)
class CaseMasks:
    """What there is of a case.

    Parameters
    ----------
    scan
        The scan itself.
    masks
        (I, J, K) label ids by stage, in the order of `MASK_KINDS`.
    truth
        (I, J, K) label ids, or None.
    truth_is
        The stage whose mask is the truth: nothing is learned from comparing it with itself. Empty: another mask is.
    """

    scan: Scan
    masks: dict[MaskKind, Array]
    truth: Array | None
    truth_is: MaskKind | Literal[""] = ""

    @property
    def final(self) -> tuple[MaskKind, Array] | None:
        """The mask that counts and its stage; None when there is no mask. Opening the case shows the same one."""
        found: tuple[MaskKind, ...] = tuple(stage for stage in COUNTS if stage in self.masks)
        return (found[0], self.masks[found[0]]) if found else None

    @property
    def before(self) -> Array | None:
        """The mask that was corrected; None when nothing was, or nobody knows what it was."""
        earlier = [self.masks[stage] for stage in COUNTS[1:] if stage in self.masks]
        return earlier[0] if earlier and "corrected" in self.masks else None


def load_masks(project: Project, case: Case) -> CaseMasks:
    """Everything of a case; the corrections are those of the reader whose mask was chosen.

    Raises
    ------
    InputError
        A file is missing, damaged or another one than it was, there are corrections that were not saved, or the present
        reader is to read the case blind.
    GeometryError
        A mask does not lie on the scan's grid.
    """
    if case.id in project.to_read():
        raise InputError("Hidden before the second reading is submitted.", "")
    own, chosen = project.folder_of(case.id), project.final_reader(case.id)
    corrected = project.folder_of(case.id, chosen) if chosen else own
    # Else report, export and learning would take the mask without the strokes that only the journal holds.
    if recoverable(corrected) is not None:
        raise InputError("There are corrections that were not saved.", "Open the case, and save or discard them.")
    scan = open_scan(project.scan_of(case.id))
    stored = {"coarse": _stored(own / COARSE, scan), "rendered": _stored(own / RENDERED, scan)}
    found = {"given": _file(project.mask_of(case.id), scan), **stored}
    # Opening a case saves a corrected mask already: one that nobody touched must not stand against a later run's.
    begun = found["given"] is not None or found["rendered"] is not None
    stale = begun and not chosen and not keeps_untouched(case, project.decided_unpredicted(case.id))
    found["corrected"] = _stored(corrected / CORRECTED, scan, only_touched=stale)
    if chosen and found["corrected"] is None:
        raise InputError(f"The mask of {chosen}, who was chosen, is missing.", "Decide again, or bring it back.")
    masks = {stage: mask for stage in MASK_KINDS if (mask := found[stage]) is not None}
    truth = _file(project.truth_of(case.id), scan)
    if truth is not None or not case.held_out:
        return CaseMasks(scan, masks, truth)
    return _with_own_truth(project, case, CaseMasks(scan, masks, None))


def _with_own_truth(project: Project, case: Case, found: CaseMasks) -> CaseMasks:
    """With the truth that was made in the project, when one is done: a second reader's, else the accepted mask."""
    if case.truth_from == "second_reader":
        chosen = project.final_reader(case.id)
        if chosen:
            return replace(found, truth=found.masks["corrected"], truth_is="corrected")
        readers = [r.reader for r in project.readings(case.id) if r.submitted and r.agreement is not None]
        truth = _stored(project.folder_of(case.id, readers[0]) / CORRECTED, found.scan) if readers else None
        return replace(found, truth=truth)
    if case.truth_from and case.status == "accepted" and "corrected" in found.masks:
        return replace(found, truth=found.masks["corrected"], truth_is="corrected")
    return found


def _stored(path: Path, scan: Scan, only_touched: bool = False) -> Array | None:
    if not path.exists():
        return None
    stored = load_store(path)
    if only_touched and not was_touched(stored):
        return None
    data = stored.data
    _check(path, data.shape == scan.grid.shape)
    return data


def _file(path: Path | None, scan: Scan) -> Array | None:
    if path is None:
        return None
    mask = open_mask(path)
    _check(path, mask.grid.same_as(scan.grid))
    return mask.data


def _check(path: Path, fits: bool) -> None:
    if not fits:
        raise GeometryError(f"“{path.name}” does not lie on the scan's grid.", "Resample it onto the scan's grid.")
