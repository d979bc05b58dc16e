"""Surfaces of the coarse and the rendered mask in 3-D, coloured by how far they are apart; meshes, no volumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Surface
from napari.utils.colormaps import Colormap
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import CancelledError
from napari_morse.metrics.surfaces import Mesh, apart, mesh
from napari_morse.types import Array, Scan
from napari_morse.widgets.base import SWAP, JobRunner, Work
from napari_morse.widgets.bridge import KEY, Carrier, Mode, display_axes, placement
from napari_morse.widgets.view.comparison import Comparison
from napari_morse.widgets.view.difference import MODEL_STAGES

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_morse.widgets.case import ActiveCase

DISTANCE_COLOURS = ("#e6e6e6", "#e69f00", "#a50f15")
"""From no distance to the largest: light to dark, so that they can be told apart without hues."""
SMALLEST_RANGE = 1.0
"""mm at which the colours end, at least."""
RETRY_MS = 20
"""Milliseconds between two looks whether the layers are in their places."""
NOT_NOW = "Run a model first: the surfaces of its two masks are compared."


@dataclass(frozen=True, eq=False)
class _Surfaces:
    scan: Scan
    names: tuple[str, str]
    meshes: tuple[Mesh, Mesh]
    far: tuple[Array, Array]


class _NothingInView:
    """No surfaces are in view."""

    layers: tuple[Surface, ...] = ()

    def swap(self) -> None:
        """There are none to swap."""

    def put_away(self) -> None:
        """There are none to put away."""


class _InView:
    """Both surfaces, from where they come into view to where what was in view before comes back."""

    def __init__(self, viewer: ViewerModel, comparison: Comparison, surfaces: _Surfaces) -> None:
        self._viewer, self._comparison, self._names = viewer, comparison, surfaces.names
        self._ndisplay, self._order = viewer.dims.ndisplay, viewer.dims.order
        self._hidden = [layer for layer in viewer.layers if layer.visible]
        self.end = max(SMALLEST_RANGE, *(float(np.nanpercentile(far, 99)) for far in surfaces.far))
        """Distance at which the colours end."""
        self.layers = tuple(_surface(surfaces, n, self.end) for n in (0, 1))

    def come(self) -> None:
        """Take the place of what is in view; it comes back with `put_away`, also when this was broken off."""
        for layer in self._hidden:
            layer.visible = False  # before the view is 3-D: a volume takes seconds to draw in it
        for surface in self.layers:
            self._viewer.add_layer(surface)
        self._viewer.dims.ndisplay = 3
        self._viewer.reset_view()
        self.swap()

    def swap(self) -> None:
        """Show the one surface, or the other while a key is held."""
        swapped = self._comparison.swapped
        for which, layer in enumerate(self.layers):
            layer.visible = (which == 0) == swapped
        self._comparison.titles.show(self._names[0 if swapped else 1], "")

    def put_away(self) -> None:
        """Bring back what was in view before."""
        layers, dims = self._viewer.layers, self._viewer.dims
        for surface in self.layers:
            if surface in layers:
                layers.remove(surface)
        # 2-D before the layers come back: a volume takes seconds to draw in 3-D.
        dims.ndisplay = self._ndisplay
        if len(self._order) == dims.ndim:
            dims.order = self._order
        for layer in self._hidden:
            if layer in layers:
                layer.visible = True


class SurfaceView(QObject):
    """The 3-D view of two masks; what was in view before comes back.

    Parameters
    ----------
    active_case
        What is under work.
    comparison
        Gives the view up meanwhile.
    parent
        Owner.
    """

    changed = Signal()
    """Shown, put away, or being made."""
    said = Signal(str)
    """What the colours mean, or why there is nothing to show."""

    def __init__(self, active_case: ActiveCase, comparison: Comparison, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._active_case, self._viewer, self._comparison = active_case, active_case.viewer, comparison
        self._shown: _InView | _NothingInView = _NothingInView()
        self.runner = JobRunner("morse-surfaces", self)
        self._mode: Mode = "side"
        self.runner.succeeded.connect(self._on_made)
        self.runner.failed.connect(self._on_failed)
        comparison.changed.connect(self._on_comparison)
        comparison.settled.connect(self._on_settled)

    @property
    def layers(self) -> tuple[Surface, ...]:
        """The surfaces in view: both, or none."""
        return self._shown.layers

    @property
    def active(self) -> bool:
        """Whether surfaces are shown, or being made."""
        return bool(self.layers) or self.runner.busy

    def start(self) -> None:
        """Make the surfaces, beside the window, and show them."""
        active_case, prediction, scan = self._active_case, self._active_case.prediction, self._active_case.scan
        if self.active:
            return
        if prediction is None or scan is None or self._comparison.names != MODEL_STAGES:
            self.said.emit(NOT_NOW)
            self.changed.emit()
            return
        corrected = active_case.corrected
        if corrected is None:
            names, last = ("coarse", "rendered"), prediction.rendered.data
            first = prediction.coarse.data
        else:
            names, last = ("rendered", "corrected"), np.array(corrected.corrections.mask)
            first = prediction.rendered.data
        self._mode, self._comparison.mode = self._comparison.mode, "contour"
        self.said.emit("The surfaces are being made.")
        self.runner.start(_making(scan, names, first, last))
        self.changed.emit()

    def leave(self) -> None:
        """Put the surfaces away."""
        self.runner.cancel()
        if not self.layers:
            return  # nothing is shown yet
        shown, self._shown = self._shown, _NothingInView()
        shown.put_away()
        self._comparison.mode = self._mode
        self._comparison.arrange()
        self.said.emit("")
        self.changed.emit()

    def _on_made(self, surfaces: _Surfaces) -> None:
        if self._comparison.settling:  # it would show layers again that are hidden here
            QTimer.singleShot(RETRY_MS, partial(self._on_made, surfaces))
            return
        if surfaces.scan is not self._active_case.scan or not self._comparison.names:
            self.changed.emit()
            return
        if not all(len(each) for each in surfaces.meshes):
            self.said.emit(
                f"The {surfaces.names[0 if not len(surfaces.meshes[0]) else 1]} mask is empty: it has no surface."
            )
            self.changed.emit()
            return
        self._shown = shown = _InView(self._viewer, self._comparison, surfaces)
        shown.come()
        unit = "mm" if surfaces.scan.size_known else "px"
        coarser = max(each.step for each in surfaces.meshes)
        more = f" Every {coarser}th voxel is drawn." if coarser > 1 else ""
        self.said.emit(
            f"Colour: {unit} to the {surfaces.names[0]} surface, grey 0, red {shown.end:.1f}; mean "
            f"{float(np.nanmean(surfaces.far[1])):.2f} {unit}. Hold {SWAP} to swap.{more}"
        )
        self.changed.emit()

    def _on_failed(self, error: Exception) -> None:
        if not isinstance(error, CancelledError):
            self.said.emit(f"The surfaces could not be made: {error}")
        self.changed.emit()

    def _on_comparison(self) -> None:
        if self.active and (not self._comparison.names or self._comparison.mode != "contour"):
            self._mode = self._comparison.mode
            self.leave()

    def _on_settled(self) -> None:
        self._shown.swap()

    def close_down(self) -> None:
        """Put everything away."""
        self.leave()
        self._comparison.changed.disconnect(self._on_comparison)
        self._comparison.settled.disconnect(self._on_settled)


def _surface(surfaces: _Surfaces, which: int, end: float) -> Surface:
    shape = surfaces.meshes[which]
    axes = display_axes(surfaces.scan)
    order = np.eye(3)[list(axes.order)] * np.where(axes.flip, -1, 1)
    face = shape.face if np.linalg.det(order) > 0 else shape.face[:, ::-1]  # lit from outside in a mirror too
    return Surface(
        (axes.index_to_view(shape.vertex), face, np.nan_to_num(surfaces.far[which])),
        name=f"surface · {surfaces.names[which]}", colormap=Colormap(DISTANCE_COLOURS, name="distance"),
        contrast_limits=(0.0, end), visible=which == 1, shading="smooth",
        metadata={KEY: Carrier(surfaces.scan, "tool")}, **placement(surfaces.scan),
    )  # fmt: skip


def _making(scan: Scan, names: tuple[str, str], first: Array, last: Array) -> Work:
    def work(_tell: Any, cancelled: Callable[[], bool]) -> _Surfaces:
        one, other = mesh(first, cancelled), mesh(last, cancelled)
        sides = scan.grid.spacing
        return _Surfaces(scan, names, (one, other), (apart(one, other, sides), apart(other, one, sides)))

    return work
