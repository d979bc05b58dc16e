"""One training sample: a case moved, bent, blurred and shaded at random by MONAI's transforms."""

from __future__ import annotations

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


def make_transform(window: tuple[int, ...], fill: str) -> Compose:
    """Augmentation of {image (1, *space) float32, labels (1, *space)} to ``window``; ``fill`` is MONAI's padding mode.

    Mirroring is along the first axis (left-right) only. Rotations reach 23°, so that a tilted head is nothing new.
    """
    dims = len(window)
    both = [IMAGE, LABELS]
    shared: dict[str, Any] = {"mode": ["bilinear", "nearest"], "padding_mode": fill}
    turns = (0.4,) * 3 if dims == 3 else (0.4,)
    return Compose(
        [
            RandFlipd(both, prob=0.5, spatial_axis=0),
            RandAffined(
                both,
                prob=1.0,
                rotate_range=turns,
                scale_range=(0.2,) * dims,
                shear_range=(0.1,) * (6 if dims == 3 else 2),
                translate_range=(4.0,) * dims,
                spatial_size=window,
                **shared,
            ),
            RandGridDistortiond(both, num_cells=4, prob=0.3, distort_limit=0.2, **shared),
            RandGaussianSmoothd([IMAGE], prob=0.15, sigma_x=(0.4, 1.0), sigma_y=(0.4, 1.0), sigma_z=(0.4, 1.0)),
            RandSimulateLowResolutiond(
                [IMAGE], prob=0.15, zoom_range=(0.5, 1.0), upsample_mode="trilinear" if dims == 3 else "bilinear"
            ),
            RandBiasFieldd([IMAGE], prob=0.2, degree=2, coeff_range=(-0.2, 0.2)),
            RandAdjustContrastd([IMAGE], prob=0.3, gamma=(0.7, 1.5)),
            RandScaleIntensityd([IMAGE], prob=0.5, factors=0.2),
            RandShiftIntensityd([IMAGE], prob=0.5, offsets=0.2),
            RandGaussianNoised([IMAGE], prob=0.3, std=0.2),
        ]
    )


class Augmenter:
    """Draws samples; the same seed gives the same sample, whenever it is asked for.

    Parameters
    ----------
    window
        Voxels of a sample.
    """

    def __init__(self, window: tuple[int, ...]) -> None:
        self.window = window
        # Half of the samples see the scan's edge continued, half see it end in black: both occur in resampled scans.
        self.transforms = [make_transform(window, fill) for fill in ("border", "zeros")]

    def __call__(
        self, image: NDArray[np.float32], labels: NDArray[np.uint8], seed: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """(*space) image and class indices → (1, *window) float32 and (*window) int64."""
        rng = np.random.default_rng(seed)
        image, labels = crop_around(image, labels, self._centre(labels, rng), self._reach())
        black = float(image.min())
        transform = self.transforms[int(rng.integers(2))]
        transform.set_random_state(int(rng.integers(2**31)))
        set_track_meta(False)
        sample = transform(
            {IMAGE: torch.from_numpy(image - black)[None], LABELS: torch.from_numpy(labels.astype(np.float32))[None]}
        )
        return sample[IMAGE].float() + black, sample[LABELS][0].round().long()

    def _reach(self) -> tuple[int, ...]:
        return tuple(int(MARGIN * n) for n in self.window)

    def _centre(self, labels: NDArray[np.uint8], rng: np.random.Generator) -> tuple[int, ...]:
        """The middle of scans that fit the window; else a labelled voxel two times in three, any voxel otherwise."""
        fits = all(n <= w * MARGIN for n, w in zip(labels.shape, self.window, strict=True))
        if fits:
            return tuple(n // 2 for n in labels.shape)
        inside = np.flatnonzero(labels) if rng.random() < 2 / 3 else np.empty(0, np.int64)
        flat = rng.choice(inside) if inside.size else rng.integers(labels.size)
        return tuple(int(v) for v in np.unravel_index(flat, labels.shape))


def crop_around(
    image: NDArray[np.float32], labels: NDArray[np.uint8], centre: tuple[int, ...], reach: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A box of at most ``reach`` voxels around ``centre``, cut where the scan ends."""
    starts = [max(0, min(c - r // 2, n - r)) for c, r, n in zip(centre, reach, labels.shape, strict=True)]
    box = tuple(slice(s, s + r) for s, r in zip(starts, reach, strict=True))
    return image[box].copy(), labels[box].copy()
