"""Models that travel as one folder: the same bytes there and back, whole or not at all, never over anything."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_morse import zoo
from napari_morse.errors import InputError, WeightsError
from napari_morse.inference import Predictor
from napari_morse.io.cards import CARD, WEIGHTS, model_digest
from napari_morse.io.weights import load_model, save_model
from napari_morse.zoo import moving
from tests.inference.test_inference import model, scan_of
from tests.nets import blob


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Files of a model that predicts, by name."""
    small, folder = model(), tmp_path_factory.mktemp("made") / "small"
    save_model(folder, small.card, small.net.tensors())
    return contents(folder)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The user's library, which is not there yet; one broken model ships."""
    (tmp_path / "shipped" / "Hippo-3d").mkdir(parents=True)
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv(zoo.LIBRARY_VARIABLE, str(tmp_path / "data" / "models"))
    return tmp_path / "data" / "models"


@pytest.fixture
def brought(made, own, tmp_path):
    """A model folder from elsewhere."""
    return put(tmp_path / "stick" / "brought", made)


def put(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def everything(folder):
    """Paths of all that lies in a folder, hidden or not."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def predicted(folder):
    predictor = Predictor(zoo.load(str(folder)))
    predictor.set_scan(scan_of(blob((16, 24, 16))))
    return predictor.predict().rendered.data


# --- there and back


def test_a_model_goes_out_and_in_byte_by_byte_and_predicts_the_same(brought, made, own, tmp_path):
    (brought / "notes.txt").write_text("not part of the model")
    out = moving.export_model(zoo.find(brought), tmp_path / "out" / "deep")
    assert out == tmp_path / "out" / "deep" / "brought"
    assert contents(out) == made
    info = moving.import_model(out, "mine")
    assert (info.name, info.folder, info.shipped) == ("mine", own / "mine", False)
    assert contents(own / "mine") == made
    assert everything(own) == ["mine", f"mine/{CARD}", f"mine/{WEIGHTS}"]
    assert zoo.load("mine").digest == model_digest(brought)
    assert zoo.find("mine").card.name == "small"  # the card is the original's
    mask = predicted(own / "mine")
    assert len(np.unique(mask)) > 1
    assert np.array_equal(mask, predicted(brought))


def test_the_folders_name_is_the_models_and_a_model_of_the_library_goes_out_by_name(
    brought, made, own, tmp_path, monkeypatch
):
    monkeypatch.chdir(brought)
    assert moving.import_model(".").name == "brought"
    (tmp_path / "out").mkdir()
    assert moving.export_model(zoo.find("brought"), str(tmp_path / "out")) == tmp_path / "out" / "brought"
    assert contents(tmp_path / "out" / "brought") == made


def test_a_folder_is_meant_even_where_a_model_has_its_name(brought, made, own, tmp_path, monkeypatch):
    moving.import_model(brought, "other")
    card = json.loads(made[CARD]) | {"version": 9}
    put(tmp_path / "other", made | {CARD: json.dumps(card).encode()})
    monkeypatch.chdir(tmp_path)
    assert moving.import_model("other", "newer").card.version == 9


def test_read_only_originals_give_copies_that_can_be_removed(brought, own):
    for path in brought.iterdir():
        path.chmod(0o444)
    copied = moving.import_model(brought).folder
    assert all(path.stat().st_mode & 0o200 for path in copied.iterdir())


# --- nothing is replaced


@pytest.mark.parametrize("kind", ["model", "empty", "file", "dangling"])
def test_export_replaces_nothing(brought, tmp_path, kind):
    out = tmp_path / "out"
    out.mkdir()
    there = out / "brought"
    if kind == "model":
        put(there, {CARD: b"precious"})
    elif kind == "empty":
        there.mkdir()
    elif kind == "file":
        there.write_text("precious")
    else:
        there.symlink_to(tmp_path / "nowhere")
    before = everything(out)
    with pytest.raises(InputError, match="exists already and is not replaced"):
        moving.export_model(zoo.find(brought), out)
    assert everything(out) == before
    assert kind != "model" or (there / CARD).read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_model_that_came_while_copying_is_not_replaced(brought, tmp_path, monkeypatch):
    real = moving._check_copy

    def late(*arguments):
        real(*arguments)
        put(tmp_path / "out" / "brought", {CARD: b"precious"})

    monkeypatch.setattr(moving, "_check_copy", late)
    with pytest.raises(InputError, match="exists already"):
        moving.export_model(zoo.find(brought), tmp_path / "out")
    assert everything(tmp_path / "out") == ["brought", f"brought/{CARD}"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hippo-3D", "ships with"),
        ("Mine", "in your library"),
        ("BROKEN", "in your library"),
        ("File", "in your library"),
    ],
)
def test_names_that_are_taken_in_any_case_are_refused(brought, own, name, said):
    own.mkdir(parents=True)
    (own / "mine").mkdir()
    (own / "broken").mkdir()
    (own / "file").write_text("x")
    before = everything(own)
    with pytest.raises(InputError, match=f"Another model named .* {said}.*another name"):
        moving.import_model(brought, name)
    assert everything(own) == before


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a\\b", ".hidden", "-x", "a b", "é", "a\n", "a" * 65])
def test_names_that_are_not_names_are_refused(brought, own, tmp_path, name):
    with pytest.raises(InputError, match="cannot be the name of a model"):
        moving.import_model(brought, name)
    assert everything(tmp_path / "stick") == ["brought", f"brought/{CARD}", f"brought/{WEIGHTS}"]
    assert not own.parent.exists()


def test_a_folder_whose_name_is_no_name_comes_in_under_another(made, own, tmp_path):
    folder = put(tmp_path / "my model", made)
    with pytest.raises(InputError, match=r"“my model” cannot.*--name"):
        moving.import_model(folder)
    assert moving.import_model(folder, "my-model").folder == own / "my-model"


# --- there already


@pytest.mark.parametrize("name", [None, "brought", "other"])
def test_the_same_model_is_not_copied_twice(brought, own, name):
    assert moving.present(brought) is None
    first = moving.import_model(brought)
    assert moving.present(brought) == first
    assert moving.import_model(brought, name) == first
    assert [m.name for m in zoo.available()] == ["brought"]


def test_a_shipped_model_is_there_already(brought, made, own, tmp_path):
    put(tmp_path / "shipped" / "ships", made)
    assert (moving.import_model(brought).name, moving.import_model(brought).shipped) == ("ships", True)
    assert not own.exists()


def test_a_damaged_one_that_is_there_is_named(brought, own):
    moving.import_model(brought, "mine")
    (own / "mine" / WEIGHTS).write_bytes(b"")
    with pytest.raises(WeightsError, match=r"already as “mine”, but its weights are damaged\. Remove the"):
        moving.import_model(brought)


def test_a_tampered_one_is_refused_even_where_the_true_one_is_there(brought, own):
    moving.import_model(brought)
    flip(brought / WEIGHTS)
    with pytest.raises(WeightsError, match="damaged or were changed"):
        moving.import_model(brought)


# --- what is not a model


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("way", ["import", "export"])
def test_tampered_weights_go_nowhere(brought, own, tmp_path, way):
    info = zoo.find(brought)
    flip(brought / WEIGHTS)
    with pytest.raises(WeightsError, match="damaged or were changed"):
        moving.import_model(brought) if way == "import" else moving.export_model(info, tmp_path / "out")
    assert not own.parent.exists()
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_not_imported(own, tmp_path):
    card = model().card.model_copy(update={"name": "other"})
    save_model(tmp_path / "other", card, {"a": torch.ones(2)})
    with pytest.raises(WeightsError, match="do not fit its network"):
        moving.import_model(tmp_path / "other")
    assert not own.parent.exists()


@pytest.mark.parametrize("linked", [CARD, WEIGHTS, "folder"])
def test_links_are_not_followed(brought, own, tmp_path, linked):
    folder = brought
    if linked == "folder":
        folder = tmp_path / "link"
        folder.symlink_to(brought)
    else:
        (brought / linked).rename(tmp_path / "real")
        (brought / linked).symlink_to(tmp_path / "real")
    with pytest.raises(WeightsError, match="is a link"):
        moving.import_model(folder)
    assert not own.parent.exists()


@pytest.mark.parametrize(
    ("name", "said"), [("model.zip", "is a file, not a model folder"), ("gone", "no model folder"), ("empty", "has no")]
)
def test_archives_and_other_folders_are_refused(own, tmp_path, name, said):
    (tmp_path / "model.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=said):
        moving.import_model(tmp_path / name)
    assert not own.parent.exists()


# --- whole or not at all


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("step", ["library", "part", WEIGHTS, CARD, "rename"])
def test_a_disk_that_fails_at_any_step_leaves_nothing(brought, own, tmp_path, monkeypatch, step, code):
    steps = {
        "library": (Path, "mkdir", lambda path, *_: path == own),
        "part": (Path, "mkdir", lambda path, *_: ".part-" in path.name),
        WEIGHTS: (Path, "write_bytes", lambda path, *_: path.suffix == ".safetensors"),
        CARD: (Path, "write_bytes", lambda path, *_: path.suffix == ".json"),
        "rename": (Path, "rename", lambda path, *_: ".part-" in path.name),
    }
    owner, function, hit = steps[step]
    real, hits = getattr(owner, function), []

    def failing(self, *arguments, **named):
        if hit(self):
            hits.append(self)
            raise OSError(code, os.strerror(code))
        return real(self, *arguments, **named)

    monkeypatch.setattr(owner, function, failing)
    before = everything(tmp_path)
    with pytest.raises(InputError, match=os.strerror(code)) as caught:
        moving.import_model(brought)
    assert hits
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("that you may write to.")
    assert everything(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_library_is_one_sentence(brought, own):
    own.mkdir(parents=True)
    own.chmod(0o555)
    try:
        with pytest.raises(InputError, match="could not be written to"):
            moving.import_model(brought)
        assert everything(own) == []
    finally:
        own.chmod(0o755)


def test_a_file_in_the_way_of_a_folder(brought, own, tmp_path):
    own.parent.write_text("a file")
    with pytest.raises(InputError, match="could not be written to"):
        moving.import_model(brought)
    with pytest.raises(InputError, match=r"“.*data” is not a folder\. Choose a folder"):
        moving.export_model(zoo.find(brought), own.parent)
    assert own.parent.read_text() == "a file"


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_copy_that_is_not_the_same_is_removed(brought, own, tmp_path, monkeypatch, name):
    """A disk that writes something else, or a model that is trained anew meanwhile."""
    real = moving.write_bytes

    def wrong(target, content):
        changed = content.replace(b'"small"', b'"Small"') if name == CARD else content[:-1] + b"x"
        assert changed != content or target.name != name
        return real(target, changed if target.name == name else content)

    monkeypatch.setattr(moving, "write_bytes", wrong)
    with pytest.raises(InputError, match="not the same as the original"):
        moving.import_model(brought)
    with pytest.raises(InputError, match="not the same as the original"):
        moving.export_model(zoo.find(brought), tmp_path / "out")
    assert not own.parent.exists()
    assert not (tmp_path / "out").exists()


def test_cancelling_leaves_nothing(brought, own, monkeypatch):
    def cancel(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(moving, "_check_copy", cancel)
    with pytest.raises(KeyboardInterrupt):
        moving.import_model(brought)
    assert not own.parent.exists()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal")
@pytest.mark.parametrize("killed_at", ["before the card", "before the name"])
def test_a_killed_copy_is_never_listed_and_goes_after_a_day(brought, own, killed_at):
    code = """if True:
        import os, pathlib, signal, sys
        from napari_morse.zoo import moving
        source, target, digest, killed_at = sys.argv[1:]
        real = moving.write_bytes
        def kill(*_):
            os.kill(os.getpid(), signal.SIGKILL)
        def write(path, content):
            return kill() if path.suffix == ".json" else real(path, content)
        if killed_at == "before the card":
            moving.write_bytes = write
        else:
            pathlib.Path.rename = kill
        moving._copy(pathlib.Path(source), pathlib.Path(target), digest)
    """
    words = [str(brought), str(own / "brought"), model_digest(brought), killed_at]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = own.iterdir()
    assert (left / WEIGHTS).is_file()
    assert zoo.available() == []
    assert [m.name for m in zoo.broken()] == ["Hippo-3d"]
    assert moving.present(brought) is None
    os.utime(left, (0, 0))
    assert load_model(moving.import_model(brought).folder)
    assert [path.name for path in own.iterdir()] == ["brought"]


def test_a_copy_under_way_elsewhere_is_left_alone(brought, own):
    (own / ".brought.part-00000000").mkdir(parents=True)
    moving.import_model(brought)
    assert sorted(path.name for path in own.iterdir()) == [".brought.part-00000000", "brought"]


def test_moving_is_light_until_it_is_called():
    code = (
        "import sys; from napari_morse.zoo import moving; from napari_morse.cli import models;"
        "heavy = {'torch', 'monai', 'safetensors', 'napari', 'qtpy', 'nibabel', 'scipy'} & sys.modules.keys();"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
