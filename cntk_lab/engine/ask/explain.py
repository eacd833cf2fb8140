"""What a plan does, step by step, and where each step runs."""

from __future__ import annotations

from cntk_lab.engine.ask.execute import native_of
from cntk_lab.engine.cpu.report import tiers
from cntk_lab.engine.plan import Plan
from cntk_lab.engine.plan.text import lines


def explain(plan: Plan) -> str:
    """The steps, one a line: what is computed from what, and on the CPU where each runs and what it costs."""
    native = native_of(plan)
    where = tiers(native) if native is not None else ["NumPy"] * len(plan.steps)
    found = []
    for step, tier in zip(plan.steps, where, strict=True):
        own, *inside = lines([step], plan.buffers)
        found += [f"{own}  # {tier}", *inside]
    return "\n".join(found)
