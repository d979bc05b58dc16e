"""One result as it is laid out in the viewer: side by side, or the first mask's contour over the second one's fill.

Side by side is napari's grid with two groups of equally many layers. Each group has the scan, the uncertainty, one mask
and the points, as far as there are any; all but the masks are shown twice (`Mirrors`). The rule for everything else in
the layer list:

- Other images, and results on other scans, are hidden while a comparison is open: they would cover the scan. They come
  back.
- Whatever else is visible (a region, labels painted by hand) is shown in both cells, drawn in either.
- Hidden layers wait above both groups and have no cell; made visible, they join both groups.
- The mask that is corrected is an outline until it is another than it began as. From then on it is the fill in both
  cells, above the model's masks, which are lines in colours of their own: what is painted, or erased, is what is seen.

Between a change of the layer list and the new order the grid is off, so that no mask is ever drawn in the other one's
cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer, Points
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.widgets.bridge import (
    CONTOUR_WIDTH,
    LINE_COLOURS,
    LineColours,
    Mode,
    carrier_of,
    role_of,
    titles,
    wrapped,
)
from napari_morse.widgets.view.difference import DIFFERENCE_LEGEND, MODEL_STAGES, Differences
from napari_morse.widgets.view.orientation_labels import Titles
from napari_morse.widgets.view.twins import Mirrors, is_twin

if TYPE_CHECKING:
    from napari.components import ViewerModel

VIEW_SHARE = 0.95
"""Share of a cell's width that the scan may fill."""
CELL_GAP = 4
"""Pixels between the two cells."""


@dataclass(frozen=True, eq=False)
class ResultLayers:
    """The layers of one result, or of two other masks of a scan, which then have other ``names``."""

    scan: Image
    uncertainty: Image | None
    coarse: Labels
    rendered: Labels
    points: Points | None
    names: tuple[str, str] = MODEL_STAGES

    @property
    def made(self) -> tuple[Layer, ...]:
        """Those that were added to the scan."""
        return tuple(x for x in (self.uncertainty, self.coarse, self.rendered, self.points) if x is not None)


@dataclass(eq=False)
class Looks:
    """How whatever is compared is looked at.

    Parameters
    ----------
    mode
        How the two masks are compared.
    swapped
        Whether the two masks have changed places.
    name
        Of the scan in view; empty: none is.
    filled
        Whether the corrected mask is, or was, another than it began as: it is then the fill.
    """

    mode: Mode = "side"
    swapped: bool = False
    name: str = ""
    filled: bool = False


class NothingLaidOut:
    """No result is in view: all that is said is which scan is."""

    result: ResultLayers | None = None
    names: tuple[str, ...] = ()
    points: tuple[Points, ...] = ()
    all_points: tuple[Points, ...] = ()
    settling = False

    def __init__(self, looks: Looks, corners: Titles) -> None:
        self._looks, self._corners = looks, corners

    def say_titles(self) -> None:
        """Say which scan is in view."""
        if self._looks.name:
            self._corners.show(wrapped(self._looks.name), "")
        else:
            self._corners.close()

    def end(self) -> None:
        """Nothing is to be left as it was found."""

    def swap(self, swapped: bool) -> None:
        """There are no masks to change places."""

    def schedule(self) -> None:
        """There is nothing to lay out."""

    def redraw(self) -> None:
        """There are no masks to draw."""

    def hide_difference(self) -> None:
        """No difference is shown."""

    def redraw_twin(self, layer: Layer) -> None:
        """No layer is shown twice."""


class LaidOut(QObject):
    """A result, from where its layers are laid out to where the viewer is as it was found.

    Parameters
    ----------
    viewer
        Where it is laid out.
    result
        Its layers.
    looks
        How they are looked at.
    differences
        Shows what differs, in the place of both masks.
    corners
        Where the titles are written.
    parent
        Owner.
    """

    settled = Signal()
    """All layers stand in their places."""
    gone = Signal()
    """A layer of the result was deleted."""
    grid_switched = Signal(bool)
    """The person switched napari's own grid on or off."""
    ended = Signal()
    """The viewer is as it was found."""

    def __init__(
        self,
        viewer: ViewerModel,
        result: ResultLayers,
        looks: Looks,
        differences: Differences,
        corners: Titles,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self.result, self._looks = viewer, result, looks
        self._differences, self._corners = differences, corners
        self._mirrors = Mirrors(viewer, self)
        self._colours = LineColours()
        self._zoom = _CellZoom(viewer)
        self._busy = False
        self._parked: list[Layer] = []
        self._watched: list[Layer] = []
        grid = viewer.canvas.grid
        self._grid_before = {name: getattr(grid, name) for name in ("stride", "shape", "spacing", "enabled")}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._step)
        # Not at once: what is set while the grid tells of a change is told of later, as if by someone else.
        self._grid_timer = QTimer(self)
        self._grid_timer.setSingleShot(True)
        self._grid_timer.timeout.connect(self._check_grid)

    @property
    def names(self) -> tuple[str, ...]:
        """What the two masks are called."""
        return self.result.names

    @property
    def points(self) -> tuple[Points, ...]:
        """The boundary points: one layer, or none."""
        return tuple(layer for layer in self.result.made if isinstance(layer, Points))

    @property
    def all_points(self) -> tuple[Points, ...]:
        """As `points`, in both cells."""
        return (*self.points, *(self._mirrors.twin(layer) for layer in self.points if layer in self._mirrors))

    @property
    def settling(self) -> bool:
        """Whether layers are on their way to their places."""
        return bool(self._timer.isActive())

    def begin(self) -> None:
        """Hide what would cover the scan, and lay out the rest in the next turns of the event loop."""
        grid, events = self._viewer.canvas.grid, self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._on_layers, position="last")
        for event in (grid.events.enabled, grid.events.stride, grid.events.shape):
            event.connect(self._on_grid)
        self._park()
        self.schedule()

    def end(self) -> None:
        """Leave the viewer as it was found; the result's layers stay, as ordinary ones."""
        self._timer.stop()
        self._grid_timer.stop()
        grid, events = self._viewer.canvas.grid, self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.disconnect(self._on_layers)
        for event in (grid.events.enabled, grid.events.stride, grid.events.shape):
            event.disconnect(self._on_grid)
        # Before the masks of others become visible again, which would be heard as the person's wish.
        self._watch([])
        with self._quiet():
            grid.enabled = False
            # With the grid off: each twin that goes would move masks into the other one's cell.
            self._mirrors.drop_all()
            self._differences.hide()
            self._draw_as_found()
            for layer in self._parked:
                layer.visible = True
            grid.update(self._grid_before)
            self._zoom.back()
        self.ended.emit()
        self.deleteLater()  # later: what ends it may be one of its own timers

    def swap(self, swapped: bool) -> None:
        """Let both masks change places, or back."""
        if swapped != self._looks.swapped:
            self._looks.swapped = swapped
            self.hide_difference()
            if not self.settling:
                self._settle()

    def hide_difference(self) -> None:
        """Show both masks again; `schedule` or `redraw` shows the new difference."""
        with self._quiet():
            self._differences.hide()

    def redraw(self) -> None:
        """Draw both masks as they are now, at once where all layers are there already."""
        if self.settling:
            return
        if self._looks.mode == "side" and any(layer not in self._mirrors for layer in self._twice()):
            self.schedule()
        else:
            self._settle()

    def redraw_twin(self, layer: Layer) -> None:
        """A layer's pixels were set without an event: show them in the other cell too."""
        self._mirrors.redraw(layer)

    # What happens in the layer list

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    def _on_layers(self, _event: Any = None) -> None:
        if not self._busy:
            self.schedule()

    def _on_visible(self, event: Any) -> None:
        if not self._busy and event.source.visible and event.source not in self._mirrors:
            self.schedule()

    def _on_grid(self, _event: Any = None) -> None:
        if not self._busy:
            self._grid_timer.start(0)

    def _check_grid(self) -> None:
        """The person pressed napari's own grid button, or changed its settings."""
        if self.settling:
            return
        enabled = bool(self._viewer.canvas.grid.enabled)
        if enabled != (self._looks.mode == "side"):
            self.grid_switched.emit(enabled)
        else:
            self.schedule()

    def schedule(self) -> None:
        """Lay everything out again, in the next turns of the event loop."""
        with self._quiet():
            self._viewer.canvas.grid.enabled = False
        self._timer.start(0)

    def _step(self) -> None:
        """One layer a turn of the event loop: napari takes long enough for each."""
        layers = self._viewer.layers
        if any(layer not in layers for layer in (self.result.scan, *self.result.made)):
            self.gone.emit()
            return
        wanted = self._twice() if self._looks.mode == "side" else []
        with self._quiet():
            for layer in list(self._mirrors):
                if layer not in wanted or self._mirrors.twin(layer) not in layers:
                    self._mirrors.drop(layer)
            missing = [layer for layer in wanted if layer not in self._mirrors]
            if missing:
                selected = set(layers.selection)
                self._mirrors.add(missing[0])
                layers.selection = selected
        if missing:
            self._timer.start(0)
        else:
            self._settle()

    def _settle(self) -> None:
        with self._quiet():
            # First: a difference is a layer of its own, with a place in the order.
            self._differ()
        order = self._order()
        rest = [layer for layer in self._viewer.layers if layer not in order]
        with self._quiet():
            self._reorder(order + rest)
            self._draw_masks()
            self._watch([*order, *rest])
            grid = self._viewer.canvas.grid
            if self._looks.mode == "side":
                # The shape is fixed: a layer too many in one group would wrap onto the other mask, so both are equally
                # long.
                grid.stride, grid.shape, grid.spacing = len(order) // 2, (1, 2), CELL_GAP
                grid.enabled = True
                self._zoom.halve(self.result.scan)
            else:
                grid.enabled = False
                self._zoom.back()
        self.settled.emit()

    def _differ(self) -> None:
        if self._looks.mode == "difference":
            self._differences.show(self.result.coarse, self.result.rendered, self._looks.swapped)
        else:
            self._differences.hide()

    def _order(self) -> list[Layer]:
        """All layers that are seen, from below: of the left cell, then of the right one; or of the only one."""
        below, above = self._groups()
        masks = self.result.coarse, self.result.rendered
        top, bottom = masks[::-1] if self._looks.swapped else masks
        if self._looks.mode != "side":
            return [*below, bottom, top, *above]
        twin = self._mirrors.twin
        return [*below, top, *above, *map(twin, below), bottom, *map(twin, above)]

    def _reorder(self, order: list[Layer]) -> None:
        layers = self._viewer.layers
        if list(layers) == order:
            return
        with layers.events.reordered.blocker():  # one redraw at the end
            for target, layer in enumerate(order):
                index = layers.index(layer)
                if index != target:
                    layers.move(index, target)
        layers.events.reordered(value=layers)

    # How the masks look

    def _draw_masks(self) -> None:
        fills, contour = self._fills, self._looks.mode == "contour"
        over = self.result.rendered if self._looks.swapped else self.result.coarse
        for mask, name in zip((self.result.coarse, self.result.rendered), self.result.names, strict=True):
            mask.contour = CONTOUR_WIDTH if fills or (contour and mask is over) else 0
            self._colours.set(mask, LINE_COLOURS[name][0] if fills else None)
        for mask in self._corrected():
            mask.contour = 0 if fills else CONTOUR_WIDTH
        self.say_titles()

    def _draw_as_found(self) -> None:
        for mask in (self.result.coarse, self.result.rendered):
            mask.contour = 0
            self._colours.set(mask, None)
        for mask in self._corrected():
            mask.contour = 0

    def _corrected(self) -> list[Labels]:
        """The mask that is corrected, where it is of the scan in view: one, or none."""
        return [x for x in self._differences.finals if _on_one_scan(x, self.result.scan)]

    @property
    def _fills(self) -> bool:
        """Whether the corrected mask is the fill: not while something else than a model's masks is compared."""
        possible = self.result.names == MODEL_STAGES and self._looks.mode != "difference"
        return self._looks.filled and possible and bool(self._corrected())

    def say_titles(self) -> None:
        """Say in each cell what it shows, and of which scan."""
        looks, names = self._looks, self.result.names
        difference = self._differences.title(looks.swapped), DIFFERENCE_LEGEND
        in_order = names[::-1] if looks.swapped else names
        self._corners.show(*titles(looks.mode, in_order, looks.name, self._fills, difference))

    # Which layers there are

    def _groups(self) -> tuple[list[Layer], list[Layer]]:
        """What lies below and above the mask, in one cell."""
        made = self.result.made
        ours = (self.result.scan, *made)
        others = [x for x in self._viewer.layers if x not in ours and not is_twin(x) and x.visible]
        images = [layer for layer in others if isinstance(layer, Image)]
        drawn = [layer for layer in others if not isinstance(layer, Image)]
        uncertainty = [layer for layer in made if isinstance(layer, Image)]
        return [self.result.scan, *images, *uncertainty], [*drawn, *self.points]

    def _twice(self) -> list[Layer]:
        below, above = self._groups()
        return below + above

    def _watch(self, layers: list[Layer]) -> None:
        for layer in self._watched:
            layer.events.visible.disconnect(self._on_visible)
        self._watched = [layer for layer in layers if not is_twin(layer)]
        for layer in self._watched:
            layer.events.visible.connect(self._on_visible)

    def _park(self) -> None:
        for layer in self._viewer.layers:
            if layer is self.result.scan or layer in self.result.made or not layer.visible:
                continue
            elsewhere = role_of(layer) not in {"", "mask", "corrected", "roi"}
            if isinstance(layer, Image) or elsewhere:
                layer.visible = False
                # Only what was visible is noted: what a person had hidden stays hidden at the end.
                self._parked.append(layer)


class _CellZoom:
    """Zooms out while a scan is seen in half of the width, and in again, unless the person has zoomed since."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._halved, self._before, self._after = False, 1.0, 1.0

    def halve(self, scan: Image) -> None:
        """What was in view of ``scan`` stays in view in half the width."""
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        if self._halved or dims.ndisplay != 2:
            return
        before = camera.zoom
        height, width = self._viewer.canvas.size
        low, high = scan.extent.world
        tall, wide = (high - low)[list(dims.displayed)[-2:]] if scan.ndim == 3 else high - low
        tall, wide = min(tall, height / before), min(wide, width / before)
        camera.zoom = min(before, VIEW_SHARE * (width - CELL_GAP) / 2 / wide, height / tall)
        self._halved, self._before, self._after = True, before, camera.zoom

    def back(self) -> None:
        """Zoom as before."""
        camera = self._viewer.scene.camera
        if self._halved and camera.zoom == self._after:
            camera.zoom = self._before
        self._halved = False


def _on_one_scan(mask: Labels, image: Image) -> bool:
    """Whether a mask of ours is of the scan that an image shows, as far as the image tells."""
    of_mask, of_image = carrier_of(mask), carrier_of(image)
    return of_mask is not None and (of_image is None or of_mask.scan is of_image.scan)
