"""Backbones by name: ours, those registered by the user's own code, those of installed packages.

A name in a model folder is only ever looked up here. It is never read as a module or a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from napari_morse.config import BACKBONE, BackboneConfig
from napari_morse.errors import InputError, WeightsError
from napari_morse.model.backbones.adapter import Backbone
from napari_morse.model.backbones.convolutional import (
    BasicUNetBackbone,
    DynUNetBackbone,
    SegResNetBackbone,
    UNetBackbone,
)
from napari_morse.model.backbones.transformers import SwinUNETRBackbone, UNETRBackbone
from napari_morse.model.backbones.transunet import TransUNetBackbone

Factory = Callable[[BackboneConfig], Backbone]
"""Makes a network; knobs that do not fit are a ValueError. The network is trained and filled with weights later."""
GROUP = "napari_morse.backbones"
"""Entry points of installed packages: name of the backbone → its factory."""
BUILT_IN: dict[str, Factory] = {
    "basicunet": BasicUNetBackbone,
    "dynunet": DynUNetBackbone,
    "segresnet": SegResNetBackbone,
    "swinunetr": SwinUNETRBackbone,
    "transunet": TransUNetBackbone,
    "unet": UNetBackbone,
    "unetr": UNETRBackbone,
}
_registered: dict[str, Factory] = {}


def register_backbone(name: str, factory: Factory) -> None:
    """Make a network known in this process under a name; a name that it had before is replaced.

    Parameters
    ----------
    name
        As written in ``backbone.name``: lower-case letters, digits, ``_``, ``.`` and ``-``.
    factory
        A `Backbone` subclass that takes a `BackboneConfig`, or a function from one to the other.

    Raises
    ------
    InputError
        The name is that of a network of napari-morse, or not written so.
    """
    if name in BUILT_IN:
        raise InputError(f"A backbone named {name!r} comes with napari-morse.", "Choose another name.")
    if not re.fullmatch(BACKBONE, name):
        raise InputError(f"{name!r} cannot be the name of a backbone.", "Use lower-case letters, digits, _, . and -.")
    _registered[name] = factory


def make_backbone(config: BackboneConfig) -> Backbone:
    """The backbone that a recipe names.

    Raises
    ------
    WeightsError
        Nothing that is installed or registered has that name.
    InputError
        Two installed packages have it, or the one that has it cannot be imported.
    ValueError
        Its knobs do not fit each other.
    """
    net = _factory(config)(config)
    if not isinstance(net, Backbone):
        raise InputError(
            f"The backbone {config.name!r} makes a {type(net).__name__}, not a Backbone.",
            "Let its class derive from napari_morse.model.backbones.Backbone.",
        )
    if config.deep_supervision and type(net).deeper is Backbone.deeper:
        raise ValueError(f"{config.name} has no deeper heads to supervise")
    return net


def package_of(name: str) -> str:
    """The installed package that offers a backbone; empty for ours and for those registered by the user's code."""
    if name in BUILT_IN or name in _registered:
        return ""
    point = _entry_point(name)
    return point.dist.name if point is not None and point.dist is not None else ""


def _factory(config: BackboneConfig) -> Factory:
    known = BUILT_IN.get(config.name) or _registered.get(config.name)
    if known is not None:
        return known
    point = _entry_point(config.name)
    if point is None:
        source = f"the package {config.package!r}" if config.package else "the package that offers it"
        raise WeightsError(
            f"The backbone {config.name!r} is neither installed (entry point {config.name!r} in the group {GROUP!r}) "
            "nor registered.",
            f"Install {source}, or call register_backbone({config.name!r}, …) first.",
        )
    try:
        factory: Factory = point.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"The backbone {config.name!r} cannot be imported from {point.value!r}: {error}.",
            f"Repair or reinstall the package {package_of(config.name) or point.value!r}.",
        ) from error
    return factory


def _entry_point(name: str) -> EntryPoint | None:
    points = sorted(entry_points(group=GROUP, name=name), key=lambda point: point.value)
    if len({point.value for point in points}) > 1:
        raise InputError(
            f"Two installed packages offer a backbone {name!r}: {points[0].value} and {points[1].value}.",
            "Uninstall one of them.",
        )
    return points[0] if points else None
