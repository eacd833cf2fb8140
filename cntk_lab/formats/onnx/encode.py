"""Records of an ONNX model -> bytes of the file, without the ``onnx`` package: the opposite of ``description``.

Must not know operators. The field numbers are those of ``description``'s table, so that the format is said once.
Source: ONNX's published IR specification and ``onnx.proto``; protobuf's description of its encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

from cntk_lab.formats._wire import BYTES, FIXED32, VARINT
from cntk_lab.formats.onnx.description import FIELDS
from cntk_lab.formats.onnx.records import (
    Attribute,
    Dimension,
    Graph,
    LocalFunction,
    Model,
    Node,
    SparseTensor,
    Tensor,
    Type,
    Value,
)

_NUMBERS: Final = {
    message: {kind.split()[0]: number for number, kind in fields.items()} for message, fields in FIELDS.items()
}
_FLOAT, _INT, _STRING, _TENSOR, _GRAPH, _FLOATS, _INTS, _STRINGS, _TENSORS, _GRAPHS, _SPARSE = range(1, 12)
_TYPE: Final = 13


def write(model: Model) -> bytes:
    """The bytes of an ONNX file that says what the records say.

    Args:
        model: the model.

    Returns:
        The whole file.

    Example:
        >>> from cntk_lab.formats.onnx import description
        >>> model = Model(8, Graph("g", ()), (("", 17),))
        >>> description.read(write(model)) == model
        True

    Source: ONNX IR specification, ``ModelProto``.
    """
    return b"".join([
        _number("Model", "ir_version", model.ir_version),
        *(_text("Model", field, text) for field, text in (
            ("producer_name", model.producer), ("producer_version", model.producer_version),
            ("domain", model.domain), ("doc_string", model.doc))),
        _number("Model", "model_version", model.version) if model.version else b"",
        _field("Model", "graph", _graph(model.graph)),
        *(_field("Model", "opset_import", _text("Opset", "domain", domain) + _number("Opset", "version", version))
          for domain, version in model.opsets),
        _entries("Model", "metadata_props", model.metadata),
        *(_field("Model", "functions", _function(f)) for f in model.functions),
    ])  # fmt: skip


def varint(value: int) -> bytes:
    r"""A number as protobuf writes it; negative ones as their 64 bits of two's complement.

    Example:
        >>> varint(300)
        b'\xac\x02'
    """
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _tag(message: str, field: str, wire: int) -> bytes:
    return varint(_NUMBERS[message][field] << 3 | wire)


def _number(message: str, field: str, value: int) -> bytes:
    return _tag(message, field, VARINT) + varint(value)


def _field(message: str, field: str, content: bytes | memoryview | bytearray) -> bytes:
    return b"".join((_tag(message, field, BYTES), varint(len(content)), content))


def _text(message: str, field: str, text: str) -> bytes:
    return _field(message, field, text.encode()) if text else b""


def _texts(message: str, field: str, texts: Iterable[str]) -> bytes:
    return b"".join(_field(message, field, t.encode()) for t in texts)  # "" stands for an input that is left out


def _run(message: str, field: str, numbers: Sequence[int]) -> bytes:
    return _field(message, field, b"".join(map(varint, numbers))) if numbers else b""


def _entries(message: str, field: str, entries: Iterable[tuple[str, str]]) -> bytes:
    return b"".join(
        _field(message, field, _text("Entry", "key", key) + _text("Entry", "value", value)) for key, value in entries
    )


def _graph(graph: Graph) -> bytes:
    return b"".join([
        *(_field("Graph", "node", _node(n)) for n in graph.nodes),
        _text("Graph", "name", graph.name),
        *(_field("Graph", "initializer", _tensor(t)) for t in graph.initializers),
        *(_field("Graph", "sparse_initializer", _sparse(t)) for t in graph.sparse_initializers),
        _text("Graph", "doc_string", graph.doc),
        *(_field("Graph", "input", _value(v)) for v in graph.inputs),
        *(_field("Graph", "output", _value(v)) for v in graph.outputs),
        *(_field("Graph", "value_info", _value(v)) for v in graph.values),
        _entries("Graph", "metadata_props", graph.metadata),
    ])  # fmt: skip


def _function(function: LocalFunction) -> bytes:
    return b"".join([
        _text("Function", "name", function.name),
        _texts("Function", "input", function.inputs),
        _texts("Function", "output", function.outputs),
        *(_field("Function", "node", _node(n)) for n in function.nodes),
        _text("Function", "doc_string", function.doc),
        _text("Function", "domain", function.domain),
        *(_field("Function", "value_info", _value(v)) for v in function.values),
        _text("Function", "overload", function.overload),
    ])  # fmt: skip


def _node(node: Node) -> bytes:
    return b"".join([
        _texts("Node", "input", node.inputs),
        _texts("Node", "output", node.outputs),
        _text("Node", "name", node.name),
        _text("Node", "op_type", node.op),
        *(_field("Node", "attribute", _attribute(a)) for a in node.attributes),
        _text("Node", "doc_string", node.doc),
        _text("Node", "domain", node.domain),
        _text("Node", "overload", node.overload),
        _entries("Node", "metadata_props", node.metadata),
    ])  # fmt: skip


def _attribute(attribute: Attribute) -> bytes:
    head = _text("Attribute", "name", attribute.name)
    if attribute.reference:
        return head + _text("Attribute", "ref_attr_name", attribute.reference)
    kind, content = _attribute_value(attribute.value)
    return head + content + _number("Attribute", "type", kind)


def _attribute_value(value: Any) -> tuple[int, bytes]:
    """Number of an attribute's type, and its field."""
    if isinstance(value, tuple):
        return _attribute_values(value)
    if isinstance(value, float):
        return _FLOAT, _tag("Attribute", "f", FIXED32) + struct.pack("<f", value)
    if isinstance(value, int):
        return _INT, _number("Attribute", "i", value)
    if isinstance(value, bytes):
        return _STRING, _field("Attribute", "s", value)
    if isinstance(value, Tensor):
        return _TENSOR, _field("Attribute", "t", _tensor(value))
    if isinstance(value, Graph):
        return _GRAPH, _field("Attribute", "g", _graph(value))
    if isinstance(value, SparseTensor):
        return _SPARSE, _field("Attribute", "sparse_tensor", _sparse(value))
    assert isinstance(value, Type), value
    return _TYPE, _field("Attribute", "tp", _type(value))


def _attribute_values(values: tuple[Any, ...]) -> tuple[int, bytes]:
    first = values[0] if values else 0
    if isinstance(first, float):
        return _FLOATS, _field("Attribute", "floats", struct.pack(f"<{len(values)}f", *values))
    if isinstance(first, int):
        return _INTS, _run("Attribute", "ints", values)
    if isinstance(first, bytes):
        return _STRINGS, b"".join(_field("Attribute", "strings", v) for v in values)
    if isinstance(first, Tensor):
        return _TENSORS, b"".join(_field("Attribute", "tensors", _tensor(v)) for v in values)
    assert isinstance(first, Graph), first
    return _GRAPHS, b"".join(_field("Attribute", "graphs", _graph(v)) for v in values)


def _tensor(tensor: Tensor) -> bytes:
    stored = b"" if tensor.stored is None else _field("Tensor", tensor.field, tensor.stored)
    external = b"" if tensor.external is None else (
        _entries("Tensor", "external_data", tensor.external) + _number("Tensor", "data_location", 1)
    )  # fmt: skip
    return b"".join([
        _run("Tensor", "dims", tensor.dims),
        _number("Tensor", "data_type", tensor.element),
        *(_field("Tensor", "string_data", text) for text in tensor.texts or ()),
        _text("Tensor", "name", tensor.name),
        stored,
        _text("Tensor", "doc_string", tensor.doc),
        external,
        _entries("Tensor", "metadata_props", tensor.metadata),
    ])  # fmt: skip


def _sparse(tensor: SparseTensor) -> bytes:
    return b"".join((
        _field("Sparse", "values", _tensor(tensor.values)),
        _field("Sparse", "indices", _tensor(tensor.indices)),
        _run("Sparse", "dims", tensor.dims),
    ))  # fmt: skip


def _value(value: Value) -> bytes:
    type_ = b"" if value.type is None else _field("Value", "type", _type(value.type))
    return _text("Value", "name", value.name) + type_ + _text("Value", "doc_string", value.doc)


def _type(type_: Type) -> bytes:
    if type_.kind in ("tensor", "sparse tensor"):
        content = _number("TensorType", "elem_type", type_.element)
        if type_.dims is not None:
            content += _field("TensorType", "shape", b"".join(map(_dimension, type_.dims)))
        return _field("Type", f"{type_.kind.replace(' ', '_')}_type", content)
    inner = b"" if type_.inner is None else _type(type_.inner)
    if type_.kind in ("sequence", "optional"):
        return _field("Type", f"{type_.kind}_type", _field("InnerType", "elem_type", inner))
    if type_.kind == "map":
        content = _number("MapType", "key_type", type_.element) + _field("MapType", "value_type", inner)
        return _field("Type", "map_type", content)
    return _field("Type", "opaque_type", b"")


def _dimension(dimension: Dimension) -> bytes:
    content = b""
    if isinstance(dimension, str):
        content = _text("Dimension", "dim_param", dimension)
    elif dimension is not None:
        content = _number("Dimension", "dim_value", dimension)
    return _field("Shape", "dim", content)
