"""Who reads each buffer of a plan: by the places of steps. Changes nothing; whoever changes steps looks again."""

from __future__ import annotations

from collections.abc import Sequence

from cntk_lab.engine.plan.plan import Plan
from cntk_lab.engine.plan.steps import Step


def readers_of(steps: Sequence[Step]) -> dict[int, list[int]]:
    """Buffer -> the places among ``steps`` that read it, in order; a place stands once however often it reads."""
    found: dict[int, list[int]] = {}
    for i, s in enumerate(steps):
        for r in dict.fromkeys(s.reads):
            found.setdefault(r, []).append(i)
    return found


class Index:
    """A plan with who reads what.

    Args:
        plan: the plan; a loop counts as one step, which reads what its body reads from outside.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.readers = readers_of(plan.steps)
        self.kept = frozenset(plan.outputs.values())

    def only_reader(self, buffer: int) -> int | None:
        """The place of the step that reads a buffer which nobody else needs; None if there is no such step."""
        readers = self.readers.get(buffer, ())
        return readers[0] if len(readers) == 1 and buffer not in self.kept else None
