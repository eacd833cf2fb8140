"""Shapes: the same elements under another static shape (free views), axes moved, channels turned into pixels and back.

Everything here works on static axes; dynamic axes pass through. ``resolve`` turns CNTK's ways of naming axes into
positions. Must not know sequences. Source: CNTK 2.7, observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.errors import AxisError, ShapeError, SignatureError
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import EVERY, CntkRule, Moves, OnnxRule, Sample, TensorType, Trait
from cntk_lab.graph.operand import Operand
from cntk_lab.tensor.shape import FREE, INFERRED, Shape, as_shape, size, text

__all__ = [
    "depth_to_space",
    "expand_dims",
    "flatten",
    "reshape",
    "space_to_depth",
    "squeeze",
    "swapaxes",
    "transpose",
]

_END = Axis.end_static_axis()


def static_axis(axis: Any, rank: int, what: str) -> int:
    """A static axis (number or Axis) as a position from the front.

    Raises:
        AxisError: if it is a dynamic axis, or there is no such axis.
    """
    if isinstance(axis, Axis):
        if not axis.is_static_axis:
            raise AxisError(
                f"{what}: {axis} is not a static axis", fix="use an operator of the sequence module for dynamic axes"
            )
        axis = axis.static_axis_index()
    index = int(axis)
    if not -rank <= index < rank:
        raise AxisError(
            f"{what}: axis {index} is out of bounds for the rank {rank} it applies to",
            fix=f"axes go from {-rank} to {rank - 1}",
        )
    return index + rank if index < 0 else index


# ---- views


def _edge(axis: Any, rank: int, default: int) -> int:
    """A position between axes, 0 to rank."""
    if axis is None:
        return default
    if isinstance(axis, Axis):
        if axis == _END:
            return rank
        axis = axis.static_axis_index()
    index = int(axis)
    if not -rank <= index <= rank:
        raise AxisError(
            f"reshape: axis {index} does not exist in a tensor of rank {rank}", fix=f"axes go from {-rank} to {rank}"
        )
    return index + rank if index < 0 else index


def _reshape_resolve(x: TensorType, shape: Any, begin_axis: Any, end_axis: Any) -> dict[str, Any]:
    begin, end = _edge(begin_axis, x.rank, 0), _edge(end_axis, x.rank, x.rank)
    if end < begin:
        raise AxisError(
            f"reshape: the axes from {begin} to {end} are none", fix="end_axis must not be before begin_axis"
        )
    return {"begin": begin, "end": end, "inside": _replacement(x.dims[begin:end], as_shape(shape))}


def _replacement(have: Shape, want: Shape) -> Shape:
    """New dimensions for some axes, the inferred one worked out.

    Raises:
        ShapeError: if the number of elements differs.
    """
    if want.count(INFERRED) > 1:
        raise ShapeError(
            f"reshape: {text(want)} has more than one inferred dimension", fix="leave at most one dimension -1"
        )
    if INFERRED in have:
        return want  # the operand's own shape is not known yet
    if FREE in have:
        if INFERRED in want and FREE not in want:
            return tuple(FREE if d == INFERRED else d for d in want)
        return want
    rest = size(tuple(d for d in want if d != INFERRED))
    total = size(have)
    if FREE in want or (total != rest if INFERRED not in want else total % rest):
        raise ShapeError(
            f"reshape: operand (sub-)dimensions {text(have)} have {total} elements, {text(want)} has "
            f"{'a multiple of ' if INFERRED in want else ''}{rest}",
            fix="the number of elements must be the same; one dimension may be -1",
        )
    return tuple(total // rest if d == INFERRED else d for d in want)


def _reshape_partial(x: TensorType, shape: Any, begin_axis: Any, end_axis: Any) -> Shape | None:
    """While the operand is unknown: the new shape, if it is said in full."""
    if x.shape is None and begin_axis is None and end_axis is None:
        wanted = as_shape(shape)
        return wanted if INFERRED not in wanted else None
    return None


def _view_gradient(dy: Any, x: Any) -> Any:
    return dy.reshape(dy.shape[:1] + x.shape[1:])


@tensor_op(
    shape=lambda x, begin, end, inside: x.dims[:begin] + inside + x.dims[end:],
    resolve=_reshape_resolve,
    settles=("begin", "end", "inside"),
    partial=_reshape_partial,
    forward=lambda x, begin, end, inside: x.reshape(
        x.shape[: 1 + begin] + tuple(INFERRED if d == FREE else d for d in inside) + x.shape[1 + end :]
    ),
    gradient={"x": _view_gradient},
    operands=("x",),
    traits=[Trait.VIEW],
    sparse_operands=("x",),
    sparse=lambda x: x.sparse,
    cntk=CntkRule("Reshape", id=16, attributes={"shape": "newShape", "begin_axis": "beginAxis", "end_axis": "endAxis"}),
    onnx=OnnxRule("Reshape", since=5),
    samples=(
        Sample(((2, 3),), {"shape": (3, 2)}),
        Sample(((2, 3, 4),), {"shape": (-1,), "begin_axis": 1}),
        Sample(((2, 3, 4),), {"shape": (1, -1), "begin_axis": 0, "end_axis": -1}),
        Sample(((2, 3),), {"shape": (1,), "begin_axis": 1, "end_axis": 1}),
    ),
)
def reshape(x: Operand, shape: Any, begin_axis: Any = None, end_axis: Any = None, name: str = "") -> Function:
    """The same elements, in row-major order, under another static shape.

    Args:
        x: operand of any static shape, dense or sparse; dynamic axes pass through.
        shape: new dimensions; one may be -1, which is worked out.
        begin_axis: first axis that is replaced; default the first of all.
        end_axis: one past the last axis that is replaced; default all to the end. Negative axes count from the end.

    Returns:
        Function of the new shape; no elements are copied.

    Raises:
        ShapeError: if the number of elements differs.

    Example:
        >>> reshape([[1, 2, 3], [4, 5, 6]], (3, -1)).eval().tolist()
        [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]

    Source: CNTK 2.7 ``ops.reshape``; ONNX Reshape-5.
    """


def _squeeze_resolve(x: TensorType, axes: Any) -> dict[str, Any]:
    if axes is None:
        return {"gone": tuple(i for i, d in enumerate(x.dims) if d == 1)}
    items = axes if isinstance(axes, (Sequence, set)) else (axes,)
    gone = tuple(sorted(static_axis(a, x.rank, "squeeze") for a in items))
    for i in gone:
        if x.dims[i] != 1:
            raise ShapeError(
                f"squeeze: cannot squeeze a static axis whose dimension (={x.dims[i]}) is not 1: axis {i} of "
                f"{text(x.dims)}",
                fix="squeeze axes of length 1, or reduce the axis",
            )
    return {"gone": gone}


@tensor_op(
    shape=lambda x, gone: tuple(d for i, d in enumerate(x.dims) if i not in gone),
    resolve=_squeeze_resolve,
    settles=("gone",),
    forward=lambda x, gone: x.reshape(tuple(d for i, d in enumerate(x.shape) if i - 1 not in gone)),
    gradient={"x": _view_gradient},
    operands=("x",),
    traits=[Trait.VIEW],
    cntk=CntkRule("Squeeze", id=88, attributes={"axes": "axisVec"}),
    onnx=OnnxRule("Squeeze", since=1, attributes={"axes": "axes"}),
    samples=(Sample(((1, 2, 1, 3),)), Sample(((1, 2, 1, 3),), {"axes": (-2,)}), Sample(((2, 3),))),
)
def squeeze(x: Operand, axes: Any = None, name: str = "") -> Function:
    """The operand without axes of dimension 1.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        axes: axis or axes to drop; default all of dimension 1.

    Returns:
        Function of fewer axes; no elements are copied.

    Raises:
        ShapeError: if an axis to drop is longer than 1.

    Example:
        >>> squeeze([[[1, 2]]]).eval().tolist()
        [1.0, 2.0]

    Source: CNTK 2.7 ``ops.squeeze``; ONNX Squeeze-1.
    """


def _expand_resolve(x: TensorType, axis: Any) -> dict[str, Any]:
    if isinstance(axis, Axis) and axis == _END:
        return {"at": 0}
    if isinstance(axis, Axis):
        axis = axis.static_axis_index()
    if not -x.rank - 1 <= axis < max(x.rank, 1):
        raise AxisError(
            f"expand_dims: axis {axis} is out of bounds for the rank {x.rank} it applies to",
            fix=f"axes go from {-x.rank - 1} to {x.rank - 1}",
        )
    return {"at": axis + x.rank + 1 if axis < 0 else min(axis + 1, x.rank)}


@tensor_op(
    shape=lambda x, at: (*x.dims[:at], 1, *x.dims[at:]),
    resolve=_expand_resolve,
    settles=("at",),
    forward=lambda x, at: x.reshape((*x.shape[: at + 1], 1, *x.shape[at + 1 :])),
    gradient={"x": _view_gradient},
    operands=("x",),
    traits=[Trait.VIEW],
    cntk=CntkRule(block="ExpandDims", attributes={"axis": "axis"}),
    onnx=OnnxRule("Unsqueeze", since=1, attributes={"axis": "axes"}),
    samples=tuple(Sample(((3, 4),), {"axis": a}) for a in (0, 1, -1, -2, -3)),
)
def expand_dims(x: Operand, axis: Any, name: str = "") -> Function:
    """The operand with a new axis of dimension 1.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        axis: negative: where the new axis will be, counted from the end of the result; otherwise it comes *after* this
            axis of x.

    Returns:
        Function of one more axis; no elements are copied.

    Raises:
        AxisError: if there is no such axis.

    Example:
        >>> expand_dims([[1, 2, 3]], 0).shape, expand_dims([[1, 2, 3]], -3).shape
        ((1, 1, 3), (1, 1, 3))

    Source: CNTK 2.7 ``ops.expand_dims``; ONNX Unsqueeze-1.
    """


def _flatten_resolve(x: TensorType, axis: Any) -> dict[str, Any]:
    index = 0 if axis is None else axis.static_axis_index() if isinstance(axis, Axis) else int(axis)
    if not -x.rank - 1 <= index <= x.rank:
        raise AxisError(
            f"flatten: axis {index} does not exist in a tensor of rank {x.rank}",
            fix=f"axes go from {-x.rank - 1} to {x.rank}",
        )
    # counted from the end, the axis named belongs to the first part
    return {"at": index + x.rank + 1 if index < 0 else index}


def _product(dims: Shape) -> int:
    return FREE if FREE in dims else size(dims)


@tensor_op(
    shape=lambda x, at: (_product(x.dims[:at]), _product(x.dims[at:])),
    resolve=_flatten_resolve,
    settles=("at",),
    forward=lambda x, at: x.reshape((x.shape[0], size(x.shape[1 : 1 + at]), size(x.shape[1 + at :]))),
    gradient={"x": _view_gradient},
    operands=("x",),
    traits=[Trait.VIEW],
    cntk=CntkRule(block="Flatten", attributes={"axis": "axis"}),
    onnx=OnnxRule("Flatten", since=1, attributes={"axis": "axis"}),
    samples=tuple(Sample(((2, 3, 4),), {"axis": a}) for a in (None, 1, 2, 3, -1, -2, -3)),
)
def flatten(x: Operand, axis: Any = None, name: str = "") -> Function:
    """The operand as a matrix: the axes before ``axis`` become its rows, the others its columns.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        axis: first axis of the columns; default 0. A negative axis belongs to the rows itself: -1 makes one column.

    Returns:
        Function of two axes; no elements are copied.

    Raises:
        AxisError: if there is no such axis.

    Example:
        >>> flatten([[1, 2], [3, 4]]).eval().tolist()
        [[1.0, 2.0, 3.0, 4.0]]

    Source: CNTK 2.7 ``ops.flatten``; ONNX Flatten-1.
    """


# ---- axes moved


def _transpose_resolve(x: TensorType, perm: Any) -> dict[str, Any]:
    if not isinstance(perm, Sequence):
        raise SignatureError(
            f"transpose expects a permutation, not {perm!r}; to swap two axes use swapaxes", fix="say perm=(1, 0)"
        )
    items = [p.static_axis_index() if isinstance(p, Axis) else int(p) for p in perm]
    n = len(items)
    if n > x.rank or any(not -n <= p < n for p in items):
        raise AxisError(
            f"transpose: invalid permutation element: elements of {tuple(items)} must be from -{n} to {n - 1}, "
            f"the operand is {text(x.dims)}"
        )
    order = [p + n if p < 0 else p for p in items]
    if len(set(order)) != n:
        raise AxisError(
            f"transpose: duplicate item in permutation {tuple(items)}", fix=f"name each axis once, from 0 to {n - 1}"
        )
    front = x.rank - n  # a short permutation is one of the last axes
    return {"order": (*range(front), *(front + p for p in order))}


def _move(xp: Any, x: Any, order: Sequence[int]) -> Any:
    return xp.ascontiguousarray(x.transpose((0, *(i + 1 for i in order))))


def _inverse(order: Sequence[int]) -> list[int]:
    return [list(order).index(i) for i in range(len(order))]


@tensor_op(
    shape=lambda x, order: tuple(x.dims[i] for i in order),
    resolve=_transpose_resolve,
    settles=("order",),
    forward=lambda xp, x, order: _move(xp, x, order),
    gradient={"x": lambda xp, dy, order: _move(xp, dy, _inverse(order))},
    moves=lambda order: Moves("order", order=tuple(order)),
    operands=("x",),
    cntk=CntkRule("TransposeAxes", id=12, where={"axes": "several"}, attributes={"perm": "axisVec"}),
    onnx=OnnxRule("Transpose", since=1, attributes={"perm": "perm"}),
    samples=(
        Sample(((2, 3, 4),), {"perm": (2, 0, 1)}),
        Sample(((2, 3, 4),), {"perm": (1, 0)}),
        Sample(((2, 3),), {"perm": (0, -1)}),
    ),
)
def transpose(x: Operand, perm: Any, name: str = "") -> Function:
    """The operand with its static axes in another order.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        perm: for each axis of the result, the axis of x that it is; a short one permutes the last axes.

    Returns:
        Function of the permuted shape.

    Raises:
        AxisError: if perm is no permutation.

    Example:
        >>> transpose([[1, 2, 3], [4, 5, 6]], (1, 0)).eval().tolist()
        [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]

    Source: CNTK 2.7 ``ops.transpose``; ONNX Transpose-1.
    """


def _swap_resolve(x: TensorType, axis1: Any, axis2: Any) -> dict[str, Any]:
    a, b = static_axis(axis1, x.rank, "swapaxes"), static_axis(axis2, x.rank, "swapaxes")
    order = list(range(x.rank))
    order[a], order[b] = b, a
    return {"order": tuple(order)}


@tensor_op(
    shape=lambda x, order: tuple(x.dims[i] for i in order),
    resolve=_swap_resolve,
    settles=("order",),
    forward=lambda xp, x, order: _move(xp, x, order),
    gradient={"x": lambda xp, dy, order: _move(xp, dy, order)},
    moves=lambda order: Moves("order", order=tuple(order)),
    operands=("x",),
    cntk=CntkRule("TransposeAxes", id=12, where={"axes": "two"}, attributes={"axis1": "axis1", "axis2": "axis2"}),
    onnx=OnnxRule("Transpose", since=1),
    samples=(Sample(((2, 3, 4),)), Sample(((2, 3, 4),), {"axis1": -1, "axis2": 0})),
)
def swapaxes(x: Operand, axis1: Any = 0, axis2: Any = 1, name: str = "") -> Function:
    """The operand with two static axes exchanged.

    Args:
        x: operand of two axes or more; dynamic axes pass through.
        axis1: one axis.
        axis2: the other.

    Returns:
        Function of the shape with the two dimensions exchanged.

    Raises:
        AxisError: if there is no such axis.

    Example:
        >>> swapaxes([[1, 2, 3], [4, 5, 6]]).eval().tolist()
        [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]

    Source: CNTK 2.7 ``ops.swapaxes``; ONNX Transpose-1.
    """


# ---- blocks of pixels


def _blocks(name: str, operand: TensorType, block_size: int) -> None:
    if operand.rank != 3 or block_size < 1:
        raise ShapeError(
            f"{name}: the operand {text(operand.dims)} must be C x H x W, block_size {block_size} 1 or more"
        )


def _depth_shape(operand: TensorType, block_size: int) -> Shape:
    _blocks("depth_to_space", operand, block_size)
    c, h, w = operand.dims
    if c % (block_size * block_size):
        raise ShapeError(
            f"depth_to_space: {c} channels cannot be divided into blocks of {block_size} x {block_size}",
            fix=f"use a multiple of {block_size**2} channels",
        )
    return (c // block_size**2, h * block_size, w * block_size)


def _space_shape(operand: TensorType, block_size: int) -> Shape:
    _blocks("space_to_depth", operand, block_size)
    c, h, w = operand.dims
    if h % block_size or w % block_size:
        raise ShapeError(
            f"space_to_depth: {h} x {w} pixels cannot be divided into blocks of {block_size} x {block_size}",
            fix=f"use multiples of {block_size}",
        )
    return (c * block_size**2, h // block_size, w // block_size)


def _to_space(x: Any, b: int) -> Any:
    n, c, h, w = x.shape
    return x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2).reshape(n, c // (b * b), h * b, w * b)


def _to_depth(x: Any, b: int) -> Any:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)


@tensor_op(
    arrays=EVERY,
    shape=_depth_shape,
    forward=lambda operand, block_size: _to_space(operand, block_size),
    gradient={"operand": lambda dy, block_size: _to_depth(dy, block_size)},
    operands=("operand",),
    cntk=CntkRule(block="DepthToSpace", attributes={"block_size": "blockSize"}),
    onnx=OnnxRule("DepthToSpace", since=1, attributes={"block_size": "blocksize"}),
    samples=(Sample(((8, 2, 3),), {"block_size": 2}),),
)
def depth_to_space(operand: Operand, block_size: int, name: str = "") -> Function:
    """Channels rearranged into blocks of pixels: an image block_size times larger in both directions.

    Args:
        operand: (C x H x W), C a multiple of block_size squared; dynamic axes pass through.
        block_size: side of a block, in pixels.

    Returns:
        Function (C / block_size^2 x H * block_size x W * block_size).

    Raises:
        ShapeError: if the channels cannot be divided.

    Example:
        >>> import numpy as np
        >>> depth_to_space(np.arange(4, dtype=np.float32).reshape(4, 1, 1), 2).eval().tolist()
        [[[0.0, 1.0], [2.0, 3.0]]]

    Source: CNTK 2.7 ``ops.depth_to_space``; ONNX DepthToSpace-1.
    """


@tensor_op(
    arrays=EVERY,
    shape=_space_shape,
    forward=lambda operand, block_size: _to_depth(operand, block_size),
    gradient={"operand": lambda dy, block_size: _to_space(dy, block_size)},
    operands=("operand",),
    cntk=CntkRule(block="SpaceToDepth", attributes={"block_size": "blockSize"}),
    onnx=OnnxRule("SpaceToDepth", since=1, attributes={"block_size": "blocksize"}),
    samples=(Sample(((2, 4, 6),), {"block_size": 2}),),
)
def space_to_depth(operand: Operand, block_size: int, name: str = "") -> Function:
    """Blocks of pixels rearranged into channels: the inverse of :func:`depth_to_space`.

    Args:
        operand: (C x H x W), H and W multiples of block_size; dynamic axes pass through.
        block_size: side of a block, in pixels.

    Returns:
        Function (C * block_size^2 x H / block_size x W / block_size).

    Raises:
        ShapeError: if the pixels cannot be divided.

    Example:
        >>> space_to_depth([[[1, 2], [3, 4]]], 2).eval().ravel().tolist()
        [1.0, 2.0, 3.0, 4.0]

    Source: CNTK 2.7 ``ops.space_to_depth``; ONNX SpaceToDepth-1.
    """
