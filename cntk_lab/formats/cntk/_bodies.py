"""What CNTK's blocks are made of: operators that are one node here, as graphs of primitive functions.

Must not know files: a body is built from operators, and the writer writes it like any other graph. Source: blocks in
files that CNTK 2.7 saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab.axis import Axis
from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk import operators
from cntk_lab.formats.cntk.codecs import listed, user_axis
from cntk_lab.formats.cntk.values import Dictionary, SizeT, StoredAxis, Value
from cntk_lab.graph import compose, declare, registry
from cntk_lab.graph.function import outputs_of
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import Constant, Variable


def has_body(node: Node) -> bool:
    """Whether an operator is written as a graph of primitive functions."""
    name = public_name(node)
    if operators.is_reduction(name):
        return not _is_one_primitive(name, node.attributes, len(node.inputs[0].type.shape or ()))
    if name == "softmax":
        return node.attributes.get("axis") is not None
    if name == "elu":
        return bool(node.attributes["alpha"] != 1)
    if name == "convolution":
        return node.attributes.get("reduction_rank", 1) == 0 and not node.attributes.get("sequential")
    return name in BODIES


def is_block_of_a_reduction(node: Node) -> bool:
    """Whether CNTK shows an operator as a block around its ReduceElements (argmax and argmin have none)."""
    name = public_name(node)
    return operators.is_reduction(name) and name not in ("argmax", "argmin")


def is_inlined(node: Node) -> bool:
    """Whether the body stands among the other functions, without a block around it."""
    return public_name(node) == "softmax_cross_entropy"


def body_of(node: Node, operands: Sequence[Variable]) -> list[Variable]:
    """The outputs of an operator's body, built on these operands."""
    name = public_name(node)
    body: Callable[..., Any] = _reduction if operators.is_reduction(name) else BODIES[name]
    names = body.__code__.co_varnames[: body.__code__.co_argcount + body.__code__.co_kwonlyargcount]
    given = {name: node.attributes[name] for name in names if name in node.attributes}
    if "node" in names:
        given["node"] = node
    return outputs_of(body(_OPERATORS, *operands, **given))


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


def _is_one_primitive(name: str, attributes: Mapping[str, Any], rank: int) -> bool:
    """Whether CNTK's primitive does the whole reduction; else files hold a block around it."""
    if name in ("argmax", "argmin"):
        return True
    axis, keep = attributes.get("axis"), attributes.get("keepdims", True)
    if _special(axis):
        return not keep
    dynamic = [isinstance(a, Axis) and a.is_dynamic_axis for a in listed(axis)]
    return (
        (not any(dynamic) or len(dynamic) == 1) if keep else axis in (0, -rank)
    )  # it can drop only the last in the file


def _reduction(g: Any, x: Any, axis: Any, keepdims: bool, node: Node) -> Any:
    """Static axes first, then the minibatch; the primitive keeps them, a reshape drops them."""
    reduce = getattr(g, public_name(node))
    if _special(axis):
        return reduce(x, axis=_special(axis), keepdims=False)
    dynamic = [a for a in listed(axis) if isinstance(a, Axis) and a.is_dynamic_axis]
    static = [a for a in listed(axis) if a not in dynamic]
    result = reduce(x, axis=static, keepdims=True) if static else x
    result = reduce(result, axis=dynamic, keepdims=True) if dynamic else result
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
    scaled = g.exp(g.minus(x, g.reduce_max(x, axis=axis, keepdims=True)))
    return g.element_divide(scaled, g.reduce_sum(scaled, axis=axis, keepdims=True))


def _log_softmax(g: Any, x: Any, axis: Any) -> Any:
    axis = -1 if axis is None else axis
    below = g.minus(x, g.reduce_max(x, axis=axis, keepdims=True))
    return g.minus(below, g.log(g.reduce_sum(g.exp(below), axis=axis, keepdims=True)))


def _sequence_softmax(g: Any, seq: Any) -> Any:
    scaled = g.exp(g.minus(seq, g.sequence_broadcast_as(g.sequence_reduce_max(seq), seq)))
    return g.element_divide(scaled, g.sequence_broadcast_as(g.sequence_reduce_sum(scaled), seq))


def _over_frames(op: str, padding: float) -> Callable[..., Any]:
    def body(g: Any, seq: Any) -> Any:
        frames = g.sequence_unpack(seq, padding_value=padding, no_mask_output=True)
        return getattr(g, op)(frames, axis=0, keepdims=False)

    return body


def _cross_entropy(g: Any, output: Any, target: Any, axis: Any) -> Any:
    """Of one vector as a product, so that CNTK takes sparse targets."""
    if not isinstance(axis, Axis) and axis == -1 and len(output.type.dims) == 1:
        return g.minus(g.reduce_log_sum_exp(output, axis=-1, keepdims=True), g.times_transpose(output, target))
    whole = _special(axis)
    axis, keep = (whole, False) if whole else (axis, True)
    scores = g.reduce_sum(g.element_times(target, output), axis=axis, keepdims=keep)
    return g.minus(g.reduce_log_sum_exp(output, axis=axis, keepdims=keep), scores)


def _of_logarithms(g: Any, logs: Any, target: Any, axis: Any) -> Any:
    whole = _special(axis)
    return g.negate(g.reduce_sum(g.element_times(target, logs), axis=whole or axis, keepdims=not whole))


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
    """The sum over near channels is a convolution along them, with a new axis in the place of the channels."""
    dims, width = operand.type.dims, 2 * depth_radius + 1
    dtype = np.dtype(operand.type.dtype or "float32")
    squares = g.reshape(g.element_times(operand, operand), shape=(1,), begin_axis=0, end_axis=0)
    kernel = Constant(np.full((1, width, *[1] * (len(dims) - 1)), alpha / width, dtype))
    sums = g.reshape(g.convolution(kernel, squares, auto_padding=[True]), shape=dims)
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

    def __getattr__(self, name: str) -> Callable[..., Any]:
        for candidate in (name, f"_{name}"):
            try:
                op = registry.find(candidate)
            except KeyError:
                continue
            defaults = {p.name: p.default for p in op.attributes}
            return lambda *operands, **given: declare.use(op, operands, {**defaults, **given})
        raise FormatError(
            f"the operator {name!r} is needed for the body of a block and is not there", fix="update this package"
        )


_OPERATORS: Any = _Operators()

BODIES: dict[str, Callable[..., Any]] = {
    "element_divide": lambda g, x, y: g.element_times(x, g.reciprocal(y)),
    "element_max": lambda g, x, y: g.element_select(g.greater(x, y), x, y),
    "element_min": lambda g, x, y: g.element_select(g.less(x, y), x, y),
    "element_and": lambda g, x, y: g.greater(g.element_times(g.greater(x, 0), g.greater(y, 0)), 0),
    "element_or": lambda g, x, y: g.greater(g.plus(g.greater(x, 0), g.greater(y, 0)), 0),
    "element_xor": lambda g, x, y: g.not_equal(g.greater(x, 0), g.greater(y, 0)),
    "element_not": lambda g, x: g.minus(1, g.greater(x, 0)),
    "elu": lambda g, x, alpha: g.element_select(
        g.less(x, 0), g.element_times(alpha, g.minus(g.exp(g.element_select(g.less(x, 0), x, 0)), 1)), x
    ),
    "selu": lambda g, x, scale, alpha: g.element_times(scale, BODIES["elu"](g, x, alpha)),
    "leaky_relu": lambda g, x, alpha: g.element_select(g.less(x, 0), g.element_times(alpha, x), x),
    "param_relu": lambda g, alpha, x: g.element_select(g.less(x, 0), g.element_times(alpha, x), x),
    "softplus": lambda g, x, steepness=1: (
        g.log_add_exp(x, 0)
        if steepness == 1
        else g.element_times(g.log_add_exp(g.element_times(x, steepness), 0), 1 / steepness)
    ),
    "softsign": lambda g, x: g.element_times(x, g.reciprocal(g.plus(1, g.abs(x)))),
    "square": lambda g, x: g.element_times(x, x),
    "hard_sigmoid": lambda g, x, alpha, beta: g.clip(g.plus(g.element_times(alpha, x), beta), 0, 1),
    "ceil": lambda g, x: g.negate(g.floor(g.negate(x))),
    "round": lambda g, x: g.floor(g.plus(x, 0.5)),
    "squared_error": lambda g, output, target: g.reduce_sum(
        g.element_times(g.minus(output, target), g.minus(output, target)), axis=None
    ),
    "binary_cross_entropy": lambda g, output, target: g.negate(
        g.plus(g.element_times(target, g.log(output)), g.element_times(g.minus(1, target), g.log(g.minus(1, output))))
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
    "flatten": _flatten_axis,
}
"""Attributes of blocks that are not simply named in the operator's declaration."""
