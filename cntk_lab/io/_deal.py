"""Minibatches out of chunks that are in memory: some at a time, when they are asked for, by one copy of their rows.

A block of coming minibatches is picked at a time and the address of each of its sequences is worked out for all of
them at once; a minibatch is then a piece of that list, and making it takes microseconds. That is less than handing it
over from another thread costs, which would also take a core from the training step; so threads only load chunks
(``_chunks``). Knows no format and no order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from cntk_lab.io import _gather_native as native
from cntk_lab.io._chunks import Chunks
from cntk_lab.io._declare import Chunk, Lying
from cntk_lab.io._ragged import Ragged, together
from cntk_lab.io._streams import StreamInformation
from cntk_lab.io._timeline import Block, Cut, Place, Timeline
from cntk_lab.tensor.arrays import address_of
from cntk_lab.tensor.layout import IndexVector, Layout
from cntk_lab.tensor.shape import Shape, size
from cntk_lab.tensor.sparse import Csr, SparseRows
from cntk_lab.tensor.value import Value

MOST: Final = 256
"""Minibatches picked at a time, at most."""
ROWS: Final = 1 << 16
"""Samples picked at a time, at most (one minibatch may have more)."""
AT_A_TIME: Final = 16
"""Minibatches made together, at most: after a training step, which sweeps the caches, the same work takes three times
as long (measured: 140 microseconds for one minibatch of 64 images, 45 for one of sixteen)."""
BYTES: Final = 4 << 20
"""Memory they may take together (one minibatch may take more)."""

Request = tuple[int, int, int]
"""Samples of a minibatch, number of workers, which of them."""
Rooms = Sequence[native.Buffers]


class Dealt:
    """One stream of a minibatch.

    Args:
        value: packed rows.
        sequences: how many.
        samples: how many in all.
        longest: frames of the longest sequence.
    """

    __slots__ = ("longest", "samples", "sequences", "value")

    def __init__(self, value: Value, sequences: int, samples: int, longest: int) -> None:
        self.value, self.sequences, self.samples, self.longest = value, sequences, samples, longest


Result = TypeVar("Result")


class Dealer(Generic[Result]):
    """Deals out minibatches, block by block.

    Args:
        streams: what each minibatch holds.
        timeline: says which sequences come next.
        chunks: chunks in memory.
        finish: (streams of a minibatch, whether a sweep ends in it) -> what is dealt out.
        most: minibatches made at a time, at most.
    """

    def __init__(
        self,
        streams: Sequence[StreamInformation],
        timeline: Timeline,
        chunks: Chunks,
        finish: Callable[[dict[str, Dealt], bool], Result],
        most: int = AT_A_TIME,
    ) -> None:
        self._streams, self._timeline, self._chunks, self._finish = streams, timeline, chunks, finish
        self._most = most
        self._at: tuple[Place, Request] | None = None
        self._dealing: _Dealing | None = None
        self._next = 0
        self._made: deque[tuple[Result, Place, native.Jobs | None]] = deque()
        self._room: dict[Any, native.Buffers] = {}

    def get(self, place: Place, request: Request) -> tuple[Result, Place | None]:
        """The minibatch at a place, and the place after it; None at the end."""
        at = self._at
        if at is None or (at[0] is not place and at[0] != place) or at[1] != request:
            self.clear()
        if not self._made and not self._make(place, request):
            return self._finish({}, False), None
        result, after, jobs = self._made.popleft()
        if jobs is not None:
            jobs.run()  # only now, so that what it writes is still in the processor's cache when it is used
        self._at = (after, request)
        return result, after

    def _make(self, place: Place, request: Request) -> bool:
        """Make some minibatches, at least one, but for the copying; False at the end."""
        while True:
            dealing = self._dealing
            if dealing is None or self._next >= len(dealing.cuts):
                if dealing is not None and dealing.cuts:
                    place = dealing.cuts[-1].after
                dealing = self._dealing = None  # its chunks may make room
                dealing = self._dealing = self._open(place, request)
                self._next = 0
                if dealing is None:
                    return False
            first, self._next = self._next, min(self._next + dealing.at_a_time(self._most), len(dealing.cuts))
            for dealt, cut, jobs in dealing.deal(first, self._next):
                if dealt or dealing.shared:  # else all of it was left out: on to the next one
                    self._made.append((self._finish(dealt, cut.ends_sweep), cut.after, jobs))
            if self._made:
                return True

    def clear(self) -> None:
        """Forget what was picked."""
        self._dealing = self._at = None
        self._made.clear()

    def _open(self, place: Place, request: Request) -> _Dealing | None:
        """The next minibatches whose chunks are in memory, at least one; None at the end."""
        size, parts, index = request
        block = self._timeline.block(place, size, max(1, min(MOST, ROWS // size)))
        if block is None:
            return None
        needed = block.chunk[: block.cuts[0].stop]
        self._chunks.need(needed)
        block = block.head(self._chunks.reach(block.chunk))
        share = np.arange(len(block.chunk))
        if parts > 1:
            firsts = np.array([0, *(c.stop for c in block.cuts[:-1])])
            share -= np.repeat(firsts, np.diff([*firsts, len(share)]))
            block = block.where(share % parts == index)
        keep = self._chunks.usable(block.chunk, block.number)
        left_out = keep is not None
        if keep is not None:
            block = block.where(keep)
        self._chunks.look_ahead(self._timeline, block.cuts[-1].after, len(share))
        return _Dealing(block, self._streams, self._chunks.get, parts > 1 and not left_out, self._room)


class _Dealing:
    """A block of minibatches, ready to be dealt."""

    def __init__(
        self,
        block: Block,
        streams: Sequence[StreamInformation],
        chunk_of: Any,
        shared: bool,
        room: dict[Any, native.Buffers],
    ) -> None:
        self.cuts: list[Cut] = block.cuts
        self.shared = shared
        """Whether minibatches without a sequence of this worker are dealt out too."""
        lying = _all_lying(block, chunk_of)
        count = len(block.chunk)
        self._decks = {i.m_name: _deck(i, lying[i.m_name], count, room) for i in streams} if count else {}
        jobs = [native.Jobs(2 * len(streams)) for _ in range(AT_A_TIME)] if native.ready() else None
        self._jobs: Sequence[native.Jobs | None] = jobs or [None] * AT_A_TIME
        self._bytes = sum(4 * size(s.sample_shape) for s in streams if not s.is_sparse)

    def at_a_time(self, most: int) -> int:
        """How many minibatches are made together."""
        stops = [c.stop for c in self.cuts]
        return max(1, min(most, BYTES // (1 + self._bytes * (stops[-1] // len(stops)))))

    def deal(self, first: int, last: int) -> list[tuple[dict[str, Dealt], Cut, native.Jobs | None]]:
        """The minibatches from one number up to another: per stream what each holds when its jobs are done; nothing if
        it is empty.
        """
        found, begin = [], self.cuts[first - 1].stop if first else 0
        for cut, jobs in zip(self.cuts[first:last], self._jobs, strict=False):
            decks = self._decks.items() if cut.stop > begin else ()
            found.append(({name: deck.deal(begin, cut.stop, jobs) for name, deck in decks}, cut, jobs))
            begin = cut.stop
        return found


def _all_lying(block: Block, chunk_of: Any) -> dict[str, list[Lying]]:
    """Per stream where the sequences of a block lie."""
    count = len(block.chunk)
    found: dict[str, list[Lying]] = {}
    if not count:
        return {}
    if bool((block.chunk == block.chunk[0]).all()):
        pieces: list[IndexVector | None] = [None]
    else:
        sizes = np.bincount(block.chunk)
        small = block.chunk.astype(np.int16) if len(sizes) < 2**15 else block.chunk  # short numbers are sorted faster
        pieces = list(np.split(np.argsort(small, kind="stable"), np.cumsum(sizes[sizes > 0])[:-1]))
    for here in pieces:
        at = 0 if here is None else int(here[0])
        chunk: Chunk = chunk_of(int(block.chunk[at]))
        for name, parts in chunk.lying(block.number if here is None else block.number[here]).items():
            for places, data, numbers in parts:
                whole = here if places is None else places if here is None else here[places]
                found.setdefault(name, []).append((whole, data, numbers))
    return found


class _Known:
    """What minibatches of single frames and single values have in common, made once."""

    def __init__(self) -> None:
        self._layouts: dict[int, Layout] = {}
        self._numbers = np.arange(1, dtype=np.int32)

    def pointers(self, count: int) -> NDArray[np.int32]:
        """The pointers of CSR rows with one value each."""
        if len(self._numbers) <= count:
            self._numbers = np.arange(2 * count + 1, dtype=np.int32)
            self._numbers.flags.writeable = False
        return self._numbers[: count + 1]

    def ones(self, count: int) -> Layout:
        """The layout of single frames."""
        found = self._layouts.get(count)
        if found is None:
            if len(self._layouts) > 64:
                self._layouts.clear()
            found = self._layouts[count] = Layout.of(np.ones(count, np.int64))
        return found


_known = _Known()


class _Deck(ABC):
    """One stream of a block."""

    @abstractmethod
    def deal(self, first: int, last: int, jobs: native.Jobs | None) -> Dealt:
        """The sequences from one number up to another; with jobs their frames are there when these are done."""


class _FastDeck(_Deck):
    """By native code: where each sequence begins is known, and how many frames it has.

    Args:
        lying: where the sequences are.
        count: how many.
    """

    def __init__(self, lying: list[Lying], count: int) -> None:
        self._kept = [data.base for _, data, _ in lying]
        self._ones = all(data.ones for _, data, _ in lying)
        self._lengths = self._spread(lying, count, lambda data, numbers: data.lengths[numbers])
        self._starts = self._sums(self._lengths)

    @staticmethod
    def _spread(lying: list[Lying], count: int, of: Callable[[Ragged, IndexVector], IndexVector]) -> IndexVector:
        """A number for each sequence, worked out for those of each part."""
        found = np.empty(count, np.int64)
        for here, data, numbers in lying:
            found[slice(None) if here is None else here] = of(data, numbers)
        return found

    @staticmethod
    def _sums(counts: IndexVector) -> list[int]:
        """Sums of the first 0, 1, 2, ... numbers."""
        return [0, *np.cumsum(counts).tolist()]

    def deal(self, first: int, last: int, jobs: native.Jobs | None) -> Dealt:
        count, frames = last - first, self._starts[last] - self._starts[first]
        layout = _known.ones(count) if self._ones else Layout.of(self._lengths[first:last])
        assert jobs is not None
        value = Value.packed(self._rows(first, last, frames, layout, jobs), layout, has_sequence=True)
        return Dealt(value, count, frames, layout.longest)

    @abstractmethod
    def _rows(self, first: int, last: int, frames: int, layout: Layout, jobs: native.Jobs) -> Any:
        """The frames of some sequences, in packed order."""


class _SlowDeck(_Deck):
    """By NumPy, as long as there is no native code."""

    def __init__(self, info: StreamInformation, lying: list[Lying], count: int) -> None:
        self._parts = [data for _, data, _ in lying]
        self._dtype = info.dtype
        self._of, self._numbers = np.zeros(count, np.int64), np.empty(count, np.int64)
        for k, (here, _, numbers) in enumerate(lying):
            place = slice(None) if here is None else here
            self._of[place], self._numbers[place] = k, numbers

    def deal(self, first: int, last: int, jobs: native.Jobs | None) -> Dealt:
        del jobs
        found = together(self._parts, self._of[first:last], self._numbers[first:last])
        if found.dtype.name != self._dtype:
            found = Ragged(found.rows.astype(self._dtype), found.lengths, found.shape)
        value = found.value()
        assert value.layout is not None
        return Dealt(value, found.count, value.layout.rows, value.layout.longest)


class _DenseDeck(_FastDeck):
    """Frames of numbers."""

    def __init__(
        self, info: StreamInformation, lying: list[Lying], count: int, rooms: Sequence[native.Buffers]
    ) -> None:
        super().__init__(lying, count)
        base = lying[0][1].base
        self._room, self._source, self._elements = rooms[0], base.dtype, size(info.sample_shape)
        step = base.strides[0]
        self._places = self._spread(lying, count, lambda data, n: address_of(data.base) + data.starts[n] * step)
        self._first = address_of(self._places)

    def _rows(self, first: int, last: int, frames: int, layout: Layout, jobs: native.Jobs) -> Any:
        del last
        rows, out = self._room.take(frames)
        jobs.add(self._first + 8 * first, out, self._source, layout, self._elements)
        return rows


class _SparseDeck(_FastDeck):
    """Frames of stored values: the three arrays of CSR rows."""

    def __init__(
        self, info: StreamInformation, lying: list[Lying], count: int, rooms: Sequence[native.Buffers]
    ) -> None:
        super().__init__(lying, count)
        self._shape, self._rooms = info.sample_shape, rooms
        bases: list[Csr] = self._kept
        self._width, self._types = bases[0].width, (bases[0].data.dtype, bases[0].indices.dtype)
        self._one_each = all(b.one_each for b in bases)
        spread = self._spread
        if self._one_each:
            at = spread(lying, count, lambda data, n: data.starts[n])
            self._held = self._starts
        else:
            at = np.zeros(count, np.int64)
            held = spread(lying, count, lambda data, n: _stored(data)[n])
            self._held = self._sums(held)
        sizes = [t.itemsize for t in self._types]
        self._lists = [
            spread(lying, count, lambda data, n: np.full(len(n), address_of(data.base.data))) + at * sizes[0],
            spread(lying, count, lambda data, n: np.full(len(n), address_of(data.base.indices))) + at * sizes[1],
            spread(lying, count, lambda data, n: address_of(data.base.indptr) + 4 * data.starts[n]),
        ]
        self._firsts = [address_of(numbers) for numbers in self._lists]

    def _rows(self, first: int, last: int, frames: int, layout: Layout, jobs: native.Jobs) -> Any:
        held = self._held[last] - self._held[first]
        (data, to), (columns, to_columns) = self._rooms[0].take(held), self._rooms[1].take(held)
        values, indices, pointers = (place + 8 * first for place in self._firsts)
        if self._one_each:
            ends = _known.pointers(frames)
            jobs.add(values, to, self._types[0], layout, 1)
            jobs.add(indices, to_columns, self._types[1], layout, 1)
        else:
            ends, to_ends = self._rooms[2].take(frames + 2)
            ends[0], ends = 0, ends[: frames + 1]
            jobs.add(values, to, self._types[0], layout, 0, pointers, to_ends)
            jobs.add(indices, to_columns, self._types[1], layout, 0, pointers)
        return SparseRows(Csr(data, columns, ends, self._width, self._one_each), self._shape)


def _deck(info: StreamInformation, lying: list[Lying], count: int, room: dict[Any, native.Buffers]) -> _Deck:
    """The stream of a block; ``room`` keeps its buffers, by stream and element type."""
    bases = [data.base for _, data, _ in lying]
    if native.ready() and info.is_sparse:
        kinds = {(b.data.dtype, b.indices.dtype, b.indptr.dtype) for b in bases}
        types = kinds.pop()
        if not kinds and native.copies(types[0], types[0]) and types[1] == types[2] == np.int32:
            return _SparseDeck(info, lying, count, [_room(room, info, k, (), t) for k, t in enumerate(types)])
    elif native.ready():
        source, target = bases[0].dtype, np.dtype(info.dtype)
        dense = all(b.flags.c_contiguous and b.dtype == source for b in bases)
        if dense and native.copies(source, target):
            return _DenseDeck(info, lying, count, [_room(room, info, 0, info.sample_shape, target)])
    return _SlowDeck(info, lying, count)


def _stored(data: Ragged) -> IndexVector:
    """How many values each sequence stores."""
    found: IndexVector = np.diff(data.base.indptr[data.starts].astype(np.int64))
    return found


def _room(rooms: dict[Any, native.Buffers], info: StreamInformation, part: int, shape: Shape, dtype: Any) -> Any:
    return rooms.setdefault((info.m_name, part, dtype.itemsize), native.Buffers(shape, dtype))
