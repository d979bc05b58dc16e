"""``napari-morse models export`` and ``import``, beside the list and the cards."""

from __future__ import annotations

import json
import sys

import pytest

from napari_morse.cli.main import main
from napari_morse.io.cards import model_digest
from napari_morse.zoo import moving
from tests.zoo.test_models_moved import brought, contents, made, own  # noqa: F401 (three are fixtures)

# ruff: noqa: F811 (fixtures)


@pytest.fixture
def cli(monkeypatch, capsys):
    """What a command prints, by its words; its exit code must be the one given."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words, code=0):
        monkeypatch.setattr(sys, "argv", ["napari-morse", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        out = capsys.readouterr()
        assert (left.value.code or 0) == code, out
        return out.err if code else out.out

    return run


def test_a_model_travels_by_commands(cli, brought, made, own, tmp_path):
    assert "“brought” was copied to" in cli("models", "export", brought, tmp_path / "out")
    assert contents(tmp_path / "out" / "brought") == made
    said = cli("models", "import", tmp_path / "out" / "brought", "--name", "mine")
    assert said == f"The model “mine” was imported into {own}.\n"
    again = cli("models", "import", brought)
    assert again == "This model is there already as “mine”; nothing was copied.\n"
    assert [m["name"] for m in json.loads(cli("models", "--json"))["models"]] == ["mine"]
    cli("models", "export", "mine", tmp_path / "out")
    assert contents(tmp_path / "out" / "mine") == made


def test_faults_are_one_plain_sentence(cli, brought, own, tmp_path):
    for words, said in (
        (("import", tmp_path / "gone"), "There is no model folder"),
        (("import", brought, "--name", "../up"), "cannot be the name of a model"),
        (("import", brought, "--name", "HIPPO-3D"), "ships with napari-morse"),
        (("export", "nothing", tmp_path), "There is no model “nothing”"),
        (("export", brought, brought.parent), "exists already and is not replaced"),
    ):
        error = cli("models", *words, code=2)
        assert error.startswith("Error: ")
        assert said in error
        assert error.count("\n") == 1


def test_listing_and_showing_stay_as_they_were(cli, brought, made, own):
    assert "There is no model yet" in cli("models")
    moving.import_model(brought, "mine")
    assert cli("models", "mine") == cli("models", "show", "mine")
    assert cli("models", "--json", "mine") == cli("models", "mine", "--json") == cli("models", "show", "mine", "--json")
    assert json.loads(cli("models", "mine", "--json"))["digest"] == model_digest(brought)
    assert "brought" in cli("models", brought)
    assert "Known models: mine" in cli("models", "nothing", code=2)
    helped = cli("models", "--help")
    assert all(word in helped for word in ("show", "export", "import", "--json"))


def test_a_model_that_is_named_as_a_command(cli, brought, own):
    moving.import_model(brought, "export")
    digest = model_digest(brought)
    for words in (("show", "export"), (own / "export",), ("--", "export")):
        assert digest in cli("models", *words)
    cli("models", "export", code=2)
