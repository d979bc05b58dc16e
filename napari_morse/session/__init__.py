"""What is going on, without a window: the scan, the model, the run and its result. No Qt; torch only inside a run."""

from napari_morse.session.run.engine import InferenceEngine, LocalEngine, PredictorLike
from napari_morse.session.run.results_table import Row, result_rows, size_unit, table_csv, table_text
from napari_morse.session.run.save import ToSave, WouldReplaceError, save_masks
from napari_morse.session.run.segment import RunStatus, SegmentJob, SegmentSession
from napari_morse.session.run.warm import thaw

__all__ = [
    "InferenceEngine",
    "LocalEngine",
    "PredictorLike",
    "Row",
    "RunStatus",
    "SegmentJob",
    "SegmentSession",
    "ToSave",
    "WouldReplaceError",
    "result_rows",
    "save_masks",
    "size_unit",
    "table_csv",
    "table_text",
    "thaw",
]
