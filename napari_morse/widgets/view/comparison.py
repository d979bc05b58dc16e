"""Two masks before one pair of eyes: which result is in view, how both are compared, and with which points."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from napari.layers import Labels, Layer, Points
from qtpy.QtCore import QObject, Signal

from napari_morse.widgets.bridge import Colouring, Mode, colour_points
from napari_morse.widgets.view.difference import Differences
from napari_morse.widgets.view.laid_out import LaidOut, Looks, NothingLaidOut, ResultLayers
from napari_morse.widgets.view.orientation_labels import Titles

if TYPE_CHECKING:
    from napari.components import ViewerModel

_all: WeakSet[Comparison] = WeakSet()


class Comparison(QObject):
    """Owns how a result is laid out in the viewer.

    Parameters
    ----------
    viewer
        The viewer; left as it was found by `close`.
    parent
        Owner.
    """

    changed = Signal()
    """A result was opened or closed, or the mode was changed."""
    settled = Signal()
    """All layers stand in their places."""

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        _all.add(self)
        self.titles = Titles(viewer)
        self.differences = Differences(viewer)
        self._looks = Looks()
        self._laid: LaidOut | NothingLaidOut = NothingLaidOut(self._looks, self.titles)

    @property
    def shown(self) -> ResultLayers | None:
        """The result in view."""
        return self._laid.result

    @property
    def names(self) -> tuple[str, ...]:
        """What the two masks in view are called; empty: none are compared."""
        return self._laid.names

    @property
    def points(self) -> tuple[Points, ...]:
        """The boundary points in view: one layer, or none."""
        return self._laid.points

    @property
    def mode(self) -> Mode:
        """``side`` (two cells), ``contour`` or ``difference`` (one)."""
        return self._looks.mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode == self._looks.mode:
            return
        self._looks.mode, self._looks.swapped = mode, False
        self._laid.schedule()
        self.changed.emit()

    @property
    def swapped(self) -> bool:
        """Whether the two masks have changed places."""
        return self._looks.swapped

    @swapped.setter
    def swapped(self, swapped: bool) -> None:
        self._laid.swap(swapped)

    def name_scan(self, scan: str) -> None:
        """Say in each cell which scan it shows; empty: no scan is in view."""
        if scan != self._looks.name:
            self._looks.name = scan
            self._laid.say_titles()
        for other in list(_all) if not scan else ():  # they write in the same place
            if other.viewer is self.viewer and other._looks.name:  # noqa: SLF001
                other._laid.say_titles()  # noqa: SLF001

    def lead_to(self, final: Labels | None, changed: bool = False) -> None:
        """Show how the rendered mask differs from this one; None: how the coarse differs from the rendered one.

        Parameters
        ----------
        final
            The mask that is corrected.
        changed
            Whether it is, or was, another than it began as: it is then the fill, and the model's masks are lines.
        """
        another = final is not self.differences.final
        filled, self._looks.filled = self._looks.filled, changed
        if another:
            self._laid.hide_difference()
            self.differences.final = final
        if another and self.mode == "difference":
            self._laid.schedule()
        elif another or filled != changed:
            self._laid.redraw()

    def open(self, result: ResultLayers) -> None:
        """Show a result in the place of the one shown before, whoever showed that."""
        for other in list(_all):
            if other.viewer is self.viewer:
                # Two docks over one viewer share its grid: what the one laid out must not be laid out again by the
                # other.
                other.close()
        self._looks.swapped = False
        self.differences.names = result.names
        laid = LaidOut(self.viewer, result, self._looks, self.differences, self.titles, self)
        laid.settled.connect(self.settled)
        laid.gone.connect(self.close)
        laid.grid_switched.connect(self._on_grid)
        laid.ended.connect(self._on_ended)
        self._laid = laid
        laid.begin()
        self.changed.emit()

    def close(self) -> None:
        """Leave the viewer as it was found; the result's layers stay, as ordinary ones."""
        # Before the end: what that changes in the viewer finds nothing to lay out again.
        laid, self._laid = self._laid, NothingLaidOut(self._looks, self.titles)
        laid.end()

    def _on_ended(self) -> None:
        self._laid.say_titles()
        self.changed.emit()

    def _on_grid(self, enabled: bool) -> None:
        self.mode = "side" if enabled else "contour"

    def colour(self, by: Colouring) -> None:
        """Colour the points, in both cells."""
        for layer in self._laid.all_points:
            colour_points(layer, by)

    def size(self, size: float) -> None:
        """Diameter of the points, in voxels."""
        for layer in self._laid.all_points:
            layer.size = size

    def show_points(self, visible: bool) -> None:
        """Show or hide the points."""
        for layer in self.points:
            layer.visible = visible

    def toggle_points(self) -> None:
        """Show the points where they are hidden, and hide them where they are shown."""
        for layer in self.points:
            layer.visible = not layer.visible

    @property
    def settling(self) -> bool:
        """Whether layers are on their way to their places."""
        return self._laid.settling

    def arrange(self) -> None:
        """Lay everything out again, in the next turns of the event loop."""
        self._laid.schedule()

    def redraw(self, layer: Layer) -> None:
        """A layer's pixels were set without an event: show them in the other cell too."""
        self._laid.redraw_twin(layer)
