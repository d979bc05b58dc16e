"""Model folders: whole, exact, and nothing in them can run code (faults 29 to 32)."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from napari_morse.config import BackboneConfig, ModelCard, Recipe
from napari_morse.errors import InputError, WeightsError
from napari_morse.io import weights
from napari_morse.io.cards import CARD, WEIGHTS, model_digest, read_card
from napari_morse.io.weights import load_model, save_model


def fields(**changes):
    return {
        "name": "tiny",
        "recipe": Recipe(name="tiny", backbone=BackboneConfig(classes=3)),
        "labels": [{"id": 1, "name": "one", "color": "#ff0000"}, {"id": 2, "name": "two", "color": "#00ff00"}],
        "spacing": (1.0, 1.0, 1.0),
        "data": {"name": "made up", "cases": 2, "licence": "CC0-1.0"},
    } | changes


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "b.weight": torch.randn(3, 4, generator=generator),
        "a.weight": torch.randn(5, 2, generator=generator).T,  # not contiguous
        "count": torch.tensor(7),
    }


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "tiny", fields(), tensors())
    return tmp_path / "tiny"


def edit_card(folder, change):
    card = json.loads((folder / CARD).read_text())
    change(card)
    (folder / CARD).write_text(json.dumps(card))


def put_weights(folder, content):
    """Replace the weights and give the card their digest: damage that the digest does not tell."""
    (folder / WEIGHTS).write_bytes(content)
    edit_card(folder, lambda card: card.update(weights_sha256=hashlib.sha256(content).hexdigest()))


def refusal(folder):
    with pytest.raises(WeightsError) as caught:
        load_model(folder)
    error = caught.value
    assert error.message.count("\n") == 0
    assert error.message.endswith(".")
    assert error.hint.endswith(".")
    return error.message


# --- saving and loading


def test_what_is_saved_is_loaded(folder):
    card, loaded = load_model(folder)
    assert card == read_card(folder)
    assert card.weights_sha256 == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert loaded.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert torch.equal(loaded[name], tensor)
        assert loaded[name].dtype == tensor.dtype


def test_same_input_same_bytes(folder, tmp_path):
    save_model(tmp_path / "again", fields(), dict(reversed(tensors().items())))
    for name in (CARD, WEIGHTS):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert model_digest(folder) == model_digest(tmp_path / "again")


def test_the_digest_of_the_card_pins_the_weights(folder):
    before = model_digest(folder)
    save_model(folder, fields(), {"other": torch.ones(1)}, overwrite=True)
    assert model_digest(folder) != before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_are_stored_as_float32(tmp_path, dtype):
    save_model(tmp_path / "m", fields(), {"a": torch.ones(3, dtype=dtype)})
    assert load_file(tmp_path / "m" / WEIGHTS)["a"].dtype == torch.float32


def test_tensors_that_share_memory_are_saved_apart(tmp_path):
    base = torch.arange(6.0)
    save_model(tmp_path / "m", fields(), {"a": base, "b": base[2:]})
    _, loaded = load_model(tmp_path / "m")
    assert torch.equal(loaded["b"], base[2:])


def test_a_card_given_whole_keeps_its_fields_and_gets_the_digest(tmp_path):
    card = ModelCard.model_validate(fields(weights_sha256="0" * 64, version=3))
    written = save_model(tmp_path / "m", card, tensors())
    assert written.version == 3
    assert written.weights_sha256 != card.weights_sha256


def test_only_the_two_files_and_nothing_beside(folder):
    assert sorted(p.name for p in folder.iterdir()) == [CARD, WEIGHTS]
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]


# --- never half, never over


def test_a_model_is_not_overwritten_unless_asked(folder):
    before = (folder / WEIGHTS).read_bytes()
    with pytest.raises(WeightsError, match="exists already"):
        save_model(folder, fields(), {"other": torch.ones(1)})
    assert (folder / WEIGHTS).read_bytes() == before
    save_model(folder, fields(), {"other": torch.ones(1)}, overwrite=True)
    assert list(load_model(folder)[1]) == ["other"]
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "m").mkdir()
    save_model(tmp_path / "m", fields(), tensors())
    assert load_model(tmp_path / "m")[0].name == "tiny"


@pytest.mark.parametrize("other", ["scan.nii.gz", "notes"])
def test_a_folder_with_other_files_is_never_replaced(folder, other):
    (folder / other).write_text("precious")
    with pytest.raises(WeightsError, match="holds more than a model"):
        save_model(folder, fields(), tensors(), overwrite=True)
    assert (folder / other).read_text() == "precious"


def test_a_folder_that_is_no_model_is_never_replaced(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.txt").write_text("precious")
    with pytest.raises(WeightsError):
        save_model(tmp_path / "m", fields(), tensors(), overwrite=True)
    assert (tmp_path / "m" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_failure_at_any_step_leaves_the_old_model(folder, monkeypatch, step):
    """0: before anything moved; 1: while the old model moves away; 2: after it did."""
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    real, calls = Path.rename, []

    def failing(self, target):
        calls.append(self)
        if len(calls) == step:
            raise OSError(28, "No space left on device")
        return real(self, target)

    def full(*_):
        raise OSError(28, "No space left on device")

    if step:
        monkeypatch.setattr(Path, "rename", failing)
    else:
        monkeypatch.setattr(weights, "write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        save_model(folder, fields(), {"other": torch.ones(1)}, overwrite=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]


def test_what_a_killed_writer_left_is_swept_after_a_day(tmp_path):
    old, young = (tmp_path / f".tiny.part-{token}" for token in ("00000000", "11111111"))
    for left in (old, young):
        left.mkdir()
    os.utime(old, (0, 0))
    save_model(tmp_path / "tiny", fields(), tensors())
    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value):
    with pytest.raises(WeightsError, match="not finite"):
        save_model(tmp_path / "m", fields(), {"a": torch.tensor([1.0, value])})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes",
    [{"labels": []}, {"surprise": 1}, {"spacing": (1.0, 1.0)}, {"name": "../up"}],
    ids=["no labels", "unknown field", "2-D spacing", "path as a name"],
)
def test_a_wrong_card_is_not_saved(tmp_path, changes):
    with pytest.raises(WeightsError, match="card"):
        save_model(tmp_path / "m", fields(**changes), tensors())
    assert not list(tmp_path.iterdir())


def test_no_parent_folder(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        save_model(tmp_path / "none" / "m", fields(), tensors())


# --- 29: code in weights


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def test_the_payload_works_when_something_unpickles_it(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "canary")))
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("make", ["pickle", "torch"])
@pytest.mark.parametrize("digest", ["the old one", "its own"])
def test_a_pickle_renamed_is_refused_and_never_run(folder, tmp_path, make, digest):
    canary = tmp_path / "canary"
    if make == "pickle":
        content = pickle.dumps(Payload(canary))
    else:
        torch.save({"a": Payload(canary)}, tmp_path / "x.pt")
        content = (tmp_path / "x.pt").read_bytes()
    if digest == "its own":
        put_weights(folder, content)
        assert "no tensor file" in refusal(folder)
    else:
        (folder / WEIGHTS).write_bytes(content)
        assert "digest" in refusal(folder)
    assert not canary.exists()


def test_a_pickle_as_the_card_is_refused_and_never_run(folder, tmp_path):
    canary = tmp_path / "canary"
    (folder / CARD).write_bytes(pickle.dumps(Payload(canary)))
    assert "not valid" in refusal(folder)
    assert not canary.exists()


# --- 30: damage, told before loading


@pytest.mark.parametrize("damage", ["truncated", "0 bytes", "bit flipped", "appended"])
def test_damaged_weights_are_told_by_their_digest_before_loading(folder, monkeypatch, damage):
    content = bytearray((folder / WEIGHTS).read_bytes())
    if damage == "bit flipped":
        content[-3] ^= 4
    content = {"truncated": content[: len(content) // 2], "0 bytes": b"", "appended": content + b"x"}.get(
        damage, content
    )
    (folder / WEIGHTS).write_bytes(bytes(content))

    def loaded(_):
        pytest.fail("the damaged file was loaded")

    monkeypatch.setattr(weights, "load", loaded)
    assert "digest" in refusal(folder)


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, b"\xff" * 64, b"{}", b"\x02" + b"\x00" * 7 + b"{}junk"])
def test_junk_with_a_matching_digest_is_no_tensor_file(folder, content):
    put_weights(folder, content)
    assert "no tensor file" in refusal(folder)


def test_every_bit_of_the_card_is_checked_or_harmless(folder):
    """A flipped bit gives a refusal, or another card that is valid in every field: never another kind of error."""
    content = (folder / CARD).read_bytes()
    refused = 0
    for place in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        (folder / CARD).write_bytes(bytes(flipped))
        try:
            read_card(folder)
        except WeightsError:
            refused += 1
    assert refused > len(range(0, len(content), 7)) / 2


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert name in refusal(folder)


def test_files_above_the_limit_are_not_read(folder, monkeypatch):
    monkeypatch.setattr(weights, "WEIGHTS_LIMIT", 10)
    assert "larger than" in refusal(folder)
    (folder / CARD).write_bytes(b" " * 1_000_001)
    assert "larger than 1 MB" in refusal(folder)


def test_reading_a_model_takes_no_more_memory_than_its_files(folder):
    size = (folder / WEIGHTS).stat().st_size
    read_card(folder)
    tracemalloc.start()
    try:
        load_model(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * size + 1_000_000, f"{peak / 1e6:.1f} MB for {size / 1e6:.3f} MB of weights"


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_file_that_grows_while_it_is_read_is_refused(folder, monkeypatch, name):
    look, file = os.fstat, folder / name

    def growing(handle):
        found = look(handle)
        if os.path.samestat(found, file.stat()):
            with file.open("ab") as other:
                other.write(b" " * 50_000)
        return found

    monkeypatch.setattr(os, "fstat", growing)
    said = refusal(folder)
    assert name in said and "grew while it was read" in said


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_plain_file_is_not_waited_for(folder, name, kind):
    (folder / name).unlink()
    (folder / name).mkdir() if kind == "folder" else os.mkfifo(folder / name)
    assert "no plain file" in refusal(folder)


def test_a_pipe_put_in_place_after_the_look_is_not_waited_for(folder, monkeypatch):
    looked = Path.lstat

    def swapped(path):
        found = looked(path)
        if path.name == CARD and path.is_file():
            path.unlink()
            os.mkfifo(path)
        return found

    monkeypatch.setattr(Path, "lstat", swapped)
    assert "no plain file" in refusal(folder)


# --- 31: another architecture, missing keys, NaN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("labels"), "labels"),
        (lambda c: c.update(surprise=1), "surprise"),
        (lambda c: c.update(version="1"), "version"),  # strict: text is no number
        (lambda c: c.update(format="zip"), "format"),
        (lambda c: c["labels"][0].update(id=0), "labels"),
        (lambda c: c["labels"][0].update(id=2), "two labels have one id"),
        (lambda c: c["labels"].pop(), "1 labels"),
        (lambda c: c.update(channels=["a", "b"]), "2 channels"),
        (lambda c: c["recipe"]["backbone"].update(in_channels=2), "1 channels"),
        (lambda c: c["recipe"]["train"].update(window=[48, 48]), "window"),
        (lambda c: c.update(spacing=[1.0, 1.0, 0.0]), "spacing"),
        (lambda c: c.update(spacing=[1.0, 1.0, float("nan")]), "spacing"),
        (lambda c: c.update(slice_axis="A"), "slice axis"),
        (lambda c: c["recipe"]["backbone"].update(name="no/such"), "recipe.backbone.name"),
        (lambda c: c.update(weights_sha256="x"), "weights_sha256"),
    ],
)
def test_a_wrong_card_is_refused_in_one_sentence(folder, change, said):
    edit_card(folder, change)
    assert said in refusal(folder)


def test_a_format_of_the_future_says_so(folder):
    edit_card(folder, lambda card: card.update(format_version=2))
    with pytest.raises(WeightsError, match="Update napari-morse"):
        load_model(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"a":', b"\xff\xfe", b"[" * 100_000])
def test_a_card_that_is_no_card(folder, content):
    (folder / CARD).write_bytes(content)
    assert "not valid" in refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(folder, value):
    put_weights(folder, save({"a": torch.tensor([1.0, value])}))
    assert "not finite" in refusal(folder)


@pytest.mark.parametrize("name", ["m.zip", "m.pt", "m.pth", "m.safetensors"])
def test_archives_and_files_are_not_opened(tmp_path, folder, name):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.write(folder / CARD, "../escaped.json")
    assert "is a file, not a model folder" in refusal(tmp_path / name)
    assert not (tmp_path.parent / "escaped.json").exists()


def test_an_archive_as_the_weights_is_refused(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("../../escaped", "x")
    put_weights(folder, (tmp_path / "x.zip").read_bytes())
    assert "no tensor file" in refusal(folder)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_link_out_of_the_folder_is_not_followed(folder, tmp_path, name):
    outside = tmp_path / "outside"
    shutil.move(folder / name, outside)
    (folder / name).symlink_to(outside)
    assert "link" in refusal(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are POSIX")
def test_a_pipe_does_not_hang(folder):
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)
    assert "no plain file" in refusal(folder)


def test_no_folder(tmp_path):
    assert "There is no model folder" in refusal(tmp_path / "none")
