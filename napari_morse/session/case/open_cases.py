"""Which cases are open, and which is on the stage: exactly one scan is looked at, and all that is worked on is its."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from psygnal import Signal

from napari_morse.session.case.open_case import OpenCase
from napari_morse.session.run.segment import SegmentSession
from napari_morse.types import Prediction, Scan


class OpenCases:
    """Knows the open case of each scan; the stage is the session's scan, and there is no second one.

    Parameters
    ----------
    session
        Holds the scan that is looked at, and the result of the last run.
    """

    opened: ClassVar[Signal] = Signal(OpenCase)
    """A case is under work from now on."""
    closed: ClassVar[Signal] = Signal(OpenCase)
    """It is not any more."""

    def __init__(self, session: SegmentSession) -> None:
        self._session = session
        self._cases: list[OpenCase] = []

    def __iter__(self) -> Iterator[OpenCase]:
        return iter(tuple(self._cases))

    @property
    def scan(self) -> Scan | None:
        """The one on the stage."""
        return self._session.scan

    @property
    def current(self) -> OpenCase | None:
        """The open case of the scan on the stage."""
        return self.of(self.scan)

    @property
    def prediction(self) -> Prediction | None:
        """What a model said of the scan on the stage; None where none ran, or its result is not shown."""
        scan = self.scan
        return self._session.result if scan is not None and self._session.result_scan is scan else None

    def of(self, scan: Scan | None) -> OpenCase | None:
        """The open case of a scan."""
        return next((case for case in self._cases if case.scan is scan), None)

    def open(self, case: OpenCase) -> None:
        """Work on a case.

        Raises
        ------
        ValueError
            Another case of that scan is open: two masks of one scan would be edited at once.
        """
        if self.of(case.scan) is not None:
            raise ValueError("A case of this scan is open already.")
        self._cases.append(case)
        self.opened.emit(case)

    def close(self, case: OpenCase) -> None:
        """Work on it no more, and let other windows have it; safe to call twice."""
        if case in self._cases:
            self._cases.remove(case)
            case.close()
            self.closed.emit(case)
