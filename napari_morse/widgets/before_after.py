"""A held-out case as two models see it: the masks before and after a round, as outlines over its scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QObject

from napari_morse.errors import CancelledError, GeometryError
from napari_morse.io import open_mask
from napari_morse.training.tuning.verdict import WHENS, When, mask_file
from napari_morse.types import Array, Label, Mask, Scan
from napari_morse.widgets.layers import mask_layer_data
from napari_morse.widgets.plane_of import go_to
from napari_morse.widgets.project_host import ProjectHost
from napari_morse.widgets.workers import JobRunner, Tell, Work

if TYPE_CHECKING:
    from napari.components import ViewerModel

COLOURS: dict[When, str] = {"before": "#cc79a7", "after": "#f0e442"}
"""Of the outlines: Okabe and Ito's purple and yellow, which structures get last."""
LINE = 1
"""Voxels of the outlines."""


class BeforeAfter(QObject):
    """Opens the case and adds the two layers; they go with the case.

    Parameters
    ----------
    viewer
        Gets them.
    host
        Opens cases.
    parent
        Owner.
    """

    def __init__(self, viewer: ViewerModel, host: ProjectHost, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._host = viewer, host
        self._wanted: tuple[Path, str] | None = None
        self.layers: dict[str, Labels] = {}
        self.runner = JobRunner("morse-before-after", self)
        self.runner.succeeded.connect(self._on_masks)
        self.runner.failed.connect(self._on_failed)
        host.changed.connect(self._on_host)
        host.leaving.connect(self._forget)

    def show(self, folder: Path, case: str) -> None:
        """Show a case of the round in a folder."""
        work = self._host.work
        if work is None or work.job.case != case:
            self._host.go(case)
        self._wanted = folder, case
        self._on_host()

    def _on_host(self) -> None:
        wanted, work = self._wanted, self._host.work
        if wanted is None or work is None or self._host.layers is None or self.runner.busy:
            return
        folder, case = wanted
        if work.job.case != case:
            if self._host.wanted != case:
                self._wanted = None  # another one was asked for meanwhile
            return
        self._wanted = None
        if self._host.blind:
            show_warning("You read this case blind: submit your reading before you look at what models say.")
            return
        self._host.truths.note_look(work)
        self.runner.start(_reading(folder, case, work.scan))

    def _on_masks(self, read: tuple[Scan, Mapping[str, Array]]) -> None:
        scan, masks = read
        work = self._host.work
        if work is None or work.scan is not scan:
            return
        self._take_away()
        for when in WHENS:
            data = masks[when]
            ids = (int(i) for i in np.unique(data) if i)
            labels = tuple(Label(i, f"{when}: label {i}", COLOURS[when]) for i in ids)
            mask = Mask(data, scan.grid, labels, scan.header)
            pixels, attributes, _ = mask_layer_data(mask, scan, f"{when} · {scan.stem}")
            layer = self.layers[when] = Labels(pixels, **attributes)
            layer.contour = LINE
            self._viewer.add_layer(layer)
            layer.editable = False
        if self._host.layers is not None and self._host.layers.mask in self._viewer.layers:
            self._viewer.layers.selection.active = self._host.layers.mask  # what the brush is for
        self._go_to()

    def _go_to(self) -> None:
        """To the slice on which the two differ most."""
        before, after = (np.asarray(layer.data) for layer in self.layers.values())
        differs = np.argwhere(before != after)
        if not len(differs) or self._viewer.dims.ndisplay != 2:
            return
        slices, counts = np.unique(differs[:, 0], return_counts=True)
        most = differs[differs[:, 0] == slices[np.argmax(counts)]]
        go_to(self._viewer, self.layers["after"], most.mean(axis=0).round().tolist())

    def _on_failed(self, error: Exception) -> None:
        if not isinstance(error, CancelledError):
            show_error(f"The masks before and after could not be shown: {error}")

    def _take_away(self) -> None:
        for layer in self.layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.layers = {}

    def _forget(self) -> None:
        self.layers = {}

    def close_down(self) -> None:
        """Let go."""
        self._wanted = None
        self.runner.cancel()
        self._host.changed.disconnect(self._on_host)
        self._host.leaving.disconnect(self._forget)


def _reading(folder: Path, case: str, scan: Scan) -> Work:
    def work(_tell: Tell, _cancelled: Callable[[], bool]) -> Any:
        found = {when: open_mask(mask_file(folder, case, when, "rendered")) for when in WHENS}
        if not all(mask.grid.same_as(scan.grid) for mask in found.values()):
            raise GeometryError("The masks do not lie on the scan's grid.", "Judge the models again with a new round.")
        return scan, {when: mask.data for when, mask in found.items()}

    return work
