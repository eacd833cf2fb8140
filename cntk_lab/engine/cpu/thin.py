"""Products with a thin side as kernels of our own, and the learner's step along with the gradient of a parameter.

Which products those are, and from how many rows a kernel beats the libraries, is said by :func:`form_of` and
:func:`worth`, with the measurements behind it. Where a kernel cannot be compiled, or there are too few rows, the step
is what it was without it: a product by oneDNN or cblas, and a formula.

Where nobody but a learner's formulas reads a gradient (see ``learning``), the kernel does them while it stores: the
gradient is never written, and the numbers have the bits that the two steps have one after the other.
Knows no operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from cntk_lab.backends.cpu import executor, thin, threads
from cntk_lab.engine.cpu.gemm import Matrices, size_of
from cntk_lab.engine.cpu.learning import Descent, descent_of
from cntk_lab.engine.cpu.maps import MapStep, can_be_kernel
from cntk_lab.engine.cpu.products import GemmStep, Product
from cntk_lab.engine.cpu.step import Binder, Claim, NativeStep, Rank
from cntk_lab.engine.memory.slots import source_of
from cntk_lab.engine.plan import Map, Plan
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
class Along:
    """What is done along with a product (of ``thin.FINISHES``): where the result goes, and further operands."""

    word: str
    target: int
    operands: dict[str, int] = field(default_factory=dict)
    """Field of the argument block -> buffer."""


class ThinStep(GemmStep):
    """A product with a thin side; by the library where that is better."""

    tier = "thin kernel, oneDNN or cblas for few rows"

    def __init__(self, plan: Plan, plain: GemmStep, form: Form, along: Along) -> None:
        super().__init__(plan, plain.step, plain.matrices, (plain.bias, plain.post, plain.target))
        self.form, self.finish = form, along
        self.handle = thin.kernel(form.name, form.n, along.word)

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


def claims(product: Product) -> Iterator[Claim]:
    """A product with a thin side, with the learner's step or the formula behind it."""
    form = form_of(product.matrices, product.step.spec) if thin.available() else None
    plan, at, step = product.index.plan, product.at, product.step
    if form is None or plan.buffers[step.writes[0]].dtype != "float32":
        return
    found = _learner_behind(product) if form.name == "gradient" and len(step.reads) == 2 else None
    if found is not None:
        behind, learner, along = found

        def make_both() -> tuple[NativeStep, NativeStep]:
            own = ThinStep(plan, product.gemm(), form, along)
            return own, _Learner(own, lambda: MapStep(learner) if can_be_kernel(learner) else None)

        yield Claim(Rank.LEARNING, (at, behind), make_both)
    for finish, after in (*(() if product.finish is None else (product.finish,)), (None, None)):
        gemm = product.gemm(finish)
        words = (("add",) if gemm.beta else ()) + (("bias",) if gemm.bias is not None else ()) + gemm.post
        if " ".join(words) not in thin.FINISHES[form.name]:
            return  # a library that does the formula too is better than a kernel that does not
        operands = {} if gemm.bias is None else {"bias": gemm.bias}
        own = Along(" ".join(words), gemm.target, operands)
        make = partial(ThinStep, plan, gemm, form, own)
        yield Claim.one(Rank.THIN, at, make) if after is None else Claim.with_next(Rank.THIN, at, after, make)


def _learner_behind(product: Product) -> tuple[int, Map, Along] | None:
    """The step that learns from a gradient and from nothing else, and how the kernel does it; None if there is none."""
    plan, at, own = product.index.plan, product.at, product.step
    gradient = plan.buffers[own.writes[0]]
    after = product.index.only_reader(gradient.id)
    step = None if after is None else plan.steps[after]
    if after is None or not isinstance(step, Map) or gradient.whole is not None or gradient.touched or gradient.last:
        return None
    descent = descent_of(step, gradient.id)
    along = None if descent is None else _along(descent)
    if descent is None or along is None:
        return None
    elements = size(gradient.shape)
    changed = {descent.parameter, *(() if descent.velocity is None else (descent.velocity,))}
    for number in (*changed, *along.operands.values()):
        b = plan.buffers[number]
        wanted = elements if number in changed else 1
        if b.dtype != "float32" or b.rows or b.whole is not None or b.last or b.touched or size(b.shape) != wanted:
            return None
    if any(plan.buffers[b].role not in ("parameter", "state") for b in changed):
        return None
    source = source_of(plan)
    used = {source.get(b, b) for b in (*changed, *along.operands.values())}
    for between in plan.steps[at + 1 : after]:
        reads, writes = ({source.get(b, b) for b in some} for some in (between.reads, between.writes))
        if used & writes or changed & reads:
            return None  # somebody still needs what was before
    return None if {source.get(b, b) for b in own.reads} & changed else (after, step, along)


def _along(descent: Descent) -> Along | None:
    """A learner's step as the kernel does it, whose numbers have the bits of the formulas'."""
    names = {1: ("s",), 2: ("s", "t")}.get(len(descent.scales), ())
    scales = dict(zip(names, descent.scales, strict=False))
    if descent.velocity is None or descent.share is None:
        return Along("step", descent.parameter, scales) if len(descent.scales) == 1 else None
    if len(descent.scales) != 2 or not descent.together:
        return None
    return Along("momentum", descent.parameter, {"velocity": descent.velocity, "m": descent.share, **scales})
