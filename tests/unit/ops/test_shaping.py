"""Views, parts and pieces name axes as CNTK 2.7 does, with its odd rules for expand_dims, flatten and slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import AxisError, ShapeError
from cntk_lab.graph.opdef import Trait

SHAPES = [
    (lambda x: C.reshape(x, (-1, 2)), (12, 2)),
    (lambda x: C.reshape(x, (1, -1), 0, 2), (1, 6, 4)),
    (lambda x: C.reshape(x, (1,), 1, 1), (2, 1, 3, 4)),
    (lambda x: C.reshape(x, (1,), C.Axis.new_leading_axis()), (2, 3, 4, 1)),
    (lambda x: C.flatten(x), (1, 24)),
    (lambda x: C.flatten(x, 2), (6, 4)),
    (lambda x: C.flatten(x, -1), (24, 1)),
    (lambda x: C.flatten(x, -3), (2, 12)),
    (lambda x: C.expand_dims(x, 0), (2, 1, 3, 4)),
    (lambda x: C.expand_dims(x, -4), (1, 2, 3, 4)),
    (lambda x: C.transpose(x, (1, 0)), (2, 4, 3)),
    (lambda x: C.transpose(x, (0, -1, 1)), (2, 4, 3)),
    (lambda x: C.swapaxes(x, -1, 0), (4, 3, 2)),
    (lambda x: x[0], (1, 3, 4)),
    (lambda x: x[..., [0, 2]], (2, 3, 2)),
    (lambda x: C.splice(x, x, axis=C.Axis.new_leading_axis()), (2, 2, 3, 4)),
]

SLICES = [
    ((0, 0, 5, -2), [4, 2, 0]),
    ((0, 1, 4, -2), [3, 1]),
    ((0, -3, 4, None), [2, 3]),
    ((-1, 0, -1, None), [0, 1, 2, 3]),
    ((0, 0, 0, -1), [4, 3, 2, 1, 0]),
]


@pytest.mark.parametrize(("build", "shape"), SHAPES)
def test_axes_are_named_as_in_cntk(build: Any, shape: tuple[int, ...]) -> None:
    assert build(C.input_variable((2, 3, 4))).shape == shape


@pytest.mark.parametrize(("arguments", "expected"), SLICES)
def test_slices_backwards_and_from_the_end(arguments: tuple[Any, ...], expected: list[float]) -> None:
    x = C.input_variable(5)
    axis, begin, end, stride = arguments
    assert C.slice(x, axis, begin, end, stride).eval({x: [[0, 1, 2, 3, 4]]})[0].tolist() == expected


@pytest.mark.parametrize(("begin", "end"), [(3, 2), (3, 3), (3, 9)])
def test_an_empty_slice_is_told(begin: int, end: int) -> None:
    with pytest.raises(AxisError, match=rf"range \[{begin},{end}\)"):
        C.slice(C.input_variable(5), 0, begin, end)


def test_reshapes_copy_nothing() -> None:
    views = (C.reshape.op, C.squeeze.op, C.expand_dims.op, C.flatten.op)  # type: ignore[attr-defined]
    assert all(op.has(Trait.VIEW) for op in views)
    p = C.parameter((2, 3), init=1)
    assert C.reshape(p, (6,)).grad(wrt=[p]).tolist() == [[1.0] * 3] * 2


def test_a_reshape_that_does_not_fit_tells_both_sizes() -> None:
    with pytest.raises(ShapeError, match=r"\[2 x 3 x 4\] have 24 elements, \[5\] has 5"):
        C.reshape(C.input_variable((2, 3, 4)), (5,))


@pytest.mark.parametrize(
    ("mode", "expected"), [(C.REFLECT_PAD, [1.0, 2.0, 2.0, 2.0, 1.0]), (C.SYMMETRIC_PAD, [2.0, 2.0, 1.0, 1.0, 2.0])]
)
def test_gradients_of_mirrored_padding_are_folded_back(mode: int, expected: list[float]) -> None:
    x = C.input_variable(5, needs_gradient=True)
    assert C.pad(x, [(2, 1)], mode).grad({x: [[1, 2, 3, 4, 5]]})[0].tolist() == expected


def test_blocks_of_pixels_go_to_channels_and_back() -> None:
    x = C.input_variable((2, 2, 2))
    deep = C.space_to_depth(x, 2)
    data = np.arange(8).reshape(1, 2, 2, 2)
    assert deep.eval({x: data}).ravel().tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    assert np.array_equal(C.depth_to_space(deep, 2).eval({x: data}), data)


def test_gather_along_another_axis_exchanges_axes_before_and_after() -> None:
    r, i = C.constant(np.arange(30, dtype=np.float32).reshape(2, 3, 5)), C.input_variable((4, 6))
    assert [C.gather(r, i, axis=a).shape for a in (None, 1, 2, -1, -2)] == [
        (4, 6, 3, 5),
        (6, 4, 2, 5),
        (3, 6, 4, 2),
        (2, 6, 3, 4),
        (2, 6, 4, 5),
    ]


def test_an_index_that_is_no_element_is_told() -> None:
    i = C.input_variable(1)
    with pytest.raises(ValueError, match="index 3 is not an element of an axis of 3"):
        C.gather(C.constant(np.ones((3, 2), np.float32)), i).eval({i: [[3]]})


# what real CNTK 2.7 chose: the first element of the crop of 0..143 (12 x 12)
@pytest.mark.parametrize(("kernel", "pad", "corner"), [(3, False, 13), (4, False, 13), (5, False, 26), (5, True, 0)])
def test_crops_lie_where_the_network_looked(kernel: int, pad: bool, corner: float) -> None:
    x = C.input_variable((1, 12, 12))
    seen = C.convolution(C.parameter((1, 1, kernel, kernel)), x, auto_padding=[False, pad, pad])
    crop = C.crop_automatic(x, C.relu(seen))
    assert crop.shape == seen.shape
    assert crop.eval({x: np.arange(144).reshape(1, 1, 12, 12)})[0, 0, 0, 0] == corner


def test_crops_of_unequal_scale_are_told() -> None:
    x = C.input_variable((1, 6, 6))
    with pytest.raises(RuntimeError, match="non 1 scale"):
        C.crop_automatic(x, C.pooling(x, C.MAX_POOLING, (2, 2), (2, 2)))
