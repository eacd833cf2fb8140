"""The memory of a plan: slots of temporaries that only grow, and places that inputs are copied into.

Rows come in pieces: counts that need the same number of pieces share memory, so that another minibatch size is seldom a
move. Whoever keeps addresses asks ``moves``: those from before the last move are out of date. Knows no step and no
device, only how many bytes a row has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab.engine.memory.places import part_of
from cntk_lab.engine.memory.slots import Slot, source_of
from cntk_lab.engine.plan import Buffer, Plan, RowSymbol
from cntk_lab.tensor.arrays import aligned_empty
from cntk_lab.tensor.shape import size

PIECE = 64
"""Counts of rows up to this one are taken exactly; larger ones share memory and primitives in steps of it or more."""


def padded(rows: int) -> int:
    """So many rows of memory there are for ``rows`` rows: products may compute some more, which nobody reads."""
    if rows <= PIECE:
        return rows
    piece = max(PIECE, 1 << (rows.bit_length() - 5))
    return -(-rows // piece) * piece


def _plain(count: int) -> Any:
    """So many bytes on a cache line."""
    return aligned_empty((count,), "uint8")


class Arena:
    """Memory for the temporaries and inputs of one plan.

    Args:
        plan: the plan.
        slots: which temporaries share memory.
        homeless: inputs that need no memory.
        empty: makes so many bytes of memory.
    """

    def __init__(
        self, plan: Plan, slots: Sequence[Slot], homeless: set[int], empty: Callable[[int], Any] | None = None
    ) -> None:
        self.plan, self.slots = plan, slots
        self.source = source_of(plan)
        """For what lies in the memory of another buffer: which one."""
        self.slot_of = {b: i for i, slot in enumerate(slots) for b in slot.buffers}
        self.rooms: list[Any] = [np.empty(0, np.uint8)] * len(slots)
        self.homes: dict[int, Any] = {}
        """Inputs -> their memory."""
        self.moves = 0
        """How often memory has moved: addresses from before are out of date."""
        self._homeless = homeless
        self._empty = empty or _plain

    def grow(self, rows: Mapping[RowSymbol, int], leave: Callable[[], object]) -> None:
        """Make everything large enough.

        Args:
            rows: row symbol -> count.
            leave: called before memory moves, as an interrupt may come at any time.
        """
        for i, slot in enumerate(self.slots):
            wanted = slot.row_bytes * self.count(slot.rows, rows)
            if self.rooms[i].size < wanted:
                self._moving(leave)
                self.rooms[i] = self._room(wanted)
        for b in self.plan.buffers_of("input"):
            if b.id in self._homeless:
                continue
            wanted = self.bytes_of(b, rows)
            have = self.homes.get(b.id)
            if have is None or have.size < wanted:
                self._moving(leave)
                self.homes[b.id] = self._room(wanted)

    def _moving(self, leave: Callable[[], object]) -> None:
        self.moves += 1
        leave()

    def _room(self, wanted: int) -> Any:
        return self._empty(wanted + wanted // 4)

    @staticmethod
    def count(symbol: RowSymbol, rows: Mapping[RowSymbol, int]) -> int:
        """How many rows there is memory for, at least one."""
        return max(1, padded(rows[symbol])) if symbol else 1

    def bytes_of(self, b: Buffer, rows: Mapping[RowSymbol, int]) -> int:
        """How much memory a buffer needs."""
        return self.count(b.rows, rows) * size(b.shape) * np.dtype(b.dtype).itemsize

    def holds(self, buffer: int) -> bool:
        """Whether a buffer is a temporary, or lies in one."""
        return self.source.get(buffer, buffer) in self.slot_of

    def home(self, b: Buffer, rows: Mapping[RowSymbol, int]) -> Any:
        """The array that an input's data are copied into."""
        shape = (rows[b.rows] if b.rows else 1, *b.shape)
        return self.homes[b.id][: size(shape) * np.dtype(b.dtype).itemsize].view(b.dtype).reshape(shape)

    def memory(self, buffer: int, rows: Mapping[RowSymbol, int]) -> Any:
        """The array of a temporary (or of what it is a view of) for these row counts."""
        own = self.source.get(buffer, buffer)
        b = self.plan.buffers[buffer]
        shape = (rows[b.rows] if b.rows else 1, *(b.whole or b.shape))
        count = size(shape) * np.dtype(b.dtype).itemsize
        return part_of(self.rooms[self.slot_of[own]][:count].view(b.dtype).reshape(shape), b)
