"""Rows from many places copied end to end by native code: what handing out a minibatch costs, and little beside.

One kernel goes through a list of addresses; the lock of Python's interpreter is free meanwhile. It is compiled once
per machine by the engine's compiler process; until it is there NumPy serves. Knows addresses and sizes, no streams.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import sys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab import settings
from cntk_lab.backends.cpu import jit

_SIGNATURE: Final = "void(int64)"
_BYTES_TO_FLOATS: Final = 1
_BUFFERS: Final = 4

_COUNT: Final = struct.Struct("q")
_JOB: Final = struct.Struct("6q")

_SOURCE: Final = """
def kernel(block):
    for job in range(ld_i64(block, 0, -1)):
        at = block + 8 + 48 * job
        addresses = ld_i64(at, 0, -1)
        rows = ld_i64(at, 1, -1)
        out = ld_i64(at, 2, -1)
        n = ld_i64(at, 3, -1)
        mode = ld_i64(at, 4, -1)
        counts = ld_i64(at, 5, -1)
        for row in range(rows):
            source = ld_i64(addresses, row, -1)
            if counts != 0:
                n = ld_i64(counts, row, -1)
            if mode == 1:
                for j in range(n):
                    st_f32(out, j, f32(ld_u8(source, j, 1)), 0)
                out += 4 * n
            elif mode == 4:
                for j in range(n):
                    st_f32(out, j, ld_f32(source, j, 1), 0)
                out += 4 * n
            else:
                for j in range(n):
                    st_i64(out, j, ld_i64(source, j, 1), 0)
                out += 8 * n
"""


@functools.cache
def _handle() -> jit.Handle:
    return jit.request(_SOURCE, _SIGNATURE)


@functools.cache
def _call() -> Any:
    return ctypes.CFUNCTYPE(None, ctypes.c_int64)(_handle().address)


def ready() -> bool:
    """Whether :class:`Jobs` can be run now."""
    return settings.flag("native") and jit.available() and _handle().ready()


def address(array: NDArray[Any]) -> int:
    """Where an array's first element lies."""
    found: int = array.__array_interface__["data"][0]
    return found


def copies(source: Any, target: Any) -> bool:
    """Whether rows of one element type can be copied into rows of another.

    Args:
        source: NumPy element type of what is read.
        target: of what is written.
    """
    return (source == target and source.itemsize in (4, 8)) or (source == np.uint8 and target == np.float32)


class Buffers:
    """Memory for rows, used again as soon as nobody has what was made in it: it stays in the processor's cache, where
    fresh memory comes page by page (measured for 64 images of 784 numbers: 6 of 25 microseconds).

    Args:
        shape: of a row.
        dtype: NumPy element type.

    Example:
        >>> buffers = Buffers((3,), np.dtype("float32"))
        >>> first, place = buffers.take(2)
        >>> first.shape, buffers.take(2)[1] == place  # in use
        ((2, 3), False)
        >>> del first
        >>> buffers.take(1)[1] == place
        True
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self._shape, self._dtype = shape, dtype
        self._kept: list[tuple[Any, int]] = []
        self._unused = _users((np.empty(0), 0))

    def take(self, rows: int) -> tuple[NDArray[Any], int]:
        """An array of so many rows, its content being anything, and its address."""
        kept = self._kept
        for entry in kept:
            if len(entry[0]) >= rows and _users(entry) == self._unused:
                return entry[0][:rows], entry[1]
        if len(kept) >= _BUFFERS:
            kept.pop(0)
        made = np.empty((rows + rows // 8, *self._shape), self._dtype)
        kept.append((made, address(made)))
        return made[:rows], kept[-1][1]


def _users(entry: tuple[Any, int]) -> int:
    """How often an array is referred to: every view of it counts."""
    return sys.getrefcount(entry[0])


class Jobs:
    """Copies that are made together, by one call; :func:`ready` and :func:`copies` must have said yes.

    Args:
        most: how many there are at a time, at most.
    """

    def __init__(self, most: int) -> None:
        self._block = bytearray(8 + most * _JOB.size)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._block))
        self._count = 0
        self._call = _call()

    def add(self, places: int, rows: int, out: int, source: Any, elements: int, counts: int = 0) -> None:
        """Rows are to be copied end to end.

        Args:
            places: address of a list with the address of each row, int64; all must stay until :meth:`run` is through.
            rows: how many.
            out: address where they go.
            source: NumPy element type of what lies at the places.
            elements: of each row; ignored if there are ``counts``.
            counts: address of a list with the number of elements of each row, int64; 0: all have the same.
        """
        mode = _BYTES_TO_FLOATS if source.itemsize == 1 else source.itemsize
        _JOB.pack_into(self._block, 8 + self._count * _JOB.size, places, rows, out, elements, mode, counts)
        self._count += 1

    def run(self) -> None:
        """Make the copies; the interpreter's lock is free meanwhile."""
        _COUNT.pack_into(self._block, 0, self._count)
        self._call(self._address)
        self._count = 0
