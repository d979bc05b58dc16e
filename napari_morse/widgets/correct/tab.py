"""The Correct tab: what is drawn, with what, and what becomes of a stroke."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_morse.session import ToSave
from napari_morse.types import Scan
from napari_morse.widgets.base import Elided, each_of, shortcuts
from napari_morse.widgets.case import ActiveCase, CorrectedLayer, Passing, SaveBox
from napari_morse.widgets.correct.label_list import LabelList
from napari_morse.widgets.correct.live_wire import LiveWire
from napari_morse.widgets.correct.sharpener import Sharpener

TOOL_MODES = {
    "paint": ("Brush", "Draw with the brush. [2 or P]"),
    "erase": ("Eraser", "Take away what is drawn. [1 or E]"),
    "polygon": ("Polygon", "Click around a shape; a double click fills it. [3]"),
    "fill": ("Fill", "Fill what touches the click. [4 or F]"),
    "pan_zoom": ("Move", "Move and zoom the view. [6 or Z]"),
}
"""napari's own tools of a labels layer, by their mode."""
LARGEST = 60
"""Voxels of the widest brush on the slider."""


class CorrectTab(QWidget):
    """Structures, tools, sharpening, undo.

    Parameters
    ----------
    active_case
        What is under work.
    sharpener
        Sharpens strokes.
    to_save
        Gives the masks of the scan in view.
    parent
        Owner.
    """

    def __init__(
        self,
        active_case: ActiveCase,
        sharpener: Sharpener,
        to_save: Callable[[], ToSave | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._active_case, self._sharpener = active_case, sharpener
        self._shown: _MaskShown | None = None
        self._scan: Scan | None = None
        self._hint: Callable[[], str] = str
        self._ends: list[Callable[[], None]] = []
        """What is to be done before this is gone."""
        self.begin = QPushButton("Start correcting", self)
        self.labels = LabelList(self)
        self.another = QPushButton("New structure", self)
        self.modes: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        # Not exclusive: where nothing is corrected, or the mode has no button, none of them is down.
        self._group.setExclusive(False)
        for mode, (text, _tip) in TOOL_MODES.items():
            self.modes[mode] = button = QPushButton(text, self)
            button.setCheckable(True)
            self._group.addButton(button)
            button.clicked.connect(lambda _checked=False, mode=mode: self.take(mode))
        self.brush_size = QSlider(Qt.Orientation.Horizontal, self)
        self.brush_size.setRange(1, LARGEST)
        self.size_text = QLabel(self)
        self.all_slices = QCheckBox("all slices", self)
        self.sharpen = QCheckBox(f"sharpen strokes [{shortcuts.chosen()['sharpen']}]", self)
        self.strength = QSlider(Qt.Orientation.Horizontal, self)
        self.strength.setRange(0, 100)
        self.strength_text = QLabel(self)
        self.undo, self.redo = QPushButton("Undo", self), QPushButton("Redo", self)
        self.kept = Elided(parent=self)
        self.save = SaveBox(to_save, self)
        self.note = Passing(active_case, idle=self._idle, parent=self)
        self._lay_out()
        self._connect()
        self.refresh()

    def _lay_out(self) -> None:
        tools = QGridLayout()
        for number, button in enumerate(self.modes.values()):
            tools.addWidget(button, number // 3, number % 3)
        self.tools = tools
        brush, sharp, steps = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        brush.addWidget(QLabel("Size", self))
        brush.addWidget(self.brush_size, 1)
        brush.addWidget(self.size_text)
        brush.addWidget(self.all_slices)
        sharp.addWidget(self.sharpen)
        sharp.addWidget(self.strength, 1)
        sharp.addWidget(self.strength_text)
        steps.addWidget(self.undo)
        steps.addWidget(self.redo)
        steps.addWidget(self.kept, 1)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(4, 4, 4, 4)
        self.body.addWidget(self.begin)
        self.body.addWidget(self.labels)
        self.body.addWidget(self.another, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addLayout(tools)
        self.body.addLayout(brush)
        self.body.addLayout(sharp)
        self.body.addLayout(steps)
        self.body.addWidget(self.save)
        self.body.addWidget(self.note)
        self.body.addStretch(1)

    def add_wire(self, wire: LiveWire) -> None:
        """Put the live wire beside napari's own tools."""
        button = self.wire = QPushButton(f"Live wire [{shortcuts.chosen()['wire']}]", self)
        button.setCheckable(True)
        button.setToolTip("Click along an edge: the line finds it. Enter fills.")
        button.clicked.connect(lambda _checked=False: wire.toggle())
        wire.toggled.connect(button.setChecked)
        wire.said.connect(self.note.say)
        self._hint = lambda: wire.hint
        self._ends += [
            partial(wire.toggled.disconnect, button.setChecked),
            partial(wire.said.disconnect, self.note.say),
        ]
        number = self.tools.count()
        self.tools.addWidget(button, number // 3, number % 3)

    def add(self, widget: QWidget) -> None:
        """Put a box with more tools above the notes."""
        self.body.insertWidget(self.body.count() - 4, widget)

    def _connect(self) -> None:
        active_case, sharpener = self._active_case, self._sharpener
        self.begin.clicked.connect(lambda _checked=False: active_case.begin())
        self.labels.locked.connect(active_case.lock)
        self.labels.rename_asked.connect(self._on_rename)
        self.another.clicked.connect(self._on_another)
        self.sharpen.toggled.connect(self._on_sharpen)
        self.strength.valueChanged.connect(self._on_strength)
        for signal in (active_case.said, sharpener.said):
            signal.connect(self.note.say)
        sharpener.changed.connect(self.refresh)
        active_case.changed.connect(self.refresh)

    # What the person does

    def take(self, mode: str) -> None:
        """Take one of napari's tools, for the corrected mask."""
        corrected = self._active_case.corrected
        if corrected is None:
            self._active_case.begin(lambda: self.take(mode))
            return
        self._active_case.viewer.layers.selection.active = corrected.layer
        corrected.layer.mode = mode
        self.looks(corrected)

    def _on_another(self, _checked: bool = False) -> None:
        name = self._asked("New structure", "What is it called?")
        if name:
            self._active_case.add_structure(name)

    def _on_rename(self, label: int) -> None:
        name = self._asked("Structure", "What is it called?", self._active_case.name_of(label))
        if name:
            self._active_case.name_structure(label, name)

    def _asked(self, title: str, text: str, before: str = "") -> str:
        """A name; empty when none was given, or when something else is under work by then."""
        structures, corrected = self._active_case.structures, self._active_case.corrected
        name, accepted = QInputDialog.getText(self, title, text, text=before)
        # The dialog runs the event loop: another case may be under work when it is answered.
        same = (
            structures is not None
            and structures is self._active_case.structures
            and corrected is self._active_case.corrected
        )
        return name if accepted and same else ""

    def _on_sharpen(self, on: bool) -> None:
        self._sharpener.enabled = on
        self.note.say("Strokes are sharpened." if on else "Strokes stay as they are drawn.")

    def toggle_sharpen(self) -> None:
        """Sharpen strokes from now on, or leave them as they are drawn."""
        if not self._sharpener.blocked:
            self._on_sharpen(not self._sharpener.enabled)

    def _on_strength(self, percent: int) -> None:
        self._sharpener.strength = percent / 100

    def _idle(self) -> str:
        """What is said while nothing else is."""
        return self._hint()

    # What is shown

    def refresh(self) -> None:
        """Show what is under work."""
        active_case, corrected = self._active_case, self._active_case.corrected
        if active_case.scan is not self._scan:
            self._scan = active_case.scan
            self.save.saved.say("")  # it was said of another scan
        self.begin.setEnabled(not active_case.blocked)
        self.begin.setToolTip(active_case.blocked or "Make a mask of your own. Every stroke is kept at once.")
        if corrected is None:
            self._show_nothing()
        else:
            self._show(corrected)

    def _show_nothing(self) -> None:
        """There is no corrected mask: what works on one says why it does not."""
        self._let_go_of_mask()
        self.begin.setVisible(True)
        self.another.setVisible(False)
        self.labels.fill((), 0, frozenset())
        self._explain(self._active_case.blocked or "Press “Start correcting” first.")
        for button in self.modes.values():
            button.setChecked(False)
        self.kept.say("")

    def _show(self, corrected: CorrectedLayer) -> None:
        active_case = self._active_case
        if self._shown is None or self._shown.corrected is not corrected:
            self._let_go_of_mask()
            self._shown = _MaskShown(self, active_case, corrected)
        self.begin.setVisible(False)
        self.another.setVisible(True)
        self.labels.fill(
            active_case.labels, active_case.label, active_case.locked, frozenset(label.id for label in active_case.own)
        )
        self._explain("")
        self.looks(corrected)
        self.count(corrected)

    def _let_go_of_mask(self) -> None:
        if self._shown is not None:
            self._shown.end()
            self._shown = None

    def _explain(self, why: str) -> None:
        """Let what works on a corrected mask say what it does, or why it cannot."""
        for mode, button in self.modes.items():
            self._say(button, self._active_case.blocked, TOOL_MODES[mode][1])
        for widget, tip in (
            (self.brush_size, "Width of the brush in voxels. [ and ] change it too."),
            (self.another, "Draw something that the model does not know: a name, a colour and a number of its own."),
            (self.all_slices, "The brush is a ball that reaches into the slices beside this one."),
            (self.undo, "Take the last act back, sharpening included. [Ctrl+Z]"),
            (self.redo, "Do it again. [Ctrl+Shift+Z]"),
        ):
            self._say(widget, why, tip)
        self._sharp(why)

    def _sharp(self, why: str) -> None:
        sharpener = self._sharpener
        blocked = why or sharpener.blocked
        with QSignalBlocker(self.sharpen), QSignalBlocker(self.strength):
            self.sharpen.setChecked(sharpener.enabled and not sharpener.blocked)
            self.strength.setValue(round(100 * sharpener.strength))
        self.strength_text.setText(f"{round(100 * sharpener.strength)} %")
        tip = "After each stroke the boundary inside its box is rendered again by the model."
        self._say(self.sharpen, blocked, f"{tip} One Ctrl+Z takes both back. [{shortcuts.chosen()['sharpen']}]")
        self._say(self.strength, blocked, "How far the edge goes from your stroke to what the model sees.")

    @staticmethod
    def _say(widget: QWidget, why: str, tip: str) -> None:
        widget.setEnabled(not why)
        widget.setToolTip(why or tip)

    def looks(self, corrected: CorrectedLayer) -> None:
        """Show what is in the hand: the tool, and how wide the brush is."""
        layer = corrected.layer
        for mode, button in self.modes.items():
            button.setChecked(str(layer.mode) == mode)
        with QSignalBlocker(self.brush_size), QSignalBlocker(self.all_slices):
            self.brush_size.setValue(round(float(layer.brush_size)))
            self.all_slices.setChecked(layer.n_edit_dimensions == 3)
        self.size_text.setText(f"{layer.brush_size:g} vx")

    def count(self, corrected: CorrectedLayer) -> None:
        """Show how many acts there are, and whether they are on the disk."""
        acts, unwritten = corrected.corrections.undoable, corrected.unwritten
        state = f"⚠ {unwritten.short}" if unwritten.count else "all on the disk"
        self.kept.say(f"{acts} act{'s' * (acts != 1)}, {state}", unwritten.why)

    def close_down(self) -> None:
        """Let go."""
        self._let_go_of_mask()
        self.note.close_down()
        self._active_case.changed.disconnect(self.refresh)
        self._sharpener.changed.disconnect(self.refresh)
        for signal in (self._active_case.said, self._sharpener.said):
            signal.disconnect(self.note.say)
        each_of(self._ends)


class _MaskShown(QObject):
    """A corrected mask in the tab: what is done there goes to its layer, and the other way around, until `end`.

    Parameters
    ----------
    tab
        Where it is shown.
    active_case
        What is under work.
    corrected
        The mask.
    """

    def __init__(self, tab: CorrectTab, active_case: ActiveCase, corrected: CorrectedLayer) -> None:
        super().__init__(tab)  # Qt takes its slots off the active_case, too, should the tab go without `close_down`
        self._tab, self._active_case, self.corrected = tab, active_case, corrected
        for signal, slot in self._signals():
            signal.connect(slot)

    def _signals(self) -> tuple[tuple[Any, Callable[..., None]], ...]:
        tab, active_case, events = self._tab, self._active_case, self.corrected.layer.events
        return (
            *((event, self._on_looks) for event in (events.mode, events.brush_size, events.n_edit_dimensions)),
            *((signal, self._on_count) for signal in (active_case.rested, active_case.kept)),
            (tab.labels.chosen, self._on_chosen),
            (tab.brush_size.valueChanged, self._on_size),
            (tab.all_slices.toggled, self._on_all_slices),
            (tab.undo.clicked, self._on_undo),
            (tab.redo.clicked, self._on_redo),
        )

    def end(self) -> None:
        """Another mask is shown, or none."""
        for signal, slot in self._signals():
            signal.disconnect(slot)
        self.deleteLater()

    def _on_looks(self, _event: Any = None) -> None:
        self._tab.looks(self.corrected)

    def _on_count(self, _rest: Any = None) -> None:
        self._tab.count(self.corrected)

    def _on_chosen(self, label: int) -> None:
        self._active_case.label = label
        self._active_case.viewer.layers.selection.active = self.corrected.layer

    def _on_size(self, size: int) -> None:
        layer = self.corrected.layer
        if layer.brush_size != size:
            layer.brush_size = size
        self._tab.size_text.setText(f"{size} vx")

    def _on_all_slices(self, on: bool) -> None:
        self.corrected.layer.n_edit_dimensions = 3 if on else 2

    def _on_undo(self, _checked: bool = False) -> None:
        self.corrected.undo()
        self._on_count()

    def _on_redo(self, _checked: bool = False) -> None:
        self.corrected.redo()
        self._on_count()
