"""Memory that need not be copied: large inputs are read where the user's data lie, large results are given away.

A step that can be told another address for an operand registers how (``Binding.follow``); an address that somebody
keeps for good stays where it is. Knows no step: only the functions that take addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cntk_lab.tensor.arrays import address_of, aligned_empty

WORTH = 32 * 1024
"""Bytes from which telling steps another address is cheaper than copying."""

Setter = Callable[[int], None]


class Moving:
    """One buffer of a binding whose memory may be another one in each run.

    Args:
        home: the memory that is used for data that cannot stay where they are.
        setters: who has to be told a new address, and where in the buffer theirs starts.
        rows: how many rows may be read or written (perhaps more than the home memory has).
    """

    __slots__ = ("_at", "_exact", "_holds", "_home", "_rows", "_setters")

    def __init__(self, home: Any, setters: list[tuple[Setter, int]], rows: int) -> None:
        self._setters, self._rows = setters, rows
        self._at = address_of(home)
        self.resize(home)
        self._holds: Any = home  # nothing is freed that a table still points to

    def resize(self, home: Any) -> None:
        """The same memory with another number of rows."""
        self._home, self._exact = home, len(home) == self._rows

    def take(self, data: Any) -> bool:
        """Use these data where they lie; False if they have to be copied into the home memory, which is used then."""
        home = self._home
        fits = self._exact and type(data) is np.ndarray and data.dtype == home.dtype and data.size == home.size
        fits = fits and data.flags.c_contiguous and data.flags.aligned
        if fits or self._holds is not home:
            self._go(data if fits else home)
        return fits

    def renew(self) -> Any:
        """New memory of the same shape, into which the next run writes."""
        home = self._home
        made = aligned_empty((self._rows, *home.shape[1:]), home.dtype)
        self._go(made)
        return made[: len(home)]

    def _go(self, array: Any) -> None:
        address = address_of(array)
        self._holds = array
        if address != self._at:
            self._at = 0  # nowhere, should an interrupt come
            for setter, offset in self._setters:
                setter(address + offset)
            self._at = address
