"""Frames are chosen, gathered, spread and relabelled as by CNTK 2.7, on sequences of any length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import AxisError, DataError, SequenceError

DATA = [np.arange(5, dtype=np.float32), np.arange(4, dtype=np.float32) + 10]

WINDOWS = [
    ((0, 2), "defaultDynamicAxis_fixedSliceOf_2", [[0, 1], [10, 11]]),
    ((1, 0), "defaultDynamicAxis_times_1_minus_1", [[1, 2, 3, 4], [11, 12, 13]]),
    ((-2, 0), "defaultDynamicAxis_fixedSliceOf_2", [[3, 4], [12, 13]]),
    ((1, -1), "defaultDynamicAxis_times_1_minus_2", [[1, 2, 3], [11, 12]]),
    ((0, 9), "defaultDynamicAxis_fixedSliceOf_9", [[0, 1, 2, 3, 4], [10, 11, 12, 13]]),
]


@pytest.mark.parametrize(("window", "axis", "expected"), WINDOWS)
def test_slices_have_cntks_axes(window: tuple[int, int], axis: str, expected: Any) -> None:
    x = C.sequence.input_variable(())
    f = C.sequence.slice(x, *window)
    assert f.output.dynamic_axes[1].name == axis
    assert [v.tolist() for v in f.eval({x: DATA})] == expected


@pytest.mark.parametrize(("window", "expected"), [((0, 1), [0, 10]), ((-2, -1), [3, 12]), ((2, 3), [2, 12])])
def test_single_frames_have_no_sequence_axis(window: tuple[int, int], expected: list[float]) -> None:
    x = C.sequence.input_variable(())
    assert C.sequence.slice(x, *window).eval({x: DATA}).tolist() == expected


def test_a_sequence_too_short_for_a_slice_is_told() -> None:
    x = C.sequence.input_variable(())
    with pytest.raises(SequenceError, match="frames 1:0 of sequence 0 of 1 frames are none"):
        C.sequence.slice(x, 1, 0).eval({x: [[5]]})


# numbers count how often a frame is named; fractions add up
WHERE = [([2, 0, 1], [0, 0, 2]), ([0, 3], [1, 1, 1]), ([0.5, 0.5, 0.5, 0.5], [0, 2]), ([1.5, 1.5], [0, 0, 1])]


@pytest.mark.parametrize(("condition", "expected"), WHERE)
def test_where_repeats_and_adds_fractions(condition: list[float], expected: list[float]) -> None:
    c = C.sequence.input_variable(())
    assert C.sequence.where(c).eval({c: [condition]})[0].tolist() == expected


def test_gradients_of_repeated_frames_add_up() -> None:
    x, c = C.sequence.input_variable((), needs_gradient=True), C.sequence.input_variable(())
    f = C.sequence.gather(x, c)
    assert f.grad({x: [[1, 2, 3]], c: [[0, 3, 1]]}, wrt=[x])[0].tolist() == [0.0, 3.0, 1.0]


def test_the_same_condition_gives_the_same_axis() -> None:
    x, c = C.sequence.input_variable(()), C.sequence.input_variable(())
    total = C.sequence.gather(x, c) + C.sequence.where(c)
    assert total.eval({x: [[5, 6, 7]], c: [[1, 0, 1]]})[0].tolist() == [5.0, 9.0]


def test_different_lengths_on_one_axis_are_told() -> None:
    x = C.sequence.input_variable(())
    both = C.combine([C.sequence.slice(x, 0, 2), C.sequence.slice(x, 1, 3)])
    with pytest.raises(SequenceError, match="different lengths"):
        both.eval({x: [[1, 2]]})


def test_every_frame_that_holds_the_largest_element_receives_the_gradient() -> None:
    x = C.sequence.input_variable(2, needs_gradient=True)
    gradient = C.sequence.reduce_max(x).grad({x: [[[3, 1], [3, 2], [1, 2]]]})
    assert gradient[0].tolist() == [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]


def test_unpacked_frames_come_back_as_sequences() -> None:
    x = C.sequence.input_variable(())
    values, mask = C.sequence.unpack(x, -7).outputs
    assert values.shape == (C.FreeDimension,)
    found = C.combine([values, mask]).eval({x: [[1, 2, 3], [4]]})
    assert found[values].tolist() == [[1, 2, 3], [4, -7, -7]]
    assert found[mask].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert [v.tolist() for v in C.to_sequence_like(values, x).eval({x: [[1, 2, 3], [4]]})] == [[1, 2, 3], [4]]


def test_lengths_beyond_the_data_are_told() -> None:
    x, n = C.input_variable((3, 1)), C.input_variable(1)
    with pytest.raises(DataError, match="a length of 4, the operand has 3 frames"):
        C.to_sequence(x, n).eval({x: np.zeros((1, 3, 1)), n: [[4]]})


def test_batches_become_static_and_dynamic_again() -> None:
    x = C.input_variable(2, needs_gradient=True)
    f = C.to_batch(C.unpack_batch(x) * 2)
    assert f.eval({x: [[1, 2], [3, 4]]}).tolist() == [[2, 4], [6, 8]]
    assert f.grad({x: [[1, 2], [3, 4]]}).tolist() == [[2, 2], [2, 2]]


def test_relabelled_sequences_must_fit() -> None:
    x, y = C.sequence.input_variable(()), C.sequence.input_variable((), sequence_axis=C.Axis("q"))
    f = C.reconcile_dynamic_axes(x, y)
    assert [v.tolist() for v in f.eval({x: [[1], [2]], y: [[0, 0], [0]]})] == [[1.0, 1.0], [2.0]]
    with pytest.raises(DataError, match="incompatible with that of"):
        f.eval({x: [[1, 2, 3]], y: [[0, 0]]})


def test_frames_of_samples_without_sequence_are_told() -> None:
    with pytest.raises(AxisError, match="needs an operand with a batch and a sequence axis"):
        C.sequence.first(C.input_variable(2))


def test_sparse_frames_stay_sparse() -> None:
    x = C.sequence.input_variable(4, is_sparse=True)
    f = C.sequence.slice(x, 0, 2)
    assert f.output.is_sparse
    found = f.eval({x: C.Value.one_hot([[3, 1, 0], [2]], 4)})
    assert [v.toarray().argmax(axis=1).tolist() for v in found] == [[3, 1], [2]]


# ---- minibatches of another size: numbers of CNTK 2.7


def rows_of_samples() -> tuple[Any, Any]:
    """x (2 x 3) with its batch axis, and a minibatch of its rows (3): twice as many samples."""
    x = C.input_variable((2, 3))
    return x, C.to_batch(C.reshape(C.unpack_batch(x), (-1, 3)))


def test_a_made_minibatch_has_its_own_size() -> None:
    x, y = rows_of_samples()
    data = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    assert y.dynamic_axes == (C.Axis.default_batch_axis(),)
    np.testing.assert_array_equal((y * 2).eval({x: data}), data.reshape(8, 3) * 2)


def test_a_minibatch_made_back_to_the_first_size_meets_its_labels() -> None:
    x, y = rows_of_samples()
    w = C.parameter((3, 2), init=0.5)
    back = C.to_batch(C.reshape(C.unpack_batch(C.times(y, w)), (-1, 4)))
    label = C.input_variable(4)
    loss = C.squared_error(back, label)
    data = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    at = {x: data, label: np.ones((4, 4), np.float32)}
    np.testing.assert_allclose(loss.eval(at), [50.5, 572.5, 1742.5, 3560.5])
    trainer = C.Trainer(back, (loss,), [C.sgd(loss.parameters, C.learning_parameter_schedule(1e-4))])
    losses = []
    for _ in range(3):
        trainer.train_minibatch(at)
        losses.append(trainer.previous_minibatch_loss_average)
    np.testing.assert_allclose(losses, [1481.5, 911.092468, 560.479065], rtol=1e-6)
    assert trainer.previous_minibatch_sample_count == 4


def test_a_parameter_as_a_minibatch_learns_sample_by_sample() -> None:
    a = C.parameter((4, 2, 3), init=1)
    x = C.input_variable((2, 3))
    data = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    y = x * C.to_batch(a)
    np.testing.assert_array_equal(y.grad({x: data}, [a]), data)
    np.testing.assert_array_equal((C.to_batch(a) * x).grad({x: data}, [a]), data)


def test_minibatches_of_different_sizes_are_not_combined() -> None:
    x, y = rows_of_samples()
    with pytest.raises(SequenceError) as caught:
        (y + C.reduce_sum(x, axis=0)).eval({x: np.ones((4, 2, 3), np.float32)})
    said = caught.value
    assert {said.what} <= {
        "a minibatch of 4 samples is combined with one of 8", "a minibatch of 8 samples is combined with one of 4",
    }  # fmt: skip
    assert said.fix == "make both of as many samples: to_batch makes one for each entry of the first static axis"
