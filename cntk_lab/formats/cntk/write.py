"""Graph -> description of a CNTK v2 model.

Must not know bytes. Operands come before users; an edge back (a recurrence) is written as a placeholder with the
uid of the output it stands for. A block is written as one function with its graph inside. Operators that CNTK
builds as blocks but that are single nodes here get the body CNTK would have given them (``_bodies``).
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cntk_lab.errors import FormatError, LabError
from cntk_lab.formats.cntk import _bodies, _packed, operators
from cntk_lab.formats.cntk import description as records
from cntk_lab.formats.cntk import dictionary as files
from cntk_lab.formats.cntk.values import Dictionary
from cntk_lab.graph import compose, walk
from cntk_lab.graph.block import stand_in
from cntk_lab.graph.function import Function
from cntk_lab.graph.naming import new_uid
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.shape import UNKNOWN_SHAPE


def save(function: Function, path: str | os.PathLike[str]) -> None:
    """Write a function to a CNTK v2 model file, whole or not at all.

    Args:
        function: the root; everything below it is written.
        path: the file; one of this name is replaced when the new one is complete.

    Raises:
        FormatError: if a part of the graph cannot be said in the format, or a parameter has no shape yet.

    Source: CNTK 2.7 ``Function.save``.
    """
    files.write(path, records.to_dictionary(describe(function)))


def to_bytes(function: Function) -> bytes:
    """The bytes of a function's CNTK v2 model file.

    Raises:
        FormatError: as :func:`save`.
    """
    return files.encode(records.to_dictionary(describe(function)))


def describe(function: Function, *, with_numbers: bool = True) -> records.ModelDescription:
    """The description of a function's graph.

    Args:
        function: the root.
        with_numbers: whether parameters have their values; without, the description is no file.

    Raises:
        FormatError: if a part of the graph cannot be said in the format.
    """
    writer = _Writer(with_numbers=with_numbers)
    writer.graph([function.node])
    return records.ModelDescription(
        root=writer.node_uid(function.node),
        variables=tuple(writer.variables.values()),
        functions=tuple(writer.functions),
        uid=function.uid if function.is_composite else new_uid("CompositeFunction"),
        name=function.name,
    )


_MIXING = ("times", "times_transpose")
"""Operators beside the elementwise ones that combine one sample for a sequence with frames."""


class _Writer:
    """One graph being described."""

    def __init__(self, *, with_numbers: bool = True) -> None:
        self.with_numbers = with_numbers
        self.variables: dict[str, records.VariableRecord] = {}
        self.functions: list[records.FunctionRecord] = []
        self.uids: dict[int, str] = {}
        self.taken: set[str] = set()
        self.done: set[int] = set()
        self.functions_by_uid: dict[str, records.FunctionRecord] = {}
        self.kept_alive: list[object] = []

    # ---- uids

    def unique(self, thing: Node | Variable) -> str:
        """The thing's uid in the file: its own, unless another thing has it (two copies of one loaded model)."""
        if id(thing) not in self.uids:
            uid = thing.uid
            while uid in self.taken:
                uid = new_uid(thing.op_name if isinstance(thing, Node) else thing.kind)
            self.uids[id(thing)] = uid
            self.taken.add(uid)
            self.kept_alive.append(thing)
        return self.uids[id(thing)]

    def node_uid(self, node: Node) -> str:
        return self.unique(node)

    def variable_uid(self, variable: Variable) -> str:
        """The uid by which a variable is read; describes leaves when they are met, and edges back as placeholders."""
        if variable.node is None:
            uid = self.unique(variable)
            if uid not in self.variables:
                numbers = variable.is_constant or self.with_numbers
                self.variables[uid] = _leaf(variable, uid, variable.kind, with_numbers=numbers)
            return uid
        uid = records.output_uid(self.node_uid(variable.node), variable.index)
        if id(variable.node) not in self.done and uid not in self.variables:
            self.variables[uid] = _leaf(variable, uid, "Placeholder")
        return uid

    # ---- functions

    def graph(self, roots: Iterable[Node]) -> None:
        """Describe everything below the roots."""
        for root in roots:
            below = [v for v in (*root.outputs, *root.inputs) if v.node is not root]
            order = [*walk.nodes([*below, *(o for o in root.outputs if o.node is root)])]
            for node in [*order, root]:
                if id(node) not in self.done:
                    self.node(node)
                    self.done.add(id(node))

    def node(self, node: Node) -> None:
        try:
            self.put(self.record(node))
        except LabError as error:
            where = f"saving function '{node.name or node.uid}' ({node.op_name})"
            raise FormatError(error.what, error.where or where, error.fix) from error

    def put(self, record: records.FunctionRecord) -> None:
        self.functions.append(record)
        self.functions_by_uid[record.uid] = record

    def record(self, node: Node) -> records.FunctionRecord:
        if node.block is not None and not _is_primitive(node):
            return self.block(node, node.block.outputs, node.block.arguments)
        if hasattr(node.function, "serialize") or node.op.kind == "user":
            return self.user(node)
        if node.op is compose.COMBINE:
            return self.plain(node, operators.NUMBERS["Combine"], (), {})
        form = _packed.FORMS.get(_bodies.public_name(node))
        if form is not None:
            return self.packed(node, form)
        if _bodies.is_inlined(node):
            return self.inlined(node, _bodies.body_of(node, node.inputs)[0])
        if _bodies.has_body(node):
            arguments = [stand_in(v) for v in node.inputs]
            return self.block(node, _bodies.body_of(node, arguments), arguments, _bodies.argument_order(node))
        stored = stored_form(node)
        if stored is None:
            raise FormatError(
                f"the operator {node.op.name!r} has no form in CNTK's files", fix="save in the ONNX format"
            )
        numbers = [] if _bodies.public_name(node) in operators.BY_OP or stored.attributes else self.numbers(node)
        return self.plain(node, stored.number, stored.order, stored.attributes, numbers)

    def plain(
        self, node: Node, number: int, order: Sequence[int], attributes: Dictionary, numbers: Sequence[str] = ()
    ) -> records.FunctionRecord:
        """A primitive function. ``order`` says for each of our operands where it stands in the file."""
        inputs = [self.variable_uid(v) for v in node.inputs]
        if node.op.kind == "elementwise" or _bodies.public_name(node) in _MIXING:
            inputs = self.along_sequences(node, inputs)
        if order:
            placed = list(inputs)
            for ours, theirs in enumerate(order):
                placed[theirs] = inputs[ours]
            inputs = placed
        if node.custom:
            attributes = {**attributes, "customAttributes": dict(node.custom)}
        return records.FunctionRecord(self.node_uid(node), number, (*inputs, *numbers), attributes, node.name)

    def along_sequences(self, node: Node, inputs: list[str]) -> list[str]:
        """Operands that have one sample for a sequence beside others with frames: repeated for every frame, as CNTK's
        own functions do before they combine them.
        """
        frames = [len(v.type.axes or ()) == 2 for v in node.inputs]
        if not any(frames):
            return inputs
        like = inputs[frames.index(True)]
        result = list(inputs)
        for i, variable in enumerate(node.inputs):
            if len(variable.type.axes or ()) == 1:
                uid = self.fresh("ReconcileDynamicAxis")
                self.put(records.FunctionRecord(uid, operators.NUMBERS["ReconcileDynamicAxis"], (inputs[i], like), {}))
                result[i] = records.output_uid(uid, 0)
        return result

    def inlined(self, node: Node, output: Variable) -> records.FunctionRecord:
        """An operator as several functions without a block: the last of them has the operator's uid and name."""
        root = output.node
        assert root is not None
        self.kept_alive.append(output)
        self.uids[id(root)] = self.node_uid(node)
        operands = {id(v) for v in node.inputs}

        def parts(variables: Sequence[Variable]) -> None:
            for variable in variables:
                part = variable.node
                if id(variable) not in operands and part is not None and id(part) not in self.done:
                    parts(part.inputs)
                    self.node(part)
                    self.done.add(id(part))

        parts(root.inputs)
        return replace(self.record(root), name=node.name)

    def numbers(self, node: Node) -> list[str]:
        """Attributes without default, which files hold as scalar constants behind the operands."""
        emitter = _packed.Emitter(self.fresh, node.inputs[0].type.dtype or "float32" if node.inputs else "float32")
        wanted = [p.name for p in node.op.attributes if p.default is inspect.Parameter.empty]
        uids = [emitter.constant(float(node.attributes[name])) for name in wanted]
        self.variables.update({v.uid: v for v in emitter.variables})
        return uids

    def block(
        self, node: Node, outputs: Sequence[Variable], arguments: Sequence[Variable], order: Sequence[int] | None = None
    ) -> records.FunctionRecord:
        """A block: the graph inside first, then the function that stands for it."""
        if not outputs:
            raise FormatError(
                "the block is not built yet: shapes of its operands are unknown", fix="bind its placeholders first"
            )
        root = outputs[0].node
        if root is None or len(outputs) > 1 or any(o.node is not root for o in root.outputs):
            root = compose.combine(outputs).node
        self.kept_alive.extend((root, *outputs, *arguments))
        outer = [self.variable_uid(v) for v in node.inputs[len(node.inputs) - len(arguments) :]]
        self.graph([root])
        inner = [self.variable_uid(p) for p in arguments]
        order = order or range(len(arguments))
        attributes = _bodies.block_attributes(node)
        if node.custom:
            attributes["customAttributes"] = dict(node.custom)
        mapped = [(inner[i], outer[i]) for i in order]
        return self.around(node, self.node_uid(root), mapped, _bodies.block_name(node), attributes)

    def around(
        self, node: Node, root: str, mapped: Sequence[tuple[str, str]], name: str, attributes: Dictionary
    ) -> records.FunctionRecord:
        """The function that stands for functions already put; its parameters and constants are in CNTK's order."""
        kept: dict[str, None] = {}
        done = {root}
        stack = [*reversed(self.functions_by_uid[root].inputs)]
        while stack:
            uid = stack.pop()
            owner = records.function_of_output(uid)
            if uid in self.variables:
                if self.variables[uid].kind in ("Parameter", "Constant"):
                    kept[uid] = None
            elif owner is not None and owner[0] not in done and owner[0] in self.functions_by_uid:
                done.add(owner[0])
                stack.extend(reversed(self.functions_by_uid[owner[0]].inputs))
        outside = {outer for _, outer in mapped}
        return records.FunctionRecord(
            self.node_uid(node),
            records.BLOCK,
            (*(uid for uid in kept if uid not in outside), *(outer for _, outer in mapped)),
            attributes,
            node.name,
            block=records.BlockRecord(name, root, tuple(mapped), new_uid("CompositeFunction")),
        )

    def packed(self, node: Node, form: _packed.Form) -> records.FunctionRecord:
        """A sequence operator that is several primitives in files, inside a block where CNTK has one."""
        name = _bodies.public_name(node)
        block = _packed.BLOCKS.get(name)
        if block is not None and node.uid.startswith(block.primitives):
            block = None  # it was read as the inside of such a block
        emitter = _packed.Emitter(self.fresh, node.inputs[0].type.dtype or "float32")
        axes, shapes = node.outputs[0].type.axes or (), [v.type.dims for v in node.inputs]
        operands = [self.variable_uid(v) for v in node.inputs]
        if block is None:
            form(emitter, _packed.Place(operands, axes, node.attributes, self.node_uid(node), node.name, shapes))
        else:
            arguments = [stand_in(v) for v in node.inputs]
            self.kept_alive.extend(arguments)
            inner, root = [self.variable_uid(a) for a in arguments], self.fresh(block.primitives[0])
            form(emitter, _packed.Place(inner, axes, node.attributes, root, "", shapes))
        self.variables.update({v.uid: v for v in emitter.variables})
        for part in emitter.functions[:-1] if block is None else emitter.functions:
            self.put(part)
        if block is None:
            return emitter.functions[-1]
        return self.around(node, root, list(zip(inner, operands, strict=True)), block.name, {})

    def fresh(self, kind: str) -> str:
        """A uid that nothing in the file has."""
        uid = new_uid(kind)
        while uid in self.taken:
            uid = new_uid(kind)
        self.taken.add(uid)
        return uid

    def user(self, node: Node) -> records.FunctionRecord:
        """A function of the user's own: the class that makes it, and the state it gives."""
        function = node.function
        state: Any = function.serialize() if function is not None and hasattr(function, "serialize") else {}
        state = {} if state is None else state
        kind = type(function)
        if not isinstance(state, dict):
            raise FormatError(
                f"serialize() gave a {type(state).__name__}, not a dictionary",
                fix="return a dictionary of plain values",
            )
        return records.FunctionRecord(
            self.node_uid(node),
            None,
            tuple(self.variable_uid(v) for v in node.inputs),
            name=node.name,
            version=0,
            user=records.UserRecord(
                kind.__module__,
                kind.__name__,
                getattr(function, "op_name", f"{kind.__module__}.{kind.__name__}"),
                state,
            ),
        )


def _is_primitive(node: Node) -> bool:
    """Whether an operator that is a block here is one primitive function in files."""
    return node.op.kind == "composite" and _bodies.public_name(node) in operators.BY_OP


def _leaf(variable: Variable, uid: str, kind: str, *, with_numbers: bool = True) -> records.VariableRecord:
    valued = kind in ("Parameter", "Constant")
    type_ = variable.type
    return records.VariableRecord(
        uid=uid,
        kind=kind,
        shape=type_.shape,
        dtype=type_.dtype,
        axes=() if valued else type_.axes,
        name=variable.name if kind != "Placeholder" or variable.node is None else "",
        sparse=type_.sparse and kind != "Placeholder",
        needs_gradient=variable.needs_gradient and kind in ("Parameter", "Input"),
        value=variable.value if valued and with_numbers else None,  # type: ignore[attr-defined]
    )


def _settled(node: Node) -> Mapping[str, Any]:
    """A node's attributes; a window over everything has the size that it has here, as in CNTK's files."""
    window = node.resolved.get("window")
    if node.attributes.get("pooling_window_shape") == UNKNOWN_SHAPE and window and min(window) > 0:
        return {**node.attributes, "pooling_window_shape": window}
    return node.attributes


def stored_form(node: Node) -> operators.Stored | None:
    """The primitive function that an operator is, from the table or from its declaration."""
    name = _bodies.public_name(node)
    ranks = [-1 if v.type.shape is None else len(v.type.shape) for v in node.inputs]
    if operators.is_reduction(name):
        return operators.write_reduction(name, node.attributes, ranks[0])
    if name in ("convolution", "convolution_transpose"):
        return operators.write_convolution(name, node.attributes, node.inputs[0].type.dims, ranks[1])
    stored = operators.write_use(name, _settled(node), len(node.inputs), ranks)
    if stored is not None or node.op.cntk.op is None or node.op.cntk.block is not None:
        return stored
    for candidate in (node.op.cntk.op, f"{node.op.cntk.op}Op", node.op.cntk.op.removesuffix("Op")):
        if candidate in operators.NUMBERS:
            return operators.Stored(operators.NUMBERS[candidate], (), {})
    return None
