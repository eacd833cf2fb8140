"""Random numbers: the process-wide seeds, and the choice of the stream that numbers are drawn from.

* ``next_seed`` and its relatives hand out seeds in program order, as CNTK does: every random initializer, random
  operator and learner takes one when it is created.
* :class:`MersenneTwister64` (``mersenne``) is CNTK's generator on the CPU, bit for bit. Initializers always use it.
* :class:`CounterStream` (``philox``) is the default of dropout and the random operators: the same
  numbers on every device.

Nothing here knows graphs, operators or devices. Idea of seeds in program order: CNTK 2.7.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from cntk_lab import settings
from cntk_lab._turn import new_lock
from cntk_lab.tensor.mersenne import MersenneTwister64, Numbers
from cntk_lab.tensor.philox import CounterStream, counter_words, philox, threshold

__all__ = [
    "AUTO_SEED",
    "CounterStream",
    "MersenneTwister64",
    "Stream",
    "counter_words",
    "get_random_seed",
    "is_random_seed_fixed",
    "next_seed",
    "open_stream",
    "philox",
    "reset_random_seed",
    "resolve_seed",
    "set_fixed_random_seed",
    "threshold",
]

AUTO_SEED: Final = 2**64 - 3
"""The number that means "take the next seed" in initializer descriptions and model files."""


class _Seeds:
    """The counter behind ``next_seed``: counts up, or stands still once a fixed seed is set."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._value, self._fixed = 0, False

    def next(self) -> int:
        with self._lock:
            value = self._value
            if not self._fixed:
                self._value = (value + 1) % 2**64
            return value

    def set(self, value: int, fixed: bool) -> None:
        with self._lock:
            self._value, self._fixed = int(value) % 2**64, fixed

    @property
    def value(self) -> int:
        return self._value

    @property
    def fixed(self) -> bool:
        return self._fixed


_seeds = _Seeds()


def next_seed() -> int:
    """The seed for the random object that is being created: 0, 1, 2, ... in program order, or the fixed seed.

    Returns:
        A whole number from 0 to 2^64 - 1.

    Example:
        >>> reset_random_seed(40)
        >>> next_seed(), next_seed()
        (40, 41)
        >>> reset_random_seed()

    Source: CNTK 2.7 ``cntk_py.generate_random_seed``.
    """
    return _seeds.next()


def set_fixed_random_seed(value: int) -> None:
    """Every object created from now on gets the seed ``value``, until :func:`reset_random_seed` is called.

    Args:
        value: seed, a whole number; taken modulo 2^64.

    Example:
        >>> set_fixed_random_seed(7)
        >>> next_seed(), next_seed()
        (7, 7)
        >>> reset_random_seed()

    Source: CNTK 2.7 ``cntk_py.set_fixed_random_seed``.
    """
    _seeds.set(value, fixed=True)


def reset_random_seed(value: int = 0) -> None:
    """The next created object gets the seed ``value``, the one after it ``value`` + 1, and so on.

    Args:
        value: first seed, a whole number; taken modulo 2^64.

    Example:
        >>> reset_random_seed(3)
        >>> get_random_seed()
        3
        >>> reset_random_seed()

    Source: CNTK 2.7 ``cntk_py.reset_random_seed``.
    """
    _seeds.set(value, fixed=False)


def get_random_seed() -> int:
    """The seed that the next created object would get; asking does not take it.

    Returns:
        A whole number from 0 to 2^64 - 1.

    Example:
        >>> reset_random_seed()
        >>> get_random_seed()
        0

    Source: CNTK 2.7 ``cntk_py.get_random_seed``.
    """
    return _seeds.value


def is_random_seed_fixed() -> bool:
    """Whether every created object gets the same seed (after :func:`set_fixed_random_seed`).

    Returns:
        True or False.

    Example:
        >>> reset_random_seed()
        >>> is_random_seed_fixed()
        False

    Source: CNTK 2.7 ``cntk_py.is_random_seed_fixed``.
    """
    return _seeds.fixed


def resolve_seed(seed: int | None) -> int:
    """``seed`` itself, or the next seed of the process if it is None or the number that means "automatic".

    Args:
        seed: a whole number, None, or :data:`AUTO_SEED`.

    Returns:
        A whole number from 0 to 2^64 - 1.

    Example:
        >>> resolve_seed(12)
        12

    Source: CNTK 2.7 ``SentinelValueForAutoSelectRandomSeed``.
    """
    return next_seed() if seed is None or seed == AUTO_SEED else int(seed) % 2**64


class Stream(Protocol):
    """What initializers and random operators draw from: vectors of float64, in the order of the elements."""

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> Numbers:
        """``count`` numbers in [low, high)."""

    def normal(self, count: int, mean: float = 0.0, scale: float = 1.0) -> Numbers:
        """``count`` normal numbers with this mean and standard deviation."""

    def truncated_normal(self, count: int, mean: float = 0.0, scale: float = 1.0) -> Numbers:
        """``count`` normal numbers no further than two standard deviations from the mean."""

    def gumbel(self, count: int, loc: float = 0.0, scale: float = 1.0) -> Numbers:
        """``count`` numbers of the Gumbel distribution."""

    def bernoulli(self, count: int, mean: float = 0.5) -> Numbers:
        """``count`` zeros and ones; one with probability ``mean``."""

    def keep(self, count: int, rate: float) -> NDArray[np.bool_]:
        """Which of ``count`` elements are kept (boolean); each is dropped with probability ``rate``."""

    def choose(self, weights: Numbers, count: int, allow_duplicates: bool = True) -> NDArray[np.intp]:
        """``count`` positions, each drawn with a probability in proportion to its weight."""


def open_stream(seed: int, xp: ModuleType = np) -> Stream:
    """The stream that dropout and random operators draw from: CNTK's own if the switch ``cntk_random`` is on.

    Args:
        seed: whole number, 0 <= seed < 2^64.
        xp: NumPy or a module that behaves like it; CNTK's stream is always computed by NumPy.

    Returns:
        A :class:`CounterStream` or a :class:`MersenneTwister64` at its beginning.

    Example:
        >>> type(open_stream(0)).__name__
        'CounterStream'

    Source: this project.
    """
    return MersenneTwister64(seed) if settings.flag("cntk_random") else CounterStream(seed, xp=xp)
