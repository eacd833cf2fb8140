"""Today's data in one line: data frames, Arrow tables, Parquet and NumPy files, Hugging Face and torch-style data sets.

A stream is a column, several columns, or a part of each item. Numbers of classes become one-hot rows where a stream is
sparse. Packages are imported only where a file needs them; what is given is recognised by what it can do.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import AttributeValueError, NotAvailableError, ReaderError
from cntk_lab.io._declare import Chunk, Deserializer, Keys, MemoryChunk, Reader, deserializer
from cntk_lab.io._defects import Defect, Defects
from cntk_lab.io._ragged import Ragged
from cntk_lab.io._streams import StreamInformation
from cntk_lab.tensor.layout import IndexVector
from cntk_lab.tensor.shape import as_shape, size
from cntk_lab.tensor.sparse import from_one_hot

ROWS_PER_CHUNK: Final = 1 << 16
ITEMS_PER_CHUNK: Final = 1024
_UNREADABLE: Final = (
    OSError, EOFError, ValueError, KeyError, RuntimeError, OverflowError, MemoryError, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""What Python's and NumPy's readers raise on damaged archives."""
_DEFLATED: Final = 1100
"""No zip holds more than so many times its own bytes (deflate reaches 1032)."""


def TableDeserializer(table: Any, streams: Mapping[str, Any]) -> Deserializer:
    """Reads a table, row by row: one row is one sequence.

    A column of numbers gives one sample a row; a column of lists gives as many samples as the list has (groups of
    ``shape``) numbers. Of a sparse stream the numbers are classes and become one-hot.

    Args:
        table: pandas DataFrame, Arrow Table, {column: array}, or the path of a ``.parquet`` or ``.npz`` file. Parquet
            files are read a row group at a time, so they may be larger than memory.
        streams: StreamDefs; of each, ``field`` is a column or a list of columns, ``shape`` the shape of a sample (of a
            sparse stream: the number of classes).

    Returns:
        Deserializer for MinibatchSource.

    Raises:
        AttributeValueError: if a stream has no field or no shape.

    Example:
        >>> from cntk_lab.io import MinibatchSource, StreamDef, StreamDefs
        >>> table = {"width": np.array([1.0, 2.0]), "height": np.array([3.0, 4.0]), "kind": np.array([0, 2])}
        >>> streams = StreamDefs(
        ...     x=StreamDef(field=["width", "height"], shape=2), y=StreamDef(field="kind", shape=3, is_sparse=True))
        >>> source = MinibatchSource(TableDeserializer(table, streams), randomize=False)
        >>> minibatch = source.next_minibatch(2)
        >>> minibatch[source.streams.x].asarray().tolist(), minibatch[source.streams.y].asarray().tolist()
        ([[[1.0, 3.0]], [[2.0, 4.0]]], [[[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]]])
    """
    return Deserializer("TableDeserializer", {"table": table, "input": _inputs("TableDeserializer", streams)})


def DatasetDeserializer(
    dataset: Any, streams: Mapping[str, Any], items_per_chunk: int = ITEMS_PER_CHUNK
) -> Deserializer:
    """Reads a data set that is indexed by number: of Hugging Face ``datasets``, or any with ``len()`` and ``[i]``.

    Args:
        dataset: gives item ``i`` as ``dataset[i]``: a dictionary or a tuple. The same ``i`` must give the same item.
        streams: StreamDefs; of each, ``field`` is a key, or the place in the tuple; ``shape`` the shape of a sample
            (of a sparse stream: the number of classes). Items of more samples are sequences.
        items_per_chunk: items that are fetched together and kept in memory.

    Returns:
        Deserializer for MinibatchSource.

    Raises:
        AttributeValueError: if a stream has no field or no shape.

    Example:
        >>> from cntk_lab.io import MinibatchSource, StreamDef, StreamDefs
        >>> items = [(np.full((2, 2), i, np.float32), i % 3) for i in range(4)]
        >>> streams = StreamDefs(
        ...     image=StreamDef(field=0, shape=(2, 2)), label=StreamDef(field=1, shape=3, is_sparse=True))
        >>> source = MinibatchSource(DatasetDeserializer(items, streams), randomize=False)
        >>> source.next_minibatch(4)[source.streams.label].asarray().argmax(axis=2).ravel().tolist()
        [0, 1, 2, 0]
    """
    entries = {"dataset": dataset, "itemsPerChunk": int(items_per_chunk)}
    return Deserializer("DatasetDeserializer", {**entries, "input": _inputs("DatasetDeserializer", streams)})


def _inputs(type_: str, streams: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, d in streams.items():
        for key, words in (("stream_alias", "field"), ("dim", "shape")):
            if d.get(key) is None:
                raise AttributeValueError(f"{type_}: stream '{name}' has no {words}", fix=f"StreamDef({words}=...)")
        field = d["stream_alias"]
        found[name] = {
            "fields": list(field) if isinstance(field, (list, tuple)) else [field],
            "dim": d["dim"],
            "format": "sparse" if d.get("is_sparse") else "dense",
            "definesMBSize": bool(d.get("defines_mb_size", False)),
        }
    if not found:
        raise AttributeValueError(f"{type_}: there is no stream", fix="give StreamDefs(name=StreamDef(...))")
    return found


class _RowReader(Reader):
    """Rows of anything, a chunk at a time."""

    what: str
    indexed = False
    _asked: list[int] | None = None
    """Numbers of the rows at hand, where they are not those of a whole chunk."""

    def __init__(self, description: Deserializer, defects: Defects) -> None:
        self.defects = defects
        self._inputs: Mapping[str, Any] = description["input"]
        self.streams = tuple(
            StreamInformation(name, k, i["format"], np.float32, as_shape(i["dim"]), i["definesMBSize"])
            for k, (name, i) in enumerate(self._inputs.items())
        )
        self._firsts = np.concatenate([[0], np.cumsum(self._open(description))]).astype(np.int64)
        if not self._firsts[-1]:
            raise ReaderError(f"{self.what} has no rows", fix="give at least one")
        self._sizes: dict[int, IndexVector] = {}
        self._good: dict[int, NDArray[np.bool_]] = {}

    @abstractmethod
    def _open(self, description: Deserializer) -> Sequence[int]:
        """Rows of each chunk."""

    @abstractmethod
    def _column(self, chunk: int, field: Any) -> Any:
        """One column of a chunk: an array or a list."""

    def chunk_count(self) -> int:
        return len(self._firsts) - 1

    def samples(self, chunk: int) -> IndexVector:
        if chunk not in self._sizes:
            self.load(chunk)
        return self._sizes[chunk]

    def keys(self, chunk: int) -> Keys:
        return np.arange(int(self._firsts[chunk]), int(self._firsts[chunk + 1]), dtype=np.uint64)

    def usable(self, chunk: int, loaded: Chunk) -> NDArray[np.bool_] | None:  # noqa: ARG002
        return self._good.get(chunk)

    def load(self, chunk: int) -> Chunk:
        count = int(self._firsts[chunk + 1] - self._firsts[chunk])
        good = np.ones(count, bool)
        found = {}
        for info in self.streams:
            parts = [self._rows(chunk, info, field, good) for field in self._inputs[info.m_name]["fields"]]
            found[info.m_name] = self._stream(info, parts, chunk, good)
        if not good.all():
            self._good[chunk] = good
        sizing = [s.m_name for s in self.streams if s.m_defines_mb_size]
        self._sizes[chunk] = np.max([found[n].lengths for n in (sizing or found)], axis=0)
        return MemoryChunk(found)

    def _tell(
        self, chunk: int, row: int, field: Any, info: StreamInformation, cause: str, found: Any, expected: str
    ) -> None:
        number = int(self._firsts[chunk]) + row if self._asked is None else self._asked[row]
        place = f"{self.what}, row {number}, column {field!r}"
        self.defects.tell(Defect(place, cause, 0, 0, info.m_name, repr(found)[:80], expected))

    def _rows(
        self, chunk: int, info: StreamInformation, field: Any, good: NDArray[np.bool_]
    ) -> list[Any] | NDArray[Any]:
        """A column as an array of numbers, or as a list with one array per row; bad rows are told."""
        data = self._column(chunk, field)
        if isinstance(data, np.ndarray) and data.dtype.kind in "fiub":
            array = data
        else:
            items = [self._item(chunk, row, field, info, item, good) for row, item in enumerate(data)]
            if len({i.shape for i in items}) > 1:
                return items
            array = np.stack(items)
        if array.dtype.kind == "f" and info.is_sparse:
            whole = array == np.floor(array)
            for row in np.flatnonzero(~whole.reshape(len(array), -1).all(axis=1)).tolist():
                self._tell(chunk, row, field, info, "a class is not a whole number", array[row], "0, 1, 2, ...")
                good[row] = False
                array[row] = 0
        return array

    def _item(
        self, chunk: int, row: int, field: Any, info: StreamInformation, item: Any, good: NDArray[np.bool_]
    ) -> NDArray[Any]:
        try:
            array = np.asarray(item)
            if array.dtype == object:
                array = np.stack([np.asarray(part) for part in item])
            if array.dtype.kind in "fiub":
                return array
        except (ValueError, TypeError):
            pass
        self._tell(chunk, row, field, info, "this is not a number or an array of numbers", item, "numbers")
        good[row] = False
        return np.zeros(1 if info.is_sparse else info.sample_shape, np.int64 if info.is_sparse else np.float32)

    def _stream(self, info: StreamInformation, parts: list[Any], chunk: int, good: NDArray[np.bool_]) -> Ragged:
        shape, elements = info.sample_shape, size(info.sample_shape)
        if len(parts) > 1:
            parts = [np.stack([np.asarray(p).reshape(len(good), -1) for p in parts], axis=1).reshape(len(good), -1)]
        rows, field = parts[0], self._inputs[info.m_name]["fields"][0]
        step = 1 if info.is_sparse else elements
        sizes = (
            np.array([r.size for r in rows], np.int64) if isinstance(rows, list) else np.full(len(good), rows[0].size)
        )
        for row in np.flatnonzero((sizes % step != 0) | (sizes == 0)).tolist():
            wanted = f"{step} numbers, or a multiple (shape={shape})" if step > 1 else "at least one number"
            self._tell(chunk, row, field, info, "a row has the wrong number of values", f"{sizes[row]} values", wanted)
            good[row] = False
        flat: Any
        if isinstance(rows, list):
            rows = [
                r if n and n % step == 0 else np.zeros(step, r.dtype) for r, n in zip(rows, sizes.tolist(), strict=True)
            ]
            flat = np.concatenate([r.reshape(-1) for r in rows])
            sizes = np.array([r.size for r in rows], np.int64)
        else:
            usable = int(sizes[0]) and int(sizes[0]) % step == 0
            flat = rows.reshape(-1) if usable else np.zeros(len(good) * step, np.float32)
            sizes = sizes if usable else np.full(len(good), step)
        lengths = sizes // step
        if not info.is_sparse:
            return Ragged(np.ascontiguousarray(flat, np.float32).reshape((-1, *shape)), lengths, shape)
        classes = flat.astype(np.int64)
        owner = np.repeat(np.arange(len(good)), lengths)
        for at in np.flatnonzero((classes < 0) | (classes >= elements)).tolist():
            row = int(owner[at])
            self._tell(chunk, row, field, info, "a class is out of range", int(classes[at]), f"0 to {elements - 1}")
            good[row] = False
        return Ragged(from_one_hot(classes, elements, "float32"), lengths, shape)


@deserializer("TableDeserializer")
class _TableReader(_RowReader):
    def _open(self, description: Deserializer) -> Sequence[int]:
        table = description["table"]
        self._parquet: Any = None
        self._last: tuple[int, Any] = (-1, None)
        if isinstance(table, (str, os.PathLike)):
            path = Path(table)
            self.what = str(path)
            if path.suffix.lower() == ".npz":
                table = _read_npz(path)
            else:
                self._parquet = _open_parquet(path)
                self._check_columns(list(self._parquet.schema_arrow.names))
                meta = self._parquet.metadata
                return [meta.row_group(k).num_rows for k in range(meta.num_row_groups)]
        else:
            self.what = type(table).__name__
        self._table, self.plain = table, True
        names = list(table.column_names) if hasattr(table, "column_names") else list(table.keys())
        self._check_columns(names)
        first = self._whole(self._inputs[self.streams[0].m_name]["fields"][0])
        count = len(first)
        return [min(ROWS_PER_CHUNK, count - k) for k in range(0, count, ROWS_PER_CHUNK)]

    def _check_columns(self, names: list[str]) -> None:
        for name, entry in self._inputs.items():
            for field in entry["fields"]:
                if field not in names:
                    raise ReaderError(
                        f"stream '{name}': there is no column {field!r} in {self.what}",
                        fix=f"one of: {', '.join(map(repr, names))}",
                    )

    def _whole(self, field: Any) -> Any:
        column = self._table[field]
        if hasattr(column, "to_numpy"):  # pandas and Arrow
            return column.to_numpy()
        return column

    def _column(self, chunk: int, field: Any) -> Any:
        if self._parquet is not None:
            if self._last[0] != chunk:
                columns = sorted({f for i in self._inputs.values() for f in i["fields"]})
                self._last = (chunk, self._parquet.read_row_group(chunk, columns=columns))
            return self._last[1][field].to_numpy()
        return self._whole(field)[int(self._firsts[chunk]) : int(self._firsts[chunk + 1])]


@deserializer("DatasetDeserializer")
class _DatasetReader(_RowReader):
    selective = True

    def _open(self, description: Deserializer) -> Sequence[int]:
        self._dataset, step = description["dataset"], description["itemsPerChunk"]
        self.what = type(self._dataset).__name__
        self._last: tuple[int, list[Any]] = (-1, [])
        if step < 1:
            raise AttributeValueError(f"items_per_chunk={step}", fix="give at least 1")
        count = len(self._dataset)
        return [min(step, count - k) for k in range(0, count, step)]

    def some(
        self, chunk: int, which: IndexVector, seeds: NDArray[np.uint64]
    ) -> tuple[Mapping[str, Ragged], IndexVector]:
        """A few items; no others are fetched."""
        del seeds
        numbers = (int(self._firsts[chunk]) + which).tolist()
        good = np.ones(len(numbers), bool)
        kept, self._last, self._asked = self._last, (chunk, self._fetch(numbers)), numbers
        try:
            found = {}
            for info in self.streams:
                parts = [self._rows(chunk, info, field, good) for field in self._inputs[info.m_name]["fields"]]
                found[info.m_name] = self._stream(info, parts, chunk, good)
        finally:
            self._last, self._asked = kept, None
        places = np.flatnonzero(good)
        return {name: data.take(places) for name, data in found.items()} if len(places) else {}, places

    def chunk_bytes(self) -> int:
        return int(self._firsts[1]) * sum(4 * size(s.sample_shape) for s in self.streams if not s.is_sparse)

    def _fetch(self, numbers: Iterable[int]) -> list[Any]:
        items = []
        for number in numbers:
            try:
                items.append(self._dataset[number])
            except Exception as error:
                raise ReaderError(
                    f"{self.what}[{number}] raised {type(error).__name__}: {error}", fix="see the error above this one"
                ) from error
        return items

    def _column(self, chunk: int, field: Any) -> Any:
        if self._last[0] != chunk:
            self._last = (chunk, self._fetch(range(int(self._firsts[chunk]), int(self._firsts[chunk + 1]))))
        try:
            return [item[field] for item in self._last[1]]
        except (KeyError, IndexError, TypeError) as error:
            first = self._last[1][0]
            keys = ", ".join(map(repr, first)) if isinstance(first, Mapping) else f"0 to {len(first) - 1}"
            raise ReaderError(f"items of {self.what} have no part {field!r}", fix=f"one of: {keys}") from error


def _read_npz(path: Path) -> dict[str, Any]:
    """The arrays of a NumPy archive; such that hold Python objects are refused, and such that are larger than it."""
    try:
        _check_sizes(path)
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except _UNREADABLE as error:
        raise ReaderError(
            f"cannot read '{path}': {error}", fix="give a file written by np.savez, without object arrays"
        ) from error


def _check_sizes(path: Path) -> None:
    """Look at what the arrays of a NumPy archive say of themselves before memory is given to them.

    Raises:
        ValueError: if one says that it is larger than what the file can hold.
    """
    most = path.stat().st_size * _DEFLATED
    with zipfile.ZipFile(path) as stored:
        for info in stored.infolist():
            with stored.open(info) as member:
                version = np.lib.format.read_magic(member)
                read_header = np.lib.format.read_array_header_1_0 if version[0] == 1 else _header_2_0
                shape, _, dtype = read_header(member)
            claimed = size(shape) * dtype.itemsize
            if claimed > min(info.file_size, most):
                raise ValueError(f"array '{info.filename}' claims {claimed} bytes, it has {info.file_size}")


def _header_2_0(member: Any) -> Any:
    return np.lib.format.read_array_header_2_0(member)


def _open_parquet(path: Path) -> Any:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise NotAvailableError("no pyarrow, which reads Parquet files", fix="pip install cntk-lab[tables]") from None
    try:
        return parquet.ParquetFile(path)
    except (OSError, arrow.ArrowException) as error:
        raise ReaderError(f"cannot read '{path}': {error}", fix="give a Parquet file") from error
