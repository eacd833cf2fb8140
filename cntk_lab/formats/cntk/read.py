"""A description of a CNTK v2 model -> graph.

Must not know bytes. Leaves come first, then functions in the file's order; an edge back (a recurrence) is a placeholder
until its function exists. A block becomes one node with the graph inside, exactly as in the file. Nothing in a file is
executed: a user's function is made only by a class that the program has already imported itself.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from cntk_lab.axis import Axis
from cntk_lab.errors import FormatError, LabError
from cntk_lab.formats.cntk import _packed, operators
from cntk_lab.formats.cntk import description as records
from cntk_lab.formats.cntk import dictionary as files
from cntk_lab.formats.cntk.values import StoredAxis
from cntk_lab.graph import compose, declare, infer, registry, walk
from cntk_lab.graph.block import Block
from cntk_lab.graph.function import Function
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import OpDef, TensorType
from cntk_lab.graph.variable import Constant, Parameter, Variable, new_placeholder
from cntk_lab.ops._user import maker_of

_COPY = "take another copy of the file"


def load(model: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Function:
    """The function that a CNTK v2 model file holds, with its names and uids.

    Args:
        model: the file's name, or its bytes.

    Raises:
        FormatError: if the file is damaged or holds what this package does not know; says where.

    Source: CNTK 2.7 ``Function.load``.
    """
    if isinstance(model, (bytes, bytearray, memoryview)):
        return build(records.from_dictionary(files.decode(model), "bytes"), "bytes")
    return build(records.from_dictionary(files.read(model), str(os.fspath(model))), str(os.fspath(model)))


def build(model: records.ModelDescription, source: str = "") -> Function:
    """The graph that a description describes.

    Args:
        model: the description.
        source: the file's name, for messages.

    Raises:
        FormatError: if a function or an attribute is not known.
    """
    return _Builder(model, source).function()


class _Builder:
    """One graph being built."""

    def __init__(self, model: records.ModelDescription, source: str) -> None:
        self.model, self.source = model, source
        self.leaves = {record.uid: self.leaf(record) for record in model.variables}
        self.nodes: dict[str, Node] = {}
        self.outputs: dict[str, Variable] = {}
        self.open: list[tuple[Node, int, str]] = []
        self.made: dict[str, tuple[Node, Axis]] = {}
        """Sequence axes that are made inside the model, by the file's name: which node makes it, and what it is now."""
        self.records = _packed.Records(model.functions, model.variables)

    def leaf(self, record: records.VariableRecord) -> Variable:
        variable: Variable
        if record.kind in ("Parameter", "Constant"):
            if record.value is None:  # a description that is no file
                variable = Parameter(record.shape, dtype=record.dtype, name=record.name)
            elif record.kind == "Constant":
                variable = Constant(np.asarray(record.value), dtype=record.dtype, name=record.name)
            else:
                variable = Parameter(init=np.asarray(record.value), dtype=record.dtype, name=record.name)
        else:
            variable = new_placeholder(name=record.name)
            variable.type = TensorType(record.shape, record.dtype, record.axes, record.sparse)
            variable.kind = record.kind
        variable.uid = record.uid
        variable.needs_gradient = record.needs_gradient
        return variable

    def function(self) -> Function:
        for record in self.model.functions:
            try:
                self.add(record)
            except LabError as error:
                self.fail(record, error)
        self.close_cycles()
        root = self.nodes.get(self.model.root)
        if root is None:
            self.fail(
                self.model.function(self.model.root), FormatError("an inner part of a sequence operator is the root")
            )
        function = Function.of(root)
        if self.model.uid:
            function._uid = self.model.uid
        return function

    def fail(self, record: records.FunctionRecord, error: LabError) -> NoReturn:
        name = record.block.op_name if record.block else _name(record)
        where = f"{self.source}, function {record.uid!r} ({name})"
        raise FormatError(error.what, where, error.fix or _COPY) from error

    def variable(self, uid: str) -> Variable:
        """An output that exists already, or a leaf."""
        found = self.outputs.get(uid) or self.leaves.get(uid)
        if found is None:
            raise FormatError(f"{uid!r} is read before it exists, and is no leaf of the model", fix=_COPY)
        return found

    def add(self, record: records.FunctionRecord) -> None:
        """Build one function and give it its uid."""
        if self.add_packed(record):
            return
        operands = [self.variable(uid) for uid in record.inputs]
        if record.user is not None:
            node = _user_node(record, operands)
        elif record.block is not None:
            node = self.block(record, operands)
        elif record.op == operators.NUMBERS["Combine"]:
            node = compose.combine(operands, record.name).node
        else:
            node = _primitive(record, operands)
        self.keep(record, node)
        for index, uid in enumerate(record.inputs):
            if uid not in self.outputs and records.function_of_output(uid) is not None:
                self.open.append((node, index, uid))

    def keep(self, record: records.FunctionRecord, node: Node) -> None:
        node.uid = record.uid
        node.custom = dict(_custom(record))
        if record.name:
            node.name = record.name
        self.nodes[record.uid] = node
        for index, output in enumerate(node.outputs):
            uid = records.output_uid(record.uid, index)
            if output.node is node:
                output.uid = uid
                if record.name and len(node.outputs) == 1:
                    output._name = record.name
            self.outputs[uid] = output
        self.rename_axis(record.attributes.get("newDynamicAxes"), node)

    def rename_axis(self, stored: object, node: Node) -> None:
        """Note that a node makes the sequence axis which the file calls so."""
        names = [a.name for a in stored if isinstance(a, StoredAxis) and a.ordered] if isinstance(stored, list) else []
        if len(names) != 1:
            return
        infer.infer_node(node)  # the axis may be named after the uid that the node has now
        _, now = self.made.get(names[0], (node, Axis(names[0])))  # the inner Where of a selection noted it before
        self.made[names[0]] = node, now
        self.follow_axes()

    def follow_axes(self) -> None:
        """A sequence axis made here has a name of its own: edges back, which have the file's name for it, get it.

        It may be named after an operand, which is a placeholder until the block around it is there.
        """
        for name, (node, before) in self.made.items():
            axes = node.outputs[0].type.axes or ()
            if len(axes) != 2 or axes[1] == before:
                continue
            self.made[name] = node, axes[1]
            for leaf in self.leaves.values():
                if leaf.kind == "Placeholder" and before in (leaf.type.axes or ()):
                    leaf.type = replace(leaf.type, axes=axes)

    def block(self, record: records.FunctionRecord, operands: Sequence[Variable]) -> Node:
        assert record.block is not None
        inside = self.nodes.get(record.block.root)
        if inside is None:
            raise FormatError(f"the root of the block, {record.block.root!r}, does not exist before it", fix=_COPY)
        arguments = [self.leaves[inner] for inner, _ in record.block.arguments]
        outer = [self.variable(uid) for _, uid in record.block.arguments]
        kept = list(operands[: len(operands) - len(outer)])
        for placeholder, variable in zip(arguments, outer, strict=True):
            placeholder.block_input = variable
        block = Block(list(inside.outputs), arguments)
        count = len(inside.outputs)
        function = compose.block_node(
            compose.BLOCK, block, [*kept, *outer], {}, record.name, record.block.op_name, count
        )
        self.follow_axes()
        function.node.attributes = {k: v for k, v in record.attributes.items() if k != "customAttributes"}
        return function.node

    def close_cycles(self) -> None:
        """Put the outputs in the places of the placeholders that stood for them, and settle the types."""
        for node, index, uid in self.open:
            if uid not in self.outputs:
                raise FormatError(f"the output {uid!r} does not exist", self.source, _COPY)
            for position, variable in enumerate(node.inputs):
                if variable is self.leaves[uid]:
                    node.set_input(position, self.outputs[uid])
            if node.block is not None:
                node.block.connect(node)
            del index
        if self.open:
            infer.infer_nodes(list(walk.nodes(self.nodes[self.model.root].outputs)))

    def add_packed(self, record: records.FunctionRecord) -> bool:
        """Sequence operators that files hold as several primitives on packed rows."""
        if _packed.is_inner_part(self.records, record):
            return True
        convolution = _packed.sequential_convolution(self.records, record)
        if convolution is not None:
            operands = [self.variable(uid) for uid in convolution.inputs]
            self.keep(record, _primitive(convolution, operands))
            return True
        name = _name(record)
        if name not in ("GatherPacked", "ScatterPacked"):
            return False
        found = _packed.selection(self.records, record)
        if found is None:
            raise FormatError(f"{name} without the PackedIndex and Where that belong to it", fix=_COPY)
        op = _find(found.op)
        operands = [self.variable(uid) for uid in found.operands]
        self.keep(record, declare.use(op, operands, _defaults(op, found.attributes), record.name).node)
        self.rename_axis(found.axes, self.nodes[record.uid])
        self.open.extend(
            (self.nodes[record.uid], 0, uid)
            for uid in found.operands
            if uid not in self.outputs and records.function_of_output(uid) is not None
        )
        return True


def _name(record: records.FunctionRecord) -> str:
    if record.user is not None:
        return record.user.class_name
    number = record.op or 0
    return operators.NAMES[number] if number < len(operators.NAMES) else f"number {number}"


def _custom(record: records.FunctionRecord) -> dict[str, Any]:
    custom = record.attributes.get("customAttributes", {})
    return custom if isinstance(custom, dict) else {}


def _primitive(record: records.FunctionRecord, operands: Sequence[Variable]) -> Node:
    number = record.op or 0
    if number >= len(operators.NAMES):
        raise FormatError(f"there is no primitive function of number {number} in CNTK 2.7", fix=_COPY)
    ranks = [-1 if v.type.shape is None else len(v.type.shape) for v in operands]
    use = operators.read_use(number, record.attributes, len(operands), ranks)
    if use is None:
        op = _by_cntk_name(operators.NAMES[number])
        given, numbers = _numbers_among(op, operands)
        return _use(op, given, numbers, record)
    if use.order and max(use.order) >= len(operands):
        raise FormatError(f"{len(operands)} operands, {max(use.order) + 1} are needed", fix=_COPY)
    order = use.order or ()
    rest = [v for i, v in enumerate(operands) if i not in order]
    return _use(_find(use.op), [*(operands[i] for i in order), *rest], use.attributes, record)


def _numbers_among(op: OpDef, operands: Sequence[Variable]) -> tuple[Sequence[Variable], dict[str, Any]]:
    """Operands, and the attributes without default that files hold as scalar constants behind the operands."""
    wanted = [p.name for p in op.attributes if p.default is inspect.Parameter.empty]
    count = len(operands) - len(wanted)
    surplus = operands[count:]
    if not wanted or count < 0 or not all(isinstance(v, Constant) and v.type.shape == () for v in surplus):
        return operands, {}
    values = [float(v.value) for v in surplus if isinstance(v, Constant)]
    return operands[:count], {n: int(v) if v.is_integer() else v for n, v in zip(wanted, values, strict=True)}


def _use(op: OpDef, operands: Sequence[Variable], attributes: dict[str, Any], record: records.FunctionRecord) -> Node:
    function = declare.use(op, operands, _defaults(op, attributes), record.name)
    node: Node = function.node
    return node


def _find(name: str) -> OpDef:
    """The operator of a public name; some are declared with an underscore behind a public function."""
    for candidate in (name, f"_{name}", f"sequence_{name}", f"_sequence_{name}"):
        try:
            return registry.find(candidate)
        except KeyError:
            continue
    raise FormatError(
        f"the operator {name!r} is not there", fix="update this package: the model needs an operator it does not have"
    )


def _by_cntk_name(name: str) -> OpDef:
    for op in registry.all_ops():
        if op.cntk.op is not None and _same_name(op.cntk.op, name):
            return op
    raise FormatError(
        f"CNTK's primitive function {name!r} has no operator here",
        fix="update this package: the model needs an operator it does not have",
    )


def _same_name(left: str, right: str) -> bool:
    return left.lower().removesuffix("op") == right.lower().removesuffix("op")


def _defaults(op: OpDef, attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes in the operator's own terms, those that files do not have filled with their defaults."""
    known = {p.name for p in op.attributes}
    strange = set(attributes) - known
    if strange:
        raise FormatError(
            f"the operator {op.name!r} has no attribute {min(strange)!r}; it has {', '.join(sorted(known)) or 'none'}",
            fix="update this package: the model needs an attribute it does not have",
        )
    values = {p.name: attributes.get(p.name, p.default) for p in op.attributes}
    missing = [name for name, value in values.items() if value is inspect.Parameter.empty]
    if missing:
        raise FormatError(
            f"the operator {op.name!r} needs the attribute {missing[0]!r}, which is not read from CNTK's files",
            fix="update this package: the model needs an attribute it does not read",
        )
    return values


def _user_node(record: records.FunctionRecord, operands: Sequence[Variable]) -> Node:
    """The function of a user's class, which the running program must have imported itself."""
    user = record.user
    assert user is not None
    maker = maker_of(user.op_name)
    if maker is not None:
        made = maker(list(operands), record.name, user.state)
        return made.outputs[0].node  # type: ignore[no-any-return]
    module = sys.modules.get(user.module)
    found = getattr(module, user.class_name, None) if module is not None else None
    if not (isinstance(found, type) and issubclass(found, Function) and callable(getattr(found, "deserialize", None))):
        raise FormatError(
            f"the model needs the user's function {user.module}.{user.class_name}, which this program has not imported",
            fix=f"import {user.module} (with the class {user.class_name}) before loading: files are never executed",
        )
    deserialize: Any = found.deserialize  # type: ignore[attr-defined]
    function = deserialize(list(operands), record.name, user.state)
    return function.outputs[0].node  # type: ignore[no-any-return]
