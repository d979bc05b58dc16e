"""Parameters of every backbone at its usual widths, 2-D and 3-D: the table of docs/backbones.md.

Run ``python -m benchmarks.backbones``; no weights are made, it takes seconds.
"""

from __future__ import annotations

import torch

from napari_morse.config import BackboneConfig
from napari_morse.model.backbones import make_backbone

USUAL: dict[str, tuple[int, ...]] = {
    "dynunet": (32, 64, 128, 256, 320),
    "segresnet": (32, 64, 128, 256),
    "basicunet": (32, 32, 64, 128, 256, 32),
    "unet": (32, 64, 128, 256, 512),
    "unetr": (16,),
    "swinunetr": (24,),
    "transunet": (64, 256, 512, 1024),
}
"""``backbone.filters``: those of MONAI's tutorials, and of the published TransUNet."""


def parameters(name: str, dims: int) -> int:
    """How many numbers training fits, one channel in and three classes out."""
    size = (224, 224) if dims == 2 else (96, 96, 96)
    config = BackboneConfig(name=name, spatial_dims=dims, filters=USUAL[name], stem_stride=1, image_size=size)
    with torch.device("meta"):
        return make_backbone(config).parameter_count


def main() -> None:
    """Print the table."""
    print("| `backbone.name` | `backbone.filters` | 2-D, million | 3-D, million |\n|---|---|---:|---:|")
    for name, filters in USUAL.items():
        two, three = (f"{parameters(name, dims) / 1e6:.1f}" for dims in (2, 3))
        print(f"| {name} | {', '.join(map(str, filters))} | {two} | {three} |")


if __name__ == "__main__":
    main()
