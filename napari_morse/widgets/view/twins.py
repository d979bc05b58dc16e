"""Twins: one layer shown a second time, in the other cell of a side-by-side view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from napari.experimental import link_layers, unlink_layers
from napari.layers import Labels, Layer, Points, Shapes
from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from napari.components import ViewerModel

TWIN = "napari_morse_twin"
"""Key in the metadata of a twin: it is no layer of its own."""
LINKED = (
    "visible",
    "opacity",
    "blending",
    "contrast_limits",
    "gamma",
    "colormap",
    "interpolation2d",
    "contour",
)
"""What a layer and its twin share beside their pixels, where they have it."""
POINT_LOOKS = ("size", "symbol", "face_color", "border_color", "border_width")
"""What each point has of its own."""


def is_twin(layer: Layer) -> bool:
    """Whether a layer only repeats another one."""
    return bool(layer.metadata.get(TWIN))


class Mirrors(QObject):
    """Layers and their twins: pixels are shared, looks are linked, what is drawn on the one appears on the other.

    Parameters
    ----------
    viewer
        Where the twins are added.
    parent
        Owner.
    """

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._pairs: dict[Layer, Layer] = {}
        self._stale: set[Layer] = set()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._refresh)

    def __iter__(self) -> Iterator[Layer]:
        """The layers that have a twin."""
        return iter(self._pairs)

    def __contains__(self, layer: object) -> bool:
        return layer in self._pairs

    def twin(self, layer: Layer) -> Layer:
        """The twin of a layer that has one."""
        return self._pairs[layer]

    def add(self, layer: Layer) -> Layer:
        """Make the twin of ``layer`` and put it into the viewer."""
        data, state, kind = layer.as_layer_data_tuple()
        # A dict of its own: in a shared one the layer itself would be marked as a twin.
        state = state | {"name": f"{layer.name} (twin)", "metadata": {**layer.metadata, TWIN: True}}
        twin = Layer.create(data, state, kind)
        self._pairs[layer] = twin
        self._viewer.add_layer(twin)
        twin.editable = False
        for name in _shared(layer):  # not all of it is in the state
            setattr(twin, name, getattr(layer, name))
        # After both look alike: a link passes on changes alone.
        link_layers([layer, twin], _shared(layer))
        for event in self._drawn(layer):
            event.connect(self._drawn_on)
        return twin

    def drop(self, layer: Layer) -> None:
        """Take the twin of ``layer`` out of the viewer, if it is still there."""
        twin = self._pairs.pop(layer)
        self._stale.discard(layer)
        for event in self._drawn(layer):
            event.disconnect(self._drawn_on)
        unlink_layers([layer, twin], _shared(layer))
        if twin in self._viewer.layers:
            self._viewer.layers.remove(twin)

    def drop_all(self) -> None:
        """Take all twins out of the viewer."""
        for layer in list(self._pairs):
            self.drop(layer)

    @staticmethod
    def _drawn(layer: Layer) -> list[Any]:
        names = ("data", "labels_update", "features") if isinstance(layer, Labels) else ("data",)
        return [getattr(layer.events, name) for name in names if hasattr(layer.events, name)]

    def _drawn_on(self, event: Any) -> None:
        self.redraw(event.source)

    def redraw(self, layer: Layer) -> None:
        """Show in the twin what was drawn on ``layer``, in the next turn of the event loop."""
        if layer in self._pairs:
            self._stale.add(layer)
            self._timer.start(0)

    def _refresh(self) -> None:
        stale, self._stale = self._stale, set()
        for layer in stale & self._pairs.keys():
            twin = self._pairs[layer]
            if isinstance(layer, Shapes):
                twin.data = list(zip(layer.data, layer.shape_type, strict=True))
            elif isinstance(layer, Labels) and twin.data is layer.data:
                twin.refresh()
            else:
                twin.data = layer.data
                if isinstance(layer, Points) and len(layer.data):
                    for name in POINT_LOOKS:  # points that are new in the twin would look as napari likes them
                        setattr(twin, name, getattr(layer, name))
                    twin.features = layer.features


def _shared(layer: Layer) -> list[str]:
    return [name for name in LINKED if hasattr(layer.events, name) and hasattr(layer, name)]
