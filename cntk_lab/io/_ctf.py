"""CTFDeserializer: CNTK's text format.

A file is indexed once; a chunk (32 MB of text) is read and parsed when its turn comes. Lines that break the grammar
are told with place and cause; a tolerated one takes its whole sequence out, because the streams of a sequence belong
together.

Source: CNTK 2.7 ``io.CTFDeserializer``.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from cntk_lab.io._defects import Defect, Defects
from cntk_lab.io._ragged import Ragged
from cntk_lab.io._streams import LONGEST_SEQUENCE, StreamConfiguration, StreamInformation
from cntk_lab.tensor.layout import IndexVector
from cntk_lab.tensor.shape import as_shape, size

CHUNK_BYTES: Final = 32 << 20
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
    def __init__(self, description: Deserializer, defects: Defects) -> None:
        self.path, self.defects = str(description["file"]), defects
        self.streams = tuple(
            StreamInformation(name, k, i["format"], np.float32, i["dim"], i["definesMBSize"])
            for k, (name, i) in enumerate(description["input"].items())
        )
        inputs = description["input"]
        self.fields = [
            Field(str(i["alias"]).encode(), name, size(as_shape(i["dim"])), i["format"] == "sparse")
            for name, i in inputs.items()
        ]
        sizing = next((f.alias for f, s in zip(self.fields, self.streams, strict=True) if s.m_defines_mb_size), None)
        self._index = index_of(self.path, sizing, bool(description.get("cacheIndex", True)))
        step = int(description.get("chunkSizeInBytes", CHUNK_BYTES))
        offsets = self._index.offsets
        marks = np.searchsorted(offsets, np.arange(offsets[0], offsets[-1], step))
        self._edges = np.unique(np.concatenate([np.minimum(marks, len(offsets) - 2), [len(offsets) - 1]]))
        self._whole: dict[int, NDArray[np.bool_]] = {}
        dense = sum(f.dim * 4 for f in self.fields if not f.sparse)
        rows = int(np.diff(np.concatenate([[0], np.cumsum(self._index.lines)])[self._edges]).max())
        self._bytes = min(step, int(offsets[-1])) + rows * dense

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
        part = self._range(chunk)
        first, last = int(self._index.offsets[part.start]), int(self._index.offsets[part.stop])
        with Path(self.path).open("rb") as file:
            file.seek(first)
            text = file.read(last - first)
        if len(text) < last - first:
            raise ReaderError(
                f"{self.path} has become shorter while it is read: {first + len(text)} bytes, {last} before",
                fix="leave files alone while they are read",
            )
        if not text.endswith(b"\n"):
            text += b"\n"
        ends = np.minimum(self._index.offsets[part.start + 1 : part.stop + 1] - first, len(text))
        ends[-1] = len(text)
        lines = int(self._index.lines[part].sum())
        native = _ctf_native.ready(len(text))
        parsed = _ctf_native.parse(text, ends, lines, self.fields) if native else parse_lines(text, ends, self.fields)
        bad = self._judge(text, first, ends, parsed)
        missing = parsed.lengths == 0
        for k, s in zip(*np.nonzero(missing), strict=True):
            if not bad[s]:
                self._tell_missing(part.start + int(s), self.fields[int(k)])
        bad |= missing.any(axis=0)
        if bad.any():
            self._whole[chunk] = ~bad
        if parsed.short >= 0:
            line = self._line_number(first + parsed.short)
            self.defects.once(
                self.path,
                "short",
                f"{self.path}:{line}: a row holds fewer values than its stream; it is filled up with zeros",
            )
        return MemoryChunk({s.m_name: self._ragged(k, s, parsed) for k, s in enumerate(self.streams)})

    def _ragged(self, k: int, info: StreamInformation, parsed: _ctf_native.Parsed) -> Ragged:
        shape, lengths = info.sample_shape, parsed.lengths[k]
        if not info.is_sparse:
            return Ragged(parsed.rows[k].reshape((-1, *shape)), lengths, shape)
        from scipy.sparse import csr_matrix

        values, indices, ends = parsed.rows[k]
        pointers = np.concatenate([[0], ends])
        small = np.int32 if len(values) < 2**31 else np.int64
        matrix = csr_matrix(
            (values, indices.astype(small), pointers.astype(small)), shape=(len(ends), self.fields[k].dim), copy=False
        )
        matrix.sum_duplicates()
        return Ragged(matrix, lengths, shape)

    def _judge(self, text: bytes, first: int, ends: IndexVector, parsed: _ctf_native.Parsed) -> NDArray[np.bool_]:
        """Tell what is wrong with bad lines; which sequences they belong to."""
        bad = np.zeros(len(ends), bool)
        for start in parsed.bad:
            end = text.find(b"\n", start)
            line = text[start:end]
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
