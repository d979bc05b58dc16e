"""Between a scan's own voxels and the model's working grid.

Both grids share their axes; only spacing and padding differ. Frames: *native* indices of the scan's own voxels,
*work* indices of the padded working grid; voxel i's centre is at i in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_morse.types import Array

SAME_SPACING = 0.02
"""Spacings closer than this (relative) are not resampled: headers carry rounding errors, and resampling blurs."""


@dataclass(frozen=True)
class WorkFrame:
    """How native voxels map into the working grid.

    Parameters
    ----------
    native
        Voxels of the scan along its d axes.
    scale
        Working voxels per native voxel, per axis.
    inner
        Working voxels that the scan covers.
    pad
        Working voxels added before the first one, per axis.
    shape
        Voxels of the padded working grid.
    """

    native: tuple[int, ...]
    scale: tuple[float, ...]
    inner: tuple[int, ...]
    pad: tuple[int, ...]
    shape: tuple[int, ...]

    def to_work(self, native_index: NDArray[np.floating] | NDArray[np.integer], axis: int) -> NDArray[np.float64]:
        """Native indices along one axis → work indices."""
        return (np.asarray(native_index, dtype=np.float64) + 0.5) * self.scale[axis] - 0.5 + self.pad[axis]

    def to_native(self, work_index: NDArray[np.floating] | NDArray[np.integer], axis: int) -> NDArray[np.float64]:
        """Work indices along one axis → native indices."""
        return (np.asarray(work_index, dtype=np.float64) - self.pad[axis] + 0.5) / self.scale[axis] - 0.5

    @property
    def resampled(self) -> bool:
        """Whether the working grid has another spacing than the scan."""
        return any(s != 1.0 for s in self.scale)


def work_frame(
    native: tuple[int, ...],
    spacing: tuple[float, ...],
    target: tuple[float, ...],
    window: tuple[int, ...],
    divisor: int,
) -> WorkFrame:
    """The frame for a scan of ``native`` voxels of ``spacing`` mm in a model that works at ``target`` mm.

    The working grid starts at the scan's first edge, holds at least one ``window``, and is a multiple of ``divisor``
    long, so that every window starts on a cell of every map; the padding is split evenly.
    """
    ratio = [s / t for s, t in zip(spacing, target, strict=True)]
    same = all(abs(r - 1) <= SAME_SPACING for r in ratio)
    scale = tuple(1.0 for _ in ratio) if same else tuple(ratio)
    # 1e-6 less: 2 voxels of 2.1 mm are 14.000000000000002 working voxels of 0.3 mm, and need no 15th.
    inner = tuple(max(1, int(np.ceil(n * r - 1e-6))) for n, r in zip(native, scale, strict=True))
    shape = tuple(max(w, -(-n // divisor) * divisor) for n, w in zip(inner, window, strict=True))
    pad = tuple((s - n) // 2 for s, n in zip(shape, inner, strict=True))
    return WorkFrame(native, scale, inner, pad, shape)


def to_work_grid(image: Array, frame: WorkFrame) -> NDArray[np.float32]:
    """Native image (d axes) → working grid, float32: smoothed where thinned out, cubic, padded with its minimum."""
    work = np.asarray(image, dtype=np.float32)
    if frame.resampled:
        work = _resample(work, frame)
    pads = [(p, s - n - p) for p, n, s in zip(frame.pad, frame.inner, frame.shape, strict=True)]
    return np.pad(work, pads, mode="constant", constant_values=float(work.min()))


def _resample(image: NDArray[np.float32], frame: WorkFrame) -> NDArray[np.float32]:
    for axis, scale in enumerate(frame.scale):
        if scale < 1:
            # Interpolating a thinner grid reads single voxels and skips the rest: what lies between is mixed in first.
            image = ndimage.gaussian_filter1d(image, 0.5 * (1 / scale - 1), axis=axis, mode="nearest")
    step = [1 / scale for scale in frame.scale]
    # A voxel's centre is at its index: the first working voxel's centre lies half a working step from the scan's edge.
    first = [0.5 * s - 0.5 for s in step]
    work: NDArray[np.float32] = ndimage.affine_transform(
        image, step, first, output_shape=frame.inner, output=np.float32, order=3, mode="nearest"
    )
    return work
