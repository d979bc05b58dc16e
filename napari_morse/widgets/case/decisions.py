"""Before a mask is accepted or submitted: it is looked at, and what it lacks is asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_morse.errors import CancelledError
from napari_morse.session.case import Expected, Lacking, expected_of, lacking, lacking_in
from napari_morse.session.project import MOVES, Case, Project, hides_model_output
from napari_morse.widgets.base import JobRunner, Tell, Work
from napari_morse.widgets.case.host import CaseHost

NAMED = 10
"""Cases named in a question."""


class Decisions(QObject):
    """Asks once for all cases that a person decides on together; nothing is done before the answer.

    Parameters
    ----------
    host
        Holds the project and the open case.
    parent
        Owner.
    """

    told = Signal(str)
    """How many masks were looked at; empty at the end."""

    def __init__(self, host: CaseHost, parent: QObject) -> None:
        super().__init__(parent)
        self._host = host
        self.runner = JobRunner("morse-decisions", self)
        self._then: tuple[Any, ...] = ()
        self.runner.progressed.connect(self.told.emit)
        self.runner.succeeded.connect(self._on_looked)
        self.runner.failed.connect(self._on_failed)

    def accept(self, cases: Sequence[Case]) -> None:
        """Accept cases, all or none."""
        ids, project = [case.id for case in cases], self._host.project
        if project is not None and self._on_the_disk(ids, "accepted"):
            may = project.writable and all("accepted" in MOVES[case.status] for case in cases)
            # Nothing is asked about a move that cannot be made: with no cases the project refuses it at once, and says
            # why.
            self.ask(cases if may else (), "Accept", lambda: self._host.set_status(ids, "accepted"))

    def submit(self, case: Case) -> None:
        """End the second reading of the open case, which unblinds its reader."""
        if self._on_the_disk([case.id], "submitted"):
            self.ask([case], "Submit", self._host.submit)

    def undo(self, cases: Sequence[Case]) -> None:
        """Take the last move of each case back; one may lead back to accepted, with another mask by now."""
        project = self._host.project
        if project is not None:
            back = [case for case in cases if project.undo_leads_to(case.id) == "accepted"]
            self.ask(back, "Accept", lambda: self._undo([case.id for case in cases]))

    def _undo(self, cases: Sequence[str]) -> None:
        for case in cases:
            self._host.try_to(partial(_undo_status, case=case))

    def _on_the_disk(self, cases: Sequence[str], done: str) -> bool:
        here, why = self._host.here, self._host.unwritten
        if here is None or here.work.id not in cases or not why:
            return True
        show_warning(f"It is not {done}, the mask on the disk is an older one. {why}")
        return False

    def ask(self, cases: Sequence[Case], verb: str, then: Callable[[], None]) -> None:
        """Look at the masks of ``cases``, the open one's as it is now, and call ``then`` where they may be taken so.

        Parameters
        ----------
        cases
            Decided on together.
        verb
            What is done with them, as on the button.
        then
            Called at once where only the open case is decided on and lacks nothing, else later or never.
        """
        project = self._host.project
        if project is None:
            return
        if self.runner.busy:
            show_warning("Masks are being looked at for the last decision: a moment.")
            return
        here = {case.id: self.of_open(case) for case in cases if case.id == self._open_id}
        others = [case for case in cases if case.id not in here]
        if not others:
            self._answered(cases, {case: each for case, each in here.items() if each}, verb, then)
            return
        self._then = project, cases, here, verb, then
        told = [case.id for case in others if not hides_model_output(case)]
        self.runner.start(_looking(project.places.folder, project.reader, others, told))

    @property
    def _open_id(self) -> str:
        return "" if self._host.here is None else self._host.here.work.id

    def of_open(self, case: Case) -> Lacking:
        """What the open case's mask lacks, with strokes that were not saved."""
        here = self._host.here
        if here is None:
            return lacking(None, self.expected(case))
        here.take_strokes()
        return lacking(here.work.mask, self.expected(case))

    def expected(self, case: Case) -> tuple[Expected, ...]:
        """What a model found of the open case, where that may be said."""
        here = self._host.here
        if here is None or here.blind or hides_model_output(case):
            return ()
        labels = (*self._host.session.labels, *here.labels)
        return expected_of(case.sizes, ((label.id, label.name) for label in labels))

    def cancel(self) -> None:
        """Decide on nothing that is still looked at."""
        self._then = ()
        self.runner.cancel()

    def _on_looked(self, found: Mapping[str, Lacking]) -> None:
        self.told.emit("")
        if not self._then:
            return
        (project, cases, here, verb, then), self._then = self._then, ()
        if project is self._host.project:
            self._answered(cases, {case: each for case, each in {**here, **found}.items() if each}, verb, then)

    def _answered(
        self, cases: Sequence[Case], found: Mapping[str, Lacking], verb: str, then: Callable[[], None]
    ) -> None:
        project, here = self._host.project, self._host.here
        if found and not agreed(question(cases, found, verb), verb):
            return
        if project is self._host.project and here is self._host.here:  # else the person has gone on meanwhile
            then()

    def _on_failed(self, error: Exception) -> None:
        self._then = ()
        self.told.emit("")
        if not isinstance(error, CancelledError):
            show_error(f"The masks could not be looked at, and nothing was decided: {error}")


def question(cases: Sequence[Case], found: Mapping[str, Lacking], verb: str) -> str:
    """What is asked of cases of which some lack something."""
    lines = [found[case.id].sentence for case in cases if case.id in found]
    if len(cases) == 1:
        return f"{lines[0]}\n\n{verb} it all the same?"
    named = [f"{case.stem}: {found[case.id].sentence}" for case in cases if case.id in found]
    more = [f"and {len(named) - NAMED} more"] if len(named) > NAMED else []
    return "\n".join((*named[:NAMED], *more, "", f"{verb} all {len(cases)} cases all the same?"))


def agreed(text: str, verb: str) -> bool:
    """Whether the person says so; no is what Enter and Escape say."""
    box = QMessageBox(QMessageBox.Icon.Question, verb, text, parent=QApplication.activeWindow())
    yes = box.addButton(verb, QMessageBox.ButtonRole.AcceptRole)
    no = box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(no)
    box.setEscapeButton(no)
    box.exec()
    return box.clickedButton() is yes


def _undo_status(project: Project, case: str) -> None:
    project.undo_status(case)


def _looking(folder: Any, reader: str, cases: Sequence[Case], told: Sequence[str]) -> Work:
    def work(tell: Tell, cancelled: Callable[[], bool]) -> dict[str, Lacking]:
        def say(done: int) -> None:
            tell(f"looking at mask {done + 1} of {len(cases)}")

        return lacking_in(folder, reader, cases, told, say, cancelled)

    return work
