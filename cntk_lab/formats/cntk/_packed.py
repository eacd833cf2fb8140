"""Sequence operators that CNTK's files hold as several primitives on packed rows.

In files, frames are selected by a mask (which frames), Where (their positions, and their new axis), PackedIndex (rows
of the operand), and GatherPacked or ScatterPacked (the frames). Here each is one operator. Must not know graphs: it
reads records and answers with an operator, and the other way round. Source: files that CNTK 2.7 saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cntk_lab.axis import Axis
from cntk_lab.formats.cntk._irregular import fill_front
from cntk_lab.formats.cntk.codecs import listed
from cntk_lab.formats.cntk.description import (
    FunctionRecord,
    VariableRecord,
    function_of_output,
    output_uid,
    stored_axis,
)
from cntk_lab.formats.cntk.operators import NUMBERS, write_convolution
from cntk_lab.formats.cntk.values import Dictionary, SizeT, StoredAxis, Value


@dataclass(frozen=True, slots=True)
class Selection:
    """What GatherPacked or ScatterPacked does, as one operator: its name, uids of its operands, attributes.

    ``axes`` are the dynamic axes that the file names for the chosen frames.
    """

    op: str
    operands: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    axes: object = None


class Records:
    """Functions and leaves by uid, with the small questions that patterns ask."""

    def __init__(self, functions: Sequence[FunctionRecord], variables: Sequence[VariableRecord]) -> None:
        self.functions = {f.uid: f for f in functions}
        self.variables = {v.uid: v for v in variables}

    def maker(self, uid: str, name: str) -> FunctionRecord | None:
        """The function of that CNTK name that makes an output, or None."""
        owner = function_of_output(uid)
        record = self.functions.get(owner[0]) if owner else None
        return record if record is not None and record.op == NUMBERS[name] else None

    def is_constant(self, uid: str, number: float) -> bool:
        """Whether a leaf is a constant of this value."""
        variable = self.variables.get(uid)
        value = variable.value if variable is not None and variable.kind == "Constant" else None
        return value is not None and value.size == 1 and float(value.reshape(-1)[0]) == number


def selection(records: Records, record: FunctionRecord) -> Selection | None:
    """The operator that a GatherPacked or ScatterPacked stands for, or None if it is put together in another way."""
    index = records.maker(record.inputs[1], "PackedIndex")
    where = records.maker(index.inputs[1], "Where") if index is not None else None
    if where is None:
        return None
    operand, condition = record.inputs[0], where.inputs[0]
    if record.op == NUMBERS["ScatterPacked"]:
        return Selection("sequence_scatter", (operand, condition))
    window = _window(records, condition, operand)
    axes = where.attributes.get("newDynamicAxes")
    without_sequence = isinstance(axes, list) and len(axes) == 1
    if without_sequence and window == (0, 1):
        return Selection("sequence_first", (operand,))
    if without_sequence and window == (-1, 0):
        return Selection("sequence_last", (operand,))
    if window is not None:
        return Selection("sequence_slice", (operand,), {"begin_index": window[0], "end_index": window[1]}, axes)
    return Selection("sequence_gather", (operand, condition), axes=axes)


def sequential_convolution(records: Records, record: FunctionRecord) -> FunctionRecord | None:
    """The ConvolutionSequenceShape whose lengths a ToSequence takes, or None: both together are one convolution.

    Files unpack the sequences, convolve a static axis and pack again; the record has the kernel, the operand and the
    attributes that the user gave.
    """
    if record.op != NUMBERS["ToSequenceOp"] or len(record.inputs) < 2:
        return None
    stop = records.maker(record.inputs[1], "StopGradient")
    shape = None if stop is None else records.maker(stop.inputs[0], "ConvolutionSequenceShape")
    if shape is None:
        return None
    flags = shape.attributes.get("autoPadding")
    attributes = shape.attributes
    if isinstance(flags, list) and len(flags) > 1:
        attributes = {**attributes, "autoPadding": [*flags[:-1], False]}  # files never pad the channels, the last axis
    return replace(shape, name=record.name, attributes=attributes)


def is_inner_part(records: Records, record: FunctionRecord) -> bool:
    """Whether a function only serves an operator that is put together from several primitives."""
    if record.op in (NUMBERS["PackedIndex"], NUMBERS["ConvolutionSequenceShape"]):
        return True
    if record.op != NUMBERS["StopGradient"]:
        return False
    return records.maker(record.inputs[0], "ConvolutionSequenceShape") is not None


def _window(records: Records, mask: str, operand: str) -> tuple[int, int] | None:
    """Begin and end of the frames that a mask selects, if it is made of delays of a constant 0 that start with 1;
    0 and 0 if it selects all.
    """
    everywhere = records.maker(mask, "ReconcileDynamicAxis")
    if everywhere is not None and records.is_constant(everywhere.inputs[0], 1) and everywhere.inputs[1] == operand:
        return 0, 0
    both = records.maker(mask, "ElementTimes")
    if both is not None:
        begin, end = (_edge(records, uid, operand) for uid in both.inputs)
        if begin is None or end is None or begin[0] == end[0]:
            return None
        begin, end = (begin, end) if begin[0] == "begin" else (end, begin)
        return begin[1], end[1]
    edge = _edge(records, mask, operand)
    if edge is None:
        return None
    inside = {"begin": (edge[1], 0), "end": (0, edge[1])}
    return inside[edge[0]]


def _edge(records: Records, mask: str, operand: str) -> tuple[str, int] | None:
    """Where a mask begins or ends: frames counted from the front (0 and more) or from the end (negative)."""
    inverse = records.maker(mask, "Minus")
    if inverse is not None:
        inner = _edge(records, inverse.inputs[1], operand) if records.is_constant(inverse.inputs[0], 1) else None
        if inner is None:
            return None
        return ("begin" if inner[0] == "end" else "end"), inner[1]
    for name, side, sign in (("PastValue", "end", 1), ("FutureValue", "begin", -1)):
        delay = records.maker(mask, name)
        if delay is None:
            continue
        zero = records.maker(delay.inputs[0], "ReconcileDynamicAxis")
        offset = delay.attributes.get("offset")
        known = zero is not None and records.is_constant(zero.inputs[0], 0) and zero.inputs[1] == operand
        if known and records.is_constant(delay.inputs[1], 1) and isinstance(offset, int):
            return side, sign * int(offset)
    return None


class Emitter:
    """Collects the records of one operator that becomes several primitives.

    Args:
        new_uid: gives unused uids.
        dtype: element type of the operand, for constants.
    """

    def __init__(self, new_uid: Callable[[str], str], dtype: str) -> None:
        self.new_uid, self.dtype = new_uid, dtype
        self.functions: list[FunctionRecord] = []
        self.variables: list[VariableRecord] = []

    def put(
        self, name: str, inputs: Sequence[str], attributes: Dictionary | None = None, uid: str = "", user: str = ""
    ) -> str:
        """One primitive; gives the uid of its output."""
        uid = uid or self.new_uid(name)
        self.functions.append(FunctionRecord(uid, NUMBERS[name], tuple(inputs), attributes or {}, user))
        return output_uid(uid, 0)

    def constant(self, number: float) -> str:
        """A scalar constant; gives its uid."""
        uid = self.new_uid("Constant")
        self.variables.append(VariableRecord(uid, "Constant", (), self.dtype, value=np.array(number, self.dtype)))
        return uid

    def mask(self, operand: str, begin: int, end: int) -> str:
        """1 for the frames from ``begin`` to before ``end`` (0: to the last), else 0."""
        edges = []
        if begin != 0:
            edges.append(self._edge(operand, begin, inverse=begin > 0))
        if end != 0:
            edges.append(self._edge(operand, end, inverse=end < 0))
        if not edges:
            return self.put("ReconcileDynamicAxis", [self.constant(1), operand])
        return edges[0] if len(edges) == 1 else self.put("ElementTimes", edges)

    def _edge(self, operand: str, offset: int, *, inverse: bool) -> str:
        zero = self.put("ReconcileDynamicAxis", [self.constant(0), operand])
        delay = "PastValue" if offset > 0 else "FutureValue"
        edge = self.put(delay, [zero, self.constant(1)], {"offset": SizeT(abs(offset))})
        return self.put("Minus", [self.constant(1), edge]) if inverse else edge

    def where(
        self, condition: str, axes: Sequence[Axis], factor: int | None = None, additive: int | None = None
    ) -> str:
        """Positions of the frames that a mask selects, along the axes given (batch first)."""
        attributes: Dictionary = {"newDynamicAxes": _stored_axes(axes)}
        if factor is not None and additive is not None:
            attributes |= {
                "newSequenceAxisLengthScalingFactor": SizeT(factor),
                "newSequenceAxisLengthAdditiveFactor": additive,
            }
        return self.put("Where", [condition], attributes)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an operator stands: uids of its operands, axes of its result, attributes, uid, name, operands' shapes."""

    operands: Sequence[str]
    axes: Sequence[Axis]
    attributes: Mapping[str, Any]
    uid: str
    name: str = ""
    shapes: Sequence[tuple[int, ...]] = ()


Form = Callable[[Emitter, Place], None]
"""Writes one operator as several primitives, of which the last has the operator's uid."""


def _window_form(begin: int | None, end: int | None) -> Form:
    def form(e: Emitter, place: Place) -> None:
        first = int(place.attributes["begin_index"]) if begin is None else begin
        last = int(place.attributes["end_index"]) if end is None else end
        fixed = (first >= 0) == (last > 0) and (first < 0 or last > 0)
        operand = place.operands[0]
        where = e.where(e.mask(operand, first, last), place.axes, 0 if fixed else 1, last - first)
        e.put("GatherPacked", [operand, e.put("PackedIndex", [operand, where])], uid=place.uid, user=place.name)

    return form


def _gather_form(e: Emitter, place: Place) -> None:
    operand, condition = place.operands
    index = e.put("PackedIndex", [operand, e.where(condition, place.axes)])
    e.put("GatherPacked", [operand, index], uid=place.uid, user=place.name)


def _scatter_form(e: Emitter, place: Place) -> None:
    operand, condition = place.operands
    chosen = [place.axes[0], Axis(f"whereNodeDynamicAxis_conditionVar_{condition}")]
    index = e.put("PackedIndex", [condition, e.where(condition, chosen)])
    e.put("ScatterPacked", [operand, index, condition], uid=place.uid, user=place.name)


def _where_form(e: Emitter, place: Place) -> None:
    e.put("Where", place.operands, {"newDynamicAxes": _stored_axes(place.axes)}, place.uid, place.name)


def _to_sequence_form(e: Emitter, place: Place) -> None:
    prefix = str(place.attributes.get("sequence_axis_name_prefix", "toSequence_"))
    attributes: Dictionary = {"sequenceAxis": prefix, "newDynamicAxes": _stored_axes(place.axes)}
    e.put("ToSequenceOp", place.operands, attributes, place.uid, place.name)


def _sequential_convolution_form(e: Emitter, place: Place) -> None:
    """Unpacked frames become the first spatial axis, behind the channels; the new lengths come from the attributes."""
    kernel, operand = place.operands
    weights, rank = place.shapes[0], len(place.shapes[1]) + 1
    given = dict(place.attributes)
    whole = write_convolution("convolution", given, weights, rank).attributes | {"sequential": True}
    pads = fill_front(listed(given["auto_padding"]), rank, channel=True)
    steps = fill_front(listed(given["strides"]), rank, channel=False)
    inner = {**given, "auto_padding": [False, *pads[1:]], "strides": (weights[-rank], *steps[1:])}
    axes: Dictionary = {
        key: StoredAxis(i, f"staticAxisIdx={i}", ordered=True) for key, i in (("axis1", rank - 1), ("axis2", rank - 2))
    }
    unpacking: Dictionary = {"sequenceUnpackPaddingValue": 0.0, "sequenceUnpackSuppressMaskOutput": True}
    frames = e.put("TransposeAxes", [e.put("UnpackSequenceOp", [operand], unpacking)], axes)
    windows = e.put("Convolution", [kernel, frames], write_convolution("convolution", inner, weights, rank).attributes)
    lengths = e.put("StopGradient", [e.put("ConvolutionSequenceShape", [kernel, operand], whole)])
    attributes: Dictionary = {
        "sequenceAxis": "ConvOverSequenceAxisPrefix",
        "newDynamicAxes": _stored_axes(place.axes),
    }
    e.put("ToSequenceOp", [e.put("TransposeAxes", [windows], axes), lengths], attributes, place.uid, place.name)


def _edge_form(delay: str) -> Form:
    def form(e: Emitter, place: Place) -> None:
        zero = e.put("ReconcileDynamicAxis", [e.constant(0), place.operands[0]])
        e.put(delay, [zero, e.constant(1)], {"offset": SizeT(1)}, place.uid, place.name)

    return form


def _broadcast_form(e: Emitter, place: Place) -> None:
    e.put("ReconcileDynamicAxis", place.operands, uid=place.uid, user=place.name)


def _stored_axes(axes: Sequence[Axis]) -> list[Value]:
    return [stored_axis(a) for a in reversed(axes)]


FORMS: dict[str, Form] = {
    "sequence_first": _window_form(0, 1),
    "sequence_last": _window_form(-1, 0),
    "sequence_slice": _window_form(None, None),
    "sequence_gather": _gather_form,
    "sequence_scatter": _scatter_form,
    "sequence_where": _where_form,
    "sequence_is_first": _edge_form("PastValue"),
    "sequence_is_last": _edge_form("FutureValue"),
    "sequence_broadcast_as": _broadcast_form,
    "to_sequence": _to_sequence_form,
    "sequential_convolution": _sequential_convolution_form,
}
"""How operators on sequences are written, by their name."""


@dataclass(frozen=True, slots=True)
class BlockOf:
    """The block that CNTK puts around an operator's primitives: its name, and the primitives that can be its root."""

    name: str
    primitives: tuple[str, ...]


_SLICE = BlockOf("Sequence::Slice", ("GatherPacked",))
BLOCKS: dict[str, BlockOf] = {
    "sequence_first": _SLICE,
    "sequence_last": _SLICE,
    "sequence_slice": _SLICE,
    "sequence_gather": BlockOf("Sequence::Gather", ("GatherPacked",)),
    "sequence_scatter": BlockOf("Sequence::Scatter", ("ScatterPacked",)),
    "sequence_is_first": BlockOf("Sequence::IsFirst", ("PastValue",)),
    "sequence_is_last": BlockOf("Sequence::IsLast", ("FutureValue",)),
    "sequence_broadcast_as": BlockOf("Sequence::BroadcastAs", ("ReconcileDynamicAxis",)),
}
"""Blocks of operators on sequences, by the operator's name."""
