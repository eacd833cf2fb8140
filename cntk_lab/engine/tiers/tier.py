"""What every tier promises to whoever asks for numbers. Knows no tier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from cntk_lab.engine.arrays.run import Action, Run, State
from cntk_lab.engine.plan import Plan
from cntk_lab.engine.plan.target import Target
from cntk_lab.tensor.arrays import Storage


class Bound(Protocol):
    """A plan made ready for one device. It lives as long as somebody asks what the plan computes."""

    plan: Plan
    inputs: list[tuple[int, int]]
    """Buffers for data, each with the id of its variable."""
    often: bool
    """Whether it will surely run many times: a program that trains, or tests."""

    @property
    def actions(self) -> Sequence[Action]:
        """What each step does with a run, one after the other: the reference, and what is run in pieces."""

    def new_run(self, state: State, *, training: bool) -> Run:
        """A run whose arrays lie on the device."""

    def run(self, run: Run) -> Any:
        """Compute everything on the data of a run.

        Returns:
            What can repeat just this without asking again, for a minibatch of the same size; None if nothing can.
        """

    def where(self) -> list[str]:
        """For each step where it runs and what it costs there, in words."""

    def bring(self, storages: Iterable[Storage]) -> None:
        """See that values lie where the device computes."""

    def bring_values(self) -> None:
        """The same for parameters and constants of the plan."""

    def load_values(self, run: Run) -> None:
        """Put the arrays of parameters and constants into a run."""


class Tier(Protocol):
    """One device: what it can do, and how plans become ready for it."""

    def target(self) -> Target:
        """What it can do now; switches may change that."""

    def bind(self, plan: Plan) -> Bound:
        """A plan made ready, which must have been made for :meth:`target`."""
