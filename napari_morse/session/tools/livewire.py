"""Live wire: the cheapest path along edges from the last node to the cursor, and a closed contour of such paths.

After Mortensen and Barrett, "Interactive segmentation with intelligent scissors" (1998): the cost of a pixel falls with
the strength of the edge in it; the path of least cost is found by Dijkstra's algorithm from the last node, once, and
read off backwards from wherever the cursor is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import line, polygon2mask
from skimage.graph import MCP_Geometric

from napari_morse.types import Array

Pixel = tuple[int, int]
Path = NDArray[np.int64]
"""(n, 2) pixels, each beside the one before, both ends included."""

EDGE = 1.5
"""Pixels (of the larger side) over which grey levels are smoothed before edges are looked for."""
STRONG = 95
"""Percentile of the gradient that counts as a full edge."""
CREST = 0.6
"""Share of a pixel's cost that only the crest of an edge is spared: without it paths cut corners inside the blur."""
FLAT = 0.03
"""Cost of a pixel on a full edge: what remains is the length, so that paths do not wander along edges."""
_ORDERS = ((1, 0), (0, 1))
REACH = 80
"""Pixels around a node that are looked at first; where the cursor is further away, more."""
QUICK = 25_000
"""Pixels of the coarser grid on which paths to a far cursor are found."""
SPARE = 24
"""Pixels that are looked at beyond the cursor."""


def edge_cost(picture: Array, spacing: Sequence[float]) -> NDArray[np.float64]:
    """What a step into each pixel costs: 1 where there is no edge, `FLAT` on a strong one.

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
    sigma = [EDGE * max(spacing) / s for s in spacing]
    steps = [ndimage.gaussian_filter(grey, sigma, order=order) / s for order, s in zip(_ORDERS, spacing, strict=True)]
    strength = np.hypot(*steps)
    inner = strength[strength > 0]
    full = float(np.percentile(inner, STRONG)) if inner.size else 1.0
    edge = np.clip(strength / full, 0, 1)
    crest = np.where(_on_crest(strength, steps, spacing), edge, 0.0)
    return np.asarray(FLAT + (1 - FLAT) * ((1 - CREST) * (1 - edge) + CREST * (1 - crest)))


def _on_crest(strength: Array, steps: Sequence[Array], spacing: Sequence[float]) -> NDArray[np.bool_]:
    """Where the gradient is stronger than a pixel further along it, on either side."""
    length = np.maximum(strength, np.finfo(float).tiny)
    side = min(spacing)
    way = [step / length * side / s for step, s in zip(steps, spacing, strict=True)]
    place = np.indices(strength.shape, dtype=float)
    beside = [
        ndimage.map_coordinates(
            strength, [at + sign * w for at, w in zip(place, way, strict=True)], order=1, mode="nearest"
        )
        for sign in (1, -1)
    ]
    return np.asarray((strength >= beside[0]) & (strength >= beside[1]))


class Wire:
    """Paths from one node to anywhere.

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
        self._coarse: MCP_Geometric | None = None
        self._look(node)

    def to(self, pixel: Pixel) -> Path:
        """The cheapest path from the node; the pixel is brought into the image."""
        rows, columns = self._cost.shape
        there = min(max(int(pixel[0]), 0), rows - 1), min(max(int(pixel[1]), 0), columns - 1)
        inside = all(a <= x < b for a, x, b in zip(self._corner, there, self._ends, strict=True))
        if not inside:
            self._look(there)
        local = self._paths.traceback(tuple(a - c for a, c in zip(there, self._corner, strict=True)))
        return np.asarray(local, np.int64) + self._corner

    def quick(self, pixel: Pixel) -> Path:
        """As `to`, for a cursor that is on its way: far from the node the path is found on a coarser grid."""
        if all(a <= x < b for a, x, b in zip(self._corner, pixel, self._ends, strict=True)):
            return self.to(pixel)
        there = tuple(min(max(int(x), 0), n - 1) for x, n in zip(pixel, self._cost.shape, strict=True))
        step = max(2, int(np.ceil(np.sqrt(self._cost.size / QUICK))))
        if self._coarse is None:
            sides = tuple(s * step for s in self._spacing)
            self._coarse = MCP_Geometric(_blocks(self._cost, step), sampling=sides)
            self._coarse.find_costs([tuple(x // step for x in self.node)])
        rough = np.asarray(self._coarse.traceback(tuple(x // step for x in there)), np.int64)[1:-1] * step + step // 2
        corners = np.concatenate([[self.node], np.minimum(rough, np.array(self._cost.shape) - 1), [there]])
        return _joined(corners)

    def _look(self, there: Pixel) -> None:
        """Find all paths in a window around the node that holds ``there``."""
        low = [max(0, min(a - REACH, b - SPARE)) for a, b in zip(self.node, there, strict=True)]
        high = [
            min(n, max(a + REACH, b + SPARE) + 1) for a, b, n in zip(self.node, there, self._cost.shape, strict=True)
        ]
        self._corner, self._ends = (low[0], low[1]), (high[0], high[1])
        part = self._cost[low[0] : high[0], low[1] : high[1]]
        self._paths = MCP_Geometric(part, sampling=self._spacing)
        self._paths.find_costs([tuple(a - c for a, c in zip(self.node, self._corner, strict=True))])


def _blocks(cost: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Means over blocks of ``step`` pixels; the last ones are continued by the image's edge."""
    padded = np.pad(cost, [(0, -n % step) for n in cost.shape], mode="edge")
    rows, columns = (n // step for n in padded.shape)
    return np.asarray(padded.reshape(rows, step, columns, step).mean(axis=(1, 3)))


def _joined(corners: NDArray[np.int64]) -> Path:
    """Straight lines of pixels from corner to corner."""
    parts = [np.stack(line(*a, *b), axis=1)[1:] for a, b in itertools.pairwise(corners)]  # type: ignore[no-untyped-call]
    return np.concatenate([corners[:1], *parts]).astype(np.int64)


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
        """The path from the last node to the cursor; quick."""
        return self.wire(self.nodes[-1]).quick(pixel)

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
            self.paths[index] = self.wire(after).to(pixel)[::-1]

    def line(self) -> Path:
        """All of it, (n, 2); nothing where there is no node."""
        if not self.nodes:
            return np.zeros((0, 2), np.int64)
        return np.concatenate([np.array(self.nodes[:1], np.int64), *(path[1:] for path in self.paths)])

    def filled(self) -> NDArray[np.bool_]:
        """(R, C) what a closed contour encloses, the pixels under the line included."""
        pixels = self.line()
        inside = np.zeros(self.cost.shape, bool)
        if len(pixels) > 2:
            inside |= polygon2mask(self.cost.shape, pixels)  # type: ignore[no-untyped-call]
        inside[tuple(pixels.T)] = True
        return inside
