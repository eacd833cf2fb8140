"""Sequences along one axis, chosen by conditions along another; initial states whose shape is inferred."""

from typing import Any

import numpy as np
import pytest

import cntk_lab as C

FRAMES = [np.array([[1], [2], [3]], "f")]


def two_axes() -> tuple[Any, Any]:
    return (
        C.sequence.input_variable(1, sequence_axis=C.Axis("p")),
        C.sequence.input_variable((), sequence_axis=C.Axis("q")),
    )


@pytest.mark.parametrize(
    ("condition", "frames"), [([1, 0, 1], [1, 3]), ([1, 0], [1]), ([0, 1, 0, 0], [2])], ids=["as long", "less", "more"]
)
def test_gather_takes_a_condition_along_another_axis(condition: list[float], frames: list[float]) -> None:
    p, q = two_axes()
    chosen = C.sequence.gather(p, q)
    for _ in range(5):
        assert chosen.eval({p: FRAMES, q: [np.array(condition, "f")]})[0].ravel().tolist() == frames


def test_gather_refuses_frames_that_are_not_there() -> None:
    p, q = two_axes()
    with pytest.raises(RuntimeError, match="the condition chooses frame 3 of sequence 0, which has 3"):
        C.sequence.gather(p, q).eval({p: FRAMES, q: [np.ones(4, "f")]})


def test_sequences_of_unequal_lengths_are_reversed_by_way_of_unpack_slice_and_gather() -> None:
    x = C.sequence.input_variable(1)
    values, there = C.sequence.unpack(x, padding_value=0).outputs
    backwards = C.to_sequence(C.slice(values, 0, 0, 0, -1))
    mask = C.to_sequence(C.expand_dims(C.slice(there, 0, 0, 0, -1), axis=-1))
    turned = C.sequence.gather(backwards, mask)
    for _ in range(5):
        found = turned.eval({x: [np.array([[1], [2]], "f"), FRAMES[0]]})
        assert [f.ravel().tolist() for f in found] == [[2, 1], [3, 2, 1]]


def test_gradients_of_gather_go_to_the_frames_that_a_condition_of_another_axis_chose() -> None:
    p, q = two_axes()
    p = C.sequence.input_variable(1, needs_gradient=True, sequence_axis=C.Axis("p"))
    chosen = C.sequence.gather(p, q)
    for _ in range(5):
        there = chosen.grad({p: FRAMES, q: [np.array([1, 0], "f")]}, wrt=[p])
        assert there[0].ravel().tolist() == [1, 0, 0]


def test_what_scatter_cannot_place_is_a_value_error_too() -> None:
    p, q = two_axes()
    with pytest.raises(ValueError, match=r"sequences of \[3\] frames do not fit a condition that chooses \[2\]"):
        C.sequence.scatter(p, q).eval({p: FRAMES, q: [np.array([1, 0, 1], "f")]})


def test_initial_states_of_recurrences_are_inferred() -> None:
    x = C.sequence.input_variable(3)
    start, p = C.parameter(-1, init=2), C.placeholder()
    total = C.plus(C.sequence.past_value(p, start), x)
    total.replace_placeholders({p: total.output})
    assert (total.shape, start.shape) == ((3,), (3,))
    assert total.eval({x: [np.ones((2, 3), "f")]})[0].tolist() == [[3, 3, 3], [4, 4, 4]]
    states = tuple(C.parameter(-1, init=0, name=n) for n in ("h", "c"))
    C.layers.Recurrence(C.layers.LSTM(5), initial_state=states)(x)
    assert [s.shape for s in states] == [(5,), (5,)]


def test_recurrences_over_a_dimension_that_is_left_open_run() -> None:
    x, p = C.sequence.input_variable((-1, 2)), C.placeholder()
    total = x + C.sequence.past_value(p)
    total.replace_placeholders({p: total})
    for _ in range(5):
        assert total.eval({x: [np.array([[[1, 2]], [[3, 4]]], "f")]})[0].tolist() == [[[1, 2]], [[4, 6]]]
