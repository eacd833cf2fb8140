"""How operators of sequences are said in ONNX, where a minibatch of sequences is a padded tensor with lengths.

The convention: a value with a sequence axis is (batch x sequence x static axes); what stands behind the end of a
sequence is anything, and nothing reads it. Where ends matter the model has one more input of whole numbers (batch),
called after the axis: ``sequence_lengths``. Must not know graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np

from cntk_lab.axis import Axis
from cntk_lab.errors import NotAvailableError
from cntk_lab.formats.onnx._sheet import Held, Sheet
from cntk_lab.formats.onnx._static_rules import Use
from cntk_lab.tensor.shape import FREE, size

_FARTHEST: Final = int(np.iinfo(np.int64).max)


class Lengths(Protocol):
    """What is known of sequence axes."""

    def lengths(self, axis: Axis) -> str:
        """Frames of each sequence: whole numbers (batch)."""

    def make(self, axis: Axis, lengths: str) -> None:
        """A new sequence axis: frames of each of its sequences."""

    def like(self, axis: Axis) -> Held | None:
        """A value that has the axis."""


Rule = Callable[[Sheet, Use, Lengths, Sequence["Axis | None"]], "str | Sequence[str]"]
"""Writes a use, given the sequence axes: that of each operand."""


def out_axis(use: Use) -> Axis:
    """The sequence axis of what comes out."""
    return next(a for a in use.outputs[0].axes or () if a.is_sequence_axis)


def mask(sheet: Sheet, lengths: str, frames: str) -> str:
    """Truth values (batch x sequence): whether a frame is one.

    Args:
        sheet: where to write.
        lengths: frames of each sequence.
        frames: how many there are with padding, a single whole number.
    """
    return sheet.op("Less", places(sheet, frames), sheet.unsqueezed(lengths, [1]))


def places(sheet: Sheet, frames: str) -> str:
    """0, 1, 2 ... for frames: (sequence)."""
    return sheet.op("Range", sheet.number(0, "int64"), frames, sheet.number(1, "int64"))


def frames_of(sheet: Sheet, x: Held) -> str:
    """How many frames a value has with padding, as a single whole number."""
    return sheet.squeezed(sheet.dim(x.name, 1), [0])


def _only(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None], otherwise: float) -> str:
    """The operand with a number behind the ends of sequences."""
    x, axis = use.operands[0], axes[0]
    assert axis is not None
    real = mask(sheet, ends.lengths(axis), frames_of(sheet, x))
    real = sheet.unsqueezed(real, list(range(2, 2 + x.rank)))
    return sheet.op("Where", real, x.name, sheet.number(otherwise, x.dtype))


def _reduce(kind: str, otherwise: float) -> Rule:
    def rule(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
        return sheet.reduced(kind, _only(sheet, use, ends, axes, otherwise), [1], keep=False)

    return rule


def _softmax(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    return sheet.op("Softmax", _only(sheet, use, ends, axes, -np.inf), axis=1)


def _first(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    del ends, axes
    return sheet.op("Gather", use.operands[0].name, sheet.number(0, "int64"), axis=1)


def _last(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    assert axes[0] is not None
    at = sheet.op("Sub", ends.lengths(axes[0]), sheet.number(1, "int64"))
    return sheet.op("GatherND", use.operands[0].name, sheet.unsqueezed(at, [1]), batch_dims=1)


def _is(sheet: Sheet, use: Use, wanted: str) -> str:
    """1 in frames at a place, (batch x sequence)."""
    x = use.operands[0]
    hits = sheet.op("Equal", places(sheet, frames_of(sheet, x)), wanted)
    return sheet.cast(sheet.op("Expand", hits, sheet.op("Shape", x.name, start=0, end=2)), use.dtype)


def _is_first(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    del ends, axes
    return _is(sheet, use, sheet.number(0, "int64"))


def _is_last(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    assert axes[0] is not None
    last = sheet.op("Sub", ends.lengths(axes[0]), sheet.number(1, "int64"))
    return _is(sheet, use, sheet.unsqueezed(last, [1]))


def _broadcast(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    """A value for each frame of another operand."""
    del ends, axes
    x, like = use.operands[:2]
    if x.lead == like.lead == use.lead:
        return sheet.op("Identity", x.name)
    rows = sheet.op("Shape", like.name, start=0, end=like.lead)
    return sheet.op("Expand", sheet.aligned(x, like.lead, x.rank), sheet.shape(rows, *sheet.static(x)))


def _unpack(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> Sequence[str]:
    values = _only(sheet, use, ends, axes, float(use.facts["padding_value"]))
    if len(use.outputs) == 1:
        return [values]
    assert axes[0] is not None
    real = mask(sheet, ends.lengths(axes[0]), frames_of(sheet, use.operands[0]))
    return [values, sheet.cast(real, use.outputs[1].dtype or "float32")]


def _to_sequence(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    del axes
    x, *given = use.operands
    if given:
        lengths = sheet.cast(given[0].name, "int64")
        lengths = sheet.reshaped(lengths, [-1]) if given[0].rank else lengths
    else:
        lengths = sheet.op("Expand", sheet.dim(x.name, 1), sheet.dim(x.name, 0))
    ends.make(out_axis(use), lengths)
    return sheet.op("Identity", x.name)


def _to_sequence_like(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    """The frames there are of an operand that may be padded to more of them than the other one."""
    del ends, axes
    x, like = use.operands
    return sheet.op("Slice", x.name, sheet.ints(0), sheet.dim(like.name, 1), sheet.ints(1))


def _taken(sheet: Sheet, x: Held, at: str) -> str:
    """The frames at places (batch x new frames) of each sequence; places are kept within the padded tensor."""
    last = sheet.op("Sub", frames_of(sheet, x), sheet.number(1, "int64"))
    within = sheet.op("Max", sheet.op("Min", at, last), sheet.number(0, "int64"))
    return sheet.op("GatherND", x.name, sheet.unsqueezed(within, [2]), batch_dims=1)


def _longest(sheet: Sheet, lengths: str) -> str:
    return sheet.squeezed(sheet.reduced("Max", lengths, [0]), [0])


def _slice(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    x = use.operands[0]
    assert axes[0] is not None
    lengths = ends.lengths(axes[0])
    begin, end = int(use.facts["begin_index"]), int(use.facts["end_index"])
    first, last = (
        sheet.op("Add", lengths, sheet.number(v, "int64")) if from_end else
        sheet.op("Expand", sheet.number(v, "int64"), sheet.op("Shape", lengths))
        for v, from_end in ((begin, begin < 0), (end, end <= 0))
    )  # fmt: skip
    if use.lead < 2:  # a single frame
        return sheet.op("GatherND", x.name, sheet.unsqueezed(first, [1]), batch_dims=1)
    made = sheet.op("Sub", last, first)
    ends.make(out_axis(use), made)
    at = sheet.op("Add", sheet.unsqueezed(first, [1]), places(sheet, _longest(sheet, made)))
    return _taken(sheet, x, at)


def _heights(sheet: Sheet, condition: Held, lengths: str) -> str:
    """How many frames are taken until each frame (batch x sequence): the heights of the running sum, rounded up."""
    flat = condition.name if not condition.rank else sheet.reshaped(condition.name, [0, 0])
    frames = frames_of(sheet, condition)
    zero = sheet.number(0, condition.dtype)
    sums = sheet.op("CumSum", sheet.op("Where", mask(sheet, lengths, frames), flat, zero), sheet.number(1, "int64"))
    at = places(sheet, frames)
    so_far = sheet.op("LessOrEqual", at, sheet.unsqueezed(at, [1]))
    seen = sheet.op("Where", so_far, sheet.unsqueezed(sheet.op("Ceil", sums), [1]), zero)
    return sheet.cast(sheet.reduced("Max", seen, [2], keep=False), "int64")


def _where_places(sheet: Sheet, condition: Held, lengths: str) -> tuple[str, str]:
    """The places of the frames taken (batch x new frames) in their order, and how many each sequence has.

    A new frame comes from the place until which fewer frames were taken than stand before it.
    """
    until = _heights(sheet, condition, lengths)
    made = sheet.reduced("Max", until, [1], keep=False)
    new = sheet.unsqueezed(places(sheet, _longest(sheet, made)), [1])
    before = sheet.op("LessOrEqual", sheet.unsqueezed(until, [1]), new)  # (batch x new frames x sequence)
    return sheet.reduced("Sum", sheet.cast(before, "int64"), [2], keep=False), made


def _where(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    assert axes[0] is not None
    at, made = _where_places(sheet, use.operands[0], ends.lengths(axes[0]))
    ends.make(out_axis(use), made)
    name = sheet.cast(at, use.dtype)
    return sheet.unsqueezed(name, list(range(2, 2 + len(use.dims))))


def _gather(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    x, condition = use.operands
    assert axes[1] is not None
    if use.facts.get("new_sequence_axis_typeinfo"):
        raise NotAvailableError("a gather whose new sequences are longer or shorter by a rule")
    at, made = _where_places(sheet, condition, ends.lengths(axes[1]))
    ends.make(out_axis(use), made)
    return _taken(sheet, x, at)


def _scatter(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    x, condition = use.operands
    assert axes[1] is not None
    if use.facts.get("new_sequence_axis_typeinfo"):
        raise NotAvailableError("a scatter whose new sequences are longer or shorter by a rule")
    if FREE in x.dims:
        raise NotAvailableError("a scatter of values with free dimensions")
    until = _heights(sheet, condition, ends.lengths(axes[1]))
    earlier = sheet.op("Pad", until, sheet.ints(0, 1, 0, -1))
    at = places(sheet, frames_of(sheet, x))
    begun = sheet.op("LessOrEqual", sheet.unsqueezed(earlier, [2]), at)
    belongs = sheet.op("And", begun, sheet.op("Less", at, sheet.unsqueezed(until, [2])))
    # (batch x frames x frames scattered) times (batch x frames scattered x elements): what meets in a frame adds up
    taken = sheet.op("Less", at, sheet.reduced("Max", until, [1]))
    flat = sheet.reshaped(x.name, [0, 0, size(x.dims)])
    clean = sheet.op("Where", sheet.unsqueezed(taken, [2]), flat, sheet.number(0, x.dtype))
    found = sheet.op("MatMul", sheet.cast(belongs, x.dtype), clean)
    return found if x.rank == 1 else sheet.reshaped(found, [0, 0, *x.dims])


def expanded(sheet: Sheet, initial: Held, dims: Sequence[int], *rows: str) -> str:
    """An initial state for every sequence (and for frames, if ``rows`` says how many): (batch x ... x static axes)."""
    if initial.lead > 1:
        raise NotAvailableError("a delay whose initial state is a sequence")
    name = sheet.aligned(initial, len(rows), len(dims))
    whole = sheet.op("Concat", *rows, sheet.ints(*dims), axis=0) if dims or len(rows) > 1 else rows[0]
    return sheet.op("Expand", name, whole)


def _delay(sheet: Sheet, use: Use, ends: Lengths, axes: Sequence[Axis | None]) -> str:
    """Frames of earlier or later, outside of recurrences."""
    x, initial = use.operands
    offset = int(use.facts["offset"])
    batch, frames = sheet.dim(x.name, 0), sheet.dim(x.name, 1)
    name = x.name
    if x.dims != use.dims:
        rows = sheet.op("Shape", x.name, start=0, end=2)
        name = sheet.op(
            "Expand", sheet.aligned(x, 2, len(use.dims)), sheet.op("Concat", rows, sheet.ints(*use.dims), axis=0)
        )
    more = expanded(sheet, initial, use.dims, batch, sheet.ints(abs(offset)))
    if offset > 0:
        whole = sheet.op("Concat", more, name, axis=1)
        return sheet.op("Slice", whole, sheet.ints(0), frames, sheet.ints(1))
    whole = sheet.op("Concat", name, more, axis=1)
    later = sheet.op("Slice", whole, sheet.ints(-offset), sheet.ints(_FARTHEST), sheet.ints(1))
    assert axes[0] is not None
    lengths = sheet.op("Sub", ends.lengths(axes[0]), sheet.number(-offset, "int64"))
    real = mask(sheet, lengths, frames_of(sheet, x))
    real = sheet.unsqueezed(real, list(range(2, 2 + len(use.dims))))
    start = sheet.op("Slice", more, sheet.ints(0), sheet.ints(1), sheet.ints(1))
    return sheet.op("Where", real, later, start)


RULES: Final[dict[str, Any]] = {
    "sequence_reduce_sum": _reduce("Sum", 0.0), "sequence_reduce_max": _reduce("Max", -np.inf),
    "sequence_softmax": _softmax, "sequence_first": _first, "sequence_last": _last, "sequence_is_first": _is_first,
    "sequence_is_last": _is_last, "sequence_broadcast_as": _broadcast, "reconcile_dynamic_axes": _broadcast,
    "sequence_unpack": _unpack, "to_sequence": _to_sequence, "to_sequence_like": _to_sequence_like,
    "_sequence_slice": _slice, "sequence_where": _where, "sequence_gather": _gather, "sequence_scatter": _scatter,
    "_past_value": _delay, "_future_value": _delay,
}  # fmt: skip
"""Operator -> what writes it in ONNX."""

FRAME_BY_FRAME: Final = frozenset({"sequence_broadcast_as", "reconcile_dynamic_axes"})
"""Those that may stand inside of a recurrence, where a frame is all there is."""
