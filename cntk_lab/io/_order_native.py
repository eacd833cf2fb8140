"""Sequences change places by native code: shuffling a sweep takes a few nanoseconds for each of its sequences.

The draws are made by ``_randomize``, which says what the two kernels do in Python too; until they are compiled, and for
short orders, that serves. Knows positions, no chunks and no data.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from cntk_lab import settings
from cntk_lab.backends.cpu import jit
from cntk_lab.tensor.arrays import address_of
from cntk_lab.tensor.layout import IndexVector

WORTH: Final = 2000
"""Sequences from which native code pays."""
_SIGNATURE: Final = "void(int64)"

_SWAPS: Final = """
def kernel(block):
    places = ld_i64(block, 0, -1)
    draws = ld_i64(block, 1, -1)
    for i in range(ld_i64(block, 2, -1)):
        j = ld_i64(draws, i, -1)
        mine = ld_i64(places, i, -1)
        st_i64(places, i, ld_i64(places, j, -1), -1)
        st_i64(places, j, mine, -1)
"""

_WINDOW: Final = """
def kernel(block):
    owner = ld_i64(block, 0, -1)
    number = ld_i64(block, 1, -1)
    first = ld_i64(block, 2, -1)
    begins = ld_i64(block, 3, -1)
    ends = ld_i64(block, 4, -1)
    chunks = ld_i64(block, 5, -1)
    place = ld_i64(block, 6, -1)
    begin = ld_i64(block, 7, -1)
    draws = ld_i64(block, 8, -1)
    count = ld_i64(block, 9, -1)
    i = ld_i64(block, 10, -1)
    low = ld_i64(first, place, -1)
    high = ld_i64(first, place + 1, -1)
    used = 0
    while i < high and used < count:
        j = ld_i64(draws, used, -1)
        used += 1
        mine = ld_i64(owner, i, -1)
        other = ld_i64(owner, j, -1)
        if other < begin or other >= begin + chunks:
            continue
        if j >= high or j < low:
            a = 0
            b = chunks
            while b - a > 1:
                middle = (a + b) >> 1
                if ld_i64(first, middle, -1) <= j:
                    a = middle
                else:
                    b = middle
            if mine < ld_i64(begins, a, -1) or mine >= ld_i64(ends, a, -1):
                continue
        mine_number = ld_i64(number, i, -1)
        st_i64(owner, i, other, -1)
        st_i64(number, i, ld_i64(number, j, -1), -1)
        st_i64(owner, j, mine, -1)
        st_i64(number, j, mine_number, -1)
        i += 1
    st_i64(block, 10, i, -1)
    st_i64(block, 11, used, -1)
"""


@functools.cache
def _swaps() -> jit.Handle:
    return jit.request(_SWAPS, _SIGNATURE)


@functools.cache
def _window() -> jit.Handle:
    return jit.request(_WINDOW, _SIGNATURE)


def _ready(handle: Callable[[], jit.Handle], count: int) -> bool:
    return count >= WORTH and settings.flag("native") and jit.available() and handle().ready()


def _run(handle: jit.Handle, words: list[int]) -> Any:
    block = np.array(words, np.int64)
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(handle.address)(address_of(block))
    return block


def swap_all(places: IndexVector, draws: IndexVector) -> bool:
    """Place ``i`` and place ``draws[i]`` change, one after the other.

    Args:
        places: what changes, dense int64.
        draws: for each place another one, dense int64.

    Returns:
        Whether it was done; False where native code does not pay or is not there.
    """
    if not _ready(_swaps, len(places)):
        return False
    _run(_swaps(), [address_of(places), address_of(draws), len(places)])
    return True


def swap_in_window(
    owner: IndexVector, number: IndexVector, first: IndexVector, windows: IndexVector, at: tuple[int, int, int],
    draws: IndexVector,
) -> tuple[int, int] | None:  # fmt: skip
    """The sequences at the positions of one chunk change with others of its window.

    Args:
        owner: chunk that each sequence of the window comes from, dense int64.
        number: its number there, dense int64.
        first: first position of each chunk of the window, and the end; positions count from the window's first.
        windows: (2 x chunks) the first chunk of each one's window, and the one behind the last.
        at: which chunk of the window, number of its first chunk, position to begin with.
        draws: positions drawn, dense int64.

    Returns:
        Position to go on with, and how many draws were used; None where native code does not pay or is not there.
    """
    if not _ready(_window, len(owner)):
        return None
    words = [address_of(a) for a in (owner, number, first, windows[0], windows[1])]
    block = _run(_window(), [*words, len(first) - 1, *at[:2], address_of(draws), len(draws), at[2], 0])
    return int(block[10]), int(block[11])
