"""``python -m benchmarks.study COMMAND``: see each command's ``--help``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.study import commands
from benchmarks.study.degradations import COARSE_ONLY, INPUT


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[int]:
    return [int(part) for part in _listed(text)]


def _lengths(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in _listed(text))


def _data(parser: argparse.ArgumentParser) -> None:
    held = os.environ.get("NAPARI_MORSE_DATA")
    parser.add_argument("--data", type=Path, default=held, required=held is None, help="folder of the sets")


def _run(add: Any) -> None:
    parser = add.add_parser("run", help="train every arm on every set in every seed, and score the test split")
    _data(parser)
    parser.add_argument("--sets", type=_listed, default=list(commands.SETS), help=", ".join(commands.SETS))
    parser.add_argument("--arms", type=_listed, default=["alone", "default"], help=", ".join(commands.ARMS))
    parser.add_argument("--seeds", type=_numbers, default=[0])
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="equal wall-clock time for each run")
    budget.add_argument("--iterations", type=int, help="equal steps for each run")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="of --minutes")
    parser.add_argument("--cases", type=int, help="training cases, else all")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="part.knob=value, for every arm")
    parser.add_argument("--spacing", type=_lengths, help="mm of the working grid, e.g. 0.625,0.625,0.625")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--threads", type=int, default=1, help="of each run")


def _one(add: Any) -> None:
    parser = add.add_parser("one", help="a single run of the queue, from its folder's spec.json")
    _data(parser)
    parser.add_argument("--folder", type=Path, required=True)


def _table(add: Any) -> None:
    parser = add.add_parser("table", help="tables in markdown, and plots, from the results of `run`")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="a .md file; plots go beside it. Else printed")
    parser.add_argument("--structures", action="store_true", help="also every structure by itself")


def _trained(parser: argparse.ArgumentParser, single: bool) -> None:
    if single:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--runs", type=Path, help="every finished run below this folder")
        which.add_argument("--model", help="a shipped or installed model's name, or a model's folder; with --set")
        parser.add_argument("--set", choices=list(commands.SETS), help="whose test cases --model is given")
    else:
        parser.add_argument("--runs", type=Path, required=True, help="every finished run below this folder")
    parser.add_argument("--sets", type=_listed, help="of --runs, else all")
    parser.add_argument("--arms", type=_listed, help="of --runs, else all")


def _report(parser: argparse.ArgumentParser) -> None:
    _data(parser)
    parser.add_argument("--first", type=int, help="only the first so many test cases of each set")
    parser.add_argument("--out", type=Path, help="a .json file that survives an interruption; its .md goes beside it")


def _degrade(add: Any) -> None:
    parser = add.add_parser("degrade", help="finished runs on worse scans, and with a poorer coarse pass")
    _trained(parser, single=False)
    parser.add_argument("--few", type=Path, help="folder of runs with --cases")
    parser.add_argument("--only", type=_listed, help=f"of {', '.join((*INPUT, *COARSE_ONLY))}")
    _report(parser)


def _rough(add: Any) -> None:
    parser = add.add_parser("rough", help="damaged truth masks, rendered")
    _trained(parser, single=True)
    _report(parser)


def _tiling(add: Any) -> None:
    parser = add.add_parser("tiling", help="other windows and overlaps, end to end")
    _trained(parser, single=True)
    _report(parser)


def _native(add: Any) -> None:
    parser = add.add_parser("native", help="a coarser pass rendered on the scan's grid, against a finer backbone")
    parser.add_argument("--set", choices=list(commands.SETS), required=True)
    parser.add_argument("--fine", required=True, help="model of the finer backbone: a name or a folder")
    parser.add_argument("--coarse", required=True, help="model whose masks are rendered: a name or a folder")
    parser.add_argument("--rounds", type=int, default=4, help="predictions of each case, for the times")
    _report(parser)


def main() -> int:
    """Run a command; the exit code is 1 when a run failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__)
    add = parser.add_subparsers(dest="command", required=True)
    for command in (_run, _one, _table, _degrade, _native, _rough, _tiling):
        command(add)
    given = parser.parse_args()
    return getattr(commands, given.command)(given)


if __name__ == "__main__":
    sys.exit(main())
