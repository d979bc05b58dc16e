"""Whether what was done is on the disk, and why not."""

from __future__ import annotations

from collections.abc import Callable

from napari_morse.errors import MorseError


class Keeping:
    """Counts steps, and those of them that were written.

    Parameters
    ----------
    tell
        Called with `trouble` whenever it is another.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.steps = 0
        """Taken so far."""
        self._written = 0
        self.trouble = ""
        """Why the last steps are in memory only, in a sentence; empty when they are on the disk."""

    @property
    def unwritten(self) -> int:
        """How many of the last steps are in memory only."""
        return self.steps - self._written

    def step(self) -> None:
        """One more was taken, and is not written yet."""
        self.steps += 1

    def attempt(self, write: Callable[[], object]) -> None:
        """Call what writes all that is missing; where the disk refuses, that is the trouble, while something is."""
        try:
            write()
        except (MorseError, OSError) as error:  # a share that is gone fails where nobody writes, too
            self._say(_sentence(error) if self.unwritten else "")
        else:
            self.saved(self.steps)

    def saved(self, steps: int) -> None:
        """Say that the first ``steps`` of them are on the disk."""
        self._written = max(self._written, steps)
        if not self.unwritten:
            self._say("")

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._tell(trouble)


def _sentence(error: MorseError | OSError) -> str:
    """Without the hint: there is another way out than where it was raised."""
    if isinstance(error, OSError):
        return f"The last change could not be written: {error.strerror or error}."
    return str(error.args[0])
