"""The corrected mask as a labels layer: what is painted becomes acts of `session.edits`, and undo is theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import MorseError
from napari_morse.session.case import OpenCase
from napari_morse.session.edits import Corrections, Edit, Renumbering
from napari_morse.types import Array, Label, Mask, Roi, Scan
from napari_morse.widgets.base import REDO, UNDO
from napari_morse.widgets.bridge import display_axes, mask_layer_data
from napari_morse.widgets.case.glimpse import Glimpse
from napari_morse.widgets.case.unwritten import Unwritten
from napari_morse.widgets.case.within import Within

if TYPE_CHECKING:
    from napari.components import ViewerModel

DRAWING = frozenset({"paint", "erase", "fill", "polygon"})
"""napari's modes in which a press of the mouse changes pixels."""
TAKEN = (
    "Another window took this project over, or its lock is gone: nothing is written here any more. Open it again "
    "to go on."
)


REST = 50
"""Milliseconds without an edit after which those who only say or count something look again."""


@dataclass(frozen=True)
class Rest:
    """What was edited since the last rest.

    Parameters
    ----------
    box
        Around all of it, storage order.
    strokes
        The box of each stroke.
    """

    box: Roi
    strokes: tuple[Roi, ...] = ()


class CorrectedLayer(QObject):
    """Keeps a labels layer and an open case's `Corrections` the same.

    napari remembers strokes by slice and forgets them or, after the pixels were replaced, writes old ones into the new
    mask; its history is emptied after every act, and Ctrl+Z asks ours, whichever layer of the viewer is selected (but
    for other labels layers, whose undo is their own).

    Parameters
    ----------
    viewer
        Gets the layer.
    case
        Whose mask; asked before every act whether it may be written, for another window may have taken it over.
    parent
        Owner.
    """

    acted = Signal(object)
    """As `OpenCase.edited`, once the layer shows it: for those who draw it."""
    rested = Signal(object)
    """A moment after the last edit, or when somebody asks (`rest`): a `Rest`, for those who say or count something."""
    stroked = Signal(object)
    """The `Edit` of a stroke, after ``acted``."""
    moved = Signal(object)
    """As `OpenCase.renumbered`."""
    replaced = Signal()
    """As `OpenCase.replaced`."""
    refused = Signal(int)
    """So many painted voxels were protected, and are as they were."""
    outside = Signal()
    """Something was to be drawn where the mask has no slice, and was not; once a stroke."""
    redrawn = Signal()
    """Pixels of the layer were set by us, without an event of napari's."""
    stepped = Signal()
    """Undo or redo was asked for, before it is done."""
    unseen = Signal(str)
    """Undo or redo has changed nothing in the slice in view: a sentence on where it has."""
    drawn_on = Signal()
    """A stroke begins; nothing is drawn yet."""

    def __init__(
        self,
        viewer: ViewerModel,
        case: OpenCase,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.case = case
        scan, corrections = case.scan, self.corrections
        self._viewer, self._axes = viewer, display_axes(scan)
        self._painted = False
        self._edits: list[Roi] = []
        self._strokes: list[Roi] = []
        self._resting = QTimer(self)
        self._resting.setSingleShot(True)
        self._resting.timeout.connect(self.rest)
        self.unwritten = Unwritten(corrections, self)
        self.drawing = False
        """Whether a mouse button is down on the layer."""
        self._told_outside = False
        mask = Mask(np.array(corrections.mask), scan.grid, case.labels, scan.header)
        # An array of the layer's own: it must differ from the corrections' until a stroke is taken over as an act.
        data, attributes, _ = mask_layer_data(mask, scan, f"{scan.stem}_corrected", role="corrected")
        self.layer = Labels(data, **attributes)
        self._drawn_on = False
        self._within = Within(self.layer, self._on_outside)
        self._waiting: list[Roi] = []
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._take_waiting)
        self.layer.events.paint.connect(self._on_paint)
        self.layer.events.data.connect(self._on_data)
        self.layer.mouse_drag_callbacks.insert(0, self._on_press)  # before what draws
        self._keys = {UNDO: lambda _: self.undo(), REDO: lambda _: self.redo()}
        for key, step in self._keys.items():
            self.layer.bind_key(key, step, overwrite=True)
        self.take_keys()
        viewer.add_layer(self.layer)
        for event, slot in self._events():
            event.connect(slot)

    def _events(self) -> tuple[tuple[Any, Callable[..., None]], ...]:
        case = self.case
        return (case.edited, self._on_edited), (case.renumbered, self._on_moved), (case.replaced, self._on_replaced)

    @property
    def corrections(self) -> Corrections:
        """Of the case, storage order."""
        if self.case.corrections is None:
            raise RuntimeError("A mask that is only looked at has no corrections.")
        return self.case.corrections

    @property
    def scan(self) -> Scan:
        """What the mask lies on."""
        return self.case.scan

    @property
    def labels(self) -> tuple[Label, ...]:
        """Names and colours."""
        return self.case.labels

    @property
    def touched(self) -> bool:
        """Whether the mask is, was, or is just becoming, another than the one it began as."""
        return self._drawn_on or not self.corrections.untouched

    def take_keys(self) -> None:
        """Let the keys of undo and redo be of this mask, whichever layer is selected: another may have them."""
        for key, step in self._keys.items():
            self._viewer.bind_key(key, step, overwrite=True)

    def undo(self) -> None:
        """Take the last act back."""
        if self._in_view():
            self._step(self.case.undo, "Taken back")

    def redo(self) -> None:
        """Do what was undone again."""
        if self._in_view():
            self._step(self.case.redo, "Done again")

    def act(self, box: Roi, values: Array, kind: str, state: int | None = None) -> tuple[Edit | None, int]:
        """`OpenCase.edit`, after what was painted last; nothing where nothing may be written any more."""
        self.compare()
        return (None, 0) if self.frozen() else self.case.edit(box, values, kind, state)

    def compare(self) -> None:
        """Take over whatever differs, wherever it is: a script may write pixels without an event."""
        self._soon.stop()
        self._waiting = []
        self._take(None, "edit")
        self.rest()

    def rest(self) -> None:
        """Tell now of what was edited since it was told last."""
        self._resting.stop()
        edits, strokes = self._edits, self._strokes
        self._edits, self._strokes = [], []
        if edits:
            self.rested.emit(Rest(_around(edits), tuple(strokes)))

    def colour(self, labels: tuple[Label, ...]) -> None:
        """Show structures that the model does not know in their own colours, too."""
        now = self.layer.colormap
        more = {label.id: label.color for label in labels if label.id not in {x.id for x in self.labels}}
        if more and isinstance(now, DirectLabelColormap):
            self.layer.colormap = DirectLabelColormap(color_dict={**now.color_dict, **more})

    def redraw(self) -> None:
        """Show all of what the corrections hold."""
        self._draw(Roi((0, 0, 0), self.corrections.mask.shape))

    def _on_replaced(self) -> None:
        corrections = self.corrections
        self.unwritten.follow(corrections)
        # Ids above 255 would wrap without a word in a layer of bytes: drawing into it (`_draw`) casts.
        if self.layer.data.dtype != corrections.mask.dtype:
            with self.layer.events.data.blocker():
                self.layer.data = np.array(self._axes.to_view(corrections.mask), order="C")
        self.redraw()
        self.layer.editable = True
        self.replaced.emit()

    def _on_edited(self, box: Roi) -> None:
        if not self._painted:  # else the layer is where it comes from
            self._draw(box)
        self._edits.append(box)
        self._resting.start(REST)
        self.acted.emit(box)

    def _on_moved(self, moved: Renumbering) -> None:
        self.moved.emit(moved)

    def close_down(self) -> None:
        """Take over what is left, and let go of the viewer and the case; the layer stays."""
        # What was painted last is on the disk before the layer lets go of it.
        self.compare()
        for event, slot in self._events():
            event.disconnect(slot)
        self.layer.events.paint.disconnect(self._on_paint)
        self.layer.events.data.disconnect(self._on_data)
        if self._on_press in self.layer.mouse_drag_callbacks:
            self.layer.mouse_drag_callbacks.remove(self._on_press)
        self._within.release()
        for key, step in self._keys.items():
            self.layer.bind_key(key, None)
            # Another mask may have taken the viewer's keys since: only our own are taken away.
            if self._viewer.keymap.get(coerce_keybinding(key)) is step:
                self._viewer.bind_key(key, None)

    def let_go(self) -> None:
        """Keep nothing of the case in memory."""
        self.unwritten.leave()
        self.setParent(None)
        self.deleteLater()

    def frozen(self) -> bool:
        """Whether nothing may be changed any more; what was painted is then taken away again."""
        if self.case.writable:
            return False
        self.layer.editable = False
        self.redraw()
        show_error(TAKEN)
        return True

    def _in_view(self) -> bool:
        """Whether the mask is seen: what nobody sees, of another scan perhaps, is not undone."""
        if not self.layer.visible:
            show_info(f"“{self.layer.name}” is not in view: show it to undo or redo what was drawn on it.")
        return bool(self.layer.visible)

    def _step(self, step: Callable[[], Roi | None], done: str) -> None:
        # A stroke not yet taken over is an act first: else the one before it would be taken back.
        self.compare()
        if self.frozen():
            return
        self.stepped.emit()
        # After what was painted was taken over, and before the step: it compares what is seen with what was.
        glimpse = Glimpse(self._viewer, self.layer)
        box = step()
        self.rest()
        where = "" if box is None else glimpse.missed(self._axes.roi_to_view(box))
        if where:
            self.unseen.emit(f"{done} {where}")

    def _on_press(self, _layer: Any, event: Any) -> Iterator[None]:
        self.drawing, self._told_outside = True, False
        if str(self.layer.mode) in DRAWING:
            self._drawn_on = True
            self.drawn_on.emit()
        yield
        while event.type == "mouse_move":
            yield
        self.drawing = False

    def _on_outside(self) -> None:
        if not self._told_outside:
            self._told_outside = True
            self.outside.emit()

    def _on_paint(self, event: Any) -> None:
        """Take a stroke over; a single touch is told of before it is in the pixels, and is taken a moment later."""
        self._waiting += [_box_of(atom, self.layer.data.shape) for atom in event.value]
        if self._take(_around(self._waiting), "stroke"):
            self._waiting = []
        else:
            self._soon.start(0)

    def _take_waiting(self) -> None:
        boxes, self._waiting = self._waiting, []
        if boxes:
            self._take(_around(boxes), "stroke")

    def _on_data(self, _: Any) -> None:
        self.compare()

    def _take(self, box: Roi | None, kind: str) -> bool:
        shown = self._axes.to_storage(np.asarray(self.layer.data))
        where = Roi((0, 0, 0), self.corrections.mask.shape) if box is None else self._axes.roi_to_storage(box)
        # Compared, not believed: napari tells of brush, undo and scripts by different events, and of some of them
        # early.
        differs = not np.array_equal(shown[where.slices], self.corrections.mask[where.slices])
        if differs and self.frozen():
            return True
        act, refused = self._taken(shown, where, kind) if differs else (None, 0)
        self.layer._reset_history()  # noqa: SLF001 (napari keeps strokes that would undo the wrong pixels)
        if act is not None and kind == "stroke":
            self._strokes.append(act.box)
            self.stroked.emit(act)
        if refused:
            self.layer.refresh()
            self.redrawn.emit()
            self.refused.emit(refused)
        return differs

    def _taken(self, shown: Array, where: Roi, kind: str) -> tuple[Edit | None, int]:
        self._painted = True
        try:
            return self.case.take_over(shown, where, kind)
        except MorseError as error:
            self.redraw()
            show_error(str(error))
            return None, 0
        finally:
            self._painted = False

    def _draw(self, box: Roi) -> None:
        """Show a box (storage order) as the corrections have it."""
        mask: Array = self.corrections.mask
        self._axes.to_storage(self.layer.data)[box.slices] = mask[box.slices]
        self.layer.refresh()
        self.redrawn.emit()


def _box_of(atom: Any, shape: tuple[int, ...]) -> Roi:
    """The box (display order) that an atom of napari's history lies in."""
    # napari has two kinds of atoms: a masked patch with the slice that it lies in, and (indices, before, after).
    keys = getattr(atom, "slice_key", None)
    if keys is None:
        keys = atom[0]
    low, high = [], []
    for axis, length in enumerate(shape):
        key = keys[axis] if axis < len(keys) else slice(None)
        if isinstance(key, slice):
            start, stop, _ = key.indices(length)
        else:
            places = np.where(np.asarray(key) < 0, np.asarray(key) + length, key)  # a script may count from the end
            start, stop = (int(places.min()), int(places.max()) + 1) if places.size else (0, 1)
        low.append(max(0, min(start, length - 1)))
        high.append(max(low[-1] + 1, min(stop, length)))
    return Roi(tuple(low), tuple(high))  # type: ignore[arg-type]


def _around(boxes: list[Roi]) -> Roi:
    low = np.min([box.start for box in boxes], axis=0)
    high = np.max([box.stop for box in boxes], axis=0)
    return Roi(tuple(int(v) for v in low), tuple(int(v) for v in high))  # type: ignore[arg-type]
