"""A graph as a file would give it back: what tells whether a layer that was loaded is the one that a call makes.

Files know fewer operators than users (``softplus`` is a block of primitives there, settings stand for every axis), so
a graph out of a file is never the one that was written, but always this one. Must not know layers.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.formats.cntk import operators
from cntk_lab.formats.cntk.codecs import axis_from_file
from cntk_lab.formats.cntk.read import build
from cntk_lab.formats.cntk.values import StoredAxis
from cntk_lab.formats.cntk.write import describe
from cntk_lab.graph import compose, registry
from cntk_lab.graph.function import Function
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import OpDef
from cntk_lab.graph.variable import Variable

__all__ = ["normal", "operators_of_block", "uses_of_block"]


def normal(function: Function) -> Function:
    """The function as if it had been saved and loaded; numbers of its parameters are neither made nor copied.

    Args:
        function: any function whose shapes are known.

    Returns:
        Function of new nodes; its parameters are 0.

    Raises:
        FormatError: if a part of the graph cannot be said in CNTK's files.

    Example:
        >>> import cntk_lab as C
        >>> x = C.input_variable(3)
        >>> C.softplus(x).root_function.is_block, normal(C.softplus(x)).root_function.is_block
        (False, True)
    """
    return build(describe(function, with_numbers=False))


@functools.cache
def _by_block() -> dict[str, list[OpDef]]:
    """Operators by the names of the blocks that they are in files."""
    out: dict[str, list[OpDef]] = {}
    for op in registry.all_ops():
        for name in (op.cntk.block, op.cntk.also_block, op.cntk.op):
            if name:
                out.setdefault(name, []).append(op)
    return out


def operators_of_block(node: Node) -> list[OpDef]:
    """The operators that a block out of a file may be, by its name; none for other nodes."""
    if node.op is not compose.BLOCK:
        return []
    found = _by_block().get(node.op_name, [])
    name = node.attributes.get("reductionOpName")
    return [op for op in found if name is None or operators.reduction_name_of(op.name) == name]


def uses_of_block(node: Node) -> Iterator[tuple[OpDef, list[Variable], dict[str, Any]]]:
    """Uses of operators that a block out of a file may stand for; which one it is, a comparison must say.

    Args:
        node: the block.

    Returns:
        Operators, their operands and attributes, likeliest first.
    """
    block = node.block
    if block is None:
        return
    operands = node.inputs[len(node.inputs) - len(block.arguments) :]
    for op in operators_of_block(node):
        if len(op.operands) != len(operands) and not any(p.variadic for p in op.operands):
            continue
        given = {ours: node.attributes[key] for ours, key in op.cntk.attributes.items() if key in node.attributes}
        defaults = {p.name: p.default for p in op.attributes if p.default is not inspect.Parameter.empty}
        for axis in _axes(node, op):
            values = {**defaults, **{k: _plain(v) for k, v in given.items()}, **axis}
            if {p.name for p in op.attributes} <= set(values):
                yield op, operands, values
                if len(operands) == 2:
                    yield op, operands[::-1], values


def _plain(value: Any) -> Any:
    if isinstance(value, StoredAxis):
        return axis_from_file(value)
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _axes(node: Node, op: OpDef) -> Iterator[dict[str, Any]]:
    """What the attribute ``axis`` may be: blocks keep it as the user counted, some not at all."""
    names = {p.name for p in op.attributes}
    if "axis" not in names:
        yield {}
        return
    keep = {"keepdims": bool(node.attributes.get("reductionKeepDimensions", True))} if "keepdims" in names else {}
    stored = node.attributes.get("axisVec", node.attributes.get("axis"))
    if stored is not None:
        axes = [_as_given(a) for a in (stored if isinstance(stored, list) else [stored])]
        if axes == [Axis.all_static_axes()]:
            yield {"axis": None, **keep}
        yield {"axis": axes[0] if len(axes) == 1 else axes, **keep}
    rank = len(node.inputs[-1].type.shape or ())
    for axis in (*range(-1, -rank - 2, -1), *range(rank)):
        yield {"axis": axis, **keep}


def _as_given(axis: Any) -> Any:
    found = _plain(axis)
    return found if not isinstance(found, int) else -1 - axis.position
