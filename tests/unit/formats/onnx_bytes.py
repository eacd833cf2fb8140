"""ONNX files byte by byte, for tests: a few lines of protobuf, so that damage can be made on purpose.

A message is a list of (field number, value): int -> varint, float -> 32 bits, text and bytes -> length and content,
list -> message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import NDArray


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def message(fields: Iterable[tuple[int, Any]]) -> bytes:
    out = []
    for number, value in fields:
        if isinstance(value, int):
            out.append(varint(number << 3) + varint(value))
        elif isinstance(value, float):
            out.append(varint(number << 3 | 5) + struct.pack("<f", value))
        else:
            content = value.encode() if isinstance(value, str) else message(value) if isinstance(value, list) else value
            out.append(varint(number << 3 | 2) + varint(len(content)) + content)
    return b"".join(out)


def type_(element: int, *dims: int | str | None) -> list[tuple[int, Any]]:
    """A tensor type: sizes, names of sizes, or None for nothing known."""
    shape = [(1, [] if d is None else [(1 if isinstance(d, int) else 2, d)]) for d in dims]
    return [(1, [(1, element), (2, shape)])]


def value(name: str, element: int = 1, *dims: int | str | None) -> list[tuple[int, Any]]:
    return [(1, name), (2, type_(element, *dims))]


def tensor(name: str, array: NDArray[Any], element: int = 1) -> list[tuple[int, Any]]:
    return [*((1, n) for n in array.shape), (2, element), (8, name), (9, array.tobytes())]


def attribute(name: str, value: Any, reference: str = "") -> list[tuple[int, Any]]:
    """An attribute; a list is a graph."""
    if reference:
        return [(1, name), (20, 2), (21, reference)]
    kinds = {int: (3, 2), float: (2, 1), str: (4, 3), list: (6, 5)}
    if isinstance(value, tuple):
        return [(1, name), *((8, v) for v in value), (20, 7)]
    if isinstance(value, bytes):  # a tensor
        return [(1, name), (5, value), (20, 4)]
    field, kind = kinds[type(value)]
    return [(1, name), (field, value), (20, kind)]


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "", domain: str = "", **more: Any) -> Any:
    fields = [*((1, i) for i in inputs), *((2, o) for o in outputs), (3, name), (4, op)]
    metadata = more.pop("metadata", {})
    return [
        *fields, *((5, attribute(k, v)) for k, v in more.items()), *([(7, domain)] if domain else []),
        *((9, [(1, k), (2, v)]) for k, v in metadata.items()),
    ]  # fmt: skip


def graph(
    nodes: Iterable[Any], inputs: Iterable[Any] = (), outputs: Iterable[Any] = (), tensors: Iterable[Any] = (),
    values: Iterable[Any] = (), name: str = "g",
) -> list[tuple[int, Any]]:  # fmt: skip
    parts = ((1, nodes), (5, tensors), (11, inputs), (12, outputs), (13, values))
    return [(2, name), *((number, content) for number, contents in parts for content in contents)]


def function(name: str, inputs: Sequence[str], outputs: Sequence[str], nodes: Iterable[Any]) -> Any:
    return [(1, name), *((4, i) for i in inputs), *((5, o) for o in outputs), *((7, n) for n in nodes), (10, "local")]


def model(graph: Any, functions: Iterable[Any] = (), **more: Any) -> bytes:
    head = [(1, 8), (2, "tests"), (7, graph), (8, [(1, ""), (2, more.pop("opset", 17))])]
    return message([*head, *((25, f) for f in functions), *more.pop("fields", ())])
