"""A verdict worked out again, from the masks that a run saved and the labels that it was judged by."""

from __future__ import annotations

from pathlib import Path

from napari_morse.training.tuning.judging import judged
from napari_morse.training.tuning.plan import Plan
from napari_morse.training.tuning.verdict import Verdict, sentence, tested


def rederived(folder: Path) -> Verdict:
    """The verdict of a run's folder, from its masks: figures, tests and sentence; the rest as it was written.

    Raises
    ------
    InputError
        It holds no verdict, or a mask or a truth is missing or damaged.
    """
    said = Verdict.read(folder)
    cases = judged(folder, [(source.name, source.labels) for source in Plan.read(folder).judges], said.ids)
    p = tested(cases)
    return said.model_copy(update={"cases": cases, "p": p, "sentence": sentence(cases, p, said.left_out)})
