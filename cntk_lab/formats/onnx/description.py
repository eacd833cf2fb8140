"""Bytes of an ONNX file -> records of what it says, in one pass and without the ``onnx`` package.

Must not know operators. Everything is checked before it is believed: lengths against the bytes that are left, sizes
of tensors against their dimensions, counts and nesting against :class:`Limits`. Fields that this reader does not know
are passed over, as newer versions of the format add some. Other files that a model names (external tensors) are
never opened. Source: ONNX's published IR specification and ``onnx.proto`` (field numbers; IR version 13).
"""

from __future__ import annotations

import math
import struct
from typing import Any, ClassVar, Final

from cntk_lab._foreign import HEAD, is_onnx, refuse
from cntk_lab.formats._wire import BYTES, FIXED32, FIXED64, VARINT, Schema, Wire
from cntk_lab.formats.onnx import tensors
from cntk_lab.formats.onnx.records import (
    DEFAULT_LIMITS,
    Attribute,
    AttributeValue,
    Dimension,
    Graph,
    Limits,
    LocalFunction,
    Model,
    Node,
    SparseTensor,
    Tensor,
    Type,
    Value,
)

ADVICE: Final = "the file is damaged, truncated or not an ONNX model: take another copy of it"

# Kinds of fields. A capital word is a message of that name; "[...]" marks fields that may come more than once.
_WIRE: Final = {
    "int": VARINT, "text": BYTES, "bytes": BYTES, "float": FIXED32,
    "ints": VARINT, "floats": FIXED32, "doubles": FIXED64,
}  # fmt: skip
_RUNS: Final = ("ints", "floats", "doubles")

FIELDS: Final[dict[str, dict[int, str]]] = {
    "Model": {
        1: "ir_version int", 2: "producer_name text", 3: "producer_version text", 4: "domain text",
        5: "model_version int", 6: "doc_string text", 7: "graph Graph", 8: "opset_import [Opset]",
        14: "metadata_props [Entry]", 20: "training_info [Opaque]", 25: "functions [Function]",
    },
    "Opset": {1: "domain text", 2: "version int"},
    "Entry": {1: "key text", 2: "value text"},
    "Graph": {
        1: "node [Node]", 2: "name text", 5: "initializer [Tensor]", 10: "doc_string text", 11: "input [Value]",
        12: "output [Value]", 13: "value_info [Value]", 15: "sparse_initializer [Sparse]",
        16: "metadata_props [Entry]",
    },
    "Node": {
        1: "input [text]", 2: "output [text]", 3: "name text", 4: "op_type text", 5: "attribute [Attribute]",
        6: "doc_string text", 7: "domain text", 8: "overload text", 9: "metadata_props [Entry]",
    },
    "Attribute": {
        1: "name text", 2: "f float", 3: "i int", 4: "s bytes", 5: "t Tensor", 6: "g Graph", 7: "floats floats",
        8: "ints ints", 9: "strings [bytes]", 10: "tensors [Tensor]", 11: "graphs [Graph]", 14: "tp Type",
        15: "type_protos [Type]", 20: "type int", 21: "ref_attr_name text", 22: "sparse_tensor Sparse",
        23: "sparse_tensors [Sparse]",
    },
    "Tensor": {
        1: "dims ints", 2: "data_type int", 4: "float_data floats", 5: "int32_data ints", 6: "string_data [bytes]",
        7: "int64_data ints", 8: "name text", 9: "raw_data bytes", 10: "double_data doubles", 11: "uint64_data ints",
        12: "doc_string text", 13: "external_data [Entry]", 14: "data_location int", 16: "metadata_props [Entry]",
    },
    "Sparse": {1: "values Tensor", 2: "indices Tensor", 3: "dims ints"},
    "Value": {1: "name text", 2: "type Type", 3: "doc_string text"},
    "Type": {
        1: "tensor_type TensorType", 4: "sequence_type InnerType", 5: "map_type MapType", 7: "opaque_type Opaque",
        8: "sparse_tensor_type TensorType", 9: "optional_type InnerType",
    },
    "TensorType": {1: "elem_type int", 2: "shape Shape"},
    "InnerType": {1: "elem_type Type"},
    "MapType": {1: "key_type int", 2: "value_type Type"},
    "Shape": {1: "dim [Dimension]"},
    "Dimension": {1: "dim_value int", 2: "dim_param text"},
    "Function": {
        1: "name text", 4: "input [text]", 5: "output [text]", 7: "node [Node]", 8: "doc_string text",
        10: "domain text", 12: "value_info [Value]", 13: "overload text",
    },
    "Opaque": {},
}  # fmt: skip

# attribute type -> field that holds it, and what stands for a field that is left out (zero, in protobuf)
_ATTRIBUTES: Final[dict[int, tuple[str, Any]]] = {
    1: ("f", 0.0), 2: ("i", 0), 3: ("s", b""), 4: ("t", None), 5: ("g", None), 6: ("floats", b""), 7: ("ints", b""),
    8: ("strings", ()), 9: ("tensors", ()), 10: ("graphs", ()), 11: ("sparse_tensor", None),
    12: ("sparse_tensors", ()), 13: ("tp", None), 14: ("type_protos", ()),
}  # fmt: skip
_VALUE_FIELDS: Final = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def read(data: bytes | bytearray | memoryview, source: str = "bytes", limits: Limits = DEFAULT_LIMITS) -> Model:
    r"""What an ONNX file says. Nothing in it is executed, and no other file is opened.

    Args:
        data: the whole file.
        source: its name, for messages.
        limits: what the file may ask for.

    Returns:
        The model; its tensors are views of ``data``, not copies.

    Raises:
        FormatError: if the file is damaged, or asks for more than the limits; says at which byte and in which part.

    Example:
        >>> read(b"\x08\x07\x3a\x03\x12\x01g").graph.name
        'g'

    Source: ONNX IR specification, ``ModelProto``.
    """
    refuse(bytes(data[:HEAD]), source, "ONNX model", is_onnx)
    return _Reader(memoryview(data).cast("B"), source, limits).model()


class _Reader(Wire):
    """One pass over a file."""

    schema: ClassVar[Schema] = {
        message: {n: (kind.split()[0], _WIRE.get(kind.split()[1].strip("[]"), BYTES)) for n, kind in fields.items()}
        for message, fields in FIELDS.items()
    }
    packable = frozenset((m, n) for m, fields in FIELDS.items() for n, k in fields.items() if k.endswith(_RUNS))
    repeated = packable | {(m, n) for m, fields in FIELDS.items() for n, k in fields.items() if k.endswith("]")}
    advice = ADVICE
    tolerant = True
    kinds: ClassVar = {
        message: {n: (kind.split()[1].strip("[]"), kind.endswith("]")) for n, kind in fields.items()}
        for message, fields in FIELDS.items()
    }

    def __init__(self, data: memoryview, source: str, limits: Limits) -> None:
        super().__init__(data, source)
        self.limits = limits
        self.messages = self.nodes = 0

    # ---- messages -> tables of their fields

    def message(self, kind: str, start: int, stop: int, depth: int) -> Any:
        """The record of a message, or its fields by name where there is none; "" is where it stands."""
        self.messages += 1
        if depth > self.limits.nesting:
            self.fail(start, f"messages are nested deeper than {self.limits.nesting}")
        if self.messages > self.limits.messages:
            self.fail(start, f"more than {self.limits.messages:,} messages")
        if kind == "Node":
            self.nodes += 1
            if self.nodes > self.limits.nodes:
                self.fail(start, f"more than {self.limits.nodes:,} nodes")
        result: dict[str, Any] = {"": start}
        kinds, schema = self.kinds[kind], self.schema[kind]
        for number, a, b in self.fields(kind, start, stop):
            what, many = kinds[number]
            name = schema[number][0]
            value: Any
            if what == "text":
                value = self.text(a, b)
            elif what == "int":
                value = a - (1 << 64) if a >> 63 else a
            elif what == "bytes":
                value = self.data[a:b]
            elif what == "float":
                (value,) = struct.unpack_from("<f", self.data, a)
            elif what in _RUNS:
                if what != "ints" and (b - a) % (4 if what == "floats" else 8):
                    self.fail(a, f"{b - a} bytes of {what} are not whole numbers of them")
                value = self.data[a:b] if name not in result else bytearray(result[name]) + self.data[a:b]
            else:
                self.path.append(f".{name}[{len(result.get(name, ()))}]" if many else f".{name}")
                value = self.message(what, a, b, depth + 1)
                self.path.pop()
            if many:
                result.setdefault(name, []).append(value)
            else:
                result[name] = value
        make = _RECORDS.get(kind)
        return result if make is None else make(self, result)

    def model(self) -> Model:
        """The whole file."""
        if not len(self.data):
            self.fail(0, "the file is empty: it has 0 bytes")
        found: Model = self.message("Model", 0, len(self.data), 0)
        return found

    def integers(self, fields: dict[str, Any], name: str) -> tuple[int, ...]:
        """A packed run of signed numbers."""
        run = fields.get(name, b"")
        if max(run, default=0) < 128:  # most lists are short and of small numbers: a byte each
            return tuple(run)
        try:
            return tuple(tensors.numbers(run).view("int64").tolist())
        except ValueError as error:
            self.fail(fields[""], f"{name}: {error}")

    def dims(self, fields: dict[str, Any]) -> tuple[int, ...]:
        """The dimensions of a tensor."""
        dims = self.integers(fields, "dims")
        if len(dims) > self.limits.rank:
            self.fail(fields[""], f"a tensor of {len(dims)} dimensions; at most {self.limits.rank} are read")
        if min(dims, default=0) < 0:
            self.fail(fields[""], f"a tensor with a negative dimension: {tensors.dims_in_words(dims)}")
        return dims


# ---- tables -> records


def _model(reader: _Reader, f: dict[str, Any]) -> Model:
    if "graph" not in f:
        reader.fail(0, "the file holds no graph")
    return Model(
        ir_version=f.get("ir_version", 0), graph=f["graph"],
        opsets=tuple((o.get("domain", ""), o.get("version", 0)) for o in f.get("opset_import", ())),
        producer=f.get("producer_name", ""), producer_version=f.get("producer_version", ""),
        domain=f.get("domain", ""), version=f.get("model_version", 0), doc=f.get("doc_string", ""),
        metadata=_entries(f, "metadata_props"), functions=tuple(f.get("functions", ())),
        trained="training_info" in f,
    )  # fmt: skip


def _graph(_: _Reader, f: dict[str, Any]) -> Graph:
    return Graph(
        name=f.get("name", ""), nodes=tuple(f.get("node", ())), initializers=tuple(f.get("initializer", ())),
        sparse_initializers=tuple(f.get("sparse_initializer", ())), inputs=tuple(f.get("input", ())),
        outputs=tuple(f.get("output", ())), values=tuple(f.get("value_info", ())), doc=f.get("doc_string", ""),
        metadata=_entries(f, "metadata_props"),
    )  # fmt: skip


def _function(_: _Reader, f: dict[str, Any]) -> LocalFunction:
    return LocalFunction(
        name=f.get("name", ""), domain=f.get("domain", ""), overload=f.get("overload", ""),
        inputs=tuple(f.get("input", ())), outputs=tuple(f.get("output", ())), nodes=tuple(f.get("node", ())),
        values=tuple(f.get("value_info", ())), doc=f.get("doc_string", ""),
    )  # fmt: skip


def _node(reader: _Reader, f: dict[str, Any]) -> Node:
    if not f.get("op_type"):
        reader.fail(f[""], "a node without an operator")
    return Node(
        op=f["op_type"], inputs=tuple(f.get("input", ())), outputs=tuple(f.get("output", ())),
        name=f.get("name", ""), domain=f.get("domain", ""), overload=f.get("overload", ""),
        attributes=tuple(f.get("attribute", ())), doc=f.get("doc_string", ""), metadata=_entries(f, "metadata_props"),
    )  # fmt: skip


def _attribute(reader: _Reader, f: dict[str, Any]) -> Attribute:
    name, type_, reference = f.get("name", ""), f.get("type", 0), f.get("ref_attr_name", "")
    if not name:
        reader.fail(f[""], "an attribute without a name")
    if type_ and type_ not in _ATTRIBUTES:
        reader.fail(f[""], f"attribute {name!r} is of type {type_}, which does not exist")
    if not type_:  # files of IR version 1 do not say it
        type_ = next((t for t, (field, _) in _ATTRIBUTES.items() if field in f), 0)
    if reference or not type_:
        return Attribute(name, None, reference)
    field, absent = _ATTRIBUTES[type_]
    value: AttributeValue
    if field == "ints":
        value = reader.integers(f, "ints")
    elif field == "floats":
        value = tuple(x for (x,) in struct.iter_unpack("<f", f.get("floats", b"")))
    else:
        found = f.get(field, absent)
        value = tuple(_plain(v) for v in found) if isinstance(found, (list, tuple)) else _plain(found)
        if value is None:
            reader.fail(f[""], f"attribute {name!r} is of type {type_}, but its value is missing")
    return Attribute(name, value)


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def _tensor(reader: _Reader, f: dict[str, Any]) -> Tensor:
    element, name, dims = f.get("data_type", 0), f.get("name", ""), reader.dims(f)
    called = f"tensor {name[:80]!r}" if name else "a tensor"
    if element not in tensors.ELEMENTS:
        reader.fail(f[""], f"{called} is of element type {element}, which does not exist")
    external = _entries(f, "external_data") if f.get("data_location", 0) == 1 or "external_data" in f else None
    present = [field for field in _VALUE_FIELDS if len(f.get(field, b""))]
    texts = tuple(bytes(t) for t in f["string_data"]) if "string_data" in f else None
    if len(present) + (texts is not None) > 1:
        both = ", ".join([*present, *(["string_data"] if texts is not None else [])])
        reader.fail(f[""], f"{called} holds values in more than one field: {both}")
    tensor = Tensor(
        name, element, dims, present[0] if present else "", f[present[0]] if present else None, texts, external,
        f.get("doc_string", ""), _entries(f, "metadata_props"),
    )  # fmt: skip
    kind = tensors.element_name(element)
    shape = f"{called} of shape {tensors.dims_in_words(dims)} ({kind})"
    if texts is not None and (element != 8 or len(texts) != math.prod(dims)):
        reader.fail(f[""], f"{shape} holds {len(texts)} texts")
    if present:
        field = present[0]
        if field != "raw_data" and field != tensors.FIELD_OF.get(element, "int32_data"):
            reader.fail(f[""], f"{shape} holds its values in {field}, which is for other element types")
        if element in (0, 8):
            reader.fail(f[""], f"{shape} holds numbers in {field}")
        try:
            have, need = tensors.how_many(tensor), tensors.expected(tensor)
        except ValueError as error:
            reader.fail(f[""], f"{shape}: {error}")
        if have != need:
            unit = "bytes" if field == "raw_data" else "numbers"
            reader.fail(f[""], f"{shape} needs {need} {unit}, but {field} holds {have}")
    return tensor


def _sparse(reader: _Reader, f: dict[str, Any]) -> SparseTensor:
    if "values" not in f or "indices" not in f:
        reader.fail(f[""], "a sparse tensor without its values or without their places")
    return SparseTensor(f["values"], f["indices"], reader.dims(f))


def _value(_: _Reader, f: dict[str, Any]) -> Value:
    return Value(f.get("name", ""), f.get("type"), f.get("doc_string", ""))


def _type(reader: _Reader, f: dict[str, Any]) -> Type | None:
    for field, kind in (("tensor_type", "tensor"), ("sparse_tensor_type", "sparse tensor")):
        if field in f:
            shape = f[field].get("shape")
            dims = None if shape is None else tuple(_dimension(d) for d in shape.get("dim", ()))
            if dims is not None and len(dims) > reader.limits.rank:
                reader.fail(f[""], f"a type of {len(dims)} dimensions; at most {reader.limits.rank} are read")
            return Type(kind, f[field].get("elem_type", 0), dims)
    for field, kind in (("sequence_type", "sequence"), ("optional_type", "optional")):
        if field in f:
            return Type(kind, inner=f[field].get("elem_type"))
    if "map_type" in f:
        return Type("map", f["map_type"].get("key_type", 0), inner=f["map_type"].get("value_type"))
    return Type("opaque") if "opaque_type" in f else None


def _dimension(f: dict[str, Any]) -> Dimension:
    if f.get("dim_param"):
        return str(f["dim_param"])
    size = f.get("dim_value")
    return None if size is None or size < 0 else int(size)  # some writers say -1 for what they do not know


def _entries(f: dict[str, Any], name: str) -> tuple[tuple[str, str], ...]:
    return tuple((e.get("key", ""), e.get("value", "")) for e in f.get(name, ()))


_RECORDS: Final[dict[str, Any]] = {
    "Model": _model, "Graph": _graph, "Function": _function, "Node": _node, "Attribute": _attribute,
    "Tensor": _tensor, "Sparse": _sparse, "Value": _value, "Type": _type,
}  # fmt: skip
