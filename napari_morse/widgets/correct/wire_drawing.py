"""The live wire as it is drawn on one slice: waiting for edges, then nodes and paths, and what a press does to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_morse.session.tools import Contour, Pixel, changed
from napari_morse.types import Array, Scan
from napari_morse.widgets.bridge import PlaneInView
from napari_morse.widgets.correct.wire_line import NO_NODE, WireLine

if TYPE_CHECKING:
    from napari_morse.widgets.case import ActiveCase, CorrectedLayer

WIRE_HINT = (
    "Click along the edge; nodes and the line can be dragged. Enter fills, Shift+Enter erases, Backspace takes a node "
    "back, Shift+click takes one away, Esc leaves."
)
NEAR, BESIDE = 8.0, 5.0
"""Pixels of the screen within which a press takes hold of a node, and of the line."""
WIRE_CLICK_REACH = 3.0
"""Pixels of the screen that the mouse may move in a click."""

CanvasPoint = tuple[float, float]
"""Row and column in a slice, between pixels too."""


@dataclass(frozen=True, eq=False)
class ScanSlice:
    """A slice of a scan, and the layer that shows it.

    Parameters
    ----------
    scan, layer
        The scan, and its image.
    plane
        The slice in view when this was made.
    """

    scan: Scan
    layer: Image
    plane: PlaneInView

    @classmethod
    def in_view(cls, active_case: ActiveCase) -> ScanSlice | None:
        """The slice in view; None in 3-D, and outside of the scan."""
        scan, layer, plane = active_case.scan, active_case.scan_layer, active_case.plane
        return None if scan is None or layer is None or plane is None else cls(scan, layer, plane)

    @property
    def spacing(self) -> tuple[float, float]:
        """Millimetres of a step down, and of one to the right."""
        return self.plane.spacing(self.scan)

    def place(self, event: Any) -> CanvasPoint:
        """Where the mouse is, of an event of the viewer."""
        return self.plane.pixel(self.layer.world_to_data(event.position[-3:]))

    def pixel(self, at: CanvasPoint) -> Pixel:
        """The pixel nearest to a place."""
        rows, columns = self.plane.size
        return min(max(round(at[0]), 0), rows - 1), min(max(round(at[1]), 0), columns - 1)

    def apart(self, one: CanvasPoint, other: CanvasPoint) -> float:
        """Millimetres between two places."""
        return float(np.hypot(*(np.subtract(one, other) * self.spacing)))


class NoWire:
    """Nothing can be drawn: no slice of the scan is in view.

    The wires that can be drawn are made from this one, so that whoever passes keys and the mouse on need not ask.
    """

    plane: PlaneInView | None = None
    """The slice that it lies on."""
    contour: Contour | None = None
    """Nodes and paths, once edges are found."""

    @property
    def begun(self) -> bool:
        """Whether something would be lost with it."""
        return False

    @property
    def fillable(self) -> bool:
        """Whether it has nodes enough to enclose something."""
        return False

    def on_edges(self, cost: Array) -> NoWire:  # noqa: ARG002
        """The edges of the slice are found; the wire from now on."""
        return self

    def press(self, event: Any) -> Press:  # noqa: ARG002
        """The mouse button goes down."""
        return Press()

    def hover(self, event: Any) -> None:
        """The mouse moves over what is begun, no button is down."""

    def add(self, at: CanvasPoint) -> None:
        """Set a node."""

    def take_back(self) -> None:
        """Take the last node back."""

    def fill(self, active_case: ActiveCase, corrected: CorrectedLayer, erase: bool) -> str:  # noqa: ARG002
        """Give what it encloses to the label under work, or take it away from it; a sentence on what was done."""
        return ""

    def draw(self, line: WireLine, held: int) -> None:
        """Show it, with the node that is dragged."""


class WaitingWire(NoWire):
    """Clicks on a slice whose edges are being looked for.

    Parameters
    ----------
    ground
        The slice.
    """

    def __init__(self, ground: ScanSlice) -> None:
        self.plane = ground.plane
        self._ground = ground
        self._clicks: list[CanvasPoint] = []

    @property
    def begun(self) -> bool:
        """Whether there were clicks."""
        return bool(self._clicks)

    def press(self, event: Any) -> Press:
        """The click is set when the button comes up, on the wire that is there by then."""
        return Setting(self._ground, self._ground.place(event))

    def add(self, at: CanvasPoint) -> None:
        """Remember a click."""
        self._clicks.append(at)

    def take_back(self) -> None:
        """Forget the last click."""
        del self._clicks[-1:]

    def on_edges(self, cost: Array) -> DrawnWire:
        """The wire through what was clicked."""
        drawn = DrawnWire(self._ground, cost)
        for at in self._clicks:
            drawn.add(at)
        return drawn


class DrawnWire(NoWire):
    """Nodes on a slice, and the paths between them.

    Parameters
    ----------
    ground
        The slice.
    cost
        What steps in it cost, see `edge_cost`.
    """

    plane: PlaneInView
    contour: Contour

    def __init__(self, ground: ScanSlice, cost: Array) -> None:
        self.plane = ground.plane
        self.ground = ground
        self.contour = Contour(cost, ground.spacing)
        self._cursor: Pixel | None = None

    @property
    def begun(self) -> bool:
        """Whether there are nodes."""
        return bool(self.contour.nodes)

    @property
    def fillable(self) -> bool:
        """Whether it has nodes enough to enclose something."""
        return len(self.contour.nodes) > 2

    def press(self, event: Any) -> Press:
        """Take hold of a node or of the line; elsewhere, and where the line is only clicked, a node is set."""
        at, zoom = self.ground.place(event), event.camera_zoom
        node = self.contour.node_near(at, NEAR / zoom)
        if node is not None:
            if "Shift" not in event.modifiers:
                return OnNode(self, node, at, zoom)
            self.contour.remove(node)
            return Press()
        path = self.contour.path_near(at, BESIDE / zoom)
        return Setting(self.ground, at) if path is None else OnLine(self, path, at, zoom)

    def hover(self, event: Any) -> None:
        """Let the line go on to the mouse."""
        self._cursor = self.ground.pixel(self.ground.place(event))

    def add(self, at: CanvasPoint) -> None:
        """Set a node; the second press of a double click sets none."""
        pixel = self.ground.pixel(at)
        if self.contour.nodes[-1:] != [pixel]:
            self.contour.add(pixel)

    def take_back(self) -> None:
        """Take the last node back."""
        self.contour.take_back()

    def fill(self, active_case: ActiveCase, corrected: CorrectedLayer, erase: bool) -> str:
        """Close the contour and fill it; where that was done, another contour begins."""
        contour, label = self.contour, active_case.label
        if not self.fillable or not contour.close():
            return "Set three nodes at least, then press Enter."
        if not label:
            # It opens the closed contour, and takes no node: the wire can still be filled with another label.
            contour.take_back()
            return "Choose a structure first: the background is not drawn with the wire."
        labels = np.array(self.plane.of(corrected.layer.data))
        inside = contour.filled()
        wanted = np.where(inside & (labels == label), 0, labels) if erase else np.where(inside, label, labels)
        change = changed(corrected.corrections.mask, *self.plane.stored(wanted))
        if change is None:
            contour.take_back()
            return f"Nothing changed: choose another structure, or move the wire. {WIRE_HINT}"
        kept_out = active_case.apply(change.box, change.values, "live wire")
        self.contour = Contour(contour.cost, contour.spacing)
        self._cursor = None
        return kept_out or f"{int(np.count_nonzero(wanted != labels))} voxels changed. {WIRE_HINT}"

    def draw(self, line: WireLine, held: int) -> None:
        """Show it, and the path to the mouse while no node is dragged."""
        path, nodes = self.contour.line(), self.contour.nodes
        if self._cursor is not None and nodes and held == NO_NODE:
            path = np.concatenate([path, self.contour.preview(self._cursor)[1:]])
        line.show(self.ground.scan, path, np.array(nodes, np.int64).reshape(-1, 2), held)


class Press:
    """The mouse button is down, and nothing comes of it."""

    @property
    def held(self) -> int:
        """The node that is dragged."""
        return NO_NODE

    def moved(self, event: Any) -> Press:  # noqa: ARG002
        """The mouse moves; what the press is from now on."""
        return self

    def loosened(self) -> Press:
        """The last node is taken back meanwhile; what the press is from now on."""
        return self

    def carry(self) -> None:
        """Lay the paths to what is dragged: slow, so it is done once before they are shown."""

    def release(self, wire: NoWire) -> bool:  # noqa: ARG002
        """The button is up; whether the wire is to be filled."""
        return False


class Setting(Press):
    """Sets a node where the button comes up.

    Parameters
    ----------
    ground
        The slice.
    at
        Where the button went down.
    """

    def __init__(self, ground: ScanSlice, at: CanvasPoint) -> None:
        self._ground, self._at = ground, at

    def moved(self, event: Any) -> Press:
        """Nothing is dragged."""
        self._at = self._ground.place(event)
        return self

    def release(self, wire: NoWire) -> bool:
        """Set the node on the wire that is there by now: edges may have been found since the press."""
        wire.add(self._at)
        return False


class OnNode(Press):
    """Holds a node, and drags it once the mouse has moved further than in a click.

    Parameters
    ----------
    wire
        Whose node.
    node
        Its index.
    first
        Where the button went down.
    zoom
        Pixels of the screen a millimetre.
    """

    def __init__(self, wire: DrawnWire, node: int, first: CanvasPoint, zoom: float) -> None:
        self._wire, self._node = wire, node
        self._first, self._zoom = first, zoom
        self._dragged = False
        self._wanted = wire.contour.nodes[node]

    @property
    def held(self) -> int:
        """The node, once it is dragged."""
        return self._node if self._dragged else NO_NODE

    def moved(self, event: Any) -> Press:
        """Remember where the node is wanted."""
        return self.to(self._wire.ground.place(event))

    def to(self, at: CanvasPoint) -> OnNode:
        """As `moved`, to a place."""
        ground = self._wire.ground
        self._dragged = self._dragged or ground.apart(self._first, at) * self._zoom > WIRE_CLICK_REACH
        if self._dragged:
            self._wanted = ground.pixel(at)
        return self

    def loosened(self) -> Press:
        """The node may be the one that is gone."""
        return Press()

    def carry(self) -> None:
        """Put the node where it is wanted."""
        contour = self._wire.contour
        if contour.nodes[self._node] != self._wanted:
            contour.move(self._node, self._wanted)

    def release(self, wire: NoWire) -> bool:
        """Leave the node where it is; a mere click on the first one fills."""
        if self._dragged:
            # The last move of the mouse may not have been drawn, which is what lays the paths.
            self._wire.contour.move(self._node, self._wanted)
            return False
        return self._node == 0 and wire.fillable


class OnLine(Setting):
    """Holds the line: dragged, it gets a node there; a mere click sets the next node, as anywhere else.

    Parameters
    ----------
    wire
        Whose line.
    path
        Index of the path between two nodes.
    first, zoom
        As of `OnNode`.
    """

    def __init__(self, wire: DrawnWire, path: int, first: CanvasPoint, zoom: float) -> None:
        super().__init__(wire.ground, first)
        self._wire, self._path = wire, path
        self._first, self._zoom = first, zoom

    def moved(self, event: Any) -> Press:
        """Once the mouse has moved further than in a click, there is a node to drag."""
        super().moved(event)
        ground = self._wire.ground
        if ground.apart(self._first, self._at) * self._zoom <= WIRE_CLICK_REACH:
            return self
        self._wire.contour.insert(self._path, ground.pixel(self._at))
        return OnNode(self._wire, self._path + 1, self._first, self._zoom).to(self._at)

    def loosened(self) -> Press:
        """The path may be the one that is gone."""
        return Setting(self._ground, self._at)
