"""Parameters and constants made of values: shape and element type are those of CNTK 2.7."""

from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import LabWarning


@pytest.mark.parametrize(
    ("asked", "values", "shape"),
    [
        (None, np.arange(6).reshape(2, 3), (2, 3)),
        (None, np.arange(6), (6,)),
        ((2, 3), 5, (2, 3)),
        ((2, 3), np.float32(5), (2, 3)),
        ((2, C.InferredDimension), [[0, 1]], (1, 2)),
    ],
)
def test_values_of_any_number_type_are_taken(asked: Any, values: Any, shape: tuple[int, ...]) -> None:
    made = C.parameter(shape=asked, init=values)
    assert (made.shape, made.dtype) == (shape, np.float32)
    assert np.array_equal(made.value, np.broadcast_to(values, shape))


@pytest.mark.parametrize("make", [C.Parameter, lambda shape, init: C.Constant(init, shape=shape)])
def test_values_say_the_shape_whatever_was_asked_for(make: Any) -> None:
    with pytest.warns(LabWarning, match=r"takes shape \[1 x 2\] from its values; shape \[2\] was asked for"):
        made = make(shape=(2,), init=[[0, 1]])
    assert made.shape == (1, 2)
