"""What every search for a fix needs: the place of a problem, its call with its arguments, the values made before it.

Knows no sort of problem. An edit that takes something of the user's away says what, in ``Edit.destroys``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from cntk_lab.composer._catalog import STARTING_VALUES, as_code, catalog
from cntk_lab.composer._edits import Edit
from cntk_lab.composer._program import Problem
from cntk_lab.composer._source import Splice
from cntk_lab.composer._state import State
from cntk_lab.composer._values import Flow

Candidate = tuple[str, Edit]
"""What it does, in words, and the edit."""


class Finder:
    """The edits for one problem: what all sorts of problems share."""

    def __init__(self, state: State, problem: Problem) -> None:
        self.state, self.problem = state, problem
        self.program, self.editor = state.program, state.editor
        self.source, self.lines = self.program.source, self.program.lines
        self.site = self.program.by_id.get(problem.site)

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

    def _end_of_arguments(self, call: ast.Call) -> int:
        spans = [self.lines.span(a) for a in [*call.args, *call.keywords]]
        return max((e for _, e in spans), default=self.lines.span(call)[1] - 1)

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
