"""Recurrences on the native tier: a loop's body becomes one small table that the executor runs slab by slab.

Sequences are split over threads once for the whole loop: each thread takes a range of the sorted sequences through all
time steps, so that its rows of every slab are contiguous. Addresses and row counts of a slab are patched into the
table by the executor itself; another set of lengths only needs another matrix of slabs. Any body works whose steps are
delays, products with parameters, and formulas; an LSTM is only a body whose formulas happened to fuse into one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab.backends.cpu import blas, executor, jit, onednn, threads
from cntk_lab.backends.cpu import packed as packed_products
from cntk_lab.backends.cpu.executor import AFFINE, LOOKUP, Share, Slabs
from cntk_lab.engine.arrays.delays import initial_frames
from cntk_lab.engine.arrays.run import Run
from cntk_lab.engine.cpu.gemm import Matrices, as_matrices, is_static, size_of
from cntk_lab.engine.cpu.maps import can_be_kernel
from cntk_lab.engine.cpu.products import pitches
from cntk_lab.engine.cpu.step import Binder, Claim, NativeStep, Rank
from cntk_lab.engine.plan import Contract, Delay, Loop, Map, Plan, Step
from cntk_lab.engine.plan.index import Index
from cntk_lab.formula.kernel import canonical
from cntk_lab.formula.print_numba import Code, numba_code
from cntk_lab.tensor.arrays import aligned_empty
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.shape import size

_COUNT, _ROW, _FEW, _MANY = 0, 1, 2, 3
"""Columns of a slab: its rows, its first row, and its rows again where they are few (many), else 0."""
_FIXED = 4
_FEW_ROWS = 128
"""Products of so many rows read weights that were packed once for the whole loop; for more, packing again is nothing.

Each count of rows needs a primitive of its own, which is another reason not to pack for any number.
"""
_PACKED_WEIGHTS = 1 << 15
"""Elements of weights from which packing them pays (measured: 300 x 1200 gains 1.3 to 2 times, 25 x 100 loses)."""
_PER_DELAY = 4
"""Columns of a delay: first source row, rows taken from it, rows of the initial state, place of those."""
_DTYPES = ("float32", "float64")
_A, _C, _M = 6, 11, 2
"""Fields of a GEMM's argument block: addresses of a and c, number of rows."""


def claims(index: Index) -> Iterator[Claim]:
    """The loops whose body has nothing without a native form."""
    for i, s in enumerate(index.plan.steps):
        if isinstance(s, Loop) and _can_be_native(index.plan, s):
            yield Claim.one(Rank.LOOP, i, partial(LoopStep, index.plan, s))


def _can_be_native(plan: Plan, step: Loop) -> bool:
    inside = set(step.writes)
    if blas.probe() is None or any(plan.buffers[r].sparse for r in step.reads):
        return False
    return all(s.lies or ((fits := _FITS.get(type(s))) is not None and fits(plan, s, inside)) for s in step.body)


def _formula_fits(_plan: Plan, step: Map, _inside: set[int]) -> bool:
    return can_be_kernel(step) and all(o.rows for o, _ in step.kernel.outputs)


def _product_fits(plan: Plan, step: Contract, inside: set[int]) -> bool:
    x = as_matrices(step.spec)
    return (
        x is not None
        and pitches(plan, step, x) is not None
        and not x.swapped
        and "r" in x.m
        and is_static(step.spec)
        and not x.transpose_left
        and plan.buffers[step.writes[0]].dtype in _DTYPES
        and step.reads[1] not in inside
    )


def _delay_fits(plan: Plan, step: Delay, _inside: set[int]) -> bool:
    return plan.buffers[step.writes[0]].dtype in _DTYPES


_FITS: dict[type[Step], Callable[[Plan, Any, set[int]], bool]] = {
    Map: _formula_fits,
    Contract: _product_fits,
    Delay: _delay_fits,
}
"""What the body of a loop may consist of, beside steps with nothing to do."""


class LoopStep(NativeStep):
    """A loop as one row of the executor's table."""

    tier = "native loop"

    def __init__(self, plan: Plan, step: Loop) -> None:
        self.plan, self.step = plan, step
        self.delays = [s for s in step.body if isinstance(s, Delay)]
        self.codes: dict[int, Code] = {}
        self.handles: dict[int, jit.Handle] = {}
        for i, s in enumerate(step.body):
            if isinstance(s, Map):
                self.codes[i] = numba_code(canonical(s.kernel))
                self.handles[i] = jit.request(self.codes[i].source)
        self.columns = _FIXED + _PER_DELAY * len(self.delays)
        self._bound: BoundLoop | None = None
        """The loop at the memory where it ran last: other counts of rows only need other slabs."""

    def ready(self) -> bool:
        """Whether all kernels of the body are compiled or never will be."""
        return all(h.ready() or h.failure is not None for h in self.handles.values())

    def usable(self) -> bool:
        """Whether all kernels of the body are compiled."""
        return all(h.ready() for h in self.handles.values())

    def reads_before(self) -> tuple[int, ...]:
        """Buffers that delays take their first frames from."""
        return tuple(r for d in self.delays for r in d.reads[1:])

    def seen(self) -> tuple[int, ...]:
        """What delays read and write."""
        return tuple(r for d in self.delays for r in (*d.reads, *d.writes))

    def rows(self, binder: Binder) -> list[list[int]]:
        """One loop row; the slabs are filled in before each run (see :meth:`Bound.prepare`)."""
        bound = self._bound
        if bound is None or not bound.fits(binder):
            bound = self._bound = BoundLoop(self, binder)
        binder.keep(bound)
        binder.before_run(lambda run: bound.prepare(run, binder.arrays))
        return bound.rows()


@dataclass(slots=True)
class _Made:
    """The table of one thread while it is being written."""

    table: list[list[int]] = field(default_factory=list)
    patches: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    """What a slab changes in the table: row, field, base, factor, column, mode."""
    later: list[tuple[Any, int, int, int, int]] = field(default_factory=list)
    """And in argument blocks: block, field, base, factor, column."""


class _PackedProduct:
    """A product of a loop's body whose weights are packed once, before the loop, for all its slabs.

    Args:
        sizes: columns of the result, and inner dimension.
        pitches: elements between the rows of the left operand and of the result.
        beta: factor of what the result held before.
        weights: address of the weights.
        strides: strides of the weights, seen as (inner x columns), in elements.
    """

    def __init__(
        self, sizes: tuple[int, int], pitches: tuple[int, int], beta: float, weights: int, strides: tuple[int, int]
    ) -> None:
        self._sizes, self._pitches, self._beta = sizes, pitches, beta
        usual = self._primitive(1)
        self._weights = onednn.aligned(usual.size("weights"))
        n, k = sizes
        self.packing = onednn.reorder(onednn.Layout((k, n), strides), (usual, "weights")).bind(
            {"source": weights, "target": self._weights}
        )
        self._tables: list[NDArray[np.int64]] = []
        self._bound: list[onednn.Bound] = []

    @property
    def arguments(self) -> int:
        """How many arguments the primitives take."""
        return len(self._primitive(1).roles)

    @property
    def stream(self) -> int:
        """Address of the stream that primitives run in."""
        return self.packing.row()[1]

    def new_table(self) -> int:
        """The address of one thread's table: for each count of rows the primitive, its arguments, and the memories of
        left operand and result.
        """
        self._tables.append(np.zeros((_FEW_ROWS + 1, 4), np.int64))
        return self._tables[-1].ctypes.data

    def make(self, counts: NDArray[np.int64]) -> None:
        """Have the primitives for these counts of rows."""
        first = self._tables[0]
        for count in np.unique(counts[first[counts, 0] == 0]).tolist():
            if not count:
                continue
            for table in self._tables:
                made = self._primitive(count)
                bound = made.bind({"weights": self._weights, "scratch": onednn.aligned(made.size("scratch"))})
                self._bound.append(bound)
                address, _, _, arguments = bound.row()
                table[count] = [address, arguments, bound.memories["source"], bound.memories["target"]]

    def _primitive(self, rows: int) -> onednn.Primitive:
        (n, k), (lda, ldc) = self._sizes, self._pitches
        return packed_products.matmul(rows, n, k, strides_a=(lda, 1), strides_c=(ldc, 1), beta=self._beta)


class BoundLoop:
    """A loop bound to memory: a table for each thread, and matrices of slabs that follow the layout at hand."""

    def __init__(self, owner: LoopStep, binder: Binder) -> None:
        self.owner, self.binder = owner, binder
        rows = binder.padded(owner.step.rows)
        self.threads = self._threads(rows)
        self.addresses = self._places(binder)
        self.capacity = rows = rows + rows // 4
        self.initial = {d.writes[0]: self._initial_rows(d, rows) for d in owner.delays if len(d.reads) > 1}
        self._alike: dict[int, NDArray[Any]] = {}
        """Initial states that are the same for every sequence, as they were written last."""
        self._kept: list[Any] = []
        self._packed: dict[int, _PackedProduct] = {}
        self.loop = executor.Loop([self._share() for _ in range(self.threads)])
        self._slabs: dict[Layout, Slabs] = {}

    def rows(self) -> list[list[int]]:
        """What runs: packing of the weights, and the loop."""
        packing = [executor.primitive_row(p.packing.row()) for p in self._packed.values()]
        return [*packing, executor.loop_row(self.loop, self.threads)]

    def _threads(self, rows: int) -> int:
        work = sum(c.row_work for c in self.owner.codes.values()) * rows + sum(
            self._product_work(s, rows) for s in self.owner.step.body if isinstance(s, Contract)
        )
        return threads.threads_for(work)

    def _places(self, binder: Binder) -> list[int]:
        return [binder.address(b) for b in (*self.owner.step.reads, *self.owner.step.writes)]

    def fits(self, binder: Binder) -> bool:
        """Whether this loop can run in a binding: same memory, enough rows, same number of threads."""
        rows = binder.padded(self.owner.step.rows)
        return rows <= self.capacity and self._threads(rows) == self.threads and self._places(binder) == self.addresses

    @staticmethod
    def _product_work(step: Contract, rows: int) -> float:
        return 2.0 * rows * math.prod(step.spec.sizes.values()) / 50.0

    def _initial_rows(self, delay: Delay, rows: int) -> NDArray[Any]:
        b = self.owner.plan.buffers[delay.writes[0]]
        return aligned_empty((rows, *b.shape), b.dtype)

    def _row_bytes(self, buffer: int) -> int:
        b = self.owner.plan.buffers[buffer]
        return size(b.whole or b.shape) * np.dtype(b.dtype).itemsize

    # ---- tables

    def _share(self) -> Share:
        """Table and patches of one thread."""
        made = _Made()
        write: dict[type[Step], Callable[[int, Any, _Made], None]] = {
            Delay: self._delay,
            Contract: self._product,
            Map: self._formula,
        }
        for i, s in enumerate(self.owner.step.body):
            if not s.lies:
                write[type(s)](i, s, made)
        array = np.ascontiguousarray(np.array(made.table, np.int64).reshape(-1, executor.FIELDS))
        start = array.ctypes.data
        lines = [
            [start + 8 * (executor.FIELDS * row + f), base, factor, column, mode]
            for row, f, base, factor, column, mode in made.patches
        ]
        lines += [
            [block.ctypes.data + 8 * f, base, factor, column, AFFINE] for block, f, base, factor, column in made.later
        ]
        matrix = np.array(lines, np.int64).reshape(-1, executor.PATCH_FIELDS)
        return Share(array, np.zeros((1, self.owner.columns), np.int64), matrix, 0)

    def _delay(self, _position: int, delay: Delay, made: _Made) -> None:
        table, patches = made.table, made.patches
        first = _FIXED + _PER_DELAY * self.owner.delays.index(delay)
        target, source = delay.writes[0], delay.reads[0]
        bytes_ = self._row_bytes(target)
        to, origin = self.binder.address(target), self.binder.address(source)
        row = executor.copy_row(to, origin, 0)
        row[7] = first + 2  # skipped where no row is taken
        at = len(table)
        table.append(row)
        patches += [(at, 1, to, bytes_, _ROW, 0), (at, 2, origin, bytes_, first, 0), (at, 3, 0, bytes_, first + 1, 0)]
        at = len(table)
        place = to  # rows of the initial state come behind those that are taken: column first + 3 holds the row
        initial = self.initial.get(target)
        if initial is None:
            row = executor.fill_row(place, 0)
            patches += [(at, 1, place, bytes_, first + 3, 0), (at, 2, 0, bytes_, first + 2, 0)]
        else:
            base = initial.ctypes.data
            row = executor.copy_row(place, base, 0)
            patches += [
                (at, 1, place, bytes_, first + 3, 0),
                (at, 2, base, bytes_, first + 3, 0),
                (at, 3, 0, bytes_, first + 2, 0),
            ]
        row[7] = first + 3
        table.append(row)

    def _product(self, position: int, step: Contract, made: _Made) -> None:
        table, patches = made.table, made.patches
        x = as_matrices(step.spec)
        assert isinstance(x, Matrices)
        left, right, target = step.reads[0], step.reads[1], step.writes[0]
        lda, ldb, ldc = pitches(self.owner.plan, step, x) or (0, 0, 0)
        itemsize = np.dtype(self.owner.plan.buffers[target].dtype).itemsize
        per_row = size_of(x.m.replace("r", ""), step.spec, 1)
        n, k = size_of(x.n, step.spec, 1), size_of(x.k, step.spec, 1)
        a, b, c = (self.binder.address(i) for i in (left, right, target))
        block = blas.gemm_block(
            1,
            n,
            k,
            a=a,
            b=b,
            c=c,
            transpose_b=x.transpose_right,
            beta=float(len(step.reads) > 2),
            lda=lda,
            ldb=ldb,
            ldc=ldc,
        )
        self._kept.append(block)
        made.later += [
            (block, _M, 0, per_row, _COUNT),
            (block, _A, a, self._row_bytes(left), _ROW),
            (block, _C, c, self._row_bytes(target), _ROW),
        ]
        row = executor.gemm_row(block, itemsize)
        row[7] = _COUNT + 1
        if itemsize == 4 and per_row == 1 and n * k >= _PACKED_WEIGHTS and onednn.available():
            row[7] = _MANY + 1
            packed = self._packed.get(position)
            if packed is None:
                strides = (1, ldb or k) if x.transpose_right else (ldb or n, 1)
                packed = _PackedProduct((n, k), (lda or k, ldc or n), float(len(step.reads) > 2), b, strides)
                self._packed[position] = packed
            places = packed.new_table()
            for role, address, buffer in ((2, a, left), (3, c, target)):
                patches += [
                    (len(table), 1, places + 8 * role, 32, _FEW, LOOKUP),
                    (len(table), 2, address, self._row_bytes(buffer), _ROW, AFFINE),
                ]
                table.append([*executor.handle_row(0, 0)[:7], _FEW + 1])
            patches += [(len(table), f, places + 8 * j, 32, _FEW, LOOKUP) for f, j in ((1, 0), (4, 1))]
            table.append([*executor.primitive_row((0, packed.stream, packed.arguments, 0))[:7], _FEW + 1])
        table.append(row)

    def _formula(self, position: int, step: Map, made: _Made) -> None:
        code = self.owner.codes[position]
        by_name = {f"i{n}": r for n, r in enumerate(step.reads)} | {f"o{n}": w for n, w in enumerate(step.writes)}
        buffers = [by_name[n] for n in (*code.inputs, *code.outputs)]
        scratch = aligned_empty((max(64, code.scratch_bytes(1)),), "uint8")
        block = np.array([*(self.binder.address(b) for b in buffers), 0, scratch.ctypes.data], np.int64)
        self._kept += [block, scratch]
        for i, b in enumerate(buffers):
            if self.owner.plan.buffers[b].rows:
                made.later.append((block, i, self.binder.address(b), self._row_bytes(b), _ROW))
        made.later.append((block, len(buffers), 0, 1, _COUNT))
        row = executor.kernel_row(self.owner.handles[position].address, block.ctypes.data, 1, code.phases)
        row[7] = _COUNT + 1
        made.table.append(row)

    # ---- slabs

    def prepare(self, run: Run, arrays: Mapping[int, Any]) -> None:
        """Take over the layout of a run: slabs of every thread, and rows of initial states."""
        layout = run.layouts[self.owner.step.rows]
        found = self._slabs.get(layout)
        if found is None:
            if len(self._slabs) >= 32:
                self._slabs.clear()
            found = self._slabs[layout] = Slabs(self._make_slabs(layout))
            for slabs, product in itertools.product(found.matrices, self._packed.values()):
                product.make(slabs[:, _FEW])
        self.loop.follow(found)
        for d in self.owner.delays:
            if len(d.reads) > 1:
                self._fill_initial(run, d, layout, arrays)

    def _fill_initial(self, run: Run, delay: Delay, layout: Layout, arrays: Mapping[int, Any]) -> None:
        """The rows that take the initial state, at their own places."""
        b = self.owner.plan.buffers[delay.reads[1]]
        source = arrays[delay.reads[1]]
        if not b.rows and layout.begins is None and source.ndim <= self.initial[delay.writes[0]].ndim:
            before = self._alike.get(delay.writes[0])
            if before is None or not _equal(before, source):
                self.initial[delay.writes[0]][...] = source
                self._alike[delay.writes[0]] = source.copy()
            return
        self._alike.pop(delay.writes[0], None)
        start = initial_frames(run, source, b, layout, delay, self.initial[delay.writes[0]].ndim - 1)
        position = layout.position - delay.offset
        outside = np.flatnonzero((position < 0) | (position >= layout.lengths[layout.sequence]))
        self.initial[delay.writes[0]][outside] = start(layout.sequence[outside], position[outside])

    def _make_slabs(self, layout: Layout) -> list[NDArray[np.int64]]:
        offsets, live, longest = layout.offsets[:-1], layout.live, layout.longest
        by_offset: dict[int, list[int]] = {}
        for j, d in enumerate(self.owner.delays):
            by_offset.setdefault(d.offset, []).append(_FIXED + _PER_DELAY * j)
        result = []
        for lo, hi in itertools.pairwise(_split(layout, self.threads)):
            slabs = np.zeros((longest, self.owner.columns), np.int64)
            count = live if self.threads == 1 else np.clip(live, lo, hi) - lo
            row = offsets + lo
            few = count * (count <= _FEW_ROWS)
            slabs[:, _COUNT], slabs[:, _ROW], slabs[:, _FEW], slabs[:, _MANY] = count, row, few, count - few
            for offset, columns in by_offset.items():
                # slabs that have a slab to take from: those behind the first ones, or before the last ones
                here, there = _shifted(offset, longest)
                given = np.zeros((longest, _PER_DELAY), np.int64)
                given[here, 0] = row[there]
                given[here, 1] = np.minimum(count[here], count[there])
                given[:, 2] = count - given[:, 1]
                given[:, 3] = row + given[:, 1]
                for first in columns:
                    slabs[:, first : first + _PER_DELAY] = given
            result.append(np.ascontiguousarray(slabs[::-1]) if self.owner.step.reverse else slabs)
        return result


def _equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether arrays are equal; single numbers, which most initial states are, without much ado."""
    return a.item() == b.item() if a.size == b.size == 1 else np.array_equal(a, b)


def _shifted(offset: int, longest: int) -> tuple[slice, slice]:
    """The slabs that take from another one, and those that they take from."""
    n = min(abs(offset), longest)
    behind, before = slice(n, longest), slice(0, longest - n)
    return (behind, before) if offset > 0 else (before, behind)


def _split(layout: Layout, parts: int) -> Sequence[int]:
    """Ranges of the sorted sequences with about the same number of frames each: ``parts + 1`` borders."""
    if parts == 1:
        return [0, layout.count]
    total = np.concatenate([[0], np.cumsum(layout.lengths[layout.order])])
    wanted = total[-1] * np.arange(1, parts) / parts
    return [0, *np.searchsorted(total, wanted).tolist(), layout.count]
