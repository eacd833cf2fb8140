"""Which calls could have made a block: guessed from its name, its weights and the settings of what is inside.

A guess need not be right, it is proved by whoever asks; the likeliest comes first. One function for each kind of block.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from cntk_lab.composer._catalog import Entry, entry_of
from cntk_lab.formats.cntk.normal import operators_of_block
from cntk_lab.graph import walk
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import Constant

Guess = Iterator[tuple[str, dict[str, Any]]]
"""Names of layers, and their settings."""


def inner(node: Node) -> list[Node]:
    """What is inside of a block."""
    assert node.block is not None
    return list(walk.nodes(node.block.outputs))


def within(node: Node) -> list[Node]:
    """What is inside of a block, and inside of the blocks in it."""
    return [n for outer in inner(node) for n in ([outer, *within(outer)] if outer.block is not None else [outer])]


def weight(node: Node, name: str) -> tuple[int, ...] | None:
    """The shape of a weight of that name."""
    return next((v.type.dims for v in node.inputs if v.name == name and (v.is_parameter or v.is_constant)), None)


def operator_named(node: Node) -> Entry | None:
    """The catalog's entry of an operator, also where it is a block out of a file."""
    return entry_of(node.op.name) or next((e for op in operators_of_block(node) if (e := entry_of(op.name))), None)


def _activation(node: Node, known: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The operator at the end of a layer, if it is none of the layer's own; before a last reshape too."""
    assert node.block is not None
    last = node.block.outputs[0].node
    while last is not None and last.op.name == "reshape" and "reshape" in known:
        last = last.inputs[0].node
    if last is None or last.op.name in known:
        yield {}
        return
    entry = operator_named(last)
    if entry is not None:
        yield {"activation": entry.target}


def _vector(shape: tuple[int, ...]) -> Any:
    return shape[0] if len(shape) == 1 else shape


def _constants(node: Node) -> list[float]:
    """Numbers that stand in a block, in the order of use."""
    out = []
    for n in inner(node):
        found = [v for v in n.inputs if isinstance(v, Constant) and not v.name and v.is_initialized()]
        out += [float(np.reshape(v.value, -1)[0]) for v in found if np.size(v.value) == 1]
    return list(dict.fromkeys(out))


def _steps(values: Any, rank: int) -> tuple[int, ...]:
    """One number for each of the last axes."""
    steps = tuple(int(s) for s in np.atleast_1d(1 if values is None else values))
    return (steps * rank if len(steps) == 1 else (1,) * (rank - len(steps)) + steps)[-rank:]


def _each(steps: tuple[Any, ...]) -> Any:
    return steps[0] if len(set(steps)) == 1 else steps


# ---- one for each kind of block


def _dense(node: Node) -> Guess:
    W, b = weight(node, "W"), weight(node, "b")
    product = next((n for n in inner(node) if n.op.name == "times"), None)
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
    W = weight(node, "W")
    found = [n for n in inner(node) if "convolution" in n.op.name]
    if W is None or not found:
        return
    at, transposed = found[0].attributes, "transpose" in found[0].op.name
    delays = [n for n in inner(node) if n.op.name in ("_past_value", "_future_value")]
    over_time = found[0].op.name == "_sequential_convolution"
    own_ops = ("plus", found[0].op.name, "reshape", "_sequence_slice")
    filters = W[1] if transposed else W[0]
    for activation, reduced, several, sequential in itertools.product(
        _activation(node, own_ops), (1, 0), (True, False), (bool(delays), not delays)
    ):
        filter_shape = W[2:]
        rank = len(filter_shape)
        base: dict[str, Any] = {"filter_shape": filter_shape}
        if several:
            base["num_filters"] = filters
        elif filters != 1 or transposed:
            continue
        if sequential:
            base["sequential"] = True
        base |= {**activation, **_windows(node, at, rank, delays if sequential else [])}
        if weight(node, "b") is None:
            base["bias"] = False
        if not reduced:
            base["reduction_rank"] = 0
        if transposed and at.get("output_shape"):
            base["output_shape"] = tuple(at["output_shape"])[-rank:]
        if over_time:
            yield "SequentialConvolution", base
        else:
            yield from _of_rank("ConvolutionTranspose" if transposed else "Convolution", rank, base)


def _windows(node: Node, at: Any, rank: int, delays: list[Node]) -> dict[str, Any]:
    """Padding, strides and dilation of a convolution; with delays the first axis of its filter is time."""
    flags = [bool(p) for p in at.get("auto_padding") or [False]]
    padding = (flags * rank if len(flags) == 1 else [False] * (rank - len(flags)) + flags)[-rank:]
    dilation = list(_steps(at.get("dilation"), rank))
    if delays:
        padding[0] = not any(n.op.name == "_sequence_slice" or n.op_name == "Sequence::Slice" for n in inner(node))
        dilation[0] = min(int(n.attributes.get("time_step", 1)) for n in delays)
    out: dict[str, Any] = {}
    if any(padding):
        out["pad"] = _each(tuple(padding))
    for name, steps in (("strides", _steps(at.get("strides"), rank)), ("dilation", tuple(dilation))):
        if any(s != 1 for s in steps):
            out[name] = _each(steps)
    return out


def _of_rank(name: str, rank: int, base: dict[str, Any]) -> Guess:
    if rank in (1, 2, 3) and "sequential" not in base:
        yield f"{name}{rank}D", base
    yield name, base


def _pooling(name: str) -> Callable[[Node], Guess]:
    def guess(node: Node) -> Guess:
        found = next((n for n in inner(node) if n.op.name in ("pooling", "unpooling")), None)
        if found is None:
            return
        at = found.attributes
        window = tuple(int(s) for s in at.get(f"{found.op.name}_window_shape", ()))
        rank = len(window)
        base: dict[str, Any] = {"filter_shape": window}
        strides = _steps(at.get("strides"), rank)
        if any(s != 1 for s in strides):
            base["strides"] = _each(strides)
        padding = tuple(bool(p) for p in at.get("auto_padding", ()))[-rank:]
        if any(padding):
            base["pad"] = _each(padding)
        yield name, base

    return guess


def _batch_normalization(node: Node) -> Guess:
    found = next((n for n in inner(node) if "batch_normalization" in n.op.name), None)
    if found is None:
        return
    at = found.attributes
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
    found = next((n for n in inner(node) if n.op.name == "dropout"), None)
    if found is not None:
        yield "Dropout", {"dropout_rate": float(found.attributes.get("dropout_rate", 0.5))}


def _embedding(node: Node) -> Guess:
    E = weight(node, "E")
    if E is not None:
        yield "Embedding", {"shape": _vector(E[1:])}


def _with_a_number(name: str, setting: str) -> Callable[[Node], Guess]:
    """A layer of one number, which stands inside as a constant or a setting."""

    def guess(node: Node) -> Guess:
        yield name, {}
        settings = [float(n.attributes[k]) for n in inner(node) for k in ("steepness", "epsilon") if k in n.attributes]
        for number in [*settings, *_constants(node)]:
            yield name, {setting: int(number) if number.is_integer() else number}

    return guess


def _window(node: Node) -> Guess:
    """Past values spliced: as many as there are delays, and the frame itself."""
    splice = next((n for n in inner(node) if n.op.name == "splice"), None)
    if splice is None:
        return
    axes = dict.fromkeys((splice.attributes.get("axis", -1), -1, *range(-2, -2 - len(splice.inputs[0].type.dims), -1)))
    back = {"go_backwards": True} if any(n.op.name == "_future_value" for n in within(node)) else {}
    for axis in axes:
        yield "PastValueWindow", {"window_size": len(splice.inputs), "axis": axis, **back}


def _delay(node: Node) -> Guess:
    for n in inner(node):
        if n.op.name in ("_past_value", "_future_value"):
            steps = int(n.attributes.get("time_step", 1)) * (1 if n.op.name == "_past_value" else -1)
            start = _constants(node)
            yield "Delay", {"T": steps, **({"initial_state": start[0]} if start and start[0] else {})}


def _plain(name: str) -> Callable[[Node], Guess]:
    def guess(node: Node) -> Guess:
        yield name, {}
        for activation in _activation(node, ()):
            if name == "Activation":
                yield name, activation

    return guess


GUESSES: Final[dict[str, Callable[[Node], Guess]]] = {
    "Dense": _dense, "Convolution": _convolution, "ConvolutionTranspose": _convolution,
    "MaxPooling": _pooling("MaxPooling"),
    "AveragePooling": _pooling("AveragePooling"), "MaxUnpooling": _pooling("MaxUnpooling"),
    "BatchNormalization": _batch_normalization, "Dropout": _dropout, "Embedding": _embedding,
    "LayerNormalization": _with_a_number("LayerNormalization", "epsilon"),
    "Stabilizer": _with_a_number("Stabilizer", "steepness"), "PastValueWindow": _window, "Delay": _delay,
    "GlobalMaxPooling": _plain("GlobalMaxPooling"), "GlobalAveragePooling": _plain("GlobalAveragePooling"),
    "Activation": _plain("Activation"),
}  # fmt: skip
"""Guesses by the name of the block."""
