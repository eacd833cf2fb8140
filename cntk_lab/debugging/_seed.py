"""One seed for everything random. Knows random numbers only."""

from __future__ import annotations

import random

import numpy as np

from cntk_lab.tensor.randomness import set_fixed_random_seed


def force_deterministic(seed: int) -> None:
    """Give Python's, NumPy's and this package's random numbers one seed, so that a program does the same each time.

    Args:
        seed: 0 <= seed < 2^32.

    Source: CNTK 2.7 ``debugging.force_deterministic``.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - programs draw from NumPy's global stream
    set_fixed_random_seed(seed)
