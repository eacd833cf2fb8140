"""The minibatches of a source, to be looked at one by one without moving the source.

Whoever looks has readers, places and lots of their own; what is shared is what never changes (files, arrays,
descriptions). Only the sequences of the page are read. Draws nothing and knows no widget.

Idea: a place on the timeline is a value, so that going back is keeping the places passed (``_timeline``).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from cntk_lab.errors import AttributeValueError, LabError, ReaderError
from cntk_lab.io._bundle import some_of
from cntk_lab.io._config import MinibatchSourceConfig
from cntk_lab.io._declare import Deserializer, Reader
from cntk_lab.io._defects import Defect, Defects
from cntk_lab.io._memory import MinibatchSourceFromData
from cntk_lab.io._pages import MOST_PAGES, Lengths, Page, Pages, Sample, waste
from cntk_lab.io._pages_memory import ArrayPages, Rows, SourcePages, copier, of_arrays
from cntk_lab.io._pixels import Step
from cntk_lab.io._ragged import join
from cntk_lab.io._source import MinibatchSource, open_readers
from cntk_lab.io._timeline import Limits, Picked, Place, Shuffle, Timeline
from cntk_lab.io._truncate import pick_truncated
from cntk_lab.io._user import UserDeserializer, UserMinibatchSource
from cntk_lab.tensor.layout import IndexVector

_ALL: Final = 2**62
QUICK: Final = 100_000
"""Sequences that are shuffled in about 0.1 s."""
FEW_CHUNKS: Final = 4
"""Chunks that may be read for their sizes before anything is shown, and that a sample is taken from."""
_FINE: Final[dict[str, dict[str, Any]]] = {
    "CNTKTextFormatDeserializer": {"chunkSizeInBytes": 1 << 18}, "DatasetDeserializer": {"itemsPerChunk": 16},
}  # fmt: skip
MANY_CHUNKS: Final = 32
"""Chunks that a sample is taken from, where a few sequences can be read alone."""
ENOUGH: Final = 1000
"""Sequences that are measured where there is no index, if they can be read alone."""


def pages_of(source: Any) -> Pages:
    """The pages of anything that gives minibatches.

    Args:
        source: a MinibatchSource, a deserializer or several, {name: array or list of sequences}, a source written in
            Python, or a function that makes one.

    Raises:
        AttributeValueError: if it is none of these.
        ReaderError: if it cannot be read.
    """
    if isinstance(source, MinibatchSource):
        return ReaderPages(source._config, source._timeline.limits, source._timeline._shuffle, source)
    if isinstance(source, MinibatchSourceFromData):
        limit = source._limit
        return ArrayPages({n: Rows(r) for n, r in source._data.items()}, source.stream_infos(), limit)
    if isinstance(source, UserMinibatchSource):
        return SourcePages(copier(source))
    if isinstance(source, Deserializer) or not isinstance(source, Mapping):
        several = [source] if isinstance(source, (Deserializer, UserDeserializer)) else source
        if isinstance(several, (list, tuple)) and several and all(map(_is_deserializer, several)):
            return ReaderPages(MinibatchSourceConfig(list(several), randomize=False), Limits(sweeps=1), Shuffle())
        if callable(source):
            return SourcePages(source)
        raise AttributeValueError(
            f"there are no minibatches in a {type(source).__name__}",
            fix="give a MinibatchSource, a deserializer, {name: array}, or a function that makes a source",
        )
    return of_arrays(source)


def _is_deserializer(one: Any) -> bool:
    return isinstance(one, (Deserializer, UserDeserializer))


class ReaderPages(Pages):
    """Pages of deserializers, read by readers of their own.

    Args:
        config: what is read.
        limits: where the minibatches end.
        shuffle: how they are shuffled.
        source: the source that training reads from, where there is one; only its place is looked at.
    """

    def __init__(
        self, config: MinibatchSourceConfig, limits: Limits, shuffle: Shuffle, source: MinibatchSource | None = None
    ) -> None:
        self._config, self._limits, self._shuffle, self._source = config, limits, shuffle, source
        self._defects = _silent()
        self.shuffles, self.follows = shuffle.any, source is not None
        self._reader = self._opened(fine=False)
        self.streams = tuple(self._reader.streams)
        self.blue_first = frozenset(
            name for d in config.deserializers if isinstance(d, Mapping)
            for name, entry in dict(d.get("input", {})).items() if isinstance(entry, Mapping) and "transforms" in entry
        )  # fmt: skip
        reader, chunks = self._reader, self._reader.chunk_count()
        if reader.indexed:
            self.total = sum(len(reader.samples(c)) for c in range(chunks))
        quick = self.total <= QUICK if self.total is not None else chunks <= FEW_CHUNKS
        self._in_training_order = self.shuffles and quick
        self._begin()

    def _opened(self, fine: bool) -> Reader:
        """A reader of the data; with small chunks where they change no order."""
        if self._source is not None and (twin := self._source._reader.twin(self._defects, fine)) is not None:
            return twin
        config = self._config
        if fine and len(config.deserializers) == 1 and isinstance(config.deserializers[0], Deserializer):
            config = copy.copy(config)
            one = config.deserializers[0]
            config.deserializers = [Deserializer(one["type"], {**one, **_FINE.get(one["type"], {})})]
        return open_readers(config, self._defects)

    def _begin(self) -> None:
        self._reader = self._opened(fine=not self._in_training_order)
        self._timeline = Timeline(
            self._reader, self._shuffle if self._in_training_order else Shuffle(self._shuffle.seed), self._limits
        )
        self._places: dict[int, list[Place]] = {}
        self._ends: dict[int, int] = {}
        shuffled = "in the order in which training sees them"
        self.order = shuffled if self.shuffles and self._in_training_order else Pages.order

    def in_training_order(self) -> None:
        """Shuffle as the source does; that takes about a second for a million sequences."""
        if not self._in_training_order:
            self._in_training_order = True
            self._begin()

    def training(self, size: int) -> int | None:
        """The number of the minibatch at the source's place; None without a source."""
        if self._source is None:
            return None
        self.in_training_order()
        wanted, number = self._source._place.samples, 0
        while (place := self._place(number, size)) is not None and place.samples < wanted:
            number += 1
        return number

    def page(self, number: int, size: int) -> Page | None:
        """The minibatch of a number; None after the end."""
        place = self._place(number, size)
        picked = None if place is None else self._pick(place, size)
        if place is None or picked is None:
            return None
        seeds = self._timeline.seeds(picked)
        data, kept = some_of(self._reader, picked.chunk, picked.number, seeds)
        if picked.first is not None and picked.lengths is not None and len(kept):
            first, lengths = picked.first[kept], picked.lengths[kept]
            all_ = np.arange(len(kept))
            data = {n: d.cut(all_, first, (d.lengths - first).clip(0, lengths)) for n, d in data.items()}
        keys = {c: self._reader.keys(c) for c in np.unique(picked.chunk).tolist()}
        origin = list(zip(picked.chunk[kept].tolist(), picked.number[kept].tolist(), seeds[kept].tolist(), strict=True))
        names = [str(keys[c][n]) for c, n, _ in origin]
        if picked.first is not None and picked.lengths is not None:
            ends = (picked.first + picked.lengths)[kept].tolist()
            begins = picked.first[kept].tolist()
            names = [f"{n}, frames {b} to {e - 1}" for n, b, e in zip(names, begins, ends, strict=True)]
        return Page(
            number, data, tuple(names), picked.samples, int(picked.sweeps[0]), picked.ends_sweep,
            len(picked.chunk) - len(kept), tuple(origin),
        )  # fmt: skip

    def _pick(self, place: Place, size: int) -> Picked | None:
        cut = self._config.truncation_length
        if not cut:
            return self._timeline.pick(place, size)
        return None if self._timeline.ended(place) else pick_truncated(self._timeline, place, size, cut)

    def _place(self, number: int, size: int) -> Place | None:
        """Where a minibatch begins; the places on the way are kept."""
        places = self._places.setdefault(size, [Place()])
        while len(places) <= number and size not in self._ends:
            picked = self._pick(places[-1], size)
            if picked is None:
                self._ends[size] = len(places) - 1
            else:
                places.append(picked.after)
        return places[number] if number < len(places) and number != self._ends.get(size) else None

    def steps(self, page: Page, sequence: int) -> Mapping[str, Sequence[Step]]:
        """Per stream what each transform makes of a sequence of a page, with the lots drawn for it."""
        try:
            return self._reader.steps(*page.origin[sequence])
        except LabError:
            raise
        except Exception as error:  # decoders raise anything
            raise ReaderError(
                f"sequence {page.names[sequence]} cannot be read: {type(error).__name__}: {error}",
                fix="see io.check(source) for what is wrong with it",
            ) from error

    def sample(self, limit: int) -> Sample:
        """Sequences from a few chunks all over the data; images are left out, they need not be decoded for it."""
        reader = self._lean()
        places = MANY_CHUNKS if reader.selective else FEW_CHUNKS
        chunks = np.unique(np.linspace(0, reader.chunk_count() - 1, places).astype(np.int64)).tolist()
        parts, seen, total = [], 0, 0
        for chunk in chunks:
            count = len(reader.samples(chunk))
            total += count
            which = _spread(count, max(1, limit // len(chunks)))
            found, kept = reader.some(chunk, which, np.zeros(len(which), np.uint64))
            if len(kept):
                parts.append(found)
            seen += len(kept)
        if len(chunks) < reader.chunk_count():
            of = f"from {len(chunks)} of {reader.chunk_count()} chunks" if self.total is None else f"of {self.total:,}"
        else:
            of = f"of {total:,}"
        data = {name: join([p[name] for p in parts]) for name in parts[0]} if parts else {}
        whole = seen == total and len(chunks) == reader.chunk_count()
        return Sample(data, f"all {seen:,} sequences" if whole else f"{seen:,} sequences, evenly chosen {of}")

    def _lean(self) -> Reader:
        """A reader of everything but images."""
        if not self.blue_first:
            return self._reader
        config = copy.copy(self._config)
        config.deserializers = []
        for each in self._config.deserializers:
            if isinstance(each, Mapping) and isinstance(each.get("input"), Mapping):
                inputs = {n: e for n, e in each["input"].items() if n not in self.blue_first}
                if not inputs:
                    continue
                each = Deserializer(each["type"], {**{k: v for k, v in each.items() if k != "type"}, "input": inputs})
            config.deserializers.append(each)
        if not config.deserializers:
            return self._reader
        return open_readers(config, _silent())

    def lengths(self, size: int) -> Lengths:
        """Lengths from the index where there is one, else from a few chunks; padding from the first minibatches."""
        count = self._reader.chunk_count()
        if self._reader.indexed:
            found = [self._reader.samples(c) for c in range(count)]
        else:
            found = [self._timeline.counts(c) for c in range(min(count, FEW_CHUNKS))]
            while len(found) < count and self._reader.selective and sum(map(len, found)) < ENOUGH:
                found.append(self._timeline.counts(len(found)))
        lengths, whole = np.concatenate(found), len(found) == count
        basis = f"all {len(lengths):,} sequences" if whole else f"the first {len(lengths):,} sequences"
        batches = []
        for number in range(MOST_PAGES):
            place = self._place(number, size)
            picked = None if place is None or place.sweep else self._pick(place, size)
            if picked is None:
                break
            if picked.lengths is not None:
                batches.append(picked.lengths)
            else:
                pairs = zip(picked.chunk.tolist(), picked.number.tolist(), strict=True)
                batches.append(np.array([self._timeline.counts(c)[n] for c, n in pairs]))
        return Lengths(lengths, waste(batches), basis)

    @property
    def defects(self) -> Sequence[Defect]:
        """Bad places met so far."""
        return tuple(self._defects.all)

    def close(self) -> None:
        """Forget the source, readers and places."""
        self._source = None
        self.__dict__.pop("_timeline", None)
        self.__dict__.pop("_reader", None)
        self._places, self._ends = {}, {}


def _spread(count: int, wanted: int, run: int = 4) -> IndexVector:
    """At most ``wanted`` of ``count`` numbers, evenly spread in short runs, which are read at once."""
    if wanted >= count:
        return np.arange(count)
    starts = np.linspace(0, count - run, max(1, wanted // run)).astype(np.int64)
    return np.unique((starts[:, None] + np.arange(run)).clip(0, count - 1))[:wanted]


def _silent() -> Defects:
    """Tolerates every bad place and warns of none: they are shown."""
    defects = Defects(_ALL)
    defects.silent = True
    return defects
