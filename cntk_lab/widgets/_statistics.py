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
    bins = np.histogram(finite, BINS)[0] if finite.size else np.zeros(BINS, int)
    image: npt.NDArray[np.float64] = np.zeros((0, 0))
    if np.ndim(array) >= 2:
        image = np.asarray(array, dtype=np.float64)[(0,) * (np.ndim(array) - 2)][:LARGEST_IMAGE, :LARGEST_IMAGE]
        image = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)

    def number(value: Any) -> float | None:
        return float(value) if finite.size else None

    low, high = (finite.min(), finite.max()) if finite.size else (0, 0)
    mean, deviation = (finite.mean(), finite.std()) if finite.size else (0, 0)
    return messages.Statistics(
        name=name, shape=list(np.shape(array)), dtype=str(array.dtype), count=flat.size, low=number(low),
        high=number(high), mean=number(mean), deviation=number(deviation), zeros=int((flat == 0).sum()),
        not_finite=int(flat.size - finite.size), histogram=[int(n) for n in bins], image=image.tolist(),
    )  # fmt: skip
