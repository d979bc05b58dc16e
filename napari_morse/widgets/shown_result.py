"""The result in view: its layers side by side, its numbers, and the patch that is looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_morse.errors import MorseError
from napari_morse.session import SegmentSession
from napari_morse.types import Prediction, Scan, no_patches
from napari_morse.widgets.compare import Comparison, ResultLayers
from napari_morse.widgets.layers import carrier_of, mask_of
from napari_morse.widgets.parts.result_box import ResultBox
from napari_morse.widgets.patch_view import PatchView
from napari_morse.widgets.present import Presentation, Presenter

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ShownResult:
    """Shows one `Presentation` at a time, and takes it away again.

    Parameters
    ----------
    viewer
        Where the layers go.
    session
        Whose result it is.
    comparison
        Lays the masks out.
    parent
        Owns the box with the numbers.
    """

    def __init__(
        self, viewer: ViewerModel, session: SegmentSession, comparison: Comparison, parent: QWidget | None = None
    ) -> None:
        self._session, self._comparison = session, comparison
        self.presenter = Presenter(viewer, parent)
        self.patch_view = PatchView(viewer)
        self.box = ResultBox(self.current, parent)
        self.box.patches.chosen.connect(self._on_patch)

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
        the scan's layer was removed before.
        """
        self._comparison.close()
        self.patch_view.clear()

        def shown(result: ResultLayers) -> None:
            keep()
            self._comparison.open(result)
            done()
            self.box.fill(ready.rows, ready.prediction, ready.scan)
            self.match()

        self.presenter.start(ready, layer, shown, stopped)

    def match(self) -> None:
        """Numbers of another scan than the chosen one would be read as its own."""
        scan = self._session.result_scan
        self.box.setVisible(scan is not None and scan is self._session.scan)
        if scan is not self._session.scan:
            self.patch_view.clear()

    def current(self) -> tuple[Prediction, Scan] | None:
        """The last result; its masks as they are in the viewer, corrections by hand included."""
        prediction, scan, shown = self._session.result, self._session.result_scan, self._comparison.shown
        if prediction is None or scan is None:
            return None
        carrier = carrier_of(shown.rendered) if shown is not None else None
        if shown is not None and carrier is not None and carrier.scan is scan and carrier.role == "rendered":
            try:
                coarse, rendered = mask_of(shown.coarse, scan=scan), mask_of(shown.rendered, scan=scan)
            except MorseError as error:
                show_error(str(error))
                return None
            # The ranked patches are of the model's own boundary: of one that was corrected they would be untrue.
            same = np.array_equal(rendered.data, prediction.rendered.data)
            patches = prediction.patches if same else no_patches()
            prediction = replace(prediction, coarse=coarse, rendered=rendered, patches=patches)
        return prediction, scan

    def forget_closed(self) -> None:
        """Let go of results whose scan has just been removed, once it is gone."""
        QTimer.singleShot(0, self.presenter.forget_closed)

    def put_away(self) -> None:
        """Leave the viewer as it was found; layers that are all there stay, as ordinary ones."""
        self.presenter.stop()
        self._comparison.close()
        self.patch_view.clear()

    def _on_patch(self, rank: int) -> None:
        prediction, scan = self._session.result, self._session.result_scan
        if prediction is not None and scan is not None:
            self.patch_view.show(prediction.patches, rank, scan)
