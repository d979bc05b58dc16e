"""Which layers a model reads besides the scan: one row for each further channel."""

from __future__ import annotations

from functools import partial
from weakref import WeakKeyDictionary

from napari.layers import Image
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from napari_morse.types import Scan
from napari_morse.widgets.base import combo_box
from napari_morse.widgets.segment.scan_picker import ScanPicker

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
        self._by_hand: WeakKeyDictionary[Image, dict[str, Image | None]] = WeakKeyDictionary()
        """What the person chose for each scan: chosen for one patient's, a layer is not another patient's channel."""
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
            combo.currentIndexChanged.connect(partial(self._on_chosen, name))
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

    def _on_chosen(self, name: str, _row: int) -> None:
        scan = self._picker.layer
        if scan is not None:
            self._by_hand.setdefault(scan, {})[name] = self.combos[name].currentData()

    def _list(self) -> None:
        scan, layers = self._picker.layer, self._picker.layers()
        wanted = {} if scan is None else self._wanted(scan, layers)
        for name, combo in self.combos.items():
            layer = wanted.get(name)
            with QSignalBlocker(combo):
                combo.clear()
                combo.addItem(NONE, None)
                for each in layers:
                    combo.addItem(each.name, each)
                combo.setCurrentIndex(1 + layers.index(layer) if layer in layers else 0)
        self.changed.emit()

    def _wanted(self, scan: Image, layers: list[Image]) -> dict[str, Image | None]:
        """The layer of each channel: as the person chose, else the only one that is called so."""
        return {name: self._named(name, scan, layers) for name in self.combos} | self._by_hand.get(scan, {})

    def _named(self, name: str, scan: Image, layers: list[Image]) -> Image | None:
        """The only layer that is called as the scan but for the channel's name, else none.

        A wrong guess would go unseen: with two patients' scans open, the only FLAIR may be the other patient's.
        """
        found = [x for x in layers if x is not scan and self._belongs(x, scan, name)]
        return found[0] if len(found) == 1 else None

    def _belongs(self, layer: Image, scan: Image, channel: str) -> bool:
        """Whether a layer is called and stored like a channel of the scan: “A_FLAIR” beside “A_T1”."""
        before, found, after = layer.name.casefold().partition(channel.casefold())
        whole = scan.name.casefold()
        read = [self._picker.known(x) for x in (layer, scan)]
        folders = {x.source.parent for x in read if x is not None and x.source is not None}
        return bool(found) and whole.startswith(before) and whole.endswith(after) and len(folders) < 2
