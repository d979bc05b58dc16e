"""One scan on the stage: what lies on another one is hidden, and comes back with its own.

Which scan a layer lies on: a layer of ours remembers it; every other one (a region, labels painted by hand, a filtered
image) belongs to the scan that was on the stage when it was added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.types import Scan
from napari_morse.widgets.bridge import carrier_of, lies_on
from napari_morse.widgets.view.twins import is_twin

if TYPE_CHECKING:
    from napari.components import ViewerModel

OFF = "napari_morse_off_stage"
"""Key in the metadata of a layer that was visible when its scan left the stage."""
_owners: WeakKeyDictionary[Layer, ref[Image]] = WeakKeyDictionary()
"""The scan that each layer lies on; known also to the next dock, when the one that saw it added is closed."""
FILLED = 0.95
"""Share of the canvas that a scan fills when it is seen for the first time."""
SCAN_CLOSED = "“{}” lies on a scan that is closed: it stays hidden. Open that scan again to see it."
ELSEWHERE = "“{}” does not lie on the scan in view: it is hidden. It is seen over the scan that it lies on."
SEVERAL = "“{}” lies on several of the open scans: it is seen over “{}”. Show it over another one with its eye."
COLOURED = "“{}” is a colour image: it stays hidden while a scan is in view. Convert it to grey to segment it."


@dataclass(frozen=True)
class _View:
    """Where the viewer stood."""

    point: tuple[float, ...]
    center: tuple[float, ...]
    zoom: float


def is_another(layer: Image, scan: Scan | None) -> bool:
    """Whether an image is a scan of its own, not one that was made from ``scan``, as a filter does."""
    carrier, copied = carrier_of(layer), layer.source.parent is not None
    if carrier is not None and not copied:
        return carrier.role == "scan"
    if scan is None:
        return True
    made = copied or _made(layer, scan)
    return not made or bool(layer.rgb) or layer.ndim > 3 or not lies_on(layer, scan)


def _made(layer: Image, scan: Scan) -> bool:
    """Whether an image may have been made from ``scan``: by a widget, or by a script that knew its place.

    Arrays that a script opens all lie at one place: of two of them, of one shape, the second may be another patient.
    """
    source = layer.source
    by_a_script = source.path is None and source.sample is None
    return source.widget is not None or (by_a_script and scan.source is not None)


def _same_file(one: Scan, other: Scan) -> bool:
    """Whether two scans are the same file, opened twice and not changed between."""
    return one.source is not None and one.source == other.source and np.array_equal(one.data, other.data)


class _OnStage:
    """A scan on the stage: knows which of the layers lie on it.

    Parameters
    ----------
    viewer
        Whose layers.
    layer
        The scan's own.
    scan_of
        As of `Stage`; it knows none for a moment after a layer was moved, and none of what cannot be read.
    """

    def __init__(self, viewer: ViewerModel, layer: Image, scan_of: Callable[[Layer], Scan | None]) -> None:
        self._viewer, self.layer, self._scan_of = viewer, layer, scan_of

    def holds(self, layer: Layer) -> bool:
        """Whether a layer lies on this scan."""
        return self.owner(layer) is self.layer

    def claim(self, layer: Layer) -> None:
        """A layer lies on this scan from now on."""
        # A weak value: a scan is its own owner, and a strong one would keep it in memory for ever.
        _owners[layer] = ref(self.layer)

    def owner(self, layer: Layer) -> Image | None:
        """The image layer of the scan that a layer lies on; this one for what nobody can tell; None: it is closed."""
        if layer in _owners:
            return _owners[layer]()
        owner = self._find_owner(layer)
        if owner is not None:
            _owners[layer] = ref(owner)
        return owner

    def _find_owner(self, layer: Layer) -> Image | None:
        """By what the layer tells of itself."""
        carrier, scan = carrier_of(layer), self._scan_of(self.layer)
        if isinstance(layer, Image) and is_another(layer, scan):
            return layer
        if carrier is None:
            return self.layer
        for image in self._images():
            if self._scan_of(image) is carrier.scan:
                return image
        if carrier.role != "mask" or (scan is not None and not lies_on(layer, scan)):
            return None
        return self._of_several(layer, carrier.scan.stem)

    def _of_several(self, layer: Layer, stem: str) -> Image:
        """The scan of a mask from a file, ``stem``: the one in view, or of several the one whose name it has."""
        fitting = self._fitting(layer)
        if len(fitting) < 2:
            return self.layer
        named = [image for image, scan in fitting.items() if stem.startswith(scan.stem)]
        owner = max(named, key=lambda image: len(fitting[image].stem)) if named else self.layer
        show_info(SEVERAL.format(layer.name, owner.name))
        return owner

    def _fitting(self, layer: Layer) -> dict[Image, Scan]:
        """The open scans that a layer has the shape and the place of."""
        scans = {image: self._scan_of(image) for image in self._images()}
        return {image: scan for image, scan in scans.items() if scan is not None and lies_on(layer, scan)}

    def _images(self) -> Iterator[Image]:
        return (x for x in self._viewer.layers if isinstance(x, Image) and not is_twin(x))

    def may_hold(self, layer: Layer, open_still: bool) -> bool:
        """Whether it is a mask from a file, which may be of any scan that it lies on, or of this scan opened before."""
        carrier = carrier_of(layer)
        if carrier is None or not isinstance(layer, (Image, Labels)):
            return False  # shapes and points have no voxels whose place could be compared
        fitting = self._fitting(layer)
        if self.layer not in fitting:
            return False
        return carrier.role == "mask" or (not open_still and _same_file(carrier.scan, fitting[self.layer]))


class Stage(QObject):
    """Shows the layers of one scan and hides those of all others.

    Parameters
    ----------
    viewer
        Whose layers.
    scan_of
        Gives the scan that an image layer is known to hold.
    parent
        Owner.
    """

    asked = Signal(object)
    """The image layer of a scan that the person wants to see: they made something visible that lies on it."""
    claimed = Signal()
    """The person made a mask visible that may be of several scans: it is of the one in view from now on."""

    def __init__(
        self, viewer: ViewerModel, scan_of: Callable[[Layer], Scan | None], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._scan_of = viewer, scan_of
        self._staged: _OnStage | None = None
        self._views: dict[Image, _View] = {}
        self._busy = False
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            if not is_twin(layer):
                layer.events.visible.connect(self._on_visible)

    @property
    def layer(self) -> Image | None:
        """The scan on the stage; None before there is one."""
        return None if self._staged is None else self._staged.layer

    def show(self, layer: Image | None) -> None:
        """Put a scan on the stage; with None everything stays as it is."""
        before = self._staged
        if layer is None:
            self._staged = None
        elif before is None:
            self._put_on(layer)  # napari itself has gone to the first one
        elif layer is not before.layer:
            if before.layer in self._viewer.layers:
                self._views[before.layer] = self._view()
            self._put_on(layer)
            self._look_at(layer)

    def _put_on(self, layer: Image) -> None:
        self._staged = staged = _OnStage(self._viewer, layer, self._scan_of)
        staged.claim(layer)  # also an image that was made from another scan, once it is chosen itself
        for each in list(self._viewer.layers):
            if not is_twin(each):
                self._place(each, staged)

    def holds(self, layer: Layer) -> bool:
        """Whether a layer lies on the scan on the stage."""
        return self._staged is not None and self._staged.holds(layer)

    def _place(self, layer: Layer, staged: _OnStage) -> None:
        """Show or hide one layer."""
        owner = staged.owner(layer)
        with self._quiet():
            if owner is staged.layer:
                if layer.metadata.pop(OFF, False):
                    layer.visible = True
            elif layer.visible:
                layer.visible, layer.metadata[OFF] = False, True
                if owner is None:
                    show_info(ELSEWHERE.format(layer.name))

    # What happens in the layer list

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    def _on_inserted(self, event: Any) -> None:
        # The list of scans connected first and has heard of it: a new scan is on the stage by now, and placed.
        layer = event.value
        if is_twin(layer):
            return
        layer.events.visible.connect(self._on_visible)
        if self._staged is not None and layer is not self._staged.layer:
            self._place(layer, self._staged)
            if getattr(layer, "rgb", False):
                show_info(COLOURED.format(layer.name))

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if is_twin(layer):
            return
        layer.events.visible.disconnect(self._on_visible)
        self._views.pop(layer, None)

    def _on_visible(self, event: Any) -> None:
        layer = event.source
        if not self._busy and layer.visible and not self.holds(layer):
            QTimer.singleShot(0, lambda: self._on_shown(layer))  # not while napari tells of it

    def _on_shown(self, layer: Layer) -> None:
        """The person made something visible that lies on another scan."""
        staged = self._staged
        if staged is None or layer not in self._viewer.layers or not layer.visible or staged.holds(layer):
            return
        owner = staged.owner(layer)
        open_still = owner in self._viewer.layers
        if staged.may_hold(layer, open_still):
            staged.claim(layer)
            self.claimed.emit()
        elif owner is not None and open_still:
            # Marked, not shown: it comes into view with its whole scan, as `_place` finds the mark.
            owner.metadata[OFF] = True
            self.asked.emit(owner)
        if not self.holds(layer):  # unless its own scan took the stage just now
            with self._quiet():
                layer.visible, layer.metadata[OFF] = False, True
            show_info((COLOURED if getattr(layer, "rgb", False) else SCAN_CLOSED).format(layer.name))

    # Where the viewer stands

    def _view(self) -> _View:
        camera = self._viewer.scene.camera
        return _View(tuple(self._viewer.dims.point), tuple(camera.center), float(camera.zoom))

    def _look_at(self, layer: Image) -> None:
        """Where it was looked at before; the first time, its middle, whole."""
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        # A place that was kept while a layer of more axes was open is none in the axes that there are now.
        if layer in self._views and len(self._views[layer].point) == dims.ndim:
            view = self._views[layer]
            dims.set_point(range(dims.ndim), view.point)
            camera.center, camera.zoom = view.center, view.zoom
            return
        low, high = layer.extent.world
        first = dims.ndim - layer.ndim
        point = [0.0] * first + ((low + high) / 2).tolist()  # a picture lies at 0 of the axis that it has not
        dims.set_point(range(dims.ndim), point)
        if dims.ndisplay != 2:
            self._viewer.reset_view()
            return
        shown = [axis - first for axis in dims.displayed]
        size, middle = (high - low)[shown], ((low + high) / 2)[shown]
        camera.center = (0.0, *middle.tolist())
        room = zip(self._viewer.canvas.size, size.tolist(), strict=True)
        camera.zoom = FILLED * min(pixels / max(length, 1e-6) for pixels, length in room)

    def close_down(self) -> None:
        """Let go of the viewer; what is hidden stays so, and comes back with its scan in the next dock."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for layer in self._viewer.layers:
            if not is_twin(layer):
                layer.events.visible.disconnect(self._on_visible)
