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

from cntk_lab.tensor.layout import IndexVector
from cntk_lab.tensor.mersenne import MersenneTwister64

Count = Callable[[int], int]
"""Chunk -> number of its sequences."""
_MORE = 4096


class _Lots:
    """Whole numbers from CNTK's generator, drawn one by one."""

    def __init__(self, seed: int) -> None:
        self.source = MersenneTwister64(seed % 2**64)
        self._words: list[int] = []

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1."""
        if not self._words:
            self._words = self.source.words(_MORE).tolist()[::-1]
        return self._words.pop() % limit


class Order:
    """Sequences in the order of the file: (chunk, number in the chunk) at each position.

    Args:
        chunks: number of chunks.
        count: number of sequences of a chunk.
    """

    def __init__(self, chunks: int, count: Count) -> None:
        self._chunks, self._count = chunks, count
        self._done = 0
        self.chunk: NDArray[np.int32] = np.zeros(0, np.int32)
        self.number: IndexVector = np.zeros(0, np.int64)

    def grow(self) -> bool:
        """Produce one more chunk's worth of positions; False if the sweep is complete."""
        if self._done >= self._chunks:
            return False
        chunk, self._done = self._done, self._done + 1
        size = self._count(chunk)
        self._append(np.full(size, chunk, np.int32), np.arange(size, dtype=np.int64))
        return True

    def _append(self, chunk: NDArray[np.int32], number: IndexVector) -> None:
        self.chunk = np.concatenate([self.chunk, chunk]) if len(self.chunk) else chunk
        self.number = np.concatenate([self.number, number]) if len(self.number) else number


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
        lots = _Lots(seed)
        for i in range(chunks):
            j = lots.below(chunks)
            order[i], order[j] = order[j], order[i]
        self.order = order
        self._lots = _Lots(seed)
        self._first = [0]  # position where each chunk of the shuffled order starts
        self._places: list[tuple[int, int]] = []  # (place of the chunk in the order, number in the chunk)
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
            self._places += [(place, i) for i in range(size)]
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
        first, places, below = self._first, self._places, self._lots.below
        low, width = first[begin], first[end] - first[begin]
        windows = [self.window(p) for p in range(begin, end)]
        at = place
        for i in range(first[place], first[place + 1]):
            while True:
                j = low + below(width)
                mine, other = places[i][0], places[j][0]
                if not begin <= other < end:
                    continue
                if j >= first[place + 1] or j < first[place]:
                    at = int(np.searchsorted(first, j, side="right")) - 1
                    b, e = windows[at - begin]
                    if not b <= mine < e:
                        continue
                places[i], places[j] = places[j], places[i]
                break
        self._publish(self.window(place + 1)[0] if place + 1 < self._chunks else self._chunks)
        return True

    def _grow_whole(self) -> bool:
        """The whole sweep at once, where every window holds everything: any two sequences may change places."""
        self._done = self._chunks
        sizes = np.array([self._count(c) for c in self.order], np.int64)
        chunk = np.repeat(np.asarray(self.order, np.int32), sizes)
        number = np.arange(len(chunk)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        places = list(range(len(chunk)))
        draws = (self._lots.source.words(len(chunk)) % np.uint64(max(len(chunk), 1))).tolist()
        for i, j in enumerate(draws):
            places[i], places[j] = places[j], places[i]
        shuffled = np.asarray(places, np.int64)
        self._append(chunk[shuffled], number[shuffled])
        return True

    def _publish(self, limit: int) -> None:
        """Chunks before place ``limit`` are final: no later window reaches them."""
        ready = self._places[len(self.chunk) : self._first[limit]]
        if ready:
            places = np.asarray(ready, np.int64)
            self._append(np.asarray(self.order, np.int32)[places[:, 0]], places[:, 1])
