"""The helpers that old programs take from CNTK's internals give what CNTK's gave (numbers observed on CNTK 2.7)."""

from __future__ import annotations

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.internal import sanitize, utils


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (np.float32, 1),
        ("float", 1),
        (float, 2),
        ("double", 2),
        (np.float16, 4),
        (np.int8, 5),
        ("int16", 6),
        (1, 1),
        (None, 0),
    ],
)
def test_element_types_become_cntk_numbers(given, number):
    assert sanitize.sanitize_dtype_cntk(given) == number


@pytest.mark.parametrize(
    ("given", "expected"), [(1, (1,)), ((1, 2), (1, 2)), ([1, 2], (1, 2)), ("x", ("x",)), (2.5, (2.5,))]
)
def test_things_become_tuples(given, expected):
    assert sanitize._as_tuple(given) == expected


def test_numbers_of_element_types_become_numpy_types():
    assert [sanitize.data_type_to_dtype(n) for n in (1, 2, 4, 5, 6, 0)] == [
        np.float32, np.float64, np.float16, np.int8, np.int16, object,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="data_type 3 is not supported"):
        sanitize.data_type_to_dtype(3)


def test_data_of_functions_are_matched_by_variable_or_name():
    x = C.input_variable(2, name="x")
    assert sanitize.sanitize_var_map([x], {"x": [[1, 2]]})[x].shape == (1, 1, 2)
    assert sanitize.sanitize_var_map([x], [[1, 2]])[x].shape == (1, 1, 2)
    with pytest.raises(ValueError, match='variable with name "q" does not exist in the network'):
        sanitize.sanitize_var_map([x], {"q": [[1, 2]]})
    with pytest.raises(ValueError, match="function expects 1 arguments"):
        sanitize.sanitize_var_map([x], None)


def test_the_type_of_variables_wins_over_that_of_data():
    single, double = np.float32(1), np.float64(1)
    assert utils.get_data_type(single, double) is np.float64
    assert utils.get_data_type(C.parameter(init=single), double) is np.float32
    assert utils.get_data_type(C.placeholder(2)) is None
    assert utils.get_data_type(1, 2.0) is np.float32


def test_values_and_gradients_come_at_once():
    x = C.input_variable(2, needs_gradient=True)
    values, gradients = utils.eval(x * 3, {x: [[1, 2]]}, "float", backward_pass=True, expected_backward={x: None})
    assert [v.tolist() for v in values.values()] == [[[3, 6]]]
    assert gradients[x].tolist() == [[3, 3]]


def test_a_value_alone_goes_through_a_file(tmp_path):
    array = np.arange(8, dtype=np.int8).reshape(2, 4)
    utils.DictionaryValue(array).save(str(tmp_path / "value"))
    assert utils.DictionaryValue.load(str(tmp_path / "value")) == utils.DictionaryValue(array)


def test_functions_are_compared_without_their_names_of_the_day():
    def model(width):
        C.cntk_py.reset_random_seed(3)
        return C.layers.Dense(width)(C.input_variable(2, name="x"))

    assert C.cntk_py.are_equal(model(3), model(3))
    assert not C.cntk_py.are_equal(model(3), model(4))
