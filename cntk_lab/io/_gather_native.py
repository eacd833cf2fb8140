"""Rows from many places copied end to end by native code: what handing out a minibatch costs, and little beside.

One kernel goes through a list of addresses; the lock of Python's interpreter is free meanwhile. It is compiled once
per machine by the engine's compiler process; until it is there NumPy serves. Knows addresses and sizes, no streams.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab import settings
from cntk_lab.backends.cpu import jit
from cntk_lab.tensor.layout import IndexVector

_SIGNATURE: Final = "void(int64)"
_BYTES_TO_FLOATS: Final = 1

_SOURCE: Final = """
def kernel(block):
    addresses = ld_i64(block, 0, -1)
    rows = ld_i64(block, 1, -1)
    out = ld_i64(block, 2, -1)
    n = ld_i64(block, 3, -1)
    mode = ld_i64(block, 4, -1)
    counts = ld_i64(block, 5, -1)
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
    """Whether :func:`gather` can be called now."""
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


def gather(places: IndexVector, out: NDArray[Any], source: Any, counts: IndexVector | None = None) -> None:
    """Copy rows end to end; :func:`ready` and :func:`copies` must have said yes.

    Args:
        places: address of each row, dense int64; what lies there must stay until this returns.
        out: where they go, dense: (rows x elements), or one line of all elements if there are ``counts``.
        source: NumPy element type of what lies at the places.
        counts: elements of each row, dense int64; None: all rows have as many as those of ``out``.
    """
    rows = len(places)
    if not rows:
        return
    count = out.size // rows if counts is None else 0
    mode = _BYTES_TO_FLOATS if source.itemsize == 1 else source.itemsize
    words = [address(places), rows, address(out), count, mode, 0 if counts is None else address(counts)]
    block = np.array(words, np.int64)
    _call()(address(block))
