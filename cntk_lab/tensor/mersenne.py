"""CNTK's random numbers on the CPU, bit for bit: mt19937_64 and the distributions drawn from it.

Blocks of words are made at a time with NumPy: about 25 million numbers a second. Nothing here knows seeds of the
process, graphs or devices. Ideas: Nishimura (2000), "Tables of 64-bit Mersenne
Twisters"; Marsaglia, Tsang (2000), "The Ziggurat Method for Generating Random Variables".
"""

from __future__ import annotations

import base64
import functools
import math
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import AttributeValueError, FormatError

Words: TypeAlias = NDArray[np.uint64]
Numbers: TypeAlias = NDArray[np.float64]

_N: Final = 312
_M: Final = 156
_STEP: Final = _N - 1
_UPPER: Final = np.uint64(0xFFFFFFFF80000000)
_LOWER: Final = np.uint64(0x7FFFFFFF)
_TWIST: Final = np.uint64(0xB5026F5AA96619E9)
_ONE: Final = np.uint64(1)
_BLOCK: Final = 1 << 16


class MersenneTwister64:
    """CNTK's random numbers: a position in the sequence of one seed.

    Each call continues where the last one ended.

    Args:
        seed: whole number, 0 <= seed < 2^64.

    Example:
        >>> MersenneTwister64(3).uniform(2).round(5)
        array([0.55877, 0.19576])

    Source: CNTK 2.7 (CPU), numbers in ``tests/golden/random_streams.json``; Nishimura (2000), mt19937-64.
    """

    def __init__(self, seed: int) -> None:
        state = np.empty(_N, np.uint64)
        x = seed % 2**64
        state[0] = x
        for i in range(1, _N):
            x = (6364136223846793005 * (x ^ (x >> 62)) + i) % 2**64
            state[i] = x
        self._state = state
        self._ahead: Words = np.empty(0, np.uint64)
        self._drawn = 0

    @property
    def drawn(self) -> int:
        """How many 64-bit words were consumed since the seed."""
        return self._drawn

    def kept(self) -> str:
        """The stream's place as a text, for files: words drawn, and the words from which the next ones come.

        Example:
            >>> stream = MersenneTwister64(3); _ = stream.words(5)
            >>> again = MersenneTwister64.from_kept(stream.kept())
            >>> bool((again.words(1000) == stream.words(1000)).all()), again.drawn
            (True, 1005)

        Source: this project.
        """
        words = np.concatenate([self._state, self._ahead]).astype("<u8")
        return f"{self._drawn} {base64.b64encode(words.tobytes()).decode('ascii')}"

    @classmethod
    def from_kept(cls, text: str) -> MersenneTwister64:
        """The stream that goes on where another one was.

        Args:
            text: from :meth:`kept`.

        Raises:
            FormatError: if the text is none of those.

        Source: this project.
        """
        try:
            drawn, coded = text.split(" ")
            words = np.frombuffer(base64.b64decode(coded, validate=True), "<u8").astype(np.uint64)
            found = cls(0)
            found._drawn = int(drawn)
        except ValueError as error:
            raise FormatError(
                f"{text[:40]!r} is no place in a random stream", fix="take another copy of the checkpoint"
            ) from error
        if words.size < _N or found._drawn < 0:
            raise FormatError(
                f"a random stream of {words.size} words, {_N} are needed", fix="take another copy of the checkpoint"
            )
        found._state, found._ahead = words[:_N].copy(), words[_N:].copy()
        return found

    def skip(self, count: int) -> None:
        """Goes ``count`` words ahead, as if they had been drawn.

        Args:
            count: number of 64-bit words, >= 0.

        Example:
            >>> stream = MersenneTwister64(3); stream.skip(1)
            >>> stream.uniform(1).round(5)
            array([0.19576])

        Source: CNTK 2.7 ``rngOffset``.
        """
        while count > 0:
            part = min(count, _BLOCK)
            self._peek(part)
            self._consume(part)
            count -= part

    def words(self, count: int) -> Words:
        """The next ``count`` 64-bit words.

        Args:
            count: number of words, >= 0.

        Returns:
            uint64 array (count).

        Example:
            >>> MersenneTwister64(5489).words(1)
            array([14514284786278117030], dtype=uint64)

        Source: Nishimura (2000), reference output of mt19937-64.
        """
        found = self._peek(count)[:count].copy()
        self._consume(count)
        return found

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> Numbers:
        """``count`` numbers spread evenly over [low, high).

        Args:
            count: how many.
            low: smallest value.
            high: end of the range, never reached.

        Returns:
            float64 array (count).

        Example:
            >>> MersenneTwister64(1).uniform(2, -1, 1).round(6)
            array([-0.732247, -0.727186])

        Source: CNTK 2.7 ``random.uniform``.
        """
        if count > _BLOCK:  # pieces that stay in the cache
            result = np.empty(count)
            for at in range(0, count, _BLOCK):
                piece = result[at : at + _BLOCK]
                piece[...] = self.uniform(piece.size, low, high)
            return result
        u = self.words(count) / 2.0**64
        if low != 0 or high != 1:
            u = u * (high - low) + low
        # a word of 2^64 - 2^10 or more rounds up to the end of the range; such words are drawn again
        while u.size and (rest := u < high).sum() < count:
            u = np.concatenate([u[rest], self.uniform(count - int(rest.sum()), low, high)])
        return u

    def normal(self, count: int, mean: float = 0.0, scale: float = 1.0) -> Numbers:
        """``count`` normal numbers; for an odd count one more is drawn and dropped, as CNTK does.

        Args:
            count: how many.
            mean: their expectation.
            scale: their standard deviation.

        Returns:
            float64 array (count).

        Example:
            >>> MersenneTwister64(1).normal(2).round(6)
            array([-0.227702, -0.259377])

        Source: CNTK 2.7 ``random.normal``; Marsaglia, Tsang (2000) with 128 strips.
        """
        return self._normals(count + count % 2)[:count] * scale + mean

    def truncated_normal(self, count: int, mean: float = 0.0, scale: float = 1.0) -> Numbers:
        """``count`` normal numbers no further than two standard deviations from the mean; others are drawn again.

        Args:
            count: how many.
            mean: centre.
            scale: standard deviation before cutting.

        Returns:
            float64 array (count).

        Example:
            >>> bool(abs(MersenneTwister64(1).truncated_normal(1000)).max() < 2)
            True

        Source: CNTK 2.7 ``initializer.truncated_normal``.
        """
        z = np.empty(0)
        while z.size < count:
            more = self._normals(count - z.size)
            z = np.concatenate([z, more[np.abs(more) <= 2]])
        return z * scale + mean

    def gumbel(self, count: int, loc: float = 0.0, scale: float = 1.0) -> Numbers:
        """``count`` numbers of the Gumbel distribution: loc - scale log(-log(1 - u)).

        Args:
            count: how many.
            loc: most likely value.
            scale: width.

        Returns:
            float64 array (count).

        Example:
            >>> MersenneTwister64(3).gumbel(1).round(6)
            array([0.200673])

        Source: CNTK 2.7 ``random.gumbel``.
        """
        return loc - scale * np.log(-np.log1p(-self.uniform(count)))

    def bernoulli(self, count: int, mean: float = 0.5) -> Numbers:
        """``count`` zeros and ones; one where the uniform number is at least 1 - ``mean``.

        Args:
            count: how many.
            mean: probability of a one, 0 <= mean <= 1.

        Returns:
            float64 array (count) of 0 and 1.

        Example:
            >>> MersenneTwister64(3).bernoulli(6, 0.5)
            array([1., 0., 1., 0., 1., 0.])

        Source: CNTK 2.7 ``random.bernoulli``.
        """
        return (self.uniform(count) >= 1 - mean).astype(np.float64)

    def keep(self, count: int, rate: float) -> NDArray[np.bool_]:
        """Which of ``count`` elements are kept: those whose uniform number is at least ``rate``.

        Args:
            count: how many.
            rate: probability that one is dropped, 0 <= rate < 1.

        Returns:
            boolean array (count).

        Example:
            >>> MersenneTwister64(3).keep(4, 0.5)
            array([ True, False,  True, False])

        Source: CNTK 2.7 ``dropout``.
        """
        return np.asarray(self.uniform(count) >= rate)

    def choose(self, weights: Numbers, count: int, allow_duplicates: bool = True) -> NDArray[np.intp]:
        """``count`` positions, each drawn with a probability in proportion to its weight.

        Args:
            weights: (classes), not negative.
            count: how many.
            allow_duplicates: whether a position may be drawn twice; if not, repeated ones are drawn again.

        Returns:
            Positions (count), in the order they were drawn.

        Raises:
            AttributeValueError: if there are fewer positions of positive weight than are asked for.

        Example:
            >>> MersenneTwister64(3).choose(np.arange(1.0, 9.0), 5, allow_duplicates=False)
            array([5, 3, 6, 4, 2])

        Source: CNTK 2.7 ``random_sample``.
        """
        return draw_positions(self.uniform, weights, count, allow_duplicates)

    def _peek(self, count: int) -> Words:
        """At least ``count`` words that lie ahead, not consumed."""
        missing = count - self._ahead.size
        if missing > 0:
            self._ahead = np.concatenate([self._ahead, self._temper(self._generate(missing))])
        return self._ahead

    def _consume(self, count: int) -> None:
        self._ahead = self._ahead[count:]
        self._drawn += count

    def _generate(self, count: int) -> Words:
        """At least ``count`` further words before tempering, 311 at a time.

        Word k + 312 is made from the words k, k + 1 and k + 156: 312 known words give all but the last step of the next
        311 words, and the second half of these takes it from the first.
        """
        steps = -(-count // _STEP)
        x = np.empty(_N + _STEP * steps, np.uint64)
        x[:_N] = self._state
        y, odd = np.empty(_STEP, np.uint64), np.empty(_STEP, np.uint64)
        first, second = y[:_M], y[_M:]
        for i in range(0, _STEP * steps, _STEP):
            following = x[i + 1 : i + _N]
            np.bitwise_and(x[i : i + _STEP], _UPPER, out=y)
            np.bitwise_and(following, _LOWER, out=odd)
            np.bitwise_or(y, odd, out=y)
            np.right_shift(y, _ONE, out=y)
            np.bitwise_and(following, _ONE, out=odd)
            np.multiply(odd, _TWIST, out=odd)
            np.bitwise_xor(y, odd, out=y)
            np.bitwise_xor(first, x[i + _M : i + _N], out=x[i + _N : i + _N + _M])
            np.bitwise_xor(second, x[i + _N : i + _STEP + _M], out=x[i + _N + _M : i + _N + _STEP])
        self._state = x[-_N:].copy()
        return x[_N:]

    @staticmethod
    def _temper(x: Words) -> Words:
        for at in range(0, x.size, _BLOCK):  # pieces that stay in the cache
            w = x[at : at + _BLOCK]
            w ^= (w >> np.uint64(29)) & np.uint64(0x5555555555555555)
            w ^= (w << np.uint64(17)) & np.uint64(0x71D67FFFEDA60000)
            w ^= (w << np.uint64(37)) & np.uint64(0xFFF7EEE000000000)
            w ^= w >> np.uint64(43)
        return x

    def _normals(self, count: int) -> Numbers:
        parts: list[Numbers] = []
        while count > 0:
            part = self._ziggurat(min(count, _BLOCK))
            parts.append(part)
            count -= part.size
        return np.concatenate(parts) if parts else np.empty(0)

    def _ziggurat(self, count: int) -> Numbers:
        """Up to ``count`` normal numbers, at least one: all draws at once, then the few that need a second look.

        A draw is one word: bit 0 the sign, bits 1-7 the strip, the rest the position in the strip. About one draw in a
        hundred lands outside the strip's safe part and takes a second word (and more in the tail).
        """
        table = _normal_table()
        ahead = self._peek(count + 1)
        strip, fraction, sign = _split_normal(ahead[:count])
        z: Numbers = fraction * table.x[strip]
        used = z < table.x[strip + 1]  # becomes: this word's number is one of the results
        odd = np.flatnonzero(~used)
        s, x = strip[odd], z[odd]
        second = ahead[odd + 1] / 2.0**64
        height = table.y[s] + second * (table.y[s + 1] - table.y[s])
        accepted = height < np.exp(-0.5 * x * x)
        z *= sign
        following = 0
        for at, good, in_tail in zip(odd.tolist(), accepted.tolist(), (s == 0).tolist(), strict=True):
            if at < following:  # was a further word of an earlier draw
                continue
            if in_tail:
                cursor = _Cursor(self, at + 1)
                z[at] = _tail(cursor) * sign[at]
                following = cursor.at
            else:
                following = at + 2
            used[at] = good or in_tail
            used[at + 1 : following] = False
        self._consume(max(count, following))
        return z[used]


class _Cursor:
    """Reads single words that lie ahead of a generator without consuming them."""

    def __init__(self, source: MersenneTwister64, at: int) -> None:
        self._source, self.at = source, at

    def next(self) -> int:
        word = int(self._source._peek(self.at + 1)[self.at])
        self.at += 1
        return word


def _tail(cursor: _Cursor) -> float:
    """One number of the normal tail beyond the last strip, from exponential numbers (by inversion)."""
    start = float(_normal_table().x[1])
    while True:
        x = _exponential(cursor) / start
        y = _exponential(cursor)
        if 2 * y > x * x:
            return x + start


def _exponential(cursor: _Cursor) -> float:
    """One exponential number, by inversion."""
    return -math.log(1 - cursor.next() / 2.0**64)


class _Ziggurat:
    """Edges of the strips: x falls from the (widened) lowest strip to 0, y is the density at x."""

    def __init__(self, x: list[Decimal], y: list[Decimal]) -> None:
        self.x = np.array([float(v) for v in x])
        self.y = np.array([float(v) for v in y])


# Start of the tail and area of a strip: the solution of "the last strip ends at x = 0" to 40 digits.
_NORMAL_TAIL: Final = "3.4426198558966521214243204914673397043376"
_NORMAL_AREA: Final = "0.0099125630353364610790956853058101621973797"


@functools.cache
def _normal_table() -> _Ziggurat:
    c = Context(prec=40)
    tail, area = Decimal(_NORMAL_TAIL), Decimal(_NORMAL_AREA)
    density = c.exp(c.divide(c.multiply(tail, -tail), Decimal(2)))
    x, y = [c.divide(area, density), tail], [Decimal(0), density]
    for _ in range(126):
        y.append(c.add(y[-1], c.divide(area, x[-1])))
        x.append(c.sqrt(c.multiply(Decimal(-2), c.ln(y[-1]))))
    return _Ziggurat([*x, Decimal(0)], [*y, Decimal(1)])


_DROPPED_BIT: Final = 2**11
"""The generator clears this bit before it turns the upper 56 bits of a word into a fraction."""


def _split_normal(words: Words) -> tuple[NDArray[np.intp], Numbers, Numbers]:
    strip = ((words >> np.uint64(1)) & np.uint64(127)).astype(np.intp)
    sign = (words & _ONE).astype(np.float64) * 2 - 1
    fraction = ((words & np.uint64(2**64 - 1 - _DROPPED_BIT)) >> np.uint64(8)) / 2.0**56
    return strip, fraction, sign


def draw_positions(
    uniform: Callable[[int, float, float], Numbers], weights: Numbers, count: int, allow_duplicates: bool
) -> NDArray[np.intp]:
    """Positions drawn in proportion to their weights: each is where a uniform number falls among the summed weights."""
    if not allow_duplicates and count > (possible := int(np.count_nonzero(np.asarray(weights) > 0))):
        raise AttributeValueError(
            f"random_sample: {count} different classes are wanted, {possible} have a weight above 0",
            fix="ask for fewer samples or allow duplicates",
        )
    ends = np.cumsum(weights)
    if allow_duplicates:
        return np.searchsorted(ends, uniform(count, 0, float(ends[-1])), side="right")
    chosen: dict[int, None] = {}
    while len(chosen) < count:
        chosen[int(np.searchsorted(ends, uniform(1, 0, float(ends[-1]))[0], side="right"))] = None
    return np.array(list(chosen), dtype=np.intp)
