"""Minibatches out of chunks that are in memory: each made when it is asked for, by one copy of its rows.

A block of coming minibatches is picked at a time and the address of each of its rows is worked out for all of them at
once; a minibatch is then a piece of that list, and making it takes microseconds. That is less than handing it over
from another thread costs, which would also take a core from the training step; so threads only load chunks
(``_chunks``). Knows no format and no order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab.io import _gather_native as native
from cntk_lab.io._chunks import Chunks
from cntk_lab.io._declare import Chunk, Lying
from cntk_lab.io._ragged import Ragged, together
from cntk_lab.io._streams import StreamInformation
from cntk_lab.io._timeline import Block, Cut, Place, Timeline
from cntk_lab.tensor.layout import IndexVector, Layout, concatenate_ranges
from cntk_lab.tensor.shape import Shape, size
from cntk_lab.tensor.sparse import Csr, SparseRows
from cntk_lab.tensor.value import Value

MOST: Final = 256
"""Minibatches picked at a time, at most."""
ROWS: Final = 1 << 16
"""Samples picked at a time, at most (one minibatch may have more)."""

Request = tuple[int, int, int]
"""Samples of a minibatch, number of workers, which of them."""
Room = Sequence[native.Buffers]


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


class Dealer:
    """Deals out minibatches, block by block.

    Args:
        streams: what each minibatch holds.
        timeline: says which sequences come next.
        chunks: chunks in memory.
    """

    def __init__(self, streams: Sequence[StreamInformation], timeline: Timeline, chunks: Chunks) -> None:
        self._streams, self._timeline, self._chunks = streams, timeline, chunks
        self._at: tuple[Place, Request] | None = None
        self._dealing: _Dealing | None = None
        self._next = 0
        self._room: dict[Any, native.Buffers] = {}

    def get(self, place: Place, request: Request) -> tuple[dict[str, Dealt], bool, Place | None]:
        """Per stream what the minibatch at a place holds, whether a sweep ends in it, and the place after it; None at
        the end.
        """
        at = self._at
        if at is None or (at[0] is not place and at[0] != place) or at[1] != request:
            self._dealing = None
        while True:
            dealing = self._dealing
            if dealing is None or self._next >= len(dealing.cuts):
                if dealing is not None and dealing.cuts:
                    place = dealing.cuts[-1].after
                dealing = self._dealing = None  # its chunks may make room
                dealing = self._dealing = self._open(place, request)
                self._next = 0
                if dealing is None:
                    return {}, False, None
                continue
            number, self._next = self._next, self._next + 1
            cut = dealing.cuts[number]
            first = dealing.cuts[number - 1].stop if number else 0
            self._at = (cut.after, request)
            if first == cut.stop:
                if dealing.shared:
                    return {}, cut.ends_sweep, cut.after
                continue  # all of it was left out: on to the next one
            return dealing.deal(first, cut.stop), cut.ends_sweep, cut.after

    def clear(self) -> None:
        """Forget what was picked."""
        self._dealing = self._at = None

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
        self._jobs = native.Jobs(2 * len(streams)) if native.ready() else None

    def deal(self, first: int, last: int) -> dict[str, Dealt]:
        """The sequences from one number up to another, per stream."""
        jobs = self._jobs
        found = {name: deck.deal(first, last, jobs) for name, deck in self._decks.items()}
        if jobs is not None:
            jobs.run()
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


class _Ones:
    """The layouts of minibatches of single frames, by their number: made once."""

    def __init__(self) -> None:
        self._known: dict[int, Layout] = {}
        self._numbers = np.arange(1, dtype=np.int32)

    def pointers(self, count: int) -> NDArray[np.int32]:
        """The pointers of CSR rows with one value each."""
        if len(self._numbers) <= count:
            self._numbers = np.arange(2 * count + 1, dtype=np.int32)
            self._numbers.flags.writeable = False
        return self._numbers[: count + 1]

    def of(self, count: int) -> Layout:
        found = self._known.get(count)
        if found is None:
            if len(self._known) > 64:
                self._known.clear()
            found = self._known[count] = Layout.of(np.ones(count, np.int64))
        return found


_ones = _Ones()


class _Deck:
    """One stream of a block."""

    lengths: IndexVector | None
    """Frames of each sequence; None: one each."""
    starts: IndexVector
    """Number of the first row of each sequence, and of all rows; only with ``lengths``."""
    _packed: list[IndexVector]

    def _span(self, first: int, last: int) -> tuple[int, int, Layout]:
        """Rows of some sequences, and their layout."""
        if self.lengths is None:
            return first, last, _ones.of(last - first)
        layout = Layout.of(self.lengths[first:last])
        return int(self.starts[first]), int(self.starts[last]), layout

    def deal(self, first: int, last: int, jobs: native.Jobs | None) -> Dealt:
        """Some sequences; their rows are there when the jobs are done."""
        begin, end, layout = self._span(first, last)
        assert jobs is not None
        self._packed = []
        value = Value.packed(self._rows(begin, end, layout, jobs), layout, has_sequence=True)
        return Dealt(value, last - first, end - begin, layout.longest)

    def _rows(self, begin: int, end: int, layout: Layout, jobs: native.Jobs) -> Any:
        raise NotImplementedError

    def _list(self, numbers: IndexVector, first: int, begin: int, end: int, layout: Layout) -> int:
        """Address of a part of a list that begins at ``first``, in packed order."""
        if layout.identity:
            return first + 8 * begin
        packed = numbers[begin:end][layout.pack]
        self._packed.append(packed)  # stays until the next minibatch is dealt
        return native.address(packed)


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


class _DenseDeck(_Deck):
    """Rows of numbers."""

    def __init__(self, info: StreamInformation, lying: list[Lying], count: int, buffers: Room) -> None:
        self._buffers = buffers
        base = lying[0][1].base
        self._source, self._row, self._each = base.dtype, base.strides[0], size(info.sample_shape)
        self._kept = [data.base for _, data, _ in lying]
        self.lengths, self.starts, rows = _rows_of(lying, count)
        self._places = np.empty(len(rows.whole), np.int64)
        for data, here, numbers in rows.parts:
            self._places[here] = native.address(data.base) + numbers * self._row
        self._first = native.address(self._places)

    def _rows(self, begin: int, end: int, layout: Layout, jobs: native.Jobs) -> Any:
        rows, place = self._buffers[0].take(end - begin)
        jobs.add(
            self._list(self._places, self._first, begin, end, layout), end - begin, place, self._source, self._each
        )
        return rows


class _SparseDeck(_Deck):
    """CSR rows."""

    def __init__(self, info: StreamInformation, lying: list[Lying], count: int, buffers: Room) -> None:
        self._shape = info.sample_shape
        bases: list[Csr] = [data.base for _, data, _ in lying]
        self._bases, self._buffers = bases, buffers
        self._one_each = all(b.one_each for b in bases)
        self.lengths, self.starts, rows = _rows_of(lying, count)
        total = len(rows.whole)
        self._values, self._indices, self._counts = (np.empty(total, np.int64) for _ in range(3))
        for data, here, numbers in rows.parts:
            base: Csr = data.base
            begin = numbers if self._one_each else base.indptr[numbers].astype(np.int64)
            self._values[here] = native.address(base.data) + begin * base.data.itemsize
            self._indices[here] = native.address(base.indices) + begin * base.indices.itemsize
            if not self._one_each:
                self._counts[here] = base.indptr[1:][numbers] - begin
        self._lists = (self._values, self._indices)
        self._first = [native.address(n) for n in (*self._lists, self._counts)]

    def _rows(self, begin: int, end: int, layout: Layout, jobs: native.Jobs) -> Any:
        count, first = end - begin, self._bases[0]
        if self._one_each:
            each, pointers = 0, _ones.pointers(count)
        else:
            counts = layout.pack_rows(self._counts[begin:end])
            pointers = np.zeros(count + 1, np.int32)
            np.cumsum(counts, out=pointers[1:])
            each = self._list(self._counts, self._first[2], begin, end, layout)
        held = int(pointers[-1])
        (data, to), (columns, to_columns) = self._buffers[0].take(held), self._buffers[1].take(held)
        lists = [self._list(n, f, begin, end, layout) for n, f in zip(self._lists, self._first, strict=False)]
        jobs.add(lists[0], count, to, first.data.dtype, 1, each)
        jobs.add(lists[1], count, to_columns, first.indices.dtype, 1, each)
        return SparseRows(Csr(data, columns, pointers, first.width, self._one_each), self._shape)


@dataclass(frozen=True)
class _RowNumbers:
    """Which rows of which data: ``parts`` = (data, places among all rows, numbers of rows in the data)."""

    whole: range
    parts: list[tuple[Ragged, Any, IndexVector]]


def _rows_of(lying: list[Lying], count: int) -> tuple[IndexVector | None, IndexVector, _RowNumbers]:
    """Lengths of the sequences (None: one row each), where each begins, and which rows they are."""
    if all(data.ones for _, data, _ in lying):
        parts = [(data, slice(None) if here is None else here, numbers) for here, data, numbers in lying]
        return None, np.zeros(0, np.int64), _RowNumbers(range(count), parts)
    lengths = np.empty(count, np.int64)
    for here, data, numbers in lying:
        lengths[slice(None) if here is None else here] = data.lengths[numbers]
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    parts = []
    for here, data, numbers in lying:
        each = data.lengths[numbers]
        places = slice(None) if here is None else concatenate_ranges(starts[here], each)
        parts.append((data, places, concatenate_ranges(data.starts[numbers], each)))
    return lengths, starts, _RowNumbers(range(int(starts[-1])), parts)


def _deck(info: StreamInformation, lying: list[Lying], count: int, room: dict[Any, native.Buffers]) -> _Deck:
    """The stream of a block; ``room`` keeps its buffers, by stream and element type."""
    bases = [data.base for _, data, _ in lying]
    if native.ready() and info.is_sparse:
        kinds = {(b.data.dtype, b.indices.dtype) for b in bases}
        types = kinds.pop()
        if not kinds and all(native.copies(k, k) for k in types):
            return _SparseDeck(info, lying, count, [_room(room, info, (), k) for k in types])
    elif native.ready():
        source, target = bases[0].dtype, np.dtype(info.dtype)
        dense = all(b.flags.c_contiguous and b.dtype == source for b in bases)
        if dense and native.copies(source, target):
            return _DenseDeck(info, lying, count, [_room(room, info, info.sample_shape, target)])
    return _SlowDeck(info, lying, count)


def _room(room: dict[Any, native.Buffers], info: StreamInformation, shape: Shape, dtype: Any) -> native.Buffers:
    return room.setdefault((info.m_name, dtype.kind, dtype.itemsize), native.Buffers(shape, dtype))
