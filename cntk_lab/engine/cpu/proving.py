"""A native run that is compared with NumPy's: what is done with the result, and how a user hears of a difference."""

from __future__ import annotations

import warnings
from typing import Any

from cntk_lab.engine.arrays.interpreter import Interpreter
from cntk_lab.engine.arrays.run import Run
from cntk_lab.engine.cpu.binding import Binding
from cntk_lab.engine.cpu.guards import poisoned
from cntk_lab.engine.cpu.native import NativePlan
from cntk_lab.engine.cpu.proof import SHAKES, left, off, shaken_run
from cntk_lab.engine.plan import Plan, all_steps
from cntk_lab.errors import ExecutionError, LabWarning


def proved(native: NativePlan, run: Run, interpreter: Interpreter) -> Binding | None:
    """A native run that is compared with NumPy's.

    Returns:
        The binding that ran; None if NumPy's results stand in the run, and the plan stays on NumPy.
    """
    proof = native.proof
    assert proof is not None
    side, start = proof.side(run), proof.side(run)
    interpreter.run(side)
    binding = native.serve(run)
    made, binding.made = binding.made, {}
    faults = list(proof.differences(run, side, start, lambda i: shaken_run(proof, interpreter, start, i)))
    if not faults:
        if native.guards is None:
            native.proof = None
        return binding
    proof.take_over(run, side)
    if native.guards is not None:
        others = [shaken_run(proof, interpreter, start, i) for i in range(SHAKES)]
        raise _wrong(native.plan, faults, first_wrong(native.plan, made, side, others))
    tell(native.plan, faults)
    return None


def tell(plan: Plan, faults: list[str]) -> None:
    """Say that a plan stays on NumPy, once for each plan."""
    nodes = ", ".join(dict.fromkeys(n for s in plan.steps for n in s.nodes))
    warnings.warn(
        f"native code and NumPy differ in plan {plan.number} {plan.title}; it stays on NumPy, whose numbers you get\n"
        f"  what:  {'; '.join(faults[:3])}\n"
        f"  where: {nodes[:300]}\n"
        "  fix:   none is needed; please report the model and this text: it is a bug of cntk_lab's native tier. "
        "settings.set_option('checked', True) finds the step",
        LabWarning,
        stacklevel=2,
    )


def first_wrong(plan: Plan, made: dict[int, Any], side: Run, others: list[Run]) -> str:
    """The first step whose result differs from NumPy's.

    Args:
        plan: the plan.
        made: what steps made, by buffer.
        side: NumPy's run.
        others: NumPy's shaken runs.
    """
    for i, step in enumerate(plan.steps):
        for w in (w for s in all_steps([step]) for w in s.writes if w in made):
            bad = off(made[w], side.arrays[w])
            unwritten = poisoned(made[w]) == made[w].size  # what other steps do along the way leaves no result
            if bad is not None and not unwritten:
                bad = left(bad, made[w], side.arrays[w], [o.arrays[w] for o in others])
                if bad.any():
                    return f"step {i} ({step.kind}) of plan {plan.number}, {', '.join(step.nodes)}: {plan.buffers[w]}"
    return f"plan {plan.number} {plan.title}"


def _wrong(plan: Plan, faults: list[str], where: str) -> ExecutionError:
    return ExecutionError(
        f"native code and NumPy differ in plan {plan.number}: {'; '.join(faults[:3])}",
        where=where,
        fix="a bug of the native tier: report the model; settings.set_option('native', False) avoids it",
    )
