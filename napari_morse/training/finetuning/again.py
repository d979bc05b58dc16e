"""A verdict worked out again, from the masks that a run saved and the labels that it was judged by."""

from __future__ import annotations

from pathlib import Path

from napari_morse.training.finetuning.judging import judged
from napari_morse.training.finetuning.plan import Plan
from napari_morse.training.finetuning.source import Source
from napari_morse.training.finetuning.verdict import WHENS, Verdict, sentence, sentence_alone, tested


def truth_of(folder: Path, source: Source) -> Path:
    """A case's labels; in the folder of a project's round where that was moved."""
    moved = folder / "labels" / source.labels.name
    return moved if moved.is_file() and not source.labels.is_file() else source.labels


def rederived(folder: Path) -> Verdict:
    """The verdict of a run's folder, from its masks: figures, tests and sentence; the rest as it was written.

    Raises
    ------
    InputError
        It holds no verdict, or a mask or a truth is missing or damaged.
    """
    said = Verdict.read(folder)
    places = [(source.name, truth_of(folder, source)) for source in Plan.read(folder).judges]
    cases = judged(folder, places, said.ids, ("after",) if said.alone else WHENS)
    known = {case.case: case.truth for case in said.cases}
    cases = tuple(case.model_copy(update={"truth": known.get(case.case, case.truth)}) for case in cases)
    if said.alone:
        return said.model_copy(update={"cases": cases, "sentence": sentence_alone(cases)})
    p = tested(cases)
    return said.model_copy(update={"cases": cases, "p": p, "sentence": sentence(cases, p, said.left_out, said.new)})
