"""Native code for products with sparse rows: rows of an embedding gathered, scores of the right classes picked out,
gradients scattered.

One kernel for each element type does them all: what a stored value is multiplied with, and where the result is added,
are distances between elements in its argument block. Work is shared by rows of the result, or, where all rows add to
the same result, by columns of it; so a result has the same bits with any number of threads. Values outside of the
arrays' bounds are left out, never read. Knows neither graphs nor plans.
"""

from __future__ import annotations

import functools
from typing import Final

from cntk_lab.backends.cpu import jit

FIELDS: Final = (
    "values",  # addresses of the CSR arrays
    "columns",
    "starts",
    "rows",
    "stored",  # how many values there are
    "width",  # how many columns
    "last",  # a column is (first letter, last letter); the size of the last
    "dense",  # address, and distances in elements: between rows, along both letters of a column, along the free letter
    "dense_row",
    "dense_first",
    "dense_last",
    "dense_free",
    "out",
    "out_row",
    "out_first",
    "out_last",
    "out_free",
    "free",  # size of the free letter: each stored value is used so many times
    "zeros",  # elements of the result that each row sets to zero first (0: all rows add to one result)
    "clear",  # elements of that one result, which are set to zero before
)
"""The fields of the argument block, in order."""
PHASES: Final = 2
AT: Final = {name: i for i, name in enumerate(FIELDS)}


def _source(short: str, item: int) -> str:
    reads = jit.fields_read(FIELDS)
    return f"""
def kernel(block, thread, threads, phase):
{reads}
    if phase == 0:
        begin = clear * thread // threads
        target = out + {item} * begin
        for j in range(clear * (thread + 1) // threads - begin):
            st_{short}(target, j, {short}(0.0), 0)
        return
    row = 0
    end = rows
    if clear == 0:
        row = rows * thread // threads
        end = rows * (thread + 1) // threads
    else:
        skipped = free * thread // threads
        free = free * (thread + 1) // threads - skipped
        dense = dense + {item} * skipped * dense_free
        out = out + {item} * skipped * out_free
    while row < end:
        to = out + {item} * row * out_row
        source = dense + {item} * row * dense_row
        for j in range(zeros):
            st_{short}(to, j, {short}(0.0), 0)
        place = np.int64(ld_i32(starts, row, -1))
        behind = np.int64(ld_i32(starts, row + 1, -1))
        if place < 0:
            place = 0
        if behind > stored:
            behind = stored
        while place < behind:
            column = np.int64(ld_i32(columns, place, -1))
            if column >= 0 and column < width:
                x = ld_{short}(values, place, -1)
                i = column // last
                k = column - i * last
                a = source + {item} * (i * dense_first + k * dense_last)
                b = to + {item} * (i * out_first + k * out_last)
                if dense_free == 1 and out_free == 1:
                    for j in range(free):
                        st_{short}(b, j, ld_{short}(b, j, 0) + x * ld_{short}(a, j, 1), 0)
                else:
                    for j in range(free):
                        now = ld_{short}(b, j * out_free, 0)
                        st_{short}(b, j * out_free, now + x * ld_{short}(a, j * dense_free, 1), 0)
            place += 1
        row += 1
"""


@functools.cache
def kernel(dtype: str) -> jit.Handle:
    """The kernel for an element type, ``float32`` or ``float64``."""
    return jit.request_for(dtype, _source)


MOVE_FIELDS: Final = ("numbers", "rows", "whole", "touched", "width", "back")
"""The argument block of the mover: addresses of row numbers (int32), of the whole array and of the touched rows."""
MOVE_AT: Final = {name: i for i, name in enumerate(MOVE_FIELDS)}


def _mover(short: str, item: int) -> str:
    reads = jit.fields_read(MOVE_FIELDS)
    return f"""
def kernel(block, thread, threads, phase):
{reads}
    row = rows * thread // threads
    end = rows * (thread + 1) // threads
    while row < end:
        far = whole + {item} * width * np.int64(ld_i32(numbers, row, -1))
        near = touched + {item} * width * row
        source = near if back != 0 else far
        target = far if back != 0 else near
        for j in range(width):
            st_{short}(target, j, ld_{short}(source, j, 1), 0)
        row += 1
"""


@functools.cache
def mover(dtype: str) -> jit.Handle:
    """The kernel that copies some rows of an array to dense memory, or back."""
    return jit.request_for(dtype, _mover)
