"""Channels last: images of convolution chains are kept as (rows x spatial axes x channels) inside a plan.

Convolutions run several times faster on that layout than on CNTK's (channels first), and formulas do not care: their
domain is permuted with them. Targets name the operands that may lie so;
formulas between them follow; where another step touches such a value, an :class:`Order` step stands at the border.
Parameters stay as they are. The pass works on the plan alone: sizes stay symbolic, and every tier runs the result.
Knows no operator by name.

Idea: layout propagation of oneDNN's graph compilers; here with one fixed layout instead of blocked ones, which
measured equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cntk_lab.engine.plan import Buffer, Call, Contract, Join, Loop, Map, Order, Part, Phase, Plan, Step, all_steps
from cntk_lab.engine.plan.reference import number_of, reference
from cntk_lab.engine.plan.target import Images
from cntk_lab.formula import expr as e
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.tensor.shape import FREE, Shape, size


def channels_last(plan: Plan, images: Images) -> Plan:
    """The plan with images of convolution chains in channels-last order; results are the same.

    Args:
        plan: the plan, before formulas are fused; its steps and buffers are changed.
        images: says which operands of a rule may lie channels last.
    """
    chosen = _choose(plan, images)
    if not chosen:
        return plan
    permuted = _permuted_maps(plan, chosen)
    for number in chosen:
        b = plan.buffers[number]
        b.shape, b.last = last(b.shape), True
    borders = _Borders(plan, chosen)
    steps: list[Step] = []
    for i, s in enumerate(plan.steps):
        if i in permuted and isinstance(s, Map):
            s.kernel = _permute(s.kernel)
            steps.append(s)
        elif isinstance(s, Call) and set(images_of(s, plan, images).values()) & chosen:
            fine = set(images_of(s, plan, images).values())
            steps.extend(borders.around(s, set(s.reads) - fine, set(s.writes) - fine))
        else:
            steps.extend(borders.around(s, set(s.reads), set(s.writes)))
    for name, number in plan.outputs.items():
        if number in chosen:
            plan.outputs[name] = borders.plain(number, steps)
    plan.steps = steps
    return plan


def images_of(step: Call, plan: Plan, images: Images) -> dict[str, int]:
    """The operands of a step that may lie channels last: name -> buffer."""
    if step.op is None or len(step.writes) != 1:
        return {}
    named = {**dict(zip(step.names, step.reads, strict=True)), "result": step.writes[0]}
    shapes = {name: plan.buffers[n].shape for name, n in named.items()}
    return {name: named[name] for name in images(f"{step.op.name}.{step.role}", shapes, step.scope)}


def last(shape: Shape) -> Shape:
    """A shape with its first axis behind the others."""
    return (*shape[1:], shape[0])


def first(shape: Shape) -> Shape:
    """The opposite of :func:`last`."""
    return (shape[-1], *shape[:-1])


def _neutral(shape: Shape) -> bool:
    """Whether elements lie in memory alike in both orders: there is one channel, or one element for each."""
    return shape[0] == 1 or size(shape[1:]) == 1


def _choose(plan: Plan, images: Images) -> set[int]:
    """The buffers that change their order: images, and what formulas compute from them."""
    buffers = plan.buffers
    in_loops = {n for s in plan.steps if isinstance(s, Loop) for t in all_steps([s]) for n in (*t.reads, *t.writes)}

    shared = {n for s in plan.steps if isinstance(s, (Part, Join)) for n in (*s.reads, *s.writes)}
    shared |= {n for s in plan.steps if isinstance(s, Contract) for n in s.reads[2:]}

    def may(number: int) -> bool:
        b = buffers[number]
        return (
            b.role == "temporary"
            and bool(b.rows)
            and not b.sparse
            and len(b.shape) > 1
            and FREE not in b.shape
            and number not in in_loops
            and number not in shared
        )

    chosen = {
        n
        for s in plan.steps
        if isinstance(s, Call)
        for n in images_of(s, plan, images).values()
        if may(n) and not _neutral(buffers[n].shape)
    }
    while True:
        before = len(chosen)
        for s in plan.steps:
            if isinstance(s, Map) and (set(s.reads) | set(s.writes)) & chosen:
                own = _bound(plan, s)
                if own is not None and all(map(may, own)):
                    chosen |= own
        if len(chosen) == before:
            return chosen


def _bound(plan: Plan, s: Map) -> set[int] | None:
    """The buffers of a formula whose order matters; None if it cannot be permuted."""
    if len(s.kernel.domain) < 2 or FREE in s.kernel.domain:
        return None
    found: set[int] = set()
    operands = (*s.kernel.inputs, *(o for o, _ in s.kernel.outputs))
    for o in operands:
        number = number_of(o.name)
        if o.whole:
            return None
        if not _neutral(o.shape):
            if plan.buffers[number].shape != o.shape:
                return None
            found.add(number)
    return found


def _permuted_maps(plan: Plan, chosen: set[int]) -> set[int]:
    """The formulas that are permuted: those on chosen buffers, and those without order that share operands with
    them.
    """
    maps = {i: s for i, s in enumerate(plan.steps) if isinstance(s, Map)}
    bound = {i: _bound(plan, s) for i, s in maps.items()}
    fits = {i: own for i, own in bound.items() if own is not None and own <= chosen}
    result = {i for i, own in fits.items() if own}
    touched = {n for i in result for n in (*maps[i].reads, *maps[i].writes)}
    while True:
        more = {
            i
            for i in fits
            if i not in result and touched & {*maps[i].reads, *maps[i].writes} and len(maps[i].kernel.domain) > 1
        }
        if not more:
            return result
        result |= more
        touched |= {n for i in more for n in (*maps[i].reads, *maps[i].writes)}


def _permute(kernel: Kernel) -> Kernel:
    """The same formulas over the permuted domain."""
    rank = len(kernel.domain)

    def move(axis: e.Axis) -> e.Axis:
        return axis if isinstance(axis, str) else -1 if axis == -rank else axis - 1

    def moved(o: Operand) -> Operand:
        return Operand(o.name, last(o.shape), o.rows, o.dtype)

    formulas = e.map_axes([f for _, f in kernel.outputs], move)
    outputs = tuple((moved(o), f) for (o, _), f in zip(kernel.outputs, formulas, strict=True))
    return Kernel(
        last(kernel.domain), kernel.rows, tuple(map(moved, kernel.inputs)), outputs, kernel.dtype, kernel.in_place
    )


class _Borders:
    """Where values change between both orders."""

    def __init__(self, plan: Plan, chosen: set[int]) -> None:
        self.plan, self.chosen = plan, chosen
        self.copies: dict[int, int] = {}
        self.writers = {w: s.phase for s in plan.steps for w in s.writes}

    def plain(self, number: int, steps: list[Step]) -> int:
        """The buffer with the same value in CNTK's order; adds the step that fills it, once."""
        if number not in self.copies:
            self.copies[number] = self._twin(number)
            steps.append(Order((number,), (self.copies[number],), phase=self.writers.get(number, Phase.FORWARD)))
        return self.copies[number]

    def _twin(self, number: int) -> int:
        b = self.plan.buffers[number]
        twin = Buffer(len(self.plan.buffers), b.rows, first(b.shape), b.dtype, "temporary", b.name)
        self.plan.buffers.append(twin)
        return twin.id

    def around(self, step: Step, reads: set[int], writes: set[int]) -> Iterable[Step]:
        """A step that wants CNTK's order for some operands, with what must stand before and behind it."""
        before: list[Step] = []
        new = {n: self.plain(n, before) for n in step.reads if n in reads and n in self.chosen}
        behind: list[Step] = []
        for n in step.writes:
            if n in writes and n in self.chosen:
                new[n] = self.copies[n] = self._twin(n)
                behind.append(Order((new[n],), (n,), phase=step.phase))
        if new:
            _rename(step, new)
        return [*before, step, *behind]


def _rename(step: Step, new: dict[int, int]) -> None:
    step.reads = tuple(new.get(n, n) for n in step.reads)
    step.writes = tuple(new.get(n, n) for n in step.writes)
    if not isinstance(step, Map):
        return
    k = step.kernel

    def renamed(o: Operand) -> Operand:
        number = number_of(o.name)
        return replace(o, name=reference(new.get(number, number)))

    formulas = e.substitute(
        [f for _, f in k.outputs], {reference(old): e.input_(reference(n)) for old, n in new.items()}
    )
    outputs = tuple((renamed(o), f) for (o, _), f in zip(k.outputs, formulas, strict=True))
    step.kernel = Kernel(k.domain, k.rows, tuple(map(renamed, k.inputs)), outputs, k.dtype, k.in_place)
