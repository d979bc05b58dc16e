"""What one mask has and another has not, as a labels layer over the scan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels

from napari_morse.types import Array, Roi, Scan
from napari_morse.widgets.bridge import KEY, PALETTE, Carrier, carrier_of, display_axes, placement

if TYPE_CHECKING:
    from napari.components import ViewerModel

ADDED, REMOVED, OTHER = 1, 2, 3
DIFFERENCE_COLOURS = {ADDED: PALETTE[0], REMOVED: PALETTE[5], OTHER: PALETTE[6]}
MODEL_STAGES: tuple[str, str] = ("coarse", "rendered")
"""What the two masks of a model's result are called."""
DIFFERENCE_LEGEND = "blue: added, orange: removed"


def difference(before: Array, after: Array) -> Array:
    """Where two masks differ: `ADDED` to the first, `REMOVED` from it, or `OTHER`; 0 where they agree.

    Parameters
    ----------
    before, after
        Label ids, of one shape.

    Returns
    -------
    ndarray
        uint8, of that shape.
    """
    codes = np.zeros(before.shape, np.uint8)
    differs = before != after
    codes[differs] = np.where(before[differs] == 0, ADDED, np.where(after[differs] == 0, REMOVED, OTHER))
    return codes


class NoDifference:
    """No difference is shown."""

    there = False
    text = ""

    def update(self, box: Roi) -> None:
        """There is nothing to draw."""

    def close(self) -> None:
        """There is nothing to take away."""


class DifferenceLayer:
    """Shows one difference in the place of both masks; the layer goes with `close`, and they come back.

    Parameters
    ----------
    viewer
        Gets the layer.
    scan
        Grid of both masks.
    before, after
        Label ids in display order; ``after`` may be changed in place, see `update`.
    masks
        Hidden meanwhile.
    """

    def __init__(self, viewer: ViewerModel, scan: Scan, before: Array, after: Array, masks: Iterable[Labels]) -> None:
        self._viewer, self._scan, self._before, self._after = viewer, scan, before, after
        self._codes = difference(before, after)
        colours = {0: "transparent", None: "transparent"} | DIFFERENCE_COLOURS
        self.layer = Labels(
            self._codes, name=f"difference · {scan.stem}", colormap=colours, opacity=0.8,
            metadata={KEY: Carrier(scan, "tool")}, **placement(scan),
        )  # fmt: skip
        selected = set(viewer.layers.selection)
        viewer.add_layer(self.layer)
        self.layer.editable = False
        # napari selects what is added: the brush would lose its mask.
        viewer.layers.selection = selected
        self._unseen = [mask for mask in masks if mask.visible]
        for mask in self._unseen:
            mask.visible = False

    @property
    def there(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    def update(self, box: Roi) -> None:
        """``after`` changed inside a box (storage order)."""
        changed = display_axes(self._scan).roi_to_view(box).slices
        # In place: the layer draws this very array.
        self._codes[changed] = difference(self._before[changed], self._after[changed])
        self.layer.refresh()

    @property
    def text(self) -> str:
        """How much was added and removed, in ml or voxels."""
        counts = np.bincount(self._codes.ravel(), minlength=4)
        ml = self._scan.grid.voxel_volume / 1000
        unit = [f"{counts[n] * ml:.2f} ml" if self._scan.size_known else f"{counts[n]} px" for n in (1, 2, 3)]
        text = f"added {unit[0]}, removed {unit[1]}"
        return text + (f", relabelled {unit[2]}" if counts[OTHER] else "")

    def close(self) -> None:
        """Take the layer away, and show the masks again."""
        if self.there:
            self._viewer.layers.remove(self.layer)
        for mask in self._unseen:
            mask.visible = True


class Differences:
    """The difference between two masks in their place, and those back again.

    Parameters
    ----------
    viewer
        Whose layers.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.final: Labels | None = None
        """The mask that the difference leads to, from the rendered one; None: to the rendered from the coarse one."""
        self.names = MODEL_STAGES
        """Of the two masks; the difference of others than a model's leads to no third one."""
        self.shown: DifferenceLayer | NoDifference = NoDifference()

    @property
    def finals(self) -> list[Labels]:
        """`final`, while it is in the viewer: one mask, or none."""
        return [layer for layer in self._viewer.layers if layer is self.final]

    @property
    def _beyond(self) -> list[Labels]:
        """The stage beyond a model's own two, where there is one."""
        return self.finals if self.names == MODEL_STAGES else []

    def title(self, swapped: bool) -> str:
        """What is compared."""
        names = (*self.names, *("corrected" for _ in self._beyond))[-2:]
        return " to ".join(names[::-1] if swapped else names)

    def show(self, coarse: Labels, rendered: Labels, swapped: bool) -> None:
        """Show it, unless it is shown already."""
        carrier = carrier_of(rendered)
        if carrier is None or self.shown.there:
            return
        self.shown.close()  # a layer that a person deleted has left both masks hidden
        pair = (coarse, rendered, *self._beyond)[-2:]
        first, last = (np.asarray(mask.data) for mask in (pair[::-1] if swapped else pair))
        self.shown = DifferenceLayer(self._viewer, carrier.scan, first, last, (coarse, rendered))

    def hide(self) -> None:
        """Show both masks again."""
        shown, self.shown = self.shown, NoDifference()
        shown.close()

    def update(self, box: Roi) -> None:
        """The final mask changed inside a box (storage order)."""
        if self._beyond:
            self.shown.update(box)
