"""A model's masks of a case against its truth.

Kinds of mask: ``coarse`` is the plain backbone; ``one_look`` is rendered with a single look; ``rendered`` is what the
model gives, with as many looks as its recipe says. Of a backbone trained alone the head is zero: its ``one_look`` is
its ``coarse``, and its ``rendered`` the mean of the backbone's looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from benchmarks.study.sets import Set, patient_of, spacing_of, tolerance_of
from napari_morse.inference import Predictor
from napari_morse.metrics import score
from napari_morse.types import Mask, Prediction, Scan

KINDS = ("coarse", "one_look", "rendered")


@contextmanager
def looking(predictor: Predictor, looks: int) -> Iterator[None]:
    """Another number of looks for a while."""
    recipe = predictor.net.recipe
    predictor.net.recipe = recipe.model_copy(update={"render": recipe.render.model_copy(update={"looks": looks})})
    try:
        yield
    finally:
        predictor.net.recipe = recipe


def predicted(predictor: Predictor, scan: Scan) -> Prediction:
    """Both masks of a scan."""
    predictor.set_scan(scan)
    return predictor.predict()


def score_case(predictor: Predictor, chosen: Set, stem: str, scan: Scan, truth: Mask) -> dict[str, Any]:
    """Figures of all kinds of mask, per structure and merged, and the seconds they took."""
    found = predicted(predictor, scan)
    with looking(predictor, 1):
        one = predicted(predictor, scan)
    masks = {"coarse": found.coarse, "one_look": one.rendered, "rendered": found.rendered}
    seconds = {
        "coarse": found.seconds["coarse"],
        "render": found.seconds["render"],
        "render_one_look": one.seconds["render"],
        "prepare": found.seconds["prepare"],
    }
    return {
        "case": stem,
        "patient": patient_of(chosen, stem),
        "shape": list(truth.grid.shape),
        "points": len(found.points.voxel),
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "scores": {kind: rows_of(predictor, chosen, mask, truth) for kind, mask in masks.items()},
    }


def rows_of(predictor: Predictor, chosen: Set, mask: Mask, truth: Mask) -> list[dict[str, Any]]:
    """One row per structure, then the union's (id 0), in the unit of the set; NSD at one voxel."""
    ids = [entry.id for entry in predictor.card.labels]
    rows = score(mask.data, truth.data, spacing_of(chosen, truth), ids, tolerance_of(chosen, truth), merged=True)
    return [asdict(row) for row in rows]
