"""Native code for operators that only choose or sum frames: which rows of an operand each row of the result sums.

The last frames of sequences, samples repeated for every frame, sums over time, and the gradients of these are the same
kernel with other lists of rows. Lists follow from a layout alone. Work is shared by rows of the result, and each is
summed in the order of its list, so a result has the same bits with any number of threads. Knows neither graphs nor
plans.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cntk_lab.backends.cpu import jit
from cntk_lab.tensor.layout import Layout

Numbers = NDArray[np.int32]


class Listed(NamedTuple):
    """For each row of the result the rows that are summed: ``numbers[starts[i]:starts[i + 1]]``."""

    starts: Numbers
    numbers: Numbers


def spread(layout: Layout) -> Listed:
    """Each frame takes its sequence's row.

    Example:
        >>> spread(Layout.of([1, 2])).numbers.tolist()  # frames lie in packed order, the longest sequence first
        [1, 0, 1]
    """
    return Listed(_each(layout.rows), layout.sequence.astype(np.int32))


def summed(layout: Layout) -> Listed:
    """Each sequence sums its frames, in order of time."""
    starts = np.concatenate([layout.starts, [layout.rows]])
    return Listed(starts.astype(np.int32), layout.unpack.astype(np.int32))


def same(layout: Layout) -> Listed:
    """Each frame takes the same frame's row."""
    return Listed(_each(layout.rows), np.arange(layout.rows, dtype=np.int32))


def _taken(rows: Any) -> Listed:
    return Listed(_each(len(rows)), np.asarray(rows, np.int32))


def _given_back(rows: Any, count: int) -> Listed:
    """The gradient of rows taken: what was not taken gets nothing."""
    taken = np.zeros(count, np.int32)
    taken[rows] = 1
    starts = np.zeros(count + 1, np.int32)
    np.cumsum(taken, out=starts[1:])
    return Listed(starts, np.argsort(rows).astype(np.int32))


def _each(count: int) -> Numbers:
    return np.arange(count + 1, dtype=np.int32)


OPERATORS: Final[dict[str, tuple[str, Callable[[Layout], Listed]]]] = {
    "sequence_first.forward": ("seq", lambda layout: _taken(layout.first)),
    "sequence_first.gradient.seq": ("dy", lambda layout: _given_back(layout.first, layout.rows)),
    "sequence_last.forward": ("seq", lambda layout: _taken(layout.last)),
    "sequence_last.gradient.seq": ("dy", lambda layout: _given_back(layout.last, layout.rows)),
    "sequence_reduce_sum.forward": ("seq", summed),
    "sequence_reduce_sum.gradient.seq": ("dy", spread),
    "sequence_broadcast_as.forward": ("operand", same),  # what it repeats is spread over the frames before
    "sequence_broadcast_as.gradient.operand": ("dy", same),
}
"""``<operator>.<role>`` -> the operand whose rows it sums, and which ones, by the layout of its frames."""

FIELDS: Final = ("source", "target", "starts", "numbers", "rows", "width")
"""The argument block: addresses of operand, result and lists, rows of the result, elements of a row."""
AT: Final = {name: i for i, name in enumerate(FIELDS)}


def _source(short: str, item: int) -> str:
    reads = "\n".join(f"    {name} = ld_i64(block, {i}, -1)" for i, name in enumerate(FIELDS))
    return f"""
def kernel(block, thread, threads, phase):
{reads}
    row = rows * thread // threads
    end = rows * (thread + 1) // threads
    while row < end:
        to = target + {item} * width * row
        place = np.int64(ld_i32(starts, row, -1))
        behind = np.int64(ld_i32(starts, row + 1, -1))
        if place < behind:
            first = source + {item} * width * np.int64(ld_i32(numbers, place, -1))
            for j in range(width):
                st_{short}(to, j, ld_{short}(first, j, 1), 0)
            place += 1
        else:
            for j in range(width):
                st_{short}(to, j, {short}(0.0), 0)
        while place < behind:
            more = source + {item} * width * np.int64(ld_i32(numbers, place, -1))
            for j in range(width):
                st_{short}(to, j, ld_{short}(to, j, 0) + ld_{short}(more, j, 1), 0)
            place += 1
        row += 1
"""


@functools.cache
def kernel(dtype: str) -> jit.Handle:
    """The kernel for an element type, ``float32`` or ``float64``."""
    return jit.request(_source("f32", 4) if dtype == "float32" else _source("f64", 8))
