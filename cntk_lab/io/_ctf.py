"""CTFDeserializer: CNTK's text format.

A file is indexed once; a chunk (32 MB of text) is read and parsed when its turn comes. Lines that break the grammar
are told with place and cause; a tolerated one takes its whole sequence out, because the streams of a sequence belong
together.

Source: CNTK 2.7 ``io.CTFDeserializer``.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import AttributeValueError, ReaderError
from cntk_lab.io import _ctf_native
from cntk_lab.io._ctf_index import index_of
from cntk_lab.io._ctf_lines import BadLine, Field
from cntk_lab.io._ctf_lines import parse as parse_line
from cntk_lab.io._declare import Chunk, Deserializer, Keys, MemoryChunk, Reader, deserializer
from cntk_lab.io._defects import Defect, Defects, refuse_foreign
from cntk_lab.io._ragged import Ragged, join
from cntk_lab.io._streams import LONGEST_SEQUENCE, StreamConfiguration, StreamInformation
from cntk_lab.tensor.layout import IndexVector
from cntk_lab.tensor.shape import as_shape, size
from cntk_lab.tensor.sparse import Csr

CHUNK_BYTES: Final = 32 << 20
PART_BYTES: Final = 2 << 20
"""Text that is parsed at a time, by each thread."""
FINE_BYTES: Final = 1 << 18
"""Text of a small chunk."""
TYPE: Final = "CNTKTextFormatDeserializer"


def CTFDeserializer(filename: str, streams: Any) -> Deserializer:
    """Reads CNTK's text format: lines of ``[sequence id] |name values ...``.

    Args:
        filename: path of the file.
        streams: StreamDefs; of each, ``field`` is the name in the file, ``shape`` the dimension of a sample.

    Returns:
        Deserializer for MinibatchSource.

    Raises:
        AttributeValueError: if a stream has no field or no shape, or two streams have the same field.

    Example:
        >>> from cntk_lab.io import StreamDef, StreamDefs
        >>> CTFDeserializer("train.txt", StreamDefs(x=StreamDef(field="a", shape=3)))["input"]["x"]["dim"]
        3

    Source: CNTK 2.7 ``io.CTFDeserializer``.
    """
    inputs: dict[str, dict[str, Any]] = {}
    for name, d in _definitions(streams).items():
        for key, words in (("stream_alias", "field"), ("dim", "shape")):
            if d.get(key) is None:
                raise AttributeValueError(
                    f"CTFDeserializer: stream '{name}' has no {words}", fix=f"StreamDef({words}=...)"
                )
        inputs[name] = {
            "alias": d["stream_alias"],
            "dim": d["dim"],
            "format": "sparse" if d.get("is_sparse") else "dense",
            "definesMBSize": bool(d.get("defines_mb_size", False)),
            "maxSequenceLength": int(d.get("max_sequence_length", LONGEST_SEQUENCE)),
        }
    if not inputs:
        raise AttributeValueError("CTFDeserializer: there is no stream", fix="give StreamDefs(name=StreamDef(...))")
    aliases = [i["alias"] for i in inputs.values()]
    for alias in aliases:
        if aliases.count(alias) > 1:
            first, second = [n for n, i in inputs.items() if i["alias"] == alias][:2]
            raise AttributeValueError(
                f"streams '{first}' and '{second}' read the same field '{alias}'",
                fix="feed one stream to both variables",
            )
    return Deserializer(TYPE, {"file": str(filename), "input": inputs})


def _definitions(streams: Any) -> Mapping[str, Any]:
    """Stream definitions in any of the forms CNTK takes."""
    if isinstance(streams, Mapping):
        return streams
    return {
        s.m_stream_name: {
            "stream_alias": s.m_stream_alias,
            "dim": s.m_dim,
            "is_sparse": s.m_is_sparse,
            "defines_mb_size": s.m_defines_mb_size,
        }
        for s in streams
        if isinstance(s, StreamConfiguration)
    }


@deserializer(TYPE)
class _CTFReader(Reader):
    selective = plain = True

    def __init__(self, description: Deserializer, defects: Defects) -> None:
        self.path, self.defects = str(description["file"]), defects
        self.streams = tuple(
            StreamInformation(name, k, i["format"], np.float32, i["dim"], i["definesMBSize"])
            for k, (name, i) in enumerate(description["input"].items())
        )
        refuse_foreign(self.path)
        inputs = description["input"]
        self.fields = [
            Field(str(i["alias"]).encode(), name, size(as_shape(i["dim"])), i["format"] == "sparse")
            for name, i in inputs.items()
        ]
        sizing = next((f.alias for f, s in zip(self.fields, self.streams, strict=True) if s.m_defines_mb_size), None)
        self._index = index_of(self.path, sizing, bool(description.get("cacheIndex", True)))
        step = int(description.get("chunkSizeInBytes", CHUNK_BYTES))
        offsets = self._index.offsets
        self._narrow = True
        self._closed = _ends_with_newline(self.path)
        self._edges = _cut(offsets, step)
        self._whole: dict[int, NDArray[np.bool_]] = {}
        dense = sum(f.dim * 4 for f in self.fields if not f.sparse)
        rows = int(np.diff(np.concatenate([[0], np.cumsum(self._index.lines)])[self._edges]).max())
        self._bytes = min(step, int(offsets[-1])) + rows * dense

    def twin(self, defects: Defects, fine: bool) -> Reader:
        """A reader with the same index."""
        made = copy.copy(self)
        made.defects, made._whole = defects, {}
        if fine:
            made._edges = _cut(self._index.offsets, FINE_BYTES)
        return made

    def chunk_count(self) -> int:
        return len(self._edges) - 1

    def _range(self, chunk: int) -> slice:
        return slice(int(self._edges[chunk]), int(self._edges[chunk + 1]))

    def samples(self, chunk: int) -> IndexVector:
        return self._index.samples[self._range(chunk)].astype(np.int64)

    def keys(self, chunk: int) -> Keys:
        return self._index.keys[self._range(chunk)]

    def chunk_bytes(self) -> int:
        return self._bytes

    def usable(self, chunk: int, loaded: Chunk) -> NDArray[np.bool_] | None:  # noqa: ARG002
        return self._whole.get(chunk)

    def load(self, chunk: int) -> Chunk:
        parsed, bad = self._read(self._range(chunk), self._narrow)
        if bad.any():
            self._whole[chunk] = ~bad
        return _TextChunk(self._streams(parsed))

    def some(
        self, chunk: int, which: IndexVector, seeds: NDArray[np.uint64]
    ) -> tuple[Mapping[str, Ragged], IndexVector]:
        """A few sequences; only their lines are read."""
        del seeds
        start, parts, kept = self._range(chunk).start, [], []
        edges = [0, *(np.flatnonzero(np.diff(which) != 1) + 1).tolist(), len(which)]
        for first, last in pairwise(edges):
            if first < last:
                begin = start + int(which[first])
                parsed, bad = self._read(slice(begin, begin + last - first))
                good = np.flatnonzero(~bad)
                if len(good):
                    parts.append({name: data.take(good) for name, data in self._streams(parsed).items()})
                    kept.append(first + good)
        if not parts:
            return {}, np.zeros(0, np.int64)
        return {name: join([p[name] for p in parts]) for name in parts[0]}, np.concatenate(kept)

    def _streams(self, parsed: _ctf_native.Parsed) -> dict[str, Ragged]:
        return {s.m_name: self._ragged(k, s, parsed) for k, s in enumerate(self.streams)}

    def _read(self, part: slice, narrow: bool = False) -> tuple[_ctf_native.Parsed, NDArray[np.bool_]]:
        """The values of sequences that follow each other, and which of them are bad.

        ``narrow``: dense values as bytes if they are such.
        """
        first, last = int(self._index.offsets[part.start]), int(self._index.offsets[part.stop])
        ends = self._index.offsets[part.start + 1 : part.stop + 1] - first
        closed = self._closed or part.stop + 1 < len(self._index.offsets)
        if not closed:  # the last line of the file has no newline: it gets one
            ends = np.concatenate([ends[:-1], [ends[-1] + 1]])
        lines = self._index.lines[part]
        read = _TextOf(self.path, first, last)
        if _ctf_native.ready(last - first):
            edges = np.unique(np.minimum(np.searchsorted(ends, np.arange(0, ends[-1], PART_BYTES)[1:]), len(ends) - 1))
            edges = np.concatenate([edges[edges > 0], [len(ends)]])
            counts = np.diff(np.concatenate([[0], np.cumsum(lines)])[np.concatenate([[0], edges])]).tolist()
            parsed = self._parse(read, ends, edges.tolist(), counts, narrow)
        else:
            text = np.empty(int(ends[-1]), np.uint8)
            read(text, 0)
            parsed = parse_lines(text.tobytes(), ends, self.fields)
        bad = self._judge(first, ends, parsed)
        missing = parsed.lengths == 0
        for k, s in zip(*np.nonzero(missing), strict=True):
            if not bad[s]:
                self._tell_missing(part.start + int(s), self.fields[int(k)])
        bad |= missing.any(axis=0)
        if parsed.short >= 0:
            line = self._line_number(first + parsed.short)
            self.defects.once(
                self.path,
                "short",
                f"{self.path}:{line}: a row holds fewer values than its stream; it is filled up with zeros",
            )
        return parsed, bad

    def _parse(
        self, read: _TextOf, ends: IndexVector, edges: list[int], lines: list[int], narrow: bool
    ) -> _ctf_native.Parsed:
        """Dense values as bytes as long as all of them are whole numbers from 0 to 255 (images).

        That takes a quarter of the room, and filling memory takes longer than parsing.
        """
        if narrow:
            try:
                return _ctf_native.parse_parts(read, ends, edges, lines, self.fields, narrow=True)
            except _ctf_native.NotBytes:
                self._narrow = False
        return _ctf_native.parse_parts(read, ends, edges, lines, self.fields)

    def _ragged(self, k: int, info: StreamInformation, parsed: _ctf_native.Parsed) -> Ragged:
        shape, lengths = info.sample_shape, parsed.lengths[k]
        if not info.is_sparse:
            return Ragged(parsed.rows[k].reshape((-1, *shape)), lengths, shape)
        values, indices, ends = parsed.rows[k]
        pointers = np.zeros(len(ends) + 1, np.int32 if len(values) < 2**31 else np.int64)
        pointers[1:] = ends
        return Ragged(Csr.tidy(values, indices, pointers, self.fields[k].dim), lengths, shape)

    def _judge(self, first: int, ends: IndexVector, parsed: _ctf_native.Parsed) -> NDArray[np.bool_]:
        """Tell what is wrong with bad lines; which sequences they belong to."""
        bad = np.zeros(len(ends), bool)
        for start in parsed.bad:
            with Path(self.path).open("rb") as file:
                file.seek(first + start)
                line = file.readline().removesuffix(b"\n")
            try:
                parse_line(line, self.fields)
            except BadLine as finding:
                self.defects.tell(self._defect(line, first + start, finding))
            else:
                raise AssertionError(f"the two parsers disagree on {line[:200]!r}")
            bad[np.searchsorted(ends, start, side="right")] = True
        return bad

    def _defect(self, line: bytes, offset: int, finding: BadLine) -> Defect:
        column = len(line[: finding.at].decode("utf-8", "replace")) + 1
        return Defect(
            self.path,
            finding.cause,
            self._line_number(offset),
            column,
            finding.stream,
            finding.found,
            finding.expected,
            line.decode("utf-8", "replace"),
        )

    def _tell_missing(self, sequence: int, field: Field) -> None:
        offset = int(self._index.offsets[sequence])
        with Path(self.path).open("rb") as file:
            file.seek(offset)
            line = file.readline()
        count = int(self._index.lines[sequence])
        lines = "its line" if count == 1 else f"its {count} lines"
        self.defects.tell(
            Defect(
                self.path,
                f"a sequence has no sample of a stream: there is no '|{field.alias.decode()}' in {lines}",
                self._line_number(offset),
                0,
                field.name,
                f"sequence {int(self._index.keys[sequence])} without '|{field.alias.decode()}'",
                "at least one sample of every stream in every sequence",
                line.decode("utf-8", "replace"),
            )
        )

    def _line_number(self, offset: int) -> int:
        """The number of the line that starts at a place, from 1."""
        count, left = 1, offset
        with Path(self.path).open("rb") as file:
            while left > 0 and (block := file.read(min(left, 1 << 20))):
                count += block.count(b"\n")
                left -= len(block)
        return count


class _TextChunk(MemoryChunk):
    """A chunk whose dense values may be bytes; what is taken are 32-bit floats."""

    def take(self, which: IndexVector, seeds: NDArray[np.uint64]) -> Mapping[str, Ragged]:
        """Per stream the sequences with these numbers."""
        found = super().take(which, seeds)
        return {
            name: Ragged(data.rows.astype(np.float32), data.lengths, data.shape) if data.dtype == np.uint8 else data
            for name, data in found.items()
        }


def _cut(offsets: IndexVector, limit: int) -> IndexVector:
    """Where chunks begin and end, in sequences: each takes as many as fit into ``limit`` bytes, at least one."""
    edges, last = [0], len(offsets) - 1
    while edges[-1] < last:
        fits = int(np.searchsorted(offsets, offsets[edges[-1]] + limit, side="right")) - 1
        edges.append(min(max(fits, edges[-1] + 1), last))
    return np.array(edges, np.int64)


def _ends_with_newline(path: str) -> bool:
    with Path(path).open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


class _TextOf:
    """Reads parts of a range of a file; a newline follows its end.

    Args:
        path: the file.
        first: where the range begins, in bytes.
        last: where it ends.
    """

    def __init__(self, path: str, first: int, last: int) -> None:
        self._path, self._first, self._last = path, first, last

    def __call__(self, out: _ctf_native.Text, start: int) -> None:
        """Fill an array with the text from a place in the range on."""
        start += self._first
        wanted = min(len(out), self._last - start)
        with Path(self._path).open("rb", buffering=0) as file:
            file.seek(start)
            have = 0
            while have < wanted and (count := file.readinto(memoryview(out.data)[have:wanted])):
                have += count
        if have < wanted:
            raise ReaderError(
                f"{self._path} has become shorter while it is read: {start + have} bytes, {self._last} before",
                fix="leave files alone while they are read",
            )
        out[wanted:] = 10


def parse_lines(text: bytes, ends: IndexVector, fields: list[Field]) -> _ctf_native.Parsed:
    """Parse whole lines by the readable parser.

    Args:
        text: whole lines.
        ends: where each sequence ends, in bytes.
        fields: the streams that are wanted.
    """
    lengths = np.zeros((len(fields), len(ends)), np.int64)
    values: list[list[Any]] = [[] for _ in fields]
    indices: list[list[Any]] = [[] for _ in fields]
    bad, short, start, sequence = [], -1, 0, 0
    for line in text.split(b"\n")[:-1]:
        while start >= ends[sequence]:
            sequence += 1
        try:
            for k, (found, where, given) in parse_line(line, fields):
                if where is None and given < fields[k].dim and short < 0:
                    short = start
                values[k].append(found)
                indices[k].append(where)
                lengths[k, sequence] += 1
        except BadLine:
            bad.append(start)
        start += len(line) + 1
    rows: list[Any] = []
    for k, field in enumerate(fields):
        flat = np.concatenate(values[k]) if values[k] else np.zeros(0, np.float32)
        if field.sparse:
            where = np.concatenate(indices[k]) if indices[k] else np.zeros(0, np.int64)
            rows.append((flat, where, np.cumsum([len(v) for v in values[k]], dtype=np.int64)))
        else:
            rows.append(flat.reshape(-1, field.dim))
    return _ctf_native.Parsed(lengths, rows, bad, short)
