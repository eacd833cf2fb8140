"""Native code for operators that choose, sum or weigh frames.

The last frames of sequences, samples repeated for every frame, sums over time, and the gradients of these are the same
kernel with other lists of rows: which rows of an operand each row of the result sums. Lists follow from a layout alone.
Work is shared by rows of the result, and each is summed in the order of its list, so a result has the same bits with
any number of threads. The largest frames and the softmax over time walk over the frames of a sequence by such lists.
Knows neither graphs nor plans.
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
    reads = jit.fields_read(FIELDS)
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
    return jit.request_for(dtype, _source)


# ---- all frames of a sequence at once

OVER_SEQUENCES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "sequence_softmax.forward": ("softmax", ("seq",)),
    "sequence_softmax.gradient.seq": ("softmax gradient", ("dy", "y")),
    "sequence_reduce_max.forward": ("max", ("seq",)),
    "sequence_reduce_max.gradient.seq": ("max gradient", ("dy", "seq", "y")),
}
"""``<operator>.<role>`` -> its kernel, and the operands in the order of the argument block."""

SEQUENCE_FIELDS: Final = ("starts", "numbers", "rows", "width", "scratch", "target", "first", "second", "third")
"""The argument block: the lists of :func:`summed`, sequences, elements of a row, :func:`scratch_bytes` for each thread,
addresses of the result and of up to three operands.
"""
SEQUENCE_AT: Final = {name: i for i, name in enumerate(SEQUENCE_FIELDS)}

_EACH: Final = """        k = place
        while k < behind:
            frame = {item} * width * np.int64(ld_i32(numbers, k, -1))
            for j in range(width):
{line}
            k += 1
"""


def scratch_bytes(width: int, item: int) -> int:
    """Bytes that a thread needs for one sequence."""
    return 2 * item * width


def _walks(what: str, short: str) -> list[str]:
    """The lines that are run for each element, walk after walk over the frames of a sequence."""

    def load(address: str, scope: int, frame: bool = True) -> str:
        return f"ld_{short}({address}{' + frame' if frame else ''}, j, {scope})"

    def store(address: str, value: str, scope: int, frame: bool = True) -> str:
        return f"st_{short}({address}{' + frame' if frame else ''}, j, {value}, {scope})"

    top, total = load("top", 4, frame=False), load("total", 5, frame=False)
    largest = store("top", f"w_max({top}, {load('first', 1)})", 4, frame=False)
    if what == "max":
        return [largest, store("target + own", top, 0, frame=False)]
    if what == "max gradient":
        hit = f"{load('second', 2)} == {load('third + own', 3, frame=False)}"
        return [store("target", f"sel({hit}, {load('first + own', 1, frame=False)}, {short}(0.0))", 0)]
    if what == "softmax":
        weight = store("target", f"exp_{short}({load('first', 1)} - {top})", 0)
        added = store("total", f"{total} + {load('target', 0)}", 5, frame=False)
        return [largest, f"{weight}; {added}", store("target", f"{load('target', 0)} / {total}", 0)]
    product = store("total", f"{total} + {load('first', 1)} * {load('second', 2)}", 5, frame=False)
    return [product, store("target", f"{load('second', 2)} * ({load('first', 1)} - {total})", 0)]


@functools.cache
def over_sequences(what: str, dtype: str) -> jit.Handle:
    """The kernel that goes over all frames of each sequence, one sequence after the other: the bits do not depend on
    the number of threads.
    """
    short, item = ("f32", 4) if dtype == "float32" else ("f64", 8)
    reads = jit.fields_read(SEQUENCE_FIELDS)
    walks = "".join(_EACH.format(item=item, line=f"                {line}") for line in _walks(what, short))
    return jit.request(f"""
def kernel(block, thread, threads, phase):
{reads}
    top = scratch + {2 * item} * width * thread
    total = top + {item} * width
    row = rows * thread // threads
    end = rows * (thread + 1) // threads
    while row < end:
        own = {item} * width * row
        place = np.int64(ld_i32(starts, row, -1))
        behind = np.int64(ld_i32(starts, row + 1, -1))
        for j in range(width):
            st_{short}(top, j, {short}(-np.inf), 4)
            st_{short}(total, j, {short}(0.0), 5)
{walks}        row += 1
""")
