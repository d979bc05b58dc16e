"""How the truths of cases for judging come about, and what may be seen before they are done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_warning

from napari_morse.session.case.open_case import OpenCase
from napari_morse.session.edits import put_aside
from napari_morse.session.project import Case, TruthFrom

if TYPE_CHECKING:
    from napari_morse.widgets.case.project_case import ProjectHost

LOOKED = "A model's mask was looked at before the truth was done: this is noted with the truth."


def unseen(case: Case) -> bool:
    """Whether nothing of a model is shown: the case's truth is made from a blank mask, or nobody has said how."""
    return (case.wants_truth and not case.truth_from) or case.truth_from == "blank_start"


class CaseTruths:
    """Says in the project what is so.

    Parameters
    ----------
    host
        Holds the case.
    """

    def __init__(self, host: ProjectHost) -> None:
        self._host = host

    def begin(self, source: TruthFrom) -> None:
        """Say how the open case's truth is made; for a blank start, what was there is kept aside on the disk."""
        host, case, work = self._host, self._host.case, self._host.work
        if case is None or work is None or host.corrected is None or not host.may_leave():
            return
        if case.status in ("accepted", "rejected") and not host.try_to(lambda p: p.set_status([case.id], "in_review")):
            return
        if source == "blank_start":
            host.leave_case()
            host.wanted = case.id
            host.saver.add(work.job.folder, lambda: partial(self._put_aside, case.id, work.job.folder))
        elif host.try_to(lambda project: project.set_truth_from(case.id, source)):
            host.go(case.id)

    def _put_aside(self, case: str, folder: Path) -> Callable[[], None]:
        """Beside the window: begin a case anew; only then is its truth said to be made from nothing."""
        put_aside(folder)
        host = self._host

        def done() -> None:
            said = host.try_to(lambda project: project.set_truth_from(case, "blank_start"))
            if said and host.wanted == case and host.work is None:
                host.go(case)

        return done

    def note_look(self, work: OpenCase) -> None:
        """A truth is made without a model; where one was looked at before it was done, that is kept with it."""
        case = self._host.case
        if work.job.blank and case is not None and case.status not in ("accepted", "rejected"):
            self._say_from_model(case)

    def note_stroke(self, case: Case) -> None:
        """What a stroke says of a truth: it is made from a blank mask, or after a model could be looked at."""
        if case.wants_truth and not case.truth_from:
            self._host.try_to(lambda project: project.set_truth_from(case.id, "blank_start"), "truth")
        elif case.truth_from == "blank_start" and case.model:
            self._say_from_model(case)

    def _say_from_model(self, case: Case) -> None:
        self._host.try_to(lambda project: project.set_truth_from(case.id, "from_model"))
        show_warning(LOOKED)
