"""Structures as a model's card lists them, and in which colours; loads no torch."""

from __future__ import annotations

from collections.abc import Iterable

from napari_morse.config import LabelEntry

MODEL_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")
"""Okabe and Ito's colours, told apart by colour-blind people."""
CLASSES, LARGEST_ID = 255, 65535
"""Labels that a model may have; the largest id that a card holds."""


def label_entries(named: Iterable[tuple[int, str]], taken: Iterable[LabelEntry] = ()) -> tuple[LabelEntry, ...]:
    """Structures for a model's card, coloured apart from those that it has, as far as there are colours.

    Parameters
    ----------
    named
        Id in the masks, 1 to 65535, and name; without a name ``label 3``.
    taken
        Structures that the model has already.
    """
    used = {entry.color for entry in taken}
    free = [color for color in MODEL_COLOURS if color not in used] or list(MODEL_COLOURS)
    return tuple(
        LabelEntry(id=number, name=name or f"label {number}", color=free[place % len(free)])
        for place, (number, name) in enumerate(named)
    )
