"""Formulas as generated kernels. Knows no operators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from cntk_lab.backends.cpu import executor, jit, threads
from cntk_lab.engine.cpu.step import Binder, Claim, NativeStep, Rank
from cntk_lab.engine.plan import Map
from cntk_lab.engine.plan.index import Index
from cntk_lab.formula import expr as e
from cntk_lab.formula.extent import axes_of_data
from cntk_lab.formula.kernel import Kernel, canonical
from cntk_lab.formula.print_numba import Code, numba_code, supported
from cntk_lab.tensor.arrays import aligned_empty
from cntk_lab.tensor.shape import FREE, size

_LARGE_ROW = 32_768
"""Elements of a row from which several threads share one."""


def claims(index: Index) -> Iterator[Claim]:
    """Every formula that can be a kernel."""
    for i, s in enumerate(index.plan.steps):
        kernel = canonical(s.kernel) if isinstance(s, Map) else None
        if isinstance(s, Map) and kernel is not None and supported(kernel) is None:
            yield Claim.one(Rank.ALONE, i, partial(MapStep, s, kernel))


def can_be_kernel(step: Map) -> bool:
    """Whether formulas can be a generated kernel."""
    return supported(canonical(step.kernel)) is None


class MapStep(NativeStep):
    """Formulas as a generated kernel.

    Args:
        step: the step.
        kernel: its kernel in canonical form, if that is known already.
    """

    tier = "kernel"

    def __init__(self, step: Map, kernel: Kernel | None = None) -> None:
        self.step = step
        kernel = canonical(step.kernel) if kernel is None else kernel
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

    def cost(self) -> str:
        """Nanoseconds of a row."""
        return f", {self.code.row_work:.3g} ns/row"

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
