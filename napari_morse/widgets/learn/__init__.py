"""The Learn tab: rounds of fine-tuning and what came of them."""

from napari_morse.widgets.learn.rounds import Learner
from napari_morse.widgets.learn.tab import LearnTab

__all__ = ["LearnTab", "Learner"]
