"""A model that tells more structures apart than the one that it comes from, and at first says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from napari_morse.config import LabelEntry, ModelCard
from napari_morse.errors import InputError
from napari_morse.model.morse import Morse
from napari_morse.zoo import LoadedModel

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
