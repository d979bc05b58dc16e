"""The model that is offered for a scan, until the person chooses one."""

from __future__ import annotations

from pathlib import Path

from napari_morse.config import BackboneConfig, Recipe
from napari_morse.zoo import ModelInfo
from tests.fakes import FakeEngine, make_card, make_scan
from tests.widgets.conftest import add_dock, add_scan


class TwoModels(FakeEngine):
    def models(self):
        flat = make_card("a-flat").model_copy(
            update={"recipe": Recipe(name="flat", backbone=BackboneConfig(spatial_dims=2, classes=3))}
        )
        return [ModelInfo(card.name, Path(card.name), card, True) for card in (flat, make_card("b-solid"))]


def test_a_volume_is_offered_a_3d_model_and_a_plane_a_2d_one(viewer, qtbot):
    dock = add_dock(viewer, TwoModels())
    chooser = dock.segment.model
    solid = add_scan(viewer, make_scan())
    assert chooser.currentText() == dock.session.model == "b-solid"
    viewer.layers.remove(solid)
    add_scan(viewer, make_scan((20, 24, 1), stem="plane"))
    assert chooser.currentText() == dock.session.model == "a-flat"


def test_a_choice_made_by_hand_stays(viewer, qtbot):
    dock = add_dock(viewer, TwoModels())
    add_scan(viewer, make_scan())
    dock.segment.model.setCurrentText("a-flat")
    layer = add_scan(viewer, make_scan(stem="other"))
    dock.segment.scans.combo.setCurrentText(layer.name)
    assert dock.session.scan.stem == "other"
    assert dock.segment.model.currentText() == dock.session.model == "a-flat"
