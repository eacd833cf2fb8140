"""Recurrent stack: layers of LSTM, GRU or plain recurrences with all weights in one parameter, as cuDNN holds them.

Built from ordinary operators, so it runs and trains on every device. Must not know layers. Source: CNTK 2.7
``ops.optimized_rnnstack`` (whose weights these are); cuDNN's equations of the cells; Hochreiter and Schmidhuber (1997);
Cho et al. (2014).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cntk_lab.errors import AttributeValueError, ShapeError
from cntk_lab.graph.declare import as_flow, as_operands, composite
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, Sample
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.variable import Variable
from cntk_lab.ops._activations import relu, sigmoid, tanh
from cntk_lab.ops._arithmetic import element_times, minus, plus
from cntk_lab.ops._parts import slice as part
from cntk_lab.ops._parts import splice
from cntk_lab.ops._products import times_transpose
from cntk_lab.ops._recurrence import future_value, past_value
from cntk_lab.ops._shaping import reshape
from cntk_lab.ops._structure import placeholder
from cntk_lab.tensor.shape import INFERRED, size, text

__all__ = ["optimized_rnnstack"]

_GATES = {"lstm": 4, "gru": 3, "rnnReLU": 1, "rnnTanh": 1}
"""Cell -> how many vectors of the hidden size it computes in each step."""


def weight_count(inputs: int, hidden: int, layers: int, gates: int, *, both: bool) -> int:
    """Number of weights and biases of a stack.

    Example:
        >>> weight_count(2, 4, 1, 4, both=False), weight_count(2, 4, 2, 4, both=True)
        (128, 704)
    """
    total, width = 0, inputs
    for _ in range(layers):
        total += (1 + both) * gates * hidden * (width + hidden + 2)
        width = hidden * (1 + both)
    return total


class _Weights:
    """Deals out the pieces of the flat weights, in the order in which they lie there."""

    def __init__(self, weights: Any, total: int) -> None:
        self.flat, self.at = reshape(weights, (total,)), 0

    def take(self, *shape: int) -> Any:
        """The next piece, under a shape."""
        begin = self.at
        self.at += size(shape)
        piece = part(self.flat, 0, begin, self.at)
        return piece if len(shape) == 1 else reshape(piece, shape)


def _lstm(x: Any, recur: Callable[[Any], Any], r: Any, b: Any, b2: Any, h: int) -> Any:
    hidden, cell = placeholder(), placeholder()
    gates = plus(plus(x, times_transpose(recur(hidden), r)), plus(b, b2))
    i, f, g, o = (part(gates, 0, k * h, (k + 1) * h) for k in range(4))
    new_cell = plus(element_times(sigmoid(f), recur(cell)), element_times(sigmoid(i), tanh(g)))
    out = element_times(sigmoid(o), tanh(new_cell))
    return out.replace_placeholders({hidden: out.output, cell: new_cell.output})


def _gru(x: Any, recur: Callable[[Any], Any], r: Any, b: Any, b2: Any, h: int) -> Any:
    hidden = placeholder()
    before = recur(hidden)
    forward, back = plus(x, b), plus(times_transpose(before, r), b2)
    (rx, zx, nx), (rh, zh, nh) = ([part(v, 0, k * h, (k + 1) * h) for k in range(3)] for v in (forward, back))
    reset, update = sigmoid(plus(rx, rh)), sigmoid(plus(zx, zh))
    new = tanh(plus(nx, element_times(reset, nh)))
    out = plus(element_times(minus(1, update), new), element_times(update, before))
    return out.replace_placeholders({hidden: out.output})


def _plain(activation: Callable[..., Any]) -> Callable[..., Any]:
    def cell(x: Any, recur: Callable[[Any], Any], r: Any, b: Any, b2: Any, h: int) -> Any:  # noqa: ARG001
        hidden = placeholder()
        out = activation(plus(plus(x, times_transpose(recur(hidden), r)), plus(b, b2)))
        return out.replace_placeholders({hidden: out.output})

    return cell


_CELLS: dict[str, Callable[..., Any]] = {"lstm": _lstm, "gru": _gru, "rnnReLU": _plain(relu), "rnnTanh": _plain(tanh)}


@composite(
    cntk=CntkRule(
        "OptimizedRNNStack",
        id=49,
        block="OptimizedRNNStack",
        attributes={
            "hidden_size": "hiddenSize",
            "num_layers": "numLayers",
            "bidirectional": "bidirectional",
            "recurrent_op": "recurrentOp",
        },
    ),
    operands=("operand", "weights"),
    samples=(
        Sample(((2,), (64, 2)), {"hidden_size": 4, "num_layers": 1, "recurrent_op": "lstm"}, parameters=(1,)),
        Sample(((2,), (24, 4)), {"hidden_size": 4, "num_layers": 1, "recurrent_op": "gru"}, parameters=(1,)),
    ),
)
def _optimized_rnnstack(
    operand: Operand,
    weights: Operand,
    hidden_size: int = 1,
    num_layers: int = 1,
    bidirectional: bool = False,
    recurrent_op: str = "lstm",
    name: str = "",  # noqa: ARG001  (names the block)
) -> Function:
    """See :func:`optimized_rnnstack`."""
    gates, cell, directions = _GATES[recurrent_op], _CELLS[recurrent_op], 1 + bidirectional
    width = as_flow("optimized_rnnstack", operand).shape[0]
    total = weight_count(width, hidden_size, num_layers, gates, both=bidirectional)
    source = _Weights(weights, total)
    pieces = []
    for _ in range(num_layers):
        pieces.append(
            [
                (source.take(gates * hidden_size, width), source.take(gates * hidden_size, hidden_size))
                for _ in range(directions)
            ]
        )
        width = hidden_size * directions
    biases = [
        [(source.take(gates * hidden_size), source.take(gates * hidden_size)) for _ in range(directions)]
        for _ in range(num_layers)
    ]
    x: Any = operand
    for layer, bias in zip(pieces, biases, strict=True):
        outs = [
            cell(times_transpose(x, w), recur, r, b, b2, hidden_size)
            for (w, r), (b, b2), recur in zip(layer, bias, (past_value, future_value), strict=False)
        ]
        x = outs[0] if len(outs) == 1 else splice(*outs, axis=0)
    return x  # type: ignore[no-any-return]


def optimized_rnnstack(
    operand: Operand,
    weights: Operand,
    hidden_size: int,
    num_layers: int,
    bidirectional: bool = False,
    recurrent_op: str = "lstm",
    name: str = "",
) -> Function:
    """Layers of recurrent cells one above the other; all weights lie in one parameter.

    The weights, row by row: for each layer and direction the input weights (gates * H x inputs) and the recurrent
    weights (gates * H x H), then for each layer and direction two biases (gates * H). Gates are i, f, g, o (lstm) or
    r, z, n (gru).

    Args:
        operand: vectors along a sequence axis.
        weights: parameter with all weights; a matrix with an inferred dimension gets H columns, as in CNTK.
        hidden_size: number H of hidden units of each layer and direction.
        num_layers: number of layers.
        bidirectional: whether each layer also runs backward in time; its results are laid end to end.
        recurrent_op: ``lstm``, ``gru``, ``rnnReLU`` or ``rnnTanh``.

    Returns:
        Function of H (or 2 * H) numbers for each frame.

    Raises:
        AttributeValueError: for another cell.
        ShapeError: if the operand is no vector, or the weights are of another number.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(2)
        >>> W = C.parameter((C.InferredDimension, 4), init=0.1)
        >>> C.optimized_rnnstack(x, W, hidden_size=4, num_layers=1).shape, W.shape
        ((4,), (32, 4))

    Source: CNTK 2.7 ``ops.optimized_rnnstack``.
    """
    if recurrent_op not in _GATES:
        raise AttributeValueError(
            f"optimized_rnnstack: there is no cell {recurrent_op!r}", fix=f"cells are {', '.join(_GATES)}"
        )
    if hidden_size < 1 or num_layers < 1:
        raise AttributeValueError(
            f"optimized_rnnstack: hidden_size {hidden_size} and num_layers {num_layers} must be 1 or more"
        )
    x, w = as_operands(_optimized_rnnstack.op, [operand, weights])  # type: ignore[attr-defined]
    _fit(x, w, hidden_size, num_layers, recurrent_op, both=bidirectional)
    return _optimized_rnnstack(x, w, hidden_size, num_layers, bidirectional, recurrent_op, name)


def _fit(x: Variable, w: Variable, hidden: int, layers: int, cell: str, *, both: bool) -> None:
    """Check the number of weights against the operand, and fill in what is inferred."""
    if x.type.shape is None or w.type.shape is None:
        return
    if len(x.type.shape) != 1:
        raise ShapeError(
            f"optimized_rnnstack: the operand {text(x.type.shape)} is not a vector", fix="flatten it first"
        )
    total = weight_count(x.type.shape[0], hidden, layers, _GATES[cell], both=both)
    dims = w.type.shape
    rest = size(tuple(d for d in dims if d != INFERRED))
    if INFERRED in dims and len(dims) == 2:
        w.resolve_shape((total // hidden, hidden))  # type: ignore[attr-defined]  # so CNTK, whatever its columns
    elif INFERRED in dims and total % rest == 0:
        w.resolve_shape(tuple(total // rest if d == INFERRED else d for d in dims))  # type: ignore[attr-defined]
    elif INFERRED in dims or rest != total:
        raise ShapeError(
            f"optimized_rnnstack: the weights {text(dims)} do not hold {total} numbers",
            fix=f"give {total} numbers, or let the first dimension be inferred",
        )
