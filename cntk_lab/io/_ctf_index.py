"""Index of a text file: where each sequence starts, its id, and how many samples it counts; kept on disk.

One pass over the file, block by block. The index of a large file is kept in the
user's cache folder under the file's path, size and time of change, so that it is made once. Knows line starts and
ids, no values.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab import settings
from cntk_lab._files import atomic_file
from cntk_lab.errors import FormatError, ReaderError
from cntk_lab.io import _ctf_native
from cntk_lab.tensor.layout import IndexVector

BLOCK: Final = 4 << 20
_SPARE: Final = _ctf_native.SPARE
_LOOK_BACK: Final = 1 << 16
_MARK: Final = b"\xef\xbb\xbf"
_CACHED_FROM: Final = 16 << 20
"""Files smaller than this, in bytes, are indexed anew: that takes milliseconds."""
_VERSION: Final = 1
_LONGEST_ID: Final = 20


@dataclass(frozen=True)
class Index:
    """The sequences of a file.

    Args:
        offsets: place of each sequence's first line, in bytes; and the end of the file.
        keys: their ids; without ids, their numbers.
        samples: samples that each counts.
        lines: lines of each.
    """

    offsets: IndexVector
    keys: NDArray[np.uint64]
    samples: NDArray[np.int32]
    lines: NDArray[np.int32]


def index_of(path: str, sizing: bytes | None, cached: bool = True) -> Index:
    """The index of a file, from the cache if it is there.

    Args:
        path: the file.
        sizing: alias of the stream whose lines count as samples; None: every line counts.
        cached: whether the cache may be used.

    Raises:
        ReaderError: if the file cannot be read or is empty.
    """
    try:
        status = Path(path).stat()
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ReaderError(
            f"Input file '{path}' is not open.", error.strerror or str(error), "give a readable file"
        ) from error
    facts = f"{_VERSION}\0{Path(path).resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0{sizing!r}"
    place = None
    if cached and status.st_size >= _CACHED_FROM:
        place = settings.folder("cache_folder", "ctf-index") / (hashlib.sha256(facts.encode()).hexdigest() + ".npz")
        found = _read(place, status.st_size)
        if found is not None:
            return found
    made = _Builder(sizing).run(path)
    if place is not None:
        _write(place, made)
    return made


def _read(place: Path, size: int) -> Index | None:
    try:
        with np.load(place, allow_pickle=False) as stored:
            index = Index(*(stored[name] for name in ("offsets", "keys", "samples", "lines")))
    except (OSError, ValueError, KeyError, EOFError):
        return None
    fits = len(index.offsets) == len(index.keys) + 1 == len(index.samples) + 1 == len(index.lines) + 1
    return index if fits and int(index.offsets[-1]) == size else None


def _write(place: Path, index: Index) -> None:
    """Keep an index; a folder that cannot be written costs time, nothing else."""
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_file(place) as file:
            np.savez(file, offsets=index.offsets, keys=index.keys, samples=index.samples, lines=index.lines)
    except (OSError, FormatError):
        return


class _Builder:
    """Goes through a file block by block; a block ends with a whole line."""

    def __init__(self, sizing: bytes | None) -> None:
        self._sizing = sizing
        self._starts: list[IndexVector] = []
        self._ids: list[NDArray[np.uint64]] = []
        self._has: list[NDArray[np.bool_]] = []
        self._counts: list[NDArray[np.bool_]] = []

    def run(self, path: str) -> Index:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as file:
            offset = 3 if file.read(3) == _MARK else 0
            if size <= offset or not file.seek(offset) == offset:
                raise ReaderError("Input file is empty", path, "give a file with at least one line")
            buffer = np.empty(min(size, BLOCK) + 2 * _SPARE, np.uint8)
            kept = 0  # bytes at the start of the buffer that belong to a line not yet complete
            while count := file.readinto(memoryview(buffer.data)[kept : len(buffer) - 2 * _SPARE]):
                full = kept + count
                end = _last_line_end(buffer[:full])
                if end:
                    self._lines(buffer, end, offset)
                    offset += end
                kept = full - end
                buffer[:kept] = buffer[end:full].copy()
                if 2 * kept > len(buffer) - 2 * _SPARE:  # a line about as long as the buffer
                    buffer = np.concatenate([buffer, np.empty(len(buffer), np.uint8)])
            if kept:
                buffer[kept] = 10
                self._lines(buffer, kept + 1, offset)
        return self._sequences(size)

    def _lines(self, buffer: NDArray[np.uint8], size: int, offset: int) -> None:
        """The whole lines in the first ``size`` bytes; ``offset`` is their place in the file."""
        data = buffer[:size]
        if _ctf_native.indexer_ready(size):
            behind = buffer[size : size + _SPARE].copy()
            buffer[size : size + _SPARE] = 10
            starts, ids, has = _ctf_native.line_starts(buffer[: size + _SPARE], offset)
            buffer[size : size + _SPARE] = behind
        else:
            starts, ids, has = line_starts(data, offset)
        self._starts.append(starts)
        self._ids.append(ids)
        self._has.append(has.astype(bool))
        if self._sizing is not None:
            self._counts.append(_holds(data, np.append(starts[1:] - offset, size) - 1, self._sizing))

    def _sequences(self, size: int) -> Index:
        starts, has = np.concatenate(self._starts), np.concatenate(self._has)
        ids = np.concatenate(self._ids)
        new = np.ones(len(starts), bool)
        if has[0]:  # without an id in the first line every line is a sequence
            last = np.maximum.accumulate(np.where(has, np.arange(len(ids)), 0))
            ids = ids[last]
            new[1:] = ids[1:] != ids[:-1]
        else:
            ids = np.arange(len(starts), dtype=np.uint64)
        first = np.flatnonzero(new)
        lines = np.diff(np.concatenate([first, [len(starts)]]))
        samples = np.add.reduceat(np.concatenate(self._counts), first, dtype=np.int64) if self._counts else lines
        return Index(
            np.concatenate([starts[first], [size]]).astype(np.int64),
            ids[first],
            np.maximum(samples, 1).astype(np.int32),
            lines.astype(np.int32),
        )


def _last_line_end(data: NDArray[np.uint8]) -> int:
    """Where the last complete line ends."""
    stop = len(data)
    while stop > 0:
        first = max(0, stop - _LOOK_BACK)
        found = data[first:stop].tobytes().rfind(b"\n")
        if found >= 0:
            return first + found + 1
        stop = first
    return 0


def line_starts(data: NDArray[np.uint8], offset: int) -> tuple[IndexVector, NDArray[np.uint64], NDArray[np.bool_]]:
    """Where lines start, their ids (0 without one) and whether they have one: what ``_ctf_native`` finds, by NumPy.

    Args:
        data: whole lines, the last one with its newline.
        offset: place of the text in its file, in bytes.
    """
    ends = np.flatnonzero(data == 10)
    starts = np.concatenate([[0], ends[:-1] + 1])
    ids = np.zeros(len(starts), np.uint64)
    going = np.ones(len(starts), bool)
    has = np.zeros(len(starts), bool)
    for k in range(_LONGEST_ID):
        digits = data[np.minimum(starts + k, len(data) - 1)] - 48
        going = going & (digits < 10)
        if not going.any():
            break
        ids[going] = ids[going] * np.uint64(10) + digits[going]
        has |= going
    return starts + offset, ids, has


def _holds(data: NDArray[np.uint8], ends: IndexVector, alias: bytes) -> NDArray[np.bool_]:
    """Which lines hold a stream."""
    bars = np.flatnonzero(data == 124)
    for k, byte in enumerate(alias, start=1):
        bars = bars[data[np.minimum(bars + k, len(data) - 1)] == byte]
    after = data[np.minimum(bars + 1 + len(alias), len(data) - 1)]
    bars = bars[np.isin(after, np.frombuffer(b" \t\r\n|", np.uint8))]
    holds = np.zeros(len(ends), bool)
    holds[np.searchsorted(ends, bars)] = True
    return holds
