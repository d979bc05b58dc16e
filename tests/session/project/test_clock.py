"""Time on a case counts while something happens, and two minutes of each silence."""

from napari_morse.session.project import IDLE, WorkClock


def counted(*moments, stop, idle=IDLE):
    now = [0.0]
    clock = WorkClock(lambda: now[0], idle)
    for moment in moments:
        now[0] = moment
        clock.touch()
    now[0] = stop
    return clock.take(), clock.take()


def test_time_between_signs_of_work_counts_once():
    assert counted(5, 10, 30, stop=40) == (35, 0)


def test_of_a_long_silence_only_the_first_two_minutes_count():
    assert counted(0, 10, 4000, 4010, stop=9000) == (10 + 120 + 10 + 120, 0)


def test_nothing_counts_before_the_first_sign_and_no_time_is_taken_back():
    assert counted(stop=500) == (0, 0)
    assert counted(100, 50, stop=60) == (10, 0)


def test_it_can_be_taken_and_started_again():
    now = [0.0]
    clock = WorkClock(lambda: now[0])
    spent = []
    for start in (0.0, 1000.0):
        now[0] = start
        clock.touch()
        now[0] = start + 60
        spent.append(clock.take())
    assert spent == [60, 60]
