"""Several readers as one: sequences are joined by their keys; the first reader gives the order.

A sequence that another reader does not have is left out, and told once. Chunks of the other readers are loaded when a
sequence of theirs is needed, and kept while there is room. Knows no format.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab._turn import new_lock
from cntk_lab.errors import AttributeValueError, ReaderError
from cntk_lab.io._declare import Chunk, Keys, Lying, Reader
from cntk_lab.io._defects import Defects
from cntk_lab.io._ragged import Ragged, join, reordered
from cntk_lab.io._streams import StreamInformation, check_streams
from cntk_lab.tensor.layout import IndexVector

_KEPT = 8
_SHOWN = 4
"""Ids that a message shows."""


class Bundle(Reader):
    """One reader made of several.

    Args:
        readers: the first one gives the order; the others are looked up by key.
        defects: where missing partners are told.

    Raises:
        AttributeValueError: if stream names clash, or a reader that cannot be joined is among several.
    """

    def __init__(self, readers: Sequence[Reader], defects: Defects) -> None:
        self._first, self._others = readers[0], list(readers[1:])
        self.defects = defects
        self.streams = _renumber([s for r in readers for s in r.streams])
        check_streams(self.streams)
        if not all(r.keyed for r in readers):
            raise AttributeValueError(
                "a UserDeserializer cannot be joined with other deserializers", fix="give it alone, or read all in it"
            )
        self._sizing = next((k for k, r in enumerate(readers) if any(s.m_defines_mb_size for s in r.streams)), None)
        words = any(r.keys(0).dtype == object for r in readers if r.chunk_count())
        self._tables = [_Table(r, words) for r in self._others]
        self._words = words
        self.indexed, self.selective = all(r.indexed for r in readers), all(r.selective for r in readers)
        self.plain = all(r.plain for r in readers)
        self._partners: dict[int, tuple[IndexVector, list[tuple[IndexVector, IndexVector]]]] = {}
        self.left_out = readers[0].left_out

    def _joined(self, chunk: int) -> tuple[IndexVector, list[tuple[IndexVector, IndexVector]]]:
        """Which sequences of a chunk have all partners, and where these are: (chunk, number) for each other reader."""
        known = self._partners.get(chunk)
        if known is None:
            keys = _comparable(self._first.keys(chunk), self._words)
            places = [table.find(keys) for table in self._tables]
            good = np.ones(len(keys), bool)
            for found, _ in places:
                good &= found >= 0
            kept = np.flatnonzero(good)
            if len(kept) < len(keys):
                self.left_out += len(keys) - len(kept)
                lost = keys[~good].tolist()[0]
                self.defects.once(
                    "join",
                    "missing",
                    f"sequence {lost!r} has no partner in every deserializer; such sequences are left out",
                )
            known = self._partners[chunk] = (kept, [(c[kept], n[kept]) for c, n in places])
        return known

    def apart(self) -> str:
        """Some ids of every reader in words, if each has sequences, but none has a partner in all others."""
        words = []
        for reader in (self._first, *self._others):
            found: list[Any] = []
            for chunk in range(reader.chunk_count()):
                found += reader.keys(chunk)[: _SHOWN + 1].tolist()
                if len(found) > _SHOWN:
                    break
            if not found:
                return ""
            more = ", ..." if len(found) > _SHOWN else ""
            names = ", ".join(s.m_name for s in reader.streams)
            words.append(f"stream {names} has the ids {', '.join(map(repr, found[:_SHOWN]))}{more}")
        return "; ".join(words)

    def chunk_count(self) -> int:
        """Number of chunks of the first reader."""
        return self._first.chunk_count()

    def samples(self, chunk: int) -> IndexVector:
        """Samples of the reader whose stream defines the minibatch size; without one, of the largest."""
        kept, places = self._joined(chunk)
        counts = [self._first.samples(chunk)[kept]]
        for table, (chunks, numbers) in zip(self._tables, places, strict=True):
            counts.append(table.samples(chunks, numbers))
        return np.max(counts, axis=0) if self._sizing is None else counts[self._sizing]

    def keys(self, chunk: int) -> Keys:
        """The keys of the first reader."""
        return self._first.keys(chunk)[self._joined(chunk)[0]]

    def chunk_bytes(self) -> int:
        """Memory of a chunk of every reader."""
        return sum(r.chunk_bytes() for r in (self._first, *self._others))

    def load(self, chunk: int) -> Chunk:
        """Load a chunk of the first reader and, as far as there is room, the partners' chunks."""
        kept, places = self._joined(chunk)
        first = self._first.load(chunk)
        for table, (chunks, _) in zip(self._tables, places, strict=True):
            table.prepare(np.unique(chunks).tolist())
        return _BundleChunk(first, kept, self._tables, places)

    def limit_memory(self, size: int) -> None:
        """Bytes of partners' chunks that are kept, of all readers together; the eight last ones always are."""
        for table in self._tables:
            table.memory = size // len(self._tables)

    def some(
        self, chunk: int, which: IndexVector, seeds: NDArray[np.uint64]
    ) -> tuple[Mapping[str, Ragged], IndexVector]:
        """A few sequences with their partners."""
        kept, places = self._joined(chunk)
        found, good = self._first.some(chunk, kept[which], seeds)
        for table, (chunks, numbers) in zip(self._tables, places, strict=True):
            here = which[good]
            more, fine = some_of(table.reader, chunks[here], numbers[here], seeds[good])
            found = {**{name: data.take(fine) for name, data in found.items()}, **more}
            good = good[fine]
        return found, good

    def steps(self, chunk: int, number: int, seed: int) -> Mapping[str, Sequence[Any]]:
        """What the transforms of all readers make of a sequence."""
        kept, places = self._joined(chunk)
        found = dict(self._first.steps(chunk, int(kept[number]), seed))
        for table, (chunks, numbers) in zip(self._tables, places, strict=True):
            found.update(table.reader.steps(int(chunks[number]), int(numbers[number]), seed))
        return found

    def usable(self, chunk: int, loaded: Chunk) -> NDArray[np.bool_] | None:
        """What the first reader says, and all others."""
        assert isinstance(loaded, _BundleChunk)
        mask = self._first.usable(chunk, loaded.first)
        good = np.ones(len(loaded.kept), bool) if mask is None else mask[loaded.kept]
        for table, (chunks, numbers) in zip(self._tables, loaded.places, strict=True):
            good = good & table.usable(chunks, numbers)
        return None if good.all() else good


class _Table:
    """Where the sequences of one reader are, by key."""

    def __init__(self, reader: Reader, words: bool) -> None:
        self.reader = reader
        count = reader.chunk_count()
        keys = [_comparable(reader.keys(c), words) for c in range(count)]
        self._sizes = np.array([len(k) for k in keys], np.int64)
        self._firsts = np.cumsum(self._sizes) - self._sizes
        flat = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
        self._chunk = np.repeat(np.arange(count), self._sizes)
        self._samples: dict[int, IndexVector] = {}
        self._loaded: OrderedDict[int, Chunk] = OrderedDict()
        self._bytes, self.memory = 0, 0
        self._lock = new_lock()  # chunks are loaded by a thread, and by who needs them sooner
        self._order = np.argsort(flat, kind="stable")
        self._sorted = flat[self._order]

    def find(self, keys: Keys) -> tuple[IndexVector, IndexVector]:
        """Chunk (-1: nowhere) and number of each key; the first one if a key is there twice."""
        at = np.searchsorted(self._sorted, keys)
        inside = np.minimum(at, max(len(self._sorted) - 1, 0))
        good = (
            (at < len(self._sorted)) & (self._sorted[inside] == keys)
            if len(self._sorted)
            else np.zeros(len(keys), bool)
        )
        place = self._order[inside] if len(self._sorted) else inside
        chunk = np.where(good, self._chunk[place] if len(place) and len(self._chunk) else -1, -1).astype(np.int64)
        number = place - (self._firsts[np.maximum(chunk, 0)] if len(self._firsts) else 0)
        return chunk, number

    def samples(self, chunks: IndexVector, numbers: IndexVector) -> IndexVector:
        """Samples of the sequences at these places."""
        counts = np.zeros(len(chunks), np.int64)
        for c in np.unique(chunks).tolist():
            if c not in self._samples:
                self._samples[c] = self.reader.samples(c)
            here = chunks == c
            counts[here] = self._samples[c][numbers[here]]
        return counts

    def chunk(self, number: int) -> Chunk:
        """A loaded chunk; the longest unused ones make room."""
        with self._lock:
            found = self._loaded.pop(number, None)
            if found is None:
                found = self.reader.load(number)
                self._bytes += found.nbytes
            self._loaded[number] = found
            while len(self._loaded) > _KEPT and self._bytes > self.memory:
                self._bytes -= self._loaded.popitem(last=False)[1].nbytes
            return found

    def prepare(self, numbers: Sequence[int]) -> None:
        """Load chunks that will be needed soon, as far as there is room."""
        for number in numbers[:_KEPT]:
            self.chunk(number)

    def usable(self, chunks: IndexVector, numbers: IndexVector) -> NDArray[np.bool_]:
        """Which sequences at these places can be delivered."""
        good = np.ones(len(chunks), bool)
        for c in np.unique(chunks).tolist():
            mask = self.reader.usable(c, self.chunk(c))
            if mask is not None:
                here = chunks == c
                good[here] = mask[numbers[here]]
        return good


class _BundleChunk(Chunk):
    def __init__(
        self, first: Chunk, kept: IndexVector, tables: Sequence[_Table], places: list[tuple[IndexVector, IndexVector]]
    ) -> None:
        self.first, self.kept, self._tables, self.places = first, kept, tables, places
        self.nbytes = first.nbytes

    def take(self, which: IndexVector, seeds: NDArray[np.uint64]) -> Mapping[str, Ragged]:
        """Per stream of all readers the sequences with these numbers."""
        found = dict(self.first.take(self.kept[which], seeds))
        for table, (chunks, numbers) in zip(self._tables, self.places, strict=True):
            found.update(gather(chunks[which], numbers[which], seeds, table.chunk))
        return found

    def lying(self, which: IndexVector) -> Mapping[str, list[Lying]]:
        """Where sequences lie, in chunks of all readers."""
        found = dict(self.first.lying(self.kept[which]))
        for table, (chunks, numbers) in zip(self._tables, self.places, strict=True):
            for each in np.unique(chunks[which]).tolist():
                here = np.flatnonzero(chunks[which] == each)
                for name, parts in table.chunk(each).lying(numbers[which][here]).items():
                    found.setdefault(name, []).extend((here if p is None else here[p], d, n) for p, d, n in parts)
        return found


def gather(chunks: IndexVector, numbers: IndexVector, seeds: NDArray[np.uint64], load: object) -> Mapping[str, Ragged]:
    """Sequences that lie in several chunks, in the order given.

    Args:
        chunks: chunk of each sequence.
        numbers: its number there.
        seeds: its seed.
        load: chunk number -> loaded chunk.
    """
    assert callable(load)
    if len(chunks) and bool((chunks == chunks[0]).all()):
        return load(int(chunks[0])).take(numbers, seeds)  # type: ignore[no-any-return]
    order = np.argsort(chunks, kind="stable")
    edges = np.flatnonzero(np.diff(chunks[order])) + 1
    parts: list[Mapping[str, Ragged]] = [
        load(int(chunks[here[0]])).take(numbers[here], seeds[here]) for here in np.split(order, edges)
    ]
    return {name: reordered([p[name] for p in parts], order) for name in parts[0]}


def some_of(
    reader: Reader, chunks: IndexVector, numbers: IndexVector, seeds: NDArray[np.uint64]
) -> tuple[Mapping[str, Ragged], IndexVector]:
    """A few sequences that lie in several chunks, and which of those asked for they are, in the order given.

    Args:
        reader: who has them.
        chunks: chunk of each sequence.
        numbers: its number there.
        seeds: its seed.
    """
    if not len(chunks):
        return {}, chunks
    order = np.argsort(chunks, kind="stable")
    parts, kept = [], []
    for here in np.split(order, np.flatnonzero(np.diff(chunks[order])) + 1):
        found, good = reader.some(int(chunks[here[0]]), numbers[here], seeds[here])
        if len(good):
            parts.append(found)
            kept.append(here[good])
    if not parts:
        return {}, np.zeros(0, np.int64)
    places = np.concatenate(kept)
    back = np.argsort(places, kind="stable")
    return {name: join([p[name] for p in parts]).take(back) for name in parts[0]}, places[back]


def _comparable(keys: Keys, words: bool) -> Keys:
    return np.array([str(k) for k in keys.tolist()], object) if words and keys.dtype != object else keys


def _renumber(streams: Sequence[StreamInformation]) -> tuple[StreamInformation, ...]:
    """The streams with numbers that are unique in the bundle."""
    return tuple(
        StreamInformation(s.m_name, i, s.storage_format, s.dtype, s.sample_shape, s.m_defines_mb_size)
        for i, s in enumerate(streams)
    )


def no_sequences(reader: Reader) -> ReaderError:
    """The error for data without a single sequence: perhaps because no id is in every file."""
    apart = reader.apart() if isinstance(reader, Bundle) else ""
    if apart:
        return ReaderError(
            "no sequence id is in every file, so there is nothing to put together",
            apart,
            "give the sequences that belong together the same id: in text files the number before the first |",
        )
    return ReaderError("the data hold no sequence", fix="give data, or see io.check(source) for what was left out")
