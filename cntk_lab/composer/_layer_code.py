"""Which call of a layer made a block: guessed from what is inside of it, and proved by building it again.

A guess counts only if the layer, applied to an operand of the same type, is the same graph with the same attributes and
the same shapes of weights.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from cntk_lab import layers
from cntk_lab.composer._catalog import as_code, catalog, entry_of
from cntk_lab.composer._guesses import GUESSES, weight
from cntk_lab.composer._twins import own, probe, same, tried, weights_as_in
from cntk_lab.errors import LabError
from cntk_lab.formats.cntk.normal import normal, uses_of_block
from cntk_lab.graph import declare, walk
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import Constant, Variable

Found = tuple[str, list[Variable], str | None, tuple[Variable, ...]]
"""The call, the weights, for a recurrence the inner call (its place in the call is marked), and the operands."""

CELLS: Final[dict[str, Callable[..., Any]]] = {"LSTM": layers.LSTM, "GRU": layers.GRU, "RNNStep": layers.RNNStep}


def layer(node: Node) -> Found | None:
    """The call of the layer that a block is, if one is."""
    if node.block is None or not node.block.built or len(node.outputs) != len(node.block.outputs):
        return None
    guesses = GUESSES.get(node.op_name)
    if guesses is None:
        return None
    operands = node.inputs[len(node.inputs) - len(node.block.arguments) :]
    for name, settings in guesses(node):
        if node.name:
            settings = {**settings, "name": node.name}
        copy = tried(functools.partial(catalog()[f"layers.{name}"].target, **settings), operands)
        weights = None if copy is None else weights_as_in(node, copy)
        if weights is not None:
            return call(f"layers.{name}", settings), weights, None, tuple(operands)
    return None


def operator(node: Node) -> Node | None:
    """The use of an operator that a block out of a file is, if it is one: a node beside the graph."""
    for op, operands, attributes in uses_of_block(node):
        try:
            made = declare.use(op, [v if v.node is None and not v.is_input else probe(v) for v in operands], attributes)
            twin = next(n for n in walk.nodes(normal(made).outputs) if n.op_name == node.op_name)
        except (LabError, TypeError, ValueError, StopIteration):
            continue
        if same(node, twin) and entry_of(op.name) is not None:
            use: Node = made.node
            use.inputs[:] = operands
            use.name = node.name
            return use
    return None


def call(path: str, settings: dict[str, Any]) -> str:
    """A call of the catalog with its required parameters by position."""
    entry = catalog()[path]
    required = {f.name for f in entry.fields if f.required}
    parts = [as_code(v) if k in required else f"{k}={as_code(v)}" for k, v in settings.items()]
    return f"{entry.code}({', '.join(parts)})"


# ---- recurrences


def recurrence(node: Node) -> Found | None:
    """The call of the recurrent layer that a cell with its delays is, if it is one."""
    factory: Callable[..., Any] | None = CELLS.get(node.op_name)
    if factory is None or node.block is None:
        return None
    states = node.inputs[-len(node.block.arguments) : -1]
    delays = [v.node for v in states]
    kinds = {d.op.name if d is not None else "" for d in delays}
    if kinds not in ({"_past_value"}, {"_future_value"}):
        return None
    initial: list[float] = []
    for i, d in enumerate(delays):
        assert d is not None
        start = d.inputs[1]
        one = d.inputs[0] is node.outputs[i] and int(d.attributes.get("time_step", 1)) == 1
        if not one or not start.is_constant or _value(start) is None or np.size(_value(start)) != 1:
            return None
        initial.append(float(np.asarray(_value(start)).reshape(-1)[0]))
    cell = _cell(node, factory)
    if cell is None:
        return None
    extra = ", go_backwards=True" if kinds == {"_future_value"} else ""
    if any(initial):
        extra += f", initial_state={initial[0] if len(set(initial)) == 1 else tuple(initial)!r}"
    return f"C.layers.Recurrence(\x01{cell[0]}{extra}\x02)", cell[1], cell[0], (node.inputs[-1],)


def _cell(node: Node, factory: Callable[..., Any]) -> tuple[str, list[Variable]] | None:
    """The call that makes a recurrent cell like this one, and its weights."""
    H, P = weight(node, "H"), weight(node, "P")
    W, operand = weight(node, "W"), node.inputs[-1]
    if H is None or W is None:
        return None
    base: dict[str, Any] = {"shape": H[0]}
    if P is not None:
        base["cell_shape"] = P[0]
    activations: list[dict[str, Any]] = [{}]
    activations += [{"activation": catalog()[n].target} for n in ("relu", "sigmoid", "tanh")]
    names = {"name": node.name} if node.name else {}
    for activation in activations:
        for peepholes in ({}, {"use_peepholes": True}) if node.op_name == "LSTM" else ({},):
            for stable in ({}, {"enable_self_stabilization": True}):
                settings = {**base, **activation, **peepholes, **stable, **names}
                copy = tried(lambda settings=settings: layers.Recurrence(factory(**settings)), [operand])
                weights = None if copy is None else weights_as_in(node, copy)
                if weights is not None:
                    return call(f"layers.{node.op_name}", settings), weights
    return None


def _value(v: Variable) -> Any:
    return v.value if isinstance(v, Constant) and v.is_initialized() else None


__all__ = ["call", "layer", "operator", "own", "recurrence"]
