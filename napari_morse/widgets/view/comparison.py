"""Two masks before one pair of eyes: side by side, or the first one's contour over the second one's fill.

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
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakSet

from napari.layers import Image, Labels, Layer, Points
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.widgets.bridge import (
    CONTOUR_WIDTH,
    LINE_COLOURS,
    Colouring,
    LineColours,
    Mode,
    carrier_of,
    colour_points,
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
_all: WeakSet[Comparison] = WeakSet()
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


class Comparison(QObject):
    """Owns how a result is laid out in the viewer.

    Parameters
    ----------
    viewer
        The viewer; left as it was found by `close`.
    parent
        Owner.
    """

    changed = Signal()
    """A result was opened or closed, or the mode was changed."""
    settled = Signal()
    """All layers stand in their places."""

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._mirrors = Mirrors(viewer, self)
        _all.add(self)
        self.titles = Titles(viewer)
        self._zooms: tuple[float, float] | None = None
        self._shown: ResultLayers | None = None
        self._mode: Mode = "side"
        self.differences = Differences(viewer)
        self._filled = False
        self._colours = LineColours()
        self._name = ""
        self._swapped = False
        self._busy = False
        self._parked: list[Layer] = []
        self._watched: list[Layer] = []
        self._grid_before: dict[str, Any] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._step)
        # Not at once: what is set while the grid tells of a change is told of later, as if by someone else.
        self._grid_timer = QTimer(self)
        self._grid_timer.setSingleShot(True)
        self._grid_timer.timeout.connect(self._check_grid)

    @property
    def shown(self) -> ResultLayers | None:
        """The result in view."""
        return self._shown

    @property
    def mode(self) -> Mode:
        """``side`` (two cells), ``contour`` or ``difference`` (one)."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode == self._mode:
            return
        self._mode, self._swapped = mode, False
        self._schedule()
        self.changed.emit()

    @property
    def swapped(self) -> bool:
        """Whether the two masks have changed places."""
        return self._swapped

    @swapped.setter
    def swapped(self, swapped: bool) -> None:
        if self._shown is not None and swapped != self._swapped:
            self._swapped = swapped
            with self._quiet():
                self.differences.hide()
            if not self._timer.isActive():
                self._settle()

    def name_scan(self, scan: str) -> None:
        """Say in each cell which scan it shows; empty: no scan is in view."""
        if scan != self._name:
            self._name = scan
            self._say_titles()
        for other in list(_all) if not scan else ():  # they write in the same place
            if other.viewer is self.viewer and other._name:  # noqa: SLF001
                other._say_titles()  # noqa: SLF001

    def lead_to(self, final: Labels | None, changed: bool = False) -> None:
        """Show how the rendered mask differs from this one; None: how the coarse differs from the rendered one.

        Parameters
        ----------
        final
            The mask that is corrected.
        changed
            Whether it is, or was, another than it began as: it is then the fill, and the model's masks are lines.
        """
        another, changed = final is not self.differences.final, changed and final is not None
        filled, self._filled = self._filled, changed
        if another:
            with self._quiet():
                self.differences.hide()
            self.differences.final = final
        if another and self._mode == "difference":
            self._schedule()
        elif another or filled != changed:
            self._redraw()

    def _redraw(self) -> None:
        """Draw both masks as they are now, at once where all layers are there already."""
        result = self._shown
        if result is None or self._timer.isActive():
            return
        if self._mode == "side" and any(layer not in self._mirrors for layer in self._twice(result)):
            self._schedule()
        else:
            self._settle()

    def open(self, result: ResultLayers) -> None:
        """Show a result in the place of the one shown before, whoever showed that."""
        for other in list(_all):
            if other.viewer is self.viewer:
                other.close()
        self._shown, self._swapped = result, False
        self.differences.names = result.names
        grid = self.viewer.canvas.grid
        self._grid_before = {name: getattr(grid, name) for name in ("stride", "shape", "spacing", "enabled")}
        events = self.viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._on_layers, position="last")
        for event in (grid.events.enabled, grid.events.stride, grid.events.shape):
            event.connect(self._on_grid)
        self._park()
        self._schedule()
        self.changed.emit()

    def close(self) -> None:
        """Leave the viewer as it was found; the result's layers stay, as ordinary ones."""
        result, self._shown = self._shown, None
        if result is None:
            return
        self._timer.stop()
        self._grid_timer.stop()
        grid, events = self.viewer.canvas.grid, self.viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.disconnect(self._on_layers)
        for event in (grid.events.enabled, grid.events.stride, grid.events.shape):
            event.disconnect(self._on_grid)
        self._watch([])
        with self._quiet():
            grid.enabled = False
            self._mirrors.drop_all()
            self.differences.hide()
            self._looks(result, "none")
            for layer in self._parked:
                layer.visible = True
            self._parked = []
            grid.update(self._grid_before)
            self._zoom(None)
        self.changed.emit()

    def colour(self, by: Colouring) -> None:
        """Colour the points, in both cells."""
        for layer in self._point_layers():
            colour_points(layer, by)

    def size(self, size: float) -> None:
        """Diameter of the points, in voxels."""
        for layer in self._point_layers():
            layer.size = size

    def show_points(self, visible: bool) -> None:
        """Show or hide the points."""
        if self._shown is not None and self._shown.points is not None:
            self._shown.points.visible = visible

    @property
    def settling(self) -> bool:
        """Whether layers are on their way to their places."""
        return self._timer.isActive()

    def arrange(self) -> None:
        """Lay everything out again, in the next turns of the event loop."""
        self._schedule()

    def redraw(self, layer: Layer) -> None:
        """A layer's pixels were set without an event: show them in the other cell too."""
        self._mirrors.redraw(layer)

    def _point_layers(self) -> list[Points]:
        points = None if self._shown is None else self._shown.points
        if points is None:
            return []
        return [points, self._mirrors.twin(points)] if points in self._mirrors else [points]

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
            self._schedule()

    def _on_visible(self, event: Any) -> None:
        if not self._busy and event.source.visible and event.source not in self._mirrors:
            self._schedule()

    def _on_grid(self, _event: Any = None) -> None:
        if not self._busy:
            self._grid_timer.start(0)

    def _check_grid(self) -> None:
        """The person pressed napari's own grid button, or changed its settings."""
        if self._shown is None or self._timer.isActive():
            return
        enabled = bool(self.viewer.canvas.grid.enabled)
        if enabled != (self._mode == "side"):
            self.mode = "side" if enabled else "contour"
        else:
            self._schedule()

    def _schedule(self) -> None:
        if self._shown is None:
            return
        with self._quiet():
            self.viewer.canvas.grid.enabled = False
        self._timer.start(0)

    def _step(self) -> None:
        """One layer a turn of the event loop: napari takes long enough for each."""
        result = self._shown
        if result is None:
            return
        if any(layer not in self.viewer.layers for layer in (result.scan, *result.made)):
            self.close()
            return
        wanted = self._twice(result) if self._mode == "side" else []
        with self._quiet():
            for layer in list(self._mirrors):
                if layer not in wanted or self._mirrors.twin(layer) not in self.viewer.layers:
                    self._mirrors.drop(layer)
            missing = [layer for layer in wanted if layer not in self._mirrors]
            if missing:
                selected = set(self.viewer.layers.selection)
                self._mirrors.add(missing[0])
                self.viewer.layers.selection = selected
        if missing:
            self._timer.start(0)
        else:
            self._settle()

    def _settle(self) -> None:
        result = self._shown
        if result is None:
            return
        with self._quiet():
            self._differ(result)
        below, above = self._groups(result)
        top, bottom = (result.rendered, result.coarse) if self._swapped else (result.coarse, result.rendered)
        if self._mode == "side":
            left = [*below, top, *above]
            order = left + [self._mirrors.twin(x) for x in below] + [bottom] + [self._mirrors.twin(x) for x in above]
        else:
            left = []
            order = [*below, bottom, top, *above]
        rest = [layer for layer in self.viewer.layers if layer not in order]
        with self._quiet():
            self._reorder(order + rest)
            self._looks(result, self._mode)
            self._watch([*order, *rest])
            grid = self.viewer.canvas.grid
            if left:
                grid.stride, grid.shape, grid.spacing = len(left), (1, 2), CELL_GAP
            grid.enabled = bool(left)
            self._zoom(result.scan if left else None)
        self.settled.emit()

    def _differ(self, result: ResultLayers) -> None:
        if self._mode == "difference":
            self.differences.show(result.coarse, result.rendered, self._swapped)
        else:
            self.differences.hide()

    def _zoom(self, scan: Image | None) -> None:
        """What was in view of ``scan`` stays in view in half the width; None goes back."""
        camera = self.viewer.scene.camera
        if scan is None:
            if self._zooms is not None and camera.zoom == self._zooms[1]:
                camera.zoom = self._zooms[0]
            self._zooms = None
        elif self._zooms is None and self.viewer.dims.ndisplay == 2:
            before = camera.zoom
            height, width = self.viewer.canvas.size
            low, high = scan.extent.world
            tall, wide = (high - low)[list(self.viewer.dims.displayed)[-2:]] if scan.ndim == 3 else high - low
            tall, wide = min(tall, height / before), min(wide, width / before)
            camera.zoom = min(before, VIEW_SHARE * (width - CELL_GAP) / 2 / wide, height / tall)
            self._zooms = before, camera.zoom

    def _reorder(self, order: list[Layer]) -> None:
        layers = self.viewer.layers
        if list(layers) == order:
            return
        with layers.events.reordered.blocker():  # one redraw at the end
            for target, layer in enumerate(order):
                index = layers.index(layer)
                if index != target:
                    layers.move(index, target)
        layers.events.reordered(value=layers)

    def _looks(self, result: ResultLayers, mode: Mode | Literal["none"]) -> None:
        over = result.rendered if self._swapped else result.coarse
        filled = self._fill(result) if mode != "none" else None
        for mask, name in zip((result.coarse, result.rendered), result.names, strict=True):
            mask.contour = CONTOUR_WIDTH if filled is not None or (mode == "contour" and mask is over) else 0
            self._colours.set(mask, LINE_COLOURS[name][0] if filled is not None else None)
        final = self._final(result)
        if final is not None:
            final.contour = 0 if mode == "none" or final is filled else CONTOUR_WIDTH
        self._say_titles()

    def _final(self, result: ResultLayers) -> Labels | None:
        """The mask that is corrected, where it is of the scan in view."""
        final = self.differences.final
        if final is None or final not in self.viewer.layers:
            return None
        one, other = carrier_of(final), carrier_of(result.scan)
        return final if one is not None and (other is None or one.scan is other.scan) else None

    def _fill(self, result: ResultLayers) -> Labels | None:
        """The corrected mask, where it is the fill: not while something else than a model's masks is compared."""
        seen = self._filled and result.names == MODEL_STAGES and self._mode != "difference"
        return self._final(result) if seen else None

    def _say_titles(self) -> None:
        """Say in each cell what it shows, and of which scan."""
        result = self._shown
        if result is None:
            if self._name:
                self.titles.show(wrapped(self._name), "")
            else:
                self.titles.close()
            return
        names = result.names[::-1] if self._swapped else result.names
        difference = self.differences.title(self._swapped), DIFFERENCE_LEGEND
        filled = self._fill(result) is not None
        self.titles.show(*titles(self._mode, names, self._name, filled, difference))

    def _groups(self, result: ResultLayers) -> tuple[list[Layer], list[Layer]]:
        """What lies below and above the mask, in one cell."""
        ours = (result.scan, *result.made)
        others = [x for x in self.viewer.layers if x not in ours and not is_twin(x) and x.visible]
        images = [layer for layer in others if isinstance(layer, Image)]
        drawn = [layer for layer in others if not isinstance(layer, Image)]
        doubt, points = ([] if x is None else [x] for x in (result.uncertainty, result.points))
        return [result.scan, *images, *doubt], [*drawn, *points]

    def _twice(self, result: ResultLayers) -> list[Layer]:
        below, above = self._groups(result)
        return below + above

    def _watch(self, layers: list[Layer]) -> None:
        for layer in self._watched:
            layer.events.visible.disconnect(self._on_visible)
        self._watched = [layer for layer in layers if not is_twin(layer)]
        for layer in self._watched:
            layer.events.visible.connect(self._on_visible)

    def _park(self) -> None:
        result = self._shown
        if result is None:
            return
        for layer in self.viewer.layers:
            if layer is result.scan or layer in result.made or not layer.visible:
                continue
            carrier = carrier_of(layer)
            elsewhere = carrier is not None and carrier.role not in {"mask", "corrected", "roi"}
            if isinstance(layer, Image) or elsewhere:
                layer.visible = False
                self._parked.append(layer)
