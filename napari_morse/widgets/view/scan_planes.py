"""What the planes go through: the scan in view with the masks on it, and the present place in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from napari.layers import Image, Labels

from napari_morse.geometry.orientation import PLANES, letters_at
from napari_morse.types import Array, Label, Mask, Roi, Scan
from napari_morse.widgets.bridge import UNNAMED, Role, display_axes, is_of, turn_to
from napari_morse.widgets.view.plane_image import ALL_SLICES, Outline, Slices, Style
from napari_morse.widgets.view.plane_pane import Content
from napari_morse.widgets.view.twins import is_twin

if TYPE_CHECKING:
    from napari_morse.widgets.case import ActiveCase

Voxel = tuple[int, int, int]
"""Across display axes 0, 1 and 2."""


@dataclass(frozen=True, eq=False)
class DrawnMask:
    """A mask in display order, and how it is drawn; ``source`` as of `Slices`, ``layers`` are those it looks like."""

    name: str
    source: object
    shown: Array
    colour: Callable[[int], int]
    layers: tuple[Labels, ...]
    style: Style = "solid"


class Drawer(Protocol):
    """Who draws the planes."""

    def draw(self, over: ScanPlanes) -> None:
        """Draw them."""

    def draw_nothing(self) -> None:
        """Say that there is no scan."""


class NoPlanes:
    """No scan is in view: there is no place to be, and nowhere to go."""

    voxel: Voxel | None = None

    def draw_on(self, drawer: Drawer) -> None:
        """Draw nothing."""
        drawer.draw_nothing()

    def indices(self, _box: Roi, _across: int) -> range:
        """Nobody can tell which slices a box crosses."""
        return ALL_SLICES

    def go(self, voxel: Voxel) -> None:
        """There is nowhere to go."""

    def move(self, at: dict[int, int]) -> None:
        """There is nowhere to go."""

    def step(self, across: int, steps: int) -> None:
        """There is nowhere to go."""

    def show_in_main(self, across: int) -> None:
        """There is no plane to show."""


class ScanPlanes:
    """The scan in view, with the planes through the present place.

    Parameters
    ----------
    active_case
        What is under work.
    scan, layer
        The scan, and its layer in the viewer.
    """

    def __init__(self, active_case: ActiveCase, scan: Scan, layer: Image) -> None:
        self._active_case, self.scan, self.layer = active_case, scan, layer
        self.axes = display_axes(scan)
        i, j, k = (scan.grid.shape[int(a)] for a in self.axes.order)
        self.shape: Voxel = (i, j, k)
        """In display order."""

    # Where it is

    @property
    def voxel(self) -> Voxel:
        """The present place as a display voxel, brought inside of the scan."""
        data_point = self.layer.world_to_data(self._active_case.viewer.dims.point[-self.layer.ndim :])
        return self.inside((0.0,) * (3 - self.layer.ndim) + tuple(float(x) for x in data_point))

    def inside(self, point: Sequence[float]) -> Voxel:
        """The nearest voxel there is, in display order."""
        i, j, k = (min(max(round(x), 0), n - 1) for x, n in zip(point, self.shape, strict=True))
        return i, j, k

    def go(self, voxel: Voxel) -> None:
        """Move the present place there, or to the nearest voxel; the main view follows out of sight."""
        dims, camera = self._active_case.viewer.dims, self._active_case.viewer.scene.camera
        point_mm = [float(x) for x in self.layer.data_to_world(self.inside(voxel)[-self.layer.ndim :])]
        first = dims.ndim - len(point_mm)
        dims.set_point(range(first, dims.ndim), point_mm)
        if dims.ndisplay == 2 and min(dims.displayed) >= first:
            at = [point_mm[axis - first] for axis in dims.displayed]
            if any(abs(a - c) > r for a, c, r in zip(at, camera.center[-2:], self._reach(), strict=True)):
                camera.center = (0.0, *at)

    def move(self, at: dict[int, int]) -> None:
        """To other indices along some axes."""
        self.go(placed(self.voxel, at))

    def step(self, across: int, steps: int) -> None:
        """So many slices on."""
        self.move({across: self.voxel[across] + steps})

    def _reach(self) -> tuple[float, float]:
        """How far one sees from the middle of the main view, down and across, in its world."""
        canvas, zoom = self._active_case.viewer.canvas, self._active_case.viewer.scene.camera.zoom
        rows, columns = canvas.grid.actual_shape(self._active_case.viewer.layers)
        return canvas.size[0] / rows / zoom / 2, canvas.size[1] / columns / zoom / 2

    def show_in_main(self, across: int) -> None:
        """Show a plane in the main view, through the same place: all of it, or the place in the middle."""
        layer, viewer, voxel = self.layer, self._active_case.viewer, self.voxel
        if viewer.dims.ndim < 3 or layer.ndim != 3:
            return
        turn_to(viewer, across)
        self.go(voxel)
        shown, (low, high) = list(in_plane(across)), layer.extent.world
        point_mm = np.array(layer.data_to_world(voxel))[shown]
        whole = (high - low)[shown] <= 2 * np.array(self._reach())
        viewer.scene.camera.center = (0.0, *np.where(whole, (low + high)[shown] / 2, point_mm).tolist())

    # What is seen of it

    def draw_on(self, drawer: Drawer) -> None:
        """Draw the planes."""
        drawer.draw(self)

    def content(
        self, across: int, slices: Slices, table: tuple[int, ...], outlines: Sequence[Outline], frames: Iterable[Roi]
    ) -> Content:
        """What the plane across an axis shows."""
        voxel, dims, (rows, columns) = self.voxel, self._active_case.viewer.dims, in_plane(across)
        sides = [self.scan.grid.spacing[a] for a in self.axes.order]
        known, index = self.scan.orientation_known, voxel[across]
        name = PLANES[across] if known else f"across {'IJK'[int(self.axes.order[across])]}"
        return Content(
            pixels=slices.take("scan", self.scan, self.axes.to_view(self.scan.data), index),
            limits=(float(self.layer.contrast_limits[0]), float(self.layer.contrast_limits[1])),
            table=table,
            outlines=tuple(outlines),
            spacing=(sides[rows], sides[columns]),
            voxel=(voxel[rows], voxel[columns]),
            letters=letters_at(rows, columns) if known else (),
            title=f"{name} {index} of {self.shape[across] - 1}",
            main=dims.ndisplay == 2 and dims.ndim >= 3 and dims.order[-3] == across + dims.ndim - 3,
            frames=self._framed(frames, across, index),
        )

    def _framed(self, boxes: Iterable[Roi], across: int, index: int) -> tuple[tuple[slice, slice], ...]:
        rows, columns = in_plane(across)
        shown = (self.axes.roi_to_view(box).slices for box in boxes)
        return tuple((box[rows], box[columns]) for box in shown if box[across].start <= index < box[across].stop)

    def indices(self, box: Roi, across: int) -> range:
        """The slices that a box (storage order) crosses."""
        shown = self.axes.roi_to_view(box)
        return range(shown.start[across], shown.stop[across])

    def describe(self, voxel: Voxel) -> str:
        """Where a display voxel lies, and the scan's value there."""
        scan = self.scan
        i, j, k = (int(v) for v in self.axes.index_to_storage(np.array([voxel]))[0])
        where = f"voxel {i}, {j}, {k}"
        if scan.size_known:
            # By the scan's exact grid: the viewer's world shows an oblique scan straightened.
            x, y, z = scan.grid.affine[:3, :3] @ (i, j, k) + scan.grid.affine[:3, 3]
            where += f"; {x:.1f}, {y:.1f}, {z:.1f} mm" + (" RAS" if scan.orientation_known else "")
        return f"{where}; value {scan.data[i, j, k]:.5g}"

    # The masks on it

    def masks(self) -> list[DrawnMask]:
        """The last on top; what is corrected hides what it was made from, and a mask that is only seen likewise."""
        own, prediction, masks = self._own(), self._active_case.prediction, []
        if prediction is not None:
            masks.append(self._of_model("coarse", prediction.coarse, "dotted"))
            if not own:
                masks.append(self._of_model("rendered", prediction.rendered, "solid"))
        return [*masks, *(each for each in own if each.shown.shape == self.shape)]

    def _own(self) -> list[DrawnMask]:
        """The mask that is corrected, or else the one that is only seen: one, or none."""
        corrected, host = self._active_case.corrected, self._active_case.host
        if corrected is not None:
            name, layer = "corrected", corrected.layer
        elif not host.in_view or host.layers is None or host.layers.mask is None:
            return []
        else:
            name, layer = "mask", host.layers.mask
        return [DrawnMask(name, layer.data, layer.data, _layer_colour(layer), (layer,))]

    def _of_model(self, role: Role, mask: Mask, style: Style) -> DrawnMask:
        layers = [x for x in self._active_case.viewer.layers if isinstance(x, Labels) and self._shows(x, role)][:1]
        colour = _layer_colour(layers[0]) if layers else _table_colour(self._active_case.labels)
        # The mask is the source: the view of its array is a new object at each look.
        return DrawnMask(role, mask, self.axes.to_view(mask.data), colour, tuple(layers), style)

    def _shows(self, layer: Labels, role: Role) -> bool:
        return is_of(layer, self.scan, role) and not is_twin(layer)


def in_plane(across: int) -> tuple[int, int]:
    """Display axes downward and to the right."""
    rows, columns = (axis for axis in range(3) if axis != across)
    return rows, columns


def placed(voxel: Voxel, at: dict[int, int]) -> Voxel:
    """A voxel with other indices along some axes."""
    i, j, k = (at.get(axis, x) for axis, x in enumerate(voxel))
    return i, j, k


def _layer_colour(layer: Labels) -> Callable[[int], int]:
    """Label id → ``0xaarrggbb``, as a layer shows it."""
    return lambda number: _argb(layer.get_color(number))


def _table_colour(labels: tuple[Label, ...]) -> Callable[[int], int]:
    """Label id → ``0xaarrggbb``, as the structures are coloured."""
    table = {x.id: 0xFF000000 | int(x.color.removeprefix("#")[:6], 16) for x in labels}
    return lambda number: table.get(number, 0xFF000000 | int(UNNAMED.removeprefix("#"), 16))


def _argb(colour: Array | None) -> int:
    """Opaque, or nothing where the colour is clear."""
    if colour is None or not colour[3]:
        return 0
    r, g, b = (round(255 * float(x)) for x in colour[:3])
    return 0xFF000000 | (r << 16) | (g << 8) | b
