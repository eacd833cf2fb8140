"""Chunks in memory: those used last, as many as fit; a thread loads the next ones before they are needed.

Loading is reading and parsing, which native code does without the interpreter's lock; that is worth a thread, copying
rows out of what is loaded is not (``_deal``). Knows no format and no minibatch.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections import OrderedDict, deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from cntk_lab.io._declare import Chunk, Reader
from cntk_lab.io._timeline import Place, Timeline
from cntk_lab.tensor.layout import IndexVector


class Chunks:
    """Chunks of a reader.

    Args:
        reader: who loads them.
        memory: bytes that may be held; one chunk (or those of one minibatch) always may.
        count: how many may be held.
        ahead: whether a thread loads chunks before they are needed.
    """

    def __init__(self, reader: Reader, memory: int, count: int, ahead: bool = False) -> None:
        self._reader, self._memory, self._count, self._ahead = reader, memory, max(count, 2), ahead
        self._kept: OrderedDict[int, Chunk] = OrderedDict()
        self._bytes = 0
        self._pinned: set[int] = set()
        self._coming: dict[int, Future[Chunk]] = {}
        self._wanted: deque[int] = deque()
        self._looked = 0
        """How many sequences lie between the place of the last block and where nobody has looked yet."""
        self._pool: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def get(self, number: int) -> Chunk:
        """A chunk that is in memory."""
        return self._kept[number]

    def load(self, number: int) -> Chunk:
        """A chunk, read if it is not there; others make room."""
        self._stay()
        found = self._kept.pop(number, None)
        if found is None:
            coming = self._coming.pop(number, None) or (self._submit(number) if self._pool is not None else None)
            found = self._reader.load(number) if coming is None else coming.result()
            self._bytes += found.nbytes
        self._kept[number] = found
        self._make_room(0, 0)
        return found

    def need(self, numbers: IndexVector) -> None:
        """See to it that chunks are in memory, all at the same time."""
        self._pinned = set(_distinct(numbers))
        for number in sorted(self._pinned, key=lambda n: n not in self._coming):
            self.load(number)

    def reach(self, numbers: IndexVector) -> int:
        """How many of the chunks named, from the first on, are in memory; they stay until others are needed."""
        if self._bytes > self._memory:
            return 0
        held = np.zeros(self._reader.chunk_count() + 1, bool)
        held[list(self._kept)] = True
        there = held[numbers]
        count = len(numbers) if bool(there.all()) else int(np.argmin(there))
        self._pinned.update(_distinct(numbers[:count]))
        return count

    def usable(self, chunk: IndexVector, number: IndexVector) -> NDArray[np.bool_] | None:
        """Which sequences can be delivered; None: all. Chunks are loaded if they are not there.

        Args:
            chunk, number: where each sequence lies.
        """
        keep = None
        for each in _distinct(chunk):
            mask = self._reader.usable(each, self._kept.get(each) or self.load(each))
            if mask is not None:
                keep = np.ones(len(chunk), bool) if keep is None else keep
                here = chunk == each
                keep[here] = mask[number[here]]
        return keep

    def look_ahead(self, timeline: Timeline, place: Place, passed: int) -> None:
        """Have the chunks loaded that will be needed soon, as far as there is room.

        Args:
            timeline: says which ones.
            place: where the next block begins.
            passed: how many sequences were picked since the last call.
        """
        self._stay()
        if not self._ahead or len(self._kept) + len(self._coming) >= self._reader.chunk_count():
            return
        self._looked -= passed
        distance = max(2 * passed, timeline.size_of_chunk_at(place))
        if self._looked < distance // 2:
            self._wanted = deque(timeline.chunks_ahead(place, distance).tolist())
            self._looked = distance
        while self._wanted:
            number = self._wanted[0]
            if number not in self._kept and number not in self._coming:
                if not self._make_room(1, self._reader.chunk_bytes()):
                    break
                self._coming[number] = self._submit(number)
            self._wanted.popleft()

    def _make_room(self, chunks: int, size: int) -> bool:
        """Drop the chunks used longest ago until so much fits; whether it does now."""
        size += len(self._coming) * self._reader.chunk_bytes()
        chunks += len(self._coming)
        safe = {*self._pinned, *self._wanted} if chunks else {*self._pinned, next(reversed(self._kept), -1)}
        droppable = [n for n in self._kept if n not in safe]
        while len(self._kept) + chunks > self._count or self._bytes + size > self._memory:
            if not droppable:
                return False
            self._bytes -= self._kept.pop(droppable.pop(0)).nbytes
        return True

    def _submit(self, number: int) -> Future[Chunk]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="cntk-lab-chunks")
            weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)
        return self._pool.submit(self._reader.load, number)

    def _stay(self) -> None:
        """A forked child has no such thread, and will not see what it loads."""
        if self._process != os.getpid():
            self._process, self._pool = os.getpid(), None
            self._coming = {}

    def forget(self) -> None:
        """The place has changed: what was seen ahead is of no use."""
        self._looked = 0
        self._wanted.clear()

    def clear(self) -> None:
        """Give the memory back."""
        self.forget()
        self._stay()
        coming, self._coming = self._coming, {}
        for future in coming.values():
            future.cancel()
        for future in coming.values():
            with contextlib.suppress(CancelledError, Exception):
                future.result()
        self._kept.clear()
        self._pinned = set()
        self._bytes = 0


def _distinct(numbers: IndexVector) -> list[int]:
    """The numbers of chunks that occur, sorted: a tenth of the time of ``np.unique``."""
    found: list[int] = np.flatnonzero(np.bincount(numbers)).tolist()
    return found
