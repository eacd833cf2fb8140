"""One state of a composed program: the text read, the network built, the picture drawn, what is wrong.

Building is a function of the text and of the memory of layers; who keeps history and talks to the user is above.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from cntk_lab import ops
from cntk_lab.composer._arrange import Arranger
from cntk_lab.composer._build import MOST_MADE, TOO_DEEP, Builder, Stop
from cntk_lab.composer._program import Problem, Program
from cntk_lab.composer._trace import Drawn, Trace
from cntk_lab.composer._values import Broken, Flow, GroupMaker, LayerMaker, Maker
from cntk_lab.composer._weights import Memory
from cntk_lab.graph.function import Function
from cntk_lab.graph.variable import Variable

MOST_DRAWN: Final = 500
"""Problems that get a place in the picture."""


@dataclass
class State:
    """A program with everything that follows from it."""

    program: Program
    trace: Trace
    problems: list[Problem]
    model: Function | None
    outputs: tuple[str, ...] = ()
    name: str = "model"
    scope: dict[str, Any] = field(default_factory=dict)
    work: int = 0
    """What it takes to build it again, in expressions."""

    @property
    def editor(self) -> Arranger:
        """What makes edits of this state."""
        return Arranger(self.program, self.trace)

    def snapshot(self) -> dict[str, Any]:
        """The picture, as plain data."""
        return self.trace.snapshot(self.name, self.outputs, self.problems)

    def weights(self) -> list[Variable]:
        """Parameters and named statistics of the model."""
        if self.model is None:
            return []
        return [*self.model.parameters, *(c for c in self.model.constants if c.name)]


def build(program: Program, memory: Memory) -> State:
    """Build a program.

    Args:
        program: what was read.
        memory: layers and weights of before; those of now are added.
    """
    memory.begin()
    builder = Builder(program, memory)
    with builder.working():
        builder.run()
        model, outputs, name = _model(builder)
    memory.end()
    state = State(program, builder.trace, builder.problems, model, outputs, name, builder.scope)
    state.work = max(builder.steps + MOST_MADE - builder.left[0], len(program.source) // 10)
    drawn: dict[str, Drawn] = {}
    for node in state.trace.nodes.values():
        if node.kind != "group":
            drawn.setdefault(node.site, node)
            drawn.setdefault(node.application, node)
    for p in state.problems[:MOST_DRAWN]:
        if not p.node:
            p.node = _node_at(state, builder, p, drawn)
    return state


def _model(builder: Builder) -> tuple[Function | None, tuple[str, ...], str]:
    """The function that the program makes, where it does; a layer that is not applied gets a placeholder."""
    found = builder.program.output()
    if found is None:
        if not builder.problems:
            builder.problems.append(Problem("", "the program makes no model", "output"))
        return None, (), "model"
    name, statement = found
    value = builder.scope.get(name)
    if isinstance(value, Maker):
        value = _on_placeholders(builder, value)
    if isinstance(value, Flow):
        function = value.function
        if isinstance(function, Variable):
            function = builder.memory.result(("combine", id(function)), (function,), lambda: ops.combine([function]))
        return function, value.sources, name
    if not isinstance(value, Broken) and not builder.problems:
        start, end = builder.program.lines.span(statement)
        builder.problems.append(Problem("", f"{name} is no network", "output", start=start, end=end))
    if isinstance(value, Broken) and not builder.problems:
        start, end = builder.program.lines.span(statement)
        builder.problems.append(Problem("", f"{name} cannot be built", "output", start=start, end=end))
    sources = (value.source,) if isinstance(value, Broken) and value.source else ()
    return None, sources, name


def _on_placeholders(builder: Builder, maker: Maker) -> Any:
    count = 1
    if isinstance(maker, LayerMaker):
        function = builder.kept(maker).function
        count = len(function.arguments) if isinstance(function, Function) else 1
    flows = []
    for i in range(count):
        uid = f"{maker.uid}?{i}"
        variable = builder.memory.leaf(uid, "placeholder", lambda: ops.placeholder(name="x"))
        builder.trace.add(Drawn(uid, maker.site.id, "placeholder", "placeholder", None, "x", "", {}, (variable,)))
        flows.append(Flow((variable,), (uid,), variable))
    try:
        return builder.apply(maker, flows, None)
    except Stop:
        return Broken()
    except RecursionError:
        builder.problems.append(
            Problem(maker.site.id, TOO_DEEP, "statement", start=maker.site.start, end=maker.site.end)
        )
        return Broken()


def _node_at(state: State, builder: Builder, problem: Problem, drawn: dict[str, Drawn]) -> str:
    """The drawn node that a problem of the text belongs to; one is drawn for it where there is none."""
    site = at = state.program.by_id.get(problem.site)
    while at is not None:
        if (node := drawn.get(at.id)) is not None:
            if problem.edge is None:
                source = next((e.source for e in state.trace.edges if e.target == node.uid), None)
                problem.edge = (source, node.uid) if source is not None else None
            return node.uid
        at = at.parent
    if site is not None:
        node = builder.stand_in(site)
        node.parent = _around(state, problem)
    else:
        words = state.program.source[problem.start : problem.end].split("\n", 1)[0][:40]
        uid = f"problem {problem.start}"
        node = Drawn(uid, uid, words or "program", "function", None)
    state.trace.add(node)
    drawn.setdefault(node.site, node)
    return node.uid


def _around(state: State, problem: Problem) -> str | None:
    """The drawn group that a problem's place lies in."""
    site = state.program.by_id.get(problem.site)
    while site is not None:
        for node in state.trace.nodes.values():
            if node.site == site.id and node.kind in ("group", "repeat"):
                return node.uid
        site = site.parent
    return None


def titles(states: Iterable[State]) -> dict[str, str]:
    """Names of layers by their ids, for reports."""
    out: dict[str, str] = {}
    for state in states:
        for node in state.trace.nodes.values():
            out[node.uid.rpartition("/")[2]] = f"{node.op} '{node.name}'" if node.name else node.op
    return out


__all__ = ["GroupMaker", "State", "build", "titles"]
