"""Between static and dynamic axes: sequences out of static axes, the batch as a static axis, and relabelled sequences.

Must not know how frames are chosen (see ops/sequence). Source: CNTK 2.7, observed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.axis import Axis, format_axes
from cntk_lab.errors import AxisError, DataError, ShapeError
from cntk_lab.graph import walk
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import NONE, CntkRule, Reals, Sample, TensorType, Trait
from cntk_lab.graph.operand import Operand
from cntk_lab.ops._numbers import whole
from cntk_lab.ops.sequence._frames import sum_frames
from cntk_lab.tensor.arrays import to_host
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.shape import FREE, Shape, text

__all__ = ["reconcile_dynamic_axes", "to_batch", "to_sequence", "to_sequence_like", "unpack_batch"]


# ---- static axis -> sequence axis


def _batch_only(x: TensorType, what: str) -> tuple[Axis, ...]:
    axes = x.axes or ()
    if len(axes) != 1:
        raise AxisError(
            f"{what}: the operand must have a batch axis and no sequence axis, it has {format_axes(axes)}",
            fix="its first static axis becomes the sequence",
        )
    return axes


def _to_sequence_axes(node: Any, x: TensorType, sequence_axis_name_prefix: str) -> tuple[Axis, ...]:
    batch = _batch_only(x, "to_sequence")
    makers = "_".join(walk.resolve(v).uid for v in node.inputs)  # other lengths of the same operand are another axis
    return (*batch, Axis(f"{sequence_axis_name_prefix}{makers}"))


def _frames_shape(x: TensorType, what: str) -> Shape:
    if not x.rank:
        raise ShapeError(
            f"{what}: the operand is a scalar: there is no static axis to make a sequence of",
            fix="give it the frames as its first axis",
        )
    return x.dims[1:]


def _to_sequence_shape(x: TensorType, sequence_lengths: TensorType | None) -> Shape:
    if sequence_lengths is not None and any(d != 1 for d in sequence_lengths.dims):
        raise ShapeError(
            f"to_sequence: the lengths have the static shape {text(sequence_lengths.dims)}",
            fix="give one number for each sample",
        )
    return _frames_shape(x, "to_sequence")


def _lengths_layout(x: Any, sequence_lengths: Any) -> Layout:
    rows, frames = x.shape[:2]
    if sequence_lengths is None:
        return Layout.of(np.full(rows, frames, np.int64))
    lengths = whole(
        to_host(sequence_lengths),
        1,
        frames,
        f"to_sequence: a length of {{}}, the operand has {frames} frames",
        "lengths go from 1 to the first dimension",
    )
    return Layout.of(np.broadcast_to(lengths.reshape(-1), (rows,)))


def _to_sequence_forward(x: Any, sequence_lengths: Any) -> Any:
    layout = _lengths_layout(x, sequence_lengths)
    return x[layout.sequence, layout.position], layout


def _frames_gradient(xp: Any, dy: Any, x: Any, layout: Layout) -> Any:
    result = xp.zeros(x.shape, dy.dtype)
    result[layout.sequence, layout.position] = dy
    return result


@tensor_op(
    shape=_to_sequence_shape,
    axes=_to_sequence_axes,
    forward=_to_sequence_forward,
    gradient={
        "x": lambda xp, dy, x, sequence_lengths: _frames_gradient(xp, dy, x, _lengths_layout(x, sequence_lengths))
    },
    operands=("x", "sequence_lengths"),
    traits=[Trait.NEW_LAYOUT],
    cntk=CntkRule("ToSequenceOp", id=70, attributes={"sequence_axis_name_prefix": "sequenceAxis"}),
    domain={"sequence_lengths": Reals(1, 3, whole=True)},
    samples=(Sample(((3, 2),), sequence=False), Sample(((3, 2), (1,)), sequence=False)),
)
def to_sequence(
    x: Operand, sequence_lengths: Operand | None = None, sequence_axis_name_prefix: str = "toSequence_", name: str = ""
) -> Function:
    """The first static axis as a sequence axis.

    Args:
        x: samples (frames x ...) with a batch axis and no sequence axis.
        sequence_lengths: number of frames of each sample, 1 to the first dimension; default all. Its gradient is zero.
        sequence_axis_name_prefix: how the new axis' name begins.

    Returns:
        Function (...) along a new sequence axis.

    Raises:
        AxisError: if x already has a sequence axis.
        DataError: when run, if a length is more than there are frames.

    Example:
        >>> import cntk_lab as C
        >>> x, n = C.input_variable((3, 1)), C.input_variable(1)
        >>> C.to_sequence(x, n).eval({x: [[[5], [6], [7]]], n: [[2]]})[0].ravel().tolist()
        [5.0, 6.0]

    Source: CNTK 2.7 ``ops.to_sequence``.
    """


def _like_axes(x: TensorType, dynamic_axes_like: TensorType) -> tuple[Axis, ...]:
    _batch_only(x, "to_sequence_like")
    axes = dynamic_axes_like.axes or ()
    if len(axes) != 2:
        raise AxisError(
            f"to_sequence_like: the second operand has the dynamic axes {format_axes(axes)}",
            fix="give an operand with a sequence axis",
        )
    return axes


def _like_layout(x: Any, layouts: Any) -> Layout:
    layout = layouts[1]
    if layout.longest > x.shape[1] or layout.count != x.shape[0]:
        raise DataError(
            f"to_sequence_like: {x.shape[0]} samples of {x.shape[1]} frames cannot become {layout.count} "
            f"sequences of up to {layout.longest} frames",
            fix="take an operand whose sequences were unpacked",
        )
    return layout  # type: ignore[no-any-return]


def _like_forward(x: Any, layouts: Any) -> Any:
    layout = _like_layout(x, layouts)
    return x[layout.sequence, layout.position]


@tensor_op(
    shape=lambda x: _frames_shape(x, "to_sequence_like"),
    axes=_like_axes,
    forward=_like_forward,
    gradient={"x": lambda xp, dy, x, layouts: _frames_gradient(xp, dy, x, layouts[1])},
    operands=("x", "dynamic_axes_like"),
    traits=[Trait.NEEDS_LAYOUT],
    sparse_operands=("dynamic_axes_like",),
    cntk=CntkRule("ToSequenceLikeOp", id=71),
)
def to_sequence_like(x: Operand, dynamic_axes_like: Operand, name: str = "") -> Function:
    """The first static axis as a sequence axis, with the sequences of another operand.

    Args:
        x: samples (frames x ...), with at least as many frames as the longest sequence.
        dynamic_axes_like: operand whose sequences are taken; its numbers do not matter.

    Returns:
        Function (...) along the sequence axis of the second operand.

    Raises:
        AxisError: if x has a sequence axis, or the second operand has none.

    Example:
        >>> import cntk_lab as C
        >>> s = C.sequence.input_variable(())
        >>> doubled = C.to_sequence_like(C.sequence.unpack(s, 0, True) * 2, s)
        >>> [v.tolist() for v in doubled.eval({s: [[5, 6], [7]]})]
        [[10.0, 12.0], [14.0]]

    Source: CNTK 2.7 ``ops.to_sequence_like``.
    """


# ---- batch axis <-> static axis


def _unpacked_axes(x: TensorType) -> tuple[Axis, ...]:
    _batch_only(x, "unpack_batch")
    return ()


@tensor_op(
    shape=lambda x: (FREE, *x.dims),
    axes=_unpacked_axes,
    forward=lambda x: x[None],
    gradient={"x": lambda dy: dy[0]},
    traits=[Trait.ROW_SUM],
    cntk=CntkRule("UnpackBatchAxis", id=79),
    samples=(Sample(((2,),), sequence=False),),
)
def unpack_batch(x: Operand, name: str = "") -> Function:
    """The batch as the first static axis, whose dimension is free.

    Args:
        x: operand with a batch axis and no sequence axis, of any static shape.

    Returns:
        Function (samples x static shape of x) without dynamic axes.

    Raises:
        AxisError: if x has a sequence axis, or no batch axis.

    Example:
        >>> import cntk_lab as C
        >>> x = C.input_variable(1)
        >>> C.unpack_batch(x).eval({x: [[5], [6]]}).tolist()
        [[5.0], [6.0]]

    Source: CNTK 2.7 ``ops.unpack_batch``.
    """


def _batched_axes(node: Any, x: TensorType) -> tuple[Axis, ...]:
    if x.axes:
        raise AxisError(
            f"to_batch: the operand already has the dynamic axes {format_axes(x.axes)}",
            fix="its first static axis becomes the batch",
        )
    return (Axis.batch_axis_made_by(walk.resolve(node.inputs[0]).uid),)


@tensor_op(
    shape=lambda x: _frames_shape(x, "to_batch"),
    axes=_batched_axes,
    forward=lambda x: (x[0], Layout.of(np.ones(x.shape[1], np.int64))),
    gradient={"x": lambda dy: dy[None]},
    traits=[Trait.NEW_LAYOUT],
    cntk=CntkRule("ToBatchAxis", id=80),
    samples=(Sample(((3, 2),), sequence=False, parameters=(0,)),),
)
def to_batch(x: Operand, name: str = "") -> Function:
    """The first static axis as the batch axis: the inverse of :func:`unpack_batch`.

    Args:
        x: operand (samples x ...) without dynamic axes.

    Returns:
        Function (...) with a batch axis.

    Raises:
        AxisError: if x has dynamic axes.

    Example:
        >>> import cntk_lab as C
        >>> C.to_batch(C.constant([[5.0], [6.0]])).eval().tolist()
        [[5.0], [6.0]]

    Source: CNTK 2.7 ``ops.to_batch``.
    """


# ---- other names for dynamic axes


def _how(layouts: Any) -> str:
    """How rows of the first operand become rows of the second: ``same``, ``per sequence`` or ``one row``.

    Raises:
        DataError: if their sequences differ.
    """
    have, want = layouts
    if have is None or want is None:
        return "one row" if have is None else "same"
    if have == want or ((have.begins is None) != (want.begins is None) and np.array_equal(have.lengths, want.lengths)):
        return "same"
    if have.longest == 1 and have.count == want.count:
        return "per sequence"
    raise DataError(
        f"ReconcileDynamicAxis: sequences of {have.lengths.tolist()[:8]} frames have an MB layout that is "
        f"incompatible with that of {want.lengths.tolist()[:8]}",
        fix="both operands must have equal lengths, or the first one frame for each sequence",
    )


def _reconcile_forward(xp: Any, x: Any, layouts: Any) -> Any:
    how, want = _how(layouts), layouts[1]
    if how == "same":
        return x
    if how == "per sequence":
        return x[want.sequence]
    return xp.broadcast_to(x, (want.rows, *x.shape[1:])).copy()


def _reconcile_gradient(xp: Any, dy: Any, layouts: Any) -> Any:
    return sum_frames(xp, dy, layouts[1]) if _how(layouts) == "per sequence" else dy


def _axes_as(dynamic_axes_as: TensorType) -> tuple[Axis, ...]:
    if not dynamic_axes_as.axes:
        raise AxisError(
            "reconcile_dynamic_axes: the second operand has no dynamic axes",
            fix="give an operand with a batch axis; what has no dynamic axes meets any other operand as it is",
        )
    return dynamic_axes_as.axes


@tensor_op(
    arrays=NONE,
    shape=lambda x: x.dims,
    axes=_axes_as,
    partial=lambda x: x.shape,
    forward=_reconcile_forward,
    gradient={"x": _reconcile_gradient},
    operands=("x", "dynamic_axes_as"),
    traits=[Trait.NEEDS_LAYOUT, Trait.LAYOUT_LIKE],
    sparse_operands=("x", "dynamic_axes_as"),
    cntk=CntkRule("ReconcileDynamicAxis", id=50),
    samples=(Sample(((2,), (3,))), Sample(((2,), (3,)), parameters=(0,))),
)
def reconcile_dynamic_axes(x: Operand, dynamic_axes_as: Operand, name: str = "") -> Function:
    """The operand with the dynamic axes of another one.

    Args:
        x: operand of any static shape, whose sequences are as long as the other's, or one frame long (then repeated).
        dynamic_axes_as: operand whose dynamic axes are taken; its numbers do not matter.

    Returns:
        Function of x's static shape with the dynamic axes of the second operand.

    Raises:
        AxisError: if the second operand has no dynamic axes.
        DataError: when run, if the sequences do not fit.

    Example:
        >>> import cntk_lab as C
        >>> a, b = C.sequence.input_variable(()), C.sequence.input_variable((), sequence_axis=C.Axis("words"))
        >>> both = C.reconcile_dynamic_axes(a, b) + b
        >>> both.eval({a: [[1, 2]], b: [[10, 20]]})[0].tolist()
        [11.0, 22.0]

    Source: CNTK 2.7 ``ops.reconcile_dynamic_axes``.
    """
