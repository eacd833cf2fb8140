"""Random numbers of sequences as CNTK draws them: for every column of a padded matrix, gaps included.

CNTK lays sequences of different lengths side by side: each into the first slot that has room for it, behind what lies
there; no slot is longer than the longest sequence. A random operator draws for all columns of that matrix, time by
time, slot by slot. Inside a loop it draws the columns of one time after another, from the end if the loop runs
backward. Here there are no gaps, so what falls into them is drawn and left.

    lengths (3, 1, 2)     slot 0:  0.0  0.1  0.2      columns:  0.0  1.0  0.1  2.0  0.2  2.1
                          slot 1:  1.0  2.0  2.1
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import lru_cache, partial
from typing import Any

import numpy as np

from cntk_lab.tensor.layout import IndexVector, Layout

Slab = tuple[int, int, int]
"""Number of a slab, its first row and one past its last."""


@lru_cache(maxsize=64)
def places(layout: Layout) -> tuple[IndexVector, IndexVector]:
    """Where CNTK lays each of the user's sequences: the time at which it begins, and its slot.

    Example:
        >>> [found.tolist() for found in places(Layout.of([3, 1, 2]))]
        [[0, 0, 1], [0, 1, 1]]
    """
    ends = np.zeros(layout.count, np.int64)
    begins, slots = np.empty_like(ends), np.empty_like(ends)
    given = layout.slots
    for i, length in enumerate(layout.lengths.tolist()):
        slot = int(np.argmax(ends + length <= layout.longest)) if given is None else given[i]
        begins[i], slots[i] = ends[slot], slot
        ends[slot] += length
    return begins, slots


class Columns:
    """A stream of random numbers for the rows of sequences.

    Args:
        stream: draws ``count`` numbers at a time.
        layout: of the rows.
        slab: the rows that are asked for, inside a loop.
        kept: what a loop keeps from slab to slab.
        key: of the operator.
    """

    def __init__(
        self, stream: Any, layout: Layout, slab: Slab | None, kept: MutableMapping[Any, Any], key: str
    ) -> None:
        self._stream, self._layout, self._slab, self._kept, self._key = stream, layout, slab, kept, ("columns", key)

    def __getattr__(self, name: str) -> Any:
        return partial(self._rows, getattr(self._stream, name))

    def _rows(self, draw: Callable[..., Any], count: int, *args: Any, **kwargs: Any) -> Any:
        """``count`` numbers for the rows that are asked for, in their order."""
        layout, slab = self._layout, self._slab
        begins, slots = places(layout)
        first, behind = (0, layout.rows) if slab is None else slab[1:]
        sequence = layout.sequence[first:behind]
        time, slot = begins[sequence] + layout.position[first:behind], slots[sequence]
        each = count // (behind - first)
        times, width = int((begins + layout.lengths).max()), int(slots.max()) + 1
        if slab is None:
            drawn = draw(times * width * each, *args, **kwargs).reshape(times, width, each)
            return drawn[time, slot].ravel()
        if self._key not in self._kept:
            order = range(times) if slab[0] == 0 else range(times - 1, -1, -1)
            made = {t: draw(width * each, *args, **kwargs).reshape(width, each) for t in order}
            self._kept[self._key] = np.stack([made[t] for t in range(times)]), layout.longest
        drawn, left = self._kept.pop(self._key)
        if left > 1:
            self._kept[self._key] = drawn, left - 1
        return drawn[time, slot].ravel()
