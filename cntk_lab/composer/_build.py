"""From a program to a network: reads statements in order, makes the graph, notes what is wrong and where.

Every call is one of the catalog's; nothing else is run. A layer whose place, parameters and operands' types are those
of the edit before is the very same object, so that an edit costs what it changes. Something wrong stops only what
depends on it.
"""

from __future__ import annotations

import ast
import contextlib
import contextvars
import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from cntk_lab.composer import _catalog as known
from cntk_lab.composer._apply import Applier
from cntk_lab.composer._catalog import Entry, catalog
from cntk_lab.composer._program import Problem, Program
from cntk_lab.composer._source import Site
from cntk_lab.composer._trace import Drawn, count
from cntk_lab.composer._values import Broken, Flow, GroupMaker, LambdaMaker, LayerMaker, Maker, Namespace, frozen
from cntk_lab.composer._weights import Memory
from cntk_lab.errors import LabError
from cntk_lab.graph.naming import at_most

MODULES: Final = ("layers", "sequence", "ops", "initializer", "metrics", "losses", "Axis")
MOST_REPEATS: Final = 1000
TOO_DEEP: Final = "it is nested too deeply, or calls itself"
MOST_PROBLEMS: Final = 1000
MOST_MADE: Final = 20_000
"""Nodes, variables and weights that one building makes."""
MOST_STEPS: Final = 50_000
"""Expressions that one building reads, those of functions and repetitions at each use."""

_BINARY: Final[dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]]] = {
    ast.Add: ("+", lambda a, b: a + b), ast.Sub: ("−", lambda a, b: a - b), ast.Mult: ("×", lambda a, b: a * b),
    ast.Div: ("/", lambda a, b: a / b), ast.MatMult: ("@", lambda a, b: a @ b), ast.Pow: ("**", lambda a, b: a**b),
    ast.FloorDiv: ("//", lambda a, b: a // b), ast.Mod: ("%", lambda a, b: a % b),
}  # fmt: skip


class Stop(Exception):  # noqa: N818
    """An expression has no value; the problem has been noted."""


class Builder(Applier):
    """One building of a program.

    Args:
        program: the program.
        memory: layers and weights of earlier buildings.
    """

    def __init__(self, program: Program, memory: Memory) -> None:
        super().__init__(program, memory)
        self.scope: dict[str, Any] = {}
        self.options: tuple[Any, ...] = ()
        self.results: list[tuple[str, Any]] = []
        self.steps = 0
        self.left = [MOST_MADE]
        """How many nodes, variables and weights may still be made."""

    # ---- statements

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """A block that makes no more than it may."""
        with at_most(MOST_MADE) as self.left:
            yield

    def run(self) -> None:
        """Build everything; problems are in ``self.problems``."""
        self._block(self.program.tree.body)

    def _block(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            try:
                self._statement(statement)
            except Stop:
                continue
            except RecursionError:
                start, end = self.program.lines.span(statement)
                self.problems.append(Problem("", TOO_DEEP, "statement", start=start, end=end))

    def _statement(self, s: ast.stmt) -> None:
        match s:
            case ast.Import(names=names):
                for alias in names:
                    self._import(s, alias.name, alias.asname or alias.name)
            case ast.ImportFrom(module=module, names=names, level=0):
                for alias in names:
                    self._import_from(s, module or "", alias.name, alias.asname or alias.name)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                try:
                    result = self.value(value, self.scope)
                except Stop:
                    self.scope[name] = Broken(self._absent_value(value))
                    raise
                self.scope[name] = result
                self.results.append((name, result))
            case ast.Expr(value=ast.Constant()):
                pass
            case ast.FunctionDef():
                self.scope[s.name] = self._definition(s)
            case ast.With(items=[ast.withitem(context_expr=ast.Call() as call, optional_vars=None)], body=body):
                self._with(call, body)
            case _:
                start, end = self.program.lines.span(s)
                words = "a composed program holds imports, assignments, functions and default_options only"
                self.problems.append(Problem("", words, "statement", start=start, end=end))

    def _absent_value(self, value: ast.expr) -> str:
        """Draw what stands for a value that could not be made, with what it would have read; its id."""
        if id(value) not in self.program.by_node or not isinstance(value, (ast.Call, ast.BinOp, ast.UnaryOp)):
            return ""
        site = self.program.site(value)
        node = self.stand_in(site)
        if node.uid not in self.trace.nodes:
            names = dict.fromkeys(n.id for n in ast.walk(value) if isinstance(n, ast.Name))
            read = [self.scope.get(n) for n in names]
            self._draw(node, [v for v in read if isinstance(v, Flow) or (isinstance(v, Broken) and v.source)])
        return node.uid

    def _import(self, s: ast.stmt, module: str, name: str) -> None:
        if module in ("cntk_lab", "cntk"):
            self.scope[name] = Namespace("")
        elif module == "numpy":
            self.scope[name] = Namespace("numpy")
        else:
            self._refuse_import(s, module)

    def _import_from(self, s: ast.stmt, module: str, what: str, name: str) -> None:
        root, _, rest = module.partition(".")
        rest = rest.removesuffix(".layers") if rest.startswith("layers") else rest.removeprefix("ops").strip(".")
        prefix = f"{rest}." if rest else ""
        if root not in ("cntk_lab", "cntk"):
            self._refuse_import(s, module)
        elif what == "*":
            for path, entry in catalog().items():
                if path.startswith(prefix) and "." not in path[len(prefix) :]:
                    self.scope[path[len(prefix) :]] = entry
        elif prefix + what in catalog():
            self.scope[name] = catalog()[prefix + what]
        elif what in MODULES:
            self.scope[name] = Namespace(f"{prefix}{what}")
        else:
            self._refuse_import(s, f"{module}.{what}")

    def _refuse_import(self, s: ast.stmt, module: str) -> None:
        start, end = self.program.lines.span(s)
        self.problems.append(
            Problem("", f"a composed program imports cntk_lab only, not {module}", "import", start=start, end=end)
        )

    def _definition(self, s: ast.FunctionDef) -> Any:
        returns = [b for b in s.body if isinstance(b, ast.Return)]
        steps = [b for b in s.body if not (isinstance(b, ast.Expr) and isinstance(b.value, ast.Constant))]
        plain = s.args.posonlyargs or s.args.kwonlyargs or s.args.vararg or s.args.kwarg or s.args.defaults
        if plain or len(returns) != 1 or steps[-1] is not returns[0] or returns[0].value is None:
            start, end = self.program.lines.span(s)
            words = f"function {s.name} must have plain parameters and end with its only return"
            self.problems.append(Problem("", words, "statement", start=start, end=end))
            return Broken()
        site = self.program.site(returns[0].value) if id(returns[0].value) in self.program.by_node else None
        if site is None:
            return Broken()
        names = tuple(a.arg for a in s.args.args)
        return LambdaMaker(site, f"{site.id}{self.path}", s.name, parameters=names, body=steps, scope=self.scope)

    def _with(self, call: ast.Call, body: list[ast.stmt]) -> None:
        target = self.value(call.func, self.scope)
        if not isinstance(target, Entry) or target.kind != "options" or call.args:
            start, end = self.program.lines.span(call)
            words = "the only block of a composed program is with C.default_options(name=value)"
            self.problems.append(Problem("", words, "statement", start=start, end=end))
            self._block(body)
            return
        given = {k.arg: self.value(k.value, self.scope) for k in call.keywords if k.arg}
        outer = self.options
        self.options = (*outer, frozen(given))
        with target.target(**{k: self.real(v) for k, v in given.items()}):
            self._block(body)
        self.options = outer

    # ---- expressions

    def value(self, node: ast.expr, scope: dict[str, Any]) -> Any:
        """What an expression means.

        Raises:
            Stop: if it means nothing; the problem has been noted.
        """
        self.steps += 1
        if self.steps > MOST_STEPS or self.left[0] < 0:
            self.left[0] = -1
            if self.steps <= MOST_STEPS + 1:
                self.steps = MOST_STEPS + 2
                self.wrong(node, f"the program makes more than {MOST_STEPS:,} things: a smaller part can be", "repeats")
            raise Stop
        match node:
            case ast.Constant(value=value) if isinstance(value, (bool, int, float, str, type(None))):
                return value
            case ast.Name(id=name):
                return self._name(node, name, scope)
            case ast.Attribute():
                return self._attribute(node, scope)
            case ast.List(elts=elts):
                return [self._item(e, scope) for e in elts]
            case ast.Tuple(elts=elts):
                return tuple(self._item(e, scope) for e in elts)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not(), operand=operand):
                return self._unary(node, self.value(operand, scope))
            case ast.BinOp(op=ast.RShift()):
                return self._chain(node, scope)
            case ast.BinOp(left=left, right=right) if type(node.op) in _BINARY:
                return self._binary(node, self.value(left, scope), self.value(right, scope))
            case ast.Lambda(args=args, body=body):
                site = self.program.site(node)
                names = tuple(a.arg for a in args.args)
                title = f"function of {', '.join(names)}" if names else "function"
                return LambdaMaker(site, site.id + self.path, title, parameters=names, body=body, scope=dict(scope))
            case ast.Subscript(value=inner, slice=ast.Constant(value=int(index))):
                return self._subscript(node, self.value(inner, scope), index)
            case ast.Call():
                return self._call(node, scope)
        raise self.wrong(node, f"{type(node).__name__} is not part of composed programs", "expression")

    def _item(self, node: ast.expr, scope: dict[str, Any]) -> Any:
        """An element of a list: what is wrong in it does not spoil the others."""
        try:
            value = self.value(node, scope)
        except Stop:
            return Broken(self.program.site(node).id if id(node) in self.program.by_node else "")
        return self._placed(node, value)

    def _placed(self, node: ast.expr, value: Any) -> Any:
        """An operator, or functions side by side, named in a list of layers, at this place."""
        if (
            isinstance(node, (ast.Tuple, ast.List))
            and isinstance(value, (tuple, list))
            and id(node) in self.program.by_node
        ):
            if any(isinstance(v, (Maker, Broken)) for v in value):
                for element, v in zip(node.elts, value, strict=True):
                    if not isinstance(v, (Maker, Broken)):
                        what = "a value" if isinstance(v, Flow) else repr(v)[:40]
                        raise self.wrong(element, f"{what} is no layer", "item", {"value": v})
                site = self.program.site(node)
                if isinstance(node, ast.Tuple):
                    return GroupMaker(site, site.id + self.path, "side by side", items=list(value))
                entry = catalog()["layers.Sequential"]
                return GroupMaker(site, site.id + self.path, "Sequential", entry=entry, items=list(value))
            return value
        if isinstance(value, Entry) and value.kind == "op" and id(node) in self.program.by_node:
            site = self.program.site(node)
            return LayerMaker(site, site.id + self.path, value.name, make=lambda fresh: value.target,
                              key=("op", value.path))  # fmt: skip
        return value

    def _name(self, node: ast.expr, name: str, scope: dict[str, Any]) -> Any:
        found = scope.get(name, self.scope.get(name))
        if found is not None or name in scope or name in self.scope:
            if isinstance(found, Broken) and not found.source:
                raise Stop
            return found
        if name == "range":
            return Entry("range", "range", range)
        names = [*scope, *self.scope]
        raise self.wrong(node, f"there is no {name!r}", "name", {"names": names, "name": name})

    def _attribute(self, node: ast.Attribute, scope: dict[str, Any]) -> Any:
        base = self.value(node.value, scope)
        if isinstance(base, Entry) and base.path in MODULES:  # a class with functions of its own
            base = Namespace(base.path)
        if isinstance(base, Namespace):
            if base.prefix == "numpy":
                if node.attr in ("float32", "float64", "float16"):
                    return node.attr
                raise self.wrong(node, f"of numpy only the number types can be used, not {node.attr}", "expression")
            path = f"{base.prefix}.{node.attr}" if base.prefix and base.prefix != "ops" else node.attr
            path = path.removeprefix("ops.").removeprefix("initializer.")
            if path in catalog():
                entry = catalog()[path]
                return entry.target if entry.kind == "number" else entry
            if path in MODULES:
                return Namespace(path)
            names = [p[len(base.prefix) :].lstrip(".") for p in catalog() if p.startswith(base.prefix)]
            facts = {"names": names, "name": node.attr, "attribute": True}
            raise self.wrong(node, f"there is no C.{path}", "name", facts)
        if isinstance(base, (Flow, Broken)) and node.attr == "output":
            return base
        raise self.wrong(node, f".{node.attr} cannot be used here", "expression")

    def _subscript(self, node: ast.expr, value: Any, index: int) -> Any:
        if isinstance(value, (list, tuple)) and -len(value) <= index < len(value):
            return value[index]
        if isinstance(value, Flow) and -len(value.variables) <= index < len(value.variables):
            one = value.variables[index]
            return Flow((one,), (value.sources[index],), one)
        if isinstance(value, Broken):
            return value
        raise self.wrong(node, f"there is no element {index}", "expression")

    def _unary(self, node: ast.UnaryOp, value: Any) -> Any:
        if isinstance(node.op, ast.Not):
            return not value
        if isinstance(value, (int, float)):
            return -value if isinstance(node.op, ast.USub) else value
        site = self.program.site(node)
        return self.operate(site, "negate", lambda a: -a, [value], ("operator", "neg"))

    def _binary(self, node: ast.BinOp, left: Any, right: Any) -> Any:
        title, compute = _BINARY[type(node.op)]
        number = (int, float)
        if isinstance(left, number) and isinstance(right, number):
            try:
                if isinstance(node.op, ast.Pow) and (abs(left) > 1e6 or abs(right) > 64):
                    raise OverflowError
                return compute(left, right)
            except (ArithmeticError, ValueError) as error:
                raise self.wrong(node, f"{left} {title} {right} cannot be computed", "expression") from error
        for value, other in ((left, right), (right, left)):
            if not isinstance(value, (Flow, Broken, *number)):
                what = "a layer that is not applied yet" if isinstance(value, (Maker, Entry)) else "no value"
                facts = {"other": isinstance(other, Flow)}
                raise self.wrong(node, f"{title}: one side is {what}", "unapplied", facts)
        return self.operate(self.program.site(node), title, compute, [left, right], ("operator", title))

    def _chain(self, node: ast.BinOp, scope: dict[str, Any]) -> Any:
        """``f >> g >> h``: a Sequential in other words."""
        parts: list[ast.expr] = []
        at: ast.expr = node
        while isinstance(at, ast.BinOp) and isinstance(at.op, ast.RShift):
            parts.append(at.right)
            at = at.left
        parts.append(at)
        items = [self._item(p, scope) for p in reversed(parts)]
        site = self.program.site(node)
        if isinstance(items[0], Flow):
            group = GroupMaker(site, site.id + self.path, ">>", entry=catalog()["layers.Sequential"], items=items[1:])
            return self.apply(group, [items[0]], site)
        return GroupMaker(site, site.id + self.path, ">>", entry=catalog()["layers.Sequential"], items=items)

    # ---- calls

    def _call(self, node: ast.Call, scope: dict[str, Any]) -> Any:
        target = self._placed(node.func, self.value(node.func, scope)) if _is_call(node.func) else self.value(
            node.func, scope
        )  # fmt: skip
        site = self.program.site(node)
        if any(k.arg is None for k in node.keywords) or any(isinstance(a, ast.Starred) for a in node.args):
            raise self.wrong(node, "arguments with stars are not part of composed programs", "expression")
        contents = isinstance(target, Entry) and target.kind == "group"
        arguments = [self._argument(a, scope, contents=contents and i == 0) for i, a in enumerate(node.args)]
        named = {str(k.arg): self._argument(k.value, scope) for k in node.keywords}
        if isinstance(target, Maker):
            return self._application(node, site, target, [*arguments, *named.values()])
        if isinstance(target, Broken):
            return self._absent(site.id, [*arguments, *named.values()])
        if not isinstance(target, Entry):
            raise self.wrong(node, "this is no function", "call")
        if target.kind == "range":
            return self._range(node, arguments)
        self._check_call(node, target, arguments, named)
        if target.kind == "group":
            return self._make_group(node, site, target, arguments, named)
        if target.kind == "layer":
            return self._make_layer(node, site, target, arguments, named)
        if target.kind == "leaf":
            return self._leaf(node, site, target, arguments, named)
        if target.kind == "op":
            return self._operation(node, site, target, arguments, named)
        try:
            return target.target(*arguments, **named)
        except Exception as error:  # noqa: BLE001  (whatever a value's maker raises is the user's to see)
            raise self.failed(node, error) from None

    def _argument(self, node: ast.expr, scope: dict[str, Any], *, contents: bool = False) -> Any:
        plain = not contents or isinstance(node, (ast.List, ast.Tuple))
        return self.value(node, scope) if plain else self._item(node, scope)

    def _range(self, node: ast.Call, arguments: list[Any]) -> Any:
        if not arguments or len(arguments) > 3 or not all(isinstance(a, int) for a in arguments):
            raise self.wrong(node, "range takes one to three whole numbers", "call")
        found = range(*arguments)
        if len(found) > MOST_REPEATS:
            raise self.wrong(node, f"{len(found)} repetitions are more than {MOST_REPEATS}", "repeats")
        return found

    def _check_call(self, node: ast.Call, entry: Entry, arguments: list[Any], named: Mapping[str, Any]) -> None:
        """Note a parameter that does not exist, is missing or is given twice."""
        if entry.signature is None or any(o.startswith("*") for o in entry.operands):
            return
        names = list(entry.signature.parameters)
        for name in named:
            if name not in names:
                facts = {"name": name, "names": names}
                raise self.wrong(node, f"{entry.name} has no parameter {name!r}", "parameter", facts)
        try:
            entry.signature.bind(*arguments, **named)
        except TypeError as error:
            given = {*names[: len(arguments)], *named}
            missing = [f.name for f in entry.fields if f.required and f.name not in given]
            operands = [o for o in entry.operands if o not in given] if entry.kind == "op" else []
            optional = {n for n, p in entry.signature.parameters.items() if p.default is not inspect.Parameter.empty}
            absent = [o for o in operands if o not in optional]
            details: dict[str, object] = {"missing": missing, "operands": absent, "entry": entry.path}
            raise self.wrong(node, f"{entry.name}: {error}", "arguments", details) from None

    def _application(self, node: ast.Call, site: Site, maker: Maker, operands: list[Any]) -> Any:
        if len(operands) == 1 and isinstance(operands[0], (Maker, Entry)):
            inner = self._placed(node.args[0], operands[0]) if node.args else operands[0]
            items = [inner, maker]  # f(g): the composition, not yet applied
            return GroupMaker(site, site.id + self.path, "composition", entry=catalog()["layers.Sequential"],
                              items=items)  # fmt: skip
        return self.apply(maker, operands, site)

    def _make_group(self, node: ast.Call, site: Site, entry: Entry, arguments: list[Any], named: dict[str, Any]) -> Any:
        assert entry.signature is not None
        bound = entry.signature.bind(*arguments, **named).arguments
        name = str(bound.pop("name", ""))
        first, *rest = bound.values()
        maker = GroupMaker(site, site.id + self.path, entry.name, name, entry=entry)
        if entry.name == "For":
            return self._repeated(node, maker, first, rest[0])
        if entry.name in ("Sequential", "SequentialClique") and not isinstance(first, (list, tuple)):
            raise self.wrong(node, f"{entry.name} takes a list of layers", "list")
        maker.items = list(first) if isinstance(first, (list, tuple)) else [first]
        for item, element in zip(maker.items, _elements(node), strict=False):
            self._check_item(element, item, entry)
        return maker

    def _check_item(self, node: ast.expr, item: Any, entry: Entry) -> None:
        if isinstance(item, (Maker, Broken, Entry)):
            return
        if isinstance(item, (list, tuple)) and all(isinstance(i, (Maker, Broken, Entry, list, tuple)) for i in item):
            return
        what = "a value" if isinstance(item, Flow) else repr(item)[:40]
        raise self.wrong(node, f"{entry.name}: {what} is no layer", "item", {"value": item})

    def _repeated(self, node: ast.Call, maker: GroupMaker, numbers: Any, constructor: Any) -> Any:
        if not isinstance(numbers, (range, list, tuple)):
            facts = {"value": numbers}
            raise self.wrong(node, "For repeats over a range: write range(3)", "range", facts)
        if not isinstance(constructor, LambdaMaker):
            raise self.wrong(node, "For needs a function that makes a layer: lambda: C.layers.Dense(10)", "lambda")
        if len(constructor.parameters) > 1:
            raise self.wrong(node, "For's function takes the number of the repetition, or nothing", "lambda")
        maker.repeated = True
        outer = self.path
        for i in numbers:
            self.path = f"{outer}~{i}"
            scope = {**constructor.scope, **dict.fromkeys(constructor.parameters, i)}
            try:
                body = constructor.body
                value = self.value(body, scope) if isinstance(body, ast.expr) else self.body_of(constructor, scope)
                maker.items.append(self._placed(body, value) if isinstance(body, ast.expr) else value)
            except Stop:
                maker.items.append(Broken())
                break
            finally:
                self.path = outer
        return maker

    def body_of(self, maker: LambdaMaker, scope: dict[str, Any]) -> Any:
        """What a function's body gives with its parameters in ``scope``."""
        if isinstance(maker.body, ast.expr):
            return self.value(maker.body, scope)
        for s in maker.body:
            match s:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    scope[name] = self.value(value, scope)
                case ast.Return(value=value) if value is not None:
                    return self.value(value, scope)
                case _:
                    start, end = self.program.lines.span(s)
                    words = "a function holds assignments and a return"
                    self.problems.append(Problem("", words, "statement", start=start, end=end))
                    raise Stop
        raise Stop

    def _make_layer(self, node: ast.Call, site: Site, entry: Entry, arguments: list[Any], named: dict[str, Any]) -> Any:
        inner = [a for a in (*arguments, *named.values()) if isinstance(a, Maker)]

        def make(fresh: bool) -> Any:
            return entry.target(
                *[self.real(a, fresh=fresh) for a in arguments],
                **{k: self.real(v, fresh=fresh) for k, v in named.items()},
            )

        key = (entry.path, frozen(arguments), frozen(named), self.options)
        maker = LayerMaker(site, site.id + self.path, entry.name, str(named.get("name", "")), make=make, key=key,
                           inner=inner, context=contextvars.copy_context())  # fmt: skip
        try:
            self.kept(maker)  # errors in its parameters belong here, not to where it is applied
        except Stop:
            raise
        except Exception as error:  # noqa: BLE001  (a layer's factory raises what it likes at wrong values)
            raise self.failed(node, error, entry) from None
        return maker

    def _leaf(self, node: ast.Call, site: Site, entry: Entry, arguments: list[Any], named: dict[str, Any]) -> Any:
        uid = site.id + self.path
        try:
            variable = self.memory.leaf(
                uid, (entry.path, frozen(arguments), frozen(named), self.options),
                lambda: entry.target(*[self.real(a) for a in arguments], **{k: self.real(v) for k, v in named.items()}),
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001  (as above)
            raise self.failed(node, error, entry) from None
        kind = {"parameter": "parameter", "constant": "constant", "placeholder": "placeholder"}.get(entry.name, "input")
        self.trace.add(
            Drawn(
                uid,
                site.id,
                entry.name,
                kind,
                self.parent,
                str(named.get("name", "")),
                entry.path,
                self.attributes(node, entry),
                (variable,),
                count([variable]),
                site.id,
            )
        )
        return Flow((variable,), (uid,), variable)

    def _operation(self, node: ast.Call, site: Site, entry: Entry, arguments: list[Any], named: dict[str, Any]) -> Any:
        everything = [*arguments, *named.values()]
        if not any(isinstance(a, (Flow, Broken)) for a in _flat(everything)):
            unapplied = any(isinstance(a, (Maker, Entry)) for a in everything)
            words = "one operand is a layer that is not applied yet" if unapplied else "there is no operand"
            raise self.wrong(node, f"{entry.name}: {words}", "unapplied" if unapplied else "operand", {})
        operands = [a for a in _flat(everything) if isinstance(a, (Flow, Broken))]

        def compute(*_: Any) -> Any:
            return entry.target(*[self.real(a) for a in arguments], **{k: self.real(v) for k, v in named.items()})

        key = (entry.path, frozen(arguments), frozen(named))
        return self.operate(site, entry.name, compute, operands, key, entry, str(named.get("name", "")), node)

    # ---- what is wrong

    def wrong(self, node: ast.expr, words: str, kind: str, facts: Mapping[str, object] | None = None) -> Stop:
        """Note a problem at an expression; the exception to raise."""
        start, end = self.program.lines.span(node)
        at: Site | None = self.program.by_node.get(id(node))
        site = "" if at is None else at.id
        self.problems.append(Problem(site, words, kind, start=start, end=end, facts=dict(facts or {})))
        if len(self.problems) > MOST_PROBLEMS:
            self.steps = MOST_STEPS + 2  # enough: the rest is not built
        return Stop()

    def failed(self, node: ast.expr, error: Exception, entry: Entry | None = None) -> Stop:
        """Note what a function of the catalog raised; the exception to raise."""
        words = error.what if isinstance(error, LabError) else str(error).split("\n", 1)[0] or type(error).__name__
        if entry is not None and entry.name not in words:
            words = f"{entry.name}: {words}"
        return self.wrong(node, words, "value", {"entry": entry.path if entry else ""})


def _is_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Call)


def _elements(node: ast.Call) -> Sequence[ast.expr]:
    first = node.args[0] if node.args else node.keywords[0].value
    return first.elts if isinstance(first, (ast.List, ast.Tuple)) else [first]


def _flat(values: Sequence[Any]) -> list[Any]:
    out: list[Any] = []
    for v in values:
        out.extend(_flat(v) if isinstance(v, (list, tuple)) else [v])
    return out


def nearest(name: str, names: Sequence[str]) -> list[str]:
    """The names most like a misspelt one, best first."""
    lower = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), list(lower), n=5, cutoff=0.5)
    return [lower[c] for c in close]


__all__ = ["Builder", "Stop", "known", "nearest"]
