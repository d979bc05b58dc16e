"""``recipes``: what is printed and saved is what ``train`` takes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from napari_morse.cli.main import main
from napari_morse.cli.recipes import knobs
from napari_morse.cli.train import _precise
from napari_morse.config import Recipe
from napari_morse.training.recipes import RECIPES, recipe_named


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["napari-morse", "recipes", *words])
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr()
    return int(left.value.code or 0), told.out + told.err


def test_all_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = said(monkeypatch, capsys)
    assert code == 0 and all(name in told for name in RECIPES)
    code, told = said(monkeypatch, capsys, "--json")
    assert [Recipe.model_validate(entry) for entry in json.loads(told)] == list(RECIPES.values())


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_printed_knob_is_taken_back_as_it_was_printed(name: str) -> None:
    assert recipe_named("default-2d", tuple(knobs(RECIPES[name]))) == RECIPES[name].model_copy(
        update={"name": "default-2d"}
    )


def test_one_is_shown_changed_saved_and_trained_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.json"
    code, told = said(monkeypatch, capsys, "reference-2d", "--set", "render.steps=3", "--out", str(file))
    assert code == 0 and "render.steps=3\n" in told and 'render.rescale="none"\n' in told
    recipe = recipe_named("reference-2d", ("render.steps=3",))
    assert _precise(str(file), (), None) == recipe
    code, told = said(monkeypatch, capsys, str(file), "--json")
    assert code == 0 and Recipe.model_validate_json(told) == recipe


def test_a_recipe_that_was_changed_by_hand_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.json"
    for _ in range(2):  # the same again harms nobody
        assert said(monkeypatch, capsys, "default-3d", "--out", str(file))[0] == 0
    code, _ = said(monkeypatch, capsys, str(file), "--set", "train.batch=3", "--out", str(file))
    assert code == 0, "changed in place, as was asked"
    tuned = file.read_bytes()
    code, told = said(monkeypatch, capsys, "default-3d", "--out", str(file))
    assert code == 2 and "“mine.json” is there already" in told and file.read_bytes() == tuned


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("best-ever",), "reference-3d"),
        (("none.json",), "cannot be read"),
        (("--set", "render.steps=3"), "Which recipe"),
        (("default-3d", "--set", "render.experts=dense"), "render.native=false"),
        (("default-3d", "--out", "no/such/folder.json"), "no folder"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    words: tuple[str, ...],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, told = said(monkeypatch, capsys, *words)
    assert code == 2 and why in told and "Traceback" not in told
    assert not list(tmp_path.iterdir())
