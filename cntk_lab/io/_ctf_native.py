"""The native parser of CNTK's text format: a chunk of text in, arrays out, in one pass over the bytes.

The grammar is that of ``_ctf_lines``; this parser only says *which* lines break it, ``_ctf_lines`` says why. It is
compiled once per machine by the engine's compiler process; until it is there, or where nothing can be compiled, the
readable parser serves.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab import settings
from cntk_lab.backends.cpu import jit
from cntk_lab.errors import ReaderError
from cntk_lab.io._ctf_lines import Field

WORTH_WAITING: Final = 1 << 20
"""Text of this many bytes takes longer by the readable parser than compiling the native one."""
SPARE: Final = 64
"""Bytes behind a text that kernels may look at."""
_PATIENCE: Final = 60.0
_MOST_THREADS: Final = 8
_SIGNATURE: Final = "void(int64)"

Text = NDArray[np.uint8]

_SOURCE: Final = """
@word
def put(out, place, value, narrow):
    if narrow:
        st_u8(out, place, np.uint8(int(value)), -1)
    else:
        st_f32(out, place, f32(value), -1)


def kernel(block):
    text = ld_i64(block, 0, -1)
    size = ld_i64(block, 1, -1)
    streams = ld_i64(block, 2, -1)
    names = ld_i64(block, 3, -1)
    name_ends = ld_i64(block, 4, -1)
    dims = ld_i64(block, 5, -1)
    sparse = ld_i64(block, 6, -1)
    sequence_ends = ld_i64(block, 7, -1)
    sequences = ld_i64(block, 8, -1)
    lengths = ld_i64(block, 9, -1)
    values = ld_i64(block, 10, -1)
    indices = ld_i64(block, 11, -1)
    frame_ends = ld_i64(block, 12, -1)
    frames = ld_i64(block, 13, -1)
    stored = ld_i64(block, 14, -1)
    bad = ld_i64(block, 15, -1)
    most_bad = ld_i64(block, 16, -1)
    seen = ld_i64(block, 17, -1)
    powers = ld_i64(block, 18, -1)
    bytes_wanted = ld_i64(block, 21, -1) != 0
    most_frames = ld_i64(block, 23, -1)
    at = 0
    line = 0
    sequence = 0
    count_bad = 0
    short = -1
    while at < size:
        start = at
        line += 1
        while sequence < sequences - 1 and start >= ld_i64(sequence_ends, sequence, -1):
            sequence += 1
        ok = True
        c = ld_u8(text, at, -1)
        if c >= 48 and c <= 57:
            while c >= 48 and c <= 57:
                at += 1
                c = ld_u8(text, at, -1)
        while c == 32 or c == 9:
            at += 1
            c = ld_u8(text, at, -1)
        if c != 124:
            ok = False
        else:
            probe = start
            p = ld_u8(text, probe, -1)
            if p == 32 or p == 9:
                while p == 32 or p == 9:
                    probe += 1
                    p = ld_u8(text, probe, -1)
                if p != 124:
                    ok = False
        while ok and c == 124:
            at += 1
            c = ld_u8(text, at, -1)
            if c == 35:
                while c != 124 and c != 10:
                    at += 1
                    c = ld_u8(text, at, -1)
                continue
            name_at = at
            while c != 32 and c != 9 and c != 124 and c != 10:
                if c == 13 and ld_u8(text, at + 1, -1) == 10:
                    break
                at += 1
                c = ld_u8(text, at, -1)
            length = at - name_at
            if length == 0:
                ok = False
                break
            stream = -1
            for k in range(streams):
                first = 0
                if k > 0:
                    first = ld_i64(name_ends, k - 1, -1)
                if ld_i64(name_ends, k, -1) - first == length:
                    same = True
                    for j in range(length):
                        if ld_u8(names, first + j, -1) != ld_u8(text, name_at + j, -1):
                            same = False
                            break
                    if same:
                        stream = k
                        break
            if stream < 0:
                while c != 124 and c != 10:
                    at += 1
                    c = ld_u8(text, at, -1)
                continue
            if ld_i64(seen, stream, -1) == line:
                ok = False
                break
            st_i64(seen, stream, line, -1)
            dim = ld_i64(dims, stream, -1)
            is_sparse = ld_i64(sparse, stream, -1) != 0
            frame = ld_i64(frames, stream, -1)
            if frame >= most_frames:
                st_i64(block, 22, 2, -1)
                return
            held = ld_i64(stored, stream, -1)
            out = ld_i64(values, stream, -1)
            out_index = ld_i64(indices, stream, -1)
            base = held
            narrow = bytes_wanted and not is_sparse
            if not is_sparse:
                base = frame * dim
            count = 0
            while True:
                while c == 32 or c == 9:
                    at += 1
                    c = ld_u8(text, at, -1)
                if not is_sparse:
                    # whole numbers of one to three digits, each with one blank behind it, eight bytes at a time
                    while count + 4 <= dim:
                        word = ld_i64(text + at, 0, -1)
                        if word == 0x2030203020302030:
                            put(out, base + count, 0, narrow)
                            put(out, base + count + 1, 0, narrow)
                            put(out, base + count + 2, 0, narrow)
                            put(out, base + count + 3, 0, narrow)
                            count += 4
                            at += 8
                            continue
                        word &= 0xFFFFFFFF
                        blanks = word ^ 0x20202020
                        blanks = (blanks - 0x01010101) & ~blanks & 0x80808080
                        one = (blanks >> 15) & 1
                        two = (blanks >> 23) & 1
                        three = (blanks >> 31) & 1
                        length = one + (1 - one) * (2 * two + (1 - two) * 3 * three)
                        if length == 0:
                            break
                        word = ((word << (32 - 8 * length)) & 0xFFFFFFFF) | (0x303030 >> (8 * (length - 1)))
                        if (((word + 0x46464646) | (word - 0x30303030)) & 0x80808080) != 0:
                            break
                        word = (((word & 0x0F0F0F0F) * 2561) >> 8) & 0x00FF00FF
                        whole = (word & 0xFF) * 100 + (word >> 16)
                        if narrow and whole > 255:
                            st_i64(block, 22, 1, -1)
                            return
                        put(out, base + count, whole, narrow)
                        count += 1
                        at += length + 1
                    c = ld_u8(text, at, -1)
                    while c == 32 or c == 9:
                        at += 1
                        c = ld_u8(text, at, -1)
                if c == 124 or c == 10:
                    break
                if c == 13:
                    if ld_u8(text, at + 1, -1) == 10:
                        at += 1
                        c = ld_u8(text, at, -1)
                        break
                    ok = False
                    break
                if is_sparse:
                    index = 0
                    digits = 0
                    while c >= 48 and c <= 57:
                        if index < 4611686018427387904 // 10:
                            index = index * 10 + (c - 48)
                        digits += 1
                        at += 1
                        c = ld_u8(text, at, -1)
                    if digits == 0 or c != 58 or index >= dim:
                        ok = False
                        break
                    # eight bytes for a number of four: the next one overwrites the zeros behind it
                    st_i64(out_index + 4 * (base + count), 0, index, -1)
                    at += 1
                    c = ld_u8(text, at, -1)
                elif count >= dim:
                    ok = False
                    break
                if c >= 48 and c <= 57:
                    n = ld_u8(text, at + 1, -1)
                    if n == 32 or n == 10 or n == 124:
                        put(out, base + count, c - 48, narrow)
                        count += 1
                        at += 1
                        c = n
                        continue
                negative = c == 45
                if c == 45 or c == 43:
                    at += 1
                    c = ld_u8(text, at, -1)
                mantissa = 0
                scale = 0
                digits = 0
                while c >= 48 and c <= 57:
                    if mantissa < 100000000000000000:
                        mantissa = mantissa * 10 + (c - 48)
                    else:
                        scale += 1
                    digits += 1
                    at += 1
                    c = ld_u8(text, at, -1)
                if digits == 0:
                    ok = False
                    break
                if c == 46:
                    at += 1
                    c = ld_u8(text, at, -1)
                    while c >= 48 and c <= 57:
                        if mantissa < 100000000000000000:
                            mantissa = mantissa * 10 + (c - 48)
                            scale -= 1
                        at += 1
                        c = ld_u8(text, at, -1)
                if c == 101 or c == 69:
                    at += 1
                    c = ld_u8(text, at, -1)
                    down = c == 45
                    if c == 45 or c == 43:
                        at += 1
                        c = ld_u8(text, at, -1)
                    exponent = 0
                    digits = 0
                    while c >= 48 and c <= 57:
                        if exponent < 100000:
                            exponent = exponent * 10 + (c - 48)
                        digits += 1
                        at += 1
                        c = ld_u8(text, at, -1)
                    if digits == 0:
                        ok = False
                        break
                    if down:
                        scale -= exponent
                    else:
                        scale += exponent
                if c != 32 and c != 9 and c != 124 and c != 10 and c != 13:
                    ok = False
                    break
                number = f64(mantissa)
                if scale < 0:
                    while scale < -300:
                        number /= 1e300
                        scale += 300
                        if number == 0.0:
                            scale = 0
                    number /= ld_f64(powers, -scale, -1)
                elif scale > 0:
                    if mantissa == 0:
                        scale = 0
                    elif scale > 300:
                        number = number * 1e300 * 1e300
                        scale = 0
                    number *= ld_f64(powers, scale, -1)
                if negative:
                    number = -number
                if narrow and (negative or number > 255.0 or number != f64(int(min(number, 256.0)))):
                    st_i64(block, 22, 1, -1)
                    return
                put(out, base + count, number, narrow)
                count += 1
            if not ok:
                break
            if is_sparse:
                st_i64(stored, stream, held + count, -1)
                st_i64(ld_i64(frame_ends, stream, -1), frame, held + count, -1)
            elif count < dim:
                if short < 0:
                    short = start
                while count < dim:
                    put(out, base + count, 0, narrow)
                    count += 1
            st_i64(frames, stream, frame + 1, -1)
            place = stream * sequences + sequence
            st_i64(lengths, place, ld_i64(lengths, place, -1) + 1, -1)
        if ok and c != 10:
            ok = False
        if not ok:
            if count_bad < most_bad:
                st_i64(bad, count_bad, start, -1)
            count_bad += 1
            while c != 10:
                at += 1
                c = ld_u8(text, at, -1)
        at += 1
    st_i64(block, 19, count_bad, -1)
    st_i64(block, 20, short, -1)
"""


_INDEX_SOURCE: Final = """
def kernel(block):
    text = ld_i64(block, 0, -1)
    size = ld_i64(block, 1, -1)
    starts = ld_i64(block, 2, -1)
    ids = ld_i64(block, 3, -1)
    given = ld_i64(block, 4, -1)
    offset = ld_i64(block, 5, -1)
    count = 0
    at = 0
    while at < size:
        st_i64(starts, count, offset + at, -1)
        c = ld_u8(text, at, -1)
        number = 0
        first = at
        while c >= 48 and c <= 57 and at - first < 20:
            number = number * 10 + (c - 48)
            at += 1
            c = ld_u8(text, at, -1)
        st_i64(ids, count, number, -1)
        st_u8(given, count, at > first, -1)
        count += 1
        while True:
            found = 0
            while at + 32 <= size:
                v = ld_i64(text + at, 0, -1) ^ 0x0A0A0A0A0A0A0A0A
                w = ld_i64(text + at, 1, -1) ^ 0x0A0A0A0A0A0A0A0A
                x = ld_i64(text + at, 2, -1) ^ 0x0A0A0A0A0A0A0A0A
                y = ld_i64(text + at, 3, -1) ^ 0x0A0A0A0A0A0A0A0A
                found = ((v - 0x0101010101010101) & ~v) | ((w - 0x0101010101010101) & ~w)
                found |= ((x - 0x0101010101010101) & ~x) | ((y - 0x0101010101010101) & ~y)
                found &= -9187201950435737472
                if found != 0:
                    break
                at += 32
            stop = min(at + 32, size)
            while at < stop and ld_u8(text, at, -1) != 10:
                at += 1
            if at >= size or ld_u8(text, at, -1) == 10:
                break
        at += 1
    st_i64(block, 6, count, -1)
"""


class Parsed:
    """What a chunk of text holds.

    Args:
        lengths: (streams x sequences) frames.
        rows: per stream a dense array (frames x dimension), or (values, indices, ends of frames).
        bad: places of lines that break the grammar, in bytes.
        short: place of the first line whose dense values were filled up; -1: none.
    """

    def __init__(self, lengths: Any, rows: list[Any], bad: list[int], short: int) -> None:
        self.lengths, self.rows, self.bad, self.short = lengths, rows, bad, short


@functools.cache
def _handle() -> jit.Handle:
    return jit.request(_SOURCE, _SIGNATURE)


@functools.cache
def _index_handle() -> jit.Handle:
    return jit.request(_INDEX_SOURCE, _SIGNATURE)


def _is_ready(handle: Callable[[], jit.Handle], size: int) -> bool:
    if not settings.flag("native") or not jit.available():
        return False
    return handle().ready() or (size >= WORTH_WAITING and handle().wait(_PATIENCE))


def ready(size: int) -> bool:
    """Whether the native parser can take a text of this size, in bytes; waits for the compiler where it pays."""
    return _is_ready(_handle, size)


def indexer_ready(size: int) -> bool:
    """Whether :func:`line_starts` can take a text of this size, in bytes; waits for the compiler where it pays."""
    return _is_ready(_index_handle, size)


def line_starts(text: Text, offset: int) -> tuple[Any, Any, Any]:
    """Where lines start, their ids and whether they have one; :func:`indexer_ready` must have said yes.

    Args:
        text: whole lines, the last one with its newline, and ``SPARE`` bytes.
        offset: place of the text in its file, in bytes.

    Returns:
        Places in the file (int64), ids (uint64, 0 without one), whether there is one (uint8).
    """
    size = len(text) - SPARE
    count = int(np.count_nonzero(text[:size] == 10))
    starts, ids, given = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.uint8)
    block = np.array([text.ctypes.data, size, *(a.ctypes.data for a in (starts, ids, given)), offset, 0], np.int64)
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(_index_handle().address)(block.ctypes.data)
    return starts, ids.view(np.uint64), given


_POWERS: Final = np.array([float(f"1e{k}") for k in range(301)])
_MOST_BAD: Final = 1000


def parse(text: bytes, ends: Any, lines: int, fields: Sequence[Field]) -> Parsed:
    """Parse whole lines; :func:`ready` must have said yes.

    Args:
        text: whole lines, the last one with its newline.
        ends: where each sequence ends, in bytes.
        lines: number of lines.
        fields: the streams that are wanted.
    """

    def read(out: Text, first: int) -> None:
        out[:] = np.frombuffer(text, np.uint8, len(out), first)

    return parse_parts(read, ends, [len(ends)], [lines], fields)


def parse_parts(
    read: Callable[[Text, int], None],
    ends: Any,
    parts: Sequence[int],
    lines: Sequence[int],
    fields: Sequence[Field],
    narrow: bool = False,
) -> Parsed:
    """Parse whole lines part by part, several parts at a time; :func:`ready` must have said yes.

    Args:
        read: fills an array with the text from a place on (called from several threads).
        ends: where each sequence ends, in bytes; the last line has its newline.
        parts: where each part ends, in sequences.
        lines: number of lines of each part.
        fields: the streams that are wanted.
        narrow: give dense values as bytes.

    Raises:
        NotBytes: with ``narrow``, if a dense value is no whole number from 0 to 255.
    """
    ends = np.ascontiguousarray(ends, np.int64)
    dtype = np.uint8 if narrow else np.float32
    first_line = np.concatenate([[0], np.cumsum(lines)]).tolist()
    dense = [None if f.sparse else np.empty(first_line[-1] * f.dim, dtype) for f in fields]

    def work(k: int) -> _Part:
        first = parts[k - 1] if k else 0
        start = int(ends[first - 1]) if first else 0
        text = np.empty(int(ends[parts[k] - 1]) - start + SPARE, np.uint8)
        read(text[:-SPARE], start)
        text[-SPARE:] = 10
        rooms = [None if d is None else d[first_line[k] * f.dim :] for d, f in zip(dense, fields, strict=True)]
        return _Part(text, start, ends[first : parts[k]] - start, lines[k], fields, rooms, narrow)

    threads = min(len(parts), settings.number("threads") or os.cpu_count() or 1, _MOST_THREADS)
    if threads > 1:
        with ThreadPoolExecutor(threads, "cntk-lab-text") as pool:
            done = list(pool.map(work, range(len(parts))))
    else:
        done = [work(k) for k in range(len(parts))]
    rows: list[Any] = []
    for k, field in enumerate(fields):
        flat = dense[k]
        if flat is None:
            rows.append(_joined([p.sparse[k] for p in done]))
            continue
        frames = 0
        for part, line in zip(done, first_line, strict=False):  # parts with fewer frames than lines leave gaps
            count = part.frames[k]
            if frames < line:
                flat[frames * field.dim : (frames + count) * field.dim] = flat[
                    line * field.dim : (line + count) * field.dim
                ].copy()
            frames += count
        found = flat[: frames * field.dim].reshape(-1, field.dim)
        rows.append(found if 2 * frames >= first_line[-1] else found.copy())
    short = next((p.short for p in done if p.short >= 0), -1)
    bad = [place for p in done for place in p.bad][:_MOST_BAD]
    return Parsed(np.concatenate([p.lengths for p in done], axis=1), rows, bad, short)


class NotBytes(Exception):  # noqa: N818  (not an error: an answer)
    """A dense value is no whole number from 0 to 255."""


class _Part:
    """What one part of a text holds; dense values go to the room given, one row per line at most."""

    def __init__(
        self,
        text: Text,
        start: int,
        ends: Any,
        lines: int,
        fields: Sequence[Field],
        rooms: Sequence[Any],
        narrow: bool,
    ) -> None:
        count, size = len(fields), len(text) - SPARE
        names = np.frombuffer(b"".join(f.alias for f in fields), np.uint8)
        name_ends = np.cumsum([len(f.alias) for f in fields]).astype(np.int64)
        dims, sparse = np.array([f.dim for f in fields], np.int64), np.array([f.sparse for f in fields], np.int64)
        ends = np.ascontiguousarray(ends, np.int64)
        self.lengths = np.zeros((count, len(ends)), np.int64)
        # a sparse pair takes at least four bytes ("0:1 "); memory that is not touched costs nothing
        values = [np.empty(size // 4 + 1, np.float32) if room is None else room for room in rooms]
        indices = [np.empty(size // 4 + 2 if f.sparse else 0, np.int32) for f in fields]
        frame_ends = [np.empty(lines if f.sparse else 0, np.int64) for f in fields]
        frames, stored, seen = (np.zeros(count, np.int64) for _ in range(3))
        bad = np.empty(_MOST_BAD, np.int64)

        def pointers(arrays: Sequence[Any]) -> Any:
            return np.array([a.ctypes.data for a in arrays], np.int64)

        tables = pointers(values), pointers(indices), pointers(frame_ends)
        before = [text.ctypes.data, size, count, *pointers([names, name_ends, dims, sparse, ends]), len(ends)]
        after = [*pointers([self.lengths, *tables, frames, stored, bad]), _MOST_BAD, *pointers([seen, _POWERS]), 0, -1]
        block = np.array([*before, *after, int(narrow), 0, lines], np.int64)
        ctypes.CFUNCTYPE(None, ctypes.c_int64)(_handle().address)(block.ctypes.data)
        if block[22] == 1:
            raise NotBytes
        if block[22]:
            raise ReaderError(
                f"a text has more than {lines} lines where it had {lines} when it was indexed",
                fix="leave files alone while they are read",
            )
        self.frames: list[int] = frames.tolist()
        self.sparse = [
            (values[k][:n], indices[k][:n], frame_ends[k][: frames[k]]) if f.sparse else None
            for k, (f, n) in enumerate(zip(fields, stored.tolist(), strict=True))
        ]
        self.bad = (bad[: min(int(block[19]), _MOST_BAD)] + start).tolist()
        self.short = int(block[20]) + start if block[20] >= 0 else -1


def _joined(parts: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Values, indices and ends of frames of parts that follow each other."""
    if len(parts) == 1:  # the parser's arrays have more room than was needed
        values, indices, ends = parts[0]
        return values.copy(), indices.copy(), ends.copy()
    before = np.cumsum([0, *(len(p[0]) for p in parts[:-1])])
    ends = np.concatenate([p[2] + n for p, n in zip(parts, before.tolist(), strict=True)])
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), ends
