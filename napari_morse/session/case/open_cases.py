"""Which cases are open, and which is on the stage: exactly one scan is looked at, and all that is worked on is its."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_morse.session.case.open_case import OpenCase
from napari_morse.session.run.segment import SegmentSession
from napari_morse.types import Array, Prediction, Scan


class OpenCases:
    """Knows the open case of each scan; the stage is the session's scan, and there is no second one.

    Parameters
    ----------
    session
        Holds the scan that is looked at, and the result of the last run.
    """

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

    @property
    def mask(self) -> Array | None:
        """(I, J, K) what counts on the stage, storage order: the case's own mask, else the rendered one of a run."""
        case, prediction = self.current, self.prediction
        if case is not None and case.mask is not None:
            return case.mask
        return None if prediction is None else np.asarray(prediction.rendered.data)

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

    def close(self, case: OpenCase) -> None:
        """Work on it no more, and let other windows have it; safe to call twice."""
        if case in self._cases:
            self._cases.remove(case)
            case.close()
