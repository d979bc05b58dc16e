"""Which network a run ends with: the best moment, and how far from the base model towards it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_morse.config import LabelEntry, ModelCard
from napari_morse.errors import InputError
from napari_morse.metrics import MERGED, score
from napari_morse.model.morse import Morse
from napari_morse.training.cases import TrainingCase
from napari_morse.training.validation import Validation, from_stack, run_case
from napari_morse.zoo import LoadedModel

SHARES = (0.25, 0.5, 0.75)
"""Of the way from the base model's weights to the tuned ones, that are tried besides all of it."""
EVEN = 0.015
"""Share of the error (1 - Dice) that going further must take away: what is not learned need not be forgotten."""
FAVOURED = "The held-out cases favour {:.0%} of the way from the base model to what was learned."
NOTHING_HELPS = "Nothing that was learned helps on the held-out cases: the weights stay those of the base model."


class Best:
    """Judges a round's moments, and says how far from the base model it goes.

    Parameters
    ----------
    cases
        That are looked at, at the model's spacing.
    card
        The base model's.
    tell
        Told of every look.
    """

    def __init__(
        self, cases: Sequence[TrainingCase], card: ModelCard, tell: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> None:
        self._cases, self._card, self._tell = cases, card, tell
        self._before = -1.0
        self.seconds = 0.0
        """That the last look took."""

    def look(self, step: int, net: Morse) -> Validation:
        """Judge a network on the cases, of which there is at least one. Step 0 is the base model."""
        begun = time.monotonic()
        found = self._judged(net)
        self._tell({"event": "check", "step": step, "dice": found.dice, **found.figures})
        if step == 0:
            self._before = found.dice
        self.seconds = time.monotonic() - begun
        return found

    def of(self, net: Morse, dice: float, base: Morse, whole: bool = False) -> Morse:
        """The network that a round ends with.

        The weights lie between those of the base and of the best moment (Wortsman et al., Robust fine-tuning of
        zero-shot models, 2022), as near to the base as the held-out cases allow: they are its own where nothing that
        was learned helps there.

        Parameters
        ----------
        net
            That of the best moment; as it is when there is no case to look at.
        dice
            What it was worth.
        base
            The base model's.
        whole
            All of the way. A structure that the base does not know need not be in the cases that are looked at.
        """
        if not self._cases or whole:
            return net
        # Clones: the loads below write into the very tensors that the network's state dict holds.
        kept, tuned = base.state_dict(), {k: v.clone() for k, v in net.state_dict().items()}
        tried = [(0.0, self._before), (1.0, dice)]
        for share in SHARES:
            net.load_state_dict(between(kept, tuned, share))
            tried.append((share, self._judged(net).dice))
        most = max(dice for _, dice in tried)
        share = min(share for share, dice in tried if dice >= most - EVEN * (1 - most))
        net.load_state_dict(between(kept, tuned, share))
        if share == 0:
            # The tuned recipe may look at more voxels (`learning.widened`): with the base model's weights goes its own.
            net.recipe = base.recipe
        self._tell({"event": "log", "text": FAVOURED.format(share) if share else NOTHING_HELPS})
        return net

    def _judged(self, net: Morse) -> Validation:
        net.eval()
        rows = [_looked(net, case, self._card) for case in self._cases]
        dice, hd95 = np.array([row[:2] for row in rows]).mean(axis=0)
        return Validation(float(dice), {"hd95": float(hd95)}, all(row[2] for row in rows))


def between(base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights ``share`` of the way from one to the other; counters are the tuned model's."""
    return {
        name: torch.lerp(base[name].to(value), value, share) if value.is_floating_point() and share < 1 else value
        for name, value in tuned.items()
    }


def _looked(net: Morse, case: TrainingCase, card: ModelCard) -> tuple[float, float, bool]:
    """Mean Dice over structures and HD95 (mm) of the union, rendered, and whether the network gave numbers.

    Where it gave none, Dice is 0: a mask of such logits is empty, which is right where there is nothing to find.
    """
    result = run_case(net, case, card.spacing, card.slice_axis)
    mask = from_stack(result.rendered, card.slice_axis)
    rows = score(mask, case.labels, case.spacing, range(1, len(card.labels) + 1), 1.0, merged=True)
    dice = [row.dice for row in rows if row.id != MERGED and row.dice is not None] or [1.0]
    merged = next(row for row in rows if row.id == MERGED)
    return float(np.mean(dice)) * result.finite, float(merged.hd95_or_diagonal or 0.0), result.finite


BEHIND = 2.5
"""By how much the logit of a new class stays behind that of the class it comes from, before anything is learned: beyond
the margin within which the 3-D recipe looks at a voxel again, else all of the background would be."""


def grown(model: LoadedModel, new: Sequence[LabelEntry], come_from: Sequence[int] = ()) -> LoadedModel:
    """The model with further classes behind its own; its digest stays that of the base.

    The rows of a new class, in the backbone and at the renderer's end, are those of the class it comes from, less
    `BEHIND`; whatever reads coarse logits does not read the new ones yet. So the masks are the base model's until the
    new classes have been learned.

    Parameters
    ----------
    model
        The base.
    new
        The structures that it shall learn.
    come_from
        Class index (0 background) for each: what the base model takes the structure for; the background when empty.

    Raises
    ------
    InputError
        A label is one that the model knows already, or is given twice; or its head is not residual.
    """
    card = _card(model.card, new)
    if not card.recipe.render.residual:
        raise InputError(
            f"A label can't be added to the model {model.info.name!r}: its head is not residual.",
            "Train a new model from your labels.",
        )
    torch.manual_seed(0)
    net = Morse(card.recipe)
    old, fresh = model.net.state_dict(), net.state_dict()
    rows = [*come_from, *[0] * (len(new) - len(come_from))]
    net.load_state_dict({name: _widened(name, old[name], tensor, rows) for name, tensor in fresh.items()})
    return replace(model, info=replace(model.info, card=card), net=net.eval())


def _card(card: ModelCard, new: Sequence[LabelEntry]) -> ModelCard:
    ids = [entry.id for entry in (*card.labels, *new)]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise InputError(f"The label {twice[0]} is there already.", "Add labels that the model does not know.")
    backbone = card.recipe.backbone.model_copy(update={"classes": len(ids) + 1})
    recipe = card.recipe.model_copy(update={"backbone": backbone})
    return card.model_copy(update={"labels": (*card.labels, *new), "recipe": recipe})


def _widened(name: str, old: Tensor, fresh: Tensor, rows: list[int]) -> Tensor:
    if old.shape == fresh.shape:
        return old
    if name.startswith("backbone.") and old.shape[1:] != fresh.shape[1:]:
        raise InputError(
            "A label can't be added to this network: its classes are read inside the backbone.",
            "Train a new model from your labels.",
        )
    whole = torch.zeros_like(fresh)
    whole[tuple(slice(0, n) for n in old.shape)] = old
    if old.shape[0] < fresh.shape[0]:
        # Of the renderer as well, whose correction of a class then is that of the one that it comes from.
        whole[(slice(len(old), None), *(slice(0, n) for n in old.shape[1:]))] = old[rows]
        if old.ndim == 1 and name.startswith("backbone."):
            whole[len(old) :] -= BEHIND
    return whole
