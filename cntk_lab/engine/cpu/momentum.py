"""Momentum inside the product that makes the gradient: v = m v + s g needs no g of its own.

A weight gradient that only one momentum formula reads is added to the momentum by the product itself: the gradient is
neither written nor read again, which is what large matrices wait for. Recognised by the formula, not by a learner's
name. Knows oneDNN's post-operations through the backend only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.backends.cpu import executor, jit, onednn
from cntk_lab.engine.cpu.claims import MapStep
from cntk_lab.engine.cpu.products import GemmStep
from cntk_lab.engine.cpu.step import Binder, NativeStep, Readers
from cntk_lab.engine.plan import Contract, Map, Plan
from cntk_lab.engine.plan.reference import number_of, reference
from cntk_lab.formula import expr as e
from cntk_lab.formula.kernel import Kernel, Operand, canonical
from cntk_lab.formula.print_numba import numba_code
from cntk_lab.tensor.arrays import aligned_empty
from cntk_lab.tensor.shape import size

_WORTH = 1_000_000
"""Elements of a matrix from which its gradient costs more to write and read than the product's last step to blend."""
_LEAST = 1e-20
"""The momentum that stands for 0, so that the ratio exists."""


def blend(plan: Plan, steps: list[NativeStep | None]) -> None:
    """Replace products and momentum formulas that belong together by their blended forms, in place."""
    if not onednn.available():
        return
    readers: Readers = {}
    for i, s in enumerate(plan.steps):
        for r in s.reads:
            readers.setdefault(r, []).append(i)
    kept = set(plan.outputs.values())
    made = {w: i for i, s in enumerate(plan.steps) if isinstance(s, Contract) for w in s.writes}
    for at, s in enumerate(plan.steps):
        if not isinstance(s, Map) or not isinstance(steps[at], MapStep):
            continue
        found = _pattern(s)
        if found is None:
            continue
        parameter, velocity, share, scales, gradient = found
        product = made.get(gradient, -1)
        step = steps[product] if product >= 0 else None
        if (
            type(step) is not GemmStep
            or not step.plain
            or size(plan.buffers[velocity].shape) < _WORTH
            or plan.buffers[velocity].dtype != "float32"
            or plan.buffers[gradient].whole is not None
            or gradient in kept
            or readers.get(gradient) != [at]
            or readers.get(velocity) != [at]
        ):
            continue
        contract = plan.steps[product]
        assert isinstance(contract, Contract)
        blended = _Blended(plan, contract, step, velocity, share, scales)
        blended.after = _Difference(_difference(s, parameter, velocity), blended)
        steps[product], steps[at] = blended, blended.after


def _pattern(step: Map) -> tuple[int, int, int, tuple[int, ...], int] | None:
    """(p, v, m, the factors of s, g) of a step that does v = m v + s g and p = p - v, else None."""
    if len(step.kernel.outputs) != 2:
        return None
    scalars = {o.name for o in step.kernel.inputs if not o.rows and size(o.shape) == 1}
    formulas = {o.name: f for o, f in step.kernel.outputs}
    for v, sum_ in formulas.items():
        p = next(name for name in formulas if name != v)
        if formulas[p].op != "sub" or formulas[p].args != (e.input_(p), sum_) or sum_.op != "add":
            continue
        for kept, added in (sum_.args, sum_.args[::-1]):
            share = _scalar_times(kept, v)
            names = _factors(added) or ()
            gradients = [n for n in names if n not in scalars]
            scales = tuple(number_of(n) for n in names if n in scalars)
            if share is not None and share in scalars and scales and len(gradients) == 1:
                return number_of(p), number_of(v), number_of(share), scales, number_of(gradients[0])
    return None


def _scalar_times(formula: e.Expr, name: str) -> str | None:
    """The other factor of a product with the input ``name``."""
    if formula.op != "mul" or e.input_(name) not in formula.args:
        return None
    other = formula.args[1] if formula.args[0] is e.input_(name) else formula.args[0]
    return str(other.data) if other.op == "input" else None


def _factors(formula: e.Expr) -> tuple[str, ...] | None:
    """The inputs that a formula is the product of, if it is one."""
    if formula.op == "input":
        return (str(formula.data),)
    if formula.op != "mul":
        return None
    both = [_factors(a) for a in formula.args]
    return None if None in both else tuple(n for names in both if names for n in names)


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

    def __init__(
        self, plan: Plan, step: Contract, plain: GemmStep, velocity: int, share: int, scales: tuple[int, ...]
    ) -> None:
        self.velocity, self.share, self.scales = velocity, share, scales
        self.gemm = GemmStep(plan, step, plain.matrices, (None, onednn.BLEND, velocity))
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
