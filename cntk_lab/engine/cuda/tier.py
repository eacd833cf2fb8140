"""A GPU as a tier: the reference on CuPy's arrays, with generated kernels for formulas."""

from __future__ import annotations

from cntk_lab.backends.choose import backend_of
from cntk_lab.device import DeviceDescriptor
from cntk_lab.engine.arrays import watch
from cntk_lab.engine.arrays.run import Run
from cntk_lab.engine.cuda.target import CUDA
from cntk_lab.engine.plan import Plan
from cntk_lab.engine.plan.target import Target
from cntk_lab.engine.tiers.reference import ReferenceBound


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


class CudaBound(ReferenceBound):
    """A plan on one GPU."""

    def run(self, run: Run) -> None:
        """Run all steps; nothing can repeat that without asking."""
        self.load_values(run)
        if watch.wanted():
            watch.run_watched(self.interpreter, run)
        else:
            self.interpreter.run(run)

    def where(self) -> list[str]:
        """For each step where it runs."""
        return [str(self.backend.device)] * len(self.plan.steps)
