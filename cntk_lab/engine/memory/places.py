"""Where a value lies in the memory of another one. Knows no step."""

from __future__ import annotations

from typing import Any

from cntk_lab.engine.plan import Buffer


def part_of(array: Any, b: Buffer) -> Any:
    """The part that a buffer is of the array it lies in (the array itself if it is no part)."""
    if b.whole is None:
        return array
    axis, begin = b.cut
    return cut(array, axis, begin, b.shape[axis])


def cut(array: Any, axis: int, begin: int, length: int) -> Any:
    """A part of the rows' arrays along one static axis."""
    return array[(slice(None),) * (axis + 1) + (slice(begin, begin + length),)]
