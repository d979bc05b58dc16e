"""What the files of a case's folder are called: the one table that everything of a session asks."""

from __future__ import annotations

from typing import Final

from napari_morse.io.mask_store import ENDING

CORRECTED: Final = f"corrected{ENDING}"
"""The mask as a person has corrected it, as it was saved last."""
JOURNAL: Final = "journal.log"
"""Every edit since then."""
COARSE, RENDERED, DOUBT = f"coarse{ENDING}", f"rendered{ENDING}", f"doubt{ENDING}"
"""Both masks of the last run, and its uncertainty."""
PREDICTION: Final = "prediction.safetensors"
"""Points and patches of the last run; written last: where it is and fits, all is whole."""
WALK: Final = "walk.json"
"""What was decided on each patch."""
MEASURES: Final = "measures.json"
STRUCTURES: Final = "structures.json"
"""Structures that a person added; in a project one for all of its cases, beside them."""
LOCK: Final = "lock.json"
"""Which window works here; of a project one, beside its cases."""
