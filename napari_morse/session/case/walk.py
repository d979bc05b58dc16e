"""The walk along the doubtful boundary: which patches were decided on, how, and how much is left.

A patch is *open* until a person accepts it, takes the coarse mask's side, or changes most of it. Decisions are kept by
the voxels that they were made on, so that they fit the list of another run as far as it runs along the same boundary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy import ndimage

from napari_morse.errors import MorseError
from napari_morse.io.atomic import write_text
from napari_morse.metrics import doubtful_patches
from napari_morse.session.case_files import WALK
from napari_morse.types import Array, Grid, Patches, Prediction, Roi

WALK_FORMAT: Final = "napari-morse-walk"
SAME = 0.5
"""Share of a patch's voxels that a decision must have been made on to be one on the patch; and share that must be
changed for the patch to count as edited."""
COARSE_REACH = 4.0
"""mm from a patch within which the coarse side is taken."""

PatchDecision = Literal["accepted", "coarse", "edited"]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    decision: PatchDecision
    voxels: tuple[int, ...] = Field(min_length=1)
    """Flat indices in C order of (I, J, K), ascending."""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["napari-morse-walk"] = WALK_FORMAT
    format_version: Literal[1] = 1
    scan: str
    """What the decisions are of: the shape of its mask."""
    entries: tuple[_Entry, ...] = ()


@dataclass(frozen=True)
class Counter:
    """How far the walk is; mm of boundary as `Patches.length` counts it."""

    open: int
    patches: int
    left: float
    total: float
    doubt: float
    """mm that are probably wrong, of those left."""


def patches_of(prediction: Prediction, mask: Array, grid: Grid) -> Patches:
    """The boundary of a corrected mask in patches, the most doubtful first; slow, for any thread.

    Where the mask is what the model rendered, it is as likely to be wrong as the model said; where it is not, the other
    way round.
    """
    half = prediction.uncertainty / 2
    error = np.where(mask == prediction.rendered.data, half, 1 - half).astype(np.float32)
    return doubtful_patches(mask, error, grid, roi=prediction.roi)


class Walk:
    """Decisions on one list of patches.

    Parameters
    ----------
    patches
        The most doubtful first.
    rendered, coarse
        (I, J, K) the masks that the model gave, storage order.
    spacing
        mm.
    folder
        Where decisions are kept; None: nowhere.
    """

    def __init__(
        self, patches: Patches, rendered: Array, coarse: Array, spacing: Sequence[float], folder: Path | None
    ) -> None:
        self.patches, self._rendered, self._coarse, self._spacing = patches, rendered, coarse, tuple(spacing)
        self._file = folder / WALK if folder is not None else None
        self._ends = np.concatenate([[0], np.cumsum(patches.voxels)]).astype(np.int64)
        self._flat = np.ravel_multi_index(tuple(patches.voxel.T), rendered.shape).astype(np.int64)
        self._rank = np.repeat(np.arange(len(patches)), patches.voxels)
        self._changed = np.zeros(len(self._flat), bool)
        self._share: NDArray[np.float64] | None = None
        self.decisions: dict[int, PatchDecision] = {}
        """By rank."""
        self._foreign: tuple[_Entry, ...] = ()
        self.trouble = ""
        """Why decisions are in memory only; empty when they are on the disk."""
        self._read()

    def __len__(self) -> int:
        return len(self.patches)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the mask, (I, J, K)."""
        i, j, k = self._rendered.shape
        return i, j, k

    # Where to go

    def is_open(self, rank: int) -> bool:
        """Whether nobody has decided on a patch, nor changed most of it."""
        return rank not in self.decisions and self.share_left(rank) > 1 - SAME

    def state(self, rank: int) -> str:
        """``open``, ``accepted``, ``coarse`` or ``edited``."""
        return "open" if self.is_open(rank) else self.decisions.get(rank, "edited")

    def after(self, rank: int, by: int = 1) -> int | None:
        """The next open patch behind ``rank`` (−1: none yet), with ``by`` −1 before it; None when all is done.

        It goes around at the ends of the list.
        """
        count = len(self)
        steps = range(1, count + 1)
        start = rank if rank >= 0 else (-1 if by > 0 else 0)
        return next((place for step in steps if self.is_open(place := (start + by * step) % count)), None)

    def box(self, rank: int) -> Roi:
        """The box (storage order) around a patch's voxels."""
        voxel = self.patches.of(rank)
        return Roi(tuple(map(int, voxel.min(axis=0))), tuple(map(int, voxel.max(axis=0) + 1)))  # type: ignore[arg-type]

    # How far it is

    def share_left(self, rank: int) -> float:
        """Share of a patch's voxels that are labelled as the model rendered them."""
        return float(self._shares()[rank])

    @property
    def whole_share(self) -> float:
        """Share of all listed boundary voxels that are labelled as they were when the list was made."""
        return 1.0 - float(self._changed.mean()) if len(self._changed) else 1.0

    def _shares(self) -> NDArray[np.float64]:
        if self._share is None:
            changed = np.add.reduceat(self._changed.astype(float), self._ends[:-1]) if len(self) else np.zeros(0)
            self._share = 1 - changed / self.patches.voxels
        return self._share

    def counter(self) -> Counter:
        """How far the walk is."""
        length, doubt = self.patches.length, self.patches.probability
        share = self._shares()
        decided = np.isin(np.arange(len(self)), list(self.decisions))
        left = np.where(decided | (share <= 1 - SAME), 0.0, share)
        return Counter(
            int(np.count_nonzero(left)), len(self), float((left * length).sum()), float(length.sum()),
            float((left * length * doubt).sum()),
        )  # fmt: skip

    def look(self, mask: Array, box: Roi | None = None) -> None:
        """Note what was changed by hand, in a box (storage order) or anywhere."""
        inside = self._inside(box or Roi((0, 0, 0), self.shape))
        at = self._flat[inside]
        if len(at):
            where = np.unravel_index(at, mask.shape)
            self._changed[inside] = mask[where] != self._rendered[where]
            self._share = None

    # Decisions

    def decide(self, rank: int, decision: PatchDecision | None) -> None:
        """Decide on a patch, or open it again; kept at once."""
        if decision is None:
            self.decisions.pop(rank, None)
        else:
            self.decisions[rank] = decision
        self._write()

    def coarse_side(self, rank: int, mask: Array) -> tuple[Roi, Array] | None:
        """The mask as the coarse one has it around a patch: the box and its labels; None when there is no difference.

        Taken is what lies nearer to this patch than to another, within `COARSE_REACH`.
        """
        reach = max(1, int(np.ceil(COARSE_REACH / min(self._spacing))))
        box = self.box(rank).grown(reach, mask.shape)
        listed = np.full(box.shape, -1, np.int64)
        inside = self._inside(box)
        listed[tuple((self.patches.voxel[inside] - box.start).T)] = self._rank[inside]
        far, index = ndimage.distance_transform_edt(listed < 0, sampling=self._spacing, return_indices=True)
        mine = (listed[tuple(index)] == rank) & (far <= COARSE_REACH)
        before = mask[box.slices]
        values = np.where(mine, self._coarse[box.slices], before).astype(mask.dtype)
        return None if np.array_equal(values, before) else (box, values)

    def _inside(self, box: Roi) -> NDArray[np.bool_]:
        """(M,) which of the listed voxels lie in a box."""
        voxel = self.patches.voxel
        beside = (voxel < box.start) | (voxel >= box.stop)
        return np.asarray(~beside.any(axis=1))

    # Keeping

    @property
    def _name(self) -> str:
        return "x".join(map(str, self._rendered.shape))

    def _read(self) -> None:
        if self._file is None or not self._file.is_file():
            return
        try:
            found = _File.model_validate(json.loads(self._file.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError, RecursionError):
            with suppress(OSError):
                self._file.rename(self._file.with_name(f"damaged-{WALK}"))
            self.trouble = f"The decisions of this walk could not be read; they were kept as “damaged-{WALK}”."
            return
        if found.scan == self._name:
            self._take(found.entries)

    def _take(self, entries: tuple[_Entry, ...]) -> None:
        foreign = []
        for entry in entries:
            made = np.isin(self._flat, np.array(entry.voxels, np.int64))
            share = np.bincount(self._rank[made], minlength=len(self)) / np.maximum(1, self.patches.voxels)
            fitting = np.flatnonzero(share >= SAME)
            for rank in fitting:
                self.decisions[int(rank)] = entry.decision
            if not len(fitting):
                # Of a boundary that this list does not follow: kept, as the list of a later run may follow it again.
                foreign.append(entry)
        self._foreign = tuple(foreign)

    def _write(self) -> None:
        if self._file is None:
            return
        entries = [
            _Entry(decision=decision, voxels=tuple(np.sort(self._flat[self._ends[n] : self._ends[n + 1]]).tolist()))
            for n, decision in sorted(self.decisions.items())
        ]
        try:
            write_text(self._file, _File(scan=self._name, entries=(*entries, *self._foreign)).model_dump_json() + "\n")
            self.trouble = ""
        except MorseError as error:
            self.trouble = f"The decisions of this walk are only in memory: {error.args[0]} The next one tries again."
