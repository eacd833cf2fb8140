"""Operators on sequences."""

from __future__ import annotations

from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.errors import SignatureError
from cntk_lab.graph.variable import Variable
from cntk_lab.ops._recurrence import future_value, past_value
from cntk_lab.ops._structure import input_variable as _input_variable
from cntk_lab.ops.sequence._reduce import broadcast_as, delay, reduce_max, reduce_sum, softmax, unpack
from cntk_lab.ops.sequence._select import first, gather, is_first, is_last, last, scatter, slice, where

__all__ = [
    "broadcast_as",
    "delay",
    "first",
    "future_value",
    "gather",
    "input",
    "input_variable",
    "is_first",
    "is_last",
    "last",
    "past_value",
    "reduce_max",
    "reduce_sum",
    "scatter",
    "slice",
    "softmax",
    "unpack",
    "where",
]


def input_variable(
    shape: Any,
    dtype: Any = None,
    needs_gradient: bool = False,
    is_sparse: bool = False,
    sequence_axis: Axis | None = None,
    name: str = "",
) -> Variable:
    """A variable that sequences are fed to.

    Args:
        shape: static shape of one frame.
        dtype: element type; default from ``default_options`` or float32.
        needs_gradient: whether gradients with respect to it may be asked for.
        is_sparse: whether data are sparse rows.
        sequence_axis: the sequence axis; default the default one.
        name: name by which data can be given.

    Example:
        >>> print(input_variable(3, name="words"))
        Input('words', [#, *], [3])

    Source: CNTK 2.7 ``ops.sequence.input_variable``.
    """
    if sequence_axis is not None and not isinstance(sequence_axis, Axis):
        raise SignatureError(
            f"sequence.input_variable: the sequence axis is {sequence_axis!r:.60}", fix="make one: Axis('words')"
        )
    axes = (Axis.default_batch_axis(), sequence_axis or Axis.default_dynamic_axis())
    return _input_variable(shape, dtype, needs_gradient, is_sparse, axes, name)


input = input_variable
