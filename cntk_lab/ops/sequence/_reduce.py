"""Sequences as a whole: sums, largest elements and softmax over time, unpacking, repeating for every frame.

Everything is computed over real frames only. Must not know how frames are chosen. Source: CNTK 2.7 ``ops.sequence``,
observed.
"""

from __future__ import annotations

from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.errors import AxisError
from cntk_lab.graph.declare import as_flow, tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, Sample, TensorType, Trait, reals
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.variable import Variable
from cntk_lab.ops._recurrence import future_value, past_value
from cntk_lab.ops._structure import alias
from cntk_lab.ops.sequence import _frames as f
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.shape import FREE

__all__ = ["broadcast_as", "delay", "reduce_max", "reduce_sum", "softmax", "unpack"]


def _per_sequence(what: str) -> Any:
    return lambda seq: f.sequence_axis(seq.axes, what)[:1]


def _max_gradient(xp: Any, dy: Any, seq: Any, y: Any, layouts: Any) -> Any:
    layout: Layout = layouts[0]
    return xp.where(seq == y[layout.sequence], dy[layout.sequence], xp.zeros((), dy.dtype))


@tensor_op(
    shape=lambda seq: seq.dims,
    axes=_per_sequence("sequence.reduce_sum"),
    forward=lambda xp, seq, layouts: f.sum_frames(xp, seq, layouts[0]),
    gradient={"seq": lambda dy, seq, layouts: dy[layouts[0].sequence]},
    traits=[Trait.NEEDS_LAYOUT],
    cntk=CntkRule(block="Sequence::ReduceElements", where={"reductionOpName": "Sum"}),
    samples=(Sample(((2,),)), Sample(((),))),
)
def sequence_reduce_sum(seq: Operand, name: str = "") -> Function:
    """The sum over the frames of every sequence, element by element.

    Args:
        seq: operand with a sequence axis, of any static shape.

    Returns:
        Function without sequence axis: one sample for each sequence.

    Raises:
        AxisError: if the operand has no sequence axis.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> C.sequence.reduce_sum(x).eval({x: [[[5], [6], [7]]]}).tolist()
        [[18.0]]

    Source: CNTK 2.7 ``ops.sequence.reduce_sum``.
    """


@tensor_op(
    shape=lambda seq: seq.dims,
    axes=_per_sequence("sequence.reduce_max"),
    forward=lambda xp, seq, layouts: f.max_frames(xp, seq, layouts[0]),
    gradient={"seq": _max_gradient},
    traits=[Trait.NEEDS_LAYOUT],
    cntk=CntkRule(block="Sequence::ReduceElements", where={"reductionOpName": "Max"}),
    domain={"seq": reals(distinct=True)},
    samples=(Sample(((2,),)), Sample(((),))),
)
def sequence_reduce_max(seq: Operand, name: str = "") -> Function:
    """The largest element over the frames of every sequence, for each static position.

    Args:
        seq: operand with a sequence axis, of any static shape.

    Returns:
        Function without sequence axis. The gradient goes to every frame that holds the largest element.

    Raises:
        AxisError: if the operand has no sequence axis.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> C.sequence.reduce_max(x).eval({x: [[[5], [7], [6]]]}).tolist()
        [[7.0]]

    Source: CNTK 2.7 ``ops.sequence.reduce_max``.
    """


def _softmax_forward(xp: Any, seq: Any, layouts: Any) -> Any:
    layout = layouts[0]
    weights = xp.exp(seq - f.max_frames(xp, seq, layout)[layout.sequence])
    return weights / f.sum_frames(xp, weights, layout)[layout.sequence]


def _softmax_gradient(xp: Any, dy: Any, y: Any, layouts: Any) -> Any:
    layout = layouts[0]
    return y * (dy - f.sum_frames(xp, dy * y, layout)[layout.sequence])


@tensor_op(
    shape=lambda seq: seq.dims,
    axes=lambda seq: f.sequence_axis(seq.axes, "sequence.softmax"),
    forward=_softmax_forward,
    gradient={"seq": _softmax_gradient},
    traits=[Trait.NEEDS_LAYOUT],
    cntk=CntkRule(block="Sequence::Softmax"),
    samples=(Sample(((2,),)), Sample(((),))),
)
def sequence_softmax(seq: Operand, name: str = "") -> Function:
    """Weights that are positive and sum to 1 over the frames of every sequence, for each static position.

    Args:
        seq: operand with a sequence axis, of any static shape.

    Returns:
        Function of the shape and sequences of the operand.

    Raises:
        AxisError: if the operand has no sequence axis.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> C.sequence.softmax(x).eval({x: [[[0], [0]]]})[0].ravel().tolist()
        [0.5, 0.5]

    Source: CNTK 2.7 ``ops.sequence.softmax``.
    """


# ---- into a static axis


def _unpack_shape(x: TensorType, no_mask_output: bool) -> Any:
    shape = (FREE, *x.dims)
    return shape if no_mask_output else (shape, (FREE,))


def _unpack_forward(xp: Any, x: Any, layouts: Any, padding_value: float, no_mask_output: bool) -> Any:
    layout = layouts[0]
    padded = xp.full((layout.count, layout.longest, *x.shape[1:]), padding_value, x.dtype)
    padded[layout.sequence, layout.position] = x
    if no_mask_output:
        return padded
    mask = xp.zeros((layout.count, layout.longest), x.dtype)
    mask[layout.sequence, layout.position] = 1
    return padded, mask


@tensor_op(
    shape=_unpack_shape,
    axes=lambda x: f.sequence_axis(x.axes, "sequence.unpack")[:1],
    forward=_unpack_forward,
    gradient={"x": lambda dy, layouts: dy[layouts[0].sequence, layouts[0].position]},
    count=lambda no_mask_output: 1 if no_mask_output else 2,
    operands=("x",),
    outputs=("values", "mask"),
    traits=[Trait.NEEDS_LAYOUT],
    cntk=CntkRule(
        "UnpackSequenceOp",
        id=72,
        attributes={
            "padding_value": "sequenceUnpackPaddingValue",
            "no_mask_output": "sequenceUnpackSuppressMaskOutput",
        },
    ),
    samples=(Sample(((2,),), {"padding_value": 0.0}), Sample(((),), {"padding_value": -1.0, "no_mask_output": True})),
)
def sequence_unpack(x: Operand, padding_value: float, no_mask_output: bool = False, name: str = "") -> Function:
    """The frames of every sequence along a static axis, as long as the longest sequence of the minibatch.

    Args:
        x: operand with a sequence axis, of any static shape.
        padding_value: what stands after the end of shorter sequences.
        no_mask_output: whether the second output is left out.

    Returns:
        Function with the outputs values (frames x static shape of x) and mask (frames): 1 for frames, 0 for padding.
        The first axis has a free dimension.

    Raises:
        AxisError: if the operand has no sequence axis.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(())
        >>> C.sequence.unpack(x, 0, True).eval({x: [[5, 6], [7]]}).tolist()
        [[5.0, 6.0], [7.0, 0.0]]

    Source: CNTK 2.7 ``ops.sequence.unpack``.
    """


# ---- repeated for every frame


def _broadcast_axes(operand: TensorType, broadcast_as_operand: TensorType) -> tuple[Axis, ...]:
    axes = broadcast_as_operand.axes or ()
    have = operand.axes or ()
    if len(have) > 1 and have != axes:
        raise AxisError(
            f"sequence.broadcast_as: the operand already has the sequence axis {have[1].name}",
            fix="relabel it with reconcile_dynamic_axes, or reduce it to one sample for each sequence",
        )
    return axes


@tensor_op(
    shape=lambda operand: operand.dims,
    axes=_broadcast_axes,
    partial=lambda operand: operand.shape,
    forward=lambda xp, operand, broadcast_as_operand: xp.broadcast_to(
        operand, (broadcast_as_operand.shape[0], *operand.shape[1:])
    ).copy(),
    gradient={"operand": lambda dy: dy},
    sparse_operands=("broadcast_as_operand",),
    cntk=CntkRule(block="Sequence::BroadcastAs"),
    samples=(Sample(((2,), (3,)), parameters=(0,)), Sample(((2,), (3,)))),
)
def sequence_broadcast_as(operand: Operand, broadcast_as_operand: Operand, name: str = "") -> Function:
    """The operand repeated for every frame of another operand's sequences.

    Args:
        operand: one sample for each sequence, or without dynamic axes; of any static shape.
        broadcast_as_operand: operand whose sequences are taken; its numbers do not matter.

    Returns:
        Function of operand's static shape along those sequences.

    Raises:
        AxisError: if the operand has another sequence axis.

    Example:
        >>> import cntk_lab as C
        >>> x, s = C.input_variable(1), C.sequence.input_variable(2)
        >>> C.sequence.broadcast_as(x, s).eval({x: [[7]], s: [[[0, 0], [0, 0]]]})[0].ravel().tolist()
        [7.0, 7.0]

    Source: CNTK 2.7 ``ops.sequence.broadcast_as``.
    """


def delay(x: Operand, initial_state: Operand | None = None, time_step: int = 1, name: str = "") -> Function | Variable:
    """The value ``time_step`` frames earlier; later for a negative number; the operand itself for 0.

    Args:
        x: operand of any static shape with a batch and a sequence axis.
        initial_state: what stands before (after) the sequence, as for :func:`past_value`; default 0.
        time_step: number of frames.

    Returns:
        Function of the shape and dynamic axes of x.

    Raises:
        AxisError: if x has no sequence axis.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> C.sequence.delay(x, time_step=-1).eval({x: [[[1], [2], [3]]]})[0].ravel().tolist()
        [2.0, 3.0, 0.0]

    Source: CNTK 2.7 ``ops.sequence.delay``.
    """
    if time_step > 0:
        return past_value(x, initial_state, time_step, name)
    if time_step < 0:
        return future_value(x, initial_state, -time_step, name)
    return alias(x, name) if name else as_flow("delay", x)


reduce_sum, reduce_max, softmax = sequence_reduce_sum, sequence_reduce_max, sequence_softmax
unpack, broadcast_as = sequence_unpack, sequence_broadcast_as
