"""check: goes through all data of a source once and says what they hold and what is wrong with them.

Nothing is raised for bad data: every defect is listed. Reads by the same readers as training does. Knows no format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from cntk_lab.errors import LabError
from cntk_lab.io._config import MinibatchSourceConfig
from cntk_lab.io._declare import Deserializer, LeftOut, Reader
from cntk_lab.io._defects import Defect, Defects
from cntk_lab.io._ragged import Ragged
from cntk_lab.io._source import MinibatchSource, open_readers
from cntk_lab.io._streams import StreamInformation
from cntk_lab.io._user import UserDeserializer
from cntk_lab.tensor.layout import IndexVector
from cntk_lab.tensor.sparse import is_csr

_AT_ONCE: Final = 512
_ALL: Final = 2**62
_SHOWN: Final = 20
_CLASSES_SHOWN: Final = 12


@dataclass
class StreamReport:
    """What one stream holds.

    Args:
        name: the stream.
        form: storage, element type and shape.
        sequences: number of sequences.
        samples: number of samples in all.
        shortest: samples of the shortest sequence.
        longest: samples of the longest sequence.
        lowest: smallest finite value.
        highest: largest finite value.
        total: sum of the finite values.
        values: number of values, zeros of sparse streams included.
        nonzero: number of values that are not 0.
        not_finite: number of values that are nan or infinite.
        classes: samples of each class, if every sample has one 1 and else zeros; None otherwise.
    """

    name: str
    form: str
    sequences: int = 0
    samples: int = 0
    shortest: int = 0
    longest: int = 0
    lowest: float = float("inf")
    highest: float = float("-inf")
    total: float = 0.0
    values: int = 0
    nonzero: int = 0
    not_finite: int = 0
    classes: Any = None

    @property
    def mean(self) -> float:
        """Mean of the finite values."""
        return self.total / max(self.values - self.not_finite, 1)

    def words(self) -> list[str]:
        """The report in lines."""
        lengths = f"{self.shortest}" if self.shortest == self.longest else f"{self.shortest} to {self.longest}"
        share = 100 * self.nonzero / max(self.values, 1)
        lines = [
            f"stream '{self.name}': {self.form}",
            f"  {self.sequences} sequences of {lengths} samples, {self.samples} samples in all",
            f"  values from {self.lowest:g} to {self.highest:g}, mean {self.mean:.4g}, {share:.3g} % not zero",
        ]
        if self.not_finite:
            lines.append(f"  {self.not_finite} values are nan or infinite")
        if self.classes is not None:
            counts = np.asarray(self.classes)
            empty = int((counts == 0).sum())
            common = np.argsort(-counts, kind="stable")[:_CLASSES_SHOWN]
            shown = ", ".join(f"{c}: {counts[c]}" for c in sorted(common.tolist()) if counts[c])
            more = " (the most frequent)" if len(counts) > _CLASSES_SHOWN else ""
            lines.append(f"  classes{more}: {shown}" + (f"; {empty} of {len(counts)} never occur" if empty else ""))
        return lines


@dataclass(frozen=True)
class Report:
    """What ``check`` found.

    Args:
        streams: by name.
        sequences: sequences that can be delivered.
        left_out: sequences that cannot.
        defects: every bad place.
        stopped: why reading could not go on to the end; empty if it did.
    """

    streams: Mapping[str, StreamReport]
    sequences: int
    left_out: int
    defects: tuple[Defect, ...]
    stopped: str = ""

    @property
    def ok(self) -> bool:
        """Whether all data can be read and are finite."""
        return not self.defects and not self.stopped and not any(s.not_finite for s in self.streams.values())

    def __str__(self) -> str:
        lines = [f"{self.sequences} sequences can be read" + (f", {self.left_out} cannot" if self.left_out else "")]
        for stream in self.streams.values():
            lines += stream.words()
        lines.append(f"{len(self.defects)} defects" if self.defects else "no defects")
        for defect in self.defects[:_SHOWN]:
            lines += [f"  {line}" for line in defect.words().split("\n")]
        if len(self.defects) > _SHOWN:
            lines.append(f"  and {len(self.defects) - _SHOWN} more")
        if self.stopped:
            lines.append(f"reading stopped: {self.stopped}")
        return "\n".join(lines)

    __repr__ = __str__


def check(source: MinibatchSource | Deserializer | UserDeserializer | Iterable[Any]) -> Report:
    """A report on all data of a source: counts, lengths, ranges, classes, and every defect.

    Args:
        source: a MinibatchSource (its place does not change), a deserializer, or several.

    Returns:
        Report; print it.

    Example:
        >>> import os, tempfile
        >>> from cntk_lab.io import CTFDeserializer, StreamDef, StreamDefs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "data.txt")
        ...     with open(path, "w") as file:
        ...         _ = file.write(chr(10).join(["|x 1 2", "|x 3 oh", "|x 5 6", ""]))
        ...     report = check(CTFDeserializer(path, StreamDefs(x=StreamDef(field="x", shape=2))))
        >>> report.sequences, report.streams["x"].highest, report.defects[0].line
        (2, 6.0, 2)
    """
    if isinstance(source, MinibatchSource):
        config = source._config
    else:
        several = [source] if isinstance(source, (Deserializer, UserDeserializer)) else list(source)
        config = MinibatchSourceConfig(several, randomize=False)
    defects = Defects(_ALL)
    defects.silent = True
    walk = Walk(defects)
    try:
        reader = open_readers(config, defects)
        walk.start(reader.streams)
        for chunk in range(reader.chunk_count()):
            walk.chunk(reader, chunk)
        walk.left_out += reader.left_out
    except LabError as error:
        words = "" if any(d.words() in str(error) for d in defects.all) else str(error)
        walk.stopped = words or "a defect that ends the file (see above)"
    return Report(walk.streams, walk.sequences, walk.left_out, tuple(defects.all), walk.stopped)


@dataclass
class Walk:
    """Goes through chunks and adds up."""

    defects: Defects
    streams: dict[str, StreamReport] = field(default_factory=dict)
    sequences: int = 0
    left_out: int = 0
    stopped: str = ""
    _one_hot: dict[str, bool] = field(default_factory=dict)

    def start(self, infos: Iterable[StreamInformation]) -> None:
        """Make room for the streams."""
        for info in infos:
            shape = " x ".join(map(str, info.sample_shape)) if min(info.sample_shape, default=1) > 0 else "any size"
            self.streams[info.m_name] = StreamReport(info.m_name, f"{info.storage_format} {info.dtype}, {shape}")
            self._one_hot[info.m_name] = True

    def chunk(self, reader: Reader, number: int) -> None:
        """Add one chunk, a few hundred sequences at a time."""
        loaded = reader.load(number)
        count = len(reader.samples(number))
        for first in range(0, count, _AT_ONCE):
            which = np.arange(first, min(first + _AT_ONCE, count))
            while True:
                mask = reader.usable(number, loaded)
                kept = which if mask is None else which[mask[which]]
                if not len(kept):
                    break
                try:
                    self._add(loaded.take(kept, np.zeros(len(kept), np.uint64)))
                    break
                except LeftOut:
                    continue
            self.sequences += len(kept)
            self.left_out += len(which) - len(kept)

    def _add(self, found: Mapping[str, Ragged]) -> None:
        for name, data in found.items():
            report, rows = self.streams[name], data.rows
            report.sequences += data.count
            report.samples += int(data.lengths.sum())
            shortest = int(data.lengths.min())
            report.shortest = shortest if report.longest == 0 else min(report.shortest, shortest)
            report.longest = max(report.longest, int(data.lengths.max()))
            sparse = is_csr(rows)
            stored = rows.data if sparse else rows.reshape(-1)
            finite = stored[np.isfinite(stored)]
            size = int(np.prod(rows.shape, dtype=np.int64))
            report.values += size
            report.not_finite += len(stored) - len(finite)
            report.nonzero += int(np.count_nonzero(stored))
            report.total += float(finite.sum(dtype=np.float64))
            if sparse and len(stored) < size:
                finite = np.append(finite, 0)
            if len(finite):
                report.lowest = min(report.lowest, float(finite.min()))
                report.highest = max(report.highest, float(finite.max()))
            self._classes(report, rows if sparse else rows.reshape(len(rows), -1), sparse)

    def _classes(self, report: StreamReport, rows: Any, sparse: bool) -> None:
        if not self._one_hot[report.name] or rows.shape[1] < 2:
            return
        one = bool((np.diff(rows.indptr) == 1).all() and (rows.data == 1).all()) if sparse else _is_one_hot(rows)
        if not one:
            self._one_hot[report.name], report.classes = False, None
            return
        found: IndexVector = rows.indices if sparse else rows.argmax(axis=1)
        counts = np.bincount(found, minlength=rows.shape[1])
        report.classes = counts if report.classes is None else report.classes + counts


def _is_one_hot(rows: Any) -> bool:
    return bool(((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all())
