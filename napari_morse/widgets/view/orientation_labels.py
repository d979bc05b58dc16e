"""Words on the view: L/R, A/P, S/I at its edges, a scale bar in mm, and which mask is where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.components.overlays import TextOverlay

from napari_morse.geometry.orientation import letters_at
from napari_morse.types import Scan

if TYPE_CHECKING:
    from napari.components import ViewerModel

TITLES = ("morse_left", "morse_right")
"""Overlays of the canvas: there once, whichever of several docks writes on them."""
PLACES = ("top_center", "bottom_center", "middle_left", "middle_right")


class Letters:
    """Orientation letters in each cell; they follow the axes in view and vanish in 3-D.

    Parameters
    ----------
    viewer
        The viewer; left as it was found by `close`.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._overlays: dict[str, TextOverlay] = {}
        bar = viewer.canvas.overlays.scale_bar
        self._bar_before = {name: getattr(bar, name) for name in ("visible", "position", "gridded")}
        self._known = False
        viewer.dims.events.order.connect(self._refresh)
        viewer.dims.events.ndisplay.connect(self._refresh)

    def show(self, scan: Scan | None) -> None:
        """Show the letters of a scan; none where its orientation is not known."""
        if scan is None:
            self._known = False
        else:
            self._known = scan.orientation_known
            bar = self._viewer.canvas.overlays.scale_bar
            bar.position, bar.gridded, bar.visible = "bottom_center", True, True
        self._refresh()

    def close(self) -> None:
        """Take everything away again."""
        self._viewer.dims.events.order.disconnect(self._refresh)
        self._viewer.dims.events.ndisplay.disconnect(self._refresh)
        for name in self._overlays:
            self._viewer.canvas.overlays.pop(name, None)
        self._overlays = {}
        self._viewer.canvas.overlays.scale_bar.update(self._bar_before)

    @property
    def text(self) -> dict[str, str]:
        """The letters in view, by place."""
        return {name.removeprefix("morse_"): x.text for name, x in self._overlays.items() if x.visible}

    def _refresh(self, _event: Any = None) -> None:
        dims = self._viewer.dims
        seen = self._known and dims.ndisplay == 2 and dims.ndim == 3
        if not seen:
            for overlay in self._overlays.values():
                overlay.visible = False
            return
        for corner, letter in zip(PLACES, letters_at(*dims.order[-2:]), strict=True):
            name = f"morse_{corner}"
            if name not in self._overlays:
                self._overlays[name] = TextOverlay(position=corner, gridded=True, font_size=12)
                self._viewer.canvas.overlays[name] = self._overlays[name]
            overlay = self._overlays[name]
            overlay.text, overlay.visible = letter, True


class Titles:
    """Says which mask is in which cell, or which is the contour; written on the canvas, once."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer

    def show(self, left: str, right: str) -> None:
        """Write at the upper left and the upper right; empty texts are hidden."""
        overlays = self._viewer.canvas.overlays
        for name, corner, text in zip(TITLES, ("top_left", "top_right"), (left, right), strict=True):
            if name not in overlays:
                overlays[name] = TextOverlay(position=corner, font_size=11)
            overlays[name].text, overlays[name].visible = text, bool(text)

    @property
    def text(self) -> tuple[str, ...]:
        """What is written, from left to right."""
        overlays = self._viewer.canvas.overlays
        return tuple(overlays[name].text for name in TITLES if name in overlays and overlays[name].visible)

    def close(self) -> None:
        """Take the words away."""
        for name in TITLES:
            self._viewer.canvas.overlays.pop(name, None)
