"""Comparisons, choices and logic: results are 0 or 1 in the operands' element type, with gradient 0."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from cntk_lab.formula import expr as e
from cntk_lab.graph.declare import elementwise
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import NONE, CntkRule, OnnxRule, Sample, Trait, reals
from cntk_lab.graph.operand import Operand
from cntk_lab.ops._arithmetic import associative

__all__ = [
    "clip",
    "element_and",
    "element_max",
    "element_min",
    "element_not",
    "element_or",
    "element_select",
    "element_xor",
    "equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "not_equal",
]

_PAIR = tuple(
    Sample(shapes, parameters=parameters, gradient=False)
    for shapes, parameters in (
        (((2, 3), (2, 3)), ()),
        (((2, 3), (3,)), ()),
        (((2, 1), (1, 3)), (1,)),
        (((), (3,)), (0,)),
    )
)
_SMOOTH = (Sample(((2, 3), (2, 3))), Sample(((2, 3), (3,))), Sample(((2, 3), (2, 1)), parameters=(1,)))


@elementwise(
    formula=lambda left, right: e.equal(left, right),
    cntk=CntkRule("Equal", id=22),
    onnx=OnnxRule("Equal", since=7),
    traits=[Trait.NO_GRADIENT],
    samples=_PAIR,
)
def equal(left: Operand, right: Operand, name: str = "") -> Function:
    """1 where the elements are equal, else 0.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape, of zeros and ones.

    Example:
        >>> equal([1, 2, 3], [1, 3, 2]).eval().tolist()
        [1.0, 0.0, 0.0]

    Source: CNTK 2.7 ``ops.equal``; ONNX Equal-7.
    """


@elementwise(
    formula=lambda left, right: e.not_equal(left, right),
    cntk=CntkRule("NotEqual", id=23),
    traits=[Trait.NO_GRADIENT],
    samples=_PAIR,
)
def not_equal(left: Operand, right: Operand, name: str = "") -> Function:
    """1 where the elements differ, else 0.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape, of zeros and ones.

    Example:
        >>> not_equal([1, 2, 3], [1, 3, 2]).eval().tolist()
        [0.0, 1.0, 1.0]

    Source: CNTK 2.7 ``ops.not_equal``.
    """


@elementwise(
    formula=lambda left, right: left < right,
    cntk=CntkRule("Less", id=24),
    onnx=OnnxRule("Less", since=7),
    traits=[Trait.NO_GRADIENT],
    samples=_PAIR,
)
def less(left: Operand, right: Operand, name: str = "") -> Function:
    """1 where left is less than right, else 0.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape, of zeros and ones.

    Example:
        >>> less([1, 2, 3], [1, 3, 2]).eval().tolist()
        [0.0, 1.0, 0.0]

    Source: CNTK 2.7 ``ops.less``; ONNX Less-7.
    """


@elementwise(
    formula=lambda left, right: left <= right,
    cntk=CntkRule("LessEqual", id=25),
    traits=[Trait.NO_GRADIENT],
    samples=_PAIR,
)
def less_equal(left: Operand, right: Operand, name: str = "") -> Function:
    """1 where left is not greater than right, else 0.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape, of zeros and ones.

    Example:
        >>> less_equal([1, 2, 3], [1, 3, 2]).eval().tolist()
        [1.0, 1.0, 0.0]

    Source: CNTK 2.7 ``ops.less_equal``.
    """


@elementwise(
    formula=lambda left, right: left > right,
    cntk=CntkRule("Greater", id=26),
    onnx=OnnxRule("Greater", since=7),
    traits=[Trait.NO_GRADIENT],
    samples=_PAIR,
)
def greater(left: Operand, right: Operand, name: str = "") -> Function:
    """1 where left is greater than right, else 0.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape, of zeros and ones.

    Example:
        >>> greater([1, 2, 3], [1, 3, 2]).eval().tolist()
        [0.0, 0.0, 1.0]

    Source: CNTK 2.7 ``ops.greater``; ONNX Greater-7.
    """


@elementwise(
    formula=lambda left, right: left >= right,
    cntk=CntkRule("GreaterEqual", id=27),
    traits=[Trait.NO_GRADIENT],
    samples=_PAIR,
)
def greater_equal(left: Operand, right: Operand, name: str = "") -> Function:
    """1 where left is not less than right, else 0.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape, of zeros and ones.

    Example:
        >>> greater_equal([1, 2, 3], [1, 3, 2]).eval().tolist()
        [1.0, 0.0, 1.0]

    Source: CNTK 2.7 ``ops.greater_equal``.
    """


@elementwise(
    formula=lambda left, right: e.where(left > right, left, right),
    cntk=CntkRule(block="ElementMax"),
    onnx=OnnxRule("Max", since=8),
    domain={"left": reals(distinct=True), "right": reals(distinct=True)},
    samples=_SMOOTH,
)
def element_max(left: Operand, right: Operand, name: str = "") -> Function:
    """The larger of two elements; where they are equal, the gradient goes to the right operand.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape.

    Example:
        >>> element_max([1, 2, 3], [1, 3, 2]).eval().tolist()
        [1.0, 3.0, 3.0]

    Source: CNTK 2.7 ``ops.element_max``; ONNX Max-8.
    """


element_max = associative(element_max)


@elementwise(
    formula=lambda left, right: e.where(left < right, left, right),
    cntk=CntkRule(block="ElementMin"),
    onnx=OnnxRule("Min", since=8),
    domain={"left": reals(distinct=True), "right": reals(distinct=True)},
    samples=_SMOOTH,
)
def element_min(left: Operand, right: Operand, name: str = "") -> Function:
    """The smaller of two elements; where they are equal, the gradient goes to the right operand.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape.

    Example:
        >>> element_min([1, 2, 3], [1, 3, 2]).eval().tolist()
        [1.0, 2.0, 2.0]

    Source: CNTK 2.7 ``ops.element_min``; ONNX Min-8.
    """


element_min = associative(element_min)


@elementwise(
    arrays=NONE,
    formula=lambda x, y: e.logical_and(x > 0, y > 0),
    cntk=CntkRule(block="And"),
    onnx=OnnxRule("And", since=7),
    traits=[Trait.NO_GRADIENT],
    samples=_PAIR,
)
def element_and(x: Operand, y: Operand, name: str = "") -> Function:
    """1 where both elements are greater than 0, else 0.

    Args:
        x: operand of any static shape.
        y: operand whose shape broadcasts with x's, aligned at the last axis.

    Returns:
        Function of the broadcast shape, of zeros and ones.

    Example:
        >>> element_and([1, 1, 0, -1], [1, 0, 0, 1]).eval().tolist()
        [1.0, 0.0, 0.0, 0.0]

    Source: CNTK 2.7 ``ops.element_and``; ONNX And-7.
    """


@elementwise(
    arrays=NONE,
    formula=lambda x, y: e.logical_or(x > 0, y > 0),
    cntk=CntkRule(block="Or"),
    onnx=OnnxRule("Or", since=7),
    traits=[Trait.NO_GRADIENT],
    samples=_PAIR,
)
def element_or(x: Operand, y: Operand, name: str = "") -> Function:
    """1 where an element is greater than 0, else 0.

    Args:
        x: operand of any static shape.
        y: operand whose shape broadcasts with x's, aligned at the last axis.

    Returns:
        Function of the broadcast shape, of zeros and ones.

    Example:
        >>> element_or([1, 1, 0, -1], [1, 0, 0, 1]).eval().tolist()
        [1.0, 1.0, 0.0, 1.0]

    Source: CNTK 2.7 ``ops.element_or``; ONNX Or-7.
    """


@elementwise(
    arrays=NONE,
    formula=lambda x, y: e.not_equal(x > 0, y > 0),
    cntk=CntkRule(block="Xor"),
    onnx=OnnxRule("Xor", since=7),
    traits=[Trait.NO_GRADIENT],
    samples=_PAIR,
)
def element_xor(x: Operand, y: Operand, name: str = "") -> Function:
    """1 where exactly one of the elements is greater than 0, else 0.

    Args:
        x: operand of any static shape.
        y: operand whose shape broadcasts with x's, aligned at the last axis.

    Returns:
        Function of the broadcast shape, of zeros and ones.

    Example:
        >>> element_xor([1, 1, 0, -1], [1, 0, 0, 1]).eval().tolist()
        [0.0, 1.0, 0.0, 1.0]

    Source: CNTK 2.7 ``ops.element_xor``; ONNX Xor-7.
    """


@elementwise(
    formula=lambda x: x <= 0,
    cntk=CntkRule(block="Not"),
    onnx=OnnxRule("Not"),
    traits=[Trait.NO_GRADIENT],
    samples=(Sample(((2, 3),), gradient=False),),
)
def element_not(x: Operand, name: str = "") -> Function:
    """1 where the element is not greater than 0, else 0.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x, of zeros and ones.

    Example:
        >>> element_not([1, 0, 0.3, -1]).eval().tolist()
        [0.0, 1.0, 0.0, 1.0]

    Source: CNTK 2.7 ``ops.element_not``; ONNX Not-1.
    """


@elementwise(
    arrays=NONE,
    formula=lambda flag, value_if_true, value_if_false: e.where(flag, value_if_true, value_if_false),
    cntk=CntkRule("Select", id=42),
    domain={"flag": reals(0.5, 1.0)},
    samples=(
        Sample(((2, 3), (2, 3), (2, 3))),
        Sample(((3,), (2, 3), ())),
        Sample(((2, 3), (2, 1), (3,)), parameters=(1, 2)),
    ),
)
def element_select(flag: Operand, value_if_true: Operand, value_if_false: Operand, name: str = "") -> Function:
    """The first value where the flag is not 0, else the second; the gradient goes to the chosen value.

    Args:
        flag: operand of any static shape.
        value_if_true: operand that broadcasts with it.
        value_if_false: operand that broadcasts with both.

    Returns:
        Function of the broadcast shape.

    Example:
        >>> element_select([-10, 0, 0.3], [1, 2, 3], [4, 5, 6]).eval().tolist()
        [1.0, 5.0, 3.0]

    Source: CNTK 2.7 ``ops.element_select``.
    """


@elementwise(
    arrays="x",
    formula=lambda x, min_value, max_value: e.minimum(e.maximum(x, min_value), max_value),
    derivative={
        "x": lambda x, min_value, max_value: e.logical_and(x >= min_value, x <= max_value),
        "min_value": lambda: e.const(0),
        "max_value": lambda: e.const(0),
    },
    dtype=lambda x: x.dtype,
    cntk=CntkRule("Clip", id=41),
    onnx=OnnxRule("Clip", since=6, attributes={"min_value": "min", "max_value": "max"}),
    domain={"x": reals(-2.0, 2.0, avoid=(-1.0, 1.0)), "min_value": reals(-1.0, -1.0), "max_value": reals(1.0, 1.0)},
    samples=(
        Sample(((2, 3), (), ()), gradient=False, parameters=(1, 2)),
        Sample(((2, 3), (3,), (2, 1)), gradient=False, parameters=(1, 2)),
    ),
)
def clip(x: Operand, min_value: Operand, max_value: Operand, name: str = "") -> Function:
    """The elements held between two bounds; the gradient passes within them and at them, and is 0 outside.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        min_value: lower bound, a number or an operand that broadcasts; it gets no gradient.
        max_value: upper bound, likewise.

    Returns:
        Function of the broadcast shape.

    Example:
        >>> clip([1, 2.1, 3, 4.1], 2, 4).eval().astype(float).round(4).tolist()
        [2.0, 2.1, 3.0, 4.0]

    Source: CNTK 2.7 ``ops.clip``; ONNX Clip-6.
    """


def _single(bound: Any) -> Any:
    return float(np.float32(bound)) if isinstance(bound, (int, float)) else bound


def _with_single_bounds(declared: Callable[..., Function]) -> Callable[..., Function]:
    """Bounds given as numbers are rounded to float32, as CNTK does for operands of any element type (observed)."""

    @functools.wraps(declared)
    def clip(x: Operand, min_value: Operand, max_value: Operand, name: str = "") -> Function:
        return declared(x, _single(min_value), _single(max_value), name=name)

    return clip


clip = _with_single_bounds(clip)
