"""What a plan is to compute: outputs, gradients, totals and learners' updates. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cntk_lab.formula import expr as e
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.arrays import Storage


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
        shared: whether the gradients that learners get are summed over all workers first.
    """

    outputs: tuple[Variable, ...] = ()
    gradients: tuple[Variable, ...] = ()
    roots: tuple[Variable, ...] = ()
    training: bool = False
    given_roots: bool = False
    totals: tuple[Variable, ...] = ()
    updates: tuple[Update, ...] = field(default=(), compare=False)
    shared: bool = False
