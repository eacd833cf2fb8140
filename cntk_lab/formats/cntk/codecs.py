"""How single attributes lie in CNTK's files: axes, shapes, flags, numbers; and the records of the operator table.

Must not know operators. Files hold everything in CNTK's order, the reverse of Python's: axis k of a file is axis
-1-k in Python, for both signs. Source: attributes seen in files that CNTK 2.7 saved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cntk_lab.axis import Axis
from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk.description import DTYPES, shape_from_file, shape_to_file
from cntk_lab.formats.cntk.values import Dictionary, Float, NDShape, SizeT, StoredAxis, Value
from cntk_lab.tensor.dtype import CNTK_NUMBER, name_of
from cntk_lab.tensor.shape import UNKNOWN_SHAPE

_SPECIAL_AXES = {2147483646: Axis.all_static_axes, 2147483643: Axis.all_axes, 2147483644: Axis.end_static_axis}
_SPECIAL_CODES = {make().name: code for code, make in _SPECIAL_AXES.items()}


@dataclass(frozen=True, slots=True)
class Codec:
    """How one attribute's value lies in files: ``read`` to Python, ``write`` from Python (given the operand's rank)."""

    read: Callable[[Any], Any]
    write: Callable[[Any, int], Value]


def axis_from_file(axis: StoredAxis) -> int | Axis:
    """A stored axis in Python's terms: a number for a static one.

    Example:
        >>> axis_from_file(StoredAxis(0, "staticAxisIdx=0", True)), axis_from_file(StoredAxis(-1, "", True))
        (-1, 0)
    """
    if axis.position in _SPECIAL_AXES:
        return _SPECIAL_AXES[axis.position]()
    if axis.position == 2147483647:
        return Axis(axis.name, axis.ordered)
    return -1 - axis.position


def axis_to_file(axis: Any, rank: int) -> StoredAxis:
    """An axis as files hold it: static ones counted from the end.

    Example:
        >>> axis_to_file(0, 3), axis_to_file(-1, 3).position
        (StoredAxis(position=2, name='staticAxisIdx=2', ordered=True), 0)
    """
    if isinstance(axis, Axis):
        if axis.name in _SPECIAL_CODES:
            return StoredAxis(_SPECIAL_CODES[axis.name], axis.name, ordered=False)
        if axis.is_dynamic_axis:
            return StoredAxis(2147483647, axis.name, axis.is_ordered)
        axis = axis.static_axis_index()
    index = -1 - axis if axis < 0 else rank - 1 - axis
    return StoredAxis(index, f"staticAxisIdx={index}", ordered=True)


def user_axis(axis: Any) -> StoredAxis:
    """An axis as CNTK keeps it before it knows the operand: counted as the user did, with the other sign.

    Example:
        >>> user_axis(0).position, user_axis(-1).position
        (-1, 0)
    """
    if isinstance(axis, Axis) and not axis.is_static_axis:
        return axis_to_file(axis, 0)
    index = -1 - (axis.static_axis_index() if isinstance(axis, Axis) else int(axis))
    return StoredAxis(index, f"staticAxisIdx={index}", ordered=True)


def listed(value: Any) -> list[Any]:
    """The value as a list; a single one becomes a list of one."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _shape_given(shape: NDShape) -> tuple[int, ...]:
    """A stored shape as an attribute has it."""
    found = shape_from_file(shape)
    return UNKNOWN_SHAPE if found is None else found


SIZE = Codec(int, lambda v, _: SizeT(v))
INT = Codec(int, lambda v, _: int(v))
BOOL = Codec(bool, lambda v, _: bool(v))
REAL = Codec(float, lambda v, _: float(v))
SINGLE = Codec(float, lambda v, _: Float(v))
TEXT = Codec(str, lambda v, _: str(v))
AXIS = Codec(axis_from_file, axis_to_file)
NEW_AXIS = Codec(axis_from_file, lambda v, rank: axis_to_file(v, rank + 1))
SHAPE = Codec(_shape_given, lambda v, _: shape_to_file(tuple(listed(v))))
FLAGS = Codec(lambda v: list(reversed(v)), lambda v, _: [bool(f) for f in reversed(listed(v))])
SIZES = Codec(lambda v: [int(s) for s in v], lambda v, _: [SizeT(s) for s in v or ()])
REALS = Codec(lambda v: [float(s) for s in v], lambda v, _: [float(s) for s in v])
SINGLES = Codec(lambda v: [float(s) for s in v], lambda v, _: [Float(s) for s in v])
DTYPE = Codec(lambda v: np.dtype(DTYPES[v]).type, lambda v, _: int(CNTK_NUMBER[name_of(v)]))


@dataclass(frozen=True, slots=True)
class Use:
    """One use of an operator: its public name, positions of its operands in the file's list, and its attributes."""

    op: str
    order: tuple[int, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """One primitive function as files hold it: number, positions of its operands in our list, attributes."""

    number: int
    order: tuple[int, ...]
    attributes: Dictionary


def entry(attributes: Dictionary, key: str, codec: Codec, *missing: Any) -> Any:
    """One attribute out of a file.

    Raises:
        FormatError: if it is missing and there is no value for that, or is of another type.
    """
    if key not in attributes:
        if missing and missing[0] is not None:
            return missing[0]
        raise FormatError(
            f"the attribute {key!r} is missing", fix="the file was not written by CNTK: take another copy"
        )
    try:
        return codec.read(attributes[key])
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise FormatError(
            f"the attribute {key!r} is {attributes[key]!r:.60}", fix="take another copy of the file"
        ) from error


def refuse_explicit(attributes: Dictionary, key: str) -> None:
    """Explicit padding cannot be said with CNTK's Python operators; other front ends of CNTK could."""
    pads = attributes.get(key)
    if isinstance(pads, NDShape) and any(pads):
        raise FormatError(
            f"explicit padding ({key} = {tuple(pads)}) is not supported", fix="use a model with automatic padding"
        )


def vector(attributes: Dictionary, key: str) -> list[Any]:
    """One attribute that is a vector.

    Raises:
        FormatError: if it is something else.
    """
    value = attributes.get(key)
    if not isinstance(value, list):
        raise FormatError(f"the attribute {key!r} is {value!r:.60}, not a vector", fix="take another copy of the file")
    return value
