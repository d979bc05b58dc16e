"""A user's own network: the example of the documentation, entry points, and what is said when it is missing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_morse import zoo
from napari_morse.config import BackboneConfig
from napari_morse.errors import InputError, WeightsError
from napari_morse.inference.rendering import segment
from napari_morse.io.weights import save_model
from napari_morse.model.backbones import make_backbone, register_backbone, registry
from napari_morse.model.losses import supervised_loss
from napari_morse.model.morse import Morse
from napari_morse.training.recipes import recipe_named

DOCUMENT = Path(__file__).parents[2] / "docs" / "backbones.md"
CHANGES = (
    "backbone.name=two-levels", "backbone.filters=[8,12]", "backbone.classes=2",
    "render.width=8", "render.head_width=8", "render.residual=false",
)  # fmt: skip


@pytest.fixture
def clean(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


@pytest.fixture
def example(clean):
    code = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL).group(1)
    exec(compile(code, str(DOCUMENT), "exec"), {"__name__": "example"})
    return code


def save(folder: Path, net: Morse) -> Path:
    dims = net.recipe.backbone.spatial_dims
    save_model(folder, {
        "name": "own", "recipe": net.recipe, "labels": [{"id": 1, "name": "it", "color": "#ff0000"}],
        "spacing": (1.0,) * dims, "slice_axis": "A" if dims == 2 else None,
        "data": {"name": "none", "cases": 0, "licence": "none"},
    }, net.tensors())  # fmt: skip
    return folder


def test_the_example_is_short(example):
    assert len([line for line in example.splitlines() if line.strip()]) <= 20


@pytest.mark.parametrize("dims", [2, 3], ids=lambda d: f"{d}d")
def test_the_example_trains_renders_saves_and_loads(example, dims, tmp_path):
    torch.manual_seed(0)
    net = Morse(recipe_named(f"default-{dims}d", CHANGES))
    image = torch.randn(1, 1, *(35, 51, 19)[:dims])
    loss = supervised_loss(net.coarse(image), torch.randint(0, 2, (1, *image.shape[2:])))
    loss.backward()
    assert torch.isfinite(loss) and all(p.grad is not None for p in net.backbone.parameters())
    stack = image[:, 0].numpy()
    loaded = zoo.load(save(tmp_path / "own", net.eval())).net
    one, two = (segment(each, stack, (1.0,) * dims, (1.0,) * dims) for each in (net, loaded))
    assert len(one.voxel_stack) and np.array_equal(one.logits, two.logits)


def test_a_model_whose_network_is_missing_says_so(example, tmp_path, monkeypatch):
    folder = save(tmp_path / "own", Morse(recipe_named("default-2d", CHANGES)))
    (folder.parent / "two-levels.py").write_text("raise AssertionError('imported')")
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.chdir(folder.parent)
    with pytest.raises(WeightsError, match=r"'two-levels' is neither installed .*'napari_morse.backbones'"):
        zoo.load(folder)
    with pytest.raises(InputError, match="register_backbone"):
        recipe_named("default-2d", CHANGES)


def install(folder: Path, package: str, module: str, code: str) -> None:
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[napari_morse.backbones]\ntwo-levels = {module}:TwoLevels\n")
    (folder / f"{module}.py").write_text(code)


@pytest.fixture
def installed(clean, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    before = set(sys.modules)
    yield tmp_path / "site"
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_an_installed_package_is_found_and_named(installed, tmp_path):
    code = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL).group(1)
    install(installed, "two-level-nets", "two_level_nets", code.replace("register_backbone(", "print("))
    recipe = recipe_named("default-2d", CHANGES)
    assert recipe.backbone.package == "two-level-nets"
    folder = save(tmp_path / "own", Morse(recipe))
    (installed / "two_level_nets-1.0.dist-info" / "entry_points.txt").unlink()
    with pytest.raises(WeightsError, match="Install the package 'two-level-nets'"):
        zoo.load(folder)


def test_two_packages_of_one_name_are_refused(installed):
    install(installed, "nets-a", "nets_a", "")
    install(installed, "nets-b", "nets_b", "")
    with pytest.raises(InputError, match="nets_a:TwoLevels and nets_b:TwoLevels"):
        make_backbone(BackboneConfig(name="two-levels"))


def test_a_package_that_cannot_be_imported_is_named(installed):
    install(installed, "nets-a", "nets_a", "import nothing_of_this_name")
    with pytest.raises(InputError, match=r"nothing_of_this_name.*reinstall the package 'nets-a'"):
        make_backbone(BackboneConfig(name="two-levels"))


@pytest.mark.parametrize(("name", "problem"), [("dynunet", "comes with"), ("My Net", "cannot be the name")])
def test_names_that_are_taken_or_odd_are_refused(clean, name, problem):
    with pytest.raises(InputError, match=problem):
        register_backbone(name, lambda config: None)


def test_a_factory_that_makes_something_else_is_refused(clean):
    register_backbone("odd", lambda config: torch.nn.Identity())
    with pytest.raises(InputError, match="makes a Identity, not a Backbone"):
        make_backbone(BackboneConfig(name="odd"))
