"""Model folders that travel: out of a library as one folder, and into the user's own. Torch is loaded when called.

Only the card and the weights are copied, byte by byte and never over anything.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_morse import zoo
from napari_morse.config import MODEL_NAME
from napari_morse.errors import InputError, WeightsError
from napari_morse.io import cards
from napari_morse.io.atomic import flush_folder, part_folder, write_bytes

__all__ = ["copy_model", "export_model", "import_model", "present"]

_FILES = {cards.WEIGHTS: cards.WEIGHTS_LIMIT, cards.CARD: cards.CARD_LIMIT}


def export_model(info: zoo.ModelInfo, folder: Path | str) -> Path:
    """Copy a model's folder into another folder, whole or not at all.

    Parameters
    ----------
    info
        The model, as `zoo.find` gives it.
    folder
        Folder to copy into, made when it is missing. The copy is always ``folder/<name of the model>``.

    Returns
    -------
    Path
        The copy, with the same digest as the model.

    Raises
    ------
    WeightsError
        The model is damaged.
    InputError
        Something of that name lies there already, or the place cannot be written to.
    """
    from napari_morse.io.weights import load_model

    target = Path(folder).expanduser() / info.name
    _check_free(target)
    # For its checks alone: a damaged model does not travel.
    load_model(info.folder)
    _copy(info.folder, target, cards.model_digest(info.folder))
    return target


def copy_model(folder: Path | str, target: Path | str) -> Path:
    """Copy a model folder to a place of another name, whole or not at all; errors as `export_model`."""
    from napari_morse.io.weights import load_model

    folder, target = Path(folder), Path(target)
    _check_free(target)
    load_model(folder)
    _copy(folder, target, cards.model_digest(folder))
    return target


def import_model(folder: Path | str, name: str | None = None) -> zoo.ModelInfo:
    """Copy a model folder into the user's library, whole or not at all.

    Parameters
    ----------
    folder
        The model. Its network is built and filled before anything is copied.
    name
        Of the model in the library; else the folder's. The name on the card stays as it is.

    Returns
    -------
    ModelInfo
        The model in the library; the one that `present` finds when it is there already, and then nothing is copied.

    Raises
    ------
    WeightsError
        The model, or the one there already, is damaged; or the folder is a link.
    InputError
        The name is taken or not allowed, or the library cannot be written to.
    """
    folder = _plain_folder(folder)
    name = folder.name if name is None else name
    digest = zoo.load(zoo.ModelInfo(name, folder, cards.read_card(folder), shipped=False)).digest
    there = present(folder)
    if there is not None:
        _check_whole(there)
        return there
    _check_name(name)
    target = zoo.library() / name
    _copy(folder, target, digest)
    return zoo.find(name)


def present(folder: Path | str) -> zoo.ModelInfo | None:
    """The listed model with the digest of this folder; neither's weights are read.

    Raises
    ------
    WeightsError
        The folder has no card.
    """
    digest = cards.model_digest(Path(folder).expanduser())
    return next((info for info in zoo.available() if cards.model_digest(info.folder) == digest), None)


def _plain_folder(folder: Path | str) -> Path:
    path = cards.check_folder(Path(folder).expanduser())
    if path.is_symlink():
        raise WeightsError(f"“{path.name}” is a link, not a model folder.", "Give the folder that it points to.")
    return path.resolve()


def _check_whole(there: zoo.ModelInfo) -> None:
    from napari_morse.io.weights import load_model

    try:
        load_model(there.folder)
    except WeightsError as error:
        raise WeightsError(
            f"This model is there already as “{there.name}”, but its weights are damaged.",
            f"Remove the folder {there.folder} and import again.",
        ) from error


def _check_name(name: str) -> None:
    """Raise unless a folder of this name can be added to the library of any file system, in any case of its letters."""
    other = "Import it under another name (--name on the command line)."
    if not re.fullmatch(MODEL_NAME, name):
        raise InputError(
            f"“{name}” cannot be the name of a model: only letters, digits, dots, dashes and underscores can, at most"
            " 64, the first a letter or digit.",
            other,
        )
    for library, where in ((zoo.SHIPPED, "ships with napari-morse"), (zoo.library(), "is in your library already")):
        for taken in library.iterdir() if library.is_dir() else ():
            if taken.name.casefold() == name.casefold():
                raise InputError(f"Another model named “{taken.name}” {where}.", other)


def _check_free(target: Path) -> None:
    if os.path.lexists(target):
        raise InputError(f"“{target}” exists already and is not replaced.", "Choose another folder to copy into.")
    if os.path.lexists(target.parent) and not target.parent.is_dir():
        raise InputError(f"“{target.parent}” is not a folder.", "Choose a folder to copy into.")


def _copy(folder: Path, target: Path, digest: str) -> None:
    """Copy the model with this digest to ``target``: beside it under a hidden name, checked, then renamed."""
    try:
        with _made(target.parent), _part(target) as part:
            for name, limit in _FILES.items():
                # By content, not by copying the folder: links, other files and write protection stay behind.
                write_bytes(part / name, cards.read_file(folder, name, limit))
            _check_copy(part, target.name, digest)
            _check_free(target)  # again: copying gigabytes takes long enough for somebody else to have been here
            part.rename(target)
    except OSError as error:
        raise InputError(
            f"The model “{target.name}” could not be written to “{target.parent}”: {error.strerror or error}.",
            "Nothing of it was left there. Choose a folder with space that you may write to.",
        ) from error
    with suppress(OSError):  # the copy is whole; some folders may be written to and not opened
        flush_folder(target.parent)


@contextmanager
def _made(target: Path) -> Iterator[None]:
    """The folder, made with its parents where missing; what was made goes again when the work in it fails."""
    missing = [folder for folder in (target, *target.parents) if not os.path.lexists(folder)]
    try:
        target.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:  # Ctrl-C leaves nothing either
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()  # which takes empty folders only: what others put there meanwhile stays
        raise


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """A new folder beside the target that no listing shows; whatever is still there at the end goes."""
    part = part_folder(target)
    try:
        part.mkdir()
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_copy(part: Path, name: str, digest: str) -> None:
    weights = hashlib.sha256(cards.read_file(part, cards.WEIGHTS, cards.WEIGHTS_LIMIT)).hexdigest()
    if cards.model_digest(part) != digest or cards.read_card(part).weights_sha256 != weights:
        raise InputError(
            f"The copy of the model “{name}” is not the same as the original and was removed.",
            "Check the disk, and that nothing else writes to the model, then copy again.",
        )
