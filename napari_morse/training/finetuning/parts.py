"""Which weights are trained."""

from __future__ import annotations

import re

from torch import nn

from napari_morse.model.morse import Morse
from napari_morse.training.settings import What

LATE = re.compile(r"(^|\.)(up|out|final|decoder|head|conv_final)|(^|\.)(model|submodule)\.2\.")
"""How MONAI's networks name the stages from the bottleneck to the logits; its nested UNet numbers them."""


def trained(net: Morse, what: What) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The renderer's parameters (with the stem's), and those of the backbone that are trained."""
    inside = {id(p) for p in net.backbone.parameters()}
    renderer = [p for p in net.parameters() if id(p) not in inside]
    if what == "head":
        return renderer, []
    named = list(net.backbone.named_parameters())
    if what == "decoder":
        late = [p for name, p in named if LATE.search(name)]
        return renderer, late or [p for _, p in named]
    return renderer, [p for _, p in named]


def only(net: Morse, parameters: list[nn.Parameter]) -> None:
    """Let gradients reach these parameters alone."""
    chosen = {id(p) for p in parameters}
    for parameter in net.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
