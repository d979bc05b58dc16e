"""A line on what was done last, which goes when it is true no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_morse.widgets.base import Note

if TYPE_CHECKING:
    from napari_morse.widgets.case.active_case import ActiveCase


class Passing(Note):
    """Said of one state of one mask: another scan, mask, edit, undo or redo takes it away.

    So does leaving or reaching the scan with the slice in view, of which it may have been said.

    Parameters
    ----------
    active_case
        What is under work.
    more
        What else it may have been said of; where only that changes, somebody calls `look`.
    idle
        Gives what stands there when nothing else does.
    parent
        Owner.
    """

    _said_of: tuple[object, ...] = ()

    def __init__(
        self,
        active_case: ActiveCase,
        more: Callable[[], tuple[object, ...]] = tuple,
        idle: Callable[[], str] = str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent=parent)
        self._active_case, self._more, self._idle = active_case, more, idle
        self._dims = active_case.viewer.dims.events
        active_case.changed.connect(self.look)
        active_case.rested.connect(self._on_rest)
        for event in (self._dims.point, self._dims.ndisplay, self._dims.order):
            event.connect(self._on_dims)

    def say(self, text: str) -> None:
        """Show ``text``, or nothing."""
        super().say(text)
        self._said_of = self._now() if text else ()

    def look(self) -> None:
        """Take the line away where it was said of something else."""
        if self.text() and not _same(self._said_of, self._now()):
            self.say(self._idle())

    def _now(self) -> tuple[object, ...]:
        active_case = self._active_case
        corrections = None if active_case.corrected is None else active_case.corrected.corrections
        state = None if corrections is None else corrections.state
        return active_case.scan, corrections, state, active_case.plane is None, *self._more()

    def _on_rest(self, _rest: Any) -> None:
        self.look()

    def _on_dims(self, _event: Any = None) -> None:
        self.look()

    def close_down(self) -> None:
        """Let go of the viewer."""
        self._active_case.changed.disconnect(self.look)
        self._active_case.rested.disconnect(self._on_rest)
        for event in (self._dims.point, self._dims.ndisplay, self._dims.order):
            event.disconnect(self._on_dims)


def _same(some: tuple[object, ...], others: tuple[object, ...]) -> bool:
    """Whether all are the same things, or plain values that are equal."""
    plain = int, str, tuple, frozenset
    return len(some) == len(others) and all(
        a is b or (isinstance(a, plain) and isinstance(b, plain) and a == b) for a, b in zip(some, others, strict=True)
    )
