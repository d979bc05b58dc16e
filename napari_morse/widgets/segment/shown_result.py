"""The result in view: its layers side by side, its numbers, and the patch that is looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_info
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_morse.errors import InputError
from napari_morse.session import SegmentSession, ToSave
from napari_morse.types import Mask, Prediction, Scan, no_patches
from napari_morse.widgets.bridge import Presentation, is_of, mask_as_it_is
from napari_morse.widgets.segment.patches import PatchView
from napari_morse.widgets.segment.presenter import AddedResult, Presenter
from napari_morse.widgets.segment.result_box import ResultBox
from napari_morse.widgets.view import Comparison, ResultLayers, is_twin

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_morse.widgets.view import Stage

WAITS = "The masks of “{}” are ready: choose that scan in the Segment tab to see them."


@dataclass(frozen=True)
class _Left:
    """What a dock that was closed had found, by the scan's layer: the results, and their layers."""

    results: dict[Image, Presentation]
    added: dict[Image, AddedResult]


_left: WeakKeyDictionary[ViewerModel, list[_Left]] = WeakKeyDictionary()
"""By viewers that are still there."""


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
        self._results: dict[Image, Presentation] = {}
        """The last result on each scan."""
        self._take_up()
        self.coming: Callable[[], bool] = lambda: False
        """Whether the corrected mask of the scan in view is being read."""
        self.decided: Callable[[], Labels | None] = lambda: None
        """The mask of the scan in view that a person has decided on, and that is only looked at."""

    def _take_up(self) -> None:
        """What the docks before found on the scans that are still open."""
        layers = self._viewer.layers
        for left in reversed(_left.pop(self._viewer, [])):
            self._results |= {layer: ready for layer, ready in left.results.items() if layer in layers}
            self.presenter.take_up({layer: added for layer, added in left.added.items() if layer in layers})

    def leave_behind(self) -> None:
        """Let the next dock over this viewer take up what was found."""
        self.put_away()
        self._forget_closed()
        _left.setdefault(self._viewer, []).append(_Left(self._results, self.presenter.added))

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
            self._results[layer] = ready
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
        # A layer whose pixels or place were changed since holds another scan: the result is not of that one.
        if layer not in self._results or self._results[layer].scan is not self._session.scan:
            return
        ready, shown = self._results[layer], self._comparison.shown
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
        scan, here = self._session.result_scan, self._session.scan
        self.box.setVisible(here is not None and scan is here)
        if scan is not here:
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
        corrected = [mask_as_it_is(layer, scan) for layer in self._corrected(scan)[:1]]
        predicted = self._predicted(scan)
        if not corrected and predicted is None:
            return None
        return ToSave(scan, corrected[0] if corrected else None, predicted)

    def _corrected(self, scan: Scan) -> list[Labels]:
        """The masks that a person corrected; where nobody did, the one that is only looked at."""
        masks = [x for x in self._viewer.layers if isinstance(x, Labels) and _is_corrected(x, scan)]
        decided = self.decided()
        return masks if masks or decided is None else [decided]

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
        for layer in [x for x in self._results if x not in self._viewer.layers]:
            del self._results[layer]

    def put_away(self) -> None:
        """Leave the viewer as it was found; layers that are all there stay, as ordinary ones."""
        self.presenter.stop_all()
        self._comparison.close()
        self.patch_view.clear()

    def _on_patch(self, rank: int) -> None:
        prediction, scan = self._session.result, self._session.result_scan
        if prediction is not None and scan is not None:
            self.patch_view.show(prediction.patches, rank, scan)


def _is_corrected(layer: Labels, scan: Scan) -> bool:
    """Whether it is the corrected mask of a scan itself, and neither a twin nor a copy of it."""
    return is_of(layer, scan, "corrected") and not is_twin(layer) and layer.source.parent is None


def _as_shown(prediction: Prediction, coarse: Mask, rendered: Mask) -> Prediction:
    """A result with the masks of its layers.

    The ranked patches are of the model's own boundary: of one that was painted on they would be untrue.
    """
    same = np.array_equal(rendered.data, prediction.rendered.data)
    patches = prediction.patches if same else no_patches()
    return replace(prediction, coarse=coarse, rendered=rendered, patches=patches)
