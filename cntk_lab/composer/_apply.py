"""Applying layers and operators to values, and drawing what comes of it.

Groups (Sequential, For, shortcuts, functions side by side) are applied part by part, so that every value between two
parts has a place, a shape and, where something does not fit, an edge to mark.
"""

from __future__ import annotations

import abc
import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cntk_lab import layers, ops
from cntk_lab.composer._catalog import Entry, catalog
from cntk_lab.composer._program import Problem, Program
from cntk_lab.composer._source import Site
from cntk_lab.composer._trace import Drawn, Trace, count, type_of
from cntk_lab.composer._values import Broken, Flow, GroupMaker, Kept, LambdaMaker, LayerMaker, Maker
from cntk_lab.composer._weights import Memory, own_weights
from cntk_lab.errors import AxisError, DTypeError, GraphError, LabError, ShapeError, SignatureError
from cntk_lab.graph.function import Function
from cntk_lab.graph.variable import Variable

MOST_NUMBERS: Final = 1 << 31
"""Numbers that the weights of one layer are: 8 GB in float32."""


class Applier(abc.ABC):
    """The half of a builder that applies functions; expressions are read by its subclass."""

    def __init__(self, program: Program, memory: Memory) -> None:
        self.program, self.memory = program, memory
        self.problems: list[Problem] = list(program.problems)
        self.trace = Trace()
        self.path = ""
        """Numbers of the repetitions around: distinguishes what one place makes several times."""
        self.parent: str | None = None
        self._times: dict[str, int] = {}

    # ---- functions

    def kept(self, maker: LayerMaker, *, fresh: bool = False) -> Kept:
        """The real function of a layer: that of the edit before if its parameters are the same."""
        old = self.memory.layers.get(maker.uid)
        if old is not None and old[0] == maker.key and not fresh:
            same = all(self.kept(m) is k for m, k in zip(_layers_in(maker), old[1].inner, strict=False))
            if same:
                return old[1]
        function = maker.context.copy().run(maker.make, fresh)
        inner = tuple(self.kept(m) for m in _layers_in(maker))
        kept = Kept(function, own_weights(function, [v for k in inner for v in _all_own(k)]), None, inner)
        if isinstance(function, Function) and maker.key[0] != "op":
            self.memory.layers[maker.uid] = (maker.key, kept)
            self.memory.fresh.append((maker.uid, kept.own))
            self.memory.made.append(function)
        return kept

    def real(self, value: Any, *, fresh: bool = False) -> Any:
        """A value as real functions take it."""
        match value:
            case Entry():
                return value.target
            case Flow():
                return value.function
            case LayerMaker():
                return self.kept(value, fresh=fresh).function
            case GroupMaker():
                parts = [self.real(v, fresh=fresh) for v in value.items]
                if value.entry is None:
                    return tuple(parts)
                if value.repeated or value.entry.name == "Sequential":
                    return layers.Sequential(parts, value.name)
                return value.entry.target(parts if value.entry.name == "SequentialClique" else parts[0], value.name)
            case LambdaMaker():
                return self._python(value)
            case list():
                return [self.real(v, fresh=fresh) for v in value]
            case tuple():
                return tuple(self.real(v, fresh=fresh) for v in value)
            case Broken():
                raise SignatureError("a part of it is wrong")
        return value

    def _python(self, maker: LambdaMaker) -> Callable[..., Any]:
        """A function of the program as a real one, with as many parameters."""

        def call(*operands: Any) -> Any:
            flows = [Flow((_variable(o),), ("",), o) for o in operands]
            drawn, self.trace = self.trace, Trace()
            try:
                result = self.body_of(maker, {**maker.scope, **dict(zip(maker.parameters, flows, strict=True))})
            finally:
                self.trace = drawn
            return self.real(result)

        makers: dict[int, Callable[..., Any]] = {
            0: lambda: call(), 1: lambda a: call(a), 2: lambda a, b: call(a, b), 3: lambda a, b, c: call(a, b, c),
            4: lambda a, b, c, d: call(a, b, c, d),
        }  # fmt: skip
        if len(maker.parameters) not in makers:
            raise SignatureError(f"a function of {len(maker.parameters)} operands cannot be part of a composed program")
        return makers[len(maker.parameters)]

    @abc.abstractmethod
    def body_of(self, maker: LambdaMaker, scope: dict[str, Any]) -> Any:
        """What a function's body gives; read by the builder."""

    # ---- applying

    def apply(self, maker: Any, operands: Sequence[Any], call: Site | None) -> Any:
        """Apply a maker to flows and draw it; a flow, or Broken."""
        if isinstance(maker, (list, tuple)):
            maker = self._side_by_side(maker) if isinstance(maker, tuple) else self._inner_list(maker)
        if isinstance(maker, Broken) and maker.source in self.program.by_id:
            return self._absent(maker.source, operands)
        if not isinstance(maker, Maker):
            return Broken(next((o.sources[0] for o in operands if isinstance(o, Flow)), ""))
        if isinstance(maker, LayerMaker):
            return self._layer(maker, operands, call)
        if isinstance(maker, LambdaMaker):
            return self._function(maker, operands, call)
        assert isinstance(maker, GroupMaker)
        return self._group(maker, operands, call)

    def _uid(self, maker: Maker) -> str:
        """The id of the node to draw: the place's, and which application if it is applied again."""
        base = f"{maker.site.id}{self.path}" if not maker.uid.startswith(maker.site.id) else maker.uid
        number = self._times[base] = self._times.get(base, -1) + 1
        return base if number == 0 else f"{base}@{number}"

    def _absent(self, site_id: str, operands: Sequence[Any]) -> Broken:
        """Draw what stands for a layer that could not be made."""
        node = self.stand_in(self.program.by_id[site_id])
        self._draw(node, operands)
        return Broken(node.uid)

    def stand_in(self, site: Site) -> Drawn:
        """A node for a place of the program at which something is wrong."""
        call = site.node
        while isinstance(call, ast.Call) and isinstance(call.func, ast.Call):
            call = call.func  # what is applied, not the application
        text = ast.unparse(call.func) if isinstance(call, ast.Call) else self.program.text(call)
        node = Drawn(
            site.id + self.path, site.id, text.split("\n", 1)[0].rpartition(".")[2][:40], "function", self.parent
        )
        if isinstance(call, ast.Call):
            path = text.partition(".")[2]
            node.path = path if path in catalog() else f"layers.{text}" if f"layers.{text}" in catalog() else ""
            node.attributes = self.attributes(call, None)
            node.name = node.attributes.get("name", "").strip("\"'")
            node.kind = "input" if node.path.endswith("input_variable") else node.kind
        return node

    def _side_by_side(self, parts: tuple[Any, ...]) -> Any:
        first = next((p for p in parts if isinstance(p, Maker)), None)
        if first is None:
            return Broken()
        site = first.site.parent or first.site
        return GroupMaker(site, site.id + self.path, "side by side", items=list(parts))

    def _inner_list(self, parts: list[Any]) -> Any:
        first = next((p for p in parts if isinstance(p, Maker)), None)
        if first is None:
            return Broken()
        site = first.site.parent or first.site
        entry = Entry("layers.Sequential", "group", layers.Sequential)
        return GroupMaker(site, site.id + self.path, "Sequential", entry=entry, items=list(parts))

    def _layer(self, maker: LayerMaker, operands: Sequence[Any], call: Site | None) -> Any:
        flows = [o for o in operands if isinstance(o, Flow)]
        uid = self._uid(maker)
        path = maker.key[1] if maker.key[0] == "op" else maker.key[0]
        node = Drawn(uid, maker.site.id, maker.title, "function", self.parent, maker.name, path,
                     application=call.id if call else "")  # fmt: skip
        if isinstance(maker.site.node, ast.Call):
            node.attributes = self.attributes(maker.site.node, None)
        self._draw(node, operands)
        drawn_inside = bool(_layers_in(maker)) and maker.key[0] != "op"
        if drawn_inside:
            node.kind = "block"
            self._draw_inside(maker, uid)
        if len(flows) < len(operands):
            return Broken(uid)
        try:
            kept, result = self._applied(maker, flows, uid)
        except Exception as error:  # noqa: BLE001  (whatever a layer raises belongs to the place of the layer)
            for m in (maker, *_layers_in(maker)):  # dimensions may have been inferred from what did not fit
                self.memory.layers.pop(m.uid, None)
            return self._not_built(node, flows, error)
        node.parameters = count(_all_own(kept))
        if node.parameters > MOST_NUMBERS:
            self.memory.layers.pop(maker.uid, None)
            words = f"{maker.title}: its weights would be {node.parameters:,} numbers; the limit is {MOST_NUMBERS:,}"
            return self._not_built(node, flows, GraphError(words))
        if drawn_inside:  # again: the shapes of the weights are known now
            self._draw_inside(maker, uid)
        return self._flow(node, result)

    def _applied(self, maker: LayerMaker, flows: Sequence[Flow], uid: str) -> tuple[Kept, Any]:
        """The result of a layer; made anew if the operands' types are not those that its weights were made for."""
        variables = [v for f in flows for v in f.variables]
        types = type_of(variables)
        first = "@" not in uid and maker.key[0] != "op"
        kept = self.kept(maker)
        if kept.types is not None and kept.types != types and first:
            kept = self.kept(maker, fresh=True)

        def result(kept: Kept) -> Any:
            key = (uid, id(kept.function), tuple(id(v) for v in variables))
            keep = (kept.function, *variables)
            return self.memory.result(key, keep, lambda: kept.function(*[f.function for f in flows]))

        try:
            found = result(kept)
        except Exception:
            if not first:
                raise
            kept = self.kept(maker, fresh=True)  # a layer within it may have been made for other operands
            found = result(kept)
        if kept.types is None:
            kept.types = types
        return kept, found

    def _draw_inside(self, maker: LayerMaker, uid: str) -> None:
        for inner in maker.inner:
            if isinstance(inner, Maker):
                node = Drawn(f"{uid}/{inner.uid}", inner.site.id, inner.title, "function", uid, inner.name)
                if isinstance(inner, LayerMaker):
                    node.path = inner.key[1] if inner.key[0] == "op" else inner.key[0]
                    node.parameters = (
                        count(self.memory.layers[inner.uid][1].own) if inner.uid in self.memory.layers else 0
                    )
                if isinstance(inner.site.node, ast.Call):
                    node.attributes = self.attributes(inner.site.node, None)
                self.trace.add(node)

    def operate(
        self, site: Site, title: str, compute: Callable[..., Any], operands: Sequence[Any], key: Any,
        entry: Entry | None = None, name: str = "", call: ast.Call | None = None,
    ) -> Any:  # fmt: skip
        """Apply an operator and draw it."""
        uid = site.id + self.path
        number = self._times[uid] = self._times.get(uid, -1) + 1
        uid = uid if number == 0 else f"{uid}@{number}"
        node = Drawn(uid, site.id, title, "function", self.parent, name, entry.path if entry else "",
                     application=site.id)  # fmt: skip
        if call is not None:
            node.attributes = self.attributes(call, entry)
        elif len(operands) == 2:
            number_ = next((o for o in operands if isinstance(o, (int, float))), None)
            node.attributes = {} if number_ is None else {"constant": repr(number_)}
        flows = [o for o in operands if isinstance(o, Flow)]
        self._draw(node, operands)
        ids = tuple(id(v) for f in flows for v in f.variables)
        if any(isinstance(o, Broken) for o in operands):
            return Broken(uid)
        values = [o.function if isinstance(o, Flow) else o for o in operands]
        plain = tuple(repr(o) for o in operands if not isinstance(o, Flow))
        try:
            result = self.memory.result(
                (uid, key, ids, plain), tuple(f.function for f in flows), lambda: compute(*values)
            )
        except Exception as error:  # noqa: BLE001  (as above)
            return self._not_built(node, flows, error)
        return self._flow(node, result)

    def _function(self, maker: LambdaMaker, operands: Sequence[Any], call: Site | None) -> Any:
        uid = self._uid(maker)
        self.trace.add(
            Drawn(uid, maker.site.id, maker.title, "block", self.parent, application=call.id if call else "")
        )
        if len(operands) != len(maker.parameters):
            words = f"the function takes {len(maker.parameters)} operands, {len(operands)} are given"
            return self._note(uid, maker.site, words, "operands", [o for o in operands if isinstance(o, Flow)])
        outer_parent, outer_path = self.parent, self.path
        self.parent, self.path = uid, f"{self.path}{uid.removeprefix(maker.uid)}"
        try:
            scope = {**maker.scope, **dict(zip(maker.parameters, operands, strict=True))}
            result = self.body_of(maker, scope)
        except LookupError:
            raise
        except Exception as error:
            if type(error).__name__ != "Stop":
                raise
            result = Broken(uid)
        finally:
            self.parent, self.path = outer_parent, outer_path
        return result

    def _group(self, maker: GroupMaker, operands: Sequence[Any], call: Site | None) -> Any:
        uid = self._uid(maker)
        suffix = uid.removeprefix(maker.uid)
        node = Drawn(uid, maker.site.id, maker.title, "group", self.parent, maker.name,
                     maker.entry.path if maker.entry else "", application=call.id if call else "")  # fmt: skip
        self.trace.add(node)
        if maker.repeated:
            node.kind, node.count = "repeat", len(maker.items)
        if maker.entry is not None and len(operands) != 1:
            words = f"{maker.title} takes one operand, {len(operands)} are given"
            return self._note(uid, maker.site, words, "operands", [o for o in operands if isinstance(o, Flow)])
        outer_parent, outer_path = self.parent, self.path
        self.parent = uid
        if suffix:
            self.path = outer_path + suffix
        try:
            result = self._inside(maker, uid, list(operands))
        finally:
            self.parent, self.path = outer_parent, outer_path
        inside = [n for n in self.trace.nodes.values() if n.parent == uid]
        node.parameters = sum(n.parameters for n in inside)
        if not inside:
            self._draw(node, operands)
            if isinstance(result, Flow):
                result = Flow(result.variables, (uid,) * len(result.variables), result.function)
        if isinstance(result, Flow):
            node.variables = result.variables
            if maker.name and maker.entry is not None:
                result = self._named(result, maker.name)
        return result

    def _inside(self, maker: GroupMaker, uid: str, operands: list[Any]) -> Any:
        if maker.entry is None:
            return self._tuple(maker, operands)
        title = maker.entry.name
        if title == "ResNetBlock":
            inner = self.apply(maker.items[0], operands, None)
            return self._plus(f"{uid}+", maker.site, inner, operands[0])
        if title == "SequentialClique":
            at: Any = operands[0]
            out: Any = at
            for i, item in enumerate(maker.items):
                out = self.apply(item, [at], None)
                if i + 1 < len(maker.items):
                    at = self._plus(f"{uid}+{i}", maker.site, at, out)
            return out
        flows = operands
        for item in maker.items:
            result = self.apply(item, flows, None)
            flows = _spread(result)
        return flows[0] if len(flows) == 1 else _joined(flows)

    def _tuple(self, maker: GroupMaker, operands: list[Any]) -> Any:
        """Functions side by side: each gets all operands, or each its own where there are several."""
        pairs = len(operands) > 1
        if pairs and len(operands) != len(maker.items):
            words = f"{len(operands)} values meet {len(maker.items)} functions side by side"
            return self._note(self.parent or "", maker.site, words, "operands", [])
        results = [self.apply(item, [operands[i]] if pairs else operands, None) for i, item in enumerate(maker.items)]
        if any(not isinstance(r, Flow) for r in results):
            return next(r for r in results if not isinstance(r, Flow))
        return _joined(results)

    def _plus(self, uid: str, site: Site, left: Any, right: Any) -> Any:
        node = Drawn(uid, site.id, "+", "function", self.parent)
        self._draw(node, [left, right])
        if not isinstance(left, Flow) or not isinstance(right, Flow):
            return Broken(uid)
        ids = (id(left.variables[0]), id(right.variables[0]))
        try:
            result = self.memory.result(("+", uid, ids), (left, right), lambda: left.function + right.function)
        except Exception as error:  # noqa: BLE001  (as above)
            return self._not_built(node, [left, right], error)
        return self._flow(node, result)

    def _named(self, flow: Flow, name: str) -> Flow:
        key = ("name", name, tuple(id(v) for v in flow.variables))

        def make() -> Any:
            if len(flow.variables) == 1:
                return ops.alias(flow.function, name=name)
            return ops.combine(list(flow.variables), name=name)

        result = self.memory.result(key, (flow,), make)
        return Flow(tuple(result.outputs), flow.sources, result)

    # ---- drawing and noting

    def _draw(self, node: Drawn, operands: Sequence[Any]) -> None:
        self.trace.add(node)
        sources: list[tuple[str, Variable | None]] = []
        for o in operands:
            if isinstance(o, Flow):
                sources += list(zip(o.sources, o.variables, strict=True))
            elif isinstance(o, Broken):
                sources.append((o.source, None))
        self.trace.connect(sources, node.uid)

    def _flow(self, node: Drawn, result: Any) -> Flow:
        variables = tuple(result.outputs) if isinstance(result, Function) else (result,)
        node.variables = variables
        return Flow(variables, (node.uid,) * len(variables), result)

    def _not_built(self, node: Drawn, flows: Sequence[Flow], error: Exception) -> Broken:
        words = error.what if isinstance(error, LabError) else str(error).split("\n", 1)[0] or type(error).__name__
        kind = (
            "shape" if isinstance(error, ShapeError) else "axes" if isinstance(error, AxisError)
            else "dtype" if isinstance(error, DTypeError) else "operands" if isinstance(error, SignatureError)
            else "value"
        )  # fmt: skip
        if kind == "operands" and "incompatible" in words:
            kind = "axes" if "Sequence[" in words else "shape"
        return self._note(node.uid, self.program.by_id[node.site], words, kind, flows)

    def _note(self, uid: str, site: Site, words: str, kind: str, flows: Sequence[Flow]) -> Broken:
        edge = (flows[-1].sources[0], uid) if flows and flows[-1].sources[0] else None
        shapes = [f.variables[0].type.shape for f in flows]
        axes = [tuple(a.short for a in f.variables[0].type.axes or ()) for f in flows]
        facts: Mapping[str, object] = {"shapes": shapes, "axes": axes, "sources": [f.sources[0] for f in flows]}
        self.problems.append(Problem(site.id, words, kind, uid, edge, site.start, site.end, facts))
        return Broken(uid)

    def attributes(self, call: ast.Call, entry: Entry | None) -> dict[str, str]:
        """The arguments of a call as text; operands left out."""
        if entry is None:
            path = ast.unparse(call.func)
            entry = catalog().get(path.partition(".")[2]) or catalog().get(f"layers.{path}")
        names = list(entry.signature.parameters) if entry is not None and entry.signature else []
        out: dict[str, str] = {}
        operands = {o.lstrip("*") for o in entry.operands} if entry is not None else set()
        starred = entry is not None and any(o.startswith("*") for o in entry.operands)
        for i, a in enumerate(call.args):
            name = names[i] if i < len(names) else f"argument {i}"
            if name not in operands and not (starred and i >= len(names) - 1) and name not in _INSIDE:
                out[name] = self.program.text(a)
        for k in call.keywords:
            if k.arg and k.arg not in operands:
                out[k.arg] = self.program.text(k.value)
        return out


_INSIDE = ("layers", "constructor", "f", "functions")


def _layers_in(maker: LayerMaker) -> list[LayerMaker]:
    """The layers that a layer is made of."""
    out: list[LayerMaker] = []

    def look(value: Any) -> None:
        if isinstance(value, LayerMaker) and value.key[0] != "op":
            out.append(value)
        elif isinstance(value, GroupMaker):
            for item in value.items:
                look(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                look(item)

    for value in maker.inner:
        look(value)
    return out


def _all_own(kept: Kept) -> list[Variable]:
    """The weights of a layer and of those in it."""
    out = list(kept.own)
    for k in kept.inner:
        out += _all_own(k)
    return out


def _spread(result: Any) -> list[Any]:
    """A result as the operands of what comes next: several outputs are several operands."""
    if isinstance(result, Flow) and len(result.variables) > 1:
        return [Flow((v,), (s,), v) for v, s in zip(result.variables, result.sources, strict=True)]
    return [result]


def _joined(flows: Sequence[Any]) -> Any:
    """Several flows as one of several outputs."""
    if any(not isinstance(f, Flow) for f in flows):
        return next(f for f in flows if not isinstance(f, Flow))
    variables = tuple(v for f in flows for v in f.variables)
    return Flow(variables, tuple(s for f in flows for s in f.sources), ops.combine(list(variables)))


def _variable(thing: Any) -> Variable:
    return thing.output if isinstance(thing, Function) else thing
