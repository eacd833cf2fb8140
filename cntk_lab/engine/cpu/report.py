"""Which tier each step of a plan runs on, and what it costs: what ``plan.explain()`` tells beside the formulas.

Costs are estimates from the plan alone: floating-point operations of products, nanoseconds of formulas per row.
"""

from __future__ import annotations

from cntk_lab.engine.cpu.maps import MapStep
from cntk_lab.engine.cpu.native import NativePlan
from cntk_lab.engine.cpu.sparse import ProductStep, UpdateStep
from cntk_lab.engine.cpu.step import Absorbed, NativeStep
from cntk_lab.engine.plan import Call, Contract, Join, Part, Step, View
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
    if isinstance(step, (View, Part, Join)):
        return "no work"
    if own is None or not own.usable():
        return "NumPy" + _cost(step, own)
    if isinstance(own, Absorbed):
        return "done by the step before"
    return own.tier + _cost(step, own)


def _cost(step: Step, own: NativeStep | None) -> str:
    if isinstance(own, ProductStep):
        return f", {own.flop} flop/stored value"
    if isinstance(own, UpdateStep):
        return f", {own.formulas.code.row_work:.3g} ns/touched row"
    if isinstance(own, MapStep):
        return f", {own.code.row_work:.3g} ns/row"
    if isinstance(step, Contract) and FREE not in step.spec.sizes.values():
        flop = 2
        for n in step.spec.sizes.values():
            flop *= n
        return f", {flop} flop/row"
    if isinstance(step, Call) and own is None:
        return " (no native row)"
    return ""
