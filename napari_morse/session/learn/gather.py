"""Which cases of a project a model can learn from, and their masks as they are now, kept with the round."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from napari_morse import zoo
from napari_morse.config import MODEL_NAME, LabelEntry, ModelCard
from napari_morse.errors import CancelledError, InputError
from napari_morse.session.learn.round import Round, rounds
from napari_morse.session.learn.snapshot import MaskSnapshot, UnknownLabelError, snapshot_mask
from napari_morse.session.project import Case, Project
from napari_morse.session.project.rules import FINAL
from napari_morse.training.finetuning.plan import Anew, Plan, are_among, check_apart
from napari_morse.training.palette import CLASSES, LARGEST_ID, label_entries
from napari_morse.training.settings import TuneSettings
from napari_morse.training.source import Source, digests

HEAD_LEARNS_NONE = "Train head and decoder, or everything."
"""The way out where a new structure was to be learned by the head alone."""


@dataclass(frozen=True)
class Candidate:
    """A case that could be trained on, or that judges.

    Parameters
    ----------
    id, name, patient
        Of the case.
    held_out
        Whether it judges.
    flattering
        It judges with a truth that was corrected from a model's own mask.
    sizes
        ml by structure, as the last run said; for a first look only.
    missing
        Why it can be used for neither; empty when it can.
    """

    id: str
    name: str
    patient: str
    held_out: bool
    flattering: bool
    sizes: dict[str, float]
    missing: str = ""


@dataclass(frozen=True)
class Choice:
    """What a round shall do.

    Parameters
    ----------
    model
        Name of the base model; empty: none, a new model learns what the masks hold, and nothing else.
    name
        Of the new one.
    cases
        Ids of the cases to train on.
    settings
        Of the run.
    leave_one_out
        Judge by the training cases, each by a model that was tuned without it.
    learn_new
        Learn structures of the masks that the base model does not know; else a case with one is refused.
    names
        Of such structures, by id; without one ``label 3``.
    whole
        A new model is trained for as many steps as suit the cases, whatever the settings' minutes.
    empty
        Ids of the cases that a person means to train on though their masks are empty.
    """

    model: str
    name: str
    cases: tuple[str, ...]
    settings: TuneSettings
    leave_one_out: bool = False
    learn_new: bool = False
    names: Mapping[int, str] = field(default_factory=dict)
    whole: bool = False
    empty: tuple[str, ...] = ()


def candidates(project: Project) -> list[Candidate]:
    """Every case of a project that is done, or that judges; quick, reads no mask."""
    blind = set(project.to_read())
    return [candidate for case in project.cases() if (candidate := _candidate(case, blind)) is not None]


def _candidate(case: Case, blind: AbstractSet[str]) -> Candidate | None:
    if not case.held_out and case.status not in FINAL:
        return None
    missing = "You were asked to read it blind: submit your reading first." if case.id in blind else ""
    if not missing and case.held_out and case.truth is None and (case.status != "accepted" or not case.truth_from):
        missing = "It is held out to judge models, and has no truth yet: draw or accept one."
    flattering = case.held_out and case.truth is None and case.truth_from == "from_model"
    return Candidate(case.id, case.stem, case.patient, case.held_out, flattering, dict(case.sizes), missing)


def new_name(base: str) -> str:
    """A name that no model has yet for one tuned from ``base``: ``base-tuned-1``, ``base-tuned-2`` and so on.

    Without a base ``new-model-1``, ``new-model-2``.
    """
    stem = f"{(base.rpartition('-tuned-')[0] or base)[:50]}-tuned" if base else "new-model"
    # Broken ones, too, whatever their capitals: their folders have the name.
    taken = {info.name.casefold() for info in zoo.available()} | {info.name.casefold() for info in zoo.broken()}
    number = 1
    while f"{stem}-{number}".casefold() in taken:
        number += 1
    return f"{stem}-{number}"


def prepare_round(folder: Path, reader: str, choice: Choice, cancelled: Callable[[], bool] = lambda: False) -> Round:
    """Copy the masks of the cases into a new round's folder and write its plan; slow, for any thread.

    Parameters
    ----------
    folder
        Of the project; it is opened for reading only.
    reader
        Who asks.
    choice
        What was chosen.
    cancelled
        Asked before every case.

    Raises
    ------
    InputError
        No case is left to train on, one cannot be read, holds a label that the model does not know and shall not
        learn, has an empty mask that nobody means so, or would be on both sides.
    """
    folder = folder.absolute()  # the run stands elsewhere
    if not re.fullmatch(MODEL_NAME, choice.name):
        raise InputError(f"{choice.name!r} cannot be the name of a model.", "Use letters, digits, '.', '_' and '-'.")
    card = zoo.find(choice.model).card if choice.model else None
    with Project.open(folder, reader=reader, read_only=True) as project:
        new_round = Round.make(folder)
        try:
            plan = _gathered(project, new_round, choice, reader, card, cancelled)
            check_apart(plan, card, lambda: _go_on(cancelled))
            plan.write(new_round.folder)
        except BaseException:
            new_round.remove()
            raise
    return new_round


def _go_on(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise CancelledError


def _gathered(
    project: Project,
    new_round: Round,
    choice: Choice,
    reader: str,
    card: ModelCard | None,
    cancelled: Callable[[], bool],
) -> Plan:
    chosen = [case for case in project.cases() if case.id in choice.cases]
    known = None if choice.learn_new or card is None else _known_to(card)
    snapshots = [snapshot_mask(project, case, new_round.folder, known, cancelled) for case in chosen]
    if card is not None or any(each.ids for each in snapshots):  # else there is nothing at all: said below
        _check_empty(snapshots, choice)
    new = _new(choice, card, snapshots)
    judges, passed_over = _judges(project, new_round.folder, _known_to(card) | {entry.id for entry in new}, cancelled)
    sources = [each.source for each in snapshots]
    if not sources:
        raise InputError("There is no case to train on.", "Accept some cases that are not held out.")
    if card is None:
        return Plan(
            model="", name=choice.name, by=reader, train=tuple(sources), held_out=tuple(judges), new_labels=new,
            passed_over=passed_over, settings=choice.settings, anew=Anew(whole=choice.whole),
        )  # fmt: skip
    plan = _plan(choice, reader, sources, judges, _earlier(project, new_round), card)
    if choice.leave_one_out:
        passed_over = ()  # no held-out case judges
    return plan.model_copy(update={"new_labels": new, "passed_over": passed_over})


def _check_empty(snapshots: Sequence[MaskSnapshot], choice: Choice) -> None:
    for each in snapshots:
        if not each.ids and each.source.name not in choice.empty:
            raise InputError(
                f"The mask of {each.source.name} is empty: a model would learn that there is nothing.",
                "Untick the case, or tick it again if that is so.",
            )


def _unusable(case: Case, blind: AbstractSet[str]) -> bool:
    candidate = _candidate(case, blind)
    return candidate is None or bool(candidate.missing)


def _plan(
    choice: Choice, reader: str, sources: Sequence[Source], judges: Sequence[Source], earlier: Sequence[Source],
    card: ModelCard,
) -> Plan:  # fmt: skip
    """Cases that the base model was trained on already are replayed, the others are new."""
    known, channels = card.tuned.trained if card.tuned else (), len(card.channels)
    before = dict(zip(digests(earlier, channels), earlier, strict=True))
    # By the scans, not by the cases' names: one that is there under another name would be trained on twice.
    here = set(digests(sources, channels))
    replayed = [source for digest, source in before.items() if digest not in here]
    old = [source for source, was in zip(replayed, are_among(known, replayed, channels), strict=True) if was]
    trained = are_among(known, sources, channels)
    new = [source for source, was in zip(sources, trained, strict=True) if not was]
    if new:
        old += [source for source, was in zip(sources, trained, strict=True) if was]
    else:  # all were trained on before: they are learned from again
        new = list(sources)
    return Plan(
        model=choice.model, name=choice.name, by=reader, train=tuple(new), earlier=tuple(old),
        held_out=tuple(judges), settings=choice.settings, leave_one_out=choice.leave_one_out,
    )  # fmt: skip


def _earlier(project: Project, new_round: Round) -> list[Source]:
    """Cases of kept rounds, with the masks that they had then; the last round's come last and win."""
    here = {case.id for case in project.cases()}
    sources: dict[str, Source] = {}
    for other in rounds(project.places.folder):
        if other.folder == new_round.folder or other.decision != "kept":
            continue
        with suppress(InputError):  # a plan that is damaged
            plan = other.plan
            relocated = [_moved(project, other.folder, s) for s in (*plan.earlier, *plan.train) if s.name in here]
            sources |= {source.name: source for source in relocated if source.labels.is_file()}
    return list(sources.values())


def _moved(project: Project, folder: Path, source: Source) -> Source:
    """A case of a round where its files are now: the project may have been moved, and the scans."""
    paths: dict[str, Path] = {"scan": project.scan_of(source.name)}
    for name in ("labels", "codes"):
        path = getattr(source, name)
        if path is not None and not path.is_file():
            paths[name] = folder / path.parent.name / path.name
    return source.model_copy(update=paths)


def _known_to(card: ModelCard | None) -> set[int]:
    return set() if card is None else {entry.id for entry in card.labels}


def _new(choice: Choice, card: ModelCard | None, snapshots: Sequence[MaskSnapshot]) -> tuple[LabelEntry, ...]:
    """Structures of the masks that the base model does not know."""
    ids = sorted({number for each in snapshots for number in each.ids} - _known_to(card))
    if card is None and snapshots and not ids:
        raise InputError("The masks of these cases hold no structure.", "Draw some, or tick other cases.")
    if card is not None and ids and choice.settings.what == "head":
        raise InputError("A head alone cannot learn a new structure.", HEAD_LEARNS_NONE)
    return _entries(choice, ids, () if card is None else card.labels)


def _entries(choice: Choice, ids: Sequence[int], taken: Sequence[LabelEntry]) -> tuple[LabelEntry, ...]:
    if ids and (ids[-1] > LARGEST_ID or len(ids) + len(taken) > CLASSES):
        raise InputError(
            f"The masks hold {len(ids) + len(taken)} labels, the largest {ids[-1]}.",
            f"A model tells at most {CLASSES} apart, none above {LARGEST_ID}: renumber them, or leave cases out.",
        )
    return label_entries([(number, choice.names.get(number, "")) for number in ids], taken)


def _judges(
    project: Project, folder: Path, known: AbstractSet[int], cancelled: Callable[[], bool]
) -> tuple[list[Source], tuple[str, ...]]:
    """Held-out cases, copied; and ids of those whose truths have structures that the model will not know."""
    blind, judges, passed_over = set(project.to_read()), [], []
    for case in project.cases():
        if not case.held_out or _unusable(case, blind):
            continue
        try:
            judges.append(snapshot_mask(project, case, folder, known, cancelled).source)
        except UnknownLabelError:
            passed_over.append(case.id)
    return judges, tuple(passed_over)
