"""Memory: which temporaries may share memory, decided by their lifetimes over the order of steps.

Temporaries with the same row symbol and element type are coloured into slots (interval colouring, first fit). A
slot's size is the largest of its buffers per row, times the rows of the minibatch: known when a plan is bound. Views
share the memory of their source. Plain data in, plain data out; with sharing switched off every buffer has a slot of
its own and results stay the same.

Idea: tinygrad's memory planner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cntk_lab.engine.plan import Plan, RowSymbol, Step, all_steps
from cntk_lab.tensor.shape import size


@dataclass(slots=True)
class Slot:
    """Memory for buffers that are never needed at the same time."""

    rows: RowSymbol
    dtype: str
    row_bytes: int
    buffers: list[int] = field(default_factory=list)
    free_after: int = -1
    """Number of the last step that needs what lies here."""


def source_of(plan: Plan) -> dict[int, int]:
    """For each buffer that is a view, a part or the like, the buffer whose memory it shares in the end."""
    source = {b: other for s in all_steps(plan.steps) for b, other in s.shares()}
    # a part says itself where it lies: the step that puts it there may be gone, because nobody reads the whole
    source.update({b.id: b.inside for b in plan.buffers if b.inside >= 0})
    for b in list(source):
        while source[b] in source:
            source[b] = source[source[b]]
    return source


def lifetimes(plan: Plan, steps: list[Step], written_at: Mapping[int, int] | None = None) -> dict[int, tuple[int, int]]:
    """For each temporary with memory of its own: the first and the last step that touch it."""
    source = source_of(plan)
    lives: dict[int, tuple[int, int]] = {}
    end = len(steps)
    for i, s in enumerate(steps):
        for inner in all_steps([s]):
            for b in (*inner.reads, *inner.writes):
                own = source.get(b, b)
                if plan.buffers[own].role == "temporary" and not plan.buffers[own].touched:
                    first, _ = lives.get(own, (i, i))
                    lives[own] = (first, i)
    for b, early in (written_at or {}).items():
        own = source.get(b, b)
        if own in lives:
            lives[own] = (min(early, lives[own][0]), lives[own][1])
    carried = [s.reads[0] for s in all_steps(steps) if s.continues]
    for b in (*plan.outputs.values(), *carried):  # what a next minibatch may continue from is read after the run
        own = source.get(b, b)
        if own in lives:
            lives[own] = (lives[own][0], end)
    return lives


def slots_of(
    plan: Plan, steps: list[Step], *, share: bool = True, written_at: Mapping[int, int] | None = None
) -> list[Slot]:
    """The slots of a plan's temporaries.

    Args:
        plan: the plan; every temporary's static shape must be known.
        steps: its steps in order (a loop counts as one: all its buffers hold every frame).
        share: whether buffers may share memory.
        written_at: buffers that are written earlier than their own step says (it is absorbed into another).
    """
    lives = lifetimes(plan, steps, written_at)
    slots: list[Slot] = []
    for b in sorted(lives, key=lambda n: lives[n]):
        first, last = lives[b]
        buffer = plan.buffers[b]
        row_bytes = size(buffer.shape) * np.dtype(buffer.dtype).itemsize
        best: Slot | None = None
        for slot in slots if share else ():
            fits = slot.rows == buffer.rows and slot.dtype == buffer.dtype and slot.free_after < first
            if fits and (best is None or abs(slot.row_bytes - row_bytes) < abs(best.row_bytes - row_bytes)):
                best = slot
        if best is None:
            best = Slot(buffer.rows, buffer.dtype, row_bytes)
            slots.append(best)
        best.row_bytes = max(best.row_bytes, row_bytes)
        best.buffers.append(b)
        best.free_after = last
    return slots
