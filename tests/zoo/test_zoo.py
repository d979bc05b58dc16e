"""Models by name and by path; listing is light, and nothing broken hides the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from napari_morse import zoo
from napari_morse.config import BackboneConfig, Recipe, RenderConfig
from napari_morse.errors import WeightsError
from napari_morse.io.cards import CARD, WEIGHTS, model_digest
from napari_morse.io.weights import save_model
from napari_morse.model.morse import Morse

RECIPE = Recipe(
    name="tiny", backbone=BackboneConfig(filters=(2, 4, 4), classes=2), render=RenderConfig(width=4, head_width=4)
)


def write(folder, recipe=RECIPE, tensors=None, name="tiny"):
    torch.manual_seed(0)
    card = {
        "name": name,
        "recipe": recipe,
        "labels": [{"id": 1, "name": "one", "color": "#ff0000"}],
        "spacing": (1.0,) * recipe.backbone.spatial_dims,
        "slice_axis": "A" if recipe.backbone.spatial_dims == 2 else None,
        "data": {"name": "made up", "cases": 2, "licence": "CC0-1.0"},
    }
    return save_model(folder, card, Morse(recipe).tensors() if tensors is None else tensors)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Empty (shipped, own) places."""
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    shipped.mkdir()
    own.mkdir()
    monkeypatch.setattr(zoo, "SHIPPED", shipped)
    monkeypatch.setenv(zoo.LIBRARY_VARIABLE, str(own))
    return shipped, own


def test_shipped_models_come_first_by_name(places):
    shipped, own = places
    for folder in (own / "a", shipped / "z", shipped / "b"):
        write(folder)
    listed = zoo.available()
    assert [(m.name, m.shipped) for m in listed] == [("b", True), ("z", True), ("a", False)]
    assert listed[0].dims == 3
    assert listed[0].size == (shipped / "b" / WEIGHTS).stat().st_size
    assert zoo.broken() == []


def test_a_broken_folder_hides_nothing(places):
    shipped, own = places
    write(shipped / "good")
    (own / "no card").mkdir()
    (own / "junk").mkdir()
    (own / "junk" / CARD).write_text("{")
    (own / ".hidden").mkdir()
    (own / "file.txt").write_text("x")
    assert [m.name for m in zoo.available()] == ["good"]
    assert [m.name for m in zoo.broken()] == ["junk", "no card"]
    assert all(m.problem.endswith(".") for m in zoo.broken())
    with pytest.raises(WeightsError, match="not valid"):
        zoo.find("junk")


def test_a_shipped_name_cannot_be_taken(places):
    shipped, own = places
    write(shipped / "hippo")
    write(own / "hippo")
    assert [(m.name, m.shipped) for m in zoo.available()] == [("hippo", True)]
    assert zoo.find("hippo").folder == shipped / "hippo"
    assert "Rename" in zoo.broken()[0].problem


def test_names_are_case_sensitive_and_unknown_ones_list_the_known(places):
    write(places[1] / "Hippo")
    assert zoo.find("Hippo").name == "Hippo"
    for wrong in ("hippo", "HIPPO"):
        with pytest.raises(WeightsError, match=r"no model “.*”. Known models: Hippo"):
            zoo.find(wrong)


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_a_model_too(tmp_path, kind):
    write(tmp_path / "elsewhere")
    found = zoo.find(kind(tmp_path / "elsewhere"))
    assert (found.name, found.shipped) == ("elsewhere", False)


def test_a_name_wins_over_a_folder_in_the_working_directory(places, tmp_path, monkeypatch):
    write(places[1] / "mine")
    write(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert zoo.find("mine").folder == places[1] / "mine"
    assert zoo.find("./mine").folder.resolve() == tmp_path / "mine"


@pytest.mark.usefixtures("places")
def test_a_file_is_not_a_model(tmp_path):
    (tmp_path / "m.pth").write_bytes(b"PK")
    with pytest.raises(WeightsError, match="is a file, not a model folder"):
        zoo.find(tmp_path / "m.pth")


def test_no_library_yet(places, monkeypatch):
    monkeypatch.setenv(zoo.LIBRARY_VARIABLE, str(places[1] / "not yet"))
    assert zoo.available() == []
    monkeypatch.delenv(zoo.LIBRARY_VARIABLE)
    assert zoo.library().name == "models"
    assert zoo.library().parent.name == "napari-morse"


@pytest.mark.parametrize("dims", [2, 3])
def test_load_gives_the_network_back(places, dims):
    recipe = RECIPE.model_copy(
        update={
            "backbone": RECIPE.backbone.model_copy(update={"spatial_dims": dims}),
            "train": RECIPE.train.model_copy(update={"window": (16,) * dims}),
        }
    )
    write(places[1] / "m", recipe)
    model = zoo.load("m")
    saved = load_file(places[1] / "m" / WEIGHTS)
    assert model.card.recipe == recipe
    assert model.digest == model_digest(places[1] / "m")
    assert not model.net.training
    state = model.net.state_dict()
    assert state.keys() == saved.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in saved.items())
    buffers = dict(Morse(recipe).named_buffers())
    for name, buffer in model.net.named_buffers():
        assert not buffer.is_meta
        assert name in saved or torch.equal(buffer, buffers[name])


def test_what_find_gave_can_be_loaded(places):
    write(places[1] / "m")
    assert zoo.load(zoo.find("m")).info == zoo.find("m")


@pytest.mark.parametrize("change", ["missing", "unknown", "other width"])
def test_weights_of_another_architecture_are_refused(places, change):
    """Fault 31."""
    state = Morse(RECIPE).tensors()
    if change == "missing":
        state.pop(next(iter(state)))
    elif change == "unknown":
        state["backdoor"] = torch.ones(1)
    else:
        wider = RECIPE.model_copy(update={"render": RECIPE.render.model_copy(update={"head_width": 8})})
        state = Morse(wider).tensors()
    write(places[1] / "m", tensors=state)
    with pytest.raises(WeightsError, match="do not fit its network") as caught:
        zoo.load("m")
    assert "\n" not in str(caught.value)


def test_tampered_weights_are_refused_by_name(places):
    write(places[1] / "m")
    (places[1] / "m" / WEIGHTS).write_bytes(save({"a": torch.ones(2)}))
    assert zoo.available()[0].name == "m"  # the listing reads cards only
    with pytest.raises(WeightsError, match="damaged or were changed"):
        zoo.load("m")


def test_listing_loads_no_torch():
    code = (
        "import sys; from napari_morse import zoo; zoo.available(); zoo.broken();"
        "heavy = {'torch', 'monai', 'safetensors', 'napari', 'qtpy', 'nibabel', 'scipy'} & sys.modules.keys();"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
