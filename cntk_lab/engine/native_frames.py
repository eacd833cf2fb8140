"""Native steps that choose or sum frames: samples spread over frames, sums per sequence, first and last frames.

Which rows meet follows from the layout of the minibatch; the lists are made once for each layout, before the run. Knows
operators only through the backend's registry.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from cntk_lab.backends.cpu import executor, frames, threads
from cntk_lab.backends.cpu.frames import Listed
from cntk_lab.engine.native_step import Binder, NativeStep
from cntk_lab.engine.plan import Call, Gathered, Plan, Spread, Step
from cntk_lab.engine.run import Run, check_spread
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.shape import FREE, size

_AT = frames.AT
_DTYPES = ("float32", "float64")
_ROW_NANOSECONDS, _ELEMENT_NANOSECONDS = 4.0, 0.2
_KEPT = 32


def frame_steps(plan: Plan) -> dict[int, NativeStep]:
    """The native steps of a plan that choose or sum frames: number of the step -> its native form."""
    return {i: own for i, s in enumerate(plan.steps) if (own := _frame_step(plan, s)) is not None}


def _frame_step(plan: Plan, step: Step) -> FrameStep | None:
    listed: Callable[[Layout], Listed]
    if isinstance(step, Spread):
        source, listed = step.reads[0], frames.spread
    elif isinstance(step, Gathered):
        source, listed = step.reads[0], frames.summed
    elif isinstance(step, Call) and step.op is not None and (key := f"{step.op.name}.{step.role}") in frames.OPERATORS:
        operand, listed = frames.OPERATORS[key]
        source = step.reads[step.names.index(operand)]
    else:
        return None
    ends = plan.buffers[source], plan.buffers[step.writes[0]]
    odd = any(b.sparse or b.touched or b.whole or b.last or FREE in b.shape or b.dtype not in _DTYPES for b in ends)
    if odd or ends[0].dtype != ends[1].dtype or size(ends[0].shape) != size(ends[1].shape):
        return None
    rows = [b.rows for b in ends]
    if not all(rows) or "," not in "".join(rows) or (rows[0] == rows[1]) != (listed is frames.same):
        return None
    return FrameStep(plan, step, source, listed)


class FrameStep(NativeStep):
    """Rows of the result as sums of listed rows of one operand.

    Args:
        plan: the plan.
        step: the step.
        source: the operand's buffer.
        listed: the rows that are summed, by the layout of the frames.
    """

    tier = "kernel"

    def __init__(self, plan: Plan, step: Step, source: int, listed: Callable[[Layout], Listed]) -> None:
        self.step, self.source, self.target, self.listed = step, source, step.writes[0], listed
        ends = plan.buffers[source], plan.buffers[self.target]
        self.row_symbols = ends[0].rows, ends[1].rows
        self.frames = next((s for s in self.row_symbols if "," in s), self.row_symbols[0])
        """The row symbol of the frames."""
        self.width, self.dtype = size(ends[1].shape), ends[1].dtype
        self.kernel = frames.kernel(self.dtype)
        self._lists: dict[Layout, tuple[Listed, list[int]]] = {}
        """For each layout the lists, and what the argument block is told of them."""

    def ready(self) -> bool:
        """Whether the kernel is compiled or never will be."""
        return self.kernel.ready() or self.kernel.failure is not None

    def usable(self) -> bool:
        """Whether the kernel is compiled."""
        return self.kernel.ready()

    def rows(self, binder: Binder) -> list[list[int]]:
        """One kernel row; the lists are told before each run."""
        block = np.zeros(len(frames.FIELDS), np.int64)
        block[_AT["width"]] = self.width
        for field, buffer in (("source", self.source), ("target", self.target)):
            block[_AT[field]] = binder.follow(buffer, partial(block.__setitem__, _AT[field]))
        binder.keep(block)
        kept: list[Listed] = []

        def before(run: Run) -> None:
            listed, told = self._found(run)
            kept[:] = [listed]  # alive as long as the block points to them
            block[_AT["starts"] : _AT["rows"] + 1] = told

        binder.before_run(before)
        work = binder.padded(self.frames) * (_ROW_NANOSECONDS + _ELEMENT_NANOSECONDS * self.width)
        return [executor.kernel_row(self.kernel.address, block.ctypes.data, threads.threads_for(work))]

    def _found(self, run: Run) -> tuple[Listed, list[int]]:
        if isinstance(self.step, Spread):
            check_spread(self.step, *(run.layouts[s] for s in self.row_symbols))
        layout = run.layouts[self.frames]
        found = self._lists.get(layout)
        if found is None:
            if len(self._lists) >= _KEPT:
                self._lists.clear()
            listed = self.listed(layout)
            addresses = [array.ctypes.data for array in listed]
            found = self._lists[layout] = listed, [*addresses, len(listed.starts) - 1]
        return found
