"""Whether two nodes are the same layer: the same graph inside, with the same settings and weights of the same shapes.

A layer out of a file is compared with what a file of the layer would hold, because files spell operators and settings
in their own way. Knows no layer by name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from cntk_lab.axis import Axis
from cntk_lab.errors import LabError
from cntk_lab.formats.cntk.normal import normal
from cntk_lab.graph import walk
from cntk_lab.graph.asks import needs
from cntk_lab.graph.function import Function
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import OpDef
from cntk_lab.graph.variable import INPUT, Constant, Variable, new_placeholder
from cntk_lab.tensor.shape import INFERRED

_WITHOUT_MEANING: Final = frozenset({"seed", "name", "max_temp_mem_size_in_samples"})
"""Attributes that change no number, or that every use has of its own."""


def probe(operand: Variable) -> Variable:
    """Something of an operand's type to try a layer on: a placeholder where the type is not known yet."""
    t = operand.type
    if t.shape is None or t.axes is None or t.dtype is None:
        return new_placeholder(name="x")
    return Variable(INPUT, t, "")


def own(node: Node) -> list[Variable]:
    """Parameters and named statistics of a block."""
    return [v for v in node.inputs if v.is_parameter or (v.is_constant and v.name)]


def weights_as_in(node: Node, copy: Function) -> list[Variable] | None:
    """The weights of a node in the order in which a layer that was made for comparison has them.

    Args:
        node: the node of a model, built by a program or read from a file.
        copy: what the layer gives for an operand of the same type.

    Returns:
        The node's weights; None if the layer would be something else.
    """
    made = _of_name(copy, node.op_name)
    if made is None:
        return None
    if same(node, made):
        return own(node)
    if _known(made):
        try:
            stored = _of_name(normal(copy), node.op_name)
        except LabError:
            return None
        if stored is not None and same(node, stored):
            theirs = dict(zip((v.uid for v in own(stored)), own(node), strict=True))
            return [theirs[v.uid] for v in own(made)] if theirs.keys() == {v.uid for v in own(made)} else None
    return None


def _known(node: Node) -> bool:
    return all(o.type.shape is not None for o in node.outputs) and all(
        v.type.shape is not None and min(v.type.shape, default=0) >= 0 for v in own(node)
    )


def _of_name(function: Function, name: str) -> Node | None:
    return next((n for n in walk.nodes(function.outputs) if n.op_name == name), None)


def same(a: Node, b: Node) -> bool:
    """Whether two nodes are the same operator or block with the same things inside."""
    if a.op is not b.op or a.op_name != b.op_name or len(a.inputs) != len(b.inputs) or not _alike(a, b):
        return False
    ours, theirs = own(a), own(b)
    if len(ours) != len(theirs):
        return False
    for v, w in zip(ours, theirs, strict=True):
        if v.name != w.name or not _fits(v.type.shape, w.type.shape) or v.kind != w.kind:
            return False
    if (a.block is None) != (b.block is None):
        return False
    if a.block is None or b.block is None:
        return True
    inner_a, inner_b = list(walk.nodes(a.block.outputs)), list(walk.nodes(b.block.outputs))
    return len(inner_a) == len(inner_b) and all(same(x, y) for x, y in zip(inner_a, inner_b, strict=True))


def _fits(shape: tuple[int, ...] | None, made: tuple[int, ...] | None) -> bool:
    """Whether a new weight has the shape of an old one, or may still get it."""
    if shape is None or made is None or len(shape) != len(made):
        return shape == made
    return all(m in (s, INFERRED) for s, m in zip(shape, made, strict=True))


def _alike(a: Node, b: Node) -> bool:
    return meaning(a) == meaning(b) and all(
        v.is_constant == w.is_constant and (not v.is_constant or bool(v.name) or _equal(_value(v), _value(w)))
        for v, w in zip(a.inputs, b.inputs, strict=True)
    )


def _equal(x: Any, y: Any) -> bool:
    return x is None or y is None or np.array_equal(np.broadcast_to(x, np.shape(y)) if np.ndim(x) == 0 else x, y)


def _value(v: Variable) -> Any:
    return v.value if isinstance(v, Constant) and v.is_initialized() else None


# ---- what attributes mean


def meaning(node: Node) -> dict[str, Any]:
    """The attributes of a node such that equal ones mean the same: those that a rule settles are settled."""
    settled = node.resolved
    names = set(node.attributes) - _WITHOUT_MEANING
    if settled:
        names -= _only_settled(node.op) | set(settled)
    out = {name: plain(node.attributes[name]) for name in names if node.attributes[name] is not None}
    return out | {f"settled {name}": plain(value) for name, value in settled.items()}


_SAYING_NUMBERS = (
    *("formula", "forward", "shape", "axes", "dtype", "contraction"),
    *("inference", "views", "gradient", "derivative", "updates"),
)
"""The kinds of rules on which numbers and types depend once everything is settled."""


@functools.cache
def _only_settled(op: OpDef) -> frozenset[str]:
    """Attributes that no rule reads but the one that settles them."""
    assert op.resolve is not None
    read = {name for _, _, rule in op.rules(*_SAYING_NUMBERS) for name in needs(rule)}
    return frozenset(needs(op.resolve)) - read


def plain(value: Any) -> Any:
    """A setting in one spelling: tuples, numbers of Python, axes by their index."""
    if isinstance(value, Axis):
        return float(value.static_axis_index()) if value.is_static_axis else ("axis", value.name)
    if isinstance(value, (list, tuple)):
        return tuple(plain(v) for v in value)
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, float, np.number)):
        return float(value)
    if isinstance(value, (np.dtype, type)):
        return np.dtype(value).name
    return value if isinstance(value, str) else repr(value)


def tried(make: Callable[..., Any], operands: Sequence[Variable]) -> Function | None:
    """What a layer gives for operands of these types; None if it takes no such."""
    try:
        copy = make()(*[probe(v) for v in operands])
    except (LabError, TypeError, ValueError):
        return None
    return copy if isinstance(copy, Function) else None
