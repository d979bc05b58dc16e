"""What is counted and measured of one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_morse.errors import InputError, MorseError
from napari_morse.geometry.orientation import PLANES, letters_at, shown_axes
from napari_morse.io.mask_store import load_store
from napari_morse.io.thumbnails import lettered, png_bytes, slice_picture
from napari_morse.metrics import ClassScore, score
from napari_morse.session.case.masks import CaseMasks, MaskKind, load_masks
from napari_morse.session.case.measures import Measure, now, read_measures
from napari_morse.session.case_files import CORRECTED
from napari_morse.session.project import Agreement, Case, Project, SecondReading, Status, agreement
from napari_morse.session.project.audit import AuditEntry
from napari_morse.session.project.layout import ProjectFile
from napari_morse.types import Array

THICK_SLICE_RATIO = 1.5
"""Slices are axial unless voxels are so many times as long along another axis: then they are the thick slices."""


@dataclass(frozen=True)
class Picture:
    """A slice as PNG, and what it is in words; both empty where there is no mask."""

    png: bytes = b""
    says: str = ""


def picture(masks: CaseMasks) -> Picture:
    """The slice that changed most, else that holds most of the mask."""
    if masks.final is None:
        return Picture()
    mask, before, scan = masks.final[1], masks.before, masks.scan
    where = mask > 0 if before is None or not (mask != before).any() else mask != before
    axes = shown_axes(scan.grid)
    sides = [scan.grid.spacing[axis] for axis in axes.order]
    image, changed = axes.to_view(scan.data), axes.to_view(where)
    across = _across(image.shape, sides)
    best = int(changed.sum(axis=tuple(axis for axis in range(3) if axis != across)).argmax())
    rows, columns = (axis for axis in range(3) if axis != across)
    earlier = None if before is None else np.take(axes.to_view(before), best, across)
    labels = np.take(axes.to_view(mask), best, across)
    pixels = slice_picture(np.take(image, best, across), labels, earlier, (sides[rows], sides[columns]))
    if not scan.orientation_known:
        return Picture(png_bytes(pixels), f"slice {best}, orientation not known")
    letters = letters_at(rows, columns)
    says = f"{PLANES[across]} slice {best}, {letters[2]} at the left, {letters[0]} at the top"
    return Picture(png_bytes(lettered(pixels, letters)), says)


def _across(shape: tuple[int, ...], sides: list[float]) -> int:
    """The axis (of the shown order) that slices are taken across: of the only slice, of thick slices, else axial."""
    if 1 in shape:
        return shape.index(1)
    thickest = int(np.argmax(sides))
    return thickest if sides[thickest] > THICK_SLICE_RATIO * sides[0] else 0


NSD_TOLERANCE = 1.0
"""mm, of NSD."""


@dataclass(frozen=True)
class CorrectionSize:
    """A mask after its corrections against the one before them."""

    ml: float
    """Volume whose label changed."""
    agreement: Agreement
    """Of both masks; None in it where a structure came or went."""


@dataclass(frozen=True)
class CaseFigures:
    """One case of a report.

    Parameters
    ----------
    case, readings
        As the project knows them.
    sizes
        ml by stage and label id, of every label that any stage or the truth holds.
    scores
        Against the truth by stage, empty without one.
    change
        By the corrections; None when there were none.
    picture
        The slice that changed most, else that holds most of the mask; empty when there is none.
    trouble
        Why the masks or the measures could not be read; empty when they could.
    measures
        Those of the first reader, then those of each second reader who is done.
    measured_now
        By id of a measure, what its structure comes to in its reader's present mask, where that is another value.
    """

    case: Case
    readings: tuple[SecondReading, ...] = ()
    sizes: Mapping[MaskKind, Mapping[int, float]] = field(default_factory=dict)
    scores: Mapping[MaskKind, tuple[ClassScore, ...]] = field(default_factory=dict)
    change: CorrectionSize | None = None
    picture: Picture = field(default_factory=Picture)
    trouble: str = ""
    measures: tuple[Measure, ...] = ()
    measured_now: Mapping[str, str] = field(default_factory=dict)


def measure(project: Project, case: Case) -> CaseFigures:
    """Read a case's masks and measure them; what cannot be read is said in ``trouble``."""
    readings = tuple(project.readings(case.id))
    by_folder, trouble = _measures(project, case, readings)
    measures = tuple(each for own in by_folder.values() for each in own)
    try:
        masks = load_masks(project, case)
        ids = _ids(masks)
        judged = {stage: mask for stage, mask in masks.masks.items() if stage != masks.truth_is}
        scores = {} if masks.truth is None else {s: _scores(masks, m, masks.truth, ids) for s, m in judged.items()}
        sizes = {stage: _sizes(masks, mask, ids) for stage, mask in masks.masks.items()}
        later = {i: text for folder, own in by_folder.items() for i, text in _now(masks, folder, own).items()}
        return CaseFigures(case, readings, sizes, scores, _change(masks), picture(masks), trouble, measures, later)
    except MorseError as error:
        return CaseFigures(case, readings, trouble=f"{error} {trouble}".strip(), measures=measures)


def _measures(
    project: Project, case: Case, readings: Sequence[SecondReading]
) -> tuple[dict[Path, tuple[Measure, ...]], str]:
    """What was measured, by folder, and why some of it can't be read; nothing of a case that is to be read blind."""
    if case.id in project.to_read():
        return {}, ""
    by_folder, troubles = {}, []
    for reader in ("", *(r.reader for r in readings if r.submitted)):
        folder = project.folder_of(case.id, reader)
        try:
            by_folder[folder] = read_measures(folder)
        except InputError as error:
            troubles.append(str(error))
    return by_folder, " ".join(troubles)


def _now(masks: CaseMasks, folder: Path, measures: Sequence[Measure]) -> dict[str, str]:
    """What structures come to in the mask that lies beside their measures, else in the rendered one, by id."""
    if all(each.label is None for each in measures):
        return {}
    try:
        path = folder / CORRECTED
        mask = load_store(path).data if path.exists() else masks.masks.get("rendered")
        later = {} if mask is None else {each.id: now(each, masks.scan, mask) for each in measures}
    except MorseError:  # of a second reader's mask; of one that the report is about it is said
        return {}
    return {measure: text for measure, text in later.items() if text}


def _ids(case_masks: CaseMasks) -> list[int]:
    masks = [*case_masks.masks.values(), *([] if case_masks.truth is None else [case_masks.truth])]
    return sorted({int(label) for mask in masks for label in np.unique(mask)} - {0})


def _scores(masks: CaseMasks, mask: Array, truth: Array, ids: list[int]) -> tuple[ClassScore, ...]:
    return tuple(score(mask, truth, masks.scan.grid.spacing, ids, NSD_TOLERANCE, merged=False))


def _sizes(masks: CaseMasks, mask: Array, ids: list[int]) -> dict[int, float]:
    volume = masks.scan.grid.voxel_volume / 1000
    return {label: int((mask == label).sum()) * volume for label in ids}


def _change(masks: CaseMasks) -> CorrectionSize | None:
    before = masks.before
    if before is None:
        return None
    after = masks.masks["corrected"]
    changed = int((before != after).sum()) * masks.scan.grid.voxel_volume / 1000
    return CorrectionSize(changed, agreement(before, after, masks.scan.grid.spacing))


@dataclass(frozen=True)
class Report:
    """What a report says.

    Parameters
    ----------
    about
        Of the project.
    made
        UTC in ISO form.
    counts
        Cases by status.
    figures
        Of each case, by number.
    audit, verified
        The trail, and what is wrong with it (empty: nothing).
    """

    about: ProjectFile
    made: str
    counts: Mapping[Status, int]
    figures: tuple[CaseFigures, ...]
    audit: tuple[AuditEntry, ...]
    verified: str
