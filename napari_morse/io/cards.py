"""Model folders without their weights: which files count, how large they may be, and the strict card.

A model is a folder with two files: ``model.json`` (the card, `config.ModelCard`) and ``model.safetensors`` (tensors,
nothing else). The card holds the digest of the weights, so its own digest pins both. This module loads no torch.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from pydantic import ValidationError

from napari_morse.config import ModelCard
from napari_morse.errors import WeightsError

CARD = "model.json"
WEIGHTS = "model.safetensors"
CARD_LIMIT = 1_000_000
"""Bytes; a card of a few kB is usual."""
WEIGHTS_LIMIT = 2_000_000_000
"""Bytes; the largest 3-D networks in use stay below."""
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A link put in place after the check is not followed, nor a pipe waited for; Windows has no such flags, and needs the
last."""
_SHOWN = 300
"""Characters of a validation message that are repeated."""
COPY_MODEL_AGAIN = "Copy the model folder again from where it came, or train it again."


def read_card(folder: Path | str) -> ModelCard:
    """The card of a model folder.

    Raises
    ------
    WeightsError
        No such folder, a card that is missing, too large, a link, or not valid in every field.
    """
    return parse_card(card_bytes(folder), Path(folder).name)


def card_bytes(folder: Path | str) -> bytes:
    """``model.json`` as it lies in the folder."""
    return read_file(folder, CARD, CARD_LIMIT)


def model_digest(folder: Path | str) -> str:
    """sha256 of ``model.json``, which holds the digest of the weights: one digest for the whole model."""
    return hashlib.sha256(card_bytes(folder)).hexdigest()


def parse_card(content: bytes, name: str) -> ModelCard:
    """A card from its bytes; ``name`` is used in messages.

    Raises
    ------
    WeightsError
        Not JSON, an unknown or missing field, a value of the wrong type or out of range, or fields that contradict.
    """
    try:
        card = ModelCard.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise _invalid(error, name) from error
    problem = _contradiction(card)
    if problem:
        raise WeightsError(f"The card of the model “{name}” contradicts itself: {problem}.", COPY_MODEL_AGAIN)
    return card


def _invalid(error: ValidationError, name: str) -> WeightsError:
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if field == "format_version":
        return WeightsError(f"The model “{name}” has a format that this version does not know.", "Update napari-morse.")
    where = f"{field}: " if field else ""
    message = f"{where}{first['msg']}"[:_SHOWN]
    return WeightsError(f"The card of the model “{name}” is not valid ({message}).", COPY_MODEL_AGAIN)


def _contradiction(card: ModelCard) -> str:
    """What does not fit together in a card whose single fields are right; empty when all does."""
    backbone, ids = card.recipe.backbone, [label.id for label in card.labels]
    reads, dims, window = backbone.in_channels, backbone.spatial_dims, card.recipe.train.window
    checks = {
        "two labels have one id": len(ids) == len(set(ids)),
        f"{len(ids)} labels and the background for a network with {backbone.classes} classes":
            backbone.classes == len(ids) + 1,
        f"{len(card.channels)} channels for a network that reads {reads}": reads == len(card.channels),
        f"the window {window} for a {dims}-D network": len(window) == dims and min(window) >= 1,
        f"the spacing {card.spacing} for a {dims}-D network": len(card.spacing) == dims and min(card.spacing) > 0,
        f"slice axis {card.slice_axis} for a {dims}-D network": (card.slice_axis is None) == (dims == 3),
    }  # fmt: skip
    return next((problem for problem, right in checks.items() if not right), "")


def check_folder(folder: Path | str) -> Path:
    """The folder as a path.

    Raises
    ------
    WeightsError
        There is none, or it is a file (an archive, another program's checkpoint).
    """
    path = Path(folder)
    if path.is_dir():
        return path
    if path.exists():
        raise WeightsError(
            f"“{path.name}” is a file, not a model folder.",
            f"A model is a folder with {CARD} and {WEIGHTS}; archives and other programs' checkpoints are not opened.",
        )
    raise WeightsError(f"There is no model folder “{path}”.", "Check the path; `napari-morse models` lists the names.")


def read_file(folder: Path | str, name: str, limit: int) -> bytes:
    """A regular file that lies in the folder itself, whole.

    Raises
    ------
    WeightsError
        Missing, a link or a device, larger than ``limit`` bytes, growing, or not readable.
    """
    path = check_folder(folder) / name
    where = f"{name} in the model “{path.parent.name}”"
    try:
        _check_plain(path.lstat(), where)
        with os.fdopen(os.open(path, _READ), "rb") as file:
            status = os.fstat(file.fileno())
            _check_plain(status, where)
            if status.st_size > limit:
                raise WeightsError(
                    f"{where} is larger than {limit / 1e6:g} MB, the most that is read.", COPY_MODEL_AGAIN
                )
            content = file.read(status.st_size + 1)  # what is asked for is allocated: the limit would be 2 GB
    except FileNotFoundError as error:
        raise WeightsError(f"The model folder “{path.parent.name}” has no {name}.", COPY_MODEL_AGAIN) from error
    except OSError as error:
        raise WeightsError(f"{where} cannot be read: {error.strerror}.", "Check its permissions.") from error
    if len(content) > status.st_size:
        raise WeightsError(f"{where} grew while it was read.", "Wait until it is copied, then try again.")
    return content


def _check_plain(status: os.stat_result, where: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise WeightsError(f"{where} is a link or no plain file.", COPY_MODEL_AGAIN)
