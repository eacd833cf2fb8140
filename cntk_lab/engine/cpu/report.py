"""Which tier each step of a plan runs on, and what it costs: what ``plan.explain()`` tells beside the formulas.

Costs are estimates from the plan alone: floating-point operations of products, nanoseconds of formulas per row.
"""

from __future__ import annotations

from cntk_lab.engine.cpu.native import NativePlan
from cntk_lab.engine.cpu.step import NativeStep
from cntk_lab.engine.plan import Call, Contract, Step
from cntk_lab.tensor.shape import FREE


def tiers(native: NativePlan) -> list[str]:
    """For each step of a plan where it runs on the CPU and what it costs, as text.

    Args:
        native: the plan on the native tier.

    Returns:
        One text per step, such as ``oneDNN, 627200 flop/row``, ``kernel, 12 ns/row`` or ``NumPy``.
    """
    return [_tier(s, own) for s, own in zip(native.plan.steps, native.steps, strict=True)]


def _tier(step: Step, own: NativeStep | None) -> str:
    if step.lies:
        return "no work"
    if own is None or not own.usable():
        return "NumPy" + _cost(step, own)
    return own.tier + _cost(step, own)


def _cost(step: Step, own: NativeStep | None) -> str:
    if own is not None and (said := own.cost()):
        return said
    if isinstance(step, Contract) and FREE not in step.spec.sizes.values():
        flop = 2
        for n in step.spec.sizes.values():
            flop *= n
        return f", {flop} flop/row"
    if isinstance(step, Call) and own is None:
        return " (no native row)"
    return ""
