"""Sums of kernels times windows, as matrix products of gathered columns (im2col), and what their gradients mean.

Rows are taken in portions, so that columns never need much memory. Must not know operators or attributes: it is given
explicit numbers for each spatial axis. Source: Chellapilla et al. (2006).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cntk_lab.ops import _windows as w
from cntk_lab.tensor.shape import Shape, size

_COLUMNS = 1 << 22
"""Most elements of the gathered columns at a time: a portion of rows fits the processor's cache levels."""


def counts(dims: Shape, kernel: Shape, strides: Shape, dilation: Shape, same: Sequence[bool]) -> Shape:
    """Numbers of windows of each axis."""
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    return tuple(w.count(n, k, s, padded=p) for n, k, s, p in zip(dims, spans, strides, same, strict=True))


def at_run_time(
    dims: Shape,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    same: Sequence[bool],
    lower: Shape | None,
    upper: Shape | None,
) -> tuple[Shape, Shape, Shape]:
    """Numbers of windows and paddings for the sizes at hand (dimensions may be free)."""
    out = counts(dims, kernel, strides, dilation, same)
    if lower is None or upper is None:
        lower, upper = w.pads(dims, out, kernel, strides, dilation, same)
    return out, lower, upper


def _columns(
    xp: Any, x: Any, kernel: Shape, strides: Shape, dilation: Shape, out: Shape, lower: Shape, upper: Shape, groups: int
) -> Iterator[tuple[slice, Any]]:
    """Portions of rows of ``x`` (rows x channels x spatial) as columns (rows x groups x channels*taps x windows)."""
    rows, channels = x.shape[:2]
    width = size(kernel) * size(out)
    portion = max(1, _COLUMNS // max(1, channels * width))
    for at in range(0, rows, portion):
        part = slice(at, min(rows, at + portion))
        seen = w.windows(xp, w.padded(xp, x[part], lower, upper), kernel, strides, dilation, out)
        yield part, seen.reshape(part.stop - at, groups, channels // groups * size(kernel), size(out))


def _wide(x: Any) -> Any:
    """Half precision is multiplied in single precision."""
    return x.astype("float32") if x.dtype == np.float16 else x


def correlate(
    xp: Any,
    x: Any,
    weights: Any,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    out: Shape,
    lower: Shape,
    upper: Shape,
    groups: int,
) -> Any:
    """The convolution of rows x C x spatial with O x C/groups x kernel."""
    o = weights.shape[0]
    matrix = _wide(weights).reshape(groups, o // groups, -1)
    result = xp.empty((x.shape[0], o, *out), x.dtype)
    flat = result.reshape(x.shape[0], groups, o // groups, size(out))
    for part, columns in _columns(xp, _wide(x), kernel, strides, dilation, out, lower, upper, groups):
        flat[part] = xp.matmul(matrix, columns)
    return result


def correlate_operand_gradient(
    xp: Any,
    dy: Any,
    weights: Any,
    dims: Shape,
    kernel: Shape,
    strides: Shape,
    dilation: Shape,
    lower: Shape,
    upper: Shape,
    groups: int,
) -> Any:
    """What a convolution's output gradient (rows x O x out) means for its operand (rows x C x dims)."""
    rows, o, out = dy.shape[0], dy.shape[1], tuple(dy.shape[2:])
    channels = weights.shape[1] * groups
    matrix = _wide(weights).reshape(groups, o // groups, -1).transpose(0, 2, 1)
    extent = tuple(n + a + b for n, a, b in zip(dims, lower, upper, strict=True))
    result = xp.empty((rows, channels, *dims), dy.dtype)
    portion = max(1, _COLUMNS // max(1, channels * size(kernel) * size(out)))
    for at in range(0, rows, portion):
        part = slice(at, min(rows, at + portion))
        n = part.stop - at
        columns = xp.matmul(matrix, _wide(dy[part]).reshape(n, groups, o // groups, -1)).reshape(
            n, channels, *kernel, *out
        )
        spread = xp.zeros((n, channels, *extent), columns.dtype)
        for tap, where in w.taps(kernel, strides, dilation, out):
            spread[(slice(None), slice(None), *where)] += columns[(slice(None), slice(None), *tap)]
        result[part] = w.unpadded(xp, spread, dims, lower, upper)
    return result


def correlate_kernel_gradient(
    xp: Any, dy: Any, x: Any, kernel: Shape, strides: Shape, dilation: Shape, lower: Shape, upper: Shape, groups: int
) -> Any:
    """What a convolution's output gradient means for its kernels (O x C/groups x kernel)."""
    o, out = dy.shape[1], tuple(dy.shape[2:])
    total: Any = xp.zeros((groups, o // groups, x.shape[1] // groups * size(kernel)), _wide(dy).dtype)
    slopes = _wide(dy).reshape(dy.shape[0], groups, o // groups, size(out))
    for part, columns in _columns(xp, _wide(x), kernel, strides, dilation, out, lower, upper, groups):
        total = total + xp.matmul(slopes[part], columns.transpose(0, 1, 3, 2)).sum(axis=0)
    return total.reshape(o, x.shape[1] // groups, *kernel).astype(dy.dtype)
