"""The native parser of CNTK's text format: a chunk of text in, arrays out, in one pass over the bytes.

The grammar is that of ``_ctf_lines``; this parser only says *which* lines break it, ``_ctf_lines`` says why. It is
compiled once per machine by the engine's compiler process; until it is there, or where nothing can be compiled, the
readable parser serves.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from cntk_lab import settings
from cntk_lab.backends.cpu import jit
from cntk_lab.io._ctf_lines import Field

WORTH_WAITING: Final = 1 << 20
"""Text of this many bytes takes longer by the readable parser than compiling the native one."""
_PATIENCE: Final = 60.0
_SIGNATURE: Final = "void(int64)"

_SOURCE: Final = """
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
            held = ld_i64(stored, stream, -1)
            out = ld_i64(values, stream, -1)
            out_index = ld_i64(indices, stream, -1)
            base = held
            if not is_sparse:
                base = frame * dim
            count = 0
            while True:
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
                    st_i64(out_index, base + count, index, -1)
                    at += 1
                    c = ld_u8(text, at, -1)
                elif count >= dim:
                    ok = False
                    break
                if c >= 48 and c <= 57:
                    n = ld_u8(text, at + 1, -1)
                    if n == 32 or n == 10 or n == 124:
                        st_f32(out, base + count, f32(c - 48), -1)
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
                st_f32(out, base + count, f32(number), -1)
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
                    st_f32(out, base + count, f32(0.0), -1)
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


def ready(size: int) -> bool:
    """Whether the native parser can take a text of this size, in bytes; waits for the compiler where it pays."""
    if not settings.flag("native") or not jit.available():
        return False
    handle = _handle()
    return handle.ready() or (size >= WORTH_WAITING and handle.wait(_PATIENCE))


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
    count = len(fields)
    data = np.frombuffer(text + b"\n\n", np.uint8)  # the parser looks one byte ahead
    names = np.frombuffer(b"".join(f.alias for f in fields), np.uint8)
    name_ends = np.cumsum([len(f.alias) for f in fields]).astype(np.int64)
    dims, sparse = np.array([f.dim for f in fields], np.int64), np.array([f.sparse for f in fields], np.int64)
    ends = np.ascontiguousarray(ends, np.int64)
    lengths = np.zeros((count, len(ends)), np.int64)
    # a sparse pair takes at least four bytes ("0:1 "); memory that is not touched costs nothing
    room = [len(text) // 4 + 1 if f.sparse else lines * f.dim for f in fields]
    values = [np.empty(n, np.float32) for n in room]
    indices = [np.empty(n if f.sparse else 0, np.int64) for n, f in zip(room, fields, strict=True)]
    frame_ends = [np.empty(lines if f.sparse else 0, np.int64) for f in fields]
    frames, stored, seen = (np.zeros(count, np.int64) for _ in range(3))
    bad = np.empty(_MOST_BAD, np.int64)

    def pointers(arrays: Sequence[Any]) -> Any:
        return np.array([a.ctypes.data for a in arrays], np.int64)

    tables = pointers(values), pointers(indices), pointers(frame_ends)
    before = [data.ctypes.data, len(text), count, *pointers([names, name_ends, dims, sparse, ends]), len(ends)]
    after = [*pointers([lengths, *tables, frames, stored, bad]), _MOST_BAD, *pointers([seen, _POWERS]), 0, -1]
    block = np.array([*before, *after], np.int64)
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(_handle().address)(block.ctypes.data)
    rows: list[Any] = []
    for k, field in enumerate(fields):
        if field.sparse:
            n = int(stored[k])
            rows.append((values[k][:n].copy(), indices[k][:n].copy(), frame_ends[k][: frames[k]].copy()))
        else:
            dense = values[k][: frames[k] * field.dim].reshape(-1, field.dim)
            rows.append(dense if 2 * frames[k] >= lines else dense.copy())
    return Parsed(lengths, rows, bad[: min(int(block[19]), _MOST_BAD)].tolist(), int(block[20]))
