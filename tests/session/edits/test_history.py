"""Acts in few bytes, undone and redone bit for bit, with memory in proportion to what changed."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks.strokes import KINDS, ball, random_stroke
from napari_morse.config import EditsConfig
from napari_morse.errors import DamagedFileError, GeometryError, InputError
from napari_morse.session.edits.edit import Change, decode, encode, pack_varints, read_varint, unpack_varints
from napari_morse.session.edits.history import History
from napari_morse.session.edits.state import MaskState, check_mask
from napari_morse.types import Roi

CONSTANT = 64
"""Bytes an act may take besides 4 a changed voxel."""
WIDE = EditsConfig(edits=2000)


def state_of(data, limits=WIDE):
    return MaskState(data, History(limits))


def act(state, where, values, kind="brush"):
    change = state.change(where, values, kind)
    return None if change is None else state.do(change)


def change_of(places, old, new, dtype=np.uint8):
    return Change("brush", np.array(places, np.int64), np.array(old, dtype), np.array(new, dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
@pytest.mark.parametrize("shape", [(24, 31, 17), (61, 43, 1)], ids=str)
def test_a_thousand_random_acts_undone_and_redone_are_bit_equal(dtype, shape):
    rng = np.random.default_rng([np.dtype(dtype).itemsize, *shape])
    labels = 4 if dtype == np.uint8 else 3000
    state = state_of(rng.integers(0, labels, shape).astype(dtype))
    states, voxels = [state.data.copy()], 0
    while state.history.undoable < 1000:
        where, values, kind = random_stroke(rng, shape, labels)
        change = state.change(where, values, kind)
        if change is None:
            continue
        payload = state.do(change)
        palette = 2 * change.old.itemsize * len({*zip(change.old.tolist(), change.new.tolist(), strict=True)})
        assert len(payload) <= 4 * len(change.indices) + palette + CONSTANT
        voxels += len(change.indices)
        if state.history.undoable % 50 == 0:
            states.append(state.data.copy())
    if dtype == np.uint8:
        assert state.history.size <= 4 * voxels + CONSTANT * 1000
    for number in range(999, -1, -1):
        assert state.undo() is not None
        if number % 50 == 0:
            assert np.array_equal(state.data, states[number // 50])
    assert state.undo() is None
    for number in range(1, 1001):
        assert state.redo() is not None
        if number % 50 == 0:
            assert np.array_equal(state.data, states[number // 50])
    assert state.redo() is None


@pytest.mark.parametrize("kind", KINDS)
def test_at_most_four_bytes_a_voxel_in_a_large_volume(kind):
    shape, rng = (300, 512, 512), np.random.default_rng(5)
    base = np.zeros(shape, np.uint8)
    state = MaskState(base, History(WIDE))
    for _ in range(5):
        change = state.change(*random_stroke(rng, shape, 4, kind))
        if change is not None:
            assert len(encode(change)) <= 4 * len(change.indices) + CONSTANT


@pytest.mark.parametrize("voxels", [1, 7, 40, 64, 200, 5000])
@pytest.mark.parametrize("pairs", [1, 2, 9, 200])
def test_voxels_strewn_over_half_a_gigavoxel_take_four_bytes_each(voxels, pairs):
    rng = np.random.default_rng([voxels, pairs])
    places = np.unique(rng.integers(0, 2**29, voxels))
    new = rng.integers(1, pairs + 1, len(places)).astype(np.uint8)
    change = Change("brush", places, np.zeros(len(places), np.uint8), new)
    used = len(np.unique(new))
    assert len(encode(change)) <= 4 * len(places) + 2 * used + CONSTANT


def test_shapes_take_far_less_than_scattered_voxels():
    shape = (200, 256, 256)
    state = MaskState(np.zeros(shape, np.uint8), History(WIDE))
    change = state.change(ball(np.random.default_rng(1), shape, 20.0), 1, "ball")
    assert len(encode(change)) < 0.3 * len(change.indices)
    whole = state.change(Roi((100, 0, 0), (101, 256, 256)), 1, "slice")
    assert len(encode(whole)) < 64


@given(
    hnp.arrays(np.uint64, st.integers(0, 200), elements=st.integers(0, 2**64 - 1) | st.integers(0, 300)),
)
def test_varints_come_back(numbers):
    packed = pack_varints(numbers)
    assert np.array_equal(unpack_varints(packed), numbers)
    at = 0
    for number in numbers.tolist():
        read, at = read_varint(packed, at)
        assert read == number
    assert at == len(packed)


@pytest.mark.parametrize("content", [b"\x80", b"\x01\xff", b"\xff" * 10 + b"\x01"])
def test_varints_that_are_cut_off_or_too_long_are_refused(content):
    with pytest.raises(ValueError, match="number"):
        unpack_varints(content)


@st.composite
def changes(draw):
    dtype = np.dtype(draw(st.sampled_from(["u1", "u2", "i4", "i8", "i1", "u8"])))
    places = np.array(sorted(draw(st.sets(st.integers(0, 999), min_size=1, max_size=300))), np.int64)
    values = hnp.arrays(dtype, len(places), elements=hnp.from_dtype(dtype) | st.integers(0, 3))
    return Change(draw(st.text(max_size=20)), places, draw(values), draw(values))


@settings(max_examples=200, deadline=None)
@given(changes())
def test_an_act_comes_back(change):
    back = decode(encode(change), 1000, change.old.dtype)
    assert back.kind == change.kind.encode(errors="replace").decode()
    for name in ("indices", "old", "new"):
        assert np.array_equal(getattr(back, name), getattr(change, name))
        assert getattr(back, name).dtype == getattr(change, name).dtype


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_undo_takes_back_what_do_did(data):
    shape = data.draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
    before = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 3)))
    after = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 3)))
    state = state_of(before)
    change = state.difference(after, None, "paint")
    assert (change is None) == np.array_equal(before, after)
    if change is not None:
        state.do(change)
        assert np.array_equal(state.data, after)
        state.undo()
        assert np.array_equal(state.data, before)
        state.redo()
        assert np.array_equal(state.data, after)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_act_is_refused_or_stays_inside_the_mask(data):
    content = bytearray(encode(data.draw(changes())))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        change = decode(bytes(content), 1000, np.dtype(np.uint8))
    except DamagedFileError:
        return
    assert 0 <= change.indices.min() <= change.indices.max() < 1000
    assert (np.diff(change.indices) > 0).all()
    assert len(change.indices) == len(change.old) == len(change.new)


def test_an_act_that_would_unfold_without_end_is_refused():
    content = encode(change_of(range(0, 2000, 2), [0] * 1000, [1] * 1000))
    with pytest.raises(DamagedFileError):
        decode(content, 500, np.dtype(np.uint8))


def test_memory_is_that_of_what_changed_and_not_of_the_mask():
    state = state_of(np.zeros((64, 256, 256), np.uint8))
    tracemalloc.start()
    try:
        for number in range(200):
            act(state, Roi((1, number, 0), (2, number + 1, 200)), 1 + number % 3)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert state.history.undoable == 200
    assert kept < 200 * 1024 < state.data.nbytes


def test_a_hundred_acts_stay_however_large_and_older_ones_go_beyond_the_budget():
    state = state_of(np.zeros((8, 32, 32), np.uint8), EditsConfig(history_bytes=1000))
    states = [state.data.copy()]
    for number in range(150):
        act(state, np.arange(number, 8000, 7 + number % 3), 1 + number % 5)
        states.append(state.data.copy())
    assert state.history.size > 1000 and state.history.undoable == 100
    while state.undo() is not None:
        pass
    assert np.array_equal(state.data, states[50])
    kept = state_of(np.zeros((8, 32, 32), np.uint8), EditsConfig())
    for number in range(150):
        act(kept, np.array([number]), 1)
    assert kept.history.undoable == 150


def test_an_act_after_undo_drops_what_could_be_redone():
    state = state_of(np.zeros((2, 2, 2), np.uint8))
    for place in range(3):
        act(state, np.array([place]), 1)
    state.undo()
    state.undo()
    assert state.history.redoable == 2
    act(state, np.array([7]), 2)
    assert (state.history.redoable, state.history.undoable) == (0, 2)
    assert state.redo() is None


def test_a_number_of_a_state_is_never_given_again():
    history = History(EditsConfig())
    seen = {history.state}
    for _ in range(3):
        history.push(b"a")
        assert history.state not in seen
        seen.add(history.state)
        history.push(b"b")
        seen.add(history.state)
        history.step(-1)


def test_the_history_survives_its_bytes():
    history = History(EditsConfig())
    for payload in (b"one", b"", b"three\n"):
        history.push(payload)
    history.step(-1)
    back = History.load(history.dump(), EditsConfig())
    assert back.dump() == history.dump() and back.state == history.state
    assert back.to_redo() == b"three\n" and back.to_undo() == b"" and back.size == history.size


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}\n",
        b"[]\n",
        b'{"position":2,"floor":0,"next":2,"states":[1],"lengths":[1]}\na',
        b'{"position":1,"floor":0,"next":2,"states":[1],"lengths":[2]}\na',
        b'{"position":1,"floor":0,"next":3,"states":[1,2],"lengths":[2,-1]}\na',
    ],
)
def test_a_damaged_history_is_refused(content):
    with pytest.raises(DamagedFileError, match="history"):
        History.load(content, EditsConfig())


def test_of_a_voxel_named_twice_the_last_value_counts():
    state = state_of(np.zeros((2, 2, 2), np.uint8))
    act(state, np.array([3, 1, 3]), np.array([5, 6, 7]))
    assert state.data.ravel().tolist() == [0, 6, 0, 7, 0, 0, 0, 0]


def test_the_same_voxels_however_they_are_named():
    flat, triple, box = (state_of(np.zeros((3, 4, 5), np.uint8)) for _ in range(3))
    i, j, k = np.nonzero(np.ones((1, 2, 3)))
    act(flat, np.ravel_multi_index((i + 1, j + 2, k), (3, 4, 5)), 2)
    act(triple, (i + 1, j + 2, k), 2)
    act(box, Roi((1, 2, 0), (2, 4, 3)), 2)
    assert np.array_equal(flat.data, triple.data) and np.array_equal(flat.data, box.data)
    assert flat.data.sum() == 12


@pytest.mark.parametrize(
    ("where", "values"),
    [
        (np.array([0]), 256),
        (np.array([0]), -1),
        (np.array([0]), 0.5),
        (np.array([0]), np.nan),
        (np.array([0]), "1"),
        (np.array([8]), 1),
        (np.array([-1]), 1),
        (np.array([0.0]), 1),
        (np.array([[0]]), 1),
        (np.array([0, 1]), np.array([1])),
        ((np.array([0]), np.array([0, 1]), np.array([0])), 1),
        (Roi((0, 0, 0), (3, 1, 1)), 1),
        (Roi((0, 0, 0), (2, 2, 2)), np.ones((2, 2, 3), np.uint8)),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(where, values):
    state = state_of(np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(InputError):
        state.change(where, values, "brush")
    assert not state.data.any() and state.history.undoable == 0


def test_only_three_axes_of_whole_numbers_are_taken():
    for wrong in (np.zeros((2, 2), np.uint8), np.zeros((2, 0, 2), np.uint8)):
        with pytest.raises(GeometryError, match="shape"):
            check_mask(wrong)
    with pytest.raises(InputError, match="whole numbers"):
        check_mask(np.zeros((2, 2, 2)))


def test_the_box_is_the_smallest_around_what_changed():
    state = state_of(np.zeros((5, 6, 7), np.uint8))
    change = state.change((np.array([1, 3]), np.array([5, 2]), np.array([4, 4])), 1, "brush")
    assert change.box((5, 6, 7)) == Roi((1, 2, 4), (4, 6, 5))
