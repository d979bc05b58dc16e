"""A law of the open cases, without a window: what is on the stage is of one scan, and every edit is in its journal.

Random days: scans on their own and cases of a project are opened, chosen, run, corrected, decided on, deleted, undone,
closed and opened again. Beside the real thing, a plain model of what each mask has to be.
"""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest

from napari_morse.io import open_scan
from napari_morse.io.mask_store import pixel_digest
from napari_morse.session import SegmentSession
from napari_morse.session.case.open_case import OpenCaseRequest, ProjectHome
from napari_morse.session.case.open_cases import OpenCases
from napari_morse.session.case.standalone import VARIABLE, HeldHereError, open_standalone
from napari_morse.session.edits import Corrections
from napari_morse.session.project import MOVES, Project, from_folders, rules
from napari_morse.types import Roi
from tests.fakes import FakeEngine, make_prediction
from tests.project_cases import SHAPE, nifti

STEPS, DAYS = 220, 10
"""In all more than two thousand steps."""
LONE = ("lone_0", "lone_1", "lone_2")


class Day:
    """Does one act after the other on the open cases, and keeps what each mask has to be."""

    def __init__(self, folder, seed):
        self.random = random.Random(seed)
        rng = np.random.default_rng(seed)
        for name in LONE:
            nifti(folder / "own" / f"{name}.nii.gz", rng.normal(100, 9, SHAPE).astype(np.float32))
        for number in range(3):
            nifti(folder / "study_scans" / f"case_{number}.nii.gz", rng.normal(50, 9, SHAPE).astype(np.float32))
        self.folder = folder
        self.project = Project.create(
            folder / "study", from_folders(folder / "study_scans"), name="x", reader="AB", holdout_share=0.0
        )
        self.session = SegmentSession(FakeEngine())
        self.session.engine.pace.set()
        self.session.model = "fake-3d"
        self.cases = OpenCases(self.session)
        self.scans = {}  # by name, as long as they are open
        self.masks = {}  # what each mask has to be, by name, since it was corrected first
        self.past = {}  # masks before each edit, by name
        self.edited = []  # the name of what was edited, once an edit

    # What a person does

    def open_scan(self):
        name = self.random.choice(LONE)
        if name not in self.scans:
            self.scans[name] = open_scan(self.folder / "own" / f"{name}.nii.gz")
        self.session.scan = self.scans[name]

    def open_case(self):
        self.close_project_case()
        case = self.random.choice(self.project.cases())
        request = OpenCaseRequest.of(self.project, case.id, "recover")
        opened = request.run()
        opened.home = ProjectHome(self.project, request.folder)
        self.cases.open(opened)
        self.scans[case.id] = opened.scan
        self.masks.setdefault(case.id, np.array(opened.corrections.mask))
        if opened.corrections.untouched:  # a run since may be what it begins with
            self.masks[case.id], self.past[case.id] = np.array(opened.corrections.mask), []
        for status in rules.after_opening(case).statuses:
            self.project.set_status([case.id], status)
        self.session.scan = opened.scan

    def close_project_case(self):
        for case in self.cases:
            if case.id:
                self.put_away(case)
                del self.scans[case.id]

    def put_away(self, case):
        if self.random.random() < 0.5:
            case.corrections.checkpoint()  # else a crash
        self.cases.close(case)
        self.past.pop(self.name_of(case), None) if case.id else None

    def choose(self):
        if self.scans:
            self.session.scan = self.scans[self.random.choice(sorted(self.scans))]

    def begin(self):
        name = self.on_stage()
        if name in LONE and self.cases.current is None:
            prediction = self.cases.prediction
            start = None if prediction is None else prediction.rendered.data
            held = {case.digest: case.scan for case in self.cases}
            opened = open_standalone(self.scans[name], start, held)
            self.cases.open(opened)
            if not opened.resumed:
                self.masks[name], self.past[name] = np.array(opened.corrections.mask), []

    def run(self):
        scan = self.session.scan
        if scan is not None and not self.session.blocked:
            job = self.session.begin()
            self.session.finish(job, make_prediction(scan))

    def edit(self):
        case = self.cases.current
        if case is None or case.corrections is None:
            return
        name = self.name_of(case)
        start = [self.random.randrange(n - 2) for n in SHAPE]
        box = Roi(tuple(start), tuple(a + self.random.randint(1, 2) for a in start))
        before = self.masks[name].copy()
        if self.random.random() < 0.3:
            case.protection.locked = frozenset({self.random.randint(1, 2)} if self.random.random() < 0.5 else ())
        locked, value = case.protection.locked, self.random.randint(0, 2)
        wanted = np.full(box.shape, value, before.dtype)
        free = ~np.isin(before[box.slices], list(locked)) & (value not in locked)
        after = before.copy()
        after[box.slices][free] = value
        if self.random.random() < 0.5:
            done, _ = case.edit(box, wanted, "stroke")
        else:
            shown = before.copy()
            shown[box.slices] = wanted
            done, _ = case.take_over(shown, box, "stroke")
            np.testing.assert_array_equal(shown, after, "a protected voxel stays painted in the view")
        if done is not None:
            self.past.setdefault(name, []).append(before)
            self.edited.append(name)
            self.masks[name] = after
            if case.id:
                for status in rules.after_edit(self.project.case(case.id), blind=False).statuses:
                    self.project.set_status([case.id], status)

    def undo(self):
        case = self.cases.current
        if case is not None and case.corrections is not None and self.past.get(self.name_of(case)):
            assert case.undo() is not None
            self.masks[self.name_of(case)] = self.past[self.name_of(case)].pop()

    def decide(self):
        case = next((case for case in self.cases if case.id), None)
        if case is None:
            return
        row, wanted = self.project.case(case.id), self.random.choice(rules.DECIDED)
        decision = rules.decision_of(row, wanted, blind=False, in_view=self.cases.current is case)
        if decision in ("accept", "move") and wanted in MOVES[row.status]:
            self.project.set_status([case.id], wanted)
        elif decision == "bring":
            self.session.scan = case.scan

    def delete(self):
        name = self.on_stage()
        if name not in LONE:
            return
        if self.cases.current is not None:
            self.put_away(self.cases.current)
        del self.scans[name]
        self.session.scan = self.scans[self.random.choice(sorted(self.scans))] if self.scans else None

    def open_twice(self):
        """The same file once more while it is corrected: there is one correction of it."""
        name = self.on_stage()
        case = self.cases.current
        if name in LONE and case is not None:
            other = open_scan(self.folder / "own" / f"{name}.nii.gz")
            with pytest.raises(HeldHereError):
                open_standalone(other, None, {each.digest: each.scan for each in self.cases})

    # What has to be so

    def on_stage(self):
        return next((name for name, scan in self.scans.items() if scan is self.session.scan), "")

    def name_of(self, case):
        return case.id or next(name for name, scan in self.scans.items() if scan is case.scan)

    def check(self):
        scan, current = self.session.scan, self.cases.current
        assert self.cases.scan is scan
        assert current is None or current.scan is scan, "another scan's mask is worked on"
        assert self.cases.prediction is None or self.session.result_scan is scan, "another scan's result is shown"
        assert len({id(case.scan) for case in self.cases}) == len(tuple(self.cases))
        for case in self.cases:
            name = self.name_of(case)
            np.testing.assert_array_equal(case.corrections.mask, self.masks[name], f"a stroke on {name} is lost")
            assert case.writable and case.digest == pixel_digest(case.scan.data)
        if current is not None:
            np.testing.assert_array_equal(self.cases.mask, self.masks[self.name_of(current)], "another mask counts")

    def check_disk(self, place):
        """What another program would find of each open mask now."""
        for case in self.cases:
            if not case.corrections.untouched:
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(case.folder, place, ignore=shutil.ignore_patterns("reader-*"))
                found = Corrections.recover(place, None, case.digest)
                np.testing.assert_array_equal(found.mask, self.masks[self.name_of(case)])


@pytest.mark.parametrize("seed", range(DAYS))
def test_what_is_on_the_stage_is_of_one_scan_and_every_edit_is_in_its_journal(tmp_path, monkeypatch, seed):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kept"))
    day = Day(tmp_path, seed)
    acts = {
        day.open_scan: 2, day.open_case: 1, day.choose: 3, day.begin: 5, day.run: 2, day.edit: 14, day.undo: 2,
        day.decide: 1, day.delete: 1, day.open_twice: 0.5,
    }  # fmt: skip
    done = set()
    for step in range(STEPS):
        act = day.random.choices(list(acts), list(acts.values()))[0]
        act()
        done.add(act.__name__)
        day.check()
        if step % 10 == 0:
            day.check_disk(tmp_path / "found")
    day.check_disk(tmp_path / "found")
    assert len(done) == len(acts) and len(day.edited) >= 20 and len(set(day.edited)) > 1, "the day was too quiet"
    for case in day.cases:
        day.cases.close(case)
    day.project.close()
