"""Where a tuning run stands: on disk every few steps, tensors and numbers only."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from napari_morse.errors import WeightsError
from napari_morse.io.atomic import write_bytes, write_text
from napari_morse.training.checkpoint import check_numbers

STATE, NUMBERS = "tuning.safetensors", "tuning.json"
EVERY = 10
"""Steps between two checkpoints."""


class State:
    """Checkpoints of one run.

    Parameters
    ----------
    folder
        Made when first written to.
    settings
        Must be the same for a run to go on.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.settings, self.every = folder, settings, EVERY
        self.step, self.backs = 0, 0
        self.notes: dict[str, Any] = {}
        """Of the best moment so far: its ``dice`` and ``weights``."""

    @property
    def kept(self) -> bool:
        """Whether there is a checkpoint."""
        return (self.folder / NUMBERS).is_file()

    def save(self, net: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write a checkpoint; the last one stays until this one is whole."""
        tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in (self.notes.get("weights") or {}).items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items() if isinstance(v, Tensor)}
        blob = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
        digest = hashlib.sha256(blob).hexdigest()
        numbers = {"step": self.step, "backs": self.backs, "settings": self.settings, "sha256": digest}
        numbers["best"] = self.notes.get("dice", -1.0)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self.folder / f"{digest[:16]}-{STATE}", blob)
        write_text(self.folder / NUMBERS, json.dumps(numbers, indent=1))
        for old in self.folder.glob(f"*-{STATE}"):
            if not old.name.startswith(digest[:16]):
                old.unlink()

    def load(self, net: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Put a run back as it was.

        Raises
        ------
        WeightsError
            There is none, it is damaged, holds weights that are no numbers, or was begun with other settings or cases.
        """
        try:
            numbers = json.loads((self.folder / NUMBERS).read_text())
            blob = (self.folder / f"{numbers['sha256'][:16]}-{STATE}").read_bytes()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"{self.folder} holds no tuning run.", "Begin one.") from error
        if hashlib.sha256(blob).hexdigest() != numbers["sha256"]:
            raise WeightsError(f"The saved run in {self.folder} is damaged.", "Delete the folder and tune again.")
        if numbers["settings"] != json.loads(json.dumps(self.settings)):
            raise WeightsError(
                f"The run in {self.folder} was begun with other settings, another model or other cases.",
                "Resume it as it was, or delete the folder and begin anew.",
            )
        tensors = load(blob)
        check_numbers(tensors, self.folder)
        net.load_state_dict(_part(tensors, "net."))
        average.load_state_dict(_part(tensors, "average."))
        _restore(optimizer, _part(tensors, "optimizer."))
        self.step, self.backs = int(numbers["step"]), int(numbers["backs"])
        best = _part(tensors, "best.")
        self.notes = {"dice": float(numbers["best"]), "weights": best} if best else {}

    def note(self, notes: dict[str, Any]) -> None:
        """Keep what belongs to the best moment with the next checkpoint."""
        self.notes = notes

    def clear(self) -> None:
        """Remove the checkpoints."""
        for path in (*self.folder.glob(f"*-{STATE}"), self.folder / NUMBERS):
            path.unlink(missing_ok=True)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
