"""One scan under two names, and one person, never trains and judges: in every way to learn, and in projects."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from napari_morse import zoo
from napari_morse.cli.main import main
from napari_morse.config import Tuned
from napari_morse.errors import CancelledError, InputError
from napari_morse.io import cards, open_scan, save_mask, voxels
from napari_morse.io.voxels import same_scans, scan_digest, voxel_digest
from napari_morse.session.project import CaseFiles, Project, from_folders
from napari_morse.training.card import Purpose
from napari_morse.training.cases import pair_files, split_cases
from napari_morse.training.finetuning.from_scratch import NewRun
from napari_morse.training.finetuning.plan import check_apart
from napari_morse.training.finetuning.round import TuningRun
from napari_morse.training.from_folders import TrainingRun
from napari_morse.types import Mask
from tests.nets import small_recipe
from tests.tuning_cases import SHAPE, plan_of, save_case, save_small_model

Way = Callable[[nib.Nifti1Image, Path], None]


def plain(image: nib.Nifti1Image, path: Path) -> None:
    nib.save(image, path)


def described(image: nib.Nifti1Image, path: Path) -> None:
    header = image.header.copy()
    header["descrip"] = b"exported once more"
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, header), path)


def as_float64(image: nib.Nifti1Image, path: Path) -> None:
    nib.save(nib.Nifti1Image(image.get_fdata(), image.affine), path)


def scaled(image: nib.Nifti1Image, path: Path) -> None:
    """As `nib.save` does it where a header of integers is given floats: a slope is made up, and voxels are rounded."""
    nib.save(nib.Nifti1Image(image.get_fdata(), image.affine, image.header), path)
    assert nib.load(path).dataobj.slope != 1


def turned(image: nib.Nifti1Image, path: Path) -> None:
    way = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt("PSL"))
    data = apply_orientation(np.asanyarray(image.dataobj), way)
    nib.save(nib.Nifti1Image(np.ascontiguousarray(data), image.affine @ inv_ornt_aff(way, image.shape)), path)


def elsewhere(image: nib.Nifti1Image, path: Path) -> None:
    affine = np.diag([-0.7, 1.2, 2.0, 1.0])
    affine[:3, 3] = 40
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), affine), path)


def big_endian(image: nib.Nifti1Image, path: Path) -> None:
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, nib.Nifti1Header(endianness=">")), path)


WAYS: dict[str, tuple[str, Way]] = {
    "renamed": (".nii.gz", plain), "unpacked": (".nii", plain), "described": (".nii.gz", described),
    "float64": (".nii.gz", as_float64), "scaled": (".nii.gz", scaled), "turned": (".nii.gz", turned),
    "elsewhere": (".nii", elsewhere), "big-endian": (".nii.gz", big_endian),
}  # fmt: skip


def integers(seed: int, shape: tuple[int, int, int] = SHAPE) -> nib.Nifti1Image:
    rng = np.random.default_rng(seed)
    grades = np.linspace(0, 900, shape[0])[:, None, None]
    return nib.Nifti1Image((rng.integers(0, 3000, shape) + grades).astype(np.int16), np.eye(4))


def folders(root: Path, count: int, way: str, twin_of: int = 0, name: str = "zz") -> tuple[Path, Path]:
    """Scans ``c0`` … with labels, and once more the first one, in another way, as ``zz``."""
    images, labels = root / "images", root / "labels"
    for place in (images, labels):
        place.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        _with_labels(integers(number), images / f"c{number}.nii.gz", labels, plain)
    ending, write = WAYS[way]
    _with_labels(integers(twin_of), images / f"{name}{ending}", labels, write)
    return images, labels


def _with_labels(image: nib.Nifti1Image, path: Path, labels: Path, write: Way) -> None:
    write(image, path)
    scan = open_scan(path)
    data = np.asarray(scan.data) > np.median(scan.data)
    save_mask(Mask(data.astype(np.uint8), scan.grid), labels / f"{path.name.partition('.')[0]}.nii.gz")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["napari-morse", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        out = capsys.readouterr()
        return int(left.value.code or 0), " ".join((out.out + out.err).split())

    return call


# train


def training(root: Path, images: Path, labels: Path, splits: dict[str, list[str]] | None, seed: int = 0) -> TrainingRun:
    written = None
    if splits is not None:
        written = root / "splits.json"
        written.write_text(json.dumps(splits))
    return TrainingRun(
        (images, labels), written, small_recipe().model_copy(
            update={"backbone": small_recipe().backbone.model_copy(update={"classes": 2})}
        ), seed, None, None, None, None, Purpose("tiny", "", "noise", "CC0-1.0", ""), root / "tiny.run",
    )  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_train_refuses_a_scan_that_its_lists_put_on_both_sides(tmp_path: Path, way: str) -> None:
    images, labels = folders(tmp_path, 3, way)
    run = training(tmp_path, images, labels, {"train": ["c0", "c1"], "val": ["c2", "zz"]})
    with pytest.raises(InputError, match=r"“c0\.nii\.gz” .* “zz\.nii.* same scan under two names"):
        run.engine(resume=False)
    assert not (tmp_path / "tiny.run").exists()
    training(tmp_path, images, labels, {"train": ["c0", "zz"], "val": ["c2"]}).engine(resume=False)


@pytest.mark.parametrize("seed", range(6))
def test_train_keeps_both_names_on_one_side_and_says_so(tmp_path: Path, seed: int) -> None:
    images, labels = folders(tmp_path, 4, "scaled")
    said: list[str] = []
    run = training(tmp_path, images, labels, None, seed)
    run.say = said.append
    run.engine(resume=False)
    trained, judges = ({case.stem for case in part} for part in (run.train, run.val))
    assert not trained & judges and len(trained | judges) == 5 and len(trained) >= 3
    assert ({"c0", "zz"} <= trained) or ({"c0", "zz"} <= judges)
    assert len(said) == 1 and "“c0.nii.gz” and “zz.nii.gz” are the same scan under two names" in said[0]


def test_the_split_of_cases_that_have_nothing_in_common_is_the_one_that_it_was(tmp_path: Path) -> None:
    for number in range(7):
        save_case(tmp_path, number)
    pairs = pair_files(tmp_path / "images", tmp_path / "labels")
    for seed in range(5):
        stems = sorted(pairs)
        np.random.default_rng(seed).shuffle(stems)
        split = split_cases(pairs, None, seed)
        assert [p for p, _ in split.val] == [pairs[s][0] for s in sorted(stems[:1])]


def test_train_keeps_the_scans_of_a_subject_on_one_side(tmp_path: Path) -> None:
    for number in range(8):
        save_case(tmp_path, number)
        for place in ("images", "labels"):
            old = tmp_path / place / f"case{number}.nii.gz"
            old.rename(tmp_path / place / f"sub-CON-0{number // 2}_ses-{number % 2}_T1w.nii.gz")
    pairs = pair_files(tmp_path / "images", tmp_path / "labels")
    for seed in range(8):
        split = split_cases(pairs, None, seed)
        sides = [{p.name.partition("_")[0] for p, _ in part} for part in (split.train, split.val)]
        assert not sides[0] & sides[1] and len(sides[0]) == 3 and len(split.val) == 2
    written = tmp_path / "splits.json"
    stems = sorted(pairs)
    written.write_text(json.dumps({"train": stems[:3], "val": stems[3:]}))
    with pytest.raises(InputError, match=r"sub-CON-01.*both"):
        split_cases(pairs, written, 0)
    written.write_text(json.dumps({"train": stems[:4], "val": stems[4:]}))
    assert len(split_cases(pairs, written, 0).val) == 4
    only = {stem: pair for stem, pair in pairs.items() if stem.startswith("sub-CON-00")}
    with pytest.raises(InputError, match="one patient"):
        split_cases(only, None, 0)


# finetune and rounds


@pytest.mark.parametrize("way", WAYS)
def test_a_round_refuses_a_scan_on_both_sides_whatever_its_file(tmp_path: Path, way: str) -> None:
    plan = plan_of(tmp_path / "p")
    images, labels = folders(tmp_path, 3, way)
    ending = WAYS[way][0]

    def source(name: str, scan: str) -> object:
        return plan.train[0].model_copy(
            update={"name": name, "scan": images / scan, "labels": labels / f"{scan.partition('.')[0]}.nii.gz"}
        )

    first, other, twin = source("first", "c0.nii.gz"), source("other", "c1.nii.gz"), source("twin", f"zz{ending}")
    bad = plan.model_copy(update={"train": (first, other), "held_out": (twin,)})
    card = cards.read_card(Path(plan.model))
    for base in (card, None):
        with pytest.raises(InputError, match=r"first.*twin.*cannot be trained on"):
            check_apart(bad, base)
    new = bad.model_copy(update={"model": "", "anew": {}, "new_labels": card.labels})
    for kind in (TuningRun, NewRun):
        with pytest.raises(InputError, match="cannot be trained on"):
            kind(bad if kind is TuningRun else new, tmp_path / "run").run()
    check_apart(plan.model_copy(update={"train": (first, twin), "held_out": (other,)}), card)


@pytest.mark.parametrize("way", ["unpacked", "scaled", "turned"])
def test_what_judged_once_never_trains_later_under_another_file(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str]]
) -> None:
    monkeypatch.setenv("NAPARI_MORSE_MODELS", str(tmp_path / "library"))
    save_small_model(tmp_path / "library" / "small")
    images, labels = folders(tmp_path, 4, way, twin_of=3)
    (hold := tmp_path / "hold.txt").write_text("c3\n")
    words = ["finetune", "--images", images, "--labels", labels, "--holdout", hold, "--steps", 2]
    code, said = command(*words, "--model", "small", "--out", tmp_path / "one")
    assert code == 2 and "zz" in said and "c3" in said and "cannot be trained on" in said
    twin = next(images.glob("zz.*"))
    twin.rename(tmp_path / twin.name)
    (tmp_path / "one.run").rename(tmp_path / "other.run")
    assert command(*words, "--model", "small", "--out", tmp_path / "one")[0] == 0
    (tmp_path / twin.name).rename(twin)
    (images / "c3.nii.gz").unlink()
    hold.write_text("c1\n")
    code, said = command(*words, "--model", tmp_path / "one", "--out", tmp_path / "two")
    assert code == 2 and "zz" in said and "cannot be trained on" in said


def test_a_card_of_an_older_version_protects_by_the_files_that_it_knows(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    card = cards.read_card(Path(plan.model))
    older = [hashlib.sha256(source.scan.read_bytes()).hexdigest() for source in (*plan.train, *plan.held_out)]
    for trained, held in (((), (older[0],)), ((older[3],), ())):
        told = Tuned(parent="x", settings={}, trained=trained, held_out=held)
        with pytest.raises(InputError, match="cannot"):
            check_apart(plan, card.model_copy(update={"tuned": told}))
    told = Tuned(parent="x", settings={}, trained=tuple(older[:3]), held_out=tuple(older[3:]))
    trained, held = check_apart(plan, card.model_copy(update={"tuned": told}))
    assert len(trained) == 3 and len(held) == 2  # the same cases, known in one way


def test_a_scan_is_not_left_out_of_its_own_twin(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "p", train=3, held=0)
    twin = tmp_path / "twin.nii"
    nib.save(nib.load(plan.train[0].scan), twin)
    sources = (*plan.train, plan.train[0].model_copy(update={"name": "twin", "scan": twin}))
    told = plan.model_copy(update={"train": sources, "leave_one_out": True})
    TuningRun(told, tmp_path / "run").run()
    card = zoo.find(tmp_path / "run" / "left-out" / "case0" / "model").card
    assert card.tuned is not None and len(card.tuned.trained) == 2


def test_every_fifth_patient_takes_all_names_of_a_scan_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str]]
) -> None:
    monkeypatch.setenv("NAPARI_MORSE_MODELS", str(tmp_path / "library"))
    save_small_model(tmp_path / "library" / "small")
    images, labels = folders(tmp_path, 6, "scaled", twin_of=4)
    code, said = command("finetune", "--images", images, "--labels", labels, "--steps", 2, "--model", "small",
                         "--out", tmp_path / "new")  # fmt: skip
    assert code == 0 and "“c4.nii.gz” and “zz.nii.gz” are the same scan under two names" in said
    plan = json.loads((tmp_path / "new.run" / "plan.json").read_text())
    assert {source["name"] for source in plan["held_out"]} == {"c4", "zz"}


# Projects


def sides(project: Project) -> dict[str, bool]:
    return {case.stem: case.held_out for case in project.cases()}


@pytest.mark.parametrize("way", WAYS)
def test_a_project_holds_out_a_scan_under_all_of_its_names(
    tmp_path: Path, way: str, command: Callable[..., tuple[int, str]]
) -> None:
    images, _ = folders(tmp_path, 3, way)
    for number in range(8):
        code, said = command("project", "new", tmp_path / f"s{number}", "--scans", images, "--reader", "AB",
                             "--holdout", 0.5)  # fmt: skip
        assert code == 0 and "“c0.nii.gz” and “zz" in said and "same scan under two names" in said
        with Project.open(tmp_path / f"s{number}", read_only=True) as project:
            found = sides(project)
        assert found["c0"] == found["zz"] and 1 <= sum(found.values()) <= 3


def test_a_scan_that_is_added_later_goes_to_the_side_of_its_other_name(tmp_path: Path) -> None:
    images, _ = folders(tmp_path, 6, "renamed")
    (images / "zz.nii.gz").unlink()
    more = tmp_path / "more"
    more.mkdir()
    for number in range(6):
        scaled(integers(number), more / f"again{number}.nii.gz")
    for share in (0.2, 0.5, 0.8):
        with Project.create(
            tmp_path / f"s{share}", from_folders(images), name="s", reader="AB", holdout_share=share
        ) as project:
            before = sides(project)
            assert not project.duplicate_notices
            project.add_cases(from_folders(more))
            after = sides(project)
            assert before.items() <= after.items()
            assert all(after[f"again{n}"] == after[f"c{n}"] for n in range(6)) and len(project.duplicate_notices) >= 3


def test_a_scan_of_two_patients_who_are_on_two_sides_already_is_refused(tmp_path: Path) -> None:
    images, _ = folders(tmp_path, 4, "renamed")
    (images / "zz.nii.gz").unlink()
    found = [CaseFiles(p, patient=f"P{k}") for k, p in enumerate(sorted(images.iterdir()))]
    with Project.create(tmp_path / "study", found, name="s", reader="AB", holdout_share=0.5) as project:
        held = next(case for case in project.cases() if case.held_out)
        kept = next(case for case in project.cases() if not case.held_out)
        scaled(integers(int(held.stem[1:])), tmp_path / "again.nii.gz")
        before = sides(project)
        with pytest.raises(InputError, match=rf"“again\.nii\.gz” .*“{held.stem}\.nii\.gz”.*{kept.patient}"):
            project.add_cases([CaseFiles(tmp_path / "again.nii.gz", patient=kept.patient)])
        assert sides(project) == before
        project.add_cases([CaseFiles(tmp_path / "again.nii.gz", patient=held.patient)])


def test_a_project_of_an_older_version_knows_its_scans_too(tmp_path: Path) -> None:
    images, _ = folders(tmp_path, 4, "renamed")
    (images / "zz.nii.gz").unlink()
    with Project.create(tmp_path / "study", from_folders(images), name="s", reader="AB", holdout_share=0.5) as made:
        before = sides(made)
        made._connection.execute("DELETE FROM state WHERE name LIKE 'voxels:%'")
    more = tmp_path / "more"
    more.mkdir()
    for number in range(4):
        plain(integers(number), more / f"again{number}.nii")
    with Project.open(tmp_path / "study", reader="AB") as project:
        project.add_cases(from_folders(more))
        after = sides(project)
        assert before.items() <= after.items() and all(after[f"again{n}"] == after[f"c{n}"] for n in range(4))


def test_scans_without_contrast_and_files_that_are_none_are_no_twins(tmp_path: Path) -> None:
    for name, value in (("a", 0), ("b", 0), ("c", 7)):
        nib.save(nib.Nifti1Image(np.full((4, 5, 6 + value), value, np.int16), np.eye(4)), tmp_path / f"{name}.nii.gz")
    (tmp_path / "a.nii.gz").write_bytes((tmp_path / "a.nii.gz").read_bytes())
    described(nib.load(tmp_path / "b.nii.gz"), tmp_path / "d.nii.gz")
    (tmp_path / "e.nii.gz").write_bytes(b"no scan")
    with Project.create(tmp_path / "study", from_folders(tmp_path), name="s", reader="AB") as project:
        assert not any("“d.nii.gz”" in text or "“e.nii.gz”" in text for text in project.duplicate_notices)


# People


PEOPLE = [f"sub-{group}-{number:02d}" for group in ("CON", "PAT") for number in range(1, 7)]


def test_twelve_people_are_twelve_in_a_project(tmp_path: Path, command: Callable[..., tuple[int, str]]) -> None:
    for number, person in enumerate(PEOPLE):
        for visit in (1, 2):
            path = tmp_path / "bids" / person / f"ses-{visit}" / "anat" / f"{person}_ses-{visit}_T1w.nii.gz"
            path.parent.mkdir(parents=True)
            nib.save(integers(10 * number + visit, (4, 5, 6)), path)
    code, said = command("project", "new", tmp_path / "study", "--bids", tmp_path / "bids", "--reader", "AB",
                         "--holdout", 0.25)  # fmt: skip
    assert code == 0 and "24 cases of 12 patients; 3 patients are held out." in said
    with Project.open(tmp_path / "study", read_only=True) as project:
        assert {case.patient for case in project.cases()} == set(PEOPLE)


def test_twelve_people_are_twelve_in_finetune(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str]]
) -> None:
    monkeypatch.setenv("NAPARI_MORSE_MODELS", str(tmp_path / "library"))
    save_small_model(tmp_path / "library" / "small")
    for number, person in enumerate(PEOPLE):
        source = save_case(tmp_path, number)
        for path in (source.scan, source.labels):
            path.rename(path.with_name(f"{person}_T1w.nii.gz"))
    code, said = command("finetune", "--images", tmp_path / "images", "--labels", tmp_path / "labels", "--steps", 2,
                         "--model", "small", "--out", tmp_path / "new")  # fmt: skip
    assert code == 0, said
    plan = json.loads((tmp_path / "new.run" / "plan.json").read_text())
    assert {source["patient"] for source in plan["train"] + plan["held_out"]} == set(PEOPLE)
    assert len(plan["held_out"]) == 2


def test_scans_of_several_names_are_said() -> None:
    a, b, c = (Path("d") / name for name in "abc")
    assert same_scans([a, b, c], ["1", "2", ""]) == []
    assert same_scans([a, b, c], ["1", "1", "1"]) == ["“a”, “b” and “c” are the same scan under three names"]
    same = [Path("x/sub-1/anat/T1w.nii"), Path("x/sub-2/anat/T1w.nii")]
    assert "“sub-1/anat/T1w.nii” and “sub-2/anat/T1w.nii”" in same_scans(same, ["1", "1"])[0]
    many = same_scans([Path(f"{n}{m}") for n in range(5) for m in "xy"], [str(n) for n in range(5) for _ in "xy"])
    assert len(many) == 4 and many[3] == "2 more scans are there under several names"


# What a scan is known by


@given(
    arrays(np.int16, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(-3000, 3000)),
    st.permutations(range(3)), st.tuples(*[st.sampled_from([1, -1])] * 3), st.sampled_from("CF"),
)  # fmt: skip
def test_no_order_of_voxels_and_no_type_makes_another_scan(data, order, steps, memory) -> None:
    known = voxel_digest(data)
    turned = np.array(data.transpose(order)[tuple(slice(None, None, step) for step in steps)], order=memory)
    assert (
        known == voxel_digest(turned) == voxel_digest(turned.astype(np.float64)) == voxel_digest(turned.astype(">i4"))
    )
    assert (known == "") == (data.min() == data.max())


@given(arrays(np.float32, (3, 4, 5), elements=st.floats(-(2.0**99), 2.0**99, width=32)), st.integers(0, 59), st.data())
def test_another_voxel_makes_another_scan(data, place, drawn) -> None:
    other = data.copy()
    value = drawn.draw(st.floats(-(2.0**99), 2.0**99, width=32).filter(lambda v: abs(v - other.flat[place]) > 1))
    other.flat[place] = value
    assert voxel_digest(data) != voxel_digest(other) or voxel_digest(data) == ""


def test_crops_shifts_and_other_intensities_are_other_scans_and_odd_values_are_none() -> None:
    data = np.random.default_rng(0).normal(100, 20, (70, 66, 40)).astype(np.float32)
    others = [
        data,
        data[1:],
        data + 1,
        data * 2,
        np.roll(data, 1, 0),
        np.roll(data, 3, 2),
        np.pad(data, 1),
        data.round(1),
    ]
    assert len({voxel_digest(each) for each in others}) == len(others)
    odd = data.copy()
    odd[3, 4, 5], odd[6, 7, 8], odd[9, 9, 9] = np.nan, np.inf, 0.0
    again = odd.astype(np.float64)
    again[3, 4, 5], again[9, 9, 9] = -np.float64("nan"), -0.0
    assert voxel_digest(odd) == voxel_digest(again) != voxel_digest(data)


def test_fractions_in_a_narrow_range_are_not_rounded_into_one_scan() -> None:
    rng = np.random.default_rng(0)
    share = rng.random((8, 9, 10)).astype(np.float32) * 0.04
    assert voxel_digest(share) != voxel_digest(share[::-1, :, :] + rng.random((8, 9, 10)).astype(np.float32) * 0.04)
    near = np.rint(rng.random((8, 9, 10)) * 900)
    assert voxel_digest(near) == voxel_digest(near + rng.uniform(-0.06, 0.06, near.shape))
    assert voxel_digest(near) != voxel_digest(near + rng.uniform(-0.4, 0.4, near.shape))


def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain(integers(0), tmp_path / "a.nii.gz")
    opened, real = [], voxels.open_scan
    monkeypatch.setattr(voxels, "open_scan", lambda path, **more: opened.append(path) or real(path, **more))
    first = scan_digest(tmp_path / "a.nii.gz")
    assert scan_digest(tmp_path / "a.nii.gz") == first and len(opened) == 1
    plain(integers(1), tmp_path / "a.nii.gz")
    assert scan_digest(tmp_path / "a.nii.gz") != first and len(opened) == 2


def test_several_images_of_a_case_are_known_together_in_any_order_and_packing(tmp_path: Path) -> None:
    one, two = integers(0), integers(1)
    for name, images in (("a", (one, two)), ("b", (two, one)), ("c", (one, integers(2)))):
        for number, image in enumerate(images):
            plain(image, tmp_path / f"{name}_{number:04d}.nii.gz")
    series = np.stack([np.asanyarray(image.dataobj) for image in (one, two)], axis=-1)
    nib.save(nib.Nifti1Image(series, np.eye(4)), tmp_path / "d.nii.gz")
    known = [
        scan_digest(tmp_path / name, 2) for name in ("a_0000.nii.gz", "b_0000.nii.gz", "d.nii.gz", "c_0000.nii.gz")
    ]
    assert known[0] == known[1] == known[2] != known[3] and all(k.startswith("voxels-1:") for k in known)


def test_a_round_that_an_older_version_began_goes_on(tmp_path: Path) -> None:
    """Which files it was begun with is kept as that version kept it."""
    plan, seen = plan_of(tmp_path, steps=30, checks=1), []
    plan.write(tmp_path / "run")

    def stop() -> bool:
        return sum(event["event"] == "step" for event in seen) == 15

    with pytest.raises(CancelledError):
        TuningRun(plan, tmp_path / "run", seen.append, stop).run()
    kept = json.loads((tmp_path / "run" / "training.json").read_text())["settings"]
    files = [hashlib.sha256(source.scan.read_bytes()).hexdigest() for source in (*plan.train, *plan.held_out)]
    assert kept["trained"] == files[:3] and kept["held_out"] == files[3:]
    TuningRun(plan, tmp_path / "run", seen.append).run(resume=True)
    assert [event["resumed"] for event in seen if event["event"] == "prepared"] == [False, True]
