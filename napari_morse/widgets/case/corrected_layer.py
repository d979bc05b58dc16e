"""The corrected mask as a labels layer: what is painted becomes acts of `session.edits`, and undo is theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject, QTimer, Signal

from napari_morse.errors import MorseError
from napari_morse.session.case.protection import Protection
from napari_morse.session.edits import Corrections, Edit, apply_before
from napari_morse.types import Array, Label, Mask, Roi, Scan
from napari_morse.widgets.base.shortcuts import REDO, UNDO
from napari_morse.widgets.bridge import mask_layer_data
from napari_morse.widgets.bridge.placement import display_axes
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


class Timeline(Protocol):
    """What can be taken back and done again, one after the other."""

    def undo(self) -> Roi | None:
        """Take the last back; the box (storage order) in which the mask changed, or None."""

    def redo(self) -> Roi | None:
        """Do the last undone again; as `undo`."""


class CorrectedLayer(QObject):
    """Keeps a labels layer and its `Corrections` the same.

    napari remembers strokes by slice and forgets them or, after the pixels were replaced, writes old ones into the new
    mask; its history is emptied after every act, and Ctrl+Z asks ours, whichever layer of the viewer is selected (but
    for other labels layers, whose undo is their own).

    Parameters
    ----------
    viewer
        Gets the layer.
    scan
        What the mask lies on.
    corrections
        In storage order.
    labels
        Names and colours.
    may_write
        Asked before every act: another window may have taken the project over.
    parent
        Owner.
    """

    acted = Signal(object)
    """An act, an undo or a redo is done inside a `Roi` (storage order), and on the disk unless `unwritten` says
    otherwise."""
    stroked = Signal(object)
    """The `Edit` of a stroke, after ``acted``."""
    moved = Signal(object)
    """States have new numbers (`Renumbering`): something was put before what was done since."""
    replaced = Signal()
    """The mask is that of other `Corrections` now."""
    refused = Signal(int)
    """So many painted voxels were protected, and are as they were."""
    outside = Signal()
    """Something was to be drawn where the mask has no slice, and was not; once a stroke."""
    redrawn = Signal()
    """Pixels of the layer were set by us, without an event of napari's."""
    stepped = Signal()
    """Undo or redo was asked for, before it is done."""
    drawn_on = Signal()
    """A stroke begins; nothing is drawn yet."""

    def __init__(
        self,
        viewer: ViewerModel,
        scan: Scan,
        corrections: Corrections,
        labels: tuple[Label, ...],
        may_write: Callable[[], bool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._axes, self.corrections = viewer, display_axes(scan), corrections
        self._may_write = may_write
        self.scan, self.labels = scan, labels
        self.unwritten = Unwritten(corrections, self)
        self.protection = Protection(scan.grid.shape)
        self.timeline: Timeline = corrections
        """What undo and redo step through."""
        self.drawing = False
        """Whether a mouse button is down on the layer."""
        self._told_outside = False
        mask = Mask(np.array(corrections.mask), scan.grid, labels, scan.header)
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
            self._step(self.timeline.undo)

    def redo(self) -> None:
        """Do what was undone again."""
        if self._in_view():
            self._step(self.timeline.redo)

    def act(self, box: Roi, values: Array, kind: str, state: int | None = None) -> tuple[Edit | None, int]:
        """Change voxels as one act, but for those that are protected.

        Parameters
        ----------
        box
            Storage order.
        values
            Labels, of the box's shape.
        kind
            As of `Corrections.apply`.
        state
            The `Corrections.state` after which it is put, before what was done since; None: now.

        Returns
        -------
        tuple
            What was done, or None, and how many voxels were kept out.

        Raises
        ------
        InputError, GeometryError
            A label that does not fit, or a box outside.
        """
        self.compare()
        if self.frozen():
            return None, 0
        corrections = self.corrections
        box.check(corrections.mask.shape)
        after = corrections.state if state is None else state
        if not corrections.reaches(after):
            return None, 0
        before = corrections.at(after, box)  # where it is put: what came later lies on top, and is not asked
        refused = self.protection.refused(before, values, box)
        done, moved = apply_before(corrections, after, box, np.where(refused, before, values), kind)
        if done is not None:
            if state is not None:
                self.moved.emit(moved)
            self._draw(box)
            self.acted.emit(box)
        return done, int(np.count_nonzero(refused))

    def compare(self) -> None:
        """Take over whatever differs, wherever it is: a script may write pixels without an event."""
        self._soon.stop()
        self._waiting = []
        self._take(None, "edit")

    def colour(self, labels: tuple[Label, ...]) -> None:
        """Show structures that the model does not know in their own colours, too."""
        now = self.layer.colormap
        more = {label.id: label.color for label in labels if label.id not in {x.id for x in self.labels}}
        if more and isinstance(now, DirectLabelColormap):
            self.layer.colormap = DirectLabelColormap(color_dict={**now.color_dict, **more})

    def redraw(self) -> None:
        """Show all of what the corrections hold."""
        self._draw(Roi((0, 0, 0), self.corrections.mask.shape))

    def replace(self, corrections: Corrections) -> None:
        """Go on with other corrections of the same case."""
        self.corrections = self.timeline = corrections
        self.unwritten.follow(corrections)
        if self.layer.data.dtype != corrections.mask.dtype:
            with self.layer.events.data.blocker():
                self.layer.data = np.array(self._axes.to_view(corrections.mask), order="C")
        self.redraw()
        self.layer.editable = True
        self.replaced.emit()

    def close_down(self) -> None:
        """Take over what is left, and let go of the viewer; the layer stays."""
        self.compare()
        self.layer.events.paint.disconnect(self._on_paint)
        self.layer.events.data.disconnect(self._on_data)
        if self._on_press in self.layer.mouse_drag_callbacks:
            self.layer.mouse_drag_callbacks.remove(self._on_press)
        self._within.release()
        for key, step in self._keys.items():
            self.layer.bind_key(key, None)
            if self._viewer.keymap.get(coerce_keybinding(key)) is step:
                self._viewer.bind_key(key, None)

    def let_go(self) -> None:
        """Keep nothing of the case in memory."""
        self.unwritten.leave()
        self.setParent(None)
        self.deleteLater()

    def frozen(self) -> bool:
        """Whether nothing may be changed any more; what was painted is then taken away again."""
        if self._may_write():
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

    def _step(self, step: Any) -> None:
        self.compare()
        if self.frozen():
            return
        self.stepped.emit()
        box = step()
        if box is not None:
            self._draw(box)
            self.acted.emit(box)

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
        differs = not np.array_equal(shown[where.slices], self.corrections.mask[where.slices])
        if differs and self.frozen():
            return True
        refused = self._restored(shown, where) if differs else 0
        try:
            act = self.corrections.diff(shown, where, kind) if differs else None
        except MorseError as error:
            self.redraw()
            show_error(str(error))
            return True
        finally:
            self.layer._reset_history()  # noqa: SLF001 (napari keeps strokes that would undo the wrong pixels)
        if act is not None:
            self.acted.emit(act.box)
            if kind == "stroke":
                self.stroked.emit(act)
        if refused:
            self.refused.emit(refused)
        return differs

    def _restored(self, shown: Array, where: Roi) -> int:
        """Put painted voxels that are protected back as they were; returns how many."""
        mask = self.corrections.mask
        refused = self.protection.refused(mask[where.slices], shown[where.slices], where)
        count = int(np.count_nonzero(refused))
        if count:
            shown[where.slices][refused] = mask[where.slices][refused]
            self.layer.refresh()
            self.redrawn.emit()
        return count

    def _draw(self, box: Roi) -> None:
        """Show a box (storage order) as the corrections have it."""
        mask: Array = self.corrections.mask
        self._axes.to_storage(self.layer.data)[box.slices] = mask[box.slices]
        self.layer.refresh()
        self.redrawn.emit()


def _box_of(atom: Any, shape: tuple[int, ...]) -> Roi:
    """The box (display order) that an atom of napari's history lies in."""
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
