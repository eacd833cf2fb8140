"""Pooling gives CNTK 2.7's numbers at every border; unpooling and regions of interest follow its corner cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import AttributeValueError, ShapeError

# what real CNTK 2.7 printed for the operand 0..24 (5 x 5)
POOLED = [
    (0, (2, 2), {"strides": 2}, [[6, 8], [16, 18]]),
    (0, (2, 2), {"strides": (2, 2), "ceil_out_dim": True}, [[6, 8, 9], [16, 18, 19], [21, 23, 24]]),
    (0, (3, 3), {"strides": (2, 2), "auto_padding": [True]}, [[6, 8, 9], [16, 18, 19], [21, 23, 24]]),
    (0, (3, 3), {"strides": (2, 2), "auto_padding": [False, True]}, [[11, 13, 14], [21, 23, 24]]),
    (1, (2, 2), {"strides": (2, 2), "ceil_out_dim": True}, [[3, 5, 6.5], [13, 15, 16.5], [20.5, 22.5, 24]]),
    (1, (3, 3), {"strides": (2, 2), "auto_padding": [True]}, [[3, 4.5, 6], [10.5, 12, 13.5], [18, 19.5, 21]]),
    (
        1,
        (2, 2),
        {"strides": (2, 2), "auto_padding": [True], "include_pad": True},
        [[3, 5, 3.25], [13, 15, 8.25], [10.25, 11.25, 6]],
    ),
]

# what real CNTK 2.7 printed for the operand 0..41 (6 x 7): region, bins, scale
REGIONS = [
    ((0, 0, 3, 3), (2, 2), 1.0, [8, 10, 22, 24]),
    ((0.5, 0.5, 3.5, 2.5), (2, 2), 1.0, [16, 18, 23, 25]),
    ((-2, -2, 3, 3), (2, 2), 1.0, [0, 0, 0, 24]),
    ((4, 4, 2, 2), (2, 2), 1.0, [41, 0, 0, 0]),
    ((3, 3, 20, 20), (3, 2), 0.5, [34, 34, 41, 41, 0, 0]),
    ((8, 8, 12, 12), (2, 2), 1.0, [0, 0, 0, 0]),
]


@pytest.mark.parametrize(("kind", "window", "attributes", "expected"), POOLED)
def test_windows_at_borders(kind: int, window: tuple[int, ...], attributes: dict[str, Any], expected: Any) -> None:
    x = C.input_variable((1, 5, 5))
    assert (
        C.pooling(x, kind, window, **attributes).eval({x: np.arange(25).reshape(1, 1, 5, 5)})[0, 0].tolist() == expected
    )


def test_the_first_of_equal_elements_receives_the_gradient() -> None:
    x = C.input_variable((1, 2, 4), needs_gradient=True)
    gradient = C.pooling(x, C.MAX_POOLING, (2, 2), (2, 2)).grad({x: np.ones((1, 1, 2, 4))})
    assert gradient[0, 0].tolist() == [[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]


def test_an_unknown_window_is_the_whole_image() -> None:
    x = C.input_variable((2, 2, 2))
    f = C.pooling(x, C.AVG_POOLING, (-2,))
    assert f.shape == (2, 1, 1)
    assert f.eval({x: np.arange(8).reshape(1, 2, 2, 2)}).ravel().tolist() == [1.5, 5.5]


def test_unpooling_with_a_shared_largest_element_keeps_the_last_value() -> None:
    x, v = C.input_variable(4), C.input_variable(3)
    f = C.unpooling(v, x, C.MAX_UNPOOLING, (2,), (1,))
    assert f.eval({x: [[0, 9, 1, 2]], v: [[5, 6, 7]]}).tolist() == [[0.0, 6.0, 0.0, 7.0]]


@pytest.mark.parametrize(("region", "bins", "scale", "expected"), REGIONS)
def test_regions_with_odd_corners(
    region: tuple[float, ...], bins: tuple[int, int], scale: float, expected: list[float]
) -> None:
    x, r = C.input_variable((1, 6, 7)), C.input_variable((1, 4))
    f = C.roipooling(x, r, C.MAX_POOLING, bins, scale)
    assert f.eval({x: np.arange(42).reshape(1, 1, 6, 7), r: [[region]]}).ravel().tolist() == expected


def test_only_maximum_pooling_of_regions() -> None:
    with pytest.raises(AttributeValueError, match="support only MAX pooling"):
        C.roipooling(C.input_variable((1, 6, 7)), C.input_variable((1, 4)), C.AVG_POOLING, (2, 2), 1.0)


def test_a_window_with_more_axes_than_the_operand_is_told() -> None:
    with pytest.raises(ShapeError, match="the window"):
        C.pooling(C.input_variable(4), C.MAX_POOLING, (2, 2))
