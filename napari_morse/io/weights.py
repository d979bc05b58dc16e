"""Weights to and from a model folder: tensors only, checked by digest before anything reads them.

Nothing here unpickles, follows a link or unpacks an archive.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from napari_morse.config import ModelCard
from napari_morse.errors import InputError, WeightsError
from napari_morse.io.atomic import flush_folder, part_folder, write_bytes
from napari_morse.io.cards import (
    CARD,
    COPY_MODEL_AGAIN,
    WEIGHTS,
    WEIGHTS_LIMIT,
    card_bytes,
    parse_card,
    read_card,
    read_file,
)

Module = TypeVar("Module", bound=nn.Module)

_OTHER = "The model was made by another version, or its card belongs to other weights; copy the folder again."


def save_model(
    folder: Path | str, card: ModelCard | Mapping[str, Any], tensors: Mapping[str, Tensor], *, overwrite: bool = False
) -> ModelCard:
    """Write a model folder, whole or not at all; the same input gives the same bytes.

    Parameters
    ----------
    folder
        To be made. Its parent must exist.
    card
        A card, or its fields; ``weights_sha256`` may be missing and is replaced.
    tensors
        By name; floating ones are stored as float32, all finite.
    overwrite
        Whether a model that lies there already is replaced. The old one goes only when the new one stands; after a
        crash in between it is found beside, as ``<name>.previous-…``.

    Returns
    -------
    ModelCard
        As written, with the digest of the weights.

    Raises
    ------
    WeightsError
        A folder lies there already, a tensor is not finite, or the card is not valid.
    InputError
        The place cannot be written to.
    """
    folder = Path(folder)
    content = save({name: _plain(name, tensors[name]) for name in sorted(tensors)})
    written = _with_digest(card, hashlib.sha256(content).hexdigest(), folder.name)
    text = (written.model_dump_json(indent=2) + "\n").encode()
    # Read back before anything is written: a card that could not be opened again is refused now.
    parse_card(text, folder.name)
    _check_replaceable(folder, overwrite)
    part = part_folder(folder)
    try:
        part.mkdir()
        write_bytes(part / WEIGHTS, content)
        write_bytes(part / CARD, text)
        _publish(part, folder)
    except OSError as error:
        raise InputError(
            f"The model “{folder.name}” could not be written: {error.strerror or error}.",
            "What was there before is unchanged. Choose a folder with space that you may write to.",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return written


def load_model(folder: Path | str) -> tuple[ModelCard, dict[str, Tensor]]:
    """Card and weights of a model folder, on the CPU.

    Returns
    -------
    card
        Strictly valid.
    tensors
        By name, all finite.

    Raises
    ------
    WeightsError
        Anything is missing, damaged, tampered with, too large, or no tensor file.
    """
    folder = Path(folder)
    card = parse_card(card_bytes(folder), folder.name)
    content = read_file(folder, WEIGHTS, WEIGHTS_LIMIT)
    # Before the parser sees a byte: a flipped bit in the numbers would load without complaint.
    if hashlib.sha256(content).hexdigest() != card.weights_sha256:
        raise WeightsError(
            f"The weights of the model “{folder.name}” are damaged or were changed: their digest is not the card's.",
            COPY_MODEL_AGAIN,
        )
    try:
        tensors = load(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{WEIGHTS} in the model “{folder.name}” is no tensor file.", COPY_MODEL_AGAIN) from error
    for name, tensor in tensors.items():
        _check_finite(name, tensor)
    return card, tensors


def fill(build: Callable[[], Module], tensors: Mapping[str, Tensor], name: str) -> Module:
    """A network with these weights, in evaluation mode.

    Parameters
    ----------
    build
        Makes the network. It is called first without memory, so that a card that claims a giant network costs nothing.
    tensors
        Every tensor of the network and no other.
    name
        Of the model, for messages.

    Raises
    ------
    WeightsError
        The network cannot be built, or a tensor is missing, unknown or of another shape.
    """
    try:
        with torch.device("meta"), _Unset():
            expected = build().state_dict()
    except (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError, NotImplementedError) as error:
        raise WeightsError(f"The network that the card of “{name}” describes cannot be built.", _OTHER) from error
    problem = _difference(expected, tensors)
    if problem:
        raise WeightsError(f"The weights of the model “{name}” do not fit its network: {problem}.", _OTHER)
    network = build()
    network.load_state_dict(tensors, strict=True)
    return network.eval()


class _Unset(TorchFunctionMode):
    """Leaves new parameters as they are.

    Drawing numbers on the meta device makes torch load its compiler and with it Triton, whose LLVM brings down a
    process in which Mesa has loaded another one: any napari window without a graphics card.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Skip what fills a tensor in place, do everything else."""
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "fill_", "zero_"):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def _difference(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """How the tensors differ from what a network expects, in words; empty when they do not."""
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing:
        return f"{len(missing)} tensors are missing, the first is {missing[0]}"
    if unknown:
        return f"{len(unknown)} tensors are unknown, the first is {unknown[0][:80]}"
    for name, tensor in expected.items():
        if tensor.shape != tensors[name].shape:
            return f"{name} has shape {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
    return ""


def _plain(name: str, tensor: Tensor) -> Tensor:
    _check_finite(name, tensor)
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()
    # A clone: safetensors refuses tensors that share memory, as tied weights do.
    return tensor.contiguous().clone()


def _check_finite(name: str, tensor: Tensor) -> None:
    if not torch.isfinite(tensor).all():
        raise WeightsError(
            f"The tensor {name[:80]} holds values that are not finite.",
            "The training went wrong; train again with a smaller learning rate, or take another model.",
        )


def _with_digest(card: ModelCard | Mapping[str, Any], digest: str, name: str) -> ModelCard:
    fields = card.model_dump() if isinstance(card, ModelCard) else dict(card)
    try:
        return ModelCard.model_validate(fields | {"weights_sha256": digest})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise WeightsError(f"The card of the model “{name}” is not valid ({field}: {first['msg']}).") from error


def _check_replaceable(folder: Path, overwrite: bool) -> None:
    """Raise unless the folder is free, or holds a model and nothing else that may be replaced."""
    if not folder.parent.is_dir():
        raise InputError(f"There is no folder “{folder.parent}”.", "Make the folder first.")
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if not overwrite:
        raise WeightsError(f"“{folder.name}” exists already.", "Give the new model another name.")
    read_card(folder)
    others = sorted({entry.name for entry in folder.iterdir()} - {CARD, WEIGHTS})
    if folder.is_symlink() or others:
        raise WeightsError(
            f"“{folder.name}” holds more than a model ({', '.join(others[:3]) or 'it is a link'}) and is not replaced.",
            "Give the new model another name.",
        )


def _publish(part: Path, folder: Path) -> None:
    """Move the finished folder into place; an old one leaves only after that."""
    previous = None
    if folder.is_dir():
        previous = folder.with_name(f"{folder.name}.previous-{secrets.token_hex(4)}")
        folder.rename(previous)
    try:
        part.rename(folder)
    except OSError:
        if previous is not None:
            previous.rename(folder)
        raise
    # The new name is on the disk before the old model goes: a power cut in between leaves both, never none.
    flush_folder(folder.parent)
    if previous is not None:
        shutil.rmtree(previous, ignore_errors=True)
