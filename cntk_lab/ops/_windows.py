"""Windows that slide over static axes: where they lie, and how arrays are cut along them.

A window's place is said by explicit numbers for each axis: size, stride, dilation and padding below and above (negative
padding skips elements). Must not know which operator asks. Source: CNTK 2.7, observed: padded windows of an axis of n
elements number ceil(n / stride), the odd cells lie at the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from cntk_lab.errors import AttributeValueError, ShapeError
from cntk_lab.tensor.shape import Shape, text


def per_axis(value: Any, rank: int, what: str, fill: Any) -> tuple[Any, ...]:
    """A setting for each of the last ``rank`` axes: one value counts for all, missing ones in front are ``fill``.

    Raises:
        AttributeValueError: if there are no values, or more than axes.

    Example:
        >>> per_axis((2,), 3, "strides", 1), per_axis((2, 3), 3, "strides", 1)
        ((2, 2, 2), (1, 2, 3))
    """
    values = tuple(value) if isinstance(value, Sequence) or hasattr(value, "__iter__") else (value,)
    if len(values) == 1:
        return values * rank
    if not 0 < len(values) <= rank:
        raise AttributeValueError(
            f"{what} has {len(values)} values {values}, there are {rank} axes", fix=f"give {rank} values or one"
        )
    return (fill,) * (rank - len(values)) + values


def count(n: int, k: int, stride: int, *, padded: bool, ceil: bool = False) -> int:
    """How many windows of ``k`` elements (dilation counted) an axis of ``n`` has.

    Example:
        >>> count(5, 2, 2, padded=False), count(5, 2, 2, padded=False, ceil=True), count(5, 3, 2, padded=True)
        (2, 3, 3)
    """
    if n < 0:
        return n
    if padded:
        return -(-n // stride)
    return (-(-(n - k) // stride) if ceil else (n - k) // stride) + 1


def start(n: int, k: int, stride: int, *, padded: bool) -> int:
    """Where the first window begins; negative numbers are padding.

    Example:
        >>> start(4, 3, 2, padded=True), start(6, 2, 3, padded=True)
        (-1, 1)
    """
    if not padded:
        return 0
    cells = (count(n, k, stride, padded=True) - 1) * stride + 1
    return (n - cells) // 2 - (k - 1) // 2


def check_fits(name: str, dims: Shape, kernel: Shape) -> None:
    """Check that no window is larger than its axis.

    Raises:
        ShapeError: naming the first axis that is too short.
    """
    for n, k in zip(dims, kernel, strict=True):
        if k > n >= 0:
            raise ShapeError(
                f"{name}: Convolution operation requires that kernel dim {k} <= input dim {n}.",
                fix=f"give the operand at least {k} elements on that axis, or take a smaller window; it has the "
                f"static axes {text(dims)}",
            )


def pads(
    n: Shape, out: Shape, kernel: Shape, strides: Shape, dilation: Shape, same: Sequence[bool]
) -> tuple[Shape, Shape]:
    """Padding below and above each axis so that it ends with the last window; negative where elements are skipped.

    Args:
        n: sizes of the axes.
        out: numbers of windows.
        kernel: numbers of taps of a window.
        strides: distances of windows.
        dilation: distances of taps.
        same: whether each axis is padded.
    """
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    lower = tuple(-start(a, k, s, padded=p) for a, k, s, p in zip(n, spans, strides, same, strict=True))
    upper = tuple((o - 1) * s + k - a - low for a, o, k, s, low in zip(n, out, spans, strides, lower, strict=True))
    return lower, upper


def padded(xp: Any, x: Any, lower: Sequence[int], upper: Sequence[int], fill: float = 0.0) -> Any:
    """``x`` with its last axes padded with ``fill``, or cut where the padding is negative."""
    lead = x.ndim - len(lower)
    cut = tuple(slice(max(0, -a), None if b >= 0 else b) for a, b in zip(lower, upper, strict=True))
    x = x[(slice(None),) * lead + cut]
    widths = [(0, 0)] * lead + [(max(0, a), max(0, b)) for a, b in zip(lower, upper, strict=True)]
    return xp.pad(x, widths, constant_values=fill) if any(w != (0, 0) for w in widths) else x


def unpadded(xp: Any, x: Any, dims: Shape, lower: Sequence[int], upper: Sequence[int]) -> Any:
    """The opposite of :func:`padded`: the part of ``x`` on axes of sizes ``dims``, zero where it was cut."""
    lead = x.ndim - len(lower)
    keep = tuple(slice(max(0, a), None if b <= 0 else -b) for a, b in zip(lower, upper, strict=True))
    x = x[(slice(None),) * lead + keep]
    widths = [(0, 0)] * lead + [(max(0, -a), max(0, -b)) for a, b in zip(lower, upper, strict=True)]
    x = xp.pad(x, widths) if any(w != (0, 0) for w in widths) else x
    assert tuple(x.shape[lead:]) == tuple(dims)
    return x


def windows(xp: Any, x: Any, kernel: Shape, strides: Shape, dilation: Shape, out: Shape) -> Any:
    """A view ``(leading axes x kernel axes x out axes)`` of a padded array: what each tap of each window sees."""
    rank = len(kernel)
    steps = x.strides[x.ndim - rank :]
    return xp.lib.stride_tricks.as_strided(
        x,
        shape=(*x.shape[: x.ndim - rank], *kernel, *out),
        strides=(
            *x.strides[: x.ndim - rank],
            *(st * d for st, d in zip(steps, dilation, strict=True)),
            *(st * s for st, s in zip(steps, strides, strict=True)),
        ),
    )


def taps(
    kernel: Shape, strides: Shape, dilation: Shape, out: Shape
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Each tap of a window in row-major order, and the slices of a padded array's last axes that it sees."""
    for tap in itertools.product(*(range(k) for k in kernel)):
        yield (
            tap,
            tuple(
                slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, s, o in zip(tap, dilation, strides, out, strict=True)
            ),
        )
