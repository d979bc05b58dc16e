"""How scan and masks are looked at: one scan on the stage, masks side by side, planes, surfaces."""

from napari_morse.widgets.view.comparison import Comparison
from napari_morse.widgets.view.laid_out import ResultLayers
from napari_morse.widgets.view.orientation_labels import Letters
from napari_morse.widgets.view.planes import Planes
from napari_morse.widgets.view.stage import Stage, is_another
from napari_morse.widgets.view.surfaces import SurfaceView
from napari_morse.widgets.view.twins import is_twin
from napari_morse.widgets.view.view_bar import ViewBar

__all__ = [
    "Comparison",
    "Letters",
    "Planes",
    "ResultLayers",
    "Stage",
    "SurfaceView",
    "ViewBar",
    "is_another",
    "is_twin",
]
