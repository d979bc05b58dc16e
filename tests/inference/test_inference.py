"""The predictor: the same mask whatever way the scan lies, on the scan's own grid, or nothing at all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from napari_morse.config import Intensity, LabelEntry, ModelCard, TrainingData
from napari_morse.errors import CancelledError, GeometryError, InputError, MorseError
from napari_morse.geometry.orientation import codes
from napari_morse.inference import Predictor, Progress, available_devices, resolve_device
from napari_morse.inference.engine import coarse_pass, frame_of
from napari_morse.inference.normalise import normalise
from napari_morse.inference.rendering import _keep
from napari_morse.inference.tiles import stitched_maps, window_count
from napari_morse.metrics import boundary
from napari_morse.types import Grid, Prediction, Roi, Scan
from napari_morse.zoo import LoadedModel, ModelInfo
from tests.nets import awake, blob, small_net


def model(dims: int = 3, **card: object) -> LoadedModel:
    from pathlib import Path

    net = awake(small_net(dims, looks=2))
    with torch.no_grad():
        # Brighter is class 1 or 2: the masks of an untrained network would be one class only.
        net.backbone.net.output_block.conv.conv.weight.mul_(4)
    fields = {
        "name": "small", "recipe": net.recipe, "spacing": (1.0,) * dims,
        "slice_axis": "A" if dims == 2 else None,
        "labels": (LabelEntry(id=1, name="a", color="#e69f00"), LabelEntry(id=300, name="b", color="#56b4e9")),
        "data": TrainingData(name="none", cases=0, licence="none"), "weights_sha256": "0" * 64, **card,
    }  # fmt: skip
    info = ModelInfo("small", Path("small"), ModelCard.model_validate(fields), False)
    return LoadedModel(info, net, "0" * 64)


def scan_of(data: np.ndarray, affine: np.ndarray | None = None, **more: object) -> Scan:
    return Scan(data, Grid(data.shape, np.eye(4) if affine is None else affine), "case", **more)  # type: ignore[arg-type]


def run(scan: Scan, roi: Roi | None = None, dims: int = 3) -> Prediction:
    predictor = Predictor(model(dims))
    predictor.set_scan(scan, roi)
    return predictor.predict()


def test_all_48_axis_orders_give_the_same_mask_voxel_for_voxel() -> None:
    image = blob((19, 23, 17))
    straight = run(scan_of(image))
    assert len(np.unique(straight.rendered.data)) > 1
    assert straight.points.changed.any()
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            turned = image.transpose(order)[tuple(slice(None, None, f) for f in flips)]
            affine = np.zeros((4, 4))
            affine[3, 3] = 1
            for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
                affine[old, new] = flip
                affine[old, 3] = 0 if flip == 1 else image.shape[old] - 1
            found = run(scan_of(np.ascontiguousarray(turned), affine))
            for kind in ("coarse", "rendered"):
                expected = getattr(straight, kind).data.transpose(order)[tuple(slice(None, None, f) for f in flips)]
                assert np.array_equal(getattr(found, kind).data, expected), codes(found.rendered.grid)
            assert np.array_equal(found.points.mm, straight.points.mm)


def test_points_lie_on_the_voxels_that_they_describe() -> None:
    affine = np.array([[0, -0.8, 0, 5], [1.1, 0, 0, -7], [0, 0, 2, 9], [0, 0, 0, 1.0]])
    scan = scan_of(blob((19, 23, 11)), affine)
    found = run(scan)
    points = found.points
    assert len(points) > 0
    assert len(np.unique(points.voxel, axis=0)) == len(points)
    at = tuple(points.voxel.T)
    assert np.array_equal(points.before, found.coarse.data[at])
    assert np.array_equal(points.after, found.rendered.data[at])
    assert np.allclose(points.mm, points.voxel @ affine[:3, :3].T + affine[:3, 3])
    assert np.allclose(points.expert_weights.sum(axis=1), 1, atol=1e-5)
    assert (np.diff(points.margin) >= 0).all()
    untouched = np.ones(scan.grid.shape, bool)
    untouched[at] = False
    assert np.array_equal(found.coarse.data[untouched], found.rendered.data[untouched])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("roi", [None, Roi((2, 3, 1), (17, 21, 10))])
def test_patches_are_those_of_the_rendered_mask(dims: int, roi: Roi | None) -> None:
    affine = np.array([[0, -0.8, 0, 5], [1.1, 0, 0, -7], [0, 0, 2, 9], [0, 0, 0, 1.0]])
    found = run(scan_of(blob((19, 23, 11)), affine), roi, dims)
    patches = found.patches
    box = roi.slices if roi is not None else (slice(None),) * 3
    axes = [a for a in range(3) if dims == 3 or a != 0]  # the coronal slices of a 2-D model lie along the first axis
    listed = np.zeros((19, 23, 11), bool)
    listed[tuple(patches.voxel.T)] = True
    assert np.array_equal(listed[box], boundary(found.rendered.data[box], axes)) and listed.sum() == listed[box].sum()
    assert set(np.unique(patches.label)) <= {1, 300} and set(np.unique(patches.other)) <= {0, 1, 300}
    assert patches.slice_axis == (0 if dims == 2 else 2)
    # The less the two likeliest labels differ, the more probable an error: at least half of that, at most two thirds.
    doubt = found.uncertainty[tuple(patches.voxel.T)]
    assert (patches.error <= 2 / 3 + 1e-6).all() and (patches.error >= doubt / 2 - 1e-6).all()
    assert np.allclose(patches.mm, patches.centre @ affine[:3, :3].T + affine[:3, 3])


@pytest.mark.parametrize("shape", [(1, 7, 50), (40, 40, 1), (9, 9, 9), (33, 50, 41)])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.7, 0.7, 1.2), (2.5, 0.5, 3.0)])
def test_any_size_and_spacing_comes_back_on_its_own_grid(
    shape: tuple[int, int, int], spacing: tuple[float, ...]
) -> None:
    found = run(scan_of(blob(shape), np.diag([*spacing, 1.0])))
    assert found.coarse.data.shape == found.rendered.data.shape == found.uncertainty.shape == shape
    assert np.isfinite(found.uncertainty).all()
    assert found.uncertainty.min() >= 0 and found.uncertainty.max() <= 1


def test_a_region_predicts_what_its_crop_would_and_nothing_outside() -> None:
    image = blob((40, 41, 42))
    roi = Roi((3, 10, 7), (25, 38, 30))
    affine = np.diag([-1.0, 1, -1, 1])
    whole, crop = run(scan_of(image, affine), roi), run(scan_of(image[roi.slices].copy(), affine))
    assert np.array_equal(whole.rendered.data[roi.slices], crop.rendered.data)
    outside = np.ones(image.shape, bool)
    outside[roi.slices] = False
    assert not whole.rendered.data[outside].any() and not whole.uncertainty[outside].any()
    assert np.array_equal(np.sort(whole.points.voxel, axis=0) - roi.start, np.sort(crop.points.voxel, axis=0))
    with pytest.raises(GeometryError):
        run(scan_of(image), Roi((0, 0, 0), (41, 5, 5)))


def test_the_same_scan_gives_the_same_mask_bit_for_bit() -> None:
    scan = scan_of(blob((40, 30, 20)))
    first, second = run(scan), run(scan)
    assert np.array_equal(first.rendered.data, second.rendered.data)
    assert np.array_equal(first.uncertainty, second.uncertainty)
    assert np.array_equal(first.points.voxel, second.points.voxel)


def test_label_ids_are_the_cards_and_take_the_smallest_type() -> None:
    found = run(scan_of(blob((19, 23, 17)))).rendered
    assert set(np.unique(found.data)) <= {0, 1, 300}
    assert found.data.dtype == (np.uint16 if 300 in found.data else np.uint8)


def test_voxels_that_are_not_finite_are_counted_and_do_not_spread() -> None:
    image = blob((19, 23, 17))
    image[2, 3, 4], image[5, 5, 5] = np.nan, np.inf
    predictor = Predictor(model())
    warnings = predictor.set_scan(scan_of(image))
    assert any(sentence.startswith("2 voxels are not finite") for sentence in warnings)
    assert np.isfinite(predictor.predict().uncertainty).all()
    with pytest.raises(InputError, match="no finite voxel"):
        predictor.set_scan(scan_of(np.full((4, 4, 4), np.nan)))


@pytest.mark.parametrize("dims", [2, 3])
def test_a_model_that_is_sure_everywhere_re_predicts_nothing(dims: int) -> None:
    sure = model(dims)
    with torch.no_grad():
        sure.net.backbone.net.output_block.conv.conv.bias.copy_(torch.tensor([500.0, 0.0, 0.0]))
    predictor = Predictor(sure)
    for image in (blob((19, 23, 17)), np.zeros((19, 23, 17)), blob((1, 7, 50)), np.zeros((1, 1, 1))):
        seen: list[Progress] = []
        predictor.set_scan(scan_of(image))
        found = predictor.predict(seen.append)
        assert found.points.voxel.shape == (0, 3) and found.points.expert_weights.shape == (0, len(sure.net.experts))
        assert not found.rendered.data.any() and found.rendered.data.shape == image.shape
        assert seen[-1].fraction == 1.0


@pytest.mark.parametrize("value", [0.0, 7.0, -3e30])
def test_a_constant_scan_gives_empty_masks_and_says_so(value: float) -> None:
    predictor = Predictor(model())
    (sentence,) = predictor.set_scan(scan_of(np.full((12, 13, 14), value, np.float32)))
    assert "no contrast" in sentence
    found = predictor.predict()
    assert not found.rendered.data.any() and not found.coarse.data.any() and len(found.points) == 0


def test_extreme_values_stay_finite() -> None:
    image = blob((12, 13, 14)).astype(np.float64)
    for scale in (1e300, 1e-300):
        look = normalise(image * scale, Intensity())
        assert np.isfinite(look.pixels).all()


def test_progress_rises_to_one_and_cancel_ends_the_run() -> None:
    predictor = Predictor(model())
    predictor.set_scan(scan_of(blob((40, 50, 40))))
    seen: list[Progress] = []
    predictor.predict(seen.append)
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert list(dict.fromkeys(p.stage for p in seen)) == ["coarse", "render", "patches"]
    told: list[Progress] = []
    with pytest.raises(CancelledError):
        predictor.predict(told.append, cancelled=lambda: len(told) >= 2)
    assert len(told) == 2


def test_the_list_of_patches_can_be_cancelled_too() -> None:
    predictor = Predictor(model())
    predictor.set_scan(scan_of(blob((40, 50, 40))))
    told: list[Progress] = []
    with pytest.raises(CancelledError):
        predictor.predict(told.append, cancelled=lambda: bool(told) and told[-1].stage == "patches")
    assert told[-1].stage == "patches" and told[-1].done == 0


def test_predict_without_a_scan_says_what_to_do() -> None:
    with pytest.raises(MorseError, match="set_scan"):
        Predictor(model()).predict()


def test_a_2d_model_reads_slices_along_its_axis_whatever_way_the_scan_lies() -> None:
    image = blob((18, 6, 22))
    straight = run(scan_of(image), dims=2).rendered.data
    turned = run(scan_of(image.transpose(1, 2, 0).copy(), np.eye(4)[[2, 0, 1, 3]]), dims=2)
    assert codes(turned.rendered.grid) == "ASR"
    assert np.array_equal(turned.rendered.data, straight.transpose(1, 2, 0))
    predictor = Predictor(model(2))
    predictor.set_scan(scan_of(image[:, 2:3]))
    assert predictor.predict().rendered.data.shape == (18, 1, 22)


def test_a_picture_is_read_as_a_slice_and_refused_by_a_volume_model() -> None:
    affine = np.array([[0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    picture = scan_of(blob((20, 30))[:, :, None].copy(), affine, is_picture=True, orientation_known=False)
    assert run(picture, dims=2).rendered.data.shape == (20, 30, 1)
    with pytest.raises(InputError, match="2-D model"):
        run(picture)


def test_scans_unlike_the_training_data_are_named() -> None:
    seen = model(field_of_view=((15.0, 30.0),) * 3, intensity=Intensity(skewness=(-1.0, 1.0)))
    predictor = Predictor(seen)
    assert predictor.set_scan(scan_of(blob((20, 20, 20)))) == ()
    wide = " ".join(predictor.set_scan(scan_of(blob((60, 20, 20)))))
    assert "60 × 20 × 20 mm" in wide and "region of interest" in wide
    thick = " ".join(predictor.set_scan(scan_of(blob((20, 20, 5)), np.diag([1, 1, 5.0, 1]))))
    assert "1 × 1 × 5 mm" in thick
    tiny = " ".join(predictor.set_scan(scan_of(blob((5, 20, 20)))))
    assert "at least" in tiny
    other = np.random.default_rng(0).exponential(size=(20, 20, 20)) ** 3
    assert "grey levels" in " ".join(predictor.set_scan(scan_of(other)))


@pytest.mark.parametrize("overlap", [0.0, 1 / 3, 0.6])
def test_windows_cover_the_image_and_are_counted(overlap: float) -> None:
    net = small_net()
    image = torch.from_numpy(blob((40, 56, 24)))[None, None]
    counted: list[tuple[int, int]] = []
    with torch.inference_mode():
        maps = stitched_maps(net, image, (16, 24, 16), 1, lambda *told: counted.append(told), overlap=overlap)
    total = window_count((40, 56, 24), (16, 24, 16), net.backbone.divisor, overlap)
    assert counted[-1] == (total, total) and len(counted) == total
    assert maps.logits.shape[2:] == (20, 28, 12)
    for features, stride in zip(maps.features, maps.strides, strict=True):
        assert tuple(features.shape[2:]) == tuple(n // stride for n in (40, 56, 24))


def test_a_recipes_overlap_is_the_one_of_its_windows() -> None:
    net = small_net()
    stack, counted = blob((40, 56, 24))[None], []
    for overlap in (0.0, 0.6):
        train = net.recipe.train.model_copy(update={"overlap": overlap})
        net.recipe = net.recipe.model_copy(update={"train": train})
        frame = frame_of(stack, (1.0,) * 3, (1.0,) * 3, net)
        coarse_pass(net, stack, frame, lambda done, total: counted.append(total))
        assert counted[-1] == window_count(frame.shape, train.window, net.backbone.divisor, overlap)
    assert counted[0] < counted[-1]


@pytest.mark.parametrize("overlap", [0.0, 1 / 3, 0.6])
def test_stitched_maps_lie_where_the_image_does(overlap: float) -> None:
    """A backbone whose maps are block means of the image: stitched, they must be the whole image's block means."""
    net = small_net()
    image = torch.from_numpy(blob((40, 56, 24)))[None, None]
    pool = torch.nn.functional.avg_pool3d

    def means(tile: torch.Tensor):
        return pool(tile, 2).repeat(1, 3, 1, 1, 1), tuple(pool(tile, s) for s in net.backbone.strides)

    net.backbone.maps = means  # type: ignore[method-assign]
    with torch.inference_mode():
        maps = stitched_maps(net, image, (16, 24, 16), overlap=overlap)
    assert torch.allclose(maps.logits[:, :1], pool(image, 2), atol=1e-5)
    for features, stride in zip(maps.features, maps.strides, strict=True):
        assert torch.allclose(features, pool(image, stride), atol=1e-5)


def test_coarse_logits_on_the_scans_grid_are_linear_in_place() -> None:
    net = small_net()
    stack = np.broadcast_to(np.arange(30, dtype=np.float32)[:, None, None], (30, 20, 16))[None]
    pool = torch.nn.functional.avg_pool3d
    net.backbone.maps = lambda tile: (  # type: ignore[method-assign]
        pool(tile, 2).repeat(1, 3, 1, 1, 1), tuple(pool(tile, s) for s in net.backbone.strides))  # fmt: skip
    frame = frame_of(stack, (0.7, 1.0, 1.3), (1.0, 1.0, 1.0), net)
    found = coarse_pass(net, stack, frame).logits[0, 0]
    inner = found[6:-6, 8, 8].numpy()
    assert np.allclose(inner, np.arange(6, 24), atol=0.15)


def test_devices() -> None:
    assert available_devices()[0] == "auto" and available_devices()[-1] == "cpu"
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in available_devices()[1:]
    for wrong in ("tpu", "cpu:x", "cuda:99", ""):
        with pytest.raises(InputError, match="no device"):
            resolve_device(wrong)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_structure_of_which_rendering_leaves_nothing_keeps_its_coarse_voxels_and_is_named(dims: int) -> None:
    predictor = Predictor(model(dims))
    render = predictor.net.recipe.render.model_copy(update={"selection": "count", "fraction": 1.0})
    predictor.net.recipe = predictor.net.recipe.model_copy(update={"render": render})
    with torch.no_grad():
        predictor.net.renderer.head.last.bias[0] += 1000  # all that is asked becomes background
    predictor.set_scan(scan_of(blob((19, 23, 17))))
    found = predictor.predict()
    assert set(np.unique(found.coarse.data)) > {0}
    assert np.array_equal(found.rendered.data, found.coarse.data)
    lost = {label.name for label in found.rendered.labels if (found.coarse.data == label.id).any()}
    assert lost and all(any(f"“{name}”" in text for text in found.warnings) for name in lost)


def test_only_what_vanished_everywhere_is_kept() -> None:
    coarse = torch.tensor([0, 1, 1, 2, 3, 3, 0])
    rendered = torch.tensor([0, 0, 0, 0, 0, 3, 1])
    chosen = torch.tensor([6, 4, 3, 2, 1])
    assert _keep(coarse, rendered, chosen) == (2,)  # 1 came elsewhere, a voxel of 3 was not asked
    assert rendered.tolist() == [0, 0, 0, 2, 0, 3, 1]
