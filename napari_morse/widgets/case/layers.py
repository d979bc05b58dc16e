"""The layers of an open case: its scan, and the mask that is corrected or only seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from qtpy.QtCore import QObject

from napari_morse.session.case import OpenCase
from napari_morse.widgets.bridge import CONTOUR_WIDTH, carrier_of, mask_layer_data, scan_layer_data
from napari_morse.widgets.case.corrected_layer import CorrectedLayer

if TYPE_CHECKING:
    from napari.components import ViewerModel


class CaseLayers:
    """Adds them; `take_away` removes them, and whatever else lies on the case's scan.

    Parameters
    ----------
    viewer
        Gets them.
    work
        What was read.
    parent
        Owns the corrections' layer.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        work: OpenCase,
        parent: QObject,
    ) -> None:
        self._viewer, self._work = viewer, work
        data, attributes, _ = scan_layer_data(work.scan)
        self.scan = Image(data, **attributes)
        viewer.add_layer(self.scan)
        self.corrected: CorrectedLayer | None = None
        self.mask: Labels | None = None
        if work.corrections is not None:
            self.corrected = CorrectedLayer(viewer, work, parent)
            self.mask = self.corrected.layer
        elif work.view_only_mask is not None:
            data, attributes, _ = mask_layer_data(work.view_only_mask, work.scan, f"mask · {work.scan.stem}")
            self.mask = Labels(data, **attributes)
            self.mask.editable = False
            viewer.add_layer(self.mask)

    @property
    def seen(self) -> Labels | None:
        """The mask that is only seen: its reader has decided on it, or it may not be written."""
        return self.mask if self.corrected is None else None

    def outline(self, compared: bool) -> None:
        """Draw a mask that is only seen as a line while coarse and rendered mask are in view below it."""
        if self.seen is not None:
            self.seen.contour = CONTOUR_WIDTH if compared else 0
        for layer in self._viewer.layers:
            carrier = carrier_of(layer)
            if carrier is not None and carrier.scan is self._work.scan and carrier.role in ("coarse", "rendered"):
                layer.editable = False  # what is to be corrected is the corrected mask, which is kept

    def take_away(self) -> None:
        """Take over what was painted last, and remove the layers."""
        if self.corrected is not None:
            self.corrected.close_down()
        for layer in list(self._viewer.layers):
            carrier = carrier_of(layer)
            if carrier is not None and carrier.scan is self._work.scan and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        if self.corrected is not None:
            self.corrected.let_go()
