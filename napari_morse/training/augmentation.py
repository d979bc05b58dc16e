"""One training sample: a case moved, bent, blurred and shaded at random by MONAI's transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import set_track_meta
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandGridDistortiond,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSimulateLowResolutiond,
)
from numpy.typing import NDArray
from torch import Tensor

IMAGE, LABELS = "image", "labels"
MARGIN = 1.4
"""A crop is this much larger than the window, so that turning it brings no empty corners in."""


@dataclass(frozen=True)
class Motion:
    """How far a sample is moved: radians, share of its size, voxels."""

    turn: float
    scale: float
    shear: float
    shift: float


GENTLE = Motion(turn=0.12, scale=0.1, shear=0.03, shift=3.0)
"""Scans as they come."""
STRONG = Motion(turn=0.4, scale=0.2, shear=0.1, shift=5.0)
"""Tilted by up to 23°, so that an oblique scan is nothing new."""


def make_transform(window: tuple[int, ...], motion: Motion, fill: str, mirror: bool = True) -> Compose:
    """Augmentation of {image (channels, *space) float32, labels (1, *space)} to ``window``.

    ``fill`` is MONAI's padding mode. Mirroring is along the first axis, which ``mirror`` says is left-right.
    """
    dims = len(window)
    both = [IMAGE, LABELS]
    shared: dict[str, Any] = {"mode": ["bilinear", "nearest"], "padding_mode": fill}
    blur: dict[str, Any] = dict.fromkeys(("sigma_x", "sigma_y", "sigma_z"), (0.4, 1.0))
    upsample = "trilinear" if dims == 3 else "bilinear"
    return Compose(
        [
            RandFlipd(both, prob=0.5 if mirror else 0.0, spatial_axis=0),
            RandAffined(
                both,
                prob=1.0,
                rotate_range=(motion.turn,) * (3 if dims == 3 else 1),
                scale_range=(motion.scale,) * dims,
                shear_range=(motion.shear,) * (6 if dims == 3 else 2),
                translate_range=(motion.shift,) * dims,
                spatial_size=window,
                **shared,
            ),
            RandGridDistortiond(both, num_cells=4, prob=0.15, distort_limit=0.15, **shared),
            RandGaussianSmoothd([IMAGE], prob=0.1, **blur),
            RandSimulateLowResolutiond([IMAGE], prob=0.1, zoom_range=(0.5, 1.0), upsample_mode=upsample),
            RandBiasFieldd([IMAGE], prob=0.15, degree=2, coeff_range=(-0.2, 0.2)),
            RandAdjustContrastd([IMAGE], prob=0.25, gamma=(0.7, 1.5)),
            RandScaleIntensityd([IMAGE], prob=0.3, factors=0.15),
            RandShiftIntensityd([IMAGE], prob=0.3, offsets=0.15),
            RandGaussianNoised([IMAGE], prob=0.2, std=0.15),
        ]
    )


class Augmenter:
    """Draws samples; the same seed gives the same sample, whenever it is asked for.

    Parameters
    ----------
    window
        Voxels of a sample.
    mirror
        Whether the first axis is left-right, and samples are mirrored along it; sagittal slices have none such.
    """

    def __init__(self, window: tuple[int, ...], mirror: bool = True) -> None:
        self.window = window
        # Half of the samples see the scan's edge continued, half see it end in black: both occur in resampled scans.
        self.transforms = [
            make_transform(window, motion, fill, mirror) for motion in (GENTLE, STRONG) for fill in ("border", "zeros")
        ]

    def __call__(
        self, image: NDArray[np.float32], labels: NDArray[np.unsignedinteger], seed: tuple[int, ...],
        centre_on: NDArray[np.bool_] | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """(*space) or (channels, *space) image, (*space) classes → (channels, *window) float32, (*window) int64.

        ``centre_on`` (*space) says where crops of larger scans lie two times in three; the labelled voxels without it.
        """
        rng = np.random.default_rng(seed)
        centre = self._centre(labels if centre_on is None else centre_on, rng)
        image, labels = crop_around(image, labels, centre, self._reach())
        channels = image.reshape(-1, *labels.shape)
        # MONAI fills with 0, which in a normalised scan is a middle grey: the darkest value is moved to 0 and back.
        black = channels.min(axis=tuple(range(1, channels.ndim)), keepdims=True)
        transform = self.transforms[int(rng.integers(len(self.transforms)))]
        transform.set_random_state(int(rng.integers(2**31)))
        set_track_meta(False)
        sample = transform(
            # MONAI resamples floats alone; float32 holds class + 256 · code exactly.
            {IMAGE: torch.from_numpy(channels - black), LABELS: torch.from_numpy(labels.astype(np.float32))[None]}
        )
        return sample[IMAGE].float() + torch.from_numpy(black), sample[LABELS][0].round().long()

    def _reach(self) -> tuple[int, ...]:
        return tuple(int(MARGIN * n) for n in self.window)

    def _centre(self, labels: NDArray[Any], rng: np.random.Generator) -> tuple[int, ...]:
        """The middle of scans that fit the window; else a labelled voxel two times in three, any voxel otherwise."""
        fits = all(n <= w * MARGIN for n, w in zip(labels.shape, self.window, strict=True))
        if fits:
            return tuple(n // 2 for n in labels.shape)
        inside = np.flatnonzero(labels) if rng.random() < 2 / 3 else np.empty(0, np.int64)
        flat = rng.choice(inside) if inside.size else rng.integers(labels.size)
        return tuple(int(v) for v in np.unravel_index(flat, labels.shape))


def crop_around(
    image: NDArray[np.float32], labels: NDArray[np.unsignedinteger], centre: tuple[int, ...], reach: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.unsignedinteger]]:
    """A box of at most ``reach`` voxels around ``centre``, cut where the scan ends."""
    starts = [max(0, min(c - r // 2, n - r)) for c, r, n in zip(centre, reach, labels.shape, strict=True)]
    box = tuple(slice(s, s + r) for s, r in zip(starts, reach, strict=True))
    everywhere: tuple[Any, ...] = (..., *box)
    return image[everywhere].copy(), labels[box].copy()
