"""Reductions over static axes, the batch or everything, and positions of the largest and smallest element."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.errors import AxisError, SequenceError
from cntk_lab.formula import expr as e
from cntk_lab.graph.declare import elementwise
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, OnnxRule, Sample, TensorType, Trait, reals
from cntk_lab.graph.operand import Operand
from cntk_lab.tensor.shape import FREE, Shape, from_right

__all__ = [
    "argmax",
    "argmin",
    "reduce_l1",
    "reduce_l2",
    "reduce_log_sum_exp",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_prod",
    "reduce_sum",
    "reduce_sum_square",
]


# ---- axes


def _listed(axis: Any) -> list[Any]:
    if axis is None:
        return [Axis.all_static_axes()]
    return list(axis) if isinstance(axis, (list, tuple)) else [axis]


def static_axes(axis: Any, rank: int) -> list[int]:
    """The static axes that an ``axis`` argument means, counted from the right.

    Args:
        axis: None (all), a number, an Axis, or a list of those; dynamic axes are left out.
        rank: of the operand.

    Raises:
        AxisError: if there is no such axis.
    """
    found: list[int] = []
    for a in _listed(axis):
        if isinstance(a, Axis):
            if a in (Axis.all_axes(), Axis.all_static_axes()):
                found.extend(range(-rank, 0))
            elif a.is_static_axis:
                found.append(from_right(a.static_axis_index(), rank))
        else:
            try:
                number = int(a)
            except (TypeError, ValueError):
                raise AxisError(f"{a!r} is no axis", fix="give a number, an Axis, or a list of them") from None
            found.append(from_right(number, rank))
    return sorted(set(found))


def _over_rows(axis: Any) -> bool:
    return any(isinstance(a, Axis) and (a == Axis.all_axes() or a.is_batch_axis) for a in _listed(axis))


def _result_axes(x: TensorType, axis: Any) -> tuple[Axis, ...]:
    axes = x.axes or ()
    listed = _listed(axis)
    if any(isinstance(a, Axis) and a.is_sequence_axis for a in listed):
        raise AxisError(
            "Reduction operation over multiple axes can not contain sequence axis: " + ", ".join(map(repr, listed)),
            fix="use sequence.reduce_sum or sequence.reduce_max",
        )
    if not _over_rows(axis):
        return axes
    if len(axes) > 1 and Axis.all_axes() not in listed:
        raise AxisError(
            f"the batch axis of a sequence cannot be reduced alone: the operand has {len(axes)} dynamic axes",
            fix="reduce the sequence first (sequence.reduce_sum), or use Axis.all_axes()",
        )
    return ()


def _result_shape(x: TensorType, axis: Any, keepdims: bool) -> Shape:
    if any(isinstance(a, Axis) and a in (Axis.all_axes(), Axis.all_static_axes()) for a in _listed(axis)):
        return ()
    if not keepdims and _over_rows(axis):
        raise AxisError("a reduction over the batch axis keeps the static axes", fix="leave keepdims at True")
    gone = static_axes(axis, x.rank)
    dims = [1 if i - x.rank in gone else d for i, d in enumerate(x.dims)]
    return tuple(d for i, d in enumerate(dims) if keepdims or i - x.rank not in gone)


def _resolve(x: TensorType, axis: Any) -> dict[str, Any]:
    along: list[e.Axis] = [*static_axes(axis, x.rank)]
    if _over_rows(axis) and x.axes:
        along.append(e.ROWS)
    return {"along": along}


def _count(along: Sequence[e.Axis]) -> e.Expr:
    """How many elements are reduced."""
    return e.reduce("sum", e.const(1), along)


def log_sum_exp(x: e.Expr, along: Sequence[e.Axis]) -> e.Expr:
    """log(sum(exp(x))) without overflow."""
    top = e.reduce("max", x, along)
    return top + e.log(e.reduce("sum", e.exp(x - top), along))


_BATCH, _ALL, _ALL_STATIC = Axis.default_batch_axis(), Axis.all_axes(), Axis.all_static_axes()
_SAMPLES = (
    Sample(((2, 3),)),
    Sample(((2, 3),), {"axis": 0}),
    Sample(((2, 3),), {"axis": -1}),
    Sample(((2, 3),), {"axis": 0, "keepdims": False}),
    Sample(((2, 3),), {"axis": 1, "keepdims": False}),
    Sample(((2, 3, 4),), {"axis": (0, 2)}),
    Sample(((2, 3, 4),), {"axis": [0, 2], "keepdims": False}),
    Sample(((2, 3),), {"axis": _ALL_STATIC}),
    Sample(((2, 3),), {"axis": _BATCH}, sequence=False),
    Sample(((2, 3),), {"axis": [_BATCH, 0]}, sequence=False),
    Sample(((2, 3),), {"axis": _ALL}),
    Sample(((2, 3),), {"axis": 0}, parameters=(0,)),
    Sample(((),)),
)


_FACTS: dict[str, Any] = {
    "shape": _result_shape,
    "axes": _result_axes,
    "resolve": _resolve,
    "settles": ("along",),
    "partial": lambda axis: () if axis is None else None,
    "samples": _SAMPLES,
}


@elementwise(
    formula=lambda x, along: e.reduce("sum", x, along),
    cntk=CntkRule("ReduceElements", id=39, where={"reductionOpName": "Sum"}),
    onnx=OnnxRule("ReduceSum", attributes={"axis": "axes", "keepdims": "keepdims"}),
    **_FACTS,
)
def reduce_sum(x: Operand, axis: Any = None, keepdims: bool = True, name: str = "") -> Function:
    """The sum along axes.

    Args:
        x: operand of any static shape.
        axis: static axis or list of them; ``Axis.default_batch_axis()`` reduces over the minibatch,
            ``Axis.all_axes()`` over everything; None over all static axes.
        keepdims: whether reduced static axes stay with length 1; without effect if all of them are reduced by None.

    Returns:
        Function of the remaining shape; of shape () if the axis is None.

    Raises:
        AxisError: if the operand has no such axis, or for a sequence axis.

    Example:
        >>> reduce_sum([[1, 2], [3, 4]], axis=0).eval().astype(float).round(4).tolist()
        [[4.0, 6.0]]

    Source: CNTK 2.7 ``ops.reduce_sum``; ONNX ReduceSum-1.
    """


@elementwise(
    formula=lambda x, along: e.reduce("sum", x, along) / _count(along),
    cntk=CntkRule("ReduceElements", id=39, where={"reductionOpName": "Mean"}),
    onnx=OnnxRule("ReduceMean", attributes={"axis": "axes", "keepdims": "keepdims"}),
    **_FACTS,
)
def reduce_mean(x: Operand, axis: Any = None, keepdims: bool = True, name: str = "") -> Function:
    """The mean along axes.

    Args:
        x: operand of any static shape.
        axis: static axis or list of them; ``Axis.default_batch_axis()`` reduces over the minibatch,
            ``Axis.all_axes()`` over everything; None over all static axes.
        keepdims: whether reduced static axes stay with length 1; without effect if all of them are reduced by None.

    Returns:
        Function of the remaining shape; of shape () if the axis is None.

    Raises:
        AxisError: if the operand has no such axis, or for a sequence axis.

    Example:
        >>> reduce_mean([[1, 2], [3, 4]], axis=0).eval().astype(float).round(4).tolist()
        [[2.0, 3.0]]

    Source: CNTK 2.7 ``ops.reduce_mean``; ONNX ReduceMean-1.
    """


@elementwise(
    formula=lambda x, along: e.reduce("max", x, along),
    cntk=CntkRule("ReduceElements", id=39, where={"reductionOpName": "Max"}),
    onnx=OnnxRule("ReduceMax", attributes={"axis": "axes", "keepdims": "keepdims"}),
    domain={"x": reals(distinct=True)},
    **_FACTS,
)
def reduce_max(x: Operand, axis: Any = None, keepdims: bool = True, name: str = "") -> Function:
    """The largest element along axes; all that attain it get the gradient.

    Args:
        x: operand of any static shape.
        axis: static axis or list of them; ``Axis.default_batch_axis()`` reduces over the minibatch,
            ``Axis.all_axes()`` over everything; None over all static axes.
        keepdims: whether reduced static axes stay with length 1; without effect if all of them are reduced by None.

    Returns:
        Function of the remaining shape; of shape () if the axis is None.

    Raises:
        AxisError: if the operand has no such axis, or for a sequence axis.

    Example:
        >>> reduce_max([[1, 2], [3, 4]], axis=0).eval().astype(float).round(4).tolist()
        [[3.0, 4.0]]

    Source: CNTK 2.7 ``ops.reduce_max``; ONNX ReduceMax-1.
    """


@elementwise(
    formula=lambda x, along: e.reduce("min", x, along),
    cntk=CntkRule("ReduceElements", id=39, where={"reductionOpName": "Min"}),
    onnx=OnnxRule("ReduceMin", attributes={"axis": "axes", "keepdims": "keepdims"}),
    domain={"x": reals(distinct=True)},
    **_FACTS,
)
def reduce_min(x: Operand, axis: Any = None, keepdims: bool = True, name: str = "") -> Function:
    """The smallest element along axes; all that attain it get the gradient.

    Args:
        x: operand of any static shape.
        axis: static axis or list of them; ``Axis.default_batch_axis()`` reduces over the minibatch,
            ``Axis.all_axes()`` over everything; None over all static axes.
        keepdims: whether reduced static axes stay with length 1; without effect if all of them are reduced by None.

    Returns:
        Function of the remaining shape; of shape () if the axis is None.

    Raises:
        AxisError: if the operand has no such axis, or for a sequence axis.

    Example:
        >>> reduce_min([[1, 2], [3, 4]], axis=0).eval().astype(float).round(4).tolist()
        [[1.0, 2.0]]

    Source: CNTK 2.7 ``ops.reduce_min``; ONNX ReduceMin-1.
    """


@elementwise(
    formula=lambda x, along: e.reduce("prod", x, along),
    cntk=CntkRule("ReduceElements", id=39, where={"reductionOpName": "Prod"}),
    onnx=OnnxRule("ReduceProd", attributes={"axis": "axes", "keepdims": "keepdims"}),
    domain={"x": reals(0.5, 2.0)},
    **_FACTS,
)
def reduce_prod(x: Operand, axis: Any = None, keepdims: bool = True, name: str = "") -> Function:
    """The product along axes.

    The gradient is right where an element is 0; CNTK 2.7 gives 0 there.

    Args:
        x: operand of any static shape.
        axis: static axis or list of them; ``Axis.default_batch_axis()`` reduces over the minibatch,
            ``Axis.all_axes()`` over everything; None over all static axes.
        keepdims: whether reduced static axes stay with length 1; without effect if all of them are reduced by None.

    Returns:
        Function of the remaining shape; of shape () if the axis is None.

    Raises:
        AxisError: if the operand has no such axis, or for a sequence axis.

    Example:
        >>> reduce_prod([[1, 2], [3, 4]], axis=0).eval().astype(float).round(4).tolist()
        [[3.0, 8.0]]

    Source: CNTK 2.7 ``ops.reduce_prod``; ONNX ReduceProd-1.
    """


@elementwise(
    formula=log_sum_exp,
    derivative={"x": lambda dy, x, y: dy * e.exp(x - y)},
    cntk=CntkRule("ReduceElements", id=39, where={"reductionOpName": "LogSum"}),
    onnx=OnnxRule("ReduceLogSumExp", attributes={"axis": "axes", "keepdims": "keepdims"}),
    **_FACTS,
)
def reduce_log_sum_exp(x: Operand, axis: Any = None, keepdims: bool = True, name: str = "") -> Function:
    """The logarithm of the sum of exponentials along axes, without overflow.

    Args:
        x: operand of any static shape.
        axis: static axis or list of them; ``Axis.default_batch_axis()`` reduces over the minibatch,
            ``Axis.all_axes()`` over everything; None over all static axes.
        keepdims: whether reduced static axes stay with length 1; without effect if all of them are reduced by None.

    Returns:
        Function of the remaining shape; of shape () if the axis is None.

    Raises:
        AxisError: if the operand has no such axis, or for a sequence axis.

    Example:
        >>> reduce_log_sum_exp([[1, 2], [3, 4]], axis=0).eval().astype(float).round(4).tolist()
        [[3.1269, 4.1269]]

    Source: CNTK 2.7 ``ops.reduce_log_sum_exp``; ONNX ReduceLogSumExp-1.
    """


@elementwise(
    formula=lambda x, along: e.reduce("sum", e.absolute(x), along),
    cntk=CntkRule(block="ReduceL1"),
    onnx=OnnxRule("ReduceL1", attributes={"axis": "axes", "keepdims": "keepdims"}),
    domain={"x": reals(avoid=(0.0,))},
    **_FACTS,
)
def reduce_l1(x: Operand, axis: Any = None, keepdims: bool = True, name: str = "") -> Function:
    """The sum of magnitudes along axes.

    Args:
        x: operand of any static shape.
        axis: static axis or list of them; ``Axis.default_batch_axis()`` reduces over the minibatch,
            ``Axis.all_axes()`` over everything; None over all static axes.
        keepdims: whether reduced static axes stay with length 1; without effect if all of them are reduced by None.

    Returns:
        Function of the remaining shape; of shape () if the axis is None.

    Raises:
        AxisError: if the operand has no such axis, or for a sequence axis.

    Example:
        >>> reduce_l1([[1, -2], [3, 4]], axis=0).eval().astype(float).round(4).tolist()
        [[4.0, 6.0]]

    Source: CNTK 2.7 ``ops.reduce_l1``; ONNX ReduceL1-1.
    """


@elementwise(
    formula=lambda x, along: e.sqrt(e.reduce("sum", x * x, along)),
    derivative={"x": lambda dy, x, y: e.where(e.equal(y, 0), 0, dy * x / e.where(e.equal(y, 0), 1, y))},
    cntk=CntkRule(block="ReduceL2"),
    onnx=OnnxRule("ReduceL2", attributes={"axis": "axes", "keepdims": "keepdims"}),
    domain={"x": reals(0.5, 2.0)},
    **_FACTS,
)
def reduce_l2(x: Operand, axis: Any = None, keepdims: bool = True, name: str = "") -> Function:
    """The Euclidean length along axes.

    The gradient where the length is 0 is 0; CNTK 2.7 gives nan there.

    Args:
        x: operand of any static shape.
        axis: static axis or list of them; ``Axis.default_batch_axis()`` reduces over the minibatch,
            ``Axis.all_axes()`` over everything; None over all static axes.
        keepdims: whether reduced static axes stay with length 1; without effect if all of them are reduced by None.

    Returns:
        Function of the remaining shape; of shape () if the axis is None.

    Raises:
        AxisError: if the operand has no such axis, or for a sequence axis.

    Example:
        >>> reduce_l2([[3, 1], [4, 0]], axis=0).eval().astype(float).round(4).tolist()
        [[5.0, 1.0]]

    Source: CNTK 2.7 ``ops.reduce_l2``; ONNX ReduceL2-1.
    """


@elementwise(
    formula=lambda x, along: e.reduce("sum", x * x, along),
    cntk=CntkRule(block="ReduceSumSquare"),
    onnx=OnnxRule("ReduceSumSquare", attributes={"axis": "axes", "keepdims": "keepdims"}),
    **_FACTS,
)
def reduce_sum_square(x: Operand, axis: Any = None, keepdims: bool = True, name: str = "") -> Function:
    """The sum of squares along axes.

    Args:
        x: operand of any static shape.
        axis: static axis or list of them; ``Axis.default_batch_axis()`` reduces over the minibatch,
            ``Axis.all_axes()`` over everything; None over all static axes.
        keepdims: whether reduced static axes stay with length 1; without effect if all of them are reduced by None.

    Returns:
        Function of the remaining shape; of shape () if the axis is None.

    Raises:
        AxisError: if the operand has no such axis, or for a sequence axis.

    Example:
        >>> reduce_sum_square([[1, 2], [3, 4]], axis=0).eval().astype(float).round(4).tolist()
        [[10.0, 20.0]]

    Source: CNTK 2.7 ``ops.reduce_sum_square``; ONNX ReduceSumSquare-1.
    """


# ---- positions


def flat_position(dims: Shape, along: Sequence[int]) -> e.Expr:
    """The position, counted row by row along static axes, of the element that is being computed."""
    position: e.Expr = e.const(0)
    for axis in sorted(along):
        size = e.reduce("sum", e.const(1), [axis]) if dims[axis] == FREE else e.const(dims[axis])
        position = position * size + e.coordinate(axis)
    return position


def first_extremum(x: e.Expr, kind: str, dims: Shape, along: Sequence[int], *, stuck: bool = False) -> e.Expr:
    """Where the first (in row-major order) largest or smallest element along static axes stands: its flat position.

    Args:
        x: formula.
        kind: ``"max"`` or ``"min"``.
        dims: static shape of the domain.
        along: axes counted from the right.
        stuck: whether a search that begins at NaN stays there, as CNTK's hardmax does; else NaN is passed over. Where
            everything is NaN the position is 0.
    """
    place = flat_position(dims, along)
    never = -math.inf if kind == "max" else math.inf
    x = e.where(e.equal(x, x), x, e.where(e.equal(place, 0), -never, never) if stuck else never)
    best = e.reduce(kind, x, along)
    return e.reduce("min", e.where(e.equal(x, best), place, math.inf), along)


def _arg_shape(x: TensorType, axis: Any) -> Shape:
    return _result_shape(x, axis, True)


def _arg_resolve(x: TensorType, axis: Any) -> dict[str, Any]:
    if _over_rows(axis):
        raise SequenceError(
            "the position of an extremum along the batch axis does not exist: samples have no order",
            fix="use static axes, or reduce_max over the batch axis",
        )
    return {"along": static_axes(axis, x.rank), "dims": x.dims}


def _position(kind: str) -> Callable[..., e.Expr]:
    def formula(x: e.Expr, along: Sequence[int], dims: Shape) -> e.Expr:
        return first_extremum(x, kind, dims, along) if along else x * 0

    return formula


_POSITIONS: dict[str, Any] = {
    "shape": _arg_shape,
    "resolve": _arg_resolve,
    "settles": ("along", "dims"),
    "axes": _result_axes,
    "partial": lambda axis: () if axis is None else None,
    "traits": [Trait.NO_GRADIENT],
    "domain": {"x": reals(distinct=True)},
    "samples": tuple(
        Sample((shape,), {"axis": axis}, gradient=False)
        for shape, axis in (((2, 3), None), ((2, 3), 0), ((2, 3), 1), ((2, 3, 2), -2), ((2, 3, 2), None), ((3,), -1))
    ),
}


@elementwise(
    formula=_position("max"),
    cntk=CntkRule("ReduceElements", id=39, where={"reductionOpName": "Argmax"}),
    onnx=OnnxRule("ArgMax", attributes={"axis": "axis"}),
    **_POSITIONS,
)
def argmax(x: Operand, axis: Any = None, name: str = "") -> Function:
    """The position of the largest element along an axis, the first one if several are equal; it gets no gradient.

    Args:
        x: operand of any static shape.
        axis: static axis, or None for the position in the whole sample, counted row by row.

    Returns:
        Function of whole numbers in x's element type; the axis stays with length 1; of shape () if the axis is None.

    Raises:
        AxisError: if the operand has no such axis.

    Example:
        >>> argmax([[5, 20, 10], [40, 2, 30]], 1).eval().tolist()
        [[1.0], [0.0]]

    Source: CNTK 2.7 ``ops.argmax``; ONNX ArgMax-1.
    """


@elementwise(
    formula=_position("min"),
    cntk=CntkRule("ReduceElements", id=39, where={"reductionOpName": "Argmin"}),
    onnx=OnnxRule("ArgMin", attributes={"axis": "axis"}),
    **_POSITIONS,
)
def argmin(x: Operand, axis: Any = None, name: str = "") -> Function:
    """The position of the smallest element along an axis, the first one if several are equal; it gets no gradient.

    Args:
        x: operand of any static shape.
        axis: static axis, or None for the position in the whole sample, counted row by row.

    Returns:
        Function of whole numbers in x's element type; the axis stays with length 1; of shape () if the axis is None.

    Raises:
        AxisError: if the operand has no such axis.

    Example:
        >>> argmin([[5, 20, 10], [40, 2, 30]], 1).eval().tolist()
        [[0.0], [1.0]]

    Source: CNTK 2.7 ``ops.argmin``; ONNX ArgMin-1.
    """
