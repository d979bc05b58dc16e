"""How long rendering takes, against everything it could be compared with, by turns in one process.

    python -m benchmarks.speed [--quick] [--only NAME ...] [--threads 2] [--clock wall|cpu]
        [--rounds N] [--json FILE]

Prints a table of ratios with their targets, and writes all times as JSON. Close what else runs, or use one thread and
``--clock cpu``; absolute times mean little in either case.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets import DynUNet, UNet

from benchmarks.clock import alternate, machine, ratio
from benchmarks.scenes import ball, default_net, discs, near_boundary, scene
from benchmarks.textbook import agreement, make_case, ours, textbook
from napari_morse import zoo
from napari_morse.geometry.orientation import RAS, axes_to
from napari_morse.inference.devices import has_bfloat16
from napari_morse.inference.engine import CoarsePass, _on_native, coarse_pass, frame_of
from napari_morse.inference.normalise import normalise
from napari_morse.inference.rendering import render, render_voxels
from napari_morse.inference.voxel_scan import doubts, labels_and_margins, scan_margins
from napari_morse.io import open_scan
from napari_morse.model.morse import Morse

Table = dict[str, Any]


class Settings:
    def __init__(self, quick: bool, clock: str, rounds: int | None) -> None:
        self.quick, self.clock = quick, clock
        self.rounds = rounds or (3 if quick else 9)

    def alternate(self, contenders: dict[str, Callable[[], object]], rounds: int | None = None) -> Any:
        return alternate(contenders, rounds or self.rounds, self.clock)


def _textbook(settings: Settings, target: float, **case_fields: Any) -> Table:
    case = make_case(**case_fields)
    contenders: dict[str, Callable[[], object]] = {"textbook": lambda: textbook(case), "ours": lambda: ours(case)}
    able = has_bfloat16("cpu")
    if able:
        contenders["ours_bfloat16"] = lambda: ours(case, torch.bfloat16)
    times = settings.alternate(contenders)
    found: Table = {"times": times, "agreement": agreement(case)}
    found["ratios"] = {"textbook / ours": (ratio(times, "textbook", "ours"), f">= {target}")}
    found["agreement_bfloat16"] = agreement(case, torch.bfloat16)
    if able:
        found["ratios"]["textbook / ours in bfloat16"] = (ratio(times, "textbook", "ours_bfloat16"), ">= 3.5 in 2-D")
    return found


def textbook_2d(settings: Settings) -> Table:
    return _textbook(settings, 1.9, space=(512, 512), classes=4, width=256, stride=4, steps=2, points=8192, knots=24)


def textbook_3d(settings: Settings) -> Table:
    return _textbook(settings, 5.0, space=(128,) * 3, classes=4, width=64, stride=4, steps=1, points=32768, knots=6)


def _dynunet(dims: int) -> torch.nn.Module:
    levels = 6
    widths = [min(2 ** (5 + k), 320 if dims == 3 else 512) for k in range(levels)]
    return DynUNet(dims, 1, 4, [3] * levels, [1] + [2] * (levels - 1), [2] * (levels - 1), filters=widths).eval()


def _unet(dims: int) -> torch.nn.Module:
    return UNet(dims, 1, 4, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2).eval()


def _against_networks(settings: Settings, size: int, dims: int, done: CoarsePass, net: Morse, marks: Table) -> Table:
    image = torch.randn(1, 1, *[size] * dims)
    big, small = _dynunet(dims), _unet(dims)
    times = settings.alternate(
        {"render": lambda: render(net, done), "dynunet": lambda: big(image), "unet": lambda: small(image)}
    )
    points = len(render(net, done).voxel_stack)
    return {
        "times": times,
        "points": points,
        "share": points / done.logits[0].numel(),
        "ratios": {f"rendering / {name}": (ratio(times, "render", name), mark) for name, mark in marks.items()},
    }


def networks_2d(settings: Settings) -> Table:
    size = 128 if settings.quick else 512
    net = default_net(2)
    return _against_networks(settings, size, 2, scene(net, size, *discs(size)), net, {"dynunet": "<= 0.15"})


def networks_3d(settings: Settings) -> Table:
    size = 64 if settings.quick else 96
    net = default_net(3)
    done = scene(net, size, *ball(size, 3, size * 0.3))
    return _against_networks(settings, size, 3, done, net, {"dynunet": "<= 0.05", "unet": "<= 0.5"})


def _brain(size: int) -> tuple[Morse, CoarsePass]:
    """The shipped 3-D model, one look, on the middle of the sample scan of a whole head: trained weights decide what
    they change."""
    loaded = zoo.load("hippocampus-3d")
    net = Morse(
        loaded.card.recipe.model_copy(update={"render": loaded.card.recipe.render.model_copy(update={"looks": 1})})
    )
    net.load_state_dict(loaded.net.state_dict())
    scan = open_scan(Path(__file__).parent.parent / "sample_data" / "colin27_t1.nii.gz")
    middle = tuple(slice(max(0, (n - size) // 2), max(0, (n - size) // 2) + size) for n in scan.data.shape)
    stack = np.ascontiguousarray(
        normalise(axes_to(scan.grid, RAS).to_view(scan.data)[middle], loaded.card.intensity).pixels[None]
    )
    return net.eval(), coarse_pass(net, stack, frame_of(stack, (1.0,) * 3, (1.0,) * 3, net))


def dense(settings: Settings) -> Table:
    """Rendering against the same renderer at every voxel."""
    net, done = _brain(64 if settings.quick else 128)
    everywhere = torch.arange(done.logits[0].numel())
    times = settings.alternate(
        {"render": lambda: render(net, done), "dense": lambda: render_voxels(net, done, everywhere)}, 3
    )
    rendered = render(net, done)
    labels = labels_and_margins(render_voxels(net, done, everywhere)[0].T)[0].numpy().reshape(rendered.rendered.shape)
    near = near_boundary(labels[0], 3) | near_boundary(rendered.rendered[0], 3)
    share = float((labels == rendered.rendered)[0][near].mean())
    ratios = {
        "dense / rendering": (ratio(times, "dense", "render"), ">= 20"),
        "equal voxels within 3 of a boundary": (share, ">= 0.999"),
    }
    points = len(rendered.voxel_stack)
    return {"times": times, "points": points, "share": points / len(everywhere), "ratios": ratios}


def growth(settings: Settings) -> Table:
    """One object of fixed size in ever larger volumes: what grows with the volume is named apart."""
    sizes = (64, 96, 128) if settings.quick else (64, 96, 128, 192, 256, 384)
    net = default_net(3)
    rows = {str(size): _growth_row(settings, net, size) for size in sizes}
    points = [row["points_ms"] for row in rows.values()]
    return {
        "rows": rows,
        "ratios": {
            "points: slowest / fastest volume": (max(points) / min(points), "<= 1.2"),
            "whole-grid passes / one read of the logits, largest": (rows[str(sizes[-1])]["passes_per_read"], "<= 4"),
        },
    }


def _growth_row(settings: Settings, net: Morse, size: int) -> Table:
    done = scene(net, size, *ball(size, 3, 20))
    bound = net.recipe.render.uncertain_below
    reading = scan_margins(done.logits, bound)
    chosen = reading.indices
    times = settings.alternate(
        {
            "points": lambda: render_voxels(net, done, chosen),
            "labels and choice": lambda: scan_margins(done.logits, bound),
            "write-back": reading.labels.clone,
            "one read": done.logits.sum,
            "interpolation (coarse pass)": lambda: _on_native(done.maps, done.frame),
            "doubt map (shown, not rendered)": lambda: doubts(done.logits, 2.0),
        }
    )
    passes = times["labels and choice"]["min"] + times["write-back"]["min"]
    return {
        "times": times,
        "points": len(chosen),
        "points_ms": times["points"]["min"],
        "passes_ms": passes,
        "passes_per_read": passes / times["one read"]["min"],
    }


PARTS: dict[str, Callable[[Settings], Table]] = {
    "textbook-2d": textbook_2d,
    "textbook-3d": textbook_3d,
    "networks-2d": networks_2d,
    "networks-3d": networks_3d,
    "dense": dense,
    "growth": growth,
}


def show(name: str, table: Table) -> None:
    for what, (value, target) in table["ratios"].items():
        print(f"{name:12} {what:54} {value:8.3f}   {target}", flush=True)
    for key in ("agreement", "agreement_bfloat16", "points", "share"):
        if key in table:
            print(f"{'':12} {key}: {table[key]}")
    for size, row in table.get("rows", {}).items():
        print(
            f"{'':12} {size:>4}^3 points {row['points_ms']:.1f} ms, passes {row['passes_per_read']:.2f} reads",
            flush=True,
        )
    for contender, time in table.get("times", {}).items():
        print(f"{'':12} {contender:16} min {time['min']:9.2f} ms  median {time['median']:9.2f} ms")


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller, fewer rounds: does it run?")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--rounds", type=int, help="per contender; 9 unless told, 3 for the dense evaluation")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    settings = Settings(asked.quick, asked.clock, asked.rounds)
    found: Table = {"threads": asked.threads, "clock": asked.clock, "quick": asked.quick}
    found["bfloat16"] = has_bfloat16("cpu")
    found["machine"] = machine(settings.rounds, asked.clock)
    print(f"{asked.threads} threads, {asked.clock} time, {found['machine']}")
    for name in asked.only:
        found[name] = PARTS[name](settings)
        show(name, found[name])
        if asked.json:
            asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
