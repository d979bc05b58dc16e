"""Projects damaged, newer, older, half made, killed, out of disk, read-only: the earlier state, one sentence."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing

import pytest

from napari_morse.errors import DamagedFileError, InputError
from napari_morse.session.project import CaseFiles, Project, ProjectLockedError, database
from napari_morse.session.project.database import SCHEMA_STEPS, SCHEMA_VERSION
from tests.project_cases import again, child, make, sources

TALK = """
import sys
from napari_morse.session.project import Project
project = Project.open(sys.argv[1], reader="AB")
for number in range(100000):
    project.comment("p0_0", str(number))
    print(number, flush=True)
"""
MAKE = """
import os, sys
from pathlib import Path
from napari_morse.session.project import Project, from_folders, layout, project
def stop(*_):
    os.kill(os.getpid(), 9)
setattr({"database": project.database, "about": project, "digest": project.rows}[sys.argv[3]],
        {"database": "create", "about": "save_about", "digest": "insert"}[sys.argv[3]], stop)
Project.create(sys.argv[1], from_folders(Path(sys.argv[2])), name="", reader="AB")
"""
FULL = """
import resource, signal, sys
from pathlib import Path
from napari_morse.errors import InputError
from napari_morse.session.project import Project
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
project = Project.open(sys.argv[1], reader="AB")
project.comment("p0_0", "before")
size = Path(sys.argv[1], "worklist.sqlite").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
said = set()
for _ in range(200):
    try:
        project.comment("p0_0", "x" * 2000)
    except InputError as error:
        said.add(str(error))
        break
last = project.case("p0_0").comment, len(project.audit("p0_0"))
try:
    project.set_status([case.id for case in project.cases()], "in_review", "y" * 2000)
except InputError as error:
    said.add(str(error))
assert (project.case("p0_0").comment, len(project.audit("p0_0"))) == last
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
project.comment("p0_0", "room again")
print(*said)
"""
NOBODY = """
import os, sys
from napari_morse.errors import InputError
from napari_morse.session.project import Project
os.setgid(65534), os.setuid(65534)
try:
    Project.open(sys.argv[1], reader="AB")
except InputError as error:
    print(error)
with Project.open(sys.argv[1], read_only=True) as project:
    print(len(project.cases()), repr(project.verify()), project.case("p0_0").comment)
"""


def place(tmp_path, name="worklist.sqlite"):
    return tmp_path / "study" / name


def refused(tmp_path, match, kind=InputError):
    before = {path.name: path.read_bytes() for path in (tmp_path / "study").iterdir()}
    for read_only in (False, True):
        with pytest.raises(kind, match=match) as caught:
            again(tmp_path, read_only=read_only)
        assert caught.value.hint
    assert {path.name: path.read_bytes() for path in (tmp_path / "study").iterdir()} == before


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_a_whole_trail_and_loses_nothing_that_was_done(tmp_path):
    make(tmp_path).close()
    done, expected = -1, 0
    for kill in range(12):
        with child(TALK, tmp_path / "study") as writer:
            for _ in range(1 + 3 * kill):
                done = int(writer.stdout.readline())
            writer.kill()
            told = writer.stdout.read().split()
        done = int(told[-1]) if told else done
        with again(tmp_path) as project:
            assert project.verify() == ""
            rows = [row for row in project.audit() if row.act == "comment"]
            assert len(rows) - expected in (done + 1, done + 2)  # one may have been done and not yet told
            assert project.case("p0_0").comment == rows[-1].details["text"]
            expected = len(rows)


@pytest.mark.parametrize("moment", ["database", "digest", "about"])
def test_a_project_whose_making_was_killed_is_told_and_can_be_made_again(tmp_path, moment):
    found = sources(tmp_path / "scans")
    with child(MAKE, tmp_path / "study", tmp_path / "scans", moment) as maker:
        maker.wait()
    assert maker.returncode == -9
    with pytest.raises(InputError, match="There is no project") as caught:
        again(tmp_path)
    if moment != "database":
        assert "Make it again" in caught.value.hint
    with Project.create(tmp_path / "study", found, name="", reader="AB") as project:
        assert len(project.cases()) == 6
        assert [row.act for row in project.audit()] == ["create project"]
    assert {path.name for path in (tmp_path / "study").iterdir()} == {"project.json", "worklist.sqlite"}


def test_a_project_that_lost_its_description_is_not_made_over(tmp_path):
    with make(tmp_path) as project:
        project.comment("p0_0", "work of a day")
    content = place(tmp_path, "project.json").read_bytes()
    place(tmp_path, "project.json").unlink()
    with pytest.raises(InputError, match=r"“project.json” is gone"):
        make(tmp_path)
    place(tmp_path, "project.json").write_bytes(content)
    with again(tmp_path) as project:
        assert project.case("p0_0").comment == "work of a day"


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path):
    (tmp_path / "study").mkdir()
    place(tmp_path, "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="not empty"):
        make(tmp_path)
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["thesis.txt"]


def test_a_second_project_in_the_same_folder_is_refused(tmp_path):
    with make(tmp_path), pytest.raises(InputError, match="already holds a project"):
        make(tmp_path)
    with pytest.raises(InputError, match="already holds a project"):
        make(tmp_path)
    again(tmp_path).close()


def test_a_folder_where_another_window_is_making_a_project_is_refused(tmp_path, monkeypatch):
    real = database.create

    def meanwhile(path):
        with pytest.raises(ProjectLockedError):
            make(tmp_path)
        return real(path)

    monkeypatch.setattr(database, "create", meanwhile)
    make(tmp_path).close()


def test_a_making_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="could not be read"):
        Project.create(tmp_path / "study", [CaseFiles(tmp_path / "gone.nii")], name="", reader="AB")
    assert not (tmp_path / "study").exists()
    (tmp_path / "study").mkdir()
    with pytest.raises(InputError, match="at least one"):
        Project.create(tmp_path / "study", [], name="", reader="AB")
    with pytest.raises(InputError, match="could not be made"):
        Project.create(tmp_path / "study" / "x" / ("y" * 300), sources(tmp_path / "scans"), name="", reader="AB")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be made"):
        Project.create(tmp_path / "file", sources(tmp_path / "scans"), name="", reader="AB")


def test_a_disk_that_is_full_leaves_the_earlier_state_and_one_sentence(tmp_path):
    make(tmp_path).close()
    with child(FULL, tmp_path / "study") as writer:
        said = writer.stdout.read()
    assert writer.returncode == 0
    assert said.startswith("The project could not be written")
    assert "Nothing was changed" in said
    with again(tmp_path) as project:
        assert project.verify() == ""
        assert project.case("p0_0").comment == "room again"
        assert project.counts()["new"] == 6


def test_an_error_in_the_middle_of_an_act_takes_all_of_it_back(tmp_path, monkeypatch):
    from napari_morse.session.project import audit

    with make(tmp_path) as project:
        real, calls = audit.append, []

        def third(*arguments):
            calls.append(arguments)
            if len(calls) == 3:
                raise sqlite3.OperationalError("disk I/O error")
            real(*arguments)

        monkeypatch.setattr(audit, "append", third)
        with pytest.raises(InputError, match="disk I/O error"):
            project.set_status([case.id for case in project.cases()], "in_review")
        monkeypatch.undo()
        assert project.counts()["new"] == 6
        assert project.verify() == ""
        project.set_status(["p0_0"], "in_review")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only the superuser can become nobody")
def test_a_read_only_folder_can_be_looked_at_and_says_why_not_more(tmp_path):
    with make(tmp_path) as project:
        project.comment("p0_0", "seen")
    for folder in (tmp_path, *tmp_path.parents):  # one more of several workers
        if folder.name.startswith(("test_", "popen-", "pytest-")):
            folder.chmod(0o755)
    with child(NOBODY, tmp_path / "study") as reader:
        said = reader.stdout.read()
    assert reader.returncode == 0
    assert "cannot be changed: Permission denied" in said
    assert said.endswith("6 '' seen\n")


def test_a_newer_project_is_refused(tmp_path):
    make(tmp_path).close()
    with closing(sqlite3.connect(place(tmp_path))) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    refused(tmp_path, "newer version")


def test_a_newer_description_is_refused(tmp_path):
    make(tmp_path).close()
    said = json.loads(place(tmp_path, "project.json").read_text())
    place(tmp_path, "project.json").write_text(json.dumps({**said, "format_version": 2, "new": 1}))
    refused(tmp_path, "newer version")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"{", b"\xff", b'{"format_version": "x"}', b"[" * 99_999])
def test_a_damaged_description_is_one_sentence(tmp_path, content):
    make(tmp_path).close()
    place(tmp_path, "project.json").write_bytes(content)
    refused(tmp_path, "“project.json” .* is damaged", DamagedFileError)


def test_another_programs_description_is_refused(tmp_path):
    make(tmp_path).close()
    said = json.loads(place(tmp_path, "project.json").read_text())
    place(tmp_path, "project.json").write_text(json.dumps({**said, "format": "other"}))
    refused(tmp_path, "is damaged", DamagedFileError)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "junk", "other"])
def test_a_damaged_database_is_one_sentence(tmp_path, damage):
    make(tmp_path).close()
    path, content = place(tmp_path), bytearray(place(tmp_path).read_bytes())
    if damage == "other":
        path.unlink()
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(f"CREATE TABLE cases (x); PRAGMA user_version = {SCHEMA_VERSION}")
    else:
        content[4096 : 3 * 4096] = os.urandom(2 * 4096) if damage == "junk" else content[4096 : 3 * 4096]
        path.write_bytes(
            {"empty": b"", "text": b"hello" * 999, "cut": content[: len(content) // 2]}.get(damage, content)
        )
    refused(tmp_path, "“worklist.sqlite” .* is damaged", DamagedFileError)


def test_a_database_that_is_gone_is_one_sentence(tmp_path):
    make(tmp_path).close()
    place(tmp_path).unlink()
    refused(tmp_path, "There is no project|damaged")


def test_no_project_at_all_is_one_sentence(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / ("x" * 300)):
        with pytest.raises(InputError):
            Project.open(folder, reader="AB")
    assert list(tmp_path.iterdir()) == []


def older(tmp_path, version):
    """Make the project's database one of an older version, as that version would have left it."""
    make(tmp_path).close()
    with closing(sqlite3.connect(place(tmp_path))) as connection:
        rows = connection.execute("SELECT * FROM audit").fetchall()
        patients = connection.execute("SELECT * FROM patients").fetchall()
        names = "id, number, stem, scan, scan_relative, size, digest, patient"
        cases = connection.execute(f"SELECT {names} FROM cases").fetchall()
    place(tmp_path).unlink()
    with closing(sqlite3.connect(place(tmp_path))) as connection:
        for step in SCHEMA_STEPS[:version]:
            connection.executescript(step)
        connection.executemany(f"INSERT INTO cases ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", cases)
        connection.executemany("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.executemany("INSERT INTO patients VALUES (?, ?)", patients)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_older_project_is_brought_forward_with_a_copy_beside(tmp_path, version):
    older(tmp_path, version)
    before = place(tmp_path).read_bytes()
    refused_to_look = pytest.raises(InputError, match="older version")
    with refused_to_look:
        again(tmp_path, read_only=True)
    assert place(tmp_path).read_bytes() == before
    with again(tmp_path) as project:
        assert len(project.cases()) == 6
        assert project.verify() == ""
        project.set_status(["p0_0"], "in_review")
        project.ask_second_reader("p0_0", "CD")
        project.scan_of("p0_0")
    copy = place(tmp_path, f"worklist-version{version}.sqlite")
    assert copy.read_bytes() == before
    place(tmp_path).write_bytes(before)  # brought back from a backup
    with closing(sqlite3.connect(place(tmp_path))) as connection:
        connection.execute("UPDATE cases SET comment = 'other'")
        connection.commit()
    again(tmp_path).close()
    assert copy.read_bytes() == before
    assert place(tmp_path, f"worklist-version{version}-2.sqlite").exists()


def test_bringing_forward_that_fails_leaves_the_older_project(tmp_path, monkeypatch):
    older(tmp_path, 1)
    before = place(tmp_path).read_bytes()
    monkeypatch.setattr(database, "SCHEMA_STEPS", (*SCHEMA_STEPS[:2], "CREATE TABLE cases (x);\n"))
    with pytest.raises(InputError, match="could not be written"):
        again(tmp_path)
    monkeypatch.undo()
    assert place(tmp_path, "worklist-version1.sqlite").read_bytes() == before
    assert not place(tmp_path, "lock.json").exists()
    with again(tmp_path) as project:
        assert len(project.cases()) == 6


def test_a_project_that_was_closed_says_so(tmp_path):
    project = make(tmp_path)
    project.close()
    project.close()
    with pytest.raises(InputError, match="closed"):
        project.cases()
    with pytest.raises(InputError):
        project.comment("p0_0", "x")
