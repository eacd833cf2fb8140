"""Operator overloads shared by variables and functions, and turning numbers and arrays into operands.

Which operator a symbol means is said by the operator's own declaration (``operator="__add__"``), not here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from cntk_lab.errors import DTypeError, LabError
from cntk_lab.tensor import dtype as dtypes

_symbols: dict[str, Callable[..., Any]] = {}


def bind_symbol(name: str, function: Callable[..., Any]) -> None:
    """Let a Python operator (``"__add__"``, ``"__getitem__"``) build this operator's node."""
    _symbols[name] = function


def symbol(name: str) -> Callable[..., Any]:
    """What a Python operator, or another act of a Function, means."""
    return _symbols[name]


class PicklingError(LabError, TypeError):
    """Variables and functions have no life outside their process."""


class Operable:
    """What variables and functions have in common: they can be operands of Python's operators."""

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        return _symbols["__add__"](self, other)

    def __radd__(self, other: Any) -> Any:
        return _symbols["__add__"](other, self)

    def __sub__(self, other: Any) -> Any:
        return _symbols["__sub__"](self, other)

    def __rsub__(self, other: Any) -> Any:
        return _symbols["__sub__"](other, self)

    def __mul__(self, other: Any) -> Any:
        return _symbols["__mul__"](self, other)

    def __rmul__(self, other: Any) -> Any:
        return _symbols["__mul__"](other, self)

    def __truediv__(self, other: Any) -> Any:
        return _symbols["__truediv__"](self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _symbols["__truediv__"](other, self)

    def __matmul__(self, other: Any) -> Any:
        return _symbols["__matmul__"](self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _symbols["__matmul__"](other, self)

    def __neg__(self) -> Any:
        return _symbols["__neg__"](self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return _symbols["__abs__"](self)

    def __getitem__(self, key: Any) -> Any:
        return _symbols["__getitem__"](self, key)

    def __copy__(self) -> Any:
        return self  # a graph is shared, not copied: clone() makes another one

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse, as CNTK does: a copy made from bytes would be a stranger in the graph it came from."""
        raise PicklingError(
            f"a {type(self).__name__} can be neither pickled nor deeply copied",
            str(self),
            "write functions with save() and read them with load(); copy them with clone()",
        )

    # NumPy arrays on the left must not try to broadcast over a variable
    __array_ufunc__ = None


Operand: TypeAlias = Operable | float | np.ndarray[Any, Any] | np.generic | Sequence[Any]
"""What an operator takes: a variable or function, a number, or numbers as an array or nested lists."""


def constant_array(value: Any, dtype: str | None, *, whole: bool = True) -> np.ndarray[Any, Any]:
    """A number, list or array as the array of a constant, cast to the other operands' element type.

    Args:
        value: the numbers.
        dtype: element type; None: that of an array of real numbers, else float32.
        whole: whether arrays of integers are taken; CNTK rejects them where arrays say the element type.

    Raises:
        DTypeError: for arrays of integers that are not taken, and for what is no number.
    """
    array = np.asarray(value)
    if isinstance(value, np.ndarray) and array.dtype.kind in "iub" and not whole:
        raise DTypeError(
            f"NumPy type {array.dtype.name!r} is not supported as an operand",
            fix=f"convert the array first: value.astype(numpy.{dtype or 'float32'})",
        )
    if array.dtype.kind in "OUS":
        raise DTypeError(f"a value of type {type(value).__name__} cannot be an operand: {str(value)[:60]!r}")
    if dtype is None:
        dtype = array.dtype.name if array.dtype.name in dtypes.FLOATS and isinstance(value, np.ndarray) else "float32"
    return array.astype(dtype)
