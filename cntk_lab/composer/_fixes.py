"""Candidates for repairing a program: for each sort of problem the edits that usually help, best first.

Nothing here knows whether an edit helps: whoever asks tries each on a copy and takes the first that does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from cntk_lab.composer._build import nearest
from cntk_lab.composer._catalog import STARTING_VALUES, as_code, catalog
from cntk_lab.composer._edits import Edit
from cntk_lab.composer._program import Problem
from cntk_lab.composer._source import Splice, difference
from cntk_lab.composer._state import State
from cntk_lab.composer._syntax_fixes import syntax
from cntk_lab.composer._trace import shape_words
from cntk_lab.composer._values import Flow
from cntk_lab.errors import LabError

Candidate = tuple[str, Edit]


def candidates(state: State, problem: Problem, good: str) -> Iterator[Candidate]:
    """Edits that may repair a problem, best first; the last one goes back to the last program without problems.

    Args:
        state: the broken program.
        problem: one of its problems.
        good: the text of the last program without problems.
    """
    if problem.kind == "syntax":
        yield from syntax(problem_source(problem, state), problem)
    elif problem.kind != "depth":
        finder = _Finder(state, problem)
        for make in _BY_KIND.get(problem.kind, ()):
            yield from make(finder)
        yield from finder.take_away()
    source = state.program.source if problem.kind not in ("syntax", "depth") else problem_source(problem, state)
    yield "go back to the last program that worked", Edit([difference(source, good)])


def problem_source(problem: Problem, state: State) -> str:
    """The text that a problem was found in."""
    return str(problem.facts.get("source", state.program.source))


class _Finder:
    """The edits for one problem."""

    def __init__(self, state: State, problem: Problem) -> None:
        self.state, self.problem = state, problem
        self.program, self.editor = state.program, state.editor
        self.source, self.lines = self.program.source, self.program.lines
        self.site = self.program.by_id.get(problem.site)

    # ---- tools

    def replace(self, text: str, label: str) -> Candidate:
        """The place of the problem, replaced."""
        return label, Edit([Splice(self.problem.start, self.problem.end, text)])

    @property
    def call(self) -> ast.Call | None:
        """The call at the problem's place."""
        if self.site is None:
            return None
        return self.site.node if isinstance(self.site.node, ast.Call) else None

    def named_flows(self) -> list[str]:
        """Variables of the program that hold values made before the problem, latest first."""
        s = self.program.statement_of(self.site) if self.site is not None else None
        limit = self.lines.span(s)[0] if s is not None else len(self.source)
        out = []
        for a in self.program.statements():
            target = a.targets[0] if isinstance(a, ast.Assign) and self.lines.span(a)[1] <= limit else None
            if isinstance(target, ast.Name) and isinstance(self.state.scope.get(target.id), Flow):
                out.append(target.id)
        return out[::-1]

    def arguments(self) -> dict[str, ast.expr]:
        """Parameter name -> expression, of the call."""
        call = self.call
        if call is None:
            return {}
        entry = self.entry
        names = list(entry.signature.parameters) if entry is not None and entry.signature else []
        out = {names[i]: a for i, a in enumerate(call.args) if i < len(names)}
        return {**out, **{k.arg: k.value for k in call.keywords if k.arg}}

    @property
    def entry(self) -> Any:
        """The catalog's entry that the call calls."""
        call = self.call
        if call is None:
            return None
        path = ast.unparse(call.func)
        known = catalog()
        return known.get(path.partition(".")[2]) or known.get(path) or known.get(f"layers.{path}")

    def argument(self, name: str, text: str, label: str = "") -> Candidate:
        """One argument of the call, replaced by other text ("" takes it away)."""
        call, entry = self.call, self.entry
        assert call is not None
        names = list(entry.signature.parameters)
        edit = self.editor._set_argument(call, names, name, text, entry)
        return label or (f"{name}={text}" if text else f"leave {name} out"), edit

    # ---- by kind

    def name(self) -> Iterator[Candidate]:
        """A name that does not exist: one like it, or an import that was forgotten."""
        facts = self.problem.facts
        wanted, names = str(facts.get("name", "")), [str(n) for n in facts.get("names", ())]  # type: ignore[attr-defined]
        text = self.source[self.problem.start : self.problem.end]
        if wanted == "C":
            yield "import cntk_lab", Edit([Splice(0, 0, "import cntk_lab as C\n")])
            at = self._behind_docstring()
            yield "import cntk_lab", Edit([Splice(at, at, "import cntk_lab as C\n")])
        base = text[: len(text) - len(wanted)]
        for near in nearest(wanted, names):
            yield self.replace(base + near, f"{wanted} → {near}")
        paths = [wanted, f"layers.{wanted}", f"sequence.{wanted}"]
        for path in paths:
            if path in catalog():
                yield self.replace(f"C.{path}", f"{wanted} → C.{path}")
        everything = {p.rpartition(".")[2]: p for p in catalog()}
        for near in nearest(wanted, list(everything)):
            yield self.replace(f"C.{everything[near]}", f"{wanted} → C.{everything[near]}")
        for flow in self.named_flows()[:3]:
            yield self.replace(flow, f"{wanted} → {flow}")

    def _behind_docstring(self) -> int:
        body = self.program.tree.body
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            return min(self.lines.end_of_line(self.lines.span(body[0])[1]) + 1, len(self.source))
        return 0

    def parameter(self) -> Iterator[Candidate]:
        """A parameter that does not exist: one like it, or none."""
        wanted = str(self.problem.facts.get("name", ""))
        names = [str(n) for n in self.problem.facts.get("names", ())]  # type: ignore[attr-defined]
        call = self.call
        if call is None:
            return
        keyword = next((k for k in call.keywords if k.arg == wanted), None)
        if keyword is None:
            return
        start, end = self.lines.span(keyword)
        given = {k.arg for k in call.keywords}
        for near in nearest(wanted, [n for n in names if n not in given]):
            yield f"{wanted} → {near}", Edit([Splice(start, start + len(wanted), near)])
        yield f"leave {wanted} out", Edit([self.editor._cut_argument(call, start, end)])

    def missing(self) -> Iterator[Candidate]:
        """A call with too few or too many arguments."""
        call, entry, facts = self.call, self.entry, self.problem.facts
        if call is None or entry is None:
            return
        absent = [str(n) for n in facts.get("missing", ())]  # type: ignore[attr-defined]
        if absent:
            values = ", ".join(f"{n}={as_code(STARTING_VALUES.get(n, 1))}" for n in absent)
            at = self._end_of_arguments(call)
            yield f"give {values}", Edit([Splice(at, at, f", {values}" if call.args or call.keywords else values)])
        if facts.get("operands"):
            for flow in self.named_flows()[:3]:
                at = self._end_of_arguments(call)
                more = call.args or call.keywords
                yield f"apply it to {flow}", Edit([Splice(at, at, f", {flow}" if more else flow)])
                start = self.lines.span(call.func)[1] + 1
                yield f"apply it to {flow}", Edit([Splice(start, start, f"{flow}, " if more else flow)])
        for argument in reversed([*call.args, *call.keywords]):
            start, end = self.lines.span(argument)
            text = self.source[start:end]
            yield f"leave {text[:30]} out", Edit([self.editor._cut_argument(call, start, end)])

    def _end_of_arguments(self, call: ast.Call) -> int:
        spans = [self.lines.span(a) for a in [*call.args, *call.keywords]]
        return max((e for _, e in spans), default=self.lines.span(call)[1] - 1)

    def unapplied(self) -> Iterator[Candidate]:
        """A layer where a value should stand: apply it."""
        if self.site is None:
            return
        node = self.site.node
        parts = [node.left, node.right] if isinstance(node, ast.BinOp) else [
            *getattr(node, "args", ()), *(k.value for k in getattr(node, "keywords", ()))
        ]  # fmt: skip
        flows = [self.program.text(p) for p in parts if isinstance(p, ast.Name)] + self.named_flows()
        for part in parts:
            if isinstance(part, ast.Name) and isinstance(self.state.scope.get(part.id), Flow):
                continue
            if isinstance(part, ast.Constant):
                continue
            end = self.lines.span(part)[1]
            for flow in list(dict.fromkeys(flows))[:3]:
                yield f"apply it to {flow}", Edit([Splice(end, end, f"({flow})")])

    def operand(self) -> Iterator[Candidate]:
        """An operator without an operand."""
        yield from self.missing_operand()

    def missing_operand(self) -> Iterator[Candidate]:
        """Give the operator a value that exists."""
        call = self.call
        if call is None:
            return
        if not call.args and not call.keywords:
            yield self.replace(self.program.text(call.func), "take the brackets away: the list applies it")
        start = self.lines.span(call.func)[1] + 1
        more = ", " if call.args or call.keywords else ""
        for flow in self.named_flows()[:3]:
            yield f"apply it to {flow}", Edit([Splice(start, start, flow + more)])
        for argument in call.args:
            for flow in self.named_flows()[:3]:
                first, last = self.lines.span(argument)
                yield f"apply it to {flow}", Edit([Splice(first, last, flow)])

    def list_(self) -> Iterator[Candidate]:
        """Layers that are not in a list."""
        call = self.call
        if call is not None and (call.args or call.keywords):
            spans = [self.lines.span(a) for a in call.args]
            if spans:
                yield (
                    "put them into a list",
                    Edit([Splice(spans[0][0], spans[0][0], "["), Splice(spans[-1][1], spans[-1][1], "]")]),
                )

    def item(self) -> Iterator[Candidate]:
        """Something in a list of layers that is none."""
        value = self.problem.facts.get("value")
        text = self.source[self.problem.start : self.problem.end]
        call = self.call
        bad = [e for e in call.args[0].elts if not isinstance(e, ast.Call)] if (
            call is not None and call.args and isinstance(call.args[0], (ast.List, ast.Tuple))
        ) else []  # fmt: skip
        if isinstance(value, int) and not isinstance(value, bool) and call is None:
            yield self.replace(f"C.layers.Dense({text})", f"a layer of {value} units")
        if isinstance(value, str) and call is None:
            yield self.replace(f"C.layers.Label({text})", "a label of that name")
        owner = next(
            (s for s in self.program.sites if isinstance(s.node, ast.List) and s.start < self.problem.start < s.end),
            None,
        )
        for i, e in enumerate(owner.node.elts if owner is not None and isinstance(owner.node, ast.List) else ()):
            within = owner.node if owner is not None else None
            if isinstance(within, ast.List) and self.lines.span(e)[0] == self.problem.start:
                yield "take it out of the list", Edit([self.editor.cut_item(within, i)])
        for element in bad:
            start, end = self.lines.span(element)
            if isinstance(value, int) and not isinstance(value, bool):
                yield f"a layer of {value} units", Edit([Splice(start, end, f"C.layers.Dense({value})")])
            if isinstance(value, str):
                yield "a label of that name", Edit([Splice(start, end, f"C.layers.Label({as_code(value)})")])
        if call is not None and call.args and isinstance(call.args[0], (ast.List, ast.Tuple)):
            for i in range(len(call.args[0].elts)):
                yield "take it out of the list", Edit([self.editor.cut_item(call.args[0], i)])

    def range_(self) -> Iterator[Candidate]:
        """For without a range."""
        call = self.call
        if call is not None and call.args:
            start, end = self.lines.span(call.args[0])
            text = self.source[start:end]
            yield f"range({text})", Edit([Splice(start, end, f"range({text})")])
            yield "range(3)", Edit([Splice(start, end, "range(3)")])

    def lambda_(self) -> Iterator[Candidate]:
        """For without a function that makes layers."""
        call = self.call
        if call is None or len(call.args) < 2:
            return
        start, end = self.lines.span(call.args[1])
        yield "write lambda: before it", Edit([Splice(start, start, "lambda: ")])
        if isinstance(call.args[1], ast.Lambda):
            body = self.program.text(call.args[1].body)
            yield "a function of the number only", Edit([Splice(start, end, f"lambda i: {body}")])
            yield "a function of nothing", Edit([Splice(start, end, f"lambda: {body}")])

    def repeats(self) -> Iterator[Candidate]:
        """Too many repetitions."""
        yield self.replace("range(12)", "repeat 12 times")

    def called(self) -> Iterator[Candidate]:
        """A call of something that is no function."""
        call = self.call
        if call is not None:
            yield self.replace(self.program.text(call.func), "do not call it")
            for a in call.args:
                yield self.replace(self.program.text(a), "keep what it was applied to")

    def output(self) -> Iterator[Candidate]:
        """A program without a model."""
        flows = [n for n, v in self.state.scope.items() if isinstance(v, Flow)]
        end = len(self.source)
        gap = "" if self.source.endswith("\n") or not self.source else "\n"
        if self.problem.end > self.problem.start and flows:
            s = next((s for s in self.program.statements() if self.lines.span(s)[0] == self.problem.start), None)
            if isinstance(s, ast.Assign):
                start, last = self.lines.span(s.value)
                yield f"model = {flows[-1]}", Edit([Splice(start, last, flows[-1])])
        if flows:
            yield "a model of one layer", Edit([Splice(end, end, f"{gap}model = C.layers.Dense(10)({flows[-1]})\n")])
        text = 'features = C.input_variable(10, name="features")\nmodel = C.layers.Sequential([\n])(features)\n'
        yield "an empty model", Edit([Splice(end, end, gap + text)])
        yield "an empty model", Edit([Splice(end, end, f"{gap}import cntk_lab as C\n\n{text}")])

    def value(self) -> Iterator[Candidate]:
        """Values that a layer refuses: the defaults, or something sensible, one argument after the other."""
        call, entry = self.call, self.entry
        if call is None or entry is None or entry.signature is None:
            return
        fields = {f.name: f for f in entry.fields}
        given = self.arguments()
        for name, node in given.items():
            if name not in fields:
                continue
            text = self.program.text(node)
            if not fields[name].required:
                yield self.argument(name, "")
            for better in _better(name, text):
                if better != text:
                    yield self.argument(name, better)
        for name in ("shape", "filter_shape", "num_filters"):
            if name in fields and name not in given:
                yield self.argument(name, as_code(STARTING_VALUES[name]))

    def shape(self) -> Iterator[Candidate]:
        """Shapes that do not fit: parameters that fit, a layer in between that makes them fit."""
        shapes = [s for s in self.problem.facts.get("shapes", ()) if isinstance(s, tuple)]  # type: ignore[attr-defined]
        yield from self._fitting_arguments(shapes)
        yield from self._between(shapes)
        yield from self._fitting_parameters(shapes)
        yield from self.value()

    def _fitting_arguments(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[Candidate]:
        call, entry = self.call, self.entry
        if call is None or entry is None or not shapes or entry.signature is None:
            return
        shape, given = shapes[-1], self.arguments()
        names = set(entry.signature.parameters)
        if "filter_shape" in given and "reduction_rank" in names:
            yield self.argument("reduction_rank", "0", "the input has no channels: reduction_rank=0")
        if "pad" in names:
            yield self.argument("pad", "True")
        if "filter_shape" in given and shape:
            window = shape[1:] if len(shape) > 1 else shape
            text = self.program.text(given["filter_shape"])
            rank = text.count(",") + (not text.rstrip(")").endswith(",")) if "," in text else 1
            for size in dict.fromkeys((min((*window, 3)), min((*window, 2)), 1)):
                yield self.argument("filter_shape", as_code((size,) * max(rank, 1)))
            if entry.name in ("MaxPooling", "AveragePooling"):
                yield self.argument("filter_shape", as_code((min(2, min(window, default=1)),) * max(len(window), 1)))
        total = 1
        for d in shape:
            total *= max(d, 1)
        if entry.name == "reshape":
            yield self.argument("shape", as_code((total,)))
            yield self.argument("shape", as_code((-1,)))
        if "axis" in given:
            for axis in ("-1", "0", "1"):
                yield self.argument("axis", axis)
        if entry.name == "transpose":
            yield self.argument("perm", as_code(tuple(range(len(shape)))[::-1]))
        if entry.name == "slice":
            for number in range(len(shape)):
                yield self.argument("axis", str(number))
            yield self.argument("end_index", "0")
            yield self.argument("begin_index", "0")

    def _between(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[Candidate]:
        """A layer on an edge into the problem's node that makes its value fit the other operands."""
        node = self.problem.node
        operands = self.editor.operands(node) if node in self.state.trace.nodes else []
        known = {len(s) for s in shapes}
        for i, expression in enumerate(operands):
            start, end = self.lines.span(expression)
            for j, target in enumerate(shapes):
                if i != j and len(operands) == len(shapes) and target and all(d > 0 for d in target):
                    what = as_code(target if len(target) > 1 else target[0])
                    label = f"a Dense layer that makes it {shape_words(target)}"
                    yield label, Edit([Splice(start, start, f"C.layers.Dense({what})("), Splice(end, end, ")")])
            if known and isinstance(self.site.node if self.site else None, ast.Call):
                yield from self._reshaped(start, end, shapes[min(i, len(shapes) - 1)])
        if node.endswith("+") and self.call is not None and self.call.args:
            yield from self._shortcut(shapes)
        yield from self._before_item(shapes)
        for i, target in enumerate(shapes):
            others = [s for k, s in enumerate(shapes) if k != i]
            yield from self._last_layer_before(target, others)

    def _reshaped(self, start: int, end: int, shape: tuple[int, ...]) -> Iterator[Candidate]:
        total = 1
        for d in shape:
            total *= max(d, 1)
        for new in ((1, *shape), (1, 1, *shape), (total,), (1, total), (1, 1, total)):
            if len(new) != len(shape) or new == (total,):
                text = as_code(new)
                yield (
                    f"reshape it to {shape_words(new)}",
                    Edit([Splice(start, start, "C.reshape("), Splice(end, end, f", {text})")]),
                )

    def _shortcut(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[Candidate]:
        """The last layer within a shortcut gives what enters the shortcut."""
        assert self.call is not None
        inner = self.call.args[0]
        target = shapes[-1] if len(shapes) > 1 else ()
        for layer in [n for n in ast.walk(inner) if isinstance(n, ast.Call)]:
            text = as_code(target[0] if len(target) == 1 else target)
            if layer.args and ast.unparse(layer.func).endswith("Dense"):
                start, end = self.lines.span(layer.args[0])
                yield f"{text} units", Edit([Splice(start, end, text)])
            if len(layer.args) > 1 and "Convolution" in ast.unparse(layer.func) and target:
                start, end = self.lines.span(layer.args[1])
                yield f"{target[0]} filters", Edit([Splice(start, end, str(target[0]))])
                yield f"{target[0]} filters, padded", Edit([Splice(start, end, f"{target[0]}, pad=True")])
        start, end = self.lines.span(inner)
        if target:
            what = as_code(target[0] if len(target) == 1 else target)
            yield (
                f"a Dense layer that makes it {shape_words(target)}",
                Edit([Splice(start, start, "C.layers.Sequential(["), Splice(end, end, f", C.layers.Dense({what})])")]),
            )

    def _before_item(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[Candidate]:
        """An item of a list: a layer in front of it that gives its operand another shape."""
        place = self.editor.list_of(self.site) if self.site is not None else None
        if place is None or not shapes:
            return
        total = 1
        for d in shapes[-1]:
            total *= max(d, 1)
        shape = shapes[-1]
        side = round(total**0.5)
        squares = [(1, side, side)] if side * side == total and side > 1 else []
        for new in ((1, *shape), *squares, (1, 1, *shape), (total,)):
            if new == shape:
                continue
            text = f"lambda x: C.reshape(x, {as_code(new)})"
            yield f"reshape to {shape_words(new)} before it", self.editor.insert_item(place[0], place[1], text)

    def _last_layer_before(self, target: tuple[int, ...], others: Sequence[tuple[int, ...]]) -> Iterator[Candidate]:
        """The layer that made an operand, with as many outputs as the other operands have."""
        del target
        sources = [str(s) for s in self.problem.facts.get("sources", ())]  # type: ignore[attr-defined]
        for source, want in [(s, w) for s in sources for w in others]:
            node = self.state.trace.nodes.get(source)
            if node is None or node.path != "layers.Dense" or not want:
                continue
            site = self.program.by_id.get(node.site)
            if site is not None and isinstance(site.node, ast.Call) and site.node.args:
                start, end = self.lines.span(site.node.args[0])
                text = as_code(want[0] if len(want) == 1 else want)
                yield f"{text} units in the layer before", Edit([Splice(start, end, text)])

    def _fitting_parameters(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[Candidate]:
        """A parameter among the operands whose shape was written by hand: with inferred or fitting dimensions."""
        sources = [str(s) for s in self.problem.facts.get("sources", ())]  # type: ignore[attr-defined]
        for i, source in enumerate(sources):
            node = self.state.trace.nodes.get(source)
            if node is None or node.kind not in ("parameter", "constant", "input") or i >= len(shapes):
                continue
            site = self.program.by_id[node.site]
            shape = shapes[i]
            if not isinstance(site.node, ast.Call) or not site.node.args:
                continue
            start, end = self.lines.span(site.node.args[0])
            others = [s for k, s in enumerate(shapes) if k != i]
            options: list[tuple[int, ...]] = []
            for other in others:
                if node.kind == "parameter" and len(shape) > 1:
                    options.append((*other, *shape[1:]))
                options.append(other)
            for option in options:
                text = as_code(option if len(option) != 1 else option[0])
                yield f"shape {shape_words(option)}", Edit([Splice(start, end, text)])

    def axes(self) -> Iterator[Candidate]:
        """Sequences where none should be, or none where one should be."""
        found = [a for a in self.problem.facts.get("axes", ()) if isinstance(a, tuple)]  # type: ignore[attr-defined]
        node = self.problem.node
        operands = self.editor.operands(node) if node in self.state.trace.nodes else []
        texts = [self.program.text(o) for o in operands]
        for i, o in enumerate(operands):
            start, end = self.lines.span(o)
            for other in (t for k, t in enumerate(texts) if k != i):
                yield (
                    "give both the same sequence axis",
                    Edit([Splice(start, start, "C.reconcile_dynamic_axes("), Splice(end, end, f", {other})")]),
                )
            if i < len(found) and len(found[i]) > 1:
                yield "take the last frame", Edit([Splice(start, start, "C.sequence.last("), Splice(end, end, ")")])
        place = self.editor.list_of(self.site) if self.site is not None else None
        if place is not None and found and len(found[-1]) > 1:
            yield "take the last frame before it", self.editor.insert_item(place[0], place[1], "C.sequence.last")
        yield from self._sequence_inputs()
        yield from self._before_item([s for s in self.problem.facts.get("shapes", ()) if isinstance(s, tuple)])  # type: ignore[attr-defined]
        yield from self.shape()

    def _sequence_inputs(self) -> Iterator[Candidate]:
        for n in self.state.trace.nodes.values():
            if n.path == "input_variable":
                site = self.program.by_id[n.site]
                if isinstance(site.node, ast.Call):
                    start, end = self.lines.span(site.node.func)
                    yield (
                        f"make {n.name or 'the input'} a sequence",
                        Edit([Splice(start, end, "C.sequence.input_variable")]),
                    )

    def dtype(self) -> Iterator[Candidate]:
        """Element types that differ."""
        for n in self.state.trace.nodes.values():
            site = self.program.by_id.get(n.site)
            if "dtype" in n.attributes and site is not None and isinstance(site.node, ast.Call):
                keyword = next((k for k in site.node.keywords if k.arg == "dtype"), None)
                if keyword is not None:
                    yield "one element type", Edit([self.editor._cut_argument(site.node, *self.lines.span(keyword))])
        for o in self.editor.operands(self.problem.node) if self.problem.node in self.state.trace.nodes else []:
            start, end = self.lines.span(o)
            yield "cast it", Edit([Splice(start, start, "C.cast("), Splice(end, end, ', "float32")')])

    def operands(self) -> Iterator[Candidate]:
        """A function with too many or too few operands."""
        for o in reversed(
            self.editor.operands(self.problem.node) if self.problem.node in self.state.trace.nodes else []
        ):
            whole = self.editor.whole(self.problem.node).node
            if isinstance(whole, ast.Call) and len(whole.args) > 1:
                yield "leave one operand out", Edit([self.editor._cut_argument(whole, *self.lines.span(o))])
        whole_ = self.editor.whole(self.problem.node).node if self.problem.node in self.state.trace.nodes else None
        if isinstance(whole_, ast.Call):
            at = self._end_of_arguments(whole_)
            for flow in self.named_flows()[:3]:
                yield f"give it {flow} too", Edit([Splice(at, at, f", {flow}" if whole_.args else flow)])
        if self.call is not None and self.entry is not None and self.entry.name in ("LSTM", "GRU", "RNNStep"):
            yield self.replace(f"C.layers.Recurrence({self.program.text(self.call)})", "apply the cell to a sequence")
        if self.site is not None and isinstance(self.site.node, (ast.Name, ast.Attribute)):
            yield self.replace(f"lambda x: {self.program.text(self.site.node)}(x, x)", "use the value twice")
        yield from self.value()

    # ---- always

    def statement(self) -> Iterator[Candidate]:
        """A statement that programs do not have: take it away."""
        first = self.lines.start_of_line(self.problem.start)
        last = min(self.lines.end_of_line(self.problem.end) + 1, len(self.source))
        yield "take the statement away", Edit([Splice(first, last, "")])

    def take_away(self) -> Iterator[Candidate]:
        """Without the node, or without the whole statement."""
        for uid in dict.fromkeys((self.problem.node, self.problem.site)):
            if uid:
                try:
                    yield "take it away", self.editor.remove([uid])
                except (LabError, KeyError):
                    continue
        site = self.site
        while site is not None:  # the element of a list that it is in
            place = self.editor.list_of(site)
            if place is not None:
                yield "take it out of the list", Edit([self.editor.cut_item(*place)])
            site = site.parent
        s = self.program.statement_of(self.site) if self.site is not None else None
        if s is not None:
            start, end = self.lines.span(s)
            first, last = self.lines.start_of_line(start), self.lines.end_of_line(end)
            yield "take the statement away", Edit([Splice(first, min(last + 1, len(self.source)), "")])


def _better(name: str, text: str) -> Iterator[str]:
    """Values that a layer may like more than the one it refused."""
    number = re.fullmatch(r"\(?\s*(-?\d+(?:\.\d+)?)\s*,?\s*\)?", text)
    if number is not None:
        value = float(number[1])
        if "rate" in name:
            yield "0.5"
        yield str(int(abs(value)) or 1)
    if name in STARTING_VALUES:
        yield as_code(STARTING_VALUES[name])
    yield "1"


_BY_KIND: Final[dict[str, tuple[Callable[[_Finder], Iterator[Candidate]], ...]]] = {
    "name": (_Finder.name,), "parameter": (_Finder.parameter,), "arguments": (_Finder.missing,),
    "unapplied": (_Finder.unapplied,), "operand": (_Finder.operand,), "list": (_Finder.list_,),
    "item": (_Finder.item,), "range": (_Finder.range_,), "lambda": (_Finder.lambda_,),
    "repeats": (_Finder.repeats,), "call": (_Finder.called,), "output": (_Finder.output,),
    "value": (_Finder.value, _Finder.shape), "shape": (_Finder.shape,), "axes": (_Finder.axes,),
    "dtype": (_Finder.dtype,), "operands": (_Finder.operands,), "statement": (_Finder.statement,),
    "import": (_Finder.statement,), "expression": (_Finder.called, _Finder.value),
}  # fmt: skip
