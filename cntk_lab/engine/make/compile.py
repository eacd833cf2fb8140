"""Compiling: from what is wanted of a graph to a plan, by a list of passes; and the cache of plans.

The key of the cache says what is wanted, never how many rows there are: another minibatch size is a bind, not a plan.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cntk_lab import device as devices
from cntk_lab import settings
from cntk_lab.backends.cpu import onednn
from cntk_lab.engine.cpu.claims import canonical, images_of
from cntk_lab.engine.make.backward import Backward, filled
from cntk_lab.engine.make.lower import Lowering
from cntk_lab.engine.passes.channels import channels_last
from cntk_lab.engine.passes.fuse import fuse, without_dead
from cntk_lab.engine.passes.parts import use_parts
from cntk_lab.engine.passes.shaping import shaping
from cntk_lab.engine.passes.sums import share_sums
from cntk_lab.engine.plan import Builder, Map, Plan, UpdateRows, all_steps, check
from cntk_lab.engine.plan.formulas import map_step
from cntk_lab.errors import GraphError
from cntk_lab.events import BUS, PlanCompiled
from cntk_lab.formula import expr as e
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.formula.print_numba import supported
from cntk_lab.graph import walk
from cntk_lab.graph.node import edits
from cntk_lab.graph.variable import Variable, _Valued
from cntk_lab.tensor.arrays import Storage
from cntk_lab.tensor.shape import FREE, size

_CACHED = 256


class Update(Protocol):
    """How a learner changes one parameter, as formulas (see ``learners``)."""

    @property
    def parameter(self) -> Variable:
        """The parameter."""

    @property
    def outputs(self) -> tuple[tuple[str, e.Expr], ...]:
        """New values of ``p`` and of the states, as formulas of ``p``, ``g``, states and scalars."""

    @property
    def row_outputs(self) -> tuple[tuple[str, e.Expr], ...] | None:
        """The same for touched rows alone; None if the rule changes the other rows too. ``touched`` is the number of
        touched elements.
        """

    @property
    def state(self) -> Mapping[str, Storage]:
        """The learner's memory for this parameter."""

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of the numbers that change from minibatch to minibatch."""


@dataclass(frozen=True)
class Wanted:
    """What a plan is to compute.

    Args:
        outputs: variables whose values come out.
        gradients: variables whose gradients come out.
        roots: outputs that gradients start from (each element with 1, or with data if ``given_roots``).
        training: whether operators behave as in training.
        given_roots: gradients of the roots are fed in.
        totals: outputs of which the sum over everything is wanted instead of the value.
        updates: what learners do with the gradients.
    """

    outputs: tuple[Variable, ...] = ()
    gradients: tuple[Variable, ...] = ()
    roots: tuple[Variable, ...] = ()
    training: bool = False
    given_roots: bool = False
    totals: tuple[Variable, ...] = ()
    updates: tuple[Update, ...] = field(default=(), compare=False)


_cache: OrderedDict[tuple[Any, ...], tuple[Plan, Wanted]] = OrderedDict()


def plan_for(wanted: Wanted, *, fused: bool | None = None) -> Plan:
    """The plan that computes what is wanted, from the cache if it was made before."""
    fused = settings.flag("fuse") if fused is None else fused
    images = fused and _wants_images()
    key = (
        images,
        *(tuple(map(id, group)) for group in (wanted.outputs, wanted.gradients, wanted.roots, wanted.totals)),
        wanted.training,
        wanted.given_roots,
        tuple(map(id, wanted.updates)),
        edits(),
        fused,
    )
    found = _cache.get(key)
    if found is not None and all(
        isinstance(v, _Valued) and v.storage.version == version for v, version in found[0].literals
    ):
        _cache.move_to_end(key)
        return found[0]
    started = time.perf_counter()
    plan = make_plan(wanted, fused=fused, images=images)
    _cache[key] = (plan, wanted)
    while len(_cache) > _CACHED:
        _cache.popitem(last=False)
    BUS.publish(PlanCompiled(plan.number, plan.title, len(plan.steps), time.perf_counter() - started))
    return plan


def _wants_images() -> bool:
    """Whether images should lie channels last: where oneDNN computes with them."""
    on_cpu = devices.use_default_device().type() == devices.DeviceKind.CPU
    return on_cpu and settings.flag("native") and onednn.available()


def _heard_by_users(roots: Iterable[Variable]) -> list[Variable]:
    """Inputs whose gradients only user functions hear of, which are called backward all the same, as in CNTK."""
    operands = [v for n in walk.flat_nodes(roots) if n.op.kind == "user" for v in walk.resolved_inputs(n)]
    return [v for v in dict.fromkeys(operands) if v.is_input and v.needs_gradient]


def make_plan(wanted: Wanted, *, fused: bool, images: bool = False) -> Plan:
    """A new plan: lower, backward, update, put images channels last, fuse."""
    lowering = Lowering(training=wanted.training)
    every = (*wanted.outputs, *wanted.roots, *wanted.totals)
    lowering.lower(every)
    builder = lowering.builder
    forward = len(builder.steps)
    outputs: dict[str, int] = {f"output {i}": lowering.value(v) for i, v in enumerate(wanted.outputs)}
    for i, v in enumerate(wanted.totals):
        outputs[f"total {i}"] = total_of(builder, lowering.value(v))
    if wanted.roots:
        heard = _heard_by_users(every) if wanted.updates else []
        targets = {v: lowering.value(v) for v in (*wanted.gradients, *(u.parameter for u in wanted.updates), *heard)}
        seeds = {}
        for i, v in enumerate(wanted.roots):
            number = lowering.value(v)
            b = builder.buffers[number]
            if wanted.given_roots:
                seeds[number] = builder.new(b.rows, b.shape, b.dtype, "input", f"root {i}")
            else:
                seeds[number] = builder.new(b.rows, b.shape, b.dtype, name="one")
                builder.emit(map_step(builder, {seeds[number]: e.const(1)}, [number]))
        found = Backward(builder, targets.values()).run(seeds)
        for i, v in enumerate(wanted.gradients):
            if targets[v] in found:
                outputs[f"gradient {i}"] = found[targets[v]]
        outputs.update({f"heard {i}": found[targets[v]] for i, v in enumerate(heard) if targets[v] in found})
        builder.steps.extend([*lowering.finals, *lowering.assignments])
        for i, u in enumerate(wanted.updates):
            if targets[u.parameter] in found:
                _update(builder, i, u, targets[u.parameter], found[targets[u.parameter]])
    else:
        builder.steps.extend([*lowering.finals, *lowering.assignments])
    title = ", ".join(v.name or v.uid for v in every)
    plan = Plan(
        title,
        builder.buffers,
        builder.steps,
        outputs,
        wanted.training,
        forward=forward,
        finals=len(lowering.finals) + len(lowering.assignments),
        assignments=len(lowering.assignments),
        literals=lowering.literals,
    )
    return _improved(plan, fused=fused, images=images)


def _improved(plan: Plan, *, fused: bool, images: bool) -> Plan:
    """The plan after all passes; each leaves a legal plan behind."""
    looked = check.wanted()

    def legal(plan: Plan, after: str, *, placed: bool = images) -> None:
        if looked:
            (check.check_placed if placed else check.check)(plan, after)

    legal(plan, "lowering", placed=False)
    if images:
        plan.steps = without_dead(plan, plan.steps, set(plan.outputs.values()))
        legal(plan, "dropping what nobody needs", placed=False)
        plan = use_parts(plan, shaping)
        legal(plan, "parts")
        plan = channels_last(plan, images_of)
        legal(plan, "channels last")
    if not fused or not _sizes_follow(plan):
        return plan
    plan = fuse(plan, lambda kernel: supported(canonical(kernel)) is None)
    legal(plan, "fusing")
    if images:
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


def total_of(builder: Builder, number: int) -> int:
    """Adds the sum of a value over everything, rows included; returns its buffer."""
    b = builder.buffers[number]
    total = builder.new("", (), b.dtype, name=f"sum of {b.name}")
    axes: list[e.Axis] = [i - len(b.shape) for i in range(len(b.shape))]
    if b.rows:
        axes.append(e.ROWS)
    builder.emit(map_step(builder, {total: e.reduce("sum", e.input_(f"b{number}"), axes)}, [number]))
    return total


def _update(builder: Builder, position: int, update: Update, parameter: int, gradient: int) -> None:
    """Adds a learner's formulas for one parameter; scalars are called ``<position>:<name>``."""
    b = builder.buffers[parameter]
    names: dict[str, int] = {"p": parameter, "g": gradient}
    for name, storage in update.state.items():
        names[name] = builder.new("", tuple(storage.raw.shape), b.dtype, "state", f"{position}:{name}")
    for name in update.scalars:
        names[name] = builder.new("", (), b.dtype, "scalar", f"{position}:{name}")
    if builder.buffers[gradient].touched:
        if update.row_outputs is not None:
            _update_rows(builder, update.row_outputs, names, frozenset((parameter, *(names[n] for n in update.state))))
            return
        names["g"] = filled(builder, gradient)
    by_input = {name: e.input_(f"b{n}") for name, n in names.items()}
    formulas = e.substitute([f for _, f in update.outputs], by_input)
    targets = {names[name]: f for (name, _), f in zip(update.outputs, formulas, strict=True)}
    builder.emit(map_step(builder, targets, names.values()))


def _update_rows(
    builder: Builder, outputs: tuple[tuple[str, e.Expr], ...], names: Mapping[str, int], whole: frozenset[int]
) -> None:
    """Adds a learner's formulas for the touched rows of one parameter."""
    b = builder.buffers[names["p"]]
    formulas = e.substitute([f for _, f in outputs], {name: e.input_(f"b{n}") for name, n in names.items()})
    used = e.inputs_of(formulas)
    rows = {f"b{n}" for n in (*whole, names["g"])}
    width = (size(b.shape) // builder.buffers[names["g"]].touched,)

    def operand(name: str) -> Operand:
        return Operand(name, width if name in rows else (1,), name in rows, b.dtype)

    kernel = Kernel(
        width,
        True,
        tuple(map(operand, used)),
        tuple((operand(f"b{names[n]}"), f) for (n, _), f in zip(outputs, formulas, strict=True)),
        b.dtype,
    )
    reads = (names["g"], *(int(n[1:]) for n in used if n != "touched" and n != f"b{names['g']}"))
    builder.emit(UpdateRows(reads, tuple(names[n] for n, _ in outputs), kernel=kernel, whole=whole))


def inputs_of(plan: Plan) -> list[Variable]:
    """The input variables whose data a plan reads."""
    return [b.variable for b in plan.buffers_of("input") if b.variable is not None]


def check_gradient(roots: Iterable[Variable], wrt: Sequence[Variable]) -> None:
    """Check that gradients with respect to these variables can be asked for.

    Raises:
        GraphError: if the function does not contain one of them.
    """
    leaves = {id(v) for v in walk.flat_leaves(list(roots))}
    for v in wrt:
        if v.node is None and id(walk.resolve(v)) not in leaves:
            raise GraphError(
                f"gradient: {v} is not part of the function", fix="name variables that the output depends on"
            )
