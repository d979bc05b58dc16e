"""Small pictures for reports, as bytes."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_morse.types import Array


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """A picture (rows, columns, 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def slice_picture(scan: Array, mask: Array, before: Array | None, widest: int = 160) -> NDArray[np.uint8]:
    """A slice in grey with the outline of a mask in yellow, and in red what it was before and is no more.

    Parameters
    ----------
    scan, mask, before
        (rows, columns) of one slice; ``before`` is another mask, or None.
    widest
        Pixels of the longer side; larger slices are thinned out, smaller ones stay.

    Returns
    -------
    ndarray
        (rows, columns, 3) uint8.
    """
    finite = scan[np.isfinite(scan)]
    low, high = (float(v) for v in np.percentile(finite, (1, 99))) if len(finite) else (0.0, 1.0)
    grey = np.nan_to_num((scan.astype(np.float64) - low) / max(high - low, 1e-9), nan=0.0, posinf=1.0, neginf=0.0)
    pixels = np.repeat((np.clip(grey, 0, 1) * 255).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
    if before is not None:
        pixels[_outline(before)] = (220, 60, 60)
    pixels[_outline(mask)] = (255, 210, 0)
    step = -(-max(pixels.shape[:2]) // widest)
    return np.ascontiguousarray(pixels[::step, ::step])


def _outline(mask: Array) -> NDArray[np.bool_]:
    """Pixels of a structure beside another one or the background."""
    padded = np.pad(mask, 1)
    inner = padded[1:-1, 1:-1]
    others = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    edge: NDArray[np.bool_] = np.logical_or.reduce([other != inner for other in others])
    return (inner > 0) & edge
