"""ONNX's operators of shapes, places and parts, as operators of the graph; on known numbers as NumPy does them.

Must not know files. Lists of sizes are computed here while the graph is built, so that a file's arithmetic with shapes
leaves no trace in it.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from cntk_lab import ops
from cntk_lab.errors import FormatError
from cntk_lab.formats.onnx._read_math import Call, Rule, element_name
from cntk_lab.formats.onnx._values import (
    BATCH_SIZE,
    FREE_SIZE,
    WITHOUT,
    Known,
    Live,
    Value,
    held,
    is_open,
    live,
    made,
    static_axis,
)
from cntk_lab.formats.onnx.tensors import array
from cntk_lab.ops import _random as random
from cntk_lab.tensor.shape import FREE

MOST: Final = 1 << 26
"""Elements of a tensor that a file lets be made out of nothing."""


def _fits(count: int) -> None:
    if count > MOST:
        raise FormatError(f"a tensor of {count:,} elements is made; at most {MOST:,} may be", fix="the file is damaged")


# ---- numbers that are known


def folded(call: Call) -> Value | list[Value] | None:
    """The result on known numbers, if all operands are and NumPy has the word for it; else None."""
    rule = _NUMPY.get(call.op)
    if rule is None or not all(isinstance(v, Known) or v is None for v in call.inputs):
        return None
    numbers = [v.numbers for v in call.inputs if isinstance(v, Known)]
    opened = [is_open(n) for n in numbers]
    if any(opened) and (call.op not in _PLACING or (any(opened[1:]) and call.op != "Concat")):
        return None
    if len(numbers) > 1 and call.op not in _PLACING:
        _fits(math.prod(np.broadcast_shapes(*(n.shape for n in numbers))))
    with np.errstate(all="ignore"):
        found = np.asarray(rule(call, *numbers))
    return Known(found.astype(numbers[0].dtype) if call.op in _SAME else found)


def _axis0(call: Call, *parts: Any) -> Any:
    return np.concatenate(parts, call.whole("axis", 0))


def _unsqueeze(call: Call, x: Any, *_: Any) -> Any:
    axes = call.ints("axes", 1, ())
    return np.expand_dims(x, tuple(axes or ()))


def _squeeze(call: Call, x: Any, *_: Any) -> Any:
    axes = call.ints("axes", 1)
    return np.squeeze(x, None if axes is None else tuple(axes))


def _take(call: Call, x: Any, at: Any) -> Any:
    return np.take(x, at, call.whole("axis", 0))


def _cut(call: Call, x: Any, *_: Any) -> Any:
    starts, ends = call.ints("starts", 1), call.ints("ends", 2)
    axes = call.ints("axes", 3, range(len(starts or ())))
    steps = call.ints("steps", 4, [1] * len(starts or ()))
    index = [slice(None)] * x.ndim
    for a, b, e, s in zip(axes or (), starts or (), ends or (), steps or (), strict=True):
        index[a] = slice(b, None if s < 0 and e < -x.shape[a] else e, s)
    return x[tuple(index)]


def _quotient(_: Call, a: Any, b: Any) -> Any:
    return np.trunc(a / b) if a.dtype.kind in "iu" else a / b


def _grown(_: Call, x: Any, dims: Any) -> Any:
    _fits(math.prod(np.broadcast_shapes(x.shape, tuple(dims))))
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(dims)))


def _steps(_: Call, a: Any, b: Any, s: Any) -> Any:
    _fits(int(max(0, (b - a) / s)) + 1)
    return np.arange(a.item(), b.item(), s.item(), dtype=a.dtype)


_PLACING: Final = {"Concat", "Unsqueeze", "Squeeze", "Gather", "Slice", "Identity", "Reshape"}
"""Words that move numbers and do not compute with them: sizes that are not known pass through."""
_SAME: Final = {"Add", "Sub", "Mul", "Div", "Neg", "Abs", "Min", "Max", "Mod", "Floor", "Ceil", "Sqrt", "Pow"}
_NUMPY: Final[dict[str, Any]] = {
    "Concat": _axis0, "Unsqueeze": _unsqueeze, "Squeeze": _squeeze, "Gather": _take, "Slice": _cut,
    "Identity": lambda _, x: x, "Add": lambda _, a, b: a + b, "Sub": lambda _, a, b: a - b,
    "Mul": lambda _, a, b: a * b, "Div": _quotient, "Neg": lambda _, a: -a, "Abs": lambda _, a: abs(a),
    "Min": lambda _, *a: np.minimum.reduce(np.broadcast_arrays(*a)),
    "Max": lambda _, *a: np.maximum.reduce(np.broadcast_arrays(*a)),
    "Mod": lambda _, a, b: np.mod(a, b), "Floor": lambda _, a: np.floor(a), "Ceil": lambda _, a: np.ceil(a),
    "Sqrt": lambda _, a: np.sqrt(a), "Equal": lambda _, a, b: a == b, "Where": lambda _, c, a, b: np.where(c, a, b),
    "Less": lambda _, a, b: a < b, "Greater": lambda _, a, b: a > b, "Not": lambda _, a: ~a,
    "And": lambda _, a, b: a & b, "Or": lambda _, a, b: a | b, "Expand": _grown, "Range": _steps,
    "Reshape": lambda _, x, dims: x.reshape(tuple(int(d) for d in dims)),
    "Transpose": lambda call, x: np.transpose(x, call.attributes.get("perm")),
    "Pow": lambda _, a, b: np.power(a, b),
    "ReduceProd": lambda call, x, *_: np.prod(x, keepdims=bool(call.whole("keepdims", 1)), dtype=x.dtype),
}  # fmt: skip


def _constant(call: Call) -> Value:
    names = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    for name, kind in names.items():
        if name in call.attributes:
            return Known(np.asarray(call.attributes[name], kind))
    found = array(call.attributes["value"]) if "value" in call.attributes else None
    if found is None:
        raise FormatError("a constant of texts or sparse values is not computed", fix="convert the file")
    return Known(found)


def _filled(call: Call) -> Value:
    dims = call.known(0, "the shape")
    found = array(call.attributes["value"]) if "value" in call.attributes else None
    value = np.zeros(1, np.float32) if found is None else found
    if dims.size and dims.min() < 0:
        raise FormatError("a tensor of the minibatch's size is to be filled", fix="simplify the file")
    _fits(math.prod(int(d) for d in dims))
    return Known(np.full(tuple(int(d) for d in dims), value.ravel()[0], value.dtype))


def _shape(call: Call) -> Value:
    value = call.given(0)
    dims = value.numbers.shape if isinstance(value, Known) else value.shape
    return Known(np.asarray(dims, np.int64)[call.whole("start", 0) : call.attributes.get("end")])


def _size(call: Call) -> Value:
    value = call.given(0)
    dims = value.numbers.shape if isinstance(value, Known) else value.shape
    if min(dims, default=0) < 0:
        raise FormatError("the number of elements depends on the minibatch", fix="simplify the file")
    return Known(np.asarray(math.prod(dims), np.int64))


# ---- shapes of variables


def _reshape(call: Call) -> Value:
    x = call.x()
    wanted = [int(d) for d in call.ints("shape", 1) or ()]
    if not call.whole("allowzero", 0):
        wanted = [x.shape[i] if d == 0 and i < x.rank else d for i, d in enumerate(wanted)]
    return reshaped(x, wanted)


def reshaped(x: Live, wanted: list[int]) -> Live:
    """The same elements in a shape of the file.

    Raises:
        FormatError: if the batch axis would be mixed with others.
    """
    if x.lead:
        static = math.prod(x.dims) if FREE not in x.dims else None
        first = wanted[0] if wanted else 0
        rest = [FREE if d == FREE_SIZE else d for d in wanted[1:]]
        known = static is not None and min(rest, default=0) >= 0 and math.prod(rest) == static
        batch_first = first == BATCH_SIZE or (first == -1 and known)
        if not batch_first:
            raise FormatError("a reshape mixes the batch axis with others", fix=WITHOUT)
        wanted = rest
    elif BATCH_SIZE in wanted:
        raise FormatError("a value without batch axis is given one", fix="simplify the file")
    return made(ops.reshape(x.variable, tuple(FREE if d == FREE_SIZE else d for d in wanted)), x.kind)


def _flatten(call: Call) -> Value:
    x = call.x()
    axis = call.whole("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    if x.lead:
        if axis != 1:
            raise FormatError("a flatten mixes the batch axis with others", fix=WITHOUT)
        return made(ops.reshape(x.variable, (-1 if FREE not in x.dims else FREE,)), x.kind)
    return made(ops.reshape(x.variable, (math.prod(x.dims[:axis]), math.prod(x.dims[axis:]))), x.kind)


def _squeeze_live(call: Call) -> Value:
    x = call.x()
    axes = call.ints("axes", 1)
    at = (
        [static_axis(x, a) for a in axes]
        if axes is not None
        else [i - len(x.dims) for i, d in enumerate(x.dims) if d == 1]
    )
    dims = tuple(d for i, d in enumerate(x.dims) if i - len(x.dims) not in at)
    return made(ops.reshape(x.variable, dims), x.kind)


def _unsqueeze_live(call: Call) -> Value:
    x = call.x()
    axes = call.ints("axes", 1, ()) or []
    rank = x.rank + len(axes)
    at = sorted(a + rank if a < 0 else a for a in axes)
    if x.lead and 0 in at:
        raise FormatError("an axis is put in front of the batch axis", fix=WITHOUT)
    dims = list(x.dims)
    for a in at:
        dims.insert(a - x.lead, 1)
    return made(ops.reshape(x.variable, tuple(dims)), x.kind)


def _transpose(call: Call) -> Value:
    x = call.x()
    order = list(call.attributes.get("perm", range(x.rank - 1, -1, -1)))
    if x.lead and (not order or order[0] != 0):
        raise FormatError("the batch axis is moved", fix=WITHOUT)
    static = [a - x.lead for a in order[x.lead :]]
    return x if static == list(range(len(static))) else made(ops.transpose(x.variable, static), x.kind)


def _concat(call: Call) -> Value:
    values = [live(v) for v in call.inputs if v is not None]
    axis = static_axis(max(values, key=lambda v: v.lead), call.whole("axis", 0))
    if any(v.rank != values[0].rank for v in values):
        raise FormatError("values of different numbers of axes are put together", fix="the file is damaged")
    lead = max(v.lead for v in values)
    variables = [
        ops.reshape(v.variable, v.dims[1:]) if v.lead < lead and v.dims[0] == 1 else v.variable for v in values
    ]
    if len(variables) == 1:
        return values[0]
    rank = values[0].rank - max(v.lead for v in values)
    return made(ops.splice(*variables, axis=axis + rank), values[0].kind)


def _split(call: Call) -> list[Value]:
    x = call.x()
    axis = static_axis(x, call.whole("axis", 0))
    at, n = axis + len(x.dims), x.dims[axis]
    sizes = call.ints("split", 1)
    if sizes is None:
        count = call.whole("num_outputs", call.outputs)
        step = -(-n // count)
        sizes = [min(step, n - i * step) for i in range(count)]
    found: list[Value] = []
    begin = 0
    for s in sizes:
        if s < 1:
            raise FormatError("a part of no elements is split off", fix="simplify the file")
        found.append(made(ops.slice(x.variable, at, begin, begin + s), x.kind))
        begin += s
    return found


def _slice(call: Call) -> Value:
    x = call.x()
    starts, ends = call.ints("starts", 1) or [], call.ints("ends", 2) or []
    axes = call.ints("axes", 3, range(len(starts))) or []
    steps = call.ints("steps", 4, [1] * len(starts)) or []
    v = x.variable
    for a, b, e, s in zip(axes, starts, ends, steps, strict=True):
        at = (a + x.rank if a < 0 else a) - x.lead
        if at < 0:
            if b == 0 and s == 1 and (e >= 2**31 - 1 or e == BATCH_SIZE):
                continue
            raise FormatError("a part of the minibatch is taken", fix=WITHOUT)
        n = x.dims[at]
        if n == FREE:
            raise FormatError("a part of a free axis is taken", fix="give it a size with axes=")
        begin, end, step = slice(b, None if s < 0 and e < -n else e, s).indices(n)
        count = len(range(begin, end, step))
        if not count:
            raise FormatError("a part of no elements is taken", fix="simplify the file")
        if step < 0:
            begin, end = begin + (count - 1) * step, begin + 1
        if (begin, end, step) != (0, n, 1):
            v = ops.slice(v, at, begin, 0 if end >= n else end, step)
    return made(v, x.kind) if v is not x.variable else x


def _expand(call: Call) -> Value:
    x = call.x()
    wanted = [int(d) for d in call.known(1, "the shape")]
    static = [FREE if d == FREE_SIZE else d for d in wanted[1:]] if x.lead and len(wanted) == x.rank else wanted
    if x.lead and (len(wanted) > x.rank or (len(wanted) == x.rank and wanted[0] not in (1, BATCH_SIZE))):
        raise FormatError("the batch axis is broadcast", fix=WITHOUT)
    if not x.lead and wanted and wanted[0] == BATCH_SIZE and call.sample is not None and x.rank < len(wanted):
        inner = _expand(Call("Expand", (x, Known(np.asarray(wanted[1:], np.int64))), {}, call.version))
        return made(ops.reconcile_dynamic_axes(live(inner).variable, call.sample.variable), x.kind)
    if not x.lead and wanted and wanted[0] == BATCH_SIZE and call.sample is not None and x.dims[0] == 1:
        return _expand(
            Call("Expand", (reshaped(x, list(x.dims[1:])), call.given(1)), {}, call.version, sample=call.sample)
        )
    if FREE in static or BATCH_SIZE in static:
        if [d for d in static if d not in (1, FREE)] == [d for d in x.dims if d not in (1, FREE)] and x.lead:
            return x
        raise FormatError("a value is broadcast over the minibatch", fix="simplify the file")
    _fits(math.prod(static))
    ones = np.ones(tuple(static), np.float32)
    constant = live(Known(ones.astype(held(x.kind)))).variable
    return made(ops.element_times(x.variable, constant), x.kind)


def _tile(call: Call) -> Value:
    x = call.x()
    counts = [int(c) for c in call.known(1, "the numbers of copies")]
    v = x.variable
    if x.lead and counts and counts[0] != 1:
        raise FormatError("the minibatch is repeated", fix=WITHOUT)
    for at, count in enumerate(counts[x.lead :]):
        _fits(count)
        if count > 1:
            v = ops.splice(*[v] * count, axis=at)
    return made(v, x.kind) if v is not x.variable else x


def _pad(call: Call) -> Value:
    x = call.x()
    pads = call.ints("pads", 1) or []
    axes = call.ints("axes", 3)
    count = len(pads) // 2
    places = list(range(x.rank)) if axes is None else [a + x.rank if a < 0 else a for a in axes]
    widths = [(0, 0)] * x.rank
    for i, a in enumerate(places):
        widths[a] = (pads[i], pads[i + count])
    if x.lead and widths[0] != (0, 0):
        raise FormatError("the minibatch is padded", fix=WITHOUT)
    fill = call.number("value", 0.0)
    if call.maybe(2) is not None:
        fill = float(call.known(2, "the number around").ravel()[0])
    v, widths = x.variable, widths[x.lead :]
    for at, (head, foot) in enumerate(widths):
        if head < 0 or foot < 0:
            v = ops.slice(v, at, max(0, -head), min(0, foot))
    widths = [(max(0, a), max(0, b)) for a, b in widths]
    mode = call.word("mode", "constant")
    if mode in ("edge", "wrap"):
        for at, (head, foot) in enumerate(widths):
            v = _by_place(v, at, np.pad(np.arange(v.shape[at]), (head, foot), mode=mode))  # type: ignore[call-overload]
        return made(v, x.kind)
    if any(w != (0, 0) for w in widths):
        v = ops.pad(v, widths, mode=0 if mode == "constant" else 1, constant_value=fill)
    return made(v, x.kind) if v is not x.variable else x


def _by_place(v: Any, axis: int, places: Any) -> Any:
    """Elements along a static axis at places that are known."""
    at = live(Known(np.asarray(places, np.int64))).variable
    return ops.gather(v, at, axis=axis)


def _gather(call: Call) -> Value:
    x, value = call.x(), call.given(1)
    axis = static_axis(x, call.whole("axis", 0)) + len(x.dims)
    n = x.dims[axis]
    if isinstance(value, Known):
        if is_open(value.numbers):
            raise FormatError("sizes of the minibatch are used as places", fix="give that input a fixed size (axes=)")
        places = value.numbers % n if n != FREE else value.numbers
        if places.ndim == 0:
            place = int(places)
            part = ops.slice(x.variable, axis, place, 0 if place + 1 == n else place + 1)
            return made(ops.reshape(part, (*x.dims[:axis], *x.dims[axis + 1 :])), x.kind)
        if x.lead:
            flat = places.ravel()
            parts = [ops.slice(x.variable, axis, int(p), 0 if p + 1 == n else int(p) + 1) for p in flat]
            joined = parts[0] if len(parts) == 1 else ops.splice(*parts, axis=axis)
            return made(ops.reshape(joined, (*x.dims[:axis], *places.shape, *x.dims[axis + 1 :])), x.kind)
        return _gathered(x, live(Known(places)), axis)
    if x.lead:
        raise FormatError("places that are computed choose from data", fix="simplify the file")
    at = ops.element_select(ops.less(value.variable, 0), ops.plus(value.variable, float(n)), value.variable)
    if axis and value.lead:
        raise FormatError("places of each sample choose along a later axis", fix="simplify the file")
    return _gathered(x, made(at, value.kind), axis)


def _gathered(x: Live, places: Live, axis: int) -> Live:
    """Elements of a value without batch axis; the places' axes stand where the axis was."""
    rank, more = len(x.dims), len(places.dims)
    order = [axis, *(a for a in range(rank) if a != axis)]
    found = ops.gather(ops.transpose(x.variable, order) if axis else x.variable, places.variable)
    if axis:
        found = ops.transpose(found, [*range(more, more + axis), *range(more), *range(more + axis, more + rank - 1)])
    return made(found, x.kind)


def _one_hot(call: Call) -> Value:
    x, depth = call.x(), int(call.known(1, "the number of classes").ravel()[0])
    values = call.known(2, "the two values").ravel()
    axis = call.whole("axis", -1)
    at = axis + x.rank + 1 if axis < 0 else axis
    if at < x.lead:
        raise FormatError("vectors lie along the batch axis", fix=WITHOUT)
    _fits(depth)
    place = ops.element_select(ops.less(x.variable, 0), ops.plus(x.variable, float(depth)), x.variable)
    hot = ops.one_hot(place, depth, axis=at - x.lead)
    off, on = float(values[0]), float(values[1])
    return made(ops.plus(off, ops.element_times(on - off, hot)), values.dtype.name)


def _top(call: Call) -> list[Value]:
    x = call.x()
    k = (call.ints("k", 1) or [1])[0]
    axis = static_axis(x, call.whole("axis", -1)) + len(x.dims)
    largest = call.whole("largest", 1)
    both = ops.top_k(x.variable if largest else ops.negate(x.variable), k, axis)
    values, found = both.outputs
    return [made(values if largest else ops.negate(values), x.kind), made(found, "int64")]


def _blocks(call: Call) -> Value:
    x = call.x()
    size = call.whole("blocksize", 1)
    if call.op == "SpaceToDepth":
        return made(ops.space_to_depth(x.variable, size), x.kind) if x.lead else _images(call, ops.space_to_depth)
    if call.word("mode", "DCR") == "DCR":
        return made(ops.depth_to_space(x.variable, size), x.kind) if x.lead else _images(call, ops.depth_to_space)
    *lead, c, h, w = x.dims
    deep = c // (size * size)
    parts = ops.reshape(x.variable, (*lead, deep, size, size, h, w))
    n = len(lead)
    order = [*range(n), n, n + 3, n + 1, n + 4, n + 2]
    return made(ops.reshape(ops.transpose(parts, order), (*lead, deep, h * size, w * size)), x.kind)


def _images(call: Call, function: Any) -> Value:
    """Blocks of images whose first axis is static: as many samples, for the time being."""
    x, size = call.x(), call.whole("blocksize", 1)
    return made(ops.unpack_batch(function(ops.to_batch(x.variable), size)), x.kind)


def _eye(call: Call) -> Value:
    value = call.given(0)
    dims = value.numbers.shape if isinstance(value, Known) else value.shape
    kind = element_name(call.whole("dtype", 0)) if "dtype" in call.attributes else value.kind
    if min(dims) < 0:
        raise FormatError("an identity matrix of the minibatch's size", fix="simplify the file")
    return Known(np.eye(dims[0], dims[1], call.whole("k", 0), np.dtype(kind)))


def _triangle(call: Call) -> Value:
    x = call.x()
    k = 0 if call.maybe(1) is None else int(call.known(1, "k").ravel()[0])
    keep = np.triu if call.whole("upper", 1) else np.tril
    mask = keep(np.ones(x.dims[-2:], np.float32), k)
    return made(ops.element_select(mask, x.variable, ops.zeros_like(x.variable)), x.kind)


def _running_sum(call: Call) -> Value:
    """Sums up to each element, as a product with a triangle of ones."""
    x = call.x()
    axis = static_axis(x, int(call.known(1, "the axis").ravel()[0])) + len(x.dims)
    n, last = x.dims[axis], len(x.dims) - 1
    _fits(n * n)
    ones = np.triu(np.ones((n, n), np.float32), call.whole("exclusive", 0))
    ones = ones.T if call.whole("reverse", 0) else ones
    constant = live(Known(ones.astype(x.variable.dtype))).variable
    order = [a for a in range(len(x.dims)) if a != axis] + [axis]
    v = x.variable if axis == last else ops.transpose(x.variable, order)
    v = ops.times(v, constant)
    return made(v if axis == last else ops.transpose(v, list(np.argsort(order))), x.kind)


def _unknown(call: Call) -> Value:
    for at in range(len(call.inputs)):
        call.known(at)
    raise FormatError("its length depends on the minibatch", fix="simplify the file")


def _random(call: Call) -> Value:
    """Random numbers of a shape, or like an operand's."""
    like = call.maybe(0)
    kind = element_name(call.whole("dtype", 1)) if "dtype" in call.attributes or like is None else like.kind
    flat = "Uniform" in call.op
    first, second = (
        (call.number("low", 0), call.number("high", 1)) if flat else (call.number("mean", 0), call.number("scale", 1))
    )
    if like is not None:
        x = live(like)
        return made((random.uniform_like if flat else random.normal_like)(x.variable, first, second), kind)
    dims = tuple(int(d) for d in call.attributes["shape"])
    _fits(math.prod(dims))
    return made((random.uniform if flat else random.normal)(dims, held(kind), first, second), kind)


RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(("RandomUniform", "RandomUniformLike", "RandomNormal", "RandomNormalLike"), _random),
    "Constant": _constant, "ConstantOfShape": _filled, "Shape": _shape, "Size": _size, "Reshape": _reshape,
    "Flatten": _flatten, "Squeeze": _squeeze_live, "Unsqueeze": _unsqueeze_live, "Transpose": _transpose,
    "Concat": _concat, "Split": _split, "Slice": _slice, "Expand": _expand, "Tile": _tile, "Pad": _pad,
    "Gather": _gather, "OneHot": _one_hot, "TopK": _top, "DepthToSpace": _blocks, "SpaceToDepth": _blocks,
    "EyeLike": _eye, "Trilu": _triangle, "CumSum": _running_sum, "Range": _unknown,
    "Identity": lambda call: call.given(0),
}  # fmt: skip
"""Operator of ONNX -> what builds it."""
