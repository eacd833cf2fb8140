"""What legal memory is: no two values that are needed at the same time share it, seen from the steps alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from cntk_lab.engine.memory.slots import Slot
from cntk_lab.engine.plan import Contract, Plan, View, all_steps
from cntk_lab.engine.plan.check import Wrong, illegal
from cntk_lab.tensor.shape import FREE


def check_memory(
    plan: Plan,
    slots: Iterable[Slot],
    written_at: Mapping[int, int] | None = None,
    read_at: Mapping[int, int] | None = None,
) -> None:
    """See that no two values that are needed at the same time share memory, from the steps alone.

    Args:
        plan: the plan.
        slots: the memory of its temporaries.
        written_at: buffers that another step writes earlier than their own step says.
        read_at: buffers that another step reads earlier than their reader's place says.

    Raises:
        ExecutionError: naming what overlaps, is too small, or has no memory.
    """
    for wrong in _overlaps(plan, list(slots), written_at or {}, read_at or {}):
        says = "values that are needed at the same time lie apart, in memory that holds them"
        raise illegal(plan, f"in memory: {wrong}", "memory", says)


def _overlaps(plan: Plan, slots: list[Slot], written_at: Mapping[int, int], read_at: Mapping[int, int]) -> Wrong:
    owner = _owners(plan)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for i, s in enumerate(plan.steps):
        for t in all_steps([s]):
            for b in (*t.reads, *t.writes):
                first.setdefault(owner[b], i)
                last[owner[b]] = i
    for b, i in written_at.items():
        first[owner[b]] = min(i, first[owner[b]])
    for b, i in read_at.items():
        if plan.buffers[owner[b]].role == "temporary" and first.get(owner[b], i) >= i:
            yield f"step {i} reads {plan.buffers[b]}, which is written at step {first.get(owner[b])}"
    stay = [s.reads[0] for s in all_steps(plan.steps) if s.continues]
    for b in (*plan.outputs.values(), *stay):
        last[owner[b]] = len(plan.steps)
    lies: dict[int, Slot] = {}
    for slot in slots:
        for b in slot.buffers:
            lies[b] = slot
        for a, b in itertools.combinations(slot.buffers, 2):
            if first[a] <= last[b] and first[b] <= last[a]:
                yield f"{plan.buffers[a]} and {plan.buffers[b]} share memory from step {max(first[a], first[b])} on"
    for b in {owner[n] for s in all_steps(plan.steps) for n in (*s.reads, *s.writes)}:
        found = plan.buffers[b]
        if found.role != "temporary" or found.touched or FREE in found.shape:
            continue
        if b not in lies:
            yield f"{found} has no memory"
        elif (lies[b].rows, lies[b].dtype) != (found.rows, found.dtype):
            yield f"{found} lies in memory for other rows or another element type"


def _owners(plan: Plan) -> dict[int, int]:
    """For each buffer the one whose memory it lies in, in the end."""
    owner = {b.id: b.inside if b.inside >= 0 else b.id for b in plan.buffers}
    for s in all_steps(plan.steps):
        if isinstance(s, View):
            owner[s.writes[0]] = s.reads[0]
        elif isinstance(s, Contract) and len(s.reads) > 2:
            owner[s.writes[0]] = s.reads[2]
    for start in owner:
        b, steps = start, 0
        while owner[b] != b:
            b, steps = owner[b], steps + 1
            if steps > len(owner):
                raise illegal(plan, f"in memory: {plan.buffers[b]} lies in itself", "memory", "lying in has an end")
        owner[start] = b
    return owner
