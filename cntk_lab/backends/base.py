"""Backend: what the engine asks of a device, whichever it is.

Arrays are NumPy's or CuPy's; the engine's steps call ``xp`` for whole-array rules and :meth:`Backend.kernel` for
formulas. Knows no operator, no graph and no plan.

Idea: Thinc's ``Ops`` object per device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from cntk_lab.device import DeviceDescriptor
from cntk_lab.formula.kernel import Kernel
from cntk_lab.tensor.arrays import HostArray
from cntk_lab.tensor.shape import Shape

KernelFunction = Callable[..., tuple[Any, ...]]
"""``function(xp, *inputs, rows=None) -> outputs``: arrays (rows or 1) x static shape, in the order of the kernel."""


class Backend(Protocol):
    """One device that computes."""

    name: str
    """``cpu`` or ``cuda``."""
    keeps_sparse: bool
    """Whether rules compute with sparse rows there; else these become dense."""
    device: DeviceDescriptor
    xp: Any
    """Module whose arrays live on the device: numpy or cupy."""

    def allocate(self, shape: Shape, dtype: str) -> Any:
        """A new array with undefined elements on the device."""

    def to_device(self, array: Any) -> Any:
        """The array on the device (itself if it is there)."""

    def to_host(self, array: Any) -> HostArray:
        """The array in host memory (itself if it is there)."""

    def kernel(self, kernel: Kernel) -> KernelFunction:
        """A function that computes the formulas of a kernel; compiled once for equal kernels."""

    def synchronize(self) -> None:
        """Return when everything that was started on the device is done."""
