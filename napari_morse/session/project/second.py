"""Second readers of a project's cases: asked, blind until they are done, and judged by a third."""

from __future__ import annotations

from typing import Any

from napari_morse.errors import InputError
from napari_morse.session.project import audit, readings
from napari_morse.session.project.core import Core
from napari_morse.session.project.records import Agreement, Reading, check_move, plain_name, short


class SecondReaders(Core):
    """The part of `Project` that second readers use."""

    def readings(self, case: str) -> list[Reading]:
        """Second readings; of one that is under way, only who was asked, and nothing to a reader who is not done."""
        self._row(case)
        return [] if case in self.to_read() else readings.of_case(self._connection, case)

    def ask_second_reader(self, case: str, reader: str) -> None:
        """Ask somebody for a blind second reading.

        Raises
        ------
        InputError
            The reader read it first or was asked before, or the case's status does not lead there.
        """
        row, asked = self._seen(case), plain_name(reader)
        taken_back = row["status"] != "second_reader" and readings.is_open(self._connection, case, asked)
        with self._write() as cursor:
            if not taken_back:
                readings.assign(cursor, case, asked, row["reviewer"] or self.reader)
            audit.append(cursor, self.reader, case, "ask second reader", {"reader": asked})
            if row["status"] != "second_reader":
                self._move(cursor, case, check_move(row["status"], "second_reader"), row["comment"])
        self.changed.emit((case,))

    def final_reader(self, case: str) -> str:
        """The second reader whose mask was chosen; empty while the first one's stands."""
        self._row(case)
        rows = [] if case in self.to_read() else audit.entries(self._connection, case)
        chosen = audit.chosen_reader(rows)
        return "" if chosen == "first" else chosen

    def submit_reading(self, case: str, verdict: str, comment: str = "", found: Agreement | None = None) -> None:
        """The present reader is done with a second reading; it is not changed afterwards.

        Of a case for judging only that has no better truth, the reader's mask becomes the truth.

        Raises
        ------
        InputError
            The reader was not asked, or is done already.
        """
        row = self._row(case)
        said: dict[str, Any] = {"verdict": short(verdict), "comment": short(comment)}
        said["dice"] = found.dice if found else None
        with self._act("second reading", case, said) as cursor:
            readings.submit(cursor, case, self.reader, short(verdict), short(comment), found)
            if row["held_out"] and found is not None and row["truth_from"] in ("", "from_model"):
                said["truth_from"] = "second_reader"
                self._set(cursor, case, truth_from="second_reader")
        self.changed.emit((case,))

    def adjudicate(self, case: str, chosen: str, reason: str) -> None:
        """Say whose mask is final, and why; the case is accepted.

        Raises
        ------
        InputError
            No reading is submitted, or the chosen one is neither ``first`` nor a reader who submitted one.
        """
        row = self._seen(case)
        done = [r.reader for r in self.readings(case) if r.submitted]
        if not done:
            raise InputError("No second reading of this case is done.", "Wait for the second reader.")
        if chosen not in (*done, "first"):
            raise InputError(f"{chosen!r} is none of the readers.", f"Choose first, or {', '.join(done)}.")
        with self._write() as cursor:
            audit.append(cursor, self.reader, case, "adjudicate", {"chosen": chosen, "reason": short(reason)})
            self._move(cursor, case, check_move(row["status"], "accepted"), short(reason))
        self.changed.emit((case,))
