"""The runner alone: what is told arrives in the window's thread, and it ends whatever happens."""

from __future__ import annotations

import threading
import warnings

import pytest

from napari_morse.errors import CancelledError, InputError
from napari_morse.widgets.base.jobs import JobRunner


@pytest.fixture
def runner(nothing_left, qtbot):
    return JobRunner("morse-test")


def test_results_arrive_in_the_window_s_thread(runner, qtbot):
    where, told = [], []
    runner.progressed.connect(lambda x: told.append((x, threading.current_thread())))
    runner.succeeded.connect(lambda _: where.append(threading.current_thread()))

    def work(tell, cancelled):
        tell(1)
        return threading.current_thread().name

    with qtbot.waitSignal(runner.succeeded) as caught:
        runner.start(work)
    assert caught.args == ["morse-test"] and not runner.busy
    assert told == [(1, threading.main_thread())] and where == [threading.main_thread()]


def test_one_at_a_time_and_again_afterwards(runner, qtbot):
    gate = threading.Event()
    runner.start(lambda _tell, _cancelled: gate.wait(5))
    with pytest.raises(InputError, match="not ended"):
        runner.start(lambda _tell, _cancelled: None)
    with qtbot.waitSignal(runner.succeeded):
        gate.set()
    with qtbot.waitSignal(runner.succeeded):
        runner.start(lambda _tell, _cancelled: None)


def test_a_cancelled_work_never_succeeds(runner, qtbot):
    gate, begun = threading.Event(), threading.Event()

    def work(_tell, _cancelled):
        begun.set()
        return gate.wait(5)

    with qtbot.waitSignal(runner.failed) as caught, qtbot.assertNotEmitted(runner.succeeded):
        runner.start(work)
        begun.wait(5)
        runner.cancel()
        gate.set()
    assert isinstance(caught.args[0], CancelledError)


def test_warnings_of_the_work_stay_out_of_the_window(runner, qtbot, caplog):
    caplog.set_level("DEBUG", logger="napari_morse")
    with qtbot.waitSignal(runner.succeeded):
        runner.start(lambda _tell, _cancelled: warnings.warn("careful", UserWarning, stacklevel=1))
    assert "careful" in caplog.text


def test_the_runner_may_go_before_the_work(nothing_left, qtbot):
    runner = JobRunner("morse-gone")
    gate = threading.Event()
    runner.start(lambda _tell, _cancelled: gate.wait(5))
    stop = runner.stop_event
    runner.deleteLater()
    qtbot.wait(50)
    del runner
    stop.set()
    gate.set()
    qtbot.waitUntil(lambda: not [t for t in threading.enumerate() if t.name == "morse-gone"])
    qtbot.wait(50)
