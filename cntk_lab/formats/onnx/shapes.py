"""Element types and shapes of values that an ONNX file does not give, worked out from operators and their inputs.

Most exporters write the types of inputs and outputs only. What follows without doubt is filled in; where an operator
is not known here, or its result depends on data, the shape stays unknown. Must not know how graphs are drawn. Names of
sizes are kept where a size stays the same. Source: ONNX operator specifications (shape rules, opsets 1 to 22).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from cntk_lab.formats.onnx import tensors
from cntk_lab.formats.onnx.records import Dimension, Node, Tensor, Type

Dims = tuple[Dimension, ...]
Types = list[Type | None]
MOST_KNOWN: Final = 64
"""Elements of an integer tensor whose values are followed: shapes, axes, pads."""
MOST_DIMENSIONS: Final = 64
_FLOAT, _UINT8, _INT32, _INT64, _BOOL = 1, 2, 6, 7, 9


class Use:
    """One use of an operator, with what is known of its inputs."""

    def __init__(self, node: Node, types: Sequence[Type | None], numbers: Sequence[Dims | None], opset: int) -> None:
        self.node, self.types, self.numbers, self.opset = node, types, numbers, opset
        self.attributes = {a.name: a.value for a in node.attributes if not a.reference}

    def dims(self, index: int) -> Dims | None:
        """Dimensions of an input, None if even the rank is not known."""
        type_ = self.types[index] if index < len(self.types) else None
        return None if type_ is None else type_.dims

    def element(self, index: int = 0) -> int:
        """Number of the element type of an input, 0 if it is not known."""
        type_ = self.types[index] if index < len(self.types) else None
        return 0 if type_ is None else type_.element

    def has(self, index: int) -> bool:
        """Whether the input is given."""
        return index < len(self.node.inputs) and bool(self.node.inputs[index])

    def whole(self, name: str, default: int) -> int:
        """A number among the attributes."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, int) else default

    def list(self, name: str, index: int | None = None) -> tuple[int, ...] | None:
        """Numbers that are an attribute, or the constant input of that index; None if they are not known."""
        value = self.attributes.get(name)
        if isinstance(value, tuple) and all(isinstance(v, int) for v in value):
            return value  # type: ignore[return-value]
        if index is None or not self.has(index):
            return None
        numbers = self.numbers[index]
        if numbers is None or not all(isinstance(n, int) for n in numbers):
            return None
        return numbers  # type: ignore[return-value]


def types_of(node: Node, types: Sequence[Type | None], numbers: Sequence[Dims | None], opset: int) -> Types:
    """The types of a node's outputs, None where they do not follow.

    Args:
        node: a use of one of ONNX's own operators.
        types: of its inputs.
        numbers: elements of those inputs that are small integer tensors of known value.
        opset: version of the operators.

    Example:
        >>> x = Type("tensor", 1, ("N", 3, 32, "W"))
        >>> w = Type("tensor", 1, (8, 3, 3, 3))
        >>> types_of(Node("Conv", ("x", "w"), ("y",)), [x, w], [None, None], 17)[0].dims
        ('N', 8, 30, None)
    """
    rule = _RULES.get(node.op)
    if rule is None:
        return [None] * len(node.outputs)
    try:
        found = rule(Use(node, types, numbers, opset))
    except (ArithmeticError, IndexError, TypeError, ValueError):  # a use that its operator does not allow
        found = []
    return ([_bearable(t) for t in found] + [None] * len(node.outputs))[: len(node.outputs)]


def _bearable(type_: Type | None) -> Type | None:
    """A type without what no tensor has: too many dimensions, sizes below zero or beyond 64 bits."""
    if type_ is None or type_.dims is None:
        return type_ if type_ is not None and type_.element else None
    if len(type_.dims) > MOST_DIMENSIONS:
        return Type(type_.kind, type_.element) if type_.element else None
    dims = tuple(None if isinstance(d, int) and not 0 <= d < 2**63 else d for d in type_.dims)
    return type_ if dims == type_.dims else Type(type_.kind, type_.element, dims, type_.inner)


def numbers_of(node: Node, types: Sequence[Type | None], numbers: Sequence[Dims | None]) -> Dims | None:
    """The elements of a node's output if it computes with shapes: Shape, and what cuts and joins its result.

    Example:
        >>> numbers_of(Node("Shape", ("x",), ("s",)), [Type("tensor", 1, ("N", 3))], [None])
        ('N', 3)
    """
    use = Use(node, types, numbers, 0)
    first = numbers[0] if numbers else None
    if node.op == "Shape":
        dims = use.dims(0)
        end = use.whole("end", MOST_KNOWN)
        return None if dims is None else dims[slice(use.whole("start", 0), end)]
    if node.op == "Concat":
        known = [n for n in numbers if n is not None]
        whole = len(known) == len(numbers) and sum(map(len, known)) <= MOST_KNOWN
        return tuple(d for n in known for d in n) if whole else None
    if first is None:
        return None
    if node.op in ("Identity", "Unsqueeze", "Squeeze") or (node.op == "Cast" and use.whole("to", 0) == _INT64):
        return first
    places = numbers[1] if len(numbers) > 1 else None
    if node.op == "Gather" and places is not None and all(isinstance(p, int) for p in places):
        inside = [p for p in places if isinstance(p, int) and -len(first) <= p < len(first)]
        return tuple(first[p] for p in inside) if len(inside) == len(places) else None
    begins, ends, steps = use.list("starts", 1), use.list("ends", 2), use.list("steps", 4)
    if node.op == "Slice" and begins is not None and ends is not None and len(begins) == 1 and steps in (None, (1,)):
        return first[slice(begins[0], ends[0])]
    return None


def numbers_in(tensor: Tensor) -> Dims | None:
    """The elements of a small integer tensor, None for all others."""
    if tensor.element not in (_INT32, _INT64) or tensors.size(tensor) > MOST_KNOWN or tensor.stored is None:
        return None
    return tuple(int(n) for piece in tensors.chunks(tensor) for n in piece)


# ---- rules


def _tensor(element: int, dims: Dims | None) -> Type:
    return Type("tensor", element, dims)


def _same(use: Use) -> Types:
    return [use.types[0], *([_tensor(_BOOL, use.dims(0))] if use.node.op == "Dropout" else [])]


def _as_type(element: Callable[[Use], int]) -> Callable[[Use], Types]:
    return lambda use: [_tensor(element(use), use.dims(0))]


def broadcast(shapes: Sequence[Dims | None]) -> Dims | None:
    """The common shape of operands that are repeated along sizes of 1, None if a rank is not known.

    Example:
        >>> broadcast([("N", 1, 3), (5, 1)])
        ('N', 5, 3)
    """
    if any(s is None for s in shapes):
        return None
    known = [s for s in shapes if s is not None]
    rank = max(map(len, known), default=0)
    result: list[Dimension] = []
    for position in range(rank):
        sizes = {s[len(s) - rank + position] for s in known if len(s) - rank + position >= 0} - {1}
        fixed = [d for d in sizes if isinstance(d, int)]
        result.append(1 if not sizes else fixed[0] if fixed else sizes.pop() if len(sizes) == 1 else None)
    return tuple(result)


def _elementwise(use: Use) -> Types:
    first = 1 if use.node.op == "Where" else 0
    truth = use.node.op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor")
    old = use.opset and use.opset < 7  # then the first operand alone decides
    dims = use.dims(0) if old else broadcast([use.dims(i) for i in range(len(use.node.inputs))])
    return [_tensor(_BOOL if truth else use.element(first), dims)]


def _window(use: Use, spatial: Dims, kernel: Sequence[Dimension], *, ceil: bool = False) -> Dims:
    """Sizes behind a window that moves over others."""
    rank = len(spatial)
    strides, dilations = use.list("strides") or (1,) * rank, use.list("dilations") or (1,) * rank
    pads, auto = use.list("pads") or (0,) * 2 * rank, use.attributes.get("auto_pad", b"NOTSET")
    result: list[Dimension] = []
    for i, size in enumerate(spatial):
        k, stride = kernel[i], strides[i]
        if auto in (b"SAME_UPPER", b"SAME_LOWER"):
            result.append(-(-size // stride) if isinstance(size, int) else size if stride == 1 else None)
            continue
        added = 0 if auto == b"VALID" else pads[i] + pads[rank + i]
        if not isinstance(k, int):
            result.append(None)
        elif not isinstance(size, int):
            result.append(size if stride == 1 and added == dilations[i] * (k - 1) else None)
        else:
            free = size + added - dilations[i] * (k - 1) - 1
            steps = -(-free // stride) if ceil else free // stride
            if ceil and steps * stride >= size + pads[i] and auto == b"NOTSET":
                steps -= 1  # the last window would begin behind the data
            result.append(steps + 1)
    return tuple(result)


def _convolution(use: Use) -> Types:
    quantised = use.node.op == "QLinearConv"
    x, w = use.dims(0), use.dims(3 if quantised else 1)
    element = use.element(7) if quantised else _INT32 if use.node.op == "ConvInteger" else use.element()
    if x is None or w is None:
        return [_tensor(element, None if x is None else (x[0], *[None] * (len(x) - 1)))]
    return [_tensor(element, (x[0], w[0], *_window(use, x[2:], use.list("kernel_shape") or w[2:])))]


def _deconvolution(use: Use) -> Types:
    x, w = use.dims(0), use.dims(1)
    if x is None or w is None:
        return [_tensor(use.element(), None)]
    rank, wanted = len(x) - 2, use.list("output_shape")
    features = w[1] * use.whole("group", 1) if isinstance(w[1], int) else None
    kernel = use.list("kernel_shape") or w[2:]
    strides, dilations = use.list("strides") or (1,) * rank, use.list("dilations") or (1,) * rank
    pads, more = use.list("pads") or (0,) * 2 * rank, use.list("output_padding") or (0,) * rank
    auto = use.attributes.get("auto_pad", b"NOTSET")
    sizes: list[Dimension] = []
    for i, (size, k) in enumerate(zip(x[2:], kernel, strict=True)):
        if wanted:
            sizes.append(wanted[len(wanted) - rank + i])
        elif not isinstance(size, int) or not isinstance(k, int):
            sizes.append(None)
        elif auto in (b"SAME_UPPER", b"SAME_LOWER"):
            sizes.append(size * strides[i])
        else:
            sizes.append(strides[i] * (size - 1) + more[i] + (k - 1) * dilations[i] + 1 - pads[i] - pads[rank + i])
    return [_tensor(use.element(), (x[0], features, *sizes))]


def _pool(use: Use) -> Types:
    x, kernel = use.dims(0), use.list("kernel_shape")
    if x is None or kernel is None:
        return [_tensor(use.element(), None)]
    dims = (*x[:2], *_window(use, x[2:], kernel, ceil=bool(use.whole("ceil_mode", 0))))
    return [_tensor(use.element(), dims), _tensor(_INT64, dims)]


def _global_pool(use: Use) -> Types:
    x = use.dims(0)
    return [_tensor(use.element(), None if x is None else (*x[:2], *[1] * (len(x) - 2)))]


def _gemm(use: Use) -> Types:
    a, b = use.dims(0), use.dims(1)
    rows = None if a is None else a[1 if use.whole("transA", 0) else 0]
    columns = None if b is None else b[0 if use.whole("transB", 0) else 1]
    return [_tensor(use.element(), (rows, columns))]


def _product(use: Use) -> Types:
    quantised = use.node.op == "QLinearMatMul"
    a, b = use.dims(0), use.dims(3 if quantised else 1)
    element = use.element(7) if quantised else _INT32 if use.node.op == "MatMulInteger" else use.element()
    if a is None or b is None:
        return [_tensor(element, None)]
    around = broadcast([a[:-2], b[:-2]]) or ()
    return [_tensor(element, (*around, *(a[-2:-1] if len(a) > 1 else ()), *(b[-1:] if len(b) > 1 else ())))]


def _flatten(use: Use) -> Types:
    x = use.dims(0)
    if x is None:
        return [_tensor(use.element(), (None, None))]
    axis = use.whole("axis", 1)
    axis += len(x) if axis < 0 else 0
    return [_tensor(use.element(), (_times(x[:axis]), _times(x[axis:])))]


def _times(dims: Sequence[Dimension]) -> Dimension:
    """The product of sizes, with a name if it is one name alone."""
    named = [d for d in dims if not isinstance(d, int)]
    fixed = math.prod(d for d in dims if isinstance(d, int))
    if not named or fixed == 0:
        return fixed
    return named[0] if len(named) == 1 and fixed == 1 else None


def _reshape(use: Use) -> Types:
    x = use.dims(0)
    wanted: Dims | None = use.list("shape") if use.opset and use.opset < 5 else use.numbers[1]
    if wanted is None:
        target = use.dims(1)
        rank = target[0] if target is not None and len(target) == 1 else None
        return [_tensor(use.element(), (None,) * rank if isinstance(rank, int) and rank <= MOST_KNOWN else None)]
    keep = not use.whole("allowzero", 0)
    sizes: list[Dimension] = [
        (x[i] if x is not None else None) if d == 0 and keep else d for i, d in enumerate(wanted)
    ]  # fmt: skip
    if -1 in sizes:
        place = sizes.index(-1)
        sizes[place] = None if x is None else _rest(x, [d for i, d in enumerate(sizes) if i != place])
    return [_tensor(use.element(), tuple(sizes))]


def _rest(dims: Dims, taken: Sequence[Dimension]) -> Dimension:
    """The size that is left of some when others are taken out of their product."""
    left, below = [d for d in dims if not isinstance(d, int)], 1
    for d in taken:
        if isinstance(d, int):
            below *= d
        elif d is not None and d in left:
            left.remove(d)
        else:
            return None
    above = math.prod(d for d in dims if isinstance(d, int))
    if not below or above % below:
        return None
    return above // below if not left else left[0] if len(left) == 1 and above == below else None


def _axes(use: Use, index: int, rank: int) -> list[int] | None:
    axes = use.list("axes", index)
    return None if axes is None else [a + rank if a < 0 else a for a in axes]


def _squeeze(use: Use) -> Types:
    x = use.dims(0)
    if x is None:
        return [_tensor(use.element(), None)]
    given = use.has(1) or "axes" in use.attributes
    axes = _axes(use, 1, len(x)) if given else [i for i, d in enumerate(x) if d == 1]
    if axes is None or (not given and not all(isinstance(d, int) for d in x)):
        return [_tensor(use.element(), None)]
    return [_tensor(use.element(), tuple(d for i, d in enumerate(x) if i not in axes))]


def _unsqueeze(use: Use) -> Types:
    x, count = use.dims(0), use.list("axes", 1)
    axes = None if x is None or count is None else _axes(use, 1, len(x) + len(count))
    if x is None or axes is None or len(set(axes) & set(range(len(x) + len(axes)))) != len(axes):
        return [_tensor(use.element(), None)]
    rest = iter(x)
    return [_tensor(use.element(), tuple(1 if i in axes else next(rest) for i in range(len(x) + len(axes))))]


def _transpose(use: Use) -> Types:
    x = use.dims(0)
    if x is None:
        return [_tensor(use.element(), None)]
    order = use.list("perm") or tuple(range(len(x)))[::-1]
    return [_tensor(use.element(), tuple(x[i] for i in order))]


def _concat(use: Use) -> Types:
    shapes = [use.dims(i) for i in range(len(use.node.inputs))]
    first = shapes[0]
    if first is None or any(s is None or len(s) != len(first) for s in shapes):
        return [_tensor(use.element(), None)]
    known = [s for s in shapes if s is not None]
    axis = use.whole("axis", 1) % len(first)
    sizes: list[Dimension] = []
    for i in range(len(first)):
        along = [s[i] for s in known]
        fixed = [d for d in along if isinstance(d, int)]
        if i == axis:
            sizes.append(sum(fixed) if len(fixed) == len(along) else along[0] if len(along) == 1 else None)
        else:
            sizes.append(fixed[0] if fixed else along[0] if len(set(along)) == 1 else None)
    return [_tensor(use.element(), tuple(sizes))]


def _split(use: Use) -> Types:
    x, parts = use.dims(0), len(use.node.outputs)
    if x is None:
        return [_tensor(use.element(), None)] * parts
    axis = use.whole("axis", 0) % len(x)
    sizes: Sequence[Dimension] | None = use.list("split", 1)
    size = x[axis]
    if sizes is None and not use.has(1) and isinstance(size, int):
        each = -(-size // parts)
        sizes = [min(each, max(0, size - i * each)) for i in range(parts)]
    sizes = sizes if sizes is not None else [None] * parts
    return [_tensor(use.element(), (*x[:axis], s, *x[axis + 1 :])) for s in sizes]


def _slice(use: Use) -> Types:
    x, begins, ends = use.dims(0), use.list("starts", 1), use.list("ends", 2)
    if x is None:
        return [_tensor(use.element(), None)]
    axes: Sequence[int] | None = use.list("axes", 3)
    steps = use.list("steps", 4) if use.has(4) else None
    if begins is None or ends is None or (axes is None and use.has(3)) or (steps is None and use.has(4)):
        cut = range(len(x)) if axes is None else [a % len(x) for a in axes]
        return [_tensor(use.element(), tuple(None if i in cut else d for i, d in enumerate(x)))]
    axes = range(len(begins)) if axes is None else axes
    sizes = list(x)
    for i, axis in enumerate(axes):
        step, size = 1 if steps is None else steps[i], sizes[axis]
        if isinstance(size, int):
            sizes[axis] = len(range(size)[slice(begins[i], _end(ends[i], step), step)])
        elif not (begins[i] == 0 and step == 1 and ends[i] >= 2**31 - 1):
            sizes[axis] = None
    return [_tensor(use.element(), tuple(sizes))]


def _end(end: int, step: int) -> int | None:
    return None if step < 0 and end < -(2**31) + 2 else end


def _gather(use: Use) -> Types:
    x, places = use.dims(0), use.dims(1)
    if x is None or places is None:
        return [_tensor(use.element(), None)]
    axis = use.whole("axis", 0) % len(x)
    return [_tensor(use.element(), (*x[:axis], *places, *x[axis + 1 :]))]


def _expand(use: Use) -> Types:
    wanted = use.numbers[1]
    return [_tensor(use.element(), None if wanted is None else broadcast([use.dims(0), wanted]))]


def _tile(use: Use) -> Types:
    x, times = use.dims(0), use.list("repeats", 1)
    if x is None or times is None:
        return [_tensor(use.element(), None if x is None else (None,) * len(x))]
    return [_tensor(use.element(), tuple(_times((d, n)) for d, n in zip(x, times, strict=True)))]


def _pad(use: Use) -> Types:
    x, pads = use.dims(0), use.list("pads", 1)
    if x is None:
        return [_tensor(use.element(), None)]
    axes = _axes(use, 3, len(x)) if use.has(3) else list(range(len(x)))
    if pads is None or axes is None:
        return [_tensor(use.element(), (None,) * len(x))]
    sizes = list(x)
    for i, axis in enumerate(axes):
        size, added = sizes[axis], pads[i] + pads[len(axes) + i]
        sizes[axis] = size + added if isinstance(size, int) else size if added == 0 else None
    return [_tensor(use.element(), tuple(sizes))]


def _filled(use: Use) -> Types:
    value = use.attributes.get("value")
    return [_tensor(value.element if isinstance(value, Tensor) else _FLOAT, use.numbers[0])]


def _reduce(use: Use) -> Types:
    x, over = use.dims(0), use.node.op.startswith("Arg")
    element = _INT64 if over else use.element()
    if x is None:
        return [_tensor(element, None)]
    given = use.has(1) or "axes" in use.attributes
    axes = [use.whole("axis", 0) % len(x)] if over else _axes(use, 1, len(x)) if given else None
    if not over and not given:
        axes = [] if use.whole("noop_with_empty_axes", 0) else list(range(len(x)))
    if axes is None:
        return [_tensor(element, (None,) * len(x) if use.whole("keepdims", 1) else None)]
    if not axes and not use.whole("noop_with_empty_axes", 0):
        axes = list(range(len(x)))
    kept = bool(use.whole("keepdims", 1))
    return [_tensor(element, tuple(1 if i in axes else d for i, d in enumerate(x) if kept or i not in axes))]


def _recurrent(use: Use) -> Types:
    x, r = use.dims(0), use.dims(2)
    hidden = use.whole("hidden_size", 0) or (r[2] if r is not None else None)
    directions = 2 if use.attributes.get("direction") == b"bidirectional" else 1
    frames, batch = (None, None) if x is None else (x[0], x[1])
    if use.whole("layout", 0):
        state: Dims = (frames, directions, hidden)
        every: Dims = (frames, batch, directions, hidden)
    else:
        state, every = (directions, batch, hidden), (frames, directions, batch, hidden)
    return [_tensor(use.element(), every), _tensor(use.element(), state), _tensor(use.element(), state)]


def _normalised(use: Use) -> Types:
    rest = [_tensor(use.element(3 if i < 3 else 1), use.dims(1)) for i in range(1, len(use.node.outputs))]
    return [use.types[0], *rest]


def _top(use: Use) -> Types:
    x = use.dims(0)
    counts = use.list("k", 1) or ((use.whole("k", -1),) if "k" in use.attributes else None)
    if x is None:
        return [_tensor(use.element(), None), _tensor(_INT64, None)]
    axis = use.whole("axis", -1) % len(x)
    dims = (*x[:axis], counts[0] if counts else None, *x[axis + 1 :])
    return [_tensor(use.element(), dims), _tensor(_INT64, dims)]


def _resized(use: Use) -> Types:
    x = use.dims(0)
    if x is None or "axes" in use.attributes or "keep_aspect_ratio_policy" in use.attributes:
        return [_tensor(use.element(), None if x is None else (None,) * len(x))]
    sizes = use.numbers[3] if use.has(3) and len(use.numbers) > 3 else None
    return [_tensor(use.element(), sizes or (None,) * len(x))]


def _blocks(use: Use) -> Types:
    x, block = use.dims(0), use.whole("blocksize", 1)
    if x is None or len(x) != 4:
        return [_tensor(use.element(), None)]
    deeper = use.node.op == "SpaceToDepth"
    n, c, h, w = x
    if not (isinstance(c, int) and isinstance(h, int) and isinstance(w, int)):
        return [_tensor(use.element(), (n, None, None, None))]
    if deeper:
        return [_tensor(use.element(), (n, c * block**2, h // block, w // block))]
    return [_tensor(use.element(), (n, c // block**2, h * block, w * block))]


def _shape(use: Use) -> Types:
    x = use.dims(0)
    if use.node.op == "Size":
        return [_tensor(_INT64, ())]
    start, end = use.whole("start", 0), use.whole("end", MOST_KNOWN)
    return [_tensor(_INT64, (None if x is None else len(x[slice(start, end)]),))]


def _cast(use: Use) -> int:
    return use.whole("to", 0)


_RULES: Final[dict[str, Callable[[Use], Types]]] = {
    **dict.fromkeys(
        """Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Celu Clip Cos Cosh CumSum Dropout Elu Erf Exp Floor
        Gelu GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization LRN LeakyRelu Log
        LogSoftmax LpNormalization MeanVarianceNormalization Mish Neg Not PRelu Reciprocal Relu ReverseSequence Round
        ScatterElements ScatterND Scatter Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan
        Tanh ThresholdedRelu Trilu RMSNormalization""".split(),  # noqa: SIM905  (a paragraph of names)
        _same,
    ),
    **dict.fromkeys(
        """Add And BitwiseAnd BitwiseOr BitwiseXor BitShift Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean
        Min Mod Mul Or Pow Sub Sum Where Xor""".split(),  # noqa: SIM905  (a paragraph of names)
        _elementwise,
    ),
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), _convolution),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _global_pool),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _product),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    **dict.fromkeys(
        """ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare ArgMax ArgMin""".split(),  # noqa: SIM905  (a paragraph of names)
        _reduce,
    ),
    **dict.fromkeys(("Shape", "Size"), _shape),
    **dict.fromkeys(("SpaceToDepth", "DepthToSpace"), _blocks),
    **dict.fromkeys(("IsNaN", "IsInf"), _as_type(lambda _: _BOOL)),
    "LayerNormalization": lambda use: [use.types[0]],
    "BatchNormalization": _normalised, "Cast": _as_type(_cast), "CastLike": _as_type(lambda use: use.element(1)),
    "Concat": _concat, "ConstantOfShape": _filled, "ConvTranspose": _deconvolution,
    "DequantizeLinear": _as_type(lambda use: use.element(1)), "Expand": _expand, "Flatten": _flatten,
    "Gather": _gather, "GatherElements": lambda use: [_tensor(use.element(), use.dims(1))], "Gemm": _gemm,
    "Pad": _pad, "Reshape": _reshape, "Resize": _resized, "Slice": _slice, "Split": _split, "Squeeze": _squeeze,
    "Tile": _tile, "TopK": _top, "Transpose": _transpose, "Unsqueeze": _unsqueeze,
    "QuantizeLinear": _as_type(lambda use: use.element(2) or use.whole("output_dtype", 0) or _UINT8),
}  # fmt: skip
