"""Which layers a model reads besides the scan: one row for each further channel."""

from __future__ import annotations

from napari.layers import Image
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from napari_morse.types import Scan
from napari_morse.widgets.parts.combo import combo_box
from napari_morse.widgets.parts.scan_picker import ScanPicker

NONE = "choose…"


class ChannelBox(QWidget):
    """Rows under the scan's, hidden for models of one channel.

    Parameters
    ----------
    picker
        Chooses the scan, channel 0, and knows the layers.
    parent
        Owner.
    """

    changed = Signal()
    """Another layer was chosen, or there are other channels to choose."""

    def __init__(self, picker: ScanPicker, parent: QWidget) -> None:
        super().__init__(parent)
        self._picker = picker
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.combos: dict[str, QComboBox] = {}
        picker.listed.connect(self._list)
        picker.changed.connect(self._list)
        self.hide()

    def set_channels(self, names: tuple[str, ...]) -> None:
        """Ask for these channels, all of a model's after the first."""
        if names == tuple(self.combos):
            return
        while self._form.rowCount():
            self._form.removeRow(0)
        self.combos = {name: combo_box(self, f"The image layer that is the channel “{name}”.") for name in names}
        for name, combo in self.combos.items():
            combo.setAccessibleName(f"Channel {name}")
            combo.currentIndexChanged.connect(self.changed)
            self._form.addRow(name, combo)
        self.setVisible(bool(names))
        self._list()

    def scans(self) -> dict[str, Scan]:
        """What is chosen, by channel; channels without a layer are left out."""
        chosen = {name: self._picker.scan_of(combo.currentData()) for name, combo in self.combos.items()}
        return {name: scan for name, scan in chosen.items() if scan is not None}

    def set_enabled(self, why: str) -> None:
        """Fix the choices, saying why, or with an empty ``why`` free them."""
        for combo in self.combos.values():
            combo.setEnabled(not why)
            combo.setToolTip(why or str(combo.property("tip")))

    def _list(self) -> None:
        layers = self._picker.layers()
        for name, combo in self.combos.items():
            chosen = combo.currentData()
            with QSignalBlocker(combo):
                combo.clear()
                combo.addItem(NONE, None)
                for layer in layers:
                    combo.addItem(layer.name, layer)
                kept = chosen in layers
                combo.setCurrentIndex(1 + layers.index(chosen) if kept else self._named(name, layers))
        self.changed.emit()

    def _named(self, name: str, layers: list[Image]) -> int:
        """The only layer beside the scan whose name holds the channel's, else none: a wrong guess would go unseen."""
        found = [n for n, layer in enumerate(layers) if layer is not self._picker.layer and _holds(layer.name, name)]
        return 1 + found[0] if len(found) == 1 else 0


def _holds(text: str, word: str) -> bool:
    return word.casefold() in text.casefold()
