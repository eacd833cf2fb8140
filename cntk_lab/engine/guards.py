"""Guard zones: memory of a native plan with a known pattern before and behind it, looked at after every native row.

Raw addresses mean that a wrong one is a crash, or worse, silently wrong numbers. With the option ``checked`` every
buffer of a plan has memory of its own between two zones, and a row that writes into a zone is named. Slow: for tests
and for hunting.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.errors import ExecutionError
from cntk_lab.tensor.shape import Shape

_ZONE = 256
_PATTERN = 0xA5


class Guards:
    """Hands out guarded memory and looks after it."""

    def __init__(self) -> None:
        self._zones: list[tuple[str, Any]] = []

    def empty(self, shape: Shape, dtype: str, name: str = "") -> Any:
        """An array on a cache line with a zone before and behind it; its elements are NaN's bits or alike, never 0."""
        count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        raw = np.full(count + 2 * _ZONE + 64, _PATTERN, np.uint8)
        start = _ZONE + (-(raw.ctypes.data + _ZONE)) % 64
        self._zones += [
            (f"before {name}", raw[start - _ZONE : start]),
            (f"behind {name}", raw[start + count : start + count + _ZONE]),
        ]
        raw[start : start + count] = 0xFF
        return raw[start : start + count].view(dtype).reshape(shape)

    def check(self, after: str) -> None:
        """Look at all zones.

        Raises:
            ExecutionError: naming the zone that was written to, and after what.
        """
        for name, zone in self._zones:
            if (zone != _PATTERN).any():
                written = np.flatnonzero(zone != _PATTERN)
                zone[...] = _PATTERN
                raise ExecutionError(
                    f"{len(written)} bytes {name} were overwritten, from byte {int(written[0])} of the guard zone on",
                    where=after,
                    fix="a bug of the native tier: report the model; settings.set_option('native', False) avoids it",
                )
