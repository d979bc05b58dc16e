"""A project to learn from, and a round that trains nothing but tells what it is told to tell."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from qtpy.QtCore import Qt

from napari_morse import zoo
from napari_morse.config import ModelCard
from napari_morse.io.weights import save_model
from napari_morse.session.learn import Round
from napari_morse.session.learn import round as round_module
from napari_morse.session.learn.gather import Choice, prepare_round
from napari_morse.session.project import Project, from_folders, with_patients
from napari_morse.training.finetuning import process
from napari_morse.training.finetuning.verdict import (
    CaseVerdict,
    Figures,
    Verdict,
    mask_file,
    sentence,
    sentence_alone,
    tested,
)
from napari_morse.training.settings import TuneSettings
from tests.fakes import FakeEngine
from tests.widgets.conftest import add_dock
from tests.widgets.project.test_window import SHAPE, scans
from tests.widgets.segment.test_dock_run import press

BASE = "hippocampus-3d"
AFFINE = np.diag([-1.0, 1.5, 2.0, 1.0])


def ball(path, radius, label=1):
    far = np.linalg.norm(np.indices(SHAPE) - (np.array(SHAPE).reshape(3, 1, 1, 1) - 1) / 2, axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image((label * (far <= radius)).astype("u1"), AFFINE), path)


def learning(tmp_path, cases=6, share=0.34, accepted=True, truth=1):
    """Cases with masks, those held out with truths; the others are accepted."""
    folder = scans(tmp_path / "scans", cases)
    for path in folder.iterdir():
        ball(tmp_path / "masks" / path.name, 5)
        ball(tmp_path / "truths" / path.name, 5, truth)
    found = with_patients(from_folders(folder, tmp_path / "masks", tmp_path / "truths"), r"(P\d+)_")
    project = Project.create(tmp_path / "study", found, name="study", reader="AB", holdout_share=share)
    if accepted:
        usable = [case.id for case in project.cases() if not case.held_out]
        project.set_status(usable, "in_review")
        project.set_status(usable, "accepted")
    return project


def opened(viewer, qtbot, project):
    """The dock with a project, at the Learn tab."""
    dock = add_dock(viewer, LibraryEngine())
    dock.ahead.set_enabled(False)
    dock.view_bar.contour.setChecked(True)
    if project is not None:
        dock.host.take(project)
        qtbot.waitUntil(lambda: dock.host.work is not None and not dock.learner.finder.busy, timeout=20000)
    dock.tabs.setCurrentIndex(3)
    qtbot.waitUntil(lambda: dock.learn.isVisible() and not dock.learn._due.isActive())
    return dock


class LibraryEngine(FakeEngine):
    """Fake, with the models that there are."""

    def models(self):
        return zoo.available()


class FakeRuns:
    """Stands in the place of the processes; a file says whether one lives."""

    def __init__(self, monkeypatch):
        self.begun = []
        monkeypatch.setattr(Round, "alive", property(lambda made: (made.folder / "alive").exists()))
        monkeypatch.setattr(Round, "start", lambda made, resume=False: self.start(made, resume))

    def start(self, made, resume):
        process.want(made.folder, "go")
        (made.folder / "alive").touch()
        self.begun.append((made, resume))
        if resume:
            tell(made, "again")
        tell(made, "begun", pid=1)


def tell(made, event, **more):
    round_module._append(made.folder, {"event": event, **more})


def die(made):
    (made.folder / "alive").unlink()


def halfway(made, steps=40, total=100):
    tell(made, "log", text="P00_t1: read")
    tell(made, "check", step=0, dice=0.80, hd95=4.0)
    tell(made, "prepared", steps=total, resumed=False)
    rng = np.random.default_rng(0)
    for step in range(1, steps + 1):
        tell(made, "step", step=step, loss=float(1 / (1 + step / 20) + 0.05 * rng.random()), left=float(total - step))
        if step % 20 == 0:
            tell(made, "check", step=step, dice=0.80 + step / 800, hd95=4.0 - step / 40)


def wanted(made):
    return process.wanted(made.folder)


def figures(dice, mm):
    return Figures(dice=dice, hd95=3 * mm, asd=mm, nsd=min(1, dice + 0.05))


def finish(made, model=True):
    """A verdict on the held-out cases of the plan, with masks and a model."""
    plan, cases = made.plan, []
    for number, source in enumerate(plan.held_out):
        gain = 0.02 * (number + 1)
        both = {"before": figures(0.8, 1.2), "after": figures(0.8 + gain, 1.0)}
        if plan.anew is not None:
            del both["before"]
        shown = {f"{when} {stage}": both[when] for when in both for stage in ("rendered", "coarse")}
        cases.append(CaseVerdict(case=source.name, truth=str(source.labels), figures=shown))
        ball(mask_file(made.folder, source.name, "before", "rendered"), 4)
        ball(mask_file(made.folder, source.name, "after", "rendered"), 5)
    told = {"model": plan.name, "digest": "1" * 64, "parent": plan.model, "ids": (1, 2), "cases": tuple(cases)}
    told["passed_over"] = plan.passed_over
    if plan.anew is not None:
        verdict = Verdict(**told, parent_digest="", p={}, sentence=sentence_alone(cases))
    else:
        p, samples = tested(cases), {"colin27_left_hippocampus": 0.981, "colin27_right_hippocampus": 0.993}
        verdict = Verdict(**told, parent_digest="0" * 64, p=p, samples=samples, sentence=sentence(cases, p))
    if model:
        loaded = zoo.load(plan.model or BASE)
        fields = ModelCard.model_dump(loaded.card) | {"name": plan.name, "version": loaded.card.version + 1}
        save_model(made.folder / "model", fields, loaded.net.tensors())
    verdict.write(made.folder)
    tell(made, "done", sentence=verdict.sentence, model=str(made.folder / "model"))
    die(made)
    return verdict


WHY = "Fitted to 4 cases: volumes at 1 × 1.5 × 2 mm, windows of 16 × 24 × 16 voxels; 1500 steps."


def fitting(made, steps=40, total=1500):
    """What a new model's run tells."""
    tell(made, "fitted", text=WHY)
    tell(made, "log", text=WHY)
    tell(made, "prepared", steps=total, resumed=False, seconds=725.0)
    for step in range(1, steps + 1):
        tell(made, "step", step=step, loss=1 / step, left=float(total - step))
    if steps:
        tell(made, "check", step=steps, dice=0.7, hd95=3.0)


def over(tmp_path, project, told=halfway, model=True, base=BASE):
    """A round that came to its end before any window was open; without a ``base`` it made a new model."""
    chosen = tuple(case.id for case in project.cases() if not case.held_out)
    name = f"{base}-tuned-1" if base else "new-model-1"
    made = prepare_round(tmp_path / "study", "AB", Choice(base, name, chosen, TuneSettings(what="all")))
    made.start()
    told(made, 100)
    return made, finish(made, model)


def row(table, text):
    return next(r for r in range(table.rowCount()) if table.item(r, 0).text() == text)


def check(table, text, on):
    table.item(row(table, text), 0).setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)


def begin(qtbot, dock):
    """Press Start; the round."""
    press(qtbot, dock.learn.bar.start)
    qtbot.waitUntil(lambda: dock.learner.view.alive, timeout=20000)
    return dock.learner.view.round


def held(dock):
    return [case.id for case in dock.host.project.cases() if case.held_out]


def usable(dock):
    return [case.id for case in dock.host.project.cases() if not case.held_out]


def state(qtbot, dock, wanted):
    qtbot.waitUntil(lambda: dock.learner.view.state == wanted, timeout=10000)


def reopened(viewer, qtbot, dock, tmp_path):
    viewer.window.remove_dock_widget(dock)
    return opened(viewer, qtbot, Project.open(tmp_path / "study", reader="AB"))
