"""The package as others get it: light to import, whole in the wheel, its rooms apart."""

from __future__ import annotations

import ast
import email
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import npe2
import pytest

import napari_morse

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "napari_morse"
SCRIPTS = Path(sysconfig.get_path("scripts"))
HEAVY = ("torch", "monai", "qtpy", "PyQt5", "PyQt6", "PySide6", "napari", "vispy")


def run(*command, **options):
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(code, **options):
    return run(sys.executable, "-c", code, **options)


@pytest.mark.parametrize(
    "module", ["napari_morse", "napari_morse.cli", "napari_morse.cli.main", "napari_morse.contributions"]
)
def test_import_is_light(module):
    loaded = json.loads(python(f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"))
    assert module in loaded
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]


PREDICT = """
import sys
from napari_morse import zoo
from napari_morse.inference import Predictor
from napari_morse.io import open_scan
predictor = Predictor(zoo.load("hippocampus-3d"), "cpu")
predictor.set_scan(open_scan("sample_data/colin27_left_hippocampus.nii.gz"))
assert predictor.predict().rendered.data.any()
print(sorted({"torch._dynamo", "triton"} & set(sys.modules)))
"""


def test_predicting_loads_no_compiler():
    """Triton's LLVM crashes a process in which a window draws through Mesa's."""
    assert python(PREDICT, cwd=ROOT).strip() == "[]"


def test_import_is_quick():
    """Processor time, the best of five: a busy machine is not our doing."""
    code = "import time; t = time.process_time(); import napari_morse; print(time.process_time() - t)"
    assert min(float(python(code)) for _ in range(5)) < 0.05


def test_rooms_stay_apart():
    assert "0 broken" in run(SCRIPTS / "lint-imports", "--no-cache", cwd=ROOT)


def test_manifest_is_valid_from_elsewhere(tmp_path):
    assert "valid" in run(SCRIPTS / "npe2", "validate", "--imports", "napari-morse", cwd=tmp_path)


def test_manifest_offers_every_sample():
    manifest = npe2.PluginManifest.from_file(ROOT / "napari.yaml")
    samples = json.loads((ROOT / "sample_data" / "samples.json").read_text(encoding="utf-8"))
    assert {sample.key for sample in manifest.contributions.sample_data} == {sample["key"] for sample in samples}
    assert all((ROOT / "sample_data" / sample["file"]).is_file() for sample in samples)


def test_one_version():
    manifest = npe2.PluginManifest.from_distribution("napari-morse")
    assert manifest.package_version == distribution("napari-morse").version == napari_morse.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?", napari_morse.__version__)


def imported():
    """Top-level names that the package imports, its own aside."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"napari_morse"}


def test_what_is_declared_is_imported_and_the_other_way_round():
    def normal(name):
        return re.sub(r"[-_.]+", "-", name).lower()

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {normal(re.match(r"[\w.-]+", line).group()) for line in project["dependencies"]}
    names = packages_distributions()
    found = {normal(names[name][0]) for name in imported()}
    assert found | {"einops"} == declared  # MONAI's transformers need it and do not declare it


def test_every_test_that_the_readme_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(named) > 5
    missing = [
        f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert missing == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that users get: built from the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    assert len(list(folder.glob("*.tar.gz"))) == 1
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_is_whole(wheel):
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix in {".py", ".json", ".safetensors"}]
    wanted = {path.relative_to(ROOT).as_posix() for path in files}
    wanted |= {f"napari_morse/sample_data/{path.name}" for path in (ROOT / "sample_data").glob("*.*")}
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert len(names) == len(set(names))
        assert wanted <= set(names)
        assert archive.read("napari_morse/napari.yaml") == (ROOT / "napari.yaml").read_bytes()
        metadata = email.message_from_bytes(archive.read(next(n for n in names if n.endswith("/METADATA"))))
    assert metadata["License-Expression"] == "BSD-3-Clause AND CC-BY-SA-4.0"
    licences = metadata.get_all("License-File")
    assert sorted(licences) == ["LICENSE", "LICENSES/CC-BY-SA-4.0.txt", "LICENSES/NOTICE-weights.md"]
    assert all(any(name.endswith(f"licenses/{licence}") for name in names) for licence in licences)


def test_wheel_works_without_the_repository(wheel, tmp_path):
    """Unpacked and put first on the path, the wheel alone serves the manifest and the sample scans."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = (
        "import napari_morse, pathlib, npe2\n"
        "manifest = npe2.PluginManifest.from_distribution('napari-morse')\n"
        "manifest.validate_imports()\n"
        "folder = pathlib.Path(napari_morse.__file__).parent\n"
        "print(folder, (folder / 'sample_data' / 'colin27_t1.nii.gz').stat().st_size)"
    )
    folder, size = python(code, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)}).split()
    assert Path(folder) == site / "napari_morse"
    assert int(size) > 3_000_000
