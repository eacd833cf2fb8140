"""Convolution: kernels slide over static axes, or over the sequence axis too.

The rules work on explicit numbers that ``resolve`` makes of CNTK's attributes: ``strides``, ``dilation``,
``lower_pad``, ``upper_pad`` and ``same`` for each spatial axis, ``groups``. So a native kernel can take them as they
are. Must not know layers. Source: CNTK 2.7, observed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cntk_lab.axis import Axis, format_axes
from cntk_lab.errors import AttributeValueError, AxisError, ShapeError
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, OnnxRule, Sample, TensorType, Trait
from cntk_lab.graph.operand import Operand
from cntk_lab.ops import _windows as w
from cntk_lab.ops._correlate import (
    at_run_time,
    correlate,
    correlate_kernel_gradient,
    correlate_operand_gradient,
    counts,
)
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.shape import FREE, INFERRED, Shape, text

__all__ = ["convolution"]


# ---- attributes in the engine's terms


def settings(
    name: str, kernel: Shape, rank: int, strides: Any, auto_padding: Any, dilation: Any, reduction_rank: int
) -> tuple[Shape, Shape, tuple[bool, ...], Shape]:
    """Kernel size, strides, whether padded, dilation: for each spatial axis."""
    if reduction_rank not in (0, 1):
        raise AttributeValueError(
            f"{name}: reduction_rank is {reduction_rank}", fix="it is 1 (a channel axis in front) or 0 (none)"
        )
    spatial = kernel[1 + reduction_rank :]
    if len(kernel) == rank + reduction_rank:
        spatial = kernel[reduction_rank:]  # without the axis of output channels: there is one
    if len(spatial) != rank or not spatial:
        raise ShapeError(
            f"{name}: the kernel {text(kernel)} has {len(spatial)} spatial axes, the operand {rank}",
            fix=f"kernels are output channels{' x input channels' if reduction_rank else ''} x one size for each "
            f"of the {rank} spatial axes",
        )
    whole = rank + reduction_rank
    steps = tuple(int(s) for s in w.per_axis(strides, whole, f"{name}: strides", 1))
    gaps = tuple(int(d) for d in w.per_axis(dilation, whole, f"{name}: dilation", 1))
    flags = tuple(bool(p) for p in w.per_axis(auto_padding, whole, f"{name}: auto_padding", False))
    if any(s < 1 for s in steps + gaps):
        raise AttributeValueError(f"{name}: strides {steps} and dilation {gaps} must be 1 or more")
    return spatial, steps[reduction_rank:], flags[reduction_rank:], gaps[reduction_rank:]


def pads_of(
    dims: Shape, out: Shape, kernel: Shape, strides: Shape, dilation: Shape, same: Sequence[bool]
) -> dict[str, Any]:
    """Resolved attributes of windows on spatial axes: sizes, distances, and paddings where the sizes are known."""
    known = min(dims) >= 0
    lower, upper = w.pads(dims, out, kernel, strides, dilation, same) if known else (None, None)
    return {
        "kernel": kernel,
        "strides": strides,
        "dilation": dilation,
        "same": tuple(same),
        "lower_pad": lower,
        "upper_pad": upper,
    }


_GEOMETRY = ("kernel", "strides", "dilation", "same", "lower_pad", "upper_pad", "out", "channels", "outputs")
"""What the rules of every convolution settle."""


def _resolve(
    convolution_map: TensorType,
    operand: TensorType,
    strides: Any,
    auto_padding: Any,
    dilation: Any,
    reduction_rank: int,
    groups: int,
) -> dict[str, Any]:
    if convolution_map.axes:
        raise AxisError(
            f"convolution: the kernel has the dynamic axes {format_axes(convolution_map.axes)}",
            fix="the kernel is the first operand, the data the second",
        )
    dims = operand.dims[reduction_rank:]
    kernel, steps, same, gaps = settings(
        "convolution", convolution_map.dims, len(dims), strides, auto_padding, dilation, reduction_rank
    )
    weights = weights_of(convolution_map.dims, operand.rank)
    channel_windows = _check_channels(weights, operand.dims, auto_padding, reduction_rank, groups)
    w.check_fits("convolution", dims, tuple((k - 1) * d + 1 for k, d in zip(kernel, gaps, strict=True)))
    out = counts(dims, kernel, steps, gaps, same)
    return {
        **pads_of(dims, out, kernel, steps, gaps, same),
        "out": out,
        "channels": bool(reduction_rank),
        "outputs": weights[0],
        "channel_windows": channel_windows,
    }


def weights_of(kernel: Shape, rank: int) -> Shape:
    """The kernels' shape with the axis of output channels in front, which may be left out if there is one."""
    return (1, *kernel) if len(kernel) == rank else kernel


def _check_channels(kernel: Shape, operand: Shape, auto_padding: Any, reduction_rank: int, groups: int) -> int:
    """How many windows lie along the channels: one, unless they are padded (which has a shape, but no values)."""
    if not reduction_rank:
        if groups != 1:
            raise AttributeValueError(f"convolution: {groups} groups need a channel axis", fix="use reduction_rank=1")
        return 1
    have, want = operand[0], kernel[1]
    if have < 0:
        return 1
    if groups < 1 or have % groups or kernel[0] % groups:
        raise AttributeValueError(
            f"convolution: {have} input and {kernel[0]} output channels cannot be divided into {groups} groups",
            fix="both must be multiples of groups",
        )
    if want not in (have // groups, INFERRED):
        raise ShapeError(
            f"convolution: the operand has {have} channels{f' in {groups} groups' if groups > 1 else ''}, the "
            f"kernel takes {want}",
            fix=f"give the kernel the shape {text((kernel[0], have // groups, *kernel[2:]))}, or let it be inferred",
        )
    flags = w.per_axis(auto_padding, len(operand), "convolution: auto_padding", False)
    return have if flags[0] else 1


class ChannelPaddingError(AttributeValueError, RuntimeError):
    """A convolution that pads its channels, which has no values (CNTK refuses it when it runs)."""


def _refuse_channel_padding(channel_windows: int) -> None:
    if channel_windows != 1:
        raise ChannelPaddingError(
            f"convolution: detected padding over channel axis of {channel_windows} channels",
            fix="say auto_padding=[False, True, ...]: the first value is for the channels",
        )


def _complete(convolution_map: TensorType, operand: TensorType, reduction_rank: int, groups: int) -> dict[str, Shape]:
    dims = convolution_map.dims
    channels = operand.dims[0] // groups if reduction_rank and operand.rank and operand.dims[0] >= 0 else INFERRED
    at = 0 if len(dims) == operand.rank else 1
    return {"convolution_map": tuple(channels if d == INFERRED and i == at else d for i, d in enumerate(dims))}


# ---- convolution over static axes


def _lift(channels: bool, x: Any, weights: Any, outputs: int, kernel: Shape) -> tuple[Any, Any]:
    """Operand with a channel axis, and kernels O x C/groups x kernel."""
    return (x if channels else x[:, None]), weights.reshape(outputs, -1, *kernel)


def _forward(
    xp: Any,
    convolution_map: Any,
    operand: Any,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    same: tuple[bool, ...],
    lower_pad: Shape | None,
    upper_pad: Shape | None,
    groups: int,
    channels: bool,
    outputs: int,
    channel_windows: int,
) -> Any:
    _refuse_channel_padding(channel_windows)
    x, weights = _lift(channels, operand, convolution_map, outputs, kernel)
    out, lower, upper = at_run_time(tuple(x.shape[2:]), kernel, strides, dilation, same, lower_pad, upper_pad)
    return correlate(xp, x, weights, kernel, strides, dilation, out, lower, upper, groups)


def _operand_gradient(
    xp: Any,
    dy: Any,
    convolution_map: Any,
    operand: Any,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    same: tuple[bool, ...],
    lower_pad: Shape | None,
    upper_pad: Shape | None,
    groups: int,
    channels: bool,
    outputs: int,
) -> Any:
    x, weights = _lift(channels, operand, convolution_map, outputs, kernel)
    dims = tuple(x.shape[2:])
    _, lower, upper = at_run_time(dims, kernel, strides, dilation, same, lower_pad, upper_pad)
    return correlate_operand_gradient(xp, dy, weights, dims, kernel, strides, dilation, lower, upper, groups).reshape(
        operand.shape
    )


def _kernel_gradient(
    xp: Any,
    dy: Any,
    convolution_map: Any,
    operand: Any,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    same: tuple[bool, ...],
    lower_pad: Shape | None,
    upper_pad: Shape | None,
    groups: int,
    channels: bool,
    outputs: int,
) -> Any:
    x, _ = _lift(channels, operand, convolution_map, outputs, kernel)
    _, lower, upper = at_run_time(tuple(x.shape[2:]), kernel, strides, dilation, same, lower_pad, upper_pad)
    return correlate_kernel_gradient(xp, dy, x, kernel, strides, dilation, lower, upper, groups).reshape(
        convolution_map.shape
    )


_CNTK = CntkRule(
    "Convolution",
    id=33,
    where={"transpose": False},
    attributes={
        "strides": "strides",
        "auto_padding": "autoPadding",
        "sharing": "sharing",
        "dilation": "dilation",
        "groups": "groups",
        "sequential": "sequential",
    },
)


@tensor_op(
    shape=lambda outputs, channel_windows, out: (outputs * channel_windows, *out),
    resolve=_resolve,
    settles=(*_GEOMETRY, "channel_windows"),
    complete=_complete,
    forward=_forward,
    gradient={"convolution_map": _kernel_gradient, "operand": _operand_gradient},
    cntk=_CNTK,
    onnx=OnnxRule("Conv", since=1, attributes={"strides": "strides", "dilation": "dilations", "groups": "group"}),
    samples=(
        Sample(((4, 2, 3, 3), (2, 6, 5)), {"auto_padding": [False, True, True]}, parameters=(0,)),
        Sample(((3, 2, 2), (3, 6, 5)), {"auto_padding": [False, True, True]}, parameters=(0,)),  # one output channel
        Sample(((4, 2, 3, 2), (2, 6, 5)), {"auto_padding": [False], "strides": (2, 1)}, parameters=(0,)),
        Sample(
            ((4, 1, 2, 2), (2, 5, 4)),
            {"auto_padding": [False, True, False], "groups": 2, "strides": (2,)},
            parameters=(0,),
        ),
        Sample(((2, 1, 2, 3), (1, 7, 8)), {"auto_padding": [False, False, True], "dilation": (2, 2)}, parameters=(0,)),
        Sample(((2, 3), (6,)), {"reduction_rank": 0}, parameters=(0,)),
        Sample(((2, 1, 2, 2, 2), (1, 3, 4, 3)), {"strides": (3,), "auto_padding": [True]}, parameters=(0,)),
    ),
)
def convolution(
    convolution_map: Operand,
    operand: Operand,
    strides: Any = (1,),
    sharing: Any = (True,),
    auto_padding: Any = (True,),
    sequential: bool = False,
    dilation: Any = (1,),
    reduction_rank: int = 1,
    groups: int = 1,
    max_temp_mem_size_in_samples: int = 0,
    name: str = "",
) -> Function:
    """The sums of kernels times windows of the operand, for every place of the window; kernels are not flipped.

    A padded axis of n elements gets ceil(n / stride) windows, others those that fit. With ``sequential`` the first
    spatial axis of the kernel runs over the sequence axis; the result has a new sequence axis, whose length follows the
    same rule for every sequence by itself.

    Args:
        convolution_map: kernels (output channels x input channels / groups x spatial sizes).
        operand: (channels x spatial axes); dynamic axes pass through.
        strides: distance of windows for each axis, in elements; one value counts for all.
        sharing: accepted for CNTK programs; kernels are always shared.
        auto_padding: for each axis of the operand, the channels first, whether it is padded; one value counts for all.
        sequential: whether the kernel also slides over the sequence axis.
        dilation: distance of a kernel's elements for each axis.
        reduction_rank: 1 if kernels and operand have a channel axis, 0 if not.
        groups: channels are divided into so many groups that do not see each other.
        max_temp_mem_size_in_samples: accepted for CNTK programs; memory is bounded anyway.

    Returns:
        Function (output channels x numbers of windows).

    Raises:
        ShapeError: if channels differ, or a kernel is larger than the operand.
        AttributeValueError: if the channels would be padded, or cannot be divided into groups.

    Example:
        >>> import numpy as np
        >>> import cntk_lab as C
        >>> x = C.input_variable((1, 3, 3))
        >>> k = C.constant(np.ones((1, 1, 2, 2), np.float32))
        >>> C.convolution(k, x, auto_padding=[False]).eval({x: np.arange(9).reshape(1, 1, 3, 3)})[0, 0].tolist()
        [[8.0, 12.0], [20.0, 24.0]]

    Source: CNTK 2.7 ``ops.convolution``; ONNX Conv-1.
    """


# ---- convolution over the sequence axis


def _resolve_sequential(
    convolution_map: TensorType,
    operand: TensorType,
    strides: Any,
    auto_padding: Any,
    dilation: Any,
    reduction_rank: int,
    groups: int,
) -> dict[str, Any]:
    dims = (FREE, *operand.dims[reduction_rank:])
    kernel, steps, same, gaps = settings(
        "convolution", convolution_map.dims, len(dims), strides, auto_padding, dilation, reduction_rank
    )
    weights = weights_of(convolution_map.dims, operand.rank + 1)
    given = operand.dims[:reduction_rank]
    _refuse_channel_padding(_check_channels(weights, (*given, *dims), auto_padding, reduction_rank, groups))
    w.check_fits("convolution", dims, tuple((k - 1) * d + 1 for k, d in zip(kernel, gaps, strict=True)))
    inner = counts(dims[1:], kernel[1:], steps[1:], gaps[1:], same[1:])
    lower, upper = w.pads(dims[1:], inner, kernel[1:], steps[1:], gaps[1:], same[1:])
    return {
        "kernel": kernel,
        "strides": steps,
        "dilation": gaps,
        "same": same,
        "out": (1, *inner),
        "lower_pad": (0, *lower),
        "upper_pad": (0, *upper),
        "channels": bool(reduction_rank),
        "outputs": weights[0],
    }


def _sequential_axes(operand: TensorType, node: Any) -> tuple[Axis, ...]:
    axes = operand.axes or ()
    if len(axes) != 2:
        raise AxisError(
            f"convolution: sequential=True needs an operand with a sequence axis, this one has {format_axes(axes)}",
            fix="use sequential=False",
        )
    return axes[0], Axis(f"ConvOverSequenceAxisPrefix{node.uid}")


def _taps_of_sequences(
    layout: Layout, kernel: Shape, strides: Shape, dilation: Shape, same: tuple[bool, ...]
) -> tuple[Layout, list[Any], list[Any]]:
    """The layout of the windows; for each tap the operand's row (0 where there is none) and whether there is one."""
    span = (kernel[0] - 1) * dilation[0] + 1
    lengths = layout.lengths
    if same[0]:
        counts = -(-lengths // strides[0])
        first = (lengths - ((counts - 1) * strides[0] + 1)) // 2 - (span - 1) // 2
    else:
        counts, first = (lengths - span) // strides[0] + 1, np.zeros_like(lengths)
    new = Layout.of(np.maximum(counts, 0), layout.begins, layout.slots)
    index, inside = [], []
    for tap in range(kernel[0]):
        position = first[new.sequence] + new.position * strides[0] + tap * dilation[0]
        ok = (position >= 0) & (position < lengths[new.sequence])
        index.append(layout.row(new.sequence, np.where(ok, position, 0)))
        inside.append(ok)
    return new, index, inside


def _stacked(xp: Any, x: Any, index: list[Any], inside: list[Any]) -> Any:
    """Rows x C x taps x spatial: what the windows see along the sequence."""
    rows = len(index[0])
    result = xp.zeros((rows, x.shape[1], len(index), *x.shape[2:]), x.dtype)
    for tap, (at, ok) in enumerate(zip(index, inside, strict=True)):
        result[ok, :, tap] = x[at[ok]]
    return result


def _sequential_forward(
    xp: Any,
    convolution_map: Any,
    operand: Any,
    layouts: Any,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    same: tuple[bool, ...],
    out: Shape,
    lower_pad: Shape,
    upper_pad: Shape,
    groups: int,
    channels: bool,
    outputs: int,
) -> Any:
    x, weights = _lift(channels, operand, convolution_map, outputs, kernel)
    new, index, inside = _taps_of_sequences(layouts[1], kernel, strides, dilation, same)
    stacked = _stacked(xp, x, index, inside)
    result = correlate(xp, stacked, weights, kernel, strides, (1, *dilation[1:]), out, lower_pad, upper_pad, groups)
    return result.reshape(len(stacked), weights.shape[0], *out[1:]), new


def _sequential_operand_gradient(
    xp: Any,
    dy: Any,
    convolution_map: Any,
    operand: Any,
    layouts: Any,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    same: tuple[bool, ...],
    out: Shape,
    lower_pad: Shape,
    upper_pad: Shape,
    groups: int,
    channels: bool,
    outputs: int,
) -> Any:
    x, weights = _lift(channels, operand, convolution_map, outputs, kernel)
    _, index, inside = _taps_of_sequences(layouts[1], kernel, strides, dilation, same)
    slopes = dy.reshape(dy.shape[0], dy.shape[1], *out)
    dims = (kernel[0], *x.shape[2:])
    stacked = correlate_operand_gradient(
        xp, slopes, weights, dims, kernel, strides, (1, *dilation[1:]), lower_pad, upper_pad, groups
    )
    result = xp.zeros_like(x)
    for tap, (at, ok) in enumerate(zip(index, inside, strict=True)):
        result[at[ok]] += stacked[ok, :, tap]  # one tap meets every row at most once
    return result.reshape(operand.shape)


def _sequential_kernel_gradient(
    xp: Any,
    dy: Any,
    convolution_map: Any,
    operand: Any,
    layouts: Any,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    same: tuple[bool, ...],
    out: Shape,
    lower_pad: Shape,
    upper_pad: Shape,
    groups: int,
    channels: bool,
    outputs: int,
) -> Any:
    x, _ = _lift(channels, operand, convolution_map, outputs, kernel)
    _, index, inside = _taps_of_sequences(layouts[1], kernel, strides, dilation, same)
    stacked = _stacked(xp, x, index, inside)
    slopes = dy.reshape(dy.shape[0], dy.shape[1], *out)
    total = correlate_kernel_gradient(
        xp, slopes, stacked, kernel, strides, (1, *dilation[1:]), lower_pad, upper_pad, groups
    )
    return total.reshape(convolution_map.shape)


@tensor_op(
    shape=lambda outputs, out: (outputs, *out[1:]),
    axes=_sequential_axes,
    resolve=_resolve_sequential,
    settles=_GEOMETRY,
    complete=_complete,
    forward=_sequential_forward,
    gradient={"convolution_map": _sequential_kernel_gradient, "operand": _sequential_operand_gradient},
    traits=[Trait.NEEDS_LAYOUT, Trait.NEW_LAYOUT],
    cntk=CntkRule("Convolution", id=33, where={"sequential": True}),
    samples=(
        Sample(((3, 2, 3), (2,)), {"auto_padding": [False, True]}, parameters=(0,)),
        Sample(((3, 2, 2, 2), (2, 4)), {"auto_padding": [False, True, False], "strides": (2, 1)}, parameters=(0,)),
    ),
)
def _sequential_convolution(
    convolution_map: Operand,
    operand: Operand,
    strides: Any = (1,),
    sharing: Any = (True,),
    auto_padding: Any = (True,),
    dilation: Any = (1,),
    reduction_rank: int = 1,
    groups: int = 1,
    max_temp_mem_size_in_samples: int = 0,
    name: str = "",
) -> Function:
    """See :func:`convolution` with ``sequential=True``."""


def _over_sequences(static: Callable[..., Function]) -> Callable[..., Function]:
    """Let ``sequential=True`` take the operator that runs over the sequence axis."""

    def convolution(
        convolution_map: Operand,
        operand: Operand,
        strides: Any = (1,),
        sharing: Any = (True,),
        auto_padding: Any = (True,),
        sequential: bool = False,
        dilation: Any = (1,),
        reduction_rank: int = 1,
        groups: int = 1,
        max_temp_mem_size_in_samples: int = 0,
        name: str = "",
    ) -> Function:
        if sequential:
            return _sequential_convolution(
                convolution_map,
                operand,
                strides,
                sharing,
                auto_padding,
                dilation,
                reduction_rank,
                groups,
                max_temp_mem_size_in_samples,
                name,
            )
        return static(
            convolution_map,
            operand,
            strides,
            sharing,
            auto_padding,
            False,
            dilation,
            reduction_rank,
            groups,
            max_temp_mem_size_in_samples,
            name,
        )

    convolution.__doc__, convolution.__module__ = static.__doc__, static.__module__
    convolution.op = static.op  # type: ignore[attr-defined]
    return convolution


convolution = _over_sequences(convolution)
