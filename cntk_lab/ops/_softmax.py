"""Softmax and its relatives: formulas that look along axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.errors import AxisError
from cntk_lab.formula import expr as e
from cntk_lab.graph.declare import elementwise
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, OnnxRule, Sample, TensorType, Trait, reals
from cntk_lab.graph.operand import Operand
from cntk_lab.ops._reductions import first_extremum, flat_position, static_axes
from cntk_lab.tensor.shape import Shape

__all__ = ["hardmax", "log_softmax", "softmax"]

_SAMPLES = (
    Sample(((3,),)),
    Sample(((2, 3),)),
    Sample(((2, 3),), {"axis": 0}),
    Sample(((2, 3),), {"axis": -1}),
    Sample(((2, 3, 2),), {"axis": 1}),
    Sample(((2, 3),), {"axis": 0}, parameters=(0,)),
)


def _along(x: TensorType, axis: Any) -> dict[str, Any]:
    if isinstance(axis, Axis) and axis.is_dynamic_axis:
        raise AxisError(f"softmax along the dynamic axis {axis!r}", fix="use sequence.softmax along a sequence")
    return {"along": static_axes(axis, x.rank)}


def _along_sample(x: TensorType, axis: Any) -> dict[str, Any]:
    """Without an axis: the whole sample, or (as in CNTK) the last axis of a tensor that is no sample."""
    of_sample = axis is None or (isinstance(axis, Axis) and axis == Axis.all_static_axes())
    return _along(x, _sample_axis(x) if of_sample else axis)


def _sample_axis(x: TensorType) -> int | None:
    return -1 if x.rank and x.axes == () else None


def softmax_of(x: e.Expr, along: Sequence[e.Axis]) -> e.Expr:
    """exp(x) / sum(exp(x)) without overflow."""
    scaled = e.exp(x - e.reduce("max", x, along))
    return scaled / e.reduce("sum", scaled, along)


@elementwise(
    formula=softmax_of,
    derivative={"x": lambda dy, y, along: y * (dy - e.reduce("sum", dy * y, along))},
    resolve=_along_sample,
    settles=("along",),
    cntk=CntkRule("Softmax", id=10, also_block="Softmax", attributes={"axis": "axis"}),
    onnx=OnnxRule("Softmax", attributes={"axis": "axis"}),
    samples=_SAMPLES,
)
def softmax(x: Operand, axis: Any = None, name: str = "") -> Function:
    """Positive numbers that add up to 1: exp(x) / sum(exp(x)), without overflow.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        axis: static axis along which they add up to 1; None: over all elements of the sample
            together; of a tensor without dynamic axes, which is no sample, along the last axis.

    Returns:
        Function of the shape of x.

    Raises:
        AxisError: if the operand has no such axis.

    Example:
        >>> softmax([[1, 1, 2, 3]]).eval().astype(float).round(4).tolist()
        [[0.0826, 0.0826, 0.2245, 0.6103]]

    Source: CNTK 2.7 ``ops.softmax``; ONNX Softmax-1.
    """


def _log_softmax(x: e.Expr, along: Sequence[e.Axis]) -> e.Expr:
    below = x - e.reduce("max", x, along)  # first, so that large x keep their digits
    return below - e.log(e.reduce("sum", e.exp(below), along))


@elementwise(
    formula=_log_softmax,
    derivative={"x": lambda dy, y, along: dy - e.exp(y) * e.reduce("sum", dy, along)},
    resolve=lambda x, axis: _along(x, (-1 if x.rank else None) if axis is None else axis),
    settles=("along",),
    cntk=CntkRule(block="LogSoftmax", attributes={"axis": "axis"}),
    onnx=OnnxRule("LogSoftmax", attributes={"axis": "axis"}),
    samples=_SAMPLES,
)
def log_softmax(x: Operand, axis: Any = None, name: str = "") -> Function:
    """The logarithm of the softmax, x - log(sum(exp(x))), without overflow.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        axis: static axis along which the exponentials of the result add up to 1; None: the last one (unlike softmax).

    Returns:
        Function of the shape of x, 0 or less.

    Raises:
        AxisError: if the operand has no such axis.

    Example:
        >>> log_softmax([[1, 1, 2, 3]]).eval().astype(float).round(4).tolist()
        [[-2.4938, -2.4938, -1.4938, -0.4938]]

    Source: CNTK 2.7 ``ops.log_softmax``; ONNX LogSoftmax-1.
    """


def _hardmax(x: e.Expr, dims: Shape, along: Sequence[int]) -> e.Expr:
    if not along:
        return e.equal(x, x)
    return e.equal(first_extremum(x, "max", dims, along, stuck=True), flat_position(dims, along))


@elementwise(
    formula=_hardmax,
    resolve=lambda x: {"dims": x.dims, "along": static_axes(_sample_axis(x), x.rank)},
    settles=("dims", "along"),
    cntk=CntkRule("Hardmax", id=11),
    onnx=OnnxRule("Hardmax"),
    traits=[Trait.NO_GRADIENT],
    domain={"x": reals(distinct=True)},
    samples=(Sample(((3,),), gradient=False), Sample(((2, 3),), gradient=False), Sample(((2, 1, 3),), gradient=False)),
)
def hardmax(x: Operand, name: str = "") -> Function:
    """1 at the largest element of the whole sample, the first one if several are equal, and 0 elsewhere.

    In a tensor without dynamic axes, which is no sample, it is 1 at the largest element along the last axis.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x; its gradient is 0.

    Example:
        >>> hardmax([[1, 1, 2, 3]]).eval().tolist()
        [[0.0, 0.0, 0.0, 1.0]]

    Source: CNTK 2.7 ``ops.hardmax``; ONNX Hardmax-1.
    """
