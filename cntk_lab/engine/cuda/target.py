"""What a GPU can do, as facts for passes."""

from __future__ import annotations

from cntk_lab.engine.plan.target import Target
from cntk_lab.formula.kernel import Kernel
from cntk_lab.formula.print_cuda import NotPrintableError, cuda_source


def _compiles(kernel: Kernel) -> bool:
    """Whether formulas can be one CUDA kernel."""
    try:
        cuda_source(kernel)
    except NotPrintableError:
        return False
    return True


CUDA = Target("CUDA", _compiles)
