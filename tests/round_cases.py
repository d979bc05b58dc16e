"""A project of eight small cases, and rounds of it that train for real."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_morse.io.mask_store import StoredMask, save_store
from napari_morse.session.learn import Choice, Round, candidates
from napari_morse.session.project import Project, from_folders, with_patients
from napari_morse.training.settings import TuneSettings
from tests.project_cases import SHAPE, box, nifti
from tests.tuning_cases import save_small_model


def make_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truth: Callable[[int], np.ndarray]) -> Path:
    """Of four patients, a quarter held out, all accepted with a mask of their own."""
    monkeypatch.setenv("NAPARI_MORSE_MODELS", str(tmp_path / "library"))
    save_small_model(tmp_path / "library" / "small")
    rng = np.random.default_rng(0)
    for patient in range(4):
        for case in range(2):
            image = 100.0 * box(2 + case) + rng.normal(0, 9, SHAPE)
            nifti(tmp_path / "in" / f"p{patient}_{case}.nii.gz", image.astype(np.int16))
            nifti(tmp_path / "truth" / f"p{patient}_{case}.nii.gz", truth(case))
    found = with_patients(from_folders(tmp_path / "in", truths=tmp_path / "truth"), r"(p\d)_")
    with Project.create(tmp_path / "study", found, name="s", reader="AB", holdout_share=0.25) as project:
        for case in project.cases():
            save_store(StoredMask(box(3), b"", {}), project.folder_of(case.id) / "corrected.zarr.zip")
            if not case.held_out:
                project.set_status([case.id], "in_review")
                project.set_status([case.id], "accepted")
    return tmp_path / "study"


def choice(study: Path, **changes: object) -> Choice:
    with Project.open(study, read_only=True) as project:
        ids = tuple(found.id for found in candidates(project) if not found.held_out)
    settings = TuneSettings.model_validate({"steps": 4, "what": "head", **changes})
    return Choice("small", "small-tuned-1", ids, settings)


def wait(found: Round, *states: str, seconds: float = 120) -> str:
    limit = time.monotonic() + seconds
    while found.state not in states and time.monotonic() < limit:
        time.sleep(0.05)
    assert found.state in states, (found.state, (found.folder / "errors.txt").read_text()[-2000:])
    return found.state


def wait_for_step(found: Round, known: int = 0, seconds: float = 200) -> None:
    """Until it has told of a step, after the first ``known`` events."""
    limit = time.monotonic() + seconds
    while not any(e["event"] == "step" for e in found.history()[known:]):
        assert time.monotonic() < limit, found.state
        time.sleep(0.05)


def cancelled_soon(found: Round) -> None:
    """Ask it to end; it does within two seconds."""
    asked = time.monotonic()
    found.cancel()
    assert wait(found, "cancelled") and time.monotonic() - asked < 2.0


def lesion(label: int = 7) -> np.ndarray:
    mask = box(3)
    mask[8:11, 6:9, 4:7] = label
    return mask
