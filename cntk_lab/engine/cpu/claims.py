"""Native steps: how each step of a plan becomes rows of the CPU executor's table, or why it stays on NumPy.

Formulas become generated kernels, products become oneDNN primitives or cblas calls, and operators that a backend has
its own version of bring their own rows. A formula that only adds a bias and applies an activation to a product is
absorbed into it (see ``products``). Knows operators only through the backend's registry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from cntk_lab.backends.cpu import executor, jit, onednn, threads
from cntk_lab.backends.cpu import rows as operators
from cntk_lab.backends.cpu.onednn import Layout
from cntk_lab.backends.cpu.rows import Maker, Request
from cntk_lab.engine.cpu.gemm import as_matrices, batched, is_static
from cntk_lab.engine.cpu.products import (
    BatchedStep,
    GemmStep,
    bias_and_activation,
    finish_of,
    pitches,
    written_between,
)
from cntk_lab.engine.cpu.step import Absorbed, Binder, NativeStep, Readers
from cntk_lab.engine.cpu.thin import use_thin
from cntk_lab.engine.plan import Call, Contract, Map, Order, Plan, describe
from cntk_lab.engine.plan.check import illegal
from cntk_lab.formula import expr as e
from cntk_lab.formula.extent import axes_of_data
from cntk_lab.formula.kernel import Kernel, canonical
from cntk_lab.formula.print_numba import Code, numba_code, supported
from cntk_lab.tensor.arrays import aligned_empty
from cntk_lab.tensor.shape import FREE, size

_LARGE_ROW = 32_768
"""Elements of a row from which several threads share one."""


def native_steps(plan: Plan) -> list[NativeStep | None]:
    """For each step of a plan its native form; None where it stays on NumPy."""
    readers: Readers = {}
    for i, s in enumerate(plan.steps):
        for r in s.reads:
            readers.setdefault(r, []).append(i)
    kept = set(plan.outputs.values())
    result: list[NativeStep | None] = [None] * len(plan.steps)
    for i, s in enumerate(plan.steps):
        if result[i] is not None:
            continue
        if isinstance(s, Map):
            result[i] = map_step(s)
        elif isinstance(s, Contract):
            matrices = as_matrices(s.spec)
            each = batched(s.spec)
            if each is not None and is_static(s.spec) and not any(plan.buffers[r].sparse for r in s.reads):
                inner = as_matrices(each)
                if inner is not None and plan.buffers[s.writes[0]].dtype == "float32" and pitches(plan, s, inner):
                    result[i] = BatchedStep(plan, s, each, inner)
                continue
            if (
                matrices is None
                or any(plan.buffers[r].sparse for r in s.reads)
                or not is_static(s.spec)
                or plan.buffers[s.writes[0]].dtype not in ("float32", "float64")
            ):
                continue
            if pitches(plan, s, matrices) is None:
                continue
            finish, after = finish_of(plan, i, matrices, readers, kept)
            result[i] = GemmStep(plan, s, matrices, finish)
            if after is not None:
                result[after] = Absorbed()
            use_thin(plan, i, result, readers, kept, map_step)
        elif isinstance(s, Order):
            result[i] = (
                OrderStep(plan, s) if plan.buffers[s.writes[0]].dtype == "float32" and onednn.available() else None
            )
        elif isinstance(s, Call):
            result[i] = call_step(plan, s)
            after = _absorb(plan, i, result[i], readers, kept)
            if after is not None:
                result[after] = Absorbed()
    return result


def check_claims(plan: Plan, steps: Sequence[NativeStep | None]) -> None:
    """See that each step that another one does along the way is done by one.

    Raises:
        ExecutionError: naming the step that nobody does.
    """
    done = {w for own in steps if own is not None for w in own.writes_early()}
    for i, (step, own) in enumerate(zip(plan.steps, steps, strict=True)):
        if isinstance(own, Absorbed) and not done.issuperset(step.writes):
            says = "a step that is done along the way is written by the step that does it"
            raise illegal(plan, f"as native code: step {i}, {describe(step)}, is done by nobody", "claims", says)


# ---- formulas


class MapStep(NativeStep):
    """Formulas as a generated kernel."""

    tier = "kernel"

    def __init__(self, step: Map) -> None:
        self.step = step
        kernel = canonical(step.kernel)
        self.code: Code = numba_code(kernel)
        self.handle = jit.request(self.code.source)
        self._single: tuple[Code, jit.Handle] | None = None
        """The kernel for one row, if rows are so large that threads share one."""
        one = _of_one_row(kernel)
        if one is not None and supported(one) is None:
            code = numba_code(one)
            self._single = code, jit.request(code.source)

    def ready(self) -> bool:
        """Whether the kernels are compiled or never will be."""
        handles = [self.handle] if self._single is None else [self.handle, self._single[1]]
        return all(h.ready() or h.failure is not None for h in handles)

    def usable(self) -> bool:
        """Whether the kernel is compiled."""
        return self.handle.ready()

    def rows(self, binder: Binder) -> list[list[int]]:
        """One kernel row."""
        symbol, code, handle = self.step.rows, self.code, self.handle
        if symbol and self._single is not None and binder.padded(symbol) == 1 and self._single[1].ready():
            code, handle = self._single
        count = threads.threads_for(code.row_work * (binder.padded(symbol) if symbol else 1))
        scratch = aligned_empty((code.scratch_bytes(count),), "uint8")
        by_name = {f"i{n}": r for n, r in enumerate(self.step.reads)} | {
            f"o{n}": w for n, w in enumerate(self.step.writes)
        }
        names = (*code.inputs, *code.outputs)
        block = np.array([*[0] * len(names), 1, scratch.ctypes.data], np.int64)
        if symbol:
            block[len(names)] = binder.count(symbol, block, len(names))
        for i, name in enumerate(names):
            block[i] = binder.follow(by_name[name], partial(block.__setitem__, i))
        binder.keep((block, scratch))
        return [executor.kernel_row(handle.address, block.ctypes.data, count, code.phases)]


def map_step(step: Map) -> NativeStep | None:
    """Formulas as a kernel, if they can be one."""
    return MapStep(step) if supported(canonical(step.kernel)) is None else None


def _of_one_row(kernel: Kernel) -> Kernel | None:
    """The same formulas for a single row, whose elements threads can share; None if rows are small or summed over."""
    if not kernel.rows or FREE in kernel.domain or size(kernel.domain) < _LARGE_ROW:
        return None
    formulas = [f for _, f in kernel.outputs]
    if any(e.ROWS in axes_of_data(x) for x in e.topological(formulas) if x.op in ("reduce", "coordinate")):
        return None
    inputs = tuple(replace(o, rows=False) for o in kernel.inputs)
    outputs = tuple((replace(o, rows=False), f) for o, f in kernel.outputs)
    return replace(kernel, rows=False, inputs=inputs, outputs=outputs)


# ---- operators with a version of their own


class CallStep(NativeStep):
    """An operator on whole arrays for which the backend has rows."""

    tier = "oneDNN"
    exact = True

    def __init__(self, plan: Plan, step: Call, maker: Maker) -> None:
        self.plan, self.step, self.maker = plan, step, maker
        self._handles: list[jit.Handle] | None = None
        self.bias: int | None = None
        self.post: tuple[str, ...] = ()
        self.target = step.writes[0]

    def writes_early(self) -> tuple[int, ...]:
        """Where the result goes, if a formula is absorbed."""
        return () if self.target == self.step.writes[0] else (self.target,)

    def reads_early(self) -> tuple[int, ...]:
        """The bias, if a formula is absorbed."""
        return () if self.bias is None else (self.bias,)

    def handles(self) -> list[jit.Handle]:
        """The kernels that stand beside the library's primitives, requested at the first question."""
        if self._handles is None:
            trial = self.maker(self.request(_trial(self.plan, self.step)))
            assert trial is not None
            self._handles = trial.handles()
        return self._handles

    def ready(self) -> bool:
        """Whether these kernels are compiled or never will be."""
        return all(h.ready() or h.failure is not None for h in self.handles())

    def usable(self) -> bool:
        """Whether these kernels are compiled."""
        return all(h.ready() for h in self.handles())

    def request(self, rows: Mapping[str, int]) -> Request:
        """What the backend is asked for."""
        shapes = {name: self._shape(r, rows) for r, name in zip(self.step.reads, self.step.names, strict=True)}
        shapes["result"] = self._shape(self.step.writes[0], rows)
        named = (*zip(self.step.names, self.step.reads, strict=True), ("result", self.step.writes[0]))
        last = frozenset(name for name, r in named if self.plan.buffers[r].last)
        return Request(shapes, self.step.scope, self.bias is not None, self.post, last)

    def _shape(self, buffer: int, rows: Mapping[str, int]) -> tuple[int, ...]:
        b = self.plan.buffers[buffer]
        shape = (b.shape[-1], *b.shape[:-1]) if b.last else b.shape
        return (rows[b.rows] if b.rows else 1, *shape)

    def rows(self, binder: Binder) -> list[list[int]]:
        """The backend's rows with this binding's addresses."""
        if any(0 in self._shape(r, binder.rows)[:1] for r in self.step.reads):
            return self._of_nothing(binder)
        made = self.maker(self.request(binder.rows))
        assert made is not None
        for r, name in zip(self.step.reads, self.step.names, strict=True):
            if name in made.operands:
                made.set(name, binder.follow(r, partial(made.set, name)))
        made.set("result", binder.follow(self.target, partial(made.set, "result")))
        if self.bias is not None:
            made.set("bias", binder.address(self.bias))
        binder.keep(made)
        return made.table()

    def _of_nothing(self, binder: Binder) -> list[list[int]]:
        """Without any row there is nothing to compute; what is summed over rows is zero."""
        b = self.plan.buffers[self.target]
        shape = self._shape(self.target, binder.rows)
        if not size(shape):
            return []
        return [executor.fill_row(binder.address(self.target), size(shape) * np.dtype(b.dtype).itemsize)]


class OrderStep(NativeStep):
    """An image in the other order of axes, by a oneDNN reorder."""

    tier = "oneDNN"
    exact = True

    def __init__(self, plan: Plan, step: Order) -> None:
        self.plan, self.step = plan, step

    def rows(self, binder: Binder) -> list[list[int]]:
        """One row."""
        b = self.plan.buffers[self.step.reads[0]]
        rows = binder.rows[b.rows] if b.rows else 1
        if not rows or not size(b.shape):
            return []
        channels = b.shape[-1] if b.last else b.shape[0]
        spatial = size(b.shape) // channels
        dims = (rows, channels, spatial)
        last = Layout(dims, (channels * spatial, 1, channels))
        ends = (last, Layout.dense(*dims)) if b.last else (Layout.dense(*dims), last)
        data = {"source": binder.address(b.id), "target": binder.address(self.step.writes[0])}
        bound = onednn.reorder(*ends).bind(data)
        binder.keep(bound)
        return [executor.primitive_row(bound.row())]


def call_step(plan: Plan, step: Call) -> CallStep | None:
    """The native form of an operator on whole arrays, if the backend has one."""
    assert step.op is not None
    maker = operators.find(f"{step.op.name}.{step.role}")
    own = plan.buffers[step.writes[0]]
    if (
        maker is None
        or len(step.writes) != 1
        or own.dtype != "float32"
        or any(plan.buffers[r].sparse or plan.buffers[r].whole for r in (*step.reads, *step.writes))
    ):
        return None
    found = CallStep(plan, step, maker)
    return None if maker(found.request(_trial(plan, step))) is None else found


def _trial(plan: Plan, step: Call) -> dict[str, int]:
    """Counts of rows to ask a backend about."""
    return {s: 2 for s in {plan.buffers[b].rows for b in (*step.reads, *step.writes)} if s}


def _absorb(plan: Plan, at: int, found: NativeStep | None, readers: Readers, kept: set[int]) -> int | None:
    """Let an operator do the bias and activation behind it; the step that it then does."""
    if not isinstance(found, CallStep):
        return None
    step, own = found.step, plan.buffers[found.target]
    after = readers.get(own.id, [])
    consumer = plan.steps[after[0]] if len(after) == 1 and own.id not in kept else None
    if not isinstance(consumer, Map) or any(plan.buffers[w].whole for w in consumer.writes):
        return None
    finish = bias_and_activation(consumer, own.id, own.shape, axis=-1 if own.last else 0)
    if finish is None or written_between(plan, finish[0], at, after[0]):
        return None
    before = found.bias, found.post, found.target
    found.bias, found.post, found.target = finish[0], finish[1], consumer.writes[0]
    if found.maker(found.request(_trial(plan, step))) is None:
        found.bias, found.post, found.target = before
        return None
    return after[0]
