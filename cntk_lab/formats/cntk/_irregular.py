"""Primitive functions of CNTK that stand for several operators, or whose attributes depend on each other.

Must not know files or graphs. The rest is one table in ``operators``. Source: attributes seen in files that CNTK
2.7 saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk.codecs import (
    AXIS,
    BOOL,
    DTYPE,
    FLAGS,
    INT,
    REAL,
    REALS,
    SHAPE,
    SIZE,
    TEXT,
    Stored,
    Use,
    axis_from_file,
    axis_to_file,
    entry,
    listed,
    refuse_explicit,
    user_axis,
    vector,
)
from cntk_lab.formats.cntk.description import shape_to_file
from cntk_lab.formats.cntk.values import Dictionary, NDShape, SizeT, StoredAxis, Value

Reader = Callable[[Dictionary, int, Sequence[int]], Use]
Writer = Callable[[Mapping[str, Any], int, Sequence[int]], Stored | None]
READERS: dict[int, Reader] = {}
WRITERS: dict[str, Writer] = {}


def reading(number: int) -> Callable[[Reader], Reader]:
    """A decorator: how a primitive that needs more than the table is read."""

    def decorate(function: Reader) -> Reader:
        READERS[number] = function
        return function

    return decorate


def writing(*ops: str) -> Callable[[Writer], Writer]:
    """A decorator: how operators that need more than the table are written."""

    def decorate(function: Writer) -> Writer:
        for op in ops:
            WRITERS[op] = function
        return function

    return decorate


_CONVOLUTION = {
    "strides": ("strides", SHAPE, (1,)),
    "sharing": ("sharing", FLAGS, [True]),
    "auto_padding": ("autoPadding", FLAGS, [True]),
    "dilation": ("dilation", SHAPE, (1,)),
    "max_temp_mem_size_in_samples": ("maxTempMemSizeInSamples", SIZE, 0),
}


@reading(12)
def _read_transpose(attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use:  # noqa: ARG001
    if "axisVec" in attributes:
        axes = [axis_from_file(a) for a in vector(attributes, "axisVec")]
        perm = tuple(a + len(axes) if isinstance(a, int) and a < 0 else a for a in reversed(axes))
        return Use("transpose", (0,), {"perm": perm})
    return Use("swapaxes", (0,), {name: entry(attributes, name, AXIS) for name in ("axis1", "axis2")})


@writing("transpose")
def _write_transpose(attributes: Mapping[str, Any], count: int, ranks: Sequence[int]) -> Stored:  # noqa: ARG001
    perm = attributes["perm"]
    return Stored(12, (0,), {"axisVec": [axis_to_file(a, len(perm)) for a in reversed(perm)]})


@writing("swapaxes")
def _write_swapaxes(attributes: Mapping[str, Any], count: int, ranks: Sequence[int]) -> Stored:  # noqa: ARG001
    return Stored(12, (0,), {name: axis_to_file(attributes[name], ranks[0]) for name in ("axis1", "axis2")})


@reading(14)
def _read_slice(attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use:  # noqa: ARG001
    if "axisVec" not in attributes:
        axes: list[Any] = [entry(attributes, "axis", AXIS)]
        begin, end = [entry(attributes, "beginIndex", INT)], [entry(attributes, "endIndex", INT)]
        strides = [entry(attributes, "sliceStrides", INT, 1)]
    else:
        axes = [axis_from_file(a) for a in vector(attributes, "axisVec")]
        begin, end = ([int(i) for i in vector(attributes, k)] for k in ("beginIndexVec", "endIndexVec"))
        strides = [int(i) for i in vector(attributes, "sliceStridesVec")] if "sliceStridesVec" in attributes else [1]
        strides = strides if len(strides) == len(axes) else [1] * len(axes)
    return Use("slice", (0,), {"axis": axes, "begin_index": begin, "end_index": end, "strides": strides})


@writing("slice")
def _write_slice(attributes: Mapping[str, Any], count: int, ranks: Sequence[int]) -> Stored:  # noqa: ARG001
    axes = [axis_to_file(a, ranks[0]) for a in listed(attributes["axis"])]
    begin, end = ([int(i) for i in listed(attributes[k])] for k in ("begin_index", "end_index"))
    given = attributes.get("strides")
    strides = [int(i) for i in listed(given)] if given is not None else [1] * len(axes)
    if len(axes) == 1:
        single: Dictionary = {"axis": axes[0], "beginIndex": begin[0], "endIndex": end[0], "sliceStrides": strides[0]}
        return Stored(14, (0,), single)
    values: Dictionary = {"axisVec": [*axes], "beginIndexVec": [*begin], "endIndexVec": [*end]}
    values["sliceStridesVec"] = [*strides]
    return Stored(14, (0,), values)


@reading(16)
def _read_reshape(attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use:  # noqa: ARG001
    values: dict[str, Any] = {"shape": entry(attributes, "newShape", SHAPE)}
    rank = ranks[0]
    if "beginAxis" in attributes and "endAxis" in attributes:
        begin, end = (_position(attributes[k], rank) for k in ("beginAxis", "endAxis"))
        if rank < 0:
            raise FormatError("Reshape of an operand of unknown shape", fix="take another copy of the file")
        if (begin, end) != (0, rank):
            values |= {"begin_axis": rank - end, "end_axis": rank - begin}
    return Use("reshape", (0,), values)


def _position(axis: Value, rank: int) -> int:
    """Where a stored axis is, counted from the front in the file's order; one past the last for the special axis."""
    if not isinstance(axis, StoredAxis):
        raise FormatError(f"{axis!r:.60} is no axis", fix="take another copy of the file")
    if axis.position == 2147483644:
        return rank
    return axis.position + rank if axis.position < 0 else axis.position


@writing("reshape")
def _write_reshape(attributes: Mapping[str, Any], count: int, ranks: Sequence[int]) -> Stored:  # noqa: ARG001
    rank = ranks[0]
    begin, end = (
        _python_position(attributes.get(k), rank, default) for k, default in (("begin_axis", 0), ("end_axis", rank))
    )
    axes = {
        k: StoredAxis(i, f"staticAxisIdx={i}", ordered=True)
        for k, i in (("beginAxis", rank - end), ("endAxis", rank - begin))
    }
    return Stored(16, (0,), {"newShape": SHAPE.write(attributes["shape"], rank), **axes})


def _python_position(axis: Any, rank: int, default: int) -> int:
    if axis is None:
        return default
    if isinstance(axis, Axis):
        if not axis.is_static_axis or axis == Axis.end_static_axis():
            return default
        axis = axis.static_axis_index()
    return int(axis) + rank if axis < 0 else int(axis)


_REDUCTIONS = {
    "Sum": "reduce_sum", "LogSum": "reduce_log_sum_exp", "Mean": "reduce_mean", "Max": "reduce_max",
    "Min": "reduce_min", "Prod": "reduce_prod", "Argmax": "argmax", "Argmin": "argmin",
}  # fmt: skip
_REDUCTION_NAMES = {op: name for name, op in _REDUCTIONS.items()}


@reading(39)
def _read_reduction(attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use:  # noqa: ARG001
    name = entry(attributes, "reductionOpName", TEXT)
    if name not in _REDUCTIONS:
        raise FormatError(f"there is no reduction {name!r}", fix="take another copy of the file")
    stored = vector(attributes, "axisVec") if "axisVec" in attributes else [attributes.get("axis")]
    axes = [_axis_object(axis_from_file(a)) for a in stored if isinstance(a, StoredAxis)]
    single = "axis" in attributes or (len(axes) == 1 and axes[0] == Axis.all_axes())
    values: dict[str, Any] = {"axis": None if axes == [Axis.all_static_axes()] else axes[0] if single else axes}
    if name not in ("Argmax", "Argmin"):
        values["keepdims"] = entry(attributes, "reductionKeepDimensions", BOOL, True)
    return Use(_REDUCTIONS[name], (0,), values)


def _axis_object(axis: int | Axis) -> Axis:
    """A static axis as an object: so users' numbers and the axes of primitives are told apart."""
    return axis if isinstance(axis, Axis) else Axis(axis)


def write_reduction(op: str, attributes: Mapping[str, Any], rank: int) -> Stored:
    """How files hold one of the reductions."""
    axis = attributes.get("axis")
    values: Dictionary = {"reductionOpName": _REDUCTION_NAMES[op]}
    keep = bool(attributes.get("keepdims", axis is not None))
    if axis is None:
        axis, keep = Axis.all_static_axes(), False
    if isinstance(axis, (list, tuple)):
        values["axisVec"] = [axis_to_file(a, rank) for a in axis]
    else:
        values["axis"] = axis_to_file(axis, rank)
    values["reductionKeepDimensions"] = keep
    return Stored(39, (0,), values)


def reduction_name(op: str) -> str:
    """CNTK's name of a reduction, as attributes hold it."""
    return _REDUCTION_NAMES[op]


def reduction_name_of(op: str) -> str:
    """CNTK's name of a reduction; "" for other operators."""
    return _REDUCTION_NAMES.get(op.lstrip("_"), "")


def is_reduction(op: str) -> bool:
    """Whether an operator is one of CNTK's ReduceElements."""
    return op in _REDUCTION_NAMES


@reading(97)
@reading(33)
def _read_convolution(attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use:  # noqa: ARG001
    values = {name: entry(attributes, key, codec, missing) for name, (key, codec, missing) in _CONVOLUTION.items()}
    for pad in ("lowerPad", "upperPad"):
        refuse_explicit(attributes, pad)
    if attributes.get("sequential") is True:
        return Use("sequential_convolution", (0, 1), {**values, "groups": entry(attributes, "groups", SIZE, 1)})
    if entry(attributes, "transpose", BOOL, False):
        shape = entry(attributes, "outputShape", SHAPE, (0,))
        return Use("convolution_transpose", (0, 1), {**values, "output_shape": None if shape in ((0,), ()) else shape})
    return Use("convolution", (0, 1), {**values, "groups": entry(attributes, "groups", SIZE, 1)})


def write_convolution(op: str, attributes: Mapping[str, Any], kernel: tuple[int, ...], rank: int) -> Stored:
    """How files hold a convolution of an operand of that rank; ``kernel`` is its shape ([out x] in x spatial)."""
    sequential, reduction = attributes.get("sequential", False), attributes.get("reduction_rank", 1)
    if sequential or reduction != 1:
        raise FormatError(
            f"{op} with sequential={sequential}, reduction_rank={reduction} has no primitive in CNTK's files",
            fix="save in the ONNX format, or use reduction_rank=1 and a static axis",
        )
    values: Dictionary = {}
    for name, (key, codec, missing) in _CONVOLUTION.items():
        given = attributes.get(name)
        given = missing if given is None else given
        if key in ("strides", "sharing", "autoPadding", "dilation"):
            given = fill_front(listed(given), rank, channel=key in ("sharing", "autoPadding"))
        values[key] = codec.write(given, rank)
    shape = attributes.get("output_shape")
    transposed = op == "convolution_transpose"
    values |= {
        "lowerPad": NDShape((0,) * rank),
        "upperPad": NDShape((0,) * rank),
        "transpose": transposed,
        "outputShape": NDShape((0,)) if not shape else shape_to_file(tuple(listed(shape))),
        "kernelShape": shape_to_file(tuple(kernel[len(kernel) - rank :])),
        "groups": SizeT(attributes.get("groups") or 1),
        "sequential": False,
    }
    return Stored(33, (0, 1), values)


def fill_front(values: list[Any], rank: int, *, channel: bool) -> list[Any]:
    """A list of one value for each axis: a single value counts for all; missing ones in front are 1, or the last value.

    Example:
        >>> fill_front([2, 2], 3, channel=False), fill_front([True], 3, channel=True)
        ([1, 2, 2], [True, True, True])
    """
    if len(values) == 1:
        return [values[0]] * rank if channel else [*([1] * (rank > 1)), *([values[0]] * (rank - (rank > 1)))]
    return [*([values[0] if channel else 1] * (rank - len(values))), *values]


@reading(65)
def _read_elu(attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use:  # noqa: ARG001
    return Use("elu", (0,), {"alpha": 1})


@writing("elu")
def _write_elu(attributes: Mapping[str, Any], count: int, ranks: Sequence[int]) -> Stored | None:  # noqa: ARG001
    return Stored(65, (0,), {}) if attributes["alpha"] == 1 else None  # CNTK's own ELU is a block around it


@reading(83)
def _read_pad(attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use:  # noqa: ARG001
    head, foot = (vector(attributes, k) for k in ("paddingHead", "paddingFoot"))
    pattern = [(int(h), int(f)) for h, f in zip(reversed(head), reversed(foot), strict=True)]
    mode, value = entry(attributes, "paddingMode", SIZE), entry(attributes, "paddingConstantValue", REAL, 0.0)
    return Use("pad", (0,), {"pattern": pattern, "mode": mode, "constant_value": value})


@writing("pad")
def _write_pad(attributes: Mapping[str, Any], count: int, ranks: Sequence[int]) -> Stored:  # noqa: ARG001
    pattern = list(reversed(attributes["pattern"]))
    values: Dictionary = {
        "paddingHead": [SizeT(h) for h, _ in pattern],
        "paddingFoot": [SizeT(f) for _, f in pattern],
        "paddingMode": SizeT(attributes.get("mode", 0)),
        "paddingConstantValue": float(attributes.get("constant_value", 0)),
    }
    return Stored(83, (0,), values)


@reading(84)
def _read_crop(attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use:  # noqa: ARG001
    if "offset" not in attributes:
        return Use("crop_automatic", tuple(range(count)), {})
    x, y = (int(v) for v in vector(attributes, "offset"))
    return Use("crop_manual", tuple(range(count)), {"offset_x": x, "offset_y": y})


@writing("crop_manual")
def _write_crop(attributes: Mapping[str, Any], count: int, ranks: Sequence[int]) -> Stored:  # noqa: ARG001
    offsets: list[Value] = [SizeT(attributes["offset_x"]), SizeT(attributes["offset_y"])]
    return Stored(84, tuple(range(count)), {"offset": offsets})


@reading(88)
def _read_squeeze(attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use:  # noqa: ARG001
    given = [a for a in vector(attributes, "axisVec") if isinstance(a, StoredAxis)] if "axisVec" in attributes else None
    return Use("squeeze", (0,), {"axes": None if given is None else tuple(axis_from_file(a) for a in given)})


@writing("squeeze")
def _write_squeeze(attributes: Mapping[str, Any], count: int, ranks: Sequence[int]) -> Stored:  # noqa: ARG001
    axes = attributes.get("axes")
    if axes is None:
        return Stored(88, (0,), {})
    given: list[Value] = [user_axis(a) for a in (axes if isinstance(axes, (list, tuple, set)) else [axes])]
    return Stored(88, (0,), {"axisVec": given})


@reading(89)
def _read_constant(attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use:  # noqa: ARG001
    fill = entry(attributes, "fillValue", REAL)
    if fill not in (0.0, 1.0):
        raise FormatError(f"a constant like an operand, filled with {fill}", fix="only 0 and 1 are supported")
    return Use("ones_like" if fill else "zeros_like", (0,), {})


@writing("ones_like")
def _write_ones(attributes: Mapping[str, Any], count: int, ranks: Sequence[int]) -> Stored:  # noqa: ARG001
    return Stored(89, (0,), {"fillValue": 1.0})


@writing("zeros_like")
def _write_zeros(attributes: Mapping[str, Any], count: int, ranks: Sequence[int]) -> Stored:  # noqa: ARG001
    return Stored(89, (0,), {"fillValue": 0.0})


_RANDOM = {
    "uniform": ("low", "high"), "normal": ("mean", "scale"), "gumbel": ("loc", "scale"), "bernoulli": ("mean",),
}  # fmt: skip


@reading(76)
def _read_random(attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use:  # noqa: ARG001
    kind = entry(attributes, "randomDistributionType", TEXT)
    if kind not in _RANDOM:
        raise FormatError(f"there is no random distribution {kind!r}", fix="take another copy of the file")
    values: dict[str, Any] = dict(zip(_RANDOM[kind], entry(attributes, "randomDistributionArgs", REALS), strict=True))
    values["seed"] = entry(attributes, "rngSeed", SIZE)
    if count:
        return Use(f"{kind}_like", (0,), values)
    return Use(
        kind,
        (),
        {**values, "shape": entry(attributes, "newShape", SHAPE), "dtype": entry(attributes, "newDataType", DTYPE)},
    )


def _random_writer(kind: str, *, like: bool) -> None:
    def write(attributes: Mapping[str, Any], count: int, ranks: Sequence[int]) -> Stored:  # noqa: ARG001
        values: Dictionary = {
            "randomDistributionType": kind,
            "randomDistributionArgs": [float(attributes[name]) for name in _RANDOM[kind]],
            "rngSeed": SizeT(attributes["seed"]),
            "rngOffset": SizeT(0),
        }
        if not like:
            values["newShape"] = SHAPE.write(attributes["shape"], 0)
            values["newDataType"] = DTYPE.write(attributes["dtype"], 0)
        return Stored(76, (0,) if like else (), values)

    WRITERS[f"{kind}_like" if like else kind] = write


for _kind in _RANDOM:
    _random_writer(_kind, like=True)
    _random_writer(_kind, like=False)


@reading(70)
def _read_tolisted(attributes: Dictionary, count: int, ranks: Sequence[int]) -> Use:  # noqa: ARG001
    prefix = entry(attributes, "sequenceAxis", TEXT, "toSequence_")
    return Use("to_sequence", tuple(range(count)), {"sequence_axis_name_prefix": prefix})
