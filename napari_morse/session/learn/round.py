"""One round of fine-tuning: a folder in the project, a process beside the window, and what became of the model."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal

import psutil

from napari_morse import zoo
from napari_morse.errors import InputError, MorseError
from napari_morse.io.atomic import write_text
from napari_morse.training.finetuning import process
from napari_morse.training.finetuning.plan import PLAN, Plan
from napari_morse.training.finetuning.verdict import FILE, Verdict
from napari_morse.zoo.moving import import_model

PROCESS_FOLDER = Path(sys.prefix)
"""Where processes of ours stand: Python's own folder. Who may write there may change Python itself, it stays, and
nothing is left in it; a folder of the package's own could not be replaced on Windows as long as one runs."""


def start_process(module: str, *words: str, errors: BinaryIO) -> subprocess.Popen[bytes]:
    """Run a module of ours in a process that outlives this one.

    Parameters
    ----------
    module
        Its name.
    words
        Its arguments; paths among them are absolute, as it stands elsewhere.
    errors
        What it says on its way down is written there.

    Raises
    ------
    OSError
        No process can be started.
    """
    # -P: no module is taken from the folder that it stands in. A session of its own: closing the terminal, or the
    # window's group of processes, doesn't end a training of an hour. No pipes: one that nobody reads any more fills up,
    # and the training would stand still at its next line.
    return subprocess.Popen(  # noqa: S603 (our own program)
        [sys.executable, "-P", "-m", module, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=errors, start_new_session=True, cwd=PROCESS_FOLDER, env=process_environment(os.environ),
    )  # fmt: skip


def process_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What such a process inherits: of ``PYTHONPATH`` what is absolute, and the safe path for those that it begins.

    An entry that is empty or relative means another folder there than here; absolute ones are a person's own.
    """
    environment = dict(inherited) | {"PYTHONSAFEPATH": "1"}
    path = os.pathsep.join(x for x in environment.pop("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(x))  # noqa: PTH117
    if path:
        environment["PYTHONPATH"] = path
    if environment.get(zoo.LIBRARY_VARIABLE, "").strip():
        environment[zoo.LIBRARY_VARIABLE] = os.path.abspath(environment[zoo.LIBRARY_VARIABLE].strip())  # noqa: PTH100
    return environment


FOLDER, DECISION = "learn", "decision.json"
CANCEL_PATIENCE = 1.5
"""s that a run has for ending by itself after it was cancelled."""

_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""Ends a process that hangs, too."""

_left: list[subprocess.Popen[bytes]] = []
"""Processes that nobody follows: one that has ended counts as running until it is asked."""

State = Literal["ready", "running", "paused", "stopped", "done", "cancelled", "failed"]
"""``stopped``: its process is gone without having come to an end; it can go on, as one that ``failed`` can."""
GOING_ON: tuple[State, ...] = ("ready", "stopped", "failed")
"""States from which a round can go on."""
RoundDecision = Literal["", "kept", "discarded", "rolled_back"]


def rounds(project: Path) -> list[Round]:
    """The rounds of a project, oldest first."""
    parent = project / FOLDER
    folders = sorted(parent.glob("round-*")) if parent.is_dir() else []
    # A plan is written when all masks are copied: a folder without one was never finished.
    return [Round(folder) for folder in folders if (folder / PLAN).is_file()]


class Round:
    """A round, whether this window began it or another.

    Parameters
    ----------
    folder
        Of the round.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read = 0
        self._unread: list[dict[str, Any]] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled_at: float | None = None
        self.last: dict[str, Any] = {}
        """The last event that was read."""

    @classmethod
    def make(cls, project: Path) -> Round:
        """A new round's folder, numbered."""
        parent = project / FOLDER
        parent.mkdir(parents=True, exist_ok=True)
        numbers = [int(p.name[6:]) for p in parent.glob("round-*") if p.name[6:].isdigit()]
        folder = parent / f"round-{max(numbers, default=0) + 1:03d}"
        folder.mkdir()
        return cls(folder)

    @property
    def number(self) -> int:
        """Of the round, from 1."""
        return int(self.folder.name[6:])

    @property
    def plan(self) -> Plan:
        """What it does; raises InputError where that is damaged."""
        return Plan.read(self.folder)

    # The process

    def start(self, resume: bool = False) -> None:
        """Begin, or go on from the last checkpoint where there is one; the process outlives this window.

        Raises
        ------
        InputError
            It runs already, or no process can be started.
        """
        if self.alive:
            raise InputError("This round is running already.", "Wait for it, or cancel it.")
        # The file outlives a process: what was asked of the last one (cancel, pause) would end or hold this one.
        process.want(self.folder, "go")
        (self.folder / process.PID).unlink(missing_ok=True)  # of a process that is gone
        self._cancelled_at = None
        try:
            if resume:
                _append(self.folder, {"event": "again"})  # whatever end it had is none from here on
            self._process = self._begun(resume)
        except OSError as error:
            raise InputError(
                f"The training could not be started: {error.strerror}.", "Close other programs, or make space."
            ) from error
        with suppress(MorseError):  # the process says so, too, but another window may look before it can
            process.note_pid(self.folder, self._process.pid)

    def _begun(self, resume: bool) -> subprocess.Popen[bytes]:
        words = (str(self.folder.resolve()), *(["--resume"] if resume else []))
        with (self.folder / "errors.txt").open("ab") as errors:
            return start_process(process.__name__, *words, errors=errors)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        if self._process is not None:
            return self._process.poll() is None
        _left[:] = [left for left in _left if left.poll() is None]
        try:
            pid = int(json.loads((self.folder / process.PID).read_text())["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return _runs(pid, self.folder)

    @property
    def state(self) -> State:
        """Where it stands; events that are found meanwhile are given by the next `poll`."""
        self._look()
        kind = self.last.get("event")
        ended = next((end for end in process.ENDS if end == kind), None)
        if ended is not None and not self._begun_again:
            return ended
        if self.alive:
            return "paused" if kind == "paused" else "running"
        return "stopped" if self.last else "ready"

    @property
    def _begun_again(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def poll(self) -> list[dict[str, Any]]:
        """Events since the last look; also ends a cancelled run that does not end by itself."""
        self._look()
        events, self._unread = self._unread, []
        return events

    def _look(self) -> None:
        self._enforce()
        try:
            with (self.folder / process.EVENTS).open("rb") as file:
                file.seek(self._read)
                content = file.read()
        except OSError:
            return
        whole = content[: content.rfind(b"\n") + 1]  # the last line may be half written: it is read the next time
        self._read += len(whole)
        events = [event for line in whole.splitlines() if (event := _event(line)) is not None]
        if events:
            self.last = events[-1]
        self._unread += events

    def history(self) -> list[dict[str, Any]]:
        """All events from the beginning."""
        self._read, self._unread = 0, []
        return self.poll()

    def pause(self) -> None:
        """Let it wait before its next step."""
        process.want(self.folder, "pause")

    def go(self) -> None:
        """Let it go on."""
        process.want(self.folder, "go")

    def cancel(self) -> None:
        """End it before its next step; `poll` kills it when it takes longer than `CANCEL_PATIENCE`."""
        process.want(self.folder, "cancel")
        self._cancelled_at = time.monotonic()

    def _enforce(self) -> None:
        if self._cancelled_at is None or time.monotonic() - self._cancelled_at < CANCEL_PATIENCE:
            return
        self._cancelled_at = None
        if self.alive:
            self._kill()
            # A process that was killed says no more: its end is said for it, or the round would seem to have stopped by
            # itself.
            _append(self.folder, {"event": "cancelled"})

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        elif self.alive:
            with suppress(OSError, ValueError, KeyError):
                os.kill(int(json.loads((self.folder / process.PID).read_text())["pid"]), _KILL)

    def leave(self) -> None:
        """Forget the process, which goes on; from here on its file says whether it runs."""
        if self._process is not None:
            _left.append(self._process)
        self._process = None

    # What became of the model

    @property
    def verdict(self) -> Verdict | None:
        """What the new model is worth; None before the end."""
        return Verdict.read(self.folder) if (self.folder / FILE).is_file() else None

    @property
    def decision(self) -> RoundDecision:
        """What a person decided; empty before."""
        try:
            decision: RoundDecision = json.loads((self.folder / DECISION).read_text())["decision"]
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        return decision

    def keep(self, by: str) -> zoo.ModelInfo:
        """Copy the new model into the user's library, under its name.

        Raises
        ------
        InputError, WeightsError
            There is no finished model, its name is taken, or it cannot be written.
        """
        if self.verdict is None:
            raise InputError("This round has not come to its end.", "Wait for the verdict.")
        # Copied first: a name that is taken, or a full disk, leaves the round undecided.
        model = import_model(self.folder / "model", self.plan.name)
        self._decide("kept", by)
        return model

    def discard(self, by: str) -> None:
        """Remove the new model; the verdict stays."""
        # Decided first: a crash in between leaves files of a model that nobody wants, not an undecided round whose
        # model is half gone.
        self._decide("discarded", by)
        shutil.rmtree(self.folder / "model", ignore_errors=True)

    def roll_back(self, by: str) -> str:
        """Note that the model that was tuned from is used again; its name. The kept version stays in the library.

        Raises
        ------
        InputError
            The new model was tuned from none.
        """
        parent = self.plan.model
        if not parent:
            raise InputError("A new model has no base model to go back to.", "Choose another in the Segment tab.")
        self._decide("rolled_back", by)
        return parent

    def _decide(self, what: RoundDecision, by: str) -> None:
        record = {"decision": what, "by": by, "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")}
        write_text(self.folder / DECISION, json.dumps(record, ensure_ascii=False))

    def remove(self) -> None:
        """Delete the folder of a round that came to nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _append(folder: Path, event: dict[str, Any]) -> None:
    with (folder / process.EVENTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(event | {"at": round(time.time(), 2)}) + "\n")


def _runs(pid: int, folder: Path) -> bool:
    """Whether a process runs and is the one of this folder: by its command line, which only the run has."""
    # A number alone is not enough: after a restart the same one may be anybody's, and `_kill` goes by this answer.
    try:
        return str(folder.resolve()) in " ".join(psutil.Process(pid).cmdline())
    except (psutil.Error, OSError, ValueError):
        return False
