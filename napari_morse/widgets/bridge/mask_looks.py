"""How masks are drawn, as fills or as lines, and the titles that say so."""

from __future__ import annotations

import re
from typing import Any, Literal

from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

Mode = Literal["side", "contour", "difference"]
"""How the two masks are compared."""
COMPARE_MODES: tuple[Mode, ...] = ("side", "contour", "difference")

CONTOUR_WIDTH = 1
"""Voxels of an outline."""
LINE_COLOURS = {"coarse": ("#ffffff", "white"), "rendered": ("#00ffff", "cyan")}
"""Colours of the model's masks beside a corrected one: in no palette of structures, and bright on any of them."""
LINE_WIDTH, SHORT = 32, 15
"""Characters of a title's line: alone, and in one of two cells. A longer one lies over the letter in the middle."""
LINES_AT_MOST = 3
"""Of a scan's name in a title."""


class LineColours:
    """Gives masks one colour for all their structures, and their own colours back."""

    def __init__(self) -> None:
        self._own: dict[Labels, Any] = {}

    def set(self, mask: Labels, line: str | None) -> None:
        """Draw all structures of ``mask`` in one colour; None: in their own again."""
        if line is not None:
            # The first time only: one line's colour after another must not be taken for the mask's own.
            self._own.setdefault(mask, mask.colormap)
            mask.colormap = DirectLabelColormap(color_dict={None: line, 0: "transparent"})
        elif mask in self._own:
            mask.colormap = self._own.pop(mask)


def titles(mode: Mode, names: tuple[str, str], scan: str, filled: bool, difference: tuple[str, str]) -> tuple[str, str]:
    """What stands at the upper left and the upper right of the view.

    Parameters
    ----------
    mode
        How the two masks are compared.
    names
        Of the masks: the one on the left, or on top, first.
    scan
        Name of the scan, said in each cell; may be empty.
    filled
        Whether a corrected mask is the fill, and both masks are lines.
    difference
        What is said of a difference.
    """
    name = wrapped(scan, SHORT if mode == "side" else LINE_WIDTH)
    own = f"\n{name}" if name else ""
    if filled:
        names = (f"{LINE_COLOURS[names[0]][1]}: {names[0]}", f"{LINE_COLOURS[names[1]][1]}: {names[1]}")
    if mode == "difference":
        return f"{difference[0]}{own}", difference[1]
    if mode == "side":
        more = "\nfill: corrected" if filled else ""
        return f"{names[0]}{more}{own}", f"{names[1]}{more}{own}"
    if filled:
        return f"fill: corrected{own}", f"{names[0]}\n{names[1]}"
    return f"contour: {names[0]}{own}", f"fill: {names[1]}"


def wrapped(name: str, width: int = LINE_WIDTH) -> str:
    """A name in lines of at most ``width`` characters, broken after ``_``, ``-``, a dot or a space where there is one.

    Of more than `LINES_AT_MOST` lines the middle is left out.
    """
    room = width * LINES_AT_MOST
    if len(name) > room:
        name = f"{name[: room // 2]}…{name[1 - room // 2 :]}"
    lines = [""]
    for part in re.findall(r"[^-_. ]*[-_. ]?", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line[at : at + width] for line in lines for at in range(0, len(line), width))
