"""What an inspector shows of an array: range, mean, histogram, image. Must not know where the array comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cntk_lab.widgets import _messages as messages

PIECE: Final = 1 << 18
"""Elements that are looked at together."""
BINS: Final = 32
LARGEST_MOSAIC: Final = 96
"""Rows and columns of several maps beside each other."""
LARGEST_IMAGE: Final = 64
"""Rows and columns of a parameter that are sent as an image."""


def statistics(name: str, array: npt.NDArray[Any]) -> messages.Statistics:
    """What an inspector shows of an array.

    Args:
        name: of the parameter.
        array: its value, of any shape.

    Returns:
        Extremes, mean, standard deviation, zeros, not-finite elements, a histogram of 32 bins over the finite elements,
        and an image: the last two axes, 64 x 64 elements at most; of small maps (channels x rows x columns) as many as
        there is room for, side by side.

    Example:
        >>> s = statistics("W", np.array([[0.0, 1.0], [2.0, np.nan]]))
        >>> s.low, s.high, s.zeros, s.not_finite
        (0.0, 2.0, 1, 1)
    """
    whole = np.asarray(array).reshape(-1)
    image = _image(np.asarray(array))
    low, high = np.inf, -np.inf
    count, zeros, total = 0, 0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # sums of numbers near the largest there are
        for finite in _finite_pieces(whole):
            low, high = min(low, finite.min()), max(high, finite.max())
            count, zeros, total = count + finite.size, zeros + int((finite == 0).sum()), total + finite.sum()
        mean = total / count if count else 0.0
        squares = sum(float(np.square(finite - mean).sum()) for finite in _finite_pieces(whole))
        deviation = np.sqrt(squares / count) if count else 0.0

    def number(value: Any) -> float | None:
        return float(value) if count and np.isfinite(value) else None

    return messages.Statistics(
        name=name, shape=list(np.shape(array)), dtype=str(array.dtype), count=whole.size, low=number(low),
        high=number(high), mean=number(mean), deviation=number(deviation), zeros=zeros,
        not_finite=int(whole.size - count), histogram=_histogram(whole, low, high, count), image=image.tolist(),
    )  # fmt: skip


def _image(array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The last two axes as numbers to paint; several small ones in rows, with a line of zeros between them."""
    if array.ndim < 2 or not array.size:
        return np.zeros((0, 0))
    maps = array.reshape(-1, *array.shape[-2:])
    height, width = (min(n, LARGEST_IMAGE) for n in maps.shape[1:])
    side = max(1, min(math.isqrt(len(maps)), LARGEST_MOSAIC // (max(height, width) + 1)))
    image = np.zeros((side * (height + 1) - 1, side * (width + 1) - 1))
    for number in range(side * side):
        top, left = (number // side) * (height + 1), (number % side) * (width + 1)
        image[top : top + height, left : left + width] = maps[number][:height, :width]
    return np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)


def _finite_pieces(whole: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.float64]]:
    """The finite elements, a piece at a time: a copy of a large array in float64 would need twice its memory."""
    for start in range(0, whole.size, PIECE):
        piece = whole[start : start + PIECE].astype(np.float64)
        finite = piece[np.isfinite(piece)]
        if finite.size:
            yield finite


def _histogram(whole: npt.NDArray[Any], low: float, high: float, count: int) -> list[int]:
    """How many numbers lie in each of equal parts of their range; all in the middle if they are one number.

    NumPy's own refuses ranges beyond the largest number and those of a few neighbouring ones.
    """
    if not count:
        return [0] * BINS
    if low == high:
        return [count if i == BINS // 2 else 0 for i in range(BINS)]
    scale = 1.0 if high / 2 - low / 2 < np.finfo(np.float64).max / 2 else 0.25
    found = np.zeros(BINS, np.int64)
    for finite in _finite_pieces(whole):
        place = (finite * scale - low * scale) / (high * scale - low * scale) * BINS
        found += np.bincount(np.minimum(place.astype(np.int64), BINS - 1), minlength=BINS)
    return [int(n) for n in found]
