"""Small pictures for reports, as bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_morse.types import Array

RgbPixels = NDArray[np.uint8]

COLOUR_BEFORE, COLOUR_NOW = (220, 60, 60), (255, 210, 0)
"""Outlines of a mask as it was, and as it is."""
FRAME, INK = (32, 32, 32), (255, 255, 255)
"""Of the letters' frame; they are read beside bright and dark slices alike, and cover none."""
FRAME_WIDTH, LETTER = 18, 14
"""Pixels of the frame and of a letter."""


def png_bytes(pixels: RgbPixels) -> bytes:
    """A picture (rows, columns, 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def slice_picture(
    scan: Array, mask: Array, before: Array | None, spacing: tuple[float, float] = (1.0, 1.0), longest: int = 200
) -> RgbPixels:
    """A slice in grey with the outline of a mask in yellow, and in red what it was before and is no more.

    Parameters
    ----------
    scan, mask, before
        (rows, columns) of one slice as it is seen; ``before`` is another mask, or None.
    spacing
        Size of a voxel (down, across), in one unit: pixels of the picture are square.
    longest
        Pixels of the longer side.

    Returns
    -------
    ndarray
        (rows, columns, 3) uint8.
    """
    sides = np.array(scan.shape) * spacing
    height, width = (max(1, round(float(side) * longest / float(sides.max()))) for side in sides)
    rows, columns = (_nearest(*pair) for pair in zip(scan.shape, (height, width), strict=True))
    pixels = np.repeat(_grey(scan)[rows][:, columns][:, :, np.newaxis], 3, axis=2)
    if before is not None:
        pixels[_drawn(before, rows, columns)] = COLOUR_BEFORE
    pixels[_drawn(mask, rows, columns)] = COLOUR_NOW
    return pixels


def lettered(pixels: RgbPixels, letters: Sequence[str]) -> RgbPixels:
    """A picture in a frame that says which side is which: letters at the top, bottom, left and right."""
    height, width = pixels.shape[:2]
    framed = Image.new("RGB", (width + 2 * FRAME_WIDTH, height + 2 * FRAME_WIDTH), FRAME)
    framed.paste(Image.fromarray(pixels), (FRAME_WIDTH, FRAME_WIDTH))
    draw, font, half = ImageDraw.Draw(framed), ImageFont.load_default(LETTER), FRAME_WIDTH // 2
    middle, centre = framed.height // 2, framed.width // 2
    positions = ((centre, half), (centre, framed.height - half), (half, middle), (framed.width - half, middle))
    for position, letter in zip(positions, letters, strict=True):
        draw.text(position, letter, INK, font, anchor="mm")
    return np.array(framed)


def _nearest(voxels: int, pixels: int) -> NDArray[np.int64]:
    """(pixels,) the voxel that each pixel's middle lies in."""
    return ((np.arange(pixels) + 0.5) * voxels / pixels).astype(np.int64)


def _grey(scan: Array) -> RgbPixels:
    """From black at the darkest hundredth to white at the brightest."""
    finite = scan[np.isfinite(scan)]
    low, high = (float(v) for v in np.percentile(finite, (1, 99))) if len(finite) else (0.0, 1.0)
    grey = np.nan_to_num((scan.astype(np.float64) - low) / max(high - low, 1e-9), nan=0.0, posinf=1.0, neginf=0.0)
    shades: RgbPixels = (np.clip(grey, 0, 1) * 255).astype(np.uint8)
    return shades


def _drawn(mask: Array, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pixels of the outline, one wide however large a voxel is; where voxels are smaller, none of it is left out."""
    line = _outline(mask[rows][:, columns])
    if line.shape[0] < mask.shape[0] or line.shape[1] < mask.shape[1]:
        at = np.argwhere(_outline(mask)) * line.shape // mask.shape
        line[tuple(at.T)] = True
    return line


def _outline(mask: Array) -> NDArray[np.bool_]:
    """Pixels of a structure beside another one or the background."""
    padded = np.pad(mask, 1)
    inner = padded[1:-1, 1:-1]
    others = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    edge: NDArray[np.bool_] = np.logical_or.reduce([other != inner for other in others])
    return (inner > 0) & edge
