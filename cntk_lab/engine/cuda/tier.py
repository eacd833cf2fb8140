"""A GPU as a tier: the reference on CuPy's arrays, with generated kernels for formulas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cntk_lab.backends.base import Backend
from cntk_lab.backends.choose import backend_of
from cntk_lab.device import DeviceDescriptor
from cntk_lab.engine.arrays import watch
from cntk_lab.engine.arrays.interpreter import Interpreter
from cntk_lab.engine.arrays.run import Action, Run, State
from cntk_lab.engine.cuda.target import CUDA
from cntk_lab.engine.plan import Plan
from cntk_lab.engine.plan.target import Target
from cntk_lab.graph.variable import Valued
from cntk_lab.tensor.arrays import Storage


class CudaTier:
    """One GPU.

    Args:
        device: the GPU.

    Raises:
        NotAvailableError: if it cannot be used; says what is missing.
    """

    def __init__(self, device: DeviceDescriptor) -> None:
        self._backend = backend_of(device)

    def target(self) -> Target:
        """What it can do."""
        return CUDA

    def bind(self, plan: Plan) -> CudaBound:
        """A plan made ready."""
        return CudaBound(plan, self._backend)


class CudaBound:
    """A plan on one GPU.

    Args:
        plan: the plan.
        backend: of the GPU.
    """

    def __init__(self, plan: Plan, backend: Backend) -> None:
        self.plan, self._backend = plan, backend
        self.often = False
        self._interpreter = Interpreter(plan, backend.kernel)
        self.inputs = [(b.id, id(b.variable)) for b in plan.buffers_of("input") if b.variable is not None]
        others = [(b.id, b.variable) for b in plan.buffers if b.role != "input"]
        self._valued = [(number, v.storage) for number, v in others if isinstance(v, Valued)]

    @property
    def actions(self) -> Sequence[Action]:
        """What each step does on the GPU's arrays."""
        return self._interpreter.actions

    def new_run(self, state: State, *, training: bool) -> Run:
        """A run on the GPU's arrays."""
        return Run({}, state, training=training, backend=self._backend)

    def run(self, run: Run) -> None:
        """Run all steps; nothing can repeat that without asking."""
        self.load_values(run)
        if watch.wanted():
            watch.run_watched(self._interpreter, run)
        else:
            self._interpreter.run(run)

    def where(self) -> list[str]:
        """For each step where it runs."""
        return [str(self._backend.device)] * len(self.plan.steps)

    def bring(self, storages: Iterable[Storage]) -> None:
        """Move values to the GPU, where they stay."""
        for storage in storages:
            storage.move(self._backend.device)

    def bring_values(self) -> None:
        """The same for parameters and constants of the plan."""
        self.bring(storage for _, storage in self._valued)

    def load_values(self, run: Run) -> None:
        """Put the arrays of parameters and constants into a run."""
        for number, storage in self._valued:
            run.arrays[number] = storage.array[None]
