"""Frames from many places copied into one array by native code: what handing out a minibatch costs, and little beside.

One kernel goes through a list with the address of each sequence, frame by frame as sequences are packed; the lock of
Python's interpreter is free meanwhile. It is compiled once per machine by the engine's compiler process; until it is
there NumPy serves. Knows addresses and sizes, no streams.
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
from cntk_lab.tensor.arrays import address_of
from cntk_lab.tensor.layout import Layout

_SIGNATURE: Final = "void(int64)"
_BYTES_TO_FLOATS: Final = 1
_BUFFERS: Final = 40
_TRIES: Final = 4

_COUNT: Final = struct.Struct("q")
_JOB: Final = struct.Struct("11q")

_SOURCE: Final = """
def kernel(block):
    for job in range(ld_i64(block, 0, -1)):
        at = block + 8 + 88 * job
        places = ld_i64(at, 0, -1)
        live = ld_i64(at, 1, -1)
        out = ld_i64(at, 2, -1)
        n = ld_i64(at, 3, -1)
        mode = ld_i64(at, 4, -1)
        step = ld_i64(at, 5, -1)
        longest = ld_i64(at, 6, -1)
        order = ld_i64(at, 7, -1)
        lives = ld_i64(at, 8, -1)
        pointers = ld_i64(at, 9, -1)
        ends = ld_i64(at, 10, -1)
        held = 0
        for frame in range(longest):
            if lives != 0:
                live = ld_i64(lives, frame, -1)
            for k in range(live):
                sequence = k
                if order != 0:
                    sequence = ld_i64(order, k, -1)
                source = ld_i64(places, sequence, -1)
                if pointers != 0:
                    first = ld_i64(pointers, sequence, -1)
                    skip = ld_i32(first, frame, -1)
                    n = ld_i32(first, frame + 1, -1) - skip
                    source += skip * mode
                    held += n
                    if ends != 0:
                        # eight bytes for a number of four: the next one overwrites the zeros behind it
                        ends += 4
                        st_i64(ends, 0, held, -1)
                else:
                    source += frame * step
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
        self._at = -1

    def take(self, rows: int) -> tuple[NDArray[Any], int]:
        """An array of so many rows, its content being anything, and its address."""
        kept, tried = self._kept, 0
        while tried < min(len(kept), _TRIES):  # in turn: the one used longest ago is likely to be free
            tried += 1
            self._at = (self._at + 1) % len(kept)
            entry = kept[self._at]
            if len(entry[0]) >= rows and _users(entry) == self._unused:
                return entry[0][:rows], entry[1]
        made = np.empty((rows + rows // 4, *self._shape), self._dtype)
        if len(kept) < _BUFFERS:
            self._at = len(kept)
            kept.append((made, address_of(made)))
        else:
            kept[self._at] = (made, address_of(made))
        return made[:rows], kept[self._at][1]


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
        self._layout: Layout | None = None
        self._packing = (0, 0)
        self._call = _call()

    def add(
        self,
        places: int,
        out: int,
        source: Any,
        layout: Layout,
        elements: int,
        pointers: int = 0,
        ends: int = 0,
    ) -> None:
        """The frames of sequences are to be copied in packed order. All memory must stay until :meth:`run` is through.

        Args:
            places: address of a list (int64) with the address of each sequence's first frame; or, with ``pointers``,
                of what these count from.
            out: address where frames go.
            source: NumPy element type of what lies at the places.
            layout: of the sequences.
            elements: of each frame; ignored if there are ``pointers``.
            pointers: of sparse frames: address of a list (int64) with the address of each sequence's part of a CSR
                matrix's row pointers (int32); 0: all frames have the same number of elements.
            ends: address of the row pointers to be made (int32, the first one is there already, and room for one
                more than needed); 0: none.
        """
        size = source.itemsize
        mode = _BYTES_TO_FLOATS if size == 1 else size
        if self._layout is not layout:  # streams of one minibatch often share theirs
            self._layout, self._packing = layout, (0, 0)
            if layout.longest > 1:
                self._packing = address_of(layout.order), address_of(layout.live)
        order, lives = self._packing
        job = (layout.count, out, elements, mode, elements * size, layout.longest, order, lives, pointers, ends)
        _JOB.pack_into(self._block, 8 + self._count * _JOB.size, places, *job)
        self._count += 1

    def run(self) -> None:
        """Make the copies; the interpreter's lock is free meanwhile."""
        if not self._count:
            return
        _COUNT.pack_into(self._block, 0, self._count)
        self._call(self._address)
        self._count = 0
        self._layout = None
