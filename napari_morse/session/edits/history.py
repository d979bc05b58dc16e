"""Undo and redo as encoded edits: memory in proportion to what changed, never a copy of the mask."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_morse.config import EditsConfig
from napari_morse.errors import DamagedFileError


@dataclass(frozen=True)
class _Undoable:
    state: int
    payload: bytes


class _Index(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    position: int = Field(ge=0)
    floor: int = Field(ge=0)
    next: int = Field(ge=1)
    states: list[int]
    lengths: list[int]


class History:
    """Edits done and undone. Each state of the mask has a number of its own, which is never given again.

    Parameters
    ----------
    limits
        How much is kept.
    """

    def __init__(self, limits: EditsConfig) -> None:
        self._limits = limits
        self._entries: deque[_Undoable] = deque()
        self._position = 0
        self._floor = 0
        self._next = 1
        self._size = 0

    @property
    def state(self) -> int:
        """Number of the present state; 0 is the mask before any edit."""
        return self._entries[self._position - 1].state if self._position else self._floor

    def reaches(self, state: int) -> bool:
        """Whether undoing, or nothing at all, leads to a state."""
        states = [self._floor, *(entry.state for entry in self._entries)]
        return state in states[: self._position + 1]

    @property
    def newest(self) -> int:
        """Number of the state that was made last, whether or not it is still there."""
        return self._next - 1

    def before(self, state: int) -> int:
        """The state that the act was done in which led to a reachable state; the same where no act is known."""
        states = [self._floor, *(entry.state for entry in self._entries)]
        return states[max(0, states.index(state) - 1)]

    def since(self, state: int) -> list[bytes]:
        """The edits done since a state that undoing leads to, encoded, the latest first."""
        states = [self._floor, *(entry.state for entry in self._entries)][: self._position + 1]
        return [self._entries[at].payload for at in range(self._position - 1, states.index(state) - 1, -1)]

    @property
    def undoable(self) -> int:
        """How many edits can be undone."""
        return self._position

    @property
    def redoable(self) -> int:
        """How many undone edits can be done again."""
        return len(self._entries) - self._position

    @property
    def size(self) -> int:
        """Bytes of the encoded edits."""
        return self._size

    def push(self, payload: bytes, *, trim: bool = True) -> None:
        """Add an edit just done; what was undone before it is gone."""
        while self.redoable:
            self._size -= len(self._entries.pop().payload)
        self._entries.append(_Undoable(self._next, payload))
        # Only ever up, also when undone edits are dropped: a number given twice would let `dirty` take another mask for
        # the saved one.
        self._next += 1
        self._position += 1
        self._size += len(payload)
        if trim:
            self.trim()

    def trim(self) -> None:
        """Forget the oldest edits beyond the limits, never one that was undone."""
        # Both limits must be passed: so many edits can be undone whatever they weigh, more only while they are small.
        while self._size > self._limits.history_bytes and self._position and len(self._entries) > self._limits.edits:
            oldest = self._entries.popleft()
            self._floor = oldest.state
            self._position -= 1
            self._size -= len(oldest.payload)

    def to_undo(self) -> bytes | None:
        """The edit that undo would take back, encoded; None when there is none."""
        return self._entries[self._position - 1].payload if self._position else None

    def to_redo(self) -> bytes | None:
        """The edit that redo would do again, encoded; None when there is none."""
        return self._entries[self._position].payload if self.redoable else None

    def step(self, by: int) -> None:
        """Say that the edit of `to_undo` was taken back (−1), or that of `to_redo` done again (+1)."""
        self._position += by

    def dump(self) -> bytes:
        """Everything, as bytes for a file: one line of JSON, then the edits."""
        index = _Index(
            position=self._position,
            floor=self._floor,
            next=self._next,
            states=[entry.state for entry in self._entries],
            lengths=[len(entry.payload) for entry in self._entries],
        )
        return index.model_dump_json().encode() + b"\n" + b"".join(entry.payload for entry in self._entries)

    @classmethod
    def load(cls, content: bytes, limits: EditsConfig) -> History:
        """Read what `dump` wrote.

        Raises
        ------
        DamagedFileError
            It is not such content.
        """
        line, _, payloads = content.partition(b"\n")
        try:
            index = _Index.model_validate(json.loads(line))
        except (ValueError, ValidationError) as error:
            raise _damaged() from error
        if min([*index.lengths, 0]) < 0 or sum(index.lengths) != len(payloads):
            raise _damaged()
        if len(index.states) != len(index.lengths) or index.position > len(index.states):
            raise _damaged()
        history = cls(limits)
        at = 0
        for state, length in zip(index.states, index.lengths, strict=True):
            history._entries.append(_Undoable(state, payloads[at : at + length]))
            at += length
        history._position, history._floor, history._next = index.position, index.floor, index.next
        history._size = len(payloads)
        return history


def _damaged() -> DamagedFileError:
    return DamagedFileError("The undo history of this case is damaged.", "Restore the file from a backup.")
