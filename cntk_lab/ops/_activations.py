"""Activation functions."""

from __future__ import annotations

from typing import Any

from cntk_lab.formula import expr as e
from cntk_lab.graph.declare import elementwise
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, OnnxRule, Sample, reals

Operand = Any

__all__ = ["relu", "sigmoid", "tanh"]


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
    cntk=CntkRule("Sigmoid", id=1),
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
        >>> sigmoid([-2, 0, 2]).eval().round(4).tolist()
        [0.11919999867677689, 0.5, 0.8808000087738037]

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
