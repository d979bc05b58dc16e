"""Where the coarse mask is poor: models on worse scans, with a poorer coarse pass, and trained on few cases."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.study.bench import Keeping, Report, Trained, cases_of, finished, opened, set_of
from benchmarks.study.degradations import COARSE_ONLY, INPUT, degraded, low_passed
from benchmarks.study.planes import working_axes
from benchmarks.study.results import KIND_NAMES, MEAN, MERGED, Side, compare, over_seeds
from benchmarks.study.scoring import looking, predicted, rows_of
from benchmarks.study.sets import patient_of
from benchmarks.study.spec import RESULT
from benchmarks.study.tables import HEADS, markdown
from napari_morse.geometry.resampling import to_work_grid
from napari_morse.inference import Predictor
from napari_morse.inference.engine import CoarsePass, coarse_pass, frame_of
from napari_morse.types import Mask, Scan

SAYS = {
    "none": "as it is",
    **{name: how.says for name, how in INPUT.items()},
    **{name: f"coarse pass at 1/{factor}, image as it is (one look)" for name, factor in COARSE_ONLY.items()},
    "few": "trained on few cases",
}
WANTED = ("half", "quarter", "noise0.5", "noise1", "bias", "few")
"""What counts as a degradation of the input, or of the training, in the summary."""
GAIN = -0.1
Arms = dict[str, dict[int, dict[str, Any]]]
NOTE = """Test cases made worse, the same way for every model. Half and quarter resolution: means over blocks of 2 or 4
of the scan's own voxels along the model's axes, put back on the grid by linear interpolation: coarse pass and renderer
read the same poor image. In the rows `coarse pass at 1/2` and `1/4` the blocks are of working voxels and only the
backbone reads them; the renderer reads the scan as it is, with one look, as a second would show the backbone the scan.
Figures as in the table of the study (mean of structures; * with the diagonal for missed ones); the change of ASD is
against the same model's own coarse mask, p by a paired Wilcoxon test over patients."""


class PoorCoarse(Keeping):
    """A predictor whose backbone reads coarser voxels than its renderer."""

    factor = 1

    def _coarse(self, ready: Any, given: torch.Tensor | None, tick: Any, cancelled: Any) -> CoarsePass:
        if self.factor == 1 or given is not None:
            return super()._coarse(ready, given, tick, cancelled)
        frame = frame_of(ready.stack, ready.spacing, self.card.spacing, self.net)
        factors = [max(1, round(self.factor / scale)) for scale in frame.scale]
        poor = coarse_pass(self.net, low_passed(ready.stack, factors), frame, tick, cancelled)
        work = torch.from_numpy(np.stack([to_work_grid(image, frame) for image in ready.stack]))[:, None]
        pixels = torch.from_numpy(ready.stack)[:, None].to(poor.work.device)
        return replace(poor, native=replace(poor.native, pixels=pixels), work=work.to(poor.work.device))


def degrade(given: argparse.Namespace) -> int:
    """Run what is not in the report yet, then the tables."""
    unknown = [how for how in given.only or () if how not in (*INPUT, *COARSE_ONLY)]
    if unknown:
        print(f"unknown: {', '.join(unknown)}. There are {', '.join((*INPUT, *COARSE_ONLY))}.")
        return 2
    report = Report(given.out, "degrade", {"first": given.first})
    for trained in finished(given.runs, given.sets, given.arms):
        if trained.cases is None:
            _one_model(trained, given, report)
    for trained in finished(given.few, given.sets, given.arms) if given.few is not None else []:
        if trained.cases is not None:
            _keep(report, _held(trained, "few", given.first))
    report.close(tables(report.rows))
    return 0


def _keep(report: Report, row: dict[str, Any]) -> None:
    if not report.has(name=row["name"], degradation=row["degradation"], digest=row["digest"]):
        report.add(row, "name", "degradation")


def _one_model(trained: Trained, given: argparse.Namespace, report: Report) -> None:
    held = _held(trained, "none", given.first)
    _keep(report, held)
    kinds = given.only or (*INPUT, *COARSE_ONLY)
    left = [how for how in kinds if not report.has(name=trained.name, degradation=how, digest=held["digest"])]
    if not left:
        return
    predictor = opened(trained, PoorCoarse)
    for how in left:
        found = cases_of(given.data, set_of(trained), given.first)
        cases = [_case(predictor, trained, how, *case) for case in found]
        _keep(report, {**held, "degradation": how, "cases": cases})
        print(f"{trained.name}, {SAYS[how]}: done", flush=True)


def _held(trained: Trained, how: str, most: int | None) -> dict[str, Any]:
    """The cases that `run` scored itself."""
    result = json.loads((Path(trained.model).parent / RESULT).read_text(encoding="utf-8"))
    cases = [{key: case[key] for key in ("case", "patient", "scores")} for case in result["cases"][:most]]
    return {"name": trained.name, "set": trained.set, "arm": trained.arm, "seed": trained.seed, "degradation": how,
            "digest": result["digest"], "cases": cases}  # fmt: skip


def _case(predictor: Predictor, trained: Trained, how: str, stem: str, scan: Scan, truth: Mask) -> dict[str, Any]:
    chosen = set_of(trained)
    assert isinstance(predictor, PoorCoarse)
    predictor.factor = COARSE_ONLY.get(how, 1)
    if how in INPUT:
        scan = degraded(scan, INPUT[how], working_axes(chosen, scan.grid), how)
    with looking(predictor, 1):
        found = predicted(predictor, scan)
        masks = {"coarse": found.coarse, "one_look": found.rendered}
    if how in INPUT:
        masks["rendered"] = predictor.predict().rendered
    return {
        "case": stem,
        "patient": patient_of(chosen, stem),
        "scores": {kind: rows_of(predictor, chosen, mask, truth) for kind, mask in masks.items()},
    }


def grouped(rows: list[dict[str, Any]]) -> dict[str, dict[str, Arms]]:
    """Set → degradation → arm → seed → row."""
    found: dict[str, dict[str, Arms]] = {}
    for row in rows:
        found.setdefault(row["set"], {}).setdefault(row["degradation"], {}).setdefault(row["arm"], {})[row["seed"]] = (
            row
        )
    return found


def tables(rows: list[dict[str, Any]]) -> str:
    """Markdown of all sets, and how often the aim is met."""
    sets = grouped(rows)
    parts = ["# Degradations\n", NOTE + "\n", summary(sets)]
    for name, kinds in sets.items():
        several = len(_some_scores(kinds)) > 2
        for structure, title in ((MEAN, "mean of structures"), (MERGED, "merged"))[: 1 + several]:
            parts += [f"## {name}, {title}\n", _table(kinds, structure)]
    return "\n".join(parts)


def _some_scores(kinds: dict[str, Arms]) -> list[dict[str, Any]]:
    """Of one case: a row per structure and one of their union."""
    seeds = next(iter(next(iter(kinds.values())).values()))
    found: list[dict[str, Any]] = next(iter(seeds.values()))["cases"][0]["scores"]["coarse"]
    return found


def _table(kinds: dict[str, Arms], structure: int) -> str:
    lines = []
    for how in sorted(kinds, key=list(SAYS).index):
        for arm, seeds in kinds[how].items():
            for kind in _masks(seeds):
                figures = [over_seeds(seeds, kind, f, structure)[0] for f in SHOWN]
                cells = ["n/a" if v is None else f"{v:.{d}f}" for v, d in zip(figures, (3, 4, 4, 3), strict=True)]
                change = change_of(kinds[how], arm, kind, structure)
                said = "" if change is None else f"{100 * change[0]:+.1f} % ({change[1]:.2g})"
                lines.append([SAYS[how], arm, KIND_NAMES[kind], str(len(seeds)), *cells, said])
    head = ["scan", "arm", "mask", "seeds", *(HEADS[f] for f in SHOWN), "ASD* against its coarse (p)"]
    return markdown(head, lines)


SHOWN = ("asd_or_diagonal", "dice", "nsd", "hd95_or_diagonal")


def _masks(seeds: dict[int, dict[str, Any]]) -> list[str]:
    held = next(iter(seeds.values()))["cases"][0]["scores"]
    return [kind for kind in KIND_NAMES if kind in held]


def change_of(arms: Arms, arm: str, kind: str, structure: int) -> tuple[float, float] | None:
    """Share by which a mask's ASD lies above its own coarse mask's, and p."""
    if kind == "coarse":
        return None
    found = compare(arms, Side(arm, kind), Side(arm, "coarse"), "asd_or_diagonal", structure)
    return None if found is None else (found.ratio, found.p)


def summary(sets: dict[str, dict[str, Arms]], arm: str = "default") -> str:
    """For each degradation, the sets on which the ASD of ``default`` falls by a tenth or more."""
    lines = []
    for how in (*WANTED, *COARSE_ONLY):
        kind = "one_look" if how in COARSE_ONLY else "rendered"
        changes = {
            name: change_of(kinds[how], arm, kind, MEAN)
            for name, kinds in sets.items()
            if arm in kinds.get(how, {})
        }  # fmt: skip
        known = {name: change for name, change in changes.items() if change is not None}
        if known:
            met = sum(change[0] <= GAIN for change in known.values())
            said = "; ".join(f"{name} {100 * c[0]:+.1f} % (p {c[1]:.2g})" for name, c in known.items())
            lines.append([SAYS[how], KIND_NAMES[kind], said, f"{met} of {len(known)}"])
    head = ["scan", "mask", "ASD* against its own coarse", "sets with −10 % or more"]
    return f"Arm `{arm}`, mean of structures:\n\n" + markdown(head, lines) if lines else ""
