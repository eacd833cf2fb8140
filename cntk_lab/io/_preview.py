"""Pages: the minibatches of a source, to be looked at one by one without moving the source.

Whoever looks has readers, places and lots of their own; what is shared is what never changes (files, arrays,
descriptions). Only the sequences of the page are read. Draws nothing and knows no widget.

Idea: a place on the timeline is a value, so that going back is keeping the places passed (``_timeline``).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import AttributeValueError, LabError, ReaderError
from cntk_lab.io._bundle import some_of
from cntk_lab.io._config import MinibatchSourceConfig
from cntk_lab.io._declare import Deserializer, Reader
from cntk_lab.io._defects import Defect, Defects
from cntk_lab.io._memory import MinibatchSourceFromData
from cntk_lab.io._pixels import Step
from cntk_lab.io._ragged import Ragged, from_lists, join
from cntk_lab.io._source import MinibatchSource, open_readers
from cntk_lab.io._streams import MinibatchData, StreamInformation
from cntk_lab.io._timeline import Limits, Picked, Place, Shuffle, Timeline
from cntk_lab.io._truncate import pick_truncated
from cntk_lab.io._user import UserDeserializer, UserMinibatchSource
from cntk_lab.tensor import dtype as dtypes
from cntk_lab.tensor.layout import IndexVector
from cntk_lab.tensor.shape import Shape
from cntk_lab.tensor.sparse import is_csr

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
MOST_PAGES: Final = 200
"""Minibatches whose padding is measured."""


@dataclass(frozen=True)
class Page:
    """One minibatch.

    Args:
        number: of the minibatch, from 0.
        data: per stream its sequences; a stream that ended before a cut piece has none of its frames.
        names: of the sequences.
        samples: that the minibatch counts.
        sweep: number of the sweep it begins in; None where that is not known.
        ends_sweep: whether a sweep ends in or with it.
        left_out: sequences that cannot be delivered.
        origin: of each sequence chunk, number in the chunk and seed, where there are chunks.
    """

    number: int
    data: Mapping[str, Ragged]
    names: tuple[str, ...]
    samples: int
    sweep: int | None = None
    ends_sweep: bool = False
    left_out: int = 0
    origin: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Lengths:
    """How long sequences are.

    Args:
        lengths: samples of each sequence.
        waste: part of a padded minibatch that would be padding, 0..1.
        basis: what was counted, in words.
    """

    lengths: IndexVector
    waste: float
    basis: str


@dataclass(frozen=True)
class Sample:
    """Sequences from all over the data: per stream, and in words which ones."""

    data: Mapping[str, Ragged]
    basis: str


class Pages(ABC):
    """The minibatches of a source, by number.

    ``streams``: what each holds. ``order``: in which order they come, in words. ``shuffles``: whether the source has an
    order of its own beside the one shown. ``total``: sequences of a sweep, where that is known. ``follows``: whether
    it is known where training is. ``blue_first``: streams
    whose images are stored so.
    """

    follows: bool = False
    streams: tuple[StreamInformation, ...]
    order: str = "in the order of the data"
    shuffles: bool = False
    total: int | None = None
    blue_first: frozenset[str] = frozenset()

    @abstractmethod
    def page(self, number: int, size: int) -> Page | None:
        """The minibatch of a number; None after the end.

        Args:
            number: from 0.
            size: samples wanted in a minibatch.
        """

    @abstractmethod
    def sample(self, limit: int) -> Sample:
        """Sequences from all over the data, as evenly as can be.

        Args:
            limit: how many at most.
        """

    @abstractmethod
    def lengths(self, size: int) -> Lengths:
        """The lengths of sequences, and what padding would waste.

        Args:
            size: samples wanted in a minibatch.
        """

    def steps(self, page: Page, sequence: int) -> Mapping[str, Sequence[Step]]:  # noqa: ARG002
        """Per stream what each transform makes of a sequence of a page; nothing where there are no transforms."""
        return {}

    def training(self, size: int) -> int | None:  # noqa: ARG002
        """The number of the minibatch that training sees next; None where that is not known."""
        return None

    def in_training_order(self) -> None:
        """From now on, pages come in the order in which training sees them; where they do already, nothing changes."""
        return

    @property
    def defects(self) -> Sequence[Defect]:
        """Bad places met so far."""
        return ()

    def close(self) -> None:
        """Give the memory back, where there is any."""
        return


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
        return ArrayPages({n: _Rows(r) for n, r in source._data.items()}, source.stream_infos(), limit)
    if isinstance(source, UserMinibatchSource):
        return SourcePages(_copier(source))
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
    return _of_arrays(source)


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
        return Lengths(lengths, _waste(batches), basis)

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


class _Rows:
    """A column of sequences that is already there: none of it is copied.

    Args:
        data: sequences laid end to end.
    """

    def __init__(self, data: Ragged) -> None:
        self._data, self.lengths = data, data.lengths

    def take(self, which: IndexVector) -> Ragged:
        """Some of the sequences."""
        return self._data.take(which)


class _Single:
    """A column whose rows are samples: an array or a CSR matrix; not copied.

    Args:
        rows: samples x shape, or samples x elements.
        shape: of a sample.
    """

    def __init__(self, rows: Any, shape: Shape) -> None:
        self._rows, self._shape = rows, shape
        self.lengths: IndexVector = np.broadcast_to(np.int64(1), rows.shape[:1])  # takes no memory

    def take(self, which: IndexVector) -> Ragged:
        """Some of the samples."""
        return Ragged(self._rows[which], np.ones(len(which), np.int64), self._shape)


class _Listed:
    """A column given as a list with one array per sequence; only those looked at are converted.

    Args:
        data: arrays or CSR matrices.
        info: what they shall be.
    """

    def __init__(self, data: Sequence[Any], info: StreamInformation) -> None:
        self._data, self._info = data, info
        shape = info.sample_shape
        if all(isinstance(d, np.ndarray) for d in data) or info.is_sparse:
            shapes = (d.shape for d in data)
        else:
            shapes = (np.shape(d) for d in data)
        frames = (1 if s == shape else s[0] for s in shapes)
        self.lengths: IndexVector = np.fromiter(frames, np.int64, len(data))

    def take(self, which: IndexVector) -> Ragged:
        """Some of the sequences."""
        info = self._info
        items = [self._data[k] for k in which.tolist()]
        return from_lists(items, info.sample_shape, info.dtype, info.is_sparse, f"stream '{info.m_name}'")


class ArrayPages(Pages):
    """Pages of data in memory, in their order, as MinibatchSourceFromData cuts them.

    Args:
        columns: per stream its sequences.
        streams: what each holds.
        limit: samples in all; None: all once.
    """

    def __init__(
        self, columns: Mapping[str, _Rows | _Listed | _Single], streams: Sequence[StreamInformation], limit: int | None
    ) -> None:
        counts = {name: len(column.lengths) for name, column in columns.items()}
        if len(set(counts.values())) > 1:
            words = ", ".join(f"'{n}' {c}" for n, c in counts.items())
            raise ReaderError(f"all streams must have the same number of sequences: {words}")
        self.streams, self._columns = tuple(streams), dict(columns)
        every = list(columns.values())
        self._sizes = every[0].lengths
        for column in every[1:]:
            if isinstance(column, _Single):
                continue  # no sequence is shorter
            self._sizes = np.maximum(self._sizes, column.lengths)
        self._ends = np.cumsum(self._sizes)
        self._limit = int(self._ends[-1]) if limit is None else limit
        self.total = self._count = len(self._sizes)
        self._cuts: dict[int, list[int]] = {}

    def _range(self, number: int, size: int) -> tuple[int, int, int] | None:
        """First and last + 1 sequence of a minibatch, and its sweep."""
        cuts = self._cuts.get(size)
        if cuts is None:
            cuts = self._cuts[size] = [0]
        while cuts[-1] < self._count and len(cuts) <= number + 1:
            begun = int(self._ends[cuts[-1] - 1]) if cuts[-1] else 0
            last = int(np.searchsorted(self._ends, begun + size, side="right"))
            cuts.append(max(last, cuts[-1] + 1))
        if number + 1 < len(cuts):
            return cuts[number], cuts[number + 1], 0
        per_sweep = len(cuts) - 1
        sweep, rest = divmod(number, per_sweep)
        return cuts[rest], cuts[rest + 1], sweep

    def page(self, number: int, size: int) -> Page | None:
        """The minibatch of a number; None after the end."""
        found = self._range(number, size)
        if found is None:
            return None
        first, last, sweep = found
        done = sweep * int(self._ends[-1]) + (int(self._ends[first - 1]) if first else 0)
        room = self._limit - done
        if room <= 0:
            return None
        if int(self._ends[last - 1]) - (int(self._ends[first - 1]) if first else 0) > room:
            base = int(self._ends[first - 1]) if first else 0
            last = max(int(np.searchsorted(self._ends, base + room, side="right")), first + 1)
        which = np.arange(first, last)
        data = {name: column.take(which) for name, column in self._columns.items()}
        names = tuple(map(str, range(first, last)))
        return Page(number, data, names, int(self._sizes[first:last].sum()), sweep, last == self.total)

    def sample(self, limit: int) -> Sample:
        """Sequences from all over the data."""
        count = self._count
        which = np.unique(np.linspace(0, count - 1, min(limit, count)).astype(np.int64))
        data = {name: column.take(which) for name, column in self._columns.items()}
        whole = len(which) == count
        basis = f"all {count:,} sequences" if whole else f"{len(which):,} sequences, evenly chosen of {count:,}"
        return Sample(data, basis)

    def lengths(self, size: int) -> Lengths:
        """The lengths of all sequences."""
        batches = []
        for number in range(MOST_PAGES):
            found = self._range(number, size)
            if found is None or found[2]:
                break
            batches.append(self._sizes[found[0] : found[1]])
        return Lengths(self._sizes, _waste(batches), f"all {self.total:,} sequences")


class SourcePages(Pages):
    """Pages of a source written in Python, from one of its own.

    Args:
        make: gives a fresh source, standing at the beginning.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._source = self._made()
        self.streams = tuple(self._source.stream_infos())
        self._at: tuple[int, int] = (0, 0)
        self.order = "in the order of the source"

    def _made(self) -> UserMinibatchSource | MinibatchSource:
        source = self._make()
        if not isinstance(source, (UserMinibatchSource, MinibatchSource)):
            raise AttributeValueError(
                f"the function gives a {type(source).__name__}", fix="give a function that makes a minibatch source"
            )
        return source

    def _minibatches(self, number: int, size: int) -> Any:
        """The minibatch of a number as the source gives it."""
        if self._at[1] not in (0, size) or number < self._at[0]:
            self._source, self._at = self._made(), (0, size)
        found: Any = {}
        for at in range(self._at[0], number + 1):
            found = self._source.next_minibatch(size)
            self._at = (at + 1, size)
            if not found:
                self._at = (_ALL, size)  # from here the only way is back to the beginning
                break
        return found

    def page(self, number: int, size: int) -> Page | None:
        """The minibatch of a number; None after the end. Going back means beginning anew."""
        found: Mapping[Any, MinibatchData] = self._minibatches(number, size)
        if not found:
            return None
        data = {info.m_name: _ragged(info, minibatch) for info, minibatch in found.items()}
        counts = {name: d.count for name, d in data.items()}
        count = min(counts.values())
        if len(set(counts.values())) > 1:
            data = {name: d.take(np.arange(count)) for name, d in data.items()}
        samples = max(m.num_samples for m in found.values())
        ends = any(m.end_of_sweep for m in found.values())
        return Page(number, data, tuple(map(str, range(count))), samples, None, ends)

    def _first(self, size: int, limit: int) -> Iterator[Page]:
        """The first minibatches, from a source of their own."""
        pages, seen = SourcePages(self._make), 0
        for number in range(MOST_PAGES):
            page = pages.page(number, size)
            if page is None or seen >= limit:
                return
            seen += len(page.names)
            yield page
            if page.ends_sweep:
                return

    def sample(self, limit: int) -> Sample:
        """The first sequences."""
        pages = list(self._first(max(1, min(256, limit)), limit))
        data = {name: join([p.data[name] for p in pages]) for name in pages[0].data} if pages else {}
        return Sample(data, f"the first {sum(len(p.names) for p in pages):,} sequences")

    def lengths(self, size: int) -> Lengths:
        """The lengths of the first sequences."""
        batches = [np.max([d.lengths for d in p.data.values()], axis=0) for p in self._first(size, 20 * size)]
        lengths = np.concatenate(batches) if batches else np.zeros(0, np.int64)
        return Lengths(lengths, _waste(batches), f"the first {len(lengths):,} sequences")


def _ragged(info: StreamInformation, minibatch: MinibatchData) -> Ragged:
    sequences = minibatch.as_sequences()
    return from_lists(list(sequences), info.sample_shape, info.dtype, info.is_sparse, f"stream '{info.m_name}'")


def _copier(source: UserMinibatchSource) -> Callable[[], UserMinibatchSource]:
    """A function that gives copies of a source as it stands now."""
    advice = "give a function that makes a source of its own: lab.preview(lambda: MySource(...))"
    try:
        kept = copy.deepcopy(source)
    except Exception as error:
        raise ReaderError(
            f"a {type(source).__name__} cannot be looked at without moving it: it cannot be copied "
            f"({type(error).__name__}: {error})",
            fix=advice,
        ) from error
    return lambda: copy.deepcopy(kept)


def _of_arrays(given: Mapping[Any, Any]) -> ArrayPages:
    """Pages of {name or variable: array, CSR matrix or list of sequences}."""
    if not given:
        raise AttributeValueError("there is no stream", fix="give {name: array}")
    columns: dict[str, _Rows | _Listed | _Single] = {}
    infos = []
    for number, (key, data) in enumerate(given.items()):
        name = key if isinstance(key, str) else str(getattr(key, "name", "") or f"stream{number}")
        listed = isinstance(data, (list, tuple))
        if listed and not len(data):
            raise ReaderError(f"stream '{name}': the list of sequences is empty", fix="give at least one sequence")
        first = data[0] if listed else data
        sparse = is_csr(first)
        first = first if sparse else np.asarray(first)
        if not sparse and first.dtype.kind not in "fiub":
            raise ReaderError(f"stream '{name}' holds {first.dtype}, not numbers", fix="give arrays of numbers")
        dtype = dtypes.name_of("float64" if first.dtype == np.float64 else "float32")
        shape = tuple(first.shape[1:]) or ((1,) if first.ndim < 2 else ())
        info = StreamInformation(name, number, "sparse" if sparse else "dense", dtype, shape)
        infos.append(info)
        columns[name] = _Listed(data, info) if listed else _frames(first, info)
    return ArrayPages(columns, infos, None)


def _frames(data: Any, info: StreamInformation) -> _Single:
    """An array whose rows are samples, as sequences of one sample; not copied."""
    count = int(data.shape[0]) if np.ndim(data) else 0
    if not count:
        raise ReaderError(f"stream '{info.m_name}' holds no sample", fix="give an array (samples x shape)")
    rows = data if is_csr(data) else data.reshape((count, *info.sample_shape))
    return _Single(rows, info.sample_shape)


def _spread(count: int, wanted: int, run: int = 4) -> IndexVector:
    """At most ``wanted`` of ``count`` numbers, evenly spread in short runs, which are read at once."""
    if wanted >= count:
        return np.arange(count)
    starts = np.linspace(0, count - run, max(1, wanted // run)).astype(np.int64)
    return np.unique((starts[:, None] + np.arange(run)).clip(0, count - 1))[:wanted]


def _waste(batches: Sequence[NDArray[Any]]) -> float:
    """The part of padded minibatches that is padding."""
    padded = sum(len(b) * int(b.max()) for b in batches if len(b))
    return 1 - sum(int(b.sum()) for b in batches) / padded if padded else 0.0


def _silent() -> Defects:
    """Tolerates every bad place and warns of none: they are shown."""
    defects = Defects(_ALL)
    defects.silent = True
    return defects
