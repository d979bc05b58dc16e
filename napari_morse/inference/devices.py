"""Which processor runs the network."""

from __future__ import annotations

import torch

from napari_morse.errors import InputError


def available_devices() -> list[str]:
    """``auto`` first, then what this machine has: ``cuda``, ``mps`` (best effort), ``cpu``."""
    found = ["auto"]
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def resolve_device(name: str = "auto") -> str:
    """A device that exists: ``auto`` is the first of cuda, mps, cpu; ``cuda:N`` picks one of several cards.

    Raises
    ------
    InputError
        When the machine has no such device.
    """
    known = available_devices()
    if name == "auto":
        return known[1]
    kind, _, number = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in known[1:] or (number and not (number.isdigit() and int(number) < count)):
        raise InputError(f"This machine has no device {name!r}.", f"Choose one of: {', '.join(known)}.")
    return name
