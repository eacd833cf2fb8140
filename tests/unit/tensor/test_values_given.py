"""Values keep the shape that they were given, dense and sparse, and what shows them can be fed again."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import cntk_lab as C
from cntk_lab.errors import DataError
from cntk_lab.internal import sanitize_batch
from cntk_lab.tensor.feed import read

FRAME = np.array([4, 5, 6], np.float32)


def variable(axes, sparse=False):
    if axes == 2:
        return C.sequence.input_variable(3, is_sparse=sparse)
    return C.input_variable(3, is_sparse=sparse, dynamic_axes=[C.Axis.default_batch_axis()] if axes else [])


# data, dynamic axes, shape of the Value, shapes of its sequences (as CNTK 2.7 has them)
DENSE = [
    ([[FRAME], [FRAME, FRAME]], 2, (2, 2, 3), [(1, 3), (2, 3)]),
    ([FRAME, FRAME], 2, (2, 1, 3), [(1, 3), (1, 3)]),
    (np.stack([FRAME, FRAME]), 2, (2, 3), [(3,), (3,)]),
    (FRAME, 2, (3,), [(), (), ()]),
    ([FRAME, FRAME], 1, (2, 1, 3), [(1, 3), (1, 3)]),
    (np.stack([FRAME, FRAME]), 1, (2, 3), [(3,), (3,)]),
    ([FRAME, FRAME], 0, (2, 3), [(3,), (3,)]),
]


@pytest.mark.parametrize(("data", "axes", "shape", "parts"), DENSE)
def test_dense_data_keep_their_shape(data, axes, shape, parts):
    x = variable(axes)
    value = C.asvalue(x, data)
    assert value.shape == shape
    assert [np.shape(p) for p in value.as_sequences(x)] == parts


SPARSE = [
    ([csr_matrix(np.eye(3)[:2]), csr_matrix(np.eye(3)[2:])], 2, (2, 2, 3), [(2, 3), (1, 3)]),
    ([csr_matrix(np.eye(3)[:1]), csr_matrix(np.eye(3)[2:])], 1, (2, 1, 3), [(1, 3), (1, 3)]),
    (csr_matrix(np.eye(3)[:1]), 0, (1, 3), [(1, 3)]),
]


@pytest.mark.parametrize(("data", "axes", "shape", "parts"), SPARSE)
def test_sparse_data_keep_their_shape(data, axes, shape, parts):
    x = variable(axes, sparse=True)
    value = C.asvalue(x, data)
    assert value.is_sparse
    assert value.shape == shape
    assert [p.shape for p in value.as_sequences(x)] == parts


def test_a_list_for_a_batch_axis_is_fed_as_samples():
    x = C.input_variable(3)
    value = C.asvalue(x, [FRAME, 2 * FRAME])
    np.testing.assert_array_equal((x * 1).eval({x: value}), [FRAME, 2 * FRAME])


def test_ragged_data_without_axes_are_refused():
    with pytest.raises(DataError) as error:
        C.asvalue(C.input_variable(3, dynamic_axes=[], name="w"), [[FRAME], [FRAME, FRAME]])
    assert str(error.value) == (
        "data for 'w', which has no dynamic axes, are ragged\n"
        "  fix:   give one array, or a variable with a sequence axis"
    )


def test_sparse_sequences_show_padded_frames_and_can_be_fed_again():
    first, second = np.arange(12).reshape(2, 2, 3) % 3, np.ones((1, 2, 3))
    views = [
        C.NDArrayView.from_csr(csr_matrix(a.reshape(-1, 3).astype(np.float32)), shape=a.shape) for a in (first, second)
    ]
    x = C.sequence.input_variable((2, 3), is_sparse=True)
    view = C.Value.create(x, views).data
    assert view.is_sparse
    assert view.shape == (2, 2, 2, 3)
    expected = [first, np.concatenate([second, np.zeros((1, 2, 3))])]
    eye = np.eye(3, dtype=np.float32)
    for found, frames in zip(C.times(x, eye).eval({x: view}), expected, strict=True):
        np.testing.assert_array_equal(found, frames)
    samples = C.input_variable((2, 2, 3), is_sparse=True)
    np.testing.assert_array_equal(C.times(samples, eye).eval({samples: view}), expected)


def test_a_gradient_without_axes_is_fed_as_one_sample():
    x, w = C.input_variable(3, is_sparse=True), C.parameter((3, 2))
    gradient = C.times(x, w).grad({x: csr_matrix(np.eye(3, dtype=np.float32)[[1, 1]])}, wrt=[w], as_numpy=False)
    y = C.input_variable((3, 2))
    np.testing.assert_array_equal((y * 1).eval({y: gradient}), [[[0, 0], [2, 2], [0, 0]]])


def test_arrays_in_another_order_are_copied_with_a_warning():
    square = np.array([[1, 2], [3, 4]])
    x = C.sequence.input_variable((2, 2))
    with pytest.warns(RuntimeWarning, match="c_contiguous"):
        value = sanitize_batch(x, [square.T, square.T])
    np.testing.assert_array_equal(value.asarray()[:, 0], [square.T, square.T])


def test_a_float32_constant_beside_doubles_is_computed_in_double():
    kernel, third = C.constant(1.0, (2,)), C.constant(np.float32(1) / np.float32(3), (2,))
    x = C.input_variable(2, dtype=np.float64)
    y = x * kernel + third
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y.eval({x: [[1, 2]]}), [[1 + float(np.float32(1 / 3)), 2 + float(np.float32(1 / 3))]])
    assert kernel.dtype == np.float32


def test_an_open_element_type_is_that_of_the_first_operator():
    w = C.parameter((C.InferredDimension, 1), init=C.glorot_uniform(), dtype=C.cntk_py.DataType_Unknown)
    assert w.get_data_type() == C.cntk_py.DataType_Unknown
    C.times(C.input_variable(1, dtype=np.float64), w)
    assert w.dtype == np.float64
    assert w.get_data_type() == C.cntk_py.DataType_Double
    assert w.value.dtype == np.float64


def test_times_can_sum_over_the_frames_too():
    x, y = C.sequence.input_variable((2, 3)), C.sequence.input_variable((3, 4))
    both = C.times(x, y, infer_input_rank_to_map=C.TIMES_REDUCE_SEQUENCE_AXIS_WITHOUT_INFERRED_INPUT_RANK)
    assert both.shape == (2, 4)
    assert [a.name for a in both.dynamic_axes] == ["defaultBatchAxis"]
    rng = np.random.default_rng(3)
    a = [rng.normal(size=(n, 2, 3)).astype(np.float32) for n in (2, 4)]
    b = [rng.normal(size=(n, 3, 4)).astype(np.float32) for n in (2, 4)]
    expected = [np.einsum("tak,tko->ao", p, q) for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(both.eval({x: a, y: b}), expected, rtol=1e-5, atol=1e-6)


def test_a_value_of_as_many_samples_as_there_are_can_be_assigned():
    w, x = C.parameter((2, 3)), C.input_variable(3)
    C.assign(w, C.unpack_batch(x)).eval({x: [[1, 2, 3], [4, 5, 6]]})
    np.testing.assert_array_equal(w.value, [[1, 2, 3], [4, 5, 6]])


def test_a_value_of_another_number_of_samples_is_not_assigned():
    w, x = C.parameter((2, 3)), C.input_variable(3)
    with pytest.raises(DataError) as error:
        C.assign(w, C.unpack_batch(x)).eval({x: [[1, 2, 3]] * 3})
    assert "the data have 3 along static axis 0, what they are combined with has 2" in str(error.value)
    assert not w.value.any()


@pytest.mark.parametrize("number", [3, -1, 2**70, 1.0, True, np.float32(1), "1"])
@pytest.mark.parametrize("sequences", [False, True])
def test_what_is_no_class_number_is_refused(number, sequences):
    batch = [[0, number]] if sequences else [0, number]
    with pytest.raises(DataError):
        C.Value.one_hot(batch, 3)


@pytest.mark.parametrize("kind", [int, np.int32, np.int64, np.uint8])
def test_class_numbers_of_any_whole_type_become_rows(kind):
    batch = [[kind(2), kind(0)], [kind(1)], [kind(0), kind(0), kind(2)]]
    found = [m.toarray() for m in C.Value.one_hot(batch, 3).as_sequences(variable(2, sparse=True))]
    for got, numbers in zip(found, batch, strict=True):
        np.testing.assert_array_equal(got, np.eye(3, dtype=np.float32)[[int(n) for n in numbers]])
    whole = C.Value.one_hot([np.array(one) for one in batch], 3)
    for got, want in zip(whole.as_sequences(variable(2, sparse=True)), found, strict=True):
        np.testing.assert_array_equal(got.toarray(), want)


def test_a_skipped_class_number_is_a_row_of_zeros():
    (rows,) = C.Value.one_hot([[2, C.Value.ONE_HOT_SKIP, 0]], 3).as_sequences(variable(2, sparse=True))
    np.testing.assert_array_equal(rows.toarray(), [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
    value = C.Value.one_hot([[1], [C.Value.ONE_HOT_SKIP, 2]], 3)
    one, two = value.as_sequences(variable(2, sparse=True))
    np.testing.assert_array_equal(one.toarray(), [[0, 1, 0]])
    np.testing.assert_array_equal(two.toarray(), [[0, 0, 0], [0, 0, 1]])


def test_the_element_type_of_one_hot_rows_is_the_one_asked_for():
    for dtype in (np.float64, "float64", np.dtype("float64")):
        assert C.Value.one_hot([[1]], 3, dtype).dtype is np.float64


def test_one_class_number_for_each_place_of_the_other_axes():
    value = C.Value.one_hot([[0, 2, 1, 1]], (2, 3))
    (matrix,) = value.as_sequences(C.sequence.input_variable((2, 3), is_sparse=True))
    np.testing.assert_array_equal(matrix.toarray(), [[1, 0, 0, 0, 0, 1], [0, 1, 0, 0, 1, 0]])


def test_arrays_of_frames_are_packed_as_any_other_form_of_them():
    frames = [np.arange(3 * n, dtype=np.float32).reshape(n, 3) for n in (2, 4, 1)]
    type_ = variable(2).type
    want = [one.tolist() for one in frames]
    for data in (frames, tuple(frames), want, [*frames[:2], frames[2].astype(np.float64)]):
        rows, layout = read(type_, data, None, "x")
        assert rows.dtype == np.float32
        assert [a.tolist() for a in layout.split(rows)] == want
    with pytest.raises(DataError, match="do not match the Variable"):
        read(type_, [frames[0], frames[1][:, :2]], None, "x")
    _, layout = read(type_, frames, [True, False, True], "x")
    assert layout.begins == (True, False, True)
