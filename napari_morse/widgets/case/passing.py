"""A line on what was done last, which goes when it is true no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_morse.widgets.base import Note

if TYPE_CHECKING:
    from napari_morse.widgets.case.active_case import Desk


class Passing(Note):
    """Said of one state of one mask: another scan, mask, edit, undo or redo takes it away.

    So does leaving or reaching the scan with the slice in view, of which it may have been said.

    Parameters
    ----------
    desk
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
        desk: Desk,
        more: Callable[[], tuple[object, ...]] = tuple,
        idle: Callable[[], str] = str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent=parent)
        self._desk, self._more, self._idle = desk, more, idle
        self._dims = desk.viewer.dims.events
        desk.changed.connect(self.look)
        desk.rested.connect(self._on_rest)
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
        desk = self._desk
        corrections = None if desk.corrected is None else desk.corrected.corrections
        state = None if corrections is None else corrections.state
        return desk.scan, corrections, state, desk.plane is None, *self._more()

    def _on_rest(self, _rest: Any) -> None:
        self.look()

    def _on_dims(self, _event: Any = None) -> None:
        self.look()

    def close_down(self) -> None:
        """Let go of the viewer."""
        self._desk.changed.disconnect(self.look)
        self._desk.rested.disconnect(self._on_rest)
        for event in (self._dims.point, self._dims.ndisplay, self._dims.order):
            event.disconnect(self._on_dims)


def _same(some: tuple[object, ...], others: tuple[object, ...]) -> bool:
    """Whether all are the same things, or plain values that are equal."""
    plain = int, str, tuple, frozenset
    return len(some) == len(others) and all(
        a is b or (isinstance(a, plain) and isinstance(b, plain) and a == b) for a, b in zip(some, others, strict=True)
    )
