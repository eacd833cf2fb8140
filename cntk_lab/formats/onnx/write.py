"""Function -> records of an ONNX model: the graph at the flat level, blocks kept as paths in the names of nodes.

Must not know bytes, nor how one operator is said (``_static_rules``, ``_sequence_rules``, ``_formulas``). Batch and
sequence axes are named dimensions, never sizes. What cannot be said is refused with the node, its line and the reason,
before anything is written.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

import cntk_lab.ops  # noqa: F401 - declares the operators
from cntk_lab.axis import Axis
from cntk_lab.engine.make.loops import parts_in_order, within_a_frame
from cntk_lab.errors import FormatError, LabError, NotAvailableError
from cntk_lab.formats.onnx import _sequence_rules, _static_rules
from cntk_lab.formats.onnx._formulas import Printer
from cntk_lab.formats.onnx._sheet import IR_VERSIONS, Held, Sheet
from cntk_lab.formats.onnx._static_rules import Use
from cntk_lab.formats.onnx.records import Dimension, Model, Type, Value
from cntk_lab.formats.onnx.tensors import ELEMENT_OF
from cntk_lab.formula import expr as e
from cntk_lab.formula.simplify import simplify
from cntk_lab.graph import infer, walk
from cntk_lab.graph.asks import apply
from cntk_lab.graph.function import Function
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import TensorType, Trait
from cntk_lab.graph.variable import Constant, Valued, Variable
from cntk_lab.tensor.shape import FREE

LOWEST, HIGHEST = min(IR_VERSIONS), max(IR_VERSIONS)
BATCH: Final = "batch"
AXES_KEY: Final = "cntk_lab.axes"
"""Entry of the metadata that says which inputs have which dynamic axes, as JSON."""


def describe(function: Function, opset: int | None = None) -> Model:
    """The ONNX model of a function.

    Args:
        function: the root; everything below it is written.
        opset: version of ONNX's operators, 17 to 21; default the lowest that has all that is needed.

    Returns:
        The model as records.

    Raises:
        FormatError: if something cannot be said in ONNX; names the node, its line and the reason.
    """
    opset = LOWEST if opset is None else int(opset)
    if opset not in IR_VERSIONS:
        raise FormatError(
            f"opset {opset} cannot be written", fix=f"leave opset out, or give a number from {LOWEST} to {HIGHEST}"
        )
    return _Writer(function, opset).model()


def axis_name(axis: Axis) -> str:
    """The name of a sequence axis in a file.

    Example:
        >>> axis_name(Axis.default_dynamic_axis()), axis_name(Axis("words"))
        ('sequence', 'words')
    """
    return "sequence" if axis == Axis.default_dynamic_axis() else axis.name


def _sequence_of(type_: TensorType) -> Axis | None:
    return next((a for a in type_.axes or () if a.is_sequence_axis), None)


class _Writer:
    """One function being written."""

    def __init__(self, function: Function, opset: int) -> None:
        self.function = function
        self.sheet = Sheet(opset)
        self.held: dict[int, Held] = {}
        self.inputs: list[Value] = []
        self.fed: list[dict[str, Any]] = []
        self.ends: dict[Axis, str] = {}
        self.examples: dict[Axis, Held] = {}
        self.scopes = _scopes(function.outputs)

    # ---- the whole

    def model(self) -> Model:
        """The records of the whole file."""
        roots = [walk.resolve(o) for o in self.function.outputs]
        if not roots:
            raise FormatError("a function without outputs is no model", fix="give a function that computes something")
        self.sheet.names |= {o.name for o in self.function.outputs if o.name}  # their names are theirs
        for argument in self.function.arguments:
            self._input(walk.resolve(argument))
        parts = parts_in_order(roots)
        self.readers = _readers(parts, roots)
        for part in parts:
            if len(part) > 1 or any(walk.resolve(v).node is part[0] for v in part[0].inputs):
                self._guarded(part[0], lambda part=part: self._loop(part))
            else:
                self._guarded(part[0], lambda node=part[0]: self._node(node))
        outputs = [self._output(o) for o in self.function.outputs]
        facts = {"inputs": self.fed, "outputs": [_axes_of(o.type) for o in self.function.outputs]}
        graph = self.sheet.graph(self.function.name or "model", self.inputs, outputs)
        return Model(
            IR_VERSIONS[self.sheet.opset], graph, (("", self.sheet.opset),), "CNTK Lab", _version(),
            metadata=((AXES_KEY, json.dumps(facts)),),
        )  # fmt: skip

    def _guarded(self, node: Node, write: Any) -> None:
        """Write a part; what cannot be said is told with its node and line."""
        try:
            write()
        except (NotAvailableError, LabError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(
                f"{node.op_name} cannot be written as ONNX: {error.what}", infer.where_of(node),
                error.fix or "save as CNTKv2, or export a function without it (clone a part of the graph)",
            ) from None  # fmt: skip

    # ---- leaves

    def _dims(self, type_: TensorType, name: str) -> tuple[Dimension, ...]:
        axes = type_.axes or ()
        sequence = _sequence_of(type_)
        lead = [BATCH] if axes else []
        if len(axes) > 1 and sequence is not None:
            lead.append(axis_name(sequence))
        free = (f"{name}_{at}" if d == FREE else d for at, d in enumerate(type_.dims))
        return (*lead, *free)

    def _input(self, variable: Variable) -> None:
        if variable.is_placeholder or variable.type.shape is None:
            raise FormatError(
                f"{variable} is not bound: its type is unknown", fix="replace the placeholders before saving"
            )
        axes = variable.type.axes or ()
        if len(axes) > 2 or (len(axes) == 1 and axes[0].is_sequence_axis):
            raise FormatError(
                f"input {variable.name or variable.uid} has the dynamic axes {', '.join(a.name for a in axes)}",
                fix="ONNX models are fed a batch axis, or a batch and a sequence axis",
            )
        name = self.sheet.fresh(variable.name or variable.uid)
        dtype = variable.type.dtype or "float32"
        self.inputs.append(Value(name, Type("tensor", ELEMENT_OF[dtype], self._dims(variable.type, name))))
        held = Held(name, len(axes), variable.type.dims, dtype)
        self.held[id(variable)] = held
        self.fed.append({"name": name, **_axes_of(variable.type)})
        axis = _sequence_of(variable.type)
        if axis is not None:
            self.examples.setdefault(axis, held)

    def value(self, variable: Variable) -> Held:
        """The name of a variable in the file."""
        variable = walk.resolve(variable)
        found = self.held.get(id(variable))
        if found is not None:
            return found
        assert isinstance(variable, Valued), variable
        if not variable.is_initialized() and not variable.type.dims:
            raise NotAvailableError(f"parameter {variable.name or variable.uid} has no values yet")
        values = np.asarray(variable.value)
        plain = isinstance(variable, Constant) and not variable.name and values.size <= 1
        scope = self.scopes.get(id(variable), "")
        wish = "" if plain else variable.name or variable.uid
        name = self.sheet.top.array(values, f"{scope}/{wish}" if scope and wish else wish)
        self.held[id(variable)] = Held(name, 0, tuple(values.shape), values.dtype.name)
        return self.held[id(variable)]

    # ---- sequence axes

    def lengths(self, axis: Axis) -> str:
        """Frames of each sequence of an axis; asked of the user as an input where nothing else says it."""
        if axis not in self.ends:
            name = self.sheet.fresh(f"{axis_name(axis)}_lengths")
            self.inputs.append(Value(name, Type("tensor", ELEMENT_OF["int64"], (BATCH,))))
            self.fed.append({"name": name, "lengths": axis_name(axis)})
            self.ends[axis] = name
        return self.ends[axis]

    def make(self, axis: Axis, lengths: str) -> None:
        """Note the lengths of a new axis."""
        self.ends.setdefault(axis, lengths)

    def like(self, axis: Axis) -> Held | None:
        """A value that has the axis."""
        return self.examples.get(axis)

    # ---- nodes

    def _node(self, node: Node) -> None:
        if not node.outputs or all(o.node is not node for o in node.outputs):
            return
        self.sheet.scope = self.scopes.get(id(node), "")
        operands = tuple(self.value(v) for v in node.inputs)
        use = Use(node.op, operands, _facts(node), tuple(o.type for o in node.outputs))
        names = self._written(self.sheet, node, use)
        for output, name in zip(node.outputs, names, strict=False):
            t = output.type
            held = Held(name, len(t.axes or ()), t.dims, t.dtype or "float32")
            self.held[id(output)] = held
            axis = _sequence_of(t)
            if axis is not None and held.lead == 2:
                self.examples.setdefault(axis, held)

    def _written(self, sheet: Sheet, node: Node, use: Use) -> Sequence[str]:
        """Names of a node's outputs, by the rule of its operator or by its formula."""
        op = node.op
        rule = _sequence_rules.RULES.get(op.name)
        found: Any = None
        if rule is not None:
            if sheet.outer is not None and op.name not in _sequence_rules.FRAME_BY_FRAME:
                raise NotAvailableError(f"{op.name} inside of a recurrence reads the whole sequence")
            found = rule(sheet, use, self, [_sequence_of(v.type) for v in node.inputs])
        elif op.name in _static_rules.RULES:
            found = _static_rules.RULES[op.name](sheet, use)
        if found is not None:
            return [found] if isinstance(found, str) else list(found)
        formula = op.inference or op.formula
        if formula is None:
            raise NotAvailableError("ONNX has no operator for it")
        return self._by_formula(sheet, node, use, formula)

    def _by_formula(self, sheet: Sheet, node: Node, use: Use, rule: Any) -> list[str]:
        if node.op.has(Trait.STATEFUL):
            raise NotAvailableError("a model in ONNX cannot change its own values")
        operands = list(use.operands)
        names = _operand_names(node)
        if node.op.views is not None:
            shapes = apply(node.op.views, {**infer.scope_of(node, node.types), **node.resolved})
            for at, (held, name) in enumerate(zip(operands, names, strict=True)):
                if shapes.get(name) not in (None, held.dims):
                    operands[at] = Held(sheet.reshaped(held.name, shapes[name]), 0, shapes[name], held.dtype)
        exprs = [e.input_(str(at)) for at in range(len(operands))]
        scope = {**node.attributes, **node.resolved, **_by_name(node, exprs), "training": False}
        made = apply(rule, scope)
        formulas = simplify(made if isinstance(made, tuple) else (made,))
        dtype = use.dtype
        cast = [h if h.dtype == dtype else replace(h, name=sheet.cast(h.name, dtype), dtype=dtype) for h in operands]

        def lengths() -> str:
            if sheet.outer is not None:
                raise NotAvailableError("a reduction over all frames inside of a recurrence")
            return self.lengths(next(a for v in node.inputs if (a := _sequence_of(v.type)) is not None))

        printer = Printer(sheet, {str(at): h for at, h in enumerate(cast)}, dtype, lengths)
        return [
            printer.value(formula, len(t.axes or ()), t.dims)
            for formula, t in zip(formulas, use.outputs, strict=True)
        ]  # fmt: skip

    # ---- recurrences

    def _loop(self, part: list[Node]) -> None:
        """A recurrence as Scan: delays are its states, what is read from outside is scanned frame by frame."""
        order = within_a_frame(part)
        members = {id(n) for n in part}
        delays = [n for n in order if n.op.has(Trait.RECURRENT)]
        axis = _sequence_of(delays[0].outputs[0].type)
        assert axis is not None
        reverse = delays[0].resolved["offset"] < 0
        self.sheet.scope = self.scopes.get(id(delays[0]), "")
        loop = _Scan(self, axis, reverse=reverse)
        for node in order:
            for v in node.inputs:
                source = walk.resolve(v)
                if source.node is None or id(source.node) not in members:
                    loop.read(source, self.value(v))
        loop.states(delays)
        for node in order:
            if not node.op.has(Trait.RECURRENT):
                loop.node(node)
        wanted = [o for n in order for o in n.outputs if self.readers.get(id(o), set()) - members]
        for output, name in zip(wanted, loop.finish(delays, wanted), strict=True):
            t = output.type
            self.held[id(output)] = Held(name, len(t.axes or ()), t.dims, t.dtype or "float32")

    # ---- outputs

    def _output(self, output: Variable) -> Value:
        held = self.value(output)
        name = output.name or walk.resolve(output).name or output.uid
        taken = {v.name for v in self.inputs} | self.sheet.initializers.keys()
        while name in taken or any(name in n.outputs for n in self.sheet.nodes):
            name += "_"
        self.sheet.scope = ""
        self.sheet.nodes.append(replace(_identity(held.name, name), name=self.sheet.fresh(f"output/{name}")))
        type_ = Type("tensor", ELEMENT_OF[held.dtype], self._output_dims(output.type))
        return Value(name, type_)

    def _output_dims(self, type_: TensorType) -> tuple[Dimension, ...]:
        dims = self._dims(type_, "")
        return tuple(None if isinstance(d, str) and d.startswith("_") else d for d in dims)


def _version() -> str:
    try:
        return importlib.metadata.version("cntk-lab")
    except importlib.metadata.PackageNotFoundError:  # run from its sources
        return ""


def _identity(source: str, name: str) -> Any:
    from cntk_lab.formats.onnx.records import Node as Record

    return Record("Identity", (source,), (name,))


class _Scan:
    """One recurrence being written."""

    def __init__(self, writer: _Writer, axis: Axis, *, reverse: bool) -> None:
        self.writer, self.axis, self.reverse = writer, axis, reverse
        self.outer = writer.sheet
        self.body = Sheet(self.outer.opset, self.outer)
        self.held: dict[int, Held] = {}
        self.scanned: list[tuple[str, str, Held]] = []
        """What is scanned: its name outside, its name inside, and what it is inside."""
        self.state_names: list[list[str]] = []
        self.starts: list[str] = []
        self.types: list[Held] = []

    def read(self, variable: Variable, held: Held) -> None:
        """A value from outside: frames are scanned, all else is read by its name."""
        if id(variable) in self.held:
            return
        if held.lead < 2:
            self.held[id(variable)] = held
            return
        inside = Held(self.outer.fresh(f"{held.name}.frame"), 1, held.dims, held.dtype)
        self.scanned.append((held.name, inside.name, inside))
        self.held[id(variable)] = inside

    def states(self, delays: Sequence[Node]) -> None:
        """Each delay's states: the last values, the latest first."""
        example = self.scanned[0][0] if self.scanned else None
        if example is None:
            found = self.writer.like(self.axis)
            if found is None:
                raise NotAvailableError("a recurrence that reads no sequence")
            example = found.name
            inside = Held(self.outer.fresh(f"{example}.frame"), 1, found.dims, found.dtype)
            self.scanned.append((example, inside.name, inside))
        batch = self.outer.dim(example, 0)
        for node in delays:
            t = node.outputs[0].type
            start = _sequence_rules.expanded(self.outer, self.writer.value(node.inputs[1]), t.dims, batch)
            steps = abs(node.resolved["offset"])
            dtype = t.dtype or "float32"
            names = [self.outer.fresh("state") for _ in range(steps)]
            self.state_names.append(names)
            self.starts.extend([start] * steps)
            self.types.extend(Held(n, 1, t.dims, dtype) for n in names)
            self.held[id(node.outputs[0])] = Held(names[-1], 1, t.dims, dtype)
        if self.reverse:
            frames = self.outer.squeezed(self.outer.dim(example, 1), [0])
            real = _sequence_rules.mask(self.outer, self.writer.lengths(self.axis), frames)
            self.real = self.outer.fresh("is_frame")
            self.scanned.append((real, self.real, Held(self.real, 1, (), "bool")))

    def node(self, node: Node) -> None:
        """One node of a frame."""
        operands = tuple(self.held[id(walk.resolve(v))] for v in node.inputs)
        types = tuple(replace(o.type, axes=(o.type.axes or ())[:1]) for o in node.outputs)
        self.body.scope = self.writer.scopes.get(id(node), "")
        names = self.writer._written(self.body, node, Use(node.op, operands, _facts(node), types))
        for output, name, t in zip(node.outputs, names, types, strict=False):
            self.held[id(output)] = Held(name, len(t.axes or ()), t.dims, t.dtype or "float32")

    def finish(self, delays: Sequence[Node], wanted: Sequence[Variable]) -> list[str]:
        """Write the Scan; the names of the values that are read outside."""
        body = self.body
        after: list[str] = []
        for node, names in zip(delays, self.state_names, strict=True):
            t, source = node.outputs[0].type, self.held[id(walk.resolve(node.inputs[0]))]
            latest = source.name
            if source.dims != t.dims or not source.lead:
                rows = body.op("Shape", names[0], start=0, end=1)
                dims = body.op("Concat", rows, body.ints(*t.dims), axis=0) if t.dims else rows
                latest = body.op("Expand", body.aligned(source, 1, len(t.dims)), dims)
            following = [latest, *names[:-1]]
            if self.reverse:
                real = body.unsqueezed(self.real, list(range(1, 1 + len(t.dims))))
                following = [body.op("Where", real, new, old) for new, old in zip(following, names, strict=True)]
            after.extend(body.op("Identity", n) for n in following)
        collected = [body.op("Identity", self.held[id(v)].name) for v in wanted]
        kinds = [self.held[id(v)] for v in wanted]
        inputs = [*(_frame_value(h.name, h) for h in self.types), *(_frame_value(n, h) for _, n, h in self.scanned)]
        outputs = [*(_frame_value(n, h) for n, h in zip(after, self.types, strict=True)),
                   *(_frame_value(n, h) for n, h in zip(collected, kinds, strict=True))]  # fmt: skip
        graph = body.graph(self.outer.fresh("recurrence"), inputs, outputs)
        count, way = len(self.scanned), int(self.reverse)
        made = self.outer.node(
            "Scan", [*self.starts, *(n for n, _, _ in self.scanned)], len(after) + len(wanted),
            body=graph, num_scan_inputs=count, scan_input_axes=(1,) * count, scan_input_directions=(way,) * count,
            scan_output_axes=(1,) * len(wanted) or None, scan_output_directions=(way,) * len(wanted) or None,
        )  # fmt: skip
        return made[len(after) :]


def _frame_value(name: str, held: Held) -> Value:
    dims = (*([BATCH] if held.lead else []), *(None if d == FREE else d for d in held.dims))
    return Value(name, Type("tensor", ELEMENT_OF[held.dtype], dims))


# ---- facts of the graph


def _facts(node: Node) -> Mapping[str, Any]:
    facts = {**node.attributes, **node.resolved}
    if node.op.contraction is not None:
        facts["contraction"] = apply(node.op.contraction, {**infer.scope_of(node, node.types), **node.resolved})
    return facts


def _operand_names(node: Node) -> list[str]:
    found: list[str] = []
    for p in node.op.operands:
        found.extend([p.name] * (len(node.inputs) - len(found)) if p.variadic else [p.name])
    return found[: len(node.inputs)]


def _by_name(node: Node, exprs: Sequence[e.Expr]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    position = 0
    for p in node.op.operands:
        if p.variadic:
            found[p.name] = list(exprs[position:])
            position = len(exprs)
        else:
            found[p.name] = exprs[position] if position < len(exprs) else None
            position += 1
    return found


def _readers(parts: Iterable[Sequence[Node]], roots: Iterable[Variable]) -> dict[int, set[int]]:
    """Variable -> the nodes that read it; 0 stands for whoever runs the model."""
    found: dict[int, set[int]] = {}
    for part in parts:
        for node in part:
            for v in walk.resolved_inputs(node):
                found.setdefault(id(v), set()).add(id(node))
    for root in roots:
        found.setdefault(id(root), set()).add(0)
    return found


def _axes_of(type_: TensorType) -> dict[str, Any]:
    return {"axes": [axis_name(a) if a.is_sequence_axis else BATCH for a in type_.axes or ()]}


def _scopes(roots: Sequence[Variable]) -> dict[int, str]:
    """Node, or parameter -> the path of blocks around it; of a parameter the innermost block that reads it."""
    found: dict[int, str] = {}
    stack: list[tuple[Sequence[Variable], str]] = [(roots, "")]
    while stack:
        level, path = stack.pop()
        taken: dict[str, int] = {}
        for node in walk.nodes(level):
            block = node.block
            if block is None or not block.built:
                found.setdefault(id(node), path)
            else:
                label = (node.name or node.op_name).replace("/", ".")
                taken[label] = taken.get(label, 0) + 1
                label = label if taken[label] == 1 else f"{label}_{taken[label]}"
                stack.append((block.outputs, f"{path}/{label}"))
            for v in node.inputs:
                if isinstance(v, Valued):
                    found[id(v)] = path if len(path) > len(found.get(id(v), "")) else found.get(id(v), path)
    return found
