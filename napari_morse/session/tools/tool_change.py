"""What a tool would change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_morse.metrics.surface import bounding_box
from napari_morse.types import Array, Roi


@dataclass(frozen=True, eq=False)
class ToolChange:
    """Labels of a box, storage order; the box is as small as what changes allows."""

    box: Roi
    values: Array


def changed(mask: Array, box: Roi, values: Array) -> ToolChange | None:
    """``values`` of a ``box`` of the mask, trimmed to what differs; None when nothing does."""
    differs = values != mask[box.slices]
    if not differs.any():
        return None
    inside = bounding_box(differs)
    start = tuple(a + s.start for a, s in zip(box.start, inside, strict=True))
    stop = tuple(a + s.stop for a, s in zip(box.start, inside, strict=True))
    return ToolChange(Roi(start, stop), np.array(values[inside], mask.dtype))


def label_box(
    mask: Array, label: int, axis: int | None = None, index: int | None = None, margin: int = 0
) -> Roi | None:
    """The box around a label, in one slice or everywhere, with a margin inside the slice; None where it is not."""
    slices = [slice(None)] * 3
    if axis is not None and index is not None:
        slices[axis] = slice(index, index + 1)
    labelled = mask[tuple(slices)] == label
    if not labelled.any():
        return None
    inside = bounding_box(labelled)
    low, high = [], []
    for at, (part, length) in enumerate(zip(inside, mask.shape, strict=True)):
        if at == axis and index is not None:
            low.append(index)
            high.append(index + 1)
        else:
            low.append(max(0, part.start - margin))
            high.append(min(length, part.stop + margin))
    return Roi(tuple(low), tuple(high))  # type: ignore[arg-type]
