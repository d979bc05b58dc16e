"""Named arrays and a few words about them in one file (safetensors): no pickle, every length checked, and a digest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue
from safetensors import SafetensorError
from safetensors.numpy import load, save

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.io.atomic import write_bytes
from napari_morse.io.guards import check_budget, enough_memory
from napari_morse.types import Array

_ABOUT, _DIGEST = "about", "sha256"
_LENGTH = 8
_MOST_HEADER = 1 << 20
"""Bytes of names, shapes and words."""


@dataclass(frozen=True, eq=False)
class StoredArrays:
    """What one file holds.

    Parameters
    ----------
    arrays
        By name; whole numbers and floating point, any shape.
    about
        What the owner says of them: names and JSON values.
    """

    arrays: Mapping[str, Array]
    about: Mapping[str, JsonValue]


def save_arrays(stored: StoredArrays, path: Path | str) -> Path:
    """Write ``stored`` to ``path``, all or nothing; returns the path.

    Raises
    ------
    InputError
        No space, or no right to write.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in stored.arrays.items()}
    about = json.dumps(dict(stored.about), sort_keys=True)
    return write_bytes(path, save(arrays, {_ABOUT: about, _DIGEST: _digest(arrays, about)}))


def load_arrays(path: Path | str) -> StoredArrays:
    """Read what `save_arrays` wrote.

    Raises
    ------
    InputError
        The file is missing, cannot be read, is damaged, or would not fit into memory.
    """
    file = Path(path)
    try:
        # Twice: the bytes as read, and the arrays made of them.
        check_budget(2 * file.stat().st_size, file.name)
        with enough_memory(file.name):
            content = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"“{file.name}” could not be read: {error.strerror or error}.", "Run the model again."
        ) from error
    words = _words(content, file)
    try:
        arrays = load(content)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _damaged(file) from error
    about = words.get(_ABOUT, "")
    if words.get(_DIGEST) != _digest(arrays, about):
        raise _damaged(file)
    return StoredArrays(arrays, json.loads(about))


def _words(content: bytes, file: Path) -> dict[str, str]:
    """The strings in the file's head; checks that the head describes no more than the file holds."""
    length = int.from_bytes(content[:_LENGTH], "little")
    if len(content) < _LENGTH or length > min(_MOST_HEADER, len(content) - _LENGTH):
        raise _damaged(file)
    try:
        head = json.loads(content[_LENGTH : _LENGTH + length])
        words = head["__metadata__"]
        counts = [math.prod(part["shape"]) for name, part in head.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(file) from error
    if not isinstance(words, dict) or any(count > len(content) for count in counts):
        raise _damaged(file)
    return words


def _digest(arrays: Mapping[str, Array], about: str) -> str:
    digest = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}\n{array.dtype.str}\n{array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _damaged(file: Path) -> DamagedFileError:
    return DamagedFileError(f"“{file.name}” is damaged.", "Run the model again.")
