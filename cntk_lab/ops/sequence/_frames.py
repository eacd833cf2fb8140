"""Which frames of which sequences: the index arithmetic of the sequence operators, on packed rows.

Works on layouts (see ``tensor/layout``) and index vectors only, so it costs as much as there are real frames. Must not
know operators. Source: CNTK 2.7's Where, PackedIndex and GatherPacked, observed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab.axis import Axis, format_axes
from cntk_lab.errors import AxisError, DataError, SequenceError
from cntk_lab.ops._numbers import finite
from cntk_lab.tensor.layout import Layout

Index = NDArray[np.int64]
_MOST = 2**31 - 1


def sequence_axis(axes: tuple[Axis, ...] | None, what: str) -> tuple[Axis, Axis]:
    """Batch and sequence axis of an operand that must have both.

    Raises:
        AxisError: if it has no sequence axis.
    """
    axes = axes or ()
    if len(axes) != 2:
        raise AxisError(
            f"{what} needs an operand with a batch and a sequence axis, this one has {format_axes(axes)}",
            fix="feed it from sequence.input_variable, or give it the axis of a sequence with sequence.broadcast_as",
        )
    return axes[0], axes[1]


def derived_axis(base: Axis, factor: int, additive: int) -> Axis | None:
    """The axis of sequences of ``factor * length + additive`` frames; None for single frames, which need none.

    Example:
        >>> derived_axis(Axis("q"), 1, -1).name, derived_axis(Axis("q"), 0, 2).name, derived_axis(Axis("q"), 0, 1)
        ('q_times_1_minus_1', 'q_fixedSliceOf_2', None)
    """
    if factor == 0:
        return None if additive == 1 else Axis(f"{base.name}_fixedSliceOf_{additive}")
    if (factor, additive) == (1, 0):
        return base
    return Axis(f"{base.name}_times_{factor}_{'minus' if additive < 0 else 'plus'}_{abs(additive)}")


def window(layout: Layout, begin: int, end: int) -> tuple[Index, Index]:
    """First frame and number of frames of each sequence's part; negative numbers count from the end, end 0 is the end.

    Raises:
        SequenceError: if the part of a sequence is empty.
    """
    n = layout.lengths
    first = np.minimum(begin, n) if begin >= 0 else np.maximum(n + begin, 0)
    last = np.minimum(end, n) if end > 0 else np.maximum(n + end, 0)
    counts = last - first
    if (counts < 1).any():
        which = int(np.flatnonzero(counts < 1)[0])
        raise SequenceError(
            f"the frames {begin}:{end} of sequence {which} of {int(n[which])} frames are none: sequences must be "
            "at least one frame long",
            fix="drop shorter sequences before they reach the network",
        )
    return first, counts


def rows_of(layout: Layout, first: Index, counts: Index) -> tuple[Layout, Index]:
    """The layout of parts of sequences, and for each of its rows the row of the whole sequences."""
    new = Layout.of(counts, layout.begins, layout.slots)
    return new, layout.row(new.sequence, first[new.sequence] + new.position)


def chosen(condition: Any, layout: Layout) -> tuple[Layout, Index]:
    """Frames chosen by numbers: each frame counts as often as the running sum, rounded up, reaches a new height there.

    Args:
        condition: one number for each row.
        layout: the layout of those rows.

    Returns:
        The layout of the chosen frames, and for each of its rows the row that is chosen.

    Raises:
        SequenceError: if a sequence has no chosen frame.
        DataError: if a number is not finite, or more frames are chosen than can be counted.
    """
    flat = layout.unpack_rows(finite(condition, "a condition of frames is").reshape(-1).astype(np.float64))
    if float(np.abs(flat).sum()) > _MOST:
        raise DataError(
            f"a condition counts {float(np.abs(flat).sum()):.15g} frames", fix=f"choose at most {_MOST} frames in all"
        )
    total = np.cumsum(flat)
    before = np.concatenate([[0.0], total])[layout.starts]
    running = np.ceil(np.round(total - np.repeat(before, layout.lengths), 9)).astype(np.int64)
    if float(flat.min(initial=0.0)) < 0:  # what was counted stays counted when the sum falls
        ends = np.append(layout.starts[1:], len(running))
        for first, end in zip(layout.starts, ends, strict=True):
            running[first:end] = np.maximum.accumulate(np.maximum(running[first:end], 0))
    previous = np.concatenate([[0], running[:-1]])
    previous[layout.starts] = 0
    times = np.maximum(running - previous, 0)
    counts = np.add.reduceat(times, layout.starts) if len(times) else times
    if (counts < 1).any():
        raise SequenceError(
            f"no frame of sequence {int(np.flatnonzero(counts < 1)[0])} is chosen: sequences must be at least one "
            "frame long",
            fix="make the condition nonzero for at least one frame of every sequence",
        )
    new = Layout.of(counts, layout.begins, layout.slots)
    frames = np.repeat(np.arange(layout.rows), times)
    return new, new.pack_rows(layout.unpack[frames])


def single(new: Layout, index: Index, what: str) -> Index:
    """Chosen rows where each sequence has one, in the user's order.

    Raises:
        SequenceError: if a sequence has several.
    """
    if new.longest > 1:
        raise SequenceError(
            f"{what}: {new.longest} frames of one sequence are chosen, its type says one",
            fix="choose one frame of every sequence",
        )
    return index


def sum_frames(xp: Any, rows: Any, layout: Layout) -> Any:
    """Frames summed for each sequence, in order of time; sequences in the user's order."""
    result = xp.zeros((layout.count, *rows.shape[1:]), rows.dtype)
    offsets = layout.offsets.tolist()
    for t in range(layout.longest):
        result[layout.order[: offsets[t + 1] - offsets[t]]] += rows[offsets[t] : offsets[t + 1]]
    return result


def max_frames(xp: Any, rows: Any, layout: Layout) -> Any:
    """The largest element over time for each sequence, in the user's order."""
    result = rows[: layout.count].copy()
    offsets = layout.offsets.tolist()
    for t in range(1, layout.longest):
        live = offsets[t + 1] - offsets[t]
        result[:live] = xp.maximum(result[:live], rows[offsets[t] : offsets[t + 1]])
    return result[layout.rank]


def add_rows(xp: Any, target: Any, index: Any, rows: Any) -> None:
    """``target[index] += rows`` where rows of equal index are added up."""
    if len(index) == len(np.unique(index)):
        target[index] += rows
    else:
        xp.add.at(target, index, rows)
