"""Pooling layers: the largest or the mean element of windows, or of everything."""

from __future__ import annotations

from typing import Any

from cntk_lab.default_options import default_override_or, get_default_override
from cntk_lab.graph.function import Function
from cntk_lab.graph.operand import Operand
from cntk_lab.layers._convolution import _per_axis
from cntk_lab.layers.blocks import _as_shape
from cntk_lab.ops import AVG_POOLING, MAX_POOLING, MAX_UNPOOLING, BlockFunction, pooling, unpooling
from cntk_lab.tensor.shape import UNKNOWN_SHAPE

__all__ = ["AveragePooling", "GlobalAveragePooling", "GlobalMaxPooling", "MaxPooling", "MaxUnpooling"]


def _pooling(kind: int, op_name: str, filter_shape: Any, strides: Any, pad: Any, name: str) -> Function:
    window = _as_shape(filter_shape)
    steps = _per_axis(window, strides, "strides")
    padding = tuple(bool(p) for p in _per_axis(window, pad, "pad"))

    @BlockFunction(op_name, name)
    def pool(x: Operand) -> Any:
        return pooling(x, kind, window, strides=steps, auto_padding=padding)

    return pool


def MaxPooling(filter_shape: Any, strides: Any = 1, pad: Any = default_override_or(False), name: str = "") -> Function:
    """The largest element of each window on the last static axes.

    Args:
        filter_shape: size of the window on each axis, in elements.
        strides: distance of windows for each axis, or for all, in elements.
        pad: for each axis, or for all, whether windows beyond the border are taken too.
        name: name of the layer.

    Returns:
        Function (channels x numbers of windows).

    Raises:
        AttributeValueError: if settings do not have one element for each axis of the window.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.MaxPooling((2, 2), 2)(C.input_variable((3, 8, 8))).shape
        (3, 4, 4)

    Source: CNTK 2.7 ``layers.MaxPooling``.
    """
    pad = get_default_override(MaxPooling, pad=pad)
    return _pooling(MAX_POOLING, "MaxPooling", filter_shape, strides, pad, name)


def AveragePooling(
    filter_shape: Any, strides: Any = 1, pad: Any = default_override_or(False), name: str = ""
) -> Function:
    """The mean of each window on the last static axes; what lies beyond the border does not count.

    Args:
        filter_shape: size of the window on each axis, in elements.
        strides: distance of windows for each axis, or for all, in elements.
        pad: for each axis, or for all, whether windows beyond the border are taken too.
        name: name of the layer.

    Returns:
        Function (channels x numbers of windows).

    Raises:
        AttributeValueError: if settings do not have one element for each axis of the window.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.AveragePooling(2)(C.constant([[1, 2, 4]])).eval().tolist()
        [[1.5, 3.0]]

    Source: CNTK 2.7 ``layers.AveragePooling``.
    """
    pad = get_default_override(AveragePooling, pad=pad)
    return _pooling(AVG_POOLING, "AveragePooling", filter_shape, strides, pad, name)


def _global_pooling(kind: int, op_name: str, name: str) -> Function:
    @BlockFunction(op_name, name)
    def pool(x: Operand) -> Any:
        return pooling(x, kind, UNKNOWN_SHAPE, strides=(1,), auto_padding=(False,))

    return pool


def GlobalMaxPooling(name: str = "") -> Function:
    """The largest element of each channel, over all axes but the first.

    Args:
        name: name of the layer.

    Returns:
        Function (channels x 1 x 1 ...).

    Example:
        >>> import cntk_lab as C
        >>> C.layers.GlobalMaxPooling()(C.constant([[1, 7, 4]])).eval().tolist()
        [[7.0]]

    Source: CNTK 2.7 ``layers.GlobalMaxPooling``.
    """
    return _global_pooling(MAX_POOLING, "GlobalMaxPooling", name)


def GlobalAveragePooling(name: str = "") -> Function:
    """The mean of each channel, over all axes but the first.

    Args:
        name: name of the layer.

    Returns:
        Function (channels x 1 x 1 ...).

    Example:
        >>> import cntk_lab as C
        >>> C.layers.GlobalAveragePooling()(C.constant([[1, 7, 4]])).eval().tolist()
        [[4.0]]

    Source: CNTK 2.7 ``layers.GlobalAveragePooling``.
    """
    return _global_pooling(AVG_POOLING, "GlobalAveragePooling", name)


def MaxUnpooling(filter_shape: Any, strides: Any = 1, pad: Any = False, name: str = "") -> Function:
    """The opposite of :func:`MaxPooling`: puts each element where the largest one of its window was.

    Args:
        filter_shape: size of the window on each axis, in elements, as it was pooled.
        strides: distance of windows, as it was pooled.
        pad: padding, as it was pooled.
        name: name of the layer.

    Returns:
        Function (x, y) of the shape of y: x is what was pooled, y the operand of the pooling.

    Raises:
        AttributeValueError: if settings do not have one element for each axis of the window.

    Example:
        >>> import cntk_lab as C
        >>> image = C.constant([[1, 7, 4, 2]])
        >>> pooled = C.layers.MaxPooling(2, 2)(image)
        >>> C.layers.MaxUnpooling(2, 2)(pooled, image).eval().tolist()
        [[0.0, 7.0, 4.0, 0.0]]

    Source: CNTK 2.7 ``layers.MaxUnpooling``.
    """
    window = _as_shape(filter_shape)
    steps = _per_axis(window, strides, "strides")
    padding = tuple(bool(p) for p in _per_axis(window, pad, "pad"))

    @BlockFunction("MaxUnpooling", name)
    def unpool(x: Operand, y: Operand) -> Any:
        return unpooling(x, y, MAX_UNPOOLING, window, strides=steps, auto_padding=padding)

    return unpool
