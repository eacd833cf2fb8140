"""Activation functions: formulas of one element, with CNTK's slopes at their kinks."""

from __future__ import annotations

from cntk_lab.formula import expr as e
from cntk_lab.graph.declare import elementwise
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import NONE, CntkRule, OnnxRule, Sample, reals
from cntk_lab.graph.operand import Operand

__all__ = [
    "elu",
    "hard_sigmoid",
    "leaky_relu",
    "param_relu",
    "relu",
    "selu",
    "sigmoid",
    "softplus",
    "softsign",
    "straight_through_impl",
    "tanh",
]


@elementwise(
    formula=lambda x: e.maximum(x, 0),
    derivative={"x": lambda y: y > 0},
    cntk=CntkRule("ReLU", id=3),
    onnx=OnnxRule("Relu", since=6),
    domain={"x": reals(avoid=(0.0,))},
    samples=(Sample(((2, 3),)),),
)
def relu(x: Operand, name: str = "") -> Function:
    """Keeps positive elements and sets the others to 0; the gradient at 0 is 0.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x.

    Example:
        >>> relu([-1, 0, 2]).eval().tolist()
        [0.0, 0.0, 2.0]

    Source: CNTK 2.7 ``ops.relu``; ONNX Relu-6.
    """


@elementwise(
    formula=lambda x: e.sigmoid(x),
    derivative={"x": lambda y: y * (1 - y)},
    cntk=CntkRule("StableSigmoid", id=75),
    onnx=OnnxRule("Sigmoid", since=6),
    samples=(Sample(((2, 3),)),),
)
def sigmoid(x: Operand, name: str = "") -> Function:
    """The logistic function 1 / (1 + exp(-x)).

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x, between 0 and 1.

    Example:
        >>> sigmoid([-2, 0, 2]).eval().astype(float).round(4).tolist()
        [0.1192, 0.5, 0.8808]

    Source: CNTK 2.7 ``ops.sigmoid``; ONNX Sigmoid-6.
    """


@elementwise(
    formula=lambda x: e.tanh(x),
    derivative={"x": lambda y: 1 - y * y},
    cntk=CntkRule("Tanh", id=2),
    onnx=OnnxRule("Tanh", since=6),
    samples=(Sample(((2, 3),)),),
)
def tanh(x: Operand, name: str = "") -> Function:
    """The hyperbolic tangent.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x, between -1 and 1.

    Example:
        >>> tanh([0.0]).eval().tolist()
        [0.0]

    Source: CNTK 2.7 ``ops.tanh``; ONNX Tanh-6.
    """


@elementwise(
    formula=lambda x, alpha: e.where(x < 0, alpha * e.expm1(x), x),
    cntk=CntkRule(block="ELU", attributes={"alpha": "alpha"}),
    onnx=OnnxRule("Elu", since=6, attributes={"alpha": "alpha"}),
    domain={"x": reals(avoid=(0.0,))},
    samples=(Sample(((2, 3),)), Sample(((2, 3),), {"alpha": 2.0})),
)
def elu(x: Operand, alpha: float = 1.0, name: str = "") -> Function:
    """Keeps positive elements; the others become alpha * (exp(x) - 1). The gradient at 0 is 1.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        alpha: minus the limit for very negative elements.

    Returns:
        Function of the shape of x, above -alpha.

    Example:
        >>> elu([-1, 0, 1]).eval().astype(float).round(4).tolist()
        [-0.6321, 0.0, 1.0]

    Source: CNTK 2.7 ``ops.elu``; ONNX Elu-6; Clevert, Unterthiner, Hochreiter (2015).
    """


@elementwise(
    formula=lambda x, scale, alpha: scale * e.where(x < 0, alpha * e.expm1(x), x),
    cntk=CntkRule(block="SELU", attributes={"scale": "gamma", "alpha": "alpha"}),
    onnx=OnnxRule("Selu", since=6, attributes={"scale": "gamma", "alpha": "alpha"}),
    domain={"x": reals(avoid=(0.0,))},
    samples=(Sample(((2, 3),)), Sample(((2, 3),), {"scale": 2.0, "alpha": 0.5})),
)
def selu(
    x: Operand,
    scale: float = 1.0507009873554804934193349852946,
    alpha: float = 1.6732632423543772848170429916717,
    name: str = "",
) -> Function:
    """The exponential linear unit times a scale; with the default numbers it keeps mean 0 and variance 1.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        scale: factor of all elements.
        alpha: minus the limit for very negative elements, before scaling.

    Returns:
        Function of the shape of x.

    Example:
        >>> selu([-1, 0, 1]).eval().astype(float).round(4).tolist()
        [-1.1113, 0.0, 1.0507]

    Source: CNTK 2.7 ``ops.selu``; ONNX Selu-6; Klambauer and others (2017).
    """


@elementwise(
    formula=lambda x, alpha: e.where(x < 0, alpha * x, x),
    cntk=CntkRule(block="LeakyReLU", attributes={"alpha": "alpha"}),
    onnx=OnnxRule("LeakyRelu", since=6, attributes={"alpha": "alpha"}),
    domain={"x": reals(avoid=(0.0,))},
    samples=(Sample(((2, 3),)), Sample(((2, 3),), {"alpha": 0.25})),
)
def leaky_relu(x: Operand, alpha: float = 0.01, name: str = "") -> Function:
    """Keeps positive elements and multiplies the others by alpha. The gradient at 0 is 1.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        alpha: slope of negative elements.

    Returns:
        Function of the shape of x.

    Example:
        >>> leaky_relu([-1, 0, 1], alpha=0.5).eval().tolist()
        [-0.5, 0.0, 1.0]

    Source: CNTK 2.7 ``ops.leaky_relu``; ONNX LeakyRelu-6.
    """


@elementwise(
    arrays=NONE,
    formula=lambda alpha, x: e.where(x < 0, alpha * x, x),
    cntk=CntkRule(block="PReLU"),
    onnx=OnnxRule("PRelu", since=7),
    domain={"x": reals(avoid=(0.0,))},
    samples=(Sample(((2, 3), (2, 3)), parameters=(0,)), Sample(((3,), (2, 3)), parameters=(0,)), Sample(((), (2, 3)))),
)
def param_relu(alpha: Operand, x: Operand, name: str = "") -> Function:
    """Keeps positive elements and multiplies the others by a slope that may be learned.

    Args:
        alpha: slopes of negative elements; broadcasts to x.
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x.

    Example:
        >>> param_relu([0.5, 0.25], [-1.0, -1.0]).eval().tolist()
        [-0.5, -0.25]

    Source: CNTK 2.7 ``ops.param_relu``; ONNX PRelu-7; He and others (2015).
    """


@elementwise(
    formula=lambda x, steepness: e.softplus(x) if steepness == 1 else e.softplus(x * steepness) * (1.0 / steepness),
    cntk=CntkRule(block="Softplus"),
    onnx=OnnxRule("Softplus"),
    samples=(Sample(((2, 3),)), Sample(((2, 3),), {"steepness": 4})),
)
def softplus(x: Operand, steepness: float = 1, name: str = "") -> Function:
    """The smooth rectifier log(1 + exp(steepness * x)) / steepness, without overflow.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        steepness: how sharp the bend at 0 is; the limit is relu.

    Returns:
        Function of the shape of x, above 0.

    Example:
        >>> softplus([-1000, 0, 1000]).eval().astype(float).round(4).tolist()
        [0.0, 0.6931, 1000.0]

    Source: CNTK 2.7 ``ops.softplus``; ONNX Softplus-1.
    """


@elementwise(
    formula=lambda x: x / (e.absolute(x) + 1),
    cntk=CntkRule(block="Softsign"),
    onnx=OnnxRule("Softsign"),
    domain={"x": reals(avoid=(0.0,))},
    samples=(Sample(((2, 3),)), Sample(((2, 3),), {"steepness": 4})),
)
def softsign(x: Operand, steepness: float = 1, name: str = "") -> Function:
    """The softsign, x / (1 + abs(x)).

    Args:
        x: operand of any static shape; dynamic axes pass through.
        steepness: without effect, as in CNTK: it cancels.

    Returns:
        Function of the shape of x, between -1 and 1.

    Example:
        >>> softsign([-1, 0, 3]).eval().tolist()
        [-0.5, 0.0, 0.75]

    Source: CNTK 2.7 ``ops.softsign``; ONNX Softsign-1.
    """


def _hard_sigmoid(x: e.Expr, alpha: float, beta: float) -> e.Expr:
    line = x * alpha + beta
    below = e.where(line < 1, line, 1)
    return e.where(below > 0, below, 0)


@elementwise(
    formula=_hard_sigmoid,
    operands=("x",),
    cntk=CntkRule(block="HardSigmoid", attributes={"alpha": "alpha", "beta": "beta"}),
    onnx=OnnxRule("HardSigmoid", since=6, attributes={"alpha": "alpha", "beta": "beta"}),
    domain={"x": reals(-4.0, 4.0, avoid=(-2.5, 2.5))},
    samples=(Sample(((2, 3),), {"alpha": 0.2, "beta": 0.5}),),
)
def hard_sigmoid(x: Operand, alpha: float, beta: float, name: str = "") -> Function:
    """The straight line alpha * x + beta, held between 0 and 1; the gradient at both kinks is 0.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        alpha: slope of the line.
        beta: its value at 0.

    Returns:
        Function of the shape of x, from 0 to 1.

    Example:
        >>> hard_sigmoid([-3, 0, 3], 0.25, 0.5).eval().tolist()
        [0.0, 0.5, 1.0]

    Source: CNTK 2.7 ``ops.hard_sigmoid``; ONNX HardSigmoid-6.
    """


@elementwise(
    formula=lambda x: e.where(x > 0, 1, -1),
    derivative={"x": lambda x: e.absolute(x) <= 1},
    cntk=CntkRule("StraightThrough", id=94),
    domain={"x": reals(avoid=(-1.0, 0.0, 1.0))},
    samples=(Sample(((2, 3),), gradient=False),),
)
def straight_through_impl(x: Operand, name: str = "") -> Function:
    """The sign, 1 or -1 (0 counts as negative), with the gradient of the identity within -1..1.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x; its gradient passes where abs(x) <= 1 and is 0 elsewhere.

    Example:
        >>> straight_through_impl([-3, 0, 0.5]).eval().tolist()
        [-1.0, -1.0, 1.0]

    Source: CNTK 2.7 ``ops.straight_through_impl``; Bengio, Leonard, Courville (2013).
    """
