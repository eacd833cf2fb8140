"""Products with a thin side as kernels of our own, and the learner's step along with the gradient of a parameter.

Which products those are, and from how many rows a kernel beats the libraries, is said by :func:`form_of` and
:func:`worth`, with the measurements behind it. Where a kernel cannot be compiled, or there are too few rows, the step
is what it was without it: a product by oneDNN or cblas, and a formula.

Plain gradient descent and momentum are recognised because of their formulas: ``p - s g`` and ``v = m v + s t g``,
``p - v``, where nobody else reads g. The kernel then does them while it stores: g is never written, and the numbers
have the bits that the two steps have one after the other. Knows no operators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from cntk_lab.backends.cpu import executor, thin, threads
from cntk_lab.engine.cpu.gemm import Matrices, size_of
from cntk_lab.engine.cpu.products import GemmStep
from cntk_lab.engine.cpu.step import Binder, NativeStep, Readers
from cntk_lab.engine.memory.slots import source_of
from cntk_lab.engine.plan import Contract, Map, Plan
from cntk_lab.engine.plan.reference import number_of, reference
from cntk_lab.formula import expr as e
from cntk_lab.graph.opdef import Contraction
from cntk_lab.tensor.arrays import aligned_empty
from cntk_lab.tensor.shape import size

_LARGEST = 500_000
"""Elements of a result from which memory, not arithmetic, is what a product waits for."""


@dataclass(frozen=True, slots=True)
class Form:
    """A product as one of ``thin.FORMS``."""

    name: str
    n: int
    """The thin side."""
    long: int
    """The side that is known and long."""
    each: int
    """What the other side has for each row."""


def form_of(x: Matrices, spec: Contraction) -> Form | None:
    """The form of a product, or None if a library does it as well.

    Measured on one core of a Zen 4, 1 to 2048 rows, long sides from 2 to 4096 (oneDNN or cblas over kernel):
    ``gradient`` 1.1 to 3 up to 16 columns; ``inputs`` 1.07 to 4.5 for 2 to 16; ``forward`` 1.1 to 5 up to 10
    columns and from 64 elements in a row (16 columns fill a library's vectors; short rows are lost in summing lanes).
    """
    if x.transpose_left:
        name, thin_side, long, rows = "gradient", x.n, x.m, x.k
    else:
        name, thin_side, long, rows = ("inputs", x.k, x.n, x.m) if x.transpose_right else ("forward", x.n, x.k, x.m)
    if (x.transpose_left and x.transpose_right) or "r" in thin_side or "r" in long:
        return None
    n, length, each = (size_of(letters.replace("r", ""), spec, 1) for letters in (thin_side, long, rows))
    least, most, shortest = {"gradient": (1, thin.MOST, 1), "inputs": (2, thin.MOST, 1), "forward": (1, 10, 64)}[name]
    if not least <= n <= most or length < shortest or (name == "gradient" and n * length > _LARGEST):
        return None
    return Form(name, n, length, each)


def worth(form: Form, rows: int) -> bool:
    """Whether there are rows enough: B is packed for all of them, the gradient transposed once.

    Measured over kernel, 784 long: forward 1.0 for 1 to 4 rows and 1.04 to 3.5 for 16; gradient with 12 columns .6 for
    1 row and 1.4 for 4, with 14 columns .6 and 1.07 for 16.
    """
    least = {"gradient": 1 if form.n <= 10 else 16, "inputs": 1, "forward": 8}[form.name]
    return rows * form.each >= least


@dataclass(frozen=True, slots=True)
class Finish:
    """What is done along with a product (of ``thin.FINISHES``): where the result goes, and further operands."""

    word: str
    target: int
    operands: dict[str, int] = field(default_factory=dict)
    """Field of the argument block -> buffer."""


class ThinStep(GemmStep):
    """A product with a thin side; by the library where that is better."""

    tier = "thin kernel, oneDNN or cblas for few rows"

    def __init__(self, plan: Plan, plain: GemmStep, form: Form, finish: Finish) -> None:
        super().__init__(plan, plain.step, plain.matrices, (plain.bias, plain.post, plain.target))
        self.form, self.finish = form, finish
        self.handle = thin.kernel(form.name, form.n, finish.word)

    @property
    def served(self) -> bool:
        """Whether the kernel is there; once ``ready`` this never changes."""
        return self.handle.ready()

    @property
    def learns(self) -> bool:
        """Whether the kernel does the learner's step too."""
        return self.finish.word in ("step", "momentum")

    def ready(self) -> bool:
        """Whether the kernel is compiled or never will be."""
        return self.handle.ready() or self.handle.failure is not None

    def usable(self) -> bool:
        """Whether the kernel or a library is there."""
        return self.served or super().usable()

    def rows(self, binder: Binder) -> list[list[int]]:
        """One kernel row, or the library's."""
        symbol = self.step.rows
        count = binder.padded(symbol) if symbol else 1
        if not self.served or not (self.learns or worth(self.form, count) or not super().usable()):
            return super().rows(binder)
        form, x = self.form, self.matrices
        work = form.n * form.long * form.each * count
        shared = threads.threads_for_products(work)
        left, right = self.step.reads[:2][::-1] if x.swapped else self.step.reads[:2]
        named = {"a": left, "b": right, "c": self.finish.target, **self.finish.operands}
        between = self._between()
        numbers = {"a_row": between[0], "b_row": between[1], "c_row": between[2], "each": form.each, "long": form.long}
        block = np.zeros(len(thin.FIELDS), np.int64)
        if form.name == "forward":
            scratch = aligned_empty((shared * thin.scratch_bytes(form.n, form.long),), "uint8")
            numbers["scratch"] = scratch.ctypes.data
            binder.keep(scratch)
        for name, number in numbers.items():
            block[thin.AT[name]] = number
        block[thin.AT["rows"]] = binder.count(symbol, block, thin.AT["rows"]) if symbol else 1
        for name, operand in named.items():
            block[thin.AT[name]] = binder.follow(operand, partial(block.__setitem__, thin.AT[name]))
        binder.keep(block)
        return [executor.kernel_row(self.handle.address, block.ctypes.data, shared)]

    def _between(self) -> tuple[int, int, int]:
        """Elements between the rows of the operands and of the result, as they are stored."""
        n, long = self.form.n, self.form.long
        dense = {"forward": (long, n, n), "gradient": (long, n, n), "inputs": (n, n, long)}[self.form.name]
        a, b, c = (own or other for own, other in zip(self.between, dense, strict=True))
        return a, b, c


class _Learner(NativeStep):
    """A learner's formulas that the product in front of them does, if its kernel is there."""

    tier = "in the product"

    def __init__(self, product: ThinStep, make: Callable[[], NativeStep | None]) -> None:
        self.product, self._make = product, make
        self._formula: list[NativeStep | None] = []

    @property
    def formula(self) -> NativeStep | None:
        """The step by itself, made when it is needed."""
        if not self._formula:
            self._formula.append(self._make())
        return self._formula[0]

    def ready(self) -> bool:
        """Whether the product's kernel is compiled; if it never will be, the formula's."""
        if self.product.handle.failure is None:
            return self.product.served
        return self.formula is None or self.formula.ready()

    def usable(self) -> bool:
        """Whether the product does it; if its kernel never will be there, whether the formula has rows."""
        if self.product.handle.failure is None:
            return self.product.served
        return self.formula is not None and self.formula.usable()

    def rows(self, binder: Binder) -> list[list[int]]:
        """None, or those of the formula."""
        if self.product.served or self.formula is None:
            return []
        return self.formula.rows(binder)


def use_thin(
    plan: Plan,
    at: int,
    steps: list[NativeStep | None],
    readers: Readers,
    kept: set[int],
    make: Callable[[Map], NativeStep | None],
) -> None:
    """Replace a product (and the learner's step behind it) by a thin one, in place, if it is one.

    Args:
        plan: the plan.
        at: the product's place in it.
        steps: what was found so far.
        readers: which steps read a buffer.
        kept: buffers that are results of the plan.
        make: the native form of formulas by themselves.
    """
    step, contract = steps[at], plan.steps[at]
    if type(step) is not GemmStep or step.itemsize != 4 or not isinstance(contract, Contract) or not thin.available():
        return
    form = form_of(step.matrices, contract.spec)
    if form is None:
        return
    learner = _learner_of(plan, at, readers, kept) if form.name == "gradient" and step.plain else None
    if learner is not None:
        after, finish = learner
        map_ = plan.steps[after]
        assert isinstance(map_, Map)
        steps[at] = product = ThinStep(plan, step, form, finish)
        steps[after] = _Learner(product, partial(make, map_))
        return
    words = (("add",) if step.beta else ()) + (("bias",) if step.bias is not None else ()) + step.post
    if " ".join(words) in thin.FINISHES[form.name]:
        operands = {} if step.bias is None else {"bias": step.bias}
        steps[at] = ThinStep(plan, step, form, Finish(" ".join(words), step.target, operands))


def _learner_of(plan: Plan, at: int, readers: Readers, kept: set[int]) -> tuple[int, Finish] | None:
    """The step that learns from a gradient and from nothing else, as a finish; None if there is none."""
    gradient = plan.steps[at].writes[0]
    after = readers.get(gradient, [])
    if len(after) != 1 or gradient in kept or plan.buffers[gradient].whole is not None:
        return None
    step = plan.steps[after[0]]
    if not isinstance(step, Map) or plan.buffers[gradient].touched or plan.buffers[gradient].last:
        return None
    finish = _step_of(step, gradient)
    if finish is None:
        return None
    elements = size(plan.buffers[gradient].shape)
    changed = {finish.target, *(b for name, b in finish.operands.items() if name == "velocity")}
    for number in (*changed, *finish.operands.values()):
        b = plan.buffers[number]
        wanted = elements if number in changed else 1
        if b.dtype != "float32" or b.rows or b.whole is not None or b.last or b.touched or size(b.shape) != wanted:
            return None
    if any(plan.buffers[b].role not in ("parameter", "state") for b in changed):
        return None
    source = source_of(plan)
    used = {source.get(b, b) for b in (*changed, *finish.operands.values())}
    for between in plan.steps[at + 1 : after[0]]:
        reads, writes = ({source.get(b, b) for b in some} for some in (between.reads, between.writes))
        if used & writes or changed & reads:
            return None  # somebody still needs what was before
    own = {source.get(b, b) for b in plan.steps[at].reads}
    return None if own & changed else (after[0], finish)


def _step_of(step: Map, gradient: int) -> Finish | None:
    """``p = p - s g``, or ``v = m v + (s t) g`` and ``p = p - v``."""
    formulas = {number_of(o.name): f for o, f in step.kernel.outputs}
    g = e.input_(reference(gradient))
    for p, formula in formulas.items():
        if formula.op != "sub" or formula.args[0] is not e.input_(reference(p)):
            continue
        change = formula.args[1]
        if len(formulas) == 1:
            s = _other(change, g)
            return Finish("step", p, {"s": _number(s)}) if s is not None and s.op == "input" else None
        v = next((b for b in formulas if b != p), -1)
        if len(formulas) != 2 or formulas[v] is not change or change.op != "add":
            continue
        for kept, added in (change.args, change.args[::-1]):
            m, scale = _other(kept, e.input_(reference(v))), _other(added, g)
            if m is None or m.op != "input" or scale is None or scale.op != "mul":
                continue
            s, t = scale.args
            if s.op == t.op == "input":
                operands = {"velocity": v, "m": _number(m), "s": _number(s), "t": _number(t)}
                return Finish("momentum", p, operands)
    return None


def _other(formula: e.Expr, factor: e.Expr) -> e.Expr | None:
    """What ``factor`` is multiplied with."""
    if formula.op != "mul" or factor not in formula.args or formula.args[0] is formula.args[1]:
        return None
    return formula.args[1] if formula.args[0] is factor else formula.args[0]


def _number(formula: e.Expr) -> int:
    """The buffer that an input of a formula is."""
    return number_of(formula.data)
