"""A trained network becomes a model: its card says what it read, what it gives, and how well."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_morse.config import Intensity, LabelEntry, Recipe, TrainingData
from napari_morse.errors import InputError
from napari_morse.geometry.orientation import AXES
from napari_morse.inference.rendering import Rendering
from napari_morse.metrics.doubt import fit_temperature
from napari_morse.metrics.patches import boundary
from napari_morse.model.morse import Morse
from napari_morse.training.cases import TrainingCase
from napari_morse.training.palette import CLASSES, LARGEST_ID, label_entries
from napari_morse.training.validation import judge, run_case
from napari_morse.types import Array

BAND = 2
"""Voxels around the rendered boundary over which probabilities are calibrated."""


@dataclass(frozen=True)
class Purpose:
    """What the user says of a model."""

    name: str
    summary: str
    data_name: str
    licence: str
    attribution: str
    channels: tuple[str, ...] = ()
    """Names of the images that the model reads; empty: ``image``, or ``image 0``, ``image 1``, …"""
    largest_component: bool = False
    """Keep only the largest connected piece of what the model finds; goes on its card, and runs after every prediction
    (not in validation)."""
    minimum_volume_mm3: float = 0.0
    """Remove smaller pieces, in the same way."""

    def check_channels(self, channels: int) -> None:
        """Raise InputError when names are given, and not one for each of the recipe's channels."""
        if self.channels and len(set(self.channels)) != channels:
            raise InputError(
                f"{', '.join(self.channels)!r} does not name {channels} channels.",
                "Give a name for each, and backbone.in_channels as many.",
            )

    def channel_names(self, channels: int) -> tuple[str, ...]:
        """A name for each channel."""
        if self.channels:
            return self.channels
        return ("image",) if channels == 1 else tuple(f"image {number}" for number in range(channels))


def parse_labels(text: str | None, ids: tuple[int, ...]) -> tuple[LabelEntry, ...]:
    """Labels from ``1=anterior,2=posterior``; names default to ``label 1`` and so on.

    Raises
    ------
    InputError
        When an id is not among those in the truths, or these hold none, too many, or one that a card cannot say.
    """
    if not ids or len(ids) > CLASSES or ids[-1] > LARGEST_ID:
        held = f"{len(ids)} labels, the largest {ids[-1]}" if ids else "no label"
        raise InputError(
            f"The truths of the training cases hold {held}.", f"Give 1 to {CLASSES} labels, none above {LARGEST_ID}."
        )
    names = dict.fromkeys(ids, "")
    for part in (text or "").split(","):
        number, equals, name = part.partition("=")
        if not part.strip():
            continue
        if not equals or not number.strip().isdecimal() or int(number) not in names:
            raise InputError(
                f"{part!r} names no label; the truths hold {', '.join(map(str, ids))}.", "Write 1=name,2=name."
            )
        names[int(number)] = name.strip()
    return label_entries(names.items())


def card_fields(
    purpose: Purpose, recipe: Recipe, net: Morse, labels: tuple[LabelEntry, ...], spacing: tuple[float, ...],
    slice_axis: str | None, train: Sequence[TrainingCase], val: list[TrainingCase], digest: str,
) -> dict[str, Any]:  # fmt: skip
    """Everything on the card but the digest of the weights; the network is judged and calibrated on ``val``, if any."""
    skewness = np.percentile([c.skewness for c in train], [1, 99])
    kept = [a for a in range(3) if slice_axis is None or a != AXES[slice_axis]]
    extents = np.array([[c.extent[a] for a in kept] for c in train])
    field_of_view = tuple((float(low), float(high)) for low, high in zip(extents.min(0), extents.max(0), strict=True))
    figures = judge(net, val, spacing, slice_axis, full=True).figures if val else {}
    return {
        "name": purpose.name,
        "summary": purpose.summary,
        "recipe": recipe,
        "labels": labels,
        "channels": purpose.channel_names(recipe.backbone.in_channels),
        "spacing": spacing,
        "slice_axis": slice_axis,
        "intensity": Intensity(skewness=(float(skewness[0]), float(skewness[1]))),
        "field_of_view": field_of_view,
        "largest_component": purpose.largest_component,
        "minimum_volume_mm3": purpose.minimum_volume_mm3,
        "temperature": temperature(net, val, spacing, slice_axis) if val else 1.0,
        "data": TrainingData(
            name=purpose.data_name, cases=len(train), licence=purpose.licence, attribution=purpose.attribution,
            digest=digest,
        ),
        "metrics": {f"val_{name}": round(value, 4) for name, value in sorted(figures.items())},
        "created": dt.datetime.now(dt.UTC).date().isoformat(),
    }  # fmt: skip


def temperature(net: Morse, val: list[TrainingCase], spacing: tuple[float, ...], slice_axis: str | None) -> float:
    """What rendered logits are divided by so that, near the boundary, probabilities are true on validation cases."""
    logits, truths = [], []
    for case in val:
        result = run_case(net, case, spacing, slice_axis)
        truth = case.labels[None] if slice_axis is None else np.moveaxis(case.labels, AXES[slice_axis], 0)
        near = _near(result)
        logits.append(result.logits[:, near].T)
        truths.append(truth[near])
    return fit_temperature(np.concatenate(logits), np.concatenate(truths))


def _near(result: Rendering) -> Array:
    """Voxels within ``BAND`` of a boundary of the rendered mask."""
    return boundary(result.rendered, range(1, result.rendered.ndim), BAND)
