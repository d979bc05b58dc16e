"""The region of a scan: what is read of it, and the layer on which that is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from napari.layers import Shapes

from napari_morse.types import Array, Roi, Scan
from napari_morse.widgets.bridge import KEY, PALETTE, Carrier, display_axes, placement, roi_from_shapes, roi_shape_data

if TYPE_CHECKING:
    from napari.components import ViewerModel


class Region:
    """What is read of a scan, in display order: from a first to a last slice, of each what the drawn box bounds.

    It does not hold the scan: it is found by it in a weak dictionary, and would keep it in memory for ever.
    """

    def __init__(self, scan: Scan) -> None:
        self._axes = display_axes(scan)
        self._steps = tuple(scan.grid.spacing[a] for a in self._axes.order)
        self._all = self._axes.roi_to_view(Roi((0, 0, 0), scan.grid.shape))
        self.forget()

    def forget(self) -> None:
        """Back to the whole scan."""
        self.drawn = False
        """Whether a box was drawn."""
        self.slices = 0, self.last_slice
        """As they were chosen: the first may be after the last."""
        self._start, self._stop = self._all.start[1:], self._all.stop[1:]

    @property
    def last_slice(self) -> int:
        """Of the scan."""
        return self._all.stop[0] - 1

    @property
    def sliced(self) -> bool:
        """Whether some slices are left out."""
        return self.slices != (0, self.last_slice)

    @property
    def _box(self) -> Roi:
        first, last = sorted(self.slices)
        return Roi((first, *self._start), (last + 1, *self._stop))

    @property
    def whole(self) -> bool:
        """Whether it is all of the scan."""
        return self._box == self._all

    @property
    def box(self) -> Roi:
        """It, in storage order."""
        return self._axes.roi_to_storage(self._box)

    def take_in(self, rectangle: Array, meant: Roi) -> None:
        """Take the two axes in view from a ``rectangle`` that bounds the voxels of ``meant``, in storage order."""
        # The axis along which it is flat: it was drawn in one slice, in whichever view.
        across = int(np.argmin(np.ptp(rectangle, axis=0)))
        box, bounds = self._box, self._axes.roi_to_view(meant)
        start, stop = list(bounds.start), list(bounds.stop)
        if self.drawn or (across == 0 and self.sliced):
            start[across], stop[across] = box.start[across], box.stop[across]
        else:
            start[across], stop[across] = self._around(float(rectangle[0, across]), bounds, across)
        self.slices = start[0], stop[0] - 1
        self._start, self._stop = (start[1], start[2]), (stop[1], stop[2])
        self.drawn = True

    def _around(self, at: float, bounds: Roi, across: int) -> tuple[int, int]:
        """A rectangle alone says nothing of the axis across it: as many mm around it as its longer side has."""
        side = max(bounds.shape[a] * self._steps[a] for a in range(3) if a != across)
        half = side / self._steps[across] / 2
        return max(bounds.start[across], round(at - half)), min(bounds.stop[across], round(at + half) + 1)

    @property
    def size(self) -> tuple[str, ...]:
        """In mm and, for the tooltip, in voxels."""
        if self.whole:
            return ("whole scan",)
        across = tuple(reversed(self._box.shape))
        mm = " × ".join(f"{n * step:.0f}" for n, step in zip(across, reversed(self._steps), strict=True))
        return f"{mm} mm", f"{' × '.join(map(str, across))} voxels"


class DrawnOn(Protocol):
    """Whoever has a region drawn."""

    def read_soon(self) -> None:
        """Something was drawn or changed."""

    def forget(self) -> None:
        """The person deleted the box."""

    def lose_outline(self) -> None:
        """The person removed the layer."""


class NoOutline:
    """Where nothing was drawn of a region yet, or its layer is gone: nothing to be read, shown or taken away.

    Parameters
    ----------
    viewer
        Gets the layer.
    scan
        On which it lies.
    owner
        Told of what the person does there.
    """

    restricts = False
    """Whether a box is drawn, or about to be."""

    def __init__(self, viewer: ViewerModel, scan: Scan, owner: DrawnOn) -> None:
        self._viewer, self._scan, self._owner = viewer, scan, owner

    def drawable(self) -> DrawnRegion:
        """The layer to draw on; a new one where there is none."""
        return DrawnRegion(self._viewer, self._scan, self._owner)

    def brought_back(self) -> DrawnRegion:
        """The layer of a box that was drawn when the scan was in view before; what was selected stays so."""
        active = self._viewer.layers.selection.active
        outline = self.drawable()
        outline.layer.mode = "select"
        self._viewer.layers.selection.active = active
        return outline

    def take_in(self, region: Region) -> None:
        """Let a region be what was drawn last."""

    def show(self, region: Region) -> None:
        """Outline the box of a region on each of its slices."""

    def let_go(self) -> None:
        """Listen no more; the layer stays."""

    def remove(self) -> None:
        """Listen no more, and take the layer away."""


class DrawnRegion(NoOutline):
    """A layer of shapes on which a region is drawn and outlined."""

    restricts = True

    def __init__(self, viewer: ViewerModel, scan: Scan, owner: DrawnOn) -> None:
        super().__init__(viewer, scan, owner)
        self._unread: tuple[int, ...] = ()
        """Which shapes were drawn or changed since the last look."""
        self.layer = Shapes(
            ndim=3,
            name=f"region · {scan.stem}",
            edge_color=PALETTE[-1],
            edge_width=0.6,
            face_color="transparent",
            metadata={KEY: Carrier(scan, "roi")},
            **placement(scan),
        )
        viewer.add_layer(self.layer)
        self.layer.events.data.connect(self._on_data)
        viewer.layers.events.removed.connect(self._on_removed)

    def drawable(self) -> DrawnRegion:
        """The same one."""
        return self

    def brought_back(self) -> DrawnRegion:
        """It is there already."""
        return self

    def _on_data(self, event: Any) -> None:
        # napari also tells before it changes anything ("adding", "changing"): there is nothing to be read then.
        action = str(getattr(event, "action", ""))
        if action == "removed":
            self._unread = ()
            self._owner.forget()
        elif action in {"added", "changed"}:
            self._unread = tuple(event.data_indices)
            self._owner.read_soon()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.let_go()
            self._owner.lose_outline()

    def take_in(self, region: Region) -> None:
        """Let a region be what was drawn last.

        Raises
        ------
        MorseError
            It does not lie over the scan.
        """
        unread, self._unread = self._unread, ()
        if not unread:
            return
        rectangle = np.asarray(self.layer.data[int(unread[-1])])
        # Alone in the layer: outlines of the box before would be read as rectangles too.
        self._draw([rectangle])
        region.take_in(rectangle, roi_from_shapes(self.layer, self._scan))
        self.layer.mode = "select"

    def show(self, region: Region) -> None:
        """Outline the box of a region on each of its slices."""
        boxed = region.drawn and not region.whole
        self._draw(roi_shape_data(region.box, self._scan)[0] if boxed else [])

    def _draw(self, shapes: list[Any]) -> None:
        # Our own listener alone: napari's canvas must hear of it.
        with self.layer.events.data.blocker(self._on_data):
            self.layer.selected_data = set()
            self.layer.data = shapes

    def let_go(self) -> None:
        """Listen no more; the layer stays."""
        self.layer.events.data.disconnect(self._on_data)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def remove(self) -> None:
        """Listen no more, and take the layer away."""
        # First: the removal would be heard as the person's, and the region forgotten.
        self.let_go()
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
