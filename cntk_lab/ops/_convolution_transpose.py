"""Transposed convolution: what the gradient of a convolution does, as an operator.

Its rules are those of :mod:`~cntk_lab.ops._correlate` with operand and result exchanged. Must not know layers. Source:
CNTK 2.7, observed.
"""

from __future__ import annotations

from typing import Any

from cntk_lab.errors import ShapeError
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, OnnxRule, Sample, TensorType
from cntk_lab.graph.operand import Operand
from cntk_lab.ops import _windows as w
from cntk_lab.ops._convolution import pads_of, settings, weights_of
from cntk_lab.ops._correlate import correlate, correlate_kernel_gradient, correlate_operand_gradient, counts
from cntk_lab.tensor.shape import INFERRED, Shape, text

__all__ = ["convolution_transpose"]


def _resolve_transposed(
    convolution_map: TensorType,
    operand: TensorType,
    strides: Any,
    auto_padding: Any,
    output_shape: Any,
    dilation: Any,
    reduction_rank: int,
) -> dict[str, Any]:
    small = operand.dims[reduction_rank:]
    kernel, steps, same, gaps = settings(
        "convolution_transpose", convolution_map.dims, len(small), strides, auto_padding, dilation, reduction_rank
    )
    weights = weights_of(convolution_map.dims, operand.rank)
    outputs = weights[1] if reduction_rank else weights[0]
    if reduction_rank and weights[0] not in (operand.dims[0], INFERRED) and operand.dims[0] >= 0:
        raise ShapeError(
            f"convolution_transpose: the operand has {operand.dims[0]} channels, the kernel takes {weights[0]}",
            fix=f"give the kernel the shape {text((operand.dims[0], *weights[1:]))}: input channels come first",
        )
    if output_shape and any(d > 0 for d in output_shape):
        if len(output_shape) not in (len(small), len(small) + 1):
            raise ShapeError(
                f"convolution_transpose: output_shape {text(tuple(output_shape))} has {len(output_shape)} axes, "
                f"the operand {operand.rank}",
                fix="give output channels x spatial sizes",
            )
        large = tuple(int(d) for d in output_shape[len(output_shape) - len(small) :])
    else:
        spans = ((k - 1) * d + 1 for k, d in zip(kernel, gaps, strict=True))
        large = tuple(
            n if n < 0 else (n - 1) * s + (1 if p else k) for n, s, k, p in zip(small, steps, spans, same, strict=True)
        )
    found = {
        **pads_of(large, small, kernel, steps, gaps, same),
        "out": large,
        "channels": bool(reduction_rank),
        "outputs": outputs,
    }
    if min(large) < 0:
        return found
    back = counts(large, kernel, steps, gaps, same)
    if back != small:
        raise ShapeError(
            f"convolution_transpose: a convolution of {text(large)} with kernels {text(kernel)} and strides "
            f"{text(steps)} gives {text(back)}, not the operand's {text(small)}",
            fix="choose an output_shape from which the convolution leads back to the operand",
        )
    return found


def _large(
    small: Shape,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    same: tuple[bool, ...],
    out: Shape,
    lower: Any,
    upper: Any,
) -> tuple[Shape, Shape, Shape]:
    """Sizes of the result and paddings for the sizes at hand."""
    if lower is not None:
        return out, lower, upper
    spans = ((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    large = tuple((n - 1) * s + (1 if p else k) for n, s, k, p in zip(small, strides, spans, same, strict=True))
    return large, *w.pads(large, small, kernel, strides, dilation, same)


def _transposed_forward(
    xp: Any,
    convolution_map: Any,
    operand: Any,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    same: tuple[bool, ...],
    out: Shape,
    lower_pad: Shape | None,
    upper_pad: Shape | None,
    channels: bool,
    outputs: int,
) -> Any:
    x = operand if channels else operand[:, None]
    weights = convolution_map.reshape(-1, outputs, *kernel)
    large, lower, upper = _large(tuple(x.shape[2:]), kernel, strides, dilation, same, out, lower_pad, upper_pad)
    return correlate_operand_gradient(xp, x, weights, large, kernel, strides, dilation, lower, upper, 1)


def _transposed_operand_gradient(
    xp: Any,
    dy: Any,
    convolution_map: Any,
    operand: Any,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    same: tuple[bool, ...],
    out: Shape,
    lower_pad: Shape | None,
    upper_pad: Shape | None,
    channels: bool,
    outputs: int,
) -> Any:
    weights = convolution_map.reshape(-1, outputs, *kernel)
    small = tuple(operand.shape[1 + channels :])
    _, lower, upper = _large(small, kernel, strides, dilation, same, out, lower_pad, upper_pad)
    return correlate(xp, dy, weights, kernel, strides, dilation, small, lower, upper, 1).reshape(operand.shape)


def _transposed_kernel_gradient(
    xp: Any,
    dy: Any,
    convolution_map: Any,
    operand: Any,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    same: tuple[bool, ...],
    out: Shape,
    lower_pad: Shape | None,
    upper_pad: Shape | None,
    channels: bool,
) -> Any:
    x = operand if channels else operand[:, None]
    _, lower, upper = _large(tuple(x.shape[2:]), kernel, strides, dilation, same, out, lower_pad, upper_pad)
    return correlate_kernel_gradient(xp, x, dy, kernel, strides, dilation, lower, upper, 1).reshape(
        convolution_map.shape
    )


@tensor_op(
    shape=lambda outputs, out: (outputs, *out),
    resolve=_resolve_transposed,
    settles=("kernel", "strides", "dilation", "same", "lower_pad", "upper_pad", "out", "channels", "outputs"),
    complete=lambda convolution_map, operand: {
        "convolution_map": tuple(
            operand.dims[0] if d == INFERRED and not i else d for i, d in enumerate(convolution_map.dims)
        )
    },
    forward=_transposed_forward,
    gradient={"convolution_map": _transposed_kernel_gradient, "operand": _transposed_operand_gradient},
    cntk=CntkRule(
        "Convolution",
        id=33,
        where={"transpose": True},
        attributes={"output_shape": "outputShape", "strides": "strides", "auto_padding": "autoPadding"},
    ),
    onnx=OnnxRule("ConvTranspose", since=1, attributes={"strides": "strides", "dilation": "dilations"}),
    samples=(
        Sample(((2, 3, 3, 2), (2, 3, 4)), {"auto_padding": [False], "strides": (2, 2)}, parameters=(0,)),
        Sample(
            ((2, 3, 3, 2), (2, 3, 4)),
            {"auto_padding": [False, True, True], "strides": (2, 2), "output_shape": (3, 6, 8)},
            parameters=(0,),
        ),
        Sample(((1, 2, 3), (1, 4)), {"strides": (3,), "output_shape": (2, 12)}, parameters=(0,)),
    ),
)
def convolution_transpose(
    convolution_map: Operand,
    operand: Operand,
    strides: Any = (1,),
    sharing: Any = (True,),
    auto_padding: Any = (True,),
    output_shape: Any = None,
    dilation: Any = (1,),
    reduction_rank: int = 1,
    max_temp_mem_size_in_samples: int = 0,
    name: str = "",
) -> Function:
    """What the gradient of a convolution does: each element of the operand adds its kernel to a window of the result.

    Args:
        convolution_map: kernels (input channels x output channels x spatial sizes).
        operand: (channels x spatial axes); dynamic axes pass through.
        strides: distance of windows in the result for each axis, in elements.
        sharing: accepted for CNTK programs.
        auto_padding: for each axis of the operand, the channels first, whether the convolution that it undoes is
            padded.
        output_shape: shape of the result (channels x spatial); default (n - 1) * stride + kernel size, padded (n - 1)
            * stride + 1.
        dilation: distance of a kernel's elements for each axis.
        reduction_rank: 1 if there is a channel axis, 0 if not.
        max_temp_mem_size_in_samples: accepted for CNTK programs.

    Returns:
        Function (output channels x larger spatial axes).

    Raises:
        ShapeError: if channels differ, or output_shape does not lead back to the operand.

    Example:
        >>> import numpy as np
        >>> import cntk_lab as C
        >>> x = C.input_variable((1, 2))
        >>> k = C.constant(np.array([[[1, 10]]], np.float32))
        >>> C.convolution_transpose(k, x, strides=(2,), auto_padding=[False]).eval({x: [[[1, 2]]]})[0].tolist()
        [[1.0, 10.0, 2.0, 20.0]]

    Source: CNTK 2.7 ``ops.convolution_transpose``; ONNX ConvTranspose-1.
    """
