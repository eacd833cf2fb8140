"""Sparse data are looked at where they come in: nothing that a matrix says is trusted before, in any tier."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.errors import DataError, LabError
from cntk_lab.io import MinibatchSource, MinibatchSourceFromData, StreamInformation, UserDeserializer
from cntk_lab.io._pages_memory import of_arrays
from cntk_lab.tensor.sparse import Csr
from cntk_lab.train._arrays import Arrays

GOOD = csr_matrix(np.eye(3, 5, dtype=np.float32))
VALUES, COLUMNS, STARTS = [1, 1, 1], [0, 1, 2], [0, 1, 2, 3]


def matrix(values=VALUES, columns=COLUMNS, starts=STARTS, kind="int32"):
    """A 3 x 5 matrix whose arrays are those given, whatever they say."""
    made = csr_matrix((3, 5), dtype=np.float32)
    made.data, made.indices = np.array(values, np.float32), np.array(columns, kind)
    made.indptr = np.array(starts, np.int32)
    return made


BAD = {
    "a column as large as the width": (matrix(columns=[0, 1, 5]), "there is no column 5, columns go from 0 to 4"),
    "a column far away": (matrix(columns=[0, 50_000_000, 2]), "there is no column 50000000"),
    "a negative column": (matrix(columns=[-1, 1, 2]), "there is no column -1"),
    "a column that 32 bits cannot hold": (matrix(columns=[0, 1, 2**32], kind="int64"), "there is no column 4294967296"),
    "columns that are fractions": (matrix(columns=[0, 1.5, 2], kind="float64"), "indices is 1-d, float64"),
    "columns in two axes": (matrix(columns=[[0, 1, 2]]), "indices is 2-d, int32"),
    "row starts that fall": (matrix(starts=[0, 2, 1, 3]), "indptr falls from 2 to 1"),
    "row starts below 0": (matrix(starts=[0, -1, 2, 3]), "indptr falls from 0 to -1"),
    "an end that is not stored": (matrix(starts=[0, 2, 3, 9]), "indptr goes from 0 to 9, but 3 values"),
    "a negative end": (matrix(starts=[0, 0, 0, -1]), "indptr goes from 0 to -1"),
    "a late beginning": (matrix(starts=[1, 1, 2, 3]), "indptr goes from 1 to 3"),
    "too few row starts": (matrix(starts=[0, 3]), "indptr has 2 elements, the matrix 3 rows"),
    "no row starts": (matrix(starts=[]), "indptr has 0 elements, the matrix 3 rows"),
    "too few values": (matrix(values=[1, 1]), "2 values, 3 columns, 3 stored elements"),
    "too few columns": (matrix(columns=[0, 1]), "3 values, 2 columns, 3 stored elements"),
}


def products():
    samples, frames = C.input_variable(5, is_sparse=True), C.sequence.input_variable(5, is_sparse=True)
    lines, dense = C.input_variable((3, 5), is_sparse=True), C.input_variable(5)
    w = C.parameter((5, 2), init=np.arange(10).reshape(5, 2))
    return {
        "rows along the last axis": (C.times(lines, w), lines, lambda m: m),
        "samples": (C.times(samples, w), samples, lambda m: m),
        "sequences": (C.times(frames, w), frames, lambda m: [GOOD, m]),
        "a sequence alone": (C.times(frames, w), frames, lambda m: [m]),
        "dense variable": (dense * 2, dense, lambda m: m),
        "Value": (C.times(samples, w), samples, C.Value),
        "Value of sequences": (C.times(frames, w), frames, lambda m: C.Value.create(frames, [GOOD, m])),
        "view": (C.times(samples, w), samples, C.NDArrayView.from_csr),
    }


@pytest.mark.parametrize("switches", [{}, {"native_after": 0, "background_compilation": False}])
@pytest.mark.parametrize("what", BAD)
def test_a_sparse_matrix_that_points_elsewhere_is_refused_at_every_door(what, switches):
    bad, words = BAD[what]
    with settings.option(**switches):
        for door, (function, variable, given) in products().items():
            for runs_before in (0, 3):
                for _ in range(runs_before):
                    function.eval({variable: given(GOOD)})
                with pytest.raises(DataError) as error:
                    function.eval({variable: given(bad)})
                assert words in str(error.value), door


@pytest.mark.parametrize("what", BAD)
def test_readers_of_arrays_refuse_a_sparse_matrix_that_points_elsewhere(what):
    bad, words = BAD[what]
    for data in (bad, [GOOD, bad]):
        with pytest.raises(LabError, match=r"sparse data for stream 'x'") as error:
            MinibatchSourceFromData({"x": data})
        assert words in str(error.value)

    class Chunks(UserDeserializer):
        def stream_infos(self):
            return [StreamInformation("x", 0, "sparse", np.float32, (5,))]

        def num_chunks(self):
            return 1

        def get_chunk(self, chunk_id):
            return {"x": [bad]}

    with pytest.raises(LabError) as error:
        MinibatchSource(Chunks(), randomize=False).next_minibatch(3)
    assert words in str(error.value)


def test_a_refused_column_is_named_with_its_place_and_the_columns_there_are():
    x = C.sequence.input_variable(5, is_sparse=True, name="words")
    with pytest.raises(DataError) as error:
        C.times(x, C.parameter((5, 2))).eval({x: [GOOD, matrix(columns=[0, 1, 5])]})
    assert str(error.value) == (
        "sparse data for 'words': there is no column 5, columns go from 0 to 4\n"
        "  where: sequence 1, row 2 of 3, stored element 2\n"
        "  fix:   give column numbers from 0 to 4, or a variable with more elements"
    )


def test_what_a_matrix_stores_beyond_its_last_row_is_not_read():
    x, w = C.input_variable(5, is_sparse=True), C.parameter((5, 2), init=np.arange(10).reshape(5, 2))
    longer = matrix(values=[1, 1, 1, 7], columns=[0, 1, 2, 99])
    for _ in range(5):
        assert C.times(x, w).eval({x: longer}).tolist() == [[0, 1], [2, 3], [4, 5]]
    frames = C.sequence.input_variable(5, is_sparse=True)
    parts = C.times(frames, w).eval({frames: [longer, GOOD[2:]]})
    assert [p.tolist() for p in parts] == [[[0, 1], [2, 3], [4, 5]], [[4, 5]]]


def test_columns_in_any_order_and_twice_are_added_up():
    x, w = C.input_variable(5, is_sparse=True), C.parameter((5, 2), init=np.arange(10).reshape(5, 2))
    twice = matrix(values=[1, 2, 3], columns=[4, 2, 4], starts=[0, 3, 3, 3])
    for _ in range(5):
        assert C.times(x, w).eval({x: twice}).tolist() == [[40, 46], [0, 0], [0, 0]]


def test_a_value_whose_matrix_was_changed_since_is_looked_at_again():
    x = C.sequence.input_variable(5, is_sparse=True)
    own = GOOD.copy()
    value = C.Value.create(x, [own])
    own.indices[1] = 1000
    with pytest.raises(DataError, match="there is no column 1000"):
        C.times(x, C.parameter((5, 2))).eval({x: value})


def test_a_matrix_mixed_with_other_arrays_is_refused():
    x = C.sequence.input_variable(5, is_sparse=True, name="x")
    with pytest.raises(DataError, match="mix CSR matrices and a ndarray"):
        (C.times(x, C.parameter((5, 2)))).eval({x: [GOOD, np.eye(5, dtype=np.float32)]})


@pytest.mark.parametrize("kind", ["int32", "int64", "uint16", "uint64"])
def test_columns_may_be_whole_numbers_of_any_type(kind):
    assert Csr.checked(matrix(kind=kind), "x").matrix().toarray().tolist() == GOOD.toarray().tolist()


NO_PLACES = [-1, 5, 1e6, 1e12, -1e12, np.nan, np.inf, -np.inf]
"""What names no element of an axis of 5."""


@pytest.mark.parametrize("number", NO_PLACES)
def test_numbers_that_name_no_element_never_read_memory(number):
    w, i = C.parameter((5, 2), init=np.arange(10).reshape(5, 2)), C.input_variable(2)
    gather, one_hot = C.gather(w, i), C.one_hot(i, 5)
    k = C.input_variable(())
    embedding = C.times(C.one_hot(k, 5, sparse_output=True), w)
    for _ in range(5):
        with pytest.raises(DataError, match="is not an element of an axis of 5"):
            gather.eval({i: [[0, number]]})
        with pytest.raises(DataError, match="is not an element of an axis of 5"):
            gather.grad({i: [[0, number]]}, wrt=[w])
        assert one_hot.eval({i: [[0, number]]}).tolist() == [[[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]]
        assert embedding.eval({k: [3, number]}).tolist() == [[6, 7], [0, 0]]


@pytest.mark.parametrize("number", [*NO_PLACES, 0])
def test_lengths_that_are_none_are_refused(number):
    x, n = C.input_variable((4, 3)), C.input_variable(())
    with pytest.raises(DataError, match=r"to_sequence: a length of .*, the operand has 4 frames"):
        C.to_sequence(x, n).eval({x: np.ones((2, 4, 3)), n: [2, number]})


@pytest.mark.parametrize("number", [1e12, np.nan, np.inf, -np.inf])
def test_conditions_that_count_nothing_that_can_be_counted_are_refused(number):
    x, c = C.sequence.input_variable(3), C.sequence.input_variable(())
    for function in (C.sequence.where(c), C.sequence.gather(x, c), C.sequence.scatter(C.sequence.gather(x, c), c)):
        given = {v: np.ones((1, 3, 3)) if v is x else [[1, number, 1]] for v in function.arguments}
        with pytest.raises(DataError, match="condition"):
            function.eval(given)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_regions_that_are_nowhere_are_refused(number):
    image, regions = C.input_variable((1, 4, 4), needs_gradient=True), C.input_variable((1, 4))
    pooled = C.roipooling(image, regions, C.MAX_POOLING, (2, 2), 1.0)
    data = {image: np.ones((1, 1, 4, 4)), regions: [[[0, 0, number, 3]]]}
    with pytest.raises(DataError, match="a region has the coordinate"):
        pooled.eval(data)
    with pytest.raises(DataError, match="a region has the coordinate"):
        pooled.grad(data, wrt=[image])


@pytest.mark.parametrize(("weights", "words"), [([1, np.nan], "nan"), ([1, np.inf], "inf"), ([0, 0], "0.0")])
def test_weights_that_nothing_can_be_drawn_by_are_refused(weights, words):
    with pytest.raises(LabError, match=f"random_sample: .*{words}"):
        C.random_sample(C.parameter(2, init=np.array(weights, np.float32)), 1, True).eval()


@pytest.mark.parametrize("what", BAD)
def test_lab_train_refuses_a_sparse_matrix_that_points_elsewhere(what):
    bad, words = BAD[what]
    with pytest.raises(DataError, match="sparse data for 'x'") as error:
        Arrays({"x": bad, "y": np.ones((3, 1))})
    assert words in str(error.value)
    with pytest.raises(DataError, match=r"convert them with .tocsr\(\)"):
        Arrays({"x": GOOD.tocoo(), "y": np.ones((3, 1))})


@pytest.mark.parametrize("what", BAD)
def test_pages_of_a_preview_refuse_a_sparse_matrix_that_points_elsewhere(what):
    bad, words = BAD[what]
    for data in (bad, [GOOD, bad]):
        with pytest.raises(LabError) as error:
            of_arrays({"x": data}).page(0, 10)
        assert words in str(error.value)
