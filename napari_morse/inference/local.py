"""A rough mask in, a sharp edge out, in a box of the scan: decoder maps are kept, only the boundary is read again.

The mask itself is the coarse map, as in `Predictor.predict(coarse=…)`. What the backbone saw is kept for parts of the
scan, the ones used last, so that a second stroke beside the first costs what its boundary costs.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock, Thread

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_morse.errors import GeometryError
from napari_morse.inference.engine import CoarsePass, coarse_pass, frame_of
from napari_morse.inference.masks import DOUBTED, SATURATION_DISTANCE, mask_logits
from napari_morse.inference.predictor import Predictor
from napari_morse.inference.prepared import Prepared
from napari_morse.inference.rendering import render_places
from napari_morse.inference.voxel_scan import scan_margins
from napari_morse.model.backbones import interpolated
from napari_morse.types import Array, Roi

PART_CACHE = 10**9
"""Bytes of decoder maps that are kept."""
PART_CONTEXT = 0.25
"""Share of a training window that is read around a box, so that its edge is not the image's."""

Bounds = tuple[tuple[int, ...], tuple[int, ...]]
"""First slice and voxel, and the ends, in the stack that the engine reads: (B, *space)."""


@dataclass(frozen=True, eq=False)
class _Part:
    """What the backbone saw in a part of the stack; boxes inside ``core`` have all the context that there is."""

    outer: Bounds
    core: Bounds
    done: CoarsePass

    def holds(self, box: Bounds) -> bool:
        return all(a <= b for a, b in zip(self.core[0], box[0], strict=True)) and all(
            a >= b for a, b in zip(self.core[1], box[1], strict=True)
        )

    @property
    def bytes(self) -> int:
        tensors = (*self.done.maps.features, self.done.maps.logits, self.done.work, self.done.native.pixels)
        return sum(t.numel() * t.element_size() for t in tensors)


@dataclass(frozen=True, eq=False)
class _Painted(CoarsePass):
    """A kept part, with the logits of a mask known in a box of it only."""

    painted: Tensor | None = None
    """(C, b, *box)."""
    start: tuple[int, ...] = ()
    """(d,) first voxel of the box in the part."""
    first: int = 0
    """First image of the box in the part."""

    def logits_in(self, image: int, box: tuple[slice, ...]) -> Tensor:
        """Continued past the painted box by its edge, from where nothing is predicted."""
        if self.painted is None:
            return super().logits_in(image, box)
        at = [self.frame.to_native(np.arange(s.start, s.stop), axis) - self.start[axis] for axis, s in enumerate(box)]
        inside = min(max(image - self.first, 0), self.painted.shape[1] - 1)
        cells = [torch.from_numpy(a).to(self.painted.device) for a in at]
        return interpolated(self.painted[None, :, inside], cells)


class LocalRenderer:
    """Renders the boundary of a mask again, box by box, on the scan that a `Predictor` was given.

    Safe to call from several threads; one call runs at a time.

    Parameters
    ----------
    predictor
        After `Predictor.set_scan`. Its model should have met rough masks in training (``train.rough``); others may make
        a good stroke worse.
    cache
        Bytes of decoder maps to keep.
    """

    def __init__(self, predictor: Predictor, cache: int = PART_CACHE) -> None:
        self._predictor, self._cache = predictor, cache
        self._ready: Prepared = predictor.ready
        self._parts: OrderedDict[Bounds, _Part] = OrderedDict()
        self._lock = Lock()
        self._ids = np.array([0, *(entry.id for entry in predictor.card.labels)])

    @property
    def kept_bytes(self) -> int:
        """Bytes of decoder maps that are kept now."""
        return sum(part.bytes for part in self._parts.values())

    def warm(self, box: Roi, cancelled: Callable[[], bool] | None = None) -> None:
        """Read what a box needs, so that `sharpen` in it is quick."""
        stack = self._box_of(box)
        if stack is not None:
            with self._lock, _one_core_left():
                self._part(stack, cancelled)

    def sharpen(
        self,
        mask: Array,
        box: Roi,
        strength: float = 1.0,
        cancelled: Callable[[], bool] | None = None,
    ) -> Array:
        """The labels of a box with its boundary rendered again from the mask.

        Parameters
        ----------
        mask
            (I, J, K) integers on the scan's grid, storage order. Labels that the model does not know are read as
            background, and stay, as does what lies within `DOUBTED` voxels of them.
        box
            Voxels that may change, storage order. Only those within `DOUBTED` working voxels of a border do.
        strength
            0 to 1: how far the new logits go from those of the mask; 0 leaves the mask as it is.
        cancelled
            Asked between blocks of work.

        Returns
        -------
        Array
            Of the box's shape and the mask's dtype.

        Raises
        ------
        CancelledError
            When ``cancelled`` said so.
        GeometryError
            The mask is not of the scan's shape, or the box is not inside.
        """
        if mask.shape != self._ready.scan.grid.shape:
            raise GeometryError(f"A mask of shape {mask.shape} on a scan of {self._ready.scan.grid.shape}.")
        box.check(mask.shape)
        # A copy: the result is a proposal, and the mask itself is not written to.
        painted = np.array(mask[box.slices])
        stack = self._box_of(box)
        if stack is None or strength <= 0:
            return painted
        with self._lock, _one_core_left():
            part = self._part(stack, cancelled)
            labels = self._rendered(part, self._classes(mask), stack, strength, cancelled)
        # A view: what is written into it lands in `painted`, which is returned.
        canonical = self._in_ras(painted)
        inside = self._inside(box)
        ids = self._ids[labels].astype(mask.dtype)
        free = self._in_ras(self._free(mask, box))[inside]
        canonical[inside] = np.where(free, self._from_stack(ids), canonical[inside])
        return painted

    def _free(self, mask: Array, box: Roi) -> Array:
        """Where in a box labels may change: not in structures that the model does not know, nor along their borders.

        It reads them as background: what lies beside them has no border there that the image could show.
        """
        reach = math.ceil(DOUBTED)
        around = box.grown(reach, mask.shape)
        unknown = ~np.isin(mask[around.slices], self._ids)
        if unknown.any():
            unknown = ndimage.binary_dilation(unknown, np.ones((3, 3, 3)), iterations=reach)
        inner = tuple(slice(a - c, b - c) for a, b, c in zip(box.start, box.stop, around.start, strict=True))
        return np.asarray(~unknown[inner])

    # Between storage order, RAS order and the engine's stack

    def _box_of(self, box: Roi) -> Bounds | None:
        """A box of the scan in the engine's stack, as far as it lies in the region that was read."""
        ready = self._ready
        box_ras = ready.axes.roi_to_view(box)
        start, stop = np.array(box_ras.start), np.array(box_ras.stop)
        if ready.roi is not None:
            read_ras = ready.axes.roi_to_view(ready.roi)
            start = np.maximum(start, read_ras.start) - read_ras.start
            stop = np.minimum(stop, read_ras.stop) - read_ras.start
        if (start >= stop).any():
            return None
        if ready.slice_axis is None:
            return (0, *map(int, start)), (1, *map(int, stop))
        order = [ready.slice_axis, *(a for a in range(3) if a != ready.slice_axis)]
        return tuple(int(start[a]) for a in order), tuple(int(stop[a]) for a in order)

    def _inside(self, box: Roi) -> tuple[slice, ...]:
        """Of a box in RAS order, the part that lies in the region that was read."""
        ready = self._ready
        box_ras = ready.axes.roi_to_view(box)
        if ready.roi is None:
            return (slice(None),) * 3
        read_ras = ready.axes.roi_to_view(ready.roi)
        ends = zip(box_ras.start, box_ras.stop, read_ras.start, read_ras.stop, strict=True)
        return tuple(slice(max(a, c) - a, min(b, d) - a) for a, b, c, d in ends)

    def _in_ras(self, part: Array) -> Array:
        """A box in storage order as a view in RAS order."""
        box_ras: Array = self._ready.axes.to_view(part)
        return box_ras

    def _from_stack(self, labels: Array) -> Array:
        slice_axis = self._ready.slice_axis
        return labels[0] if slice_axis is None else np.moveaxis(labels, 0, slice_axis)

    def _classes(self, mask: Array) -> Callable[[Bounds], NDArray[np.int64]]:
        """Reads class indices in a box of the stack."""
        ready = self._ready
        canonical = ready.axes.to_view(mask)
        if ready.roi is not None:
            canonical = canonical[ready.axes.roi_to_view(ready.roi).slices]
        stack = canonical[None] if ready.slice_axis is None else np.moveaxis(canonical, ready.slice_axis, 0)

        def read(box: Bounds) -> NDArray[np.int64]:
            part = stack[tuple(slice(a, b) for a, b in zip(*box, strict=True))]
            classes = np.zeros(part.shape, np.int64)
            for index, number in enumerate(self._ids[1:], start=1):
                classes[part == number] = index
            return classes

        return read

    # What the backbone saw

    def _part(self, box: Bounds, cancelled: Callable[[], bool] | None) -> _Part:
        for key in reversed(self._parts):
            if self._parts[key].holds(box):
                self._parts.move_to_end(key)
                return self._parts[key]
        part = self._read(box, cancelled)
        self._parts[part.outer] = part
        # The part just read stays, however large: it is the one that is asked for.
        while len(self._parts) > 1 and self.kept_bytes > self._cache:
            self._parts.popitem(last=False)
        return part

    def _read(self, box: Bounds, cancelled: Callable[[], bool] | None) -> _Part:
        net, card = self._predictor.net, self._predictor.card
        # The whole scan's contrast, found once: parts judged one by one could be read in different ones.
        ready = self._ready = self._predictor.choose_polarity(self._ready, cancelled)
        outer, core = self._around(box)
        slices, *space = (slice(a, b) for a, b in zip(*outer, strict=True))
        channels = [slice(None)] * (ready.stack.ndim - 1 - len(space))
        pixels = ready.stack[(slices, *channels, *space)]
        frame = frame_of(pixels, ready.spacing, card.spacing, net)
        done = coarse_pass(net, np.ascontiguousarray(pixels), frame, None, cancelled)
        # Logits come from the painted mask; the backbone's, at the scan's own resolution, would fill the cache unread.
        nothing = done.logits.new_empty(0)
        return _Part(outer, core, replace(done, logits=nothing))

    def _around(self, box: Bounds) -> tuple[Bounds, Bounds]:
        """The part to read for a box: a training window at least, and context; and its core."""
        ready, recipe = self._ready, self._predictor.card.recipe
        dims = len(ready.spacing)
        length = (ready.stack.shape[0], *ready.stack.shape[-dims:])
        ends = [(box[0][0], box[1][0], box[0][0], box[1][0])]
        sizes = zip(ready.spacing, self._predictor.card.spacing, recipe.train.window, strict=True)
        for axis, (own, target, window) in enumerate(sizes, start=1):
            span = math.ceil(window * target / own)
            ends.append(_spread(box[0][axis], box[1][axis], span, math.ceil(PART_CONTEXT * span), length[axis]))
        low, high, first, last = zip(*ends, strict=True)
        return (low, high), (first, last)

    # Rendering

    def _rendered(
        self,
        part: _Part,
        classes: Callable[[Bounds], NDArray[np.int64]],
        box: Bounds,
        strength: float,
        cancelled: Callable[[], bool] | None,
    ) -> NDArray[np.int64]:
        """(b, *box) class indices."""
        card, net = self._predictor.card, self._predictor.net
        steps = tuple(s / t for s, t in zip(self._ready.spacing, card.spacing, strict=True))
        crop = self._crop(part, box, steps)
        given = classes(crop)
        logits = torch.stack([mask_logits(one, len(self._ids), steps) for one in given], dim=1)
        logits = logits.to(part.done.work.device)
        inner = tuple(slice(a - c, b - c) for a, b, c in zip(*box, crop[0], strict=True))
        near = scan_margins(logits[(slice(None), *inner)].contiguous(), DOUBTED).indices
        labels: NDArray[np.int64] = given[inner].copy()
        if not len(near):
            return labels
        in_box = torch.stack(torch.unravel_index(near, labels.shape), dim=1)
        shift = torch.tensor([a - o for a, o in zip(box[0], part.outer[0], strict=True)], device=in_box.device)
        offset = torch.tensor([s.start for s in inner], device=in_box.device)
        rows = logits.movedim(0, -1)[torch.unbind(in_box + offset, 1)].contiguous()
        in_stack = in_box + shift
        painted = self._painted(part, logits, crop)
        again, _ = render_places(
            net, painted, in_stack[:, 0], in_stack[:, 1:], lambda some: rows[some], None, cancelled
        )
        mixed = rows + strength * (again - rows)
        labels[tuple(in_box.T.cpu().numpy())] = mixed.argmax(dim=1).cpu().numpy()
        return labels

    @staticmethod
    def _crop(part: _Part, box: Bounds, steps: tuple[float, ...]) -> Bounds:
        """The box with as much around it as distances are looked at, inside the part."""
        low, high = [box[0][0]], [box[1][0]]
        for axis, step in enumerate(steps, start=1):
            # A border outside the box moves the distances, and so the logits, inside it.
            reach = math.ceil(SATURATION_DISTANCE / step) + 1
            low.append(max(part.outer[0][axis], box[0][axis] - reach))
            high.append(min(part.outer[1][axis], box[1][axis] + reach))
        return tuple(low), tuple(high)

    @staticmethod
    def _painted(part: _Part, logits: Tensor, crop: Bounds) -> _Painted:
        done, outer = part.done, part.outer
        start = tuple(a - o for a, o in zip(crop[0][1:], outer[0][1:], strict=True))
        return _Painted(
            done.maps, done.frame, done.native, done.work, done.logits, True,
            painted=logits, start=start, first=crop[0][0] - outer[0][0],
        )  # fmt: skip


@contextmanager
def _one_core_left() -> Iterator[None]:
    """Leave a core to the window, on which strokes go on.

    Each of the many short steps waits for its slowest thread: with as many threads as cores, one busy core makes a
    stroke wait ten times as long.
    """
    usual = torch.get_num_threads()
    if usual == 1:
        yield
        return
    torch.set_num_threads(usual - 1)
    # A thread that begins takes over what was set last, by whomever: that must be the usual number.
    other = Thread(target=torch.set_num_threads, args=(usual,))
    other.start()
    other.join()
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _spread(low: int, high: int, span: int, context: int, length: int) -> tuple[int, int, int, int]:
    """Ends of the part and of its core along an axis of ``length`` voxels."""
    if length <= span + 2 * context:
        return 0, length, 0, length
    more = max(0, span - (high - low))
    first = max(0, low - more // 2)
    last = min(length, max(high, first + span))
    first = max(0, min(first, last - span))
    return max(0, first - context), min(length, last + context), first, last
