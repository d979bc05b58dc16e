"""Timing by turns: every contender once per round, in one process, so that what else runs slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch

Times = dict[str, dict[str, float]]


def alternate(contenders: Mapping[str, Callable[[], object]], rounds: int, clock: str = "wall") -> Times:
    """Minimum and median in ms of each contender over ``rounds``, after one round that is not counted.

    ``clock`` is ``wall`` or ``cpu``, the processor time of all threads: what a busy machine takes away does not count,
    and with one thread neither does waiting.
    """
    read = time.perf_counter if clock == "wall" else time.process_time
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            begun = read()
            run()
            if number:
                taken[name].append(1e3 * (read() - begun))
    return {name: {"min": min(t), "median": median(t), "rounds": rounds} for name, t in taken.items()}


def ratio(times: Times, slow: str, fast: str, figure: str = "min") -> float:
    return times[slow][figure] / times[fast][figure]


def machine(rounds: int, clock: str) -> dict[str, float]:
    """Peaks of this machine now: GFLOP/s of a large product, GB/s of reading and of copying 128 MB."""
    a = torch.randn(1536, 1536)
    source = torch.randn(1 << 25)
    target = torch.empty_like(source)
    times = alternate({"gemm": lambda: a @ a, "read": source.sum, "copy": lambda: target.copy_(source)}, rounds, clock)
    return {
        "gemm_gflops": 2 * 1536**3 / times["gemm"]["min"] / 1e6,
        "read_gb_s": 4 * source.numel() / times["read"]["min"] / 1e6,
        "copy_gb_s": 8 * source.numel() / times["copy"]["min"] / 1e6,
    }
