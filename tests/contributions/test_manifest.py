"""What the manifest promises to napari."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from napari.layers import Layer
from napari.settings import NapariSettings
from npe2 import PluginManifest

from napari_morse.contributions import samples
from napari_morse.widgets import bridge as L
from napari_morse.widgets.base import shortcuts
from napari_morse.widgets.base.settings import KEYS_SECTION

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(ROOT / "napari.yaml")


def test_the_package_finds_the_manifest_at_the_top():
    assert (ROOT / "napari_morse" / "napari.yaml").samefile(ROOT / "napari.yaml")


def test_every_command_can_be_imported(manifest):
    assert manifest.contributions.commands
    manifest.validate_imports()


def test_every_sample_is_in_the_manifest_under_the_name_that_its_folder_gives(manifest):
    told = json.loads((files("napari_morse") / "sample_data" / "samples.json").read_text())
    offered = {s.key: s.display_name for s in manifest.contributions.sample_data}
    assert offered == {entry["key"]: entry["name"] for entry in told}


@pytest.mark.parametrize(
    ("open_sample", "shape"),
    [
        (samples.left_hippocampus, (40, 52, 36)),
        (samples.right_hippocampus, (40, 52, 36)),
        (samples.whole_head, (181, 217, 181)),
        (samples.coronal_slice, (1, 40, 36)),
    ],
)
def test_each_sample_opens_upright_and_in_mm(open_sample, shape):
    (layer_data,) = open_sample()
    layer = Layer.create(*layer_data)
    assert layer.data.shape == shape
    assert tuple(layer.scale) == (1, 1, 1)
    assert L.units_of(L.carrier_of(layer).scan) == "mm"


def test_left_and_right_samples_lie_on_their_sides():
    left, right = (
        f()[0][1]["metadata"][L.KEY].scan.grid for f in (samples.left_hippocampus, samples.right_hippocampus)
    )
    middle = [(g.affine @ [*(n / 2 for n in g.shape), 1])[0] for g in (left, right)]
    assert middle[0] < -10
    assert middle[1] > 10


def test_the_contributions_load_neither_torch_nor_qt():
    code = (
        "import sys\n"
        "from napari_morse.contributions import reader, samples, writer\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'monai', 'qtpy', 'PyQt6', 'napari', 'vispy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_a_sample_loads_no_torch():
    code = (
        "import sys\n"
        "from napari_morse.contributions.samples import left_hippocampus\n"
        "left_hippocampus()\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'monai', 'qtpy', 'PyQt6')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_keys_in_the_preferences_are_those_of_the_dock(manifest):
    group = manifest.contributions.configurations[KEYS_SECTION]
    assert {name: each.default for name, each in group.properties.items()} == shortcuts.DEFAULTS


def test_no_section_of_our_settings_has_a_name_of_napari(manifest):
    assert not set(manifest.contributions.configurations) & set(NapariSettings.model_fields)
