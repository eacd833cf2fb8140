"""Data that name a place or count something, as whole numbers: no operator reads memory by a number that was not looked
at here.

Numbers come in float elements, so they may be anything: fractions, NaN, infinite. Must not know operators.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.errors import DataError
from cntk_lab.tensor.arrays import to_host


def whole(numbers: Any, low: int, high: int, what: str, fix: str) -> Any:
    """Numbers within bounds as int64, fractions cut off.

    Args:
        numbers: array whose first axis is the rows.
        low: least number allowed.
        high: largest number allowed.
        what: what a number is that is not allowed; ``{}`` stands for it.
        fix: what to do about it.

    Raises:
        DataError: if a number is not within bounds.

    Example:
        >>> whole(np.array([0.0, 2.9]), 0, 2, "index {}", "").tolist()
        [0, 2]
    """
    if numbers.size and not (float(numbers.min()) > low - 1 and float(numbers.max()) < high + 1):
        host = to_host(numbers)
        wrong = ~((host > low - 1) & (host < high + 1))
        place = [int(i) for i in np.argwhere(wrong)[0]]
        where = f"row {place[0]}, element {place[1:]}" if len(place) > 1 else f"row {place[0]}" if place else ""
        raise DataError(what.format(f"{float(host[wrong][0]):.15g}"), where, fix)
    return numbers.astype(np.int64)


def places(xp: Any, numbers: Any, count: int) -> Any:
    """Numbers as int64, fractions cut off; -1 for what is no place among ``count``.

    Example:
        >>> places(np, np.array([1.5, 3.0, np.nan, -2.0]), 3).tolist()
        [1, -1, -1, -1]
    """
    return xp.where((numbers > -1) & (numbers < count), numbers, -1).astype(np.int64)


def finite(numbers: Any, what: str) -> Any:
    """The numbers themselves, on the host.

    Args:
        numbers: array whose first axis is the rows.
        what: what they are, for messages.

    Raises:
        DataError: if one is NaN or infinite.
    """
    host = to_host(numbers)
    if not np.isfinite(host).all():
        place = [int(i) for i in np.argwhere(~np.isfinite(host))[0]]
        raise DataError(f"{what} {host[tuple(place)]}", f"row {place[0]}" if place else "", "give finite numbers")
    return host
