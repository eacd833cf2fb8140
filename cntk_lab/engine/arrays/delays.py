"""Delays and sums over frames on packed rows: where a frame's earlier frames lie, and what initial states give.

What the interpreter and the native loops share. Knows layouts and arrays, no operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cntk_lab.engine.plan import Delay, DelayInitial
from cntk_lab.errors import SequenceError
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.sparse import SparseRows

if TYPE_CHECKING:
    from cntk_lab.engine.arrays.run import Run


def unbroadcast(xp: Any, gradient: Any, rows: int | None, shape: tuple[int, ...]) -> Any:  # noqa: ARG001  (called alike for every array module)
    """A gradient summed over the axes along which its operand was repeated."""
    if not hasattr(gradient, "ndim") or isinstance(gradient, SparseRows):
        return gradient
    extra = gradient.ndim - 1 - len(shape)
    if extra > 0:
        gradient = gradient.sum(axis=tuple(range(1, 1 + extra)))
    axes = [i + 1 for i, d in enumerate(shape) if d == 1 and gradient.shape[i + 1] != 1]
    if rows == 1 and gradient.shape[0] != 1:
        axes.append(0)
    return gradient.sum(axis=tuple(axes), keepdims=True) if axes else gradient


def sum_per_sequence(xp: Any, rows: Any, layout: Layout) -> Any:
    """Frames summed per sequence, in the user's order."""
    result = xp.zeros((layout.count, *rows.shape[1:]), rows.dtype)
    offsets, order = layout.offsets.tolist(), layout.order
    for t in range(layout.longest):
        live = offsets[t + 1] - offsets[t]
        result[order[:live]] += rows[offsets[t] : offsets[t + 1]]
    return result


def delay_slab(layout: Layout, slab: int, offset: int) -> tuple[int, int] | None:
    """Where a slab's delayed rows come from: first row and how many (the slab's first ones); None if all are
    initial.
    """
    source = slab - offset
    if source < 0 or source >= layout.longest:
        return None
    return int(layout.offsets[source]), int(min(layout.live[slab], layout.live[source]))


def delayed(run: Run, rows: Any, layout: Layout, offset: int, start: Any) -> Any:
    """All rows delayed at once; where there is no earlier frame, rows of the initial state (or 0)."""
    position = layout.position - offset
    inside = (position >= 0) & (position < layout.lengths[layout.sequence])
    index = layout.row(layout.sequence[inside], position[inside])
    result = run.xp.zeros_like(rows)
    result[inside] = rows[index]
    if start is not None and not inside.all():
        outside = ~inside
        result[outside] = start(layout.sequence[outside], position[outside])
    return result


def initial_frames(run: Run, array: Any, b: Any, layout: Layout, step: Delay, rank: int) -> Callable[[Any, Any], Any]:
    """A function (sequence numbers, positions before or after the sequence) -> rows of the initial state, of ``rank``
    static axes or fewer.
    """
    if array.ndim - 1 > rank:
        array = array.reshape(array.shape[:1] + array.shape[array.ndim - rank :])  # the axes in front are 1 long
    before = run.state.carried.get(step.key) if step.key and layout.begins is not None else None
    carried = None if before is None else before.frames()

    def given(sequence: Any, position: Any) -> Any:
        if not b.rows:
            return array
        if "," not in b.rows:
            return array[sequence]
        return array[_initial_row(run.layouts[b.rows], layout, sequence, position, step.offset)]

    def start(sequence: Any, position: Any) -> Any:
        rows = given(sequence, position)
        if carried is None or step.offset < 0:
            return rows
        assert layout.begins is not None
        continues = ~np.asarray(layout.begins)[sequence]
        rows = np.broadcast_to(rows, (len(sequence), *carried.shape[2:])).copy()
        slot = layout.slot[sequence[continues]]
        if slot.size and int(slot.max()) >= len(carried):
            raise SequenceError(
                f"a sequence continues number {int(slot.max())} of the minibatch before, which had {len(carried)}",
                fix="mark sequences that are new as beginning here",
            )
        rows[continues] = carried[slot, carried.shape[1] + position[continues]]
        return rows

    return start


def initial_slab(start: Callable[[Any, Any], Any], layout: Layout, slab: int, offset: int, lo: int, hi: int) -> Any:
    """The initial state for rows ``lo:hi`` of a slab."""
    sequence = layout.sequence[lo:hi]
    return start(sequence, np.full(hi - lo, slab - offset, np.int64))


class Carried:
    """The last frames of the sequences of a minibatch, gathered only if another minibatch continues them."""

    __slots__ = ("_before", "_frames", "_layout", "_offset", "_rows")

    def __init__(self, rows: Any, layout: Layout, offset: int, before: Any) -> None:
        self._rows, self._layout, self._offset = rows, layout, offset
        self._before = before if layout.begins is not None else None
        self._frames: Any = None

    @classmethod
    def of(cls, frames: Any) -> Carried:
        """Frames that were kept elsewhere: an array as :meth:`frames` gives it."""
        made = cls(None, Layout.of(()), frames.shape[1], None)
        made._frames = frames
        return made

    def frames(self) -> Any:
        """Array (slots x frames x static shape): the last ``offset`` frames of the last sequence of each slot."""
        if self._frames is None:
            layout, k, rows = self._layout, self._offset, self._rows
            last = np.zeros(int(layout.slot.max(initial=-1)) + 1, np.int64)
            last[layout.slot] = np.arange(layout.count)
            used = np.zeros(len(last), bool)
            used[layout.slot] = True
            before = None if self._before is None else self._before.frames()
            begins = np.ones(layout.count, bool) if layout.begins is None else np.asarray(layout.begins)
            goes_on = used & ~begins[last]
            kept = np.zeros((len(last), k, *rows.shape[1:]), rows.dtype)
            for j in range(k):
                position = layout.lengths[last] - k + j
                inside = used & (position >= 0)
                kept[inside, j] = rows[layout.row(last[inside], position[inside])]
                old = goes_on & (position < 0)
                old[0 if before is None else len(before) :] = False
                if before is not None and old.any():
                    slots = np.flatnonzero(old)
                    kept[slots, j] = before[slots, k + position[slots]]
            self._frames, self._rows, self._before = kept, None, None
        return self._frames


def carry(run: Run, step: Delay, rows: Any, layout: Layout) -> None:
    """Keep what a minibatch that continues these sequences starts from."""
    run.state.carried[step.key] = Carried(rows, layout, step.offset, run.state.carried.get(step.key))


def delay_initial_gradient(run: Run, dy: Any, b: Any, step: DelayInitial) -> Any:
    """The gradient of an initial state: what arrives at the frames that took it."""
    layout = run.layouts[step.rows]
    position = layout.position - step.offset
    outside = (position < 0) | (position >= layout.lengths[layout.sequence])
    arriving, sequence = dy[outside], layout.sequence[outside]
    if layout.begins is not None and step.offset > 0:
        fresh = np.asarray(layout.begins)[sequence]
        arriving, sequence, outside = arriving[fresh], sequence[fresh], np.flatnonzero(outside)[fresh]
    if not b.rows:
        return unbroadcast(run.xp, arriving.sum(axis=0, keepdims=True), 1, b.shape)
    result = run.xp.zeros((run.rows(b.rows), *b.shape), dy.dtype)
    if "," not in b.rows:
        run.xp.add.at(result, sequence, unbroadcast(run.xp, arriving, None, b.shape))
        return result
    other = run.layouts[b.rows]
    row = _initial_row(other, layout, sequence, position[outside], step.offset)
    run.xp.add.at(result, row, arriving)
    return result


def _initial_row(other: Layout, layout: Layout, sequence: Any, position: Any, offset: int) -> Any:
    """Rows of a sequence that is an initial state: its last (for the past) or first (for the future) frames stand at
    the positions before or after the sequence; a single frame stands at all of them.

    Raises:
        SequenceError: if a sequence has more than one frame, and fewer than the delay.
    """
    have = other.lengths[sequence]
    at = np.where(have == 1, 0, have + position if offset > 0 else position - layout.lengths[sequence])
    wrong = (at < 0) | (at >= have)
    if wrong.any():
        raise SequenceError(
            f"a delay of {abs(offset)} frames starts from a sequence of {int(have[wrong][0])} frames",
            fix=f"give initial states of one frame, or of {abs(offset)} frames or more",
        )
    return other.row(sequence, at)
