"""Which of the open image layers is the scan, and which are the further channels that a model reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari.layers import Image, Layer
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from napari_morse.errors import MorseError
from napari_morse.geometry.orientation import codes
from napari_morse.types import Scan
from napari_morse.widgets.base import Elided, combo_box
from napari_morse.widgets.bridge import carrier_of, scan_of, units_of
from napari_morse.widgets.view import is_another, is_twin

if TYPE_CHECKING:
    from napari.components import ViewerModel


NO_CHANNEL = "choose…"


class ScanPicker(QObject):
    """A list of the image layers that can be segmented; its `combo` and `about` are rows of the tab's form.

    Parameters
    ----------
    viewer
        Whose layers are listed.
    parent
        Owner.
    """

    changed = Signal()
    """Another scan was chosen, or the chosen one was changed."""
    removed = Signal(object)
    """An image layer that was listed is gone."""
    listed = Signal()
    """The list has other layers, or other names."""

    def __init__(self, viewer: ViewerModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._scans: dict[Image, Scan] = {}
        self._heard: list[Layer] = []
        self.combo = combo_box(parent, "The image layer to segment.")
        self.about = Elided(parent=parent)
        self.scan: Scan | None = None
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        self.combo.currentIndexChanged.connect(self._choose)
        for layer in viewer.layers:
            self._listen(layer)
        self._list(self.layer)

    @property
    def layer(self) -> Image | None:
        """The image layer that is chosen."""
        layer: Image | None = self.combo.currentData()
        return layer

    def layers(self) -> list[Image]:
        """Those that can be chosen."""
        return [self.combo.itemData(n) for n in range(self.combo.count())]

    def choose(self, layer: Layer) -> None:
        """Choose a listed layer, also while the person may not."""
        row = self.combo.findData(layer)
        if row >= 0:
            self.combo.setCurrentIndex(row)

    def known(self, layer: Layer) -> Scan | None:
        """What an image layer holds, as far as it was read before."""
        carrier = carrier_of(layer)
        if isinstance(layer, Image) and layer in self._scans:
            return self._scans[layer]
        return carrier.scan if carrier is not None and carrier.role == "scan" else None

    def scan_of(self, layer: Image | None) -> Scan | None:
        """What a listed layer holds; None, after a warning, when it cannot be read."""
        return self._read(layer) if layer is not None else None

    def close_down(self) -> None:
        """Let go of the viewer."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        while self._heard:
            self._let_go(self._heard[0])

    def _list(self, chosen: Image | None) -> None:
        listable = [layer for layer in self._viewer.layers if _can_be_scan(layer)]
        # Silent, and chosen once at the end: each entry that is added or goes would read a scan.
        with QSignalBlocker(self.combo):
            self.combo.clear()
            for layer in listable:
                self.combo.addItem(layer.name, layer)
            if chosen in listable:
                self.combo.setCurrentIndex(listable.index(chosen))
            elif listable:
                self.combo.setCurrentIndex(_in_view(listable))
        self._choose()
        self.listed.emit()

    def _choose(self) -> None:
        layer = self.layer
        self.scan = self.scan_of(layer)
        self.about.say(_describe(self.scan))
        self.changed.emit()

    def _read(self, layer: Image) -> Scan | None:
        try:
            # One `Scan` for a layer, the same each time: results, regions and masks are found by this very object.
            if layer not in self._scans:
                self._scans[layer] = scan_of(layer, self._viewer)
        except MorseError as error:
            show_warning(str(error))
            return None
        return self._scans[layer]

    def _listen(self, layer: Layer) -> None:
        if _can_be_scan(layer):
            self._heard.append(layer)
            for event, slot in self._ties(layer):
                event.connect(slot)

    def _let_go(self, layer: Layer) -> None:
        if layer in self._heard:
            self._heard.remove(layer)
            for event, slot in self._ties(layer):
                event.disconnect(slot)

    def _ties(self, layer: Layer) -> tuple[tuple[Any, Callable[[Any], None]], ...]:
        """Events of a layer, and what they lead to."""
        events = layer.events
        moved = (events.data, events.scale, events.translate, events.affine)
        return ((events.name, self._on_renamed), *((event, self._on_changed) for event in moved))

    def _on_inserted(self, event: Any) -> None:
        if _can_be_scan(event.value):
            self._listen(event.value)
            self._list(event.value if is_another(event.value, self.scan) else self.layer)

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        self._let_go(layer)
        self._scans.pop(layer, None)
        if self.combo.findData(layer) >= 0:
            self.removed.emit(layer)
            self._list(self.layer)

    def _on_renamed(self, event: Any) -> None:
        row = self.combo.findData(event.source)
        if row >= 0:
            self.combo.setItemText(row, event.source.name)
            self.listed.emit()

    def _on_changed(self, event: Any) -> None:
        # A changed layer is another scan: what was found on the one before is not of its pixels.
        self._scans.pop(event.source, None)
        if event.source is self.layer:
            QTimer.singleShot(0, self._choose)
        QTimer.singleShot(0, self.listed.emit)


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
                combo.addItem(NO_CHANNEL, None)
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
        fitting = [x for x in layers if x is not scan and self._belongs(x, scan, name)]
        return fitting[0] if len(fitting) == 1 else None

    def _belongs(self, layer: Image, scan: Image, channel: str) -> bool:
        """Whether a layer is called and stored like a channel of the scan: “A_FLAIR” beside “A_T1”."""
        before, named, after = layer.name.casefold().partition(channel.casefold())
        whole = scan.name.casefold()
        # As far as they were read: a guess loads no layer.
        read = [self._picker.known(x) for x in (layer, scan)]
        folders = {x.source.parent for x in read if x is not None and x.source is not None}
        return bool(named) and whole.startswith(before) and whole.endswith(after) and len(folders) < 2


def _in_view(layers: list[Image]) -> int:
    """The row of the topmost layer that is visible: what is looked at; of the last, where none is."""
    seen = [row for row, layer in enumerate(layers) if layer.visible]
    return seen[-1] if seen else len(layers) - 1


def _can_be_scan(layer: Layer) -> bool:
    if not isinstance(layer, Image) or layer.rgb or is_twin(layer):
        return False
    carrier = carrier_of(layer)
    return carrier is None or carrier.role == "scan"


def _describe(scan: Scan | None) -> str:
    if scan is None:
        return ""
    unit = "mm" if units_of(scan) == "mm" else "pixels"
    steps = scan.grid.spacing[:2] if scan.is_picture else scan.grid.spacing
    where = codes(scan.grid) if scan.orientation_known else "no orientation"
    return f"{' × '.join(f'{s:.3g}' for s in steps)} {unit}   {where}"
