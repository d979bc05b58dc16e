"""What the reader and the writers need of a running napari: the open viewer, a notification, a layer made again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_morse.errors import MorseError

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_PLACE = ("name", "metadata", "scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""Attributes that say what a layer is and where it lies."""


def current_viewer() -> ViewerModel | None:
    """The viewer whose window is open, or None."""
    import napari

    return napari.current_viewer()


def show_in_window(error: MorseError) -> bool:
    """Show ``error`` as a notification in the open window; False when there is no window to show it in."""
    if current_viewer() is None:
        return False
    from napari.utils.notifications import show_error

    show_error(str(error))
    return True


def ask_frame(name: str, frames: int) -> int | None:
    """Ask which frame of the series ``name`` to open; None when the person wants none."""
    from magicgui.widgets import request_values

    frame = {"annotation": int, "label": f"Frame, 0 to {frames - 1}", "options": {"min": 0, "max": frames - 1}}
    answer = request_values(title=f"“{name}” is a series of {frames} frames", frame=frame)
    return int(answer["frame"]) if answer else None


def scan_files(layer: Layer) -> list[Path]:
    """Files of the scans that are open, and of the one that ``layer`` was made on."""
    from napari_morse.widgets.bridge.from_layers import open_scans
    from napari_morse.widgets.bridge.to_layers import carrier_of

    viewer, own = current_viewer(), carrier_of(layer)
    scans = [carrier.scan for _, carrier in open_scans(viewer)] if viewer is not None else []
    if own is not None and own.role != "mask":  # a mask's carrier names the mask's own file, which may be saved again
        scans.append(own.scan)
    return list(dict.fromkeys(scan.source for scan in scans if scan.source is not None))


def offer_nifti_first() -> None:
    """Let napari's *Save Selected Layers* offer our writers before those that lose the geometry.

    npe2 offers writers of one kind in the order in which their plugins were found, and napari's own TIFF writer is
    usually found first: a mask would be saved without its place in the patient.
    """
    from npe2 import PluginManager

    from napari_morse.widgets.base import PLUGIN  # here, as Qt is behind that door: a sample is read without it

    contributions = PluginManager.instance()._contrib  # noqa: SLF001 (npe2 has no public way)
    writers = getattr(contributions, "_writers", None)
    if isinstance(writers, list):
        writers.sort(key=lambda entry: not entry[-1].command.startswith(f"{PLUGIN}."))


def masks_as_labels() -> bool:
    """Whether files that say that they are masks open as labels layers: the person's setting, yes without a window."""
    if current_viewer() is None:
        return True
    from napari_morse.widgets.base import own_settings

    settings = own_settings()
    return True if settings is None else bool(settings.reading.masks_as_labels)


def layer_again(data: Any, attributes: Mapping[str, Any], kind: Literal["image", "labels"]) -> Layer:
    """A layer from what a writer is given, with its pixels, place and metadata; looks are left out.

    Parameters
    ----------
    data
        Pixels; a list of arrays for several resolutions.
    attributes
        The layer's state; each of `_PLACE` may be missing.
    kind
        Type of the layer.
    """
    from napari.layers import Layer

    attributes_kept = {name: attributes[name] for name in _PLACE if attributes.get(name) is not None}
    if kind == "image":
        limits = attributes.get("contrast_limits", (0, 1))  # given, so that they are not looked for in the pixels
        attributes_kept |= {"rgb": bool(attributes.get("rgb", False)), "contrast_limits": limits}
    if attributes.get("multiscale"):
        attributes_kept["multiscale"] = True
    return Layer.create(data, attributes_kept, kind)


class RightContext:
    """Makes the canvas's OpenGL context the current one whenever a layer goes.

    napari deletes what a layer was drawn with at once, in whichever context is current: that of the window's own
    compositor, where something of it was redrawn last. Mesa then ends the program at a later frame.

    Parameters
    ----------
    viewer
        On whose canvas.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        viewer.layers.events.removing.connect(self._on_removing)

    def close(self) -> None:
        """Leave it to napari again."""
        self._viewer.layers.events.removing.disconnect(self._on_removing)

    def _on_removing(self, _event: Any = None) -> None:
        part: Any = self._viewer
        for name in ("window", "_qt_viewer", "canvas", "native"):
            part = getattr(part, name, None)
        if hasattr(part, "makeCurrent"):
            part.makeCurrent()
