"""The boundary in a box rendered again from a painted mask: the right voxels, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from napari_morse.errors import CancelledError, GeometryError
from napari_morse.inference import Predictor
from napari_morse.inference.local import LocalRenderer
from napari_morse.types import Array, Mask, Roi
from tests.inference.test_inference import model as make_model
from tests.inference.test_inference import scan_of
from tests.nets import blob


def renderer(dims: int = 3, roi: Roi | None = None) -> tuple[LocalRenderer, Predictor]:
    loaded = make_model(dims)
    predictor = Predictor(loaded, device="cpu")
    predictor.set_scan(scan_of(blob((22, 31, 19))), roi)
    return LocalRenderer(predictor), predictor


def painted(shape: tuple[int, ...]) -> Array:
    i, j, k = np.indices(shape)
    mask = np.zeros(shape, np.uint16)
    mask[((i - 11) / 7) ** 2 + ((j - 14) / 9) ** 2 + ((k - 9) / 6) ** 2 < 1] = 1
    mask[(mask == 1) & (j > 16)] = 300
    return mask


def test_a_box_of_the_whole_scan_is_what_one_look_makes_of_a_given_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_morse.inference.rendering.extra_views", lambda _recipe: ())
    monkeypatch.setattr("napari_morse.inference.rendering._most", lambda voxels, _fraction: voxels)
    local, predictor = renderer()
    mask = painted((22, 31, 19))
    scan = predictor.ready.scan
    whole = predictor.predict(coarse=Mask(mask, scan.grid)).rendered.data
    again = local.sharpen(mask, Roi((0, 0, 0), mask.shape))
    assert again.dtype == mask.dtype
    assert np.array_equal(again, whole) and not np.array_equal(again, mask)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_box_changes_as_the_whole_does(dims: int) -> None:
    local, _ = renderer(dims)
    mask = painted((22, 31, 19))
    box = Roi((4, 6, 3), (17, 20, 13))
    whole = local.sharpen(mask, Roi((0, 0, 0), mask.shape))
    part = local.sharpen(mask, box)
    assert part.shape == box.shape and not np.array_equal(part, mask[box.slices])
    assert np.mean(part != whole[box.slices]) < 0.01  # distances are cut off where nothing is looked at


def test_no_strength_changes_nothing_and_a_mask_is_not_written_to() -> None:
    local, _ = renderer()
    mask = painted((22, 31, 19))
    mask.flags.writeable = False
    box = Roi((4, 6, 3), (17, 20, 13))
    assert np.array_equal(local.sharpen(mask, box, 0.0), mask[box.slices])
    local.sharpen(mask, box, 0.5)


def test_labels_that_the_model_does_not_know_stay() -> None:
    local, _ = renderer()
    mask = painted((22, 31, 19))
    mask[8:13, 10:12, 8:11] = 77  # between the two
    box = Roi((2, 2, 2), (20, 28, 17))
    assert np.array_equal(local.sharpen(mask, box) == 77, mask[box.slices] == 77)


def test_what_lies_beside_a_structure_that_the_model_does_not_know_stays() -> None:
    local, _ = renderer()
    mask = painted((22, 31, 19))
    box = Roi((2, 2, 2), (20, 28, 17))
    plain = local.sharpen(mask, box)
    mask[9:12, 6:8, 8:11] = 77  # inside of the first
    beside = np.zeros(mask.shape, bool)
    beside[5:16, 2:12, 4:15] = True
    near = beside[box.slices]
    again = local.sharpen(mask, box)
    assert np.array_equal(again[near], mask[box.slices][near])
    assert (plain != mask[box.slices])[near].any() and (again != mask[box.slices])[~near].any()
    edge = Roi((5, 9, 4), (16, 12, 15))  # the structure itself is outside of it
    assert np.array_equal(local.sharpen(mask, edge), mask[edge.slices])


def test_outside_the_region_that_was_read_nothing_changes() -> None:
    read = Roi((0, 0, 0), (12, 31, 19))
    local, _ = renderer(roi=read)
    mask = painted((22, 31, 19))
    box = Roi((6, 4, 2), (18, 24, 16))
    again = local.sharpen(mask, box)
    assert np.array_equal(again[6:], mask[box.slices][6:]) and not np.array_equal(again[:6], mask[box.slices][:6])
    beyond = Roi((13, 0, 0), (20, 31, 19))
    assert np.array_equal(local.sharpen(mask, beyond), mask[beyond.slices])


def test_the_cache_stays_within_its_bounds_and_is_used() -> None:
    _, predictor = renderer(2)
    local = LocalRenderer(predictor, cache=1)
    mask = painted((22, 31, 19))
    for start in (2, 12, 22):
        local.sharpen(mask, Roi((0, start, 0), (22, start + 1, 19)))
    assert len(local._parts) == 1
    roomy = LocalRenderer(predictor)
    box = Roi((0, 12, 0), (22, 13, 19))
    roomy.warm(box)
    kept = roomy.kept_bytes
    roomy.sharpen(mask, box)
    assert roomy.kept_bytes == kept > 0


def test_what_cannot_be_is_refused_and_a_run_can_be_left() -> None:
    local, _ = renderer()
    mask = painted((22, 31, 19))
    with pytest.raises(GeometryError):
        local.sharpen(mask[1:], Roi((0, 0, 0), (3, 3, 3)))
    with pytest.raises(GeometryError):
        local.sharpen(mask, Roi((0, 0, 0), (23, 3, 3)))
    with pytest.raises(CancelledError):
        local.sharpen(mask, Roi((0, 0, 0), mask.shape), cancelled=lambda: True)
