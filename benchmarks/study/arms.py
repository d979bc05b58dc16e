"""The arms of the ablation: a recipe for each dimension and what is changed in it; the sizes of the set come first."""

from __future__ import annotations

import json
from dataclasses import dataclass

from benchmarks.study.sets import Set
from napari_morse.config import Recipe
from napari_morse.training.recipes import recipe_named


@dataclass(frozen=True)
class Arm:
    """What is trained: ``recipe`` is completed by ``-2d`` or ``-3d``."""

    recipe: str
    changes: tuple[str, ...] = ()
    says: str = ""


ARMS = {
    "alone": Arm("default", ("train.stage_one=1.0",), "the same backbone trained alone; its head stays zero"),
    "default": Arm("default", (), "ours"),
    "pointrend": Arm("pointrend", (), "one scale, no encoding, no mixture"),
    "reference": Arm("reference", ("render.scales=0",), "the published set-up on our backbone, shortened"),
    "no-native": Arm("default", ("render.native=false",), "ours without the native image's neighbourhood"),
    "joint": Arm("default", ("train.stage_one=0.0", "render.detach=false"), "ours, one stage, coarse map unprotected"),
    "deterministic": Arm("default", ("render.stochastic=0.0",), "ours, no expert is ever silenced"),
    "no-encoding": Arm("default", ("render.encoding=none",), "ours without position"),
    "plain-head": Arm("default", ("render.residual=false",), "ours, the head predicts logits, not a correction"),
}


def recipe_of(arm: Arm, chosen: Set, changes: tuple[str, ...]) -> Recipe:
    """The recipe of a run: one backbone for all arms, the set's sizes, the arm's changes, then the caller's."""
    default = recipe_named(f"default-{chosen.dims}d").backbone.model_dump(mode="json")
    backbone = tuple(f"backbone.{knob}={json.dumps(value)}" for knob, value in default.items())
    return recipe_named(f"{arm.recipe}-{chosen.dims}d", (*backbone, *chosen.changes, *arm.changes, *changes))
