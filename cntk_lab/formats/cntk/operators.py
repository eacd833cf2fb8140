"""CNTK's primitive functions <-> operators: numbers, operand orders and attributes, as one table for both directions.

Must not know files or graphs: it turns one function's number, operands and attributes into an operator's name, operands
and attributes, and back. Names, numbers and keys are what operators declare (``CntkRule``); here stands how attributes
lie in files. An operator without attributes needs no line. Source: CNTK 2.7's primitive types, and the attributes seen
in files it saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cntk_lab.ops  # noqa: F401 - declares the operators
from cntk_lab.formats.cntk._irregular import (
    READERS,
    WRITERS,
    is_reduction,
    reduction_name,
    reduction_name_of,
    write_convolution,
    write_reduction,
)
from cntk_lab.formats.cntk.codecs import (
    AXIS,
    BOOL,
    DTYPE,
    FLAGS,
    INT,
    NEW_AXIS,
    REAL,
    SHAPE,
    SINGLE,
    SIZE,
    SIZES,
    TEXT,
    Codec,
    Stored,
    Use,
    entry,
    refuse_explicit,
)
from cntk_lab.formats.cntk.values import Dictionary, NDShape, SizeT, Value
from cntk_lab.graph import registry

__all__ = [
    "BY_NUMBER", "BY_OP", "NAMES", "NUMBERS", "SPECS", "Spec", "Stored", "Use",
    "is_reduction", "read_use", "reduction_name", "reduction_name_of", "write_convolution",
    "write_reduction", "write_use",
]  # fmt: skip

_PARTS = {
    1: "Sigmoid", 18: "SumAll", 28: "PackedIndex", 29: "GatherPacked", 30: "ScatterPacked", 34: "SquaredError",
    44: "Combine", 51: "LogSoftmax", 56: "Pass", 57: "Block", 65: "ELU", 90: "LatticeSequenceWithSoftmax",
    97: "ConvolutionSequenceShape",
}  # fmt: skip
"""Primitive functions that no operator of ours is: older forms, parts of what is one operator here, containers."""
_RULES = {op.name.lstrip("_"): op.cntk for op in registry.all_ops()}
"""What operators declare about files, by their public names."""


def _names() -> tuple[str, ...]:
    declared = {r.id: r.op for r in _RULES.values() if r.id is not None and r.op is not None}
    return tuple({**declared, **_PARTS}[number] for number in range(max((*declared, *_PARTS)) + 1))


NAMES = _names()
"""CNTK's name of each primitive function, by its number in files."""
NUMBERS = {name: number for number, name in enumerate(NAMES)}


@dataclass(frozen=True, slots=True)
class Spec:
    """One operator's line in the table; number and keys are those of its declaration.

    Args:
        op: the operator's public name.
        codecs: our attribute -> (codec, value if the key is missing).
        order: positions in the file of our operands; empty if they are the same.
        fixed: entries that files hold besides, always the same.
    """

    op: str
    codecs: Mapping[str, tuple[Codec, Any]] = field(default_factory=dict)
    order: tuple[int, ...] = ()
    fixed: Mapping[str, Value] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """The primitive's number."""
        number = _RULES[self.op].id
        assert number is not None, self.op
        return number

    @property
    def attributes(self) -> Iterator[tuple[str, str, Codec, Any]]:
        """For each attribute our name, the key in files, the codec, and the value if the key is missing."""
        keys = _RULES[self.op].attributes
        return ((name, keys[name], codec, missing) for name, (codec, missing) in self.codecs.items())


_NO_PADS: dict[str, Value] = {"lowerPad": NDShape((0,)), "upperPad": NDShape((0,))}
_SEED = {"seed": (SIZE, None)}

SPECS: tuple[Spec, ...] = (
    Spec(
        "times",
        {"output_rank": (SIZE, 1), "infer_input_rank_to_map": (INT, -1)},
        order=(1, 0),
    ),
    Spec("times_transpose", order=(1, 0), fixed={"outputRank": SizeT(1)}),
    Spec("splice", {"axis": (AXIS, -1)}),
    Spec("top_k", {"k": (SIZE, None), "axis": (AXIS, -1)}),
    Spec(
        "one_hot",
        {
            "num_classes": (SIZE, None),
            "sparse_output": (BOOL, False),
            "axis": (NEW_AXIS, -1),
        },
    ),
    Spec("gather", order=(1, 0)),
    Spec("dropout", {"dropout_rate": (REAL, None), **_SEED}, fixed={"rngOffset": SizeT(0)}),
    *(
        Spec(
            name,
            {"num_samples": (SIZE, None), "allow_duplicates": (BOOL, None), **_SEED},
            fixed={"rngOffset": SizeT(0)},
        )
        for name in ("random_sample", "random_sample_inclusion_frequency")
    ),
    Spec(
        "pooling",
        {
            "pooling_type": (SIZE, None),
            "pooling_window_shape": (SHAPE, None),
            "strides": (SHAPE, (1,)),
            "auto_padding": (FLAGS, [False]),
            "ceil_out_dim": (BOOL, False),
            "include_pad": (BOOL, False),
        },
        fixed=_NO_PADS,
    ),
    Spec(
        "unpooling",
        {
            "unpooling_type": (SIZE, None),
            "unpooling_window_shape": (SHAPE, None),
            "strides": (SHAPE, (1,)),
            "auto_padding": (FLAGS, [False]),
        },
        fixed=_NO_PADS,
    ),
    Spec(
        "roipooling",
        {
            "pooling_type": (SIZE, None),
            "roi_output_shape": (SHAPE, None),
            "spatial_scale": (REAL, 0.0625),
        },
    ),
    Spec(
        "batch_normalization",
        {
            "spatial": (BOOL, None),
            "normalization_time_constant": (REAL, 5000.0),
            "blend_time_constant": (REAL, 0.0),
            "epsilon": (REAL, 1e-5),
            "use_cudnn_engine": (BOOL, False),
            "disable_regularization": (BOOL, False),
        },
    ),
    Spec("past_value", {"time_step": (SIZE, 1)}),
    Spec("future_value", {"time_step": (SIZE, 1)}),
    Spec(
        "optimized_rnnstack",
        {
            "hidden_size": (SIZE, None),
            "num_layers": (SIZE, None),
            "bidirectional": (BOOL, False),
            "recurrent_op": (TEXT, "lstm"),
        },
    ),
    Spec(
        "edit_distance_error",
        {
            "subPen": (SINGLE, 1.0),
            "delPen": (SINGLE, 1.0),
            "insPen": (SINGLE, 1.0),
            "squashInputs": (BOOL, False),
            "tokensToIgnore": (SIZES, ()),
        },
    ),
    Spec(
        "forward_backward",
        {"blankTokenId": (SIZE, None), "delayConstraint": (INT, -1)},
    ),
    Spec("cast", {"dtype": (DTYPE, None)}),
    Spec(
        "custom_proxy_op",
        {
            "custom_op": (TEXT, None),
            "output_shape": (SHAPE, None),
            "output_data_type": (DTYPE, None),
        },
    ),
    Spec("eye_like", {"sparse_output": (BOOL, True)}),
    Spec(
        "sequence_unpack",
        {
            "padding_value": (REAL, 0.0),
            "no_mask_output": (BOOL, False),
        },
    ),
    Spec("sigmoid"),
    Spec("alias"),
    Spec("stop_gradient"),
)
BY_NUMBER = {spec.number: spec for spec in SPECS} | {1: Spec("sigmoid"), 56: Spec("alias")}
BY_OP = {spec.op: spec for spec in SPECS}


def read_use(number: int, attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use | None:
    """The operator that a primitive function stands for, or None if the table has no line for it.

    Args:
        number: the primitive's number.
        attributes: as in the file.
        count: number of operands.
        ranks: their ranks, -1 where unknown.

    Raises:
        FormatError: if the attributes are not those of the primitive.
    """
    if number in READERS:
        return READERS[number](attributes, count, ranks)
    spec = BY_NUMBER.get(number)
    if spec is None:
        return None
    values = {name: entry(attributes, key, codec, missing) for name, key, codec, missing in spec.attributes}
    for pad in ("lowerPad", "upperPad"):
        refuse_explicit(attributes, pad)
    return Use(spec.op, spec.order or tuple(range(count)), values)


def write_use(op: str, attributes: Mapping[str, Any], count: int, ranks: Sequence[int]) -> Stored | None:
    """How files hold an operator, or None if the table has no line for it."""
    if op in WRITERS:
        return WRITERS[op](attributes, count, ranks)
    spec = BY_OP.get(op)
    if spec is None:
        return None
    rank = ranks[0] if ranks else 0
    values: Dictionary = {
        key: codec.write(attributes[name], rank)
        for name, key, codec, _ in spec.attributes
        if attributes.get(name) is not None
    }
    return Stored(spec.number, spec.order or tuple(range(count)), {**values, **spec.fixed})
