"""CNTK's primitive functions <-> operators: numbers, operand orders and attributes, as one table for both directions.

Must not know files or graphs: it turns one function's number, operands and attributes into an operator's name, operands
and attributes, and back. An operator without attributes needs no line here: its declaration's ``CntkRule`` says CNTK's
name, and ``NAMES`` the number. Source: CNTK 2.7's primitive types, and the attributes seen in files it saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cntk_lab.formats.cntk._irregular import (
    READERS,
    WRITERS,
    is_reduction,
    reduction_name,
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

__all__ = [
    "BY_NUMBER", "BY_OP", "NAMES", "NUMBERS", "SPECS", "Spec", "Stored", "Use",
    "is_reduction", "read_use", "reduction_name", "write_convolution", "write_reduction", "write_use",
]  # fmt: skip

NAMES = (
    "Negate", "Sigmoid", "Tanh", "ReLU", "Exp", "Log", "Sqrt", "Floor", "Abs", "Reciprocal", "Softmax", "Hardmax",
    "TransposeAxes", "Where", "Slice", "Dropout", "Reshape", "Pooling", "SumAll", "Plus", "Minus", "ElementTimes",
    "Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual", "PackedIndex", "GatherPacked",
    "ScatterPacked", "Times", "TransposeTimes", "Convolution", "SquaredError", "CrossEntropyWithSoftmax",
    "ClassificationError", "PastValue", "FutureValue", "ReduceElements", "BatchNormalization", "Clip", "Select",
    "Splice", "Combine", "RandomSample", "RandomSampleInclusionFrequency", "ROIPooling", "Logistic",
    "OptimizedRNNStack", "ReconcileDynamicAxis", "LogSoftmax", "LogPlus", "CosDistance", "Sin", "Cos", "Pass",
    "Block", "Unpooling", "LambdaRank", "NDCG", "EditDistanceError", "NoOp", "LabelsToGraph", "StopGradient", "ELU",
    "ForwardBackward", "CosDistanceWithNegativeSamples", "OneHotOp", "Pow", "ToSequenceOp", "ToSequenceLike",
    "UnpackSequenceOp", "Assign", "Gather", "StableSigmoid", "RandomDistribution", "Sinh", "Cosh", "UnpackBatchAxis",
    "ToBatchAxis", "Asin", "Acos", "Pad", "Crop", "Atanh", "Asinh", "TopK", "Squeeze", "ConstantOp",
    "LatticeSequenceWithSoftmax", "Cast", "EyeLikeOp", "CustomProxyOp", "StraightThrough", "Tan", "Atan",
    "ConvolutionSequenceShape",
)  # fmt: skip
"""CNTK's name of each primitive function, by its number in files."""
NUMBERS = {name: number for number, name in enumerate(NAMES)}


@dataclass(frozen=True, slots=True)
class Spec:
    """One operator's line in the table.

    Args:
        op: the operator's public name.
        number: the primitive's number.
        attributes: our attribute -> (key in files, codec, value if the key is missing).
        order: positions in the file of our operands; empty if they are the same.
        fixed: entries that files hold besides, always the same.
    """

    op: str
    number: int
    attributes: Mapping[str, tuple[str, Codec, Any]] = field(default_factory=dict)
    order: tuple[int, ...] = ()
    fixed: Mapping[str, Value] = field(default_factory=dict)


_NO_PADS: dict[str, Value] = {"lowerPad": NDShape((0,)), "upperPad": NDShape((0,))}
_SEED = {"seed": ("rngSeed", SIZE, None)}

SPECS: tuple[Spec, ...] = (
    Spec(
        "times",
        31,
        {"output_rank": ("outputRank", SIZE, 1), "infer_input_rank_to_map": ("inferInputRankToMap", INT, -1)},
        order=(1, 0),
    ),
    Spec("times_transpose", 32, order=(1, 0), fixed={"outputRank": SizeT(1)}),
    Spec("splice", 43, {"axis": ("axis", AXIS, -1)}),
    Spec("top_k", 87, {"k": ("numItems", SIZE, None), "axis": ("axis", AXIS, -1)}),
    Spec(
        "one_hot",
        68,
        {
            "num_classes": ("numClass", SIZE, None),
            "sparse_output": ("oneHotOutputSparse", BOOL, False),
            "axis": ("onehotAxis", NEW_AXIS, -1),
        },
    ),
    Spec("gather", 74, order=(1, 0)),
    Spec("dropout", 15, {"dropout_rate": ("dropoutRate", REAL, None), **_SEED}, fixed={"rngOffset": SizeT(0)}),
    *(
        Spec(
            name,
            number,
            {"num_samples": ("numSamples", SIZE, None), "allow_duplicates": ("allowDuplicates", BOOL, None), **_SEED},
            fixed={"rngOffset": SizeT(0)},
        )
        for name, number in (("random_sample", 45), ("random_sample_inclusion_frequency", 46))
    ),
    Spec(
        "pooling",
        17,
        {
            "pooling_type": ("poolingType", SIZE, None),
            "pooling_window_shape": ("poolingWindowShape", SHAPE, None),
            "strides": ("strides", SHAPE, (1,)),
            "auto_padding": ("autoPadding", FLAGS, [False]),
            "ceil_out_dim": ("ceilOutDim", BOOL, False),
            "include_pad": ("includePad", BOOL, False),
        },
        fixed=_NO_PADS,
    ),
    Spec(
        "unpooling",
        58,
        {
            "unpooling_type": ("poolingType", SIZE, None),
            "unpooling_window_shape": ("unpoolingWindowShape", SHAPE, None),
            "strides": ("strides", SHAPE, (1,)),
            "auto_padding": ("autoPadding", FLAGS, [False]),
        },
        fixed=_NO_PADS,
    ),
    Spec(
        "roipooling",
        47,
        {
            "pooling_type": ("poolingType", SIZE, None),
            "roi_output_shape": ("roiOutputShape", SHAPE, None),
            "spatial_scale": ("spatialScale", REAL, 0.0625),
        },
    ),
    Spec(
        "batch_normalization",
        40,
        {
            "spatial": ("spatial", BOOL, None),
            "normalization_time_constant": ("normalizationTimeConstant", REAL, 5000.0),
            "blend_time_constant": ("blendTimeConstant", REAL, 0.0),
            "epsilon": ("epsilon", REAL, 1e-5),
            "use_cudnn_engine": ("useCuDNNEngine", BOOL, False),
            "disable_regularization": ("disableRegularization", BOOL, False),
        },
    ),
    Spec("past_value", 37, {"time_step": ("offset", SIZE, 1)}),
    Spec("future_value", 38, {"time_step": ("offset", SIZE, 1)}),
    Spec(
        "optimized_rnnstack",
        49,
        {
            "hidden_size": ("hiddenSize", SIZE, None),
            "num_layers": ("numLayers", SIZE, None),
            "bidirectional": ("bidirectional", BOOL, False),
            "recurrent_op": ("recurrentOp", TEXT, "lstm"),
        },
    ),
    Spec(
        "edit_distance_error",
        61,
        {
            "subPen": ("SubstitutionPenalty", SINGLE, 1.0),
            "delPen": ("DeletionPenalty", SINGLE, 1.0),
            "insPen": ("InsertionPenalty", SINGLE, 1.0),
            "squashInputs": ("SquashInputs", BOOL, False),
            "tokensToIgnore": ("TokensToIgnore", SIZES, ()),
        },
    ),
    Spec(
        "forward_backward",
        66,
        {"blankTokenId": ("BlankTokenId", SIZE, None), "delayConstraint": ("DelayConstraint", INT, -1)},
    ),
    Spec("cast", 91, {"dtype": ("newDataType", DTYPE, None)}),
    Spec(
        "custom_proxy_op",
        93,
        {
            "custom_op": ("customOp", TEXT, None),
            "output_shape": ("outputShape", SHAPE, None),
            "output_data_type": ("newDataType", DTYPE, None),
        },
    ),
    Spec("eye_like", 92, {"sparse_output": ("OutputSparse", BOOL, True)}),
    Spec(
        "sequence_unpack",
        72,
        {
            "padding_value": ("sequenceUnpackPaddingValue", REAL, 0.0),
            "no_mask_output": ("sequenceUnpackSuppressMaskOutput", BOOL, False),
        },
    ),
    Spec("sigmoid", 75),
    Spec("alias", 62),
    Spec("stop_gradient", 64),
)
BY_NUMBER = {spec.number: spec for spec in SPECS} | {1: Spec("sigmoid", 1), 56: Spec("alias", 56)}
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
    values = {name: entry(attributes, key, codec, missing) for name, (key, codec, missing) in spec.attributes.items()}
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
        for name, (key, codec, _) in spec.attributes.items()
        if attributes.get(name) is not None
    }
    return Stored(spec.number, spec.order or tuple(range(count)), {**values, **spec.fixed})
