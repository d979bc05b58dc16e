"""Named recipes, and changing one knob of them from the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from napari_morse.config import BackboneConfig, Recipe, RenderConfig, TrainConfig
from napari_morse.errors import InputError
from napari_morse.io.atomic import write_text
from napari_morse.model.backbones import make_backbone, package_of
from napari_morse.model.morse import sized

FILE_LIMIT = 100_000
"""Bytes of a recipe file; a recipe takes about two kB."""
REPEATED_CHARACTERS = 80
"""Characters of a wrong value that are repeated."""

DEFAULT_3D = Recipe(
    name="default-3d",
    render=RenderConfig(looks=2, uncertain_below=2.0),
    train=TrainConfig(stage_one=0.8, rough=0.25, restart=True, renderer_rate=3.0),
)
DEFAULT_2D = Recipe(
    name="default-2d",
    backbone=BackboneConfig(spatial_dims=2, filters=(32, 64, 128, 192)),
    render=RenderConfig(points=384, looks=2),
    train=TrainConfig(
        window=(48, 48), batch=24, iterations=6000, stage_one=0.8, rough=0.25, restart=True, renderer_rate=3.0
    ),
)


def _pointrend(name: str, ours: Recipe) -> Recipe:
    """The peer of one of our recipes: its backbone and training, PointRend's head, points and loss."""
    render = RenderConfig(
        points=ours.render.points,
        voxel_centres=False,
        selection="count",
        fraction=0.125,
        steps=2,
        encoding="none",
        scales=1,
        mixture="none",
        native=False,
        head_width=256,
        residual=False,
        detach=False,
    )
    changed = {"stage_one": 0.0, "point_weight": 1.0, "point_dice": 0.0, "rough": 0.0, "restart": False}
    train = ours.train.model_copy(update=changed | {"renderer_rate": 1.0})
    return Recipe(name=name, backbone=ours.backbone, render=render, train=train)


UNET_2D = BackboneConfig(name="dynunet", spatial_dims=2, filters=(32, 64, 128, 256, 512), stem_stride=1)
UNET_3D = BackboneConfig(name="dynunet", spatial_dims=3, filters=(16, 32, 64, 128, 256), stem_stride=1)


def _reference(name: str, backbone: BackboneConfig, render: dict[str, Any], train: dict[str, Any]) -> Recipe:
    """The published set-up; what differs between its two forms is given."""
    published: dict[str, Any] = {
        "points": 2048, "oversample": 3.0, "importance": 0.75, "voxel_centres": False,
        "selection": "count", "fraction": 0.125, "steps": 2,
        "encoding": "fourier", "fourier_draw": "uniform", "fourier_features": 128,
        "experts": "dense", "mixture": "stochastic", "stochastic": 1.0, "rescale": "none", "native": False,
        "width": 256, "head_width": 512, "residual": False, "dropout": 0.1, "detach": False,
    }  # fmt: skip
    schedule: dict[str, Any] = {
        "optimizer": "sgd", "learning_rate": 0.01, "schedule": "poly", "floor": 0.1, "warmup": 0, "weight_decay": 1e-4,
        "iterations": 30_000, "ema": 0.0, "point_weight": 1.0, "point_dice": 0.0,
    }  # fmt: skip
    return Recipe(
        name=name, backbone=backbone, render=RenderConfig(**published | render), train=TrainConfig(**schedule | train)
    )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        DEFAULT_3D,
        DEFAULT_2D,
        _reference(
            "reference-3d",
            UNET_3D,
            {"scales": 3, "gate_norm": "instance"},
            {"window": (112, 112, 80), "batch": 2, "stage_one": 0.0},
        ),
        _reference(
            "reference-2d",
            UNET_2D,
            {"scales": 5, "gate_norm": "batch"},
            {"window": (256, 256), "batch": 4, "stage_one": 0.5, "point_ramp": True},
        ),
        _pointrend("pointrend-3d", DEFAULT_3D),
        _pointrend("pointrend-2d", DEFAULT_2D),
    )
}


def recipe_named(name: str, changes: tuple[str, ...] = (), own: Recipe | None = None) -> Recipe:
    """A recipe by name, or from a JSON file, or the ``own`` one, with ``part.knob=value`` changes applied.

    Raises
    ------
    InputError
        For an unknown name, file or knob, or a value that does not fit.
    """
    if own is not None:
        fields: dict[str, Any] = own.model_dump()
    elif name in RECIPES:
        fields = RECIPES[name].model_dump()
    elif name.lower().endswith(".json"):
        fields = load_recipe(Path(name)).model_dump()
    else:
        raise InputError(
            f"There is no recipe named {name!r}.", f"Known recipes: {', '.join(RECIPES)}; or give a .json file."
        )
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
        raise InputError(f"{_problem(error)}.", "Give another value.") from error
    _check_network(recipe)
    backbone = recipe.backbone.model_copy(update={"package": package_of(recipe.backbone.name)})
    return recipe.model_copy(update={"backbone": backbone})


def load_recipe(path: Path) -> Recipe:
    """A recipe that was saved as JSON; knobs that it leaves out keep their defaults.

    Raises
    ------
    InputError
        When there is no such file, it is too large, no JSON, or has a knob or value that does not exist.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise InputError(f"The recipe “{path}” cannot be read: {error.strerror}.", "Check its name.") from error
    if len(content) > FILE_LIMIT:
        raise InputError(f"“{path.name}” is too large to be a recipe.", "`napari-morse recipes NAME --out` makes one.")
    try:
        return Recipe.model_validate_json(content)
    except ValidationError as error:
        raise InputError(
            f"“{path.name}” is no recipe: {_problem(error)}.", "`napari-morse recipes NAME --out` makes one."
        ) from error


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe as JSON; `load_recipe` gives an equal one back.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    write_text(path, recipe.model_dump_json(indent=2) + "\n")


def _problem(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":  # knobs that do not go together: the whole part would be repeated
        return f"{where}: {first['ctx']['error']}"
    if first["type"] == "json_invalid":
        return first["msg"]
    return f"{where} cannot be {_shown(first['input'])}: {first['msg']}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= REPEATED_CHARACTERS else f"{text[:REPEATED_CHARACTERS]}…"


def on_backbone(recipe: Recipe, other: Recipe) -> Recipe:
    """A recipe on the backbone of another one.

    Raises
    ------
    InputError
        When the recipe's window or scales do not fit that backbone.
    """
    changed = recipe.model_copy(update={"backbone": sized(other)})
    _check_network(changed)
    return changed


def _check_network(recipe: Recipe) -> None:
    """Refuse knobs that are possible one by one and not together."""
    backbone, window = recipe.backbone, recipe.train.window
    if len(window) != backbone.spatial_dims:
        raise InputError(
            f"train.window has {len(window)} lengths for a {backbone.spatial_dims}-D network.", "Give one per axis."
        )
    try:
        # On the meta device nothing is allocated, whatever sizes a card or a file asks for.
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
    if recipe.render.scales > len(net.strides):
        raise InputError(
            f"render.scales is {recipe.render.scales}, and the decoder has {len(net.strides)} maps.",
            "Give fewer, or 0 for all.",
        )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
