"""Products as rows of the executor's table: oneDNN primitives, cblas calls, and loops of them, with what they absorb.

A formula that only adds a bias and applies an activation to a product is absorbed into it. Knows no operators.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from cntk_lab.backends.cpu import blas, executor, onednn, threads
from cntk_lab.engine.cpu.gemm import Matrices, as_matrices, batched, is_static, pitch, row_pitch, size_of
from cntk_lab.engine.cpu.step import Binder, Claim, NativeStep, Rank
from cntk_lab.engine.plan import Contract, Map, Plan
from cntk_lab.engine.plan.index import Index
from cntk_lab.engine.plan.reference import number_of, reference
from cntk_lab.formula import expr as e
from cntk_lab.graph.opdef import Contraction
from cntk_lab.tensor.shape import size

Finish: TypeAlias = tuple[int | None, tuple[str, ...], int]
"""What a product or operator does at its end: the bias's buffer, activations, and the buffer of the result."""

_LARGE_PRODUCT = 4_000_000
"""Operations from which one of many products is large enough for oneDNN to do them all in one call."""

_POST = {"sigmoid": "logistic", "tanh": "tanh"}
"""Activations that a library applies along the way with the numbers that formulas have: its relu makes 0 of NaN."""


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
        threads_ = min(count, threads.threads_for_products(math.prod(sizes) * count))
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

    def __init__(self, plan: Plan, step: Contract, matrices: Matrices, finish: Finish | None = None) -> None:
        self.step, self.matrices = step, matrices
        self.bias, self.post, self.target = finish or (None, (), step.writes[0])
        self.itemsize = 4 if plan.buffers[step.writes[0]].dtype == "float32" else 8
        self.between = pitches(plan, step, matrices) or (0, 0, 0)
        self.beta = 1.0 if len(step.reads) > 2 else 0.0

    def writes_early(self) -> tuple[int, ...]:
        """Where the result goes, if a formula is absorbed."""
        return () if self.target == self.step.writes[0] else (self.target,)

    def reads_early(self) -> tuple[int, ...]:
        """The bias, if a formula is absorbed."""
        return () if self.bias is None else (self.bias,)

    def usable(self) -> bool:
        """Whether a library for products is there."""
        return (self.itemsize == 4 and onednn.available()) or (
            blas.probe() is not None and self.bias is None and not self.post
        )

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
        strides = (1, lda or m) if x.transpose_left else (lda or k, 1)
        turned = self._turned(binder, left, (m, k), strides) if _worth_turning(x, m, n, k) else None
        primitive = onednn.matmul(
            m,
            n,
            k,
            strides_a=strides if turned is None else (k, 1),
            strides_b=(1, ldb or k) if x.transpose_right else (ldb or n, 1),
            strides_c=(ldc or n, 1),
            bias=self.bias is not None,
            post=self.post,
            beta=self.beta,
            threads=1 if threads.threads_for_products(m * n * k) == 1 else 0,
        )
        bound = primitive.bind(numbers)
        named = {"source": left, "weights": right, "target": self.target}
        if self.bias is not None:
            named["bias"] = self.bias
        before = []
        if turned is not None:
            reorder, memory = turned
            before = [executor.primitive_row(reorder.row())]
            bound.set("source", memory)
            del named["source"]
        for role, operand in named.items():
            bound.set(role, binder.follow(operand, partial(bound.set, role)))
        binder.keep(bound)
        return [*before, executor.primitive_row(bound.row())]

    @staticmethod
    def _turned(binder: Binder, left: int, shape: tuple[int, int], strides: tuple[int, int]) -> tuple[Any, Any]:
        """The reorder that writes the left matrix row by row, and the memory that it writes to."""
        memory = onednn.aligned(4 * math.prod(shape))
        reorder = onednn.reorder(onednn.Layout(shape, strides), onednn.Layout.dense(*shape)).bind({"target": memory})
        reorder.set("source", binder.follow(left, partial(reorder.set, "source")))
        binder.keep((reorder, memory))
        return reorder, memory


def _worth_turning(x: Matrices, m: int, n: int, k: int) -> bool:
    """Whether a transposed left matrix is written row by row before a product.

    Measured: 300 x 1200 x 500 takes 1.7 instead of 2.1 ms, 512 x 9000 x 256 gains 9 to 15 %; squarer ones lose.
    """
    return x.transpose_left and k >= 256 and n >= 1024 and n >= 4 * m


@dataclass(frozen=True, slots=True)
class Product:
    """A dense product of matrices in a plan, and what could be done along with it.

    Args:
        index: the plan.
        at: the product's place in it.
        step: the product.
        matrices: how it is one of matrices.
        finish: bias, activation and where the result goes then, and the place of the step that this does; None: none.
    """

    index: Index
    at: int
    step: Contract
    matrices: Matrices
    finish: tuple[Finish, int] | None

    def gemm(self, finish: Finish | None = None) -> GemmStep:
        """The product by a library."""
        return GemmStep(self.index.plan, self.step, self.matrices, finish)


def dense_products(index: Index) -> Iterator[Product]:
    """The products of a plan that a library can do as one of matrices."""
    plan = index.plan
    for i, s in enumerate(plan.steps):
        if not isinstance(s, Contract) or not _is_dense(plan, s) or batched(s.spec) is not None:
            continue
        x = as_matrices(s.spec)
        if x is not None and plan.buffers[s.writes[0]].dtype in ("float32", "float64") and pitches(plan, s, x):
            yield Product(index, i, s, x, _finish_of(index, i, s, x))


def _is_dense(plan: Plan, step: Contract) -> bool:
    return is_static(step.spec) and not any(plan.buffers[r].sparse for r in step.reads)


def claims(product: Product) -> Iterator[Claim]:
    """A product by a library, with what is behind it and by itself."""
    at = product.at
    if product.finish is not None:
        finish, after = product.finish
        yield Claim.with_next(Rank.FINISHING, at, after, partial(product.gemm, finish))
    yield Claim.one(Rank.ALONE, at, product.gemm)


def claims_batched(index: Index) -> Iterator[Claim]:
    """Products of matrices for every row by itself."""
    plan = index.plan
    for i, s in enumerate(plan.steps):
        each = batched(s.spec) if isinstance(s, Contract) and _is_dense(plan, s) else None
        if not isinstance(s, Contract) or each is None:
            continue
        x = as_matrices(each)
        if x is not None and plan.buffers[s.writes[0]].dtype == "float32" and pitches(plan, s, x):
            yield Claim.one(Rank.ALONE, i, partial(BatchedStep, plan, s, each, x))


def _finish_of(index: Index, at: int, step: Contract, matrices: Matrices) -> tuple[Finish, int] | None:
    """What can be done along with a product, and the step that this does."""
    plan, own = index.plan, step.writes[0]
    after = index.only_reader(own)
    if (
        after is None
        or len(step.reads) > 2
        or plan.buffers[own].whole is not None
        or plan.buffers[own].dtype != "float32"
        or not onednn.available()
    ):
        return None
    consumer = plan.steps[after]
    if not isinstance(consumer, Map):
        return None
    n = 1
    for c in matrices.n:
        n *= 1 if c == "r" else step.spec.sizes[c]
    if "r" in matrices.n or matrices.swapped:
        return None
    found = bias_and_activation(consumer, own, (n,), axis=0, repeat=size_of(matrices.m.replace("r", ""), step.spec, 1))
    if found is None or written_between(plan, found[0], at, after):
        return None
    return (*found, consumer.writes[0]), after


def written_between(plan: Plan, buffer: int | None, first: int, last: int) -> bool:
    """Whether a buffer is only written behind step ``first``, so that what step ``last`` does cannot be done there."""
    return any(buffer in s.writes for s in plan.steps[first:last])


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
    wanted = e.input_(reference(product))
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
    return number_of(bias.name), post
