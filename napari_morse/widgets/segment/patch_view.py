"""Going to a doubtful patch: the slice, the middle of the view, and its voxels marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Points

from napari_morse.types import Array, Patches, Scan
from napari_morse.widgets.bridge import display_axes, go_to, patch_attributes

if TYPE_CHECKING:
    from napari.components import ViewerModel


class PatchView:
    """Shows one patch at a time, in a points layer of its own; both cells of a comparison show it.

    Parameters
    ----------
    viewer
        Where the patch is shown.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Points | None = None

    @property
    def layer(self) -> Points | None:
        """The marks, or None when no patch is shown."""
        return self._layer if self._layer in self._viewer.layers else None

    def show(self, patches: Patches, rank: int, scan: Scan) -> None:
        """Mark the patch at place ``rank`` (from 0) and bring it into the middle of the view."""
        axes = display_axes(scan)
        voxel = axes.index_to_view(patches.of(rank)).astype(float)
        layer = self.layer
        if layer is None:
            layer = self._layer = self._add(voxel, scan)
        else:
            layer.data = voxel
        go_to(self._viewer, layer, axes.index_to_view(patches.centre[rank : rank + 1])[0])

    def _add(self, voxel: Array, scan: Scan) -> Points:
        selected = set(self._viewer.layers.selection)
        layer = Points(voxel, **patch_attributes(scan))
        self._viewer.add_layer(layer)
        layer.editable = False
        self._viewer.layers.selection = selected
        return layer

    def clear(self) -> None:
        """Take the marks away."""
        layer, self._layer = self.layer, None
        if layer is not None:
            self._viewer.layers.remove(layer)
