"""Which processor runs the network."""

from __future__ import annotations

import torch

from napari_morse.errors import InputError


def available_devices() -> list[str]:
    """``auto`` first, then what this machine has: ``cuda``, ``mps`` (best effort), ``cpu``."""
    devices = ["auto"]
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


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


def has_bfloat16(device: str) -> bool:
    """Whether a device multiplies bfloat16 itself; emulated, a step takes many times longer."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu":
        return False
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    # The names are the processors' own: AVX-512 BF16 and AMX on x86, BF16 on Arm.
    return any(bool(able.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def point_precision(device: str) -> torch.dtype:
    """What the renderer's layers compute in: bfloat16 on a processor that multiplies it, float32 elsewhere.

    A card is left at float32: there the points take no time worth saving.
    """
    # By what the processor can do, never by a stopwatch: one scan must give one mask.
    return torch.bfloat16 if device == "cpu" and has_bfloat16(device) else torch.float32
