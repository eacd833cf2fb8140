"""Convolutions give CNTK 2.7's numbers for every kind of padding, stride and group; errors say what to change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import ShapeError

# what real CNTK 2.7 printed for the operand 0..15 (4 x 4) and kernels of ones or counting up
STATIC = [
    (
        (3, 3),
        {"auto_padding": [False, True, True]},
        [[10, 18, 24, 18], [27, 45, 54, 39], [51, 81, 90, 63], [42, 66, 72, 50]],
    ),
    ((3, 3), {"auto_padding": [False]}, [[45, 54], [81, 90]]),
    ((3, 3), {"auto_padding": [False, True, True], "strides": (2, 2)}, [[10, 24], [51, 90]]),
]

# kernel (2 x 3 x 3 x 2) counting up, operand (2 x 3 x 4) counting up; first row of the first channel
TRANSPOSED = [
    ({"auto_padding": [False]}, (3, 5, 5), [216, 462, 500, 538, 288]),
    ({"auto_padding": [False], "strides": (2, 2)}, (3, 7, 8), [216, 228, 234, 248, 252, 268, 270, 288]),
    ({"auto_padding": [False, True, True], "strides": (2, 2)}, (3, 5, 7), [240, 252, 262, 276, 284, 300, 306]),
    (
        {"auto_padding": [False, True, True], "strides": (3, 3), "output_shape": (3, 9, 12)},
        (3, 9, 12),
        [0, 216, 228, 0, 234, 248, 0, 252, 268, 0, 270, 288],
    ),
    (
        {"auto_padding": [False], "strides": (2, 2), "output_shape": (3, 8, 9)},
        (3, 8, 9),
        [216, 228, 234, 248, 252, 268, 270, 288, 0],
    ),
]

# kernel (1 x 2 x 3) counting up, over two sequences of 5 and 4 frames of two numbers
SEQUENTIAL = [
    ({"auto_padding": [False]}, [[50, 80, 110], [65, 95]]),
    ({"auto_padding": [False, True]}, [[23, 50, 80, 110, 65], [35, 65, 95, 57]]),
    ({"auto_padding": [False], "strides": (2,)}, [[50, 110], [65]]),
    ({"auto_padding": [False, True], "strides": (2,)}, [[23, 80, 65], [35, 95]]),
    ({"auto_padding": [False, True], "strides": (3,)}, [[23, 110], [35, 57]]),
]


@pytest.mark.parametrize(("kernel", "attributes", "expected"), STATIC)
def test_windows_lie_where_cntk_puts_them(kernel: tuple[int, ...], attributes: dict[str, Any], expected: Any) -> None:
    x = C.input_variable((1, 4, 4))
    f = C.convolution(C.constant(np.ones((1, 1, *kernel), np.float32)), x, **attributes)
    assert f.eval({x: np.arange(16).reshape(1, 1, 4, 4)})[0, 0].tolist() == expected


@pytest.mark.parametrize(("attributes", "shape", "first_row"), TRANSPOSED)
def test_transposed_kernels_add_up(attributes: dict[str, Any], shape: tuple[int, ...], first_row: list[float]) -> None:
    x = C.input_variable((2, 3, 4))
    weights = C.constant(np.arange(36, dtype=np.float32).reshape(2, 3, 3, 2))
    f = C.convolution_transpose(weights, x, **attributes)
    assert f.shape == shape
    assert f.eval({x: np.arange(24).reshape(1, 2, 3, 4)})[0, 0, 0].tolist() == first_row


@pytest.mark.parametrize(("attributes", "expected"), SEQUENTIAL)
def test_kernels_run_over_sequences_of_any_length(attributes: dict[str, Any], expected: Any) -> None:
    x = C.sequence.input_variable(2)
    f = C.convolution(C.constant(np.arange(6, dtype=np.float32).reshape(1, 2, 3)), x, sequential=True, **attributes)
    data = [np.arange(10, dtype=np.float32).reshape(5, 2), np.arange(8, dtype=np.float32).reshape(4, 2) + 1]
    assert [v.ravel().tolist() for v in f.eval({x: data})] == expected


def test_groups_do_not_see_each_other() -> None:
    x = C.input_variable((2, 1, 1))
    f = C.convolution(C.constant(np.array([[[[2]]], [[[3]]]], np.float32)), x, groups=2, auto_padding=[False])
    assert f.eval({x: [[[[5]], [[7]]]]}).ravel().tolist() == [10.0, 21.0]


def test_dilated_kernels_skip_elements() -> None:
    x = C.input_variable((1, 5))
    f = C.convolution(C.constant(np.ones((1, 1, 2), np.float32)), x, dilation=(3,), auto_padding=[False])
    assert f.eval({x: [[[1, 2, 3, 4, 5]]]}).ravel().tolist() == [5.0, 7.0]


def test_free_dimensions_take_any_image() -> None:
    x = C.input_variable((1, C.FreeDimension, C.FreeDimension))
    f = C.convolution(C.constant(np.ones((1, 1, 2, 2), np.float32)), x, auto_padding=[False])
    assert f.eval({x: np.ones((1, 1, 3, 4))}).shape == (1, 1, 2, 3)
    assert f.eval({x: np.ones((1, 1, 5, 2))}).shape == (1, 1, 4, 1)


def test_padded_channels_have_a_shape_but_no_values() -> None:
    x = C.input_variable((3, 6, 6))
    f = C.convolution(C.parameter((4, 3, 3, 3), init=1), x)
    assert f.shape == (12, 6, 6)
    with pytest.raises(RuntimeError, match="padding over channel axis of 3 channels"):
        f.eval({x: np.ones((1, 3, 6, 6))})


def test_a_kernel_larger_than_the_operand_is_told() -> None:
    with pytest.raises(ShapeError, match=r"kernel dim 7 <= input dim 5(.|\n)*at least 7 elements"):
        C.convolution(C.parameter((1, 1, 7, 7)), C.input_variable((1, 5, 5)), auto_padding=[False, True, True])
