"""What steps on whole arrays do to places only: operators that only move elements say so (``OpDef.moves``)."""

from __future__ import annotations

from cntk_lab.engine.passes.parts import Shaping
from cntk_lab.engine.plan import Call
from cntk_lab.graph.asks import apply


def shaping(step: Call) -> Shaping | None:
    """What a step does, if it only moves elements; None for everything else."""
    if step.op is None or step.op.moves is None:
        return None
    found = apply(step.op.moves, step.scope)
    if found is None:
        return None
    if step.role == "forward":
        return Shaping(found.kind, found.axis, found.begin, found.order)
    return Shaping(f"un{found.kind}", found.axis, found.begin or int(step.scope.get("position", 0)), found.order)
