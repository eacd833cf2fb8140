"""What an inspector shows of an array: range, mean, histogram, image. Must not know where the array comes from."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cntk_lab.widgets import _messages as messages

BINS: Final = 32
LARGEST_IMAGE: Final = 64
"""Rows and columns of a parameter that are sent as an image."""


def statistics(name: str, array: npt.NDArray[Any]) -> messages.Statistics:
    """What an inspector shows of an array.

    Args:
        name: of the parameter.
        array: its value, of any shape.

    Returns:
        Extremes, mean, standard deviation, zeros, not-finite elements, a histogram of 32 bins over the finite elements,
        and the first 64 x 64 elements of the last two axes as an image.

    Example:
        >>> s = statistics("W", np.array([[0.0, 1.0], [2.0, np.nan]]))
        >>> s.low, s.high, s.zeros, s.not_finite
        (0.0, 2.0, 1, 1)
    """
    flat = np.asarray(array, dtype=np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    image: npt.NDArray[np.float64] = np.zeros((0, 0))
    if np.ndim(array) >= 2:
        image = np.asarray(array, dtype=np.float64)[(0,) * (np.ndim(array) - 2)][:LARGEST_IMAGE, :LARGEST_IMAGE]
        image = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)

    def number(value: Any) -> float | None:
        return float(value) if finite.size and np.isfinite(value) else None

    low, high = (finite.min(), finite.max()) if finite.size else (0, 0)
    with np.errstate(over="ignore", invalid="ignore"):  # sums of numbers near the largest there are
        mean, deviation = (finite.mean(), finite.std()) if finite.size else (0, 0)
    return messages.Statistics(
        name=name, shape=list(np.shape(array)), dtype=str(array.dtype), count=flat.size, low=number(low),
        high=number(high), mean=number(mean), deviation=number(deviation), zeros=int((flat == 0).sum()),
        not_finite=int(flat.size - finite.size), histogram=_histogram(finite), image=image.tolist(),
    )  # fmt: skip


def _histogram(finite: npt.NDArray[np.float64]) -> list[int]:
    """How many numbers lie in each of equal parts of their range; all in the middle if they are one number.

    NumPy's own refuses ranges beyond the largest number and those of a few neighbouring ones.
    """
    if not finite.size:
        return [0] * BINS
    low, high = finite.min(), finite.max()
    if low == high:
        return [finite.size if i == BINS // 2 else 0 for i in range(BINS)]
    scale = 1.0 if high / 2 - low / 2 < np.finfo(np.float64).max / 2 else 0.25
    place = (finite * scale - low * scale) / (high * scale - low * scale) * BINS
    return [int(n) for n in np.bincount(np.minimum(place.astype(np.int64), BINS - 1), minlength=BINS)]
