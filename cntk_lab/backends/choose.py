"""Device to Backend, and what is missing where a GPU cannot be used.

CuPy loads when a GPU is first asked for; without one, the CPU's backend is NumPy's and nothing is imported.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache

from cntk_lab.backends.base import Backend
from cntk_lab.backends.cpu.backend import CpuBackend
from cntk_lab.device import DeviceDescriptor, DeviceKind
from cntk_lab.errors import NotAvailableError


@lru_cache(maxsize=64)
def backend_of(device: DeviceDescriptor) -> Backend:
    """The backend of a device; the same object each time.

    Args:
        device: the CPU or a GPU.

    Returns:
        The backend that allocates and computes there.

    Raises:
        NotAvailableError: if it is a GPU that cannot be used; says what is missing.
    """
    if device.type() == DeviceKind.CPU:
        return CpuBackend(device)
    what, fix = gpu_obstacle()
    if what:
        raise NotAvailableError(f"{device} cannot be used: {what}", fix=fix)
    from cntk_lab.backends.cuda.backend import CudaBackend

    return CudaBackend(device)


def gpu_obstacle() -> tuple[str, str]:
    """What keeps GPUs from being used and how to mend it; two empty texts if nothing does."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed", "pip install cntk-lab[cuda12] (CUDA 12) or cntk-lab[cuda13] (CUDA 13)"
    from cntk_lab.backends.cuda.backend import obstacle

    return obstacle()


def gpu_names() -> list[str]:
    """The names of the GPUs that can be used, by number; empty if none can."""
    if gpu_obstacle()[0]:
        return []
    from cntk_lab.backends.cuda.backend import device_names

    return device_names()
