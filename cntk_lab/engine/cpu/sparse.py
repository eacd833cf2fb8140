"""Native steps that read sparse rows: products with them, and learners' updates of the rows that they touched.

The CSR arrays come anew with every minibatch, so what a binding prepares is completed before each run: addresses and
counts are written into argument blocks. Knows operators only as products by letters, and learners only as formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from cntk_lab.backends.cpu import executor, jit, sparse_rows, threads
from cntk_lab.engine.arrays.run import Run
from cntk_lab.engine.cpu.gemm import is_static
from cntk_lab.engine.cpu.maps import MapStep
from cntk_lab.engine.cpu.step import Binder, Claim, NativeStep, Rank
from cntk_lab.engine.plan import Contract, Map, Plan, UpdateRows
from cntk_lab.engine.plan.index import Index
from cntk_lab.engine.plan.reference import number_of
from cntk_lab.errors import DataError
from cntk_lab.formula.kernel import canonical
from cntk_lab.formula.print_numba import supported
from cntk_lab.graph.opdef import Contraction
from cntk_lab.tensor.arrays import address_of, aligned_empty
from cntk_lab.tensor.shape import size
from cntk_lab.tensor.sparse import RowSparse, SparseRows

_AT, _MOVE = sparse_rows.AT, sparse_rows.MOVE_AT
_DTYPES = ("float32", "float64")
_ROW_NANOSECONDS, _ELEMENT_NANOSECONDS = 8.0, 0.2
"""What a stored value costs, and what each element that it is multiplied with."""
_SPREAD = 64
"""So many rows per stored value may a parameter have for its touched rows to be found by marking all of them."""


def claims(index: Index) -> Iterator[Claim]:
    """The steps that read sparse rows, or gradients of touched rows."""
    plan = index.plan
    for i, s in enumerate(plan.steps):
        make: Callable[[], NativeStep] | None = None
        if isinstance(s, Contract):
            make = _product_step(plan, s)
        elif isinstance(s, UpdateRows) and s.kernel.dtype in _DTYPES and supported(canonical(s.kernel)) is None:
            make = partial(UpdateStep, plan, s)
        if make is not None:
            yield Claim.one(Rank.SPARSE, i, make)


class SparseStep(NativeStep):
    """A step that takes sparse rows as they are: they need no dense memory."""

    tier = "kernel"
    takes_sparse = True

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.kernel = sparse_rows.kernel(dtype)

    def handles(self) -> list[jit.Handle]:
        """The kernels of the step."""
        return [self.kernel]

    def ready(self) -> bool:
        """Whether the kernels are compiled or one never will be."""
        handles = self.handles()
        return all(h.ready() for h in handles) or any(h.failure is not None for h in handles)

    def usable(self) -> bool:
        """Whether the kernels are compiled."""
        return all(h.ready() for h in self.handles())


# ---- the arrays of sparse rows


class Stored:
    """Values, columns and row starts of sparse rows as the kernels take them: the element type, and int32."""

    __slots__ = ("columns", "places", "starts", "values")

    def __init__(self, values: Any, columns: Any, starts: Any) -> None:
        self.values, self.columns, self.starts = values, columns, starts
        self.places = [address_of(values), address_of(columns), address_of(starts), len(starts) - 1, len(values)]
        """What an argument block is told: addresses, rows and stored values."""


def stored_of(run: Run, buffer: int, dtype: str) -> Stored:
    """The stored values of a sparse input, whose columns and row starts were checked where they came in."""
    rows = run.arrays[buffer]
    if not isinstance(rows, SparseRows):
        from scipy.sparse import csr_matrix

        rows = run.arrays[buffer] = SparseRows(csr_matrix(rows.reshape((len(rows), -1))), rows.shape[1:])
    key = ("stored", buffer, dtype)
    known = run.notes.get(key)
    if known is not None and known[0] is rows:
        found: Stored = known[1]
        return found
    values, columns, starts = rows.stored
    made = Stored(
        np.ascontiguousarray(values, dtype),
        np.ascontiguousarray(columns, np.int32),
        np.ascontiguousarray(starts, np.int32),
    )
    run.notes[key] = rows, made
    return made


def _distances(word: str, spec: Contraction) -> dict[str, int]:
    """Elements between neighbours along each letter of a word, as they lie in memory."""
    found, behind = {}, 1
    for c in reversed(word):
        found[c] = behind
        behind *= 1 if c == "r" else spec.sizes[c]
    return found


# ---- products


def _product_step(plan: Plan, step: Contract) -> Callable[[], NativeStep] | None:
    """What makes the native form of a product with sparse rows; None if it is none, or of another kind."""
    buffers = [plan.buffers[r] for r in step.reads]
    if len(buffers) != 2 or sum(b.sparse for b in buffers) != 1 or not is_static(step.spec):
        return None
    spec, reads = step.spec, step.reads
    if buffers[1].sparse:
        spec, reads, buffers = replace(spec, left=spec.right, right=spec.left), reads[::-1], buffers[::-1]
    x, y, out = *buffers, plan.buffers[step.writes[0]]
    letters = spec.left[1:]
    free = [c for c in spec.right if c not in spec.left]
    fits = (
        x.role == "input"
        and spec.left[:1] == "r"
        and len(letters) in (1, 2)
        and len(free) <= 1
        and all(
            "r" not in word or (word[0] == "r" and b.rows == x.rows) for word, b in ((spec.right, y), (spec.out, out))
        )
        and all(c in spec.out for c in free)
        and out.dtype == y.dtype
        and out.dtype in _DTYPES
        and not y.whole
        and not out.whole
    )
    if not fits:
        return None
    if not out.touched:
        return partial(ProductStep, spec, reads, step.writes[0], x.rows, out.dtype)
    kept = letters[-1]
    if size([spec.sizes[c] for c in letters[:-1]]) != 1 or spec.out[:1] != kept:
        return None
    return partial(TouchedStep, spec, reads, step.writes[0], x.rows, out.dtype)


class ProductStep(SparseStep):
    """A product of sparse and dense rows whose result is dense.

    Args:
        spec: the product, the sparse operand on the left.
        reads: the sparse and the dense operand.
        target: the result.
        rows: row symbol of the sparse operand.
        dtype: element type.
    """

    def __init__(self, spec: Contraction, reads: tuple[int, ...], target: int, rows: str, dtype: str) -> None:
        super().__init__(dtype)
        self.spec, self.sparse, self.dense, self.target, self.row_symbol = spec, reads[0], reads[1], target, rows
        letters = spec.left[1:]
        self.first, self.last = ("", letters) if len(letters) == 1 else (letters[0], letters[1])
        self.free = next((c for c in spec.right if c not in spec.left), "")
        self.flop = 2 * (spec.sizes[self.free] if self.free else 1)
        """Operations for each stored value."""

    def cost(self) -> str:
        """Operations for each stored value."""
        return f", {self.flop} flop/stored value"

    def block(self) -> Any:
        """The argument block without addresses, and without what each run tells."""
        spec = self.spec
        block = np.zeros(len(sparse_rows.FIELDS), np.int64)
        for name, word in (("dense", spec.right), ("out", spec.out)):
            apart = _distances(word, spec)
            for field, letter in (("row", "r"), ("first", self.first), ("last", self.last), ("free", self.free)):
                block[_AT[f"{name}_{field}"]] = apart.get(letter, 0)
        elements = size([spec.sizes[c] for c in spec.out if c != "r"])
        block[_AT["zeros" if "r" in spec.out else "clear"]] = elements
        block[_AT["last"]] = spec.sizes[self.last]
        block[_AT["width"]] = spec.sizes[self.last] * (spec.sizes[self.first] if self.first else 1)
        block[_AT["free"]] = spec.sizes[self.free] if self.free else 1
        return block

    def rows(self, binder: Binder) -> list[list[int]]:
        """One kernel row; the arrays of the sparse operand are told before each run."""
        block, symbol = self.block(), self.row_symbol
        block[_AT["dense"]], block[_AT["out"]] = binder.address(self.dense), self.address(binder)
        binder.keep(block)
        kept: list[Stored] = []
        sparse, dtype, prepare = self.sparse, self.dtype, self.prepare

        def before(run: Run) -> None:
            stored = stored_of(run, sparse, dtype)
            if stored.places[_AT["rows"]] != binder.rows[symbol]:
                raise DataError(
                    f"sparse data have {stored.places[_AT['rows']]} rows where {binder.rows[symbol]} are expected"
                )
            stored = prepare(run, stored, block)
            kept[:] = [stored]  # alive as long as the block points to them
            block[: _AT["stored"] + 1] = stored.places

        binder.before_run(before)
        each = _ROW_NANOSECONDS + _ELEMENT_NANOSECONDS * int(block[_AT["free"]] + block[_AT["zeros"]])
        count = threads.threads_for(binder.padded(symbol) * each)
        return [executor.kernel_row(self.kernel.address, block.ctypes.data, count, sparse_rows.PHASES)]

    def address(self, binder: Binder) -> int:
        """Where the result goes; 0 if each run tells."""
        return binder.address(self.target)

    def prepare(self, run: Run, stored: Stored, block: Any) -> Stored:  # noqa: ARG002  (touched rows need them)
        """What the kernel reads of the sparse operand."""
        return stored


class TouchedStep(ProductStep):
    """A product that keeps only the rows of its result that are touched; each run has its own memory for them."""

    def address(self, binder: Binder) -> int:  # noqa: ARG002
        """Each run tells."""
        return 0

    def prepare(self, run: Run, stored: Stored, block: Any) -> Stored:
        """Columns are numbered by the rows that they touch; the result gets memory for these."""
        whole = self.spec.sizes[self.last]
        indices, places = touched_by(stored.columns, whole)
        shape = tuple(d for c in self.spec.out[1:] if (d := self.spec.sizes[c]) != 1)
        rows = np.empty((len(indices), *shape), self.dtype)
        run.arrays[self.target] = RowSparse(indices, rows, (whole, *shape))
        block[_AT["out"]], block[_AT["clear"]] = address_of(rows), rows.size
        block[_AT["last"]] = block[_AT["width"]] = len(indices)
        found = Stored(stored.values, places, stored.starts)
        if not rows.size:
            found.places[_AT["rows"]] = 0
        return found


def touched_by(columns: Any, whole: int) -> tuple[Any, Any]:
    """The distinct columns in order, and the place of each stored value's column among them (int32).

    Example:
        >>> touched_by(np.array([5, 2, 5], np.int32), 8)
        (array([2, 5]), array([1, 0, 1], dtype=int32))
    """
    if whole > _SPREAD * len(columns):
        indices, places = np.unique(columns, return_inverse=True)
        return indices.astype(np.int64), places.astype(np.int32)
    marks = np.zeros(whole, bool)
    marks[columns] = True
    indices = np.flatnonzero(marks)
    number = np.empty(whole, np.int32)
    number[indices] = np.arange(len(indices), dtype=np.int32)
    return indices, number[columns]


# ---- updates


class UpdateStep(SparseStep):
    """A learner's formulas on the touched rows: these are copied together, computed, and copied back."""

    def __init__(self, plan: Plan, step: UpdateRows) -> None:
        super().__init__(step.kernel.dtype)
        self.step = step
        self.formulas = MapStep(Map((), (), kernel=step.kernel))
        self.mover = sparse_rows.mover(self.dtype)
        self.count = plan.buffers[step.reads[0]].touched

    def handles(self) -> list[jit.Handle]:
        """The kernels of the step."""
        return [self.formulas.handle, self.mover]

    def cost(self) -> str:
        """Nanoseconds of a touched row."""
        return f", {self.formulas.code.row_work:.3g} ns/touched row"

    def rows(self, binder: Binder) -> list[list[int]]:
        """Rows that copy together, the row of the formulas, and rows that copy back."""
        most = min(self.count, max(map(binder.padded, binder.rows), default=1))
        count = threads.threads_for(self.formulas.code.row_work * most)
        update = _Update(self, binder, count)
        binder.before_run(update)
        binder.keep(update)
        formulas = executor.kernel_row(
            self.formulas.handle.address, update.block.ctypes.data, count, self.formulas.code.phases
        )
        moves = [
            [executor.kernel_row(self.mover.address, m.ctypes.data, count) for _, m in some]
            for some in (update.together, update.apart)
        ]
        return [*moves[0], formulas, *moves[1]]


class _Update:
    """The argument blocks of an update in one binding; called before each run, it tells them the touched rows."""

    def __init__(self, own: UpdateStep, binder: Binder, count: int) -> None:
        step, code = own.step, own.formulas.code
        self.gradient, self.dtype, self.width = step.reads[0], own.dtype, step.kernel.domain[0]
        names = (*code.inputs, *code.outputs)
        self.scratch = aligned_empty((code.scratch_bytes(count),), "uint8")
        self.touched = np.zeros(1, own.dtype)
        self.block = np.array([*[0] * len(names), 0, self.scratch.ctypes.data], np.int64)
        self.rows_at = len(names)
        self.places: dict[int, list[int]] = {}
        """Buffers with the parameter's rows -> where the block has the address of their touched rows."""
        reads = {f"i{n}": o.name for n, o in enumerate(step.kernel.inputs)}
        writes = {f"o{n}": o.name for n, (o, _) in enumerate(step.kernel.outputs)}
        for at, name in enumerate(names):
            meant = {**reads, **writes}[name]
            if meant == "touched":
                self.block[at] = self.touched.ctypes.data
            elif (number := number_of(meant)) == self.gradient or number in step.whole:
                self.places.setdefault(number, []).append(at)
            else:
                self.block[at] = binder.address(number)
        self.together, self.apart = (
            [
                (number, np.array([0, 0, binder.address(number), 0, self.width, back], np.int64))
                for number in (number_of(meant) for meant in some.values() if meant != "touched")
                if number in step.whole
            ]
            for back, some in ((0, reads), (1, writes))
        )
        self.moves = [*self.together, *self.apart]
        self.numbers = np.empty(0, np.int32)
        self.memory: dict[int, Any] = {}
        """Buffers with the parameter's rows -> memory for their touched rows."""

    def __call__(self, run: Run) -> None:
        g: RowSparse = run.arrays[self.gradient]
        n = len(g.indices)
        if len(self.numbers) < n:
            room = n + n // 4
            self.numbers = np.empty(room, np.int32)
            self.memory = {b: aligned_empty((room * self.width,), self.dtype) for b in self.places}
            self._tell()
        self.numbers[:n] = g.indices
        rows = self.memory[self.gradient] = np.ascontiguousarray(g.rows, self.dtype)
        self.touched[0] = n * self.width
        self.block[self.rows_at] = n
        self.block[self.places.get(self.gradient, [])] = address_of(rows)
        for _, move in self.moves:
            move[_MOVE["rows"]] = n

    def _tell(self) -> None:
        """Write where the memory lies."""
        for number, places in self.places.items():
            self.block[places] = address_of(self.memory[number])
        for number, move in self.moves:
            move[_MOVE["numbers"]], move[_MOVE["touched"]] = address_of(self.numbers), address_of(self.memory[number])
