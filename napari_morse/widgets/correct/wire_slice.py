"""The slice that the live wire is drawn on, and its edges, looked for beside the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_morse.errors import CancelledError
from napari_morse.session.tools import Pixel, edge_cost
from napari_morse.types import Array, Scan
from napari_morse.widgets.base import JobRunner, Work
from napari_morse.widgets.bridge import PlaneInView

if TYPE_CHECKING:
    from napari_morse.widgets.case import Desk

Place = tuple[float, float]
"""Row and column in a slice, between pixels too."""


@dataclass(frozen=True, eq=False)
class ScanSlice:
    """A slice of a scan, and the layer that shows it.

    Parameters
    ----------
    scan, layer
        The scan, and its image.
    plane
        The slice in view when this was made.
    """

    scan: Scan
    layer: Image
    plane: PlaneInView

    @classmethod
    def in_view(cls, desk: Desk) -> ScanSlice | None:
        """The slice in view; None in 3-D, and outside of the scan."""
        scan, layer, plane = desk.scan, desk.scan_layer, desk.plane
        return None if scan is None or layer is None or plane is None else cls(scan, layer, plane)

    @property
    def spacing(self) -> tuple[float, float]:
        """Millimetres of a step down, and of one to the right."""
        return self.plane.spacing(self.scan)

    def place(self, event: Any) -> Place:
        """Where the mouse is, of an event of the viewer."""
        return self.plane.pixel(self.layer.world_to_data(event.position[-3:]))

    def pixel(self, at: Place) -> Pixel:
        """The pixel nearest to a place."""
        rows, columns = self.plane.size
        return min(max(round(at[0]), 0), rows - 1), min(max(round(at[1]), 0), columns - 1)

    def apart(self, one: Place, other: Place) -> float:
        """Millimetres between two places."""
        return float(np.hypot(*(np.subtract(one, other) * self.spacing)))


class Edges(QObject):
    """Finds what steps cost in the slice that was asked for last.

    Parameters
    ----------
    parent
        Owner.
    """

    found = Signal(object)
    """(R, C) of `edge_cost`, of the slice that was asked for last."""
    failed = Signal(str)
    """Why it was not found."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.runner = JobRunner("morse-wire", self)
        self._sought: ScanSlice | None = None
        self.runner.succeeded.connect(self._on_found)
        self.runner.failed.connect(self._on_failed)

    def seek(self, sought: ScanSlice) -> None:
        """Look for the edges of a slice; `found` follows, unless something else is asked for before."""
        self._sought = sought
        if not self.runner.busy:
            self.runner.start(_work(sought))

    def stop(self) -> None:
        """Nothing is looked for any more."""
        self._sought = None
        self.runner.cancel()

    def _on_found(self, result: tuple[ScanSlice, Array]) -> None:
        sought, cost = result
        if self._sought is sought:
            self._sought = None
            self.found.emit(cost)
        else:
            self._go_on()

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, CancelledError):
            self._go_on()
        elif self._sought is not None:
            self._sought = None
            self.failed.emit(str(error))

    def _go_on(self) -> None:
        """Look for what was asked for while something else was being looked for."""
        if self._sought is not None:
            self.runner.start(_work(self._sought))


def _work(sought: ScanSlice) -> Work:
    plane, spacing, data = sought.plane, sought.spacing, sought.layer.data
    return lambda _tell, _cancelled: (sought, edge_cost(plane.of(data), spacing))
