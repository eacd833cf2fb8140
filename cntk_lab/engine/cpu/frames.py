"""Native steps that choose, sum or weigh frames: samples spread over frames, sums per sequence, first and last frames.

Which rows meet follows from the layout of the minibatch; the lists are made once for each layout, before the run. Knows
operators only through the backend's registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from cntk_lab.backends.cpu import executor, frames, jit, threads
from cntk_lab.backends.cpu.frames import Listed
from cntk_lab.engine.arrays.interpreter import check_spread
from cntk_lab.engine.arrays.run import Run
from cntk_lab.engine.cpu.step import Binder, Claim, NativeStep, Rank
from cntk_lab.engine.plan import Call, Gathered, Plan, Spread, Step
from cntk_lab.engine.plan.index import Index
from cntk_lab.tensor.arrays import aligned_empty
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.shape import FREE, size

_AT = frames.AT
_DTYPES = ("float32", "float64")
_LISTED: dict[type[Step], Callable[[Layout], Listed]] = {Spread: frames.spread, Gathered: frames.summed}
"""Which rows meet in steps that are no operators."""
_ROW_NANOSECONDS, _ELEMENT_NANOSECONDS, _WEIGHT_NANOSECONDS = 4.0, 0.2, 1.0
_KEPT = 32


def claims(index: Index) -> Iterator[Claim]:
    """The steps that choose, sum or weigh frames."""
    for i, s in enumerate(index.plan.steps):
        make = _frame_step(index.plan, s)
        if make is not None:
            yield Claim.one(Rank.FRAMES, i, make)


def _frame_step(plan: Plan, step: Step) -> Callable[[], NativeStep] | None:
    if isinstance(step, Call) and step.op is not None:
        key = f"{step.op.name}.{step.role}"
        if key in frames.OVER_SEQUENCES:
            return _over_sequences(plan, step)
        operand, listed = frames.OPERATORS.get(key, ("", None))
        source = step.reads[step.names.index(operand)] if listed is not None else -1
    else:
        source, listed = step.reads[0] if step.reads else -1, _LISTED.get(type(step))
    if listed is None:
        return None
    ends = plan.buffers[source], plan.buffers[step.writes[0]]
    odd = any(b.sparse or b.touched or b.whole or b.last or FREE in b.shape or b.dtype not in _DTYPES for b in ends)
    if odd or ends[0].dtype != ends[1].dtype or size(ends[0].shape) != size(ends[1].shape):
        return None
    rows = [b.rows for b in ends]
    if not all(rows) or "," not in "".join(rows) or (rows[0] == rows[1]) != (listed is frames.same):
        return None
    return lambda: FrameStep(plan, step, source, listed)


def _over_sequences(plan: Plan, step: Call) -> Callable[[], NativeStep] | None:
    assert step.op is not None
    what, names = frames.OVER_SEQUENCES[f"{step.op.name}.{step.role}"]
    operands = [step.reads[step.names.index(name)] for name in names]
    ends = [plan.buffers[b] for b in (*operands, step.writes[0])]
    odd = any(b.sparse or b.touched or b.whole or b.last or FREE in b.shape or not b.rows for b in ends)
    alike = len({(b.dtype, size(b.shape)) for b in ends}) == 1
    if odd or not alike or ends[0].dtype not in _DTYPES:
        return None
    return lambda: SequenceStep(plan, step, what, operands)


class _ListedStep(NativeStep):
    """A kernel that is told lists of rows before each run.

    Args:
        kernel: the kernel.
        listed: the lists, by the layout of the frames.
        symbol: the row symbol of the frames.
    """

    tier = "kernel"

    def __init__(self, kernel: jit.Handle, listed: Callable[[Layout], Listed], symbol: str) -> None:
        self.kernel, self.listed, self.frames = kernel, listed, symbol
        self._lists: dict[Layout, tuple[Listed, list[int]]] = {}
        """For each layout the lists, and what the argument block is told of them: addresses, and their number."""

    def ready(self) -> bool:
        """Whether the kernel is compiled or never will be."""
        return self.kernel.ready() or self.kernel.failure is not None

    def usable(self) -> bool:
        """Whether the kernel is compiled."""
        return self.kernel.ready()

    def tell(self, binder: Binder, block: Any, at: int) -> None:
        """Before each run, write into the block from ``at`` on where the lists are and how many rows they are for."""
        binder.keep(block)
        kept: list[Listed] = []

        def before(run: Run) -> None:
            listed, told = self._found(run)
            kept[:] = [listed]  # alive as long as the block points to them
            block[at : at + 3] = told

        binder.before_run(before)

    def _found(self, run: Run) -> tuple[Listed, list[int]]:
        layout = run.layouts[self.frames]
        found = self._lists.get(layout)
        if found is None:
            if len(self._lists) >= _KEPT:
                self._lists.clear()
            listed = self.listed(layout)
            addresses = [array.ctypes.data for array in listed]
            found = self._lists[layout] = listed, [*addresses, len(listed.starts) - 1]
        return found


class FrameStep(_ListedStep):
    """Rows of the result as sums of listed rows of one operand.

    Args:
        plan: the plan.
        step: the step.
        source: the operand's buffer.
        listed: the rows that are summed, by the layout of the frames.
    """

    def __init__(self, plan: Plan, step: Step, source: int, listed: Callable[[Layout], Listed]) -> None:
        self.step, self.source, self.target = step, source, step.writes[0]
        ends = plan.buffers[source], plan.buffers[self.target]
        self.row_symbols = ends[0].rows, ends[1].rows
        self.width, self.dtype = size(ends[1].shape), ends[1].dtype
        super().__init__(frames.kernel(self.dtype), listed, next(s for s in self.row_symbols if "," in s))

    def rows(self, binder: Binder) -> list[list[int]]:
        """One kernel row."""
        block = np.zeros(len(frames.FIELDS), np.int64)
        block[_AT["width"]] = self.width
        for field, buffer in (("source", self.source), ("target", self.target)):
            block[_AT[field]] = binder.follow(buffer, partial(block.__setitem__, _AT[field]))
        self.tell(binder, block, _AT["starts"])
        work = binder.padded(self.frames) * (_ROW_NANOSECONDS + _ELEMENT_NANOSECONDS * self.width)
        return [executor.kernel_row(self.kernel.address, block.ctypes.data, threads.threads_for(work))]

    def _found(self, run: Run) -> tuple[Listed, list[int]]:
        if isinstance(self.step, Spread):
            check_spread(self.step, *(run.layouts[s] for s in self.row_symbols))
        return super()._found(run)


class SequenceStep(_ListedStep):
    """The largest frames, the softmax over time, or the gradient of one of these.

    Args:
        plan: the plan.
        step: the step.
        what: the kernel's name.
        operands: the buffers that it reads, in its order.
    """

    def __init__(self, plan: Plan, step: Call, what: str, operands: Sequence[int]) -> None:
        self.target, self.operands = step.writes[0], tuple(operands)
        b = plan.buffers[self.target]
        self.width, self.dtype = size(b.shape), b.dtype
        symbols = [plan.buffers[n].rows for n in (*operands, self.target)]
        super().__init__(frames.over_sequences(what, b.dtype), frames.summed, next(s for s in symbols if "," in s))

    def rows(self, binder: Binder) -> list[list[int]]:
        """One kernel row."""
        at = frames.SEQUENCE_AT
        work = binder.padded(self.frames) * (_ROW_NANOSECONDS + _WEIGHT_NANOSECONDS * self.width)
        count = threads.threads_for(work)
        item = np.dtype(self.dtype).itemsize
        scratch = aligned_empty((max(64, count * frames.scratch_bytes(self.width, item)),), "uint8")
        block = np.zeros(len(frames.SEQUENCE_FIELDS), np.int64)
        block[at["width"]], block[at["scratch"]] = self.width, scratch.ctypes.data
        binder.keep(scratch)
        for field, buffer in zip(("target", "first", "second", "third"), (self.target, *self.operands), strict=False):
            block[at[field]] = binder.follow(buffer, partial(block.__setitem__, at[field]))
        self.tell(binder, block, at["starts"])
        return [executor.kernel_row(self.kernel.address, block.ctypes.data, count)]
