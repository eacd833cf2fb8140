"""Models in the format of CNTK 1, written and read: nodes by name, their attributes, who reads whom.

Must not know graphs: a file becomes a description as a CNTK v2 file does, and back, so that operators are known in
one place only. What v1 files hold and a description does not is left away: learning-rate factors, and the lists of
nodes by role. Operators outside of ``NODES`` are refused by name. Nothing in a file is executed, and no length is
believed before the bytes are there.

Source: the files that CNTK 2.7 itself writes (``debugging.save_as_legacy_model``), version 31 of the format.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cntk_lab._files import atomic_file
from cntk_lab.axis import Axis
from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk import description as records
from cntk_lab.formats.cntk.operators import NAMES, NUMBERS
from cntk_lab.formats.cntk.values import Dictionary, NDShape, SizeT, StoredAxis

VERSION = 31
MAGIC = "BCN\0".encode("utf-16-le")
_UID, _NAME, _BATCH_ONLY = "__v2libuid__", "__v2libname__", "__noSequenceAxis"
_ALL = StoredAxis(2147483646, "AllStaticAxes", False)
_LONGEST_NAME, _MOST_NODES, _MOST_AXES = 4096, 1_000_000, 64
_ELEMENTS = {"float": "float32", "double": "float64"}
_FIX = "take another copy of the file"


class _Reader:
    """The bytes of a file, taken from the front."""

    def __init__(self, data: bytes, source: str) -> None:
        self.data, self.source, self.at = data, source, 0

    def fail(self, what: str) -> FormatError:
        return FormatError(what, f"{self.source}, byte {self.at}", _FIX)

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise self.fail(f"the file ends: {count} bytes are wanted, {len(self.data) - self.at} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def numbers(self, form: str) -> tuple[Any, ...]:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def number(self, form: str, most: int | None = None) -> Any:
        (value,) = self.numbers(form)
        if most is not None and not 0 <= value <= most:
            raise self.fail(f"a count of {value} is not between 0 and {most}")
        return value

    def text(self) -> str:
        end = self.at
        while self.data[end : end + 2] not in (b"\0\0", b"") and end - self.at < 2 * _LONGEST_NAME:
            end += 2
        if self.data[end : end + 2] != b"\0\0":
            raise self.fail(f"no text ends within {_LONGEST_NAME} characters")
        raw = self.take(end - self.at)
        self.at += 2
        try:
            return raw.decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise self.fail(f"a text is not UTF-16: {error.reason}") from error

    def marker(self, wanted: str) -> None:
        found = self.text()
        if found != wanted:
            raise self.fail(f"the mark {wanted!r} is expected, {found[:40]!r} stands there")

    def shape(self) -> tuple[int, ...]:
        return self.numbers(f"{self.number('I', _MOST_AXES)}I")


class _Writer:
    """The bytes of a file, appended."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def numbers(self, form: str, *values: Any) -> None:
        self.parts.append(struct.pack("<" + form, *values))

    def text(self, *texts: str) -> None:
        self.parts += [(text + "\0").encode("utf-16-le") for text in texts]

    def shape(self, dims: tuple[int, ...]) -> None:
        self.numbers(f"I{len(dims)}I", len(dims), *dims)


# ---------------------------------------------------------------- attributes of nodes


def _axis(position: int) -> StoredAxis:
    return StoredAxis(position, f"staticAxisIdx={position}", True)


def _positions(attributes: Mapping[str, Any], key: str) -> list[int]:
    """The axes of an attribute that is one or a list, counted from 1; 0 is all of them."""
    given = attributes.get(f"{key}Vec", [attributes.get(key)])
    positions = [0 if a.position == _ALL.position else a.position + 1 for a in given]
    if any(p < 0 or p > _MOST_AXES for p in positions):
        raise FormatError(
            f"the axis {given[0].name} has no form in files of CNTK 1", fix="count the axis from the front"
        )
    return positions


def _read_nothing(_: _Reader) -> Dictionary:
    return {}


def _write_nothing(_: _Writer, __: Mapping[str, Any]) -> None:
    return


def _read_times(r: _Reader) -> Dictionary:
    return {"outputRank": SizeT(r.number("Q", _MOST_AXES)), "inferInputRankToMap": r.number("i")}


def _write_times(w: _Writer, a: Mapping[str, Any]) -> None:
    w.numbers("Qi", a.get("outputRank", 1), a.get("inferInputRankToMap", -1))


def _read_delay(r: _Reader) -> Dictionary:
    step = r.number("i", 2**31 - 1)
    r.shape()  # of a frame; it is inferred anyway
    r.number("f")  # the initial value of files that have no operand for it
    return {"offset": SizeT(step)}


def _write_delay(w: _Writer, a: Mapping[str, Any]) -> None:
    w.numbers("i", a["offset"])
    w.shape(())
    w.numbers("f", 0.0)


def _read_reduction(r: _Reader) -> Dictionary:
    axes = r.numbers(f"{r.number('I', _MOST_AXES)}i")
    op, keep = r.text(), bool(r.number("B"))
    if len(axes) == 1:
        return {
            "reductionOpName": op,
            "axis": _axis(axes[0] - 1) if axes[0] > 0 else _ALL,
            "reductionKeepDimensions": keep,
        }
    return {"reductionOpName": op, "axisVec": [_axis(p - 1) for p in axes], "reductionKeepDimensions": keep}


def _write_reduction(w: _Writer, a: Mapping[str, Any]) -> None:
    axes = _positions(a, "axis")
    w.numbers(f"I{len(axes)}i", len(axes), *axes)
    w.text(a["reductionOpName"])
    w.numbers("B", a.get("reductionKeepDimensions", True))


def _read_slice(r: _Reader) -> Dictionary:
    parts = [r.numbers("qqii") for _ in range(r.number("I", _MOST_AXES))]
    return {
        "axisVec": [_axis(axis - 1) for _, _, axis, _ in parts],
        "beginIndexVec": [begin for begin, _, _, _ in parts],
        "endIndexVec": [begin + length for begin, length, _, _ in parts],
        "sliceStridesVec": [stride for _, _, _, stride in parts],
    }


def _write_slice(w: _Writer, a: Mapping[str, Any]) -> None:
    axes = _positions(a, "axis")
    columns = [
        list(a.get(f"{key}Vec", [a.get(key, default)]))
        for key, default in (("beginIndex", 0), ("endIndex", 0), ("sliceStrides", 1))
    ]
    w.numbers("I", len(axes))
    for axis, begin, end, stride in zip(axes, *columns, strict=True):
        if begin < 0 or end <= begin:
            raise FormatError(
                f"the slice [{begin}:{end}] has no form in files of CNTK 1", fix="give both ends, counted from 0"
            )
        w.numbers("qqii", begin, end - begin, axis, stride)


def _read_splice(r: _Reader) -> Dictionary:
    return {"axis": _axis(r.number("i", _MOST_AXES) - 1)}


def _write_splice(w: _Writer, a: Mapping[str, Any]) -> None:
    w.numbers("i", *_positions(a, "axis"))


def _read_reshape(r: _Reader) -> Dictionary:
    begin, end = r.numbers("ii")
    return {"newShape": NDShape(r.shape()), "beginAxis": _axis(begin - 1), "endAxis": _axis(end - 1)}


def _write_reshape(w: _Writer, a: Mapping[str, Any]) -> None:
    w.numbers("ii", *_positions(a, "beginAxis"), *_positions(a, "endAxis"))
    w.shape(tuple(a["newShape"]))


def _read_swap(r: _Reader) -> Dictionary:
    first, second = r.numbers("ii")
    return {"axis1": _axis(first - 1), "axis2": _axis(second - 1)}


def _write_swap(w: _Writer, a: Mapping[str, Any]) -> None:
    if "axisVec" in a:
        raise FormatError("a transposition of many axes has no form in files of CNTK 1", fix="use swapaxes")
    w.numbers("ii", *_positions(a, "axis1"), *_positions(a, "axis2"))


@dataclass(frozen=True, slots=True)
class _Form:
    """How files hold the attributes of one kind of node."""

    number: int
    read: Callable[[_Reader], Dictionary] = _read_nothing
    write: Callable[[_Writer, Mapping[str, Any]], None] = _write_nothing
    order: tuple[int, ...] = ()
    """Operand i here is operand ``order[i]`` of CNTK 2; empty if they are the same."""


_RENAMED = {
    "RectifiedLinear": "ReLU", "Cosine": "Cos", "ExponentialLinearUnit": "ELU", "If": "Select", "Pass": "NoOp",
}  # fmt: skip
_PLAIN = (
    "Negate", "Sigmoid", "StableSigmoid", "Tanh", "Exp", "Log", "Sqrt", "Floor", "Abs", "Reciprocal", "Softmax",
    "LogSoftmax", "Hardmax", "Plus", "Minus", "ElementTimes", "Equal", "NotEqual", "Less", "LessEqual", "Greater",
    "GreaterEqual", "LogPlus", "Sin", "Pow", "Sinh", "Cosh", "Asin", "Acos", "Atan", "StopGradient",
    "ReconcileDynamicAxis",
)  # fmt: skip
NODES: Mapping[str, _Form] = {
    **{name: _Form(NUMBERS[name]) for name in _PLAIN},
    **{theirs: _Form(NUMBERS[ours]) for theirs, ours in _RENAMED.items()},
    "Clip": _Form(NUMBERS["Clip"], order=(1, 2, 0)),
    "Times": _Form(NUMBERS["Times"], _read_times, _write_times),
    "TransposeTimes": _Form(NUMBERS["TransposeTimes"], _read_times, _write_times),
    "PastValue": _Form(NUMBERS["PastValue"], _read_delay, _write_delay),
    "FutureValue": _Form(NUMBERS["FutureValue"], _read_delay, _write_delay),
    "ReduceElements": _Form(NUMBERS["ReduceElements"], _read_reduction, _write_reduction),
    "Slice": _Form(NUMBERS["Slice"], _read_slice, _write_slice),
    "RowStack": _Form(NUMBERS["Splice"], _read_splice, _write_splice),
    "Reshape": _Form(NUMBERS["Reshape"], _read_reshape, _write_reshape),
    "TransposeDimensions": _Form(NUMBERS["TransposeAxes"], _read_swap, _write_swap),
}
"""The kinds of nodes that are read and written, by their names in files of CNTK 1."""
_BY_NUMBER = {form.number: name for name, form in NODES.items()}
_THROUGH = (NUMBERS["Combine"], NUMBERS["Pass"], NUMBERS["NoOp"])
"""Functions that only give their operands other names."""
_NO_INITIAL = (NUMBERS["PastValue"], NUMBERS["FutureValue"])

# ---------------------------------------------------------------- reading


def is_legacy(model: str | os.PathLike[str] | bytes | bytearray | memoryview) -> bool:
    """Whether a file's first bytes are those of CNTK 1."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model[: len(MAGIC)]) == MAGIC
    with Path(model).open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read(model: str | os.PathLike[str] | bytes | bytearray | memoryview) -> records.ModelDescription:
    """The description of a model in a file of CNTK 1.

    Args:
        model: the file's name, or its bytes.

    Returns:
        ModelDescription; what no other node reads is the result, several such nodes are combined.

    Raises:
        FormatError: if the file is damaged, of another version, or holds a kind of node that is not known.
    """
    if isinstance(model, (bytes, bytearray, memoryview)):
        r, source = _Reader(bytes(model), "bytes"), "bytes"
    else:
        source = str(os.fspath(model))
        r = _Reader(Path(model).read_bytes(), source)
    r.marker("BCN")
    r.marker("BVersion")
    version = r.number("Q")
    if version != VERSION:
        raise FormatError(
            f"the file is of version {version} of CNTK 1's format, only {VERSION} is read",
            source,
            "load it once with CNTK 2.7 and save it again: its load_model reads all versions",
        )
    r.marker("EVersion")
    count = r.number("Q", _MOST_NODES)
    r.marker("BNodeList")
    nodes = dict(_read_node(r) for _ in range(count))
    r.marker("ENodeList")
    r.marker("BRelation")
    for _ in range(count):
        name = r.text()
        if name not in nodes:
            raise r.fail(f"the node {name!r} is read or reads, and is not in the list")
        nodes[name].operands = [r.text() for _ in range(r.number("Q", _MOST_NODES))]
    r.marker("ERelation")
    return _Described(nodes, r).result()


@dataclass(slots=True)
class _Node:
    """A node of a file: a leaf with its record, or a function."""

    uid: str
    name: str
    form: _Form | None = None
    attributes: Dictionary = field(default_factory=dict)
    leaf: records.VariableRecord | None = None
    operands: list[str] = field(default_factory=list)


def _read_node(r: _Reader) -> tuple[str, _Node]:
    element, kind, full = r.text(), r.text(), r.text()
    dtype = _ELEMENTS.get(element)
    if dtype is None:
        raise r.fail(f"node {full!r} has elements of the type {element[:40]!r}, not one of {', '.join(_ELEMENTS)}")
    head, _, name = full.partition(_NAME)
    node = _Node(head.removeprefix(_UID), name if head != full else full)
    if kind in ("InputValue", "SparseInputValue"):
        node.leaf = _read_input(r, node, dtype, sparse=kind != "InputValue")
    elif kind == "LearnableParameter":
        node.leaf = _read_parameter(r, node, dtype)
    elif kind in NODES:
        node.form = NODES[kind]
        node.attributes = node.form.read(r)
    elif kind != "DynamicAxis":
        raise FormatError(
            f"node {full!r} is a {kind[:60]!r}: this kind is not read from files of CNTK 1",
            r.source,
            "load it once with CNTK 2.7 and save it again in the format of CNTK 2",
        )
    return full, node


def _read_input(r: _Reader, node: _Node, dtype: str, sparse: bool) -> records.VariableRecord:
    r.numbers("QQ")  # rows and columns of files before version 10
    dims = r.shape()
    axes: tuple[Axis, ...] = (Axis.default_batch_axis(),)
    for _ in range(r.number("I", 1)):
        named = r.text()
        if named == "*":
            axes = (*axes, Axis.default_dynamic_axis())
        elif not named.startswith(_BATCH_ONLY):
            axes = (*axes, Axis(named))
    needs_gradient = r.number("f") != 0
    return records.VariableRecord(node.uid, "Input", dims[::-1], dtype, axes, node.name, sparse, needs_gradient)


def _read_parameter(r: _Reader, node: _Node, dtype: str) -> records.VariableRecord:
    learned = r.number("f") != 0
    dims = r.shape()
    if r.take(1) != b"d":
        raise r.fail(f"the values of {node.name or node.uid!r} are not a dense matrix")
    r.marker("BMAT")
    size = r.number("Q")
    r.text()  # a name of the matrix that nobody uses
    r.number("I")
    rows, columns = r.numbers("QQ")
    if size != np.dtype(dtype).itemsize or rows * columns != int(np.prod(dims, dtype=object)):
        raise r.fail(f"{rows} x {columns} values of {size} bytes are not {dims} of {dtype}")
    value = np.frombuffer(r.take(rows * columns * size), np.dtype(dtype).newbyteorder("<")).astype(dtype)
    r.marker("EMAT")
    kind = "Parameter" if learned else "Constant"
    return records.VariableRecord(
        node.uid, kind, dims[::-1], dtype, (), node.name, False, learned, value.reshape(dims[::-1])
    )


class _Described:
    """Nodes by name -> a description, operands first; an edge back becomes a placeholder."""

    def __init__(self, nodes: dict[str, _Node], reader: _Reader) -> None:
        self.nodes, self.reader = nodes, reader
        self.variables: dict[str, records.VariableRecord] = {}
        self.functions: list[records.FunctionRecord] = []

    def result(self) -> records.ModelDescription:
        functions = {name: node for name, node in self.nodes.items() if node.form is not None}
        used = {o for node in functions.values() for o in node.operands}
        missing = used - set(self.nodes)
        if missing:
            raise self.reader.fail(f"the node {min(missing)!r} is read, and is not in the list")
        roots = [name for name in functions if name not in used] or list(functions)[-1:]
        if not roots:
            raise self.reader.fail("the file holds no function, only values")
        for root in roots:
            self.visit(root)
        for node in self.nodes.values():
            if node.leaf is not None and not self.variables.get(node.uid):
                self.variables[node.uid] = node.leaf
        root_uid = self.nodes[roots[0]].uid
        if len(roots) > 1:
            root_uid = "Combine_of_all"
            inputs = tuple(records.output_uid(self.nodes[name].uid, 0) for name in roots)
            self.functions.append(records.FunctionRecord(root_uid, NUMBERS["Combine"], inputs))
        return records.ModelDescription(root_uid, tuple(self.variables.values()), tuple(self.functions))

    def visit(self, root: str) -> None:
        """Put down everything below a node (without recursion: real networks are deep)."""
        begun: set[str] = set()
        done = {record.uid for record in self.functions}
        stack = [(root, False)]
        while stack:
            name, ready = stack.pop()
            node = self.nodes[name]
            if node.form is None or node.uid in done:
                continue
            if ready:
                self.functions.append(self.record(node, done))
                done.add(node.uid)
            elif name not in begun:
                begun.add(name)
                stack.append((name, True))
                stack += [(operand, False) for operand in reversed(node.operands)]

    def record(self, node: _Node, done: set[str]) -> records.FunctionRecord:
        inputs = []
        for operand in map(self.nodes.__getitem__, node.operands):
            if operand.leaf is not None:
                inputs.append(operand.uid)
                self.variables[operand.uid] = operand.leaf
                continue
            if operand.form is None:
                raise self.reader.fail(f"{node.uid!r} reads {operand.uid!r}, which has no values")
            uid = records.output_uid(operand.uid, 0)
            if operand.uid not in done and uid not in self.variables:
                self.variables[uid] = records.VariableRecord(uid, "Placeholder", None, None, None)
            inputs.append(uid)
        assert node.form is not None
        order = node.form.order
        if order and len(order) != len(inputs):
            raise self.reader.fail(f"{node.uid!r} reads {len(inputs)} values, not {len(order)}")
        inputs = [inputs[order.index(i)] for i in range(len(order))] or inputs
        return records.FunctionRecord(node.uid, node.form.number, tuple(inputs), node.attributes, node.name)


# ---------------------------------------------------------------- writing


def save(model: records.ModelDescription, path: str | os.PathLike[str]) -> None:
    """Write a model in the format of CNTK 1, whole or not at all.

    Args:
        model: the description.
        path: the file; one of this name is replaced when the new one is complete.

    Raises:
        FormatError: if an operator, or an element type, has no form in the format.
    """
    data = b"".join(_Printed(model).writer.parts)
    with atomic_file(path) as file:
        file.write(data)


class _Printed:
    """A description as bytes."""

    def __init__(self, model: records.ModelDescription) -> None:
        self.writer = w = _Writer()
        self.same: dict[str, str] = {}
        self.leaves = {v.uid: v for v in model.variables}
        functions = [self.checked(f) for f in self.flat(model)]
        leaves = [v for v in model.variables if v.kind != "Placeholder" and v.uid not in self.same]
        names = {v.uid: f"{_UID}{v.uid}{_NAME}{v.name}" for v in leaves}
        names.update({records.output_uid(f.uid, 0): f"{_UID}{f.uid}{_NAME}{f.name}" for f in functions})
        axes = sorted({self.axis(v) for v in leaves if v.kind == "Input"})
        element = next((v.dtype for v in leaves if v.kind == "Input"), "float32")
        w.text("BCN", "BVersion")
        w.numbers("Q", VERSION)
        w.text("EVersion")
        w.numbers("Q", len(axes) + len(leaves) + len(functions))
        w.text("BNodeList")
        for axis in axes:
            w.text(self.element(element), "DynamicAxis", axis)
        for leaf in leaves:
            self.leaf(leaf, names[leaf.uid])
        for f in functions:
            w.text(self.element(element), _BY_NUMBER[f.op or 0], names[records.output_uid(f.uid, 0)])
            NODES[_BY_NUMBER[f.op or 0]].write(w, f.attributes)
        w.text("ENodeList", "BRelation")
        for alone in (*axes, *(names[v.uid] for v in leaves)):
            w.text(alone)
            w.numbers("Q", 0)
        for f in functions:
            operands = [names[self.resolve(uid)] for uid in f.inputs]
            operands = [operands[i] for i in NODES[_BY_NUMBER[f.op or 0]].order] or operands
            w.text(names[records.output_uid(f.uid, 0)])
            w.numbers("Q", len(operands))
            w.text(*operands)
        w.text("ERelation", "BRootNodes")
        for role in ("Feature", "Label", "Criterion", "Eval", "Output"):
            w.text(f"B{role}Nodes")
            w.numbers("Q", 0)
            w.text(f"E{role}Nodes")
        w.text("ERootNodes", "ECN")

    def flat(self, model: records.ModelDescription) -> Iterator[records.FunctionRecord]:
        """The functions without blocks and without those that only rename; those fill ``same``."""
        for f in model.functions:
            if f.block is not None:
                self.same.update(dict(f.block.arguments))
                self.same[records.output_uid(f.uid, 0)] = records.output_uid(f.block.root, 0)
            elif f.op in _THROUGH:
                self.same.update({records.output_uid(f.uid, i): uid for i, uid in enumerate(f.inputs)})
            else:
                yield f

    def checked(self, f: records.FunctionRecord) -> records.FunctionRecord:
        if f.op not in _BY_NUMBER:
            named = "the user's own" if f.op is None else NAMES[f.op]
            raise FormatError(
                f"a function of the kind {named} has no form here in files of CNTK 1",
                f"saving function '{f.name or f.uid}'",
                "save in the format of CNTK 2, with save()",
            )
        if f.op in _NO_INITIAL and len(f.inputs) < 2:
            raise FormatError("a delay without initial state has no form in files of CNTK 1", fix="give 0")
        return replace(f, attributes=dict(f.attributes))

    def resolve(self, uid: str) -> str:
        """Where a value comes from, behind blocks and renamings."""
        while uid in self.same and self.same[uid] != uid:
            uid = self.same[uid]
        return uid

    def element(self, dtype: str | None) -> str:
        for name, known in _ELEMENTS.items():
            if known == dtype:
                return name
        raise FormatError(f"elements of {dtype} have no form in files of CNTK 1", fix="cast to float32")

    def axis(self, leaf: records.VariableRecord) -> str:
        axes = leaf.axes or ()
        if len(axes) < 2:
            return _BATCH_ONLY
        return "*" if axes[1] == Axis.default_dynamic_axis() else axes[1].name

    def leaf(self, v: records.VariableRecord, name: str) -> None:
        w, dims = self.writer, (v.shape or ())[::-1]
        if any(d < 0 for d in dims):
            raise FormatError(f"'{v.name or v.uid}' has a free dimension: {v.shape}", fix="give it a number")
        if v.kind == "Input":
            w.text(self.element(v.dtype), "SparseInputValue" if v.sparse else "InputValue", name)
            w.numbers("QQ", 0, 0)
            w.shape(dims)
            w.numbers("I", 1)
            w.text(self.axis(v))
            w.numbers("f", float(v.needs_gradient))
            return
        value = np.ascontiguousarray(v.value)
        rows = dims[0] if dims else 1
        w.text(self.element(v.dtype), "LearnableParameter", name)
        w.numbers("f", float(v.kind == "Parameter" and v.needs_gradient))
        w.shape(dims)
        w.parts.append(b"d")
        w.text("BMAT")
        w.numbers("Q", value.itemsize)
        w.text("unnamed")
        w.numbers("IQQ", 0, rows, value.size // rows)
        w.parts.append(value.astype(value.dtype.newbyteorder("<")).tobytes())
        w.text("EMAT")
