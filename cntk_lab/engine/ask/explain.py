"""What a plan does, step by step, and where each step runs."""

from __future__ import annotations

from cntk_lab.engine.plan.text import lines
from cntk_lab.engine.tiers.tier import Bound


def explain(bound: Bound) -> str:
    """The steps, one a line: what is computed from what, where each runs and what it costs."""
    plan = bound.plan
    where = bound.where()
    found = []
    for step, tier in zip(plan.steps, where, strict=True):
        own, *inside = lines([step], plan.buffers)
        found += [f"{own}  # {tier}", *inside]
    return "\n".join(found)
