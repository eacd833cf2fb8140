"""Bytes of a CNTK dictionary -> values, in one pass.

Must not know what entries mean. Everything is checked before it is believed: every length against the bytes that
are left before anything is allocated, every number against its type, nesting and count against :class:`Limits`.
What CNTK's writer never produces (unknown or repeated fields, two values at once) is damage and refused, with its
byte and its key.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab.formats._wire import Wire
from cntk_lab.formats.cntk.values import (
    AXIS,
    BOOL,
    DICTIONARY,
    DOUBLE,
    ELEMENTS,
    FIRST_FIELD,
    FLOAT,
    FORMAT_VERSION,
    INT,
    MAGIC,
    NONE,
    REPEATED,
    SCHEMA,
    SHAPE,
    SIZE_T,
    STRING,
    TAIL_WIDTH,
    TYPE_NAMES,
    VECTOR,
    Dictionary,
    Float,
    Limits,
    NDShape,
    SizeT,
    StoredAxis,
    Value,
)

DAMAGED = "the file is damaged, truncated or not a CNTK v2 file: take another copy of it"


class Decoder(Wire):
    """One pass over a file; keeps where it is, for messages."""

    schema, repeated, advice = SCHEMA, REPEATED, DAMAGED

    def __init__(self, data: memoryview, source: str, limits: Limits) -> None:
        super().__init__(data, source)
        self.limits = limits
        self.values = 0
        self.split = False
        self.stop = len(data)
        self.pending: list[NDArray[Any]] = []
        self.claimed = 0

    def file(self) -> Dictionary:
        data = self.data
        start, stop = 0, len(data)
        if stop >= 8 and int.from_bytes(data[:4], "little") == MAGIC:
            self.split = True
            start, stop = 8, 8 + int.from_bytes(data[4:8], "little")
            if stop > len(data):
                self.fail(4, f"the message should be {stop - 8} bytes long, but only {len(data) - 8} follow")
        self.stop = stop
        result = self.dictionary(start, stop, 0)
        if self.split:
            self.tail(stop)
        return result

    def tail(self, position: int) -> None:
        """Fill the arrays of a split file, in the order in which they were met."""
        have = len(self.data) - position
        if self.claimed != have:
            self.fail(position, f"the arrays need {self.claimed} bytes, but {have} follow the message")
        for array in self.pending:
            name, count = array.dtype.name, array.size
            if name == "float16":
                stored = np.frombuffer(self.data, "<f2", 2 * count, position)[::2]
            else:
                stored = np.frombuffer(self.data, np.dtype(name).newbyteorder("<"), count, position)
            array.reshape(-1)[:] = stored
            position += count * TAIL_WIDTH[name]

    def dictionary(self, position: int, stop: int, depth: int) -> Dictionary:
        self.check_depth(position, depth)
        result: Dictionary = {}
        for number, start, end in self.fields("Dictionary", position, stop):
            if number == 1:
                self.check_version(end, start)
                continue
            key, found, value_start, value_end = "", False, 0, 0
            for part, a, b in self.fields("entry", start, end):
                if part == 1:
                    key = self.text(a, b)
                else:
                    found, value_start, value_end = True, a, b
            if not found:
                self.fail(start, f"the entry {key!r} has no value")
            if key in result:
                self.fail(start, f"the key {key!r} appears twice")
            self.path.append(f".{key}")
            result[key] = self.value(value_start, value_end, depth + 3)
            self.path.pop()
        return result

    def check_depth(self, position: int, depth: int) -> None:
        if depth > self.limits.nesting:
            self.fail(position, f"values are nested deeper than {self.limits.nesting} messages")

    def check_version(self, position: int, version: int) -> None:
        if version > FORMAT_VERSION:
            self.fail(position, f"format version {version}; the newest there is (CNTK 2.7) is {FORMAT_VERSION}")

    def value(self, position: int, stop: int, depth: int) -> Value:
        self.check_depth(position, depth)
        self.values += 1
        if self.values > self.limits.values:
            self.fail(position, f"more than {self.limits.values} values")
        kind, field, a, b = NONE, 0, 0, 0
        for number, start, end in self.fields("DictionaryValue", position, stop):
            if number == 1:
                self.check_version(end, start)
            elif number == 2:
                if start >= len(TYPE_NAMES):
                    self.fail(end, f"there is no value type {start}")
                kind = start
            else:
                if field:
                    self.fail(position, "a value of two types at once")
                field, a, b = number, start, end
        if kind != NONE and field != kind + FIRST_FIELD:
            stored = f"holds a {TYPE_NAMES[field - FIRST_FIELD]}" if field else "holds nothing"
            self.fail(position, f"a value of type {TYPE_NAMES[kind]} {stored}")
        if kind == NONE:
            if field:
                self.fail(position, f"a {TYPE_NAMES[field - FIRST_FIELD]} without its type")
            return None
        return self.payload(kind, a, b, depth)

    def payload(self, kind: int, a: int, b: int, depth: int) -> Value:
        if kind == BOOL:
            if a > 1:
                self.fail(b, f"a Bool of {a}")
            return bool(a)
        if kind == INT:
            return self.int32(a, b)
        if kind == SIZE_T:
            return SizeT(a)
        if kind == FLOAT:
            return Float(struct.unpack("<f", self.data[a:b])[0])
        if kind == DOUBLE:
            return float(struct.unpack("<d", self.data[a:b])[0])
        if kind == STRING:
            return self.text(a, b)
        if kind == SHAPE:
            return self.shape(a, b, depth + 1)
        if kind == AXIS:
            return self.axis(a, b)
        if kind == VECTOR:
            result: list[Value] = []
            for _, start, end in self.fields("Vector", a, b):
                self.path.append(f"[{len(result)}]")
                result.append(self.value(start, end, depth + 2))
                self.path.pop()
            return result
        if kind == DICTIONARY:
            return self.dictionary(a, b, depth + 1)
        return self.array(a, b, depth + 1)

    def int32(self, value: int, position: int) -> int:
        signed = value - (1 << 64) if value >> 63 else value
        if not -(2**31) <= signed < 2**31:
            self.fail(position, f"an Int of more than 32 bits: {signed}")
        return signed

    def shape(self, position: int, stop: int, depth: int) -> NDShape:
        self.check_depth(position, depth)
        sizes: list[int] = []
        for _, start, end in self.fields("NDShape", position, stop):
            while start < end:
                size, start = self.varint(start, end)
                sizes.append(size)
                if len(sizes) > self.limits.rank:
                    self.fail(position, f"a shape of more than {self.limits.rank} dimensions")
        return NDShape(sizes)

    def axis(self, position: int, stop: int) -> StoredAxis:
        index, name, ordered = 0, "", False
        for number, a, b in self.fields("Axis", position, stop):
            if number == 1:
                index = self.int32(a, b)
            elif number == 2:
                name = self.text(a, b)
            else:
                ordered = bool(a)
        return StoredAxis(index, name, ordered)

    def array(self, position: int, stop: int, depth: int) -> NDArray[Any]:
        self.check_depth(position, depth)
        code, storage, shape, values = 0, 0, NDShape(), None
        for number, a, b in self.fields("NDArrayView", position, stop):
            if number == 1:
                code = a
            elif number == 2:
                storage = a
            elif number == 3:
                shape = self.shape(a, b, depth + 1)
            elif values is not None:
                self.fail(position, "an array with values of two types at once")
            else:
                values = (number, a, b)
        if code not in ELEMENTS:
            self.fail(position, f"there is no element type {code}")
        if storage != 0:
            self.fail(position, f"an array in storage format {storage}; CNTK writes dense ones (0) only")
        name, stored, field = ELEMENTS[code]
        if values is not None and values[0] != field:
            self.fail(position, f"an array of {name} with values in field {SCHEMA['NDArrayView'][values[0]][0]}")
        count = math.prod(shape)
        start, end = (0, 0) if values is None else self.packed(values[1], values[2])
        if start == end and count and self.split and name in TAIL_WIDTH:
            return self.postpone(position, shape, name, count)
        if stored == "varint":
            elements = self.zigzag(start, end, count)
        else:
            width = np.dtype(stored).itemsize
            if count * width != end - start:
                self.fail(
                    position, f"an array of shape {shape[::-1]} needs {count * width} bytes, but has {end - start}"
                )
            elements = np.frombuffer(self.data, stored, count, start)
        return np.array(elements, dtype=name).reshape(shape[::-1])

    def packed(self, start: int, stop: int) -> tuple[int, int]:
        """Where the elements of an array lie; CNTK writes them in one run."""
        place = start, start
        for _, a, b in self.fields("values", start, stop):
            place = a, b
        return place

    def postpone(self, position: int, shape: NDShape, name: str, count: int) -> NDArray[Any]:
        """An array whose elements come behind the message. Its size is checked before memory is taken."""
        size = count * TAIL_WIDTH[name]
        left = len(self.data) - self.stop - self.claimed
        if size > left:
            self.fail(
                position, f"an array of shape {shape[::-1]} needs {size} bytes, but {left} are left behind the message"
            )
        self.claimed += size
        array = np.empty(shape[::-1], dtype=name)
        self.pending.append(array)
        return array

    def zigzag(self, start: int, stop: int, count: int) -> NDArray[Any]:
        if count > stop - start:
            self.fail(start, f"{count} numbers cannot lie in {stop - start} bytes")
        result = np.empty(count, np.int16)
        for i in range(count):
            at = start
            value, start = self.varint(start, stop)
            signed = (value >> 1) ^ -(value & 1)
            if not -(2**15) <= signed < 2**15:
                self.fail(at, f"an int16 of {signed}")
            result[i] = signed
        if start != stop:
            self.fail(start, f"{stop - start} bytes more than {count} numbers need")
        return result
