"""Compiling: from what is wanted of a graph to a plan for a target, by a list of passes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cntk_lab.engine.make.backward import Backward, filled
from cntk_lab.engine.make.lower import Lowering
from cntk_lab.engine.make.update import total_of, update_of
from cntk_lab.engine.passes.channels import channels_last
from cntk_lab.engine.passes.fuse import fuse, without_dead
from cntk_lab.engine.passes.parts import use_parts
from cntk_lab.engine.passes.shaping import shaping
from cntk_lab.engine.passes.sums import share_sums
from cntk_lab.engine.plan import Builder, Map, Phase, Plan, Share, all_steps, check
from cntk_lab.engine.plan.formulas import map_step
from cntk_lab.formula import expr as e
from cntk_lab.graph import walk
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.shape import FREE

if TYPE_CHECKING:
    from cntk_lab.engine.make.wanted import Wanted
    from cntk_lab.engine.plan.target import Target


def make_plan(wanted: Wanted, target: Target, *, fused: bool = True) -> Plan:
    """A new plan: forward, backward, share, update, and then everything that the target gains by.

    Args:
        wanted: what is computed.
        target: what the device can do.
        fused: whether passes may change what steps compute together; without, each step is one operator's.
    """
    lowering = Lowering(training=wanted.training)
    every = (*wanted.outputs, *wanted.roots, *wanted.totals)
    lowering.lower(every)
    builder = lowering.builder
    outputs: dict[str, int] = {f"output {i}": lowering.value(v) for i, v in enumerate(wanted.outputs)}
    for i, v in enumerate(wanted.totals):
        outputs[f"total {i}"] = total_of(builder, lowering.value(v))
    found: dict[Variable, int] = {}
    parameters: dict[Variable, int] = {}
    if wanted.roots:
        builder.phase = Phase.BACKWARD
        heard = _heard_by_users(every) if wanted.updates else []
        parameters = {u.parameter: lowering.value(u.parameter) for u in wanted.updates}
        targets = {v: lowering.value(v) for v in (*wanted.gradients, *parameters, *heard)}
        gradient_of = Backward(builder, targets.values()).run(_seeds(wanted, lowering))
        found = {v: gradient_of[n] for v, n in targets.items() if n in gradient_of}
        outputs.update({f"gradient {i}": found[v] for i, v in enumerate(wanted.gradients) if v in found})
        outputs.update({f"heard {i}": found[v] for i, v in enumerate(heard) if v in found})
    if wanted.shared:
        found.update(_shared(builder, {v: found[v] for v in parameters if v in found}))
    builder.steps.extend([*lowering.finals, *lowering.assignments])
    builder.phase = Phase.UPDATE
    for i, u in enumerate(wanted.updates):
        if u.parameter in found:
            update_of(builder, i, u, parameters[u.parameter], found[u.parameter])
    plan = Plan(
        ", ".join(v.name or v.uid for v in every),
        builder.buffers,
        builder.steps,
        outputs,
        wanted.training,
        literals=lowering.literals,
    )
    return _improved(plan, target, fused=fused)


def _heard_by_users(roots: Iterable[Variable]) -> list[Variable]:
    """Inputs whose gradients only user functions hear of, which are called backward all the same, as in CNTK."""
    operands = [v for n in walk.flat_nodes(roots) if n.op.kind == "user" for v in walk.resolved_inputs(n)]
    return [v for v in dict.fromkeys(operands) if v.is_input and v.needs_gradient]


def _seeds(wanted: Wanted, lowering: Lowering) -> dict[int, int]:
    """What gradients start from: output buffer -> buffer of its gradient."""
    builder = lowering.builder
    seeds = {}
    for i, v in enumerate(wanted.roots):
        number = lowering.value(v)
        b = builder.buffers[number]
        if wanted.given_roots:
            seeds[number] = builder.new(b.rows, b.shape, b.dtype, "input", f"root {i}")
        else:
            seeds[number] = builder.new(b.rows, b.shape, b.dtype, name="one")
            builder.emit(map_step(builder, {seeds[number]: e.const(1)}, [number]))
    return seeds


def _shared(builder: Builder, found: dict[Variable, int]) -> dict[Variable, int]:
    """Adds the step that sums gradients over workers; parameter -> buffer of the sum."""
    reads = [filled(builder, n) for n in found.values()]
    builder.phase = Phase.SHARE
    buffers = [builder.buffers[n] for n in reads]
    writes = [builder.new(b.rows, b.shape, b.dtype, name=b.name) for b in buffers]
    if reads:
        builder.emit(Share(tuple(reads), tuple(writes)))
    return dict(zip(found, writes, strict=True))


def _improved(plan: Plan, target: Target, *, fused: bool) -> Plan:
    """The plan after all passes; each leaves a legal plan behind."""
    looked, placed = check.wanted(), fused and target.parts

    def legal(plan: Plan, after: str, *, placed: bool = placed) -> None:
        if looked:
            (check.check_placed if placed else check.check)(plan, after)

    legal(plan, "lowering", placed=False)
    if not fused:
        return plan
    if target.parts:
        plan.steps = without_dead(plan, plan.steps, set(plan.outputs.values()))
        legal(plan, "dropping what nobody needs", placed=False)
        plan = use_parts(plan, shaping)
        legal(plan, "parts")
    if target.images is not None:
        plan = channels_last(plan, target.images)
        legal(plan, "channels last")
    if not _sizes_follow(plan):
        return plan
    plan = fuse(plan, target.compiles)
    legal(plan, "fusing")
    if target.keeps_sums:
        plan = share_sums(plan)
        legal(plan, "sharing sums")
    return plan


def _sizes_follow(plan: Plan) -> bool:
    """Whether the sizes of all kernels follow from the inputs; where the data decide, kernels must keep the operands
    that tell.
    """
    given = {prefix for b in plan.buffers if b.role == "input" for prefix in (b.rows, b.rows.partition(",")[0])} | {""}
    for s in all_steps(plan.steps):
        if isinstance(s, Map) and (FREE in s.kernel.domain or s.rows not in given):
            return False
    return True
