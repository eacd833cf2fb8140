"""Runs a plan step by step while somebody watches: times of steps as events, and the first NaN that a step makes.

Only then: watched plans run on the reference tier, one step after the other, so that every value and time belongs to
one step. Must not know who watches.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cntk_lab import settings
from cntk_lab.engine.plan import Plan
from cntk_lab.errors import ExecutionError
from cntk_lab.events import BUS, StepTimed

if TYPE_CHECKING:
    from cntk_lab.engine.arrays.interpreter import Interpreter
    from cntk_lab.engine.arrays.run import Run


def wanted() -> bool:
    """Whether somebody watches now."""
    return BUS.heard(StepTimed) or settings.flag("watch_nan")


def run_watched(interpreter: Interpreter, run: Run) -> None:
    """Run all steps of a plan, telling their times; stop at the first NaN if that is asked for.

    Raises:
        ExecutionError: if a step makes NaN from operands without NaN, naming the functions of the user it belongs to.
    """
    plan = interpreter.plan
    look = settings.flag("watch_nan")
    timed = BUS.heard(StepTimed)
    for number, (step, action) in enumerate(zip(plan.steps, interpreter.actions, strict=True)):
        started = time.perf_counter()
        action(run)
        if timed:
            run.backend.synchronize()
            BUS.publish(StepTimed(plan.number, number, tuple(step.nodes), time.perf_counter() - started))
        if look:
            _look(plan, run, number)


def _look(plan: Plan, run: Run, number: int) -> None:
    step = plan.steps[number]
    for written in step.writes:
        bad = _nans(run.arrays.get(written))
        if bad:
            names = ", ".join(step.nodes) or "a step of the engine's own"
            size = int(run.arrays[written].size)
            reads = [f"{plan.buffers[r].name or r}: {_range(run.arrays.get(r))}" for r in step.reads]
            raise ExecutionError(
                f"{names}: {bad} of {size} numbers became NaN in a {step.kind} step",
                where=f"step {number} of plan {plan.number}; operands: {'; '.join(reads) or 'none'}",
                fix="look at the operands' ranges: clip them, lower the learning rate, or clip gradients",
            )


def _values(array: Any) -> Any:
    values = getattr(array, "matrix", array)
    values = getattr(values, "data", values) if hasattr(values, "indptr") else values
    return values if getattr(getattr(values, "dtype", None), "kind", "") == "f" else None


def _nans(array: Any) -> int:
    values = _values(array)
    return 0 if values is None else int((values != values).sum())  # noqa: PLR0124 - true for NaN only


def _range(array: Any) -> str:
    values = _values(array)
    if values is None or not values.size:
        return "not numbers"
    return f"{float(values.min()):.4g} to {float(values.max()):.4g}, {_nans(array)} NaN"
