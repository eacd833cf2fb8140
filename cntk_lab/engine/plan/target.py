"""Target: what a device can do, as facts that passes ask instead of naming a device.

A target is part of what a plan is made for: plans for two targets are two plans. So no plan that was shaped for one
device's library ever runs on another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cntk_lab.formula.kernel import Kernel
from cntk_lab.tensor.shape import Shape

Images = Callable[[str, Mapping[str, Shape], Mapping[str, Any]], tuple[str, ...]]
"""Of a rule (``operator.role``), its operands' static shapes and its attributes: which operands (``result`` for what it
makes) may be images with their channels last; none if it does not care."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the device that a plan is made for can do."""

    name: str
    """For texts."""
    compiles: Callable[[Kernel], bool]
    """Whether formulas can run as one kernel."""
    parts: bool = False
    """Whether values may lie inside the memory of others: kernels and products take any distance between rows."""
    images: Images | None = None
    """Which operands may lie channels last; None if all images lie channels first."""
    keeps_sums: bool = False
    """Whether a sum over all rows that several kernels need is worth a place in memory."""
