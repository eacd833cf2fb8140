"""Which tier computes on which device: the one table of them."""

from __future__ import annotations

from functools import lru_cache

from cntk_lab import device as devices
from cntk_lab.device import DeviceDescriptor, DeviceKind
from cntk_lab.engine.cpu.tier import CpuTier
from cntk_lab.engine.cuda.tier import CudaTier
from cntk_lab.engine.tiers.tier import Tier

_CPU = CpuTier()


def tier_of(device: DeviceDescriptor | None) -> Tier:
    """The tier that computes on a device.

    Args:
        device: the CPU or a GPU; None for the default device.

    Raises:
        NotAvailableError: if it is a GPU that cannot be used; says what is missing.
    """
    device = device or devices.use_default_device()
    return _CPU if device.type() == DeviceKind.CPU else _gpu(device)


@lru_cache(maxsize=64)
def _gpu(device: DeviceDescriptor) -> Tier:
    return CudaTier(device)
