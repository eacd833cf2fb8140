"""Records of an ONNX model -> Function: evaluates, trains, clones, shows and is saved like any other.

Must not know bytes, nor how one operator is built (the four ``_read_`` modules). Weights become
parameters, running statistics constants. A symbolic first dimension of an input is the batch axis, further ones are
free axes; ``axes`` says otherwise by hand. An operator that is not known is named with all its places.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from cntk_lab import ops
from cntk_lab.axis import Axis
from cntk_lab.errors import FormatError, LabError
from cntk_lab.formats.onnx import _read_math, _read_quantised, _read_shape, _read_windows, tensors
from cntk_lab.formats.onnx._read_math import Call, Rule, element_name
from cntk_lab.formats.onnx._values import Known, Live, Value, held, live
from cntk_lab.formats.onnx.description import read as described
from cntk_lab.formats.onnx.records import DEFAULT_DOMAINS, Attribute, Graph, LocalFunction, Model, Node, Tensor
from cntk_lab.formats.onnx.records import Value as Named
from cntk_lab.graph import compose
from cntk_lab.graph.function import Function
from cntk_lab.graph.variable import Parameter
from cntk_lab.tensor.shape import FREE

RULES: Final[dict[str, Rule]] = {
    **_read_math.RULES,
    **_read_shape.RULES,
    **_read_windows.RULES,
    **_read_quantised.RULES,
}
"""Operator of ONNX -> what builds it."""
OLDEST: Final = 6
"""Lowest version of ONNX's operators that is read; that one broadcasts from a stated axis on."""
BATCH_MARKS: Final = ("#", "batch")
MOST_PLACES: Final = 50
"""Places of an operator that is not known, as a message names them."""
DEEPEST: Final = 32
"""Calls of functions inside each other."""

Axes = Mapping[str, Sequence[Any]]


def load(
    model: str | os.PathLike[str] | bytes | bytearray | memoryview,
    axes: Axes | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Function:
    """The function in an ONNX file.

    Args:
        model: the file's name, or the file's bytes.
        axes: for inputs by name what their axes are: "#" for the batch axis, a size for a static one, None for a free
            one; default is that a first dimension that is a name is the batch axis.
        constants: inputs by name that are numbers once and for all.

    Returns:
        A Function whose arguments have the names of the file's inputs.

    Raises:
        FormatError: if the file is damaged, or says something that is not computed here; names it with its places.

    Source: ONNX IR specification and operator specifications, versions 7 and later.
    """
    source = "bytes" if not isinstance(model, (str, os.PathLike)) else str(os.fspath(model))
    data = Path(model).read_bytes() if isinstance(model, (str, os.PathLike)) else bytes(model)
    return build(described(data, source), source, axes, constants)


def build(
    model: Model, source: str = "bytes", axes: Axes | None = None, constants: Mapping[str, Any] | None = None
) -> Function:
    """The function that records say; see :func:`load`.

    Raises:
        FormatError: as there.
    """
    version = max((v for domain, v in model.opsets if domain in DEFAULT_DOMAINS), default=1)
    if version < OLDEST:
        raise FormatError(
            f"the model uses version {version} of ONNX's operators; those from {OLDEST} on are read", source,
            "convert it with onnx.version_converter",
        )  # fmt: skip
    try:
        return _Builder(model, source, version, axes or {}, constants or {}).function()
    except FormatError:
        raise
    except LabError as error:
        raise FormatError(error.what, error.where or source, error.fix) from None


class _Builder:
    """One file whose graph is being built."""

    def __init__(self, model: Model, source: str, version: int, axes: Axes, constants: Mapping[str, Any]) -> None:
        self.model, self.source, self.version = model, source, version
        self.axes, self.constants = axes, constants
        self.functions = {(f.domain, f.name): f for f in model.functions}
        self.depth = 0
        self.sample: Live | None = None

    def function(self) -> Function:
        """The whole file as a function."""
        graph = self.model.graph
        self._know_all(graph)
        scope: dict[str, Value] = {}
        for tensor in graph.initializers:
            scope[tensor.name] = self._tensor(tensor)
        for named in graph.inputs:
            if named.name in self.constants:
                scope[named.name] = Known(np.asarray(self.constants[named.name]))
            elif named.name not in scope:
                scope[named.name] = self._input(named)
        self._nodes(graph.nodes, scope)
        outputs = [self._output(scope, named) for named in graph.outputs]
        if len(outputs) == 1 and isinstance(outputs[0], Function):
            return outputs[0]
        return compose.combine(outputs)

    def _know_all(self, graph: Graph) -> None:
        """See that every operator is known, before anything is built."""
        missing: dict[str, list[str]] = defaultdict(list)
        for node in self._all_nodes(graph.nodes):
            if node.op not in RULES or node.domain not in DEFAULT_DOMAINS:
                name = node.op if node.domain in DEFAULT_DOMAINS else f"{node.domain}.{node.op}"
                missing[name].append(node.name or (node.outputs[0] if node.outputs else "?"))
        if missing:
            said = "; ".join(
                f"{name} ({len(places)}: {', '.join(p[:60] for p in places[:MOST_PLACES])}"
                f"{' …' if len(places) > MOST_PLACES else ''})"
                for name, places in sorted(missing.items())
            )
            raise FormatError(
                f"operators that are not computed here: {said}", self.source,
                "look at the graph with lab.show(file); convert the model without them",
            )  # fmt: skip

    def _all_nodes(self, nodes: Iterable[Node], depth: int = 0) -> Iterable[Node]:
        for node in nodes:
            called = self.functions.get((node.domain, node.op))
            if called is None:
                yield node
            elif depth < DEEPEST:
                yield from self._all_nodes(called.nodes, depth + 1)

    # ---- leaves

    def _tensor(self, tensor: Tensor) -> Value:
        """A stored tensor: weights are parameters; whole numbers, and single numbers, are known."""
        if tensor.external is not None:
            raise FormatError(
                f"the values of {tensor.name!r} lie in another file: {tensors.external_in_words(tensor)}", self.source,
                "save the model with its values inside: onnx.save(onnx.load(file), file)",
            )  # fmt: skip
        values = tensors.array(tensor)
        if values is None:
            if tensor.texts is not None or tensors.size(tensor):
                raise FormatError(f"tensor {tensor.name!r} has no numbers", self.source, "convert the file")
            values = np.zeros(tensor.dims, element_name(tensor.element))
        values = np.array(values)
        if values.dtype.kind != "f" or values.size <= 1:
            return Known(values)
        return Live(
            Parameter(values.shape, init=values, dtype=held(values.dtype.name), name=tensor.name), 0, values.dtype.name
        )

    def _input(self, named: Named) -> Live:
        type_ = named.type
        if type_ is None or type_.kind != "tensor" or type_.dims is None:
            raise FormatError(
                f"input {named.name!r} is {tensors.type_in_words(type_)}: a tensor of known rank is needed",
                self.source,
                "convert the file",
            )
        kind = element_name(type_.element)
        dims: list[Any] = list(type_.dims)
        if named.name in self.axes:
            dims = list(self.axes[named.name])
            if len(dims) != len(type_.dims):
                raise FormatError(
                    f"axes= says {len(dims)} axes of input {named.name!r}, which has {len(type_.dims)}", self.source,
                    "say one for each: '#' for the batch axis, a size, or None for a free axis",
                )  # fmt: skip
            batch = bool(dims) and (dims[0] in BATCH_MARKS or (isinstance(dims[0], Axis) and dims[0].is_batch_axis))
        else:
            batch = bool(dims) and not isinstance(dims[0], int)
        static = tuple(d if isinstance(d, int) else FREE for d in (dims[1:] if batch else dims))
        dynamic = [Axis.default_batch_axis()] if batch else []
        variable = ops.input_variable(static, held(kind), needs_gradient=False, dynamic_axes=dynamic, name=named.name)
        found = Live(variable, int(batch), kind)
        if batch and self.sample is None:
            self.sample = found
        return found

    # ---- nodes

    def _nodes(self, nodes: Iterable[Node], scope: dict[str, Value]) -> None:
        for node in nodes:
            called = self.functions.get((node.domain, node.op))
            try:
                found = self._call(called, node, scope) if called is not None else self._one(node, scope)
            except FormatError as error:
                if error.where:
                    raise
                raise FormatError(error.what, self._where(node), error.fix) from None
            except LabError as error:
                raise FormatError(f"{node.op}: {error.what}", self._where(node), error.fix) from None
            except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
                raise FormatError(
                    f"{node.op} says something that fits no such operator: {error!s:.200}", self._where(node),
                    "the file is damaged, or uses a form of the operator that is not computed here",
                ) from error  # fmt: skip
            scope.update({name: value for name, value in zip(node.outputs, found, strict=False) if name})

    def _where(self, node: Node) -> str:
        return f"{self.source}, node {node.name or (node.outputs[0] if node.outputs else node.op)!r}"

    def _one(self, node: Node, scope: Mapping[str, Value]) -> list[Value]:
        inputs = tuple(self._value(scope, name) for name in node.inputs)
        attributes = {a.name: a.value for a in node.attributes}
        if self.version == OLDEST and "axis" in attributes and attributes.get("broadcast"):
            inputs = _from_axis(inputs, int(attributes["axis"]))  # type: ignore[arg-type]
        call = Call(node.op, inputs, attributes, self.version, len([o for o in node.outputs if o]), self.sample)
        found = _read_shape.folded(call)
        if found is None:
            found = RULES[node.op](call)
        listed = found if isinstance(found, list) else [found]
        for value in listed:
            if (
                isinstance(value, Live)
                and isinstance(value.variable, Function)
                and not value.variable.name
                and node.name
            ):
                value.variable.name = node.name
        return listed

    def _value(self, scope: Mapping[str, Value], name: str) -> Value | None:
        if not name:
            return None
        if name not in scope:
            raise FormatError(f"{name!r} is read, but nothing gives it", fix="the file is damaged")
        return scope[name]

    def _call(self, function: LocalFunction, node: Node, scope: Mapping[str, Value]) -> list[Value]:
        """A call of a function that the file defines."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise FormatError(f"functions call each other deeper than {DEEPEST}", fix="the file is damaged")
        given = {a.name: a for a in node.attributes}
        inside: dict[str, Value] = {}
        for name, value in zip(function.inputs, node.inputs, strict=False):
            if value:
                found = self._value(scope, value)
                assert found is not None
                inside[name] = found
        self._nodes([_bound(n, given) for n in function.nodes], inside)
        self.depth -= 1
        return [inside[name] for name in function.outputs]

    def _output(self, scope: Mapping[str, Value], named: Named) -> Any:
        value = self._value(scope, named.name)
        if value is None:
            raise FormatError("an output without a name", self.source, "the file is damaged")
        variable = live(value).variable
        if isinstance(variable, Function) and not variable.name and len(variable.outputs) == 1:
            variable.name = named.name
            return variable
        return ops.alias(variable, name=named.name)


def _from_axis(inputs: tuple[Value | None, ...], axis: int) -> tuple[Value | None, ...]:
    """Operands of version 6, whose second one begins at an axis of the first, for broadcasting from the right."""
    a, b = inputs[0], inputs[1]
    if a is None or b is None:
        return inputs
    x, y = live(a), live(b)
    more = x.rank - (axis + x.rank if axis < 0 else axis) - y.rank
    return a, Live(ops.reshape(y.variable, (*y.dims, *[1] * more)), y.lead, y.kind) if more > 0 else b


def _bound(node: Node, given: Mapping[str, Attribute]) -> Node:
    """A node of a function with the attributes of its call put in."""
    found = []
    for attribute in node.attributes:
        if not attribute.reference:
            found.append(attribute)
        elif attribute.reference in given:
            found.append(Attribute(attribute.name, given[attribute.reference].value))
    return Node(node.op, node.inputs, node.outputs, node.name, node.domain, node.overload, tuple(found), node.doc)
