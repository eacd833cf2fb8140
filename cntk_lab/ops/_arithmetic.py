"""Sums, differences, products, quotients, powers: elementwise with broadcasting at the last axes."""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Callable
from typing import Any

from cntk_lab.formula import expr as e
from cntk_lab.graph.declare import elementwise
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, OnnxRule, Sample, reals
from cntk_lab.graph.operand import Operand

__all__ = ["element_divide", "element_times", "log_add_exp", "mean", "minus", "negate", "plus", "pow", "sum"]

_PAIR = (
    Sample(((2, 3), (2, 3))),
    Sample(((2, 3), (3,))),
    Sample(((2, 1), (1, 3))),
    Sample(((2, 3), (2, 3)), parameters=(1,)),
    Sample(((), (3,))),
)


def associative(two: Callable[..., Any]) -> Callable[..., Any]:
    """Let an operator of two operands take any number: a balanced tree, of which only the outermost is named."""

    def many(*operands: Any, name: str = "") -> Any:
        items = list(operands)
        if len(items) > 2 and isinstance(items[-1], str):
            name = items.pop()
        if len(items) <= 2:
            return two(*items, name=name)
        half = len(items) // 2
        left = many(*items[:half]) if half > 1 else items[0]
        return two(left, many(*items[half:]), name=name)

    many.__name__, many.__doc__, many.op = two.__name__, two.__doc__, two.op  # type: ignore[attr-defined]
    many.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            *(inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ("arg1", "arg2")),
            inspect.Parameter("more", inspect.Parameter.VAR_POSITIONAL),
            inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=""),
        ]
    )
    return many


@elementwise(
    formula=lambda left, right: left + right,
    cntk=CntkRule("Plus", id=19),
    onnx=OnnxRule("Add", since=7),
    operator="__add__",
    samples=_PAIR,
)
def plus(left: Operand, right: Operand, name: str = "") -> Function:
    """The sum of the operands, element by element.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape.

    Raises:
        ShapeError: if the shapes do not broadcast.

    Example:
        >>> plus([1, 2, 3], [4, 5, 6]).eval().tolist()
        [5.0, 7.0, 9.0]

    Source: CNTK 2.7 ``ops.plus``; ONNX Add-7.
    """


plus = associative(plus)


@elementwise(
    formula=lambda left, right: left - right,
    cntk=CntkRule("Minus", id=20),
    onnx=OnnxRule("Sub", since=7),
    operator="__sub__",
    samples=_PAIR,
)
def minus(left: Operand, right: Operand, name: str = "") -> Function:
    """The difference of the operands, element by element.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape.

    Example:
        >>> minus([1, 2, 3], [4, 5, 6]).eval().tolist()
        [-3.0, -3.0, -3.0]

    Source: CNTK 2.7 ``ops.minus``; ONNX Sub-7.
    """


@elementwise(
    formula=lambda left, right: left * right,
    cntk=CntkRule("ElementTimes", id=21),
    onnx=OnnxRule("Mul", since=7),
    operator="__mul__",
    samples=_PAIR,
)
def element_times(left: Operand, right: Operand, name: str = "") -> Function:
    """The product of the operands, element by element.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape.

    Example:
        >>> element_times([1, 2, 3], 2).eval().tolist()
        [2.0, 4.0, 6.0]

    Source: CNTK 2.7 ``ops.element_times``; ONNX Mul-7.
    """


element_times = associative(element_times)


@elementwise(
    formula=lambda left, right: e.where(e.equal(right, 0), left * 0, left / e.where(e.equal(right, 0), 1, right)),
    cntk=CntkRule(block="ElementDivide"),
    onnx=OnnxRule("Div", since=7),
    operator="__truediv__",
    domain={"right": reals(0.5, 2.0)},
    samples=_PAIR,
)
def element_divide(left: Operand, right: Operand, name: str = "") -> Function:
    """The quotient of the operands, element by element; 0 where the divisor is 0.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape.

    Example:
        >>> element_divide([1, 2, 3], [4, 0, 6]).eval().tolist()
        [0.25, 0.0, 0.5]

    Source: CNTK 2.7 ``ops.element_divide``; ONNX Div-7.
    """


@elementwise(
    formula=lambda x: -x,
    cntk=CntkRule("Negate", id=0),
    onnx=OnnxRule("Neg", since=6),
    operator="__neg__",
    samples=(Sample(((2, 3),)),),
)
def negate(x: Operand, name: str = "") -> Function:
    """The operand with its sign changed.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x.

    Example:
        >>> negate([1, -2]).eval().tolist()
        [-1.0, 2.0]

    Source: CNTK 2.7 ``ops.negate``; ONNX Neg-6.
    """


def _log_add_exp(left: e.Expr, right: e.Expr) -> e.Expr:
    apart = e.maximum(left, right) + e.log1p(e.exp(-e.absolute(left - right)))
    return e.where(e.equal(left, right), left + math.log(2), apart)


@elementwise(
    formula=_log_add_exp,
    derivative={
        "left": lambda left, right: e.sigmoid(left - right),
        "right": lambda left, right: e.sigmoid(right - left),
    },
    cntk=CntkRule("LogPlus", id=52),
    samples=_PAIR,
)
def log_add_exp(left: Operand, right: Operand, name: str = "") -> Function:
    """log(exp(left) + exp(right)), element by element and without overflow.

    Args:
        left: operand of any static shape.
        right: operand whose shape broadcasts with left's, aligned at the last axis.

    Returns:
        Function of the broadcast shape.

    Example:
        >>> log_add_exp([0, 1000], [0, 1000]).eval().astype(float).round(4).tolist()
        [0.6931, 1000.6932]

    Source: CNTK 2.7 ``ops.log_add_exp``.
    """


log_add_exp = associative(log_add_exp)


def _pow(base: e.Expr, exponent: e.Expr) -> e.Expr:
    nothing = e.logical_and(e.equal(base, 0), exponent < 0)
    return e.where(nothing, 0, e.power(e.where(nothing, 1, base), exponent))


@elementwise(
    formula=_pow,
    derivative={
        "base": lambda base, exponent: exponent * _pow(base, exponent - 1),
        "exponent": lambda base, y: e.where(base > 0, y * e.log(e.where(base > 0, base, 1)), 0),
    },
    cntk=CntkRule("Pow", id=69),
    onnx=OnnxRule("Pow", since=7),
    domain={"base": reals(0.5, 2.0)},
    samples=_PAIR,
)
def pow(base: Operand, exponent: Operand, name: str = "") -> Function:
    """The base raised to the exponent, element by element; 0 where 0 is raised to a negative number.

    A negative base with a fraction as exponent gives nan. The gradient of the exponent is 0 where the base is not
    positive.

    Args:
        base: operand of any static shape.
        exponent: operand whose shape broadcasts with the base's, aligned at the last axis.

    Returns:
        Function of the broadcast shape.

    Example:
        >>> pow([1, 2, -2, 0], [3, -2, 3, -1]).eval().tolist()
        [1.0, 0.25, -8.0, 0.0]

    Source: CNTK 2.7 ``ops.pow``; ONNX Pow-7.
    """


_MANY = (Sample(((2, 3), (2, 3), (2, 3))), Sample(((3,), (2, 3), ())), Sample(((2, 3),)))


@elementwise(
    formula=lambda operands: functools.reduce(operator.add, operands),
    cntk=CntkRule(block="Sum"),
    onnx=OnnxRule("Sum", since=8),
    samples=_MANY,
)
def sum(*operands: Operand, name: str = "") -> Function:
    """The sum of all operands, element by element.

    Args:
        operands: one or more operands whose shapes broadcast, aligned at the last axis.

    Returns:
        Function of the broadcast shape.

    Example:
        >>> sum([1, 2], [3, 4], [5, 6]).eval().tolist()
        [9.0, 12.0]

    Source: CNTK 2.7 ``ops.sum``; ONNX Sum-8.
    """


@elementwise(
    formula=lambda operands: functools.reduce(operator.add, operands) * (1.0 / len(operands)),
    cntk=CntkRule(block="Mean"),
    onnx=OnnxRule("Mean", since=8),
    samples=_MANY,
)
def mean(*operands: Operand, name: str = "") -> Function:
    """The mean of all operands, element by element.

    Args:
        operands: one or more operands whose shapes broadcast, aligned at the last axis.

    Returns:
        Function of the broadcast shape.

    Example:
        >>> mean([1, 2], [3, 4], [5, 9]).eval().tolist()
        [3.0, 5.0]

    Source: CNTK 2.7 ``ops.mean``; ONNX Mean-8.
    """
