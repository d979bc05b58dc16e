"""Scans of both contrasts: as they are, or with inverted grey levels, whichever a network is surer of."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from napari_morse.geometry.resampling import WorkFrame
from napari_morse.inference.engine import CoarsePass, coarse_pass
from napari_morse.inference.tiles import Tick
from napari_morse.model.morse import Morse


class PolarityCache:
    """Which scans were read inverted, of those used last: found out once, a scan is read once from then on."""

    def __init__(self, most: int = 64) -> None:
        self._most, self._known = most, OrderedDict[str, bool]()
        self._lock = Lock()

    def get(self, key: str) -> bool | None:
        """None for a scan that is not known."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def put(self, key: str, inverted: bool) -> None:
        """Remember one; the oldest is forgotten."""
        with self._lock:
            self._known[key] = inverted
            while len(self._known) > self._most:
                self._known.popitem(last=False)


polarity_cache = PolarityCache()
"""Of this process."""


def polarity_key(digest: str, stack: NDArray[np.float32], spacing: tuple[float, ...]) -> str:
    """Of a stack as the model with that digest reads it."""
    values = hashlib.blake2b(np.ascontiguousarray(stack).data, digest_size=16).hexdigest()
    # The card's digest, not the weights': a model tuned from another may hold its weights and read another contrast.
    return f"{digest} {stack.shape} {spacing} {values}"


def choose_polarity(
    net: Morse,
    stack: NDArray[np.float32],
    frame: WorkFrame,
    tick: Tick | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[bool, CoarsePass]:
    """The coarse pass over a stack, or over its inverse where the recipe reads either contrast and is surer of it.

    The inverse is taken only where more is marked in it, too: a few cells of which a network is sure are no structure.

    Returns
    -------
    inverted : bool
        Whether grey levels were inverted.
    done : CoarsePass
        Of what was read.
    """
    if net.recipe.contrast == "as_is":
        return False, coarse_pass(net, stack, frame, tick, cancelled)
    plain = coarse_pass(net, stack, frame, _half(tick, 0), cancelled)
    sure, marked = confidence(plain)
    inverse = coarse_pass(net, -stack, frame, _half(tick, 1), cancelled)
    surer, more = confidence(inverse)
    inverted = surer > sure and more > marked
    return inverted, inverse if inverted else plain


def confidence(done: CoarsePass) -> tuple[float, int]:
    """Mean probability of what is marked, 0 to 1 (0 where nothing is), and how many cells are marked.

    A network that was trained on one contrast marks something in the other too, but less, and with less conviction.
    """
    marked, total = 0, 0.0
    for logits in done.maps.logits:
        chance, index = logits.softmax(dim=0).max(dim=0)
        marked += int((index > 0).sum())
        total += float(chance[index > 0].sum())
    return total / marked if marked else 0.0, marked


def _half(tick: Tick | None, part: int) -> Tick | None:
    return None if tick is None else lambda done, total: tick(part * max(total, 1) + done, 2 * max(total, 1))
