"""Operators on whole arrays that the backend has rows for, with a bias and activation that they do along the way.

Knows operators only through the backend's registry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from cntk_lab.backends.cpu import executor, jit, onednn
from cntk_lab.backends.cpu import rows as operators
from cntk_lab.backends.cpu.onednn import Layout
from cntk_lab.backends.cpu.rows import Maker, Request
from cntk_lab.engine.cpu.products import Finish, bias_and_activation, written_between
from cntk_lab.engine.cpu.step import Binder, Claim, NativeStep, Rank
from cntk_lab.engine.plan import Call, Map, Order, Plan
from cntk_lab.engine.plan.index import Index
from cntk_lab.tensor.shape import size


def claims(index: Index) -> Iterator[Claim]:
    """Operators that the backend has rows for, with what is behind them and by themselves; and orders of axes.

    Whether the backend has rows is asked by having it make a primitive; kernels of our own are not compiled for that.
    """
    plan = index.plan
    for i, s in enumerate(plan.steps):
        if isinstance(s, Call) and (own := call_step(plan, s)) is not None:
            found = _finishing(index, i, own)
            if found is not None:
                finish, after = found
                yield Claim.with_next(Rank.FINISHING, i, after, partial(CallStep, plan, s, own.maker, finish))
            yield Claim.one(Rank.ALONE, i, partial(CallStep, plan, s, own.maker))
        elif isinstance(s, Order) and plan.buffers[s.writes[0]].dtype == "float32" and onednn.available():
            yield Claim.one(Rank.ALONE, i, partial(OrderStep, plan, s))


class CallStep(NativeStep):
    """An operator on whole arrays for which the backend has rows."""

    tier = "oneDNN"
    exact = True

    def __init__(self, plan: Plan, step: Call, maker: Maker, finish: Finish | None = None) -> None:
        self.plan, self.step, self.maker = plan, step, maker
        self.bias, self.post, self.target = finish or (None, (), step.writes[0])
        self._handles: list[jit.Handle] | None = None

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


def _finishing(index: Index, at: int, plain: CallStep) -> tuple[Finish, int] | None:
    """The bias and activation behind an operator that it can do too, and the step that it then does."""
    plan, step, own = index.plan, plain.step, index.plan.buffers[plain.target]
    after = index.only_reader(own.id)
    consumer = None if after is None else plan.steps[after]
    if after is None or not isinstance(consumer, Map) or any(plan.buffers[w].whole for w in consumer.writes):
        return None
    finish = bias_and_activation(consumer, own.id, own.shape, axis=-1 if own.last else 0)
    if finish is None or written_between(plan, finish[0], at, after):
        return None
    found = *finish, consumer.writes[0]
    request = CallStep(plan, step, plain.maker, found).request(_trial(plan, step))
    return None if plain.maker(request) is None else (found, after)
