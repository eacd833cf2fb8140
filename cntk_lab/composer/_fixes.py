"""Candidates for repairing a program: for each sort of problem the edits that usually help, best first.

Nothing here knows whether an edit helps: whoever asks tries each on a copy and takes the first that does.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Final

from cntk_lab.composer._build import nearest
from cntk_lab.composer._catalog import STARTING_VALUES, as_code, catalog
from cntk_lab.composer._edits import Edit
from cntk_lab.composer._finder import Candidate
from cntk_lab.composer._program import Problem
from cntk_lab.composer._shape_fixes import ShapeFixes
from cntk_lab.composer._source import Splice, difference
from cntk_lab.composer._state import State
from cntk_lab.composer._syntax_fixes import syntax
from cntk_lab.composer._values import Flow
from cntk_lab.errors import LabError


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
        finder = _Fixes(state, problem)
        for make in _BY_KIND.get(problem.kind, ()):
            yield from make(finder)
        yield from finder.take_away()
    source = state.program.source if problem.kind not in ("syntax", "depth") else problem_source(problem, state)
    everything = "all edits since the last program that worked"
    yield "go back to the last program that worked", Edit([difference(source, good)], destroys=everything)


def problem_source(problem: Problem, state: State) -> str:
    """The text that a problem was found in."""
    return str(problem.facts.get("source", state.program.source))


class _Fixes(ShapeFixes):
    """Problems of the program's text, and what helps with any."""

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
        text = self.source[start:end]
        yield f"delete {wanted}", Edit([self.editor._cut_argument(call, start, end)], destroys=text)

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
            yield f"delete {text[:30]}", Edit([self.editor._cut_argument(call, start, end)], destroys=text)

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
                yield self._out_of_list(within, i)
        for element in bad:
            start, end = self.lines.span(element)
            if isinstance(value, int) and not isinstance(value, bool):
                yield f"a layer of {value} units", Edit([Splice(start, end, f"C.layers.Dense({value})")])
            if isinstance(value, str):
                yield "a label of that name", Edit([Splice(start, end, f"C.layers.Label({as_code(value)})")])
        if call is not None and call.args and isinstance(call.args[0], (ast.List, ast.Tuple)):
            for i in range(len(call.args[0].elts)):
                yield self._out_of_list(call.args[0], i)

    def _out_of_list(self, items: ast.List | ast.Tuple, at: int) -> Candidate:
        text = self.program.text(items.elts[at]).split("\n", 1)[0]
        return f"delete {text[:40]}", Edit([self.editor.cut_item(items, at)], destroys=text)

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
            what = self.program.text(call.func).split("\n", 1)[0]
            for a in call.args:
                label, edit = self.replace(self.program.text(a), f"delete {what[:40]}")
                edit.destroys = what
                yield label, edit

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

    def statement(self) -> Iterator[Candidate]:
        """A statement that programs do not have: take it away."""
        yield self._without_lines(self.problem.start, self.problem.end)

    def _without_lines(self, start: int, end: int) -> Candidate:
        first, last = self.lines.start_of_line(start), min(self.lines.end_of_line(end) + 1, len(self.source))
        text = self.source[first:last].strip().split("\n", 1)[0]
        return f"delete the statement {text[:40]}", Edit([Splice(first, last, "")], destroys=text)

    def take_away(self) -> Iterator[Candidate]:
        """Without the node, or without the whole statement."""
        nodes = self.state.trace.nodes
        for uid in dict.fromkeys((self.problem.node, self.problem.site)):
            if uid:
                try:
                    edit = self.editor.remove([uid])
                except (LabError, KeyError):
                    continue
                drawn = nodes.get(uid)
                title = " ".join(dict.fromkeys(filter(None, (drawn.op, drawn.name)))) if drawn else self._first_line()
                edit.destroys = title
                yield f"delete {title}", edit
        site = self.site
        while site is not None:  # the element of a list that it is in
            place = self.editor.list_of(site)
            if place is not None:
                yield self._out_of_list(*place)
            site = site.parent
        s = self.program.statement_of(self.site) if self.site is not None else None
        if s is not None:
            yield self._without_lines(*self.lines.span(s))

    def _first_line(self) -> str:
        return self.source[self.problem.start : self.problem.end].split("\n", 1)[0][:40] or "it"


_BY_KIND: Final[dict[str, tuple[Callable[[_Fixes], Iterator[Candidate]], ...]]] = {
    "name": (_Fixes.name,), "parameter": (_Fixes.parameter,), "arguments": (_Fixes.missing,),
    "unapplied": (_Fixes.unapplied,), "operand": (_Fixes.operand,), "list": (_Fixes.list_,),
    "item": (_Fixes.item,), "range": (_Fixes.range_,), "lambda": (_Fixes.lambda_,),
    "repeats": (_Fixes.repeats,), "call": (_Fixes.called,), "output": (_Fixes.output,),
    "value": (_Fixes.value, _Fixes.shape), "shape": (_Fixes.shape,), "axes": (_Fixes.axes,),
    "dtype": (_Fixes.dtype,), "operands": (_Fixes.operands,), "statement": (_Fixes.statement,),
    "import": (_Fixes.statement,), "expression": (_Fixes.called, _Fixes.value),
}  # fmt: skip
