"""Errors that a person reads: one plain sentence, and a way out."""

from __future__ import annotations


class MorseError(Exception):
    """Something that the person in front of the screen can act on.

    Parameters
    ----------
    message
        One plain sentence that says what is wrong, naming the file or the value.
    hint
        What to do about it. Empty when nothing can be done.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = f"{message} {hint}".strip()
        """Sentence and hint: what napari shows of an exception is the attribute of this name."""
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class InputError(MorseError):
    """A file or value given by the user cannot be used."""


class SeriesError(InputError):
    """A file holds several frames, and which of them is meant was not said.

    Parameters
    ----------
    message, hint
        As in `MorseError`.
    frames
        How many there are.
    """

    def __init__(self, message: str, hint: str = "", frames: int = 0) -> None:
        super().__init__(message, hint)
        self.frames = frames


class DamagedFileError(InputError):
    """A file is incomplete, corrupt, or not of the kind that its name says."""


class GeometryError(InputError):
    """A shape or an affine that cannot be trusted to place voxels."""


class WeightsError(InputError):
    """A model folder that is missing, damaged, tampered with, or of another architecture."""


class MemoryBudgetError(MorseError):
    """The work needs more memory than there is."""


class CancelledError(MorseError):
    """The person asked to stop; nothing was written."""

    def __init__(self, message: str = "Cancelled.", hint: str = "") -> None:
        super().__init__(message, hint)
