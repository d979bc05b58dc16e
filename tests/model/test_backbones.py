"""The adapter: any size in, maps whose cells lie where their strides say; every backbone trains, saves and loads."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.networks.nets import DynUNet

from napari_morse.config import BackboneConfig, Recipe, RenderConfig, TrainConfig
from napari_morse.errors import InputError
from napari_morse.io.weights import fill, load_model, save_model
from napari_morse.model.backbones import CoarseMaps, make_backbone
from napari_morse.model.losses import coarse_loss, point_loss, supervised_loss
from napari_morse.model.morse import Morse, NativeImage
from napari_morse.model.points import nearest_labels, sample, to_cells, training_points
from napari_morse.training.recipes import recipe_named

FILTERS = {
    "dynunet": (8, 12, 16),
    "segresnet": (8, 16),
    "basicunet": (8, 8, 16, 16, 32, 8),
    "unet": (8, 12, 16),
    "unetr": (4,),
    "swinunetr": (12,),
    "transunet": (16, 16, 16, 32),
}
VIT = {"vit_width": 12, "vit_mlp": 16, "vit_heads": 2}


def config_of(name: str, dims: int, stem_stride: int = 1, **more: object) -> BackboneConfig:
    knobs = {"name": name, "spatial_dims": dims, "filters": FILTERS[name], "stem_stride": stem_stride, **VIT, **more}
    return BackboneConfig.model_validate({"image_size": (32 * stem_stride,) * dims, **knobs})


def said(config: BackboneConfig) -> str:
    return f"{config.name}-{config.spatial_dims}d-stem{config.stem_stride}"


ALL = [config_of(name, dims) for name in FILTERS for dims in (2, 3)]
THINNED = [
    *(config_of(name, 2, stem_stride=2) for name in FILTERS),
    *(config_of(name, 3, stem_stride=2) for name in FILTERS if name != "swinunetr"),
    config_of("dynunet", 3, stem_stride=2, stem="pooled"),
]


@pytest.mark.parametrize("config", THINNED, ids=said)
def test_sizes_that_do_not_divide_come_back_whole(config: BackboneConfig) -> None:
    torch.manual_seed(0)
    net = make_backbone(config).eval()
    size = (35, 51, 37)[: config.spatial_dims]
    with torch.inference_mode():
        maps = net(torch.randn(2, 1, *size))
    assert maps.size == size
    assert maps.full_logits().shape == (2, 3, *size)
    assert len(maps.features) == len(maps.strides) == len(net.channels)
    assert list(maps.strides) == sorted(maps.strides, reverse=True)
    padded = [n * maps.logit_stride for n in maps.logits.shape[2:]]
    assert all(n <= p and p % net.divisor == 0 for n, p in zip(size, padded, strict=True))
    for features, stride, channels in zip(maps.features, maps.strides, net.channels, strict=True):
        assert features.shape[1] == channels
        assert list(features.shape[2:]) == [n // stride for n in padded]


def morse_of(config: BackboneConfig) -> Morse:
    torch.manual_seed(0)
    window = tuple(config.image_size)
    render = RenderConfig(points=64, width=8, head_width=8, detach=False, stochastic=0, residual=False)
    return Morse(Recipe(name="tiny", backbone=config, render=render, train=TrainConfig(window=window)))


def render_some(net: Morse, maps: CoarseMaps, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    where, voxel = training_points(maps.logits, maps.logit_stride, maps.size, 64, 3.0, 0.75)
    native = NativeImage(image, torch.ones(len(maps.size)))
    return net.render(maps, where, voxel, native, voxel)[0], where, voxel


@pytest.mark.parametrize("config", ALL, ids=said)
def test_trains_a_step_renders_saves_and_loads(config: BackboneConfig, tmp_path) -> None:
    dims, net = config.spatial_dims, morse_of(config)
    size = (35, 51) if dims == 2 else (19, 23, 27)
    image, labels = torch.randn(1, 1, *size), torch.randint(0, 3, (1, *size))
    maps = net.coarse(image)
    logits, where, voxel = render_some(net, maps, image)
    loss = supervised_loss(maps, labels) + point_loss(logits, nearest_labels(labels, where, voxel))
    loss.backward()
    assert torch.isfinite(loss)
    silent = [name for name, p in net.named_parameters() if p.grad is None]
    assert not silent
    for part in (net.backbone, net.renderer):
        assert sum(float(p.grad.abs().sum()) for p in part.parameters()) > 0
    torch.optim.SGD(net.parameters(), 0.01).step()

    net.eval()
    save_model(tmp_path / "m", card_of(net.recipe), net.tensors())
    card, tensors = load_model(tmp_path / "m")
    again = fill(lambda: Morse(card.recipe), tensors, "m")
    with torch.inference_mode():
        for other in (again, copy.deepcopy(net)):
            ours, theirs = net.coarse(image), other.coarse(image)
            assert torch.equal(ours.logits, theirs.logits)
            assert torch.equal(render_some(net, ours, image)[0], render_some(other, theirs, image)[0])


def card_of(recipe: Recipe) -> dict[str, object]:
    dims = recipe.backbone.spatial_dims
    labels = [{"id": n, "name": f"label {n}", "color": "#ff0000"} for n in range(1, recipe.backbone.classes)]
    channels = tuple(f"channel {n}" for n in range(recipe.backbone.in_channels))
    return {"name": "m", "recipe": recipe, "labels": labels, "spacing": (1.0,) * dims,
            "slice_axis": "A" if dims == 2 else None, "channels": channels if len(channels) > 1 else ("image",),
            "data": {"name": "none", "cases": 0, "licence": "none"}}  # fmt: skip


@pytest.mark.parametrize("dims", [2, 3], ids=lambda d: f"{d}d")
def test_full_logits_equal_the_logits_read_at_voxel_centres(dims: int) -> None:
    torch.manual_seed(0)
    net = make_backbone(config_of("dynunet", dims, stem_stride=4 - dims)).eval()
    size = (18, 27, 21)[:dims]
    with torch.inference_mode():
        maps = net(torch.randn(1, 1, *size))
        full = maps.full_logits()
    index = torch.arange(full[0, 0].numel())
    voxel = torch.stack(torch.unravel_index(index, size), dim=1).float()
    read = sample(maps.logits, torch.zeros_like(index), to_cells(voxel, maps.logit_stride))
    # The padding's cells end at another place than the crop, so the last voxels may differ at a coarse stride only.
    assert torch.allclose(read.T, full.flatten(2)[0], atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3], ids=lambda d: f"{d}d")
def test_deeper_heads_are_heard_in_training_only(dims: int) -> None:
    torch.manual_seed(0)
    config = config_of("dynunet", dims, stem_stride=2, filters=(8, 8, 12, 16), deep_supervision=True)
    net, image = make_backbone(config), torch.randn(1, 1, *(35, 51, 19)[:dims])
    labels = torch.randint(0, 3, (1, *image.shape[2:]))
    maps = net(image)
    assert [maps.logits.shape[2] // d.shape[2] for d in maps.deeper] == [2, 4]
    one, two, three = (coarse_loss(full, labels) for full in (maps.full_logits(), *maps.full_deeper()))
    loss = supervised_loss(maps, labels)
    assert torch.allclose(loss, (4 * one + 2 * two + three) / 7)
    loss.backward()
    assert all(p.grad is not None for p in net.parameters())
    assert not net.eval()(image).deeper


def test_the_nested_unet_is_walked_as_monai_runs_it() -> None:
    for dims in (2, 3):
        torch.manual_seed(0)
        net = make_backbone(config_of("unet", dims)).eval()
        image = torch.randn(1, 1, *(16, 24, 32)[:dims])
        with torch.inference_mode():
            assert torch.equal(net.maps(image)[0], net.net(image))


@pytest.mark.parametrize("name", ["segresnet", "basicunet", "unetr"])
def test_the_adapter_gives_what_monai_gives(name: str) -> None:
    torch.manual_seed(0)
    net = make_backbone(config_of(name, 2)).eval()
    image = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        if name == "unetr":  # MONAI's own forward, on a network that still holds what the adapter took out
            for block in net.net.vit.blocks:
                block.norm_cross_attn = torch.nn.LayerNorm(12)
        assert torch.allclose(net.maps(image)[0], net.net(image), atol=1e-6)


def test_the_dynunet_adapter_gives_what_monai_gives() -> None:
    torch.manual_seed(0)
    net = make_backbone(config_of("dynunet", 2)).eval()
    theirs = DynUNet(2, 1, 3, [3] * 3, [1, 2, 2], [2] * 2, FILTERS["dynunet"]).eval()
    theirs.load_state_dict(net.net.state_dict(), strict=False)
    image = torch.randn(1, 1, 32, 24)
    with torch.inference_mode():
        assert torch.equal(net.maps(image)[0], theirs(image))


def test_the_swin_adapter_gives_what_monai_gives() -> None:
    torch.manual_seed(0)
    net = make_backbone(config_of("swinunetr", 2)).eval()
    image = torch.randn(1, 1, 64, 32)
    with torch.inference_mode():
        assert torch.equal(net.maps(image)[0], net.net(image))


def test_a_transunet_has_the_blocks_that_it_is_asked_for() -> None:
    default = make_backbone_without_memory(BackboneConfig(
        name="transunet", spatial_dims=2, filters=(64, 256, 512, 1024), stem_stride=1, image_size=(224, 224)
    ))  # fmt: skip
    assert len(default.vit.blocks) == 12
    assert 90e6 < default.parameter_count < 120e6


def make_backbone_without_memory(config: BackboneConfig):
    with torch.device("meta"):
        return make_backbone(config)


def test_every_weight_is_saved_once() -> None:
    for config in ALL:
        state = make_backbone(config).state_dict()
        assert len({tensor.data_ptr() for tensor in state.values()}) == len(state), config.name


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (BackboneConfig(name="basicunet", filters=(8, 16)), "6 filters"),
        (BackboneConfig(name="unet", filters=(8,)), "2 filters"),
        (config_of("unetr", 3, image_size=(32, 32)), "multiples of 16"),
        (config_of("unetr", 2, image_size=(32, 40)), "multiples of 16"),
        (config_of("unetr", 2, vit_blocks=3), "12 blocks"),
        (config_of("transunet", 2, filters=(8, 16)), "4 filters"),
        (config_of("segresnet", 2, deep_supervision=True), "deeper heads"),
    ],
    ids=["basicunet", "unet", "axes", "patches", "blocks", "transunet", "deep"],
)
def test_unfitting_knobs_are_refused(config: BackboneConfig, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make_backbone(config)


def test_recipes_of_every_backbone_are_checked_against_their_window() -> None:
    small = ("backbone.filters=[12]", "backbone.stem_stride=1", "backbone.vit_width=12", "backbone.vit_heads=2")
    for name in ("unetr", "swinunetr"):
        change = (f"backbone.name={name}", *small)
        assert recipe_named("default-3d", (*change, "train.window=[64,32,32]")).backbone.name == name
        with pytest.raises(InputError, match=r"multiples of|cannot be built"):
            recipe_named("default-3d", (*change, "train.window=[40,32,32]"))
    with pytest.raises(InputError, match="single cell"):
        recipe_named("default-3d", ("backbone.name=swinunetr", *small, "train.window=[32,32,32]"))
