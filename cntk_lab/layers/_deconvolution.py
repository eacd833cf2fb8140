"""Layers of transposed convolutions: what the gradient of a convolution does, forward."""

from __future__ import annotations

from typing import Any

from cntk_lab.default_options import default_override_or
from cntk_lab.errors import AttributeValueError
from cntk_lab.graph.function import Function
from cntk_lab.graph.operand import Operand
from cntk_lab.initializer import glorot_uniform
from cntk_lab.layers._convolution import _filter_of_rank, _options, _refuse, _Settings
from cntk_lab.layers.blocks import _as_shape, identity
from cntk_lab.ops import BlockFunction, convolution_transpose, reshape

__all__ = [
    "ConvolutionTranspose", "ConvolutionTranspose1D", "ConvolutionTranspose2D", "ConvolutionTranspose3D",
    "Deconvolution",
]  # fmt: skip


def ConvolutionTranspose(
    filter_shape: Any,
    num_filters: Any,
    activation: Any = default_override_or(identity),
    init: Any = default_override_or(glorot_uniform()),
    pad: Any = default_override_or(False),
    strides: Any = 1,
    sharing: Any = True,
    bias: Any = default_override_or(True),
    init_bias: Any = default_override_or(0),
    output_shape: Any = None,
    reduction_rank: int = 1,
    dilation: Any = 1,
    max_temp_mem_size_in_samples: int = 0,
    name: str = "",
) -> Function:
    """A transposed convolution: each element of the operand adds its filter to a window of the output.

    Args:
        filter_shape: size of the filter on each axis, in elements.
        num_filters: number of filters.
        activation: function of the sum.
        init: initializer of W.
        pad: whether the output is cut as a padded convolution would have padded it; for each axis or for all.
        strides: distance of windows in the output for each axis, or for all, in elements.
        sharing: accepted for CNTK programs; filters are always shared.
        bias: whether there is a bias.
        init_bias: initial bias.
        output_shape: sizes of the output on the axes of the filter, where strides leave them open; default: smallest.
        reduction_rank: 1 if the first static axis is that of the channels, 0 if there is none.
        dilation: distance of the filter's elements.
        max_temp_mem_size_in_samples: accepted for CNTK programs; memory is planned here.
        name: name of the layer.

    Returns:
        Function (filters x positions). Parameters: ``W`` (channels x filters x filter), ``b`` (filters x 1 ...).

    Raises:
        AttributeValueError: if there is no number of filters, or settings do not fit the filter's axes.
        NotSupportedError: if ``reduction_rank`` is not 0 or 1.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.ConvolutionTranspose((3, 3), 4, strides=2, pad=True)(C.input_variable((3, 8, 8))).shape
        (4, 15, 15)

    Source: CNTK 2.7 ``layers.ConvolutionTranspose``.
    """
    if num_filters is None:
        raise AttributeValueError("ConvolutionTranspose: num_filters is missing", fix="give the number of filters")
    s = _Settings(
        ConvolutionTranspose, filter_shape, num_filters, reduction_rank, activation=activation, init=init, pad=pad,
        bias=bias, init_bias=init_bias, strides=strides, sharing=sharing, dilation=dilation,
    )  # fmt: skip
    _refuse("ConvolutionTranspose", reduction_rank, 1, transpose_weight=False)
    W, b = s.weights(transposed=True), s.offset(len(s.filter))
    whole = None if output_shape is None else (*s.outputs, *_as_shape(output_shape))

    @BlockFunction("ConvolutionTranspose", name)
    def convolve(x: Operand) -> Any:
        if not reduction_rank:
            x = reshape(x, (1,), begin_axis=0, end_axis=0)
        r = convolution_transpose(
            W, x, strides=s.strides, sharing=s.sharing, auto_padding=(False, *s.pad), output_shape=whole,
            dilation=s.dilation,
            max_temp_mem_size_in_samples=max_temp_mem_size_in_samples,
        )  # fmt: skip
        return s.finish(r, b)

    return convolve


Deconvolution = ConvolutionTranspose
"""The name of :func:`ConvolutionTranspose` in the introduction to CNTK."""


def ConvolutionTranspose1D(
    filter_shape: Any,
    num_filters: Any = None,
    activation: Any = default_override_or(identity),
    init: Any = default_override_or(glorot_uniform()),
    pad: Any = default_override_or(False),
    strides: Any = 1,
    bias: Any = default_override_or(True),
    init_bias: Any = default_override_or(0),
    output_shape: Any = None,
    reduction_rank: int = 1,
    dilation: Any = 1,
    name: str = "",
) -> Function:
    """A transposed convolution layer over one static axis.

    Args:
        filter_shape: size of the filter, in elements.
        num_filters: number of filters.
        activation: function of the sum.
        init: initializer of W.
        pad: whether the output is cut as a padded convolution would have padded it.
        strides: distance of windows in the output, in elements.
        bias: whether there is a bias.
        init_bias: initial bias.
        output_shape: size of the output, where strides leave it open.
        reduction_rank: 1 if there is an axis of channels, 0 if not.
        dilation: distance of the filter's elements.
        name: name of the layer.

    Returns:
        Function (filters x positions).

    Raises:
        AttributeValueError: if the filter has several axes.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.ConvolutionTranspose1D(3, 4)(C.input_variable((2, 5))).shape
        (4, 7)

    Source: CNTK 2.7 ``layers.ConvolutionTranspose1D``.
    """
    options = _options(
        ConvolutionTranspose1D, activation=activation, init=init, pad=pad, bias=bias, init_bias=init_bias
    )
    shape = _filter_of_rank("ConvolutionTranspose1D", filter_shape, 1)
    return ConvolutionTranspose(
        shape, num_filters, strides=strides, output_shape=output_shape, reduction_rank=reduction_rank,
        dilation=dilation, name=name, **options,
    )  # fmt: skip


def ConvolutionTranspose2D(
    filter_shape: Any,
    num_filters: Any,
    activation: Any = default_override_or(identity),
    init: Any = default_override_or(glorot_uniform()),
    pad: Any = default_override_or(False),
    strides: Any = 1,
    bias: Any = default_override_or(True),
    init_bias: Any = default_override_or(0),
    output_shape: Any = None,
    reduction_rank: int = 1,
    dilation: Any = 1,
    name: str = "",
) -> Function:
    """A transposed convolution layer over two static axes.

    Args:
        filter_shape: height and width of the filter, or one number for both, in elements.
        num_filters: number of filters.
        activation: function of the sum.
        init: initializer of W.
        pad: whether the output is cut as a padded convolution would have padded it.
        strides: distance of windows in the output for each axis, or for both, in elements.
        bias: whether there is a bias.
        init_bias: initial bias.
        output_shape: height and width of the output, where strides leave them open.
        reduction_rank: 1 if there is an axis of channels, 0 if not.
        dilation: distance of the filter's elements.
        name: name of the layer.

    Returns:
        Function (filters x height x width).

    Raises:
        AttributeValueError: if the filter has not one or two axes.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.ConvolutionTranspose2D(3, 4)(C.input_variable((2, 5, 5))).shape
        (4, 7, 7)

    Source: CNTK 2.7 ``layers.ConvolutionTranspose2D``.
    """
    options = _options(
        ConvolutionTranspose2D, activation=activation, init=init, pad=pad, bias=bias, init_bias=init_bias
    )
    shape = _filter_of_rank("ConvolutionTranspose2D", filter_shape, 2)
    return ConvolutionTranspose(
        shape, num_filters, strides=strides, output_shape=output_shape, reduction_rank=reduction_rank,
        dilation=dilation, name=name, **options,
    )  # fmt: skip


def ConvolutionTranspose3D(
    filter_shape: Any,
    num_filters: Any,
    activation: Any = default_override_or(identity),
    init: Any = default_override_or(glorot_uniform()),
    pad: Any = default_override_or(False),
    strides: Any = 1,
    bias: Any = default_override_or(True),
    init_bias: Any = default_override_or(0),
    output_shape: Any = None,
    reduction_rank: int = 1,
    dilation: Any = 1,
    name: str = "",
) -> Function:
    """A transposed convolution layer over three static axes.

    Args:
        filter_shape: size of the filter on the three axes, or one number for all, in elements.
        num_filters: number of filters.
        activation: function of the sum.
        init: initializer of W.
        pad: whether the output is cut as a padded convolution would have padded it.
        strides: distance of windows in the output for each axis, or for all, in elements.
        bias: whether there is a bias.
        init_bias: initial bias.
        output_shape: sizes of the output, where strides leave them open.
        reduction_rank: 1 if there is an axis of channels, 0 if not.
        dilation: distance of the filter's elements.
        name: name of the layer.

    Returns:
        Function (filters x three axes).

    Raises:
        AttributeValueError: if the filter has not one or three axes.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.ConvolutionTranspose3D(2, 4)(C.input_variable((1, 2, 3, 4))).shape
        (4, 3, 4, 5)

    Source: CNTK 2.7 ``layers.ConvolutionTranspose3D``.
    """
    options = _options(
        ConvolutionTranspose3D, activation=activation, init=init, pad=pad, bias=bias, init_bias=init_bias
    )
    shape = _filter_of_rank("ConvolutionTranspose3D", filter_shape, 3)
    return ConvolutionTranspose(
        shape, num_filters, strides=strides, output_shape=output_shape, reduction_rank=reduction_rank,
        dilation=dilation, name=name, **options,
    )  # fmt: skip
