"""How a scan differs from those that the model was trained on."""

from __future__ import annotations

from napari_morse.config import ModelCard
from napari_morse.inference.normalise import Normalised

SPACING_FACTOR = 1.6
"""A voxel this many times longer or shorter than the model's is named."""
EXTENT_SLACK = 1.25
"""A field of view this many times beyond the range seen in training is named."""


def out_of_domain_warnings(
    card: ModelCard,
    spacing: tuple[float, ...],
    extent: tuple[float, ...],
    image: Normalised,
    picture: bool,
    region: bool,
) -> tuple[str, ...]:
    """Plain sentences on how a scan differs from a model's training data.

    Parameters
    ----------
    spacing, extent
        mm along the model's axes: of a voxel, and of what is read.
    image
        The normalised intensities.
    picture
        True when pixel sizes are not to be trusted.
    region
        True when a region of interest was given.
    """
    sentences = []
    if image.flat:
        return ("The scan has no contrast: every voxel has the same value, and the masks are empty.",)
    if image.not_finite:
        sentences.append(
            f"{image.not_finite} voxels are not finite (NaN or infinite); they were read as the darkest value."
        )
    if not picture:
        sentences += _sizes(card, spacing, extent, region)
    low, high = card.intensity.skewness
    slack = high - low
    if not low - slack <= image.skewness <= high + slack:
        sentences.append(
            "The grey levels are unlike those of the training scans: another contrast, or much background."
        )
    return tuple(sentences)


def channel_warnings(card: ModelCard, images: list[Normalised]) -> tuple[str, ...]:
    """Plain sentences on the channels after the first."""
    sentences = []
    for name, image in zip(card.channels[1:], images, strict=True):
        if image.flat:
            sentences.append(f"The channel “{name}” has no contrast: it tells the model nothing.")
        elif image.not_finite:
            sentences.append(
                f"{image.not_finite} voxels of the channel “{name}” are not finite; they were read as dark."
            )
    return tuple(sentences)


def _sizes(card: ModelCard, spacing: tuple[float, ...], extent: tuple[float, ...], region: bool) -> list[str]:
    sentences = []
    if any(max(s / t, t / s) > SPACING_FACTOR for s, t in zip(spacing, card.spacing, strict=True)):
        sentences.append(
            f"The voxels measure {lengths_text(spacing)} mm; the model was trained at {lengths_text(card.spacing)} mm."
        )
    ranges = card.field_of_view
    if ranges and any(e > EXTENT_SLACK * high for e, (_, high) in zip(extent, ranges, strict=True)):
        what = "region" if region else "scan"
        largest = lengths_text(tuple(high for _, high in ranges))
        way_out = "Draw a smaller region." if region else "Draw a region of interest around the structure."
        sentences.append(
            f"The {what} spans {lengths_text(extent)} mm; the model has seen at most {largest} mm. {way_out}"
        )
    elif ranges and any(e * EXTENT_SLACK < low for e, (low, _) in zip(extent, ranges, strict=True)):
        smallest = lengths_text(tuple(low for low, _ in ranges))
        sentences.append(
            f"Only {lengths_text(extent)} mm are read; the model has seen at least {smallest} mm. Use a larger region."
        )
    return sentences


def lengths_text(lengths: tuple[float, ...]) -> str:
    """``31 × 40 × 24``."""
    return " × ".join(f"{length:.3g}" for length in lengths)
