"""The live wire as it is seen: a line and its nodes, straight on the canvas, in every cell that shows the scan.

It is no layer: napari takes longer than a mouse moves to show new data in one, and twice as long side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_morse.types import Scan
from napari_morse.widgets.bridge import PALETTE, carrier_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

WIRE_COLOUR, HELD, CASE = PALETTE[6], PALETTE[5], "#000000"
WIDTH, CASED = 2.0, 4.0
"""Pixels of the screen: the line, and the dark one below it that sets it off from bright tissue."""
NODE, FIRST = 9.0, 13.0
"""Pixels of the screen: a node, and the first one, a click on which fills."""
NO_NODE = -1
"""Index where no node is in the hand."""
ABOVE = 10_000
"""Drawn after every layer."""


@dataclass(eq=False)
class _Cell:
    """What is drawn in one view."""

    lines: tuple[Any, Any]
    nodes: Any

    @property
    def parts(self) -> tuple[Any, ...]:
        return (*self.lines, self.nodes)


class WireLine:
    """Draws a line and nodes over a scan.

    Parameters
    ----------
    viewer
        On whose canvas.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._cells: dict[Any, _Cell] = {}

    @property
    def possible(self) -> bool:
        """Whether the viewer has a canvas on which this can be drawn."""
        return self._visuals() is not None

    @property
    def cells(self) -> tuple[_Cell, ...]:
        """What is drawn now, by view."""
        return tuple(self._cells.values())

    def show(self, scan: Scan, line: NDArray[Any], nodes: NDArray[Any], held: int = NO_NODE) -> None:
        """Draw in each view that shows ``scan``.

        Parameters
        ----------
        scan
            Its layers, and their twins, say where.
        line, nodes
            (n, 2) pixels, rows and columns of the slice in view.
        held
            Index of the node in the hand.
        """
        views = self._views(scan)
        for scene in [scene for scene in self._cells if scene not in views]:
            self._take_away(self._cells.pop(scene))
        for scene, transform in views.items():
            if scene not in self._cells:
                self._cells[scene] = _new_cell(scene)
            _fill(self._cells[scene], transform, line, nodes, held)

    def hide(self) -> None:
        """Show nothing until `show` is called again; what draws is kept, since it takes long to make."""
        for cell in self._cells.values():
            for part in cell.parts:
                part.visible = False

    def clear(self) -> None:
        """Take everything away."""
        for cell in self._cells.values():
            self._take_away(cell)
        self._cells = {}

    @staticmethod
    def _take_away(cell: _Cell) -> None:
        for part in cell.parts:
            part.parent = None

    def _visuals(self) -> Any:
        """What napari draws of each layer; None where it has no canvas, or another kind of one."""
        part: Any = self._viewer
        for name in ("window", "_qt_viewer", "canvas", "layer_to_visual"):
            part = getattr(part, name, None)
        return part

    def _views(self, scan: Scan) -> dict[Any, Any]:
        """By scene of the canvas: how the pixels of the scan's image lie in it."""
        visuals = self._visuals() or {}
        transforms = {}
        for layer in self._viewer.layers:
            carrier = carrier_of(layer)
            if carrier is not None and carrier.role == "scan" and carrier.scan is scan and layer in visuals:
                node = visuals[layer].node
                if node.parent is not None:
                    # The image's own transform object: where napari moves the image, the line goes with it.
                    transforms[node.parent] = node.transform
        return transforms


def _new_cell(scene: Any) -> _Cell:
    from vispy.scene.visuals import Line, Markers

    two = np.zeros((2, 2), np.float32)
    lines = tuple(Line(pos=two, color=c, width=w, parent=scene) for c, w in ((CASE, CASED), (WIRE_COLOUR, WIDTH)))
    cell = _Cell(lines, Markers(pos=two, parent=scene))
    for number, part in enumerate(cell.parts):
        part.order = ABOVE + number
        part.set_gl_state("translucent", depth_test=False)
    return cell


def _fill(cell: _Cell, transform: Any, line: NDArray[Any], nodes: NDArray[Any], held: int) -> None:
    for part in cell.parts:
        if part.transform is not transform:
            part.transform = transform
    for part in cell.lines:
        part.visible = len(line) > 1
        if part.visible:
            part.set_data(pos=_on_canvas(line))
    cell.nodes.visible = len(nodes) > 0
    if len(nodes):
        colours = [HELD if n == held else WIRE_COLOUR for n in range(len(nodes))]
        size = np.full(len(nodes), NODE)
        size[0] = FIRST
        cell.nodes.set_data(pos=_on_canvas(nodes), size=size, face_color=colours, edge_color=CASE, edge_width=1.5)


def _on_canvas(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Rows and columns → what an image's own transform expects: x before y, and its first pixel from 0 to 1."""
    return np.asarray(pixels[:, ::-1] + 0.5, np.float32)
