"""Functions of one number, applied to every element."""

from __future__ import annotations

import math

from cntk_lab.formula import expr as e
from cntk_lab.graph.declare import elementwise
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import EVERY, CntkRule, OnnxRule, Sample, Trait, reals
from cntk_lab.graph.operand import Operand

__all__ = [
    "abs",
    "acos",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "exp",
    "floor",
    "log",
    "reciprocal",
    "round",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
]

_ONE = (Sample(((2, 3),)), Sample(((),)))
_FLAT = (Sample(((2, 3),), gradient=False), Sample(((),), gradient=False))
_LEAST_LOG = -85.0999984741211
"""Where CNTK's logarithm ends: -85.1 in single precision."""
_LEAST = math.exp(_LEAST_LOG)


@elementwise(
    formula=lambda x: e.absolute(x),
    cntk=CntkRule("Abs", id=8),
    onnx=OnnxRule("Abs", since=6),
    domain={"x": reals(avoid=(0.0,))},
    samples=_ONE,
    operator="__abs__",
)
def abs(x: Operand, name: str = "") -> Function:
    """The magnitude of every element; the gradient at 0 is 0.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x.

    Example:
        >>> abs([-1, 0, 2]).eval().astype(float).round(4).tolist()
        [1.0, 0.0, 2.0]

    Source: CNTK 2.7 ``ops.abs``; ONNX Abs-6.
    """


@elementwise(
    formula=lambda x: e.acos(x),
    cntk=CntkRule("Acos", id=82),
    onnx=OnnxRule("Acos", since=7),
    domain={"x": reals(-0.9, 0.9)},
    samples=_ONE,
)
def acos(x: Operand, name: str = "") -> Function:
    """The angle whose cosine is the element.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x, in radians from 0 to pi; nan outside -1..1.

    Example:
        >>> acos([-1, 0, 1]).eval().astype(float).round(4).tolist()
        [3.1416, 1.5708, 0.0]

    Source: CNTK 2.7 ``ops.acos``; ONNX Acos-7.
    """


@elementwise(
    formula=lambda x: e.asin(x),
    cntk=CntkRule("Asin", id=81),
    onnx=OnnxRule("Asin", since=7),
    domain={"x": reals(-0.9, 0.9)},
    samples=_ONE,
)
def asin(x: Operand, name: str = "") -> Function:
    """The angle whose sine is the element.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x, in radians from -pi/2 to pi/2; nan outside -1..1.

    Example:
        >>> asin([-1, 0, 1]).eval().astype(float).round(4).tolist()
        [-1.5708, 0.0, 1.5708]

    Source: CNTK 2.7 ``ops.asin``; ONNX Asin-7.
    """


@elementwise(
    formula=lambda x: e.asinh(x),
    cntk=CntkRule("Asinh", id=86),
    samples=_ONE,
)
def asinh(x: Operand, name: str = "") -> Function:
    """The number whose hyperbolic sine is the element.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x.

    Example:
        >>> asinh([-1, 0, 1]).eval().astype(float).round(4).tolist()
        [-0.8814, 0.0, 0.8814]

    Source: CNTK 2.7 ``ops.asinh``.
    """


@elementwise(
    formula=lambda x: e.atan(x),
    cntk=CntkRule("Atan", id=96),
    onnx=OnnxRule("Atan", since=7),
    samples=_ONE,
)
def atan(x: Operand, name: str = "") -> Function:
    """The angle whose tangent is the element.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x, in radians between -pi/2 and pi/2.

    Example:
        >>> atan([-1, 0, 1]).eval().astype(float).round(4).tolist()
        [-0.7854, 0.0, 0.7854]

    Source: CNTK 2.7 ``ops.atan``; ONNX Atan-7.
    """


@elementwise(
    formula=lambda x: e.atanh(x),
    cntk=CntkRule("Atanh", id=85),
    domain={"x": reals(-0.9, 0.9)},
    samples=_ONE,
)
def atanh(x: Operand, name: str = "") -> Function:
    """The number whose hyperbolic tangent is the element.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x; infinite at -1 and 1, nan beyond.

    Example:
        >>> atanh([-0.5, 0, 0.5]).eval().astype(float).round(4).tolist()
        [-0.5493, 0.0, 0.5493]

    Source: CNTK 2.7 ``ops.atanh``.
    """


@elementwise(
    arrays=EVERY,
    formula=lambda arg: -e.floor(-arg),
    cntk=CntkRule(block="Ceil"),
    onnx=OnnxRule("Ceil", since=6),
    domain={"arg": reals(avoid=(-2.0, -1.0, 0.0, 1.0, 2.0))},
    traits=[Trait.NO_GRADIENT],
    samples=_FLAT,
)
def ceil(arg: Operand, name: str = "") -> Function:
    """The smallest whole number not below the element; the gradient is 0.

    Args:
        arg: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of arg.

    Example:
        >>> ceil([0.2, 1.3, -0.5]).eval().astype(float).round(4).tolist()
        [1.0, 2.0, -0.0]

    Source: CNTK 2.7 ``ops.ceil``; ONNX Ceil-6.
    """


@elementwise(
    formula=lambda x: e.cos(x),
    cntk=CntkRule("Cos", id=55),
    onnx=OnnxRule("Cos", since=7),
    samples=_ONE,
)
def cos(x: Operand, name: str = "") -> Function:
    """The cosine of the element, an angle in radians.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x, between -1 and 1.

    Example:
        >>> cos([0, 3.1415927]).eval().astype(float).round(4).tolist()
        [1.0, -1.0]

    Source: CNTK 2.7 ``ops.cos``; ONNX Cos-7.
    """


@elementwise(
    formula=lambda x: e.cosh(x),
    cntk=CntkRule("Cosh", id=78),
    samples=_ONE,
)
def cosh(x: Operand, name: str = "") -> Function:
    """The hyperbolic cosine.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x, 1 or more.

    Example:
        >>> cosh([-1, 0, 1]).eval().astype(float).round(4).tolist()
        [1.5431, 1.0, 1.5431]

    Source: CNTK 2.7 ``ops.cosh``.
    """


@elementwise(
    formula=lambda x: e.exp(x),
    derivative={"x": lambda y: y},
    cntk=CntkRule("Exp", id=4),
    onnx=OnnxRule("Exp", since=6),
    samples=_ONE,
)
def exp(x: Operand, name: str = "") -> Function:
    """Euler's number raised to the element; infinite where that is too large.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x, 0 or more.

    Example:
        >>> exp([0, 1, -200]).eval().astype(float).round(4).tolist()
        [1.0, 2.7183, 0.0]

    Source: CNTK 2.7 ``ops.exp``; ONNX Exp-6.
    """


@elementwise(
    arrays=EVERY,
    formula=lambda arg: e.floor(arg),
    cntk=CntkRule("Floor", id=7),
    onnx=OnnxRule("Floor", since=6),
    domain={"arg": reals(avoid=(-2.0, -1.0, 0.0, 1.0, 2.0))},
    traits=[Trait.NO_GRADIENT],
    samples=_FLAT,
)
def floor(arg: Operand, name: str = "") -> Function:
    """The largest whole number not above the element; the gradient is 0.

    Args:
        arg: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of arg.

    Example:
        >>> floor([0.2, 1.3, -0.5]).eval().astype(float).round(4).tolist()
        [0.0, 1.0, -1.0]

    Source: CNTK 2.7 ``ops.floor``; ONNX Floor-6.
    """


@elementwise(
    formula=lambda x: e.where(x < 1e-37, _LEAST_LOG, e.log(e.where(x < 1e-37, 1, x))),
    derivative={"x": lambda x: 1 / e.maximum(x, _LEAST)},
    cntk=CntkRule("Log", id=5),
    onnx=OnnxRule("Log", since=6),
    domain={"x": reals(0.5, 3.0)},
    samples=_ONE,
)
def log(x: Operand, name: str = "") -> Function:
    """The natural logarithm; -85.1 where the element is below 1e-37 (or negative).

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x.

    Example:
        >>> log([1, 2.7182817, 0]).eval().astype(float).round(4).tolist()
        [0.0, 1.0, -85.1]

    Source: CNTK 2.7 ``ops.log``; ONNX Log-6.
    """


@elementwise(
    formula=lambda x: e.where(e.equal(x, 0), 0, 1 / e.where(e.equal(x, 0), 1, x)),
    derivative={"x": lambda y: -(y * y)},
    cntk=CntkRule("Reciprocal", id=9),
    onnx=OnnxRule("Reciprocal", since=6),
    domain={"x": reals(0.5, 2.0)},
    samples=_ONE,
)
def reciprocal(x: Operand, name: str = "") -> Function:
    """One divided by the element; 0 where it is 0.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x.

    Example:
        >>> reciprocal([1, 2, 0]).eval().astype(float).round(4).tolist()
        [1.0, 0.5, 0.0]

    Source: CNTK 2.7 ``ops.reciprocal``; ONNX Reciprocal-6.
    """


@elementwise(
    arrays=EVERY,
    formula=lambda arg: e.floor(arg + 0.5),
    cntk=CntkRule(block="Round"),
    domain={"arg": reals(avoid=(-1.5, -0.5, 0.5, 1.5))},
    traits=[Trait.NO_GRADIENT],
    samples=_FLAT,
)
def round(arg: Operand, name: str = "") -> Function:
    """The nearest whole number; halves go up. The gradient is 0.

    Args:
        arg: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of arg.

    Example:
        >>> round([0.2, 1.5, -2.5]).eval().astype(float).round(4).tolist()
        [0.0, 2.0, -2.0]

    Source: CNTK 2.7 ``ops.round``.
    """


@elementwise(
    formula=lambda x: e.sin(x),
    cntk=CntkRule("Sin", id=54),
    onnx=OnnxRule("Sin", since=7),
    samples=_ONE,
)
def sin(x: Operand, name: str = "") -> Function:
    """The sine of the element, an angle in radians.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x, between -1 and 1.

    Example:
        >>> sin([0, 1.5707964]).eval().astype(float).round(4).tolist()
        [0.0, 1.0]

    Source: CNTK 2.7 ``ops.sin``; ONNX Sin-7.
    """


@elementwise(
    formula=lambda x: e.sinh(x),
    cntk=CntkRule("Sinh", id=77),
    samples=_ONE,
)
def sinh(x: Operand, name: str = "") -> Function:
    """The hyperbolic sine.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x.

    Example:
        >>> sinh([-1, 0, 1]).eval().astype(float).round(4).tolist()
        [-1.1752, 0.0, 1.1752]

    Source: CNTK 2.7 ``ops.sinh``.
    """


@elementwise(
    formula=lambda x: e.sqrt(e.maximum(x, 0)),
    derivative={"x": lambda y: 0.5 / y},
    cntk=CntkRule("Sqrt", id=6),
    onnx=OnnxRule("Sqrt", since=6),
    domain={"x": reals(0.5, 3.0)},
    samples=_ONE,
)
def sqrt(x: Operand, name: str = "") -> Function:
    """The square root; 0 where the element is negative.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x, 0 or more.

    Example:
        >>> sqrt([0, 4, -1]).eval().astype(float).round(4).tolist()
        [0.0, 2.0, 0.0]

    Source: CNTK 2.7 ``ops.sqrt``; ONNX Sqrt-6.
    """


@elementwise(
    formula=lambda x: x * x,
    cntk=CntkRule(block="Square"),
    samples=_ONE,
)
def square(x: Operand, name: str = "") -> Function:
    """The element multiplied by itself.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x, 0 or more.

    Example:
        >>> square([1, -3]).eval().astype(float).round(4).tolist()
        [1.0, 9.0]

    Source: CNTK 2.7 ``ops.square``.
    """


@elementwise(
    formula=lambda x: e.tan(x),
    cntk=CntkRule("Tan", id=95),
    onnx=OnnxRule("Tan", since=7),
    domain={"x": reals(-1.2, 1.2)},
    samples=_ONE,
)
def tan(x: Operand, name: str = "") -> Function:
    """The tangent of the element, an angle in radians.

    The gradient is 1 + tan(x)^2; CNTK 2.7's own is wrong (it takes the cosine of the result).

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x.

    Example:
        >>> tan([-1, 0, 1]).eval().astype(float).round(4).tolist()
        [-1.5574, 0.0, 1.5574]

    Source: CNTK 2.7 ``ops.tan``; ONNX Tan-7.
    """
