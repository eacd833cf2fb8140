"""The types that CNTK's dictionaries hold, as Python values, and the wire schema that both directions follow.

Must not know how bytes are read or written (that is ``_decode`` and ``_encode``), nor what entries mean. Source: CNTK
2.7's protobuf schema (package ``CNTK.proto``), checked on files that CNTK 2.7 wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from cntk_lab.formats._wire import BYTES, FIXED32, FIXED64, VARINT

FORMAT_VERSION = 2
MAGIC = 0x636E746B
SPLIT_AT = 2**31 - 1
"""Bytes from which on the arrays are stored behind the message."""
NESTING = 100
"""Deepest nesting of messages that CNTK's own reader accepts (measured: 24 dictionaries and a vector; map entries
count twice)."""


class SizeT(int):
    """An unsigned 64-bit number, CNTK's type for sizes, counts and kinds."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"SizeT({int(self)})"

    def __str__(self) -> str:
        return str(int(self))


class Boxed:
    """A value in a box, as programs make with ``DictionaryValue``; files hold what is in it."""

    __slots__ = ("value",)

    def __init__(self, value: Any = None) -> None:
        self.value = value


class Float(float):
    """A 32-bit floating point number (a plain ``float`` is CNTK's Double)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Float({float(self)!r})"


class NDShape(tuple[int, ...]):
    """A shape in CNTK's order (first dimension runs fastest); unsigned 64-bit sizes, the largest ones are sentinels."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"NDShape{tuple(self)!r}"


class StoredAxis(NamedTuple):
    """An axis as files hold it: position in CNTK's order (or a code for dynamic and special axes), name, order."""

    position: int
    name: str
    ordered: bool


_Number: TypeAlias = "bool | int | SizeT | float | Float"
_Record: TypeAlias = "NDShape | StoredAxis | NDArray[Any]"
Value: TypeAlias = "_Number | str | _Record | list[Value] | tuple[Value, ...] | dict[str, Value] | Boxed | None"
Dictionary: TypeAlias = "dict[str, Value]"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may ask for. The defaults are far above any real model and keep a hostile file from filling the
    memory.

    Arrays need no limit of their own: their elements are in the file, so they are never larger than it.
    """

    values: int = 20_000_000
    """Entries of all dictionaries and vectors together."""
    nesting: int = NESTING
    """Messages inside each other."""
    rank: int = 64
    """Dimensions of a shape; NumPy allows no more."""


DEFAULT_LIMITS = Limits()

# value_type -> (field of the value, name, wire type): the enum and the oneof of message DictionaryValue
NONE, BOOL, INT, SIZE_T, FLOAT, DOUBLE, STRING, SHAPE, AXIS, VECTOR, DICTIONARY, ARRAY = range(12)
TYPE_NAMES = (
    "None", "Bool", "Int", "SizeT", "Float", "Double", "String",
    "NDShape", "Axis", "Vector", "Dictionary", "NDArrayView",
)  # fmt: skip
FIRST_FIELD = 2  # field number of a value = its type + 2

# message -> field number -> (name, wire type)
SCHEMA: dict[str, dict[int, tuple[str, int]]] = {
    "Dictionary": {1: ("version", VARINT), 2: ("data", BYTES)},
    "entry": {1: ("key", BYTES), 2: ("value", BYTES)},
    "DictionaryValue": {
        1: ("version", VARINT), 2: ("value_type", VARINT), 3: ("bool_value", VARINT), 4: ("int_value", VARINT),
        5: ("size_t_value", VARINT), 6: ("float_value", FIXED32), 7: ("double_value", FIXED64),
        8: ("string_value", BYTES), 9: ("nd_shape_value", BYTES), 10: ("axis_value", BYTES),
        11: ("vector_value", BYTES),
        12: ("dictionary_value", BYTES), 13: ("nd_array_view_value", BYTES),
    },
    "Vector": {1: ("value", BYTES)},
    "NDShape": {1: ("shape_dim", BYTES)},
    "Axis": {1: ("static_axis_idx", VARINT), 2: ("name", BYTES), 3: ("is_ordered_dynamic_axis", VARINT)},
    "NDArrayView": {
        1: ("data_type", VARINT), 2: ("storage_format", VARINT), 3: ("shape", BYTES), 4: ("float_values", BYTES),
        5: ("double_values", BYTES), 6: ("bytes_value", BYTES), 7: ("sint32_values", BYTES),
    },
    "values": {1: ("value", BYTES)},
}  # fmt: skip
REPEATED = frozenset({("Dictionary", 2), ("Vector", 1)})

# data_type -> (element type in memory, element type in the file, field of the values)
ELEMENTS: dict[int, tuple[str, str, int]] = {
    1: ("float32", "<f4", 4),
    2: ("float64", "<f8", 5),
    4: ("float16", "<f4", 4),
    5: ("int8", "|i1", 6),
    6: ("int16", "varint", 7),
}
DATA_TYPES = {name: code for code, (name, _, _) in ELEMENTS.items()}
TAIL_WIDTH = {"float32": 4, "float64": 8, "float16": 4}
"""Bytes of one element behind the message. A float16 takes four, of which the first two count (CNTK 2.7 writes it
so, measured)."""
