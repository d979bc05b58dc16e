"""``napari-morse models``."""

from __future__ import annotations

import json

import pytest
import torch
import typer
from typer.testing import CliRunner

from napari_morse import zoo
from napari_morse.cli.models import models
from napari_morse.config import BackboneConfig, Recipe
from napari_morse.errors import WeightsError
from napari_morse.io.cards import model_digest
from napari_morse.io.weights import save_model

CARD = {
    "name": "tiny",
    "version": 4,
    "summary": "Finds one thing. [red]not markup[/red] \x1b[31mno escape",
    "recipe": Recipe(name="tiny", backbone=BackboneConfig(classes=2)),
    "labels": [{"id": 1, "name": "one", "color": "#ff0000", "code": "SCT:1"}],
    "spacing": (1.0, 1.5, 2.0),
    "data": {"name": "made up", "cases": 2, "licence": "CC0-1.0", "attribution": "Nobody"},
    "metrics": {"dice": 0.91234},
    "field_of_view": ((30.0, 40.0), (40.0, 50.5), (30.0, 40.0)),
}


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The user's library, empty; nothing ships."""
    (tmp_path / "shipped").mkdir()
    (tmp_path / "own").mkdir()
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv(zoo.LIBRARY_VARIABLE, str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture
def run(monkeypatch, places):
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer()
    app.command()(models)

    def invoke(*arguments, code=0):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output
        return result

    return invoke


@pytest.fixture
def tiny(places):
    save_model(places / "tiny", CARD, {"a": torch.ones(2)})
    return places / "tiny"


def test_nothing_there(run):
    assert "There is no model yet" in run().stdout
    assert json.loads(run("--json").stdout) == {"models": [], "broken": []}


@pytest.mark.usefixtures("tiny")
def test_the_list_names_what_a_person_chooses_by(run):
    listed = run().stdout
    for said in ("tiny", "4", "3-D, 1 × 1.5 × 2 mm", "one", "MB", "yours", "made up (2 cases, CC0-1.0)"):
        assert said in listed


def test_a_broken_folder_is_listed_with_its_problem(run, tiny):
    (tiny.parent / "broken").mkdir()
    assert "Cannot be used: broken. The model folder “broken” has no model.json." in run().stdout
    listed = json.loads(run("--json").stdout)
    assert [m["name"] for m in listed["models"]] == ["tiny"]
    assert [m["name"] for m in listed["broken"]] == ["broken"]


def test_json_holds_the_facts(run, tiny):
    entry = json.loads(run("--json").stdout)["models"][0]
    assert entry["digest"] == model_digest(tiny)
    assert entry["dimensions"] == 3
    assert entry["spacing_mm"] == [1.0, 1.5, 2.0]
    assert entry["shipped"] is False
    whole = json.loads(run("tiny", "--json").stdout)
    assert whole["card"]["recipe"]["backbone"]["classes"] == 2
    assert {key: whole[key] for key in entry} == entry


def test_one_card_is_shown_whole_and_plain(run, tiny):
    shown = run("tiny").stdout
    for said in ("version 4", "1 one #ff0000 SCT:1", "30 to 40 × 40 to 50.5 × 30 to 40 mm", "Nobody", "dice 0.9123"):
        assert said in shown
    assert "[red]not markup[/red]" in shown
    assert "\x1b" not in shown
    assert model_digest(tiny) in shown


@pytest.mark.usefixtures("tiny")
def test_an_unknown_name_is_an_error_that_lists_the_known(run):
    error = run("nothing", code=1).exception
    assert isinstance(error, WeightsError)
    assert "Known models: tiny" in str(error)
