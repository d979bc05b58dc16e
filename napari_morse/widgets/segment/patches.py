"""The doubtful patches of a result: the ranked list, and going to one: slice, middle of the view, its voxels marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Points
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_morse.types import Array, Label, Patches, Scan
from napari_morse.widgets.bridge import display_axes, go_to, patch_attributes

if TYPE_CHECKING:
    from napari.components import ViewerModel

LISTED_PATCHES = 200
"""Patches listed; the file holds all of them."""
ROWS = 6
"""Rows seen before the list scrolls."""
PATCHES_TIP = (
    "Where the rendered mask is most probably wrong, the most doubtful first. Click, or press Enter, to go there."
)


class PatchTable(QTableWidget):
    """Rank, the two structures that meet, length, probability of error; hidden when there is no patch."""

    chosen = Signal(int)
    """Place in the list, from 0, of the patch that was clicked or on which Enter was pressed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 4, parent)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setAccessibleName("Doubtful patches")
        self.setToolTip(PATCHES_TIP)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setStyleSheet("QHeaderView::section { padding: 2px; } QTableWidget::item { padding: 1px 2px; }")
        header, numbers = QHeaderView(Qt.Orientation.Horizontal, self), QHeaderView(Qt.Orientation.Vertical, self)
        self._header = header
        self.setHorizontalHeader(header)
        self.setVerticalHeader(numbers)
        numbers.hide()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(20)
        self._row = self.fontMetrics().height() + 4
        numbers.setDefaultSectionSize(self._row)
        for column, (text, tip) in enumerate(
            (
                ("#", "Rank, the most doubtful first."),
                ("patch between", "What meets at the boundary."),
                ("mm", "Length of the boundary in the slices."),
                ("error", "Probability that a boundary voxel of the patch has the wrong label."),
            )
        ):
            head = QTableWidgetItem(text)
            head.setToolTip(tip)
            self.setHorizontalHeaderItem(column, head)
            if column != 1:
                self.setColumnWidth(column, self.fontMetrics().horizontalAdvance("88.8 %") + 8)
        self.cellClicked.connect(lambda row, _column: self.chosen.emit(row))
        self.hide()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Go to the patch of the current row on Enter, on every platform."""
        if event is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if self.currentRow() >= 0:
                self.chosen.emit(self.currentRow())
            return
        super().keyPressEvent(event)

    def fill(self, patches: Patches, labels: tuple[Label, ...]) -> None:
        """List the first `LISTED_PATCHES` of ``patches``."""
        names = {0: "background"} | {label.id: label.name for label in labels}
        count = min(len(patches), LISTED_PATCHES)
        self.clearSelection()
        self.setRowCount(count)
        for row in range(count):
            sides = (int(patches.label[row]), int(patches.other[row]))
            meets = " | ".join(names.get(i, f"label {i}") for i in sides)
            texts = (str(row + 1), meets, f"{patches.length[row]:.1f}", f"{100 * patches.probability[row]:.0f} %")
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                if column != 1:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                else:
                    item.setToolTip(text)
                self.setItem(row, column, item)
        tall = self._header.sizeHint().height()
        self.setFixedHeight(tall + self._row * min(count, ROWS) + 2 * self.frameWidth() + 2)
        self.scrollToTop()
        self.setVisible(count > 0)


class PatchView:
    """Shows one patch at a time, in a points layer of its own; both cells of a comparison show it.

    Parameters
    ----------
    viewer
        Where the patch is shown.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Points | None = None

    @property
    def layer(self) -> Points | None:
        """The marks, or None when no patch is shown."""
        return self._layer if self._layer in self._viewer.layers else None

    def show(self, patches: Patches, rank: int, scan: Scan) -> None:
        """Mark the patch at place ``rank`` (from 0) and bring it into the middle of the view."""
        axes = display_axes(scan)
        voxel = axes.index_to_view(patches.of(rank)).astype(float)
        layer = self.layer
        if layer is None:
            layer = self._layer = self._add(voxel, scan)
        else:
            layer.data = voxel
        go_to(self._viewer, layer, axes.index_to_view(patches.centre[rank : rank + 1])[0])

    def _add(self, voxel: Array, scan: Scan) -> Points:
        selected = set(self._viewer.layers.selection)
        layer = Points(voxel, **patch_attributes(scan))
        self._viewer.add_layer(layer)
        layer.editable = False
        # napari selects what is added: the brush would lose its mask.
        self._viewer.layers.selection = selected
        return layer

    def clear(self) -> None:
        """Take the marks away."""
        layer, self._layer = self.layer, None
        if layer is not None:
            self._viewer.layers.remove(layer)
