"""Plan: what will be computed, as plain printable data. Sizes are symbolic in the number of rows.

A plan is a list of steps over buffers (see ``steps``). One plan serves every minibatch. Every value is written by one
step; only parameters and learner state are written in place, by the last steps. Knows no operator by name, no device
and nobody who runs it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cntk_lab.engine.plan.steps import Buffer, Phase, RowSymbol, Step
from cntk_lab.engine.plan.text import lines
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.shape import FREE, Shape

_numbers = itertools.count(1)


@dataclass(slots=True, eq=False, weakref_slot=True)
class Plan:
    """A list of steps over buffers, and what goes in and comes out."""

    title: str
    buffers: list[Buffer]
    steps: list[Step]
    outputs: dict[str, int] = field(default_factory=dict)
    """What comes out: a name of ours -> buffer."""
    training: bool = False
    number: int = field(default_factory=lambda: next(_numbers))
    literals: list[tuple[Variable, int]] = field(default_factory=list)
    """Constants whose numbers were written into formulas, with the version they had."""

    def buffers_of(self, role: str) -> Iterator[Buffer]:
        """The buffers with a role."""
        return (b for b in self.buffers if b.role == role)

    def of_phase(self, phase: Phase) -> Iterator[int]:
        """The places of the steps that are there for a phase, or for one of several."""
        return (i for i, s in enumerate(self.steps) if s.phase & phase)

    def __str__(self) -> str:
        head = f"plan {self.number} {self.title}: {len(self.steps)} steps, {len(self.buffers)} buffers"
        return "\n".join([head, *lines(self.steps, self.buffers)])


class Builder:
    """A plan under construction: hands out buffers and collects steps."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self.steps: list[Step] = []
        self.phase = Phase.FORWARD
        """What the steps that are added now are there for."""

    def new(
        self, rows: RowSymbol, shape: Shape, dtype: str, role: str = "temporary", name: str = "", **more: Any
    ) -> int:
        """A new buffer; returns its number. Dimensions left to be inferred are known only per minibatch, as free
        ones.
        """
        shape = tuple(FREE if d < 0 else d for d in shape)
        self.buffers.append(Buffer(len(self.buffers), rows, shape, dtype, role, name, **more))
        return len(self.buffers) - 1

    def emit(self, step: Step) -> None:
        """Add a step at the end."""
        step.phase = self.phase
        self.steps.append(step)
