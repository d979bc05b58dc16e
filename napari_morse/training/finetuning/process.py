"""A tuning run as a process of its own: ``python -m napari_morse.training.finetuning.process FOLDER [--resume]``.

What happens is appended to ``events.jsonl`` in the run's folder, a JSON object a line, and printed; what is wanted is
read from ``wanted.txt`` there (``go``, ``pause``, ``cancel``) before every step. Both are files, so that a window can
close, and another find the run again. ``pid.json`` says which process it is.

Events, by ``event``: ``again`` (who lets a run go on says so before its process can), ``begun`` (pid), ``log`` (text),
``fitted`` (text: which recipe a new model gets), ``prepared`` (steps, resumed; of a new model also seconds), ``check``
(step, dice, hd95 in mm, of held-out cases; step 0 is the base model), ``step`` (step, loss, left in s), ``paused``,
``going``, and one of ``done`` (sentence, model), ``cancelled``, ``failed`` (text) at the end.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Literal

from napari_morse.errors import CancelledError, MorseError
from napari_morse.io.atomic import write_text
from napari_morse.training.finetuning.plan import Plan

EVENTS, WANTED, PID = "events.jsonl", "wanted.txt", "pid.json"
ENDS: tuple[Literal["done", "cancelled", "failed"], ...] = ("done", "cancelled", "failed")
NO_MEMORY = "There is not enough memory. Close other programs, or tune the head of a model only."
TRAINING_NICENESS = 5
"""How far the run stands back behind other programs."""
POLL = 0.2
"""s between two looks at what is wanted while a run is paused."""


def want(folder: Path, what: str) -> None:
    """Ask the run in a folder to ``go``, ``pause`` or ``cancel``."""
    write_text(folder / WANTED, what)


def wanted(folder: Path) -> str:
    """What the run in a folder was asked to do last."""
    try:
        return (folder / WANTED).read_text().strip() or "go"
    except OSError:
        return "go"


def note_pid(folder: Path, pid: int) -> None:
    """Say which process runs in a folder."""
    write_text(folder / PID, json.dumps({"pid": pid, "begun": time.time()}))


class Reporter:
    """Writes events and obeys what is wanted.

    Parameters
    ----------
    folder
        Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = (folder / EVENTS).open("a", encoding="utf-8")

    def tell(self, event: dict[str, Any]) -> None:
        """Append an event; it is in the file when this returns."""
        line = json.dumps({**event, "at": round(time.time(), 2)}, ensure_ascii=False)
        self._file.write(line + "\n")
        self._file.flush()
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def stop(self) -> bool:
        """Whether to end; waits here while the run shall pause."""
        said = wanted(self.folder)
        if said == "pause":
            self.tell({"event": "paused"})
            while (said := wanted(self.folder)) == "pause":
                time.sleep(POLL)
            self.tell({"event": "going"})
        return said == "cancel"


def _give_way() -> None:
    """Let the window have the processor first."""
    if hasattr(os, "nice"):
        os.nice(TRAINING_NICENESS)


def main(arguments: list[str]) -> int:
    """Run the plan in a folder; 0 done, 130 cancelled, 2 failed."""
    folder, resume = Path(arguments[0]), "--resume" in arguments
    report = Reporter(folder)
    note_pid(folder, os.getpid())
    report.tell({"event": "begun", "pid": os.getpid()})
    try:
        return _run(folder, resume, report)
    finally:
        report.close()


def _run(folder: Path, resume: bool, report: Reporter) -> int:
    # Not at the top: a window reads this module, and must not load torch for it.
    from napari_morse.training.checkpoint import clear_checkpoint
    from napari_morse.training.finetuning.from_scratch import NewRun
    from napari_morse.training.finetuning.round import TuningRun

    try:
        plan = Plan.read(folder)
        kind = TuningRun if plan.anew is None else NewRun
        kind(plan, folder, report.tell, report.stop).run(resume)
    except CancelledError:
        clear_checkpoint(folder)
        report.tell({"event": "cancelled"})
        return 130
    except MorseError as error:
        report.tell({"event": "failed", "text": str(error)})
        return 2
    except Exception as error:
        # On the processor torch's are RuntimeErrors, told from others by their text alone.
        if isinstance(error, MemoryError) or "memory" in str(error):
            report.tell({"event": "failed", "text": NO_MEMORY})
            return 2
        text = f"Something went wrong in the program: {type(error).__name__}. Begin again; errors.txt says where."
        report.tell({"event": "failed", "text": text})
        raise
    return 0


if __name__ == "__main__":
    _give_way()
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # all is written; taking torch down would take as long again
