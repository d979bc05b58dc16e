"""A library of one's own, rounds that train nothing, a project to learn from, and the dock with it."""

from __future__ import annotations

import pytest

from napari_morse import zoo
from tests.widgets.learn import hands


@pytest.fixture(autouse=True)
def library(tmp_path, monkeypatch):
    monkeypatch.setenv(zoo.LIBRARY_VARIABLE, str(tmp_path / "models"))


@pytest.fixture
def runs(monkeypatch):
    return hands.FakeRuns(monkeypatch)


@pytest.fixture
def project(tmp_path):
    return hands.learning(tmp_path)


@pytest.fixture
def dock(viewer, qtbot, project, runs):
    return hands.opened(viewer, qtbot, project)
