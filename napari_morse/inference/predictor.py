"""Set a scan, then predict: coarse pass, rendering, and everything put back on the scan's own grid."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from napari_morse.errors import InputError, MemoryBudgetError, MorseError
from napari_morse.geometry.orientation import AXES, RAS, axes_to, oriented
from napari_morse.geometry.resampling import WorkFrame
from napari_morse.inference.devices import point_precision, resolve_device
from napari_morse.inference.domain_check import channel_warnings, out_of_domain_warnings
from napari_morse.inference.engine import CoarsePass, coarse_bytes, coarse_pass, frame_of
from napari_morse.inference.given import NOT_ITS_STRUCTURE_HINT, absent_structures, classes_of, not_found, too_large
from napari_morse.inference.masks import mask_logits
from napari_morse.inference.normalise import normalise
from napari_morse.inference.polarity import choose_polarity, polarity_cache, polarity_key
from napari_morse.inference.postprocess import clean
from napari_morse.inference.prepared import Prepared
from napari_morse.inference.progress import COARSE_SHARE, Progress, teller
from napari_morse.inference.rendering import Rendering, render
from napari_morse.io.guards import MEMORY_VARIABLE, memory_budget
from napari_morse.metrics import doubtful_patches
from napari_morse.types import Array, Label, Mask, Points, Prediction, Roi, Scan
from napari_morse.zoo import LoadedModel

INVERTED_NOTICE = "The grey levels were read inverted: the model is surer of what it finds so."


class Predictor:
    """Runs one model.

    Parameters
    ----------
    model
        As loaded by `zoo.load`.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises
    ------
    InputError
        When the machine has no such device.
    """

    def __init__(self, model: LoadedModel, device: str = "auto") -> None:
        self.model = model
        self.card = model.card
        self.device = resolve_device(device)
        # `to` moves the loaded model's own network: all predictors of one loaded model share it, on one device.
        self.net = model.net.to(self.device).eval()
        self.net.renderer.precision = point_precision(self.device)
        self._set: Prepared | None = None

    def set_scan(self, scan: Scan, roi: Roi | None = None) -> tuple[str, ...]:
        """Read, orient and normalise a scan, or a box of it.

        Parameters
        ----------
        scan
            Any orientation, spacing and real dtype. A 2-D model reads a picture's rows and columns as its plane, a
            scan of one slice along that slice, and other scans slice by slice along its trained axis.
        roi
            Voxels to read, storage order; intensities are normalised within.

        Returns
        -------
        tuple of str
            How the scan differs from what the model was trained on.

        Raises
        ------
        InputError
            When a 3-D model is given a 2-D picture, no voxel is finite, or the model reads another number of channels.
        GeometryError
            When the region does not lie inside the scan.
        """
        begun = time.perf_counter()
        if roi is not None:
            roi.check(scan.grid.shape)
        self._check_channels(scan)
        axes = axes_to(scan.grid, RAS)
        box = (...,) if roi is None else axes.roi_to_view(roi).slices
        images = [normalise(axes.to_view(channel)[box], self.card.intensity) for channel in scan.channels]
        image = replace(images[0], flat=all(each.flat for each in images))
        slice_axis = self._slice_axis(scan, image.pixels.shape)
        spacing = oriented(scan.grid, axes).spacing
        stacks = [
            each.pixels[None] if slice_axis is None else np.moveaxis(each.pixels, slice_axis, 0) for each in images
        ]
        stack = stacks[0] if len(stacks) == 1 else np.stack(stacks, axis=1)
        plane = tuple(s for a, s in enumerate(spacing) if a != slice_axis)
        unsized = scan.is_picture and not scan.size_known
        if unsized:
            # The 1 mm of such a picture is an assumption; at the model's own spacing its pixels are not resampled.
            plane = self.card.spacing
        extent = tuple(n * s for n, s in zip(stacks[0].shape[1:], plane, strict=True))
        warnings = out_of_domain_warnings(self.card, plane, extent, image, unsized, roi is not None)
        warnings += channel_warnings(self.card, images[1:])
        seconds = time.perf_counter() - begun
        pixels, polarity_chosen = np.ascontiguousarray(stack), self.net.recipe.contrast == "as_is" or image.flat
        self._set = Prepared(scan, roi, axes, slice_axis, image, pixels, plane, warnings, seconds, polarity_chosen)
        return warnings

    @property
    def ready(self) -> Prepared:
        """The scan that was set.

        Raises
        ------
        MorseError
            None was.
        """
        if self._set is None:
            raise MorseError("No scan was set.", "Call set_scan first.")
        return self._set

    def _check_channels(self, scan: Scan) -> None:
        wanted, given = self.card.channels, len(scan.channels)
        if given != len(wanted):
            images = "one image" if len(wanted) == 1 else f"{len(wanted)} images ({', '.join(wanted)})"
            raise InputError(
                f"The model {self.card.name!r} reads {images} per case, and {scan.stem!r} has {given}.",
                "Choose a layer for each channel; to `napari-morse predict` give numbered files on one grid."
                if len(wanted) > 1 else "Choose another model, or give one image.",
            )  # fmt: skip

    def _slice_axis(self, scan: Scan, shape: tuple[int, ...]) -> int | None:
        thin = [axis for axis, n in enumerate(shape) if n == 1]
        if self.card.slice_axis is None:
            if thin and scan.is_picture:
                raise InputError(
                    f"The model {self.card.name!r} reads volumes, and {scan.stem!r} is a picture.",
                    "Choose a 2-D model.",
                )
            return None
        return thin[0] if len(thin) == 1 else AXES[self.card.slice_axis]

    def predict(
        self,
        progress: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        coarse: Mask | None = None,
        strict: bool = False,
    ) -> Prediction:
        """Both masks of the scan that was set.

        Parameters
        ----------
        progress
            Told after every window and block of points, and before and after the boundary is cut into patches.
        cancelled
            Asked before every window, block and patch; True ends the run.
        coarse
            A mask on the scan's grid, painted or of another program, that is rendered instead of the model's own
            coarse mask; its labels are the model's. Voxels up to 4 working voxels from its borders may change.
        strict
            Refuse a given mask that cannot be the model's structure: larger than any training scan, or where the model
            itself finds nothing. Else this is said in ``warnings``.

        Returns
        -------
        Prediction
            On the scan's own grid; outside the region everything is 0.

        Raises
        ------
        CancelledError
            When ``cancelled`` said so.
        MemoryBudgetError
            When the working grid needs more than the budget: very long voxels, or a very large scan.
        GeometryError
            When the given mask does not lie on the scan's grid.
        InputError
            When the given mask holds a label that the model does not know, or, with ``strict``, is another structure.
        MorseError
            When no scan was set, or the network's output is not finite.
        """
        ready = self.ready
        begun = time.perf_counter()
        share = COARSE_SHARE / self.net.recipe.render.looks
        doubts = () if coarse is None else self._doubts(ready, coarse, strict)
        ready, done = self._read(ready, coarse, teller("coarse", share, progress), cancelled)
        nowhere = "" if ready.image.flat else not_found(self.card, done.found_share)
        if nowhere and strict:
            raise InputError(nowhere, NOT_ITS_STRUCTURE_HINT)
        ready = replace(ready, warnings=(*ready.warnings, *doubts, *((nowhere,) if nowhere else ())))
        between = time.perf_counter()
        rendering = render(self.net, done, teller("render", share, progress), cancelled)
        # NaN wins no comparison: it would come out as background, an empty mask without an error.
        if not rendering.finite:
            raise MorseError(f"The model {self.card.name!r} gave numbers that are not finite.", "Try another model.")
        seconds = {"prepare": ready.seconds, "coarse": between - begun, "render": time.perf_counter() - between}
        return self._collect(ready, rendering, seconds, done.given, teller("patches", share, progress), cancelled)

    def _given(self, ready: Prepared, mask: Mask) -> torch.Tensor:
        """A mask in storage order → (C, B, *space) logits of the stack that the engine reads."""
        count = len(self.card.labels) + 1
        steps = tuple(s / t for s, t in zip(ready.spacing, self.card.spacing, strict=True))
        return torch.stack([mask_logits(p, count, steps) for p in classes_of(self.card, ready, mask)], dim=1)

    def _doubts(self, ready: Prepared, mask: Mask, strict: bool) -> tuple[str, ...]:
        """What is odd about a given mask, before anything is read."""
        classes = classes_of(self.card, ready, mask)
        unsized = ready.scan.is_picture and not ready.scan.size_known
        large = too_large(self.card, classes, ready.spacing, unsized)
        if large and strict:
            raise InputError(large, NOT_ITS_STRUCTURE_HINT)
        return (*((large,) if large else ()), *absent_structures(self.card, classes))

    def _read(
        self, ready: Prepared, mask: Mask | None, tick: Callable[[int, int], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> tuple[Prepared, CoarsePass]:  # fmt: skip
        """The coarse pass, and the scan as it was read."""
        done = None
        if not ready.polarity_chosen:
            ready, done = self._choose_polarity(ready, self._frame(ready, mask is not None), tick, cancelled)
        if done is None or mask is not None:
            done = self._coarse(ready, mask, tick, cancelled)
        return ready, done

    def _coarse(
        self,
        ready: Prepared,
        mask: Mask | None,
        tick: Callable[[int, int], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> CoarsePass:
        frame = self._frame(ready, mask is not None)
        given = None if mask is None else self._given(ready, mask)
        return coarse_pass(self.net, ready.stack, frame, tick, cancelled, given)

    def _frame(self, ready: Prepared, given: bool) -> WorkFrame:
        """Where the coarse pass works, if the memory suffices for it."""
        frame = frame_of(ready.stack, ready.spacing, self.card.spacing, self.net)
        # Before the pass allocates anything: a wrong voxel size in a header asks for a working grid of any size.
        needed, budget = coarse_bytes(self.net, frame, len(ready.stack), given), memory_budget()
        if needed > budget:
            raise MemoryBudgetError(
                f"At the model's spacing the scan needs {needed / 1e9:.3g} GB of memory; the budget is "
                f"{budget / 1e9:.3g} GB.",
                f"Check its voxel size, draw a region of interest, or set {MEMORY_VARIABLE} higher.",
            )
        return frame

    def choose_polarity(self, ready: Prepared, cancelled: Callable[[], bool] | None = None) -> Prepared:
        """A scan that was set, with inverted grey levels where the model reads either and is surer so.

        Raises
        ------
        CancelledError, MemoryBudgetError
            As `predict`.
        """
        return (
            ready
            if ready.polarity_chosen
            else self._choose_polarity(ready, self._frame(ready, False), None, cancelled)[0]
        )

    def _choose_polarity(
        self, ready: Prepared, frame: WorkFrame, tick: Callable[[int, int], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> tuple[Prepared, CoarsePass | None]:  # fmt: skip
        """The scan as the model is surer of it, and the coarse pass over it where that had to be found out."""
        key, done = polarity_key(self.model.digest, ready.stack, ready.spacing), None
        inverted = polarity_cache.get(key)
        if inverted is None:
            inverted, done = choose_polarity(self.net, ready.stack, frame, tick, cancelled)
            polarity_cache.put(key, inverted)
        prepared = replace(ready, polarity_chosen=True)
        if inverted:
            prepared = replace(prepared, stack=-ready.stack, warnings=(*ready.warnings, INVERTED_NOTICE))
        # Another scan may be set by now: a `LocalRenderer` goes on with its own.
        if self._set is ready:
            self._set = prepared
        return prepared, done

    def _finished(self, ready: Prepared, rendering: Rendering, given: bool) -> tuple[NDArray[np.integer], ...]:
        """Both masks, post-processed; a mask that was given is its maker's, and nothing is taken out of it."""
        masks = rendering.coarse, rendering.rendered
        if given:
            return masks if not ready.image.flat else masks[:1] * 2
        volume = ready.scan.grid.voxel_volume
        return tuple(clean(_blank_if(ready.image.flat, mask), volume, self.card) for mask in masks)

    def _collect(
        self,
        ready: Prepared,
        rendering: Rendering,
        seconds: dict[str, float],
        given: bool,
        tick: Callable[[int, int], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Prediction:
        coarse, rendered = self._finished(ready, rendering, given)
        labels = tuple(Label(e.id, e.name, e.color, e.code) for e in self.card.labels)
        ids = np.array([0, *(label.id for label in labels)])
        masks = [
            Mask(_smallest(self._on_scan_grid(ready, ids[m])), ready.scan.grid, labels, ready.scan.header)
            for m in (coarse, rendered)
        ]
        kept_notices = () if ready.image.flat else _kept(rendering, labels)
        # `rendered` as it was cleaned, not `rendering.rendered`: where an island was taken out, the background given
        # instead is what may be wrong.
        doubt, error = _doubt(rendering, rendered, self.card.temperature, ready.image.flat)
        points = self._points(ready, rendering, masks[0].data, masks[1].data)
        begun = time.perf_counter()
        sliced = None if ready.slice_axis is None else int(ready.axes.order[ready.slice_axis])
        if tick is not None:
            tick(0, 1)
        patches = doubtful_patches(
            masks[1].data, self._on_scan_grid(ready, error), ready.scan.grid, sliced, ready.roi, cancelled
        )
        if tick is not None:
            tick(1, 1)
        seconds["patches"] = time.perf_counter() - begun
        seconds["total"] = sum(seconds.values())
        return Prediction(
            masks[0], masks[1], self._on_scan_grid(ready, doubt), points, self.card.name, self.model.digest, ready.roi,
            MappingProxyType(seconds), ready.warnings + kept_notices, patches,
        )  # fmt: skip

    def _on_scan_grid(self, ready: Prepared, stack: Array) -> Array:
        """(B, *space) stack → (I, J, K) on the scan's grid."""
        canonical = stack[0] if ready.slice_axis is None else np.moveaxis(stack, 0, ready.slice_axis)
        if ready.roi is None:
            return np.ascontiguousarray(ready.axes.to_storage(canonical))
        whole = np.zeros(tuple(ready.scan.grid.shape[a] for a in ready.axes.order), dtype=stack.dtype)
        whole[ready.axes.roi_to_view(ready.roi).slices] = canonical
        return np.ascontiguousarray(ready.axes.to_storage(whole))

    def _points(self, ready: Prepared, rendering: Rendering, before: Array, after: Array) -> Points:
        """Re-predicted voxels in storage order, most doubtful after rendering first."""
        margin = rendering.point_margin
        # Stable: equal margins keep their order, and the same scan gives the same table.
        order = np.argsort(margin, kind="stable")
        if ready.image.flat:
            order = order[:0]
        slices, *axes_ras = rendering.voxel_stack[order].T
        if ready.slice_axis is not None:
            axes_ras.insert(ready.slice_axis, slices)
        voxel_ras = np.stack(axes_ras, axis=1)
        if ready.roi is not None:
            voxel_ras = voxel_ras + np.array(ready.axes.roi_to_view(ready.roi).start)
        voxel_ijk = ready.axes.index_to_storage(voxel_ras).astype(np.int64)
        affine = ready.scan.grid.affine
        index = tuple(voxel_ijk.T)
        return Points(
            voxel_ijk,
            voxel_ijk @ affine[:3, :3].T + affine[:3, 3],
            margin[order].astype(np.float32),
            before[index].astype(np.uint16),
            after[index].astype(np.uint16),
            rendering.weights[order].astype(np.float32),
            self.net.experts,
        )


def _kept(rendering: Rendering, labels: tuple[Label, ...]) -> tuple[str, ...]:
    names = [labels[index - 1].name for index in rendering.kept_classes]
    return tuple(f"Rendering left nothing of “{name}”: its coarse voxels were kept. Look at them." for name in names)


def _blank_if(flat: bool, mask: NDArray[np.integer]) -> NDArray[np.integer]:
    return np.zeros_like(mask) if flat else mask


def _smallest(mask: Array) -> Array:
    return mask.astype(np.min_scalar_type(int(mask.max(initial=0))))


def _doubt(
    rendering: Rendering, given: NDArray[np.integer], temperature: float, flat: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """1 − (largest − second largest probability), and 1 − that of the class given."""
    if flat:
        nothing = np.zeros(given.shape, np.float32)
        return nothing, nothing
    return rendering.doubt(temperature), rendering.error(given, temperature)
