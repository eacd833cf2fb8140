"""What an ONNX file says -> a graph as plain data, for viewers and logs.

Must not know bytes, nor what operators compute: only that any attribute may hold a graph and, of If, Loop and Scan,
which values go into a body and come back to it. Blocks are the model, the scopes that exporters leave in the names of
nodes ("/encoder/layer.0/Add") or beside them, local functions at each of their calls, and bodies. Nothing is refused
for being unusual: a node that reads what nobody gives is shown with its problem.

ONNX has no dynamic axes, but named sizes: those in front of a shape become the axes of the graph ("N"), the others
are free dimensions whose names stand among the attributes.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from cntk_lab.errors import FormatError
from cntk_lab.formats.onnx import _words as words
from cntk_lab.formats.onnx import shapes
from cntk_lab.formats.onnx._calls import check_calls
from cntk_lab.formats.onnx._scopes import Scope, scopes_of
from cntk_lab.formats.onnx.records import (
    DEFAULT_LIMITS,
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
from cntk_lab.graph.inspect import FORMAT, VERSION

EDGES_PER_NODE: Final = 8
"""Edges that a graph may have for each node of the limit."""
_ADVICE: Final = "the model is not one that a runtime would run: ask whoever wrote it"


def graph_of(
    model: Model, source: str = "", limits: Limits = DEFAULT_LIMITS
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The graph of a model as plain data, and the tensors in it.

    Args:
        model: what a file says.
        source: the file's name, for messages.
        limits: ``nodes`` holds for all nodes that are shown, those of a function at each of its calls.

    Returns:
        The graph, of the form that ``engine.inspect.graph_snapshot`` gives, and uid -> tensor of its parameters and
        constants.

    Raises:
        FormatError: if functions call themselves, or each other so often that the graph grows past the limit.

    Example:
        >>> graph, _ = graph_of(Model(8, Graph("g", (Node("Relu", ("x",), ("y",)),))))
        >>> [(node["op"], node.get("problem")) for node in graph["nodes"]]
        [('Model', None), ('Relu', "reads 'x', which nothing gives")]
    """
    functions = {(words.domain_of(f.domain), f.name, f.overload): f for f in model.functions}
    check_calls(model.graph, functions, limits.nodes, source)
    drawing = _Drawing(model, functions, EDGES_PER_NODE * limits.nodes, source)
    return drawing.whole(), drawing.tensors


class _Names:
    """What the names of one graph stand for: the nodes that give a value, and its type; then those of graphs around."""

    def __init__(self, outer: _Names | None = None) -> None:
        self.outer = outer
        self.sources: dict[str, tuple[str, ...]] = {}
        self.types: dict[str, Type] = {}
        self.numbers: dict[str, shapes.Dims] = {}
        """Elements of small integer tensors: shapes, axes, pads."""

    def add_types(self, *groups: Iterable[Value]) -> None:
        for value in itertools.chain(*groups):
            if value.type is not None:
                self.types[value.name] = value.type

    def source(self, name: str) -> tuple[str, ...] | None:
        level: _Names | None = self
        while level is not None:
            if name in level.sources:
                return level.sources[name]
            level = level.outer
        return None

    def type(self, name: str) -> Type | None:
        level: _Names | None = self
        while level is not None:
            if name in level.types:
                return level.types[name]
            level = level.outer
        return None

    def number(self, name: str) -> shapes.Dims | None:
        level: _Names | None = self
        while level is not None:
            if name in level.numbers:
                return level.numbers[name]
            level = level.outer
        return None


class _Drawing:
    """Nodes and edges as they are collected."""

    def __init__(
        self, model: Model, functions: dict[tuple[str, str, str], LocalFunction], most_edges: int, source: str
    ) -> None:
        self.model, self.functions, self.most_edges, self.where = model, functions, most_edges, source
        self.opset = next((version for domain, version in model.opsets if not words.domain_of(domain)), 0)
        self.nodes: dict[str, dict[str, Any]] = {}
        self.edges: list[dict[str, Any]] = []
        self.tensors: dict[str, Tensor] = {}
        self.numbers: Counter[str] = Counter()
        self.worked_out = 0
        self.waiting: list[tuple[str, _Names, str, int, bool]] = []
        """Edges to draw once everything has its name: (value, names, uid of the reader, port, recurrent)."""

    def whole(self) -> dict[str, Any]:
        """The graph of the file."""
        graph, names = self.model.graph, _Names()
        given = {t.name for t in graph.initializers} | {s.values.name for s in graph.sparse_initializers}
        names.add_types(graph.values, graph.outputs, graph.inputs)
        for value in graph.inputs:
            if value.name not in given:
                names.sources[value.name] = (self.leaf("input", "Input", value, None),)
        first = next((value.type for value in graph.outputs), None)
        root = self.add("Model", "block", graph.name, first, None, words.facts(self.model))
        self.level(graph, names, root, scopes_of(graph.nodes))
        outputs: list[str] = []
        for value in graph.outputs:
            for uid in names.source(value.name) or ():
                outputs.append(uid)
                self.nodes[uid]["attributes"].setdefault("output of the model", words.cut(value.name))
        if self.worked_out:
            said = f"{self.worked_out} worked out here from operators; the file gives the others"
            self.nodes[root]["attributes"]["shapes"] = said
        self.draw_edges()
        name = words.cut(graph.name) or "model"
        return {
            "format": FORMAT, "version": VERSION, "name": name, "nodes": list(self.nodes.values()),
            "edges": self.edges, "outputs": list(dict.fromkeys(outputs)),
        }  # fmt: skip

    # ---- levels

    def level(self, graph: Graph, names: _Names, parent: str, scopes: Sequence[Scope | None] = ()) -> None:
        """What one graph holds: the tensors it starts with, then its nodes."""
        inputs = {value.name for value in graph.inputs}
        for tensor in graph.initializers:
            names.sources[tensor.name] = (self.tensor(tensor, parent, tensor.name in inputs),)
            names.types[tensor.name] = Type("tensor", tensor.element, tensor.dims)
            self.follow(tensor, tensor.name, names)
        for sparse in graph.sparse_initializers:
            names.sources[sparse.values.name] = (self.sparse(sparse, parent),)
        self.row(graph.nodes, names, parent, scopes)

    def row(self, nodes: Iterable[Node], names: _Names, parent: str, scopes: Sequence[Scope | None] = ()) -> None:
        """Nodes of one graph or function, in its order."""
        blocks: dict[int, str] = {}
        for node, scope in itertools.zip_longest(nodes, scopes):
            around = parent if scope is None else self.scope(scope, parent, blocks)
            graphs = [(a.name, a.value) for a in node.attributes if isinstance(a.value, Graph)]
            for a in node.attributes:
                if isinstance(a.value, tuple):
                    graphs += [(f"{a.name}[{i}]", g) for i, g in enumerate(a.value) if isinstance(g, Graph)]
            function = self.functions.get((words.domain_of(node.domain), node.op, node.overload))
            if node.op == "Constant" and function is None and not words.domain_of(node.domain) and not graphs:
                given: tuple[tuple[str, ...], ...] = ((self.constant(node, names, around),),)
            elif function is not None:
                given = self.call(node, function, names, around)
            elif graphs:
                given = self.bodies(node, graphs, names, around)
            else:
                self.work_out(node, names)
                uid = self.use("function", node, names, around)
                self.waiting += [(name, names, uid, port, False) for port, name in enumerate(node.inputs) if name]
                given = ((uid,),) * len(node.outputs)
            if scope is not None and given and given[0]:
                self.spread(given[0][0], around)
            for name, sources in zip(node.outputs, given, strict=False):
                if name and name in names.sources and sources:
                    self.trouble(sources[0], f"gives {words.cut(name)!r}, which something before it gives already")
                elif name:
                    names.sources[name] = sources

    def work_out(self, node: Node, names: _Names) -> None:
        """The types of a node's outputs that the file does not give, where they follow from its inputs."""
        if words.domain_of(node.domain):
            return
        types = [names.type(name) if name else None for name in node.inputs]
        numbers = [names.number(name) if name else None for name in node.inputs]
        for name, type_ in zip(node.outputs, shapes.types_of(node, types, numbers, self.opset), strict=True):
            if name and type_ is not None and name not in names.types:
                names.types[name] = type_
                self.worked_out += type_.dims is not None
        found = shapes.numbers_of(node, types, numbers)
        if found is not None and node.outputs:
            names.numbers[node.outputs[0]] = found

    def follow(self, tensor: Tensor, name: str, names: _Names) -> None:
        """Remember the elements of a tensor that may be a shape."""
        numbers = shapes.numbers_in(tensor)
        if numbers is not None:
            names.numbers[name] = numbers

    def scope(self, scope: Scope, parent: str, blocks: dict[int, str]) -> str:
        """The block of a scope; it and those around it are made when they are met first."""
        if scope.number not in blocks:
            around = parent if scope.outer is None else self.scope(scope.outer, parent, blocks)
            blocks[scope.number] = self.add(scope.kind, "block", scope.name, None, around, {})
        return blocks[scope.number]

    def spread(self, uid: str, block: str) -> None:
        """Let a block, and those around it, look like what the last of its nodes gives."""
        at: str | None = block
        last = self.nodes[uid]
        while at is not None and self.nodes[at]["op"] != "Model":
            if last["dtype"]:
                self.nodes[at].update({key: last[key] for key in ("shape", "axes", "dtype")})
            at = self.nodes[at]["parent"]

    def call(self, node: Node, function: LocalFunction, names: _Names, parent: str) -> tuple[tuple[str, ...], ...]:
        """A call of a local function: a block with the function's nodes, which read what the call is given."""
        uid = self.use("block", node, names, parent)
        if function.doc:
            self.nodes[uid]["attributes"].setdefault("doc", words.cut(function.doc))
        inside = _Names()
        inside.add_types(function.values)
        for formal, actual in itertools.zip_longest(function.inputs, node.inputs, fillvalue=""):
            if formal:
                inside.sources[formal] = (names.source(actual) or ()) if actual else ()
                type_ = names.type(actual) if actual else None
                if type_ is not None:
                    inside.types.setdefault(formal, type_)
                numbers = names.number(actual) if actual else None
                if numbers is not None:
                    inside.numbers[formal] = numbers
        self.row(function.nodes, inside, uid)
        return tuple(inside.source(name) or (uid,) for name in function.outputs)

    def bodies(
        self, node: Node, graphs: Sequence[tuple[str, Graph]], names: _Names, parent: str
    ) -> tuple[tuple[str, ...], ...]:
        """A node that holds graphs: a block with them, and edges from what goes into them and what comes back."""
        uid = self.use("block", node, names, parent)
        result: list[dict[str, None]] = [{} for _ in node.outputs]
        if node.op == "If":
            asked = next(iter(node.inputs), "")
            condition = self.add("Condition", "placeholder", asked, names.type(asked), uid, {})
            self.waiting.append((asked, names, condition, 0, False))
        for name, graph in graphs:
            type_ = next((value.type for value in graph.outputs), None)
            inner = uid if len(graphs) == 1 else self.add(name, "block", graph.name, type_, uid, {})
            inside = _Names(names)
            inside.add_types(graph.values, graph.outputs, graph.inputs)
            places = [self.leaf("placeholder", "Input", value, inner) for value in graph.inputs]
            for value, place in zip(graph.inputs, places, strict=True):
                inside.sources[value.name] = (place,)
            self.level(graph, inside, inner)
            back, first, given = words.wiring(node, graph, self.opset)
            if node.op != "If":
                for port, outer in enumerate(node.inputs[first:]):
                    target = places[port] if port < len(places) else uid
                    self.waiting += [(outer, names, target, port, False)] if outer else []
            self.waiting += [(graph.outputs[i].name, inside, places[k], 0, True) for i, k in back]
            for found, value in zip(result, graph.outputs[given:], strict=False):
                found.update(dict.fromkeys(inside.source(value.name) or ()))
        return tuple(tuple(found) or (uid,) for found in result)

    # ---- nodes

    def add(
        self, op: str, kind: str, name: str, type_: Type | None, parent: str | None, attributes: dict[str, Any]
    ) -> str:
        """A new node; gives its uid."""
        op = words.cut(op)
        self.numbers[op] += 1
        uid = f"{op[:60]}#{self.numbers[op]}"
        while uid in self.nodes:
            uid += "'"
        shape, axes, dtype, notes = words.place(type_)
        self.nodes[uid] = {
            "id": uid, "op": op, "name": words.cut(name), "kind": kind, "shape": shape, "axes": axes, "dtype": dtype,
            "parent": parent, "attributes": {**attributes, **notes}, "source": None, "parameters": 0,
        }  # fmt: skip
        return uid

    def use(self, kind: str, node: Node, names: _Names, parent: str) -> str:
        """A node of an operator or function."""
        types = [names.type(name) for name in node.outputs]
        attributes = words.attributes(node)
        if len(node.outputs) > 1 and any(types):
            attributes["gives"] = [words.type_in_words(t) for t in types]
        first = next((name for name in node.outputs if name), "")
        uid = self.add(node.op, kind, node.name or first, types[0] if types else None, parent, attributes)
        self.nodes[uid]["source"] = words.made_at(node)
        return uid

    def leaf(self, kind: str, op: str, value: Value, parent: str | None) -> str:
        """An input, of the model or of a body."""
        return self.add(op, kind, value.name, value.type, parent, {"doc": words.cut(value.doc)} if value.doc else {})

    def constant(self, node: Node, names: _Names, parent: str) -> str:
        """A node that gives a value which is written beside it."""
        value = next((a.value for a in node.attributes if a.name.startswith(("value", "sparse_value"))), None)
        type_ = Type("tensor", value.element, value.dims) if isinstance(value, Tensor) else None
        given = next(iter(node.outputs), "")
        if type_ is not None:
            names.types[given] = type_
        name = node.name or given
        uid = self.add("Constant", "constant", name, type_ or names.type(given), parent, words.attributes(node))
        self.nodes[uid]["source"] = words.made_at(node)
        if isinstance(value, Tensor):
            self.tensors[uid] = value
            self.follow(value, given, names)
        return uid

    def tensor(self, tensor: Tensor, parent: str, replaceable: bool) -> str:
        """A tensor that the model starts with: a parameter if it looks like weights, else a constant."""
        weights = words.is_weights(tensor)
        attributes = words.tensor_attributes(tensor)
        if replaceable:
            attributes["replaceable"] = "also an input: what is fed takes its place"
        type_ = Type("tensor", tensor.element, tensor.dims)
        kind = "parameter" if weights else "constant"
        uid = self.add(kind.capitalize(), kind, tensor.name, type_, parent, attributes)
        self.nodes[uid]["parameters"] = words.size(tensor) if weights else 0
        self.tensors[uid] = tensor
        if not words.has_values(tensor):
            self.trouble(uid, "its values are not in the file")
        return uid

    def sparse(self, sparse: SparseTensor, parent: str) -> str:
        """A sparse tensor that the model starts with."""
        type_ = Type("sparse tensor", sparse.values.element, sparse.dims)
        stored = words.size(sparse.values)
        uid = self.add(
            "Parameter", "parameter", sparse.values.name, type_, parent, {"sparse": f"{stored} values stored"}
        )
        self.nodes[uid]["parameters"] = stored
        self.tensors[uid] = sparse.values
        return uid

    def trouble(self, uid: str, problem: str) -> None:
        """Mark a node: what is wrong with it."""
        already = self.nodes[uid].get("problem")
        self.nodes[uid]["problem"] = words.cut(f"{already}; {problem}" if already else problem)

    # ---- edges

    def draw_edges(self) -> None:
        """The edges that waited for names."""
        for name, names, target, port, recurrent in self.waiting:
            sources = names.source(name)
            if sources is None:
                self.trouble(target, f"reads {words.cut(name)!r}, which nothing gives")
                continue
            if len(self.edges) + len(sources) > self.most_edges:
                raise FormatError(f"the graph has more than {self.most_edges:,} edges", self.where, _ADVICE)
            shape, axes, _, _ = words.place(names.type(name))
            self.edges += [
                {"from": uid, "to": target, "port": port, "shape": shape, "axes": axes, "recurrent": recurrent}
                for uid in sources
            ]
