"""What can be seen of a project: worklist, next and previous case, files, audit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_morse.errors import InputError
from napari_morse.session.project import audit, readings, rows
from napari_morse.session.project import scan_paths as moved
from napari_morse.session.project.core import Core
from napari_morse.session.project.records import STATUSES, Case, Status


class Looking(Core):
    """The part of `Project` that changes nothing but the place where one was."""

    def cases(
        self, order: rows.Order = "number", descending: bool = False, statuses: Sequence[Status] = (), text: str = ""
    ) -> list[Case]:
        """Rows of the worklist, see `rows.arrange`; those that the present reader is to read blind show nothing."""
        return rows.arrange(self._all(), order, descending, statuses, text)

    def case(self, case: str) -> Case:
        """One case; see `cases`.

        Raises
        ------
        InputError
            There is none of that id.
        """
        found = rows.case_of(self._row(case))
        return readings.blinded(found) if case in self.to_read() else found

    def next(
        self,
        after: str = "",
        order: rows.Order = "number",
        descending: bool = False,
        statuses: Sequence[Status] = (),
        text: str = "",
    ) -> Case | None:
        """The case behind another one in this order and filter, which the other one need not pass; None at the end.

        Parameters
        ----------
        after
            Id; empty: from the beginning.
        order, descending, statuses, text
            As in `cases`.

        Raises
        ------
        InputError
            There is no case of that id.
        """
        return self._beside(after, rows.arrange(self._all(light=True), order, descending), statuses, text)

    def previous(
        self,
        before: str = "",
        order: rows.Order = "number",
        descending: bool = False,
        statuses: Sequence[Status] = (),
        text: str = "",
    ) -> Case | None:
        """As `next`, the other way."""
        return self._beside(before, rows.arrange(self._all(light=True), order, descending)[::-1], statuses, text)

    def counts(self) -> dict[Status, int]:
        """How many cases stand where; every status is there."""
        found = [case.status for case in self._all(light=True)]
        return {status: found.count(status) for status in STATUSES}

    def scan_of(self, case: str) -> Path:
        """Where a case's scan is now; see `moved.find`."""
        return moved.find(self._row(case), self.places.folder)

    def mask_of(self, case: str) -> Path | None:
        """Where the mask that a case came with is now; None when it came with none, see `moved.companion`."""
        return moved.companion(self._seen(case), "mask", self.places.folder)

    def truth_of(self, case: str) -> Path | None:
        """Where a case's truth is now; None when it has none, see `moved.companion`."""
        return moved.companion(self._seen(case), "truth", self.places.folder)

    def decided_unpredicted(self, case: str) -> bool:
        """Whether a person accepted or rejected a case before a model ever saw it: no model's mask is meant then."""
        return audit.predicted_since_decision(self.audit(case))

    @property
    def current(self) -> str:
        """The case that was open last; empty when none was."""
        row = self._connection.execute("SELECT value FROM state WHERE name = 'current'").fetchone()
        return row["value"] if row else ""

    @current.setter
    def current(self, case: str) -> None:
        self._row(case)
        with self._write() as cursor:
            cursor.execute("INSERT OR REPLACE INTO state VALUES ('current', ?)", (case,))

    def audit(self, case: str | None = None) -> list[audit.Entry]:
        """What was done, oldest first; of a case that the present reader is to read blind, nothing."""
        blind = set(self.to_read())
        return [entry for entry in audit.entries(self._connection, case) if entry.case not in blind]

    def verify(self) -> str:
        """What is wrong with the audit trail, in a sentence; empty when nothing is."""
        return audit.verify(self._connection)

    def _all(self, light: bool = False) -> list[Case]:
        blind = set(self.to_read())
        found = rows.select(self._connection, light)
        return [readings.blinded(case) if case.id in blind else case for case in found]

    def _beside(self, case: str, ordered: list[Case], statuses: Sequence[Status], text: str) -> Case | None:
        ids = [found.id for found in ordered]
        if case and case not in ids:
            raise InputError(f"The project has no case {case!r}.", "Look at the worklist.")
        start = ids.index(case) + 1 if case else 0
        beside = next((found.id for found in ordered[start:] if rows.passes(found, statuses, text)), None)
        return None if beside is None else self.case(beside)
