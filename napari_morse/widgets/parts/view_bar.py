"""How the result is looked at; always at the dock's bottom."""

from __future__ import annotations

from typing import cast

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QRadioButton,
    QSlider,
    QWidget,
)

from napari_morse.widgets.compare import Comparison
from napari_morse.widgets.keys import MODE, POINTS, SWAP
from napari_morse.widgets.layers import Colouring

NOTHING = "Nothing to show yet: run a segmentation first."
POINT_SIZE = (2, 6, 20)
"""Least, first and largest diameter of a point, in tenths of a voxel."""


class ViewBar(QWidget):
    """Side by side or contour over fill; colour, size and visibility of the points."""

    def __init__(self, comparison: Comparison, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._comparison = comparison
        self.side = QRadioButton("side by side", self)
        self.contour = QRadioButton("contour over fill", self)
        self.colour = QComboBox(self)
        self.colour.addItems(["margin", "expert", "changed"])
        self.point_size = QSlider(Qt.Orientation.Horizontal, self)
        least, first, largest = POINT_SIZE
        self.point_size.setRange(least, largest)
        self.point_size.setValue(first)
        self.show_points = QCheckBox("show", self)
        self.show_points.setChecked(True)
        self._tips: dict[QWidget, str] = {
            self.side: f"Coarse mask at the left, rendered mask at the right. [{MODE}]\nHold [{SWAP}] to swap.",
            self.contour: f"Contour of the coarse mask over the rendered one. [{MODE}]\nHold [{SWAP}] to swap.",
            self.colour: "Colour the points by how sure the model is, by the expert that decided, or by what changed.",
            self.point_size: "Size of the points.",
            self.show_points: f"Show the boundary points. [{POINTS}]",
        }
        self._lay_out()
        self.side.toggled.connect(self._on_mode)
        self.colour.currentTextChanged.connect(self._on_colour)
        self.point_size.valueChanged.connect(self._on_size)
        self.show_points.toggled.connect(comparison.show_points)
        comparison.changed.connect(self._refresh)
        comparison.settled.connect(self._on_settled)
        self._refresh()

    def _lay_out(self) -> None:
        modes = QHBoxLayout()
        modes.addWidget(self.side)
        modes.addWidget(self.contour)
        modes.addStretch(1)
        points = QHBoxLayout()
        points.addWidget(self.colour)
        points.addWidget(self.point_size, 1)
        points.addWidget(self.show_points)
        layout = QGridLayout(self)
        layout.setContentsMargins(4, 0, 4, 4)
        layout.addWidget(QLabel("View", self), 0, 0)
        layout.addLayout(modes, 0, 1)
        layout.addWidget(QLabel("Points", self), 1, 0)
        layout.addLayout(points, 1, 1)
        layout.setColumnStretch(1, 1)

    def _refresh(self) -> None:
        shown = self._comparison.shown is not None
        for control, tip in self._tips.items():
            control.setEnabled(shown)
            control.setToolTip(tip if shown else NOTHING)
        chosen = self.side if self._comparison.mode == "side" else self.contour
        chosen.setChecked(True)

    def _on_mode(self, side: bool) -> None:
        self._comparison.mode = "side" if side else "contour"

    def _on_settled(self) -> None:
        shown = self._comparison.shown
        if shown is not None:
            self.show_points.setChecked(bool(shown.points.visible))

    def _on_colour(self, by: str) -> None:
        self._comparison.colour(cast("Colouring", by))

    def _on_size(self, tenths: int) -> None:
        self._comparison.size(tenths / 10)

    def apply(self) -> None:
        """Give a new result the looks chosen here."""
        self._on_colour(self.colour.currentText())
        self._on_size(self.point_size.value())
        self._comparison.show_points(self.show_points.isChecked())
