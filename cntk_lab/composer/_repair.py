"""Finding what repairs a program: candidates are tried on a copy, and the first that helps is it.

A fix never takes away what the user made; what does is found only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cntk_lab.composer._edits import EMPTY, Edit
from cntk_lab.composer._fixes import candidates
from cntk_lab.composer._program import Problem, Program, read
from cntk_lab.composer._source import Splice, difference, joined
from cntk_lab.composer._state import State, build
from cntk_lab.composer._weights import Memory

MOST_TRIED: Final = 100_000
"""Expressions that are read to find a fix: those of the program, times the edits that are tried."""


@dataclass(frozen=True)
class Fix:
    """A change of the program after which a problem is gone, tried out.

    Args:
        label: what it does, for the user.
        edit: the change.
        deletes: what of the user's work it takes away; "" if nothing.
    """

    label: str
    edit: Edit
    deletes: str = ""


@dataclass(frozen=True)
class Bench:
    """A program to try edits on.

    Args:
        read: what was read.
        state: the last state that could be drawn.
        good: the last state without problems.
        memory: layers and weights; it learns nothing.
    """

    read: Program
    state: State
    good: State | None
    memory: Memory

    def fix(self, problem: Problem, *, deleting: bool) -> Fix | None:
        """A change after which a problem is gone.

        Args:
            problem: one of the state's.
            deleting: whether to look for one that takes something away, instead of one that does not.

        Returns:
            The first that leaves fewer problems; else the one that leaves the fewest; None if none was found.
        """
        best: tuple[int, Fix] | None = None
        before = len(self.state.problems)
        everything = candidates(self.state, problem, self.good.program.source if self.good else EMPTY)
        found = [(label, edit) for label, edit in everything if bool(edit.destroys) == deleting]
        tries = max(2, MOST_TRIED // max(1, self.state.work, len(self.read.source) // 10))
        for label, edit in found if len(found) <= tries else [*found[: tries - 1], found[-1]]:
            after = self._tried(edit)
            if after is None or _still_there(problem, after):
                continue
            fix = Fix(label, edit, edit.destroys)
            if len(after) < before:
                return fix
            within = problem.kind == "operands" or any(problem.start <= s.start < problem.end for s in edit.splices)
            if within and any(p.site == problem.site and p.kind == problem.kind for p in after):
                continue  # the same trouble in other words: the next fix would change it back
            if best is None or len(after) < best[0]:
                best = (len(after), fix)
        return best[1] if best is not None and best[0] <= before else None

    def _tried(self, edit: Edit) -> list[Problem] | None:
        """The problems that there would be after an edit; None if it is no edit."""
        if not edit.splices:
            return None
        source = joined(self.read.source, edit.splices).apply(self.read.source)
        if source == self.read.source:
            return None
        program = read(source, iter([f"t{i}" for i in range(len(source) + 1)]), self.state.program,
                       self._relative(source, edit))  # fmt: skip
        return build(program, self.memory.scratch()).problems

    def _relative(self, source: str, edit: Edit) -> list[Splice]:
        program = self.state.program
        return edit.splices if program is self.read else [difference(program.source, source)]


def _still_there(problem: Problem, after: Sequence[Problem]) -> bool:
    return any(p.message == problem.message and p.kind == problem.kind for p in after)
