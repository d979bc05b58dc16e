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
from napari.layers import Image, Layer
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
    carrier = carrier_of(layer)
    if layer.source.parent is None and carrier is not None:
        return carrier.role == "scan"
    if scan is None:
        return True
    return not _made(layer, scan) or bool(layer.rgb) or layer.ndim > 3 or not lies_on(layer, scan)


def _made(layer: Image, scan: Scan) -> bool:
    """Whether an image may have been made from ``scan``: copied, by a widget, or by a script that knew its place.

    Arrays that a script opens all lie at one place: of two of them, of one shape, the second may be another patient.
    """
    source = layer.source
    if source.parent is not None or source.widget is not None:
        return True
    return source.path is None and source.sample is None and scan.source is not None


def _same_file(one: Scan, other: Scan) -> bool:
    """Whether two scans are the same file, opened twice and not changed between."""
    return one.source is not None and one.source == other.source and np.array_equal(one.data, other.data)


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
        self.layer: Image | None = None
        """The scan on the stage; None before there is one."""
        self._views: dict[Image, _View] = {}
        self._busy = False
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            if not is_twin(layer):
                layer.events.visible.connect(self._on_visible)

    def show(self, layer: Image | None) -> None:
        """Put a scan on the stage; with None everything stays as it is."""
        before, self.layer = self.layer, layer
        if layer is None or layer is before:
            return
        if before is not None and before in self._viewer.layers:
            self._views[before] = self._view()
        _owners[layer] = ref(layer)  # also an image that was made from another scan, once it is chosen itself
        for each in list(self._viewer.layers):
            if not is_twin(each):
                self._place(each)
        if before is not None:
            self._look_at(layer)

    def holds(self, layer: Layer) -> bool:
        """Whether a layer lies on the scan on the stage."""
        return self._owner(layer) is self.layer

    def _place(self, layer: Layer) -> None:
        """Show or hide one layer."""
        owner = self._owner(layer)
        with self._quiet():
            if owner is not self.layer and layer.visible:
                layer.visible, layer.metadata[OFF] = False, True
                if owner is None:
                    show_info(ELSEWHERE.format(layer.name))
            elif owner is self.layer and layer.metadata.pop(OFF, False):
                layer.visible = True

    def _owner(self, layer: Layer) -> Image | None:
        """The image layer of the scan that a layer lies on; the stage's own for what nobody can tell."""
        known = _owners.get(layer)
        if known is not None:
            return known()
        scan = self._found(layer)
        if scan is not None:
            _owners[layer] = ref(scan)
        return scan

    def _found(self, layer: Layer) -> Image | None:
        carrier = carrier_of(layer)
        scan = None if self.layer is None else self._scan_of(self.layer)
        if isinstance(layer, Image) and is_another(layer, scan):
            return layer
        if carrier is not None:
            on = next((x for x in self._images() if self._scan_of(x) is carrier.scan), None)
            if on is not None:
                return on
            if carrier.role != "mask" or (scan is not None and not lies_on(layer, scan)):
                return None
            return self._of_several(layer, carrier.scan.stem)
        return self.layer

    def _of_several(self, layer: Layer, stem: str) -> Image | None:
        """The scan of a mask from a file, ``stem``: the one in view, or of several the one whose name it has."""
        fitting = {x: scan for x in self._images() if (scan := self._scan_of(x)) is not None and lies_on(layer, scan)}
        if len(fitting) < 2 or self.layer is None:
            return self.layer
        named = [x for x, scan in fitting.items() if stem.startswith(scan.stem)]
        owner = max(named, key=lambda x: len(fitting[x].stem)) if named else self.layer
        show_info(SEVERAL.format(layer.name, owner.name))
        return owner

    def _images(self) -> Iterator[Image]:
        return (x for x in self._viewer.layers if isinstance(x, Image) and not is_twin(x))

    # What happens in the layer list

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        if is_twin(layer):
            return
        layer.events.visible.connect(self._on_visible)
        if self.layer is not None and layer is not self.layer:
            self._place(layer)
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
        if self._busy or not layer.visible or self.layer is None or self.holds(layer):
            return
        QTimer.singleShot(0, lambda: self._on_shown(layer))  # not while napari tells of it

    def _on_shown(self, layer: Layer) -> None:
        """The person made something visible that lies on another scan."""
        if layer not in self._viewer.layers or not layer.visible or self.layer is None or self.holds(layer):
            return
        owner = self._owner(layer)
        open_still = owner is not None and owner in self._viewer.layers
        if self._may_lie_here(layer, open_still):
            _owners[layer] = ref(self.layer)
            self.claimed.emit()
        elif owner is not None and open_still:
            owner.metadata[OFF] = True
            self.asked.emit(owner)
        if not self.holds(layer):
            with self._quiet():
                layer.visible, layer.metadata[OFF] = False, True
            show_info((COLOURED if getattr(layer, "rgb", False) else SCAN_CLOSED).format(layer.name))

    def _may_lie_here(self, layer: Layer, open_still: bool) -> bool:
        """Whether it is a mask from a file, which may be of any scan that it lies on, or of this scan opened before."""
        carrier = carrier_of(layer)
        scan = None if self.layer is None else self._scan_of(self.layer)
        if carrier is None or scan is None or not lies_on(layer, scan):
            return False
        return carrier.role == "mask" or (not open_still and _same_file(carrier.scan, scan))

    # Where the viewer stands

    def _view(self) -> _View:
        camera = self._viewer.scene.camera
        return _View(tuple(self._viewer.dims.point), tuple(camera.center), float(camera.zoom))

    def _look_at(self, layer: Image) -> None:
        """Where it was looked at before; the first time, its middle, whole."""
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        view = self._views.get(layer)
        if view is not None and len(view.point) == dims.ndim:
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
