"""The order in which a sweep over the data deals out sequences: reproducible from the seed, CNTK's own.

Chunks are shuffled; then the sequences of a window of neighbouring chunks change places. The generator is seeded with
seed + number of the sweep, so every sweep has an order of its own that depends on nothing else: not on minibatch
sizes, workers, threads or earlier sweeps. An order is produced only as far as it is asked for. Knows no data, only
how many sequences each chunk has.

Source: CNTK 2.7's orders, which are met exactly (tests/golden/io).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cntk_lab.io import _order_native as native
from cntk_lab.tensor.layout import IndexVector
from cntk_lab.tensor.mersenne import MersenneTwister64

Count = Callable[[int], int]
"""Chunk -> number of its sequences."""
_MORE = 4096


class _Lots:
    """Whole numbers from CNTK's generator, drawn in order."""

    def __init__(self, seed: int) -> None:
        self.source = MersenneTwister64(seed % 2**64)
        self._words: NDArray[np.uint64] = np.zeros(0, np.uint64)

    def below(self, limit: int, about: int) -> IndexVector:
        """The next numbers, about so many, each from 0 to ``limit`` - 1; :meth:`used` says how many count."""
        if not len(self._words):
            self._words = self.source.words(max(about, _MORE))
        return (self._words % np.uint64(limit)).astype(np.int64)

    def used(self, count: int) -> None:
        """The first ``count`` of those last drawn are spent."""
        self._words = self._words[count:]


class Order:
    """Sequences in the order of the file: (chunk, number in the chunk) at each position.

    Args:
        chunks: number of chunks.
        count: number of sequences of a chunk.
    """

    def __init__(self, chunks: int, count: Count) -> None:
        self._chunks, self._count = chunks, count
        self._done = self._known = 0
        self._chunk: NDArray[np.int32] = np.zeros(0, np.int32)
        self._number: IndexVector = np.zeros(0, np.int64)

    @property
    def chunk(self) -> NDArray[np.int32]:
        """Chunk of the sequence at each position, as far as produced."""
        return self._chunk[: self._known]

    @property
    def number(self) -> IndexVector:
        """Its number in the chunk."""
        return self._number[: self._known]

    def grow(self) -> bool:
        """Produce one more chunk's worth of positions; False if the sweep is complete."""
        if self._done >= self._chunks:
            return False
        chunk, self._done = self._done, self._done + 1
        size = self._count(chunk)
        self._append(np.full(size, chunk, np.int32), np.arange(size, dtype=np.int64))
        return True

    def _append(self, chunk: NDArray[np.int32], number: IndexVector) -> None:
        first, self._known = self._known, self._known + len(chunk)
        if self._known > len(self._chunk):  # room for twice as many: in all, each is copied about once
            size = self._known if first == 0 else 2 * self._known
            self._chunk = np.concatenate([self._chunk[:first], np.empty(size - first, np.int32)])
            self._number = np.concatenate([self._number[:first], np.empty(size - first, np.int64)])
        self._chunk[first : self._known] = chunk
        self._number[first : self._known] = number


class ShuffledOrder(Order):
    """Shuffled chunks, and sequences that change places within a window.

    Args:
        chunks: number of chunks.
        count: number of sequences of a chunk.
        seed: seed + number of the sweep.
        window: chunks in the window (at least 1).
        samples: number of samples of a chunk, if the window is given in samples.
        window_in_samples: samples in the window; 0: ``window`` counts.
    """

    def __init__(
        self,
        chunks: int,
        count: Count,
        seed: int,
        window: int,
        samples: Count | None = None,
        window_in_samples: int = 0,
    ) -> None:
        super().__init__(chunks, count)
        order = list(range(chunks))
        draws = MersenneTwister64(seed % 2**64).words(chunks) % np.uint64(max(chunks, 1))
        for i, j in enumerate(draws.tolist()):
            order[i], order[j] = order[j], order[i]
        self.order = order
        self._lots = _Lots(seed)
        self._first = [0]  # position where each chunk of the shuffled order starts
        # sequences that may still move, from position ``_known`` on: place of their chunk in the order, number in it
        self._owner: IndexVector = np.zeros(0, np.int64)
        self._own_number: IndexVector = np.zeros(0, np.int64)
        self._sizes = [0, *np.cumsum([samples(c) for c in order]).tolist()] if samples and window_in_samples else None
        self._window, self._window_in_samples = window, window_in_samples

    def window(self, place: int) -> tuple[int, int]:
        """First and last + 1 place of the chunks whose sequences may change with those of the chunk at ``place``."""
        if self._sizes is None:
            end = min(self._chunks, max(0, place - self._window // 2) + self._window)
            return max(0, end - self._window), max(end, place + 1)
        sizes, half = self._sizes, self._window_in_samples // 2
        begin, end = place, place + 1
        while begin > 0 and sizes[place] - sizes[begin - 1] <= half:
            begin -= 1
        while end < self._chunks and sizes[end + 1] - sizes[place] < half:
            end += 1
        return begin, end

    def _admit(self, end: int) -> None:
        while len(self._first) <= end:
            place = len(self._first) - 1
            size = self._count(self.order[place])
            self._owner = np.concatenate([self._owner, np.full(size, place, np.int64)])
            self._own_number = np.concatenate([self._own_number, np.arange(size)])
            self._first.append(self._first[-1] + size)

    def grow(self) -> bool:
        """Produce one more chunk's worth of positions; False if the sweep is complete."""
        if self._done >= self._chunks:
            return False
        if self.window(0)[1] == self._chunks and self.window(self._chunks - 1)[0] == 0:
            return self._grow_whole()
        place, self._done = self._done, self._done + 1
        begin, end = self.window(place)
        self._admit(end)
        low, high = self._first[begin] - self._known, self._first[end] - self._known
        owner, number = self._owner[low:high], self._own_number[low:high]
        first = np.array(self._first[begin : end + 1], np.int64) - self._first[begin]
        windows = np.array([self.window(p) for p in range(begin, end)], np.int64).T.copy()
        at = int(first[place - begin])
        while at < first[place - begin + 1]:
            draws = self._lots.below(high - low, int(first[place - begin + 1]) - at)
            around = (place - begin, begin, at)
            done = native.swap_in_window(owner, number, first, windows, around, draws)
            at, used = done or _swap_in_window(owner, number, first, windows, around, draws)
            self._lots.used(used)
        self._publish(self.window(place + 1)[0] if place + 1 < self._chunks else self._chunks)
        return True

    def _grow_whole(self) -> bool:
        """The whole sweep at once, where every window holds everything: any two sequences may change places."""
        self._done = self._chunks
        sizes = np.array([self._count(c) for c in self.order], np.int64)
        chunk = np.repeat(np.asarray(self.order, np.int32), sizes)
        number = np.arange(len(chunk)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        places = np.arange(len(chunk))
        draws = (self._lots.source.words(len(chunk)) % np.uint64(max(len(chunk), 1))).astype(np.int64)
        if not native.swap_all(places, draws):
            listed = places.tolist()
            for i, j in enumerate(draws.tolist()):
                listed[i], listed[j] = listed[j], listed[i]
            places = np.asarray(listed, np.int64)
        self._append(chunk[places], number[places])
        return True

    def _publish(self, limit: int) -> None:
        """Chunks before place ``limit`` are final: no later window reaches them."""
        count = self._first[limit] - self._known
        if count:
            chunk = np.asarray(self.order, np.int32)[self._owner[:count]]
            number = self._own_number[:count]
            self._owner, self._own_number = self._owner[count:], self._own_number[count:]
            self._append(chunk, number)


def _swap_in_window(
    owner: IndexVector, number: IndexVector, first: IndexVector, windows: IndexVector, at: tuple[int, int, int],
    draws: IndexVector,
) -> tuple[int, int]:  # fmt: skip
    """What ``_order_native.swap_in_window`` does, by Python: a draw is spent in vain where one of the two sequences
    would leave its window.
    """
    chunk, begin, i = at
    owners, numbers, used = owner.tolist(), number.tolist(), 0
    low, high = first[chunk : chunk + 2].tolist()
    begins, ends = windows.tolist()
    for j in draws.tolist():
        if i >= high:
            break
        used += 1
        mine, other = owners[i], owners[j]
        if not begin <= other < begin + len(begins):
            continue
        if not low <= j < high:
            there = int(np.searchsorted(first, j, side="right")) - 1
            if not begins[there] <= mine < ends[there]:
                continue
        owners[i], owners[j] = other, mine
        numbers[i], numbers[j] = numbers[j], numbers[i]
        i += 1
    owner[:], number[:] = owners, numbers
    return i, used
