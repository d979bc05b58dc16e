"""Adds the layers of a result to the viewer, one a turn of its event loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QObject, QTimer

from napari_morse.types import Array
from napari_morse.widgets.bridge import (
    LayerData,
    Presentation,
)
from napari_morse.widgets.view import ResultLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel


Made = dict[Image, tuple[ResultLayers, list[Array]]]


class Presenter(QObject):
    """Adds the layers of a presentation, and takes those of the last run on the same scan away.

    A mask of the last run that was edited since is kept, hidden.
    """

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._queue: list[LayerData] = []
        self._made: list[Layer] = []
        self._scan_layer: Image | None = None
        self._done: Callable[[ResultLayers], None] | None = None
        self._stopped: Callable[[], None] | None = None
        self._waiting: list[Callable[[], None]] = []
        self.made: Made = {}
        """The layers of the last run on each scan, and both masks as they were made."""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._step)

    def take_up(self, made: Made) -> None:
        """Go on with what another one has added."""
        self.made |= made

    def result_of(self, scan_layer: Image | None) -> ResultLayers | None:
        """The layers of the last run on a scan, where all of them are still in the viewer."""
        result = self.made[scan_layer][0] if scan_layer in self.made else None
        if result is None or any(layer not in self._viewer.layers for layer in (result.scan, *result.made)):
            return None
        return result

    @property
    def busy(self) -> bool:
        """Whether layers are still to come."""
        return self._done is not None

    def start(
        self,
        presentation: Presentation,
        scan_layer: Image,
        done: Callable[[ResultLayers], None],
        stopped: Callable[[], None],
        *,
        in_view: Callable[[], bool],
    ) -> None:
        """Add the layers.

        ``done`` is called with them once all are in the viewer, ``stopped`` when the scan's layer was removed before.
        Where the scan is ``in_view`` the viewer goes to the slice with most of the structure. While layers of another
        presentation are still to come, these wait.
        """
        if self.busy:
            self._waiting.append(partial(self.start, presentation, scan_layer, done, stopped, in_view=in_view))
            return
        self.forget_closed()
        self._take_away(scan_layer)
        self._queue, self._scan_layer = list(presentation.layers), scan_layer
        self._done, self._stopped = done, stopped
        if in_view() and presentation.slice is not None and self._viewer.dims.ndisplay == 2:
            self._go_to(scan_layer, presentation.slice)
        self._timer.start(0)

    def stop(self) -> None:
        """Leave off: layers that were added so far go again, and who waits for them is told."""
        if self._done is None:
            return
        self._timer.stop()
        stopped, self._stopped = self._stopped, None
        self._done, self._queue = None, []
        for layer in self._made:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._made = []
        if stopped is not None:
            stopped()
        self._start_next()

    def stop_all(self) -> None:
        """Leave off, and add nothing that waits."""
        self._waiting.clear()
        self.stop()

    def _start_next(self) -> None:
        if self._waiting and not self.busy:
            self._waiting.pop(0)()

    def _step(self) -> None:
        done, scan_layer = self._done, self._scan_layer
        if done is None or scan_layer is None:
            return
        if scan_layer not in self._viewer.layers:
            self.stop()
            return
        if self._queue:
            layer = Layer.create(*self._queue.pop(0))
            self._made.append(layer)
            self._viewer.add_layer(layer)
            self._timer.start(0)
            return
        uncertainty, coarse, rendered, points = self._made
        result = ResultLayers(scan_layer, uncertainty, coarse, rendered, points)
        self.made[scan_layer] = (result, [coarse.data.copy(), rendered.data.copy()])
        self._done, self._stopped, self._made = None, None, []
        done(result)
        self._start_next()

    def _go_to(self, layer: Image, index: int) -> None:
        middle = [n // 2 for n in layer.data.shape]
        place = layer.data_to_world([index, *middle[1:]])
        axis = self._viewer.dims.ndim - layer.ndim
        self._viewer.dims.set_point(axis, float(place[0]))

    def forget_closed(self) -> None:
        """Let go of results whose scan is no longer in the viewer."""
        for layer in [x for x in self.made if x not in self._viewer.layers]:
            del self.made[layer]

    def _take_away(self, scan_layer: Image) -> None:
        result, as_made = self.made.pop(scan_layer, (None, []))
        if result is None:
            return
        masks: list[Labels] = [result.coarse, result.rendered]
        edited = {m for m, made in zip(masks, as_made, strict=True) if not np.array_equal(m.data, made)}
        for layer in result.made:
            if layer in edited:
                layer.visible = False
                layer.name = f"{layer.name} (edited)"
            elif layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
