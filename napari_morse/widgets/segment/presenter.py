"""Adds the layers of a result to the viewer, one a turn of its event loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QObject, QTimer

from napari_morse.types import Array
from napari_morse.widgets.bridge import LayerData, Presentation
from napari_morse.widgets.view import ResultLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel


@dataclass(frozen=True, eq=False)
class AddedResult:
    """The layers of a result that are all in the viewer, and both masks as they were added."""

    layers: ResultLayers
    coarse: Array
    rendered: Array

    @classmethod
    def of(cls, layers: ResultLayers) -> AddedResult:
        """Of layers that have just been added."""
        # Copies: the brush changes a layer's pixels in place.
        return cls(layers, layers.coarse.data.copy(), layers.rendered.data.copy())

    @property
    def edited(self) -> tuple[Labels, ...]:
        """The masks that were painted on since."""
        added = ((self.layers.coarse, self.coarse), (self.layers.rendered, self.rendered))
        return tuple(mask for mask, before in added if not np.array_equal(mask.data, before))


class Presenter(QObject):
    """Adds the layers of a presentation, and takes those of the last run on the same scan away.

    A mask of the last run that was edited since is kept, hidden.
    """

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._adding: _Adding | None = None
        self._waiting: list[Callable[[], None]] = []
        self.added: dict[Image, AddedResult] = {}
        """Of the last run on each scan."""

    def take_up(self, added: dict[Image, AddedResult]) -> None:
        """Go on with what another one has added."""
        self.added |= added

    def result_of(self, scan_layer: Image | None) -> ResultLayers | None:
        """The layers of the last run on a scan, where all of them are still in the viewer."""
        if scan_layer not in self.added:
            return None
        layers = self.added[scan_layer].layers
        return layers if all(layer in self._viewer.layers for layer in (layers.scan, *layers.made)) else None

    @property
    def busy(self) -> bool:
        """Whether layers are still to come."""
        return self._adding is not None

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

        def keep(layers: ResultLayers) -> None:
            # Before `done`: what is called there may ask whether layers are still to come.
            self._adding = None
            self.added[scan_layer] = AddedResult.of(layers)
            done(layers)
            self._start_next()

        self._adding = _Adding(self._viewer, presentation.layers, scan_layer, keep, stopped, self)
        if in_view() and presentation.slice is not None and self._viewer.dims.ndisplay == 2:
            self._go_to(scan_layer, presentation.slice)

    def stop(self) -> None:
        """Leave off: layers that were added so far go again, and who waits for them is told."""
        adding, self._adding = self._adding, None
        if adding is not None:
            adding.undo()
            self._start_next()

    def stop_all(self) -> None:
        """Leave off, and add nothing that waits."""
        self._waiting.clear()
        self.stop()

    def _start_next(self) -> None:
        if self._waiting and not self.busy:
            self._waiting.pop(0)()

    def _go_to(self, layer: Image, index: int) -> None:
        middle = [n // 2 for n in layer.data.shape]
        point = layer.data_to_world([index, *middle[1:]])
        axis = self._viewer.dims.ndim - layer.ndim
        self._viewer.dims.set_point(axis, float(point[0]))

    def forget_closed(self) -> None:
        """Let go of results whose scan is no longer in the viewer."""
        for layer in [x for x in self.added if x not in self._viewer.layers]:
            del self.added[layer]

    def _take_away(self, scan_layer: Image) -> None:
        if scan_layer not in self.added:
            return
        before = self.added.pop(scan_layer)
        edited = before.edited
        for layer in before.layers.made:
            # What a person painted is never thrown away: it stays under another name, out of the comparison.
            if layer in edited:
                layer.visible = False
                layer.name = f"{layer.name} (edited)"
            elif layer in self._viewer.layers:
                self._viewer.layers.remove(layer)


class _Adding(QObject):
    """The layers of one presentation on their way into the viewer.

    Parameters
    ----------
    viewer
        Gets them.
    layers
        Uncertainty, coarse, rendered and points.
    scan_layer
        On which they lie; they stop where it is removed meanwhile.
    done
        Called with all of them in the viewer.
    stopped
        Called where they do not all come.
    presenter
        Stops them.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        layers: tuple[LayerData, ...],
        scan_layer: Image,
        done: Callable[[ResultLayers], None],
        stopped: Callable[[], None],
        presenter: Presenter,
    ) -> None:
        super().__init__(presenter)
        self._viewer, self._queue, self._scan_layer = viewer, list(layers), scan_layer
        self._done, self._stopped, self._presenter = done, stopped, presenter
        self._added: list[Layer] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._step)
        self._timer.start(0)

    def _step(self) -> None:
        if self._scan_layer not in self._viewer.layers:
            self._presenter.stop()
        elif self._queue:
            layer = Layer.create(*self._queue.pop(0))
            self._added.append(layer)
            self._viewer.add_layer(layer)
            self._timer.start(0)
        else:
            self.deleteLater()
            self._done(ResultLayers(self._scan_layer, *self._added))

    def undo(self) -> None:
        """Come no more; what was added goes again."""
        # Not only stopped: what listens while a layer comes may end this, and `_step` starts the timer after that.
        self._timer.timeout.disconnect(self._step)
        for layer in self._added:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.deleteLater()
        self._stopped()
