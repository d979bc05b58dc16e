"""A model of several channels in the dock: a row for each, and the right pixels in the right channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_morse.config import BackboneConfig, Recipe
from napari_morse.errors import GeometryError
from napari_morse.session import SegmentSession
from napari_morse.zoo import ModelInfo
from tests.fakes import FakeEngine, FakePredictor, make_card, make_scan
from tests.widgets.conftest import add_dock, add_scan
from tests.widgets.segment.test_dock_run import messages, press, run_through


class Listening(FakeEngine):
    """One model of one channel, one of three; keeps the scans that it was given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def models(self):
        recipe = Recipe(name="three", backbone=BackboneConfig(classes=3, in_channels=3))
        three = make_card("z-three").model_copy(update={"recipe": recipe, "channels": ("T1", "FLAIR", "T2")})
        return [ModelInfo(card.name, Path(card.name), card, True) for card in (make_card("a-one"), three)]

    def predictor(self, model, device):
        made = super().predictor(model, device)
        plain = made.set_scan
        made.set_scan = lambda scan, roi=None: (self.given.append(scan), plain(scan, roi))[1]
        return made


def choose(dock, channel, layer):
    combo = dock.segment.channels.combos[channel]
    combo.setCurrentIndex(combo.findData(layer))


def test_every_channel_reaches_the_model_in_the_cards_order(viewer, qtbot):
    engine = Listening()
    dock = add_dock(viewer, engine)
    t1, flair, other = (add_scan(viewer, make_scan(stem=n, seed=k)) for k, n in enumerate(("my_t1", "my_flair", "x")))
    dock.segment.scans.combo.setCurrentIndex(dock.segment.scans.combo.findData(t1))
    assert dock.segment.channels.isHidden()
    dock.segment.model.setCurrentText("z-three")
    assert not dock.segment.channels.isHidden() and list(dock.segment.channels.combos) == ["FLAIR", "T2"]
    assert dock.segment.channels.combos["FLAIR"].currentData() is flair, "the one layer of that name is offered"
    assert "“T2”" in dock.session.blocked and not dock.segment.run_bar.run.isEnabled()
    choose(dock, "T2", other)
    assert dock.segment.run_bar.run.isEnabled()
    run_through(qtbot, dock)
    (given,) = engine.given
    assert [channel[1, 1, 1] for channel in given.channels] == [make_scan(seed=k).data[1, 1, 1] for k in range(3)]
    assert dock.session.result_scan is dock.session.scan and not dock.session.result_scan.others
    assert dock.segment.results.isVisible()
    dock.segment.model.setCurrentText("a-one")
    assert dock.segment.channels.isHidden() and dock.session.blocked == ""
    assert not dock.session.begin().others


def test_a_channel_on_another_grid_is_refused_in_a_sentence(viewer, qtbot):
    engine = Listening()
    dock = add_dock(viewer, engine)
    add_scan(viewer, make_scan(stem="FLAIR"))
    add_scan(viewer, make_scan((20, 24, 15), stem="T2"))
    t1 = add_scan(viewer, make_scan(stem="one"))
    dock.segment.scans.combo.setCurrentIndex(dock.segment.scans.combo.findData(t1))
    dock.segment.model.setCurrentText("z-three")
    press(qtbot, dock.segment.run_bar.run)
    assert any("“T2”" in text and "grid" in text for text in messages())
    assert not engine.given and dock.session.status == "idle"


def test_a_closed_or_changed_layer_is_no_channel_any_more(viewer, qtbot):
    dock = add_dock(viewer, Listening())
    flair, t2 = add_scan(viewer, make_scan(stem="FLAIR")), add_scan(viewer, make_scan(stem="T2"))
    dock.segment.model.setCurrentText("z-three")
    t1 = add_scan(viewer, make_scan(stem="one"))
    dock.segment.scans.combo.setCurrentIndex(dock.segment.scans.combo.findData(t1))
    assert set(dock.session.others) == {"FLAIR", "T2"}
    t2.data = np.zeros_like(t2.data)
    qtbot.waitUntil(lambda: not dock.session.others["T2"].data.any())
    viewer.layers.remove(flair)
    assert set(dock.session.others) == {"T2"} and "“FLAIR”" in dock.session.blocked


def test_the_session_refuses_a_channel_that_lies_elsewhere():
    session = SegmentSession(Listening())
    session.scan, session.model = make_scan(), "z-three"
    session.set_channels(("T2",), {"T2": make_scan((20, 24, 15))})
    with pytest.raises(GeometryError, match="T2"):
        session.begin()
    assert session.status == "idle"
    session.set_channels(("T2",), {"T2": make_scan(seed=1)})
    job = session.begin()
    assert isinstance(job.engine.predictor("z-three", "cpu"), FakePredictor) and len(job.others) == 1
