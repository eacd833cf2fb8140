"""Element types: float16, float32, float64 and the integer types of data, and their names in CNTK and ONNX.

Inside the package an element type is its NumPy name (``"float32"``). Knows no arrays beyond their dtype.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from cntk_lab.errors import DTypeError

FLOATS = ("float16", "float32", "float64")
CNTK_NUMBER = {"float32": 1, "float64": 2, "float16": 4, "int8": 5, "int16": 6}
"""The numbers of CNTK 2.7's ``DataType`` enumeration."""
CNTK_NAME = {"float32": "Float", "float64": "Double", "float16": "Float16", "int8": "Int8", "int16": "Int16"}
ONNX_NUMBER = {"float32": 1, "float64": 11, "float16": 10, "int8": 3, "int16": 5, "int32": 6, "int64": 7, "bool": 9}
"""The numbers of ONNX' ``TensorProto.DataType``."""
_CONVERTIBLE = {"bool", "int8", "int16", "int32", "int64", *FLOATS}
_CONVERTIBLE_TYPES = {np.dtype(name) for name in _CONVERTIBLE}


def name_of(dtype: object) -> str:
    """The package's name for an element type given as NumPy type, Python type, name or CNTK number.

    Raises:
        DTypeError: if values of that type cannot be computed with.

    Example:
        >>> name_of(np.float32), name_of(float), name_of("double")
        ('float32', 'float64', 'float64')
    """
    if dtype is int:
        return "float32"  # whole numbers are computed with as real ones
    if isinstance(dtype, int):  # True is 1, as in Python and CNTK
        for name, number in CNTK_NUMBER.items():
            if number == dtype:
                return name
    if isinstance(dtype, str):
        dtype = {"float": "float32", "double": "float64"}.get(dtype.lower(), dtype.lower())
    try:
        given: Any = dtype
        name = np.dtype(given).name
    except TypeError:
        name = str(dtype)
    if name not in CNTK_NUMBER:
        raise DTypeError(
            f"element type {name} is not supported",
            fix="use numpy.float32, numpy.float64 or numpy.float16 (int8 and int16 for data only)",
        )
    return str(name)


@functools.cache
def as_numpy(name: str) -> np.dtype[Any]:
    """The NumPy type of one of the package's names for element types (NumPy keeps one object for each)."""
    return np.dtype(name)


def convertible(array_dtype: np.dtype[Any]) -> None:
    """Check that data of this NumPy type may be converted to a variable's element type.

    Raises:
        DTypeError: for unsigned integers, objects, text.
    """
    # the type itself first: NumPy puts its name together anew each time
    if array_dtype not in _CONVERTIBLE_TYPES and array_dtype.name not in _CONVERTIBLE:
        raise DTypeError(
            f"data of type {array_dtype.name} cannot be used: only integer, bool, float32, float64 and "
            "float16 are supported",
            fix="convert it, for example with data.astype(numpy.float32)",
        )
