"""What one mask has and another has not, as a labels layer over the scan."""

from __future__ import annotations

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


class DifferenceLayer:
    """Shows one difference; the layer goes with `close`.

    Parameters
    ----------
    viewer
        Gets the layer.
    scan
        Grid of both masks.
    before, after
        Label ids in display order; ``after`` may be changed in place, see `update`.
    """

    def __init__(self, viewer: ViewerModel, scan: Scan, before: Array, after: Array) -> None:
        self._viewer, self._scan, self._before, self._after = viewer, scan, before, after
        self.found = difference(before, after)
        colours = {0: "transparent", None: "transparent"} | DIFFERENCE_COLOURS
        self.layer = Labels(
            self.found, name=f"difference · {scan.stem}", colormap=colours, opacity=0.8,
            metadata={KEY: Carrier(scan, "tool")}, **placement(scan),
        )  # fmt: skip
        selected = set(viewer.layers.selection)
        viewer.add_layer(self.layer)
        self.layer.editable = False
        viewer.layers.selection = selected

    @property
    def there(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    def update(self, box: Roi) -> None:
        """``after`` changed inside a box (storage order)."""
        there = display_axes(self._scan).roi_to_view(box).slices
        self.found[there] = difference(self._before[there], self._after[there])
        self.layer.refresh()

    @property
    def text(self) -> str:
        """How much was added and removed, in ml or voxels."""
        counts = np.bincount(self.found.ravel(), minlength=4)
        ml = self._scan.grid.voxel_volume / 1000
        unit = [f"{counts[n] * ml:.2f} ml" if self._scan.size_known else f"{counts[n]} px" for n in (1, 2, 3)]
        text = f"added {unit[0]}, removed {unit[1]}"
        return text + (f", relabelled {unit[2]}" if counts[OTHER] else "")

    def close(self) -> None:
        """Take the layer away."""
        if self.there:
            self._viewer.layers.remove(self.layer)


class Differences:
    """The difference in the place of both masks, and those back again.

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
        self.shown: DifferenceLayer | None = None
        self._unseen: list[Labels] = []

    def title(self, swapped: bool) -> str:
        """What is compared."""
        names = self.names if self._last is None else ("rendered", "corrected")
        return " to ".join(names[::-1] if swapped else names)

    @property
    def _last(self) -> Labels | None:
        there = self.final is not None and self.final in self._viewer.layers
        return self.final if there and self.names == MODEL_STAGES else None

    def show(self, coarse: Labels, rendered: Labels, swapped: bool) -> None:
        """Show it, unless it is shown already."""
        carrier = carrier_of(rendered)
        if carrier is None or (self.shown is not None and self.shown.there):
            return
        pair = (coarse, rendered) if self._last is None else (rendered, self._last)
        first, last = pair[::-1] if swapped else pair
        self.shown = DifferenceLayer(self._viewer, carrier.scan, np.asarray(first.data), np.asarray(last.data))
        self._unseen = [mask for mask in (coarse, rendered) if mask.visible]
        for mask in self._unseen:
            mask.visible = False

    def hide(self) -> None:
        """Show both masks again."""
        shown, self.shown = self.shown, None
        unseen, self._unseen = self._unseen, []
        if shown is not None:
            shown.close()
        for mask in unseen:
            mask.visible = True

    def update(self, box: Roi) -> None:
        """The final mask changed inside a box (storage order)."""
        if self.shown is not None and self._last is not None:
            self.shown.update(box)
