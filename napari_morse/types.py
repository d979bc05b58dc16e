"""Carriers of pixels and geometry that pass between rooms.

Axis order: every array is in *storage order* (I, J, K), the order of the file as nibabel indexes it.
Millimetres are RAS+ (x to the patient's right, y to anterior, z to superior), as in NIfTI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_morse.errors import GeometryError

Array = NDArray[Any]


def frozen(array: Array) -> Array:
    """A read-only view of ``array``: carriers are shared between threads."""
    view = array.view()
    view.flags.writeable = False
    return view


# No `==`: between arrays it is an array, which is neither true nor false.
@dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels lie.

    Parameters
    ----------
    shape
        Voxels along (I, J, K); a 2-D picture has K = 1.
    affine
        (4, 4) float64, voxel index (centre) → millimetres RAS+.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        # A copy: `frozen` makes a view, through which a caller's later change would still be seen.
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError("The affine is not a finite 4 × 4 matrix.", "Repair the header of the file.")
        # Relative to the axes' lengths: voxels of a micrometre have a determinant of 1e-9 and are in order.
        lengths = np.sqrt((affine[:3, :3] ** 2).sum(axis=0)).prod()
        if abs(np.linalg.det(affine[:3, :3])) <= 1e-9 * lengths:
            raise GeometryError("The affine is singular: voxels have no volume.", "Repair the header of the file.")
        object.__setattr__(self, "affine", frozen(affine))
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Length in mm of one step along I, J and K."""
        i, j, k = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(i), float(j), float(k)

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mm³, from the determinant (right under shear)."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def same_as(self, other: Grid, atol: float = 1e-3) -> bool:
        """Whether both grids put every voxel within ``atol`` mm of the same place."""
        if self.shape != other.shape:
            return False
        # In mm at the corners, where affines differ most: 1e-3 in an entry is half a voxel at the end of a long axis.
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1)
        corners = np.vstack([corners, np.ones(corners.shape[1])])
        return bool(np.abs((self.affine - other.affine) @ corners).max() <= atol)


@dataclass(frozen=True, eq=False)
class Scan:
    """An image with its exact geometry.

    Parameters
    ----------
    data
        (I, J, K), finite or not, any real dtype; read-only.
    grid
        Shape and affine of ``data``.
    stem
        Name of the case: the input's own file name without its extension(s). Never from a header.
    source
        File it was read from, or None (made in napari).
    header
        The file's own header object (nibabel's for NIfTI), kept so that it can be written back; opaque here.
    orientation_known
        False when the file holds no orientation (pictures; NIfTI with neither form set).
    size_known
        False when nothing says how large a voxel is; it is then taken as 1 mm.
    is_picture
        True for 2-D pictures (PNG, JPEG, TIFF): data is (rows, columns, 1), shown as an axial image seen from below.
    frame
        Index of the frame taken from a 4-D series, else None.
    notices
        Plain sentences on what was unusual (sform and qform differ, colour turned to grey, non-finite voxels, …).
    others
        Further channels on the same grid, each (I, J, K) as ``data``, which is channel 0; read-only.
    """

    data: Array
    grid: Grid
    stem: str
    source: Path | None = None
    header: Any = None
    orientation_known: bool = True
    size_known: bool = True
    is_picture: bool = False
    frame: int | None = None
    notices: tuple[str, ...] = ()
    others: tuple[Array, ...] = ()

    def __post_init__(self) -> None:
        for pixels in (self.data, *self.others):
            if pixels.shape != self.grid.shape:
                raise GeometryError(f"Pixels of shape {pixels.shape} on a grid of shape {self.grid.shape}.")
        object.__setattr__(self, "data", frozen(self.data))
        object.__setattr__(self, "others", tuple(frozen(pixels) for pixels in self.others))

    @property
    def channels(self) -> tuple[Array, ...]:
        """Every channel, (I, J, K) each."""
        return (self.data, *self.others)


@dataclass(frozen=True)
class Label:
    """One structure that a model finds."""

    id: int
    name: str
    color: str
    """Hex RGB, ``#rrggbb``."""
    code: str = ""
    """Coded term, ``SCHEME:value`` (e.g. ``SCT:…``), or empty."""


@dataclass(frozen=True, eq=False)
class Mask:
    """Labels on a scan's grid: ``data`` (I, J, K), the smallest unsigned dtype that holds its ids; read-only."""

    data: Array
    grid: Grid
    labels: tuple[Label, ...] = ()
    header: Any = None
    """Header of the scan (or of the file) that the mask lies on, for its codes and units; opaque here."""

    def __post_init__(self) -> None:
        if self.data.shape != self.grid.shape:
            raise GeometryError(f"A mask of shape {self.data.shape} on a grid of shape {self.grid.shape}.")
        object.__setattr__(self, "data", frozen(self.data))


@dataclass(frozen=True)
class Roi:
    """A box of voxels in storage order: ``start`` included, ``stop`` excluded."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of the box into a (I, J, K) array."""
        i, j, k = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return i, j, k

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (I, J, K)."""
        i, j, k = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return i, j, k

    def around(self, other: Roi) -> Roi:
        """The smallest box that holds both."""
        start = tuple(min(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(max(a, b) for a, b in zip(self.stop, other.stop, strict=True))
        return Roi(start, stop)  # type: ignore[arg-type]

    def grown(self, by: int, shape: tuple[int, int, int]) -> Roi:
        """The box with ``by`` voxels more on each side, as far as they lie in ``shape``."""
        start = tuple(max(0, a - by) for a in self.start)
        stop = tuple(min(n, b + by) for b, n in zip(self.stop, shape, strict=True))
        return Roi(start, stop)  # type: ignore[arg-type]

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise GeometryError unless the box holds a voxel and lies inside ``shape``."""
        inside = all(0 <= a < b <= n for a, b, n in zip(self.start, self.stop, shape, strict=True))
        if not inside:
            raise GeometryError(
                f"The region {self.start}–{self.stop} does not lie inside the scan of shape {shape}.",
                "Give start and stop in voxels, stop excluded, inside the scan.",
            )


@dataclass(frozen=True, eq=False)
class Points:
    """The re-predicted points, N of them, most doubtful first.

    Parameters
    ----------
    voxel
        (N, 3) int64, storage order (I, J, K); no voxel twice.
    mm
        (N, 3) float64, RAS+.
    margin
        (N,) float32 ≥ 0, largest minus second largest logit after rendering; small is doubtful.
    before, after
        (N,) uint16, label id in the coarse and in the rendered mask.
    expert_weights
        (N, S) float32, rows sum to 1.
    experts
        S names, in the order of the columns.
    """

    voxel: NDArray[np.int64]
    mm: NDArray[np.float64]
    margin: NDArray[np.float32]
    before: NDArray[np.uint16]
    after: NDArray[np.uint16]
    expert_weights: NDArray[np.float32]
    experts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.voxel)

    @property
    def changed(self) -> NDArray[np.bool_]:
        """(N,) whether rendering gave the voxel another label."""
        return np.not_equal(self.before, self.after)


@dataclass(frozen=True, eq=False)
class Patches:
    """Stretches of the rendered mask's boundary, N of them, the most doubtful first; see ``metrics.patches``.

    Parameters
    ----------
    centre
        (N, 3) int64, storage order: the patch's boundary voxel nearest to its middle.
    mm
        (N, 3) float64, RAS+, of ``centre``.
    worst
        (N, 3) int64, the voxel most probably wrong.
    length
        (N,) float64, mm of contour in the slices.
    probability, highest
        (N,) float64 in [0, 1]: mean and largest probability that a boundary voxel of the patch is wrongly labelled.
    label, other
        (N,) label ids on the two sides, where most of the patch lies; ``label`` is never the background.
    voxels
        (N,) int64, boundary voxels.
    voxel
        (M, 3) int64, all boundary voxels, those of the first patch first.
    error
        (M,) float64, the probability of error of each.
    slice_axis
        Storage axis across the slices in which ``length`` is measured.
    """

    centre: NDArray[np.int64]
    mm: NDArray[np.float64]
    worst: NDArray[np.int64]
    length: NDArray[np.float64]
    probability: NDArray[np.float64]
    highest: NDArray[np.float64]
    label: NDArray[np.int64]
    other: NDArray[np.int64]
    voxels: NDArray[np.int64]
    voxel: NDArray[np.int64]
    error: NDArray[np.float64]
    slice_axis: int = 2

    def __len__(self) -> int:
        return len(self.length)

    def of(self, rank: int) -> NDArray[np.int64]:
        """(n, 3) boundary voxels of the patch at place ``rank`` (from 0) of the list."""
        start = int(self.voxels[:rank].sum())
        return self.voxel[start : start + int(self.voxels[rank])]


def no_patches() -> Patches:
    """An empty list, as of an empty mask."""
    places, numbers, counts = np.zeros((0, 3), np.int64), np.zeros(0), np.zeros(0, np.int64)
    return Patches(places, np.zeros((0, 3)), places, numbers, numbers, numbers, counts, counts, counts, places, numbers)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of a scan; masks lie on the scan's own grid, outside the region of interest they are 0.

    Parameters
    ----------
    coarse, rendered
        Masks before and after rendering.
    uncertainty
        (I, J, K) float32 in [0, 1]: 1 − margin of the two largest class probabilities; 0 outside the region.
    points
        The re-predicted points.
    model, digest
        Name and sha256 of the model.
    roi
        The region that was read, or None for the whole scan.
    seconds
        Wall-clock time by stage: ``prepare``, ``coarse``, ``render``, ``patches``, ``total``.
    warnings
        Plain sentences: how the scan differs from what the model was trained on, voxels that were not finite, …
    patches
        The boundary of ``rendered`` in patches, the most doubtful first.
    """

    coarse: Mask
    rendered: Mask
    uncertainty: NDArray[np.float32]
    points: Points
    model: str
    digest: str
    roi: Roi | None = None
    seconds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()
    patches: Patches = field(default_factory=no_patches)
