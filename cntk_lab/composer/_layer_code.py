"""Which call of a layer made a block: guessed from what is inside of it, and proved by building it again.

A guess counts only if the layer, applied to an operand of the same type, is the same graph with the same attributes and
the same shapes of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from cntk_lab import layers
from cntk_lab.composer._catalog import as_code, by_target, catalog
from cntk_lab.errors import LabError
from cntk_lab.graph import walk
from cntk_lab.graph.function import Function
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import INPUT, Constant, Variable, new_placeholder
from cntk_lab.tensor.shape import INFERRED

Found = tuple[str, list[Variable], str | None, Variable]
"""The call, the weights, for a recurrence the inner call (its place in the call is marked), and the operand."""

CELLS: Final[dict[str, Callable[..., Any]]] = {"LSTM": layers.LSTM, "GRU": layers.GRU, "RNNStep": layers.RNNStep}


def layer(node: Node) -> Found | None:
    """The call of the layer that a block is, if one is."""
    if node.block is None or not node.block.built or len(node.outputs) != 1 or len(node.block.arguments) != 1:
        return None
    guesses = _GUESSES.get(node.op_name)
    operand = node.inputs[-1]
    if guesses is None:
        return None
    for name, settings in guesses(node):
        if node.name:
            settings = {**settings, "name": node.name}
        factory = catalog()[f"layers.{name}"].target
        try:
            copy = factory(**settings)(probe(operand))
        except (LabError, TypeError, ValueError):
            continue
        if isinstance(copy, Function) and same(node, copy.node):
            return call(f"layers.{name}", settings), own(node), None, operand
    return None


def probe(operand: Variable) -> Variable:
    """Something of an operand's type to try a layer on: a placeholder where the type is not known yet."""
    t = operand.type
    if t.shape is None or t.axes is None or t.dtype is None:
        return new_placeholder(name="x")
    return Variable(INPUT, t, "")


def call(path: str, settings: dict[str, Any]) -> str:
    """A call of the catalog with its required parameters by position."""
    entry = catalog()[path]
    required = {f.name for f in entry.fields if f.required}
    parts = [as_code(v) if k in required else f"{k}={as_code(v)}" for k, v in settings.items()]
    return f"{entry.code}({', '.join(parts)})"


def own(node: Node) -> list[Variable]:
    """Parameters and named statistics of a block."""
    return [v for v in node.inputs if v.is_parameter or (v.is_constant and v.name)]


def same(a: Node, b: Node) -> bool:
    """Whether two nodes are the same operator or block with the same things inside."""
    if a.op_name != b.op_name or len(a.inputs) != len(b.inputs) or not _alike(a, b):
        return False
    for v, w in zip(own(a), own(b), strict=False):
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
    keys = {*a.attributes, *b.attributes} - {"seed"}
    plain = all(repr(a.attributes.get(k)) == repr(b.attributes.get(k)) for k in keys)
    literals = [
        v.is_constant == w.is_constant and (not v.is_constant or v.name or np.array_equal(_value(v), _value(w)))
        for v, w in zip(a.inputs, b.inputs, strict=True)
    ]
    return plain and all(literals)


def _value(v: Variable) -> Any:
    return v.value if isinstance(v, Constant) and v.is_initialized() else None


# ---- guesses, by the name of the block


Guess = Iterator[tuple[str, dict[str, Any]]]


def _inner(node: Node) -> list[Node]:
    assert node.block is not None
    return list(walk.nodes(node.block.outputs))


def _weight(node: Node, name: str) -> tuple[int, ...] | None:
    return next((v.type.dims for v in node.inputs if v.name == name and (v.is_parameter or v.is_constant)), None)


def _activation(node: Node, known: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The operator at the end of a layer, if it is none of the layer's own."""
    assert node.block is not None
    last = node.block.outputs[0].node
    if last is None or last.op.name in known:
        yield {}
        return
    entry = catalog().get(last.op.name)
    if entry is not None and entry.kind == "op":
        yield {"activation": entry.target}


def _vector(shape: tuple[int, ...]) -> Any:
    return shape[0] if len(shape) == 1 else shape


def _dense(node: Node) -> Guess:
    W, b = _weight(node, "W"), _weight(node, "b")
    product = next((n for n in _inner(node) if n.op.name == "times"), None)
    if W is None or product is None:
        return
    rank = int(product.attributes.get("output_rank", 1))
    to_map = product.attributes.get("infer_input_rank_to_map", -1)
    shape = {"shape": _vector(W[len(W) - rank :])}
    bias = {} if b is not None else {"bias": False}
    for activation in _activation(node, ("plus", "times")):
        ranks: list[dict[str, Any]] = [{}, {"map_rank": to_map}, {"input_rank": len(W) - rank}]
        for extra in ranks:
            yield "Dense", {**shape, **activation, **extra, **bias}


def _convolution(node: Node) -> Guess:
    W, b = _weight(node, "W"), _weight(node, "b")
    product = next((n for n in _inner(node) if n.op.name == "convolution"), None)
    if W is None or product is None:
        return
    at = product.attributes
    for activation in _activation(node, ("plus", "convolution", "reshape")):
        for reduced in (1, 0):
            filter_shape = W[1 + reduced :] if reduced else W[2:] if len(W) > 2 else W[1:]
            rank = len(filter_shape)
            base: dict[str, Any] = {"filter_shape": filter_shape, "num_filters": W[0], **activation}
            padding = tuple(bool(p) for p in at.get("auto_padding", ()))[-rank:]
            if any(padding):
                base["pad"] = True if all(padding) else padding
            for name, key in (("strides", "strides"), ("dilation", "dilation")):
                steps = tuple(int(s) for s in np.atleast_1d(at.get(key, 1)))[-rank:]
                if any(s != 1 for s in steps):
                    base[name] = steps[0] if len(set(steps)) == 1 else steps
            if b is None:
                base["bias"] = False
            if not reduced:
                base["reduction_rank"] = 0
            yield f"Convolution{rank}D" if rank in (1, 2, 3) else "Convolution", base
            yield "Convolution", base


def _pooling(name: str) -> Callable[[Node], Guess]:
    def guess(node: Node) -> Guess:
        inner = next((n for n in _inner(node) if n.op.name == "pooling"), None)
        if inner is None:
            return
        at = inner.attributes
        window = tuple(int(s) for s in at.get("pooling_window_shape", ()))
        strides = tuple(int(s) for s in np.atleast_1d(at.get("strides", 1)))
        padding = tuple(bool(p) for p in at.get("auto_padding", ()))
        base: dict[str, Any] = {"filter_shape": window}
        if any(s != 1 for s in strides):
            base["strides"] = strides[0] if len(set(strides)) == 1 else strides[-len(window) :]
        if any(padding):
            base["pad"] = True
        yield name, base
        yield name, {**base, "strides": strides[-len(window) :]}

    return guess


def _batch_normalization(node: Node) -> Guess:
    inner = next((n for n in _inner(node) if "batch_normalization" in n.op.name), None)
    if inner is None:
        return
    at = inner.attributes
    base: dict[str, Any] = {}
    if at.get("spatial"):
        base["map_rank"] = 1
    for key, default in (("normalization_time_constant", 5000), ("blend_time_constant", 0), ("epsilon", 1e-5)):
        if key in at and float(at[key]) != default:
            base[key] = at[key]
    for engine in ({}, {"use_cntk_engine": True}):
        for rest in ({}, {"disable_regularization": True}):
            yield "BatchNormalization", {**base, **engine, **rest}


def _dropout(node: Node) -> Guess:
    inner = next((n for n in _inner(node) if n.op.name == "dropout"), None)
    if inner is not None:
        yield "Dropout", {"dropout_rate": float(inner.attributes.get("dropout_rate", 0.5))}


def _embedding(node: Node) -> Guess:
    E = _weight(node, "E")
    if E is not None:
        yield "Embedding", {"shape": _vector(E[1:])}


def _plain(name: str) -> Callable[[Node], Guess]:
    def guess(node: Node) -> Guess:
        yield name, {}
        for activation in _activation(node, ()):
            if name == "Activation":
                yield name, activation

    return guess


_GUESSES: Final[dict[str, Callable[[Node], Guess]]] = {
    "Dense": _dense, "Convolution": _convolution, "MaxPooling": _pooling("MaxPooling"),
    "AveragePooling": _pooling("AveragePooling"), "BatchNormalization": _batch_normalization, "Dropout": _dropout,
    "Embedding": _embedding, "LayerNormalization": _plain("LayerNormalization"), "Stabilizer": _plain("Stabilizer"),
    "GlobalMaxPooling": _plain("GlobalMaxPooling"), "GlobalAveragePooling": _plain("GlobalAveragePooling"),
    "Activation": _plain("Activation"),
}  # fmt: skip


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
    initial: set[float] = set()
    for i, d in enumerate(delays):
        assert d is not None
        start = d.inputs[1]
        one = d.inputs[0] is node.outputs[i] and int(d.attributes.get("time_step", 1)) == 1
        if not one or not start.is_constant or _value(start) is None or np.size(_value(start)) != 1:
            return None
        initial.add(float(np.asarray(_value(start)).reshape(-1)[0]))
    if len(initial) != 1:
        return None
    cell = _cell(node, factory)
    if cell is None:
        return None
    extra = ", go_backwards=True" if kinds == {"_future_value"} else ""
    start_value = initial.pop()
    if start_value:
        extra += f", initial_state={start_value!r}"
    return f"C.layers.Recurrence(\x01{cell}{extra})", own(node), cell, node.inputs[-1]


def _cell(node: Node, factory: Callable[..., Any]) -> str | None:
    """The call that makes a recurrent cell like this one."""
    H, P = _weight(node, "H"), _weight(node, "P")
    W, operand = _weight(node, "W"), node.inputs[-1]
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
                try:
                    copy = layers.Recurrence(factory(**settings))(probe(operand))
                except (LabError, TypeError, ValueError):
                    continue
                twin = next((n for n in walk.nodes(copy.outputs) if n.op_name == node.op_name), None)
                if twin is not None and same(node, twin):
                    return call(f"layers.{node.op_name}", settings)
    return None


__all__ = ["by_target", "call", "layer", "own", "recurrence", "same"]
