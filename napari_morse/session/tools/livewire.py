"""Live wire: the cheapest path along edges from the last node to the cursor, and a closed contour of such paths.

After Mortensen and Barrett, "Interactive segmentation with intelligent scissors" (1998): the cost of a pixel falls with
the strength of the edge in it; the path of least cost is found by Dijkstra's algorithm from the last node, once, and
read off backwards from wherever the cursor is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import MCP_Geometric

from napari_morse.types import Array

Pixel = tuple[int, int]
Path = NDArray[np.int64]
"""(n, 2) pixels, each beside the one before, both ends included."""

SMOOTHING = 1.5
"""Pixels (of the larger side) over which grey levels are smoothed before edges are looked for."""
FULL_EDGE_PERCENTILE = 95
"""Percentile of the gradient that counts as a full edge."""
CREST = 0.6
"""Share of a pixel's cost that only the crest of an edge is spared: without it paths cut corners inside the blur."""
EDGE_COST = 0.03
"""Cost of a pixel on a full edge: what remains is the length, so that paths do not wander along edges."""
_ORDERS = ((1, 0), (0, 1))
NEAR_PIXELS = 80
"""Pixels around a node within which paths are found at once."""
COARSE_PIXELS, MOST_COARSE_PIXELS = 25_000, 100_000
"""Pixels of the coarser grid that shows where a path to a far cursor runs, and how many there may be at most."""
LEAP = 7
"""Pixels along a side of the coarser grid's, where `MOST_COARSE_PIXELS` allows: in larger ones edges drown."""
BESIDE_VOXELS = 8
"""Pixels on either side of the coarse path between which the path itself is found."""


def edge_cost(picture: Array, spacing: Sequence[float]) -> NDArray[np.float64]:
    """What a step into each pixel costs: 1 where there is no edge, `EDGE_COST` on a strong one.

    Parameters
    ----------
    picture
        (R, C) grey levels; what is not finite counts as the lowest.
    spacing
        mm of a step down and of one to the right.

    Returns
    -------
    ndarray
        (R, C) float64.
    """
    grey = np.asarray(picture, np.float64)
    finite = np.isfinite(grey)
    grey = np.where(finite, grey, grey[finite].min() if finite.any() else 0.0)
    sigma = [SMOOTHING * max(spacing) / s for s in spacing]
    steps = [ndimage.gaussian_filter(grey, sigma, order=order) / s for order, s in zip(_ORDERS, spacing, strict=True)]
    strength = np.hypot(*steps)
    inner = strength[strength > 0]
    full = float(np.percentile(inner, FULL_EDGE_PERCENTILE)) if inner.size else 1.0
    edge = np.clip(strength / full, 0, 1)
    crest = np.where(_on_crest(strength, steps, spacing), edge, 0.0)
    return np.asarray(EDGE_COST + (1 - EDGE_COST) * ((1 - CREST) * (1 - edge) + CREST * (1 - crest)))


def _on_crest(strength: Array, steps: Sequence[Array], spacing: Sequence[float]) -> NDArray[np.bool_]:
    """Where the gradient is stronger than a pixel further along it, on either side."""
    length = np.maximum(strength, np.finfo(float).tiny)
    side = min(spacing)
    way = [step / length * side / s for step, s in zip(steps, spacing, strict=True)]
    pixel = np.indices(strength.shape, dtype=float)
    beside = [
        ndimage.map_coordinates(
            strength, [at + sign * w for at, w in zip(pixel, way, strict=True)], order=1, mode="nearest"
        )
        for sign in (1, -1)
    ]
    return np.asarray((strength >= beside[0]) & (strength >= beside[1]))


class Wire:
    """Paths from one node to anywhere.

    Near the node all of them are found once. Further away a coarser grid shows where the path runs, and the cheapest
    one beside that is found: quick enough to follow the cursor, and the same when it is clicked.

    Parameters
    ----------
    cost
        Of `edge_cost`.
    spacing
        mm of a step down and of one to the right.
    node
        Where paths begin.
    """

    def __init__(self, cost: NDArray[np.float64], spacing: Sequence[float], node: Pixel) -> None:
        self._cost, self._spacing, self.node = cost, tuple(spacing), node
        reach = NEAR_PIXELS if cost.size > COARSE_PIXELS else max(cost.shape)
        low = [max(0, a - reach) for a in node]
        high = [min(n, a + reach + 1) for a, n in zip(node, cost.shape, strict=True)]
        self._corner, self._ends = (low[0], low[1]), (high[0], high[1])
        self._near = MCP_Geometric(cost[low[0] : high[0], low[1] : high[1]], sampling=self._spacing)
        self._near.find_costs([self._local(node)])
        self._coarse: MCP_Geometric | None = None
        fine, large = (int(np.ceil(np.sqrt(cost.size / pixels))) for pixels in (COARSE_PIXELS, MOST_COARSE_PIXELS))
        self._step = max(2, min(LEAP, fine), large)

    def to(self, pixel: Pixel) -> Path:
        """The cheapest path from the node; the pixel is brought into the image."""
        rows, columns = self._cost.shape
        goal = min(max(int(pixel[0]), 0), rows - 1), min(max(int(pixel[1]), 0), columns - 1)
        if all(a <= x < b for a, x, b in zip(self._corner, goal, self._ends, strict=True)):
            return np.asarray(self._near.traceback(self._local(goal)), np.int64) + self._corner
        return self._beside(self._rough(goal), goal)

    def _local(self, pixel: Pixel) -> Pixel:
        return pixel[0] - self._corner[0], pixel[1] - self._corner[1]

    def _rough(self, goal: Pixel) -> Path:
        """The path on the coarser grid, in its own pixels."""
        step = self._step
        if self._coarse is None:
            sides = tuple(s * step for s in self._spacing)
            self._coarse = MCP_Geometric(_blocks(self._cost, step), sampling=sides)
            self._coarse.find_costs([tuple(x // step for x in self.node)])
        return np.asarray(self._coarse.traceback(tuple(x // step for x in goal)), np.int64)

    def _beside(self, rough: Path, goal: Pixel) -> Path:
        """The cheapest path that stays near a coarse one."""
        step, spare = self._step, -(-BESIDE_VOXELS // self._step)
        low = np.maximum(rough.min(axis=0) - spare, 0)
        lane = np.zeros(rough.max(axis=0) + spare + 1 - low, bool)
        lane[tuple((rough - low).T)] = True
        lane = ndimage.maximum_filter(lane, 2 * spare + 1).repeat(step, axis=0).repeat(step, axis=1)
        corner = low * step
        part = self._cost[corner[0] : corner[0] + lane.shape[0], corner[1] : corner[1] + lane.shape[1]]
        lane = lane[: part.shape[0], : part.shape[1]]
        first, last = tuple(self.node - corner), tuple(goal - corner)
        paths = MCP_Geometric(np.where(lane, part, -1.0), sampling=self._spacing)  # below 0 there is no way through
        paths.find_costs([first], [last])
        return np.asarray(np.array(paths.traceback(last), np.int64) + corner)


def _blocks(cost: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Means over blocks of ``step`` pixels; the last ones are continued by the image's edge."""
    padded = np.pad(cost, [(0, -n % step) for n in cost.shape], mode="edge")
    rows, columns = (n // step for n in padded.shape)
    return np.asarray(padded.reshape(rows, step, columns, step).mean(axis=(1, 3)))


@dataclass(eq=False)
class Contour:
    """Nodes, and the paths between them.

    Parameters
    ----------
    cost, spacing
        As of `Wire`.
    nodes
        In the order in which they were set.
    paths
        From each node to the next; of a closed contour also from the last to the first.
    closed
        Whether it goes around.
    """

    cost: NDArray[np.float64]
    spacing: tuple[float, float]
    nodes: list[Pixel] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    closed: bool = False
    _wires: dict[Pixel, Wire] = field(default_factory=dict)

    def wire(self, node: Pixel) -> Wire:
        """Paths from a node, found once."""
        if node not in self._wires:
            if len(self._wires) > 8:
                self._wires.pop(next(iter(self._wires)))
            self._wires[node] = Wire(self.cost, self.spacing, node)
        return self._wires[node]

    def add(self, pixel: Pixel) -> None:
        """Set the next node."""
        if self.nodes:
            self.paths.append(self.wire(self.nodes[-1]).to(pixel))
        self.nodes.append(pixel)

    def preview(self, pixel: Pixel) -> Path:
        """The path that `add` would lay."""
        return self.wire(self.nodes[-1]).to(pixel)

    def insert(self, index: int, pixel: Pixel) -> None:
        """Set a node on path ``index``, between the nodes at its ends; no other path changes."""
        after = self.nodes[(index + 1) % len(self.nodes)]
        self.paths[index : index + 1] = [self.wire(self.nodes[index]).to(pixel), self.wire(after).to(pixel)[::-1]]
        self.nodes.insert(index + 1, pixel)

    def remove(self, index: int) -> None:
        """Take a node away and join those beside it; no other path changes."""
        closed = self.closed
        if closed:
            self.take_back()
        self.nodes.pop(index)
        if 0 < index < len(self.nodes):
            self.paths[index - 1 : index + 1] = [self.wire(self.nodes[index - 1]).to(self.nodes[index])]
        elif self.paths:
            self.paths.pop(0 if index == 0 else -1)
        if closed:
            self.close()

    def node_near(self, pixel: tuple[float, float], within: float) -> int | None:
        """Which node lies at no more than ``within`` mm from a place in pixels, the nearest; None where none does."""
        away = [float(np.hypot(*(np.subtract(node, pixel) * self.spacing))) for node in self.nodes]
        return int(np.argmin(away)) if away and min(away) <= within else None

    def path_near(self, pixel: tuple[float, float], within: float) -> int | None:
        """As `node_near`, of the paths."""
        away = [float(np.hypot(*((path - pixel) * self.spacing).T).min()) for path in self.paths]
        return int(np.argmin(away)) if away and min(away) <= within else None

    def take_back(self) -> None:
        """Take the last node back; a closed contour is opened first."""
        if self.closed:
            self.closed = False
            self.paths.pop()
        elif self.nodes:
            self.nodes.pop()
            if self.paths:
                self.paths.pop()

    def close(self) -> bool:
        """Go back to the first node; whether there were nodes enough."""
        if not self.closed and len(self.nodes) >= 2:
            self.paths.append(self.wire(self.nodes[-1]).to(self.nodes[0]))
            self.closed = True
        return self.closed

    def move(self, index: int, pixel: Pixel) -> None:
        """Put a node elsewhere; only the paths that end in it change."""
        self.nodes[index] = pixel
        count = len(self.nodes)
        if index > 0 or self.closed:
            self.paths[index - 1] = self.wire(self.nodes[index - 1]).to(pixel)
        if index < count - 1 or self.closed:
            after = self.nodes[(index + 1) % count]
            # From the node that stays, turned round: its wire is found once, a moving node's anew at every motion.
            self.paths[index] = self.wire(after).to(pixel)[::-1]

    def line(self) -> Path:
        """All of it, (n, 2); nothing where there is no node."""
        if not self.nodes:
            return np.zeros((0, 2), np.int64)
        return np.concatenate([np.array(self.nodes[:1], np.int64), *(path[1:] for path in self.paths)])

    def filled(self) -> NDArray[np.bool_]:
        """(R, C) what a closed contour encloses: pixels whose centre lies in it, and those under the line.

        Where it crosses itself, what it goes around twice is not enclosed (even-odd). Of a contour that is not closed,
        only what lies under the line.
        """
        inside = np.zeros(self.cost.shape, bool)
        pixels = self.line()
        if self.closed:
            ahead = np.roll(pixels, -1, axis=0)
            down = ahead[:, 0] - pixels[:, 0]
            upper = np.where((down > 0)[:, None], pixels, ahead)[down != 0]  # of each step from row to row
            low, high = pixels.min(axis=0), pixels.max(axis=0) + 1
            # add.at, not crossed[...] += 1: a line that goes through a pixel twice must be counted twice.
            crossed = np.zeros(high - low, np.int64)
            np.add.at(crossed, tuple((upper - low).T), 1)
            inside[low[0] : high[0], low[1] : high[1]] = np.cumsum(crossed, axis=1) % 2 == 1
        inside[tuple(pixels.T)] = True
        return inside
