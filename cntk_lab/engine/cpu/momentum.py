"""Momentum inside the product that makes the gradient: v = m v + s g needs no g of its own.

A weight gradient that only one momentum formula reads is added to the momentum by the product itself: the gradient is
neither written nor read again, which is what large matrices wait for. Recognised by ``learning``. Knows oneDNN's
post-operations through the backend only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cntk_lab.backends.cpu import executor, jit, onednn
from cntk_lab.engine.cpu.learning import descent_of
from cntk_lab.engine.cpu.maps import MapStep, can_be_kernel
from cntk_lab.engine.cpu.products import Product
from cntk_lab.engine.cpu.step import Binder, Claim, NativeStep, Rank
from cntk_lab.engine.plan import Map
from cntk_lab.engine.plan.reference import reference
from cntk_lab.formula import expr as e
from cntk_lab.formula.kernel import Kernel, Operand, canonical
from cntk_lab.formula.print_numba import numba_code
from cntk_lab.tensor.arrays import aligned_empty
from cntk_lab.tensor.shape import size

_WORTH = 1_000_000
"""Elements of a matrix from which its gradient costs more to write and read than the product's last step to blend."""
_LEAST = 1e-20
"""The momentum that stands for 0, so that the ratio exists."""


def claims(product: Product) -> Iterator[Claim]:
    """A large gradient's product and the momentum that alone reads it."""
    index, plan, step = product.index, product.index.plan, product.step
    gradient = plan.buffers[step.writes[0]]
    after = index.only_reader(gradient.id)
    learner = None if after is None else plan.steps[after]
    descent = descent_of(learner, gradient.id) if isinstance(learner, Map) and can_be_kernel(learner) else None
    if (
        after is None
        or not isinstance(learner, Map)
        or descent is None
        or descent.velocity is None
        or descent.share is None
        or len(step.reads) > 2
        or not onednn.available()
    ):
        return
    velocity, share = descent.velocity, descent.share
    own = plan.buffers[velocity]
    if size(own.shape) < _WORTH or own.dtype != "float32" or gradient.whole is not None:
        return
    if index.readers.get(velocity) != [after]:
        return

    def make() -> tuple[NativeStep, NativeStep]:
        blended = _Blended(product, velocity, share, descent.scales)
        blended.after = _Difference(_difference(learner, descent.parameter, velocity), blended)
        return blended, blended.after

    yield Claim(Rank.BLENDED, (product.at, after), make)


def _difference(step: Map, parameter: int, velocity: int) -> Map:
    """The step p = p - v."""
    names = [reference(parameter), reference(velocity)]
    operands = {o.name: o for o in step.kernel.inputs if o.name in names}
    p, v = (operands[n] for n in names)
    formula = e.input_(p.name) - e.input_(v.name)
    kernel = Kernel(step.kernel.domain, step.kernel.rows, (p, v), ((p, formula),), step.kernel.dtype)
    return Map((parameter, velocity), (parameter,), step.nodes, kernel=kernel, rows=step.rows)


class _Blended(NativeStep):
    """A product that is added to the momentum: v = m (s / m g + v), with m and s as they are when it runs."""

    tier = "oneDNN, into the momentum"
    lasting = True

    def __init__(self, product: Product, velocity: int, share: int, scales: tuple[int, ...]) -> None:
        self.velocity, self.share, self.scales = velocity, share, scales
        self.gemm = product.gemm((None, onednn.BLEND, velocity))
        least = e.maximum(e.input_("m"), _LEAST)
        scale = e.input_("s0")
        for i in range(1, len(scales)):
            scale = scale * e.input_(f"s{i}")
        names = ("m", *(f"s{i}" for i in range(len(scales))))
        inputs = tuple(Operand(n, (1,), False) for n in names)
        results = ((Operand("ratio", (1,), False), scale / least), (Operand("share", (1,), False), least))
        self.code = numba_code(canonical(Kernel((1,), False, inputs, results)))
        self.handle = jit.request(self.code.source)
        self.after: _Difference | None = None

    def ready(self) -> bool:
        """Whether the small kernel is compiled or never will be."""
        return self.handle.ready() or self.handle.failure is not None

    def usable(self) -> bool:
        """Whether this and the step behind it can both run."""
        return self.can_run() and self.after is not None and self.after.can_run()

    def can_run(self) -> bool:
        """Whether the small kernel is compiled and the product can run."""
        return self.handle.ready() and self.gemm.usable()

    def rows(self, binder: Binder) -> list[list[int]]:
        """The two numbers, then the product."""
        numbers = aligned_empty((2, 16), "float32")
        scratch = aligned_empty((self.code.scratch_bytes(1),), "uint8")
        by_name = {f"i{n}": binder.address(b) for n, b in enumerate((self.share, *self.scales))}
        by_name |= {f"o{n}": numbers[n].ctypes.data for n in range(2)}
        addresses = [by_name[name] for name in (*self.code.inputs, *self.code.outputs)]
        block = np.array([*addresses, 1, scratch.ctypes.data], np.int64)
        binder.keep((block, scratch, numbers))
        first = executor.kernel_row(self.handle.address, block.ctypes.data, 1, self.code.phases)
        roles = {"ratio": numbers[0], "share": numbers[1]}
        symbol = self.gemm.step.rows
        nothing = bool(symbol) and not binder.rows[symbol]
        return [first, *(self._of_nothing(binder, roles) if nothing else self.gemm.rows_with(binder, roles))]

    def _of_nothing(self, binder: Binder, roles: dict[str, Any]) -> list[list[int]]:
        """Without any row the gradient is 0: the product of a column and a row of zeros."""
        m, n = binder.arrays[self.velocity].reshape(1, -1).shape
        zeros = {"source": np.zeros(m, np.float32), "weights": np.zeros(n, np.float32)}
        bound = onednn.matmul(m, n, 1, post=onednn.BLEND).bind(
            {**zeros, **roles, "target": binder.address(self.velocity)}
        )
        binder.keep(bound)
        return [executor.primitive_row(bound.row())]


class _Difference(MapStep):
    """The step p = p - v behind a blended product: one never runs without the other."""

    def __init__(self, step: Map, product: _Blended) -> None:
        super().__init__(step)
        self.product = product

    def usable(self) -> bool:
        """Whether this and the product can both run."""
        return self.can_run() and self.product.can_run()

    def can_run(self) -> bool:
        """Whether the kernel is compiled."""
        return self.handle.ready()
