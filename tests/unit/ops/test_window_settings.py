"""Settings of windows and of inferred weights that CNTK refuses are refused while building, with its types."""

import pytest

import cntk_lab as C
from cntk_lab.errors import AttributeValueError, ShapeError

X = C.input_variable((2, 6, 6))
MATRIX = C.input_variable((6, 6))


@pytest.mark.parametrize("values", [[], [False, True, True, True]])
@pytest.mark.parametrize(
    "build",
    [
        lambda pad: C.convolution(C.parameter((3, 2, 3, 3)), X, auto_padding=pad),
        lambda pad: C.convolution_transpose(C.parameter((2, 3, 3, 3)), X, auto_padding=pad),
        lambda pad: C.pooling(X, C.MAX_POOLING, (2, 2), auto_padding=pad),
    ],
)
def test_paddings_of_no_or_too_many_axes_are_refused(build, values):
    with pytest.raises(AttributeValueError, match=r"give \d values or one"):
        build(values)


@pytest.mark.parametrize("strides", [(), (1, 1, 2, 2)])
def test_strides_of_no_or_too_many_axes_are_refused(strides):
    with pytest.raises(AttributeValueError, match=r"give \d values or one"):
        C.convolution(C.parameter((3, 2, 3, 3)), X, strides=strides, auto_padding=[False])


def test_a_weight_cannot_be_inferred_from_no_axis():
    with pytest.raises(AttributeValueError, match="none is left to sum over"):
        C.layers.Dense(3, map_rank=2)(MATRIX)


def test_a_weight_cannot_sum_over_more_axes_than_there_are():
    with pytest.raises(ShapeError, match="sums over 3 axes"):
        C.layers.Dense(3, input_rank=3)(MATRIX)


def test_the_number_of_outputs_cannot_be_inferred():
    with pytest.raises(AttributeValueError, match="cannot be inferred"):
        C.layers.Dense(-1)(MATRIX)
