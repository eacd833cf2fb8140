"""What serves while native kernels are being compiled: the NumPy tier, with large convolutions and poolings by oneDNN.

oneDNN needs no compiler of ours, and NumPy takes ten to a hundred times as long for these. So the first step of a
ConvNet takes a fraction of a second instead of many.
"""

from __future__ import annotations

import numpy as np

from cntk_lab.engine.arrays.interpreter import Interpreter
from cntk_lab.engine.arrays.run import Action, Run
from cntk_lab.engine.cpu.operators import CallStep, call_step
from cntk_lab.engine.plan import Call
from cntk_lab.tensor.arrays import aligned_empty

_WORTH = 30_000
"""Elements of operands and result from which making a primitive is worth its milliseconds."""


class WaitingInterpreter(Interpreter):
    """A plan on the NumPy tier, except for what a library does without a kernel of ours."""

    def _call(self, step: Call) -> Action:
        plain = super()._call(step)
        found = call_step(self.plan, step)
        return plain if found is None else self._by_library(step, found, plain)

    def _by_library(self, step: Call, found: CallStep, plain: Action) -> Action:
        buffers, w = self.plan.buffers, step.writes[0]
        symbols = {buffers[b].rows for b in (*step.reads, w)} - {""}

        def act(run: Run) -> None:
            rows = {s: run.rows(s) for s in symbols}
            shape = (rows[buffers[w].rows] if buffers[w].rows else 1, *buffers[w].shape)
            arrays = [np.asarray(run.arrays[r]) for r in step.reads]
            elements = sum(a.size for a in arrays) + int(np.prod(shape, dtype=np.int64))
            small = elements < _WORTH or any(not a.size for a in arrays)
            made = None if small or run.slab is not None else found.maker(found.request(rows))
            if made is None:
                plain(run)
                return
            result = aligned_empty(shape, "float32")
            dense = [np.ascontiguousarray(a, np.float32) for a in arrays]
            for a, name in zip(dense, step.names, strict=True):
                if name in made.operands:
                    made.set(name, a)
            made.set("result", result)
            made()
            run.arrays[w] = result

        return act
