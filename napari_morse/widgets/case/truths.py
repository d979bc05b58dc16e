"""How the truths of cases for judging come about, and what may be seen before they are done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari_morse.session.edits import put_aside
from napari_morse.session.project import TruthFrom, is_decided
from napari_morse.widgets.case.host import CaseHost


class CaseTruths:
    """Says in the project what is so.

    Parameters
    ----------
    host
        Holds the case.
    """

    def __init__(self, host: CaseHost) -> None:
        self._host = host

    def begin(self, source: TruthFrom) -> None:
        """Say how the open case's truth is made; for a blank start, what was there is kept aside on the disk."""
        host, here = self._host, self._host.here
        if here is None or here.layers.corrected is None or not host.may_leave():
            return
        case, work = here.row, here.work
        if is_decided(case) and not host.try_to(lambda p: p.set_status([case.id], "in_review")):
            return
        if source == "blank_start":
            host.leave_case()
            # Wanted still: it is opened again when all is put aside, unless another case was asked for by then.
            host.wanted = case.id
            host.keeper.writes.add(work.folder, lambda: partial(self._put_aside, case.id, work.folder))
        elif host.try_to(lambda project: project.set_truth_from(case.id, source)):
            host.go(case.id)

    def _put_aside(self, case: str, folder: Path) -> Callable[[], None]:
        """Beside the window: begin a case anew; only then is its truth said to be made from nothing."""
        put_aside(folder)
        host = self._host

        def done() -> None:
            noted = host.try_to(lambda project: project.set_truth_from(case, "blank_start"))
            if noted and host.wanted == case and host.here is None:
                host.go(case)

        return done
