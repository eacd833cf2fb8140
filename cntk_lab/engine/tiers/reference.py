"""What bound plans of all tiers share: the plan step by step on the arrays of one device, and its values there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cntk_lab.backends.base import Backend
from cntk_lab.engine.arrays.interpreter import Interpreter
from cntk_lab.engine.arrays.run import Action, Run, State
from cntk_lab.engine.plan import Plan
from cntk_lab.graph.variable import Valued
from cntk_lab.tensor.arrays import Storage


class ReferenceBound:
    """A plan on the arrays of one device.

    Args:
        plan: the plan.
        backend: of the device.
    """

    def __init__(self, plan: Plan, backend: Backend) -> None:
        self.plan, self.backend = plan, backend
        self.often = False
        self.interpreter = Interpreter(plan, backend.kernel)
        self.inputs = [(b.id, id(b.variable)) for b in plan.buffers_of("input") if b.variable is not None]
        others = [(b.id, b.variable) for b in plan.buffers if b.role != "input"]
        self._valued = [(number, v.storage) for number, v in others if isinstance(v, Valued)]

    @property
    def actions(self) -> Sequence[Action]:
        """What each step does, one after the other."""
        return self.interpreter.actions

    def new_run(self, state: State, *, training: bool) -> Run:
        """A run on the device's arrays."""
        return Run({}, state, training=training, backend=self.backend)

    def bring(self, storages: Iterable[Storage]) -> None:
        """Move values to the device."""
        for storage in storages:
            storage.move(self.backend.device)

    def bring_values(self) -> None:
        """The same for parameters and constants of the plan."""
        self.bring(storage for _, storage in self._valued)

    def load_values(self, run: Run) -> None:
        """Put the arrays of parameters and constants into a run."""
        for number, storage in self._valued:
            run.arrays[number] = storage.array[None]
