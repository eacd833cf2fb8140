"""What CNTK's blocks are made of: operators that are one node here, as graphs of primitive functions.

Must not know files: a body is built from operators, and the writer writes it like any other graph. Source: blocks in
files that CNTK 2.7 saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk import operators
from cntk_lab.formats.cntk.codecs import listed, user_axis
from cntk_lab.formats.cntk.values import Dictionary, Float, SizeT, StoredAxis, Value
from cntk_lab.graph import compose, declare, registry
from cntk_lab.graph.function import outputs_of
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import Constant, Variable

_PRIMITIVE_ELU = "_ELU"
"""CNTK's name of its primitive inside the block that bends with a slope."""
_INLINED = ("softmax_cross_entropy", "ceil", "round", "square")


def has_body(node: Node) -> bool:
    """Whether an operator is written as a graph of primitive functions."""
    name = public_name(node)
    if operators.is_reduction(name):
        return not _is_one_primitive(name, node.attributes)
    if name == "softmax":
        return node.attributes.get("axis") is not None
    if name == "elu":
        return node.name != _PRIMITIVE_ELU and repr(node.attributes["alpha"]) != "1"  # so it is read
    if name == "convolution":
        return node.attributes.get("reduction_rank", 1) == 0 and not node.attributes.get("sequential")
    return name in BODIES


def is_block_of_a_reduction(node: Node) -> bool:
    """Whether CNTK shows an operator as a block around its ReduceElements (argmax and argmin have none)."""
    name = public_name(node)
    return operators.is_reduction(name) and name not in ("argmax", "argmin")


def is_inlined(node: Node) -> bool:
    """Whether the body stands among the other functions, without a block around it."""
    return public_name(node) in _INLINED


def body_of(node: Node, operands: Sequence[Variable]) -> list[Variable]:
    """The outputs of an operator's body, built on these operands."""
    name = public_name(node)
    body: Callable[..., Any] = _reduction if operators.is_reduction(name) else BODIES[name]
    names = body.__code__.co_varnames[: body.__code__.co_argcount + body.__code__.co_kwonlyargcount]
    given = {name: node.attributes[name] for name in names if name in node.attributes}
    if "node" in names:
        given["node"] = node
    return outputs_of(body(_OPERATORS, *operands, **given))


def block_name(node: Node) -> str:
    """CNTK's name of the block that an operator is."""
    steep = public_name(node) == "softplus" and node.attributes.get("steepness", 1) != 1
    return "softplus" if steep else node.op_name


def argument_order(node: Node) -> list[int]:
    """The operands of a block in the order in which it takes them."""
    order = list(range(len(node.inputs)))
    return order[::-1] if public_name(node) == "param_relu" else order


def public_name(node: Node) -> str:
    """The operator's name as users know it."""
    return node.op.name.lstrip("_")


def block_attributes(node: Node) -> Dictionary:
    """Attributes of a block under the names of files; a loaded block keeps those of its file."""
    if node.op is compose.BLOCK:
        return {key: _plain_value(value) for key, value in node.attributes.items()}
    name = public_name(node)
    shown = _reduced if is_block_of_a_reduction(node) else _ATTRIBUTES.get(name)
    if shown is not None:
        return shown(node)
    return {
        key: _plain_value(node.attributes[ours])
        for ours, key in node.op.cntk.attributes.items()
        if node.attributes.get(ours) is not None
    }


def _plain_value(value: Any) -> Value:
    if isinstance(value, bool) or not isinstance(value, int) or isinstance(value, SizeT):
        return list(value) if type(value) is tuple else value
    return SizeT(value) if value >= 0 else value


# ---- reductions and softmax


def _special(axis: Any) -> list[Any]:
    """The axis that stands for many, in a list; an empty one if all axes are named."""
    if axis is None:
        return [Axis.all_static_axes()]
    return [a for a in listed(axis) if isinstance(a, Axis) and a in (Axis.all_static_axes(), Axis.all_axes())][:1]


def _is_one_primitive(name: str, attributes: Mapping[str, Any]) -> bool:
    """Whether CNTK's primitive does the whole reduction, as it does inside blocks; else files hold a block around it.

    Axes of primitives are :class:`Axis` objects, those of users are numbers: CNTK puts a block around these always.
    """
    if name in ("argmax", "argmin"):
        return True
    axis, keep = attributes.get("axis"), attributes.get("keepdims", True)
    if _special(axis):
        return not keep
    if any(not isinstance(a, Axis) for a in listed(axis)):
        return False
    return not any(a.is_dynamic_axis for a in listed(axis)) or (isinstance(axis, (list, tuple)) and len(axis) == 1)


def _one(g: Any, op: str, x: Any, axis: Any, *, keep: bool = True) -> Any:
    """A reduction that is CNTK's primitive alone."""
    axes = [a if isinstance(a, Axis) else Axis(int(a)) for a in listed(axis)]
    return getattr(g, op)(x, axis=axes[0] if len(axes) == 1 and axes[0].is_static_axis else axes, keepdims=keep)


def _reduction(g: Any, x: Any, axis: Any, keepdims: bool, node: Node) -> Any:
    """Static axes first, then the minibatch; the primitive keeps them, a reshape drops them."""
    op = public_name(node)
    if _special(axis):
        return _one(g, op, x, _special(axis), keep=False)
    dynamic = [a for a in listed(axis) if isinstance(a, Axis) and a.is_dynamic_axis]
    static = [a for a in listed(axis) if a not in dynamic]
    result = _one(g, op, x, static) if static else x
    result = _one(g, op, result, dynamic) if dynamic else result
    return result if keepdims else g.reshape(result, shape=node.outputs[0].type.dims)


def _reduced(node: Node) -> Dictionary:
    values = _axes_reduced(node)
    values["reductionOpName"] = operators.reduction_name(public_name(node))
    return values


def _axes_reduced(node: Node) -> Dictionary:
    axis = node.attributes.get("axis")
    axes = [user_axis(a) for a in (listed(axis) if axis is not None else [Axis.all_static_axes()])]
    return {"axisVec": [*axes], "reductionKeepDimensions": bool(node.attributes.get("keepdims", True))}


def _softmax_axis(node: Node) -> Dictionary:
    axis = node.attributes.get("axis")
    return {"axis": user_axis(-1 if axis is None else axis)}


def _softmax(g: Any, x: Any, axis: Any) -> Any:
    axis = _special(axis) or axis
    scaled = g.exp(g.minus(x, _one(g, "reduce_max", x, axis)))
    return g.element_divide(scaled, _one(g, "reduce_sum", scaled, axis))


def _log_softmax(g: Any, x: Any, axis: Any) -> Any:
    axis = -1 if axis is None else axis
    below = g.minus(x, _one(g, "reduce_max", x, axis))
    return g.minus(below, g.log(_one(g, "reduce_sum", g.exp(below), axis)))


def _sequence_softmax(g: Any, seq: Any) -> Any:
    scaled = g.exp(g.minus(seq, g.sequence_broadcast_as(g.sequence_reduce_max(seq), seq)))
    return g.element_divide(scaled, g.sequence_broadcast_as(g.sequence_reduce_sum(scaled), seq))


def _over_frames(op: str, padding: float) -> Callable[..., Any]:
    def body(g: Any, seq: Any) -> Any:
        return _one(g, op, g.sequence_unpack(seq, padding_value=padding, no_mask_output=True), 0, keep=False)

    return body


def _cross_entropy(g: Any, output: Any, target: Any, axis: Any) -> Any:
    """Of one vector as a product, so that CNTK takes sparse targets."""
    if not isinstance(axis, Axis) and axis == -1 and len(output.type.dims) == 1:
        return g.minus(_one(g, "reduce_log_sum_exp", output, -1), g.times_transpose(output, target))
    whole = _special(axis)
    scores = _one(g, "reduce_sum", g.element_times(target, output), whole or axis, keep=not whole)
    return g.minus(_one(g, "reduce_log_sum_exp", output, whole or axis, keep=not whole), scores)


def _squared_error(g: Any, output: Any, target: Any) -> Any:
    difference = g.minus(output, target)
    return _one(g, "reduce_sum", g.element_times(difference, difference), Axis.all_static_axes(), keep=False)


def _of_logarithms(g: Any, logs: Any, target: Any, axis: Any) -> Any:
    whole = _special(axis)
    return g.negate(_one(g, "reduce_sum", g.element_times(target, logs), whole or axis, keep=not whole))


# ---- shapes and normalization


def _expand_dims(g: Any, x: Any, axis: Any) -> Any:
    rank = len(x.type.dims)
    at = 0
    if axis != Axis.end_static_axis():
        axis = axis.static_axis_index() if isinstance(axis, Axis) else axis
        at = axis + rank + 1 if axis < 0 else min(axis + 1, rank)
    return g.reshape(x, shape=(1,), begin_axis=at, end_axis=at)


def _depth_to_space(g: Any, operand: Any, block_size: int, node: Node) -> Any:
    b, channels = block_size, operand.type.dims[0]
    blocks = g.reshape(operand, shape=(b, b, channels // (b * b)), begin_axis=0, end_axis=1)
    return g.reshape(g.transpose(blocks, perm=(2, 3, 0, 4, 1)), shape=node.outputs[0].type.dims)


def _space_to_depth(g: Any, operand: Any, block_size: int, node: Node) -> Any:
    b, (channels, height, width) = block_size, operand.type.dims
    blocks = g.reshape(operand, shape=(channels, height // b, b, width // b, b))
    return g.reshape(g.transpose(blocks, perm=(2, 4, 0, 1, 3)), shape=node.outputs[0].type.dims)


def _local_response_normalization(
    g: Any, operand: Any, depth_radius: int, bias: float, alpha: float, beta: float
) -> Any:
    """The sum over near channels is a convolution along them, with a new axis in the place of the channels.

    A convolution is never wider than its operand: where the window is, zeros are put around the channels.
    """
    dims, width = operand.type.dims, 2 * depth_radius + 1
    dtype = operand.type.dtype or "float32"
    squares = g.reshape(g.element_times(operand, operand), shape=(1,), begin_axis=0, end_axis=0)
    kernel = Constant(alpha / width, shape=(1, width, *[1] * (len(dims) - 1)), dtype=dtype)
    wide = width > dims[0]
    if wide:
        around = [(0, 0), (depth_radius, depth_radius), *[(0, 0)] * (len(dims) - 1)]
        squares = g.pad(squares, pattern=around, mode=0, constant_value=0)
    sums = g.reshape(g.convolution(kernel, squares, auto_padding=[not wide]), shape=dims)
    scale = g.exp(g.element_times(beta, g.log(g.plus(bias, sums))))
    return g.element_divide(operand, scale)


def _mean_variance_normalization(
    g: Any, operand: Any, epsilon: float, use_stats_across_channels: bool, do_variance_scaling: bool
) -> Any:
    rank = len(operand.type.dims)
    across = use_stats_across_channels or rank < 2
    axes = [-1 - i for i in range(rank if across else rank - 1)]
    apart = g.minus(operand, g.reduce_mean(operand, axis=axes, keepdims=True))
    if not do_variance_scaling:
        return apart
    variance = g.reduce_mean(g.element_times(apart, apart), axis=axes, keepdims=True)
    return g.element_divide(apart, g.plus(g.sqrt(variance), epsilon))


def _convolution_without_channels(g: Any, convolution_map: Any, operand: Any, node: Node) -> Any:
    """A channel axis of length 1 is added to the kernel and the operand."""
    at = len(convolution_map.type.dims) - len(operand.type.dims)
    kernel = g.reshape(convolution_map, shape=(1,), begin_axis=at, end_axis=at)
    image = g.reshape(operand, shape=(1,), begin_axis=0, end_axis=0)
    return g.convolution(kernel, image, **{**node.attributes, "reduction_rank": 1})


def _flatten_axis(node: Node) -> Dictionary:
    """Counted from the other end; one more than an axis of a sample, for what stands before all."""
    axis, rank = node.attributes.get("axis"), len(node.inputs[0].type.dims)
    at = 0 if axis is None else axis.static_axis_index() if isinstance(axis, Axis) else int(axis)
    index = rank - (at + rank + 1 if at < 0 else at)
    return {"axis": StoredAxis(index, f"staticAxisIdx={index}", ordered=True)}


def _total(g: Any, *operands: Any) -> Any:
    result = operands[0]
    for operand in operands[1:]:
        result = g.plus(result, operand)
    return g.alias(result) if len(operands) == 1 else result


class _Operators:
    """The operators by name, for bodies of blocks: ``g.plus(x, y)``."""

    @staticmethod
    def zero(like: Variable) -> Constant:
        """The constant 0 of a variable's element type, to be used several times."""
        return Constant(0, dtype=like.type.dtype or "float32")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        for candidate in (name, f"_{name}"):
            try:
                op = registry.find(candidate)
            except KeyError:
                continue
            defaults = {p.name: p.default for p in op.attributes}
            return lambda *operands, name="", **given: declare.use(op, operands, {**defaults, **given}, name)
        raise FormatError(
            f"the operator {name!r} is needed for the body of a block and is not there", fix="update this package"
        )


_OPERATORS: Any = _Operators()


def _and(g: Any, x: Any, y: Any) -> Any:
    zero = g.zero(x)
    return g.greater(g.element_times(g.greater(x, zero), g.greater(y, zero)), zero)


def _or(g: Any, x: Any, y: Any) -> Any:
    zero = g.zero(x)
    return g.greater(g.plus(g.greater(x, zero), g.greater(y, zero)), zero)


def _xor(g: Any, x: Any, y: Any) -> Any:
    zero = g.zero(x)
    return g.not_equal(g.greater(x, zero), g.greater(y, zero))


def _elu(g: Any, x: Any, alpha: float) -> Any:
    bent = g.element_times(alpha, g.elu(x, alpha=1.0, name=_PRIMITIVE_ELU))
    return g.element_select(g.less(x, 0), bent, x)


def _softplus(g: Any, x: Any, steepness: float = 1) -> Any:
    if steepness == 1:
        return g.log_add_exp(x, 0)
    return g.element_divide(g.softplus(g.element_times(steepness, x)), steepness)


BODIES: dict[str, Callable[..., Any]] = {
    "element_divide": lambda g, x, y: g.element_times(x, g.reciprocal(y)),
    "element_max": lambda g, x, y: g.element_select(g.greater(x, y), x, y),
    "element_min": lambda g, x, y: g.element_select(g.less(x, y), x, y),
    "element_and": _and,
    "element_or": _or,
    "element_xor": _xor,
    "element_not": lambda g, x: g.plus(g.negate(g.greater(x, 0)), 1),
    "elu": _elu,
    "selu": lambda g, x, scale, alpha: g.element_times(scale, _elu(g, x, alpha)),
    "leaky_relu": lambda g, x, alpha: g.element_select(g.less(x, 0), g.element_times(alpha, x), x),
    "param_relu": lambda g, alpha, x: g.element_select(g.less(x, 0), g.element_times(alpha, x), x),
    "softplus": _softplus,
    "softsign": lambda g, x: g.element_times(x, g.reciprocal(g.plus(1, g.abs(x)))),
    "square": lambda g, x: g.element_times(x, x),
    "hard_sigmoid": lambda g, x, alpha, beta: g.element_max(
        g.element_min(g.plus(g.element_times(alpha, x), beta), 1), 0
    ),
    "ceil": lambda g, x: g.negate(g.floor(g.negate(x))),
    "round": lambda g, x: g.floor(g.plus(x, 0.5)),
    "squared_error": _squared_error,
    "binary_cross_entropy": lambda g, output, target: g.negate(
        g.plus(
            g.element_times(target, g.log(g.plus(1e-6, output))),
            g.element_times(g.minus(1, target), g.log(g.minus(1.000001, output))),
        )
    ),
    "reduce_l1": lambda g, x, axis, keepdims: g.reduce_sum(g.abs(x), axis=axis, keepdims=keepdims),
    "reduce_l2": lambda g, x, axis, keepdims: g.sqrt(g.reduce_sum(g.element_times(x, x), axis=axis, keepdims=keepdims)),
    "reduce_sum_square": lambda g, x, axis, keepdims: g.reduce_sum(g.element_times(x, x), axis=axis, keepdims=keepdims),
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "softmax_cross_entropy": _cross_entropy,
    "log_softmax_cross_entropy": lambda g, output, target, axis: _of_logarithms(
        g, _log_softmax(g, output, _special(axis) or axis), target, axis
    ),
    "probability_cross_entropy": lambda g, output, target, axis: _of_logarithms(g, g.log(output), target, axis),
    "sequence_reduce_sum": _over_frames("reduce_sum", 0.0),
    "sequence_reduce_max": _over_frames("reduce_max", -math.inf),
    "sequence_softmax": _sequence_softmax,
    "flatten": lambda g, x, node: g.reshape(x, shape=node.outputs[0].type.dims),
    "expand_dims": _expand_dims,
    "depth_to_space": _depth_to_space,
    "space_to_depth": _space_to_depth,
    "local_response_normalization": _local_response_normalization,
    "mean_variance_normalization": _mean_variance_normalization,
    "convolution": _convolution_without_channels,
    "sum": _total,
    "mean": lambda g, *x: g.element_divide(_total(g, *x), float(len(x))),
}
"""Bodies of operators that CNTK's files hold as blocks: what the operator is, in primitive functions."""


_ATTRIBUTES: dict[str, Callable[[Node], Dictionary]] = {
    **dict.fromkeys(("reduce_l1", "reduce_l2", "reduce_sum_square"), _axes_reduced),
    **dict.fromkeys(("softmax", "log_softmax"), _softmax_axis),
    **dict.fromkeys(("expand_dims", "convolution"), lambda _: {}),
    "hard_sigmoid": lambda node: {key: Float(node.attributes[key]) for key in ("alpha", "beta")},
    "flatten": _flatten_axis,
}
"""Attributes of blocks that are not simply named in the operator's declaration."""
