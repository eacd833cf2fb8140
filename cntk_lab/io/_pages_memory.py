"""Pages of data in memory and of sources written in Python, without moving them. Knows no files and no widget."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from cntk_lab.errors import AttributeValueError, ReaderError
from cntk_lab.io._pages import MOST_PAGES, Lengths, Page, Pages, Sample, waste
from cntk_lab.io._ragged import Ragged, from_lists, join
from cntk_lab.io._source import MinibatchSource
from cntk_lab.io._streams import MinibatchData, StreamInformation
from cntk_lab.io._user import UserMinibatchSource
from cntk_lab.tensor import dtype as dtypes
from cntk_lab.tensor.layout import IndexVector
from cntk_lab.tensor.shape import Shape
from cntk_lab.tensor.sparse import Csr, is_csr

_ALL: Final = 2**62


class Rows:
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
        self, columns: Mapping[str, Rows | _Listed | _Single], streams: Sequence[StreamInformation], limit: int | None
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
        return Lengths(self._sizes, waste(batches), f"all {self.total:,} sequences")


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
        return Lengths(lengths, waste(batches), f"the first {len(lengths):,} sequences")


def _ragged(info: StreamInformation, minibatch: MinibatchData) -> Ragged:
    sequences = minibatch.as_sequences()
    return from_lists(list(sequences), info.sample_shape, info.dtype, info.is_sparse, f"stream '{info.m_name}'")


def copier(source: UserMinibatchSource) -> Callable[[], UserMinibatchSource]:
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


def of_arrays(given: Mapping[Any, Any]) -> ArrayPages:
    """Pages of {name or variable: array, CSR matrix or list of sequences}."""
    if not given:
        raise AttributeValueError("there is no stream", fix="give {name: array}")
    columns: dict[str, Rows | _Listed | _Single] = {}
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
    if is_csr(data):
        Csr.checked(data, f"stream '{info.m_name}'")
    rows = data if is_csr(data) else data.reshape((count, *info.sample_shape))
    return _Single(rows, info.sample_shape)
