"""Parts and pieces: slices of static axes, Python's brackets, operands laid end to end, padding.

Everything here works on static axes; dynamic axes pass through. Must not know sequences. Source: CNTK 2.7, observed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from cntk_lab.axis import Axis
from cntk_lab.errors import AttributeValueError, AxisError, ShapeError
from cntk_lab.graph import ports
from cntk_lab.graph.compose import combine
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, Moves, OnnxRule, Sample, TensorType, Trait
from cntk_lab.graph.operand import Operand, bind_symbol
from cntk_lab.graph.variable import Variable
from cntk_lab.ops._shaping import static_axis
from cntk_lab.tensor.shape import Shape, broadcast, text

__all__ = ["CONSTANT_PAD", "REFLECT_PAD", "SYMMETRIC_PAD", "pad", "slice", "splice"]

CONSTANT_PAD = 0
REFLECT_PAD = 1
SYMMETRIC_PAD = 2

_slice = slice
_END = Axis.end_static_axis()


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _slice_resolve(x: TensorType, axis: Any, begin_index: Any, end_index: Any, strides: Any) -> dict[str, Any]:
    axes, begins, ends = _listed(axis), _listed(begin_index), _listed(end_index)
    steps = [1] * len(axes) if strides is None else _listed(strides)
    if not len(axes) == len(begins) == len(ends) == len(steps):
        raise AttributeValueError(
            f"slice: {len(axes)} axes, {len(begins)} begins, {len(ends)} ends and {len(steps)} strides",
            fix="give one of each for every axis",
        )
    cuts = []
    dims = list(x.dims)
    for a, b, e, s in zip(axes, begins, ends, steps, strict=True):
        if isinstance(a, Axis) and a.is_dynamic_axis:
            raise AxisError(
                f"Slice: invalid axis argument: {a} is dynamic",
                fix="slice a sequence with sequence.slice; batches are not sliced",
            )
        at = static_axis(a, x.rank, "slice")
        begin, end, step, count = _range(dims[at], int(b), int(e), int(s))
        cuts.append((at, begin, end, step))
        dims[at] = count
    return {"cuts": tuple(cuts), "out": tuple(dims)}


def _range(n: int, b: int, e: int, step: int) -> tuple[int, int, int, int]:
    """Begin, end (0: to the last), stride and number of elements of a slice of an axis of n elements."""
    if not step:
        raise AttributeValueError("slice: a stride is 0", fix="1 takes every element, -1 every element backwards")
    if n < 0:
        begin, end = b, e
        count = -(-(e - b) // abs(step)) if (b >= 0) == (e > 0) and e > b and e != 0 else n
        return begin, end, step, count
    begin, end = b + n if b < 0 else b, e + n if e <= 0 else e
    if not 0 <= begin < end <= n:
        raise AxisError(
            f"Slice operation index range [{b},{e}), interpreted as [{begin},{end}), is invalid for an axis of "
            f"{n} elements",
            fix="begin is before end, and both lie on the axis; end 0 is the end of the axis",
        )
    return begin, end, step, -(-(end - begin) // abs(step))


def _window(x: Any, cuts: Sequence[tuple[int, int, int, int]]) -> tuple[_slice, ...]:
    """The index that takes the part out of rows."""
    index = [_slice(None)] * x.ndim
    for at, begin, end, step in cuts:
        n = x.shape[at + 1]
        first, last = begin + n if begin < 0 else begin, end + n if end <= 0 else end
        if step > 0:
            index[at + 1] = _slice(first, last, step)
        else:
            index[at + 1] = _slice(last - 1, first - 1 if first else None, step)
    return tuple(index)


def _slice_gradient(xp: Any, dy: Any, x: Any, cuts: Any) -> Any:
    result = xp.zeros((dy.shape[0], *x.shape[1:]), dy.dtype)
    result[_window(result, cuts)] = dy
    return result


def _slice_moves(cuts: Any) -> Moves | None:
    if len(cuts) != 1:
        return None
    axis, begin, _, stride = cuts[0]
    return Moves("cut", axis, begin) if stride == 1 and begin >= 0 else None


@tensor_op(
    shape=lambda out: out,
    resolve=_slice_resolve,
    settles=("cuts", "out"),
    forward=lambda xp, x, cuts: xp.ascontiguousarray(x[_window(x, cuts)]),
    gradient={"x": _slice_gradient},
    moves=_slice_moves,
    operands=("x",),
    cntk=CntkRule(
        "Slice",
        id=14,
        attributes={"axis": "axis", "begin_index": "beginIndex", "end_index": "endIndex", "strides": "sliceStrides"},
    ),
    onnx=OnnxRule("Slice", since=1, attributes={"axis": "axes", "begin_index": "starts", "end_index": "ends"}),
    samples=(
        Sample(((2, 5),), {"axis": 1, "begin_index": 1, "end_index": 3}),
        Sample(((2, 5),), {"axis": -1, "begin_index": -3, "end_index": 0, "strides": 2}),
        Sample(((4, 5),), {"axis": [0, 1], "begin_index": [1, 0], "end_index": [3, 5], "strides": [1, -2]}),
        Sample(((5,),), {"axis": 0, "begin_index": 0, "end_index": 0, "strides": -1}),
    ),
)
def slice(x: Operand, axis: Any, begin_index: Any, end_index: Any, strides: Any = None, name: str = "") -> Function:
    """The part of the operand between two positions of an axis (or of several axes).

    Args:
        x: operand of any static shape; dynamic axes pass through.
        axis: static axis, or a list of axes.
        begin_index: position of the first element; negative ones count from the end.
        end_index: position after the last element; negative ones count from the end, 0 is the end.
        strides: distance of the elements taken; negative: the part is taken backwards. Default 1.

    Returns:
        Function of the shape of x, shorter along the axes.

    Raises:
        AxisError: if the range is empty, off the axis, or the axis is dynamic.

    Example:
        >>> slice([1, 2, 3, 4, 5], 0, 1, -1).eval().tolist()
        [2.0, 3.0, 4.0]

    Source: CNTK 2.7 ``ops.slice``; ONNX Slice-1.
    """


def _getitem(x: Any, key: Any) -> Any:
    """Parts by Python's brackets: a number keeps its axis with dimension 1, a list picks elements, a slice a range."""
    outputs = getattr(x, "outputs", ())
    if len(outputs) > 1:
        return outputs[key]  # of several outputs, brackets pick one
    keys = key if isinstance(key, tuple) else (key,)
    offset = -_axes_before(x)
    result = x
    for position, k in enumerate(keys):
        if k is Ellipsis:
            offset = -len(keys)
            continue
        axis = position + offset
        if isinstance(k, (int, np.integer)):
            result = slice(result, axis, int(k), int(k) + 1)
        elif isinstance(k, _slice):
            begin, end, step = k.start or 0, k.stop or 0, k.step or 1
            if (begin, end, step) != (0, 0, 1):
                result = slice(result, axis, begin, end, step)
        elif isinstance(k, list) and k and all(isinstance(i, (int, np.integer)) for i in k):
            picked = [slice(result, axis, int(i), int(i) + 1) for i in k]
            result = splice(*picked, axis=axis) if len(picked) > 1 else picked[0]
        else:
            raise _IndexTypeError(
                f"type {type(k).__name__!r} is not supported as an index",
                fix="use numbers, slices, lists of numbers or ...",
            )
    return result


def _axes_before(x: Any) -> int:
    """How many leading positions in brackets stand for dynamic axes: none, unless ``align_axis`` is set (Keras does).

    Then the operand's dynamic axes are counted, or as many as the default option ``axis_offset`` says.
    """
    if ports.use("global_option")("align_axis", 0) != 1 or not x.dynamic_axes:
        return 0
    return int(ports.use("default_option")("axis_offset", len(x.dynamic_axes)))


class _IndexTypeError(AttributeValueError, IndexError):
    """An index of a type that brackets do not know."""


bind_symbol("__getitem__", _getitem)


# ---- pieces put together


def _splice_resolve(inputs: list[TensorType], axis: Any) -> dict[str, Any]:
    rank = max(t.rank for t in inputs)
    if isinstance(axis, Axis) and axis == _END:
        return {"along": -rank - 1}
    index = axis.static_axis_index() if isinstance(axis, Axis) else int(axis)
    if index >= max(rank, 1):
        raise AxisError(
            f"splice: axis {index} is out of bounds for the rank {rank} it applies to",
            fix=f"axes go up to {rank - 1}; negative ones may be new",
        )
    return {"along": index - rank if index >= 0 and rank else min(index, -1)}


def _aligned(dims: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(dims)) + tuple(dims)


def _splice_shape(inputs: list[TensorType], along: int) -> Shape:
    rank = max(*(t.rank for t in inputs), -along)
    shapes = [_aligned(t.dims, rank) for t in inputs]
    at = rank + along
    try:
        others = broadcast(*((*s[:at], 1, *s[at + 1 :]) for s in shapes))
    except ShapeError as error:
        raise ShapeError(
            f"splice along axis {along}: {error.what}", fix="all other dimensions must be equal or 1"
        ) from None
    lengths = [s[at] for s in shapes]
    return (*others[:at], min(lengths) if min(lengths) < 0 else sum(lengths), *others[at + 1 :])


def _splice_forward(xp: Any, inputs: list[Any], along: int) -> Any:
    rank = max(*(x.ndim - 1 for x in inputs), -along)
    lifted = [x.reshape(x.shape[:1] + _aligned(x.shape[1:], rank)) for x in inputs]
    at = rank + 1 + along
    common = np.broadcast_shapes(*((*x.shape[:at], 1, *x.shape[at + 1 :]) for x in lifted))
    return xp.concatenate([xp.broadcast_to(x, (*common[:at], x.shape[at], *common[at + 1 :])) for x in lifted], axis=at)


def _splice_gradient(dy: Any, inputs: list[Any], along: int, position: int) -> Any:
    lengths = [x.shape[along] if x.ndim - 1 >= -along else 1 for x in inputs]
    start = sum(lengths[:position])
    index = [_slice(None)] * dy.ndim
    index[along] = _slice(start, start + lengths[position])
    return dy[tuple(index)]


def _one_is_itself(several: Any) -> Any:
    """Let a splice of one operand give the operand, as in CNTK: nothing is laid end to end, no axis is made."""

    @functools.wraps(several)
    def spliced(*inputs: Any, axis: Any = -1, name: str = "") -> Any:
        items = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], (list, tuple)) else inputs
        if len(items) == 1 and isinstance(items[0], (Variable, Function)):
            return items[0] if isinstance(items[0], Function) else combine(items)
        return several(*inputs, axis=axis, name=name)

    return spliced


@_one_is_itself
@tensor_op(
    shape=_splice_shape,
    resolve=_splice_resolve,
    settles=("along",),
    forward=_splice_forward,
    gradient={"inputs": _splice_gradient},
    moves=lambda along: Moves("join", along),
    traits=[Trait.SAME_AXES],
    cntk=CntkRule("Splice", id=43, attributes={"axis": "axis"}),
    onnx=OnnxRule("Concat", since=4, attributes={"axis": "axis"}),
    samples=(
        Sample(((2, 3), (2, 4)), {"axis": -1}),
        Sample(((1, 3), (2, 3)), {"axis": 1}),
        Sample(((2, 3), (1, 3), (3,)), {"axis": 0}),
        Sample(((2, 3), (2, 3)), {"axis": Axis.new_leading_axis()}),
        Sample(((3,), (3,)), {"axis": 0}, parameters=(1,)),
    ),
)
def splice(*inputs: Operand, axis: Any = -1, name: str = "") -> Function:
    """The operands one after the other along an axis; other axes broadcast. A single variable is given back.

    Args:
        inputs: operands of any static shapes, aligned at the last axis.
        axis: axis along which they are laid end to end; default the last. ``Axis.new_leading_axis()`` stacks them.

    Returns:
        Function whose dimension along the axis is the sum of the operands'.

    Raises:
        ShapeError: if other dimensions differ.

    Example:
        >>> splice([[1, 2]], [[3]]).eval().tolist()
        [[1.0, 2.0, 3.0]]

    Source: CNTK 2.7 ``ops.splice``; ONNX Concat-4.
    """


_MODES = {CONSTANT_PAD: "constant", REFLECT_PAD: "reflect", SYMMETRIC_PAD: "symmetric"}


def _pad_resolve(x: TensorType, pattern: Any, mode: int) -> dict[str, Any]:
    if mode not in _MODES:
        raise AttributeValueError(
            f"pad: there is no mode {mode}", fix="CONSTANT_PAD is 0, REFLECT_PAD 1, SYMMETRIC_PAD 2"
        )
    widths = tuple((int(h), int(f)) for h, f in pattern)
    if len(widths) != x.rank:
        raise AxisError(
            f"pad: the pattern has {len(widths)} pairs, the operand {text(x.dims)} {x.rank} axes",
            fix="give (head, foot) for every axis",
        )
    if any(h < 0 or f < 0 for h, f in widths):
        raise AttributeValueError(
            f"pad: the pattern {list(widths)} has negative lengths", fix="use slice to take elements away"
        )
    most = {CONSTANT_PAD: None, REFLECT_PAD: -1, SYMMETRIC_PAD: 0}[mode]
    for (h, f), d in zip(widths, x.dims, strict=True):
        if most is not None and d >= 0 and max(h, f) > d + most:
            raise AxisError(
                f"pad: with {_MODES[mode]} padding the head ({h}) and foot ({f}) must be no greater than "
                f"{d + most}, the dimension is {d}",
                fix="pad less, or with a constant",
            )
    return {"widths": widths}


def _pad_forward(xp: Any, x: Any, widths: Any, mode: int, constant_value: float) -> Any:
    more = {"constant_values": constant_value} if mode == CONSTANT_PAD else {}
    return xp.pad(x, ((0, 0), *widths), mode=_MODES[mode], **more)


def _pad_gradient(xp: Any, dy: Any, x: Any, widths: Any, mode: int) -> Any:
    for at, (head, foot) in enumerate(widths, start=1):
        n = x.shape[at]
        lead = (_slice(None),) * at
        inner = dy[(*lead, _slice(head, head + n))]
        if mode != CONSTANT_PAD and (head or foot):
            skip = 1 if mode == REFLECT_PAD else 0
            inner = inner.copy()
            if head:
                inner[(*lead, _slice(skip, skip + head))] += dy[(*lead, _slice(head - 1, None, -1))]
            if foot:
                tail = dy[(*lead, _slice(head + n, head + n + foot))]
                inner[(*lead, _slice(n - skip - foot, n - skip))] += xp.flip(tail, at)
        dy = inner
    return dy


@tensor_op(
    shape=lambda x, widths: tuple(d if d < 0 else h + d + f for d, (h, f) in zip(x.dims, widths, strict=True)),
    resolve=_pad_resolve,
    settles=("widths",),
    forward=_pad_forward,
    gradient={"x": _pad_gradient},
    operands=("x",),
    cntk=CntkRule(
        "Pad",
        id=83,
        attributes={"pattern": "paddingHead", "mode": "paddingMode", "constant_value": "paddingConstantValue"},
    ),
    onnx=OnnxRule("Pad", since=2, attributes={"mode": "mode", "constant_value": "value"}),
    samples=(
        Sample(((2, 3),), {"pattern": [(1, 1), (2, 0)], "constant_value": 5}),
        Sample(((2, 4),), {"pattern": [(1, 0), (3, 2)], "mode": REFLECT_PAD}),
        Sample(((5,),), {"pattern": [(2, 1)], "mode": SYMMETRIC_PAD}),
        Sample(((3,),), {"pattern": [(3, 3)], "mode": SYMMETRIC_PAD}),
    ),
)
def pad(x: Operand, pattern: Any, mode: int = CONSTANT_PAD, constant_value: float = 0, name: str = "") -> Function:
    """The operand with more elements before and after it on every axis.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        pattern: for each axis, how many elements (before, after).
        mode: CONSTANT_PAD (0), REFLECT_PAD (1: mirrored without the border element) or SYMMETRIC_PAD (2: mirrored with
            it).
        constant_value: the new elements with CONSTANT_PAD.

    Returns:
        Function of the larger shape.

    Raises:
        AxisError: if the pattern does not fit the operand.

    Example:
        >>> pad([1, 2, 3], [(1, 2)], REFLECT_PAD).eval().tolist()
        [2.0, 1.0, 2.0, 3.0, 2.0, 1.0]

    Source: CNTK 2.7 ``ops.pad``; ONNX Pad-2.
    """
