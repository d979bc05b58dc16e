"""Tools that change more than a stroke: interpolation between slices, holes, islands, growing and shrinking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_morse.errors import CancelledError
from napari_morse.session.tools import ToolChange, fill_holes, grow, interpolate, remove_islands
from napari_morse.types import Array
from napari_morse.widgets.base import Elided, Work, act_button, shortcuts
from napari_morse.widgets.bridge import PlaneInView
from napari_morse.widgets.case import ActiveCase, CorrectedLayer, Passing, Rest

SLICE, VOLUME = "this slice", "whole volume"
NO_SLICE = "There is no slice to work on: switch 3-D off, and go to a slice of the scan."
Scope = tuple[int | None, int | None]
"""Storage axis across a slice and its index; neither for the whole volume."""


@dataclass(frozen=True, eq=False)
class _Subject:
    """What a tool works on, as it was when the tool began.

    Parameters
    ----------
    corrected
        The mask.
    state
        Of its corrections.
    label
        The structure.
    drawn
        Slices with strokes of it, by storage axis across them.
    """

    corrected: CorrectedLayer
    state: int
    label: int
    drawn: dict[int, list[int]]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxels, storage order."""
        return self.corrected.scan.grid.spacing

    @property
    def still(self) -> bool:
        """Whether nothing was drawn since."""
        return self.corrected.corrections.state == self.state

    def between(self, axis: int) -> list[int] | None:
        """Slices between which others are drawn; None: between all that hold the structure."""
        drawn = self.drawn.get(axis, [])
        return drawn if len(drawn) > 1 else None


Tool = Callable[[Array, _Subject], ToolChange | None]
ScopedTool = Callable[[Scope, Array, _Subject], ToolChange | None]


class ToolsBox(QWidget):
    """Works on the structure under work, in the plane in view or in the whole volume.

    Parameters
    ----------
    active_case
        What is under work.
    parent
        Owner.
    """

    def __init__(self, active_case: ActiveCase, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._active_case = active_case
        self._corrected: CorrectedLayer | None = None
        self.drawn: dict[tuple[int, int], set[int]] = {}
        """Slices with strokes since the last interpolation, by label and storage axis across them."""
        self.interpolate = act_button(self, f"Interpolate [{shortcuts.chosen()['interpolate']}]", self.run_interpolate)
        self.slices = Elided(parent=self)
        self.scope = QComboBox(self)
        self.scope.addItems([SLICE, VOLUME])
        self.holes = act_button(self, "Fill holes", self.run_holes)
        self.islands = act_button(self, "Remove islands", self.run_islands)
        self.bigger = act_button(self, "Grow", lambda: self.run_grow(1))
        self.smaller = act_button(self, "Shrink", lambda: self.run_grow(-1))
        self.mm = QDoubleSpinBox(self)
        self.mm.setRange(0.1, 50)
        self.mm.setDecimals(1)
        self.mm.setSingleStep(0.5)
        self.mm.setValue(1.0)
        self.unit = QLabel("mm", self)
        self.note = Passing(active_case, lambda: (active_case.label, active_case.locked), parent=self)
        self._lay_out()
        active_case.changed.connect(self.refresh)
        active_case.rested.connect(self._on_rest)
        active_case.runner.succeeded.connect(self._on_done)
        active_case.runner.failed.connect(self._on_failed)
        active_case.viewer.dims.events.order.connect(self._on_dims)
        active_case.viewer.dims.events.ndisplay.connect(self._on_dims)
        self.refresh()

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.addWidget(self.interpolate, 0, 0)
        grid.addWidget(self.slices, 0, 1, 1, 2)
        grid.addWidget(QLabel("In", self), 1, 0)
        grid.addWidget(self.scope, 1, 1, 1, 2)
        grid.addWidget(self.holes, 2, 0)
        grid.addWidget(self.islands, 2, 1, 1, 2)
        by = QHBoxLayout()
        by.addWidget(self.mm, 1)
        by.addWidget(self.unit)
        grid.addLayout(by, 3, 0)
        grid.addWidget(self.bigger, 3, 1)
        grid.addWidget(self.smaller, 3, 2)
        for column in range(3):
            grid.setColumnStretch(column, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addWidget(self.note)

    # What the person does

    def run_interpolate(self) -> None:
        """Draw the structure in the slices between those that were drawn."""

        def between(plane: PlaneInView) -> None:
            axis, _ = plane.storage
            self._run("interpolate", lambda mask, on: interpolate(mask, [on.label], axis, on.spacing, on.between(axis)))

        self._in_slice(between)

    def run_holes(self) -> None:
        """Fill what the structure encloses."""
        self._in_scope("fill holes", lambda scope, mask, on: fill_holes(mask, on.label, *scope))

    def run_islands(self) -> None:
        """Leave only the largest part of the structure."""
        self._in_scope(
            "remove islands", lambda scope, mask, on: remove_islands(mask, on.label, on.spacing, None, *scope)
        )

    def run_grow(self, sign: int) -> None:
        """Grow (+1) or shrink (−1) the structure."""
        mm = sign * self.mm.value()
        self._in_scope(
            "grow" if sign > 0 else "shrink", lambda scope, mask, on: grow(mask, on.label, mm, on.spacing, *scope)
        )

    def _in_scope(self, kind: str, tool: ScopedTool) -> None:
        """Run a tool in the slice in view, or in the whole volume, as the person chose."""
        if self.scope.currentText() == SLICE:
            self._in_slice(lambda plane: self._run(kind, partial(tool, plane.storage)))
        else:
            self._run(kind, partial(tool, (None, None)))

    def _in_slice(self, act: Callable[[PlaneInView], None]) -> None:
        """Do something in the slice in view; where there is none, that is said."""
        plane = self._active_case.plane
        if plane is None:
            self.note.say(self._why() or NO_SLICE)
        else:
            act(plane)

    def _run(self, kind: str, tool: Tool) -> None:
        corrected, why = self._active_case.corrected, self._why()
        if corrected is None or why:
            self.note.say(why)
            return
        corrected.compare()  # the slice that was drawn a moment ago is one of those that are drawn between
        label = self._active_case.label
        drawn = {axis: sorted(slices) for (of, axis), slices in self.drawn.items() if of == label}
        subject = _Subject(corrected, corrected.corrections.state, label, drawn)
        self.note.say("")
        # A copy: strokes go on in place while the tool works; what it makes of an older state is dropped.
        self._active_case.runner.start(_working(kind, tool, subject, np.array(corrected.corrections.mask)))
        self.refresh()

    # What arrives

    def _on_done(self, result: tuple[str, _Subject, ToolChange | None]) -> None:
        kind, subject, change = result
        self.refresh()
        if subject.corrected is not self._active_case.corrected or not subject.still:
            self.note.say("The mask was changed meanwhile: nothing was done. Try again.")
        elif change is None:
            self.note.say("There is nothing to change.")
        else:
            self._take(kind, subject.corrected, change)

    def _take(self, kind: str, corrected: CorrectedLayer, change: ToolChange) -> None:
        before = np.array(corrected.corrections.mask[change.box.slices])
        kept_out = self._active_case.apply(change.box, change.values, kind)
        count = int(np.count_nonzero(before != corrected.corrections.mask[change.box.slices]))
        self.note.say(f"{kind}: {count} voxels changed. {kept_out}".strip())
        if kind == "interpolate":
            self.drawn.clear()
            self.refresh()

    def _on_failed(self, error: Exception) -> None:
        self.refresh()
        if not isinstance(error, CancelledError):
            self.note.say(str(error))

    # What is shown

    def refresh(self) -> None:
        """Show what can be done."""
        corrected = self._active_case.corrected
        if corrected is not self._corrected:
            self._follow(corrected)
        why = self._why()
        unit = "mm" if self._active_case.scan is None or self._active_case.scan.size_known else "px"
        self.unit.setText(unit)
        name = self._active_case.name_of(self._active_case.label)
        for widget, tip in (
            (
                self.interpolate,
                f"Draw {name} in the slices between those that you drew. [{shortcuts.chosen()['interpolate']}]",
            ),
            (self.scope, "Where holes are filled, islands removed, and structures grown or shrunk."),
            (self.holes, f"Give {name} the background that it encloses."),
            (self.islands, f"Leave only the largest part of {name}."),
            (self.mm, "How far to grow or shrink."),
            (self.bigger, f"Grow {name} into the background around it."),
            (self.smaller, f"Take the rim of {name} away."),
        ):
            widget.setEnabled(not why)
            widget.setToolTip(why or tip)
        self._say_slices()

    def _say_slices(self) -> None:
        plane = self._active_case.plane
        if plane is None:
            self.slices.say("")
            return
        drawn = sorted(self._shown(plane, self.drawn.get((self._active_case.label, plane.storage[0]), ())))
        text = ", ".join(map(str, drawn))
        more = "Slices as the viewer counts them, from 0."
        self.slices.say(f"between {text}" if len(drawn) > 1 else "gaps between all its slices", more)

    @staticmethod
    def _shown(plane: PlaneInView, slices: Any) -> list[int]:
        length = plane.shape[plane.across]
        return [length - 1 - n if plane.axes.flip[plane.across] else n for n in slices]

    def _why(self) -> str:
        active_case = self._active_case
        if active_case.corrected is None:
            return active_case.blocked or "Press “Start correcting” first."
        if active_case.runner.busy:
            return "A tool is at work."
        if not active_case.label:
            return "Choose a structure: the background is not worked on."
        return "This structure is locked." if active_case.label in active_case.locked else ""

    def _follow(self, corrected: CorrectedLayer | None) -> None:
        self._corrected = corrected
        self.drawn.clear()

    def _on_rest(self, rest: Rest) -> None:
        plane = self._active_case.plane
        if plane is None or not rest.strokes:
            return
        axis = plane.storage[0]
        for box in rest.strokes:
            # A ball of the brush reaches into slices that nobody looked at: those do not count as drawn.
            if box.shape[axis] == 1:
                self.drawn.setdefault((self._active_case.label, axis), set()).add(box.start[axis])
        self._say_slices()

    def _on_dims(self, _event: Any = None) -> None:
        self._say_slices()

    def close_down(self) -> None:
        """Let go."""
        self._follow(None)
        self.note.close_down()
        self._active_case.changed.disconnect(self.refresh)
        self._active_case.rested.disconnect(self._on_rest)
        self._active_case.runner.succeeded.disconnect(self._on_done)
        self._active_case.runner.failed.disconnect(self._on_failed)
        self._active_case.viewer.dims.events.order.disconnect(self._on_dims)
        self._active_case.viewer.dims.events.ndisplay.disconnect(self._on_dims)


def _working(kind: str, tool: Tool, subject: _Subject, mask: Array) -> Work:
    return lambda _tell, _cancelled: (kind, subject, tool(mask, subject))
