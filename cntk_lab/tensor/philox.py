"""The counter-based stream: Philox 4x32-10, a pure formula of (seed, step, element).

Any element can be computed alone, in any order, on any device, and is always the same. Nothing here knows graphs or
devices; ``xp`` takes NumPy or a module that behaves like it. Idea: Salmon et al. (2011), "Parallel random numbers: as
easy as 1, 2, 3".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab.tensor.mersenne import draw_positions

MULTIPLY: Final = (0xD2511F53, 0xCD9E8D57)
WEYL: Final = (0x9E3779B9, 0xBB67AE85)
ROUNDS: Final = 10
native_fill: Callable[[NDArray[np.uint32], int, int, int], bool] | None = None
"""Writes words of whole blocks (array, first block, step, seed) by native code, if a backend offers that."""


def philox(xp: ModuleType, counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """Four words that look random, for each counter: Philox 4x32 with 10 rounds.

    The words are a pure formula of counter and key: additions, products and exclusive ors of 32-bit words, so the
    result is the same on every device. A backend that prints its own version is compared with this one.

    Args:
        xp: NumPy or a module that behaves like it.
        counter: four uint32 arrays (or scalars) that broadcast together.
        key: two whole numbers below 2^32.

    Returns:
        Four uint32 arrays.

    Example:
        >>> zero = np.zeros(1, np.uint32)
        >>> [hex(int(w[0])) for w in philox(np, (zero, zero, zero, zero), (0, 0))]
        ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']

    Source: Salmon et al. (2011), section 4; test vectors of the authors' library Random123.
    """
    low32, shift = xp.uint64(0xFFFFFFFF), xp.uint64(32)
    c0, c1, c2, c3 = (xp.asarray(c, dtype=xp.uint64) for c in counter)
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * xp.uint64(MULTIPLY[0]), c2 * xp.uint64(MULTIPLY[1])
        c0, c1, c2, c3 = (p1 >> shift) ^ c1 ^ xp.uint64(k0), p1 & low32, (p0 >> shift) ^ c3 ^ xp.uint64(k1), p0 & low32
        k0, k1 = (k0 + WEYL[0]) % 2**32, (k1 + WEYL[1]) % 2**32
    return c0.astype(xp.uint32), c1.astype(xp.uint32), c2.astype(xp.uint32), c3.astype(xp.uint32)


def counter_words(xp: ModuleType, seed: int, step: int, count: int, first: int = 0) -> Any:
    """The 32-bit words of the elements ``first`` to ``first + count - 1`` in one step of one stream.

    Element i is word ``i % 4`` of Philox with the counter (block % 2^32, block // 2^32, step % 2^32, step // 2^32),
    block = i // 4, and the key (seed % 2^32, seed // 2^32).

    Args:
        xp: NumPy or a module that behaves like it.
        seed: the stream, 0 <= seed < 2^64.
        step: how often the stream was used before, 0 <= step < 2^64.
        count: how many elements.
        first: the first of them; any part can be computed alone.

    Returns:
        uint32 array (count).

    Example:
        >>> whole, part = counter_words(np, 5, 2, 100), counter_words(np, 5, 2, 10, first=33)
        >>> bool((whole[33:43] == part).all())
        True

    Source: this project; Salmon et al. (2011).
    """
    begin, end = first // 4, -(-(first + count) // 4)
    out = xp.empty((max(end - begin, 0), 4), dtype=xp.uint32)
    if xp is np and native_fill is not None and native_fill(out, begin, step, seed):
        return out.reshape(-1)[first - 4 * begin : first - 4 * begin + count]
    key = (seed % 2**32, seed // 2**32 % 2**32)
    piece = 1 << 14  # NumPy's intermediate arrays of one piece stay in the cache
    for at in range(begin, end, piece):
        block = xp.arange(at, min(at + piece, end), dtype=xp.uint64)
        counter = (block & xp.uint64(0xFFFFFFFF), block >> xp.uint64(32), step % 2**32, step // 2**32 % 2**32)
        for word, values in enumerate(philox(xp, counter, key)):
            out[at - begin : at - begin + block.size, word] = values
    return out.reshape(-1)[first - 4 * begin : first - 4 * begin + count]


def threshold(probability: float) -> int:
    """The number of 32-bit words that stand for an event of this probability: an element happens if word < threshold.

    Comparing whole numbers makes masks the same on every device, whatever its rounding.

    Args:
        probability: 0 <= probability <= 1.

    Returns:
        A whole number from 0 to 2^32.

    Example:
        >>> threshold(0.25) == 2**30
        True

    Source: this project.
    """
    return min(max(round(probability * 2**32), 0), 2**32)


class CounterStream:
    """The counter-based stream of one seed: two draws of n numbers are one draw of 2 n.

    Args:
        seed: whole number, 0 <= seed < 2^64.
        step: how many elements were drawn before; with it a stream can be continued anywhere.
        xp: NumPy or a module that behaves like it.

    Example:
        >>> stream = CounterStream(3)
        >>> a, b = stream.uniform(4), stream.uniform(4)
        >>> bool((a == CounterStream(3).uniform(4)).all()), bool((b == CounterStream(3, step=4).uniform(4)).all())
        (True, True)

    Source: this project; Salmon et al. (2011).
    """

    def __init__(self, seed: int, step: int = 0, xp: ModuleType = np) -> None:
        self.seed, self.step, self._xp = seed % 2**64, step, xp

    def _words(self, count: int) -> Any:
        words = counter_words(self._xp, self.seed, 0, count, first=self.step)
        self.step += count
        return words

    def _open(self, count: int) -> Any:
        """Numbers strictly between 0 and 1: the middle of one of 2^32 equal parts."""
        return (self._words(count).astype(self._xp.float64) + 0.5) * 2.0**-32

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> Any:
        """``count`` numbers in [low, high): 24 bits of the word, exact in float32 for [0, 1).

        Args:
            count: how many.
            low: smallest value.
            high: end of the range.

        Returns:
            float64 array (count).

        Example:
            >>> bool((CounterStream(1).uniform(1000, 2, 3) >= 2).all())
            True

        Source: this project.
        """
        return (self._words(count) >> self._xp.uint32(8)).astype(self._xp.float64) * (2.0**-24 * (high - low)) + low

    def normal(self, count: int, mean: float = 0.0, scale: float = 1.0) -> Any:
        """``count`` normal numbers; elements 2 i and 2 i + 1 come from words 2 i and 2 i + 1 (Box and Muller).

        Args:
            count: how many.
            mean: their expectation.
            scale: their standard deviation.

        Returns:
            float64 array (count).

        Example:
            >>> CounterStream(1).normal(3).shape
            (3,)

        Source: Box, Muller (1958).
        """
        xp = self._xp
        u = self._open(count + count % 2).reshape(-1, 2)
        radius, angle = xp.sqrt(-2 * xp.log(u[:, 0])), 2 * math.pi * u[:, 1]
        z = xp.stack([radius * xp.cos(angle), radius * xp.sin(angle)], axis=1).reshape(-1)[:count]
        return z * scale + mean

    def truncated_normal(self, count: int, mean: float = 0.0, scale: float = 1.0) -> Any:
        """``count`` normal numbers no further than two standard deviations from the mean.

        Rejected numbers are replaced by those that follow, element by element, until none is left.

        Args:
            count: how many.
            mean: centre.
            scale: standard deviation before cutting.

        Returns:
            float64 array (count).

        Example:
            >>> bool(abs(CounterStream(1).truncated_normal(1000)).max() <= 2)
            True

        Source: this project.
        """
        z = self.normal(count)
        while (outside := self._xp.abs(z) > 2).any():
            z = self._xp.where(outside, self.normal(count), z)
        return z * scale + mean

    def gumbel(self, count: int, loc: float = 0.0, scale: float = 1.0) -> Any:
        """``count`` numbers of the Gumbel distribution: loc - scale log(-log u).

        Args:
            count: how many.
            loc: most likely value.
            scale: width.

        Returns:
            float64 array (count).

        Example:
            >>> CounterStream(1).gumbel(2).shape
            (2,)

        Source: this project.
        """
        return loc - scale * self._xp.log(-self._xp.log(self._open(count)))

    def bernoulli(self, count: int, mean: float = 0.5) -> Any:
        """``count`` zeros and ones; one where the word is below ``threshold(mean)``.

        Args:
            count: how many.
            mean: probability of a one.

        Returns:
            float64 array (count) of 0 and 1.

        Example:
            >>> int(CounterStream(1).bernoulli(10, 1.0).sum())
            10

        Source: this project.
        """
        return (self._words(count) < threshold(mean)).astype(self._xp.float64)

    def keep(self, count: int, rate: float) -> Any:
        """Which of ``count`` elements are kept; dropped are those whose word is below ``threshold(rate)``.

        Args:
            count: how many.
            rate: probability that one is dropped.

        Returns:
            boolean array (count).

        Example:
            >>> int(CounterStream(1).keep(10, 0.0).sum())
            10

        Source: this project.
        """
        return self._words(count) >= self._xp.uint32(min(threshold(rate), 2**32 - 1))

    def choose(self, weights: Any, count: int, allow_duplicates: bool = True) -> NDArray[np.intp]:
        """``count`` positions, each drawn with a probability in proportion to its weight.

        Args:
            weights: (classes), not negative.
            count: how many.
            allow_duplicates: whether a position may be drawn twice.

        Returns:
            Positions (count), in the order they were drawn.

        Raises:
            AttributeValueError: if there are fewer positions of positive weight than are asked for.

        Example:
            >>> sorted(CounterStream(3).choose(np.ones(3), 3, allow_duplicates=False).tolist())
            [0, 1, 2]

        Source: this project.
        """
        on_host = weights.get() if hasattr(weights, "get") else weights
        return draw_positions(_HostStream(self).uniform, np.asarray(on_host, np.float64), count, allow_duplicates)


class _HostStream(CounterStream):
    """The numbers of a counter stream on the host; advances the stream it was made from."""

    def __init__(self, owner: CounterStream) -> None:
        super().__init__(owner.seed, owner.step)
        self._owner = owner

    def _words(self, count: int) -> Any:
        words = super()._words(count)
        self._owner.step = self.step
        return words
