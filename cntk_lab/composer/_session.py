"""The state of a composer from one edit to the next: program, picture, weights, history. Knows no command."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cntk_lab.composer._edits import Edit
from cntk_lab.composer._open import opened
from cntk_lab.composer._program import Ids, Program, read
from cntk_lab.composer._source import Splice, bounded, difference, joined
from cntk_lab.composer._state import State, build, titles
from cntk_lab.composer._weights import Memory, Report
from cntk_lab.errors import GraphError
from cntk_lab.graph.function import Function

MOST_UNDO = 500


@dataclass(frozen=True)
class Step:
    """One entry of the history."""

    program: Program
    label: str


class Session:
    """A program that is edited: what it is now, what it was, and what is told of it.

    Args:
        model: a Function to open, the text of a program, the path of one or of a model file, or None for an empty one.
    """

    def __init__(self, model: Function | str | os.PathLike[str] | None = None) -> None:
        self._ids = Ids()
        self._memory = Memory()
        self._past: list[Step] = []
        self._future: list[Step] = []
        self._clipboard: list[str] = []
        self._listeners: list[Any] = []
        written = opened(model)
        program = read(bounded(written.source), self._ids)
        for node, weights in written.weights(program):
            self._memory.adopt(node, weights)
        self._read = program
        self._state = build(program, self._memory)
        self._good = self._state if not self._state.problems else None
        self._report = Report(new=self._labels(self._state.weights(), [self._state]))
        if written.opened:
            self._report = Report(kept=self._report.new)

    def undo(self) -> str:
        """Take the last edit back; weights that it dropped return.

        Returns:
            What was undone.

        Raises:
            GraphError: if there is nothing to undo.
        """
        if not self._past:
            raise GraphError("there is nothing to undo")
        step = self._past.pop()
        self._future.append(Step(self._read, step.label))
        self._show(step.program)
        return step.label

    def redo(self) -> str:
        """Do again what was undone.

        Returns:
            What was done.

        Raises:
            GraphError: if there is nothing to do again.
        """
        if not self._future:
            raise GraphError("there is nothing to do again")
        step = self._future.pop()
        self._past.append(Step(self._read, step.label))
        self._show(step.program)
        return step.label

    def listen(self, listener: Any) -> None:
        """Call a function after every edit.

        Args:
            listener: takes no argument.
        """
        self._listeners.append(listener)

    def _do(self, edit: Edit, label: str) -> str:
        """Carry out an edit; the id of the node that it added, where it added one."""
        if not edit.splices:
            return ""
        source = joined(self._read.source, edit.splices).apply(self._read.source)
        if source != self._read.source:
            self._advance(source, edit.splices, edit.hints, label)
        return self._at(edit.look_at) if edit.look_at >= 0 else ""

    def _at(self, place: int) -> str:
        """The drawn node whose text begins at a place (the outermost one)."""
        sites = [s for s in self._state.program.sites if s.start == place]
        for s in sites:
            for node in self._state.trace.nodes.values():
                if s.id in (node.site, node.application):
                    return node.uid
        return sites[0].id if sites else ""

    def _advance(self, source: str, splices: list[Splice] | None, hints: dict[str, int] | None, label: str) -> None:
        base, source = self._state.program, bounded(source)  # the last that could be read
        edits = splices if splices is not None and base is self._read else [difference(base.source, source)]
        program = read(source, self._ids, base, edits, hints)
        self._past.append(Step(self._read, label))
        del self._past[:-MOST_UNDO]
        self._future.clear()
        self._show(program)

    def _show(self, program: Program) -> None:
        self._read = program
        before = self._good
        if any(p.kind in ("syntax", "depth") for p in program.problems) and not program.sites:
            # what cannot be read keeps the picture of before
            old = self._state
            self._state = State(old.program, old.trace, list(program.problems), None, old.outputs, old.name, old.scope)
        else:
            self._state = build(program, self._memory)
            if not self._state.problems:
                self._good = self._state
                self._report = self._compare(before, self._state)
        for listener in self._listeners:
            listener()

    def _compare(self, before: State | None, after: State) -> Report:
        old = {id(v): v for v in (before.weights() if before is not None else [])}
        now = {id(v): v for v in after.weights()}
        both = [after] if before is None else [before, after]
        gone = [v for i, v in old.items() if i not in now]
        unlike = [v for i, v in now.items() if i not in old]
        back = [v for v in unlike if id(v) in self._memory.shown]
        fresh = [v for v in unlike if id(v) not in self._memory.shown]
        return Report(
            kept=self._labels([v for i, v in now.items() if i in old], both),
            new=self._labels(fresh, both),
            dropped=self._labels(gone, both),
            restored=self._labels(back, both),
        )

    def _labels(self, weights: Sequence[Any], states: Iterable[State]) -> tuple[str, ...]:
        names = titles(states)
        out = tuple(self._memory.label(v, names) for v in weights)
        self._memory.shown.update({id(v): v for v in weights})
        return out
