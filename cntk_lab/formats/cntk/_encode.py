"""Values -> bytes of a CNTK dictionary, streamed.

Must not know what entries mean. A message begins with its length, so the encoder works from the end to the
beginning: what lies behind is known when a length is written. Arrays stay where they are and are converted block by
block when the file is written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk.values import (
    ARRAY,
    AXIS,
    BOOL,
    DATA_TYPES,
    DICTIONARY,
    DOUBLE,
    ELEMENTS,
    FIRST_FIELD,
    FLOAT,
    FORMAT_VERSION,
    INT,
    MAGIC,
    NESTING,
    NONE,
    SHAPE,
    SIZE_T,
    SPLIT_AT,
    STRING,
    TAIL_WIDTH,
    VECTOR,
    Boxed,
    Dictionary,
    Float,
    NDShape,
    SizeT,
    StoredAxis,
    Value,
)

Piece: TypeAlias = "bytes | tuple[NDArray[Any], str]"
"""Bytes, or an array and the element type it is written in."""

BLOCK = 1 << 20
"""Elements of an array that are converted at a time."""


def file_pieces(dictionary: Dictionary, split_at: int = SPLIT_AT) -> list[Piece]:
    """The pieces of a dictionary's file, in order; arrays behind the message if it would be ``split_at`` bytes or
    more.
    """
    whole = Encoder(split=False)
    whole.dictionary(dictionary, 0)
    if whole.size < split_at:
        return whole.pieces[::-1]
    parted = Encoder(split=True)
    parted.dictionary(dictionary, 0)
    head = struct.pack("<II", MAGIC, parted.size)
    return [head, *parted.pieces[::-1], *((array, "tail") for array in parted.tail[::-1])]


def value_pieces(value: Value) -> list[Piece]:
    """The pieces of a file that holds one value alone."""
    encoder = Encoder(split=False)
    kind = encoder.payload(value, 0)
    encoder.number(2, kind)
    encoder.number(1, FORMAT_VERSION)
    return encoder.pieces[::-1]


def blocks(pieces: Iterable[Piece]) -> Iterator[bytes | memoryview]:
    """The bytes of pieces, arrays in blocks of bounded size."""
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        array, stored = piece
        flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
        for start in range(0, array.size, BLOCK):
            part = np.asarray(flat[start : start + BLOCK])
            yield _tail_bytes(part) if stored == "tail" else np.ascontiguousarray(part, dtype=stored).tobytes()


def _tail_bytes(part: NDArray[Any]) -> bytes:
    """Elements as they lie behind the message: little-endian, a float16 in the first two of four bytes."""
    if part.dtype.name != "float16":
        return np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<")).tobytes()
    wide = np.zeros((part.size, 2), "<f2")
    wide[:, 0] = part
    return wide.tobytes()


def varint(value: int) -> bytes:
    """An unsigned number of up to 64 bits, seven bits a byte, low ones first."""
    if value < 128:
        return bytes((value,))
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    result.append(value)
    return bytes(result)


class Encoder:
    """Writes from the end to the beginning; keeps the key it is at, for messages."""

    def __init__(self, *, split: bool) -> None:
        self.split = split
        self.pieces: list[Piece] = []
        self.tail: list[NDArray[Any]] = []
        self.size = 0
        self.path: list[str] = []

    def fail(self, what: str, fix: str) -> FormatError:
        keys = "".join(self.path).lstrip(".")
        return FormatError(what, f"dictionary entry {keys}" if keys else "dictionary", fix)

    def put(self, data: bytes) -> None:
        self.pieces.append(data)
        self.size += len(data)

    def number(self, field: int, value: int) -> None:
        self.put(bytes((field << 3,)) + varint(value & 0xFFFF_FFFF_FFFF_FFFF))

    def close(self, field: int, mark: int) -> None:
        """Put length and tag in front of what was written since ``mark``."""
        self.put(bytes((field << 3 | 2,)) + varint(self.size - mark))

    def text(self, field: int, text: str) -> None:
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self.fail(
                f"the text {text!r} cannot be written as UTF-8", "remove the lone surrogates from it"
            ) from error
        self.put(bytes((field << 3 | 2,)) + varint(len(data)) + data)

    def check_depth(self, depth: int) -> None:
        if depth > NESTING:
            raise self.fail(
                f"values are nested deeper than {NESTING} messages, more than CNTK can read",
                "put fewer dictionaries inside each other",
            )

    def dictionary(self, dictionary: Dictionary, depth: int) -> None:
        self.check_depth(depth)
        for key in reversed(dictionary):
            if not isinstance(key, str):
                raise self.fail(f"the key {key!r} is not a text", "use texts as keys")
            self.path.append(f".{key}")
            mark = self.size
            self.value(2, dictionary[key], depth + 3)
            self.path.pop()
            self.text(1, key)
            self.close(2, mark)
        self.number(1, FORMAT_VERSION)

    def value(self, field: int, value: Value, depth: int) -> None:
        self.check_depth(depth)
        mark = self.size
        kind = self.payload(value, depth)
        self.number(2, kind)
        self.number(1, FORMAT_VERSION)
        self.close(field, mark)

    def payload(self, value: Value, depth: int) -> int:
        """Write the value itself; gives its type."""
        mark = self.size
        if isinstance(value, Boxed):
            value = value.value
        if value is None:
            return NONE
        if isinstance(value, (bool, np.bool_)):
            self.number(BOOL + FIRST_FIELD, int(value))
            return BOOL
        if isinstance(value, (int, np.integer)):
            return self.integer(value)
        if isinstance(value, (float, np.floating)):
            return self.real(value)
        if isinstance(value, str):
            self.text(STRING + FIRST_FIELD, value)
            return STRING
        if isinstance(value, np.ndarray):
            self.array(value, depth + 1)
            kind = ARRAY
        elif isinstance(value, NDShape):
            self.shape(value, depth + 1)
            kind = SHAPE
        elif isinstance(value, StoredAxis):
            self.axis(value)
            kind = AXIS
        elif isinstance(value, dict):
            self.dictionary(value, depth + 1)
            kind = DICTIONARY
        elif isinstance(value, (list, tuple)):
            for index in range(len(value) - 1, -1, -1):
                self.path.append(f"[{index}]")
                self.value(1, value[index], depth + 2)
                self.path.pop()
            kind = VECTOR
        else:
            raise self.fail(
                f"a value of type {type(value).__name__} cannot be stored",
                "use None, numbers, texts, lists, dictionaries or NumPy arrays",
            )
        self.close(kind + FIRST_FIELD, mark)
        return kind

    def integer(self, value: int | np.integer[Any]) -> int:
        number = int(value)
        if isinstance(value, SizeT) or number >= 2**31:
            if not 0 <= number < 2**64:
                raise self.fail(f"{number} does not fit in 64 bits without sign", "use a number from 0 to 2**64 - 1")
            self.number(SIZE_T + FIRST_FIELD, number)
            return SIZE_T
        if number < -(2**31):
            raise self.fail(f"{number} does not fit in 32 bits", "use a number from -2**31 on, or a float")
        self.number(INT + FIRST_FIELD, number)
        return INT

    def real(self, value: float | np.floating[Any]) -> int:
        if isinstance(value, (Float, np.float32, np.float16)):
            self.put(bytes((FLOAT + FIRST_FIELD << 3 | 5,)) + struct.pack("<f", value))
            return FLOAT
        self.put(bytes((DOUBLE + FIRST_FIELD << 3 | 1,)) + struct.pack("<d", value))
        return DOUBLE

    def shape(self, shape: NDShape, depth: int) -> None:
        self.check_depth(depth)
        if any(not 0 <= size < 2**64 for size in shape):
            raise self.fail(
                f"the shape {tuple(shape)} has sizes that do not fit in 64 bits without sign",
                "use sizes from 0 to 2**64 - 1",
            )
        if shape:
            mark = self.size
            self.put(b"".join(varint(size) for size in shape))
            self.close(1, mark)

    def axis(self, axis: StoredAxis) -> None:
        if axis.ordered:
            self.number(3, 1)
        if axis.name:
            self.text(2, axis.name)
        if axis.position:
            self.number(1, axis.position)

    def array(self, array: NDArray[Any], depth: int) -> None:
        name = array.dtype.name
        code = DATA_TYPES.get(name)
        if code is None:
            raise self.fail(
                f"an array of {name} cannot be stored",
                f"convert it: array.astype('float32'); possible are {', '.join(DATA_TYPES)}",
            )
        _, stored, field = ELEMENTS[code]
        if self.split and name in TAIL_WIDTH and array.size:
            self.tail.append(array)
        else:
            mark = self.size
            if array.size:
                self.elements(array, stored)
                self.close(1, mark)
            self.close(field, mark)
        mark = self.size
        self.shape(NDShape(array.shape[::-1]), depth + 1)
        self.close(3, mark)
        self.number(1, code)

    def elements(self, array: NDArray[Any], stored: str) -> None:
        if stored == "varint":
            self.put(b"".join(varint(2 * v if v >= 0 else -2 * v - 1) for v in array.reshape(-1).tolist()))
            return
        self.pieces.append((array, stored))
        self.size += array.size * np.dtype(stored).itemsize
