"""Training state on disk: tensors and numbers, nothing that can run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from napari_morse.errors import WeightsError
from napari_morse.io.atomic import write_bytes, write_text
from napari_morse.training.sound import all_finite

STATE = "training.safetensors"
NUMBERS = "training.json"


@dataclass
class Progress:
    """Numbers of a run in progress."""

    iteration: int = 0
    seconds: float = 0.0
    best_dice: float = -1.0
    best_iteration: int = 0
    backs: int = 0
    """How often the run went back to its last checkpoint because it diverged."""


class PoisonedError(WeightsError):
    """A checkpoint holds weights that are no numbers: older versions wrote such."""


def save_checkpoint(
    folder: Path, net: nn.Module, average: nn.Module, best: dict[str, Tensor], optimizer: torch.optim.Optimizer,
    progress: Progress, settings: dict[str, Any],
) -> None:  # fmt: skip
    """Write everything that a resumed run needs; the old state stays until the new one is whole."""
    tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items() if isinstance(v, Tensor)}
    blob = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
    numbers = {**vars(progress), "settings": settings, "sha256": hashlib.sha256(blob).hexdigest()}
    # The digest names the state that belongs to it: a crash between the two writes leaves the older pair.
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / f"{numbers['sha256'][:16]}-{STATE}", blob)
    write_text(folder / NUMBERS, json.dumps(numbers, indent=1))
    for old in folder.glob(f"*-{STATE}"):
        if not old.name.startswith(numbers["sha256"][:16]):
            old.unlink()


def has_checkpoint(folder: Path) -> bool:
    """Whether a run was begun in ``folder``."""
    return (folder / NUMBERS).is_file()


def clear_checkpoint(folder: Path) -> None:
    """Remove a run's state, and its folder when nothing else lies there."""
    for path in (*folder.glob(f"*-{STATE}"), folder / NUMBERS):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def load_checkpoint(
    folder: Path, net: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, settings: dict[str, Any]
) -> tuple[Progress, dict[str, Tensor]]:
    """Put a run back as it was.

    Raises
    ------
    WeightsError
        When there is none, it is damaged, or it was begun with other settings; `PoisonedError`.
    """
    try:
        numbers = json.loads((folder / NUMBERS).read_text())
        blob = (folder / f"{numbers['sha256'][:16]}-{STATE}").read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder} holds no run to resume.", "Leave out --resume to begin one.") from error
    if hashlib.sha256(blob).hexdigest() != numbers["sha256"]:
        raise WeightsError(f"The saved run in {folder} is damaged.", "Delete the folder and train again.")
    if numbers["settings"] != json.loads(json.dumps(settings)):
        changed = [k for k, v in json.loads(json.dumps(settings)).items() if v != numbers["settings"].get(k)]
        raise WeightsError(f"The run in {folder} was begun with another {', '.join(changed)}.", "Resume it as it was.")
    tensors = load(blob)
    check_numbers(tensors, folder)
    net.load_state_dict(_part(tensors, "net."))
    average.load_state_dict(_part(tensors, "average."))
    _restore(optimizer, tensors)
    progress = Progress(**{k: numbers.get(k, usual) for k, usual in vars(Progress()).items()})  # older ones lack some
    return progress, _part(tensors, "best.")


def check_numbers(tensors: dict[str, Tensor], folder: Path) -> None:
    """Raise PoisonedError unless all values of a saved run are numbers."""
    if not all_finite(tensors.values()):
        raise PoisonedError(
            f"The saved run in {folder} holds weights that are no numbers: its training had diverged.",
            "Delete the folder and train again, with a smaller learning rate if that comes again.",
        )


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(tensors, "optimizer.").items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
