"""Which data fit which variable: what CNTK 2.7 takes is taken, and a misfit names the axis that is meant."""

from __future__ import annotations

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import DataError
from cntk_lab.io import CTFDeserializer, MinibatchSource, StreamDef, StreamDefs

SIX = np.arange(12, dtype=np.float32).reshape(2, 6)
LINES = "|a 0 1 2 3 4 5\n|a 6 7 8 9 10 11\n"


def read(path, text, count, **settings):
    """The minibatch of a text of 6 numbers a line."""
    path.write_text(text)
    source = MinibatchSource(
        CTFDeserializer(str(path), StreamDefs(a=StreamDef("a", 6, **settings))), randomize=False, max_sweeps=1
    )
    return source.next_minibatch(count)[source.streams.a]


def passed(shape, data, axes=1):
    x = C.sequence.input_variable(shape) if axes == 2 else C.input_variable(shape, **_static(axes))
    return (x * 1).eval({x: data})


def _static(axes):
    return {} if axes else {"dynamic_axes": []}


def test_flat_data_of_a_reader_fit_a_shaped_input_of_the_same_size(tmp_path):
    data = read(tmp_path / "flat.txt", LINES, 2)
    for given in (data, data.data):
        for shape in ((1, 2, 3), (3, 2), (6,), (6, 1)):
            np.testing.assert_array_equal(passed(shape, given), SIX.reshape(2, *shape))
    frames = read(tmp_path / "frames.txt", "0 |a 0 1 2 3 4 5\n0 |a 6 7 8 9 10 11\n1 |a 0 0 0 0 0 1\n", 3)
    first, second = passed((1, 2, 3), frames, axes=2)
    np.testing.assert_array_equal(first, SIX.reshape(2, 1, 2, 3))
    np.testing.assert_array_equal(second.ravel(), [0, 0, 0, 0, 0, 1])


def test_a_model_of_images_trains_on_flat_data_of_a_reader(tmp_path):
    x = C.input_variable((1, 2, 3))
    w = C.parameter((1, 2, 3))
    loss = C.reduce_sum(x * w)
    trainer = C.Trainer(loss, loss, [C.sgd([w], C.learning_parameter_schedule(1.0, minibatch_size=1))])
    for _ in range(5):
        trainer.train_minibatch({x: read(tmp_path / "flat.txt", LINES, 2)})
    np.testing.assert_array_equal(w.value, -5 * SIX.sum(axis=0).reshape(1, 2, 3))


def test_frames_of_another_function_fit_a_shaped_input_of_the_same_size():
    x = C.sequence.input_variable(6)
    value = (x * 1).eval({x: [SIX, SIX[:1]]}, as_numpy=False)
    assert [p.shape for p in passed((2, 3), value, axes=2)] == [(2, 2, 3), (1, 2, 3)]


def test_values_with_a_frame_axis_fit_static_axes():
    x = C.sequence.input_variable(3)
    value = C.Value.create(x, [np.ones((2, 3)), 2 * np.ones((2, 3))])
    np.testing.assert_array_equal(passed((2, 3), value)[:, 0, 0], [1, 2])
    np.testing.assert_array_equal(passed((2, 2, 3), value, axes=0)[:, 0, 0], [1, 2])
    single = C.Value.create(x, [np.ones((1, 3)), 2 * np.ones((1, 3))])
    np.testing.assert_array_equal(passed((1, 3), single)[:, 0, 0], [1, 2])
    np.testing.assert_array_equal(passed((2, 1, 3), single, axes=0)[:, 0, 0], [1, 2])
    np.testing.assert_array_equal(passed((1, 2, 3), np.ones((1, 1, 2, 3)), axes=0), np.ones((1, 2, 3)))


def test_sequences_of_different_lengths_are_no_static_axis():
    value = C.Value.create(C.sequence.input_variable(3), [np.ones((2, 3)), np.ones((1, 3))])
    x = C.input_variable((2, 3), name="x")
    with pytest.raises(DataError) as error:
        (x * 1).eval({x: value})
    assert "has sequences of 1 to 2 frames: they cannot be static axis 0 of 'x'" in str(error.value)


# shape of the data, static shape, dynamic axes, what the message says of the axis
MISFITS = [
    ((2, 6), (1, 2, 3), 1, "Value's rank (2) should be >= the Variable's rank (3)"),
    ((6,), (1, 2, 3), 0, "Value's rank (1) should be >= the Variable's rank (3)"),
    ((2, 1, 6), (2, 3), 1, "axis 1 of the data has 1 elements, static axis 0 of the variable 2."),
    ((1, 2, 6), (1, 2, 3), 2, "axis 2 of the data has 6 elements, static axis 2 of the variable 3."),
    ((2, 4, 3), (3,), 1, "The dimension size (4) of the axis (1) of the Value ('[2 x 4 x 3]') must be 1"),
    ((2, 4, 3), (3,), 0, "The dimension size (2) of the axis (0) of the Value ('[2 x 4 x 3]') must be 1"),
    ((2, 4, 3), (8, 3), 1, "axis 1 of the data has 4 elements, static axis 0 of the variable 8."),
]


@pytest.mark.parametrize(("data", "shape", "axes", "words"), MISFITS)
def test_a_misfit_names_the_axis(data, shape, axes, words):
    for given in (np.ones(data), C.Value(np.ones(data))):
        with pytest.raises(DataError) as error:
            passed(shape, given, axes)
        assert words in str(error.value)


def test_a_misfit_of_frames_names_the_sequence():
    with pytest.raises(DataError) as error:
        passed((3,), [np.ones((2, 3)), np.ones((2, 4))], axes=2)
    assert "Value shape '[2 x 4]'" in str(error.value)
    assert "sequence 1 of the data" in str(error.value)


def test_several_samples_are_no_single_value(tmp_path):
    with pytest.raises(DataError, match="must be 1, because this axis is not specified as a dynamic axis"):
        passed((6,), read(tmp_path / "flat.txt", LINES, 2), axes=0)
    np.testing.assert_array_equal(passed((2, 3), read(tmp_path / "flat.txt", LINES, 1), axes=0), SIX[0].reshape(2, 3))


def test_sparse_frames_shown_as_an_array_are_dense(tmp_path):
    data = read(tmp_path / "sparse.txt", "0 |a 0:1\n0 |a 5:2\n1 |a 3:4\n", 3, is_sparse=True)
    want = np.zeros((2, 2, 6), np.float32)
    want[0, 0, 0], want[0, 1, 5], want[1, 0, 3] = 1, 2, 4
    for found in (data.asarray(), data.data.asarray(), C.Value.one_hot([[0, 5], [3]], 6).asarray()):
        assert isinstance(found, np.ndarray)
        assert found.shape == (2, 2, 6)
        np.testing.assert_array_equal(found != 0, want != 0)
    np.testing.assert_array_equal(data.asarray(), want)
    np.testing.assert_array_equal(data.data.data.asarray(), want)
    assert C.Value.one_hot([0, 5], 6).asarray().shape == (2, 6)
