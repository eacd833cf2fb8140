"""Converters of arguments that programs took from CNTK's internals: shapes, axes, element types, data.

Each says in this package's terms what CNTK's helper of that name said. Nothing inside the package uses them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab.axis import Axis
from cntk_lab.errors import AttributeValueError, AxisError, DataError, DTypeError, SignatureError
from cntk_lab.graph.compose import combine
from cntk_lab.graph.function import Function
from cntk_lab.graph.variable import Constant, Variable
from cntk_lab.ops import reshape as reshape_operand
from cntk_lab.tensor import dtype as dtypes
from cntk_lab.tensor.arrays import NDArrayView
from cntk_lab.tensor.value import Value

__all__ = [
    "bounded_cache", "data_type_to_dtype", "is_byte_buffer", "is_string", "sanitize_2d_number",
    "sanitize_Function_attributes", "sanitize_axis", "sanitize_axis_list", "sanitize_batch",
    "sanitize_convolution_args", "sanitize_dtype_cntk", "sanitize_dtype_numpy", "sanitize_dynamic_axes",
    "sanitize_function", "sanitize_input", "sanitize_multi_axis_reduction_list", "sanitize_permutation",
    "sanitize_pooling_args", "sanitize_precision", "sanitize_random_args", "sanitize_range", "sanitize_shape",
    "sanitize_value", "sanitize_var_map", "sanitize_variable_or_function", "sanitize_variable_value_dict",
    "sanitize_variables_or_functions",
]  # fmt: skip


def _as_tuple(x: Any) -> tuple[Any, ...]:
    """A number or text as a tuple of one, anything else that can be walked as a tuple."""
    return (x,) if isinstance(x, (int, float, str)) else tuple(x)


def is_string(s: object) -> bool:
    """Whether this is text."""
    return isinstance(s, str)


def is_byte_buffer(s: object) -> bool:
    """Whether this is a string of bytes."""
    return isinstance(s, (bytes, bytearray))


def data_type_to_dtype(data_type: int) -> type[Any]:
    """The NumPy type of a CNTK element type number.

    Raises:
        DTypeError: if there is no such number.
    """
    if data_type == 0:
        return object
    for name, number in dtypes.CNTK_NUMBER.items():
        if number == data_type:
            return np.dtype(name).type
    raise DTypeError(f"data_type {data_type} is not supported", fix="1 float32, 2 float64, 4 float16, 5 int8, 6 int16")


def sanitize_dtype_numpy(dtype: Any) -> type[Any]:
    """The NumPy type of an element type in any spelling; Python's ``float`` is 64 bits wide, the word "float" 32."""
    if dtype is float:
        return np.float64
    if dtype is None:
        raise DTypeError('data type "None" is not supported', fix="give numpy.float32 or numpy.float64")
    return np.dtype(dtypes.name_of(dtype)).type


def sanitize_dtype_cntk(dtype: Any) -> int:
    """CNTK's number of an element type in any spelling; 0 for None."""
    if dtype is None:
        return 0
    if isinstance(dtype, int) and not isinstance(dtype, bool) and dtype in dtypes.CNTK_NUMBER.values():
        return dtype
    return dtypes.CNTK_NUMBER[sanitize_dtype_numpy(dtype).__name__]


def sanitize_precision(precision: Any) -> type[Any]:
    """The NumPy type of "float", "double" or "float16"."""
    if precision is None:
        raise DTypeError('precision value: "None" is not supported', fix='give "float" or "double"')
    return sanitize_dtype_numpy(precision)


def sanitize_shape(shape: Any) -> tuple[Any, ...]:
    """A number or sequence of numbers as a tuple."""
    return _as_tuple(shape)


def sanitize_range(x: Any) -> range:
    """A number as the range up to it; a range as it is."""
    if isinstance(x, range):
        return x
    if isinstance(x, (int, np.integer)):
        return range(int(x))
    raise AttributeValueError(f"expected a number or a range, got {x!r}")


def sanitize_2d_number(x: Any) -> tuple[Any, Any]:
    """A number as a pair of it; a pair as it is."""
    if isinstance(x, (tuple, list)) and len(x) == 2:
        return (x[0], x[1])
    if isinstance(x, (int, float)):
        return (x, x)
    raise AttributeValueError(f"expected a number or a tuple of two numbers, got {x!r}")


def sanitize_axis(axis: Any) -> Axis:
    """An axis given by position (Python order), as :class:`Axis` or as None (all static axes)."""
    if axis is None:
        return Axis.all_static_axes()
    if isinstance(axis, Axis):
        return axis
    if isinstance(axis, (int, np.integer)):
        return Axis(int(axis))
    raise AxisError(f"{axis!r} is no axis", fix="give a position or an Axis")


def sanitize_axis_list(axes: Any) -> list[Axis]:
    """One or several axes as a list of :class:`Axis`."""
    return [sanitize_axis(a) for a in (axes if isinstance(axes, (list, tuple)) else [axes])]


sanitize_multi_axis_reduction_list = sanitize_axis_list


def sanitize_dynamic_axes(axes: Any) -> tuple[Axis, ...]:
    """Dynamic axes in the order of CNTK's files: the reverse of Python's."""
    items = (axes,) if isinstance(axes, Axis) else tuple(axes)
    for a in items:
        if not isinstance(a, Axis):
            raise SignatureError(f"type Axis expected, got {type(a).__name__} instead")
    return items[::-1]


def sanitize_permutation(perm: Sequence[int]) -> list[int]:
    """An order of axes, counted from the front.

    Raises:
        AxisError: if an axis appears twice or is out of range.
    """
    rank = len(perm)
    order = [p + rank if p < 0 else p for p in perm]
    if sorted(order) != list(range(rank)):
        raise AxisError(f"{tuple(perm)} is not a permutation of {rank} axes", fix="name each axis exactly once")
    return order


def sanitize_convolution_args(strides: Any, sharing: Any, auto_padding: Any) -> tuple[Any, Any, Any]:
    """Strides, sharing and padding as tuples in Python order."""
    return _as_tuple(strides), list(sharing), list(auto_padding)


def sanitize_pooling_args(pooling_window_shape: Any, strides: Any, auto_padding: Any) -> tuple[Any, Any, Any]:
    """Window, strides and padding as tuples in Python order."""
    return _as_tuple(pooling_window_shape), _as_tuple(strides), list(auto_padding)


def sanitize_random_args(shape: Any, dtype: Any) -> tuple[tuple[Any, ...], int]:
    """Shape and CNTK number of the element type for a random operator."""
    return sanitize_shape(shape), sanitize_dtype_cntk(dtype)


def sanitize_input(arg: Any, fallback_dtype: Any = np.float32, reshape: Any = None) -> Any:
    """A variable or Function as it is; numbers and arrays as a constant.

    Args:
        arg: operand.
        fallback_dtype: element type of the constant.
        reshape: shape to give the operand.
    """
    if isinstance(arg, (list, tuple)) and len(arg) == 1 and isinstance(arg[0], (Variable, Function)):
        arg = arg[0]
    if isinstance(arg, Function):
        result: Any = arg.output
    elif isinstance(arg, Variable):
        result = arg
    elif arg is None or isinstance(arg, (str, bytes)):
        raise DataError(f"{arg!r} cannot be an operand", fix="give a variable, a number or an array")
    else:
        result = Constant(np.asarray(arg), dtype=fallback_dtype)
    return result if reshape is None else reshape_operand(result, reshape)


def sanitize_function(arg: Any) -> Function:
    """A Function as it is; a variable as a Function that gives it."""
    if isinstance(arg, Variable):
        return combine([arg])
    if not isinstance(arg, Function):
        raise SignatureError(f"expected a Function, got {type(arg).__name__}")
    return arg


def sanitize_variable_or_function(arg: Any) -> Any:
    """A variable or Function as it is.

    Raises:
        SignatureError: if it is neither.
    """
    if not isinstance(arg, (Variable, Function)):
        raise SignatureError(f"expected a variable or a Function, got {type(arg).__name__}")
    return arg


def sanitize_variables_or_functions(arg: Any) -> list[Any]:
    """One or several variables or Functions as a list."""
    items = arg if isinstance(arg, (list, tuple, set)) else [arg]
    return [sanitize_variable_or_function(a) for a in items]


def sanitize_variable_value_dict(var_value_dict: Mapping[Any, Any]) -> dict[Any, Any]:
    """Variable -> value, with Functions replaced by their output."""
    return {(k.output if isinstance(k, Function) else k): v for k, v in var_value_dict.items()}


def sanitize_Function_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as a plain dictionary."""
    return dict(attributes)


def sanitize_value(shape: Any, value: Any, dtype: Any, device: Any) -> NDArrayView:
    """A number or array as an :class:`NDArrayView` of a shape."""
    array = np.asarray(value, sanitize_dtype_numpy(dtype))
    return NDArrayView.from_dense(
        np.array(array if shape is None else np.broadcast_to(array, _as_tuple(shape))), device
    )


def sanitize_batch(var: Variable, batch: Any, seq_starts: Sequence[bool] | None = None, device: Any = None) -> Value:
    """Data as the :class:`Value` of a variable.

    Args:
        var: the variable.
        batch: array, list of sequences, CSR matrix or Value.
        seq_starts: for each sequence whether it begins here.
        device: where the value lives.
    """
    if seq_starts is not None and isinstance(batch, Value):
        raise DataError(
            "for directly passed Value objects seq_starts has to be None", fix="pass arrays, or no seq_starts"
        )
    if isinstance(batch, Value):
        return batch
    if isinstance(batch, list) and any(isinstance(b, np.ndarray) and not b.flags.c_contiguous for b in batch):
        warnings.warn(
            "sanitize_batch: the data are not in C order and are copied: give arrays with flags.c_contiguous",
            RuntimeWarning,
            stacklevel=2,
        )
    return Value.create(var, batch, seq_starts, device)


def sanitize_var_map(
    op_arguments: Iterable[Variable],
    arguments: Any,
    precision: Any = None,  # noqa: ARG001
    device: Any = None,
    extract_values_from_minibatch_data: bool = True,  # noqa: ARG001
) -> dict[Variable, Value]:
    """Variable -> Value for the arguments of a function.

    Args:
        op_arguments: the function's arguments.
        arguments: dictionary variable (or name) -> data, or data alone for a single argument.
        precision: accepted for CNTK programs; the variables say it.
        device: where values live.
        extract_values_from_minibatch_data: accepted for CNTK programs.
    """
    variables = list(op_arguments)
    if arguments is None or (isinstance(arguments, dict) and not arguments and variables):
        raise DataError(f"function expects {len(variables)} arguments", fix="give {variable: data, ...}")
    if not isinstance(arguments, dict):
        if len(variables) != 1:
            raise DataError(
                f"function expects {len(variables)} arguments: data alone are not enough",
                fix="give {variable: data, ...}",
            )
        arguments = {variables[0]: arguments}
    by_name = {v.name: v for v in variables}
    result = {}
    for key, data in arguments.items():
        if isinstance(key, str) and key not in by_name:
            raise DataError(
                f'variable with name "{key}" does not exist in the network. Available variable names: '
                + ", ".join(by_name)
            )
        variable = by_name[key] if isinstance(key, str) else key
        result[variable] = sanitize_batch(
            variable, getattr(data, "data", data) if hasattr(data, "end_of_sweep") else data, device=device
        )
    return result


def bounded_cache(maxsize: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: results are kept for the last ``maxsize`` arguments."""
    from functools import lru_cache

    return lru_cache(maxsize=maxsize)
