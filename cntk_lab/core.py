"""Values and arrays, under CNTK's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.device import DeviceKind, cpu, use_default_device
from cntk_lab.errors import DataError
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.arrays import NDArrayView
from cntk_lab.tensor.sparse import is_csr
from cntk_lab.tensor.value import Value

__all__ = ["DeviceKind", "NDArrayView", "Value", "asarray", "asvalue", "cpu", "use_default_device"]


def asarray(variable: Variable, value: Value) -> Any:
    """A Value as arrays: a list with one for each sequence, or one array if the variable has no sequence axis.

    Args:
        variable: the variable whose value it is.
        value: the value.

    Returns:
        NumPy array, CSR matrix, or a list of those.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> [a.tolist() for a in asarray(x, asvalue(x, [[[1], [2]], [[3]]]))]
        [[[1.0], [2.0]], [[3.0]]]

    Source: CNTK 2.7 ``core.asarray``.
    """
    return value.as_sequences(variable) if variable.has_sequence_axis() else value.asarray()


def asvalue(variable: Variable, data_array: Any) -> Value:
    """Arrays as the Value of a variable.

    Args:
        variable: the variable.
        data_array: array, or a list with one for each sequence.

    Returns:
        Value; one array is checked when the value is used.

    Raises:
        DataError: if a list does not fit the variable.

    Example:
        >>> import cntk_lab as C
        >>> asvalue(C.input_variable(2), np.ones((2, 2))).shape
        (2, 2)

    Source: CNTK 2.7 ``core.asvalue``.
    """
    if not isinstance(data_array, (list, tuple)):
        return Value(data_array)
    if not variable.dynamic_axes and not any(map(is_csr, data_array)):
        return Value(_one_array(data_array, variable))
    return Value.create(variable, data_array)


def _one_array(data: Any, variable: Variable) -> Any:
    try:
        array = np.asarray(data)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype == object:
        raise DataError(
            f"data for '{variable.name or variable.uid}', which has no dynamic axes, are ragged",
            fix="give one array, or a variable with a sequence axis",
        )
    return array


def __getattr__(name: str) -> Any:
    if name == "user_function":
        from cntk_lab import ops

        return getattr(ops, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
