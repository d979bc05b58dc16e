"""The result in view: its layers side by side, its numbers, and the patch that is looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import ref

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_info
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_morse.errors import InputError
from napari_morse.session import SegmentSession, ToSave
from napari_morse.types import Mask, Prediction, Scan, no_patches
from napari_morse.widgets.bridge import Presentation, carrier_of, mask_as_it_is
from napari_morse.widgets.segment.patch_view import PatchView
from napari_morse.widgets.segment.presenter import Made, Presenter
from napari_morse.widgets.segment.result_box import ResultBox
from napari_morse.widgets.view import Comparison, ResultLayers, is_twin

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_morse.widgets.view import Stage

_left: list[tuple[ref[ViewerModel], dict[Image, Presentation], Made]] = []
"""What was found in viewers whose dock was closed."""
WAITS = "The masks of “{}” are ready: choose that scan in the Segment tab to see them."


class ShownResult:
    """Shows one `Presentation` at a time, takes it away again, and brings it back with its scan.

    Parameters
    ----------
    viewer
        Where the layers go.
    session
        Whose result it is.
    comparison
        Lays the masks out.
    stage
        Says which scan is in view.
    parent
        Owns the box with the numbers.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: SegmentSession,
        comparison: Comparison,
        stage: Stage,
        parent: QWidget | None = None,
    ) -> None:
        self._viewer, self._session, self._comparison, self._stage = viewer, session, comparison, stage
        self.presenter = Presenter(viewer, parent)
        self.patch_view = PatchView(viewer)
        self.box = ResultBox(self.to_save, parent)
        self.box.patches.chosen.connect(self._on_patch)
        self._kept: dict[Image, Presentation] = {}
        self._take_up()
        self.coming: Callable[[], bool] = lambda: False
        """Whether the corrected mask of the scan in view is being read."""
        self.decided: Callable[[], Labels | None] = lambda: None
        """The mask of the scan in view that a person has decided on, and that is only looked at."""

    def _take_up(self) -> None:
        """What the dock before found on the scans that are still open."""
        for place in [n for n, (viewer, *_) in enumerate(_left) if viewer() in (None, self._viewer)][::-1]:
            viewer, kept, results = _left.pop(place)
            if viewer() is not None:
                there = self._viewer.layers
                self._kept |= {layer: ready for layer, ready in kept.items() if layer in there}
                self.presenter.take_up({layer: made for layer, made in results.items() if layer in there})

    def leave_behind(self) -> None:
        """Let the next dock over this viewer take up what was found."""
        self.put_away()
        self._forget_closed()
        _left.append((ref(self._viewer), self._kept, self.presenter.made))

    def show(
        self,
        ready: Presentation,
        layer: Image,
        keep: Callable[[], None],
        done: Callable[[], None],
        stopped: Callable[[], None],
    ) -> None:
        """Add the layers, one a turn of the event loop.

        ``keep`` is called with all of them in place and before they are laid out, ``done`` after that, ``stopped`` when
        the scan's layer was removed before. Where another scan is in view by then, they wait until theirs is.
        """
        if self._stage.layer is layer:
            self._comparison.close()
            self.patch_view.clear()

        def shown(result: ResultLayers) -> None:
            self._kept[layer] = ready
            keep()
            if self._stage.layer is layer:
                self._open(ready, result)
            else:
                show_info(WAITS.format(ready.scan.stem))
                self.come(self._stage.layer)  # what was found on the scan in view is what counts there
            done()
            self.match()

        self.presenter.start(ready, layer, shown, stopped, in_view=lambda: self._stage.layer is layer)

    def leave(self, layer: Image | None) -> None:
        """Another scan comes into view: put away what is compared on the one before."""
        shown = self._comparison.shown
        if shown is not None and shown.scan is not layer:
            self._comparison.close()
            self.patch_view.clear()

    def come(self, layer: Image | None) -> None:
        """A scan came into view: bring back what was found on it."""
        shown, ready = self._comparison.shown, None if layer is None else self._kept.get(layer)
        if ready is None or ready.scan is not self._session.scan:
            return
        if self._session.result is not ready.prediction:
            self._session.recall(ready.prediction, ready.scan)
        result = self.presenter.result_of(layer)
        if result is not None and (shown is None or shown.scan is not layer):
            self._open(ready, result)
        else:
            self.box.fill(ready.rows, ready.prediction, ready.scan)

    def _open(self, ready: Presentation, result: ResultLayers) -> None:
        self._comparison.open(result)
        self.box.fill(ready.rows, ready.prediction, ready.scan)

    def match(self) -> None:
        """Numbers of another scan than the chosen one would be read as its own."""
        scan = self._session.result_scan
        self.box.setVisible(scan is not None and scan is self._session.scan)
        if scan is not self._session.scan:
            self.patch_view.clear()

    def to_save(self) -> ToSave | None:
        """What there is of the scan in view, masks as they are in the viewer now; None where there is nothing.

        Raises
        ------
        InputError
            The corrected mask is being read: it would be missing.
        GeometryError
            A mask was moved away from its scan.
        """
        scan = self._session.scan
        if scan is None:
            return None
        if self.coming():
            raise InputError("The corrected mask of this scan is being read.", "Save again in a moment.")
        corrected, predicted = self._corrected(scan), self._predicted(scan)
        if corrected is None and predicted is None:
            return None
        return ToSave(scan, corrected, predicted)

    def _corrected(self, scan: Scan) -> Callable[[], Mask] | None:
        for layer in self._viewer.layers:
            carrier = carrier_of(layer)
            ours = carrier is not None and carrier.role == "corrected" and carrier.scan is scan
            copied = layer.source.parent is not None
            if ours and isinstance(layer, Labels) and not is_twin(layer) and not copied:
                return mask_as_it_is(layer, scan)
        decided = self.decided()
        return None if decided is None else mask_as_it_is(decided, scan)

    def _predicted(self, scan: Scan) -> Callable[[], Prediction] | None:
        """The last result on ``scan``, strokes on its own layers included."""
        prediction, shown = self._session.result, self.presenter.result_of(self._stage.layer)
        if prediction is None or self._session.result_scan is not scan:
            return None
        if shown is None:
            return lambda: prediction
        coarse, rendered = mask_as_it_is(shown.coarse, scan), mask_as_it_is(shown.rendered, scan)
        return lambda: _as_shown(prediction, coarse(), rendered())

    def forget_closed(self) -> None:
        """Let go of results whose scan has just been removed, once it is gone."""
        QTimer.singleShot(0, self._forget_closed)

    def _forget_closed(self) -> None:
        self.presenter.forget_closed()
        for layer in [x for x in self._kept if x not in self._viewer.layers]:
            del self._kept[layer]

    def put_away(self) -> None:
        """Leave the viewer as it was found; layers that are all there stay, as ordinary ones."""
        self.presenter.stop_all()
        self._comparison.close()
        self.patch_view.clear()

    def _on_patch(self, rank: int) -> None:
        prediction, scan = self._session.result, self._session.result_scan
        if prediction is not None and scan is not None:
            self.patch_view.show(prediction.patches, rank, scan)


def _as_shown(prediction: Prediction, coarse: Mask, rendered: Mask) -> Prediction:
    """A result with the masks of its layers.

    The ranked patches are of the model's own boundary: of one that was painted on they would be untrue.
    """
    same = np.array_equal(rendered.data, prediction.rendered.data)
    patches = prediction.patches if same else no_patches()
    return replace(prediction, coarse=coarse, rendered=rendered, patches=patches)
