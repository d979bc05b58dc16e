"""The brush on a large volume, with and without the dock: ``python -m benchmarks.brush [--rounds 5]``.

    python -m benchmarks.brush [--shape 512 512 300] [--rounds 5]

In one process and one window: strokes of 25 mouse moves on a plain labels layer of napari, and on the corrected layer
with the dock and everything kept on the disk, in turn. Given are milliseconds for a move of the mouse, redrawn, and for
letting go, and the ratio of the moves.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks
from qtpy.QtWidgets import QApplication

MOVES = 25


def turn() -> None:
    QApplication.processEvents()


def rest(done: Any, seconds: float = 60.0) -> None:
    """Turn the event loop until ``done``."""
    end = time.perf_counter() + seconds
    while not done() and time.perf_counter() < end:
        turn()
        time.sleep(0.001)


def event(kind: str, position: Any, viewer: Any, dragging: bool) -> Any:
    return ReadOnlyWrapper(
        SimpleNamespace(
            type=kind, position=tuple(position), button=1, modifiers=(), handled=False, is_dragging=dragging,
            view_direction=None, up_direction=None, dims_displayed=list(viewer.dims.displayed),
            dims_point=list(viewer.dims.point), pos=np.zeros(2), camera_zoom=1.0,
        ),
        exceptions=("handled",),
    )  # fmt: skip


def stroke(viewer: Any, layer: Any, row: float) -> tuple[list[float], float]:
    """Milliseconds of each move with its redraw, and of letting go."""
    shape = np.array(layer.data.shape)
    at = shape / 2.0
    at[1] = row
    places = []
    for step in range(MOVES + 1):
        at[2] = shape[2] / 4 + 6 * step
        places.append(layer.data_to_world(at))
    mouse_press_callbacks(layer, event("mouse_press", places[0], viewer, False))
    turn()
    moves = []
    for place in places[1:]:
        begin = time.perf_counter()
        mouse_move_callbacks(layer, event("mouse_move", place, viewer, True))
        turn()
        moves.append(1000 * (time.perf_counter() - begin))
    begin = time.perf_counter()
    mouse_release_callbacks(layer, event("mouse_release", places[-1], viewer, True))
    turn()
    return moves, 1000 * (time.perf_counter() - begin)


def main() -> None:
    import napari

    from napari_morse.types import Grid, Scan
    from napari_morse.widgets.bridge import scan_layer_data

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 300))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_MORSE_CORRECTIONS"] = folder
        viewer = napari.Viewer()
        viewer.window.resize(1400, 960)
        data = np.random.default_rng(0).normal(100, 10, given.shape).astype(np.float32)
        affine = np.diag([-0.5, -0.5, 1.0, 1.0])
        scan = Scan(data, Grid(tuple(given.shape), affine), "large")
        pixels, attributes, _ = scan_layer_data(scan)
        image = viewer.add_image(pixels, **attributes)
        plain = viewer.add_labels(
            np.zeros(image.data.shape, np.uint8), scale=image.scale, translate=image.translate, units=image.units
        )
        _, dock = viewer.window.add_plugin_dock_widget("napari-morse", "MORSE")
        rest(lambda: dock.active_case.scan is not None, 30)
        dock.active_case.begin()
        rest(lambda: dock.active_case.corrected is not None)
        layers = {"napari": plain, "corrected": dock.active_case.corrected.layer}
        moves: dict[str, list[float]] = {name: [] for name in layers}
        ends: dict[str, list[float]] = {name: [] for name in layers}
        for number in range(given.rounds + 1):
            for name, layer in layers.items():
                for each in layers.values():
                    each.visible = each is layer
                viewer.layers.selection = {layer}
                layer.mode, layer.brush_size, layer.selected_label = "paint", 12, 1
                rest(lambda: False, 0.5)
                found, end = stroke(viewer, layer, 100.0 + 30 * number)
                if number:  # the first round warms up
                    moves[name] += found
                    ends[name].append(end)
        for name in layers:
            middle, late = np.percentile(moves[name], [50, 95])
            print(f"{name}: move {middle:.1f} ms (95 %: {late:.1f}), let go {np.median(ends[name]):.1f} ms")
        print(f"ratio of moves {np.median(moves['corrected']) / np.median(moves['napari']):.3f}")
        viewer.close()


if __name__ == "__main__":
    main()
