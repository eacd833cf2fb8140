"""The CPU as a Backend: NumPy for everything, the reference that every other tier is compared with.

The native tier (numba, oneDNN) replaces single steps or whole segments of a plan; it is chosen by the engine, not here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.backends.base import KernelFunction
from cntk_lab.device import DeviceDescriptor, cpu
from cntk_lab.formula.kernel import Kernel
from cntk_lab.formula.print_numpy import numpy_function
from cntk_lab.tensor.arrays import HostArray, aligned_empty, to_host
from cntk_lab.tensor.shape import Shape


class CpuBackend:
    """The CPU: arrays of NumPy in host memory, aligned for vector instructions.

    Args:
        device: the CPU's descriptor.
    """

    name = "cpu"
    keeps_sparse = True

    def __init__(self, device: DeviceDescriptor | None = None) -> None:
        self.device = device or cpu()
        self.xp: Any = np

    def allocate(self, shape: Shape, dtype: str) -> HostArray:
        """A new array with undefined elements; its data start at a multiple of 64 bytes."""
        return aligned_empty(shape, dtype)

    def to_device(self, array: Any) -> HostArray:
        """The array in host memory (itself if it is there)."""
        return to_host(array)

    def to_host(self, array: Any) -> HostArray:
        """The array in host memory (itself if it is there)."""
        return to_host(array)

    def kernel(self, kernel: Kernel) -> KernelFunction:
        """The NumPy function of a kernel."""
        return numpy_function(kernel)

    def synchronize(self) -> None:
        """Nothing to wait for: NumPy returns when it is done."""
