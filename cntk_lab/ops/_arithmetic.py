"""Sums, differences, products, quotients, powers: elementwise with broadcasting at the last axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cntk_lab.formula import expr as e
from cntk_lab.graph.declare import elementwise
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, OnnxRule, Sample, reals

Operand = Any

__all__ = ["element_divide", "element_times", "minus", "negate", "plus"]

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
