"""Recurrent stacks whose weights lie in one parameter become layers with parameters of their own, in a copy of a model.

The order of the weights in the one parameter is cuDNN's (see ``ops.optimized_rnnstack``); the layers hold theirs as
CNTK's ``LSTM`` and ``RNNStep`` do. Must not know backends: the copy is made of ordinary layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cntk_lab.default_options import default_options
from cntk_lab.errors import GraphError
from cntk_lab.graph.function import Function
from cntk_lab.layers import LSTM, Recurrence, RNNStep
from cntk_lab.misc.converter import convert
from cntk_lab.ops import (
    element_times,
    minus,
    parameter,
    plus,
    relu,
    sigmoid,
    splice,
    tanh,
    times,
)
from cntk_lab.ops import slice as part

__all__ = ["convert_optimized_rnnstack"]

STACK = "OptimizedRNNStack"
"""What a stack's operator is called."""

_GATES = {"lstm": 4, "gru": 3, "rnnReLU": 1, "rnnTanh": 1}
"""Cell -> how many vectors of the hidden size it computes in each step."""

Array = np.ndarray[Any, Any]


def convert_optimized_rnnstack(cudnn_model: Function) -> Function:
    """A copy of a model in which each ``optimized_rnnstack`` is made of layers that run wherever CNTK runs.

    Args:
        cudnn_model: the model; stacks stand anywhere in it, with any cell, number of layers and direction.

    Returns:
        The copy, with the same outputs. A stack's weights are copied into parameters of their own (two biases of a
        gate that are always added become one); all other parameters are shared with the model.

    Raises:
        GraphError: if the weights of a stack are computed, so that there are no numbers to copy.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(2)
        >>> W = C.parameter((C.InferredDimension, 4), init=0.1)
        >>> f = convert_optimized_rnnstack(C.optimized_rnnstack(x, W, hidden_size=4, num_layers=1))
        >>> sorted((p.name, p.shape) for p in f.parameters)
        [('H', (4, 16)), ('W', (2, 16)), ('b', (16,))]

    Source: CNTK 2.7 ``misc.convert_optimized_rnnstack``, which leaves ``gru`` alone.
    """
    return convert(cudnn_model, lambda function: function.op_name == STACK, _layers_of)


def _layers_of(stack: Function) -> Function:
    """Layers that compute what a stack computes, on the stack's operand."""
    root = stack.root_function
    operand, weights = root.inputs
    if not (weights.is_parameter or weights.is_constant):
        raise GraphError(
            f"convert_optimized_rnnstack: the weights of {stack} are computed ({weights}), there are no numbers",
            fix="give the stack a parameter or a constant",
        )
    cell, hidden = str(root.attributes["recurrentOp"]), int(root.attributes["hiddenSize"])
    layers, both = int(root.attributes["numLayers"]), root.outputs[0].shape[0] == 2 * hidden
    value: Array = weights.value  # type: ignore[attr-defined]
    x: Any = operand
    with default_options(dtype=value.dtype.type):
        for pieces in _pieces(value.ravel(), operand.shape[0], hidden, layers, _GATES[cell], 1 + both):
            outs = [
                Recurrence(_CELLS[cell](hidden, *piece), go_backwards=bool(backward))(x)
                for backward, piece in enumerate(pieces)
            ]
            x = outs[0] if len(outs) == 1 else splice(*outs, axis=0)
    return x  # type: ignore[no-any-return]


def _pieces(
    flat: Array, width: int, hidden: int, layers: int, gates: int, directions: int
) -> Iterator[list[tuple[Array, ...]]]:
    """For each layer the weights of its directions: W (gates * H x inputs), R (gates * H x H) and two biases."""
    rows, at, matrices = gates * hidden, 0, []
    for layer in range(layers):
        inputs = hidden * directions if layer else width
        for _ in range(directions):
            w, r = (flat[b : b + rows * n].reshape(rows, n) for b, n in ((at, inputs), (at + rows * inputs, hidden)))
            matrices.append((w, r))
            at += rows * (inputs + hidden)
    biases = flat[at:].reshape(len(matrices), 2, rows)
    for layer in range(layers):
        cells = range(layer * directions, (layer + 1) * directions)
        yield [(*matrices[i], *biases[i]) for i in cells]


def _fill(cell: Any, w: Array, r: Array, b: Array) -> Any:
    """Put weights into a cell of the layer library, whose matrices stand the other way round."""
    for target, numbers in ((cell.W, w.T), (cell.H, r.T), (cell.b, b)):
        target.resolve_shape(numbers.shape)
        target.value = np.ascontiguousarray(numbers)
    return cell


def _lstm(hidden: int, w: Array, r: Array, b: Array, b2: Array) -> Any:
    order = np.concatenate([np.arange(hidden) + gate * hidden for gate in (0, 2, 1, 3)])  # i f g o -> i g f o
    return _fill(LSTM(hidden), w[order], r[order], (b + b2)[order])


def _plain(activation: Callable[..., Any]) -> Callable[..., Any]:
    def cell(hidden: int, w: Array, r: Array, b: Array, b2: Array) -> Any:
        return _fill(RNNStep(hidden, activation=activation), w, r, b + b2)

    return cell


def _gru(hidden: int, w: Array, r: Array, b: Array, b2: Array) -> Any:
    """A cell as cuDNN has it: the reset gate is applied behind the recurrent product, so its bias stays apart."""
    names = {"W": w.T, "R": r.T, "b": b, "b2": b2}
    p = {k: parameter(init=np.ascontiguousarray(v), name=k) for k, v in names.items()}

    def step(before: Any, x: Any) -> Any:
        forward, back = plus(times(x, p["W"]), p["b"]), plus(times(before, p["R"]), p["b2"])
        (rx, zx, nx), (rh, zh, nh) = (
            [part(v, 0, k * hidden, (k + 1) * hidden) for k in range(3)] for v in (forward, back)
        )
        reset, update = sigmoid(plus(rx, rh)), sigmoid(plus(zx, zh))
        new = tanh(plus(nx, element_times(reset, nh)))
        return plus(element_times(minus(1, update), new), element_times(update, before))

    return step


_CELLS: dict[str, Callable[..., Any]] = {"lstm": _lstm, "gru": _gru, "rnnReLU": _plain(relu), "rnnTanh": _plain(tanh)}
