"""The timeline: which sequences make the next minibatch, sweep after sweep.

A place on the timeline is a small value (:class:`Place`); picking a minibatch at a place gives its sequences and the
place after it, and changes nothing. That makes reading ahead, going back and restoring trivial: whoever has a place
can go on from there. Knows how many samples each sequence counts, not what is in it.

Source: minibatch semantics of CNTK 2.7 (whole sequences, at least one, across the ends of sweeps).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab.io._bundle import no_sequences
from cntk_lab.io._declare import Reader
from cntk_lab.io._randomize import Order, ShuffledOrder
from cntk_lab.tensor.layout import IndexVector


@dataclass(frozen=True)
class Piece:
    """A part of a sequence that is being cut: truncated back-propagation.

    Args:
        sweep: number of the sweep it comes from.
        position: its sequence's position in that sweep.
        done: frames delivered so far.
        last: whether the sequence is the last one of its sweep.
    """

    sweep: int
    position: int
    done: int
    last: bool


Slot = tuple[Piece, ...]
"""The sequences that wait in one parallel slot; the first may be begun."""


@dataclass(frozen=True)
class Place:
    """A place on the timeline.

    Args:
        sweep: number of the sweep, from 0.
        position: sequences of the sweep that are behind.
        samples: samples delivered since the beginning, to all workers.
        slots: sequences that are being cut, per parallel slot; empty without truncation.
    """

    sweep: int = 0
    position: int = 0
    samples: int = 0
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Picked:
    """The sequences of one minibatch.

    Args:
        chunk, number: where each sequence lies.
        sweeps: from which sweep it comes.
        samples: how many samples all of them count.
        ends_sweep: whether a sweep ends in or with them.
        after: the place after them.
        first, lengths: with truncation: first frame and number of frames of each piece.
        slot: with truncation: the parallel slot of each piece.
    """

    chunk: IndexVector
    number: IndexVector
    sweeps: IndexVector
    samples: int
    ends_sweep: bool
    after: Place
    first: IndexVector | None = None
    lengths: IndexVector | None = None
    slot: IndexVector | None = None


@dataclass(frozen=True)
class Cut:
    """Where a minibatch of a block ends.

    Args:
        stop: number of the block's sequences up to its end.
        ends_sweep: whether a sweep ends in or with it.
        after: the place after it.
    """

    stop: int
    ends_sweep: bool
    after: Place


@dataclass(frozen=True)
class Block:
    """The sequences of some minibatches that follow each other.

    Args:
        chunk, number: where each sequence lies.
        cuts: where each minibatch ends.
    """

    chunk: IndexVector
    number: IndexVector
    cuts: list[Cut]

    def head(self, count: int) -> Block:
        """The minibatches that lie within the first ``count`` sequences, at least one."""
        if count >= len(self.chunk):
            return self
        kept = max(1, sum(c.stop <= count for c in self.cuts))
        stop = self.cuts[kept - 1].stop
        return Block(self.chunk[:stop], self.number[:stop], self.cuts[:kept])

    def where(self, keep: NDArray[np.bool_]) -> Block:
        """Some of the sequences; minibatches may become empty."""
        before = np.concatenate([[0], np.cumsum(keep)]).tolist()
        cuts = [Cut(before[c.stop], c.ends_sweep, c.after) for c in self.cuts]
        return Block(self.chunk[keep], self.number[keep], cuts)


@dataclass(frozen=True)
class Limits:
    """How much is delivered in all: ``sweeps`` or ``samples``; None: no limit."""

    sweeps: int | None = None
    samples: int | None = None


@dataclass(frozen=True)
class Shuffle:
    """How sequences are shuffled.

    Args:
        seed: seed of the first sweep.
        chunks: window in chunks; 0 with ``samples`` = 0: not at all.
        samples: window in samples; 0: ``chunks`` counts.
    """

    seed: int = 0
    chunks: int = 0
    samples: int = 0

    @property
    def any(self) -> bool:
        """Whether anything is shuffled."""
        return self.chunks > 0 or self.samples > 0


class Timeline:
    """All sweeps over the data of a reader, in order.

    Args:
        reader: says how many sequences and samples the chunks hold.
        shuffle: how each sweep is shuffled.
        limits: where the timeline ends.
    """

    def __init__(self, reader: Reader, shuffle: Shuffle, limits: Limits) -> None:
        self._reader, self._shuffle, self.limits = reader, shuffle, limits
        self._counts: dict[int, IndexVector] = {}
        self._orders: OrderedDict[int, _Sweep] = OrderedDict()

    def counts(self, chunk: int) -> IndexVector:
        """Samples of each sequence of a chunk."""
        found = self._counts.get(chunk)
        if found is None:
            found = self._counts[chunk] = np.asarray(self._reader.samples(chunk), np.int64)
        return found

    def sweep(self, number: int) -> _Sweep:
        """The order of a sweep, produced as far as asked; the two used last are kept."""
        found = self._orders.get(number)
        if found is None:
            chunks, count = self._reader.chunk_count(), self._size
            shuffle = self._shuffle
            order = (
                ShuffledOrder(chunks, count, shuffle.seed + number, shuffle.chunks, self._total, shuffle.samples)
                if shuffle.any
                else Order(chunks, count)
            )
            found = self._orders[number] = _Sweep(order, self.counts)
            while len(self._orders) > 2:
                self._orders.popitem(last=False)
        return found

    def _size(self, chunk: int) -> int:
        return len(self.counts(chunk))

    def _total(self, chunk: int) -> int:
        return int(self.counts(chunk).sum())

    def ended(self, place: Place) -> bool:
        """Whether nothing comes after a place."""
        limits = self.limits
        if any(place.slots):
            return False
        return (limits.sweeps is not None and place.sweep >= limits.sweeps) or (
            limits.samples is not None and place.samples >= limits.samples
        )

    def pick(self, place: Place, samples: int) -> Picked | None:
        """The sequences of the next minibatch: as many as fit, at least one; None at the end.

        Args:
            place: where to begin.
            samples: how many samples are wanted.

        Raises:
            ReaderError: if the data hold no sequence at all.
        """
        if self.ended(place):
            return None
        limits = self.limits
        room = samples if limits.samples is None else min(samples, limits.samples - place.samples)
        chunks: list[NDArray[np.int64]] = []
        numbers: list[IndexVector] = []
        sweeps: list[IndexVector] = []
        taken, ends = 0, False
        while True:
            sweep = self.sweep(place.sweep)
            chunk, number, counts = sweep.window(place.position, max(room - taken, 1))
            total = np.cumsum(counts)
            fits = int(np.searchsorted(total, room - taken, side="right"))
            if fits == 0 and not chunks and len(counts):
                fits = 1
            if fits:
                chunks.append(chunk[:fits].astype(np.int64))
                numbers.append(number[:fits])
                sweeps.append(np.full(fits, place.sweep, np.int64))
                taken += int(total[fits - 1])
                place = replace(place, position=place.position + fits)
            if not sweep.complete(place.position):
                break
            if place.position == 0:
                raise no_sequences(self._reader)
            place, ends = replace(place, sweep=place.sweep + 1, position=0), True
            if taken >= room or (limits.sweeps is not None and place.sweep >= limits.sweeps):
                break
        place = replace(place, samples=place.samples + taken)
        return Picked(np.concatenate(chunks), np.concatenate(numbers), np.concatenate(sweeps), taken, ends, place)

    def block(self, place: Place, samples: int, most: int) -> Block | None:
        """The sequences of the next minibatches: at least one, up to ``most``; None at the end.

        They are what :meth:`pick` would give one by one; a minibatch that reaches the end of a sweep comes alone.

        Args:
            place: where to begin.
            samples: how many samples each shall have.
            most: how many minibatches are wanted.
        """
        if self.ended(place):
            return None
        chunk, number, counts = self.sweep(place.sweep).window(place.position, samples * most)
        total = np.cumsum(counts)
        limit = self.limits.samples
        stops: list[int] = []
        stop = taken = 0
        while len(stops) < most and (limit is None or place.samples + taken + samples <= limit):
            stop = max(int(np.searchsorted(total, taken + samples, side="right")), stop + 1)
            if stop >= len(total):
                break
            stops.append(stop)
            taken = int(total[stop - 1])
        if not stops:
            picked = self.pick(place, samples)
            if picked is None:
                return None
            cut = Cut(len(picked.chunk), picked.ends_sweep, picked.after)
            return Block(picked.chunk, picked.number, [cut])
        sweep, position, before = place.sweep, place.position, place.samples
        cuts = [
            Cut(s, False, Place(sweep, position + s, before + t))
            for s, t in zip(stops, total[np.array(stops) - 1].tolist(), strict=True)
        ]
        return Block(chunk[: stops[-1]].astype(np.int64), number[: stops[-1]], cuts)

    def chunks_ahead(self, place: Place, count: int) -> IndexVector:
        """The chunks of the ``count`` sequences after a place, in their order, as far as this sweep and the next go."""
        found: list[NDArray[Any]] = []
        number, position = place.sweep, place.position
        for _ in range(2):
            if count <= 0 or (self.limits.sweeps is not None and number >= self.limits.sweeps):
                break
            chunk = self.sweep(number).window(position, count)[0][:count]
            found.append(chunk)
            count -= len(chunk)
            number, position = number + 1, 0
        if not found:
            return np.zeros(0, np.int64)
        chunks, first = np.unique(np.concatenate(found), return_index=True)
        return chunks[np.argsort(first)].astype(np.int64)

    def size_of_chunk_at(self, place: Place) -> int:
        """Sequences of the chunk that the sequence at a place lies in."""
        chunk = self.sweep(place.sweep).window(place.position, 1)[0]
        return len(self.counts(int(chunk[0]))) if len(chunk) else 0

    def sweep_samples(self) -> int:
        """Samples of one sweep."""
        return sum(self._total(c) for c in range(self._reader.chunk_count()))

    def place_of(self, samples: int) -> Place:
        """The place after ``samples`` samples; inside a sequence, the place after it."""
        total = self.sweep_samples()
        if total == 0:
            return Place(samples=samples)
        number, rest = divmod(samples, total)
        limits = self.limits
        if rest == 0:
            return Place(number, 0, samples)
        if limits.sweeps is not None and number >= limits.sweeps:
            return Place(limits.sweeps, 0, samples)
        return Place(number, self.sweep(number).position_of(rest), samples)

    def seeds(self, picked: Picked) -> NDArray[np.uint64]:
        """One number for each sequence: from the seed, the sweep and the sequence, and nothing else."""
        with np.errstate(over="ignore"):
            mixed = picked.chunk.astype(np.uint64) * np.uint64(1 << 32) + picked.number.astype(np.uint64)
            mixed += (picked.sweeps + self._shuffle.seed).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
                mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
            return mixed ^ (mixed >> np.uint64(31))


class _Sweep:
    """One sweep: its order and the samples of its sequences."""

    def __init__(self, order: Order, counts: Callable[[int], IndexVector]) -> None:
        self._order, self._count_of = order, counts
        self._counts: IndexVector = np.zeros(0, np.int64)
        self._whole = False

    def _grow(self) -> bool:
        if self._whole:
            return False
        self._whole = not self._order.grow()
        order, known = self._order, len(self._counts)
        if len(order.chunk) > known:
            chunk, number = order.chunk[known:], order.number[known:]
            new = np.empty(len(chunk), np.int64)
            sorted_ = np.argsort(chunk, kind="stable")
            for here in np.split(sorted_, np.flatnonzero(np.diff(chunk[sorted_])) + 1):
                new[here] = self._count_of(int(chunk[here[0]]))[number[here]]
            self._counts = np.concatenate([self._counts, new]) if known else new
        return not self._whole

    def window(self, position: int, samples: int) -> tuple[NDArray[np.int32], IndexVector, IndexVector]:
        """Sequences from a position on that count more than ``samples`` samples together (or all that are left)."""
        last = position + samples + 1  # every sequence counts at least one sample
        while len(self._counts) < last and self._grow():
            known = self._counts[position:]
            if len(known) and int(known.sum()) > samples:
                break
        part = slice(position, last)
        return self._order.chunk[part], self._order.number[part], self._counts[part]

    def complete(self, position: int) -> bool:
        """Whether the sweep has no sequence at or after a position."""
        while position >= len(self._counts):
            if not self._grow():
                return position >= len(self._counts)
        return False

    def position_of(self, samples: int) -> int:
        """How many sequences hold the first ``samples`` samples."""
        while int(self._counts.sum()) < samples and self._grow():
            pass
        return int(np.searchsorted(np.cumsum(self._counts), samples, side="left")) + 1

    def at(self, position: int) -> tuple[int, int, int]:
        """Chunk, number and samples of the sequence at a position."""
        self.complete(position)  # a restored source asks before anything was dealt out
        return int(self._order.chunk[position]), int(self._order.number[position]), int(self._counts[position])
