"""Delays: the value of an earlier or later frame; the only operators through which a graph may have cycles."""

from __future__ import annotations

from typing import Any

from cntk_lab.axis import format_axes
from cntk_lab.errors import AttributeValueError, AxisError
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, Sample, TensorType, Trait
from cntk_lab.graph.operand import Operand
from cntk_lab.tensor.shape import INFERRED, Shape, broadcast, fill_inferred

__all__ = ["future_value", "past_value"]


def _shape(x: TensorType, initial_state: TensorType) -> Shape:
    return broadcast(x.dims, initial_state.dims)


def _partial(x: TensorType, initial_state: TensorType, hopeful: int) -> Shape | None:
    """Around a cycle the least that it can be is assumed: the shape of the state before the first frame."""
    if x.shape is None and hopeful > 2 and INFERRED not in (initial_state.shape or ()):
        return initial_state.shape
    return x.shape


def _complete(x: TensorType, initial_state: TensorType) -> dict[str, Shape]:
    """An initial state to be inferred has the shape of what is delayed."""
    return {"initial_state": fill_inferred(initial_state.dims, x.dims)}


def _axes(x: TensorType) -> Any:
    axes = x.axes or ()
    if len(axes) != 2:
        raise AxisError(
            f"a delay needs an operand with a batch and a sequence axis, this one has {format_axes(axes)}",
            fix="feed it from sequence.input_variable, or give the operand a sequence axis",
        )
    return axes


def _step(time_step: int) -> int:
    if time_step < 1:
        raise AttributeValueError(
            f"time_step is {time_step}: it must be 1 or more", fix="use future_value to look ahead"
        )
    return time_step


_FACTS: dict[str, Any] = {
    "shape": _shape,
    "axes": _axes,
    "partial": _partial,
    "complete": _complete,
    "operands": ("x", "initial_state"),
    "traits": [Trait.RECURRENT],
    "settles": ("offset",),
    "samples": (
        Sample(((3,), ()), {"time_step": 1}, parameters=(1,)),
        Sample(((2, 2), ()), {"time_step": 2}, parameters=(1,)),
        Sample(((), (1,)), {"time_step": 1}, parameters=(1,)),
        Sample(((1,), (2, 3)), {"time_step": 1}, parameters=(1,)),
    ),
}


@tensor_op(
    resolve=lambda time_step: {"offset": _step(time_step)},
    cntk=CntkRule("PastValue", id=37, attributes={"time_step": "offset"}),
    **_FACTS,
)
def _past_value(x: Operand, initial_state: Operand, time_step: int = 1, name: str = "") -> Function:
    """See :func:`past_value`."""


@tensor_op(
    resolve=lambda time_step: {"offset": -_step(time_step)},
    cntk=CntkRule("FutureValue", id=38, attributes={"time_step": "offset"}),
    **_FACTS,
)
def _future_value(x: Operand, initial_state: Operand, time_step: int = 1, name: str = "") -> Function:
    """See :func:`future_value`."""


def past_value(x: Operand, initial_state: Operand | None = None, time_step: int = 1, name: str = "") -> Function:
    """The value ``time_step`` frames earlier; before the sequence, the initial state.

    Args:
        x: operand of any static shape with a batch and a sequence axis.
        initial_state: number, constant or parameter that broadcasts to x; or one value per sequence; or a sequence of
            which the last frames are taken. Default 0.
        time_step: number of frames to look back, 1 or more.

    Returns:
        Function of the shape of x and the initial state broadcast to each other, with the dynamic axes of x.

    Raises:
        AxisError: if x has no sequence axis.
        ShapeError: if x and the initial state do not broadcast.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> C.sequence.past_value(x).eval({x: [[[1], [2], [3]]]})[0].ravel().tolist()
        [0.0, 1.0, 2.0]

    Source: CNTK 2.7 ``ops.sequence.past_value``.
    """
    return _past_value(x, 0 if initial_state is None else initial_state, time_step, name)


def future_value(x: Operand, initial_state: Operand | None = None, time_step: int = 1, name: str = "") -> Function:
    """The value ``time_step`` frames later; after the sequence, the initial state.

    Args:
        x: operand of any static shape with a batch and a sequence axis.
        initial_state: as for :func:`past_value`; of a sequence the first frames are taken. Default 0.
        time_step: number of frames to look ahead, 1 or more.

    Returns:
        Function of the shape of x and the initial state broadcast to each other, with the dynamic axes of x.

    Raises:
        AxisError: if x has no sequence axis.
        ShapeError: if x and the initial state do not broadcast.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> C.sequence.future_value(x).eval({x: [[[1], [2], [3]]]})[0].ravel().tolist()
        [2.0, 3.0, 0.0]

    Source: CNTK 2.7 ``ops.sequence.future_value``.
    """
    return _future_value(x, 0 if initial_state is None else initial_state, time_step, name)
