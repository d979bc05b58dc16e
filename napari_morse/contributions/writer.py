"""Writers: labels and image layers as NIfTI, exactly on their scan's own grid, one at a time or several in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from napari_morse.errors import InputError
from napari_morse.io import save_image, save_mask
from napari_morse.io.guards import keep_original

Attributes = Mapping[str, Any]
LayerTuple = tuple[Any, Attributes, str]


def write_labels(path: str, data: Any, attributes: Attributes) -> list[str]:
    """Save a labels layer, also one made by hand over a scan.

    Parameters
    ----------
    path
        Ends in ``.nii.gz`` or ``.nii``; without an ending it becomes ``.nii.gz``.
    data, attributes
        The layer's, as napari gives them.

    Returns
    -------
    list of str
        The file written.

    Raises
    ------
    MorseError
        The layer's place is not known, it holds negative ids, or the file cannot be written; the old file then stays.
    """
    return [_labels(_complete(path), data, attributes)()]


def write_image(path: str, data: Any, attributes: Attributes) -> list[str]:
    """Save an image layer, as `write_labels` does a labels layer; floats become float32, integers stay as they are."""
    return [_image(_complete(path), data, attributes)()]


def write_folder(path: str, layers: list[LayerTuple]) -> list[str]:
    """Save several layers in a folder, each under its name: images and labels as NIfTI, points and shapes as CSV.

    The second layers of a side-by-side view, which show what is saved already, are left out.

    Parameters
    ----------
    path
        The folder; it is made where there is none.
    layers
        Data, attributes and type of each layer, as napari gives them.

    Returns
    -------
    list of str
        The files written, in the layers' order.

    Raises
    ------
    MorseError
        A file of one of the names is there already, the place of a layer is not known, or a file cannot be written.
        Before the first file is written all layers are looked at.
    """
    from napari_morse.widgets.view.twins import TWIN

    folder = Path(path.removesuffix(".gz").removesuffix(".nii"))  # a name for one file, given to a folder
    ours = [entry for entry in layers if not entry[1].get("metadata", {}).get(TWIN)]
    # A list: all layers are looked at before the first file is written, which a lazy map would undo.
    writes = list(map(partial(_prepared, folder), _file_names(ours), ours))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"“{folder.name}” cannot be made a folder: {error}.", "Choose another name.") from error
    return [write() for write in writes]


def _file_names(layers: Iterable[LayerTuple]) -> list[str]:
    """Names without an ending, which no file system mistakes for a folder, each once."""
    names: list[str] = []
    for _, attributes, _ in layers:
        plain = "".join("_" if letter in '<>:"/\\|?*' or ord(letter) < 32 else letter for letter in attributes["name"])
        # Windows drops blanks and dots at a name's end, and like macOS takes a and A for one file.
        name, number = plain.strip(" .") or "layer", 2
        while name.casefold() in (other.casefold() for other in names):
            name, number = f"{plain} {number}", number + 1
        names.append(name)
    return names


def _prepared(folder: Path, name: str, layer: LayerTuple) -> Callable[[], str]:
    """What writes one layer; whatever speaks against it is said before."""
    data, attributes, kind = layer
    target = folder / (f"{name}.csv" if kind in {"points", "shapes"} else f"{name}.nii.gz")
    if target.exists():
        raise InputError(f"“{target.name}” is in that folder already.", "Choose a new folder: nothing is written over.")
    if kind == "labels":
        return _labels(target, data, attributes)
    if kind == "image":
        return _image(target, data, attributes)
    return partial(_table, target, layer)


def _table(target: Path, layer: LayerTuple) -> str:
    """Points and shapes as napari itself saves them."""
    import npe2

    (written,) = npe2.write(str(target), [layer], plugin_name="napari")
    return str(written)


def _labels(target: Path, data: Any, attributes: Attributes) -> Callable[[], str]:
    from napari_morse.widgets.bridge import mask_of
    from napari_morse.widgets.bridge.viewer import current_viewer, layer_again

    layer = layer_again(data, attributes, "labels")
    mask = mask_of(layer, current_viewer())
    _keep_originals(target, layer)
    return lambda: str(save_mask(mask, target))


def _image(target: Path, data: Any, attributes: Attributes) -> Callable[[], str]:
    from napari_morse.widgets.bridge import scan_of
    from napari_morse.widgets.bridge.viewer import current_viewer, layer_again

    layer = layer_again(data, attributes, "image")
    scan = scan_of(layer, current_viewer())
    _keep_originals(target, layer)
    return lambda: str(save_image(scan.data, scan.grid, target, header=scan.header))


def _keep_originals(target: Path, layer: Any) -> None:
    """Refuse to write over the file of a scan that is open, or that the layer was made on."""
    from napari_morse.widgets.bridge.viewer import scan_files

    for original in scan_files(layer):
        keep_original(target, original)


def _complete(path: str) -> Path:
    given = Path(path)
    return given if given.suffix else given.with_name(f"{given.name}.nii.gz")
