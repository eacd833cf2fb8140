"""CBFDeserializer: CNTK's binary format; and its writer, which turns any deserializer's data into such a file.

The header at the end of the file lists streams and chunks; a chunk holds, stream by stream, its sequences. Every
number of the file is checked before it is used. Files written here are read by real CNTK (tests/golden/io).

Source: CNTK 2.7 ``io.CBFDeserializer``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import numpy as np

from cntk_lab._files import atomic_file
from cntk_lab.errors import FormatError, ReaderError
from cntk_lab.io._declare import Chunk, Deserializer, Keys, MemoryChunk, Reader, deserializer
from cntk_lab.io._defects import Defect, Defects, refuse_foreign
from cntk_lab.io._ragged import Ragged
from cntk_lab.io._streams import StreamInformation
from cntk_lab.tensor.layout import IndexVector, concatenate_ranges
from cntk_lab.tensor.shape import as_shape, size
from cntk_lab.tensor.sparse import Csr, is_csr

TYPE: Final = "CNTKBinaryFormatDeserializer"
MAGIC: Final = 0x636E746B5F62696E
VERSION: Final = 1
_PREFIX: Final = struct.Struct("<QI")
_COUNTS: Final = struct.Struct("<II")
_CHUNK: Final = struct.Struct("<qII")
_LONGEST_NAME: Final = 4096


def CBFDeserializer(filename: str, streams: Mapping[str, Any] | None = None) -> Deserializer:
    """Reads CNTK's binary format.

    Args:
        filename: path of the file.
        streams: StreamDefs; of each, ``field`` is the name in the file, ``shape`` another static shape of as many
            elements. Streams of the file that are not named keep their names. None: all as they are.

    Returns:
        Deserializer for MinibatchSource.

    Example:
        >>> CBFDeserializer("train.bin")["file"]
        'train.bin'

    Source: CNTK 2.7 ``io.CBFDeserializer``.
    """
    inputs = {
        name: {
            "alias": d.get("stream_alias") or name,
            "dim": d.get("dim"),
            "definesMBSize": bool(d.get("defines_mb_size")),
        }
        for name, d in (streams or {}).items()
    }
    return Deserializer(TYPE, {"file": str(filename), "input": inputs})


@dataclass(frozen=True)
class _Stored:
    """A stream as the file describes it."""

    name: str
    sparse: bool
    dtype: str
    dim: int


@deserializer(TYPE)
class _CBFReader(Reader):
    plain = True

    def __init__(self, description: Deserializer, defects: Defects) -> None:
        self.path, self.defects = str(description["file"]), defects
        try:
            with Path(self.path).open("rb") as file:
                self._size = os.fstat(file.fileno()).st_size
                self._read_header(file)
        except OSError as error:
            raise ReaderError(
                f"Cannot open file '{self.path}'", error.strerror or str(error), "give a readable file"
            ) from error
        self._name_streams(description["input"])
        self._firsts = np.concatenate([[0], np.cumsum(self._chunks[:, 1])])

    # --- the header

    def _fail(self, offset: int, cause: str, found: str, expected: str, stream: str = "") -> NoReturn:
        defect = Defect(self.path, cause, stream=stream, found=found, expected=expected, offset=offset)
        self.defects.all.append(defect)
        raise ReaderError(defect.words(), fix="the file is damaged or no CBF file: write it anew (io.write_cbf)")

    def _take(self, file: BinaryIO, form: struct.Struct, what: str) -> tuple[Any, ...]:
        offset = file.tell()
        data = file.read(form.size)
        if len(data) < form.size:
            self._fail(offset, f"the file ends within {what}", f"{len(data)} bytes", f"{form.size} bytes")
        return form.unpack(data)

    def _read_header(self, file: BinaryIO) -> None:
        magic, version = self._take(file, _PREFIX, "the beginning")
        if magic != MAGIC:
            refuse_foreign(self.path)
            self._fail(0, "the file does not begin like a CBF file", f"{magic:#018x}", f"{MAGIC:#018x}")
        if version != VERSION:
            self._fail(8, "the version is not known", str(version), str(VERSION))
        file.seek(max(self._size - 8, 0))
        start = struct.unpack("<q", file.read(8))[0] if self._size >= _PREFIX.size + 8 else -1
        if not _PREFIX.size <= start <= self._size - 16:
            self._fail(
                self._size - 8, "the place of the header lies outside the file (the file may be cut off)", str(start),
                f"{_PREFIX.size} to {self._size - 16}",
            )  # fmt: skip
        file.seek(start)
        (magic,) = self._take(file, struct.Struct("<Q"), "the header")
        if magic != MAGIC:
            self._fail(start, "there is no header where the last bytes say", f"{magic:#018x}", f"{MAGIC:#018x}")
        chunks, streams = self._take(file, _COUNTS, "the header")
        if streams < 1 or chunks * _CHUNK.size + streams * 10 > self._size:
            self._fail(
                start + 8,
                "the numbers of chunks and streams cannot be",
                f"{chunks} chunks, {streams} streams",
                "at least 1 stream, and room for all",
            )
        self._stored = [self._read_stream(file, k) for k in range(streams)]
        names = [s.name for s in self._stored]
        if len(set(names)) < len(names):
            self._fail(start, "a stream name is there twice", ", ".join(names), "names that differ")
        table = [self._take(file, _CHUNK, "the table of chunks") for _ in range(chunks)]
        self._chunks = np.array(table, np.int64).reshape(-1, 3)
        self._header = start
        for number, (offset, count, samples) in enumerate(self._chunks.tolist()):
            end = int(self._chunks[number + 1, 0]) if number + 1 < chunks else start
            if (
                not _PREFIX.size <= offset < end
                or end > start
                or count * 4 > end - offset
                or samples < count
                or count < 1
            ):
                self._fail(
                    start, f"chunk {number} cannot be where the table says",
                    f"offset {offset}, {count} sequences, {samples} samples, next at {end}",
                    f"offsets that grow up to {start}, and at least one sequence and sample",
                )  # fmt: skip

    def _read_stream(self, file: BinaryIO, number: int) -> _Stored:
        what = f"the description of stream {number}"
        at = file.tell()
        storage, length = self._take(file, struct.Struct("<BI"), what)
        if storage > 1 or not 1 <= length <= _LONGEST_NAME:
            self._fail(at, f"{what} cannot be", f"storage {storage}, name of {length} bytes", "storage 0 or 1, a name")
        name = self._take(file, struct.Struct(f"<{length}s"), what)[0].decode("utf-8", "replace")
        at = file.tell()
        kind, dim = self._take(file, struct.Struct("<BI"), what)
        if kind > 1 or dim < 1:
            self._fail(
                at, f"{what} cannot be", f"element type {kind}, dimension {dim}", "type 0 or 1, dimension from 1", name
            )
        return _Stored(name, storage == 1, ("float32", "float64")[kind], dim)

    def _name_streams(self, inputs: Mapping[str, Mapping[str, Any]]) -> None:
        known = {s.name: k for k, s in enumerate(self._stored)}
        chosen: list[tuple[str, int, Mapping[str, Any]]] = []
        for name, entry in inputs.items():
            if entry["alias"] not in known:
                raise ReaderError(
                    f"there is no stream '{entry['alias']}' in {self.path}", fix=f"one of: {', '.join(known)}"
                )
            chosen.append((name, known[entry["alias"]], entry))
        taken = {k for _, k, _ in chosen}
        chosen += [(s.name, k, {}) for k, s in enumerate(self._stored) if k not in taken and s.name not in inputs]
        self._chosen = [(name, k) for name, k, _ in chosen]
        streams = []
        for number, (name, k, entry) in enumerate(chosen):
            stored = self._stored[k]
            shape = as_shape(entry.get("dim") or stored.dim)
            if size(shape) != stored.dim:
                raise ReaderError(
                    f"stream '{name}' has {size(shape)} elements (shape={entry['dim']}), the file holds {stored.dim}",
                    self.path,
                    f"give shape={stored.dim}, or leave it out",
                )
            form = "sparse" if stored.sparse else "dense"
            streams.append(StreamInformation(name, number, form, stored.dtype, shape, bool(entry.get("definesMBSize"))))
        self.streams = tuple(streams)

    # --- chunks

    def chunk_count(self) -> int:
        return len(self._chunks)

    def chunk_bytes(self) -> int:
        ends = [*self._chunks[1:, 0].tolist(), self._header]
        return max((e - o for o, e in zip(self._chunks[:, 0].tolist(), ends, strict=True)), default=0)

    def samples(self, chunk: int) -> IndexVector:
        sizing = [k for (_, k), s in zip(self._chosen, self.streams, strict=True) if s.m_defines_mb_size]
        if sizing:
            loaded = self.load(chunk)
            assert isinstance(loaded, MemoryChunk)
            name = next(s.m_name for s in self.streams if s.m_defines_mb_size)
            return loaded.streams[name].lengths
        offset, count, _ = self._chunks[chunk].tolist()
        with Path(self.path).open("rb") as file:
            file.seek(offset)
            return np.frombuffer(file.read(4 * count), "<u4").astype(np.int64)

    def keys(self, chunk: int) -> Keys:
        return np.arange(int(self._firsts[chunk]), int(self._firsts[chunk + 1]), dtype=np.uint64)

    def load(self, chunk: int) -> Chunk:
        offset, count, _ = self._chunks[chunk].tolist()
        end = int(self._chunks[chunk + 1, 0]) if chunk + 1 < len(self._chunks) else self._header
        with Path(self.path).open("rb") as file:
            file.seek(offset)
            data = file.read(end - offset)
        if len(data) < end - offset:
            self._fail(offset, f"the file ends within chunk {chunk}", f"{len(data)} bytes", f"{end - offset} bytes")
        sizes = np.frombuffer(data, "<u4", count).astype(np.int64)
        at, found = 4 * count, {}
        longest = np.zeros(count, np.int64)
        for k, stored in enumerate(self._stored):
            names = [n for n, chosen in self._chosen if chosen == k]
            read = self._sparse if stored.sparse else self._dense
            rows, lengths, at = read(data, at, count, stored, offset)
            longest = np.maximum(longest, lengths)
            for name in names:
                shape = next(s.sample_shape for s in self.streams if s.m_name == name)
                found[name] = Ragged(rows if stored.sparse else rows.reshape((-1, *shape)), lengths, shape)
        if not np.array_equal(longest, sizes):
            bad = int(np.flatnonzero(longest != sizes)[0])
            self._fail(
                offset + 4 * bad, f"sequence {bad} of chunk {chunk} has another length than the chunk says",
                f"{int(longest[bad])} samples", f"{int(sizes[bad])} samples",
            )  # fmt: skip
        return MemoryChunk(found)

    def _dense(self, data: bytes, at: int, count: int, stored: _Stored, base: int) -> tuple[Any, IndexVector, int]:
        item = np.dtype(stored.dtype).itemsize * stored.dim
        first = self._number(data, at, stored, base, item)
        step = 4 + first * item
        if at + count * step <= len(data):  # sequences of one length: one strided view
            table = np.frombuffer(data, np.uint8, count * step, at).reshape(count, step)
            if bool((np.ascontiguousarray(table[:, :4]).view("<u4") == first).all()):
                rows = np.ascontiguousarray(table[:, 4:]).view(stored.dtype).reshape(-1, stored.dim)
                return rows, np.full(count, first, np.int64), at + count * step
        lengths, starts = np.empty(count, np.int64), np.empty(count, np.int64)
        for i in range(count):
            lengths[i] = self._number(data, at, stored, base, item)
            starts[i] = at + 4
            at += 4 + int(lengths[i]) * item
        index = concatenate_ranges(starts, lengths * item)
        rows = np.frombuffer(data, np.uint8)[index].view(stored.dtype).reshape(-1, stored.dim)
        return rows, lengths, at

    def _number(self, data: bytes, at: int, stored: _Stored, base: int, item: int) -> int:
        """The number of samples of the sequence at a place; what follows must have room."""
        if at + 4 > len(data):
            self._fail(
                base + at, "a chunk ends within a sequence", f"{max(len(data) - at, 0)} bytes", "4 bytes", stored.name
            )
        number: int = struct.unpack_from("<I", data, at)[0]
        if number < 1 or at + 4 + number * item > len(data):
            room = max(0, (len(data) - at - 4) // max(item, 1))
            self._fail(
                base + at, "the number of samples of a sequence cannot be", str(number), f"1 to {room}", stored.name
            )
        return number

    def _sparse(self, data: bytes, at: int, count: int, stored: _Stored, base: int) -> tuple[Any, IndexVector, int]:
        width = np.dtype(stored.dtype).itemsize
        lengths = np.empty(count, np.int64)
        values, indices, counts = [], [], []
        for i in range(count):
            start = at
            lengths[i] = self._number(data, at, stored, base, 4)
            number = int(lengths[i])
            held = struct.unpack_from("<i", data, at + 4)[0] if at + 8 <= len(data) else -1
            if held < 0 or at + 8 + held * (width + 4) + 4 * number > len(data):
                self._fail(
                    base + at + 4,
                    "the number of stored values cannot be",
                    str(held),
                    "0 or more, with room for them",
                    stored.name,
                )
            at += 8
            values.append(np.frombuffer(data, stored.dtype, held, at))
            index = np.frombuffer(data, "<i4", held, at + held * width)
            at += held * (width + 4)
            per = np.frombuffer(data, "<i4", number, at)
            at += 4 * number
            if (per < 0).any() or int(per.sum()) != held:
                self._fail(
                    base + at - 4 * number, "values per sample do not add up", f"{int(per.sum())} in {number} samples",
                    f"{held} stored values", stored.name,
                )  # fmt: skip
            if held and (int(index.min()) < 0 or int(index.max()) >= stored.dim):
                worst = int(index.max()) if int(index.max()) >= stored.dim else int(index.min())
                self._fail(base + start, "an index is out of range", str(worst), f"0 to {stored.dim - 1}", stored.name)
            indices.append(index)
            counts.append(per)
        ends = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        columns = np.concatenate(indices).astype(np.int32)
        return Csr.tidy(np.concatenate(values).astype(stored.dtype), columns, ends, stored.dim), lengths, at


def write_cbf(source: Any, filename: str | os.PathLike[str], chunk_bytes: int = 32 << 20) -> Path:
    """Write all sequences of a deserializer to a file in CNTK's binary format: reading it again takes no parsing.

    The file takes its name when it is complete.

    Args:
        source: a deserializer of any format, or {stream name: data} as MinibatchSourceFromData takes it.
        filename: where the file shall be.
        chunk_bytes: about how much is put into one chunk.

    Returns:
        The path.

    Raises:
        ReaderError: if the data are bad or the file cannot be written.

    Example:
        >>> import tempfile
        >>> from cntk_lab.io import MinibatchSource
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_cbf({"x": np.ones((3, 2), np.float32)}, os.path.join(folder, "ones.bin"))
        ...     source = MinibatchSource(CBFDeserializer(str(path)), randomize=False)
        ...     source.next_minibatch(3)[source.streams.x].asarray().sum().item()
        6.0

    Source: CNTK 2.7 ``ctf2bin.py`` does the same for text files.
    """
    streams, chunks = _parts(source, chunk_bytes)
    target = Path(os.path.realpath(filename))
    try:
        with atomic_file(target) as file:
            _write_all(file, streams, chunks)
    except FormatError as error:
        raise ReaderError(error.what, error.where, error.fix) from error
    except OSError as error:
        raise ReaderError(
            f"cannot write {target}: {error.strerror}", fix="give a folder that can be written"
        ) from error
    return target


Parts = Iterator[Mapping[str, Ragged]]


def _parts(source: Any, chunk_bytes: int) -> tuple[list[StreamInformation], Parts]:
    """The streams, and the data in parts of about a chunk."""
    if isinstance(source, Deserializer):
        reader = source.open(Defects())
        return list(reader.streams), _split(_read_all(reader), chunk_bytes)
    from cntk_lab.io._memory import MinibatchSourceFromData

    data = MinibatchSourceFromData(source)
    return data.stream_infos(), _split(iter([dict(data._data)]), chunk_bytes)


def _read_all(reader: Reader) -> Parts:
    for chunk in range(reader.chunk_count()):
        count = len(reader.samples(chunk))
        yield reader.load(chunk).take(np.arange(count), np.zeros(count, np.uint64))


def _split(parts: Parts, chunk_bytes: int) -> Parts:
    for part in parts:
        count = next(iter(part.values())).count
        pieces = max(1, -(-sum(r.nbytes for r in part.values()) // chunk_bytes))
        for which in np.array_split(np.arange(count), min(pieces, count)):
            yield {name: data.take(which) for name, data in part.items()}


def _write_all(file: BinaryIO, streams: list[StreamInformation], chunks: Parts) -> None:
    file.write(_PREFIX.pack(MAGIC, VERSION))
    table = []
    for part in chunks:
        longest = np.max([part[s.m_name].lengths for s in streams], axis=0)
        table.append((file.tell(), len(longest), int(longest.sum())))
        file.write(longest.astype("<u4").tobytes())
        for stream in streams:
            _write_stream(file, part[stream.m_name], stream.dtype)
    start = file.tell()
    file.write(struct.pack("<QII", MAGIC, len(table), len(streams)))
    for stream in streams:
        name = stream.m_name.encode()
        file.write(struct.pack("<BI", int(stream.is_sparse), len(name)) + name)
        file.write(struct.pack("<BI", int(stream.dtype == "float64"), size(stream.sample_shape)))
    file.writelines(_CHUNK.pack(*entry) for entry in table)
    file.write(struct.pack("<q", start))


def _write_stream(file: BinaryIO, data: Ragged, dtype: str) -> None:
    for i in range(data.count):
        rows = data.rows[data.starts[i] : data.starts[i + 1]]
        file.write(struct.pack("<I", rows.shape[0]))
        if is_csr(rows):
            file.write(struct.pack("<i", rows.nnz) + rows.data.astype(dtype).tobytes())
            file.write(rows.indices.astype("<i4").tobytes() + np.diff(rows.indptr).astype("<i4").tobytes())
        else:
            file.write(np.ascontiguousarray(rows, dtype).tobytes())
