"""Losses and metrics that compare two vectors: cosine similarity and F-measure."""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.formula import expr as e
from cntk_lab.graph.declare import elementwise, tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, Sample, Trait
from cntk_lab.graph.operand import Operand
from cntk_lab.ops._arithmetic import element_times, minus, plus
from cntk_lab.ops._reductions import reduce_sum
from cntk_lab.tensor.shape import size

__all__ = ["cosine_distance", "cosine_distance_with_negative_samples", "fmeasure"]


def _cosine(x: e.Expr, y: e.Expr, along: Any) -> e.Expr:
    lengths = e.sqrt(e.reduce("sum", x * x, along) * e.reduce("sum", y * y, along))
    return e.where(e.equal(lengths, 0), 0, e.reduce("sum", x * y, along) / e.where(e.equal(lengths, 0), 1, lengths))


def _cosine_slope(dy: e.Expr, x: e.Expr, other: e.Expr, y: e.Expr, along: Any) -> e.Expr:
    """The gradient of the similarity y with respect to x."""
    own = e.reduce("sum", x * x, along)
    lengths = e.sqrt(own * e.reduce("sum", other * other, along))
    zero = e.equal(lengths, 0)
    return e.where(zero, 0, dy * (other / e.where(zero, 1, lengths) - y * x / e.where(zero, 1, own)))


@elementwise(
    formula=lambda x, other, along: _cosine(x, other, along),
    operands=("x", "other"),
    derivative={
        "x": lambda dy, x, other, y, along: _cosine_slope(dy, x, other, y, along),
        "other": lambda dy, x, other, y, along: _cosine_slope(dy, other, x, y, along),
    },
    resolve=lambda x, other: {"along": list(range(-max(x.rank, other.rank), 0))},
    settles=("along",),
    shape=lambda x: (),
    cntk=CntkRule("CosDistance", id=53),
    samples=(Sample(((3,), (3,))), Sample(((2, 3), (2, 3))), Sample(((3,), (3,)), parameters=(1,))),
)
def _cosine_distance(x: Operand, other: Operand, name: str = "") -> Function:
    """The cosine of the angle between two vectors; see :func:`cosine_distance`.

    Args:
        x: operand of any static shape, taken as one vector.
        other: operand of the same shape.

    Returns:
        Function of shape ().

    Example:
        >>> _cosine_distance([1, 0], [1, 0]).eval().tolist()
        1.0

    Source: CNTK 2.7 ``losses.cosine_distance``.
    """


def cosine_distance(x: Operand, y: Operand, name: str = "") -> Function:
    """The cosine of the angle between two vectors: a similarity, in spite of its name; 0 if one of them is all zeros.

    The gradient where a vector is all zeros is 0 (CNTK 2.7 gives nan).

    Args:
        x: operand of any static shape, taken as one vector.
        y: operand of the same shape.

    Returns:
        Function of shape (), from -1 to 1.

    Example:
        >>> cosine_distance([1, 2], [2, 1]).eval().astype(float).round(4).tolist()
        0.8

    Source: CNTK 2.7 ``losses.cosine_distance``.
    """
    return _cosine_distance(x, y, name)


def _negatives(xp: Any, y: Any, shift: int, count: int) -> Any:
    """For each row its own y and those of ``count`` rows further on, around the end: (rows x 1 + count x elements)."""
    rows = y.shape[0]
    flat = y.reshape(rows, size(y.shape[1:]))
    index = [np.arange(rows)] + [(np.arange(rows) + shift + k) % max(1, rows) for k in range(count)]
    return flat[xp.asarray(np.stack(index, 1))]


def _similarities(xp: Any, x: Any, y: Any, shift: int, num_negative_samples: int) -> Any:
    a, b = x.reshape(x.shape[0], 1, size(x.shape[1:])), _negatives(xp, y, shift, num_negative_samples)
    lengths = xp.sqrt((a * a).sum(2) * (b * b).sum(2))
    return (a * b).sum(2) / xp.where(lengths == 0, 1, lengths)


def _similarities_x(xp: Any, dy: Any, x: Any, y: Any, shift: int, num_negative_samples: int) -> Any:
    a, b = x.reshape(x.shape[0], 1, size(x.shape[1:])), _negatives(xp, y, shift, num_negative_samples)
    return _slope(xp, dy, a, b).sum(1).reshape(x.shape)


def _similarities_y(xp: Any, dy: Any, x: Any, y: Any, shift: int, num_negative_samples: int) -> Any:
    rows = y.shape[0]
    a, b = x.reshape(x.shape[0], 1, size(x.shape[1:])), _negatives(xp, y, shift, num_negative_samples)
    slope = _slope(xp, dy, b, a)
    total = slope[:, 0].copy()
    for k in range(num_negative_samples):
        total += xp.roll(slope[:, k + 1], (shift + k) % max(1, rows), axis=0)
    return total.reshape(y.shape)


def _slope(xp: Any, dy: Any, a: Any, b: Any) -> Any:
    """The gradient of the similarities of a and b with respect to a."""
    own, other = (a * a).sum(2, keepdims=True), (b * b).sum(2, keepdims=True)
    lengths = xp.sqrt(own * other)
    zero = lengths == 0
    lengths = xp.where(zero, 1, lengths)
    cosine = (a * b).sum(2, keepdims=True) / lengths
    return xp.where(zero, 0, dy[:, :, None] * (b / lengths - cosine * a / xp.where(zero, 1, own)))


@tensor_op(
    shape=lambda num_negative_samples: (num_negative_samples + 1,),
    operands=("x", "y"),
    forward=_similarities,
    gradient={"x": _similarities_x, "y": _similarities_y},
    traits=[Trait.SAME_AXES],
    cntk=CntkRule("CosDistanceWithNegativeSamples", id=67),
    samples=(Sample(((3,), (3,)), {"shift": 1, "num_negative_samples": 2}),),
)
def cosine_distance_with_negative_samples(
    x: Operand, y: Operand, shift: int, num_negative_samples: int, name: str = ""
) -> Function:
    """The cosine between x and its own y, then those between x and the y of other samples of the minibatch.

    Args:
        x: operand of any static shape, taken as one vector.
        y: operand of the same shape.
        shift: the first other sample is this many samples further on, around the end of the minibatch.
        num_negative_samples: how many other samples, one after the other.

    Returns:
        Function of shape (num_negative_samples + 1,).

    Example:
        >>> import cntk_lab as C
        >>> x, y = C.input_variable(2), C.input_variable(2)
        >>> z = cosine_distance_with_negative_samples(x, y, 1, 1)
        >>> z.eval({x: [[1, 0], [0, 1]], y: [[1, 0], [0, 1]]}).tolist()
        [[1.0, 0.0], [1.0, 0.0]]

    Source: CNTK 2.7 ``losses.cosine_distance_with_negative_samples``.
    """


def fmeasure(output: Operand, target: Operand, beta: float = 1) -> Function:
    """1 minus the F-measure of a sample's elements, counting how well positive elements are found.

    Args:
        output: probabilities, 0 to 1, of any static shape.
        target: 0 or 1, of the same shape.
        beta: how many times more recall weighs than precision.

    Returns:
        Function of shape (): 0 if all is right, 1 if nothing is.

    Example:
        >>> fmeasure([1, 0, 1, 0], [1, 1, 0, 0]).eval().tolist()
        0.5

    Source: CNTK 2.7 ``losses.fmeasure``.
    """
    found = reduce_sum(element_times(target, output))
    precision, recall = found / reduce_sum(output), found / reduce_sum(target)
    square = beta * beta
    return minus(1, (1 + square) * precision * recall / plus(square * precision, recall))
