"""Operators on sequences."""

from __future__ import annotations

from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.graph.variable import Variable
from cntk_lab.ops._recurrence import future_value, past_value
from cntk_lab.ops._structure import input_variable as _input_variable

__all__ = ["future_value", "input", "input_variable", "past_value"]


def input_variable(
    shape: Any, dtype: Any = None, needs_gradient: bool = False, is_sparse: bool = False,  # noqa: FBT001, FBT002  (CNTK's signature)
    sequence_axis: Axis | None = None, name: str = "",
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
    axes = (Axis.default_batch_axis(), sequence_axis or Axis.default_dynamic_axis())
    return _input_variable(shape, dtype, needs_gradient, is_sparse, axes, name)


input = input_variable  # noqa: A001  (CNTK's name)
