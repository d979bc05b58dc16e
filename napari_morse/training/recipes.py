"""Named recipes, and changing one knob of them from the command line."""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from pydantic import ValidationError

from napari_morse.config import BackboneConfig, Recipe, RenderConfig, TrainConfig
from napari_morse.errors import InputError
from napari_morse.model.backbones import make_backbone, package_of
from napari_morse.model.morse import sized

RECIPES: dict[str, Recipe] = {
    "default-3d": Recipe(name="default-3d", render=RenderConfig(looks=2)),
    "default-2d": Recipe(
        name="default-2d",
        backbone=BackboneConfig(spatial_dims=2, filters=(32, 64, 128, 192)),
        render=RenderConfig(points=384, looks=2),
        train=TrainConfig(window=(48, 48), batch=24, iterations=6000),
    ),
}


def recipe_named(name: str, changes: tuple[str, ...] = ()) -> Recipe:
    """A recipe by name, with ``part.knob=value`` changes applied.

    Raises
    ------
    InputError
        For an unknown name or knob, or a value that does not fit.
    """
    if name not in RECIPES:
        raise InputError(f"There is no recipe named {name!r}.", f"Known recipes: {', '.join(RECIPES)}.")
    fields: dict[str, Any] = RECIPES[name].model_dump()
    for change in changes:
        path, equals, text = change.partition("=")
        part, dot, knob = path.strip().partition(".")
        if not equals or not dot or part not in ("backbone", "render", "train") or knob not in fields[part]:
            raise InputError(
                f"{change!r} names no knob of the recipe.", "Write it as part.knob=value, e.g. train.batch=4."
            )
        fields[part][knob] = _value(text.strip())
    try:
        recipe = Recipe.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{where} cannot be {first['input']!r}: {first['msg']}.", "Give another value.") from error
    _check_network(recipe)
    backbone = recipe.backbone.model_copy(update={"package": package_of(recipe.backbone.name)})
    return recipe.model_copy(update={"backbone": backbone})


def _check_network(recipe: Recipe) -> None:
    """Refuse knobs that are possible one by one and not together."""
    backbone, window = recipe.backbone, recipe.train.window
    if len(window) != backbone.spatial_dims:
        raise InputError(
            f"train.window has {len(window)} lengths for a {backbone.spatial_dims}-D network.", "Give one per axis."
        )
    try:
        with torch.device("meta"):
            net = make_backbone(sized(recipe))
    except (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError) as error:
        raise InputError(
            f"The recipe's backbone cannot be built: {error}.", "Give other filters, strides or sizes."
        ) from error
    if any(n < 1 or n % net.divisor for n in window):
        raise InputError(
            f"train.window {list(window)} does not fit the network.", f"Give positive multiples of {net.divisor}."
        )
    if math.prod(n // net.divisor for n in window) < net.least_cells:
        raise InputError(
            f"train.window {list(window)} is a single cell of the network's deepest map.",
            f"Give at least one length of {net.least_cells * net.divisor}.",
        )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
