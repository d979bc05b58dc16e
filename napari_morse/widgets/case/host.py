"""What the parts of a project's open case may ask of the one who holds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from napari_morse.session import SegmentSession
from napari_morse.session.project import Case, Consequence, Project, Status
from napari_morse.widgets.case.keeper import CaseKeeper
from napari_morse.widgets.case.layers import CaseInView


class CaseHost(Protocol):
    """See `ProjectHost`, which is one; its parts know nothing else of it."""

    session: SegmentSession
    keeper: CaseKeeper
    project: Project | None
    here: CaseInView | None
    wanted: str
    submitting: bool

    @property
    def unwritten(self) -> str:
        """What of the open case is in memory only, and why; empty when all is on the disk."""

    def go(self, case: str) -> None:
        """Open a case."""

    def may_leave(self) -> bool:
        """Whether nothing goes unsaid when the open case is left."""

    def leave_case(self) -> None:
        """Save the open case, and take its layers away."""

    def submit(self) -> None:
        """End the second reading."""

    def set_status(self, cases: Sequence[str], status: Status, comment: str = "") -> None:
        """Move cases; a sentence when one may not go there."""

    def try_to(self, act: Callable[[Project], Any], of_itself: str = "") -> bool:
        """Do something with the project; whether it went well."""

    def follow(self, case: Case, consequence: Consequence, *, of_itself: bool = False) -> None:
        """Note in the project what an act leads to."""
