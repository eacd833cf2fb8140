"""Sharing: sums over all rows that several formulas need are computed once and kept.

The statistics of batch normalization stand in its forward formula and again in each of its gradients; every one would
pass over all rows for them. Expressions are interned, so the same sum is the same object wherever it stands: the first
kernel that computes it stores it, the others read it. Runs after fusing; knows no operator.
"""

from __future__ import annotations

from cntk_lab.engine.plan import Buffer, Map, Plan, all_steps
from cntk_lab.engine.plan.formulas import axes_of
from cntk_lab.engine.plan.reference import number_of, reference
from cntk_lab.formula import expr as e
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.tensor.shape import FREE


def share_sums(plan: Plan) -> Plan:
    """The plan in which each sum over rows is computed by one kernel only; results are the same."""
    users: dict[e.Expr, list[Map]] = {}
    changed = {reference(w) for s in all_steps(plan.steps) for w in s.writes if plan.buffers[w].role != "temporary"}
    for s in plan.steps:
        if isinstance(s, Map) and s.kernel.rows and FREE not in s.kernel.domain:
            for x in e.topological(f for _, f in s.kernel.outputs):
                if _is_sum(x) and not changed.intersection(e.inputs_of([x])):
                    users.setdefault(x, []).append(s)
    first = {x: steps[0] for x, steps in users.items() if len(steps) > 1}
    if not first:
        return plan
    kept: dict[e.Expr, tuple[int, Operand]] = {}
    for s in plan.steps:
        if not isinstance(s, Map) or not s.kernel.rows:
            continue
        known = {x: operand for x, (_, operand) in kept.items()}
        _read(s, known)
        for x in [x for x, step in first.items() if step is s and x not in kept]:
            # the names of operands are those of buffers, so an expression means the same in every kernel
            if any(len(t.kernel.domain) != len(s.kernel.domain) for t in users[x]):
                continue
            kept[x] = _store(plan, s, *e.replace([x], {y: e.input_(operand.name) for y, operand in known.items()}))
    return plan


def _is_sum(x: e.Expr) -> bool:
    return x.op == "reduce" and isinstance(x.data, tuple) and e.ROWS in x.data[1] and x.args[0].op != "const"


def _store(plan: Plan, s: Map, x: e.Expr) -> tuple[int, Operand]:
    """Make a kernel store a sum; the buffer, and how it lies in the domain."""
    k = s.kernel
    varies = axes_of(x, {o.name: _Lies(o) for o in k.inputs}, len(k.domain))
    shape = tuple(d if i - len(k.domain) in varies else 1 for i, d in enumerate(k.domain))
    b = Buffer(len(plan.buffers), "", shape, k.dtype, "temporary", "sum")
    plan.buffers.append(b)
    operand = Operand(reference(b.id), shape, False, k.dtype)
    s.kernel = Kernel(k.domain, k.rows, k.inputs, (*k.outputs, (operand, x)), k.dtype)
    s.writes = (*s.writes, b.id)
    return b.id, operand


class _Lies:
    """An operand as :func:`axes_of` asks for it."""

    def __init__(self, o: Operand) -> None:
        self.shape, self.rows = o.shape, o.rows


def _read(s: Map, known: dict[e.Expr, Operand]) -> None:
    """Let a kernel read the sums that are stored already."""
    k = s.kernel
    used = {x for x in e.topological(f for _, f in k.outputs) if x in known and len(known[x].shape) == len(k.domain)}
    if not used:
        return
    formulas = e.replace([f for _, f in k.outputs], {x: e.input_(known[x].name) for x in used})
    names = set(e.inputs_of(formulas))
    new = [known[x] for x in used if known[x].name in names]
    inputs = (*(o for o in k.inputs if o.name in names), *new)
    if not any(o.rows for o in inputs):
        return
    s.kernel = Kernel(
        k.domain, k.rows, inputs, tuple((o, f) for (o, _), f in zip(k.outputs, formulas, strict=True)), k.dtype
    )
    s.reads = tuple(number_of(o.name) for o in inputs)
