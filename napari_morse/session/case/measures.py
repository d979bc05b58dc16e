"""What a reader measures on a case: lengths, diameters and areas. No Qt."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.geometry.orientation import PLANES, shown_axes
from napari_morse.io.atomic import write_text
from napari_morse.metrics.diameters import diameters
from napari_morse.session.case_files import MEASURES
from napari_morse.types import Array, Label, Scan

MeasureKind = Literal["ruler", "diameters", "area"]
Number = Annotated[float, Field(allow_inf_nan=False)]
Point = tuple[Number, Number, Number]
_POINTS: dict[MeasureKind, tuple[int, int]] = {"ruler": (2, 1), "diameters": (4, 2), "area": (1, 1)}
"""How many points and how many values each kind has."""


class Measure(BaseModel):
    """One measure in one slice; nothing in it says who the patient is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    kind: MeasureKind
    structure: str | None = None
    """Name of the structure that was measured; None for a ruler."""
    label: int | None = None
    """Its label id."""
    axis: int = Field(ge=0, le=2)
    """Storage axis across the slice."""
    index: int = Field(ge=0)
    """Of the slice along it."""
    plane: str
    """``axial``, ``coronal`` or ``sagittal`` (the nearest of them); ``I``, ``J`` or ``K``, the storage axis across the
    slice, where nobody knows the orientation."""
    shown: int = Field(ge=0)
    """Number of the slice in the viewer, from 0."""
    voxel: tuple[Point, ...]
    """Ends in storage order, voxel centres at whole numbers. Of diameters the longest's two, then those of the one
    across it; of an area one voxel's centre inside it."""
    mm: tuple[Point, ...] | None
    """The same in mm RAS+; None where the size of a voxel is not known."""
    values: tuple[Number, ...]
    """Of diameters the longest, then the one across it."""
    unit: Literal["mm", "mm²", "px", "px²"]
    reader: str = ""
    when: str
    """UTC in ISO form."""
    note: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Measure:
        points, values = _POINTS[self.kind]
        if len(self.voxel) != points or len(self.values) != values or min(self.values) < 0:
            raise ValueError(f"{self.kind} with {len(self.voxel)} points and the values {self.values}")
        if self.mm is not None and len(self.mm) != points:
            raise ValueError(f"{points} points, {len(self.mm)} of them in mm")
        return self

    @property
    def text(self) -> str:
        """The values with their unit, to a tenth of it: ``24.1 × 12.0 mm``."""
        return f"{' × '.join(f'{value:.1f}' for value in self.values)} {self.unit}"

    @property
    def place(self) -> str:
        """Plane and slice as the viewer counts it: ``axial 34``."""
        return f"{self.plane} {self.shown}"


def length(scan: Scan, start: Point, end: Point) -> float:
    """Distance between two points in voxel coordinates (I, J, K): mm, also for oblique scans; voxels without a size."""
    step = np.subtract(end, start)
    return float(np.linalg.norm(scan.grid.affine[:3, :3] @ step if scan.size_known else step))


def ruler(scan: Scan, axis: int, start: Point, end: Point, reader: str = "", note: str = "") -> Measure:
    """A straight line in a slice.

    Parameters
    ----------
    scan
        What is measured.
    axis
        Storage axis across the slice.
    start, end
        Voxel coordinates (I, J, K), fractions allowed, in one slice.
    reader, note
        Kept with it.

    Raises
    ------
    InputError
        Both ends are the same point, or do not lie in one slice of the scan.
    """
    index = round(start[axis])
    if start[axis] != end[axis] or not 0 <= index < scan.grid.shape[axis]:
        raise InputError("The ends do not lie in one slice of the scan.", "Draw the line on one slice.")
    value = length(scan, start, end)
    if value <= 0:
        raise InputError("The line has no length.", "Drag from one end to the other, or click on both.")
    return _measure(scan, "ruler", axis, index, np.array([start, end], dtype=np.float64), [value], None, reader, note)


def of_structure(
    kind: Literal["diameters", "area"], scan: Scan, mask: Array, label: Label, axis: int, index: int, reader: str = ""
) -> Measure:
    """Diameters or area of a structure in a slice; where it is in several parts there, of the largest one.

    Parameters
    ----------
    kind
        What to measure.
    scan
        Whose voxels the mask lies on.
    mask
        (I, J, K) label ids.
    label
        The structure.
    axis, index
        Storage axis across the slice, and the slice's place along it.
    reader
        Kept with it.

    Raises
    ------
    InputError
        The structure is not in that slice, the scan has no such slice, or the mask has another shape than the scan.
    """
    if not 0 <= index < scan.grid.shape[axis]:
        raise InputError("The slice lies outside of the scan.", "Go to a slice of the scan.")
    if mask.shape != scan.grid.shape:
        raise InputError(f"The mask {mask.shape} does not lie on the scan {scan.grid.shape}.", "Choose its own mask.")
    across = [a for a in range(3) if a != axis]
    region = np.take(mask, index, axis) == label.id
    if not region.any():
        raise InputError(f"“{label.name}” is not in this slice.", "Go to a slice that shows it.")
    found = diameters(region, _steps(scan, across))
    ends, values = np.concatenate([found.longest_ends, found.across_ends]), [found.longest, found.across]
    if kind == "area":
        ends, values = _inside(region, found.longest_ends.mean(axis=0)), [found.area]
    points = np.full((len(ends), 3), float(index))
    points[:, across] = ends
    note = f"the largest of {found.parts} parts" if found.parts > 1 else ""
    return _measure(scan, kind, axis, index, points, values, label, reader, note)


def now(measure: Measure, scan: Scan, mask: Array) -> str:
    """What a measured structure comes to in the same slice of a mask, where that is another value than it was.

    Returns
    -------
    str
        Such as ``24.1 × 12.0 mm``; ``not there`` where the structure is not in the slice any more; empty where nothing
        is different, and for a ruler.

    Raises
    ------
    InputError
        The mask has another shape than the scan.
    """
    if measure.label is None or measure.kind == "ruler":
        return ""
    inside = measure.index < mask.shape[measure.axis]
    if not inside or not (np.take(mask, measure.index, measure.axis) == measure.label).any():
        return "not there"
    found = again(measure, scan, mask)
    same = found.unit == measure.unit and np.allclose(found.values, measure.values)
    return "" if same else found.text


def again(measure: Measure, scan: Scan, mask: Array, reader: str = "") -> Measure:
    """Diameters or area of the same structure in the same slice, measured anew. Raises as `of_structure`."""
    if measure.label is None or measure.kind == "ruler":
        raise InputError("A line says nothing of a mask.", "Draw another line.")
    label = Label(measure.label, measure.structure or "", "#ffffff")
    return of_structure(measure.kind, scan, mask, label, measure.axis, measure.index, reader)


def _measure(
    scan: Scan,
    kind: MeasureKind,
    axis: int,
    index: int,
    points: NDArray[np.float64],
    values: list[float],
    label: Label | None,
    reader: str,
    note: str,
) -> Measure:
    plane, shown = _place(scan, axis, index)
    unit = ("mm" if scan.size_known else "px") + ("²" if kind == "area" else "")
    mm = points @ scan.grid.affine[:3, :3].T + scan.grid.affine[:3, 3]
    return Measure(
        id=secrets.token_hex(8),
        kind=kind,
        structure=None if label is None else label.name,
        label=None if label is None else label.id,
        axis=axis,
        index=index,
        plane=plane,
        shown=shown,
        voxel=tuple(tuple(point) for point in points.tolist()),
        mm=tuple(tuple(point) for point in mm.tolist()) if scan.size_known else None,
        values=tuple(values),
        unit=unit,
        reader=reader,
        when=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        note=note,
    )


def _place(scan: Scan, axis: int, index: int) -> tuple[str, int]:
    """Plane and number of a slice (storage axis and index) as the viewer shows it."""
    axes = shown_axes(scan.grid)
    shown = axes.order.index(axis)
    number = scan.grid.shape[axis] - 1 - index if axes.flip[shown] else index
    return PLANES[shown] if scan.orientation_known else "IJK"[axis], number


def _steps(scan: Scan, across: list[int]) -> NDArray[np.float64]:
    """(2, 2): index in the slice → mm in its plane, exact where axes are not at right angles."""
    if not scan.size_known:
        return np.eye(2)
    # R keeps the angle between the two axes as well as their lengths, which the norms of the columns would not.
    return np.asarray(np.linalg.qr(scan.grid.affine[:3, across])[1])


def _inside(region: NDArray[np.bool_], near: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1, 2): the pixel of a region that is nearest to a point."""
    pixels = np.argwhere(region)
    return pixels[[int(((pixels - near) ** 2).sum(axis=1).argmin())]].astype(np.float64)


MEASURES_FORMAT: Final = "napari-morse-measures"
VERSION = 1
_Items = tuple[Measure, ...]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["napari-morse-measures"] = MEASURES_FORMAT
    format_version: Literal[1] = 1
    measures: tuple[Measure, ...] = ()


class Measures:
    """The measures of a case; every change is on the disk before the next.

    Parameters
    ----------
    folder
        Of the case; None: they are kept in memory only.
    writable
        Asked before every change of what lies in ``folder``.
    """

    def __init__(self, folder: Path | None, writable: Callable[[], bool] = lambda: True) -> None:
        self._folder, self._writable = folder, writable
        self._items: _Items = ()
        self._before: list[tuple[Measure, Callable[[_Items], _Items]]] = []
        self._locked: InputError | None = None
        self._seen: bytes | None = None
        self.notices: tuple[str, ...] = ()
        """Sentences on what was wrong with the file, the latest last."""
        if folder is not None:
            self._load(folder)

    @property
    def items(self) -> tuple[Measure, ...]:
        """All of them, the oldest first."""
        return self._items

    @property
    def can_undo(self) -> bool:
        """Whether one that was removed or replaced can be put back."""
        return bool(self._before)

    def check(self) -> None:
        """Raise InputError, in a sentence, when nothing may be changed."""
        if self._locked is not None:
            raise self._locked
        if self._folder is not None and not self._writable():
            raise InputError(
                "This project can only be looked at here: no measure is kept.", "Open it again, with your name."
            )

    def add(self, measure: Measure) -> None:
        """Keep a measure.

        Raises
        ------
        InputError
            Nothing may be changed, or it could not be written; then it is not kept.
        """
        self._keep(lambda items: (*items, measure))

    def remove(self, measure: str) -> None:
        """Remove the measure of that id, if there is one; `undo` puts it back. Raises as `add`."""
        place = self._place(measure)
        if place is None:
            return
        item = self._items[place]
        self._keep(lambda items: tuple(other for other in items if other.id != measure))
        self._before.append((item, lambda items: (*items[:place], item, *items[place:])))

    def replace(self, measure: str, by: Measure) -> None:
        """Put another in the place of the measure of that id, if there is one; `undo` changes back. Raises as `add`."""
        place = self._place(measure)
        if place is None:
            return
        item = self._items[place]
        self._keep(lambda items: tuple(by if other.id == measure else other for other in items))
        self._before.append((item, lambda items: tuple(item if other.id == by.id else other for other in items)))

    def undo(self) -> Measure | None:
        """Put back what was removed or replaced last, in its place; None when there is nothing. Raises as `add`."""
        if not self._before:
            return None
        item, act = self._before[-1]
        self._keep(act)
        self._before.pop()
        return item

    def _place(self, measure: str) -> int | None:
        return next((place for place, item in enumerate(self._items) if item.id == measure), None)

    def _keep(self, act: Callable[[_Items], _Items]) -> None:
        self.check()
        if self._folder is not None:
            # The act is done on what is in the file now: a list made before would undo what another window has added.
            self._meet(self._folder)
            items = act(self._items)
            # Written before it counts: what the disk refuses is not kept in the window either.
            self._seen = _write(self._folder, items)
            self._items = items
        else:
            self._items = act(self._items)

    def _load(self, folder: Path) -> None:
        try:
            self._seen = _raw(folder)
            self._items = _parsed(self._seen)
        except DamagedFileError as error:
            self._put_aside(folder, error)
        except InputError as error:
            self._lock(error)

    def _meet(self, folder: Path) -> None:
        """What somebody else wrote meanwhile counts; a file that is gone is written again from what is known."""
        content = _raw(folder)
        if content in (self._seen, None):
            return
        try:
            self._items = _parsed(content)
            self.notices += (f"“{MEASURES}” was changed elsewhere: its measures were read again.",)
        except DamagedFileError as error:
            self._put_aside(folder, error)
        except InputError as error:
            self._lock(error)
        if self._locked is not None:
            raise self._locked

    def _lock(self, error: InputError) -> None:
        self._locked = error
        self.notices += (str(error),)

    def _put_aside(self, folder: Path, error: DamagedFileError) -> None:
        """A damaged file is never written over: it gets another name, or nothing is written."""
        if self._writable():
            with suppress(OSError):
                aside = next(p for n in range(1, 10_000) if not (p := folder / f"measures-damaged-{n}.json").exists())
                (folder / MEASURES).rename(aside)
                self._seen = None
                self.notices += (f"The measures of this case are damaged. They are kept as “{aside.name}”.",)
                return
        self._lock(error)


def read_measures(folder: Path) -> tuple[Measure, ...]:
    """The measures that lie in the folder of a case; none where there is no file.

    Raises
    ------
    DamagedFileError
        The file is not whole, or of another kind.
    InputError
        It can't be read, or a newer version made it.
    """
    return _parsed(_raw(folder))


def _raw(folder: Path) -> bytes | None:
    """What the file holds; None where there is none."""
    try:
        return (folder / MEASURES).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"“{MEASURES}” could not be read: {error.strerror or error}.", "Check your rights.") from error


def _parsed(content: bytes | None) -> _Items:
    if content is None:
        return ()
    try:
        found = json.loads(content.decode("utf-8"))
        version = found["format_version"]
        if found["format"] == MEASURES_FORMAT and isinstance(version, int) and version > VERSION:
            raise InputError(f"“{MEASURES}” was made by a newer version: it is left as it is.", "Update napari-morse.")
        return _File.model_validate(found).measures
    except (ValidationError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedFileError(f"“{MEASURES}” of this case is damaged.", "Restore it from a backup.") from error


def _write(folder: Path, items: _Items) -> bytes:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder of the case could not be made: {error.strerror}.", "Check your rights."
        ) from error
    content = _File(measures=items).model_dump_json(indent=1) + "\n"
    write_text(folder / MEASURES, content)
    return content.encode("utf-8")
