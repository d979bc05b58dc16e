"""How the result is looked at; always at the dock's bottom."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QSlider,
    QWidget,
)

from napari_morse.widgets.base import MODE, POINTS, SWAP, Note
from napari_morse.widgets.bridge import Colouring, Mode
from napari_morse.widgets.view.comparison import Comparison
from napari_morse.widgets.view.surfaces import SurfaceView

NOTHING_SHOWN = "Nothing to show yet: run a segmentation first."
POINT_SIZE = (2, 6, 20)
"""Least, first and largest diameter of a point, in tenths of a voxel."""


class ViewBar(QWidget):
    """How both masks are shown; colour, size and visibility of the points.

    Parameters
    ----------
    comparison
        Shows the masks.
    surfaces
        Shows them in 3-D.
    show_planes
        Brings the three planes into view.
    parent
        Owner.
    """

    def __init__(
        self,
        comparison: Comparison,
        surfaces: SurfaceView,
        show_planes: Callable[[], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._comparison, self._surfaces = comparison, surfaces
        self.modes: dict[Mode, QRadioButton] = {
            "side": QRadioButton("side by side", self),
            "contour": QRadioButton("contour over fill", self),
            "difference": QRadioButton("difference", self),
        }
        self.side, self.contour = self.modes["side"], self.modes["contour"]
        self.solid = QRadioButton("3-D surfaces", self)
        self.planes = QPushButton("Planes", self)
        self.planes.setToolTip("Axial, coronal and sagittal slice through the present place, with a crosshair.")
        self.planes.clicked.connect(lambda _checked=False: show_planes())
        self.note = Note(parent=self)
        self.colour = QComboBox(self)
        self.colour.addItems(["margin", "expert", "changed"])
        self.point_size = QSlider(Qt.Orientation.Horizontal, self)
        least, first, largest = POINT_SIZE
        self.point_size.setRange(least, largest)
        self.point_size.setValue(first)
        self.point_size.setMinimumWidth(40)
        self.point_size.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.show_points = QCheckBox("show", self)
        self.show_points.setChecked(True)
        self._tips: dict[QWidget, str] = {
            self.side: (
                f"Coarse mask (or before) at the left, rendered mask (or after) at the right. [{MODE}]"
                f"\nHold [{SWAP}] to swap."
            ),
            self.contour: f"Contour of the coarse mask over the rendered one. [{MODE}]\nHold [{SWAP}] to swap.",
            self.modes["difference"]: (
                "What rendering added to the coarse mask and took away; with a corrected mask, what you did."
                f" [{MODE}]\nHold [{SWAP}] to turn it around."
            ),
            self.solid: "Surfaces of both masks, coloured by how far they are apart in mm.",
            self.colour: "Colour the points by how sure the model is, by the expert that decided, or by what changed.",
            self.point_size: "Size of the points.",
            self.show_points: f"Show the boundary points. [{POINTS}]",
        }
        self._lay_out()
        for mode, button in self.modes.items():
            button.clicked.connect(lambda _checked=False, mode=mode: self._on_mode(mode))
        self.solid.clicked.connect(lambda _checked=False: surfaces.start())
        surfaces.changed.connect(self._refresh)
        surfaces.said.connect(self.note.say)
        self.colour.currentTextChanged.connect(self._on_colour)
        self.point_size.valueChanged.connect(self._on_size)
        self.show_points.toggled.connect(comparison.show_points)
        comparison.changed.connect(self._refresh)
        comparison.settled.connect(self._on_settled)
        self._refresh()

    def _lay_out(self) -> None:
        modes = QGridLayout()
        for number, button in enumerate((*self.modes.values(), self.solid)):
            modes.addWidget(button, number // 2, number % 2)
        modes.setColumnStretch(1, 1)
        points = QHBoxLayout()
        points.addWidget(self.colour)
        points.addWidget(self.point_size, 1)
        points.addWidget(self.show_points)
        points.addWidget(self.planes)
        layout = QGridLayout(self)
        layout.setContentsMargins(4, 0, 4, 4)
        layout.addWidget(QLabel("View", self), 0, 0)
        layout.addLayout(modes, 0, 1)
        layout.addWidget(QLabel("Points", self), 1, 0)
        layout.addLayout(points, 1, 1)
        layout.addWidget(self.note, 2, 0, 1, 2)
        layout.setColumnStretch(1, 1)

    def _refresh(self) -> None:
        shown = bool(self._comparison.names)
        for control, tip in self._tips.items():
            control.setEnabled(shown)
            control.setToolTip(tip if shown else NOTHING_SHOWN)
        chosen = self.solid if self._surfaces.active else self.modes[self._comparison.mode]
        chosen.setChecked(True)

    def _on_mode(self, mode: Mode) -> None:
        self._surfaces.leave()
        self._comparison.mode = mode

    def _on_settled(self) -> None:
        for points in self._comparison.points:
            if not self._surfaces.active:  # they hide the points, which the person did not
                self.show_points.setChecked(bool(points.visible))
        self.say_difference()

    def say_difference(self) -> None:
        """Say how much differs, while that is shown."""
        if not self._surfaces.active:
            self.note.say(self._comparison.differences.shown.text)

    def _on_colour(self, by: str) -> None:
        self._comparison.colour(cast("Colouring", by))

    def _on_size(self, tenths: int) -> None:
        self._comparison.size(tenths / 10)

    def apply(self) -> None:
        """Give a new result the looks chosen here."""
        self._on_colour(self.colour.currentText())
        self._on_size(self.point_size.value())
        self._comparison.show_points(self.show_points.isChecked())
