"""What each command does with its arguments; each imports what it needs when it runs."""

from __future__ import annotations

import argparse

from benchmarks.study.arms import ARMS
from benchmarks.study.queue import run_all, said, subprocess_start
from benchmarks.study.sets import SETS
from benchmarks.study.spec import all_specs


def run(given: argparse.Namespace) -> int:
    """The queue."""
    unknown = [name for name in given.sets if name not in SETS] + [name for name in given.arms if name not in ARMS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}. Sets: {', '.join(SETS)}. Arms: {', '.join(ARMS)}.")
        return 2
    budget = {"minutes": given.minutes, "iterations": given.iterations, "clock": given.clock}
    specs = all_specs(given.sets, given.arms, given.seeds, budget, given.cases, tuple(given.changes), given.spacing)
    start = subprocess_start(given.data.resolve(), given.threads)
    ended = run_all(specs, given.out.resolve(), given.jobs, start)
    print(said(ended, given.out))
    return 1 if ended["failed"] or ended["other"] else 0


def one(given: argparse.Namespace) -> int:
    """A single run."""
    from benchmarks.study.one import run_one

    run_one(given.folder, given.data)
    return 0


def table(given: argparse.Namespace) -> int:
    """Tables from results."""
    from benchmarks.study.results import load_results
    from benchmarks.study.tables import write_tables

    return write_tables(load_results(given.runs), given.out, given.structures)


def degrade(given: argparse.Namespace) -> int:
    """Worse scans."""
    from benchmarks.study.degrade import degrade as command

    return command(given)


def native(given: argparse.Namespace) -> int:
    """Coarse pass against a finer backbone."""
    from benchmarks.study.native import native as command

    return command(given)


def rough(given: argparse.Namespace) -> int:
    """Damaged masks."""
    from benchmarks.study.rough import rough as command

    return command(given)


def tiling(given: argparse.Namespace) -> int:
    """Other windows."""
    from benchmarks.study.tiling import tiling as command

    return command(given)
