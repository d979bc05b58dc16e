"""What every part of the window uses: jobs beside the window, closing, text, keys."""

from napari_morse.widgets.base.buttons import act_button
from napari_morse.widgets.base.closing import EndingWidget, each_of, in_dock, plain
from napari_morse.widgets.base.combo import combo_box
from napari_morse.widgets.base.jobs import JobRunner, Tell, Work
from napari_morse.widgets.base.settings import PLUGIN, own_settings
from napari_morse.widgets.base.shortcuts import ACCEPT, BEFORE, MODE, NEXT, POINTS, REDO, REJECT, SWAP, UNDO
from napari_morse.widgets.base.text import RESEARCH_ONLY, Banner, Elided, Note

__all__ = [
    "ACCEPT",
    "BEFORE",
    "MODE",
    "NEXT",
    "PLUGIN",
    "POINTS",
    "REDO",
    "REJECT",
    "RESEARCH_ONLY",
    "SWAP",
    "UNDO",
    "Banner",
    "Elided",
    "EndingWidget",
    "JobRunner",
    "Note",
    "Tell",
    "Work",
    "act_button",
    "combo_box",
    "each_of",
    "in_dock",
    "own_settings",
    "plain",
]
