"""Layers of one matrix product: Dense and Embedding; and Label, which only names a value."""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.default_options import default_override_or, get_default_override, is_default_override
from cntk_lab.errors import AttributeValueError
from cntk_lab.graph.function import Function
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.signature import function_from
from cntk_lab.graph.variable import Constant, Parameter
from cntk_lab.initializer import glorot_uniform
from cntk_lab.layers.blocks import _INFERRED, _as_shape, _initializer_for, _rank_params, identity
from cntk_lab.ops import BlockFunction, alias, times

__all__ = ["Dense", "Embedding", "Label"]


def Dense(
    shape: Any,
    activation: Any = default_override_or(identity),
    init: Any = default_override_or(glorot_uniform()),
    input_rank: int | None = None,
    map_rank: int | None = None,
    bias: Any = default_override_or(True),
    init_bias: Any = default_override_or(0),
    name: str = "",
) -> Function:
    """A fully connected layer: ``activation(x W + b)``.

    All axes of the operand are summed over, unless ``input_rank`` or ``map_rank`` says otherwise.

    Args:
        shape: shape of the output (a number for a vector).
        activation: function of the sum.
        init: initializer of W.
        input_rank: how many last axes of the operand are summed over; the first ones are kept.
        map_rank: how many first axes of the operand are kept; the rest is summed over.
        bias: whether there is a bias.
        init_bias: initial bias.
        name: name of the layer.

    Returns:
        Function (kept axes x shape). Parameters: ``W`` (summed axes x shape), ``b`` (shape).

    Raises:
        AttributeValueError: if both ``input_rank`` and ``map_rank`` are given, or the shape has no axes.

    Example:
        >>> import cntk_lab as C
        >>> f = C.layers.Dense(4, activation=C.relu, name="h1")(C.input_variable(3))
        >>> f.shape, [(p.name, p.shape) for p in f.parameters]
        ((4,), [('W', (3, 4)), ('b', (4,))])

    Source: CNTK 2.7 ``layers.Dense``.
    """
    activation = get_default_override(Dense, activation=activation)
    init = get_default_override(Dense, init=init)
    bias = get_default_override(Dense, bias=bias)
    init_bias = get_default_override(Dense, init_bias=init_bias)
    output = _as_shape(shape)
    if input_rank is not None and map_rank is not None:
        raise AttributeValueError(
            f"Dense: both input_rank={input_rank} and map_rank={map_rank} are given",
            fix="input_rank counts summed axes from the end, map_rank kept axes from the front: give one",
        )
    if not output:
        raise AttributeValueError(
            "Dense: the output shape () has no axes", fix="give Dense(1) and reshape, or sum the operand"
        )
    summed = _INFERRED * (1 if input_rank is None else input_rank)
    to_map = -1 if input_rank is not None else 0 if map_rank is None else map_rank
    W = Parameter(summed + output, init=_initializer_for(init, _rank_params(output_rank=len(output))), name="W")
    b = Parameter(output, init=init_bias, name="b") if bias else None

    @BlockFunction("Dense", name)
    def dense(x: Operand) -> Any:
        r = times(x, W, output_rank=len(output), infer_input_rank_to_map=to_map)
        if b is not None:
            r = r + b
        return r if activation in (None, identity) else activation(r)

    return dense


def Embedding(
    shape: Any = None,
    init: Any = default_override_or(glorot_uniform()),
    weights: Any = None,
    name: str = "",
) -> Function:
    """A table of vectors: a one-hot operand picks one; any other operand gives a weighted sum of them.

    Args:
        shape: shape of one vector; learned.
        init: initializer of the table.
        weights: the table itself (words x dimensions), which is then not learned; instead of ``shape``.
        name: name of the layer.

    Returns:
        Function of the shape of one vector. Parameter or constant: ``E`` (words x shape).

    Raises:
        AttributeValueError: if neither or both of ``shape`` and ``weights`` are given, or ``init`` beside ``weights``.

    Example:
        >>> import cntk_lab as C
        >>> f = C.layers.Embedding(weights=[[1, 2], [3, 4]])
        >>> f(C.one_hot(C.constant(1), 2)).eval().tolist()
        [3.0, 4.0]

    Source: CNTK 2.7 ``layers.Embedding``.
    """
    if not is_default_override(init) and weights is not None:
        raise AttributeValueError(
            "Embedding: an initializer is given for weights that are given too", fix="leave init out"
        )
    if weights is None:
        if shape is None:
            raise AttributeValueError(
                "Embedding: neither the shape of a vector nor weights are given",
                fix="give Embedding(300), or weights=...",
            )
        init = get_default_override(Embedding, init=init)
        vector = _as_shape(shape)
        table: Any = Parameter(
            _INFERRED + vector, init=_initializer_for(init, _rank_params(output_rank=len(vector))), name="E"
        )
    else:
        if shape is not None:
            raise AttributeValueError(
                "Embedding: a shape is given for weights that have their own", fix="leave the shape out"
            )
        table = Constant(np.asarray(weights), name="E")
        vector = tuple(table.shape[1:])

    @BlockFunction("Embedding", name)
    def embed(x: Operand) -> Any:
        return times(x, table, output_rank=len(vector))

    return embed


def Label(name: str) -> Function:
    """A layer that gives its operand a name, by which it can be found.

    Args:
        name: the name.

    Returns:
        Function of the operand's shape.

    Example:
        >>> import cntk_lab as C
        >>> model = C.layers.Sequential([C.layers.Dense(3), C.layers.Label("hidden"), C.relu])(C.input_variable(2))
        >>> model.hidden.shape
        (3,)

    Source: CNTK 2.7 ``layers.Label``.
    """
    return function_from(_named_label(name))


def _named_label(name: str) -> Any:
    def label(x: Operand) -> Any:
        return alias(x, name=name)

    return label
