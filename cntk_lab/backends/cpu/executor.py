"""The native plan: a table of int64 rows that one call runs from top to bottom. A row costs nanoseconds.

Usage (everything is an address; whoever builds a table keeps the arrays behind the addresses alive)::

    table = np.zeros((n, FIELDS), np.int64)
    table[0] = kernel_row(handle.address, block.ctypes.data, threads=threads_for(work), phases=code.phases)
    table[1] = gemm_row(gemm_block(m, n, k, a=..., b=..., c=...))   # cblas, argument block as in blas.py
    table[2] = primitive_row(bound.row())                           # oneDNN, see onednn.py
    table[3] = loop_row(loop)                                       # slabs, see Loop
    executor = load()                  # a Handle-like object; executor.ready() / executor.wait(); compiled once per
    machine failed = executor.run(table)       # -1, or the number of the first row whose library call reported an error
    failed = executor.run(table, times)  # the same, adding each row's nanoseconds to times[int64 n]

Row: ``kind, a, b, c, d, e, f, skip``. Binding changes fields by plain NumPy: ``table[1:4, 2] = base + offsets``, or
better the argument blocks, kept as one int64 array for the whole plan so that one vectorised expression patches all of
them.

==========  ==========================================================================================================
kind        fields
==========  ==========================================================================================================
NOTHING     none; a row that is switched off
KERNEL      a = address, b = argument block, c = threads, d = phases
PRIMITIVE   a = primitive, b = stream, c = number of arguments, d = dnnl_exec_arg_t[]
GEMM        a = argument block (blas.GEMM_FIELDS), b = 4 for float32, 8 for float64
HANDLE      a = oneDNN memory object, b = address: gives the memory its data (needed inside loops only)
LOOP        a = address of the loop's descriptor, b = threads
COPY        a = to, b = from, c = bytes
FILL        a = to, b = bytes, c = the word that fills them: 0, or any of eight equal bytes
==========  ==========================================================================================================

A kernel's argument block is ``[inputs..., outputs..., rows, scratch]`` (print_numba.Code says the order and the size of
the scratch memory). A kernel runs in ``phases``; with more than one thread all threads enter once and meet at a
barrier between phases.

**Loops** (recurrences over slabs): each thread takes its share of the sequences through all steps. For every thread
there is a sub-table with blocks of its own, a matrix ``slabs`` (steps x columns, int64; whatever counts and offsets
the body needs: first row, number of rows, first row of the step before, ...) and a list of patches ``(field address,
base, factor, column, mode)``: before step s the field becomes ``base + factor * slabs[s, column]`` (mode AFFINE) or
the int64 found *at* that address (mode LOOKUP: a table of primitives by number of rows). A row with ``skip`` = column
+ 1 does nothing in a step where that column is 0. Inside a loop kernels and primitives run on the thread that owns the
sub-table. Loops nest.

This module knows no formulas and no graphs. Idea: a threaded-code interpreter; CUDA graphs' "record once, patch,
replay".
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from cntk_lab.backends.cpu import blas, jit, onednn, threads

Table = npt.NDArray[np.int64]

FIELDS: Final = 8
NOTHING, KERNEL, PRIMITIVE, GEMM, HANDLE, LOOP, COPY, FILL = range(8)
KINDS: Final = ("nothing", "kernel", "primitive", "gemm", "handle", "loop", "copy", "fill")
AFFINE, LOOKUP = 0, 1
PATCH_FIELDS: Final = 5

# context: 0 dnnl_execute 1 set_handle 2 sgemm 3 dgemm 4 wide 5 GOMP_parallel 6 GOMP_barrier 7 thread_num 8 num_threads
#          9 address of the interpreter 10 address of the region 11 clock_gettime 12, 13 room for a timespec
_CONTEXT_FIELDS: Final = 16

_INTERPRETER: Final = """
def kernel(table, count, context, times):
    failed = -1
    start = 0
    for i in range(count):
        row = table + 64 * i
        kind = ld_i64(row, 0, -1)
        a = ld_i64(row, 1, -1)
        b = ld_i64(row, 2, -1)
        c = ld_i64(row, 3, -1)
        d = ld_i64(row, 4, -1)
        if times != 0:
            call_clock(ld_i64(context, 11, -1), 1, context + 96)
            start = ld_i64(context, 12, -1) * 1000000000 + ld_i64(context, 13, -1)
        if kind == 1:
            if c > 1 and ld_i64(context, 5, -1) != 0:
                # the frame lies in the row itself: field 5 is the context, read by the region
                st_i64(row, 5, context, -1)
                call_parallel(ld_i64(context, 5, -1), ld_i64(context, 10, -1), row, c, 0)
            else:
                for phase in range(d):
                    call_kernel(a, b, 0, 1, phase)
        elif kind == 2:
            if call_execute(ld_i64(context, 0, -1), a, b, c, d) != 0 and failed < 0:
                failed = i
        elif kind == 3:
            if ld_i64(context, 4, -1) != 0:
                if b == 8:
                    call_dgemm(ld_i64(context, 3, -1), 101, ld_i64(a, 0, -1), ld_i64(a, 1, -1), ld_i64(a, 2, -1),
                        ld_i64(a, 3, -1), ld_i64(a, 4, -1), bits(ld_i64(a, 5, -1)), ld_i64(a, 6, -1), ld_i64(a, 7, -1),
                        ld_i64(a, 8, -1), ld_i64(a, 9, -1), bits(ld_i64(a, 10, -1)), ld_i64(a, 11, -1), ld_i64(a, 12,
                        -1))
                else:
                    call_sgemm(ld_i64(context, 2, -1), 101, ld_i64(a, 0, -1), ld_i64(a, 1, -1), ld_i64(a, 2, -1),
                        ld_i64(a, 3, -1), ld_i64(a, 4, -1), to_f32(bits(ld_i64(a, 5, -1))), ld_i64(a, 6, -1), ld_i64(a,
                        7, -1), ld_i64(a, 8, -1), ld_i64(a, 9, -1), to_f32(bits(ld_i64(a, 10, -1))), ld_i64(a, 11, -1),
                        ld_i64(a, 12, -1))
            elif b == 8:
                call_dgemm32(ld_i64(context, 3, -1), 101, ld_i64(a, 0, -1), ld_i64(a, 1, -1), ld_i64(a, 2, -1),
                    ld_i64(a, 3, -1), ld_i64(a, 4, -1), bits(ld_i64(a, 5, -1)), ld_i64(a, 6, -1), ld_i64(a, 7, -1),
                    ld_i64(a, 8, -1), ld_i64(a, 9, -1), bits(ld_i64(a, 10, -1)), ld_i64(a, 11, -1), ld_i64(a, 12, -1))
            else:
                call_sgemm32(ld_i64(context, 2, -1), 101, ld_i64(a, 0, -1), ld_i64(a, 1, -1), ld_i64(a, 2, -1),
                    ld_i64(a, 3, -1), ld_i64(a, 4, -1), to_f32(bits(ld_i64(a, 5, -1))), ld_i64(a, 6, -1), ld_i64(a, 7,
                    -1), ld_i64(a, 8, -1), ld_i64(a, 9, -1), to_f32(bits(ld_i64(a, 10, -1))), ld_i64(a, 11, -1),
                    ld_i64(a, 12, -1))
        elif kind == 4:
            if call_set_handle(ld_i64(context, 1, -1), a, b) != 0 and failed < 0:
                failed = i
        elif kind == 5:
            for share in range(ld_i64(a, 0, -1)):
                st_i64(a + 32 + 48 * share, 5, -1, -1)
            st_i64(a, 1, context, -1)
            if b > 1 and ld_i64(context, 5, -1) != 0:
                st_i64(row, 5, context, -1)
                call_parallel(ld_i64(context, 5, -1), ld_i64(context, 10, -1), row, b, 0)
            else:
                call_kernel(ld_i64(context, 10, -1), -row, 0, 0, 0)
            for share in range(ld_i64(a, 0, -1)):
                if ld_i64(a + 32 + 48 * share, 5, -1) >= 0 and failed < 0:
                    failed = i
        elif kind == 6:
            words = c >> 3
            for j in range(words):
                st_i64(a, j, ld_i64(b, j, 1), 0)
            for j in range(words << 3, c):
                st_u8(a, j, ld_u8(b, j, 1), 0)
        elif kind == 7:
            words = b >> 3
            for j in range(words):
                st_i64(a, j, c, 0)
            for j in range(words << 3, b):
                st_u8(a, j, c & 255, 0)
        if times != 0:
            call_clock(ld_i64(context, 11, -1), 1, context + 96)
            st_i64(times, i, ld_i64(times, i, -1) + ld_i64(context, 12, -1) * 1000000000 + ld_i64(context, 13, -1) -
            start, -1)
    return failed
"""
"""The interpreter of tables: ``int64(table, rows, context, times or 0)``."""

_REGION: Final = """
def kernel(where, unused1, unused2, unused3):
    row = where
    serial = False
    if where < 0:
        row = -where
        serial = True
    kind = ld_i64(row, 0, -1)
    a = ld_i64(row, 1, -1)
    if kind == 1:
        context = ld_i64(row, 5, -1)
        thread = call_int(ld_i64(context, 7, -1))
        threads = call_int(ld_i64(context, 8, -1))
        block = ld_i64(row, 2, -1)
        phases = ld_i64(row, 4, -1)
        for phase in range(phases):
            if phase > 0:
                call_void(ld_i64(context, 6, -1))
            call_kernel(a, block, thread, threads, phase)
    else:
        context = ld_i64(a, 1, -1)
        thread = 0
        threads = 1
        if not serial:
            thread = call_int(ld_i64(context, 7, -1))
            threads = call_int(ld_i64(context, 8, -1))
        # a share: sub-table, rows, slabs, steps, patches (behind their count), failed row
        for share in range(thread, ld_i64(a, 0, -1), threads):
            own = a + 32 + 48 * share
            table = ld_i64(own, 0, -1)
            count = ld_i64(own, 1, -1)
            slabs = ld_i64(own, 2, -1)
            steps = ld_i64(own, 3, -1)
            patches = ld_i64(own, 4, -1)
            columns = ld_i64(a, 2, -1)
            for step in range(steps):
                slab = slabs + 8 * columns * step
                for k in range(ld_i64(patches, 0, -1)):
                    patch = patches + 8 + 40 * k
                    value = ld_i64(patch, 1, -1) + ld_i64(patch, 2, -1) * ld_i64(slab, ld_i64(patch, 3, -1), -1)
                    if ld_i64(patch, 4, -1) != 0:
                        value = ld_i64(value, 0, -1)
                    st_i64(ld_i64(patch, 0, -1), 0, value, -1)
                first = 0
                for k in range(count + 1):
                    skipped = False
                    if k < count:
                        column = ld_i64(table + 64 * k, 7, -1)
                        if column > 0:
                            skipped = ld_i64(slab, column - 1, -1) == 0
                    # runs of rows that are not skipped go to the interpreter in one call
                    if k == count or skipped:
                        if k > first:
                            failed = call_run(ld_i64(context, 9, -1), table + 64 * first, k - first, context, 0)
                            if failed >= 0:
                                st_i64(own, 5, first + failed, -1)
                        first = k + 1
"""
"""What a thread of a parallel region runs: its part of one row, a kernel or a loop. A negative address: no region."""


@dataclass(slots=True)
class Share:
    """What one thread (or any part of the sequences that can run by itself) needs to run a loop."""

    table: Table
    """Rows of the body, (rows x FIELDS)."""
    slabs: Table
    """Counts and offsets, (steps x columns)."""
    patches: Table
    """(patches x 5): field address, base, factor, column, AFFINE or LOOKUP."""
    steps: int = -1
    """Steps to run; -1 = all of ``slabs``."""


class Slabs:
    """Slabs for a loop: one matrix (steps x columns) for each share."""

    __slots__ = ("matrices", "places")

    def __init__(self, matrices: Sequence[Table]) -> None:
        self.matrices = matrices
        self.places = np.array([[m.ctypes.data, len(m)] for m in matrices], np.int64)


@dataclass(slots=True)
class Loop:
    """A recurrence: the shares of the sequences, run side by side. Keeps what its row points to alive."""

    shares: Sequence[Share]
    descriptor: Table = field(init=False)
    _kept: list[Table] = field(init=False, default_factory=list)
    """Patches of each share, behind their number."""

    def __post_init__(self) -> None:
        self.descriptor = np.zeros(4 + 6 * len(self.shares), np.int64)
        self.update()

    def update(self) -> None:
        """Take over new arrays after ``shares`` (or their tables or patches) were replaced by a new binding."""
        columns = {s.slabs.shape[1] for s in self.shares} or {0}
        if len(columns) != 1:
            raise ValueError(f"loop: slabs with {sorted(columns)} columns; all shares must have the same columns")
        self.descriptor[0], self.descriptor[2] = len(self.shares), columns.pop()
        self._kept.clear()
        for i, share in enumerate(self.shares):
            patches = np.concatenate([[len(share.patches)], share.patches.ravel()]).astype(np.int64)
            for array in (share.table, share.slabs):
                if array.dtype != np.int64 or not array.flags.c_contiguous:
                    raise ValueError("loop: tables and slabs are dense int64 arrays")
            self._kept += [patches]
            steps = len(share.slabs) if share.steps < 0 else share.steps
            self.descriptor[4 + 6 * i : 10 + 6 * i] = [
                share.table.ctypes.data,
                len(share.table),
                share.slabs.ctypes.data,
                steps,
                patches.ctypes.data,
                -1,
            ]

    def follow(self, slabs: Slabs) -> None:
        """Run over other slabs from now on; tables and patches stay."""
        for share, matrix in zip(self.shares, slabs.matrices, strict=True):
            share.slabs, share.steps = matrix, len(matrix)
        self.descriptor[4:].reshape(-1, 6)[:, 2:4] = slabs.places


def kernel_row(address: int, block: int, threads: int = 1, phases: int = 1) -> list[int]:
    """The row of a generated kernel: its address and the address of its argument block."""
    return [KERNEL, address, block, threads, phases, 0, 0, 0]


def primitive_row(call: tuple[int, int, int, int]) -> list[int]:
    """The row of a oneDNN primitive: ``onednn.Bound.row()``."""
    return [PRIMITIVE, *call, 0, 0, 0]


def gemm_row(block: Table, itemsize: int = 4) -> list[int]:
    """The row of a cblas product: ``blas.gemm_block(...)``; the caller keeps the block alive."""
    return [GEMM, block.ctypes.data, itemsize, 0, 0, 0, 0, 0]


def handle_row(memory: int, address: int) -> list[int]:
    """The row that gives a oneDNN memory object its data."""
    return [HANDLE, memory, address, 0, 0, 0, 0, 0]


def loop_row(loop: Loop, threads: int = 1) -> list[int]:
    """The row of a loop; ``threads`` up to the number of its shares."""
    return [LOOP, loop.descriptor.ctypes.data, min(threads, max(1, len(loop.shares))), 0, 0, 0, 0, 0]


def copy_row(to: int, source: int, size: int) -> list[int]:
    """The row that copies ``size`` bytes (ranges must not overlap)."""
    return [COPY, to, source, size, 0, 0, 0, 0]


def fill_row(to: int, size: int, word: int = 0) -> list[int]:
    """The row that fills ``size`` bytes with a word of eight equal bytes."""
    return [FILL, to, size, word, 0, 0, 0, 0]


class Executor:
    """Runs tables. Ready when its two functions are compiled (once per machine).

    Example:
        >>> executor = load()
        >>> executor.wait(120) and executor.run(np.zeros((3, FIELDS), np.int64))
        -1
    """

    def __init__(self) -> None:
        self._interpreter = jit.request(_INTERPRETER, "int64(int64,int64,int64,int64)")
        self._region = jit.request(_REGION)
        self._context = np.zeros(_CONTEXT_FIELDS, np.int64)
        self._context_address = self._context.ctypes.data
        self._call: ctypes._FuncPointer | None = None

    def ready(self) -> bool:
        """Whether tables can be run now."""
        return self._call is not None or (self._interpreter.ready() and self._region.ready() and self._bind())

    def wait(self, timeout: float | None = None) -> bool:
        """Whether tables can be run, after at most ``timeout`` seconds per function."""
        return self._interpreter.wait(timeout) and self._region.wait(timeout) and self.ready()

    def failure(self) -> str | None:
        """Why tables will never run here, or None."""
        return self._interpreter.failure or self._region.failure

    def _bind(self) -> bool:
        products = blas.probe()
        self._context[:2] = onednn.addresses()
        if products is not None:
            self._context[2:5] = products.sgemm, products.dgemm, int(products.wide)
        names = ("GOMP_parallel", "GOMP_barrier", "omp_get_thread_num", "omp_get_num_threads")
        self._context[5:9] = [threads.address(name) for name in names]
        self._context[9], self._context[10] = self._interpreter.address, self._region.address
        self._context[11] = _clock()
        self._call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)(self._interpreter.address)
        blas.limit_to_one()
        threads.apply()
        return True

    def run(self, table: Table, times: Table | None = None) -> int:
        """Run all rows; the interpreter lock is free meanwhile.

        Args:
            table: (rows x FIELDS), dense int64. Everything it points to must be alive and of the right size.
            times: nanoseconds per row are added to it (rows); None runs without clocks.

        Returns:
            -1, or the number of the first row whose library call reported an error.

        Raises:
            ValueError: if the table is no dense int64 array with FIELDS columns.
            NotAvailableError: while the executor is not ready.
        """
        if table.dtype != np.int64 or table.ndim != 2 or table.shape[1] != FIELDS or not table.flags.c_contiguous:
            raise ValueError(f"executor: table of {table.dtype} {table.shape}; needs dense int64 (rows x {FIELDS})")
        clock = 0
        if times is not None:
            if times.dtype != np.int64 or times.shape != (len(table),) or not times.flags.c_contiguous:
                raise ValueError(f"executor: times of {times.dtype} {times.shape}; needs dense int64 ({len(table)},)")
            clock = times.ctypes.data if self.can_time() else 0
        return self.run_address(table.ctypes.data, len(table), clock)

    def run_address(self, table: int, rows: int, times: int = 0) -> int:
        """The same without any check, for the step loop: addresses taken once at bind."""
        call = self._call
        if call is None:
            if not self.ready():
                self._interpreter.address, self._region.address  # noqa: B018  (raises with the reason)
            call = self._call
            assert call is not None
        threads.enter()
        result: int = call(table, rows, self._context_address, times)
        return result

    def can_time(self) -> bool:
        """Whether this platform has the clock of the timing variant."""
        return _clock() != 0


def _clock() -> int:
    if sys.platform == "win32":
        return 0
    try:
        return ctypes.cast(ctypes.CDLL(None).clock_gettime, ctypes.c_void_p).value or 0
    except AttributeError:
        return 0


@functools.cache
def load() -> Executor:
    """The executor of this process (its functions are requested on the first call)."""
    return Executor()
