"""Rendering beside a window leaves it a core, and takes none from any other thread."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import numpy as np
import pytest
import torch

from napari_morse.errors import CancelledError
from napari_morse.inference import Predictor
from napari_morse.inference.local import LocalRenderer
from napari_morse.types import Array, Roi
from tests.inference.test_inference import model, scan_of
from tests.nets import blob

BOX = Roi((4, 6, 3), (17, 20, 13))


def in_a_new_thread() -> int:
    """What torch would use there."""
    found: list[int] = []
    thread = Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def local() -> LocalRenderer:
    predictor = Predictor(model(3), device="cpu")
    predictor.set_scan(scan_of(blob((22, 31, 19))))
    return LocalRenderer(predictor)


def painted() -> Array:
    mask = np.zeros((22, 31, 19), np.uint16)
    mask[6:16, 8:18, 5:12] = 1
    return mask


def test_one_core_is_left_to_the_window(threads: int, local: LocalRenderer) -> None:
    seen: list[tuple[int, int]] = []

    def asked() -> bool:
        seen.append((torch.get_num_threads(), in_a_new_thread()))
        return False

    local.sharpen(painted(), BOX, cancelled=asked)
    assert len(seen) > 1 and set(seen) == {(max(1, threads - 1), threads)}
    assert (torch.get_num_threads(), in_a_new_thread()) == (threads, threads)


def test_a_stroke_that_is_left_gives_the_cores_back(threads: int, local: LocalRenderer) -> None:
    with pytest.raises(CancelledError):
        local.warm(BOX, cancelled=lambda: True)
    with pytest.raises(CancelledError):
        local.sharpen(painted(), BOX, cancelled=lambda: True)
    assert (torch.get_num_threads(), in_a_new_thread()) == (threads, threads)


def test_the_number_of_threads_does_not_change_the_mask(threads: int, local: LocalRenderer) -> None:
    masks = [local.sharpen(painted(), BOX)]
    torch.set_num_threads(2)  # the fixture sets it back
    masks.append(local.sharpen(painted(), BOX))
    assert np.array_equal(*masks) and (masks[0] != painted()[BOX.slices]).any()
