"""Where a run stands, on disk, for every way to train: tensors and numbers, nothing that can run."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from napari_morse.errors import InputError, WeightsError
from napari_morse.io.atomic import write_bytes, write_text
from napari_morse.training.sound import all_finite

STATE, NUMBERS = "training.safetensors", "training.json"
OLDER_STATE, OLDER_NUMBERS = "tuning.safetensors", "tuning.json"
"""What older versions called those of a round that tunes a model; read, never written."""
OLDER_NAMES = {"iteration": "step", "best_dice": "best"}
WORDS = {
    "settings": "other settings", "model": "another base model", "labels": "other labels", "trained": "other cases",
    "held_out": "other held-out cases",
}  # fmt: skip
"""How what differs is said, where its name alone would not do."""


@dataclass
class RunProgress:
    """Numbers of a run in progress."""

    iteration: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Of the budget that are spent."""
    best_dice: float = -1.0
    """Of the best moment so far; -1 before the first one."""
    best_iteration: int = 0
    """Steps that were done then."""
    backs: int = 0
    """How often the run went back to its last checkpoint because it diverged."""


class PoisonedError(WeightsError):
    """A checkpoint holds weights that are no numbers: older versions wrote such."""


def save_checkpoint(
    folder: Path, net: nn.Module, average: nn.Module, best: dict[str, Tensor], optimizer: torch.optim.Optimizer,
    progress: RunProgress, settings: dict[str, Any],
) -> None:  # fmt: skip
    """Write everything that a resumed run needs; the old state stays until the new one is whole.

    Parameters
    ----------
    folder
        Made where there is none.
    net, average, best
        The network in training, its average, and the average's weights at the best moment (empty before one).
    optimizer
        With two groups, the backbone's parameters and the renderer's.
    progress
        Where the run stands.
    settings
        JSON values that must be the same for the run to go on.

    Raises
    ------
    InputError
        It cannot be written, e.g. on a full disk; the checkpoint before it is as it was.
    """
    tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items() if isinstance(v, Tensor)}
    # safetensors refuses tensors that are not contiguous.
    blob = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
    digest = hashlib.sha256(blob).hexdigest()
    numbers = {**vars(progress), "settings": settings, "sha256": digest}
    try:
        _write(folder, blob, digest, json.dumps(numbers, indent=1))
    except (InputError, OSError) as error:
        why = error.args[0] if isinstance(error, InputError) else f"“{folder}” could not be made: {error.strerror}."
        last = has_checkpoint(folder)
        hint = (
            "The last one is as it was: make space, then let the run go on."
            if last
            else "Make space, then begin again."
        )
        raise InputError(f"No checkpoint could be kept. {why}", hint) from error


def _write(folder: Path, blob: bytes, digest: str, numbers: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # The digest names the state that belongs to the numbers: a crash between the two writes leaves the older pair.
    state = folder / f"{digest[:16]}-{STATE}"
    fresh = not state.exists()
    try:
        write_bytes(state, blob)
        write_text(folder / NUMBERS, numbers)
    except InputError:
        if fresh:  # on a disk that is full, a state that no numbers name is in the way
            with suppress(OSError):
                state.unlink(missing_ok=True)
        raise
    for old in (*folder.glob(f"*-{STATE}"), *folder.glob(f"*-{OLDER_STATE}"), folder / OLDER_NUMBERS):
        if old != state:
            old.unlink(missing_ok=True)


def has_checkpoint(folder: Path) -> bool:
    """Whether a run was begun in ``folder``."""
    return (folder / NUMBERS).is_file() or (folder / OLDER_NUMBERS).is_file()


def clear_checkpoint(folder: Path) -> None:
    """Remove a run's state, and its folder when nothing else lies there."""
    states = (*folder.glob(f"*-{STATE}"), *folder.glob(f"*-{OLDER_STATE}"))
    for path in (*states, folder / NUMBERS, folder / OLDER_NUMBERS):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def load_checkpoint(
    folder: Path, net: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, settings: dict[str, Any]
) -> tuple[RunProgress, dict[str, Tensor]]:
    """Put a run back as it was; parameters as for `save_checkpoint`. Nothing is touched where it raises.

    Returns
    -------
    progress
        Where it stands.
    best
        Weights of the best moment; empty before one.

    Raises
    ------
    WeightsError
        When there is none, it is damaged, or it was begun with other settings; `PoisonedError`.
    """
    older = not (folder / NUMBERS).is_file() and (folder / OLDER_NUMBERS).is_file()
    numbers, tensors = _read(folder, older)
    # Through JSON, as those on the disk went: tuples have become lists there, and would differ.
    _check_settings(folder, numbers["settings"], json.loads(json.dumps(settings)))
    if not all_finite(tensors.values()):
        raise PoisonedError(
            f"The saved run in {folder} holds weights that are no numbers: its training had diverged.",
            "Delete the folder and train again, with a smaller learning rate if that comes again.",
        )
    net.load_state_dict(_part(tensors, "net."))
    average.load_state_dict(_part(tensors, "average."))
    _restore(optimizer, _part(tensors, "optimizer."), _places(optimizer) if older else None)
    names = OLDER_NAMES if older else {}
    # Older versions knew fewer numbers.
    progress = RunProgress(**{k: numbers.get(names.get(k, k), usual) for k, usual in vars(RunProgress()).items()})
    return progress, _part(tensors, "best.")


def _read(folder: Path, older: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Numbers and tensors, which belong together."""
    state, file = (OLDER_STATE, OLDER_NUMBERS) if older else (STATE, NUMBERS)
    try:
        numbers = json.loads((folder / file).read_text())
        blob = (folder / f"{numbers['sha256'][:16]}-{state}").read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder} holds no run to resume.", "Leave out --resume to begin one.") from error
    if hashlib.sha256(blob).hexdigest() != numbers["sha256"]:
        raise WeightsError(f"The saved run in {folder} is damaged.", "Delete the folder and train again.")
    return numbers, load(blob)


def _check_settings(folder: Path, begun: dict[str, Any], now: dict[str, Any]) -> None:
    changed = [key for key in dict.fromkeys((*now, *begun)) if begun.get(key) != now.get(key)]
    if changed:
        said = " and ".join(dict.fromkeys(WORDS.get(key, f"another {key}") for key in changed))
        raise WeightsError(
            f"The run in {folder} was begun with {said}.", "Resume it as it was, or delete the folder and begin anew."
        )


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _places(optimizer: torch.optim.Optimizer) -> list[int]:
    """Where the optimizer has the parameters that an older round numbered.

    It numbered the renderer's first, then those of the backbone that were trained. Taken by number as they stand, each
    parameter would go on with the moments of another one, and nothing would say so.
    """
    backbone, renderer = (group["params"] for group in optimizer.param_groups)
    trained = [place for place, parameter in enumerate(backbone) if parameter.requires_grad]
    return [*range(len(backbone), len(backbone) + len(renderer)), *trained]


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], places: list[int] | None) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        index = int(number) if places is None else places[int(number)]
        state.setdefault(index, {})[name] = value
    # Its moments alone: the rates are set anew at every step, by the schedule.
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
