"""Layers of convolutions over static axes and over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.default_options import default_override_or, get_default_override
from cntk_lab.errors import AttributeValueError
from cntk_lab.graph.function import Function
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.variable import Parameter
from cntk_lab.initializer import glorot_uniform
from cntk_lab.layers.blocks import (
    _INFERRED,
    NotSupportedError,
    Shape,
    _as_shape,
    _initializer_for,
    _rank_params,
    identity,
)
from cntk_lab.ops import BlockFunction, convolution, reshape, sequence, splice

__all__ = ["Convolution", "Convolution1D", "Convolution2D", "Convolution3D", "SequentialConvolution"]


def _per_axis(filter_shape: Shape, value: Any, what: str) -> tuple[Any, ...]:
    """A setting for each axis of the filter, given once or for each."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) == 1:
        values *= len(filter_shape)
    if len(values) != len(filter_shape):
        raise AttributeValueError(
            f"{what}={value} has {len(values)} elements, the filter {filter_shape} has {len(filter_shape)} axes",
            fix=f"give one number, or {len(filter_shape)}",
        )
    return values


def _filter_of_rank(layer: str, filter_shape: Any, rank: int) -> Shape:
    shape = _as_shape(filter_shape)
    if len(shape) == 1:
        return shape * rank
    if len(shape) == rank:
        return shape
    raise AttributeValueError(
        f"{layer}: filter_shape={filter_shape} has {len(shape)} axes, this layer's filter has {rank}",
        fix=f"give one number for all axes, or {(3,) * rank}; Convolution takes filters of any rank",
    )


def _refuse(layer: str, reduction_rank: int, groups: int, *, transpose_weight: bool) -> None:
    if reduction_rank not in (0, 1):
        raise NotSupportedError(
            f"{layer}: reduction_rank={reduction_rank}: there is one axis of channels or none", fix="give 1 or 0"
        )
    if transpose_weight:
        raise NotSupportedError(f"{layer}: weights cannot be transposed", fix=f"use {layer}Transpose")
    if groups > 1:
        raise AttributeValueError(
            f"{layer}: groups={groups}: the layer has one group",
            fix="use the operator: convolution(parameter(...), x, groups=...)",
        )


class _Settings:
    """What the convolution layers share: settings looked up, and parameters in the order of their seeds."""

    def __init__(self, factory: Any, filter_shape: Any, num_filters: Any, reduction_rank: int, **options: Any) -> None:
        values = {k: get_default_override(factory, **{k: options[k]}) for k in ("activation", "init", "pad", "bias")}
        self.activation, self.bias = values["activation"], bool(values["bias"])
        self.init_bias = get_default_override(factory, init_bias=options["init_bias"])
        self.filter = _as_shape(filter_shape)
        self.filters: Shape = () if num_filters is None else _as_shape(num_filters)
        self.outputs: Shape = self.filters or (1,)
        self.inputs: Shape = _INFERRED if reduction_rank else (1,)
        self.pad = tuple(bool(p) for p in _per_axis(self.filter, values["pad"], "pad"))
        self.strides = _per_axis(self.filter, options["strides"], "strides")
        self.sharing = _per_axis(self.filter, options["sharing"], "sharing")
        self.dilation = _per_axis(self.filter, options["dilation"], "dilation")
        self.init = values["init"]

    def weights(self, *, transposed: bool = False) -> Parameter:
        """The kernels: filters x channels x filter, or channels x filters x filter."""
        ranks = _rank_params(filter_rank=len(self.filter), output_rank=-len(self.outputs))
        channels = (*self.inputs, *self.outputs) if transposed else (*self.outputs, *self.inputs)
        shape = (*channels, *self.filter)
        init = _initializer_for(self.init, ranks)
        if isinstance(init, np.ndarray) and init.ndim < len(shape):
            init = init.reshape((1,) * (len(shape) - init.ndim) + init.shape)
        return Parameter(shape, init=init, name="W")

    def offset(self, static_axes: int) -> Parameter | None:
        """The bias: one for each filter."""
        return Parameter((*self.outputs, *(1,) * static_axes), init=self.init_bias, name="b") if self.bias else None

    def finish(self, r: Any, b: Parameter | None) -> Any:
        """Bias and activation."""
        if b is not None:
            r = r + b
        return r if self.activation in (None, identity) else self.activation(r)


def Convolution(
    filter_shape: Any,
    num_filters: Any = None,
    sequential: bool = False,
    activation: Any = default_override_or(identity),
    init: Any = default_override_or(glorot_uniform()),
    pad: Any = default_override_or(False),
    strides: Any = 1,
    sharing: Any = True,
    bias: Any = default_override_or(True),
    init_bias: Any = default_override_or(0),
    reduction_rank: int = 1,
    transpose_weight: bool = False,
    dilation: Any = 1,
    groups: int = 1,
    max_temp_mem_size_in_samples: int = 0,
    op_name: str = "Convolution",
    name: str = "",
) -> Function:
    """A convolution layer over the last static axes, and with ``sequential`` over time too.

    Args:
        filter_shape: size of the filter on each axis, in elements; with ``sequential`` the first one counts frames.
        num_filters: number of filters; None gives one, without an axis for it.
        sequential: whether the first axis of the filter runs over the frames of a sequence, as a window around each.
        activation: function of the sum.
        init: initializer of W.
        pad: for each axis, or for all, whether zeros are assumed around the operand, so that its size is kept.
        strides: distance of windows for each axis, or for all, in elements.
        sharing: accepted for CNTK programs; filters are always shared.
        bias: whether there is a bias.
        init_bias: initial bias.
        reduction_rank: 1 if the first static axis is that of the channels, 0 if there is none.
        transpose_weight: not supported, as in CNTK.
        dilation: distance of the filter's elements for each axis, or for all, in elements.
        groups: 1; groups are left to the operator ``convolution``.
        max_temp_mem_size_in_samples: accepted for CNTK programs; memory is planned here.
        op_name: what the block is called.
        name: name of the layer.

    Returns:
        Function (filters x positions). Parameters: ``W`` (filters x channels x filter), ``b`` (filters x 1 ...).

    Raises:
        AttributeValueError: if settings do not have one element for each axis of the filter, or ``groups`` is above 1.
        NotSupportedError: for the settings CNTK never had.

    Example:
        >>> import cntk_lab as C
        >>> f = C.layers.Convolution((5, 5), 8, pad=True, strides=2, activation=C.relu)(C.input_variable((1, 28, 28)))
        >>> f.shape, [(p.name, p.shape) for p in f.parameters]
        ((8, 14, 14), [('W', (8, 1, 5, 5)), ('b', (8, 1, 1))])

    Source: CNTK 2.7 ``layers.Convolution``.
    """
    s = _Settings(
        Convolution, filter_shape, num_filters, reduction_rank, activation=activation, init=init, pad=pad, bias=bias,
        init_bias=init_bias, strides=strides, sharing=sharing, dilation=dilation,
    )  # fmt: skip
    _refuse("Convolution", reduction_rank, groups, transpose_weight=transpose_weight)
    if sequential and s.strides[0] != 1:
        raise NotSupportedError(
            f"Convolution: a stride of {s.strides[0]} frames over time is not supported",
            fix="use SequentialConvolution",
        )
    W, b = s.weights(), s.offset(len(s.filter))
    added = (1,) * ((not reduction_rank) + sequential)
    dropped = (0 if not s.filters else 1, 2 if sequential else 1)
    pads = (False, False, *s.pad[1:]) if sequential else (False, *s.pad)
    gaps = (1, *s.dilation[1:]) if sequential else s.dilation

    @BlockFunction(op_name, name)
    def convolve(x: Operand) -> Any:
        if added:
            x = reshape(x, added, begin_axis=reduction_rank, end_axis=reduction_rank)
        if sequential:
            x, before, after = _window(x, s.filter[0], s.dilation[0])
        r = convolution(
            W, x, strides=s.strides, sharing=s.sharing, auto_padding=pads, dilation=gaps,
            groups=groups, max_temp_mem_size_in_samples=max_temp_mem_size_in_samples,
        )  # fmt: skip
        if sequential and not s.pad[0] and before + after:
            r = sequence.slice(r, before, -after)
        r = s.finish(r, b)
        return reshape(r, (), begin_axis=dropped[0], end_axis=dropped[1]) if dropped[0] != dropped[1] else r

    return convolve


def _window(x: Any, size: int, dilation: int) -> tuple[Any, int, int]:
    """Frames around each, along the axis after the channels; and how many before and after it."""
    before = (size - 1) // 2
    offsets = [dilation * (i - before) for i in range(size)]
    frames = [
        x if not o else sequence.past_value(x, time_step=-o) if o < 0 else sequence.future_value(x, time_step=o)
        for o in offsets
    ]
    return (splice(*frames, axis=1) if len(frames) > 1 else x), -offsets[0], offsets[-1]


def Convolution1D(
    filter_shape: Any,
    num_filters: Any = None,
    activation: Any = default_override_or(identity),
    init: Any = default_override_or(glorot_uniform()),
    pad: Any = default_override_or(False),
    strides: Any = 1,
    bias: Any = default_override_or(True),
    init_bias: Any = default_override_or(0),
    reduction_rank: int = 1,
    dilation: Any = 1,
    name: str = "",
) -> Function:
    """A convolution layer over one static axis.

    Args:
        filter_shape: size of the filter, in elements.
        num_filters: number of filters; None gives one, without an axis for it.
        activation: function of the sum.
        init: initializer of W.
        pad: whether the size is kept by zeros around the operand.
        strides: distance of windows, in elements.
        bias: whether there is a bias.
        init_bias: initial bias.
        reduction_rank: 1 if there is an axis of channels, 0 if not.
        dilation: distance of the filter's elements.
        name: name of the layer.

    Returns:
        Function (filters x positions).

    Raises:
        AttributeValueError: if the filter has several axes.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.Convolution1D(3, 4)(C.input_variable((2, 10))).shape
        (4, 8)

    Source: CNTK 2.7 ``layers.Convolution1D``.
    """
    options = _options(Convolution1D, activation=activation, init=init, pad=pad, bias=bias, init_bias=init_bias)
    shape = _filter_of_rank("Convolution1D", filter_shape, 1)
    return Convolution(
        shape, num_filters, strides=strides, reduction_rank=reduction_rank, dilation=dilation, name=name, **options
    )


def Convolution2D(
    filter_shape: Any,
    num_filters: Any = None,
    activation: Any = default_override_or(identity),
    init: Any = default_override_or(glorot_uniform()),
    pad: Any = default_override_or(False),
    strides: Any = 1,
    bias: Any = default_override_or(True),
    init_bias: Any = default_override_or(0),
    reduction_rank: int = 1,
    dilation: Any = 1,
    groups: int = 1,
    name: str = "",
) -> Function:
    """A convolution layer over two static axes, such as an image's.

    Args:
        filter_shape: height and width of the filter, or one number for both, in elements.
        num_filters: number of filters; None gives one, without an axis for it.
        activation: function of the sum.
        init: initializer of W.
        pad: whether sizes are kept by zeros around the operand; for each axis or for both.
        strides: distance of windows for each axis, or for both, in elements.
        bias: whether there is a bias.
        init_bias: initial bias.
        reduction_rank: 1 if there is an axis of channels, 0 if not.
        dilation: distance of the filter's elements.
        groups: 1; groups are left to the operator ``convolution``.
        name: name of the layer.

    Returns:
        Function (filters x height x width).

    Raises:
        AttributeValueError: if the filter has not one or two axes.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.Convolution2D((3, 3), 4, pad=True)(C.input_variable((3, 8, 8))).shape
        (4, 8, 8)

    Source: CNTK 2.7 ``layers.Convolution2D``.
    """
    options = _options(Convolution2D, activation=activation, init=init, pad=pad, bias=bias, init_bias=init_bias)
    shape = _filter_of_rank("Convolution2D", filter_shape, 2)
    return Convolution(
        shape, num_filters, strides=strides, reduction_rank=reduction_rank, dilation=dilation, groups=groups, name=name,
        **options,
    )  # fmt: skip


def Convolution3D(
    filter_shape: Any,
    num_filters: Any = None,
    activation: Any = default_override_or(identity),
    init: Any = default_override_or(glorot_uniform()),
    pad: Any = default_override_or(False),
    strides: Any = 1,
    bias: Any = default_override_or(True),
    init_bias: Any = default_override_or(0),
    reduction_rank: int = 1,
    dilation: Any = 1,
    groups: int = 1,
    name: str = "",
) -> Function:
    """A convolution layer over three static axes.

    Args:
        filter_shape: size of the filter on the three axes, or one number for all, in elements.
        num_filters: number of filters; None gives one, without an axis for it.
        activation: function of the sum.
        init: initializer of W.
        pad: whether sizes are kept by zeros around the operand; for each axis or for all.
        strides: distance of windows for each axis, or for all, in elements.
        bias: whether there is a bias.
        init_bias: initial bias.
        reduction_rank: 1 if there is an axis of channels, 0 if not.
        dilation: distance of the filter's elements.
        groups: 1; groups are left to the operator ``convolution``.
        name: name of the layer.

    Returns:
        Function (filters x three axes).

    Raises:
        AttributeValueError: if the filter has not one or three axes.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.Convolution3D(2, 4)(C.input_variable((1, 3, 4, 5))).shape
        (4, 2, 3, 4)

    Source: CNTK 2.7 ``layers.Convolution3D``.
    """
    options = _options(Convolution3D, activation=activation, init=init, pad=pad, bias=bias, init_bias=init_bias)
    shape = _filter_of_rank("Convolution3D", filter_shape, 3)
    return Convolution(
        shape, num_filters, strides=strides, reduction_rank=reduction_rank, dilation=dilation, groups=groups, name=name,
        **options,
    )  # fmt: skip


def _options(factory: Any, **values: Any) -> dict[str, Any]:
    """Arguments that default options may override, looked up for this layer."""
    return {k: get_default_override(factory, **{k: v}) for k, v in values.items()}


def SequentialConvolution(
    filter_shape: Any,
    num_filters: Any = None,
    activation: Any = default_override_or(identity),
    init: Any = default_override_or(glorot_uniform()),
    pad: Any = default_override_or(False),
    strides: Any = 1,
    sharing: Any = True,
    bias: Any = default_override_or(True),
    init_bias: Any = default_override_or(0),
    reduction_rank: int = 1,
    transpose_weight: bool = False,
    dilation: Any = 1,
    groups: int = 1,
    max_temp_mem_size_in_samples: int = 0,
    op_name: str = "Convolution",
    name: str = "",
) -> Function:
    """A convolution layer over the frames of a sequence and the last static axes, with strides over time too.

    Args:
        filter_shape: size of the filter on each axis; the first one counts frames.
        num_filters: number of filters; None gives one, without an axis for it.
        activation: function of the sum.
        init: initializer of W.
        pad: for each axis, or for all, whether zeros are assumed around the operand.
        strides: distance of windows for each axis, or for all; the first one counts frames.
        sharing: accepted for CNTK programs; filters are always shared.
        bias: whether there is a bias.
        init_bias: initial bias.
        reduction_rank: 1 if the first static axis is that of the channels, 0 if there is none.
        transpose_weight: not supported, as in CNTK.
        dilation: distance of the filter's elements.
        groups: 1; groups are left to the operator ``convolution``.
        max_temp_mem_size_in_samples: accepted for CNTK programs; memory is planned here.
        op_name: what the block is called.
        name: name of the layer.

    Returns:
        Function: sequences on an axis of their own, of frames (filters x positions).

    Raises:
        AttributeValueError: if settings do not have one element for each axis of the filter, or ``groups`` is above 1.
        NotSupportedError: for the settings CNTK never had.

    Example:
        >>> import cntk_lab as C
        >>> f = C.layers.SequentialConvolution((3,), 4, strides=2)(C.sequence.input_variable(5))
        >>> f.shape, [(p.name, p.shape) for p in f.parameters]
        ((4,), [('W', (4, 5, 3)), ('b', (4,))])

    Source: CNTK 2.7 ``layers.SequentialConvolution``.
    """
    s = _Settings(
        SequentialConvolution, filter_shape, num_filters, reduction_rank, activation=activation, init=init, pad=pad,
        bias=bias, init_bias=init_bias, strides=strides, sharing=sharing, dilation=dilation,
    )  # fmt: skip
    _refuse("Convolution", reduction_rank, groups, transpose_weight=transpose_weight)
    W, b = s.weights(), s.offset(len(s.filter) - 1)

    @BlockFunction(op_name, name)
    def convolve(x: Operand) -> Any:
        if not reduction_rank:
            x = reshape(x, (1,), begin_axis=0, end_axis=0)
        r = convolution(
            W, x, strides=s.strides, sharing=s.sharing, auto_padding=(False, *s.pad), sequential=True,
            dilation=s.dilation, groups=groups, max_temp_mem_size_in_samples=max_temp_mem_size_in_samples,
        )  # fmt: skip
        r = s.finish(r, b)
        return r if s.filters else reshape(r, (), begin_axis=0, end_axis=1)

    return convolve
