"""Markdown tables of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.study.arms import ARMS
from benchmarks.study.plots import plot
from benchmarks.study.results import (
    FIGURES,
    KIND_NAMES,
    MEAN,
    MERGED,
    Comparison,
    Results,
    Side,
    compare,
    missed,
    over_seeds,
)

Arms = dict[str, dict[int, dict[str, Any]]]
HEADS = {
    "dice": "Dice", "hd95": "HD95", "hd95_or_diagonal": "HD95*", "asd": "ASD", "asd_or_diagonal": "ASD*", "nsd": "NSD",
}  # fmt: skip
TESTED = ("dice", "hd95_or_diagonal", "asd_or_diagonal", "nsd")
DICE_MARGIN, ASD_MARGIN = 0.003, 0.02
"""Not worse: Dice at most this much below, ASD at most this share above."""
NOTE = """Means over patients (a patient's cases averaged first), then mean ± standard deviation over seeds. HD95 and
ASD are between edge voxels, over the cases where truth and mask both hold the structure; with a star, the image's
diagonal stands where only one does. NSD at one voxel. `coarse` is the plain backbone, `one look` is rendered with one
look, `rendered` as the recipe says. A backbone trained `alone` has a head that is zero: its `rendered` is the mean of
the backbone's looks. Tests: paired Wilcoxon, two-sided, over patients, each patient's mean over the seeds first; p is
not corrected for the number of rows."""


def write_tables(results: Results, out: Path | None, structures: bool) -> int:
    """Print the tables, or write them with their plots beside."""
    if not results:
        print("no finished run there")
        return 1
    parts = ["# Study\n", NOTE + "\n"]
    for name, arms in results.items():
        parts.append(section(name, arms, structures))
        if out is not None:
            image = out.with_name(f"{out.stem}-{name}.svg")
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_text(plot(name, arms), encoding="utf-8")
            parts.append(f"![ASD of every mask, {name}]({image.name})\n")
    text = "\n".join(parts)
    if out is None:
        print(text)
    else:
        out.write_text(text, encoding="utf-8")
    return 0


def section(name: str, arms: Arms, structures: bool = False) -> str:
    """Everything about one set."""
    some = next(iter(next(iter(arms.values())).values()))
    labels = {int(i): label for i, label in some["labels"].items()}
    shown: list[tuple[int, str]] = [(MEAN, "mean of structures" if len(labels) > 1 else "the structure")]
    if len(labels) > 1:
        shown.append((MERGED, "merged"))
        shown += list(labels.items()) if structures else []
    parts = [f"## {name}\n", about(arms, some)]
    for structure, title in shown:
        parts += [f"### {name}, {title}\n", accuracy(arms, structure), comparisons(arms, structure)]
    return "\n".join([*parts, not_worse(arms), costs(arms)])


def about(arms: Arms, some: dict[str, Any]) -> str:
    """What was run, in a sentence."""
    spec, cases = some["spec"], some["cases"]
    budget = f"{spec['iterations']} iterations"
    if spec["minutes"] is not None:
        budget = f"{spec['minutes']:g} minutes of {spec['clock']} time"
    patients = len({case["patient"] for case in cases})
    results = [result for seeds in arms.values() for result in seeds.values()]
    commits = ", ".join(sorted({r["commit"][:7] + (" (changed)" if r["changed"] else "") for r in results}))
    where = ", ".join(sorted({f"{r['machine']['processor']}, {r['machine']['threads']} thread(s)" for r in results}))
    said = "; ".join(f"`{arm}`: {ARMS[arm].says}" for arm in arms if arm in ARMS)
    return (
        f"{len(cases)} test cases of {patients} patients, {some['training']['train_cases']} training cases; {budget} "
        f"a run; unit {some['unit']}; {where}; commit {commits}. {said}.\n"
    )


def rows(arms: Arms) -> list[Side]:
    """Every mask there is; one look only where it is not what is rendered anyway."""
    found = []
    for arm, seeds in arms.items():
        looks = {result["recipe"]["render"]["looks"] for result in seeds.values()}
        trained = any(result["recipe"]["train"]["stage_one"] < 1 for result in seeds.values())
        kinds = [k for k in KIND_NAMES if k != "one_look" or (looks != {1} and trained)]
        if not trained and looks == {1}:
            kinds = ["coarse"]
        found += [Side(arm, kind) for kind in kinds]
    return found


def accuracy(arms: Arms, structure: int) -> str:
    """Figures of every mask."""
    lines = []
    for side in rows(arms):
        seeds = arms[side.arm]
        cells = [
            _spread(*over_seeds(seeds, side.kind, f, structure), 4 if f in ("dice", "nsd") else 3) for f in FIGURES
        ]
        lost = sum(missed(result, side.kind, structure) for result in seeds.values())
        lines.append([side.arm, KIND_NAMES[side.kind], str(len(seeds)), *cells, str(lost)])
    return markdown(["arm", "mask", "seeds", *HEADS.values(), "missed, all seeds"], lines)


def wanted(arms: Arms) -> list[tuple[Side, Side]]:
    """Which sides meet."""
    pairs = []
    trained = [arm for arm in arms if arm != "alone"]
    for arm in trained:
        pairs.append((Side(arm, "rendered"), Side(arm, "coarse")))
        pairs.append((Side(arm, "one_look"), Side(arm, "coarse")))
        if "alone" in arms:
            pairs += [(Side(arm, "rendered"), Side("alone", kind)) for kind in ("coarse", "rendered")]
            pairs.append((Side(arm, "coarse"), Side("alone", "coarse")))
    pairs += [(Side("default", k), Side(arm, k)) for arm in trained if arm != "default" and "default" in arms
              for k in ("rendered", "one_look")]  # fmt: skip
    shown = set(rows(arms)) | {Side(arm, "rendered") for arm in arms}
    return [(a, b) for a, b in pairs if a in shown and b in shown]


def comparisons(arms: Arms, structure: int) -> str:
    """Differences and their p: Dice and NSD absolute, distances in per cent (with the diagonal for missed ones)."""
    lines = []
    for a, b in wanted(arms):
        found = [compare(arms, a, b, figure, structure) for figure in TESTED]
        if found[0] is None:
            continue
        cells = [_change(c, figure) for c, figure in zip(found, TESTED, strict=True)]
        lines.append([f"{a} − {b}", f"{found[0].patients} × {found[0].seeds}", *cells])
    if not lines:
        return ""
    return markdown(["difference", "patients × seeds", *(f"{HEADS[f]} (p)" for f in TESTED)], lines)


def _change(found: Comparison | None, figure: str) -> str:
    if found is None:
        return "–"
    size = f"{found.difference:+.4f}" if figure in ("dice", "nsd") else f"{100 * found.ratio:+.1f} %"
    return f"{size} ({found.p:.2g})"


def not_worse(arms: Arms) -> str:
    """Rendered against the backbone alone, plain and with its looks: Dice −0.003, ASD +2 %."""
    lines = []
    for arm in arms:
        for kind in ("coarse", "rendered"):
            sides = Side(arm, "rendered"), Side("alone", kind)
            overlap, asd = (compare(arms, *sides, f, MEAN) for f in ("dice", "asd_or_diagonal"))
            if arm == "alone" or overlap is None or asd is None:
                continue
            held = overlap.difference >= -DICE_MARGIN and asd.ratio <= ASD_MARGIN
            change = [f"{overlap.difference:+.4f}", f"{100 * asd.ratio:+.1f} %"]
            lines.append([str(sides[0]), str(sides[1]), *change, "yes" if held else "**no**"])
    head = ["mask", "against", "Dice", "ASD*", f"not worse (Dice −{DICE_MARGIN}, ASD +{100 * ASD_MARGIN:g} %)"]
    return "Not worse than the backbone alone, mean of structures:\n\n" + markdown(head, lines) if lines else ""


def costs(arms: Arms) -> str:
    """Steps, sizes, seconds a case (median over cases), memory: equal time is not equal steps."""
    lines = []
    for arm, seeds in arms.items():
        results = list(seeds.values())
        parameters = results[0]["parameters"]
        seconds = [_median(results, key) for key in ("coarse", "render", "render_one_look")]
        lines.append([
            arm, *(f"{_trained(results, key):.0f}" for key in ("iterations", "seconds", "cpu_seconds")),
            f"{parameters['backbone'] / 1e3:.0f} k", f"{parameters['renderer'] / 1e3:.0f} k",
            *(f"{s:.3f}" for s in seconds), f"{max(r['peak_rss_mb'] for r in results):.0f}",
        ])  # fmt: skip
    head = ["arm", "iterations", "seconds", "processor seconds", "backbone", "renderer", "coarse s", "render s",
            "render s, one look", "peak MB"]  # fmt: skip
    return "Costs (seconds a case: medians; training: means over seeds):\n\n" + markdown(head, lines)


def _trained(results: Sequence[dict[str, Any]], key: str) -> float:
    return float(np.mean([result["training"][key] for result in results]))


def _median(results: Sequence[dict[str, Any]], key: str) -> float:
    return float(np.median([case["seconds"][key] for result in results for case in result["cases"]]))


def _spread(value: float | None, deviation: float | None, digits: int) -> str:
    if value is None:
        return "n/a"
    return f"{value:.{digits}f}" + (f" ± {deviation:.{digits}f}" if deviation is not None else "")


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table."""
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *lines)) + "\n"
