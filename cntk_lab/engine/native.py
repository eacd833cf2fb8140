"""Native steps: how each step of a plan becomes rows of the CPU executor's table, or why it stays on NumPy.

Formulas become generated kernels, products become oneDNN primitives or cblas calls, and operators that a backend has
its own version of bring their own rows. A formula that only adds a bias and applies an activation to a product is
absorbed into it. Knows operators only through the backend's registry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from cntk_lab.backends.cpu import blas, executor, jit, onednn, threads
from cntk_lab.backends.cpu import rows as operators
from cntk_lab.backends.cpu.onednn import Layout
from cntk_lab.backends.cpu.rows import Maker, Request
from cntk_lab.engine.gemm import Matrices, as_matrices, batched, is_static, pitch, row_pitch, size_of
from cntk_lab.engine.plan import Call, Contract, Map, Order, Plan
from cntk_lab.formula import expr as e
from cntk_lab.formula.extent import axes_of_data
from cntk_lab.formula.kernel import Kernel
from cntk_lab.formula.print_numba import Code, numba_code, supported
from cntk_lab.graph.opdef import Contraction
from cntk_lab.tensor.arrays import aligned_empty
from cntk_lab.tensor.shape import FREE, size

_PRODUCTS_PER_NANOSECOND = 25.0
"""Multiply-adds of float32 that one core does, for the choice of threads."""

_LARGE_ROW = 32_768
"""Elements of a row from which several threads share one."""
_LARGE_PRODUCT = 4_000_000
"""Operations from which one of many products is large enough for oneDNN to do them all in one call."""

Readers = dict[int, list[int]]
_POST = {"sigmoid": "logistic", "tanh": "tanh"}


class Binder(Protocol):
    """What a native step asks of a binding."""

    rows: dict[str, int]
    arrays: dict[int, Any]

    def address(self, buffer: int) -> int:
        """Where a buffer's data start."""

    def follow(self, buffer: int, setter: Callable[[int], None]) -> int:
        """Where a buffer's data start now; ``setter`` is told when they start elsewhere."""

    def count(self, symbol: str, block: Any, field: int) -> int:
        """How many rows there are now; ``block[field]`` is kept up to date."""

    def padded(self, symbol: str) -> int:
        """How many rows there is memory for; more than there are, never less."""

    def clear_behind(self, buffer: int) -> list[int] | None:
        """The row that sets what lies behind a buffer's last row to zero, up to the padded count."""

    def keep(self, thing: Any) -> None:
        """Keep something alive."""

    def before_run(self, act: Callable[[Any], None]) -> None:
        """Do this before each run, with the run."""


class NativeStep:
    """A step that has rows of its own."""

    tier = "native"
    """What computes it, in words."""
    exact = False
    """Whether its rows hold for one count of rows only, not for all counts with the same memory."""

    def ready(self) -> bool:
        """Whether the rows can be made now, or never will."""
        return True

    def usable(self) -> bool:
        """Whether the rows can be made."""
        return True

    def writes_early(self) -> tuple[int, ...]:
        """Buffers of absorbed steps that this step writes."""
        return ()

    def rows(self, binder: Binder) -> list[list[int]]:  # noqa: ARG002  (some steps need no row)
        """The rows for a binding."""
        return []


class Absorbed(NativeStep):
    """A step that another step does along the way."""


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
            result[i] = MapStep(s) if supported(canonical(s.kernel)) is None else None
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
            finish, after = _finish(plan, s, matrices, readers, kept)
            result[i] = GemmStep(plan, s, matrices, finish) if pitches(plan, s, matrices) else None
            if after is not None:
                result[after] = Absorbed()
        elif isinstance(s, Order):
            result[i] = (
                OrderStep(plan, s) if plan.buffers[s.writes[0]].dtype == "float32" and onednn.available() else None
            )
        elif isinstance(s, Call):
            result[i], after = call_step(plan, s, readers, kept)
            if after is not None:
                result[after] = Absorbed()
    return result


# ---- formulas


def canonical(kernel: Kernel) -> Kernel:
    """The kernel with operands renamed in order, so that equal formulas of different plans share their code."""
    names = {o.name: f"i{n}" for n, o in enumerate(kernel.inputs)}
    formulas = e.substitute([f for _, f in kernel.outputs], {old: e.input_(new) for old, new in names.items()})
    inputs = tuple(replace(o, name=names[o.name]) for o in kernel.inputs)
    outputs = tuple(
        (replace(o, name=f"o{n}"), f) for n, ((o, _), f) in enumerate(zip(kernel.outputs, formulas, strict=True))
    )
    in_place = tuple((f"o{n}", names[o.name]) for n, (o, _) in enumerate(kernel.outputs) if o.name in names)
    return Kernel(kernel.domain, kernel.rows, inputs, outputs, kernel.dtype, in_place)


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


# ---- products


def pitches(plan: Plan, step: Contract, x: Matrices) -> tuple[int, int, int] | None:
    """Elements between the rows of the left matrix, the right one and the result, as they lie in memory; None if one
    is none.
    """
    spec = step.spec
    left, right = step.reads[:2][::-1] if x.swapped else step.reads[:2]
    columns = (
        (left, x.m if x.transpose_left else x.k),
        (right, x.k if x.transpose_right else x.n),
        (step.writes[0], x.n),
    )
    found = []
    for number, letters in columns:
        b = plan.buffers[number]
        if b.whole is None:
            found.append(0 if "r" in letters else size_of(letters, spec, 1))
        elif "r" in letters:
            return None
        else:
            between = pitch(b, size_of(letters, spec, 1))
            if between is None:
                return None
            found.append(between)
    return found[0], found[1], found[2]


class BatchedStep(NativeStep):
    """A product of matrices for every row by itself: a loop of cblas products, or one oneDNN primitive if large."""

    tier = "cblas one by one, or oneDNN if large"

    def __init__(self, plan: Plan, step: Contract, spec: Contraction, matrices: Matrices) -> None:
        self.plan, self.step, self.spec, self.matrices = plan, step, spec, matrices
        found = pitches(plan, step, matrices)
        assert found is not None
        self.between = found

    def usable(self) -> bool:
        """Whether oneDNN is there."""
        return onednn.available()

    def rows(self, binder: Binder) -> list[list[int]]:
        """One row."""
        x = self.matrices
        m, n, k = (size_of(letters, self.spec, 1) for letters in (x.m, x.n, x.k))
        left, right = self.step.reads[:2][::-1] if x.swapped else self.step.reads[:2]
        target = self.step.writes[0]
        count = self._count(binder)
        if not count or not m or not n:
            return []
        if not k:
            return [executor.fill_row(binder.address(target), count * m * n * 4)]
        apart = [row_pitch(self.plan.buffers[b]) if self.plan.buffers[b].rows else 0 for b in (left, right, target)]
        beta = 1.0 if len(self.step.reads) > 2 else 0.0
        if blas.probe() is not None and 2 * m * n * k < _LARGE_PRODUCT:
            return self._one_by_one(binder, (m, n, k), beta, list(zip((left, right, target), apart, strict=True)))
        a, b, c = self.between
        primitive = onednn.matmul(
            m,
            n,
            k,
            batch=(count, apart[0], apart[1], apart[2]),
            strides_a=(1, a) if x.transpose_left else (a, 1),
            strides_b=(1, b) if x.transpose_right else (b, 1),
            strides_c=(c, 1),
            beta=beta,
        )
        bound = primitive.bind(
            {"source": binder.address(left), "weights": binder.address(right), "target": binder.address(target)}
        )
        binder.keep(bound)
        return [executor.primitive_row(bound.row())]

    def _count(self, binder: Binder) -> int:
        """How many products; those of rows that are none are computed too, and nobody reads them."""
        symbol = self.plan.buffers[self.step.writes[0]].rows
        return binder.padded(symbol) if symbol else 1

    def _one_by_one(
        self, binder: Binder, sizes: tuple[int, int, int], beta: float, apart: list[tuple[int, int]]
    ) -> list[list[int]]:
        """A loop over the products, shared among threads: oneDNN takes 3 to 8 times as long for many small ones."""
        x, count = self.matrices, self._count(binder)
        lda, ldb, ldc = self.between
        threads_ = min(count, threads.threads_for(math.prod(sizes) * count / _PRODUCTS_PER_NANOSECOND))
        shares = []
        for first in range(threads_):
            block = blas.gemm_block(
                *sizes,
                transpose_a=x.transpose_left,
                transpose_b=x.transpose_right,
                beta=beta,
                lda=lda,
                ldb=ldb,
                ldc=ldc,
            )
            binder.keep(block)
            patches = [
                [block.ctypes.data + 8 * field, binder.address(operand), 4 * between, 0, executor.AFFINE]
                for field, (operand, between) in zip(blas.OPERANDS, apart, strict=True)
            ]
            own = np.arange(first, count, threads_, dtype=np.int64)[:, None].copy()
            shares.append(
                executor.Share(np.array([executor.gemm_row(block)], np.int64), own, np.array(patches, np.int64))
            )
        loop = executor.Loop(shares)
        binder.keep(loop)
        return [executor.loop_row(loop, threads_)]


class GemmStep(NativeStep):
    """A product of matrices, with what is absorbed into it."""

    tier = "oneDNN or cblas by size"

    def __init__(
        self, plan: Plan, step: Contract, matrices: Matrices, finish: tuple[int | None, tuple[str, ...], int]
    ) -> None:
        self.step, self.matrices = step, matrices
        self.bias, self.post, self.target = finish
        self.itemsize = 4 if plan.buffers[step.writes[0]].dtype == "float32" else 8
        self.between = pitches(plan, step, matrices) or (0, 0, 0)
        self.beta = 1.0 if len(step.reads) > 2 else 0.0

    def writes_early(self) -> tuple[int, ...]:
        """Where the result goes, if a formula is absorbed."""
        return () if self.target == self.step.writes[0] else (self.target,)

    def usable(self) -> bool:
        """Whether a library for products is there."""
        return (self.itemsize == 4 and onednn.available()) or (
            blas.probe() is not None and self.bias is None and not self.post
        )

    @property
    def plain(self) -> bool:
        """Whether it is a product and nothing else."""
        return self.bias is None and not self.post and not self.beta and self.target == self.step.writes[0]

    def rows(self, binder: Binder) -> list[list[int]]:
        """A oneDNN primitive, or a cblas product where that is small; few row counts need a primitive of their own."""
        return self.rows_with(binder, {})

    def rows_with(self, binder: Binder, numbers: Mapping[str, Any]) -> list[list[int]]:
        """The same, with arrays for further roles of the primitive."""
        x, spec = self.matrices, self.step.spec
        rows = (
            binder.padded(self.step.rows)
            if self.step.rows and binder.rows[self.step.rows]
            else 0
            if self.step.rows
            else 1
        )
        m, n, k = (size_of(letters, spec, rows) for letters in (x.m, x.n, x.k))
        made = self._product(binder, m, n, k, numbers)
        if "r" in x.k and made:
            cleared = [binder.clear_behind(r) for r in dict.fromkeys(self.step.reads[:2])]
            return [*(row for row in cleared if row is not None), *made]
        return made

    def _product(self, binder: Binder, m: int, n: int, k: int, numbers: Mapping[str, Any]) -> list[list[int]]:
        x = self.matrices
        left, right = reversed(self.step.reads[:2]) if x.swapped else self.step.reads[:2]
        lda, ldb, ldc = self.between
        plain = self.bias is None and not self.post
        if not m or not n:
            return []
        if not k:
            return [] if self.beta else [executor.fill_row(binder.address(self.target), m * n * self.itemsize)]
        if (
            plain
            and blas.probe() is not None
            and (self.itemsize == 8 or not onednn.available() or not blas.prefers_onednn(m, n, k))
        ):
            block = blas.gemm_block(
                m,
                n,
                k,
                transpose_a=x.transpose_left,
                transpose_b=x.transpose_right,
                beta=self.beta,
                lda=lda,
                ldb=ldb,
                ldc=ldc,
            )
            for field, operand in zip(blas.OPERANDS, (left, right, self.target), strict=True):
                block[field] = binder.follow(operand, partial(block.__setitem__, field))
            binder.keep(block)
            return [executor.gemm_row(block, self.itemsize)]
        primitive = onednn.matmul(
            m,
            n,
            k,
            strides_a=(1, lda or m) if x.transpose_left else (lda or k, 1),
            strides_b=(1, ldb or k) if x.transpose_right else (ldb or n, 1),
            strides_c=(ldc or n, 1),
            bias=self.bias is not None,
            post=self.post,
            beta=self.beta,
            threads=1 if threads.threads_for(m * n * k / _PRODUCTS_PER_NANOSECOND) == 1 else 0,
        )
        bound = primitive.bind(numbers)
        named = {"source": left, "weights": right, "target": self.target}
        if self.bias is not None:
            named["bias"] = self.bias
        for role, operand in named.items():
            bound.set(role, binder.follow(operand, partial(bound.set, role)))
        binder.keep(bound)
        return [executor.primitive_row(bound.row())]


def _finish(
    plan: Plan, step: Contract, matrices: Matrices, readers: Readers, kept: set[int]
) -> tuple[tuple[int | None, tuple[str, ...], int], int | None]:
    """What can be done along with a product: bias, activation, where the result goes; and the step that this does."""
    own = step.writes[0]
    plain: tuple[tuple[int | None, tuple[str, ...], int], None] = ((None, (), own), None)
    after = readers.get(own, [])
    if (
        len(after) != 1
        or own in kept
        or len(step.reads) > 2
        or plan.buffers[own].whole is not None
        or plan.buffers[own].dtype != "float32"
        or not onednn.available()
    ):
        return plain
    consumer = plan.steps[after[0]]
    if not isinstance(consumer, Map):
        return plain
    n = 1
    for c in matrices.n:
        n *= 1 if c == "r" else step.spec.sizes[c]
    if "r" in matrices.n or matrices.swapped:
        return plain
    found = bias_and_activation(consumer, own, (n,), axis=0, repeat=size_of(matrices.m.replace("r", ""), step.spec, 1))
    if found is None:
        return plain
    return (found[0], found[1], consumer.writes[0]), after[0]


def bias_and_activation(
    step: Map, product: int, shape: tuple[int, ...], *, axis: int, repeat: int = 1
) -> tuple[int | None, tuple[str, ...]] | None:
    """Whether a formula only adds a bias along one axis and applies an activation: (bias, post words).

    Args:
        step: the formula.
        product: the buffer it finishes.
        shape: its static shape (for a product of matrices: its columns).
        axis: the axis of ``shape`` along which the bias varies.
        repeat: how many such shapes one row holds (static axes in front of the columns).
    """
    if len(step.kernel.outputs) != 1:
        return None
    operand, formula = step.kernel.outputs[0]
    post: tuple[str, ...] = ()
    if formula.op in _POST:
        post, formula = (_POST[formula.op],), formula.args[0]
    elif formula.op == "max" and any(a.op == "const" and a.data == 0.0 for a in formula.args):
        post, formula = ("relu",), next(a for a in formula.args if not (a.op == "const" and a.data == 0.0))
    wanted = e.input_(f"b{product}")
    if size(operand.shape) != repeat * size(shape) or not operand.rows or operand.whole:
        return None
    if formula is wanted:
        return None, post
    if formula.op != "add" or wanted not in formula.args or formula.args[0] is formula.args[1]:
        return None
    other = formula.args[0] if formula.args[1] is wanted else formula.args[1]
    if other.op != "input":
        return None
    bias = next(o for o in step.kernel.inputs if o.name == other.data)
    if bias.rows or size(bias.shape) != shape[axis] or bias.whole:
        return None
    if repeat > 1:
        behind = next((i for i in range(len(operand.shape)) if size(operand.shape[i:]) == shape[axis]), None)
        if behind is None or bias.shape[behind:] != operand.shape[behind:]:
            return None
    if len(shape) > 1 and bias.shape[axis if axis < 0 else len(bias.shape) - len(shape) + axis] != shape[axis]:
        return None
    return int(bias.name[1:]), post


# ---- operators with a version of their own


class CallStep(NativeStep):
    """An operator on whole arrays for which the backend has rows."""

    tier = "oneDNN"
    exact = True

    def __init__(self, plan: Plan, step: Call, maker: Maker) -> None:
        self.plan, self.step, self.maker = plan, step, maker
        self.bias: int | None = None
        self.post: tuple[str, ...] = ()
        self.target = step.writes[0]

    def writes_early(self) -> tuple[int, ...]:
        """Where the result goes, if a formula is absorbed."""
        return () if self.target == self.step.writes[0] else (self.target,)

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


def images_of(step: Call, plan: Plan) -> dict[str, int]:
    """The operands of a step that the backend takes channels last: name -> buffer."""
    if step.op is None or len(step.writes) != 1:
        return {}
    named = {**dict(zip(step.names, step.reads, strict=True)), "result": step.writes[0]}
    shapes = {name: plan.buffers[n].shape for name, n in named.items()}
    names = operators.images(f"{step.op.name}.{step.role}", shapes, step.scope)
    return {name: named[name] for name in names}


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


def call_step(plan: Plan, step: Call, readers: Readers, kept: set[int]) -> tuple[NativeStep | None, int | None]:
    """The native form of an operator on whole arrays, if the backend has one; and the formula that it absorbs."""
    assert step.op is not None
    maker = operators.find(f"{step.op.name}.{step.role}")
    own = plan.buffers[step.writes[0]]
    if (
        maker is None
        or len(step.writes) != 1
        or own.dtype != "float32"
        or any(plan.buffers[r].sparse or plan.buffers[r].whole for r in (*step.reads, *step.writes))
    ):
        return None, None
    found = CallStep(plan, step, maker)
    trial = {s: 2 for s in {plan.buffers[b].rows for b in (*step.reads, *step.writes)} if s}
    if maker(found.request(trial)) is None:
        return None, None
    after = readers.get(step.writes[0], [])
    consumer = plan.steps[after[0]] if len(after) == 1 and step.writes[0] not in kept else None
    if not isinstance(consumer, Map):
        return found, None
    if any(plan.buffers[w].whole for w in consumer.writes):
        return found, None
    finish = bias_and_activation(consumer, step.writes[0], own.shape, axis=-1 if own.last else 0)
    if finish is None:
        return found, None
    before = found.bias, found.post, found.target
    found.bias, found.post, found.target = finish[0], finish[1], consumer.writes[0]
    if maker(found.request(trial)) is None:
        found.bias, found.post, found.target = before
        return found, None
    return found, after[0]
