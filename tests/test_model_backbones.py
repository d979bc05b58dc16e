"""The adapter: any size in, maps whose cells lie where their strides say."""

from __future__ import annotations

import pytest
import torch

from napari_morse.config import BackboneConfig
from napari_morse.model.backbones import make_backbone
from napari_morse.model.points import sample, to_cells

CONFIGS = [
    BackboneConfig(name="dynunet", spatial_dims=3, filters=(8, 12, 16), stem_stride=2),
    BackboneConfig(name="dynunet", spatial_dims=2, filters=(8, 12, 16, 16), stem_stride=1),
    BackboneConfig(name="segresnet", spatial_dims=3, filters=(8, 16, 32), stem_stride=1),
    BackboneConfig(name="segresnet", spatial_dims=2, filters=(8, 16), stem_stride=2),
    BackboneConfig(name="basicunet", spatial_dims=2, filters=(8, 8, 16, 16, 32, 8), stem_stride=1),
    BackboneConfig(name="basicunet", spatial_dims=3, filters=(8, 8, 16, 16, 32, 8), stem_stride=2),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.name}-{c.spatial_dims}d-stem{c.stem_stride}")
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
    padded = [n + (-n) % net.divisor for n in size]
    for features, stride, channels in zip(maps.features, maps.strides, net.channels, strict=True):
        assert features.shape[1] == channels
        assert list(features.shape[2:]) == [n // stride for n in padded]


@pytest.mark.parametrize("config", CONFIGS[:2], ids=lambda c: f"{c.spatial_dims}d")
def test_full_logits_equal_the_logits_read_at_voxel_centres(config: BackboneConfig) -> None:
    torch.manual_seed(0)
    net = make_backbone(config).eval()
    size = (18, 27, 21)[: config.spatial_dims]
    with torch.inference_mode():
        maps = net(torch.randn(1, 1, *size))
        full = maps.full_logits()
    index = torch.arange(full[0, 0].numel())
    voxel = torch.stack(torch.unravel_index(index, size), dim=1).float()
    read = sample(maps.logits, torch.zeros_like(index), to_cells(voxel, maps.logit_stride))
    # The padding's cells end at another place than the crop, so the last voxels may differ at a coarse stride only.
    assert torch.allclose(read.T, full.flatten(2)[0], atol=1e-5)


def test_every_weight_is_saved_once() -> None:
    state = make_backbone(CONFIGS[0]).state_dict()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)


def test_an_unfitting_width_list_is_refused() -> None:
    with pytest.raises(ValueError, match="6 filters"):
        make_backbone(BackboneConfig(name="basicunet", filters=(8, 16)))
