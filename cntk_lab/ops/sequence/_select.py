"""Frames of sequences: the first, the last, a range, those that a condition chooses, and back again.

Must not know reductions. Source: CNTK 2.7 ``ops.sequence``, observed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.axis import Axis
from cntk_lab.errors import AttributeValueError, SequenceError, ShapeError
from cntk_lab.graph import walk
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, Reals, Sample, TensorType, Trait
from cntk_lab.graph.operand import Operand
from cntk_lab.ops.sequence import _frames as f
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.shape import Shape, text

__all__ = ["first", "gather", "is_first", "is_last", "last", "scatter", "slice", "where"]


def _flags(xp: Any, layout: Layout, dtype: str, *, last: bool) -> Any:
    """1 at the first (last) frame of every sequence."""
    return xp.asarray((layout.position == (layout.lengths[layout.sequence] - 1 if last else 0)).astype(dtype))


@tensor_op(
    shape=lambda: (),
    axes=lambda seq: f.sequence_axis(seq.axes, "sequence.is_first"),
    forward=lambda xp, layout, target: _flags(xp, layout, target.dtype, last=False),
    traits=[Trait.NO_GRADIENT, Trait.NEEDS_LAYOUT],
    sparse_operands=("seq",),
    cntk=CntkRule(block="Sequence::IsFirst"),
    samples=(Sample(((2,),), gradient=False),),
)
def sequence_is_first(seq: Operand, name: str = "") -> Function:
    """1 at the first frame of every sequence, 0 at the others.

    Args:
        seq: operand with a sequence axis, of any static shape.

    Returns:
        Function of scalars along the same sequences.

    Raises:
        AxisError: if the operand has no sequence axis.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> C.sequence.is_first(x).eval({x: [[[5], [6], [7]]]})[0].tolist()
        [1.0, 0.0, 0.0]

    Source: CNTK 2.7 ``ops.sequence.is_first``.
    """


@tensor_op(
    shape=lambda: (),
    axes=lambda seq: f.sequence_axis(seq.axes, "sequence.is_last"),
    forward=lambda xp, layout, target: _flags(xp, layout, target.dtype, last=True),
    traits=[Trait.NO_GRADIENT, Trait.NEEDS_LAYOUT],
    sparse_operands=("seq",),
    cntk=CntkRule(block="Sequence::IsLast"),
    samples=(Sample(((2,),), gradient=False),),
)
def sequence_is_last(seq: Operand, name: str = "") -> Function:
    """1 at the last frame of every sequence, 0 at the others.

    Args:
        seq: operand with a sequence axis, of any static shape.

    Returns:
        Function of scalars along the same sequences.

    Raises:
        AxisError: if the operand has no sequence axis.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> C.sequence.is_last(x).eval({x: [[[5], [6], [7]]]})[0].tolist()
        [0.0, 0.0, 1.0]

    Source: CNTK 2.7 ``ops.sequence.is_last``.
    """


# ---- ranges


def _range_axes(seq: TensorType, begin_index: int, end_index: int) -> tuple[Axis, ...]:
    batch, sequence = f.sequence_axis(seq.axes, "sequence.slice")
    fixed = (begin_index >= 0) == (end_index > 0)
    derived = f.derived_axis(sequence, 0 if fixed else 1, end_index - begin_index)
    return (batch,) if derived is None else (batch, derived)


def _check_range(begin_index: int, end_index: int) -> None:
    if (begin_index >= 0) == (end_index > 0) and begin_index >= end_index:
        raise _RangeError(
            f"sequence.slice: the frames from {begin_index} to before {end_index} are none",
            fix="begin must come before end; end 0 is the end",
        )


class _RangeError(AttributeValueError, SequenceError):
    """A range of frames that is empty for every sequence."""


def _range_shape(seq: TensorType, begin_index: int, end_index: int) -> Shape:
    _check_range(begin_index, end_index)
    return seq.dims


def _take(seq: Any, layouts: Any, begin_index: int, end_index: int) -> Any:
    first, counts = f.window(layouts[0], begin_index, end_index)
    new, rows = f.rows_of(layouts[0], first, counts)
    if (begin_index >= 0) == (end_index > 0) and end_index - begin_index == 1:
        return seq[rows]
    return seq[rows], new


def _take_gradient(xp: Any, dy: Any, seq: Any, layouts: Any, begin_index: int, end_index: int) -> Any:
    first, counts = f.window(layouts[0], begin_index, end_index)
    _, rows = f.rows_of(layouts[0], first, counts)
    result = xp.zeros((layouts[0].rows, *seq.shape[1:]), dy.dtype)
    result[rows] = dy
    return result


_TAKES: dict[str, Any] = {"sparse_operands": ("seq",), "operands": ("seq",), "sparse": lambda seq: seq.sparse}


@tensor_op(
    shape=_range_shape,
    axes=_range_axes,
    forward=_take,
    gradient={"seq": _take_gradient},
    cntk=CntkRule(block="Sequence::Slice"),
    samples=tuple(Sample(((2,),), {"begin_index": b, "end_index": e}) for b, e in ((0, 2), (-2, 0), (-1, 0), (0, 0))),
    traits=[Trait.NEEDS_LAYOUT, Trait.NEW_LAYOUT],
    **_TAKES,
)
def _sequence_slice(seq: Operand, begin_index: int, end_index: int, name: str = "") -> Function:
    """See :func:`slice`."""


def slice(seq: Operand, begin_index: int, end_index: int, name: str = "") -> Function:
    """The frames from one position to before another, of every sequence.

    Args:
        seq: operand with a sequence axis, dense or sparse, of any static shape.
        begin_index: first frame; negative numbers count from the end.
        end_index: one past the last frame; negative numbers count from the end, 0 is the end.

    Returns:
        Function along a new sequence axis named after the length; without sequence axis if it is a single frame. Ranges
        longer than a sequence are cut.

    Raises:
        AxisError: if the operand has no sequence axis.
        SequenceError: when run, if a sequence is too short to have any of the frames.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> C.sequence.slice(x, 1, 0).eval({x: [[[5], [6], [7]]]})[0].ravel().tolist()
        [6.0, 7.0]

    Source: CNTK 2.7 ``ops.sequence.slice``.
    """
    return _sequence_slice(seq, int(begin_index), int(end_index), name)


@tensor_op(
    shape=lambda seq: seq.dims,
    axes=lambda seq: f.sequence_axis(seq.axes, "sequence.first")[:1],
    forward=lambda seq, layouts: _take(seq, layouts, 0, 1),
    gradient={"seq": lambda xp, dy, seq, layouts: _take_gradient(xp, dy, seq, layouts, 0, 1)},
    cntk=CntkRule(block="Sequence::Slice"),
    samples=(Sample(((2, 3),)),),
    traits=[Trait.NEEDS_LAYOUT],
    **_TAKES,
)
def sequence_first(seq: Operand, name: str = "") -> Function:
    """The first frame of every sequence.

    Args:
        seq: operand with a sequence axis, dense or sparse, of any static shape.

    Returns:
        Function without sequence axis: one sample for each sequence.

    Raises:
        AxisError: if the operand has no sequence axis.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> C.sequence.first(x).eval({x: [[[5], [6], [7]]]}).tolist()
        [[5.0]]

    Source: CNTK 2.7 ``ops.sequence.first``.
    """


@tensor_op(
    shape=lambda seq: seq.dims,
    axes=lambda seq: f.sequence_axis(seq.axes, "sequence.last")[:1],
    forward=lambda seq, layouts: _take(seq, layouts, -1, 0),
    gradient={"seq": lambda xp, dy, seq, layouts: _take_gradient(xp, dy, seq, layouts, -1, 0)},
    cntk=CntkRule(block="Sequence::Slice"),
    samples=(Sample(((2, 3),)),),
    traits=[Trait.NEEDS_LAYOUT],
    **_TAKES,
)
def sequence_last(seq: Operand, name: str = "") -> Function:
    """The last frame of every sequence.

    Args:
        seq: operand with a sequence axis, dense or sparse, of any static shape.

    Returns:
        Function without sequence axis: one sample for each sequence.

    Raises:
        AxisError: if the operand has no sequence axis.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> C.sequence.last(x).eval({x: [[[5], [6], [7]]]}).tolist()
        [[7.0]]

    Source: CNTK 2.7 ``ops.sequence.last``.
    """


# ---- conditions


def _where_axis(node: Any, position: int, what: str, condition: TensorType) -> tuple[Axis, Axis]:
    batch, _ = f.sequence_axis(condition.axes, what)
    return batch, Axis(f"whereNodeDynamicAxis_conditionVar_{walk.resolve(node.inputs[position]).uid}")


def _scalar(condition: TensorType, what: str) -> None:
    if any(d != 1 for d in condition.dims):
        raise ShapeError(
            f"{what}: the condition has the static shape {text(condition.dims)}", fix="give one number for each frame"
        )


def _where_shape(condition: TensorType) -> Shape:
    _scalar(condition, "sequence.where")
    return ()


def _where_forward(xp: Any, condition: Any, layouts: Any) -> Any:
    new, rows = f.chosen(condition, layouts[0])
    return xp.asarray(layouts[0].position[rows]).astype(condition.dtype), new


_CONDITION = Reals(1, 2, whole=True)


@tensor_op(
    shape=_where_shape,
    axes=lambda node, condition: _where_axis(node, 0, "sequence.where", condition),
    forward=_where_forward,
    traits=[Trait.NO_GRADIENT, Trait.NEEDS_LAYOUT, Trait.NEW_LAYOUT],
    cntk=CntkRule("Where", id=13),
    domain={"condition": _CONDITION},
    samples=(Sample(((),), gradient=False),),
)
def sequence_where(condition: Operand, name: str = "") -> Function:
    """The positions of the frames at which the condition is not zero.

    The numbers count: 2 names a frame twice, and fractions are added up until they reach the next whole number.

    Args:
        condition: one number for each frame.

    Returns:
        Function of scalars along a new sequence axis, which belongs to this condition.

    Raises:
        SequenceError: when run, if no frame of a sequence is chosen.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(())
        >>> C.sequence.where(x).eval({x: [[0, 1, 0, 2]]})[0].tolist()
        [1.0, 3.0, 3.0]

    Source: CNTK 2.7 ``ops.sequence.where``.
    """


def _gather_axes(
    node: Any, seq: TensorType, condition: TensorType, new_sequence_axis_typeinfo: Any
) -> tuple[Axis, ...]:
    batch, sequence = f.sequence_axis(seq.axes, "sequence.gather")
    if new_sequence_axis_typeinfo is None:
        return _where_axis(node, 1, "sequence.gather", condition)
    factor, additive = (int(n) for n in new_sequence_axis_typeinfo)
    derived = f.derived_axis(sequence, factor, additive)
    return (batch,) if derived is None else (batch, derived)


def _gather_shape(seq: TensorType, condition: TensorType) -> Shape:
    _scalar(condition, "sequence.gather")
    return seq.dims


def _gathered(condition: Any, layouts: Any) -> tuple[Any, Any]:
    """The layout of the chosen frames, and for each the row of the operand.

    The condition may run along another axis than the operand, as in CNTK: only the frames it chooses must be there.

    Raises:
        SequenceError: if a chosen frame lies behind the end of its sequence.
    """
    have, along = layouts
    new, rows = f.chosen(condition, along)
    if have == along:
        return new, rows
    if have.count != along.count:
        raise SequenceError(
            f"sequence.gather: {have.count} sequences and conditions for {along.count}",
            fix="give a condition for every sequence",
        )
    sequence, position = along.sequence[rows], along.position[rows]
    if (late := position >= have.lengths[sequence]).any():
        worst = int(np.flatnonzero(late)[0])
        raise SequenceError(
            f"sequence.gather: the condition chooses frame {position[worst]} of sequence {sequence[worst]}, which has "
            f"{have.lengths[sequence[worst]]}",
            fix="choose frames that the operand has",
        )
    return new, have.row(sequence, position)


def _gather_forward(seq: Any, condition: Any, layouts: Any, target: Any) -> Any:
    new, rows = _gathered(condition, layouts)
    if "," not in target.rows:
        return seq[f.single(new, rows, "sequence.gather")]
    return seq[rows], new


def _gather_gradient(xp: Any, dy: Any, seq: Any, condition: Any, layouts: Any) -> Any:
    _, rows = _gathered(condition, layouts)
    result = xp.zeros((layouts[0].rows, *seq.shape[1:]), dy.dtype)
    f.add_rows(xp, result, rows, dy)
    return result


@tensor_op(
    shape=_gather_shape,
    axes=_gather_axes,
    forward=_gather_forward,
    gradient={"seq": _gather_gradient},
    operands=("seq", "condition"),
    traits=[Trait.NEEDS_LAYOUT, Trait.NEW_LAYOUT],
    sparse_operands=("seq",),
    sparse=lambda seq: seq.sparse,
    cntk=CntkRule(block="Sequence::Gather"),
    domain={"condition": _CONDITION},
    samples=(Sample(((2,), ())),),
)
def sequence_gather(
    seq: Operand, condition: Operand, new_sequence_axis_typeinfo: Any = None, name: str = ""
) -> Function:
    """The frames at which the condition is not zero, one after the other.

    Args:
        seq: operand with a sequence axis, dense or sparse, of any static shape.
        condition: one number for each frame; see :func:`where` for what numbers besides 0 and 1 mean.
        new_sequence_axis_typeinfo: pair (a, b): each result has a * length + b frames, by which its axis is named; (0,
            1) gives single frames without sequence axis.

    Returns:
        Function along a new sequence axis.

    Raises:
        SequenceError: when run, if no frame of a sequence is chosen, or one behind its end.

    Example:
        >>> import cntk_lab as C
        >>> x, c = C.sequence.input_variable(1), C.sequence.input_variable(())
        >>> C.sequence.gather(x, c).eval({x: [[[5], [6], [7]]], c: [[1, 0, 1]]})[0].ravel().tolist()
        [5.0, 7.0]

    Source: CNTK 2.7 ``ops.sequence.gather``.
    """


def _scatter_shape(seq: TensorType, condition: TensorType) -> Shape:
    _scalar(condition, "sequence.scatter")
    return seq.dims


def _scatter_rows(layouts: Any, condition: Any) -> Any:
    new, rows = f.chosen(condition, layouts[1])
    have = layouts[0]
    if have is not None and have != new:
        raise SequenceError(
            f"sequence.scatter: sequences of {have.lengths.tolist()[:8]} frames do not fit a condition that "
            f"chooses {new.lengths.tolist()[:8]}",
            fix="scatter what sequence.gather took with the same condition",
        )
    return rows


def _scatter_forward(xp: Any, seq: Any, condition: Any, layouts: Any) -> Any:
    rows = _scatter_rows(layouts, condition)
    if not isinstance(seq, xp.ndarray):
        seq = seq.toarray()
    result = xp.zeros((layouts[1].rows, *seq.shape[1:]), seq.dtype)
    f.add_rows(xp, result, rows, seq)
    return result


@tensor_op(
    shape=_scatter_shape,
    axes=lambda condition: f.sequence_axis(condition.axes, "sequence.scatter"),
    forward=_scatter_forward,
    gradient={"seq": lambda dy, condition, layouts: dy[_scatter_rows(layouts, condition)]},
    operands=("seq", "condition"),
    traits=[Trait.NEEDS_LAYOUT],
    sparse_operands=("seq",),
    cntk=CntkRule(block="Sequence::Scatter"),
    domain={"condition": Reals(1, 1, whole=True)},
    samples=(Sample(((2,), ())),),
)
def sequence_scatter(
    seq: Operand, condition: Operand, new_sequence_axis_typeinfo: Any = None, name: str = ""
) -> Function:
    """The frames of a sequence laid where the condition is not zero; zeros elsewhere. The inverse of :func:`gather`.

    Args:
        seq: operand with a sequence axis, as long as the condition chooses frames.
        condition: one number for each frame of the result.
        new_sequence_axis_typeinfo: accepted for CNTK programs; the result has the axis of the condition.

    Returns:
        Function along the sequences of the condition.

    Raises:
        SequenceError: when run, if the lengths do not fit.

    Example:
        >>> import cntk_lab as C
        >>> x, c = C.sequence.input_variable(1), C.sequence.input_variable(())
        >>> both = C.sequence.scatter(C.sequence.gather(x, c), c)
        >>> both.eval({x: [[[5], [6], [7]]], c: [[1, 0, 1]]})[0].ravel().tolist()
        [5.0, 0.0, 7.0]

    Source: CNTK 2.7 ``ops.sequence.scatter``.
    """


first, last, is_first, is_last = sequence_first, sequence_last, sequence_is_first, sequence_is_last
where, gather, scatter = sequence_where, sequence_gather, sequence_scatter
