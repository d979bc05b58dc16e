"""The edges of the slice in view, looked for beside the window."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_morse.errors import CancelledError
from napari_morse.session.tools import edge_cost
from napari_morse.types import Array, Scan
from napari_morse.widgets.base import JobRunner, Work
from napari_morse.widgets.bridge import PlaneInView

Sought = tuple[Scan, PlaneInView, Any]
"""A scan, a slice of it, and the pixels of its layer in display order."""


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
        self._sought: Sought | None = None
        self.runner.succeeded.connect(self._on_found)
        self.runner.failed.connect(self._on_failed)

    def seek(self, scan: Scan, plane: PlaneInView, data: Any) -> None:
        """Look for the edges of a slice; `found` follows, unless something else is asked for before."""
        self._sought = (scan, plane, data)
        if not self.runner.busy:
            self.runner.start(_work(self._sought))

    def stop(self) -> None:
        """Nothing is looked for any more."""
        self._sought = None
        self.runner.cancel()

    def _on_found(self, result: tuple[Sought, Array]) -> None:
        sought, cost = result
        if self._sought is sought:
            self._sought = None
            self.found.emit(cost)
        elif self._sought is not None:
            self.runner.start(_work(self._sought))

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, CancelledError):
            if self._sought is not None:
                self.runner.start(_work(self._sought))
        elif self._sought is not None:
            self._sought = None
            self.failed.emit(str(error))


def _work(sought: Sought) -> Work:
    scan, plane, data = sought
    return lambda _tell, _cancelled: (sought, edge_cost(plane.of(data), plane.spacing(scan)))
