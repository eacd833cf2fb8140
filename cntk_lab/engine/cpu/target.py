"""What the CPU's tiers can do, as facts for passes."""

from __future__ import annotations

from cntk_lab import settings
from cntk_lab.backends.cpu import onednn, rows
from cntk_lab.engine.plan.target import Target
from cntk_lab.formula.kernel import Kernel, canonical
from cntk_lab.formula.print_numba import supported


def _compiles(kernel: Kernel) -> bool:
    """Whether formulas can be one generated kernel; NumPy runs them in the same groups."""
    return supported(canonical(kernel)) is None


PLAIN = Target("CPU", _compiles)
ONEDNN = Target("CPU with oneDNN", _compiles, parts=True, images=rows.images, keeps_sums=True)


def target() -> Target:
    """What the CPU can do with the switches as they are now."""
    return ONEDNN if settings.flag("native") and onednn.available() else PLAIN
